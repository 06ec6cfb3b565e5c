"""Draw the picture of docs/simulation.md: real stars over simulated ones.

    python docs/figures/real_stars.py ../shared/data

with the HARPS spectra of alpha Cen B, 38 Vir and Gl581 in that folder. Prints the scatter of data
about simulation in each window.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from archive import save

from latentscope import read_spectrum
from latentscope.plots.style import INK, OVERLAY, WIDE
from latentscope.simulation.population import Night, Star, macroturbulence
from latentscope.simulation.synthesis import NODES, Synthesizer, photons


class Real(NamedTuple):
    """A real star: published parameters, the velocity of its lines, and windows in Angstrom."""

    name: str
    file: str
    star: Star
    windows: tuple[tuple[float, float, str], ...]


REAL = (
    Real(
        "alpha Cen B",
        "HARPS.2012-03-24T08:37:45.581_s1d_A.fits",
        Star(5230, 4.53, 0.22, 1.5, -22.7, macroturbulence=macroturbulence(5230, 4.53)),
        (
            (3876, 3890, "CN"),
            (4296, 4315, "CH"),
            (5160, 5190, "Mg b, MgH"),
            (5880, 5905, "Na D, H2O"),
            (6152, 6180, "lines of iron and calcium"),
            (6868, 6909, "O2"),
        ),
    ),
    Real(
        "38 Vir",
        "38vir_rest.fits",
        Star(6560, 4.2, 0.05, 27.0, 0.0, macroturbulence=macroturbulence(6560, 4.2)),
        ((4296, 4315, "CH"), (5160, 5190, "Mg b"), (6150, 6180, "lines of iron and calcium")),
    ),
    Real(
        "Gl581",
        "HARPS.2010-09-18T23:42:36.178_s1d_A.fits",
        Star(3480, 4.9, -0.1, 1.0, -9.2, macroturbulence=macroturbulence(3480, 4.9)),
        ((4755, 4775, "TiO, MgH"), (6642, 6662, "TiO"), (5160, 5190, "Mg b; TiO is invented")),
    ),
)


def main(folder: Path) -> None:
    """Simulate each star as its night saw it, scale data window by window, draw."""
    torch.set_num_threads(1)
    synthesizer = Synthesizer()
    count = sum(len(real.windows) for real in REAL)
    figure, axes = plt.subplots(count // 2, 2, figsize=(WIDE, 0.6 * count), layout="constrained")
    left = iter(axes.T.ravel())
    for real in REAL:
        spectrum = read_spectrum(folder / real.file)
        at_rest = spectrum.frame == "rest"  # nobody knows where the air was
        night = Night(spectrum.berv or 0.0, 0.0 if at_rest else spectrum.meta["airmass"])
        flux = synthesizer.spectra([real.star], [night])[0].numpy()
        flux = flux / np.interp(synthesizer.wavelength, NODES, photons(real.star.teff, NODES))
        for first, last, what in real.windows:
            inside = (spectrum.wavelength >= first) & (spectrum.wavelength < last)
            wavelength, data = spectrum.wavelength[inside], spectrum.flux[inside]
            expected = np.interp(wavelength, synthesizer.wavelength, flux)
            scaled = data / continuum(wavelength, data, expected)
            rms = float(np.sqrt(np.mean((scaled - expected) ** 2)))
            print(f"{real.name} {first}-{last} {what}: rms {rms:.3f}")
            ax = next(left)
            ax.plot(wavelength, scaled, color=INK, lw=0.7)
            ax.plot(wavelength, expected, color=OVERLAY, lw=0.7)
            ax.set(xlim=(first, last), ylim=(0, 1.25))
            ax.set_title(f"{real.name}: {what} (rms {rms:.3f})", fontsize=9)
            ax.tick_params(labelsize=8)
            ax.locator_params(axis="x", nbins=6)
    figure.supxlabel("wavelength in air (\u00c5); black: HARPS, orange: simulation", fontsize=9)
    figure.supylabel("flux / continuum", fontsize=9)
    save(axes[0, 0], "real-stars.png")


def continuum(wavelength: np.ndarray, data: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Straight line that brings data to the simulation by least squares."""
    x = (wavelength - wavelength.mean()) / np.ptp(wavelength)
    terms = np.stack([expected, x * expected], axis=1)
    level, slope = np.linalg.lstsq(terms, data, rcond=None)[0]
    return np.asarray(level + slope * x)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
