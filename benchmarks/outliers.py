"""How well `score` tells spectra unlike those that a model learned from.

Run:

    python -m benchmarks.outliers --real Gl581.fits --real hd140283.fits

Each star gives one spectrum of each kind; `--ordinary` more give the rate of false alarms. Each
kind keeps the rest of an ordinary exposure: the pixels of the file, the photon noise, the air of
the night. A spectrum that is smoothed loses its noise, so noise of the same size is put back. For
each kind of outlier: the area under the curve (AUC: the chance that an outlier is trusted less
than an ordinary spectrum), the same against real spectra and their relatives (noisier, moving,
rotating), and the shares called doubtful and outside. Prints tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from sklearn.metrics import roc_auc_score

from benchmarks.timing import table
from latentscope.data import Latents
from latentscope.models.encode import encode
from latentscope.models.trust import score
from latentscope.models.weights import load_model
from latentscope.simulation.population import Night, draw_star
from latentscope.simulation.simulate import simulate
from latentscope.simulation.synthesis import (
    LOG_STEP,
    PIXEL_VELOCITY,
    rotation_kernel,
    synthesizer_of,
)
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import SPEED_OF_LIGHT, air_to_vacuum, doppler_shift

AT_ONCE = 20
ORDINARY = "ordinary"
TESTS = {
    "recon_error": "recon_percentile",
    "fit": "misfit_percentile",
    "density": "density_percentile",
    "resolution": "resolution_percentile",
}
_TOLD = ("star", "relative", "model", "verdict", "trust", "trust_latents", "trust_fit",
         "trust_resolution", "resolution", "reason")  # fmt: skip
_AIR = 6862.0  # Angstrom: beyond it lies oxygen of the air
_OWN = 115_000.0  # resolving power of the simulated instrument
_FWHM = 2.3548
# Wavelength in air (Angstrom) and strength over H-beta, as in planetary nebulae.
_NEBULAR = (
    (3868.76, 0.9), (3889.05, 0.2), (3967.47, 0.3), (3970.08, 0.16), (4101.73, 0.26),
    (4340.47, 0.47), (4363.21, 0.1), (4471.50, 0.05), (4685.70, 0.2), (4861.35, 1.0),
    (4958.91, 3.5), (5006.84, 10.5), (5875.62, 0.15), (6300.30, 0.1), (6548.05, 0.8),
    (6562.79, 2.9), (6583.45, 2.4), (6716.44, 0.15), (6730.82, 0.2),
)  # fmt: skip
CHROMOSPHERE = (
    (3933.66, 1.0), (3968.47, 0.8), (4101.73, 0.4), (4340.47, 0.6), (4861.35, 1.0), (6562.79, 2.0),
)  # fmt: skip

Floats = NDArray[np.float64]
Kind = Callable[[Spectrum, np.random.Generator], Spectrum]


def ordinary(n: int, *, seed: int, linelist: str | None, first: int = 0) -> Iterator[Spectrum]:
    """Yield simulated spectra, one per star."""
    for spectrum, _ in simulate(n, seed=seed, linelist=linelist, repeats=False, first=first):
        yield spectrum


def wrong_medium(spectrum: Spectrum, rng: np.random.Generator) -> Spectrum:
    """Vacuum wavelengths under the name of air: 83 km/s to the red, the air's lines too."""
    return replace(spectrum, wavelength=air_to_vacuum(spectrum.wavelength), ivar=None)


def resolution_of(power: float) -> Kind:
    """Another instrument, of a resolving power below that of the model's spectra."""

    def smoothed(spectrum: Spectrum, rng: np.random.Generator) -> Spectrum:
        # On equal steps of the logarithm of wavelength; the detector's gap is bridged.
        inside, wave = spectrum.flux != 0, np.log(spectrum.wavelength)
        grid = np.linspace(wave[0], wave[-1], len(wave))
        flux = np.interp(grid, wave[inside], spectrum.flux[inside].astype(np.float64))
        sigma = np.sqrt(power**-2 - _OWN**-2) / _FWHM / (grid[1] - grid[0])
        flux = np.interp(wave, grid, _gaussian(flux, sigma))
        return _noisy(spectrum, np.where(inside, flux, 0.0), rng)

    return smoothed


