"""Wavelengths: media, moving frames, units, grids of models.

Air is standard air (15 C, 1 atm, 0.045 % CO2) in the form that the IAU adopted from the refractive
index of Birch & Downs (1994, Metrologia 31, 315), as written by Morton (2000, ApJS 130, 403).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from functools import lru_cache
from typing import Literal, Self

import numpy as np
import pydantic
from numpy.typing import ArrayLike, NDArray

from latentscope.errors import SpectrumError
from latentscope.settings import settings
from latentscope.spectra.spectrum import Frame, Medium, Spectrum

SPEED_OF_LIGHT = 299792.458
"""Kilometers per second."""

SHORTEST_AIR = 2000.0
"""Angstrom; below it wavelengths are given in vacuum by convention, and the formula is not used."""


def vacuum_to_air(wavelength: ArrayLike) -> NDArray[np.float64]:
    """Air wavelengths, in Angstrom, of vacuum wavelengths in Angstrom, of any shape.

    The vacuum wavelength divided by the refractive index of Morton (2000), equation 8. NaN stays
    NaN.

    Raises
    ------
    SpectrumError
        If a wavelength lies below 2000 Angstrom, where air wavelengths are not in use.
    """
    vacuum = _checked(wavelength, SHORTEST_AIR)
    return np.asarray(vacuum / _refractive_index(vacuum))


def air_to_vacuum(wavelength: ArrayLike) -> NDArray[np.float64]:
    """Vacuum wavelengths, in Angstrom, of air wavelengths in Angstrom, of any shape.

    The refractive index belongs to the vacuum wavelength, so that ``vacuum = air * n(vacuum)`` is
    iterated; it contracts by 1e-4 or better a step, and three steps invert `vacuum_to_air` to the
    rounding of float64.

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
    """Wavelengths of light whose source recedes at `rv` km/s (to the red), relativistic.

    ``wavelength * sqrt((1 + b) / (1 - b))`` with ``b = rv / c``: purely radial motion. Shifts by
    `rv` and by ``-rv`` undo each other exactly. Wavelengths may have any unit and shape.

    Raises
    ------
    SpectrumError
        If `rv` is not a number below the speed of light.
    """
    beta = rv / SPEED_OF_LIGHT
    if not abs(beta) < 1.0:
        raise SpectrumError(f"rv is {rv} km/s; expected a finite velocity below that of light")
    return np.asarray(np.asarray(wavelength, np.float64) * np.sqrt((1.0 + beta) / (1.0 - beta)))


def convert(spectrum: Spectrum, medium: Medium, frame: Frame) -> Spectrum:
    """Bring wavelengths to another medium and frame; fluxes stay untouched.

    Topocentric wavelengths are multiplied by the Doppler factor of ``+berv`` to become
    barycentric, barycentric ones by that of ``-rv`` to become rest wavelengths. Where the medium
    changes too, the shift is done in vacuum; where it does not, wavelengths are multiplied as they
    are, as the ESO pipelines do with air wavelengths (the difference is below 1e-8 relative).

    A spectrum whose medium and frame are these already comes back itself.

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
    # Barycentric is the middle of the three: to or from rest and topocentric goes through it.
    velocity = 0.0
    if "topocentric" in (start, goal) and start != goal:
        berv = _velocity(spectrum, "berv", goal)
        velocity = berv if start == "topocentric" else -berv
    if "rest" in (start, goal) and start != goal:
        rv = _velocity(spectrum, "rv", goal)
        second = -rv if goal == "rest" else rv
        # Doppler factors multiply, so that velocities add as relativity has it.
        velocity = (velocity + second) / (1.0 + velocity * second / SPEED_OF_LIGHT**2)
    return velocity


def _velocity(spectrum: Spectrum, name: str, goal: Frame) -> float:
    value = getattr(spectrum, name)
    if value is None or not np.isfinite(value):
        raise SpectrumError(
            f"the {spectrum.frame} wavelengths cannot be made {goal}: {name} is unknown; "
            f"give it with dataclasses.replace(spectrum, {name}=...) in km/s, or take the "
            f"wavelengths as they stand with --frame {goal} (frame={goal!r})"
        )
    return float(value)


UNITS = {
    "angstrom": 1.0, "a": 1.0, "aa": 1.0, "å": 1.0, "0.1nm": 1.0, "10-10m": 1.0, "1e-10m": 1.0,
    "nm": 10.0, "nanometer": 10.0, "nanometre": 10.0, "10-9m": 10.0, "1e-9m": 10.0,
    "um": 1e4, "μm": 1e4, "mum": 1e4, "micron": 1e4, "micrometer": 1e4, "micrometre": 1e4,
    "10-6m": 1e4, "1e-6m": 1e4, "pm": 0.01, "mm": 1e7, "cm": 1e8, "m": 1e10, "meter": 1e10,
    "metre": 1e10,
}  # fmt: skip
"""Angstrom per unit, by the unit's name as `angstrom_per` spells it."""

