"""The command mi: what each dimension knows of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from latentscope.cli.application import command, one_of
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

if TYPE_CHECKING:
    from latentscope.diagnostics.mi.result import MIResult

_STRONGEST = 15
# Written out, since the module that knows them is slow to import.
_ESTIMATORS = "auto, copula, ksg, ross, plugin, mixture, histogram, gmm, npeet"


@command(
    "latentscope mi latents.npy labels.csv -o mi.csv --plot mi.png",
    "latentscope mi latents.npy labels.csv --dims informative --columns radvel,Teff",
)
def mi(
    latents: Latents,
    labels: Labels,
    output: Table = None,
    plot: Plot = None,
    dims: Dims = "all",
    columns: Columns = None,
    estimator: Annotated[str, typer.Option("--estimator", help=f"One of {_ESTIMATORS}.")] = "auto",
    neighbors: Annotated[
        int, typer.Option("--neighbors", min=1, help="Neighbours k of the kNN estimators.")
    ] = 3,
    clip_sigma: Annotated[
        float,
        typer.Option("--clip-sigma", min=0.0, help="Clip labels at so many sigma; 0: do not."),
    ] = 5.0,
    join: Join = None,
    groups: Groups = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure what each dimension knows of each label.

    Mutual information in nats, with its sampling error and a p-value.
    """
    from latentscope.diagnostics.mi.api import mi_matrix
    from latentscope.diagnostics.mi.estimators import Estimator

    out = Output(as_json)
    check_outputs(output, plot, latents, labels)
    with progress("mutual information") as advance:
        result = mi_matrix(
            str(latents),
            str(labels),
            dims=chosen_dims(dims),
            columns=None if columns is None else chosen_names(columns),
            estimator=one_of("--estimator", estimator, Estimator),
            neighbors=neighbors,
            clip_sigma=clip_sigma or None,
            groups=groups,
            join=join,
            seed=seed,
            progress=advance,
        )
    write_table(output, result.table, result.provenance)
    for line in _relations(result, written=output is not None):
        out.say(line)
    for note in result.notes:
        out.say(note)
    out.result({"notes": result.notes, "table": result.table.to_dict("records")})
    if plot is not None:
        from latentscope.plots.information import plot_mi
        from latentscope.plots.style import save_figure

        save_figure(plot_mi(result), plot)


def _relations(result: MIResult, *, written: bool) -> list[str]:
    """Put the strongest significant relations into words, and count them."""
    from latentscope.diagnostics.mi.result import SIGNIFICANT

    pairs, count = len(result.table), len(result.significant)
    lines = result.sentences(_STRONGEST, significant=True)
    first = f", the strongest {_STRONGEST} shown" if count > _STRONGEST else ""
    table = "" if written else "; -o writes the table of all"
    told = f"{count:,} of {pairs:,} pairs are significant (q < {SIGNIFICANT:g}){first}{table}"
    return [*lines, told]
