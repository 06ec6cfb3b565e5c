"""Compiled kernels of the nearest-neighbor estimators, and their table of digammas.

The KSG terms of a pair of sorted columns are exact, and the same on any number of threads. The
points are put into overlapping strips of x, each in the order of y, so that no pair of columns is
sorted again (`Strips`). Strip by strip the k-th distances are found, and with them the counts in x;
then one pass in the order of y counts in y. Nothing here holds Python's lock for long: callers run
pairs, or strips of one pair, side by side.

Counts test `|x_j - x_i| < eps` on the difference itself: a search for `x_i + eps` would round. A
guess says where the count ends, and one look at a window of neighbors around it, free of branches,
confirms it or sends the count to a galloping search. So guesses decide the time alone.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from latentscope.compiled import njit

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Ranks = NDArray[np.integer[Any]]

U = np.uintp  # as an index it spares numba the test for a negative one
_EVEN_WINDOW = 4  # values around a guess among evenly spaced ones, where it is off by one or two
_EVEN_WITHIN = 2.5  # ranks that evenly spaced values may be off their place
_FAR = 1e9  # a guess at most: a larger float has no int64
_TINY = 1e-300  # in place of 0 in a divisor
# For bare integers numba would compile a function once more for each value.
_ONE: Any = np.int64(1)
_UP: Any = np.int64(1)
_DOWN: Any = np.int64(-1)


@lru_cache(maxsize=8)
def digamma_table(n: int) -> Floats:
    """Return psi(0 ... n), shape (n + 1,); the entry for 0, which has no value, is NaN."""
    table = np.concatenate([[np.nan], digamma(np.arange(1, n + 1))])
    table.setflags(write=False)
    return table


class Margin(NamedTuple):
    """A sorted column, and what helps to guess counts on it."""

    values: Any  # ascending, float64, shape (n,)
    density: float  # values per unit where they are evenly spaced, such as ranks; else 0
    typical: int  # count that is expected on either side
    window: int  # values to look at around a guess, where they are not evenly spaced


@njit()
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


@njit()
def margin_of(values: Floats, typical: int) -> Margin:
    """Look at a column of ascending values before counting on it."""
    # The guess is off by about sqrt(typical); compilers count windows of 32 without a rest.
    window = 32 * math.ceil(2.5 * math.sqrt(typical) / 32)
    return Margin(values, _even_density(values), typical, window)


@njit()
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


# One function for both sides, told which by a sign, would take up to a quarter longer.


@njit(inline="always")
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
    return reach(values, int(np.int64(r)), eps, guess, _UP)


@njit(inline="always")
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
    return reach(values, int(np.int64(r)), eps, guess, _DOWN)


@njit(inline="always")
def closer(values: Floats, density: float, typical: int, window: int, r: int, eps: float) -> int:
    """Count the others strictly closer than eps to the value of rank r of a `Margin`."""
    # The fields one by one: to take a tuple apart for every point would cost more than to count.
    if density > 0:
        even = int(min(eps * density, _FAR))
        above = _above(values, r, eps, even, _EVEN_WINDOW)
        return above + _below(values, r, eps, even, _EVEN_WINDOW)
    # Elsewhere the distance to the value `typical` ranks gap_y says how dense the values are here.
    a, b = min(typical, len(values) - 1 - r), min(typical, r)
    base = values[U(r)]
    up = int(min(eps * (a / max(values[U(r + a)] - base, _TINY)), _FAR))
    down = int(min(eps * (b / max(base - values[U(r - b)], _TINY)), _FAR))
    return _above(values, r, eps, up, window) + _below(values, r, eps, down, window)


@njit(nogil=True)
def count_closer(ascending: Floats, distance: Floats) -> NDArray[np.int64]:
    """Count for each of n sorted values the others strictly closer than its own distance."""
    n, seen, steps = len(ascending), 0, 0
    for r in range(0, n, max(1, n >> 6)):
        steps += reach(ascending, r, distance[r], _ONE, _UP)
        steps += reach(ascending, r, distance[r], _ONE, _DOWN)
        seen += 2
    margin = margin_of(ascending, max(1, steps // max(seen, 1)))
    density, typical, window = margin.density, margin.typical, margin.window
    counts = np.empty(n, dtype=np.int64)
    for r in range(n):
        counts[r] = closer(ascending, density, typical, window, r, distance[r])
    return counts


# Half a strip in typical k-th distances: wider ones hold more points to pass by, narrower ones
# leave more points whose neighbors lie in another strip.
_WIDTH, _WIDTH_THREE = 1.1, 2.6
_NARROWEST = 16  # ranks; below it the two pads of a strip cost more than its points
_SAMPLE = 512  # steps that say how closely a pair is related


class Strips(NamedTuple):
    """Points in strips, one after the other, each between two pads of infinite y."""

    y: Any  # float64; below a strip -inf, above it inf, `pad` times
    rank: Any  # int32: ranks in x at the same places
    place: Any  # int32, (n,): where results of the point of rank r in y stand, by strip, then by y
    width: int  # ranks of x in half a strip
    halves: int  # the strips are 0 ... halves, of which the first and last own nothing
    pad: int


@njit()
def typical_step(pairing: Ranks) -> float:
    """Mean step in x from row to next row in y: 1 if independent, near 0 if related."""
    n = len(pairing)
    total, count = 0, 0
    for r in range(0, n - 1, max(1, n // _SAMPLE)):
        total += abs(pairing[r + 1] - pairing[r])
        count += 1
    return min(1.0, max(3 * total / (max(count, 1) * n), 1 / n))


@njit()
def strip_width(n: int, k: int, spread: float) -> int:
    """Ranks in half a strip, so that the k-th distance is mostly below half of them."""
    scale = _WIDTH_THREE if k <= 3 else _WIDTH * math.sqrt(k)
    return max(_NARROWEST, math.ceil(scale * math.sqrt(n * spread)))


@njit()
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


@njit()
def ranks_within(strips: Strips, j: int) -> tuple[int, int]:
    """First rank of x in strip j, and the one after the last."""
    n = len(strips.place)
    return max((j - 1) * strips.width, 0), min((j + 1) * strips.width, n)


@njit(inline="always")
def _insert(nearest: Floats, distance: float) -> None:
    """Put a distance below the largest of the ascending `nearest` into its place."""
    i = len(nearest) - 1
    while i > 0 and nearest[U(i - 1)] > distance:
        nearest[U(i)] = nearest[U(i - 1)]
        i -= 1
    nearest[U(i)] = distance


@njit()
def _walk(x: Floats, strips: Strips, p: int, step: int, point: Any, nearest: Floats) -> None:
    """Walk from place p outwards in y while the k-th distance allows."""
    at_x, at_y = point
    last = len(nearest) - 1
    gap_y = abs(strips.y[U(p)] - at_y)
    while gap_y < nearest[U(last)]:
        distance = max(gap_y, abs(x[U(strips.rank[U(p)])] - at_x))
        if distance < nearest[U(last)]:
            _insert(nearest, distance)
        p += step
        gap_y = abs(strips.y[U(p)] - at_y)


@njit()
def _first_at(strips: Strips, low: int, high: int, y: float) -> int:
    """First place in [low, high) whose y is not below a value; high if there is none."""
    while low < high:
        middle = (low + high) >> 1
        if strips.y[U(middle)] < y:
            low = middle + 1
        else:
            high = middle
    return low


@njit()
def search_on(x: Floats, strips: Strips, j: int, p: int, skip: int, nearest: Floats) -> None:
    """Complete the ascending `nearest` distances, (k,), of the point at place p of its strip j.

    They are inf where none was found yet. Beyond `skip` ranks up and down from p the search of its
    own strip goes on; 0 if that is done.
    """
    length = 2 * (strips.width + strips.pad)
    point = (x[strips.rank[p]], strips.y[p])
    if skip > 0:
        _walk(x, strips, p - skip, _DOWN, point, nearest)
        _walk(x, strips, p + skip, _UP, point, nearest)
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
            _walk(x, strips, q, _UP, point, nearest)
            _walk(x, strips, q - 1, _DOWN, point, nearest)
            other += step


BLOCK = 128
"""Points of a strip that are searched at once: their distances stay in the first cache."""

REACH = 8
"""Places above and below a point among which `nearest_three` looks."""

_ATTEMPTS = 6  # radii tried for a point, before it is left to the search over all strips


@njit(inline="always")
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


@njit()
def nearest_three(x: Floats, y: Floats, k: int, points: int, near: Floats) -> None:
    """Fill near[:3, p] with the ascending distances to the k <= 3 nearest within REACH places.

    The points are those at REACH + 1 + p of x and y. Rows are filled up in front with -1.
    """
    for row in range(3):
        near[row, :points] = -1.0 if row < 3 - k else np.inf
    _pass_by(x, y, REACH + 1, 0, points, near)
    _pass_by(x, y, REACH + 1, 4, points, near)


@njit(inline="always")
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


@njit()
def _exchange(low: Floats, high: Floats, points: int) -> None:
    for p in range(points):
        a, b = low[p], high[p]
        low[p] = min(a, b)
        high[p] = max(a, b)


@njit()
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


@njit()
def nearest_many(
    x: Floats, y: Floats, at: Ranks, points: int, k: int, radius: float, near: Floats
) -> float:
    """Fill near[:k, i] with the ascending distances of x[at[i]], y[at[i]] to its k nearest.

    x and y are those of a strip between infinite y. Search begins within `radius`; that for the
    next points is returned. `near` has 3 k rows; a column starts with inf where no radius caught
    at least k points, and fewer than 3 k.
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


