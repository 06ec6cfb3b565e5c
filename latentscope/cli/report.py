"""The commands that show everything: report, demo and explore."""

from __future__ import annotations

import os
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
    LABELS,
    LATENTS,
    Columns,
    Dask,
    Joined,
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
    """Say on stderr which part begins, and show a bar."""
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


@command(
    "latentscope explore",
    "latentscope explore latents.npy --labels labels.csv --spectra spectra/",
    "latentscope explore latents.npy --html page.html",
)
def explore(
    rows: Joined,
    out: Output,
    latents: Annotated[
        Path | None,
        typer.Argument(
            metavar="LATENTS",
            help=f"{LATENTS} Default: a simulated archive, made at the first call and kept.",
        ),
    ] = None,
    model: Model = None,
    labels: Annotated[Path | None, option("FILE", LABELS)] = None,
    spectra: Annotated[
        Path | None,
        option(
            "FOLDER",
            "Where the spectra are; nothing outside it is read. Default: where the latents' table "
            "says.",
        ),
    ] = None,
    html: Annotated[
        Path | None, option("FILE", "Write one file that opens without a server, and exit.")
    ] = None,
    host: Annotated[
        str | None,
        option(
            "ADDRESS",
            "Address to listen on, so that others can look; the printed one then has a token. "
            "Default: this machine alone.",
        ),
    ] = None,
    port: Annotated[int, option("N", "Port; 0: any free one.", min=0, max=65535)] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
) -> None:
    """Explore latents in the browser: sliders, map, neighbors.

    Move a latent and see the spectrum change; click a point of the map to open its spectrum; open
    a file to find similar spectra. Ctrl-C stops the server.
    """
    from latentscope.explorer.archive import read_archive
    from latentscope.explorer.serve import explore as show

    def tell(url: str) -> None:
        out.say(f"exploring at {url}", "Ctrl-C stops the server")
        out.result({"url": url})

    study = None if latents is None else rows.study(latents, labels, groups="auto")
    with progress("making the demo archive") as advance:
        archive = read_archive(study, model, None, spectra, advance)
    written = show(archive, html=html, host=host, port=port, open_browser=not no_open, tell=tell)
    if written is not None:
        out.say(f"wrote {written}")
        out.result({"output": written})
        return
    # Threads that are still in compiled code would abort the interpreter as it ends.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
