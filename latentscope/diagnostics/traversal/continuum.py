"""Colour and slope of the continuum."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.traversal.regression import rate
from latentscope.diagnostics.traversal.velocity import Floats

BLUE, VISUAL = (3920.0, 4810.0), (5030.0, 5870.0)
"""Boxes about as wide as Johnson's B and V, Angstrom."""

_BLOCKS = 100
_COVERED = 0.9


class Slope(NamedTuple):
    """d ln(flux / base) / d ln(wavelength), positive: redder than the base; and its error."""

    value: float
    error: float


def colour(flux: NDArray[np.floating[Any]], wavelength: Floats, valid: NDArray[np.bool_]) -> float:
    """Colour like B - V in magnitudes, without a zero point: larger is redder.

    -2.5 log10 of the mean flux in 3920-4810 Angstrom over that in 5030-5870. NaN if a box is less
    than 90 % covered, or holds no light.
    """
    means = []
    for first, last in (BLUE, VISUAL):
        box = (wavelength >= first) & (wavelength <= last)
        reach = min(wavelength[-1], last) - max(wavelength[0], first)
        if reach < _COVERED * (last - first) or valid[box].mean() < _COVERED:
            return float("nan")
        means.append(float(flux[box & valid].mean(dtype=np.float64)))
    if min(means) <= 0:
        return float("nan")
    return float(-2.5 * np.log10(means[0] / means[1]))


def slope(
    flux: NDArray[np.floating[Any]],
    base: NDArray[np.floating[Any]],
    wavelength: Floats,
    valid: NDArray[np.bool_],
) -> Slope:
    """Slope of the continuum against the base's.

    The spectra are summed in 100 blocks of pixels, in which shifts of lines cancel; ln of the ratio
    is regressed on ln(wavelength), with the error of that regression. NaN if fewer than three
    blocks hold light.
    """
    pixels = np.array_split(np.flatnonzero(valid), min(_BLOCKS, max(int(valid.sum()) // 8, 1)))
    light = np.array([[flux[p].sum(), base[p].sum(), wavelength[p].mean()] for p in pixels])
    bright = (light[:, :2] > 0).all(axis=1)
    if bright.sum() < 3:
        return Slope(float("nan"), float("nan"))
    above, below, place = light[bright].T.astype(np.float64)
    found = rate(np.log(place), np.log(above / below))
    return Slope(found.value, found.error)
