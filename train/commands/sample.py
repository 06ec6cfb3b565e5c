"""`python -m train sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentscope.cli.output import progress
from train.commands.application import app
from train.commands.guard import guard


@app.command(
    name="sample",
    epilog="\b\nExample:\n"
    "  python -m train sample runs/mine/model --spectra 3000 --linelist lines.csv.gz\n"
    "  python -m train sample runs/mine/model --latents mine.npy",
)
def sample_command(
    folder: Annotated[Path, typer.Argument(help="Model folder, such as runs/mine/model.")],
    latents: Annotated[
        Path | None,
        typer.Option(help="Latents of ordinary spectra, encoded with this model: take 3,000."),
    ] = None,
    spectra: Annotated[
        int, typer.Option(min=100, help="Without --latents: simulate and encode so many spectra.")
    ] = 3000,
    seed: Annotated[int, typer.Option(min=0, help="Of the simulated archive.")] = 7000,
    linelist: Annotated[
        Path | None, typer.Option(help="Line list of the simulation. Default: the built-in one.")
    ] = None,
) -> None:
    """Write the reference sample of a model, by which `latentscope score` judges spectra.

    Ordinary spectra, which it was not trained on: simulated ones, or yours.
    """
    from latentscope.data import read_latents
    from latentscope.diagnostics.trust import draw_trust_sample
    from latentscope.models.trust import write_trust_sample
    from latentscope.models.weights import load_folder
    from train.publishing.sample import simulated_sample

    with guard("no sample is written"):
        model = load_folder(folder)
        model.folder = None  # so that an older sample, of other weights perhaps, is not asked
        if latents is not None:
            sample = draw_trust_sample(read_latents(latents), origin=latents.name)
        else:
            with progress("simulate and encode", spectra) as advance:
                sample = simulated_sample(
                    model,
                    spectra,
                    seed=seed,
                    linelist=None if linelist is None else str(linelist),
                    progress=advance,
                )
        path = write_trust_sample(sample, folder)
    size = path.stat().st_size / 1e3
    typer.echo(f"{path}: {len(sample):,} spectra ({sample.info['origin']}), {size:.0f} kB")
