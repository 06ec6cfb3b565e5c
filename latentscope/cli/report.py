"""The commands that run everything: report and demo."""

from __future__ import annotations

import shlex
import sys
import traceback
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentscope.cli.application import (
    SOME_FAILED,
    Advance,
    Output,
    Voice,
    command,
    debugging,
    echo,
    progress,
)
from latentscope.cli.options import (
    Columns,
    Dask,
    Latents,
    Model,
    OptionalLabels,
    Rows,
    Seed,
    Workers,
    model_option,
    option,
    whole,
)
from latentscope.errors import printable

if TYPE_CHECKING:
    from latentscope.reporting.document import Outcome


@command(
    "latentscope report latents.npy labels.csv -m harps-sim -o report.html",
    "latentscope report latents.npy",
)
def report(
    latents: Latents,
    rows: Rows,
    out: Output,
    labels: OptionalLabels = None,
    model: Annotated[
        str | None, model_option("The model that made the latents. Default: no traversals.")
    ] = None,
    output: Annotated[
        Path, option("HTML", "The page; its numbers go beside it as .json.", "-o", "--output")
    ] = Path("report.html"),
    columns: Columns = None,
    compare: Annotated[
        str | None, option("LATENTS", "Latents of the same spectra by another model.")
    ] = None,
    max_rows: Annotated[
        int,
        whole(100, "Largest number of rows for slow statistics; above it random ones are used."),
    ] = 20_000,
    title: Annotated[str | None, option("TEXT", "Heading of the page.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer repetitions and pictures, wider intervals.")
    ] = False,
    seed: Seed = 0,
    dask: Dask = None,
) -> None:
    """Put every diagnostic on one page.

    What was encoded, how many dimensions matter, are they separate, what does each mean and do,
    and is it the sample: one HTML file that opens without a network. Parts that fail
    say so on the page; the exit code is then 3.
    """
    from latentscope.reporting.report import report as write

    result = write(
        rows.study(latents, labels),
        output=output,
        model=model,
        compare=compare,
        columns=columns,
        max_rows=max_rows,
        title=title,
        command=printable(shlex.join(["latentscope", *sys.argv[1:]])),
        quick=quick,
        seed=seed,
        progress=_stage,
        dask=dask,
    )
    out.say("", *result.sentences(), "", f"wrote {result.output} and {result.json}")
    out.result({"output": result.output, **result.record})
    _leave_if_failed(result.failures, out)


def _stage(label: str, total: int | None = None) -> AbstractContextManager[Advance | None]:
    """Say on stderr what begins, and show a bar."""
    echo(f"{label} ...", err=True)
    return progress(label, total)


def _leave_if_failed(failures: list[Outcome], out: Voice) -> None:
    out.failures([(it.title, it.failure) for it in failures])
    if debugging():
        for it in failures:
            echo("".join(traceback.format_exception(it.error)), err=True)
    if failures:
        raise typer.Exit(SOME_FAILED)


@command("latentscope demo", "latentscope demo -n 100 -o try/ -m harps-sim-plain")
def demo(
    out: Output,
    n: Annotated[int, whole(20, "Number of spectra.", "-n", "--number")] = 200,
    output: Annotated[
        Path, option("FOLDER", "New folder, or that of an earlier demo.", "-o", "--output")
    ] = Path("latentscope-demo"),
    model: Model = None,
    seed: Seed = 0,
    workers: Workers = None,
) -> None:
    """Run the full pipeline on simulated spectra.

    Simulate, encode, mad, mi, say in words what each informative dimension follows, and put all
    diagnostics on one page.
    """
    from latentscope.demo import run_demo

    result = run_demo(output, n=n, model=model, seed=seed, workers=workers, stage=_stage)
    out.say(
        "",
        *result.lines,
        "",
        f"Everything is in {result.folder}; begin with {result.summary}, or open "
        f"{result.report.output} in a browser.",
    )
    out.result(
        {
            "folder": result.folder,
            "summary": result.summary,
            "report": result.report.output,
            "files": result.files,
            "informative": result.informative,
            "meanings": [asdict(meaning) for meaning in result.meanings],
        }
    )
    _leave_if_failed(result.report.failures, out)
