"""Oxygen in the air: where the lines of its B and gamma bands lie, and how pressure widens them.

Lines lie where the levels of the molecule put them, to 0.01 Angstrom.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import voigt_profile

from latentscope.spectra.wavelength import vacuum_to_air

Floats = NDArray[np.float64]

_KELVIN_PER_WAVENUMBER = 1.438777
_TEMPERATURE = 255.0  # Kelvin, of the air that absorbs
_GROUND = 0.76  # atmospheres, La Silla
_LAYERS = (0.125, 0.375, 0.625, 0.875)  # of equal mass: pressures over that on the ground
_WIDTH = 0.050  # half width in 1/cm at one atmosphere and this temperature (HITRAN: 0.045 at 296 K)
_REACH = 3.0  # Angstrom


class _Band(NamedTuple):
    """Vibrational band b-X of O2: origin, rotation and stretching of the upper level in 1/cm.

    `area` is the band's strength times the column of O2 over La Silla, in 1/cm.
    """

    origin: float
    rotation: float
    stretching: float
    area: float


# B (1-0) and gamma (2-0). Levels after Babcock & Herzberg 1948, ApJ 108, 167, and strengths after
# HITRAN, rounded; both held against HARPS spectra (docs/simulation.md).
_BANDS = (
    _Band(14525.66, 1.37296, 5.38e-6, 51.0),
    _Band(15902.42, 1.35451, 5.4e-6, 2.4),
)
# X v = 0: rotation, stretching, spin-spin and spin-rotation constants in 1/cm.
_GROUND_STATE = (1.437676, 4.842e-6, 1.984751, -0.008425)
_HIGHEST_N = 41


def oxygen_lines() -> tuple[Floats, Floats]:
    """Wavenumbers in vacuum and areas of optical depth, both in 1/cm, of the B and gamma bands.

    The triplet of the ground state is that of Schlapp (1937, Phys. Rev. 51, 342): levels J = N + 1,
    N and N - 1, from which the branches RQ; PP and RR; PQ start. Only odd N exist.
    """
    n = np.arange(1, _HIGHEST_N + 1, 2)
    rotation, stretching, spin, spin_rotation = _GROUND_STATE
    middle = rotation * n * (n + 1) - stretching * (n * (n + 1)) ** 2

    def split(k: NDArray[np.int64]) -> Floats:
        root = np.sqrt((k * rotation) ** 2 + spin**2 - 2 * spin * rotation)
        return np.asarray(k * rotation - root)

    upper = middle + split(2 * n + 3) - spin + spin_rotation * (n + 1)
    lower = middle - split(2 * n - 1) - spin - spin_rotation * n
    wavenumbers, areas = [], []
    for band in _BANDS:
        found, weights = [], []
        for level, to, weight in (
            (middle, n - 1, n), (lower, n - 1, n - 1), (middle, n + 1, n + 1), (upper, n + 1, n + 2)
        ):  # fmt: skip
            end = band.rotation * to * (to + 1) - band.stretching * (to * (to + 1)) ** 2
            found.append(band.origin + end - level)
            weights.append(weight * np.exp(-_KELVIN_PER_WAVENUMBER * level / _TEMPERATURE))
        weight = np.concatenate(weights)
        wavenumbers.append(np.concatenate(found))
        areas.append(band.area * weight / weight.sum())
    return np.concatenate(wavenumbers), np.concatenate(areas)


def oxygen_depth(wavelength: Floats) -> Floats:
    """Optical depth of O2 at the zenith at air wavelengths in ascending order, shape (n,)."""
    wavenumbers, areas = oxygen_lines()
    inside = (wavelength[0] - 4 < 1e8 / wavenumbers) & (1e8 / wavenumbers < wavelength[-1] + 4)
    centers = vacuum_to_air(1e8 / wavenumbers[inside])
    return pressed_lines(wavelength, centers, areas[inside], _WIDTH, _LAYERS, 32.0)


def pressed_lines(
    wavelength: Floats,
    centers: Floats,
    areas: Floats,
    width: float,
    layers: tuple[float, ...],
    mass: float,
) -> Floats:
    """Sum of Voigt profiles over La Silla, each a mean over layers of the air.

    Parameters
    ----------
    wavelength, centers : ndarray
        Angstrom in air, the first ascending.
    areas : ndarray
        Integrals of optical depth over wavenumber in 1/cm.
    width : float
        Half width of the Lorentz profile in 1/cm at one atmosphere.
    layers : tuple of float
        Pressures over that on the ground.
    mass : float
        Of the molecule in atomic units.
    """
    out = np.zeros(len(wavelength))
    thermal = np.sqrt(8314.5 * _TEMPERATURE / mass) / 2.998e8
    low = np.searchsorted(wavelength, centers - _REACH)
    high = np.searchsorted(wavelength, centers + _REACH)
    for center, area, a, b in zip(centers, areas, low, high, strict=True):
        wavenumber = 1e8 / center
        distance = (wavelength[a:b] / center - 1) * wavenumber
        for layer in layers:
            half = width * layer * _GROUND
            out[a:b] += area / len(layers) * voigt_profile(distance, thermal * wavenumber, half)
    return out