def nebula(spectrum: Spectrum, rng: np.random.Generator) -> Spectrum:
    """A planetary nebula: emission lines of 15 to 50 km/s over a faint, smooth continuum."""
    inside = spectrum.flux != 0
    width = rng.uniform(15.0, 50.0) / SPEED_OF_LIGHT / _FWHM
    peak = np.exp(rng.uniform(np.log(3.0), np.log(300.0)))
    flux = 1 + peak * emission(spectrum.wavelength, _NEBULAR, rng.normal(0.0, 40.0), width)
    return _noisy(spectrum, np.where(inside, flux * _level(spectrum), 0.0), rng)


def active_star(spectrum: Spectrum, rng: np.random.Generator) -> Spectrum:
    """An ordinary star with hydrogen and calcium lines in emission, up to 5 times its continuum."""
    width = rng.uniform(40.0, 250.0) / SPEED_OF_LIGHT / _FWHM
    peak = np.exp(rng.uniform(np.log(0.5), np.log(5.0)))
    lines = peak * emission(spectrum.wavelength, CHROMOSPHERE, rng.normal(0.0, 25.0), width)
    local = _gaussian(spectrum.flux.astype(np.float64), 2000.0)
    flux = spectrum.flux + np.where(spectrum.flux != 0, lines * local, 0.0)
    return replace(spectrum, flux=flux.astype(np.float32), ivar=None)


def noise_only(spectrum: Spectrum, rng: np.random.Generator) -> Spectrum:
    """No star on the detector: noise about a level of up to one standard deviation."""
    noise = rng.normal(rng.uniform(0.05, 1.0), 1.0, len(spectrum))
    flux = np.where(spectrum.flux != 0, noise, 0.0).astype(np.float32)
    return replace(spectrum, flux=flux, ivar=None, meta=spectrum.meta | {"snr": None})


def galaxy(linelist: str | None) -> Kind:
    """Light of six cool stars, smeared by 80 to 300 km/s, at a redshift of up to 0.05."""
    synthesizer = synthesizer_of(linelist)
    wavelength = synthesizer.wavelength

    def smeared(spectrum: Spectrum, rng: np.random.Generator) -> Spectrum:
        stars = [replace(draw_star(rng), rv=0.0) for _ in range(12)]
        cool = sorted(stars, key=lambda star: star.teff)[3:9]
        light = synthesizer.spectra(cool, [Night(airmass=0.0)] * len(cool)).numpy().mean(axis=0)
        sigma = rng.uniform(80.0, 300.0) / SPEED_OF_LIGHT / LOG_STEP
        light = _gaussian(light, sigma)
        shifted = wavelength * (1 + rng.uniform(0.0, 0.05))
        night = Night(spectrum.berv or 0.0, spectrum.meta["airmass"])
        seen = np.interp(wavelength, shifted, light) * synthesizer.transmission([night])[0].numpy()
        instrument = SPEED_OF_LIGHT / night.resolution / 2.3548 / PIXEL_VELOCITY
        flux = np.interp(spectrum.wavelength, wavelength, _gaussian(seen, instrument))
        flux = np.where(spectrum.flux != 0, flux / np.median(flux) * _level(spectrum), 0.0)
        return _noisy(spectrum, flux, rng)

    return smeared


def _level(spectrum: Spectrum) -> float:
    return float(np.median(spectrum.flux[spectrum.flux != 0]))


def _noisy(spectrum: Spectrum, flux: Floats, rng: np.random.Generator) -> Spectrum:
    """Photon noise of the exposure: `meta["snr"]` at the median flux."""
    flux = np.maximum(flux, 0.0)
    variance = flux * _level(spectrum) / spectrum.meta["snr"] ** 2
    noise = rng.standard_normal(len(flux)) * np.sqrt(variance)
    return replace(spectrum, flux=(flux + noise).astype(np.float32), ivar=None)


