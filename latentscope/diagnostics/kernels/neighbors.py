"""Compiled KSG terms of pairs of sorted columns: exact, without the GIL, the same on any threads.

The points of a pair are put into overlapping strips of x, each in the order of y, so that no pair
of columns is sorted again. Strip by strip the k-th distances are found, with them the counts in
x; then one pass in the order of y counts in y. Callers may run pairs, or strips, on many threads.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from latentscope.diagnostics.kernels.margins import Margin, U, closer, count_closer, margin_of
from latentscope.diagnostics.kernels.nearest import BLOCK, REACH, nearest_many, nearest_three
from latentscope.diagnostics.kernels.strips import (
    Strips,
    dependence,
    ranks_owned,
    ranks_within,
    scatter,
    search_on,
    strip_width,
)
from latentscope.diagnostics.threads import spread

Floats = NDArray[np.float64]
Ranks = NDArray[np.integer[Any]]
Counts = NDArray[np.int64]

__all__ = ["count_closer", "pair_sums", "pair_terms", "pair_terms_alone"]


class _Pair(NamedTuple):
    """One pair of columns, ready to be searched."""

    x: Margin
    y: Margin
    strips: Strips


@njit(cache=True, nogil=True)
def _pair_of(x: Floats, y: Floats, pairing: Ranks, k: int) -> _Pair:
    n = len(x)
    spread = dependence(pairing)
    typical = max(1, int(0.5 * math.sqrt(k * n * spread)))
    # One pad stops a walk; the window of nearest_three reaches further.
    pad = REACH + 1 if k <= 3 else 1
    strips = scatter(y, pairing, strip_width(n, k, spread), pad)
    return _Pair(margin_of(x, typical), margin_of(y, typical), strips)


@njit(cache=True)
def _block_nearest(
    x: Floats,
    y: Floats,
    block: int,
    owned: Counts,
    mine: int,
    points: int,
    k: int,
    radius: float,
    near: Floats,
) -> float:
    """Fill column i of near for the i-th of the owned points of a block of a strip."""
    if k > 3:
        return nearest_many(x, y, owned, mine, k, radius, near)
    nearest_three(x[block:], y[block:], k, points, near)
    for row in range(3):
        for i in range(mine):
            near[row, i] = near[row, U(owned[U(i)] - block - REACH - 1)]
    return radius


@njit(cache=True, inline="always")
def _places_seen(y: Floats, p: int, pad: int, k: int, kth: float) -> int:
    """0 if no other place of the strip can be nearer than kth; else where those unseen begin."""
    if k > 3:
        return int(kth == np.inf)
    room = min(y[U(p)] - y[U(p - pad)], y[U(p + pad)] - y[U(p)])
    return pad if room < kth else 0


@njit(cache=True)
def _complete(
    x: Floats, strips: Strips, j: int, p: int, skip: int, near: Floats, i: int, nearest: Floats
) -> None:
    for row in range(len(nearest)):
        nearest[row] = near[row, i]
    search_on(x, strips, j, p, skip, nearest)
    for row in range(len(nearest)):
        near[row, i] = nearest[row]


@njit(cache=True)
def _count_x(
    margin: Margin,
    ranks: Ranks,
    owned: Counts,
    mine: int,
    table: Floats,
    sums: Floats,
) -> None:
    """Put the digammas of x of the owned points in front of their distances."""
    values, density, typical, window = margin
    of_each = sums.shape[1] // 2
    for i in range(mine):
        r = ranks[U(owned[U(i)])]
        for j in range(of_each):
            count = closer(values, density, typical, window, r, sums[U(i), U(of_each + j)])
            sums[U(i), U(j)] = table[U(count + 1)]


@njit(cache=True)
def _owned(ranks: Ranks, first: int, points: int, bounds: tuple[int, int], owned: Counts) -> int:
    """Fill `owned` with the places from first on whose rank is within bounds; their number."""
    mine = int(np.int64(0))
    for p in range(first, first + points):
        owned[U(mine)] = p
        mine += (bounds[0] <= ranks[U(p)]) & (ranks[U(p)] < bounds[1])
    return mine


@njit(cache=True, inline="always")
def _beyond(values: Floats, first: int, end: int) -> tuple[float, float]:
    """Values next to those with ranks from first to end - 1."""
    left = values[first - 1] if first > 0 else -np.inf
    return left, values[end] if end < len(values) else np.inf


@njit(cache=True)
def _strip_sums(pair: _Pair, j: int, ks: Counts, table: Floats, sums: Floats) -> None:
    """Fill sums with the digammas of x, and the distances, of the points that strip j owns."""
    k, strips, values = ks[-1], pair.strips, pair.x.values
    pad = strips.pad
    first, end = ranks_within(strips, j)
    bounds = ranks_owned(strips, j)
    left, right = _beyond(values, first, end)
    start, stop = j * 2 * (strips.width + pad), j * 2 * (strips.width + pad) + end - first + 2 * pad
    y, ranks = strips.y[start:stop], strips.rank[start:stop]
    x = values[ranks]
    nearest, near = np.empty(max(3, k)), np.empty((3 if k <= 3 else 3 * k, BLOCK))
    owned = np.empty(BLOCK + 1, dtype=np.int64)
    radius, done = 0.25 * (values[end - 1] - values[first]), bounds[0]
    for block in range(0, end - first, BLOCK):
        points = min(BLOCK, end - first - block)
        mine = _owned(ranks, block + pad, points, bounds, owned)
        radius = _block_nearest(x, y, block, owned, mine, points, k, radius, near)
        for i in range(mine):
            p, kth = owned[U(i)], near[U(len(nearest) - 1), U(i)]
            skip = _places_seen(y, p, pad, k, kth)
            if skip > 0 or min(x[U(p)] - left, right - x[U(p)]) < kth:
                _complete(values, strips, j, start + p, skip, near, i, nearest)
        block_sums = sums[done : done + mine]
        for i in range(len(ks)):
            block_sums[:, len(ks) + i] = near[len(nearest) - k + ks[i] - 1, :mine]
        _count_x(pair.x, ranks, owned, mine, table, block_sums)
        done += mine


@njit(cache=True, nogil=True)
def _strips_sums(
    pair: _Pair, first: int, end: int, ks: Counts, table: Floats, sums: Floats
) -> None:
    for j in range(first, end):
        _strip_sums(pair, j, ks, table, sums)


@njit(cache=True, nogil=True)
def _add_y(pair: _Pair, first: int, end: int, sums: Floats, table: Floats, out: Floats) -> None:
    values, density, typical, window = pair.y
    place = pair.strips.place
    for r in range(first, end):
        p = place[U(r)]
        for j in range(len(out)):
            count = closer(values, density, typical, window, r, sums[U(p), U(len(out) + j)])
            out[U(j), U(r)] = sums[U(p), U(j)] + table[U(count + 1)]


@njit(cache=True, nogil=True)
def pair_terms_alone(x: Floats, y: Floats, pairing: Ranks, ks: Counts, table: Floats) -> Floats:
    """Return psi(n_x + 1) + psi(n_y + 1) of every point for each k, on this thread.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        Ascending values.
    pairing : ndarray of int64, shape (n,)
        Rank in x of the row that has rank r in y.
    ks : ndarray of int64, shape (m,)
        Neighbours, ascending, below n; one search serves all.
    table : ndarray of float64, shape (n + 1,)
        psi(0 ... n).

    Returns
    -------
    ndarray of float64, shape (m, n)
        In the order of y.
    """
    pair = _pair_of(x, y, pairing, ks[-1])
    sums, out = np.empty((len(x), 2 * len(ks))), np.empty((len(ks), len(x)))
    # For a bare 1 or 0 numba would compile both once more.
    _strips_sums(pair, int(np.int64(1)), max(2, pair.strips.halves), ks, table, sums)
    _add_y(pair, int(np.int64(0)), len(x), sums, table, out)
    return out


@njit(cache=True, nogil=True)
def _sums_alone(
    x: Floats, y: Floats, pairings: Ranks, ks: Counts, table: Floats, out: Floats
) -> None:
    for i in range(len(pairings)):
        out[i] = pair_terms_alone(x, y, pairings[i], ks, table).sum()


def pair_terms(
    x: Floats, y: Floats, pairing: Ranks, ks: Counts, table: Floats, threads: int
) -> Floats:
    """Return what `pair_terms_alone` does, bit by bit, on several threads."""
    pair = _pair_of(x, y, pairing, int(ks[-1]))
    sums, out = np.empty((len(x), 2 * len(ks))), np.empty((len(ks), len(x)))
    spread(
        lambda first, end: _strips_sums(pair, first, end, ks, table, sums),
        1,
        max(2, pair.strips.halves),
        threads,
    )
    spread(lambda first, end: _add_y(pair, first, end, sums, table, out), 0, len(x), threads)
    return out


def pair_sums(
    x: Floats, y: Floats, pairings: Ranks, ks: Counts, table: Floats, threads: int
) -> Floats:
    """Return the sum of `pair_terms_alone`, of one k, for each of m pairings, (m, n) -> (m,)."""
    out = np.empty(len(pairings))
    spread(
        lambda first, end: _sums_alone(x, y, pairings[first:end], ks, table, out[first:end]),
        0,
        len(pairings),
        threads,
    )
    return out
