"""Mutual information of continuous variables by nearest neighbours: Kraskov et al. 2004.

A. Kraskov, H. Stoegbauer, P. Grassberger, "Estimating mutual information", Phys. Rev. E 69, 066138
(2004), algorithm 1, equation (8): with eps_i the Chebyshev distance from point i to its k-th
neighbour in (x, y), and n_x, n_y the numbers of other points strictly closer than eps_i in x and
in y, I = psi(k) + psi(n) - < psi(n_x + 1) + psi(n_y + 1) >.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import digamma

from latentscope.diagnostics.kernels.neighbors import (
    count_closer,
    pair_sums,
    pair_terms,
    pair_terms_alone,
)
from latentscope.diagnostics.kernels.sorting import ascending_order
from latentscope.diagnostics.threads import may_spread

Floats = NDArray[np.float64]

_ALONE_BELOW = 20_000
"""Points up to which starting threads costs more than they save."""


@dataclass(frozen=True)
class SortedColumn:
    """A column of finite numbers, sorted once for all its pairs.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        The column, row by row.
    order : ndarray of int64, shape (n,)
        Rows in ascending order of the values.
    ascending : ndarray of float64, shape (n,)
        `values[order]`.
    """

    values: Floats
    order: NDArray[np.int64]
    ascending: Floats

    @classmethod
    def of(cls, values: Floats) -> SortedColumn:
        """Sort a column of finite values, shape (n,)."""
        values = np.ascontiguousarray(values, dtype=np.float64)
        order = ascending_order(read_only(values))
        return cls(values, order, values[order])

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, keep: NDArray[np.bool_]) -> SortedColumn:
        """Return the column without the rows where `keep`, shape (n,), is False; no new sort."""
        if keep.all():
            return self
        number = np.cumsum(keep) - 1
        kept = keep[self.order]
        return SortedColumn(self.values[keep], number[self.order[kept]], self.ascending[kept])

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """Position of each row in ascending order, 0 ... n-1, shape (n,)."""
        ranks = np.empty(len(self), dtype=np.int64)
        ranks[self.order] = np.arange(len(self))
        return ranks


@lru_cache(maxsize=8)
def digamma_table(n: int) -> Floats:
    """Return psi(0 ... n), shape (n + 1,); the entry for 0, which has no value, is NaN."""
    table = np.concatenate([[np.nan], digamma(np.arange(1, n + 1))])
    table.setflags(write=False)
    return table


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view that cannot be written: one type of arguments is one kernel to load."""
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view


def _threads(points: int) -> int:
    """Threads for so many points to search."""
    return int(get_num_threads()) if points > _ALONE_BELOW and may_spread() else 1


def ksg_terms(x: SortedColumn, y: SortedColumn, neighbors: int = 3) -> Floats:
    """Return the n local terms whose mean is the KSG estimate, in nats, in the order of y.

    Parameters
    ----------
    x, y : SortedColumn of n rows
        Row i of one belongs to row i of the other.
    neighbors : int
        k, below n.

    Returns
    -------
    ndarray of float64, shape (n,)
        Term i belongs to row `y.order[i]`.
    """
    terms: Floats = ksg_terms_of(x, y, (neighbors,))[0]
    return terms


def ksg_terms_of(
    x: SortedColumn, y: SortedColumn, neighbors: Sequence[int], *, threads: int | None = None
) -> Floats:
    """Return what `ksg_terms` does for several k, from one search.

    Parameters
    ----------
    x, y : SortedColumn of n rows
        Row i of one belongs to row i of the other.
    neighbors : sequence of int
        k, ascending, below n.
    threads : int, optional
        Threads for this pair, by default all where that pays and no other pairs are worked on;
        the terms are the same, bit by bit, on any number.

    Returns
    -------
    ndarray of float64, shape (len(neighbors), n)
    """
    ks = np.array(neighbors, dtype=np.int64)
    table = digamma_table(len(x))
    threads = threads or _threads(len(x))
    pair = (read_only(x.ascending), read_only(y.ascending), x.ranks[y.order], ks, table)
    sums = pair_terms(*pair, threads) if threads > 1 else pair_terms_alone(*pair)
    terms: Floats = table[ks, None] + table[len(x)] - sums
    return terms


def ksg_shuffled(
    x: Floats,
    y: Floats,
    pairings: NDArray[np.int64],
    neighbors: int = 3,
    *,
    threads: int | None = None,
) -> Floats:
    """KSG estimates, in nats, of two columns under many pairings of their ranks.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        Ascending values.
    pairings : ndarray of int64, shape (m, n)
        `pairings[i, r]` is the rank in x of the row that has rank r in y.
    neighbors : int
        k, below n.
    threads : int, optional
        As in `ksg_terms_of`.

    Returns
    -------
    ndarray of float64, shape (m,)
    """
    n = len(x)
    ks, table = np.array([neighbors], dtype=np.int64), digamma_table(n)
    threads = threads or _threads(pairings.size)
    pairings = np.ascontiguousarray(pairings, dtype=np.int64)
    sums = pair_sums(read_only(x), read_only(y), pairings, ks, table, threads)
    values: Floats = table[neighbors] + table[n] - sums / n
    return values


def ksg(x: NDArray[Any], y: NDArray[Any], neighbors: int = 3) -> float:
    """KSG mutual information of x and y in nats, signed, Chebyshev norm, strict counts.

    Parameters
    ----------
    x, y : ndarray of float, shape (n,) or (n, d)
        Finite samples, row by row, used as they are: neither scaled nor jittered.
    neighbors : int
        k.

    Returns
    -------
    float
        Estimate (Kraskov et al. 2004, eq. 8); below zero where the noise of the estimator
        says so.
    """
    if x.ndim == 1 and y.ndim == 1:
        return float(ksg_terms(SortedColumn.of(x), SortedColumn.of(y), neighbors).mean())
    x, y = (np.asarray(a, dtype=np.float64).reshape(len(a), -1) for a in (x, y))
    n = len(x)
    joint = np.hstack([x, y])
    near = cKDTree(joint).query(joint, k=neighbors + 1, p=np.inf)[0]
    distance = np.asarray(near)[:, -1]
    table = digamma_table(n)
    closer = [closer_points(part, distance) for part in (x, y)]
    return float(table[neighbors] + table[n] - sum(table[count + 1].mean() for count in closer))


def closer_points(points: Floats, distance: Floats) -> NDArray[np.int64]:
    """Count for each point the others that are strictly closer than a distance of its own.

    Parameters
    ----------
    points : ndarray of float64, shape (n, d)
        Chebyshev norm.
    distance : ndarray of float64, shape (n,)
        0 counts nothing.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    if points.shape[1] == 1:
        column = SortedColumn.of(points[:, 0])
        counts = np.empty(len(column), dtype=np.int64)
        counts[column.order] = count_closer(
            read_only(column.ascending), read_only(distance[column.order])
        )
        return counts
    inside = np.nextafter(distance, 0)
    found = cKDTree(points).query_ball_point(points, inside, p=np.inf, return_length=True)
    return np.where(distance > 0, found - 1, 0)
