"""Air and vacuum, moving frames: what happens to wavelengths, never to fluxes.

Air is standard air (15 C, 1 atm, 0.045 % CO2) in the form that the IAU adopted from the refractive
index of Birch & Downs (1994, Metrologia 31, 315), as written by Morton (2000, ApJS 130, 403).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.spectrum import Frame, Medium, Spectrum

SPEED_OF_LIGHT = 299792.458
"""Kilometres per second."""

SHORTEST_AIR = 2000.0
"""Angstrom; below it wavelengths are given in vacuum by convention, and the formula is not used."""


def vacuum_to_air(wavelength: ArrayLike) -> NDArray[np.float64]:
    """Air wavelengths, in Angstrom, of vacuum wavelengths in Angstrom.

    The vacuum wavelength divided by the refractive index of Morton (2000), equation 8.

    Parameters
    ----------
    wavelength : array_like, any shape
        Vacuum wavelengths in Angstrom, 2000 or longer. NaN stays NaN.

    Returns
    -------
    ndarray of float64, same shape
        Wavelengths in standard air, shorter than those given.

    Raises
    ------
    SpectrumError
        If a wavelength lies below 2000 Angstrom, where air wavelengths are not in use.
    """
    vacuum = _checked(wavelength, SHORTEST_AIR)
    return np.asarray(vacuum / _refractive_index(vacuum))


def air_to_vacuum(wavelength: ArrayLike) -> NDArray[np.float64]:
    """Vacuum wavelengths, in Angstrom, of air wavelengths in Angstrom.

    The refractive index belongs to the vacuum wavelength, so that ``vacuum = air * n(vacuum)`` is
    iterated; it contracts by 1e-4 or better a step, and three steps invert `vacuum_to_air` to the
    rounding of float64.

    Parameters
    ----------
    wavelength : array_like, any shape
        Wavelengths in standard air, Angstrom, from the air wavelength of 2000 Angstrom on.

    Returns
    -------
    ndarray of float64, same shape
        Vacuum wavelengths, longer than those given.

    Raises
    ------
    SpectrumError
        If a wavelength lies below the range of `vacuum_to_air`.
    """
    air = _checked(wavelength, SHORTEST_AIR - 1.0)
    vacuum = air
    for _ in range(3):
        vacuum = air * _refractive_index(vacuum)
    return np.asarray(vacuum)


def doppler_shift(wavelength: ArrayLike, rv: float) -> NDArray[np.float64]:
    """Wavelengths of light whose source recedes at `rv` km/s, relativistic.

    ``wavelength * sqrt((1 + b) / (1 - b))`` with ``b = rv / c``: purely radial motion. Shifts by
    `rv` and by ``-rv`` undo each other exactly.

    Parameters
    ----------
    wavelength : array_like, any shape
        Wavelengths at rest relative to the source, any unit.
    rv : float
        Radial velocity in km/s, receding positive (to the red).

    Returns
    -------
    ndarray of float64, same shape

    Raises
    ------
    SpectrumError
        If `rv` is not a number below the speed of light.
    """
    beta = rv / SPEED_OF_LIGHT
    if not abs(beta) < 1.0:
        raise SpectrumError(f"rv is {rv} km/s; wanted a finite velocity below that of light")
    return np.asarray(np.asarray(wavelength, np.float64) * np.sqrt((1.0 + beta) / (1.0 - beta)))


def convert(spectrum: Spectrum, medium: Medium, frame: Frame) -> Spectrum:
    """Bring wavelengths to another medium and frame; fluxes stay untouched.

    Topocentric wavelengths are multiplied by the Doppler factor of ``+berv`` to become
    barycentric, barycentric ones by that of ``-rv`` to become rest wavelengths. Where the medium
    changes too, the shift is done in vacuum; where it does not, wavelengths are multiplied as they
    are, as the ESO pipelines do with air wavelengths (the difference is below 1e-8 relative).

    Parameters
    ----------
    spectrum : Spectrum
        With `berv` (topocentric to barycentric) and `rv` (to rest) in km/s where they are needed.
    medium : {"air", "vacuum"}
        The medium wanted.
    frame : {"topocentric", "barycentric", "rest"}
        The frame wanted.

    Returns
    -------
    Spectrum
        `spectrum` itself if nothing changes.

    Raises
    ------
    SpectrumError
        If a velocity is needed and unknown, or wavelengths lie outside the air formula.
    """
    if (spectrum.medium, spectrum.frame) == (medium, frame):
        return spectrum
    try:
        wavelength = spectrum.wavelength
        if spectrum.medium == "air" and medium == "vacuum":
            wavelength = air_to_vacuum(wavelength)
        wavelength = doppler_shift(wavelength, _frame_velocity(spectrum, frame))
        if spectrum.medium == "vacuum" and medium == "air":
            wavelength = vacuum_to_air(wavelength)
    except SpectrumError as error:
        name = spectrum.meta.get("file", "the spectrum")
        raise SpectrumError(f"{name}: {error}") from None
    return replace(spectrum, wavelength=wavelength, medium=medium, frame=frame)


def _refractive_index(vacuum: NDArray[np.float64]) -> NDArray[np.float64]:
    """Morton (2000), equation 8; `vacuum` in Angstrom."""
    s2 = (1e4 / vacuum) ** 2
    return 1.0 + 8.34254e-5 + 2.406147e-2 / (130.0 - s2) + 1.5998e-4 / (38.9 - s2)


def _checked(wavelength: ArrayLike, shortest: float) -> NDArray[np.float64]:
    values = np.asarray(wavelength, dtype=np.float64)
    if np.any(values < shortest):
        raise SpectrumError(
            f"the shortest wavelength is {np.nanmin(values):.6g} Angstrom; air wavelengths are "
            f"defined from {SHORTEST_AIR:.0f} Angstrom on: cut the spectrum there"
        )
    return values


def _frame_velocity(spectrum: Spectrum, frame: Frame) -> float:
    """Velocity in km/s whose Doppler factor brings the spectrum to `frame`."""
    start, goal = spectrum.frame, frame
    velocity = 0.0
    if "topocentric" in (start, goal) and start != goal:
        berv = _needed(spectrum, "berv", goal)
        velocity = berv if start == "topocentric" else -berv
    if "rest" in (start, goal) and start != goal:
        rv = _needed(spectrum, "rv", goal)
        velocity = _compose(velocity, -rv if goal == "rest" else rv)
    return velocity


def _compose(first: float, second: float) -> float:
    """Relativistic sum of two radial velocities in km/s: their Doppler factors multiply."""
    return (first + second) / (1.0 + first * second / SPEED_OF_LIGHT**2)


def _needed(spectrum: Spectrum, what: str, goal: Frame) -> float:
    value = getattr(spectrum, what)
    if value is None or not np.isfinite(value):
        raise SpectrumError(
            f"the {spectrum.frame} wavelengths cannot be made {goal}: {what} is unknown; "
            f"give it with dataclasses.replace(spectrum, {what}=...) in km/s"
        )
    return float(value)
