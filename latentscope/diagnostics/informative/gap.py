"""The gap between dimensions that vary and those that a network has switched off.

Deviations of switched-off dimensions lie together, orders of magnitude below those that carry
something. On a logarithmic scale that is a gap, and no smooth distribution of deviations has one.
Two tests find it; either is enough. With x the sorted logarithms of d deviations:

Spacings. Where the density falls off like an exponential on either side, spacings times the number
of points beyond them, s_i = min(i, d - i) (x_(i+1) - x_i), are exponential and independent, all of
one mean (A. Renyi, "On the theory of order statistics", Acta Math. Acad. Sci. Hung. 4, 191, 1953).
So s_i over the mean of the m = d - 2 others is larger than r with a probability of (1 + r/m)^-m. We
allow for twice the mean, since lumps of another shape have uneven spacings.

Width. A gap R times as wide as all the rest of the range has, among points spread evenly, a
probability of at most (d - 1) (1 + R)^-m (W. A. Whitworth, "Choice and Chance", 1901).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_FEWEST = 4
_LEAST_FACTOR = 3.0
_AS_GOOD_AS_CONSTANT = 1e-3
_LEVELS = (0.001, 0.01)
_UNEVEN = 2.0
_LEAST_WIDTH = 2.0


@dataclass(frozen=True)
class Gap:
    """The gap in the deviations of dimensions, or why there is none.

    Parameters
    ----------
    threshold : float or None
        Geometric middle of the gap, in units of the latents; None where there is no gap.
    below, above : float
        Largest deviation of the floor and smallest of the rest; NaN without a gap. A floor below a
        thousandth of the largest deviation of all is put there.
    reason : str
        What was found, or why there is no threshold, in words.
    """

    threshold: float | None
    below: float
    above: float
    reason: str


def find_gap(deviations: Floats) -> Gap:
    """Find the gap between the noise floor and the rest.

    Deviations below a thousandth of the largest are taken for equal: they hold less than a
    millionth of its variance, and how they differ says nothing of where information ends. Of
    several gaps the lowest counts. A gap is a factor of 3 at least.

    Of 1,500 samples of 8 ... 256 dimensions without a gap (log-uniform over one or three decades,
    or log-normal with 0.3 or 1 decade), at most 1.5 % have one by these tests; of those with long
    tails (Laplace, Student t of 3 degrees on the logarithmic scale) 2 to 19 %, as single far
    dimensions are what they are made of.

    Parameters
    ----------
    deviations : ndarray of float64, shape (d,)
        Not negative.

    Returns
    -------
    Gap
    """
    largest = float(deviations.max())
    if largest == 0:
        return _none("every dimension is constant")
    if len(deviations) < _FEWEST:
        return _none(
            f"{len(deviations)} dimensions are too few to tell a gap; {_FEWEST} are wanted"
        )
    ascending = np.sort(np.maximum(deviations, _AS_GOOD_AS_CONSTANT * largest))
    places = np.flatnonzero(_stands_out(np.log(ascending)))
    if not len(places):
        return _none(_without_gap(ascending))
    below, above = float(ascending[places[0]]), float(ascending[places[0] + 1])
    reason = f"gap from {below:.2g} to {above:.2g}, a factor of {above / below:.3g}"
    return Gap(float(np.sqrt(below * above)), below, above, reason)


def _none(reason: str) -> Gap:
    return Gap(None, float("nan"), float("nan"), reason)


def _without_gap(ascending: Floats) -> str:
    factor = float(np.max(ascending[1:] / ascending[:-1]))
    span = float(ascending[-1] / ascending[0])
    if span < _LEAST_FACTOR:
        return f"all deviations lie within a factor of {span:.2g}: all dimensions vary, or none"
    return (
        f"no gap stands out: deviations span a factor of {span:.3g}, and neighbours among them "
        f"differ by {factor:.2g} at most"
    )


def _stands_out(x: Floats) -> NDArray[np.bool_]:
    """Tell which spacings of ascending points are gaps, shape (d,) -> (d - 1,)."""
    spacing, others = np.diff(x), len(x) - 2
    tiny = np.finfo(np.float64).tiny
    number = np.arange(1, len(x))
    scaled = np.minimum(number, number[::-1]) * spacing
    mean_of_others = np.maximum((scaled.sum() - scaled) / others, tiny)
    width = spacing / np.maximum(x[-1] - x[0] - spacing, tiny)
    by_spacings = (1 + scaled / (_UNEVEN * others * mean_of_others)) ** -float(others)
    by_width = (1 + width) ** -float(others)
    first, second = (level / len(spacing) for level in _LEVELS)
    gaps = (by_spacings < first) | ((by_width < second) & (width > _LEAST_WIDTH))
    found: NDArray[np.bool_] = gaps & (spacing >= np.log(_LEAST_FACTOR))
    return found
