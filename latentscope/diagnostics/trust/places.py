"""Tests of two numbers of a row: how empty its place among the latents is, and its resolution."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from latentscope.diagnostics.trust.sample import Sample
from latentscope.diagnostics.trust.tails import percent_below, share_above

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

FEWEST = 100
"""Rows that a reference needs."""

NEIGHBORS = 10
"""The density at a place is judged by the distance of the tenth nearest row of the reference."""


class Judged(NamedTuple):
    """What a test says of rows: p-value of being ordinary, and percentile; NaN where it cannot."""

    p: Floats
    percentile: Floats

    @classmethod
    def unknown(cls, n: int) -> Judged:
        """Of n rows of which the test can say nothing; to be filled."""
        return cls(np.full(n, np.nan), np.full(n, np.nan))


class Density:
    """Distance of the tenth nearest reference row over standardised informative dimensions."""

    def __init__(self, sample: Sample, dims: Rows) -> None:
        self._dims = dims
        values = sample.values[:, dims]
        self.own = Judged.unknown(len(sample))
        if not len(dims):
            return
        self._scale = values.std(axis=0)
        self._tree = cKDTree(values / self._scale)
        self._reference = self._kth(values / self._scale, NEIGHBORS + 1)
        self.own = self._judged(self._reference)

    def judge(self, sample: Sample) -> Judged:
        """Judge rows; the percentile is that of the density: 0 is emptier than all reference."""
        out = Judged.unknown(len(sample))
        if not len(self._dims):
            return out
        ok = np.isfinite(sample.values).all(axis=1)
        found = self._judged(self._kth(sample.values[ok][:, self._dims] / self._scale, NEIGHBORS))
        out.p[ok], out.percentile[ok] = found
        return out

    def _kth(self, points: Floats, k: int) -> Floats:
        distance, _ = self._tree.query(points, [k])
        return np.asarray(distance, dtype=np.float64).reshape(len(points))

    def _judged(self, distance: Floats) -> Judged:
        percentile = percent_below(-self._reference, -distance)
        return Judged(share_above(self._reference, distance), percentile)


class Resolution:
    """Measured resolving power, to both sides of the reference's median."""

    def __init__(self, sample: Sample) -> None:
        known = sample.resolution[np.isfinite(sample.resolution)]
        self._reference = known if len(known) >= max(FEWEST, len(sample) / 2) else None
        self.own = self.judge(sample)

    def judge(self, sample: Sample) -> Judged:
        """Judge rows; the percentile is that of the resolving power."""
        if self._reference is None:
            return Judged.unknown(len(sample))
        middle, given = float(np.median(self._reference)), sample.resolution
        low = share_above(middle / self._reference, middle / given)
        high = share_above(self._reference / middle, given / middle)
        p = np.minimum(2 * np.minimum(low, high), 1.0)
        return Judged(p, percent_below(self._reference, given))
