"""`python -m train fit`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

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
) -> None:
    """Train a model; run the same command again to go on after an interruption.

    Example: python -m train fit train/configs/harps-sim.yaml -o runs/harps-sim --linelist lines.csv
    """
    from train.settings.reading import read_config

    with guard("the same command goes on from the last checkpoint"):
        settings = read_config(config)
        import torch

        from train.learning.fit import fit

        torch.set_num_threads(threads)
        folder = fit(
            settings,
            output,
            linelist=None if linelist is None else str(linelist),
            archive=archive,
            data_folder=data,
            progress=sys.stderr.isatty(),
        )
    typer.echo(f"model written to {folder}; try: latentscope encode spectra/ -m {folder}")
