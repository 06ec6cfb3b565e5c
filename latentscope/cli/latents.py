"""Commands that begin with latents: mad, mi."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentscope.cli.application import UsageError, command, one_of
from latentscope.cli.options import Json, Latents, Plot, Seed
from latentscope.cli.output import Output, plain, progress, write_json

if TYPE_CHECKING:
    import pandas as pd

    from latentscope.diagnostics.mi_result import MIResult

_STRONGEST = 15
_PICTURES = (".png", ".pdf", ".svg")
# Written out, since the module that knows them is slow to import.
_ESTIMATORS = "auto, copula, ksg, ross, plugin, mixture, histogram, gmm, npeet"

Table = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Write the table as CSV, and provenance as .json."),
]


@command(
    "latentscope mad latents.npy",
    "latentscope mad latents.npy --threshold 0.05 -o mad.csv --plot mad.png",
)
def mad(
    latents: Latents,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0.0, help="A dimension above it is informative.")
    ] = 0.02,
    kind: Annotated[
        str, typer.Option("--kind", help="median or mean: absolute deviation, unscaled.")
    ] = "median",
    output: Table = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Measure how much each dimension varies.

    Those whose median absolute deviation exceeds the threshold are informative.
    """
    from latentscope.diagnostics.activity import Kind
    from latentscope.diagnostics.activity import mad as measure

    out = Output(as_json)
    _check_outputs(output, plot, latents)
    result = measure(str(latents), kind=one_of("--kind", kind, Kind), threshold=threshold)
    dims = [int(dim) for dim in result.informative]
    _write_table(output, result.table, result.provenance)
    if plot is not None:
        from latentscope.plots import plot_mad, save_figure

        save_figure(plot_mad(result), plot)
    out.table(*_columns_and_rows(result.table))
    out.say()
    out.say(
        f"{len(dims)} of {len(result.values)} dimensions are informative (MAD > {threshold:g}): "
        f"{', '.join(map(str, dims)) or 'none'}"
    )
    out.say(f"{result.n} rows counted, {result.ignored} of NaN left out")
    out.result(
        {
            "kind": kind,
            "threshold": threshold,
            "n": result.n,
            "ignored": result.ignored,
            "informative": dims,
            "table": result.table.to_dict("records"),
        }
    )


@command(
    "latentscope mi latents.npy labels.csv -o mi.csv --plot mi.png",
    "latentscope mi latents.npy labels.csv --dims informative --labels radvel,Teff --groups star",
)
def mi(
    latents: Latents,
    labels: Annotated[
        Path,
        typer.Argument(metavar="LABELS", help=".csv, .parquet, .ecsv, .fits or .npy of labels."),
    ],
    output: Table = None,
    plot: Plot = None,
    dims: Annotated[
        str, typer.Option("--dims", help="all, informative (MAD > 0.02), or a list: 11,19.")
    ] = "all",
    only: Annotated[
        str | None, typer.Option("--labels", help="Only these columns: a,b. Default: all.")
    ] = None,
    estimator: Annotated[str, typer.Option("--estimator", help=f"One of {_ESTIMATORS}.")] = "auto",
    neighbors: Annotated[
        int, typer.Option("--neighbors", min=1, help="Neighbours k of the kNN estimators.")
    ] = 3,
    clip_sigma: Annotated[
        float,
        typer.Option("--clip-sigma", min=0.0, help="Clip labels at so many sigma; 0: do not."),
    ] = 5.0,
    join: Annotated[
        str | None,
        typer.Option("--join", help="Column to join on. Default: an id column both sides have."),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option("--groups", help="Column that names the star: its rows are not independent."),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure what each dimension knows of each label.

    Mutual information in nats, with its sampling error and a p-value.
    """
    from latentscope.diagnostics.mutual_information import Estimator, mi_matrix

    out = Output(as_json)
    _check_outputs(output, plot, latents, labels)
    with progress("mutual information") as advance:
        result = mi_matrix(
            str(latents),
            str(labels),
            dims=_dims(dims),
            columns=None if only is None else _names(only),
            estimator=one_of("--estimator", estimator, Estimator),
            neighbors=neighbors,
            clip_sigma=clip_sigma or None,
            groups=groups,
            join=join,
            seed=seed,
            progress=advance,
        )
    _write_table(output, result.table, result.provenance)
    for line in _relations(result, written=output is not None):
        out.say(line)
    for note in result.notes:
        out.say(note)
    out.result({"notes": result.notes, "table": result.table.to_dict("records")})
    if plot is not None:
        from latentscope.plots import plot_mi, save_figure

        save_figure(plot_mi(result), plot)


def _dims(text: str) -> Any:
    if text in ("all", "informative"):
        return text
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdigit() for number in numbers):
        raise UsageError(f"--dims is {text!r}; wanted all, informative, or numbers such as 11,19")
    return [int(number) for number in numbers]


def _names(text: str) -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UsageError(f"--labels is {text!r}; wanted names of columns such as radvel,Teff")
    return names


def _check_outputs(output: Path | None, plot: Path | None, *inputs: Path) -> None:
    """Refuse, before the work, to write over an input or what belongs to it, or an odd picture."""
    if plot is not None and plot.suffix.lower() not in _PICTURES:
        raise UsageError(f"--plot is {plot}; wanted a name that ends in {', '.join(_PICTURES)}")
    if output is None:
        return
    written = {output.resolve(), output.with_suffix(".json").resolve()}
    for path in inputs:
        siblings = (path, path.with_suffix(".csv"), path.with_suffix(".json"))
        if written & {sibling.resolve() for sibling in siblings}:
            raise UsageError(f"-o {output} would replace {path} or a file that belongs to it")
    if output.suffix.lower() == ".json":
        raise UsageError(
            f"-o is {output}, where the provenance goes; wanted a name such as "
            f"{output.with_suffix('.csv')} for the table"
        )


def _write_table(output: Path | None, table: pd.DataFrame, provenance: Mapping[str, Any]) -> None:
    if output is None:
        return
    from latentscope.atomic import atomic_path

    with atomic_path(output) as temporary:
        table.to_csv(temporary, index=False)
    write_json(output.with_suffix(".json"), provenance)


def _relations(result: MIResult, *, written: bool) -> list[str]:
    """Put the strongest significant relations into words, and count them."""
    from latentscope.diagnostics.mi_result import SIGNIFICANT

    pairs, count = len(result.table), len(result.significant)
    lines = result.sentences(_STRONGEST, significant=True)
    first = f", the strongest {_STRONGEST} shown" if count > _STRONGEST else ""
    table = "" if written else "; -o writes the table of all"
    told = f"{count:,} of {pairs:,} pairs are significant (q < {SIGNIFICANT:g}){first}{table}"
    return [*lines, told]


def _columns_and_rows(table: pd.DataFrame) -> tuple[list[str], list[list[Any]]]:
    return list(table.columns), [list(row.values()) for row in plain(table.to_dict("records"))]
