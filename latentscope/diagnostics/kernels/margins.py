"""Compiled counts on one sorted column: how many others lie strictly closer than a distance.

Counts test `|x_j - x_i| < eps` on the difference itself: a search for `x_i + eps` would round.
A guess says where the count ends, and one look at a window of neighbours around it, free of
branches, confirms it or sends the count to a galloping search. So guesses decide the time alone.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

U = np.uintp  # as an index it spares numba the test for a negative one
_EVEN_WINDOW = 4
_EVEN_WITHIN = 2.5
_FAR = 1e9
_TINY = 1e-300


class Margin(NamedTuple):
    """A sorted column, and what helps to guess counts on it.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Ascending.
    density : float
        Values per unit where they are evenly spaced (ranks, jittered or not); else 0.
    typical : int
        Count that is expected on either side.
    window : int
        Values to look at around a guess, where they are not evenly spaced.
    """

    values: Any
    density: float
    typical: int
    window: int


@njit(cache=True)
def _even_density(values: Floats) -> float:
    n = len(values)
    span = values[n - 1] - values[0]
    if not 0 < span < np.inf:
        return 0.0
    density = float((n - 1) / span)
    for i in range(0, n, max(1, n >> 6)):
        if not abs((values[i] - values[0]) * density - i) < _EVEN_WITHIN:
            return 0.0
    return density


@njit(cache=True)
def margin_of(values: Floats, typical: int) -> Margin:
    """Look at a column of ascending values before counting on it."""
    # The guess is off by about sqrt(typical); compilers count windows of 32 without a rest.
    window = 32 * math.ceil(2.5 * math.sqrt(typical) / 32)
    return Margin(values, _even_density(values), typical, window)


@njit(cache=True)
def reach(values: Floats, r: int, eps: float, guess: int, sign: int) -> int:
    """Count t >= 1 with |values[r + sign t] - values[r]| < eps; any guess gives the same."""
    base = values[r]
    last = len(values) - 1 - r if sign > 0 else r
    low, high = 0, last + 1
    t = min(max(guess, 1), last)
    step = 1
    while low < t < high:
        if sign * (values[r + sign * t] - base) < eps:
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
        if sign * (values[r + sign * t] - base) < eps:
            low = t
        else:
            high = t
    return low


@njit(cache=True, inline="always")
def _above(values: Floats, r: int, eps: float, guess: int, window: int) -> int:
    base = values[U(r)]
    low = max(min(guess - (window >> 1), len(values) - 1 - r - window), 0)
    if low + window < len(values) - r:
        start = r + low + 1
        inside = 0
        for t in range(window):
            inside += values[U(start + t)] - base < eps
        if inside < window and (inside > 0 or low == 0):
            return low + inside
    return reach(values, r, eps, guess, 1)


@njit(cache=True, inline="always")
def _below(values: Floats, r: int, eps: float, guess: int, window: int) -> int:
    base = values[U(r)]
    low = max(min(guess - (window >> 1), r - window), 0)
    if low + window <= r:
        start = r - low - window
        inside = 0
        for t in range(window):
            inside += base - values[U(start + t)] < eps
        if inside < window and (inside > 0 or low == 0):
            return low + inside
    return reach(values, r, eps, guess, -1)


@njit(cache=True, inline="always")
def closer(values: Floats, density: float, typical: int, window: int, r: int, eps: float) -> int:
    """Count the others strictly closer than eps to the value of rank r of a `Margin`."""
    # The fields one by one: to take a tuple apart for every point would cost more than to count.
    if density > 0:
        even = int(min(eps * density, _FAR))
        return _above(values, r, eps, even, _EVEN_WINDOW) + _below(
            values, r, eps, even, _EVEN_WINDOW
        )
    # Elsewhere the distance to the value `typical` ranks away says how dense the values are here.
    a, b = min(typical, len(values) - 1 - r), min(typical, r)
    base = values[U(r)]
    up = int(min(eps * (a / max(values[U(r + a)] - base, _TINY)), _FAR))
    down = int(min(eps * (b / max(base - values[U(r - b)], _TINY)), _FAR))
    return _above(values, r, eps, up, window) + _below(values, r, eps, down, window)


@njit(cache=True, nogil=True)
def count_closer(ascending: Floats, distance: Floats) -> NDArray[np.int64]:
    """Count for each of n sorted values the others strictly closer than its own distance."""
    counts = np.empty(len(ascending), dtype=np.int64)
    up, down = 1, 1
    for i in range(len(ascending)):
        up = reach(ascending, i, distance[i], up, 1)
        down = reach(ascending, i, distance[i], down, -1)
        counts[i] = up + down
    return counts
