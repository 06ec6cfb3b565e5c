"""The command pairs: dimensions against one another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentscope.cli.application import UsageError, command
from latentscope.cli.options import (
    Dims,
    Groups,
    Join,
    Json,
    LabelsFile,
    Latents,
    Plot,
    Seed,
    Table,
    chosen_dims,
)
from latentscope.cli.output import Output, progress, say_groups
from latentscope.cli.tables import check_outputs, write_table

if TYPE_CHECKING:
    import pandas as pd

    from latentscope.data import Latents as LatentsTable
    from latentscope.diagnostics.mi.result import PairwiseResult

_STRONGEST = 15


@command(
    "latentscope pairs latents.npy --plot pairs.png",
    "latentscope pairs latents.npy --color spec_type --labels-file labels.csv --plot pairs.pdf",
)
def pairs(
    latents: Latents,
    color: Annotated[
        str | None,
        typer.Option("--color", help="Column that colours the points: of the labels or sidecar."),
    ] = None,
    labels_file: LabelsFile = None,
    dims: Dims = "informative",
    output: Table = None,
    plot: Plot = None,
    join: Join = None,
    groups: Groups = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Show whether dimensions are separate: all pairs, ranked by what they share.

    Mutual information of the pairs in nats, and with --plot their scatter grid, coloured by a
    label. Structure in a panel means that two dimensions are not disentangled.
    """
    from latentscope.data import read_latents
    from latentscope.diagnostics.mi.api import pairwise_mi

    out = Output(as_json)
    inputs = [latents] if labels_file is None else [latents, labels_file]
    check_outputs(output, plot, *inputs)
    if (color is not None or labels_file is not None) and (color is None or plot is None):
        raise UsageError("a colour needs --color COLUMN and --plot PICTURE")
    read = read_latents(latents)
    colours = None if color is None else _column(color, read, labels_file, join)
    with progress("pairs") as advance:
        result = pairwise_mi(
            read, dims=chosen_dims(dims), groups=groups, seed=seed, progress=advance
        )
    ranked = _ranked(result)
    write_table(output, ranked, result.provenance)
    for line in result.sentences(_STRONGEST, significant=True):
        out.say(line)
    out.say(_count(result))
    say_groups(out, result.provenance)
    out.result({"dims": result.dims, "pairs": ranked.to_dict("records")})
    if plot is not None:
        from latentscope.plots.pairs import plot_pairs
        from latentscope.plots.style import save_figure

        ax = plot_pairs(
            read, chosen_dims(dims), colours, name=color or "label", pairs=result, seed=seed
        )
        save_figure(ax, plot)


def _column(
    name: str, latents: LatentsTable, labels_file: Path | None, join: str | None
) -> pd.Series | Any:
    from latentscope.data import align, read_labels
    from latentscope.errors import ChoiceError

    known: list[str] = []
    if labels_file is not None:
        _, labels = align(latents, read_labels(labels_file), join)
        if name in labels:
            return labels[name]
        known += list(labels.columns)
    column = latents.column(name)
    if column is not None:
        return column
    known += [] if latents.table is None else list(latents.table.columns)
    where = "" if labels_file is not None else "; --labels-file names a table of labels"
    raise ChoiceError(
        f"--color: no column {name!r}; there are {', '.join(map(str, known)) or 'none'}{where}"
    )


def _ranked(result: PairwiseResult) -> pd.DataFrame:
    table = result.table.sort_values("mi_nats", ascending=False, kind="stable", na_position="last")
    table.insert(0, "rank", range(1, len(table) + 1))
    return table.reset_index(drop=True)


def _count(result: PairwiseResult) -> str:
    from latentscope.diagnostics.mi.result import SIGNIFICANT

    count, dims = len(result.significant), ", ".join(map(str, result.dims))
    first = f", the strongest {_STRONGEST} shown" if count > _STRONGEST else ""
    return (
        f"{count:,} of {len(result.table):,} pairs of dims {dims} share something "
        f"(q < {SIGNIFICANT:g}){first}"
    )
