"""`python -m train`: retrain a model from a configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from latentscope.errors import LatentscopeError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """Train spectrum autoencoders; see `python -m train fit --help`."""


@app.command(name="fit")
def fit_command(
    config: Annotated[Path, typer.Argument(help="YAML file, such as train/configs/harps-sim.yaml")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
    linelist: Annotated[
        Path | None, typer.Option(help="Line list of the simulation; default: the built-in one.")
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
    from train.config import read_config

    try:
        settings = read_config(config)
        import torch

        from train.fit import fit

        torch.set_num_threads(threads)
        folder = fit(
            settings,
            output,
            linelist=None if linelist is None else str(linelist),
            data_folder=data,
            progress=sys.stderr.isatty(),
        )
    except LatentscopeError as error:
        typer.echo(f"train: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"model written to {folder}; try: latentscope encode spectra/ -m {folder}")


if __name__ == "__main__":
    app()
