"""What mutual information says of independent columns: their null distributions.

Under ranks the null of a nearest-neighbour estimate depends on the method, n and k alone, so one
table, shipped with the package, serves every pair of continuous columns (ties are broken at random
first). Its mean is 0; its standard deviation times sqrt(n) is 0.64, 0.74 and 0.76 at n = 64, 1,024
and 4,096 (k = 3). With one column of classes it depends on their sizes too, and is simulated for
these, once for all pairs of such sizes. Two columns of classes have tables of counts, which are
drawn as they are for any n.

The shape of a null distribution in a few numbers, and the table of those shipped.

Estimates of independent columns are sums of many weakly dependent terms, so they are nearly normal.
A shape is the expansion of their quantiles in Hermite polynomials of the normal quantile z,
q(z) = sum_j c_j He_j(z) (E. A. Cornish, R. A. Fisher, "Moments and cumulants in the specification
of distributions", Rev. Inst. Int. Stat. 5, 307, 1938), which smooths the tail of a simulation. In
that expansion c_j falls as N^(-(j - 1) / 2) with N rows, from j = 2 on, while c_1, the width of the
estimate times sqrt(N), stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.polynomial.hermite_e import hermefit, hermeval
from numpy.typing import NDArray
from scipy.special import ndtri

from latentscope.diagnostics.groups import Draws
from latentscope.diagnostics.mi.columns import Column, Part
from latentscope.diagnostics.mi.estimators import COPULA, PLUGIN, Items, Method, plugin_of_counts
from latentscope.diagnostics.threads import together

Floats = NDArray[np.float64]

TABLE = Path(__file__).with_name("rank_nulls.npz")
TERMS = 4
RESOLUTION = 99_999
"""Quantiles that a shape is spread into: 1 / (1 + this) is the least p-value."""


@dataclass(frozen=True)
class Shape:
    """Distribution of estimates times sqrt(n), for independent columns.

    Parameters
    ----------
    coefficients : ndarray of float64, shape (4,)
        c_j of He_j.
    excess : float
        Variance of a scaled estimate that its local terms do not show.
    """

    coefficients: Floats
    excess: float

    @classmethod
    def of(cls, scaled: Floats, excess: float) -> Shape:
        """Fit simulated estimates times sqrt(n), shape (draws,)."""
        draws = len(scaled)
        z = ndtri((np.arange(draws) + 0.5) / draws)
        fitted = hermefit(z, np.sort(scaled), TERMS - 1)
        return cls(np.asarray(fitted), excess)

    def of_more_rows(self, times: float, factor: float = 1.0) -> Shape:
        """Return the shape of so many times the rows, its width times a factor."""
        power = np.maximum(np.arange(TERMS) - 1, 0) / 2
        return Shape(self.coefficients * factor / times**power, self.excess * factor**2)

    def quantiles(self) -> Floats:
        """Return the distribution as `RESOLUTION` equally likely values, ascending."""
        return np.maximum.accumulate(hermeval(_normal_quantiles(), self.coefficients))


@dataclass(frozen=True)
class TableEntry:
    """One method's shapes, with one number of neighbours.

    Parameters
    ----------
    rows : ndarray of float64, shape (m,)
        Ascending n.
    coefficients : ndarray of float64, shape (m, 4)
        As those of `Shape`.
    excess : ndarray of float64, shape (m,)
    """

    rows: Floats
    coefficients: Floats
    excess: Floats


@lru_cache(maxsize=1)
def _normal_quantiles() -> Floats:
    return np.asarray(ndtri(np.arange(1, RESOLUTION + 1) / (RESOLUTION + 1)))


def key_of(name: str, neighbors: int) -> str:
    """Name an entry of the table, such as "copula 3"."""
    return f"{name} {neighbors}"


def shipped_shape(name: str, neighbors: int, n: int) -> Shape | None:
    """Look up the shape of a method of ranks; None if the table has none for so few rows.

    Between the n of the table shapes are interpolated in 1 / sqrt(n), and between its neighbours in
    their logarithm.

    Parameters
    ----------
    name : str
        Of the method.
    neighbors : int
        k.
    n : int
        Rows.
    """
    entry = _entries().get(key_of(name, neighbors))
    if entry is not None:
        return _at(entry, n)
    below, above = _beside(name, neighbors)
    if below is None or above is None:
        return None
    low, high = (_at(_entries()[key_of(name, k)], n) for k in (below, above))
    if low is None or high is None:
        return None
    share = float(np.log(neighbors / below) / np.log(above / below))
    return _between(low, high, share)


def _beside(name: str, neighbors: int) -> tuple[int | None, int | None]:
    """Numbers of neighbours in the table next to one that is not in it."""
    known = [int(key.split()[1]) for key in _entries() if key.split()[0] == name]
    below = max((k for k in known if k < neighbors), default=None)
    return below, min((k for k in known if k > neighbors), default=None)


def _at(entry: TableEntry, n: int) -> Shape | None:
    last = entry.rows[-1]
    if n < entry.rows[0]:
        return None
    if n >= last:
        return Shape(entry.coefficients[-1], float(entry.excess[-1])).of_more_rows(n / last)
    high = int(np.searchsorted(entry.rows, n, side="right"))
    low = high - 1
    places = entry.rows[[low, high]] ** -0.5
    share = float((places[0] - n**-0.5) / (places[0] - places[1]))
    first, second = (Shape(entry.coefficients[i], float(entry.excess[i])) for i in (low, high))
    return _between(first, second, share)


def _between(low: Shape, high: Shape, share: float) -> Shape:
    coefficients = (1 - share) * low.coefficients + share * high.coefficients
    return Shape(coefficients, (1 - share) * low.excess + share * high.excess)


@lru_cache(maxsize=1)
def _entries() -> dict[str, TableEntry]:
    return read_table(TABLE)


def read_table(path: Path) -> dict[str, TableEntry]:
    """Read entries by key; without the file, nothing is known."""
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        keys = [str(key) for key in stored["keys"]]
        parts = zip(stored["rows"], stored["coefficients"], stored["excess"], strict=True)
        found = {}
        for key, (rows, coefficients, excess) in zip(keys, parts, strict=True):
            known = rows > 0
            found[key] = TableEntry(rows[known], coefficients[known], excess[known])
    return found


def write_table(path: Path, table: dict[str, TableEntry]) -> None:
    """Write what `read_table` reads."""
    shape = (len(table), max(len(entry.rows) for entry in table.values()))
    rows, excess = np.zeros(shape), np.zeros(shape)
    coefficients = np.zeros((*shape, TERMS))
    for i, entry in enumerate(table.values()):
        known = len(entry.rows)
        rows[i, :known], excess[i, :known] = entry.rows, entry.excess
        coefficients[i, :known] = entry.coefficients
    with path.open("wb") as file:
        np.savez_compressed(
            file, keys=np.array(list(table)), rows=rows, coefficients=coefficients, excess=excess
        )


Margin = int | tuple[int, ...]
"""Number of rows of a continuous column, or the rows of each class of a discrete one, ascending."""

_SCALES_FROM = 1024
_SHAPE_DRAWS = 8_000
_COUNT_DRAWS = (9_999, RESOLUTION)
_DRAWS_PER_PAIR = 100
_FEWEST = 64
_ROWS_PER_NEIGHBOR = 8
_BLOCK_POINTS = 500_000
_BLOCK_TABLES = 2_000
ROUNDING = 1e-9
_VARIANCE_DRAWS = 20


@dataclass(frozen=True)
class Null:
    """Estimates of independent columns.

    Parameters
    ----------
    scaled : ndarray of float64, shape (m,)
        Estimates times sqrt(n), ascending.
    excess : float
        Variance of a scaled estimate that its local terms do not show, since terms of neighbours
        are correlated.
    """

    scaled: Floats
    excess: float

    def p_value(self, value: float, n: int) -> float:
        """(1 + b) / (1 + m), with b of the m estimates at or above the value; never 0."""
        # Equal tables of counts give sums that differ by rounding, and must count as equal.
        least = value * np.sqrt(n) - ROUNDING
        above = len(self.scaled) - np.searchsorted(self.scaled, least, side="left")
        return float((1 + above) / (1 + len(self.scaled)))


def null_of(method: Method, x: Margin, y: Margin, neighbors: int, pairs: int = 1) -> Null:
    """Return the null of a method for two columns of which this is known.

    Parameters
    ----------
    method : Method
    x, y : int or tuple of int
        Rows of a continuous column, or rows of each class.
    neighbors : int
        k.
    pairs : int
        Pairs in the table of results: of two columns of classes more tables are drawn for more
        pairs, so that one that stands out still does after the correction for their number.
    """
    with together():
        if isinstance(x, tuple) and isinstance(y, tuple):
            return _count_null(x, y, int(np.clip(_DRAWS_PER_PAIR * pairs, *_COUNT_DRAWS)))
        if isinstance(x, tuple) or isinstance(y, tuple):
            return _class_null(method, x, y, neighbors)
        return _rank_null(method, x, neighbors)


def margin_of(part: Part) -> Margin:
    """Return what the null of a column depends on."""
    if not part.column.discrete:
        return len(part)
    return tuple(int(size) for size in np.sort(np.bincount(part.codes)))


@lru_cache(maxsize=16)
def _rank_null(method: Method, n: int, neighbors: int) -> Null:
    # Methods of values are judged by the ranks of these, so they share that null.
    name = COPULA.name if method.shuffled is COPULA.shuffled else method.name
    shape = shipped_shape(name, neighbors, n)
    if shape is None:
        rows = np.arange(min(n, _SCALES_FROM))
        shape = simulated(method, rows, rows, neighbors, _SHAPE_DRAWS)
        shape = shape.of_more_rows(n / len(rows))
    return Null(shape.quantiles(), shape.excess)


@lru_cache(maxsize=64)
def _count_null(first: tuple[int, ...], second: tuple[int, ...], draws: int) -> Null:
    """Null of two columns of classes, from random tables of counts with their sizes."""
    # Imported here, since it takes longer to load than most tables to measure.
    from scipy.stats import random_table

    n = sum(first)
    rng = np.random.default_rng([n, len(first), len(second), draws])
    tables = random_table(np.array(first), np.array(second))
    values = [
        plugin_of_counts(tables.rvs(rows, random_state=rng))
        for rows in _blocks(draws, _BLOCK_TABLES)
    ]
    scaled = np.concatenate(values) * np.sqrt(n)
    x, y = (np.repeat(np.arange(len(sizes)), sizes) for sizes in (first, second))
    return Null(np.sort(scaled), _excess(scaled, PLUGIN, x, y, 1, rng))


@lru_cache(maxsize=64)
def _class_null(method: Method, x: Margin, y: Margin, neighbors: int) -> Null:
    sizes = x if isinstance(x, tuple) else y
    assert isinstance(sizes, tuple)
    fewer, factor = shrunk(sizes, neighbors)
    shape = _class_shape(method, fewer, isinstance(x, tuple), neighbors)
    shape = shape.of_more_rows(sum(sizes[:-1]) / max(sum(fewer[:-1]), 1), factor)
    return Null(shape.quantiles(), shape.excess)


@lru_cache(maxsize=256)
def _class_shape(method: Method, sizes: tuple[int, ...], x_discrete: bool, neighbors: int) -> Shape:
    classes, ranks = np.repeat(np.arange(len(sizes)), sizes), np.arange(sum(sizes))
    x, y = (classes, ranks) if x_discrete else (ranks, classes)
    return simulated(method, x, y, neighbors, _SHAPE_DRAWS)


def shrunk(sizes: tuple[int, ...], neighbors: int) -> tuple[tuple[int, ...], float]:
    """Return fewer rows in classes that have the same null, and what scales theirs to it.

    The standard deviation of Ross's estimate for independent columns is 0.70 to 0.82 times
    sqrt(rows outside the largest class) / n, whether the classes are two or a thousand (k = 3). So
    shares are kept, but at least 64 rows and 16 for each neighbour, or all there are, stay outside
    the largest class, and 8 for each neighbour in any; of classes too small to be shrunk fewer are
    taken. Sizes are rounded to about 4 %, so that columns that differ by a few rows share a null.
    Its width comes out within about 4 %, the noise of its simulation included.

    Parameters
    ----------
    sizes : tuple of int
        Rows of each class, ascending.
    neighbors : int
        k.

    Returns
    -------
    sizes : tuple of int
        At most about 1,024 in all.
    factor : float
        Of estimates times sqrt(n).
    """
    n, outside = sum(sizes), sum(sizes[:-1])
    fewer = _rounded(sizes if n <= _SCALES_FROM else _shares(sizes, neighbors))
    spread = sum(fewer[:-1]) / sum(fewer)
    return fewer, float(np.sqrt(outside / n / spread)) if outside else 1.0


def _shares(sizes: tuple[int, ...], neighbors: int) -> tuple[int, ...]:
    n, outside = sum(sizes), sum(sizes[:-1])
    enough = min(_ROWS_PER_NEIGHBOR * neighbors, _SCALES_FROM // 4)
    kept = max(_SCALES_FROM * outside / n, min(outside, max(_FEWEST, 2 * enough)))
    share = np.array(sizes) * (kept / outside)
    share[-1] = _SCALES_FROM - kept
    small = share < enough
    several = share[small].sum()
    rare = np.minimum(sizes, enough)[small]
    number = max(int(np.round(several / rare.mean())), 1) if len(rare) else 0
    chosen = rare[np.linspace(0, len(rare) - 1, number).round().astype(int)] if number else rare
    fewer = np.sort(np.concatenate([chosen, np.round(share[~small]).astype(int)]))
    return tuple(int(size) for size in fewer)


def _rounded(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes in steps of 1/16 of the power of 2 below them, exact up to 32."""
    step = [2 ** max(size.bit_length() - 5, 0) for size in sizes]
    return tuple(sorted(round(size / s) * s for size, s in zip(sizes, step, strict=True)))


