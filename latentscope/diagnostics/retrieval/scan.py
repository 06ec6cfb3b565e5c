"""A quick look at the distances from queries to many points, with bounds that hold.

Reading memory is what a search through many points costs. So the points are kept as bfloat16, the
upper half of float32 (8 bits of precision in a quarter of the memory of float64), and beside each
point how far rounding moved it. A distance to the rounded point is then known to be within that of
the true one, and all points but a few can be left out for certain; the few are measured in float64.

Points are stored in blocks of 64, one coordinate of all 64 after the other, so that compilers turn
the loop over points into vector instructions whatever the number of coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Halves = NDArray[np.uint16]

LANES = 64
"""Points of a block."""

_COORDINATES = 4
_CHUNK = 256 * LANES
_SINGLE = 2.0**-24
_DOUBLE = 1e-12
_TINY = 1e-18


@dataclass(frozen=True, eq=False)
class Packed:
    """Points rounded to bfloat16, and how far each was moved.

    Parameters
    ----------
    blocks : ndarray of uint16, shape (blocks, e, 64)
        The last block is filled up with points at 0, and e up to a multiple of 4 with zeros.
    slack : ndarray of float32, shape (n,)
        Distance from each point to its rounded one, rounded up.
    absolute : bool
        Whether distances are sums of absolute differences; else Euclidean.
    """

    blocks: Halves
    slack: NDArray[np.float32]
    absolute: bool

    def __len__(self) -> int:
        return len(self.slack)

    @property
    def coordinates(self) -> int:
        """Coordinates of a point, those that fill up counted."""
        return int(self.blocks.shape[1])


def pack(
    points: Callable[[int, int], Floats], n: int, coordinates: int, *, absolute: bool
) -> Packed:
    """Round points, a part of them at a time.

    Parameters
    ----------
    points : callable (first, end) -> ndarray of float64, shape (end - first, coordinates)
        The points of some rows.
    n, coordinates : int
        Shape of all points.
    absolute : bool
        As in `Packed`.
    """
    padded = -(-coordinates // _COORDINATES) * _COORDINATES
    blocks = np.zeros((-(-n // LANES), padded, LANES), dtype=np.uint16)
    slack = np.empty(n, dtype=np.float32)
    for first in range(0, n, _CHUNK):
        exact = points(first, min(first + _CHUNK, n))
        halves, rounded = _rounded(exact)
        # What float32 cannot hold is infinitely far from what it was.
        with np.errstate(over="ignore"):
            off = lengths(exact - rounded, absolute=absolute).astype(np.float32)
        slack[first : first + len(exact)] = np.nextafter(off, np.float32(np.inf))
        at, full = first // LANES, -(-len(exact) // LANES)
        filled = np.zeros((full * LANES, padded), dtype=np.uint16)
        filled[: len(exact), :coordinates] = halves
        blocks[at : at + full] = filled.reshape(full, LANES, padded).transpose(0, 2, 1)
    return Packed(blocks, slack, absolute)


def _rounded(exact: Floats) -> tuple[Halves, Floats]:
    """Round to the nearest bfloat16: its bits, and the numbers that they stand for."""
    with np.errstate(over="ignore"):
        bits = exact.astype(np.float32).view(np.uint32)
    halves = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return halves, (halves.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def lengths(differences: Floats, *, absolute: bool) -> Floats:
    """Length of each row, shape (m, e) -> (m,): the sum of absolute values, or the Euclidean one.

    Equal rows have equal lengths to the last bit, wherever they stand.
    """
    rows = np.ascontiguousarray(differences)
    if absolute:
        return np.asarray(np.abs(rows).sum(axis=1))
    return np.asarray(np.sqrt((rows * rows).sum(axis=1)))


@njit(cache=True, inline="always")
def _whole(half: Any) -> Any:
    return np.uint32(np.uint32(half) << np.uint32(16)).view(np.float32)


@njit(cache=True, inline="always")
def _add_squares(block: Any, q: Any, j: int, total: Any) -> None:
    q0, q1, q2, q3 = q[j], q[j + 1], q[j + 2], q[j + 3]
    for lane in range(LANES):
        a, b = _whole(block[j, lane]) - q0, _whole(block[j + 1, lane]) - q1
        c, d = _whole(block[j + 2, lane]) - q2, _whole(block[j + 3, lane]) - q3
        total[lane] += (a * a + b * b) + (c * c + d * d)


@njit(cache=True, inline="always")
def _add_absolutes(block: Any, q: Any, j: int, total: Any) -> None:
    q0, q1, q2, q3 = q[j], q[j + 1], q[j + 2], q[j + 3]
    for lane in range(LANES):
        a, b = abs(_whole(block[j, lane]) - q0), abs(_whole(block[j + 1, lane]) - q1)
        c, d = abs(_whole(block[j + 2, lane]) - q2), abs(_whole(block[j + 3, lane]) - q3)
        total[lane] += (a + b) + (c + d)


@njit(cache=True, nogil=True)
def scan(blocks: Any, queries: Any, absolute: bool, first: int, end: int, found: Any) -> None:
    """Fill found[:, 64 first : 64 end] with sums of squared, or absolute, differences.

    Parameters
    ----------
    blocks : ndarray of uint16, shape (blocks, e, 64)
    queries : ndarray of float32, shape (m, e)
    absolute : bool
    first, end : int
        Blocks to look at.
    found : ndarray of float32, shape (m, 64 blocks)
        Changed.
    """
    total = np.empty(LANES, dtype=np.float32)
    for block in range(first, end):
        for m in range(len(queries)):
            total[:] = 0
            for j in range(0, blocks.shape[1], _COORDINATES):
                if absolute:
                    _add_absolutes(blocks[block], queries[m], j, total)
                else:
                    _add_squares(blocks[block], queries[m], j, total)
            for lane in range(LANES):
                found[m, block * LANES + lane] = total[lane]


def margins(query: Floats, coordinates: int, *, absolute: bool) -> tuple[float, float]:
    """What rounding may do to the distances that `scan` finds, beside the slack of the points.

    Returns
    -------
    shift, share : float
        A distance D is found within shift + share * D of the one between the rounded points.
    """
    with np.errstate(over="ignore"):
        rounded = query.astype(np.float32).astype(np.float64)
    own, moved = lengths(np.stack([query, query - rounded]), absolute=absolute)
    return float(moved + _DOUBLE * own + _TINY), (coordinates + 8) * _SINGLE


@njit(cache=True, inline="always")
def _replace_largest(heap: Any, value: float) -> None:
    """Put a value in the place of the largest, which is at 0, and let it sink."""
    at, k = 0, len(heap)
    while 2 * at + 1 < k:
        child = 2 * at + 1
        if child + 1 < k and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= value:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = value


@njit(cache=True, inline="always")
def _distance(found: Any, root: bool) -> float:
    return math.sqrt(found) if root else float(found)


@njit(cache=True)
def _limit(found: Any, slack: Any, shift: float, share: float, root: bool, k: int) -> float:
    """Return a distance within which k points are for certain; inf where there are fewer."""
    heap = np.full(k, np.inf)
    bar = np.inf
    for i in range(len(slack)):
        if found[i] >= bar:
            continue
        distance = _distance(found[i], root)
        farthest = distance + slack[i] + shift + share * distance
        if farthest < heap[0]:
            _replace_largest(heap, farthest)
            bar = heap[0] * heap[0] if root else heap[0]
    return float(heap[0])


@njit(cache=True)
def _limit_of_groups(
    found: Any, slack: Any, shift: float, share: float, root: bool, k: int, codes: Any, groups: int
) -> float:
    """Return a distance within which points of k groups are for certain."""
    best = np.full(groups, np.inf)
    for i in range(len(slack)):
        distance = _distance(found[i], root)
        farthest = distance + slack[i] + shift + share * distance
        if farthest < best[codes[i]]:
            best[codes[i]] = farthest
    heap = np.full(k, np.inf)
    for value in best:
        if value < heap[0]:
            _replace_largest(heap, value)
    return float(heap[0])


@njit(cache=True, nogil=True)
def shortlist(
    found: Any,
    slack: Any,
    most: float,
    margin: tuple[float, float],
    root: bool,
    k: int,
    codes: Any,
    groups: int,
) -> Any:
    """Return the points that may be among the nearest: those of k groups, or more.

    Parameters
    ----------
    found : ndarray of float32, shape (n,) or more
        As `scan` finds them.
    slack : ndarray of float32, shape (n,)
        Of the points.
    most : float
        The largest slack.
    margin : (float, float)
        As `margins` gives it.
    root : bool
        Whether `found` holds squares.
    k : int
        Groups wanted.
    codes : ndarray of int64, shape (n,)
        Group of each point.
    groups : int
        How many there are; n, if each point is one.

    Returns
    -------
    ndarray of int64
        Ascending. A point whose distance overflows is always among them.
    """
    shift, share = margin
    n = len(slack)
    if groups == n:
        limit = _limit(found, slack, shift, share, root, k)
    else:
        limit = _limit_of_groups(found, slack, shift, share, root, k, codes, groups)
    bar = (limit + most + 2 * shift) / (1 - 2 * share)
    if root:
        bar *= bar
    rows = np.empty(n, dtype=np.int64)
    count = 0
    for i in range(n):
        if found[i] > bar:
            continue
        distance = _distance(found[i], root)
        if not distance - slack[i] - shift - share * distance > limit:
            rows[count] = i
            count += 1
    return rows[:count].copy()
