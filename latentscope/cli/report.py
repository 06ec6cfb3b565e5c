"""The commands that run everything: report and demo."""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentscope.cli.application import (
    SOME_FAILED,
    Advance,
    Columns,
    Dask,
    Discrete,
    Groups,
    Join,
    Json,
    Key,
    Latents,
    Missing,
    Model,
    Numeric,
    Output,
    Seed,
    Where,
    Workers,
    chosen_names,
    command,
    complete_model,
    debugging,
    echo,
    progress,
    study_of,
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
    labels: Annotated[
        Path | None,
        typer.Argument(metavar="[LABELS]", help=".csv, .parquet, .ecsv, .fits or .npy of labels."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            help="The model that made the latents. Default: no traversals.",
            autocompletion=complete_model,
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="The page, .html; its numbers go beside it as .json."),
    ] = Path("report.html"),
    groups: Groups = "auto",
    columns: Columns = None,
    join: Join = None,
    where: Where = None,
    key: Key = None,
    discrete: Discrete = None,
    numeric: Numeric = None,
    missing: Missing = "auto",
    compare: Annotated[
        str | None,
        typer.Option("--compare", help="Latents of the same spectra by another model."),
    ] = None,
    max_rows: Annotated[
        int,
        typer.Option(
            "--max-rows",
            min=100,
            help="Largest number of rows for slow statistics; above it random ones are used.",
        ),
    ] = 20_000,
    title: Annotated[str | None, typer.Option("--title", help="Heading of the page.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer repetitions and pictures, wider intervals.")
    ] = False,
    seed: Seed = 0,
    dask: Dask = None,
    as_json: Json = False,
) -> None:
    """Put every diagnostic on one page.

    What was encoded, how many dimensions matter, are they separate, what does each mean and do,
    and is it the sample: one HTML file that opens without a network. Parts that fail
    say so on the page; the exit code is then 3.
    """
    from latentscope.reporting.report import report as write

    out = Output(as_json)

    @contextmanager
    def stage(label: str) -> Iterator[Advance | None]:
        out.say(f"{label} ...")
        with progress(label) as advance:
            yield advance

    study = study_of(
        latents, labels, key=key, where=where, groups=groups, join=join, missing=missing,
        discrete=discrete, numeric=numeric,
    )  # fmt: skip
    result = write(
        study,
        output=output,
        model=model,
        compare=compare,
        columns=chosen_names(columns),
        max_rows=max_rows,
        title=title,
        command=printable(shlex.join(["latentscope", *sys.argv[1:]])),
        quick=quick,
        seed=seed,
        progress=stage,
        dask=dask,
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
            echo("".join(traceback.format_exception(it.error)), err=True)


@command("latentscope demo", "latentscope demo -n 100 -o try/ -m harps-sim-plain")
def demo(
    n: Annotated[int, typer.Option("-n", "--number", min=20, help="Number of spectra.")] = 200,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="New folder, or that of an earlier demo.")
    ] = Path("latentscope-demo"),
    model: Model = None,
    seed: Seed = 0,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Run the full pipeline on simulated spectra.

    Simulate, encode, mad, mi, say in words what each informative dimension follows, and put all
    diagnostics on one page.
    """
    from latentscope.demo import run_demo

    out = Output(as_json)

    def stage(label: str, total: int | None) -> AbstractContextManager[Advance | None]:
        out.say(f"{label} ...")
        return progress(label, total)

    result = run_demo(output, n=n, model=model, seed=seed, workers=workers, stage=stage)
    out.say()
    for line in result.lines:
        out.say(line)
    out.say()
    out.say(
        f"Everything is in {result.folder}; begin with {result.summary}, or open "
        f"{result.report.output} in a browser."
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
    if result.report.failures:
        out.failures([(it.title, it.failure) for it in result.report.failures])
        raise typer.Exit(SOME_FAILED)
