"""The air above the telescope: optical depths of O2 and H2O.

Lines of O2 are real. Bands of H2O have their place, and their lines are invented. Both are widened
by pressure: O2 saturates, and its wings reach far beyond what a Gaussian would.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from latentscope.spectra.oxygen import oxygen_depth, pressed_lines

_WATER_WIDTH = 0.095  # half width in 1/cm at one atmosphere and 255 K (HITRAN: 0.085 at 296 K)
_WATER_LAYERS = (0.8,)  # water is near the ground

# Regions of H2O: first, last (Angstrom), lines, mean optical depth of a line of 0.03 Angstrom.
_WATER = (
    (5018.0, 5110.0, 60, 0.01), (5385.0, 5500.0, 60, 0.006), (5675.0, 5770.0, 70, 0.02),
    (5865.0, 6015.0, 180, 0.07), (6270.0, 6350.0, 60, 0.015), (6460.0, 6600.0, 160, 0.06),
    (6850.0, 6925.0, 60, 0.03),
)  # fmt: skip


def telluric_templates(
    wavelength: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Optical depth of O2 and of H2O at airmass 1 and unit water column, shape (n,) each."""
    rng = np.random.default_rng(11)
    places, depths = [], []
    for first, last, count, mean in _WATER:
        places.append(rng.uniform(first, last, count))
        depths.append(mean * rng.exponential(1.0, count))
    place = np.concatenate(places)
    area = np.concatenate(depths) * 0.03 * np.sqrt(2 * np.pi) * 1e8 / place**2
    water = pressed_lines(wavelength, place, area, _WATER_WIDTH, _WATER_LAYERS, 18.0)
    return oxygen_depth(wavelength).astype(np.float32), water.astype(np.float32)
