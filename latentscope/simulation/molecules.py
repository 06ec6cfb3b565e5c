"""Molecules in the line-forming layer: how many of them there are at its temperature and pressure.

Chemical equilibrium of two atoms is Saha's equation with the dissociation energy in the place of
the ionization potential (Tatum 1966; Sauval & Tatum 1984, ApJS 56, 193). The strength of a line
needs the molecules over their partition function, in which the latter cancels. Where a molecule
locks up its atoms it does not: there it is that of a rigid rotor and harmonic oscillator, with the
constants of Huber & Herzberg (1979, "Constants of Diatomic Molecules").
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentscope.simulation.atmosphere import HELIUM, Layer

_BOLTZMANN = 1.380649e-16  # erg / K
_PER_EV = 11604.52  # Kelvin
_PER_WAVENUMBER = 1.438777  # Kelvin cm
# h^2 / (2 pi k m) for a mass of 1 atomic unit, in cm^2 K: a thermal wavelength squared.
_THERMAL = 3.04629e-14


class Molecule(NamedTuple):
    """A molecule that absorbs: its two atoms, dissociation energy in eV, and calibration.

    The calibration is a factor of all its lines, found on alpha Cen B, 38 Vir and Gl581: molecules
    of carbon form above the one layer, where it is cooler.
    """

    symbol: str
    atoms: tuple[int, int]
    dissociation: float
    calibration: float


MOLECULES = {
    106: Molecule("CH", (1, 6), 3.464, 2.0),
    112: Molecule("MgH", (1, 12), 1.34, 1.0),
    606: Molecule("C2", (6, 6), 6.24, 2.0),
    607: Molecule("CN", (6, 7), 7.724, 2.0),
    822: Molecule("TiO", (8, 22), 6.87, 1.0),
}
"""By MOOG's codes: 100 times the lighter atom plus the heavier."""


class _Lock(NamedTuple):
    """A molecule that takes its atoms away from the others.

    Dissociation energy in eV, statistical weight over symmetry, rotational constant and vibration
    in 1/cm.
    """

    atoms: tuple[int, int]
    dissociation: float
    weight: float
    rotation: float
    vibration: float


# H2, N2, CO, TiO.
_LOCKS = (
    _Lock((1, 1), 4.478, 0.5, 60.85, 4401.2),
    _Lock((7, 7), 9.759, 0.5, 1.998, 2358.6),
    _Lock((6, 8), 11.09, 1.0, 1.931, 2169.8),
    _Lock((8, 22), 6.87, 6.0, 0.5354, 1009.0),
)
ATOMS = (1, 6, 7, 8, 12, 22)
"""The elements in these molecules."""


def molecular_columns(
    state: Layer,
    atoms: NDArray[np.float64],
    neutral: NDArray[np.float64],
    masses: NDArray[np.float64],
    codes: NDArray[np.int32],
) -> NDArray[np.float64]:
    """Molecules per hydrogen nucleus, over their partition function and calibrated.

    `atoms`, (6,), are nuclei of each of `ATOMS` per hydrogen nucleus; `neutral`, (6,), the fraction
    of the free ones that are neutral, over their partition function; `masses`, (6,), in atomic
    units; `codes`, (s,), of `MOLECULES`. The result has shape (s,).
    """
    mass = dict(zip(ATOMS, masses.tolist(), strict=True))
    share = dict(zip(ATOMS, neutral.tolist(), strict=True))
    free = dict(zip(ATOMS, atoms.tolist(), strict=True))
    for lock in _LOCKS:
        a, b = lock.atoms
        bound = _partition(state.temperature, lock) * share[a] * share[b]
        bound *= _affinity(state, lock.dissociation, mass[a], mass[b])
        free[a], free[b] = _free(free[a], free[b], bound, a == b)

    def column(molecule: Molecule) -> float:
        a, b = molecule.atoms
        pairs = free[a] * share[a] * free[b] * share[b]
        affinity = _affinity(state, molecule.dissociation, mass[a], mass[b])
        return float(pairs * affinity * molecule.calibration)

    return np.array([column(MOLECULES[code]) for code in codes.tolist()])


def _affinity(state: Layer, dissociation: float, mass_a: float, mass_b: float) -> float:
    """Molecules over the product of their atoms, all over partition functions and per hydrogen."""
    reduced = mass_a * mass_b / (mass_a + mass_b)
    hydrogen = state.gas_pressure / (_BOLTZMANN * state.temperature * (1.0 + HELIUM))
    thermal = (_THERMAL / (reduced * state.temperature)) ** 1.5
    return float(hydrogen * thermal * np.exp(dissociation * _PER_EV / state.temperature))


def _partition(temperature: float, lock: _Lock) -> float:
    levels = temperature / (_PER_WAVENUMBER * lock.rotation)
    vibration = -np.expm1(-_PER_WAVENUMBER * lock.vibration / temperature)
    return float(lock.weight * levels / vibration)


def _free(a: float, b: float, bound: float, same: bool) -> tuple[float, float]:
    """Atoms that are left where `bound` times their product are molecules."""
    if same:  # a = x + 2 bound x^2
        x = 2 * a / (1 + np.sqrt(1 + 8 * bound * a))
        return float(x), float(x)
    # a = x + bound x y and b = y + bound x y: the root that keeps its digits.
    half = 1 + bound * (b - a)
    x = 2 * a / (half + np.sqrt(half**2 + 4 * bound * a))
    return float(x), float(b / (1 + bound * x))
