"""Deviation of a dimension, and the threshold above which it is informative.

A median absolute deviation above 0.02 is that of Sedaghat et al. 2021, MNRAS 501, 6026, section
4.2, for latents with a unit Gaussian prior. A model may have its own threshold; for latents with
neither, it is estimated from the deviations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentscope.data import Latents

Floats = NDArray[np.float64]
ThresholdFrom = Literal["asked", "model", "published", "estimated", "varying"]

THRESHOLD = 0.02
"""Of the median absolute deviation, unscaled, of latents with a unit Gaussian prior."""

MAD_OF_NORMAL = 0.6745
"""Median absolute deviation of a Gaussian over its standard deviation."""

_MAD_OF_MEAN = 0.8453  # median absolute deviation of a Gaussian over its mean absolute deviation
_MIN_DIMS = 4
_MIN_FACTOR = 3.0
AS_GOOD_AS_CONSTANT = 1e-3
"""Share of the largest deviation below which a dimension does not vary."""

OF_WIDEST = 0.01
"""Threshold, as a share of the largest deviation, where there is no other."""

# Chance, over all spacings, of a gap where there is none: by spacings, and by width.
_LEVELS = (0.001, 0.01)
_UNEVEN = 2.0
# Of a gap found by its width, over that of the rest of the range.
_MIN_WIDTH = 2.0

SAID_BY: dict[str, str] = {
    "asked": "as asked for",
    "model": "of the model that made them",
    "published": "that of the published network, whose latents have a unit Gaussian prior, as "
    "these seem to have: their log variance is known, but no model says a threshold",
    "estimated": "estimated from the deviations, since no model says one",
    "varying": "a hundredth of the widest, since no model says one and no gap shows",
}
"""Source of the threshold, in words."""


def deviation(column: Floats) -> float:
    """Median absolute deviation of a column, shape (n,), unscaled.

    Where that is 0, since half of the values or more are equal (zeros of a ReLU), it is the mean
    absolute deviation from the median times 0.845, which is the same for a Gaussian.
    """
    # The mean of equal numbers can miss them by a rounding error.
    if column.min() == column.max():
        return 0.0
    distance = np.abs(column - np.median(column))
    return float(np.median(distance)) or float(distance.mean()) * _MAD_OF_MEAN


def with_threshold(latents: Latents, info: Mapping[str, Any]) -> Latents:
    """Return latents whose provenance has the threshold of their model's config.json, `info`."""
    provenance = {**latents.provenance, "mad_threshold": info.get("mad_threshold")}
    return replace(latents, provenance=provenance)


def choose_threshold(latents: Latents, deviations: Floats) -> tuple[float, ThresholdFrom]:
    """Choose the deviation above which a dimension is informative, and say where it comes from.

    That of the model; else 0.02 for latents with log variances, which have a prior; else the gap in
    the deviations (d,); else a hundredth of the largest.
    """
    given = latents.mad_threshold
    if given is not None:
        return given, "model"
    if latents.logvar is not None:
        return THRESHOLD, "published"
    gap = find_gap(deviations)
    if gap.threshold is not None:
        return gap.threshold, "estimated"
    return OF_WIDEST * float(deviations.max()), "varying"


@dataclass(frozen=True)
class Gap:
    """The gap in the deviations of dimensions, or why there is none, in words.

    `threshold` is its geometric middle (None without a gap), `below` the largest deviation of the
    floor, at least a thousandth of the largest of all, `above` the smallest of the rest.
    """

    reason: str
    threshold: float | None = None
    below: float = float("nan")
    above: float = float("nan")


def find_gap(deviations: Floats) -> Gap:
    """Find the gap between the noise floor and the rest of deviations (d,), 0 or more.

    The lowest of several; a factor of 3 at least. Deviations below a thousandth of the largest, a
    millionth of its variance, are taken for equal.

    Of 1,500 samples of 8 ... 256 dimensions without a gap (log-uniform over one or three decades,
    log-normal with 0.3 or 1 decade), at most 1.5 % seem to have one; of samples with long tails
    (Laplace, Student t of 3 degrees, in the logarithm) 2 to 19 %.
    """
    largest = float(deviations.max())
    if largest == 0:
        return Gap(reason="every dimension is constant")
    if len(deviations) < _MIN_DIMS:
        return Gap(
            f"{len(deviations)} dimensions are too few to tell a gap; {_MIN_DIMS} are needed"
        )
    ascending = np.sort(np.maximum(deviations, AS_GOOD_AS_CONSTANT * largest))
    places = np.flatnonzero(_stands_out(np.log(ascending)))
    if not len(places):
        factor = float(np.max(ascending[1:] / ascending[:-1]))
        span = float(ascending[-1] / ascending[0])
        if span < _MIN_FACTOR:
            alike = f"all deviations lie within a factor of {span:.2g}"
            return Gap(reason=f"{alike}: all dimensions vary, or none")
        return Gap(
            reason=f"no gap stands out: deviations span a factor of {span:.3g}, and neighbors "
            f"among them differ by {factor:.2g} at most"
        )
    below, above = float(ascending[places[0]]), float(ascending[places[0] + 1])
    reason = f"gap from {below:.2g} to {above:.2g}, a factor of {above / below:.3g}"
    return Gap(reason, float(np.sqrt(below * above)), below, above)


def _stands_out(x: Floats) -> NDArray[np.bool_]:
    """Which spacings of ascending points x are gaps, (d,) -> (d - 1,), by either of two tests.

    Spacings. Where the density falls off like an exponential on either side, spacings times the
    number of points beyond them, s_i = min(i, d - i) (x_(i+1) - x_i), are exponential and
    independent, with one mean (A. Renyi, Acta Math. Acad. Sci. Hung. 4, 191, 1953). So s_i over the
    mean of the m = d - 2 others exceeds r with a probability of (1 + r/m)^-m. Twice the mean is
    allowed, since lumps of another shape have uneven spacings.

    Width. A gap R times as wide as the rest of the range has, among points spread evenly, a
    probability of at most (d - 1) (1 + R)^-m (W. A. Whitworth, "Choice and Chance", 1901).
    """
    spacing, others = np.diff(x), len(x) - 2
    tiny = np.finfo(np.float64).tiny
    number = np.arange(1, len(x))
    scaled = np.minimum(number, number[::-1]) * spacing
    mean_of_others = np.maximum((scaled.sum() - scaled) / others, tiny)
    width = spacing / np.maximum(x[-1] - x[0] - spacing, tiny)
    by_spacings = (1 + scaled / (_UNEVEN * others * mean_of_others)) ** -float(others)
    by_width = (1 + width) ** -float(others)
    first, second = (level / len(spacing) for level in _LEVELS)
    gaps = (by_spacings < first) | ((by_width < second) & (width > _MIN_WIDTH))
    found: NDArray[np.bool_] = gaps & (spacing >= np.log(_MIN_FACTOR))
    return found
