"""Mutual information of a continuous variable and classes by nearest neighbours: Ross 2014.

B. C. Ross, "Mutual information between discrete and continuous data sets", PLoS ONE 9, e87357
(2014), equation (2): with d_i the distance from point i to its k-th neighbour of the same class,
N_c the size of that class and m_i the number of points of any class within d_i,
I = psi(n) - < psi(N_c) > + < psi(k) > - < psi(m_i) >. A class of k points or fewer uses all its
other points as neighbours; a class of one has none and is left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import get_num_threads, njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from latentscope.diagnostics.estimators.ksg import SortedColumn, closer_points, digamma_table
from latentscope.diagnostics.kernels.neighbors import count_closer
from latentscope.diagnostics.threads import may_spread, spread

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def without_single(codes: Codes) -> NDArray[np.bool_]:
    """Which rows belong to a class of at least two, shape (n,)."""
    keep: NDArray[np.bool_] = np.bincount(codes)[codes] > 1
    return keep


@njit(cache=True)
def _class_distances(x: Floats, codes: Codes, classes: int, k: int) -> tuple[Floats, Codes]:
    """Distance of each ascending value to its k-th neighbour of its class, and that k."""
    n = len(x)
    size = np.zeros(classes + 1, dtype=np.int64)
    for i in range(n):
        size[codes[i] + 1] += 1
    start = np.cumsum(size)
    free = start[:classes].copy()
    place = np.empty(n, dtype=np.int64)
    for i in range(n):
        place[free[codes[i]]] = i
        free[codes[i]] += 1
    distance = np.empty(n)
    used = np.empty(n, dtype=np.int64)
    for c in range(classes):
        first, end = start[c], start[c + 1]
        kc = min(k, end - first - 1)
        low = first
        for p in range(first, end):
            value = x[place[p]]
            low = max(low, p - kc)
            while (
                low + kc + 1 < end
                and low < p
                and (x[place[low + kc + 1]] - value < value - x[place[low]])
            ):
                low += 1
            distance[place[p]] = max(value - x[place[low]], x[place[low + kc]] - value)
            used[place[p]] = kc
    return distance, used


@njit(cache=True, nogil=True)
def _terms(x: Floats, codes: Codes, classes: int, k: int, table: Floats) -> Floats:
    """Local terms of ascending values with their class codes; a lone point says nothing: 0."""
    distance, used = _class_distances(x, codes, classes, k)
    within = count_closer(x, distance)
    size = np.bincount(codes, minlength=classes)
    out = np.empty(len(x))
    for i in range(len(x)):
        if used[i] > 0:
            out[i] = table[len(x)] - table[size[codes[i]]] + table[used[i]] - table[within[i] + 1]
        else:
            out[i] = 0.0
    return out


@njit(cache=True, nogil=True)
def _shuffled(x: Floats, codes: Codes, classes: int, k: int, table: Floats, out: Floats) -> None:
    for i in range(len(codes)):
        out[i] = _terms(x, codes[i], classes, k, table).mean()


def ross_terms(x: SortedColumn, codes: Codes, neighbors: int) -> Floats:
    """Return the n local terms whose mean is Ross's estimate, in nats, in the order of x.

    Parameters
    ----------
    x : SortedColumn of n rows
        The continuous variable.
    codes : ndarray of int64, shape (n,)
        Class of each row, 0, 1, ...; each class has two rows or more.
    neighbors : int
        k.
    """
    table = digamma_table(len(x))
    classes = int(codes.max()) + 1
    terms: Floats = _terms(x.ascending, codes[x.order], classes, neighbors, table)
    return terms


def ross_shuffled(x: Floats, codes: Codes, neighbors: int) -> Floats:
    """Ross's estimates, in nats, of ascending values (n,) under many codes (m, n) of them.

    Returns
    -------
    ndarray of float64, shape (m,)
    """
    classes, table = int(codes.max()) + 1, digamma_table(len(x))
    values = np.empty(len(codes))

    def fill(first: int, end: int) -> None:
        _shuffled(x, codes[first:end], classes, neighbors, table, values[first:end])

    spread(fill, 0, len(codes), int(get_num_threads()) if may_spread() else 1)
    return values


def ross(x: NDArray[Any], codes: Codes, neighbors: int = 3) -> float:
    """Mutual information of continuous x and classes in nats, signed (Ross 2014, eq. 2).

    Parameters
    ----------
    x : ndarray of float, shape (n,) or (n, d)
        Finite samples; Chebyshev norm.
    codes : ndarray of int64, shape (n,)
        Class of each row, 0, 1, ...; rows alone in their class are left out.
    neighbors : int
        k.
    """
    keep = without_single(codes)
    codes = np.unique(codes[keep], return_inverse=True)[1].astype(np.int64)
    if x.ndim == 1:
        return float(ross_terms(SortedColumn.of(x[keep]), codes, neighbors).mean())
    points = np.asarray(x[keep], dtype=np.float64)
    n, size = len(points), np.bincount(codes)
    used = np.minimum(neighbors, size - 1)
    distance = np.empty(n)
    for code, k in enumerate(used):
        inside = codes == code
        near = cKDTree(points[inside]).query(points[inside], k=k + 1, p=np.inf)[0]
        distance[inside] = np.asarray(near)[:, -1]
    table = digamma_table(n)
    within = table[closer_points(points, distance) + 1]
    return float(table[n] + (table[used] - table[size])[codes].mean() - within.mean())
