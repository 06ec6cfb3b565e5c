"""Local terms of nearest neighbors for several columns at once, with conditions or without.

S. Frenzel, B. Pompe, "Partial mutual information for coupling analysis of multivariate time
series", Phys. Rev. Lett. 99, 204101 (2007): with eps_i the Chebyshev distance from point i to its
k-th neighbor in (x, y, z), and n_xz, n_yz, n_z the numbers of other points strictly closer,
I(X; Y | Z) = psi(k) - < psi(n_xz + 1) + psi(n_yz + 1) - psi(n_z + 1) >.

Classes are infinitely far from one another, so that neighbors are of the same class: without
conditions that is Kraskov et al. 2004 and Ross 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from latentscope.diagnostics.mi import kernels
from latentscope.diagnostics.mi.columns import Column
from latentscope.workers import in_order, spread, threads_to_spread

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_SPREAD_FROM = 2_000  # rows


def closer(values: Floats, distance: Floats, order: Codes | None = None) -> Codes:
    """Count for each of n numbers the others strictly closer than a distance of its own, (n,).

    `order` sorts the numbers, where that is known.
    """
    order = np.argsort(values) if order is None else order
    counts = np.empty(len(values), dtype=np.int64)
    ascending = values[order]
    ascending.setflags(write=False)  # as in `ross_terms`: each type of arguments is compiled anew
    counts[order] = kernels.count_closer(ascending, distance[order])
    return counts


class Part(NamedTuple):
    """Columns of the same n rows: numbers (n, d), d may be 0, and the class of each row."""

    numbers: Floats
    codes: Codes

    def and_(self, *others: Part) -> Part:
        """Join columns; a class is then one of each."""
        numbers = np.hstack([self.numbers, *(other.numbers for other in others)])
        codes = self.codes
        for other in [other for other in others if other.codes.any()]:
            codes = codes * (int(other.codes.max(initial=0)) + 1) + other.codes
            codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
        return Part(numbers, codes)


def values_of(column: Column) -> Floats:
    """Return the values of a column as they are."""
    assert column.values is not None
    return column.values


def ranked(column: Column) -> Floats:
    """Return the ranks of a column, spread evenly over 0 ... 1."""
    return column.ranked


def scores_of(column: Column) -> Floats:
    """Return the normal scores of the ranks of a column."""
    return np.asarray(ndtri(column.ranked))


def part_of(columns: Sequence[Column], n: int, numbers: Callable[[Column], Floats]) -> Part:
    """Make a part of columns of n rows, none of them missing; `numbers` of the continuous ones."""
    none, alike = np.empty((n, 0)), np.zeros(n, dtype=np.int64)
    part = Part(none, alike)
    for column in columns:
        codes = column.codes
        own = Part(numbers(column)[:, None], alike) if codes is None else Part(none, codes)
        part = part.and_(own)
    return part


def local_terms(x: Part, y: Part, z: Part, neighbors: Sequence[int]) -> Floats:
    """Local terms of I(x; y | z) in nats, shape (len(neighbors), n), of parts with some numbers.

    A class of k rows or fewer takes all its others for neighbors; a row alone in its class, with
    those of the other columns, says nothing: 0.
    """
    n = len(z.codes)
    table = np.append(kernels.digamma_table(n), 0.0)
    xyz = x.and_(y, z)
    size = np.bincount(xyz.codes)[xyz.codes]
    together, *apart = in_order(
        _classes, (xyz, x.and_(z), y.and_(z), z), threads_to_spread(n >= _SPREAD_FROM)
    )
    far = _distances(together, neighbors, n)
    out = np.empty((len(neighbors), n))
    for i, k in enumerate(neighbors):
        used = np.minimum(k, size - 1)
        near_x, near_y, near_z = (_closer(classes, far[i]) + 1 for classes in apart)
        terms = table[used] - table[near_x] - table[near_y] + table[near_z]
        out[i] = np.where(used > 0, terms, 0.0)
    return out


def each_class(codes: Codes) -> list[Codes]:
    """Return the rows of each class."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


class _Class(NamedTuple):
    """Rows of one class, and a tree of their numbers; None of one column or none, (rows, d)."""

    rows: Codes
    numbers: Floats
    tree: kernels.Tree | None


def _classes(part: Part) -> list[_Class]:
    found = []
    for rows in each_class(part.codes):
        numbers = part.numbers[rows]
        several = numbers.shape[1] > 1
        tree = kernels.tree_of(np.ascontiguousarray(numbers.T)) if several else None
        found.append(_Class(rows, numbers, tree))
    return found


def _distances(classes: Sequence[_Class], neighbors: Sequence[int], n: int) -> Floats:
    """Distance of each row to its k-th neighbor of the same class, (len(neighbors), n)."""
    out = np.zeros((len(neighbors), n))
    for rows, numbers, tree in classes:
        if len(rows) > 1:
            ks = np.minimum(np.array(neighbors, dtype=np.int64), len(rows) - 1)
            found = np.empty((len(ks), len(rows)))
            if tree is None:
                tree = kernels.tree_of(np.ascontiguousarray(numbers.T))
            fill = partial(kernels.tree_distances, tree, ks, found)
            spread(fill, 0, 1 << tree.levels, threads_to_spread(len(rows) >= _SPREAD_FROM))
            out[:, rows] = found
    return out


def _closer(classes: Sequence[_Class], distance: Floats) -> Codes:
    """Count for each row the others of its class that are strictly closer than its distance."""
    counts = np.empty(len(distance), dtype=np.int64)
    for rows, numbers, tree in classes:
        limit = distance[rows]
        if tree is not None:
            found = np.empty(len(rows), dtype=np.int64)
            fill = partial(kernels.tree_counts, tree, limit, found)
            spread(fill, 0, 1 << tree.levels, threads_to_spread(len(rows) >= _SPREAD_FROM))
            counts[rows] = found
        elif numbers.shape[1]:
            counts[rows] = closer(numbers[:, 0], limit)
        else:
            counts[rows] = len(rows) - 1
    return counts
