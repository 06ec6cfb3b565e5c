"""One-layer stellar atmosphere: pressures, ionization, continuous opacity, line optical depths.

A single temperature and pressure stand for the whole photosphere. That is crude, and enough for
what the simulated archive is for: every line answers to temperature, gravity and abundance with
the sign and roughly the size that nature gives it. Formulas follow Gray (2005), "The Observation
and Analysis of Stellar Photospheres", 3rd edition; equation numbers refer to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.compiled import njit

SPEED_OF_LIGHT = 299792.458  # km/s
SUN = (5772.0, 4.44, 0.0)

# Electron donors: number per hydrogen atom (Asplund et al. 2009), first ionization potential in
# eV, and the ratio 2 U1 / U0 of partition functions near 5000 K. Hydrogen first: it has no [M/H].
# Then Mg, Si, Fe, Al, Ca, Na, K.
_DONORS = np.array(
    [
        (1.0, 13.598, 1.0),
        (3.98e-5, 7.646, 4.0),
        (3.24e-5, 8.152, 1.2),
        (3.16e-5, 7.902, 3.2),
        (2.82e-6, 5.986, 0.34),
        (2.19e-6, 6.113, 3.7),
        (1.74e-6, 5.139, 1.0),
        (1.07e-7, 4.341, 0.95),
    ]
)
_ALPHA_DONORS = np.array([False, True, True, False, False, True, False, False])
HELIUM = 0.085  # per hydrogen atom
_GRAMS_PER_H = 1.4 * 1.6726e-24


@dataclass(frozen=True)
class Layer:
    """The state of the layer where lines form."""

    temperature: float  # Kelvin
    electron_pressure: float  # dyn/cm^2
    gas_pressure: float  # dyn/cm^2
    neutral_hydrogen: float  # fraction of hydrogen that is neutral


@njit()
def saha(temperature: float, electron_pressure: float, potential: Any, ratio: Any) -> Any:
    """Number of ions per neutral atom (Gray eq. 1.20); `ratio` is 2 U1 / U0, potential in eV."""
    theta = 5040.0 / temperature
    return 0.3333 * ratio * temperature**2.5 * 10.0 ** (-theta * potential) / electron_pressure


@njit()
def opacity_terms(temperature: float, electron_pressure: float, neutral: float) -> Any:
    """Constant, linear and cubic coefficient in wavelength of the continuous absorption.

    Bound-free H- (Gray eq. 8.12, its cross-section taken as linear over 3800-7000 A), bound-free
    hydrogen from n = 3 upwards (eq. 8.8 and the integral beyond n = 6), electron scattering.
    """
    theta = 5040.0 / temperature
    h_minus = 4.158e-27 * electron_pressure * theta**2.5 * 10.0 ** (0.754 * theta)
    levels = 0.0
    for n in range(3, 7):
        levels += 10.0 ** (-theta * 13.598 * (1.0 - 1.0 / n**2)) / n**3
    levels += (10.0 ** (-theta * 13.2) - 10.0 ** (-theta * 13.598)) / (2 * theta * 13.598 * 2.3026)
    electrons = (1.0 - neutral) * 6.65e-25
    return (
        neutral * 0.98 * h_minus + electrons,
        neutral * 0.383e-3 * h_minus,
        neutral * 1.0449e-26 * levels,
    )


@njit()
def continuous_opacity(
    temperature: float, electron_pressure: float, neutral: float, wavelength: Any
) -> Any:
    """Continuous absorption in cm^2 per hydrogen nucleus at wavelengths in Angstrom."""
    constant, linear, cubic = opacity_terms(temperature, electron_pressure, neutral)
    return constant + linear * wavelength + cubic * wavelength**3


@njit()
def _imbalance(log_pe: float, temperature: float, gravity: float, metals: Any) -> Any:
    """Electron pressure minus what ionization provides; also gas pressure and neutral H."""
    pe = 10.0**log_pe
    electrons = 0.0
    neutral = 1.0
    for i in range(_DONORS.shape[0]):
        ions = saha(temperature, pe, _DONORS[i, 1], _DONORS[i, 2])
        electrons += _DONORS[i, 0] * metals[i] * ions / (1.0 + ions)
        if i == 0:
            neutral = 1.0 / (1.0 + ions)
    kappa = continuous_opacity(temperature, pe, neutral, 6000.0) / _GRAMS_PER_H
    pressure = min(2.0 / 3.0 * gravity / max(kappa, 1e-3), 3e6)
    return pe - pressure * electrons / (1.0 + HELIUM + electrons), pressure, neutral


@njit()
def _solve(temperature: float, gravity: float, metals: Any) -> Any:
    low, high = -4.0, 6.0
    for _ in range(45):
        middle = 0.5 * (low + high)
        if _imbalance(middle, temperature, gravity, metals)[0] > 0:
            high = middle
        else:
            low = middle
    _, pressure, neutral = _imbalance(high, temperature, gravity, metals)
    return 10.0**high, pressure, neutral


def layer(teff: float, logg: float, metallicity: float, alpha: float = 0.0) -> Layer:
    """Line-forming layer of a star: 0.93 Teff, hydrostatic and charge balance at optical depth 2/3.

    Effective temperature in Kelvin, log10 of the surface gravity in cm/s^2, [M/H] in dex, and
    [alpha/M] in dex, here of magnesium, silicon and calcium.
    """
    temperature = 0.93 * teff
    metals = 10.0 ** (metallicity + alpha * _ALPHA_DONORS)
    metals[0] = 1.0
    electron, gas, neutral = _solve(temperature, 10.0**logg, metals)
    return Layer(temperature, electron, gas, neutral)


def stage_fractions(state: Layer, species: NDArray[np.void]) -> NDArray[np.float64]:
    """Fraction of each species' element in its own ionization stage, over its partition function.

    `species` has the fields of `lines.SPECIES`; shape (s,) in, shape (s,) out.
    """
    t, pe = state.temperature, state.electron_pressure
    first = saha(t, pe, species["ip1"], 2 * species["u1"] / species["u0"])
    second = first * saha(t, pe, species["ip2"], 2 * species["u2"] / species["u1"])
    total = 1.0 + first + second
    neutral = species["ion"] == 0
    return np.asarray(
        np.where(neutral, 1.0 / species["u0"], first / species["u1"]) / total, dtype=np.float64
    )


def hydrogen_second_level(state: Layer) -> float:
    """Fraction of hydrogen nuclei in n = 2, from which the Balmer lines absorb."""
    return float(state.neutral_hydrogen * 4.0 * 10.0 ** (-10.199 * 5040.0 / state.temperature))
