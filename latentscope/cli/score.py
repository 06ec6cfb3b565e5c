"""The command score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentscope.cli.application import UsageError, command
from latentscope.cli.options import Groups, Json, Latents, Plot, Seed, Table
from latentscope.cli.output import Output, say_groups
from latentscope.cli.tables import check_outputs, write_table


@command(
    "latentscope score latents.npy",
    "latentscope score latents.npy -m me/my-model -o trust.csv --plot trust.png",
    "latentscope score latents.npy --reference ordinary.npy",
)
def score(
    latents: Latents,
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            help="The model that encoded them, with its reference sample. Default: the bundled one "
            "that they name; else they are compared with each other.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option("--reference", help="Latents of ordinary spectra, encoded with that model."),
    ] = None,
    output: Table = None,
    plot: Plot = None,
    show: Annotated[
        int, typer.Option("--show", min=0, help="Name so many of the least trusted.")
    ] = 10,
    groups: Groups = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Tell which spectra the model has no business with.

    Reconstruction error, its pattern over wavelength, density of the latents and resolution, each
    compared with ordinary spectra; one trust from 0 to 1, and a verdict with the reason.
    """
    from latentscope.models.trust import score as judge

    out = Output(as_json)
    if model is not None and reference is not None:
        raise UsageError("both -m and --reference are given; expected one of the two")
    inputs = [latents] if reference is None else [latents, reference]
    check_outputs(output, plot, *inputs)
    result = judge(
        str(latents),
        reference=None if reference is None else str(reference),
        model=model,
        groups=groups,
        seed=seed,
    )
    write_table(output, result.table, result.provenance)
    if plot is not None:
        from latentscope.plots.style import save_figure
        from latentscope.plots.trust import plot_trust

        save_figure(plot_trust(result), plot)
    for line in result.sentences(show):
        out.say(line)
    say_groups(out, result.provenance)
    out.result(
        {
            "counts": result.counts,
            "reference": result.provenance["reference"],
            "own_reference": result.provenance["own_reference"],
            "table": result.table.to_dict("records"),
        }
    )
