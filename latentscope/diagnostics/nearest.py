"""Exact nearest rows of a sample, in units of the spread of each dimension.

Each dimension is centered on its median over the sample and divided by its spread, in float64. One
pass over all of these points measures the distances of a block of queries.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

import numba
import numpy as np
from numpy.typing import NDArray

from latentscope.compiled import njit
from latentscope.diagnostics.threads import in_order, may_spread, spread
from latentscope.errors import EstimatorError, LatentscopeWarning, shortened

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Progress = Callable[[int, int], None]
Metric = Literal["euclidean", "mahalanobis", "manhattan", "cosine"]
Spread = Literal["robust", "plain", "none"]

_NORMAL = 1.482602218505602  # standard deviation of a Gaussian over its median absolute deviation

# Rows that are read and converted at a time.
_CHUNK = 1 << 14
# Points that stay in the cache while all queries look at them, and queries that do so together.
_BLOCK = 512
_N_TOGETHER = 16
# Coordinates below which threads take longer to start than the search takes.
_WORTH_THREADS = 1 << 21


@dataclass(frozen=True, eq=False)
class Space:
    """A distance between rows of latents, over the dimensions `dims`, ascending.

    "euclidean" is the length of the difference of two rows in units of the spreads; "mahalanobis"
    the same after the sample's correlations are taken out (P. C. Mahalanobis 1936, Proc. Natl.
    Inst. Sci. India 2, 49); "manhattan" the sum of the absolute differences; "cosine" 1 minus the
    cosine of the angle at the sample's center. `center` and `spread`, shape (d,), are in units of
    the latents; `unmixing` (d, d) turns standardized rows into uncorrelated ones of variance 1.
    """

    dims: list[int]
    metric: Metric
    center: Floats
    spread: Floats
    unmixing: Floats | None = None

    def part(self, values: NDArray[np.floating[Any]], rows: Rows) -> Floats:
        """Rows of latents in these dimensions, shape (rows, d), float64."""
        return np.asarray(values[rows[:, None], self.dims], dtype=np.float64)

    def standardized(self, values: Floats) -> Floats:
        """Rows in spreads from the center, shape (m, d)."""
        return np.asarray((values - self.center) / self.spread)

    def points(self, values: Floats) -> Floats:
        """Rows as points (m, d), whose lengths of differences are distances, or chords of angles.

        NaN for a row at the center, which has no direction, where directions are compared.
        """
        rows = self.standardized(values)
        if self.unmixing is not None:
            mixed, rows = rows, np.zeros_like(rows)
            # Column by column: a product of matrices would treat equal rows unequally.
            for column, weights in zip(mixed.T, self.unmixing, strict=True):
                rows += column[:, None] * weights
        if self.metric == "cosine":
            length = np.sqrt((rows * rows).sum(axis=1))[:, None]
            with np.errstate(invalid="ignore"):
                rows = rows / np.where(length > 0, length, np.nan)
        return rows

    def distances(self, columns: Floats, queries: Floats) -> Floats:
        """Distances of points, as columns (d, n), from those of queries (m, d), shape (m, n)."""
        lengths = np.empty((len(queries), columns.shape[1]))
        busy = may_spread() and columns.size * len(queries) >= _WORTH_THREADS
        threads = int(numba.get_num_threads()) if busy else 1

        def measure(first: int, end: int) -> None:
            measure_lengths(columns, queries, self.metric == "manhattan", first, end, lengths)

        spread(measure, 0, columns.shape[1], threads)
        # 1 - cos would lose all digits of small angles.
        return lengths * lengths / 2 if self.metric == "cosine" else lengths


@njit(nogil=True)
def measure_lengths(
    columns: Any, queries: Any, absolute: bool, first: int, end: int, lengths: Any
) -> None:
    """Fill lengths[:, first:end] (m, n) with those of the differences of points and queries.

    Sums run over the columns in order, so that equal points are equally far to the last bit.
    """
    for start in range(first, end, _BLOCK):
        stop = min(start + _BLOCK, end)
        for m in range(len(queries)):
            row = lengths[m]
            row[start:stop] = 0.0
            for j in range(len(columns)):
                column, at = columns[j], queries[m, j]
                if absolute:
                    for i in range(start, stop):
                        row[i] += abs(column[i] - at)
                else:
                    for i in range(start, stop):
                        row[i] += (column[i] - at) * (column[i] - at)
            if not absolute:
                for i in range(start, stop):
                    row[i] = math.sqrt(row[i])


def measure_space(
    values: NDArray[np.floating[Any]],
    ok: NDArray[np.bool_],
    dims: list[int],
    metric: Metric,
    spread: Spread,
    source: str,
) -> Space:
    """Measure center, spread and correlations of the rows of a sample that are `ok`.

    "robust" is 1.4826 times the median absolute deviation, which is the standard deviation of a
    Gaussian; "plain" the standard deviation; "none" 1, the latents' own units. Dimensions without
    spread are left out with a warning.

    An EstimatorError if no dimension has a spread, or if some depend linearly on others though
    correlations are to be taken out.
    """
    for name, value, choices in (("metric", metric, Metric), ("spread", spread, Spread)):
        if value not in get_args(choices):
            one_of = ", ".join(get_args(choices))
            raise EstimatorError(f"{name} is {value!r}; expected one of {one_of}")
    if not ok.any():
        raise EstimatorError(f"{source}: none of {len(ok)} rows is finite; nothing to search")
    measured = [_center_and_spread(values[ok, dim].astype(np.float64), spread) for dim in dims]
    center, width = np.array(measured).T
    moves = width > 0
    if not moves.all():
        still = [str(dim) for dim in np.array(dims)[~moves]]
        advice = "; spread='plain' may find one" if spread == "robust" else ""
        reason = f"{source}: dims {shortened(still)} have no {spread} spread over the sample"
        if not moves.any():
            raise EstimatorError(f"{reason}{advice}; nothing to compare")
        warnings.warn(f"{reason}{advice}; left out", LatentscopeWarning, stacklevel=4)
        dims, center, width = np.array(dims)[moves].tolist(), center[moves], width[moves]
    space = Space(dims, metric, center, width)
    if metric == "mahalanobis":
        space = replace(space, unmixing=_unmixing(space, values, np.flatnonzero(ok), source))
    return space


def _center_and_spread(column: Floats, spread: Spread) -> tuple[float, float]:
    median = float(np.median(column))
    if column.min() == column.max():
        return median, 0.0
    if spread == "robust":
        return median, _NORMAL * float(np.median(np.abs(column - median)))
    return median, float(column.std()) if spread == "plain" else 1.0


def _unmixing(space: Space, values: NDArray[np.floating[Any]], rows: Rows, source: str) -> Floats:
    """Matrix that makes the sample's covariance one, of the standardized dimensions."""
    size = len(space.dims)
    total, products = np.zeros(size), np.zeros((size, size))
    for first in range(0, len(rows), _CHUNK):
        part = space.standardized(space.part(values, rows[first : first + _CHUNK]))
        total += part.sum(axis=0)
        products += part.T @ part
    mean = total / len(rows)
    variance, axes = np.linalg.eigh(products / len(rows) - np.outer(mean, mean))
    flat = int((variance <= 1e-10 * variance[-1]).sum())
    if flat:
        raise EstimatorError(
            f"{source}: {flat} of {size} dimensions depend linearly on the others, so that "
            "mahalanobis has no meaning; choose fewer dims, or another metric"
        )
    return np.asarray(axes / np.sqrt(variance))


