"""The command robustness."""

from __future__ import annotations

from typing import Annotated

import typer

from latentscope.cli.application import command
from latentscope.cli.options import (
    Columns,
    Dims,
    Groups,
    Join,
    Json,
    Labels,
    Latents,
    Plot,
    Seed,
    Table,
    chosen_dims,
    chosen_names,
)
from latentscope.cli.output import Output, progress
from latentscope.cli.tables import check_outputs, write_table


@command(
    "latentscope robustness latents.npy labels.csv --plot robustness.png",
    "latentscope robustness latents.npy labels.csv --classes Teff -o robustness.csv",
)
def robustness(
    latents: Latents,
    labels: Labels,
    output: Table = None,
    plot: Plot = None,
    dims: Dims = "informative",
    columns: Columns = None,
    join: Join = None,
    groups: Groups = "auto",
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            help="Label whose classes are drawn in equal numbers. Default: spectral type or Teff.",
        ),
    ] = None,
    n_draws: Annotated[
        int, typer.Option("--n-draws", min=3, help="Draws of each random sample.")
    ] = 8,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Ask whether it is the sample.

    Counts informative dimensions and measures information on one spectrum a star, on equal classes
    and on halves.
    """
    from latentscope.diagnostics.robustness import robustness as measure

    out = Output(as_json)
    check_outputs(output, plot, latents, labels)
    with progress("robustness") as advance:
        result = measure(
            str(latents),
            str(labels),
            groups=groups,
            classes=classes,
            n_draws=n_draws,
            dims=chosen_dims(dims),
            columns=None if columns is None else chosen_names(columns),
            join=join,
            seed=seed,
            progress=advance,
        )
    write_table(output, result.table, result.provenance)
    out.frame(result.overview)
    out.say()
    for line in (*result.sentences(), *result.notes):
        out.say(line)
    if output is None:
        out.say("-o writes the table, pair by pair")
    out.result(
        {
            "notes": result.notes,
            "sentences": result.sentences(),
            "mad": result.mad.to_dict("records"),
            "mi": result.mi.to_dict("records"),
        }
    )
    if plot is not None:
        from latentscope.plots.robustness import plot_robustness
        from latentscope.plots.style import save_figure

        save_figure(plot_robustness(result), plot)
