"""What mutual information says of independent columns: their null distributions.

Under ranks the null of a nearest-neighbour estimate depends on the method, n and k alone, so one
table, shipped with the package, serves every pair of continuous columns (ties are broken at random
first). Its mean is 0; its standard deviation times sqrt(n) is 0.64, 0.74 and 0.76 at n = 64, 1,024
and 4,096 (k = 3). With one column of classes it depends on their sizes too, and is simulated for
these, once for all pairs of such sizes. Two columns of classes have tables of counts, which are
drawn as they are for any n.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.columns.column import Column, Part
from latentscope.diagnostics.estimators.choice import COPULA, PLUGIN, Items, Method
from latentscope.diagnostics.estimators.plugin import plugin_of_counts
from latentscope.diagnostics.significance.null_shapes import RESOLUTION, Shape, shipped_shape
from latentscope.diagnostics.threads import together

Floats = NDArray[np.float64]
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
