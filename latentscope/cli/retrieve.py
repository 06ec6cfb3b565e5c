"""The command retrieve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentscope.cli.application import SOME_FAILED, UsageError, command, one_of
from latentscope.cli.options import (
    Columns,
    Dims,
    Groups,
    Join,
    Json,
    LabelsFile,
    Plot,
    Seed,
    Table,
    chosen_dims,
    chosen_names,
)
from latentscope.cli.output import Output, progress
from latentscope.cli.tables import check_outputs, write_table

if TYPE_CHECKING:
    import pandas as pd

    from latentscope.diagnostics.retrieval import RetrievalResult

_ON_SCREEN = ("rank", "row", "id", "star", "distance", "percentile", "agree", "differ")
_IN_FILES_ONLY = ("query", "object", "file")


@command(
    "latentscope retrieve spectrum.fits latents.npy -k 5 --plot nearest.png",
    "latentscope retrieve --row 12 --row 40 latents.npy --labels-file labels.csv -o nearest.csv",
    "latentscope retrieve --id ADP.2014-09-16T11:04:49.123 latents.npy --one-per-star",
)
def retrieve(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="[QUERY]... LATENTS",
            help="Spectra to look for, as 'encode' takes them, then the latents to search.",
        ),
    ],
    n_matches: Annotated[
        int, typer.Option("-k", "--n-matches", min=1, help="Matches of each query.")
    ] = 10,
    row: Annotated[
        list[int] | None,
        typer.Option("--row", help="Look for this row of LATENTS, counted from 0. Repeatable."),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--id", help="Look for the row of LATENTS with this id. Repeatable."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "-m", "--model", help="What encodes QUERY. Default: the model that made LATENTS."
        ),
    ] = None,
    dims: Dims = "informative",
    metric: Annotated[
        str, typer.Option("--metric", help="euclidean, mahalanobis, manhattan or cosine.")
    ] = "euclidean",
    spread: Annotated[
        str,
        typer.Option("--spread", help="What dims are divided by: robust, plain (std) or none."),
    ] = "robust",
    groups: Groups = "auto",
    same_star: Annotated[
        bool, typer.Option("--same-star", help="Find other spectra of the query's star too.")
    ] = False,
    one_per_star: Annotated[
        bool, typer.Option("--one-per-star", help="Find only the nearest spectrum of a star.")
    ] = False,
    labels: LabelsFile = None,
    columns: Columns = None,
    join: Join = None,
    output: Table = None,
    plot: Plot = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Find the spectra nearest to a query in latent space.

    Exact; other spectra of the same star are left out. The percentile says how many spectra have a
    nearer match than this one.
    """
    from latentscope.diagnostics.nearest import Metric, Spread
    from latentscope.diagnostics.retrieval import Retriever

    out = Output(as_json)
    *files, latents = sources
    _check_asked(files, row or [], name or [], latents)
    check_outputs(output, plot, Path(latents), *([] if labels is None else [labels]))
    with progress("usual distances") as advance:
        retriever = Retriever(
            latents,
            dims=chosen_dims(dims),
            metric=one_of("--metric", metric, Metric),
            spread=one_of("--spread", spread, Spread),
            groups=groups,
            same_star=same_star,
            one_per_star=one_per_star,
            labels=None if labels is None else str(labels),
            columns=_chosen_columns(columns, labels),
            join=join,
            seed=seed,
            progress=advance,
        )
    # A row that is not there is told before a model is loaded.
    of_sample: list[int | str] = [*(row or []), *(name or [])]
    asked: list[Any] = [retriever.queries(of_sample)] if of_sample else []
    if files:
        from latentscope.models.queries import encode_queries

        with progress("encode") as advance:
            asked.append(encode_queries(files, retriever.latents, model, progress=advance))
    result = retriever.query(asked, n_matches)
    write_table(output, _wide(result), result.provenance)
    _show(out, result)
    if plot is not None:
        from latentscope.plots.retrieval import plot_answers
        from latentscope.plots.style import save_figure

        save_figure(plot_answers(result), plot)
    if result.failed:
        raise typer.Exit(SOME_FAILED)


def _check_asked(files: list[str], rows: list[int], names: list[str], latents: str) -> None:
    if not files and not rows and not names:
        raise UsageError(
            f"nothing to look for in {latents}; expected spectra before it, or --row, or --id"
        )


def _chosen_columns(columns: str | None, labels: Path | None) -> list[str] | None:
    if columns is None:
        return None
    if labels is None:
        raise UsageError("--columns names columns to show; give their file too (--labels-file)")
    return chosen_names(columns)


def _wide(result: RetrievalResult) -> pd.DataFrame:
    """Return the matches with the difference in each dimension beside."""
    import pandas as pd

    return pd.concat([result.table, result.differences.add_prefix("delta_")], axis=1)


def _show(out: Output, result: RetrievalResult) -> None:
    labels = [
        name for name in result.table if name not in _ON_SCREEN and name not in _IN_FILES_ONLY
    ]
    for place, query in enumerate(result.queries.to_dict("records")):
        if not query["error"]:
            out.say(result.heading(place))
            shown = result.matches(place)
            out.frame(shown[[name for name in (*_ON_SCREEN, *labels) if name in shown]])
            out.say()
    for note in result.notes:
        out.say(note)
    out.failures(result.failed)
    matches = result.table.to_dict("records")
    for match, differences in zip(matches, result.differences.to_dict("records"), strict=True):
        match["differences"] = differences
    queries = result.queries.astype(object)
    out.result(
        {
            "queries": queries.where(queries.notna(), None).to_dict("records"),
            "matches": matches,
            "dims": result.dims,
            "metric": result.provenance["metric"],
            "notes": result.notes,
            "failed": [{"query": name, "error": why} for name, why in result.failed],
        }
    )
