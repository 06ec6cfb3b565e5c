"""The command metrics."""

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
    "latentscope metrics latents.npy labels.csv --plot metrics.png",
    "latentscope metrics latents.npy labels.csv --columns radvel,Teff -o metrics.csv",
)
def metrics(
    latents: Latents,
    labels: Labels,
    output: Table = None,
    plot: Plot = None,
    dims: Dims = "informative",
    columns: Columns = None,
    join: Join = None,
    groups: Groups = "auto",
    bootstrap: Annotated[
        int,
        typer.Option("--bootstrap", min=0, help="Halves of the stars for the intervals; 0: none."),
    ] = 100,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure disentanglement beside a random rotation and PCA.

    MIG, SAP, DCI, modularity, explicitness and total correlation, with 95 % intervals.
    """
    from latentscope.diagnostics.disentanglement import metrics as measure

    out = Output(as_json)
    check_outputs(output, plot, latents, labels)
    with progress("metrics") as advance:
        result = measure(
            str(latents),
            str(labels),
            dims=chosen_dims(dims),
            columns=None if columns is None else chosen_names(columns),
            groups=groups,
            join=join,
            bootstrap=bootstrap,
            seed=seed,
            progress=advance,
        )
    write_table(output, result.table, result.provenance)
    out.frame(result.compact)
    out.say()
    for line in (*result.sentences(), *result.notes):
        out.say(line)
    if output is None:
        out.say("-o writes the table, label by label")
    out.result(
        {
            "notes": result.notes,
            "sentences": result.sentences(),
            "table": result.table.to_dict("records"),
        }
    )
    if plot is not None:
        from latentscope.plots.disentanglement import plot_metrics
        from latentscope.plots.style import save_figure

        save_figure(plot_metrics(result), plot)
