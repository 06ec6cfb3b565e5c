"""Doppler shifts of rows in training: how fast beside a training step, and how near to the truth.

Speed: a batch of prepared rows shifted on one core, by fractions of pixels, and a training step of
the compact network (forward, backward, Adam) on the same batch, in turns. Truth: noiseless stars
moved by a velocity before they are prepared, against their rows prepared first and shifted
afterwards; the variance of the difference over that of the line contrast, away from the ends and
the gap. The compact grid's pixels are wider than a line's core, so no interpolation of the row can
know the lines between them. Run:

    python -m benchmarks.doppler_speed --stars 8 --repeats 20 --json doppler_speed.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.timing import rounds, write_json
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import load_model
from latentscope.simulation.population import observe
from latentscope.simulation.synthesis import synthesizer_of
from latentscope.spectra.prepare import prepare
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import doppler_shift
from train.data.batches import Batch
from train.data.doppler import DopplerShift
from train.data.packing import named_preparation

BATCH = 8
MODEL = "harps-sim"
MARGIN = 60


def stepping(model: SpectrumVAE, rows: torch.Tensor) -> Callable[[], object]:
    model.train()
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> None:
        decoded, mean, logvar = model(rows)
        kl = 0.0 if logvar is None else (mean**2 + logvar.exp() - 1 - logvar).sum()
        optimizer.zero_grad()
        ((decoded - rows).square().sum() + kl).backward()
        optimizer.step()

    return step


def speed(repeats: int) -> dict[str, float]:
    """Milliseconds a batch: shortest and median of the turns."""
    rng = np.random.default_rng(0)
    ways: dict[str, Callable[[], object]] = {}
    for name in (MODEL, "astro-machines"):
        _, config = named_preparation(name, None)
        rows = torch.randn(BATCH, config.row_size) * 0.1
        valid = torch.rand(rows.shape) > 0.01
        batch = Batch(rows, torch.arange(BATCH), valid)
        shift, velocity = DopplerShift(config), torch.from_numpy(rng.uniform(-60, 60, BATCH))
        ways[f"shift, {name}"] = lambda s=shift, b=batch, v=velocity: s(b, v)
        if name == MODEL:
            ways[f"training step, {name}"] = stepping(load_model(name), rows)
    return {
        f"{name}, {word}": float(of(1e3 * times))
        for name, times in rounds(ways, repeats, warm=True).items()
        for word, of in (("shortest", np.min), ("median", np.median))
    }


def truth(stars: int) -> dict[str, float]:
    """Variance of shifted minus true contrast over that of the contrast."""
    _, config = named_preparation(MODEL, None)
    grid, pixel = config.grid, config.grid.step * 299792.458
    kept = np.ones(grid.length, np.bool_)
    kept[:MARGIN] = kept[-MARGIN:] = False
    for at in np.flatnonzero(grid.gap_mask)[[0, -1]]:
        kept[at - MARGIN : at + MARGIN] = False
    kept &= ~grid.gap_mask
    shift, synthesizer = DopplerShift(config), synthesizer_of(None)
    found: dict[str, list[float]] = {}
    for star in range(stars):
        flux = synthesizer.flux([observe(star, star, seed=5)])[0].numpy()
        row = torch.from_numpy(prepare(Spectrum(synthesizer.wavelength, flux), config).row)[None]
        for part in (0.0, 0.25, 0.5):
            velocity = (star - stars // 2 + part) * pixel
            moved = doppler_shift(synthesizer.wavelength, velocity)
            true = prepare(Spectrum(moved, flux), config).row[: grid.length][kept]
            shifted = shift(Batch(row, torch.zeros(1)), torch.tensor([velocity])).rows
            for name, value in (("shifted", shifted), ("not shifted", row)):
                error = value[0, : grid.length].numpy()[kept] - true
                ratio = float((error**2).mean() / (true**2).mean())
                found.setdefault(f"{name}, {part:g} pixels", []).append(ratio)
    return {name: float(np.mean(values)) for name, values in sorted(found.items())}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results = {"ms": speed(options.repeats), "error": truth(options.stars)}
    for name, value in results["ms"].items():
        print(f"{name:40}{value:10.2f} ms a batch of {BATCH}{BATCH / value * 1e3:10.0f} spectra/s")
    for name, value in results["error"].items():
        print(f"{name:40}{value:10.4f} of the lines' variance")
    if options.json:
        write_json(options.json, results)


if __name__ == "__main__":
    main()