# Angstrom, Ångström, Ang., and misspelled.
_ANGSTROM = re.compile(r"[aå]n(?:gs?|s)t+r?[oöø]?e?[mn]+s?|[aå]ngs?t?r?")
_UNIT_WORDS = re.compile(
    r"(?<![a-z])(?:vac(?:uum)?|air|in|wave(?:length)?s?|lambda)(?![a-z])|(?:/|\bper\b) ?pix\w*"
)
_UNIT_ORNAMENT = re.compile(r"[\s()\[\]{}\"'*^$\\,;:_]|\.$")
_LOGARITHM = re.compile(r"(log10|log|lg|ln|dex)\s*([(\[\s]?)\s*(.*?)\s*[)\]]?", re.IGNORECASE)


@lru_cache(maxsize=256)
def angstrom_per(unit: str) -> float | None:
    """Angstrom in one `unit`, None if it is not a length that is known.

    The medium may stand beside it, as in "nm (vac)".
    """
    text = unicodedata.normalize("NFKC", unit).strip().lower()
    word = _UNIT_ORNAMENT.sub("", _UNIT_WORDS.sub("", text))
    if _ANGSTROM.fullmatch(word):
        word = "angstrom"
    return UNITS.get(word, UNITS.get(word.removesuffix("s")) if len(word) > 3 else None)


def logarithm_of(unit: str) -> tuple[str, str] | None:
    """Name of the logarithm and unit of the rest, as in ``log10(nm)``; None if it is no such."""
    found = _LOGARITHM.fullmatch(unit.strip())
    if found is None or not (found[2] or not found[3] or angstrom_per(found[3])):
        return None
    return found[1].lower(), found[3]


TOLERANCE = 1e-5
"""Angstrom; wavelengths closer than this are the same wavelength.

A file whose pixels lie this near to the grid needs no resampling, and a pixel center this near to
the end of a gap lies in the gap.
"""

MAX_PIXELS = 50_000_000
"""Of a grid: a row of more would take more memory than any spectrum needs."""


@settings(SpectrumError)
class Grid:
    """A model's wavelength grid.

    Attributes
    ----------
    kind : {"linear", "log"}
        Equal steps in wavelength or in its natural logarithm.
    start : float
        Center of the first science pixel in Angstrom.
    step : float
        Angstrom (linear) or step in ln(wavelength) (log).
    length : int
        Number of science pixels, without padding.
    pad_left, pad_right : int
        Pixels of zeros that a model expects before and after the science pixels.
    medium : {"air", "vacuum"}
        What the wavelengths of the grid are measured in.
    frame : {"topocentric", "barycentric", "rest"}
        Frame of the wavelengths of the grid.
    gaps : tuple of (float, float)
        Closed intervals in Angstrom; a pixel whose center lies inside (to 1e-5 Angstrom) is invalid
        whatever the file holds there.

    Raises
    ------
    SpectrumError
        If a value makes no grid.
    """

    kind: Literal["linear", "log"]
    start: float = pydantic.Field(gt=0)
    step: float = pydantic.Field(gt=0)
    length: int = pydantic.Field(ge=2, le=MAX_PIXELS, strict=True)
    pad_left: int = pydantic.Field(default=0, ge=0, le=MAX_PIXELS, strict=True)
    pad_right: int = pydantic.Field(default=0, ge=0, le=MAX_PIXELS, strict=True)
    medium: Medium = "air"
    frame: Frame = "barycentric"
    gaps: tuple[tuple[float, float], ...] = ()

    @pydantic.model_validator(mode="after")
    def _check_gaps(self) -> Self:
        for first, last in self.gaps:
            if first > last:
                raise ValueError(f"gap {(first, last)}; expected (first, last), ascending")
        return self

    @property
    def wavelength(self) -> NDArray[np.float64]:
        """Centers of the science pixels in Angstrom, shape (length,); read-only."""
        return _arrays(self)[0]

    @property
    def edges(self) -> NDArray[np.float64]:
        """Borders of the science pixels in Angstrom, shape (length + 1,); read-only."""
        return _arrays(self)[1]

    @property
    def gap_mask(self) -> NDArray[np.bool_]:
        """True for science pixels that lie in a gap, shape (length,); read-only."""
        return _arrays(self)[2]

    @property
    def size(self) -> int:
        """Number of pixels with padding."""
        return self.pad_left + self.length + self.pad_right


# Thousands of spectra share a grid, and a process uses few grids.
@lru_cache(maxsize=16)
def _arrays(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    center = np.arange(grid.length, dtype=np.float64)
    border = np.arange(grid.length + 1, dtype=np.float64) - 0.5
    linear = grid.kind == "linear"
    wavelength, edges = (
        grid.start + grid.step * at if linear else grid.start * np.exp(grid.step * at)
        for at in (center, border)
    )
    gap = np.zeros(grid.length, dtype=np.bool_)
    for first, last in grid.gaps:
        gap |= (wavelength >= first - TOLERANCE) & (wavelength <= last + TOLERANCE)
    for array in (wavelength, edges, gap):
        array.flags.writeable = False
    return wavelength, edges, gap