class _Pair(NamedTuple):
    """One pair of columns, ready to be searched."""

    x: Margin
    y: Margin
    strips: Strips


@njit(nogil=True)
def pair_of(x: Floats, y: Floats, pairing: Ranks, k: int) -> _Pair:
    """Lay a pair of ascending columns out in strips."""
    n = len(x)
    spread = typical_step(pairing)
    typical = max(1, int(0.5 * math.sqrt(k * n * spread)))
    # One pad stops a walk; the window of nearest_three reaches further.
    pad = REACH + 1 if k <= 3 else 1
    strips = scatter(y, pairing, strip_width(n, k, spread), pad)
    return _Pair(margin_of(x, typical), margin_of(y, typical), strips)


@njit()
def _block_nearest(
    x: Floats,
    y: Floats,
    block: int,
    owned: Codes,
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


@njit(inline="always")
def _places_seen(y: Floats, p: int, pad: int, k: int, kth: float) -> int:
    """0 if no other place of the strip can be nearer than kth; else where those unseen begin."""
    if k > 3:
        return int(kth == np.inf)
    room = min(y[U(p)] - y[U(p - pad)], y[U(p + pad)] - y[U(p)])
    return pad if room < kth else 0


@njit()
def _count_x(
    margin: Margin, ranks: Ranks, owned: Codes, mine: int, table: Floats, sums: Floats
) -> None:
    """Put the digammas of x of the owned points in front of their distances."""
    values, density, typical, window = margin
    of_each = sums.shape[1] // 2
    for i in range(mine):
        r = ranks[U(owned[U(i)])]
        for j in range(of_each):
            count = closer(values, density, typical, window, r, sums[U(i), U(of_each + j)])
            sums[U(i), U(j)] = table[U(count + 1)]


@njit()
def _owned(ranks: Ranks, first: int, points: int, bounds: tuple[int, int], owned: Codes) -> int:
    """Fill `owned` with the places from first on whose rank is within bounds; their number."""
    mine = int(np.int64(0))
    for p in range(first, first + points):
        owned[U(mine)] = p
        mine += (bounds[0] <= ranks[U(p)]) & (ranks[U(p)] < bounds[1])
    return mine


@njit()
def _strip_sums(pair: _Pair, j: int, ks: Codes, table: Floats, sums: Floats) -> None:
    """Fill sums with the digammas of x, and the distances, of the points that strip j owns."""
    k, strips, values = ks[-1], pair.strips, pair.x.values
    pad = strips.pad
    first, end = ranks_within(strips, j)
    left = values[first - 1] if first > 0 else -np.inf
    right = values[end] if end < len(values) else np.inf
    # Ranks of x that this strip answers for.
    middle = strips.width >> 1
    bounds = (
        (j - 1) * strips.width + middle if j > 1 else 0,
        j * strips.width + middle if j < strips.halves - 1 else len(strips.place),
    )
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
                for row in range(len(nearest)):
                    nearest[row] = near[row, i]
                search_on(values, strips, j, start + p, skip, nearest)
                for row in range(len(nearest)):
                    near[row, i] = nearest[row]
        block_sums = sums[done : done + mine]
        for i in range(len(ks)):
            distances = near[len(nearest) - k + ks[i] - 1]
            for point in range(mine):
                block_sums[U(point), U(len(ks) + i)] = distances[U(point)]
        _count_x(pair.x, ranks, owned, mine, table, block_sums)
        done += mine


@njit(nogil=True)
def strips_sums(pair: _Pair, first: int, end: int, ks: Codes, table: Floats, sums: Floats) -> None:
    """Fill sums with the digammas of x, and the distances, strip by strip."""
    for j in range(first, end):
        _strip_sums(pair, j, ks, table, sums)


@njit(nogil=True)
def add_y(pair: _Pair, first: int, end: int, sums: Floats, table: Floats, out: Floats) -> None:
    """Add the digammas of y to those of x, in the order of y."""
    values, density, typical, window = pair.y
    place = pair.strips.place
    for r in range(first, end):
        p = place[U(r)]
        for j in range(len(out)):
            count = closer(values, density, typical, window, r, sums[U(p), U(len(out) + j)])
            out[U(j), U(r)] = sums[U(p), U(j)] + table[U(count + 1)]


@njit(nogil=True)
def pair_terms(x: Floats, y: Floats, pairing: Ranks, ks: Codes, table: Floats) -> Floats:
    """Return psi(n_x + 1) + psi(n_y + 1) of every point for each k, on this thread: (m, n).

    x and y, (n,), ascend; `pairing` has the rank in x of the row of rank r in y; the m neighbors
    ascend and are below n; `table` is psi(0 ... n). Sums are in the order of y.
    """
    pair = pair_of(x, y, pairing, ks[-1])
    sums, out = np.empty((len(x), 2 * len(ks))), np.empty((len(ks), len(x)))
    # Strip by strip: to compile `strips_sums` as well would take another two seconds.
    for j in range(1, max(2, pair.strips.halves)):
        _strip_sums(pair, j, ks, table, sums)
    add_y(pair, int(np.int64(0)), len(x), sums, table, out)
    return out


@njit(nogil=True)
def fill_sums(x: Floats, y: Floats, pairings: Ranks, ks: Codes, table: Floats, out: Floats) -> None:
    """Fill out with the sums of `pair_terms`, of one k, for each pairing."""
    for i in range(len(pairings)):
        out[i] = pair_terms(x, y, pairings[i], ks, table).sum()


@njit()
def _class_distances(x: Floats, codes: Codes, classes: int, k: int) -> tuple[Floats, Codes]:
    """Distance of each ascending value to its k-th neighbor of its class, and sizes of classes."""
    n = len(x)
    size, start = np.zeros(classes, dtype=np.int64), np.zeros(classes, dtype=np.int64)
    for i in range(n):
        size[codes[i]] += 1
    for c in range(1, classes):
        start[c] = start[c - 1] + size[c - 1]
    free = start.copy()
    place = np.empty(n, dtype=np.int64)
    for i in range(n):
        place[free[codes[i]]] = i
        free[codes[i]] += 1
    distance = np.empty(n)
    for c in range(classes):
        first, end = start[c], start[c] + size[c]
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
    return distance, size


@njit(nogil=True)
def ross_terms(x: Floats, codes: Codes, classes: int, k: int, table: Floats) -> Floats:
    """Local terms of ascending values with their class codes; a lone point says nothing: 0."""
    distance, size = _class_distances(x, codes, classes, k)
    within = count_closer(x, distance)
    out = np.empty(len(x))
    for i in range(len(x)):
        of_class = size[codes[i]]
        used = min(k, of_class - 1)
        out[i] = (
            table[len(x)] - table[of_class] + table[used] - table[within[i] + 1]
            if used > 0
            else 0.0
        )
    return out


@njit(nogil=True)
def fill_ross_means(
    x: Floats, codes: Codes, classes: int, k: int, table: Floats, out: Floats
) -> None:
    """Fill out with the means of Ross's local terms for each row of codes."""
    for i in range(len(codes)):
        out[i] = ross_terms(x, codes[i], classes, k, table).mean()


@njit(nogil=True)
def order_of_some(order: Codes, keep: NDArray[np.bool_]) -> tuple[Codes, Codes]:
    """Return order and ranks of the rows where `keep`, numbered anew, from the order of all."""
    number = np.empty(len(keep), dtype=np.int64)
    kept = 0
    for row in range(len(keep)):
        number[row] = kept if keep[row] else -1
        kept += keep[row]
    part, ranks = np.empty(kept, dtype=np.int64), np.empty(kept, dtype=np.int64)
    place = 0
    for row in order:
        if number[U(row)] >= 0:
            part[U(place)] = number[U(row)]
            ranks[U(number[U(row)])] = place
            place += 1
    return part, ranks


# Several columns: a tree of boxes, each half of the one above, in which the points of a leaf are
# next to one another in memory, and go through the tree together. Distances are the largest
# difference of a coordinate (Chebyshev). Columns are a tuple, so that the loop over them is
# unrolled, and the one over the points of a leaf runs on vectors: 3 ns in place of 80.

LEAF = 24
"""Points of a leaf at most."""

Columns = tuple[Floats, ...]


class Tree(NamedTuple):
    """Points in the order of leaves; node (1 << level) - 1 + j has the j-th part of each level."""

    columns: Any  # d arrays of float64, shape (n,)
    order: Any  # rows of the points, int64, (n,)
    low: Any  # bounds of each node's points, (nodes, d)
    high: Any
    levels: int  # level of the leaves


@njit()
def _select(order: Codes, values: Floats, first: int, end: int, middle: int) -> None:
    """Put the row with the middle value of a part in its place, smaller ones before it."""
    low, high = first, end - 1
    while low < high:
        pivot = values[order[(low + high) >> 1]]
        i, j = low, high
        while i <= j:
            while values[order[i]] < pivot:
                i += 1
            while values[order[j]] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            break


@njit(nogil=True)
def _ordered(points: Floats, levels: int) -> Codes:
    """Order points, shape (d, n), so that nodes are next to one another, each cut where widest."""
    d, n = points.shape
    order = np.arange(n)
    # Bounds of cells, which are those of their points on the sides of a cut.
    low, high = np.empty((1 << levels, d)), np.empty((1 << levels, d))
    for c in range(d):
        low[0, c], high[0, c] = points[c].min(), points[c].max()
    for level in range(levels):
        for j in range((1 << level) - 1, -1, -1):
            widest = 0
            for c in range(d):
                if high[j, c] - low[j, c] > high[j, widest] - low[j, widest]:
                    widest = c
            first, end = (n * j) >> level, (n * (j + 1)) >> level
            middle = (n * (2 * j + 1)) >> (level + 1)
            _select(order, points[widest], first, end, middle)
            for c in range(d):
                low[2 * j, c], high[2 * j, c] = low[j, c], high[j, c]
                low[2 * j + 1, c], high[2 * j + 1, c] = low[j, c], high[j, c]
            cut = points[widest, order[middle]]
            high[2 * j, widest] = low[2 * j + 1, widest] = cut
    return order


@njit(nogil=True)
def _bounds(points: Floats, levels: int) -> tuple[Floats, Floats]:
    """Bounds of the points, in the order of leaves, of each node, shape (nodes, d)."""
    d, n = points.shape
    leaves = (1 << levels) - 1
    low, high = np.empty((2 * leaves + 1, d)), np.empty((2 * leaves + 1, d))
    for j in range(leaves + 1):
        first, end = (n * j) >> levels, (n * (j + 1)) >> levels
        for c in range(d):
            low[leaves + j, c] = points[c, first:end].min()
            high[leaves + j, c] = points[c, first:end].max()
    for node in range(leaves - 1, -1, -1):
        for c in range(d):
            low[node, c] = min(low[2 * node + 1, c], low[2 * node + 2, c])
            high[node, c] = max(high[2 * node + 1, c], high[2 * node + 2, c])
    return low, high


def tree_of(points: Floats) -> Tree:
    """Make a tree of points, shape (d, n), n of 1 or more."""
    levels = 0
    while points.shape[1] >> levels > LEAF:
        levels += 1
    order = _ordered(points, levels)
    inside = np.ascontiguousarray(points[:, order])
    return Tree(tuple(inside), order, *_bounds(inside, levels), levels)


@njit(inline="always")
def _gaps(tree: Tree, node: int, other: int) -> tuple[float, float]:
    """Least and largest distance of a point in the box of one node to one in that of another."""
    gap, reach = 0.0, 0.0
    for c in range(len(tree.columns)):
        below = tree.low[other, c] - tree.high[node, c]
        above = tree.low[node, c] - tree.high[other, c]
        gap, reach = max(gap, max(below, above)), max(reach, max(-below, -above))
    return gap, reach


@njit(inline="always")
def _beside(tree: Tree, node: int, p: int) -> float:
    """Distance from point p to the box of a node; 0 inside."""
    gap = 0.0
    for c in range(len(tree.columns)):
        value = tree.columns[c][U(p)]
        gap = max(gap, max(tree.low[node, c] - value, value - tree.high[node, c]))
    return gap


@njit(inline="always")
def _distance(columns: Columns, p: int, q: int) -> float:
    far = 0.0
    for c in range(len(columns)):
        far = max(far, abs(columns[c][U(q)] - columns[c][U(p)]))
    return far


@njit(inline="always")
def _closer_points(columns: Columns, p: int, first: int, end: int, eps: float) -> int:
    """Count the points first ... end that are strictly closer to point p than eps."""
    count = 0
    for q in range(first, end):
        count += 1 if _distance(columns, p, q) < eps else 0
    return count


@njit(nogil=True)
def tree_distances(tree: Tree, ks: Codes, out: Floats, first: int, end: int) -> None:
    """Fill out[:, row] with distances to the k-th neighbors, for points of leaves first ... end.

    `ks`, shape (m,), ascend and are below the number of points; `out` has shape (m, rows).
    """
    columns, n, levels, most = tree.columns, len(tree.order), tree.levels, ks[-1]
    leaves = (1 << levels) - 1
    nearest = np.empty((LEAF + 1, most))
    stack, gaps = np.empty(2 * levels + 4, dtype=np.int64), np.empty(2 * levels + 4)
    for leaf in range(first, end):
        own, low, high = leaves + leaf, (n * leaf) >> levels, (n * (leaf + 1)) >> levels
        nearest[:] = np.inf
        # The own leaf comes first, so that most other boxes are too far from the start.
        stack[0], gaps[0], stack[1], gaps[1], size = 0, 0.0, own, 0.0, 2
        begun, farthest = False, np.inf
        while size:
            size -= 1
            node, gap = stack[size], gaps[size]
            if gap >= farthest or (begun and node == own):
                continue
            if node < leaves:
                left, right = 2 * node + 1, 2 * node + 2
                of_left, of_right = _gaps(tree, left, own)[0], _gaps(tree, right, own)[0]
                if of_left > of_right:
                    left, right, of_left, of_right = right, left, of_right, of_left
                stack[size], gaps[size] = right, of_right
                stack[size + 1], gaps[size + 1] = left, of_left
                size += 2
                continue
            begun, farthest, j = True, 0.0, node - leaves
            start, stop = (n * j) >> levels, (n * (j + 1)) >> levels
            for p in range(low, high):
                near = nearest[p - low]
                kth = near[most - 1]
                if _beside(tree, node, p) < kth and _closer_points(columns, p, start, stop, kth):
                    for q in range(start, stop):
                        distance = _distance(columns, p, q)
                        if distance < near[most - 1] and q != p:
                            _insert(near, distance)
                farthest = max(farthest, near[most - 1])
        for p in range(low, high):
            for i in range(len(ks)):
                out[i, tree.order[p]] = nearest[p - low, ks[i] - 1]


@njit(nogil=True)
def tree_counts(tree: Tree, distance: Floats, out: Codes, first: int, end: int) -> None:
    """Fill out[row], (rows,), with how many others are strictly closer than distance[row].

    For points of leaves first ... end.
    """
    columns, n, levels = tree.columns, len(tree.order), tree.levels
    leaves = (1 << levels) - 1
    eps, counts = np.empty(LEAF + 1), np.empty(LEAF + 1, dtype=np.int64)
    stack = np.empty(2 * levels + 4, dtype=np.int64)
    for leaf in range(first, end):
        low, high = (n * leaf) >> levels, (n * (leaf + 1)) >> levels
        for p in range(low, high):
            eps[p - low] = distance[tree.order[p]]
            counts[p - low] = -(eps[p - low] > 0)
        least, most = eps[: high - low].min(), eps[: high - low].max()
        size, stack[0] = 1, 0
        while size:
            size -= 1
            node = stack[size]
            gap, reach = _gaps(tree, node, leaves + leaf)
            if gap >= most:
                continue
            if reach >= least and node < leaves:
                stack[size], stack[size + 1] = 2 * node + 1, 2 * node + 2
                size += 2
                continue
            level = 0
            while (2 << level) - 1 <= node:
                level += 1
            j = node - ((1 << level) - 1)
            start, stop = (n * j) >> level, (n * (j + 1)) >> level
            for p in range(low, high):
                if reach < least:
                    counts[p - low] += stop - start
                elif _beside(tree, node, p) < eps[p - low]:
                    counts[p - low] += _closer_points(columns, p, start, stop, eps[p - low])
        for p in range(low, high):
            out[tree.order[p]] = counts[p - low]


@njit(nogil=True)
def moved_near(near: Codes, order: Codes) -> Codes:
    """Give each row another of its `near` ones, (n, k), each once where that goes; (n,).

    Rows choose in this order, the first of their list that is free, else the last.
    """
    n, k = near.shape
    free, moved = np.ones(n, dtype=np.bool_), np.empty(n, dtype=np.int64)
    for row in order:
        choice = near[row, k - 1]
        for i in range(k):
            if free[near[row, i]]:
                choice = near[row, i]
                break
        free[choice] = False
        moved[row] = choice
    return moved