def _blocks(draws: int, rows: int) -> Iterator[int]:
    for first in range(0, draws, rows):
        yield min(rows, draws - first)


def simulated(method: Method, x: Items, y: Items, neighbors: int, draws: int) -> Shape:
    """Simulate the null of a method on ranks or classes.

    Parameters
    ----------
    method : Method
    x, y : ndarray of int64, shape (n,)
        Ranks 0 ... n - 1 in any order, or classes.
    neighbors : int
        k.
    draws : int
        Shuffles of y; the seed depends on the arguments alone.
    """
    n = len(x)
    rng = np.random.default_rng([n, neighbors, draws])
    parts = []
    for rows in _blocks(draws, max(1, _BLOCK_POINTS // n)):
        moved = rng.permuted(np.tile(y, (rows, 1)), axis=1)
        parts.append(method.shuffled(np.tile(x, (rows, 1)), moved, neighbors))
    scaled = np.concatenate(parts) * np.sqrt(n)
    return Shape.of(scaled, _excess(scaled, method, x, y, neighbors, rng))


def _excess(
    scaled: Floats,
    method: Method,
    x: Items,
    y: Items,
    neighbors: int,
    rng: np.random.Generator,
) -> float:
    whole = np.ones(len(x), dtype=bool)
    variances = []
    for _ in range(_VARIANCE_DRAWS):
        columns = [_column(items, rng) for items in (x, rng.permutation(y))]
        first, second = (Part(column, whole) for column in columns)
        variances.append(method.terms(first, second, neighbors).var())
    return max(0.0, float(scaled.var()) - float(np.mean(variances)))


def _column(items: Items, rng: np.random.Generator) -> Column:
    if len(np.unique(items)) < len(items):
        return Column("", None, items, np.empty(0, dtype=np.int64), np.empty(0), 0, "")
    # Called tied, so that its ranks are taken, as those of all columns in a shuffle are.
    values, n = items.astype(np.float64), len(items)
    return Column("", values, None, np.argsort(items), rng.random(n), n, "")


Show = Callable[[NDArray[np.int64]], Items]

_STOP_AT = 10


def group_p_value(
    method: Method,
    x: Show,
    y: Show,
    draws: Draws,
    neighbors: int,
    *,
    null: Null,
    permutations: int,
    rng: np.random.Generator,
) -> float:
    """P-value of the median over draws of one row a group, by shuffling whole groups.

    Groups change places with those of about as many rows, and the draws move with them.

    If the median of draws reaches a value, half of the draws do; so under independence that is at
    most twice as likely as for one draw. Where this bound is below what the shuffles can resolve,
    it is returned and nothing is shuffled. Else shuffles go on until 10 of them reach the observed
    median, which gives 10 / l after l shuffles (J. Besag, P. Clifford, "Sequential Monte Carlo
    p-values", Biometrika 78, 301, 1991), or to their end, (1 + b) / (1 + m).

    Parameters
    ----------
    method : Method
    x, y : callable
        Rows (m, groups) -> ranks or classes of each row of rows, shape (m, groups).
    draws : Draws
        Which rows the groups show.
    neighbors : int
        k.
    null : Null
        Of one draw.
    permutations : int
        m at most.
    rng : Generator
        Shuffles.
    """
    shown = x(draws.rows)
    number, groups = shown.shape
    observed = float(np.median(method.shuffled(shown, y(draws.rows), neighbors)))
    bound = 2 * null.p_value(observed, groups)
    if bound <= 1 / (1 + permutations):
        return bound
    above = 0
    block = int(np.clip(_BLOCK_POINTS // shown.size, 1, _STOP_AT))
    for first in range(0, permutations, block):
        rows = min(block, permutations - first)
        moved = y(np.concatenate([draws.shuffled(rng) for _ in range(rows)]))
        values = method.shuffled(np.tile(shown, (rows, 1)), moved, neighbors).reshape(rows, number)
        reached = np.cumsum(np.median(values, axis=1) >= observed - ROUNDING) + above
        stop = np.searchsorted(reached, _STOP_AT)
        if stop < rows:
            return float(_STOP_AT / (first + stop + 1))
        above = int(reached[-1])
    return float((1 + above) / (1 + permutations))


def ranks_of(items: Items) -> Items:
    """Rank 0 ... n - 1 of different numbers in each row, shape (m, n) -> (m, n)."""
    order = np.argsort(items, axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(items.shape[1])[None], axis=1)
    return ranks


def false_discovery_rate(p_values: Floats) -> Floats:
    """Benjamini-Hochberg q of each p; NaN stays NaN and does not count, shape (m,) -> (m,).

    Y. Benjamini, Y. Hochberg, "Controlling the false discovery rate", J. R. Stat. Soc. B 57, 289
    (1995).
    """
    q_values = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known])[::-1]]
    rank = np.arange(len(order), 0, -1)
    q_values[order] = np.minimum.accumulate(p_values[order] * len(order) / rank).clip(max=1.0)
    return q_values
