"""Compiled layout of the points of a pair of columns, in which neighbours are next to each other.

Strip j holds the points whose rank in x is in [(j - 1) width, (j + 1) width), in the order of y:
strips overlap by half, every point is in two of them, and belongs to the one whose middle it is
in. So the nearest neighbours of a point are, as a rule, all in its strip, a few places up or down.
Strips of the same parity tile the columns, and serve where the rule fails.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from latentscope.diagnostics.kernels.margins import U

Floats = NDArray[np.float64]
Ranks = NDArray[np.integer[Any]]

_WIDTH, _WIDTH_THREE = 1.1, 2.6
_NARROWEST = 16
_SAMPLE = 512


class Strips(NamedTuple):
    """Points in strips, one after the other, each between two pads of infinite y.

    Parameters
    ----------
    y : ndarray of float64
        Values of y; below a strip -inf, above it inf, `pad` times.
    rank : ndarray of int32
        Ranks in x at the same places.
    place : ndarray of int32, shape (n,)
        Where results of the point with rank r in y stand: by strip, then by y.
    width : int
        Ranks of x in half a strip.
    halves : int
        Half strips; the strips are 0 ... halves, of which the first and last own nothing.
    pad : int
    """

    y: Any
    rank: Any
    place: Any
    width: int
    halves: int
    pad: int


@njit(cache=True)
def dependence(pairing: Ranks) -> float:
    """Mean step in x between rows next to each other in y: 1 if independent, near 0 if tied."""
    n = len(pairing)
    total, count = 0, 0
    for r in range(0, n - 1, max(1, n // _SAMPLE)):
        total += abs(pairing[r + 1] - pairing[r])
        count += 1
    return min(1.0, max(3 * total / (max(count, 1) * n), 1 / n))


@njit(cache=True)
def strip_width(n: int, k: int, spread: float) -> int:
    """Ranks in half a strip, so that the k-th distance is mostly below half of them."""
    scale = _WIDTH_THREE if k <= 3 else _WIDTH * math.sqrt(k)
    return max(_NARROWEST, math.ceil(scale * math.sqrt(n * spread)))


@njit(cache=True)
def scatter(y: Floats, pairing: Ranks, width: int, pad: int) -> Strips:
    """Put the points into strips in one pass in the order of y, which sorts every strip by y."""
    n = len(pairing)
    halves = (n + width - 1) // width
    length = 2 * (width + pad)
    values = np.empty((halves + 1) * length)
    rank = np.zeros((halves + 1) * length, dtype=np.int32)
    place = np.empty(n, dtype=np.int32)
    free = np.arange(pad, (halves + 1) * length, length)
    owned = np.arange(0, (halves + 1) * width, width) - width + (width >> 1)
    owned[1] = 0
    last = max(1, halves - 1)
    for start in free:
        values[start - pad : start] = -np.inf
    for r in range(n):
        rx = pairing[r]
        half = rx // width
        for j in range(half, half + 2):
            p = free[U(j)]
            values[U(p)] = y[r]
            rank[U(p)] = rx
            free[U(j)] = p + 1
        own = min(max(half + (rx - half * width >= width >> 1), 1), last)
        place[r] = owned[U(own)]
        owned[U(own)] += 1
    for end in free:
        values[end : end + pad] = np.inf
    return Strips(values, rank, place, width, halves, pad)


@njit(cache=True)
def ranks_within(strips: Strips, j: int) -> tuple[int, int]:
    """First rank of x in strip j, and the one after the last."""
    n = len(strips.place)
    return max((j - 1) * strips.width, 0), min((j + 1) * strips.width, n)


@njit(cache=True)
def ranks_owned(strips: Strips, j: int) -> tuple[int, int]:
    """First rank of x that strip j answers for, and the one after the last."""
    middle = strips.width >> 1
    first = (j - 1) * strips.width + middle if j > 1 else 0
    last = j * strips.width + middle if j < strips.halves - 1 else len(strips.place)
    return first, last


@njit(cache=True, inline="always")
def _insert(nearest: Floats, distance: float) -> None:
    """Put a distance below the largest of the ascending `nearest` into its place."""
    i = len(nearest) - 1
    while i > 0 and nearest[U(i - 1)] > distance:
        nearest[U(i)] = nearest[U(i - 1)]
        i -= 1
    nearest[U(i)] = distance


@njit(cache=True)
def _walk(x: Floats, strips: Strips, p: int, step: int, point: Any, nearest: Floats) -> None:
    """Walk from place p outwards in y while the k-th distance allows."""
    at_x, at_y = point
    last = len(nearest) - 1
    away = abs(strips.y[U(p)] - at_y)
    while away < nearest[U(last)]:
        distance = max(away, abs(x[U(strips.rank[U(p)])] - at_x))
        if distance < nearest[U(last)]:
            _insert(nearest, distance)
        p += step
        away = abs(strips.y[U(p)] - at_y)


@njit(cache=True)
def _first_at(strips: Strips, low: int, high: int, y: float) -> int:
    """First place in [low, high) whose y is not below a value; high if there is none."""
    while low < high:
        middle = (low + high) >> 1
        if strips.y[U(middle)] < y:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def search_on(x: Floats, strips: Strips, j: int, p: int, skip: int, nearest: Floats) -> None:
    """Complete the nearest distances of the point at place p, which strip j owns.

    Parameters
    ----------
    x : ndarray of float64, shape (n,)
        Ascending.
    strips : Strips
    j, p : int
    skip : int
        Places up and down from p where the search of its own strip goes on; 0 if that is done.
    nearest : ndarray of float64, shape (k,)
        Ascending distances found so far, inf where there is none; changed.
    """
    length = 2 * (strips.width + strips.pad)
    point = (x[strips.rank[p]], strips.y[p])
    if skip > 0:
        _walk(x, strips, p - skip, -1, point, nearest)
        _walk(x, strips, p + skip, 1, point, nearest)
    for step in (-2, 2):
        other = j + step
        while 0 <= other <= strips.halves:
            first, end = ranks_within(strips, other)
            if first >= end:
                break
            gap = x[first] - point[0] if step > 0 else point[0] - x[end - 1]
            if gap >= nearest[-1]:
                break
            begin = other * length + strips.pad
            q = _first_at(strips, begin, begin + end - first, point[1])
            _walk(x, strips, q, 1, point, nearest)
            _walk(x, strips, q - 1, -1, point, nearest)
            other += step
