"""`python -m train fit`."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from train.commands.application import app
from train.commands.guard import guard


@app.command(name="fit")
def fit_command(
    config: Annotated[Path, typer.Argument(help="YAML file, such as train/configs/harps-sim.yaml")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
    linelist: Annotated[
        Path | None, typer.Option(help="Line list of the simulation; default: the built-in one.")
    ] = None,
    archive: Annotated[
        str | None, typer.Option(help="Packed archive; default: the configuration's.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder for the simulated rows; default: in the run's.")
    ] = None,
    threads: Annotated[
        int, typer.Option(help="Threads of torch; 1 is best beside other work on the machine.")
    ] = 1,
    watch_every: Annotated[
        int, typer.Option(min=1, help="Steps between checkpoints, and looks at validation rows.")
    ] = 1000,
    accelerator: Annotated[
        str | None, typer.Option(help="auto, cpu, gpu or mps; this and the next: see `trainer`.")
    ] = None,
    devices: Annotated[int | None, typer.Option(help="Devices a machine; -1: all.")] = None,
    nodes: Annotated[int | None, typer.Option(help="Machines.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Of Lightning, such as ddp.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, 32-true or bf16-mixed.")] = None,
    compile: Annotated[str | None, typer.Option(help="auto, on or off.")] = None,
) -> None:
    """Train a model; run the same command again to go on after an interruption.

    Example: python -m train fit train/configs/harps-sim.yaml -o runs/harps-sim --linelist lines.csv
    """
    from train.settings.reading import read_config

    given: dict[str, Any] = {
        "accelerator": accelerator,
        "devices": devices,
        "nodes": nodes,
        "strategy": strategy,
        "precision": precision,
        "compile": compile,
    }
    with guard("the same command goes on from the last checkpoint"):
        settings = read_config(config)
        chosen = {name: value for name, value in given.items() if value is not None}
        settings = replace(settings, trainer=replace(settings.trainer, **chosen))
        import torch

        from train.learning.fit import fit
        from train.learning.memory import keep_freed_memory
        from train.learning.ranks import rank_and_world

        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        torch.set_num_threads(threads)
        keep_freed_memory()
        folder = fit(
            settings,
            output,
            linelist=None if linelist is None else str(linelist),
            archive=archive,
            data_folder=data,
            watch_every=watch_every,
            progress=sys.stderr.isatty(),
        )
    if rank_and_world()[0] == 0:
        typer.echo(f"model written to {folder}; try: latentscope encode spectra/ -m {folder}")
