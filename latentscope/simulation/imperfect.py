"""What real spectra have that simulated ones lack, drawn star by star.

A line list is wrong in many small ways, an atmosphere is more than one layer, and detectors, air
and chromospheres add their own. A network that learned from simulations meets all of this in the
sky. So its ordinary spectra are simulated ones with such faults (`Population.imperfect`), of
the size that the literature gives them; docs/trust.md names the sources.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from latentscope.simulation.atmosphere import SPEED_OF_LIGHT
from latentscope.simulation.lines import LineList
from latentscope.simulation.population import FIRST, LAST, Observation, Star
from latentscope.simulation.synthesis import Physics
from latentscope.spectra.spectrum import Spectrum

_SIZE = 0.5  # standard deviation of the logarithm of how wrong a list is
# Oscillator strengths in dex: of half of the atomic lines (grade C of NIST, 25 %), of the others
# (grade E, more than 50 %), and of lines of molecules.
_MEASURED, _CALCULATED, _MOLECULAR = 0.1, 0.3, 0.1
_SPECIES = 0.1  # dex: ionization, partition functions, departures from LTE
_EXCITATION, _MIDDLE = 0.03, 2.0  # dex per eV: 150 K in the layer's temperature; eV
_OPACITY, _NODES = 0.1, 9  # dex: the continuous opacity, at nodes over the spectrum
_MISSING, _MISPLACED, _BY = 0.1, 0.1, 3e-4  # shares of the lines; of the wavelength, at most

_CORE, _MICROTURBULENCE, _DAMPING = 0.5, 0.25, 0.5  # of the logarithms of these
_RESOLUTION = 0.06  # of the logarithm: over a detector, and from year to year
_NO_AIR = 0.15  # share of spectra whose telluric lines were removed
_READ_OUT, _ROWS = (3.0, 5.0), (3.0, 7.0)  # electrons; pixels across an order
_STRAY = 0.01  # light in all lines, of the median flux
_COSMICS = 5.0  # cosmic rays left in a spectrum
# Chromospheres of stars cooler than _COOL: wavelength in air, peak over that of Ca II K, width in
# km/s. The peak at 5500 K, of the continuum: median, standard deviation of its logarithm, largest.
_CHROMOSPHERE = ((3933.66, 1.0, 15.0), (3968.47, 0.9, 15.0), (6562.79, 0.25, 40.0))
_COOL, _PEAK = 6500.0, (0.08, 1.0, 2.0)


def faults(
    lines: LineList, observation: Observation, rng: np.random.Generator
) -> tuple[LineList, Physics, Observation]:
    """Draw wrong lines, other physics of them, and another instrument and air for one exposure."""
    size = float(np.exp(_SIZE * rng.standard_normal()))
    core, microturbulence, damping = np.exp(
        rng.standard_normal(3) * (_CORE * size, _MICROTURBULENCE, _DAMPING * size)
    )
    usual = Physics()
    physics = Physics(
        min(usual.floor * core, 0.3), usual.microturbulence * microturbulence, float(damping)
    )
    night = observation.night
    night = replace(
        night,
        resolution=night.resolution * float(np.exp(_RESOLUTION * rng.standard_normal())),
        airmass=0.0 if rng.random() < _NO_AIR else night.airmass,
    )
    return wrong_lines(lines, rng, size), physics, replace(observation, night=night)


def wrong_lines(lines: LineList, rng: np.random.Generator, size: float = 1.0) -> LineList:
    """Scatter a line list as lists scatter: strengths, lines that are missing or elsewhere.

    `size` is how wrong: 1 as the literature has it, 0 not at all.
    """
    n = len(lines)
    scatter = np.where(rng.random(n) < 0.5, _MEASURED, _CALCULATED)
    scatter[lines.z >= 100] = _MOLECULAR
    offset = scatter * rng.standard_normal(n)
    offset += _SPECIES * rng.standard_normal(len(lines.species))[lines.species_index]
    offset += _EXCITATION * rng.standard_normal() * (lines.excitation - _MIDDLE)
    place = np.log(lines.wavelength / FIRST) / np.log(LAST / FIRST)
    nodes = rng.standard_normal(_NODES)
    offset += _OPACITY * np.interp(place, np.linspace(0.0, 1.0, _NODES), nodes)
    kept = rng.random(n) >= min(_MISSING * size, 0.5)
    moved = rng.random(n) < min(_MISPLACED * size, 0.5)
    wavelength = lines.wavelength * (1 + np.where(moved, rng.uniform(-_BY, _BY, n), 0.0))
    loggf = lines.loggf + size * offset
    return LineList(
        lines.name, wavelength[kept], lines.z[kept], lines.ion[kept], lines.excitation[kept],
        loggf[kept],
    )  # fmt: skip


def exposed(spectrum: Spectrum, observation: Observation, rng: np.random.Generator) -> Spectrum:
    """Add what a detector and a chromosphere add; the noise is no longer that of photons alone."""
    inside = spectrum.flux != 0
    level = float(np.median(spectrum.flux[inside]))
    flux = spectrum.flux.astype(np.float64)
    electrons = rng.uniform(*_READ_OUT) * np.sqrt(rng.uniform(*_ROWS))
    flux += level / observation.snr**2 * electrons * rng.standard_normal(len(flux))
    flux += level * abs(_STRAY * rng.standard_normal())
    hits = rng.integers(1, len(flux) - 1, rng.poisson(_COSMICS))
    for hit, height in zip(hits, level * rng.exponential(0.5, len(hits)), strict=True):
        flux[hit - 1 : hit + 2] += height * np.array([0.5, 1.0, 0.5])
    flux += _emission(spectrum.wavelength, flux, observation.star, rng)
    return replace(spectrum, flux=np.where(inside, flux, 0.0).astype(np.float32), ivar=None)


def _emission(
    wavelength: NDArray[np.float64], flux: NDArray[np.float64], star: Star, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Emission in the cores of Ca II H and K and of H-alpha."""
    out = np.zeros(len(flux))
    median, scatter, largest = _PEAK
    peak = min(median * float(np.exp(scatter * rng.standard_normal())), largest)
    if star.teff >= _COOL:
        return out
    for line, strength, width in _CHROMOSPHERE:
        center = line * (1 + star.rv / SPEED_OF_LIGHT)
        low, high = np.searchsorted(wavelength, (center - 10.0, center + 10.0))
        if low == high:
            continue
        continuum = np.percentile(flux[low:high], 90)
        velocity = (wavelength[low:high] / center - 1) * SPEED_OF_LIGHT
        height = continuum * strength * peak * (5500.0 / star.teff) ** 4
        out[low:high] += height * np.exp(-0.5 * (velocity / width) ** 2)
    return out
