"""The one form in which a spectrum travels: arrays, medium, frame and what its header said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from latentscope.compiled import njit
from latentscope.errors import SpectrumError

Medium = Literal["air", "vacuum"]
Frame = Literal["topocentric", "barycentric", "rest"]


@dataclass(frozen=True, repr=False)
class Spectrum:
    """One spectrum: wavelength in Angstrom (ascending), flux in any linear unit.

    Parameters
    ----------
    wavelength : ndarray of float64, shape (n,)
        Pixel centers in Angstrom, strictly ascending.
    flux : ndarray of float32 or float64, shape (n,)
        Flux as in the file; NaN where there is none.
    medium : {"air", "vacuum"}
        What the wavelengths were measured in.
    frame : {"topocentric", "barycentric", "rest"}
        Whose velocity the wavelengths are corrected to.
    ivar : ndarray of shape (n,), optional
        Inverse variance of the flux.
    mask : ndarray of bool, shape (n,), optional
        True marks a pixel to ignore.
    rv : float, optional
        Radial velocity of the star in km/s, receding positive, where the header tells.
    berv : float, optional
        Barycentric correction of the observer in km/s, where the header tells.
    meta : dict
        `file`, `format`, `object`, `star`, `archive_id`, `snr`, `airmass`, ... where known;
        `assumed` lists in words what the file did not say.

    Raises
    ------
    SpectrumError
        If the arrays differ in length, wavelengths do not ascend, or a choice is unknown.

    Examples
    --------
    >>> spectrum = Spectrum(np.linspace(5000, 5001, 101), np.ones(101))
    >>> spectrum.medium, spectrum.frame
    ('air', 'barycentric')
    """

    wavelength: NDArray[np.float64]
    flux: NDArray[np.floating[Any]]
    medium: Medium = "air"
    frame: Frame = "barycentric"
    ivar: NDArray[np.floating[Any]] | None = None
    mask: NDArray[np.bool_] | None = None
    rv: float | None = None
    berv: float | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name = self.meta.get("file", "the spectrum")
        shape = np.shape(self.wavelength)
        if len(shape) != 1 or shape[0] < 2:
            raise SpectrumError(f"{name}: wavelength has shape {shape}; expected (n,) with n >= 2")
        for what, array in (("flux", self.flux), ("ivar", self.ivar), ("mask", self.mask)):
            if array is not None and np.shape(array) != shape:
                raise SpectrumError(
                    f"{name}: {what} has shape {np.shape(array)}, wavelength {shape}; "
                    "expected one value per wavelength"
                )
        # Everything downstream finds pixels by bisection, which needs them in order.
        if not ascends(np.asarray(self.wavelength)):
            raise SpectrumError(
                f"{name}: wavelengths do not ascend strictly; sort them and drop repeats"
            )
        for what, choices in (("medium", get_args(Medium)), ("frame", get_args(Frame))):
            value = getattr(self, what)
            if value not in choices:
                raise SpectrumError(
                    f"{name}: {what} is {value!r}; expected one of {', '.join(choices)}"
                )

    def __len__(self) -> int:
        return len(self.wavelength)

    def __repr__(self) -> str:
        name = self.meta.get("object") or self.meta.get("file") or "no name"
        ends = f"{self.wavelength[0]:.1f} to {self.wavelength[-1]:.1f} Angstrom"
        rv = "" if self.rv is None else f", {self.rv:+.3f} km/s"
        return f"Spectrum of {name}: {len(self):,} pixels, {ends}, {self.medium}, {self.frame}{rv}"


@njit(nogil=True)
def ascends(values: NDArray[Any]) -> bool:
    """Whether each of the values (n,) is larger than the one before; NaN is not."""
    found = True
    for i in range(1, len(values)):
        found &= values[i] > values[i - 1]  # all of them: without a branch it runs in vectors
    return found
