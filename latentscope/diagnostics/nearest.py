"""Exact nearest rows of a sample: what near means, and a search that reads little memory.

Latent dimensions have different spreads, and the values of some models have a common offset, so
each dimension is centered on its median over the sample and divided by its spread. The points that
come of it are kept in float32, and beside each how far rounding moved it. A pass over them bounds
the distance of each from both sides; all but a few can be left out for certain, and the few are
measured in float64 from the original values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from latentscope.compiled import njit
from latentscope.errors import EstimatorError, shortened, warn
from latentscope.workers import Progress, in_order, spread, threads_to_spread

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]
Metric = Literal["euclidean", "mahalanobis", "manhattan", "cosine"]
Spread = Literal["robust", "plain", "none"]

_NORMAL = 1.482602218505602
"""Standard deviation of a Gaussian over its median absolute deviation."""

# Rows that are read and converted at a time, so that float64 copies stay small.
_CHUNK = 1 << 14
# Points that stay in the cache while all queries look at them, and queries that do so together.
_BLOCK = 64
_LIMIT_BLOCK = 2 * _BLOCK
_N_TOGETHER = 32
# Coordinates below which threads take longer to start than the search takes.
_WORTH_THREADS = 1 << 21


@dataclass(frozen=True, eq=False)
class Space:
    """A distance between rows of latents, over the dimensions `dims`, ascending.

    "euclidean" is the length of the difference of two rows in units of the spreads; "mahalanobis"
    the same after the sample's correlations are taken out (P. C. Mahalanobis 1936, Proc. Natl.
    Inst. Sci. India 2, 49); "manhattan" the sum of the absolute differences; "cosine" 1 minus the
    cosine of the angle at the sample's center. Center and spread, shape (d,), are in units of the
    latents; `unmixing`, shape (d, d), is what standardized rows are multiplied by to be
    uncorrelated, each with variance 1.
    """

    dims: list[int]
    metric: Metric
    center: Floats
    spread: Floats
    unmixing: Floats | None = None

    @property
    def absolute(self) -> bool:
        """Whether absolute differences add up; else squared ones."""
        return self.metric == "manhattan"

    def part(self, values: NDArray[np.floating[Any]], rows: Rows) -> Floats:
        """Rows of latents in the dimensions that count, shape (rows, d), float64."""
        return np.asarray(values[rows[:, None], self.dims], dtype=np.float64)

    def standardized(self, values: Floats) -> Floats:
        """Rows in spreads from the center, shape (m, d)."""
        return np.asarray((values - self.center) / self.spread)

    def points(self, values: Floats) -> Floats:
        """Rows as points whose distance is in the order of the metric, shape (m, d).

        NaN for a row at the center, which has no direction, where directions are compared.
        """
        rows = self.standardized(values)
        if self.unmixing is not None:
            return np.asarray(rows @ self.unmixing)
        if self.metric != "cosine":
            return rows
        length = _lengths(rows)[:, None]
        with np.errstate(invalid="ignore"):
            return np.asarray(rows / np.where(length > 0, length, np.nan))

    def distances(self, values: Floats, query: Floats) -> Floats:
        """Distance of each row from a query, shape (m, d), (d,) -> (m,), in float64.

        Equal rows are equally far to the last bit.
        """
        if self.metric == "cosine":
            apart = _lengths(self.points(values) - self.points(query[None]))
            # 1 - cos would lose all digits of small angles.
            return np.asarray(apart * apart / 2)
        difference = (values - query) / self.spread
        if self.unmixing is not None:
            # Column by column: a product of matrices would treat equal rows unequally.
            mixed, difference = difference, np.zeros_like(difference)
            for column, weights in zip(mixed.T, self.unmixing, strict=True):
                difference += column[:, None] * weights
        return _lengths(difference, absolute=self.absolute)


def _lengths(differences: Floats, *, absolute: bool = False) -> Floats:
    """Length of each row (m, e) -> (m,), whose last bit does not depend on where the row stands."""
    rows = np.ascontiguousarray(differences)
    if absolute:
        return np.asarray(np.abs(rows).sum(axis=1))
    return np.asarray(np.sqrt((rows * rows).sum(axis=1)))


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
    spread are left out with a warning; where none is left, or some depend linearly on others though
    correlations are to be taken out, it is an EstimatorError.
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
        warn(f"{reason}{advice}; left out")
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
            f"{source}: {flat} of {size} dimensions depend linearly on the others over "
            f"{len(rows):,} rows, so that mahalanobis has no meaning; choose fewer dims, or "
            "another metric"
        )
    return np.asarray(axes / np.sqrt(variance))


# In any order the sums may be vector instructions; the bound below holds for every order.
@njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def bound_distances(
    points: Any,
    slack: Any,
    queries: Any,
    shifts: Any,
    absolute: bool,
    first: int,
    end: int,
    lower: Any,
) -> None:
    """Fill lower[:, first:end] (m, n) with what the distances of points are at least, in float32.

    Of points (n, e) and queries (m, e), which lie within slack (n,) and shifts (m,) of those that
    they were rounded from. NaN where float32 does not hold a distance.
    """
    share = np.float32(rounding_share(points.shape[1]))
    last = len(queries) - 1
    # All queries look at a block of points while it is in the cache, two of them at a time: each
    # coordinate is then loaded once for both, and one sum is made while the other is waited for.
    for start in range(first, end, _BLOCK):
        for m in range(0, len(queries), 2):
            pair = min(m + 1, last)
            query, other = queries[m], queries[pair]
            for i in range(start, min(start + _BLOCK, end)):
                total, beside = np.float32(0), np.float32(0)
                if absolute:
                    for j in range(points.shape[1]):
                        total += abs(points[i, j] - query[j])
                        beside += abs(points[i, j] - other[j])
                else:
                    for j in range(points.shape[1]):
                        total += (points[i, j] - query[j]) ** 2
                        beside += (points[i, j] - other[j]) ** 2
                    total, beside = np.float32(math.sqrt(total)), np.float32(math.sqrt(beside))
                lower[m, i] = total - (slack[i] + shifts[m] + share * total)
                lower[pair, i] = beside - (slack[i] + shifts[pair] + share * beside)


@njit(inline="always")
def rounding_share(coordinates: int) -> float:
    """What a float32 distance may be off by, as a share of itself.

    Each of its operations rounds by 2^-24 at most (Higham 2002, Accuracy and Stability of
    Numerical Algorithms, section 3.1); a few more are for the bounds that are made of it.
    """
    return (coordinates + 16) * 2.0**-24


class Near(NamedTuple):
    """Rows of the sample, the nearest first, and their distances."""

    rows: Rows
    distances: Floats


class Neighbors:
    """A sample (n, all dims) that is searched: points in memory, its own numbers where they are.

    Values may be mapped from a file: few rows are read again after this. Only rows that are `ok`
    are found, and with `codes`, the group of each row, only the nearest row of each group.
    """

    def __init__(
        self,
        values: NDArray[np.floating[Any]],
        ok: NDArray[np.bool_],
        space: Space,
        codes: Rows | None = None,
    ) -> None:
        self.values, self.space = values, space
        rows = np.flatnonzero(ok)
        self._points = np.empty((len(rows), len(space.dims)), dtype=np.float32)
        self._slack = np.empty(len(rows), dtype=np.float32)
        for first in range(0, len(rows), _CHUNK):
            part = slice(first, first + _CHUNK)
            points = space.points(space.part(values, rows[part]))
            self._points[part], self._slack[part] = rounded(points, space.absolute)
        # A row at the center has no direction.
        directed = ~np.isnan(self._points).any(axis=1)
        if not directed.all():
            self._points, self._slack = self._points[directed], self._slack[directed]
        self.rows: Rows = rows[directed]
        self._place = np.full(len(values), -1, dtype=np.int64)
        self._place[self.rows] = np.arange(len(self.rows))
        self._codes = self.rows if codes is None else codes[self.rows]
        self._n_groups = len(self.rows) if codes is None else len(np.unique(self._codes))

    def __len__(self) -> int:
        return len(self.rows)

    def count(self, rows: Rows) -> int:
        """Count those of some rows that may be found."""
        return int((self._place[rows] >= 0).sum())

    def nearest(
        self, queries: Floats, left_out: Sequence[Rows], k: int, progress: Progress | None = None
    ) -> list[Near]:
        """Find the k nearest rows, or groups, of each query (m, d); of equally near ones the first.

        Rows `left_out` of each query are not found, and nothing of a query of NaN; where there are
        no more, fewer than k. Progress is called with (queries done, queries in all).
        """
        found: list[Near] = []
        # So many queries look at a block of points while it is in the cache.
        for first in range(0, len(queries), _N_TOGETHER):
            part = slice(first, first + _N_TOGETHER)
            found.extend(self._nearest(queries[part], left_out[part], k))
            if progress is not None:
                progress(len(found), len(queries))
        return found

    def _nearest(self, queries: Floats, left_out: Sequence[Rows], k: int) -> list[Near]:
        points = self.space.points(queries)
        singles, shifts = rounded(points, self.space.absolute)
        m, n = len(points), len(self)
        # Filled up to whole blocks with what is never near.
        lower = np.empty((m, -(-n // _LIMIT_BLOCK) * _LIMIT_BLOCK), dtype=np.float32)
        lower[:, n:] = np.inf

        def bound(first: int, end: int) -> None:
            absolute = self.space.absolute
            bound_distances(self._points, self._slack, singles, shifts, absolute, first, end, lower)

        def chosen(query: int) -> Near:
            if np.isnan(points[query]).any():
                return Near(np.empty(0, dtype=np.int64), np.empty(0))
            banned = self._place[left_out[query]]
            lower[query, banned[banned >= 0]] = np.inf
            limit = self._limit(lower[query], float(shifts[query]), k)
            # A point at NaN is measured: float32 says nothing of it.
            places = np.flatnonzero(~(lower[query, :n] > limit))
            if not math.isfinite(limit):
                places = np.setdiff1d(places, banned)
            rows = self.space.part(self.values, self.rows[places])
            distances = self.space.distances(rows, queries[query])
            order = np.argsort(distances, kind="stable")
            # Of each group the first in this order, which is its nearest.
            _, first = np.unique(self._codes[places[order]], return_index=True)
            order = order[np.sort(first)[:k]]
            return Near(self.rows[places[order]], distances[order])

        threads = threads_to_spread(self._points.size * m >= _WORTH_THREADS)
        spread(bound, 0, n, threads)
        return list(in_order(chosen, range(m), min(threads, m)))

    def _limit(self, lower: Singles, shift: float, k: int) -> float:
        """Distance within which points of k groups are for certain; inf where none is known.

        The k-th smallest of what the nearest point of each block is away at most: a sort of the
        blocks is a hundredth of one of the points, and nearly as sharp.
        """
        blocks = lower.reshape(-1, _LIMIT_BLOCK)
        rows = blocks.argmin(axis=1) + np.arange(0, len(lower), _LIMIT_BLOCK)
        rows = rows[rows < len(self)]
        share, margin = rounding_share(self._points.shape[1]), self._slack[rows] + shift
        # The distance that `bound_distances` found, and on the other side of it.
        found = (lower[rows] + margin) / (1 - share)
        upper = found + margin + share * found
        k = min(k, self._n_groups)
        if self._n_groups < len(self):
            order = np.argsort(upper)
            _, first = np.unique(self._codes[rows[order]], return_index=True)
            upper = upper[order[np.sort(first)]]
        return float(np.partition(upper, k - 1)[k - 1]) if len(upper) >= k else math.inf


def rounded(points: Floats, absolute: bool) -> tuple[Singles, Singles]:
    """Points in float32, and how far each was moved, rounded up; infinite beyond float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        singles = points.astype(np.float32)
        moved = _lengths(points - singles, absolute=absolute)
        # The second term is what float64 may lose on the way, the third what float32 calls 0.
        slack = 1.001 * moved + 1e-12 * _lengths(points, absolute=absolute) + 1e-17
        return singles, slack.astype(np.float32)
