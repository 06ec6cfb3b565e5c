"""Spectra that a model of stars has no business with, made from simulated ones.

Each kind keeps the rest of an ordinary exposure: the pixels of the file, the photon noise, the air
of the night. A spectrum that is smoothed loses its noise, so noise of the same size is put back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from latentscope.simulation.population import Night, draw_star
from latentscope.simulation.simulate import simulate
from latentscope.simulation.synthesis import LOG_STEP, synthesizer_of
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import SPEED_OF_LIGHT, air_to_vacuum, doppler_shift

_OWN = 115_000.0  # resolving power of the simulated instrument
_FWHM = 2.3548
# Wavelength in air (Angstrom) and strength over H-beta, as in planetary nebulae.
_NEBULAR = (
    (3868.76, 0.9), (3889.05, 0.2), (3967.47, 0.3), (3970.08, 0.16), (4101.73, 0.26),
    (4340.47, 0.47), (4363.21, 0.1), (4471.50, 0.05), (4685.70, 0.2), (4861.35, 1.0),
    (4958.91, 3.5), (5006.84, 10.5), (5875.62, 0.15), (6300.30, 0.1), (6548.05, 0.8),
    (6562.79, 2.9), (6583.45, 2.4), (6716.44, 0.15), (6730.82, 0.2),
)  # fmt: skip
_CHROMOSPHERE = (
    (3933.66, 1.0), (3968.47, 0.8), (4101.73, 0.4), (4340.47, 0.6), (4861.35, 1.0), (6562.79, 2.0),
)  # fmt: skip

Floats = NDArray[np.float64]
Kind = Callable[[Spectrum, np.random.Generator], Spectrum]


def ordinary(n: int, *, seed: int, linelist: str | None, first: int = 0) -> Iterator[Spectrum]:
    """Yield simulated spectra, one a star."""
    for spectrum, _ in simulate(n, seed=seed, linelist=linelist, repeats=False, first=first):
        yield spectrum


def wrong_medium(spectrum: Spectrum, rng: np.random.Generator) -> Spectrum:
    """Vacuum wavelengths under the name of air: 83 km/s to the red, the air's lines too."""
    return replace(spectrum, wavelength=air_to_vacuum(spectrum.wavelength), ivar=None)


def resolution_of(power: float) -> Kind:
    """Another instrument, of a resolving power below that of the model's spectra."""

    def smoothed(spectrum: Spectrum, rng: np.random.Generator) -> Spectrum:
        flux = _on_equal_steps(spectrum, lambda f, step: _smoothed(f, step, power))
        return _noisy(spectrum, flux, rng)

    return smoothed


def nebula(spectrum: Spectrum, rng: np.random.Generator) -> Spectrum:
    """A planetary nebula: emission lines of 15 to 50 km/s over a faint, smooth continuum."""
    inside = spectrum.flux != 0
    width = rng.uniform(15.0, 50.0) / SPEED_OF_LIGHT / _FWHM
    peak = np.exp(rng.uniform(np.log(3.0), np.log(300.0)))
    flux = 1 + peak * _lines(spectrum.wavelength, _NEBULAR, rng.normal(0.0, 40.0), width)
    return _noisy(spectrum, np.where(inside, flux * _level(spectrum), 0.0), rng)


def active_star(spectrum: Spectrum, rng: np.random.Generator) -> Spectrum:
    """An ordinary star with hydrogen and calcium lines in emission, up to 5 times its continuum."""
    width = rng.uniform(40.0, 250.0) / SPEED_OF_LIGHT / _FWHM
    peak = np.exp(rng.uniform(np.log(0.5), np.log(5.0)))
    emission = peak * _lines(spectrum.wavelength, _CHROMOSPHERE, rng.normal(0.0, 25.0), width)
    local = _gaussian(spectrum.flux.astype(np.float64), 2000.0)
    flux = spectrum.flux + np.where(spectrum.flux != 0, emission * local, 0.0)
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
        away = wavelength * (1 + rng.uniform(0.0, 0.05))
        night = Night(spectrum.berv or 0.0, spectrum.meta["airmass"])
        seen = np.interp(wavelength, away, light) * synthesizer.transmission([night])[0].numpy()
        flux = np.interp(spectrum.wavelength, wavelength, seen)
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


def _on_equal_steps(spectrum: Spectrum, change: Callable[[Floats, float], Floats]) -> Floats:
    """Change flux on equal steps of the logarithm of wavelength; the detector's gap is bridged."""
    inside = spectrum.flux != 0
    wave = np.log(spectrum.wavelength)
    grid = np.linspace(wave[0], wave[-1], len(wave))
    flux = np.interp(grid, wave[inside], spectrum.flux[inside].astype(np.float64))
    changed = np.interp(wave, grid, change(flux, grid[1] - grid[0]))
    return np.where(inside, changed, 0.0)


def _smoothed(flux: Floats, step: float, power: float) -> Floats:
    sigma = np.sqrt(power**-2 - _OWN**-2) / _FWHM / step
    return _gaussian(flux, sigma)


def _gaussian(flux: Floats, sigma: float) -> Floats:
    """Convolve with a Gaussian of `sigma` pixels; the ends are held constant."""
    half = int(4.5 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return np.asarray(fftconvolve(np.pad(flux, half, "edge"), kernel / kernel.sum(), "valid"))


def _lines(
    wavelength: Floats, lines: tuple[tuple[float, float], ...], rv: float, width: float
) -> Floats:
    """Sum of Gaussians at `lines`, standard deviation `width` of their wavelength."""
    total = np.zeros(len(wavelength))
    for centre, strength in lines:
        at = float(doppler_shift(centre, rv))
        total += strength * np.exp(-0.5 * ((wavelength / at - 1) / width) ** 2)
    return total
