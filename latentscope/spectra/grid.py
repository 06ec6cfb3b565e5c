"""A model's wavelength grid: linear or logarithmic, with padding and gaps."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.spectrum import Frame, Medium

Kind = Literal["linear", "log"]

# Wavelengths closer than this (Angstrom) are the same wavelength: a file whose pixels lie this near
# to the grid needs no resampling, and a pixel centre this near to the end of a gap lies in the gap.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Grid:
    """A model's wavelength grid.

    Parameters
    ----------
    kind : {"linear", "log"}
        Equal steps in wavelength or in its natural logarithm.
    start : float
        Centre of the first science pixel in Angstrom.
    step : float
        Angstrom (linear) or step in ln(wavelength) (log).
    length : int
        Number of science pixels, without padding.
    pad_left, pad_right : int
        Pixels of zeros that a model wants before and after the science pixels.
    medium : {"air", "vacuum"}
        What the wavelengths of the grid are measured in.
    frame : {"topocentric", "barycentric", "rest"}
        Frame of the wavelengths of the grid.
    gaps : tuple of (float, float)
        Closed intervals in Angstrom; a pixel whose centre lies inside (to 1e-5 Angstrom) is invalid
        whatever the file holds there.

    Raises
    ------
    SpectrumError
        If a value makes no grid.
    """

    kind: Kind
    start: float
    step: float
    length: int
    pad_left: int = 0
    pad_right: int = 0
    medium: Medium = "air"
    frame: Frame = "barycentric"
    gaps: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        for what, known in (("kind", Kind), ("medium", Medium), ("frame", Frame)):
            check_choice(f"grid {what}", getattr(self, what), get_args(known))
        if not (0 < self.start < math.inf and 0 < self.step < math.inf):
            raise SpectrumError(
                f"grid: start {self.start} and step {self.step}; wanted positive numbers in "
                "Angstrom (step of a log grid: in ln(wavelength))"
            )
        if self.length < 2 or self.pad_left < 0 or self.pad_right < 0:
            raise SpectrumError(
                f"grid: length {self.length}, padding {self.pad_left} and {self.pad_right}; "
                "wanted at least 2 pixels and no negative padding"
            )
        object.__setattr__(self, "gaps", _checked_gaps(self.gaps))

    @property
    def wavelength(self) -> NDArray[np.float64]:
        """Centres of the science pixels in Angstrom, shape (length,); read-only."""
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

    def to_dict(self) -> dict[str, Any]:
        """Return the grid as plain JSON values."""
        return dataclasses.asdict(self) | {"gaps": [list(gap) for gap in self.gaps]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Grid:
        """Build a grid from `to_dict`'s values.

        Raises
        ------
        SpectrumError
            If a key is unknown or missing, or a value makes no grid.
        """
        check_keys("grid", cls, values)
        return cls(**values)


def check_choice(what: str, value: str, known: tuple[str, ...]) -> None:
    """Raise SpectrumError unless `value` is one of `known`."""
    if value not in known:
        raise SpectrumError(f"{what} is {value!r}; wanted one of {', '.join(known)}")


def check_keys(what: str, kind: type[Any], values: dict[str, Any]) -> None:
    """Raise SpectrumError unless `values` names fields of the dataclass `kind` and none lacks."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise SpectrumError(f"{what}: unknown {', '.join(unknown)}; known are {', '.join(fields)}")
    missing = [
        name
        for name, f in fields.items()
        if name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise SpectrumError(f"{what}: {', '.join(missing)} missing; add to the configuration")


def _checked_gaps(gaps: Any) -> tuple[tuple[float, float], ...]:
    pairs = tuple(tuple(float(end) for end in gap) for gap in gaps)
    for pair in pairs:
        if len(pair) != 2 or not pair[0] <= pair[1]:
            raise SpectrumError(f"grid: gap {pair}; wanted (first, last) in Angstrom, ascending")
    return tuple((pair[0], pair[1]) for pair in pairs)


@lru_cache(maxsize=16)
def _arrays(
    grid: Grid,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    centre = np.arange(grid.length, dtype=np.float64)
    border = np.arange(grid.length + 1, dtype=np.float64) - 0.5
    if grid.kind == "linear":
        wavelength = grid.start + grid.step * centre
        edges = grid.start + grid.step * border
    else:
        wavelength = grid.start * np.exp(grid.step * centre)
        edges = grid.start * np.exp(grid.step * border)
    gap = np.zeros(grid.length, dtype=np.bool_)
    for first, last in grid.gaps:
        gap |= (wavelength >= first - TOLERANCE) & (wavelength <= last + TOLERANCE)
    for array in (wavelength, edges, gap):
        array.flags.writeable = False
    return wavelength, edges, gap
