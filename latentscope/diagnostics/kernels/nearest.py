"""Compiled searches for the nearest neighbours of many points of one strip at once.

Both work on columns of a block, one column a point, and without branches that depend on the data,
so that compilers turn them into vector instructions. Up to three neighbours stay in registers
while a window of places above and below passes by; more are found among the places closer than
a radius, which adapts from point to point, and sorted by a network.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from latentscope.diagnostics.kernels.margins import U

Floats = NDArray[np.float64]
Places = NDArray[np.integer[Any]]

BLOCK = 128
"""Points of a strip that are searched at once: their distances stay in the first cache."""

REACH = 8
"""Places above and below a point among which `nearest_three` looks."""

_ATTEMPTS = 6


@njit(cache=True, inline="always")
def _pass_by(x: Floats, y: Floats, at: int, skip: int, points: int, near: Floats) -> None:
    """Take the places from skip + 1 to skip + 4 up and down into the three nearest of each."""
    # More places at once keep LLVM from telling the arrays apart, and so from vectors.
    first, second, third = near[0], near[1], near[2]
    for p in range(points):
        at_x, at_y = x[p + at], y[p + at]
        a, b, c = first[p], second[p], third[p]
        for t in range(1, 5):
            d = max(abs(x[p + at - skip - t] - at_x), at_y - y[p + at - skip - t])
            c = min(c, max(b, d))
            b = min(b, max(a, d))
            a = min(a, d)
            d = max(abs(x[p + at + skip + t] - at_x), y[p + at + skip + t] - at_y)
            c = min(c, max(b, d))
            b = min(b, max(a, d))
            a = min(a, d)
        first[p], second[p], third[p] = a, b, c


@njit(cache=True)
def nearest_three(x: Floats, y: Floats, k: int, points: int, near: Floats) -> None:
    """Fill near[:3, p] with the ascending distances to the k <= 3 nearest within REACH places.

    The points are those at REACH + 1 + p of x and y. Rows are filled up in front with -1.
    """
    for row in range(3):
        near[row, :points] = -1.0 if row < 3 - k else np.inf
    _pass_by(x, y, REACH + 1, 0, points, near)
    _pass_by(x, y, REACH + 1, 4, points, near)


@njit(cache=True, inline="always")
def _within(x: Floats, y: Floats, p: int, radius: float, near: Floats, column: int) -> int:
    """Write the distances below a radius into a column; return their number, all counted."""
    at_x, at_y = x[U(p)], y[U(p)]
    last = len(near) - 1
    found = 0
    q = p - 1
    while at_y - y[U(q)] < radius:
        distance = max(at_y - y[U(q)], abs(x[U(q)] - at_x))
        near[U(min(found, last)), U(column)] = distance
        found += distance < radius
        q -= 1
    q = p + 1
    while y[U(q)] - at_y < radius:
        distance = max(y[U(q)] - at_y, abs(x[U(q)] - at_x))
        near[U(min(found, last)), U(column)] = distance
        found += distance < radius
        q += 1
    return found


@njit(cache=True)
def _exchange(low: Floats, high: Floats, points: int) -> None:
    for p in range(points):
        a, b = low[p], high[p]
        low[p] = min(a, b)
        high[p] = max(a, b)


@njit(cache=True)
def _sort_columns(near: Floats, rows: int, points: int) -> None:
    """Sort the first rows of every column: Batcher's network, for all columns at once."""
    p = 1
    while p < rows:
        k = p
        while k > 0:
            for j in range(k % p, rows - k, 2 * k):
                for i in range(j, min(j + k, rows - k)):
                    if i // (2 * p) == (i + k) // (2 * p):
                        _exchange(near[i], near[i + k], points)
            k >>= 1
        p *= 2


@njit(cache=True)
def nearest_many(
    x: Floats, y: Floats, at: Places, points: int, k: int, radius: float, near: Floats
) -> float:
    """Fill near[:k, i] with the ascending distances of x[at[i]], y[at[i]] to its k nearest.

    Parameters
    ----------
    x, y : ndarray of float64
        A strip between infinite y.
    at : ndarray of int, shape (points,) or more
    points, k : int
    radius : float
        Where to begin to look.
    near : ndarray of float64, shape (3 k, points) or more
        Changed; a column starts with inf where no radius caught at least k points, and fewer
        than 3 k.

    Returns
    -------
    float
        Radius for the next points.
    """
    rows, goal = k, 1.5 * k
    for i in range(points):
        found = 0
        for _ in range(_ATTEMPTS):
            found = _within(x, y, at[U(i)], radius, near, i)
            if k <= found < len(near):
                break
            radius *= 1.4 if found < k else math.sqrt(goal / found)
        caught = found if k <= found < len(near) else 0
        for row in range(caught, len(near)):
            near[U(row), U(i)] = np.inf
        radius *= 1 + 0.25 * max(-1.0, (goal - found) / goal)
        rows = max(rows, caught)
    _sort_columns(near, rows, points)
    return radius
