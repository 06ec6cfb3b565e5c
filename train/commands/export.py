"""`python -m train export` and `python -m train half`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from train.commands.application import app
from train.commands.guard import guard


@app.command(
    name="export",
    epilog="\b\nExample:\n  python -m train export my.yaml --run runs/mine -o runs/mine/so-far",
)
def export_command(
    config: Annotated[Path, typer.Argument(help="The run's YAML file.")],
    run: Annotated[Path, typer.Option(help="Folder of the run.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model.")],
    linelist: Annotated[Path | None, typer.Option(help="As of `fit`.")] = None,
    archive: Annotated[str | None, typer.Option(help="As of `fit`.")] = None,
    data: Annotated[Path | None, typer.Option(help="As of `fit`.")] = None,
    half: Annotated[bool, typer.Option("--half", help="Store float16 weights.")] = False,
) -> None:
    """Write the model of a run that has not ended, from its last checkpoint."""
    from train.settings.reading import read_config

    with guard("nothing half-written is left"):
        settings = read_config(config)
        from train.publishing.checkpoint import export_checkpoint

        steps = export_checkpoint(
            settings,
            run,
            output,
            linelist=None if linelist is None else str(linelist),
            archive=archive,
            data_folder=data,
            dtype="float16" if half else "float32",
        )
    typer.echo(f"model of step {steps:,} of {settings.steps:,} written to {output}")


@app.command(
    name="half",
    epilog="\b\nExample:\n  python -m train half runs/mine/model runs/mine/model-half",
)
def half_command(
    folder: Annotated[Path, typer.Argument(help="Model folder, such as runs/mine/model.")],
    output: Annotated[Path, typer.Argument(help="Folder for the smaller model.")],
) -> None:
    """Copy a model folder with its weights rounded to float16: half the size.

    Whoever loads it computes in float32 as before.
    """
    with guard("nothing half-written is left"):
        from train.publishing.half import half

        moved = half(folder, output)
    size = sum(path.stat().st_size for path in output.iterdir()) / 1e6
    typer.echo(f"{output}: {size:.1f} MB; the reference latents moved by {moved:.1g} at most")