def _gaussian(flux: Floats, sigma: float) -> Floats:
    """Convolve with a Gaussian of `sigma` pixels; the ends are held constant."""
    half = int(4.5 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return np.asarray(fftconvolve(np.pad(flux, half, "edge"), kernel / kernel.sum(), "valid"))


def emission(
    wavelength: Floats, lines: tuple[tuple[float, float], ...], rv: float, width: float
) -> Floats:
    """Sum of Gaussians at `lines`, standard deviation `width` of their wavelength."""
    total = np.zeros(len(wavelength))
    for center, strength in lines:
        at = float(doppler_shift(center, rv))
        total += strength * np.exp(-0.5 * ((wavelength / at - 1) / width) ** 2)
    return total


def kinds(linelist: str | None) -> dict[str, Kind]:
    """Each kind of outlier by name."""
    return {
        "vacuum taken for air": wrong_medium,
        "R = 40,000": resolution_of(40_000.0),
        "R = 20,000": resolution_of(20_000.0),
        "R = 5,000": resolution_of(5_000.0),
        "planetary nebula": nebula,
        "star with emission lines": active_star,
        "noise": noise_only,
        "galaxy": galaxy(linelist),
    }


def auc(usual: np.ndarray, odd: np.ndarray) -> float:
    """Chance that a value of `odd` is below one of `usual`, ties by half."""
    is_odd = np.repeat([False, True], [len(usual), len(odd)])
    return float(roc_auc_score(is_odd, -np.concatenate([usual, odd])))


def encoded(models: dict[str, Any], args: argparse.Namespace) -> dict[str, dict[str, Latents]]:
    """Latents of ordinary spectra and of outliers made of the same, by model and kind."""
    made = kinds(args.linelist)
    parts: dict[str, dict[str, list[Latents]]] = {
        name: {kind: [] for kind in (ORDINARY, *made)} for name in models
    }
    spectra = ordinary(args.stars, seed=args.seed, linelist=args.linelist)
    first = 0
    while block := list(islice(spectra, AT_ONCE)):
        for number, kind in enumerate((ORDINARY, *made)):
            changed = block
            if kind != ORDINARY:
                changed = [
                    made[kind](one, np.random.default_rng((args.seed, star, number)))
                    for star, one in enumerate(block, first)
                ]
            for name, model in models.items():
                parts[name][kind].append(encode(changed, model, workers=1))
        first += len(block)
        print(f"{first} of {args.stars} stars", flush=True)
    others = ordinary(args.ordinary, seed=args.seed + 1, linelist=args.linelist)
    while block := list(islice(others, AT_ONCE)):
        for name, model in models.items():
            parts[name][ORDINARY].append(encode(block, model, workers=1))
    return {
        name: {kind: joined(found) for kind, found in of_model.items()}
        for name, of_model in parts.items()
    }


def joined(parts: list[Latents]) -> Latents:
    """Rows of several results as one."""
    values = np.concatenate([part.values for part in parts])
    table = pd.concat([part.table for part in parts], ignore_index=True)
    return Latents(values, table, provenance=parts[0].provenance)


def figures(found: dict[str, Latents], stars: Floats) -> list[dict[str, Any]]:
    """One line per kind: AUC of the trust and of each test alone, shares of the verdicts.

    `stars`, shape (n,): the trust of real ordinary spectra.
    """
    tables = {kind: score(latents).table for kind, latents in found.items()}
    usual = tables[ORDINARY]
    lines = []
    for kind, judged in tables.items():
        # No latents at all is the plainest verdict.
        trust = judged["trust"].fillna(0.0).to_numpy()
        line: dict[str, Any] = {
            "kind": kind,
            "n": len(judged),
            "auc": auc(usual["trust"].to_numpy(), trust),
            "auc_real": auc(stars, trust) if len(stars) else float("nan"),
        }
        for name, column in TESTS.items():
            measured = judged[column].dropna().to_numpy()
            line[name] = auc(*_as_trust(name, usual[column].dropna().to_numpy(), measured))
        for verdict in ("doubtful", "outside"):
            line[verdict] = float((judged["verdict"] == verdict).mean())
        line["measured R"] = float(np.nanmedian(judged["resolution"].fillna(0.0)))
        line["no latents"] = float((judged["verdict"] == "").mean())
        lines.append(line)
    return lines


def _as_trust(name: str, usual: np.ndarray, odd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles so that a low one is odd: of the density as it is, of errors turned round."""
    if not len(odd):
        return np.zeros(1), np.zeros(1)
    if name == "resolution":
        return -abs(usual - 50), -abs(odd - 50)
    return (usual, odd) if name == "density" else (-usual, -odd)


def relatives(spectrum: Spectrum) -> dict[str, Spectrum]:
    """A real spectrum as it would be with more noise, another velocity, or faster rotation."""
    flux, wave = spectrum.flux.astype(np.float64), spectrum.wavelength
    star = (flux != 0) & (wave < _AIR)  # what is not the star's stays where it is
    inside, level = flux != 0, _level(spectrum)
    own = spectrum.meta.get("snr") or 200.0
    out = {"itself": spectrum}
    rng = np.random.default_rng(1)
    for snr in (20.0, 50.0, 100.0):
        if snr < own:
            variance = np.maximum(flux, 0.0) * level * (snr**-2 - own**-2)
            noisy = flux + rng.standard_normal(len(flux)) * np.sqrt(variance)
            out[f"SNR {snr:.0f}"] = _with(spectrum, np.where(inside, noisy, 0.0), snr=snr)
    for rv in (-100.0, -30.0, 30.0, 100.0):
        moved = np.interp(wave, doppler_shift(wave, rv), flux)
        out[f"{rv:+.0f} km/s"] = _with(spectrum, np.where(star, moved, flux))
    grid = np.linspace(np.log(wave[0]), np.log(wave[-1]), len(wave))
    even = np.interp(grid, np.log(wave[inside]), flux[inside])
    for vsini in (5.0, 10.0, 20.0):
        half = rotation_kernel(vsini / SPEED_OF_LIGHT / (grid[1] - grid[0]), 0.3)
        kernel = np.concatenate([half[:0:-1], half])
        smooth = fftconvolve(np.pad(even, len(half) - 1, "edge"), kernel, "valid")
        rotating = np.interp(np.log(wave), grid, smooth)
        out[f"{vsini:.0f} km/s of rotation"] = _with(spectrum, np.where(star, rotating, flux))
    return out


def _with(spectrum: Spectrum, flux: Floats, **meta: Any) -> Spectrum:
    return replace(spectrum, flux=flux.astype(np.float32), ivar=None, meta=spectrum.meta | meta)


def real(models: dict[str, Any], files: list[str]) -> list[dict[str, Any]]:
    """Verdicts on real spectra and their relatives."""
    found = {file: relatives(read_spectrum(file)) for file in files}
    kinds = [(Path(file).stem, kind) for file, made in found.items() for kind in made]
    spectra = [one for made in found.values() for one in made.values()]
    lines = []
    for name, model in models.items():
        judged = score(encode(spectra, model, workers=1)).table if files else pd.DataFrame()
        for (star, kind), row in zip(kinds, judged.to_dict("records"), strict=True):
            lines.append({"model": name, "star": star, "relative": kind, **row})
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["harps-sim", "harps-sim-plain"])
    parser.add_argument("--linelist")
    parser.add_argument("--stars", type=int, default=200)
    parser.add_argument("--ordinary", type=int, default=1000, help="more ordinary spectra")
    parser.add_argument("--seed", type=int, default=8000)
    parser.add_argument("--real", action="append", default=[], metavar="FILE")
    args = parser.parse_args()
    models = {name: load_model(name) for name in args.models}
    for model in models.values():
        model.folder = None  # scored once, at the end
    found, stars = encoded(models, args), real(models, args.real)
    trusted = {
        name: np.array([line["trust"] for line in stars if line["model"] == name])
        for name in models
    }
    for name, of_model in found.items():
        print(f"\n{name}\n\n{table(figures(of_model, trusted[name]))}")
    print(f"\n{table({key: line[key] for key in _TOLD} for line in stars)}")


if __name__ == "__main__":
    main()
