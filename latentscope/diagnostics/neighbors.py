"""Compiled neighbour searches on one and two sorted columns, exact and the same on any threads.

The search among pairs cuts x into strips of equal count and scatters the points into them in the
order of y, so that every strip is sorted by y and no pair of columns is sorted again. From each
point it walks outwards in y, first in its own strip, then strip by strip until the gap in x
exceeds the k-th distance. Margins are counted by galloping from the point's own rank. Counts test
`|x_j - x_i| < eps` on the difference itself: a search for `x_i + eps` would round.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ranks = NDArray[np.integer[Any]]
Points = tuple[Floats, Floats, Ranks, Ranks]

_STRIP = 1.5
"""Points in a strip, as a multiple of sqrt(n); timed at n = 7,000 and 272,376."""


@njit(cache=True, inline="always")
def _reach_up(values: Floats, r: int, eps: float, guess: int) -> int:
    """Count t >= 1 with values[r + t] - values[r] < eps; any guess gives the same answer."""
    last = len(values) - 1 - r
    low, high = 0, last + 1
    t = min(max(guess, 1), last)
    step = 1
    while low < t < high:
        if values[r + t] - values[r] < eps:
            low = t
            t += step
        else:
            high = t
            t -= step
        step *= 2
        if low > 0 and high <= last:
            break
    while high - low > 1:
        t = (low + high) >> 1
        if values[r + t] - values[r] < eps:
            low = t
        else:
            high = t
    return low


@njit(cache=True, inline="always")
def _reach_down(values: Floats, r: int, eps: float, guess: int) -> int:
    """Count t >= 1 with values[r] - values[r - t] < eps; any guess gives the same answer."""
    low, high = 0, r + 1
    t = min(max(guess, 1), r)
    step = 1
    while low < t < high:
        if values[r] - values[r - t] < eps:
            low = t
            t += step
        else:
            high = t
            t -= step
        step *= 2
        if low > 0 and high <= r:
            break
    while high - low > 1:
        t = (low + high) >> 1
        if values[r] - values[r - t] < eps:
            low = t
        else:
            high = t
    return low


@njit(cache=True)
def count_closer(ascending: Floats, distance: Floats) -> NDArray[np.int64]:
    """Count for each of n sorted values the others strictly closer than its own distance."""
    counts = np.empty(len(ascending), dtype=np.int64)
    up, down = 1, 1
    for i in range(len(ascending)):
        up = _reach_up(ascending, i, distance[i], up)
        down = _reach_down(ascending, i, distance[i], down)
        counts[i] = up + down
    return counts


@njit(cache=True)
def _strip_points(n: int) -> int:
    return max(8, math.ceil(_STRIP * math.sqrt(n)))


@njit(cache=True)
def _scatter(x: Floats, y: Floats, pairing: Ranks, width: int) -> Points:
    """Points in strips of `width` ranks of x, each strip in the order of y."""
    n = len(x)
    free = np.arange(0, n + width, width)
    px, py = np.empty(n), np.empty(n)
    rank_x, rank_y = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
    for ry in range(n):
        rx = pairing[ry]
        strip = rx // width
        p = free[strip]
        free[strip] += 1
        px[p], py[p], rank_x[p], rank_y[p] = x[rx], y[ry], rx, ry
    return px, py, rank_x, rank_y


@njit(cache=True, inline="always")
def _insert(nearest: Floats, distance: float) -> None:
    """Put a distance below the largest of the ascending `nearest` into its place."""
    i = len(nearest) - 1
    while i > 0 and nearest[i - 1] > distance:
        nearest[i] = nearest[i - 1]
        i -= 1
    nearest[i] = distance


@njit(cache=True, inline="always")
def _walk(
    px: Floats,
    py: Floats,
    x: float,
    y: float,
    down: int,
    first: int,
    up: int,
    end: int,
    nearest: Floats,
) -> None:
    """Walk from two positions of a strip, outwards in y, while the k-th distance allows."""
    last = len(nearest) - 1
    below = y - py[down] if down >= first else np.inf
    above = py[up] - y if up < end else np.inf
    while True:
        if below < above:
            if below >= nearest[last]:
                return
            distance = max(below, abs(px[down] - x))
            down -= 1
            below = y - py[down] if down >= first else np.inf
        else:
            if above >= nearest[last]:
                return
            distance = max(above, abs(px[up] - x))
            up += 1
            above = py[up] - y if up < end else np.inf
        if distance < nearest[last]:
            _insert(nearest, distance)


@njit(cache=True, inline="always")
def _strip_terms(
    x: Floats,
    y: Floats,
    points: Points,
    strip: int,
    width: int,
    k: int,
    table: Floats,
    out: Floats,
) -> None:
    """Fill out[p] = psi(n_x + 1) + psi(n_y + 1) for the points p of one strip."""
    px, py, rank_x, rank_y = points
    n = len(x)
    strips = (n + width - 1) // width
    first, end = strip * width, min(n, (strip + 1) * width)
    cursor = np.arange(0, n + width, width)
    nearest = np.empty(k)
    density_left, density_right, density_down, density_up = 0.0, 0.0, 0.0, 0.0
    for p in range(first, end):
        nearest[:] = np.inf
        _walk(px, py, px[p], py[p], p - 1, first, p + 1, end, nearest)
        for side in (-1, 1):
            other = strip + side
            while 0 <= other < strips:
                begin, stop = other * width, min(n, (other + 1) * width)
                gap = x[begin] - px[p] if side > 0 else px[p] - x[stop - 1]
                if gap >= nearest[k - 1]:
                    break
                q = cursor[other]
                while q < stop and rank_y[q] < rank_y[p]:
                    q += 1
                cursor[other] = q
                _walk(px, py, px[p], py[p], q - 1, begin, q, stop, nearest)
                other += side
        eps = nearest[k - 1]
        right = _reach_up(x, rank_x[p], eps, int(density_right * eps))
        left = _reach_down(x, rank_x[p], eps, int(density_left * eps))
        up = _reach_up(y, rank_y[p], eps, int(density_up * eps))
        down = _reach_down(y, rank_y[p], eps, int(density_down * eps))
        if eps > 0:
            density_right, density_left = right / eps, left / eps
            density_up, density_down = up / eps, down / eps
        out[p] = table[left + right + 1] + table[down + up + 1]


@njit(cache=True, parallel=True)
def pair_terms(x: Floats, y: Floats, pairing: Ranks, k: int, table: Floats) -> Floats:
    """Return psi(n_x + 1) + psi(n_y + 1) of every point of one pair of columns.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        Ascending values.
    pairing : ndarray of int64, shape (n,)
        Rank in x of the row that has rank r in y.
    k : int
        Neighbours, below n.
    table : ndarray of float64, shape (n + 1,)
        psi(0 ... n).

    Returns
    -------
    ndarray of float64, shape (n,)
        In an order that depends on the data alone.
    """
    n = len(x)
    width = _strip_points(n)
    points = _scatter(x, y, pairing, width)
    out = np.empty(n)
    for strip in prange((n + width - 1) // width):
        _strip_terms(x, y, points, strip, width, k, table, out)
    return out


@njit(cache=True)
def pair_terms_alone(x: Floats, y: Floats, pairing: Ranks, k: int, table: Floats) -> Floats:
    """Return what `pair_terms` does, on one thread: faster for a few thousand points."""
    n = len(x)
    width = _strip_points(n)
    points = _scatter(x, y, pairing, width)
    out = np.empty(n)
    for strip in range((n + width - 1) // width):
        _strip_terms(x, y, points, strip, width, k, table, out)
    return out


@njit(cache=True, parallel=True)
def pair_sums(x: Floats, y: Floats, pairings: Ranks, k: int, table: Floats) -> Floats:
    """Return the sum of `pair_terms` for each of m pairings, shape (m, n) -> (m,)."""
    out = np.empty(len(pairings))
    for i in prange(len(pairings)):
        out[i] = pair_terms_alone(x, y, pairings[i], k, table).sum()
    return out
