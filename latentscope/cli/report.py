"""The command that puts everything on one page: report."""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentscope.cli.application import SOME_FAILED, command, debugging
from latentscope.cli.options import (
    Columns,
    Groups,
    Join,
    Json,
    Latents,
    Seed,
    chosen_names,
)
from latentscope.cli.output import Advance, Output, progress

if TYPE_CHECKING:
    from latentscope.reporting.document import Outcome


@command(
    "latentscope report latents.npy labels.csv -m harps-sim -o report.html",
    "latentscope report latents.npy",
)
def report(
    latents: Latents,
    labels: Annotated[
        Path | None,
        typer.Argument(metavar="[LABELS]", help=".csv, .parquet, .ecsv, .fits or .npy of labels."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "-m", "--model", help="The model that made the latents. Default: no traversals."
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="The page, .html; its numbers go beside it as .json."),
    ] = Path("report.html"),
    groups: Groups = "auto",
    columns: Columns = None,
    join: Join = None,
    rows: Annotated[
        int, typer.Option("--rows", min=100, help="Random rows that slow statistics take at most.")
    ] = 20_000,
    title: Annotated[str | None, typer.Option("--title", help="Heading of the page.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer repetitions and pictures, wider intervals.")
    ] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Put all that the latents tell on one page.

    What was encoded, how many dimensions matter, are they separate, what does each mean and do,
    and is it the sample: one HTML file that opens without a network. Parts that fail are told on
    the page; the exit code is then 3.
    """
    from latentscope.reporting.report import report as write

    out = Output(as_json)

    @contextmanager
    def stage(label: str) -> Iterator[Advance | None]:
        out.say(f"{label} ...")
        with progress(label) as advance:
            yield advance

    result = write(
        str(latents),
        None if labels is None else str(labels),
        output=output,
        model=model,
        groups=groups,
        columns=None if columns is None else chosen_names(columns),
        join=join,
        rows=rows,
        title=title,
        command=shlex.join(["latentscope", *sys.argv[1:]]),
        quick=quick,
        seed=seed,
        progress=stage,
    )
    out.say()
    for line in result.sentences():
        out.say(line)
    out.say()
    out.say(f"wrote {result.output} and {result.json}")
    out.result({"output": result.output, **result.record})
    if result.failures:
        _tell(result.failures, out)
        raise typer.Exit(SOME_FAILED)


def _tell(failures: list[Outcome], out: Output) -> None:
    out.failures([(it.title, it.failure) for it in failures])
    if debugging():
        for it in failures:
            traceback.print_exception(it.error)
