"""The command that goes the whole way: demo."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from latentscope.cli.application import SOME_FAILED, command
from latentscope.cli.options import Json, Model, Seed, Workers
from latentscope.cli.output import Advance, Output, progress


@command("latentscope demo", "latentscope demo -n 100 -o try/ -m harps-sim-plain")
def demo(
    n: Annotated[int, typer.Option("-n", "--number", min=20, help="How many spectra.")] = 200,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A new folder, or that of an earlier demo.")
    ] = Path("latentscope-demo"),
    model: Model = None,
    seed: Seed = 0,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Go the whole way on simulated spectra.

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
    for meaning in result.meanings:
        out.say(meaning.sentence)
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
