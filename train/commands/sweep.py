"""`python -m train sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentscope.cli.application import NOTHING_DONE, SOME_FAILED
from train.commands.application import app
from train.commands.guard import guard


@app.command(
    name="sweep",
    epilog="\b\nExample:\n"
    "  python -m train sweep -o runs/sweep --linelist lines.csv --page docs/reproduction.md",
)
def sweep_command(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the sweep.")],
    config: Annotated[
        Path | None, typer.Option(help="YAML file; default: train/configs/sweep.yaml.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny networks, a minute in all, for a look.")
    ] = False,
    linelist: Annotated[
        Path | None, typer.Option(help="Line list of the simulation; default: the built-in one.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time; each has one thread.")] = 2,
    draw: Annotated[
        bool, typer.Option("--draw", help="Train nothing; draw from the runs that are finished.")
    ] = False,
    page: Annotated[
        Path | None, typer.Option(help="Page to draw; default: reproduction.md in the folder.")
    ] = None,
) -> None:
    """Train a grid of networks, latent size by beta, and draw what the paper found.

    The same command goes on after an interruption: finished runs are kept, others go on from their
    checkpoints. A run that fails leaves the others alone; the exit code is 3 then.
    """
    from train.sweep.sweep import sweep

    with guard("the same command goes on; finished runs are kept"):
        report = sweep(
            output,
            config=config,
            quick=quick,
            linelist=None if linelist is None else str(linelist),
            workers=workers,
            draw_only=draw,
            page=page,
            say=lambda line: typer.echo(line, err=True),
        )
    for name, reason in report.failed.items():
        typer.echo(f"failed: {name}: {reason}", err=True)
    typer.echo(f"{report.finished} of {report.total} runs finished; page: {report.page}")
    if report.failed or report.finished < report.total:
        raise typer.Exit(SOME_FAILED if report.finished else NOTHING_DONE)