class Near(NamedTuple):
    """Rows of the sample, the nearest first, and their distances."""

    rows: Rows
    distances: Floats


class Neighbors:
    """A sample (n, all dims) that is searched; its points are in memory.

    Only rows that are `ok` are found, and with `codes`, the group of each row, only the nearest row
    of each group.
    """

    def __init__(
        self,
        values: NDArray[np.floating[Any]],
        ok: NDArray[np.bool_],
        space: Space,
        codes: Rows | None = None,
    ) -> None:
        self.space = space
        rows = np.flatnonzero(ok)
        self._columns = np.empty((len(space.dims), len(rows)))
        for first in range(0, len(rows), _CHUNK):
            part = slice(first, first + _CHUNK)
            self._columns[:, part] = space.points(space.part(values, rows[part])).T
        directed = ~np.isnan(self._columns).any(axis=0)
        if not directed.all():
            self._columns = np.ascontiguousarray(self._columns[:, directed])
        self.rows: Rows = rows[directed]
        self._place = np.full(len(values), -1, dtype=np.int64)
        self._place[self.rows] = np.arange(len(self.rows))
        self._codes: Rows | None = None
        if codes is not None:
            self._codes = np.unique(codes[self.rows], return_inverse=True)[1]

    def __len__(self) -> int:
        return len(self.rows)

    def count(self, rows: Rows) -> int:
        """Count those of some rows that may be found."""
        return int((self._place[rows] >= 0).sum())

    def nearest(
        self,
        queries: Floats,
        left_out: Sequence[Rows],
        k: int,
        progress: Progress | None = None,
    ) -> list[Near]:
        """Find the k nearest rows, or groups, of each query (m, d); of equally near ones the first.

        Rows `left_out` of each query are not found, and nothing of a query of NaN; where there are
        no more, fewer than k. Progress is called with (queries done, queries in all).
        """
        found: list[Near] = []
        points = self.space.points(queries)
        for first in range(0, len(queries), _N_TOGETHER):
            part = slice(first, first + _N_TOGETHER)
            distances = self.space.distances(self._columns, points[part])
            for own, banned in zip(distances, left_out[part], strict=True):
                places = self._place[banned]
                own[places[places >= 0]] = np.inf
            threads = int(numba.get_num_threads()) if may_spread() else 1
            found.extend(in_order(lambda own: self._first(own, k), distances, threads))
            if progress is not None:
                progress(len(found), len(queries))
        return found

    def _first(self, distances: Floats, k: int) -> Near:
        """The k nearest of all points by their distances (n,), each of another group."""
        if self._codes is None:
            # Points of k blocks at least are as near as the k-th of the nearest of each block.
            blocks = np.arange(0, len(distances), _BLOCK)
            each = np.minimum.reduceat(distances, blocks) if len(blocks) >= k else distances
        else:
            each = np.full(int(self._codes.max(initial=-1)) + 1, np.inf)
            np.minimum.at(each, self._codes, distances)
        k = min(k, len(each))
        limit = np.partition(each, k - 1)[k - 1] if k else np.nan
        places = np.flatnonzero((distances <= limit) & (distances < np.inf))
        places = places[np.argsort(distances[places], kind="stable")]
        if self._codes is not None:
            places = places[np.sort(np.unique(self._codes[places], return_index=True)[1])]
        return Near(self.rows[places[:k]], distances[places[:k]])
