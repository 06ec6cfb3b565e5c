"""Exact nearest rows of a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.retrieval.scan import LANES, Packed, margins, pack, scan, shortlist
from latentscope.diagnostics.retrieval.space import Space
from latentscope.diagnostics.threads import in_order, may_spread, spread

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Progress = Callable[[int, int], None]

_TOGETHER = 16
"""Queries that look at a block of points while it is in the cache."""

_WORTH_THREADS = 1 << 21
_CHUNK = 1 << 14


class Near(NamedTuple):
    """Rows of the sample, the nearest first, and their distances."""

    rows: Rows
    distances: Floats


class Neighbours:
    """A sample that is searched: all of it rounded in memory, its own numbers where they are.

    Parameters
    ----------
    values : ndarray of float, shape (n, all dims)
        May be mapped from a file: few rows are read again after this.
    ok : ndarray of bool, shape (n,)
        Rows that may be found.
    space : Space
    codes : ndarray of int64, shape (n,), optional
        Group of each row, of which only the nearest row is found. By default each row is found.
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
        if space.metric == "cosine":
            rows = rows[self._with_direction(rows)]
        self.rows: Rows = rows
        self._place = np.full(len(values), -1, dtype=np.int64)
        self._place[rows] = np.arange(len(rows))
        _, self._codes = np.unique(rows if codes is None else codes[rows], return_inverse=True)
        self._groups = int(self._codes.max(initial=-1)) + 1
        self._packed: Packed = pack(
            lambda first, end: space.points(self._part(rows[first:end])),
            len(rows),
            len(space.dims),
            absolute=space.absolute,
        )
        self._most_slack = float(self._packed.slack.max(initial=0))

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
        """Find the nearest rows of each query; of equally near ones the first.

        Parameters
        ----------
        queries : ndarray of float64, shape (m, d)
            In the dimensions of the space. NaN finds nothing.
        left_out : list of m arrays of int64
            Rows that each query must not find.
        k : int
            Rows (or groups) wanted.
        progress : callable, optional
            Called with (queries done, queries in all).

        Returns
        -------
        list of m Near
            With fewer than k rows where there are no more.
        """
        found: list[Near] = []
        for first in range(0, len(queries), _TOGETHER):
            some = slice(first, first + _TOGETHER)
            found.extend(self._some(queries[some], left_out[some], k))
            if progress is not None:
                progress(len(found), len(queries))
        return found

    def _some(self, queries: Floats, left_out: Sequence[Rows], k: int) -> list[Near]:
        points = self.space.points(queries)
        single = np.zeros((len(points), self._packed.coordinates), dtype=np.float32)
        with np.errstate(over="ignore"):
            single[:, : points.shape[1]] = points
        blocks = self._packed.blocks
        found = np.empty((len(points), len(blocks) * LANES), dtype=np.float32)
        threads = self._threads(len(points))
        look = partial(scan, blocks, single, self._packed.absolute)
        spread(lambda first, end: look(first, end, found), 0, len(blocks), threads)

        def chosen(query: int) -> Near:
            return self._chosen(found[query], points[query], queries[query], left_out[query], k)

        return list(in_order(chosen, range(len(points)), min(threads, len(points))))

    def _chosen(self, found: Any, point: Floats, query: Floats, left_out: Rows, k: int) -> Near:
        if np.isnan(point).any():
            return Near(np.empty(0, dtype=np.int64), np.empty(0))
        packed = self._packed
        banned = self._place[left_out]
        banned = banned[banned >= 0]
        found[banned] = np.inf
        places = shortlist(
            found,
            packed.slack,
            self._most_slack,
            margins(point, packed.coordinates, absolute=packed.absolute),
            not packed.absolute,
            min(k, max(self._groups, 1)),
            self._codes,
            self._groups,
        )
        places = np.setdiff1d(places, banned, assume_unique=True)
        distances = self.space.distances(self._part(self.rows[places]), query)
        order = np.argsort(distances, kind="stable")
        # Of each group the first in this order, which is its nearest.
        _, first = np.unique(self._codes[places[order]], return_index=True)
        order = order[np.sort(first)[:k]]
        return Near(self.rows[places[order]], distances[order])

    def _part(self, rows: Rows) -> Floats:
        return self.space.part(self.values, rows)

    def _with_direction(self, rows: Rows) -> NDArray[np.bool_]:
        known = np.empty(len(rows), dtype=np.bool_)
        for first in range(0, len(rows), _CHUNK):
            some = slice(first, first + _CHUNK)
            known[some] = np.isfinite(self.space.points(self._part(rows[some]))).all(axis=1)
        return known

    def _threads(self, queries: int) -> int:
        if not may_spread() or self._packed.blocks.size * queries < _WORTH_THREADS:
            return 1
        return int(numba.get_num_threads())
