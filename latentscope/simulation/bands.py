"""Molecular bands, Balmer lines and the absorption of the air: templates shared by all stars.

Band heads and telluric regions lie where nature has them; the lines inside them are invented. They
look right to a network at a resolution of 100,000 and are not line lists.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

# TiO band heads, Angstrom, and relative strength (systems alpha, beta, gamma, gamma'; heads after
# Valenti, Piskunov & Johns-Krull 1998 and Kirkpatrick, Henry & McCarthy 1991).
_TIO = (
    (4584, 0.5), (4626, 0.4), (4761, 0.8), (4804, 0.5), (4847, 0.3), (4954, 1.0), (5003, 0.5),
    (5167, 1.0), (5240, 0.5), (5307, 0.2), (5448, 0.7), (5497, 0.5), (5597, 0.6), (5661, 0.5),
    (5759, 0.5), (5810, 0.4), (5847, 0.7), (5862, 0.4), (6158, 1.0), (6187, 0.5), (6215, 0.4),
    (6268, 0.3), (6651, 0.7), (6681, 0.6), (6714, 0.5), (6747, 0.4), (6781, 0.4),
)  # fmt: skip
BAND_FADE = 80.0  # Angstrom
FILLED = (0.15, 0.75)  # optical depth of a band: this much smooth, this much in lines
_BETWEEN = 0.1
# Wavelength in air (NIST); strength of the wings against H-alpha: oscillator strength times the
# growth of the Stark width with the upper level.
_BALMER = (
    (6562.79, 1.0), (4861.35, 0.48), (4340.47, 0.26), (4101.73, 0.19), (3970.08, 0.14),
    (3889.06, 0.11), (3835.40, 0.08), (3797.91, 0.06),
)  # fmt: skip
# Regions of telluric absorption: first, last (Angstrom), lines, mean depth at airmass 1.
_OXYGEN = ((6276.6, 6318.0, 60, 0.12), (6867.2, 6925.0, 75, 1.3), (5788.0, 5835.0, 40, 0.01))
_WATER = (
    (5018.0, 5110.0, 60, 0.01), (5385.0, 5500.0, 60, 0.006), (5675.0, 5770.0, 70, 0.02),
    (5865.0, 6015.0, 180, 0.07), (6270.0, 6350.0, 60, 0.015), (6460.0, 6600.0, 160, 0.06),
    (6850.0, 6925.0, 60, 0.03),
)  # fmt: skip


def balmer_lines() -> tuple[tuple[float, float], ...]:
    """Wavelength in air (Angstrom) and relative strength of H-alpha to H10."""
    return _BALMER


def _comb(
    wavelength: NDArray[np.float64],
    centres: NDArray[np.float64],
    depths: NDArray[np.float64],
    sigma: float,
) -> NDArray[np.float32]:
    """Sum of narrow Gaussians, `sigma` in Angstrom."""
    out = np.zeros(len(wavelength), np.float32)
    reach = 5 * sigma
    low = np.searchsorted(wavelength, centres - reach)
    high = np.searchsorted(wavelength, centres + reach)
    for centre, depth, a, b in zip(centres, depths, low, high, strict=True):
        out[a:b] += depth * np.exp(-0.5 * ((wavelength[a:b] - centre) / sigma) ** 2)
    return out


def band_templates(
    wavelength: NDArray[np.float64], seed: int = 7
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lines of molecules at unit mean strength, and the optical depth of CH, shape (n,) each."""
    rng = np.random.default_rng(seed)
    span = (wavelength[0], wavelength[-1])
    count = int((span[1] - span[0]) * 7)
    lines = _comb(wavelength, rng.uniform(*span, count), rng.exponential(1.0, count), 0.035)
    count = 400
    centres = 4315.0 - rng.exponential(18.0, count)
    ch = _comb(wavelength, centres, rng.exponential(0.5, count), 0.04)
    return lines, ch


def titanium_oxide(
    wavelength: NDArray[np.float64], lines: NDArray[np.float32], pattern: int = 0
) -> NDArray[np.float32]:
    """Optical depth of the TiO bands of a star at unit strength, shape (n,).

    The heads stay where they are. Their levels, what lies between the bands and where the lines
    fall follow from `pattern`, so that a network cannot learn invented lines by heart.

    Parameters
    ----------
    wavelength : ndarray, shape (n,)
        Angstrom in air, ascending in equal steps of the logarithm.
    lines : ndarray, shape (n,)
        Of `band_templates`.
    pattern : int
        Seed; 0 is the mean pattern.
    """
    heads, levels, between, roll = tio_pattern(pattern, len(lines))
    return _bands(wavelength, lines, np.searchsorted(wavelength, heads), levels, between, roll)


class Pattern(NamedTuple):
    """TiO of one star.

    Heads in Angstrom and their levels, shape (27,) each; the level between the bands; by how many
    pixels the lines are rolled.
    """

    heads: NDArray[np.float64]
    levels: NDArray[np.float64]
    between: float
    roll: int


def tio_pattern(pattern: int, size: int) -> Pattern:
    """Draw the TiO pattern of a star for lines of `size` pixels; 0 is the mean pattern."""
    heads, levels = (np.array(column, np.float64) for column in zip(*_TIO, strict=True))
    if not pattern:
        return Pattern(heads, levels, _BETWEEN, 0)
    rng = np.random.default_rng(pattern)
    levels = levels * rng.lognormal(0.0, 0.3, len(levels))
    return Pattern(heads, levels, _BETWEEN * rng.lognormal(0.0, 0.5), int(rng.integers(size)))


@numba.njit(cache=True)
def _bands(
    wavelength: NDArray[np.float64],
    lines: NDArray[np.float32],
    starts: NDArray[np.int64],
    levels: NDArray[np.float64],
    between: float,
    roll: int,
) -> NDArray[np.float32]:
    """Bands that begin at `starts` and fade redwards, filled with the rolled lines."""
    out = np.empty(len(lines), np.float32)
    fade, head = 0.0, 0
    for j in range(len(lines)):
        fade *= np.exp((wavelength[j - 1] - wavelength[j]) / BAND_FADE) if j else 1.0
        while head < len(starts) and starts[head] <= j:
            fade += levels[head]
            head += 1
        out[j] = (between + fade) * (FILLED[0] + FILLED[1] * lines[j - roll])
    return out


def telluric_templates(
    wavelength: NDArray[np.float64], seed: int = 11
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Optical depth of O2 and of H2O at airmass 1 and unit water column, shape (n,) each."""
    rng = np.random.default_rng(seed)
    templates = []
    for regions in (_OXYGEN, _WATER):
        centres = [rng.uniform(a, b, n) for a, b, n, _ in regions]
        depths = [mean * rng.exponential(1.0, n) for _, _, n, mean in regions]
        templates.append(_comb(wavelength, np.concatenate(centres), np.concatenate(depths), 0.03))
    return templates[0], templates[1]
