"""What mutual information says of independent columns: nulls, p and q values, error bars.

Under ranks the null distribution of the KSG estimate depends on n and k alone, so one simulated
table serves every pair without ties (ties are broken at random first). With one column of
classes it depends on their sizes too, and is simulated for these. From n = 1,024 on both scale with
1 / sqrt(n): of ranks the standard deviation times sqrt(n) is 0.76, 0.76 and 0.75 at n = 1,024,
4,096 and 16,384, of two equal classes 0.494, 0.495 and 0.492 at n = 1,024, 2,048 and 16,384 (k =
3). Two columns of classes have tables of counts, which are drawn as they are for any n.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import random_table

from latentscope.diagnostics.columns import Column, Part
from latentscope.diagnostics.estimators import COPULA, PLUGIN, Items, Method
from latentscope.diagnostics.plugin import plugin_of_counts

Floats = NDArray[np.float64]

_SCALES_FROM = 1024
_DRAWS = (9_999, 99_999)
_DRAWS_PER_PAIR = 100
_FEWEST = 64
_SMALL = 24
_BLOCK_POINTS = 500_000
_BLOCK_TABLES = 2_000
_ROUNDING = 1e-9
_VARIANCE_DRAWS = 20
_STOP_AT = 10


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
        least = value * np.sqrt(n) - _ROUNDING
        above = len(self.scaled) - np.searchsorted(self.scaled, least, side="left")
        return float((1 + above) / (1 + len(self.scaled)))


def null_of(method: Method, x: Part, y: Part, neighbors: int, pairs: int = 1) -> Null:
    """Return the null of a pair: from a table for two continuous columns, else for its classes.

    Parameters
    ----------
    method : Method
    x, y : Part
        The pair.
    neighbors : int
        k.
    pairs : int
        Pairs in the table of results: more need finer p-values, so that one that stands out still
        does after the correction for their number.
    """
    draws = int(np.clip(_DRAWS_PER_PAIR * pairs, *_DRAWS))
    if not (x.column.discrete or y.column.discrete):
        return _rank_null(min(len(x), _SCALES_FROM), neighbors, draws)
    sizes = tuple(
        tuple(np.sort(np.bincount(part.codes))) if part.column.discrete else () for part in (x, y)
    )
    if method is PLUGIN:
        return _count_null(sizes, draws)
    return _class_null(method, sizes, neighbors, draws)


@lru_cache(maxsize=64)
def _rank_null(n: int, neighbors: int, draws: int) -> Null:
    return _simulated(COPULA, np.arange(n), np.arange(n), neighbors, draws)


@lru_cache(maxsize=64)
def _count_null(sizes: tuple[tuple[int, ...], ...], draws: int) -> Null:
    """Null of two columns of classes, from random tables of counts with their sizes."""
    first, second = (np.array(size) for size in sizes)
    n = int(first.sum())
    rng = np.random.default_rng([n, len(first), len(second), draws])
    tables = random_table(first, second)
    values = [plugin_of_counts(tables.rvs(rows, random_state=rng)) for rows in _blocks(draws)]
    x, y = (np.repeat(np.arange(len(size)), size) for size in sizes)
    return _null(np.concatenate(values) * np.sqrt(n), PLUGIN, x, y, 1, rng)


@lru_cache(maxsize=64)
def _class_null(
    method: Method, sizes: tuple[tuple[int, ...], ...], neighbors: int, draws: int
) -> Null:
    known = next(size for size in sizes if size)
    fewer, factor = shrunk(known)
    n = sum(fewer)
    x, y = (np.repeat(np.arange(len(fewer)), fewer) if size else np.arange(n) for size in sizes)
    return _simulated(method, x, y, neighbors, draws, factor)


def shrunk(sizes: tuple[int, ...]) -> tuple[tuple[int, ...], float]:
    """Return fewer rows in classes that have the same null, and what scales theirs to it.

    The standard deviation of Ross's estimate for independent columns is 0.70 to 0.82 times
    sqrt(rows outside the largest class) / n, whether the classes are two or a thousand (k = 3). So
    shares are kept, but at least `_FEWEST` rows, or all there are, stay outside the largest class;
    and of classes too small to be shrunk fewer are taken. For a hundred classes or more the null
    comes out about 5 % too narrow, else within the noise of its simulation.

    Parameters
    ----------
    sizes : tuple of int
        Rows of each class, ascending.

    Returns
    -------
    sizes : tuple of int
        At most about 1,024 in all.
    factor : float
        Of estimates times sqrt(n).
    """
    n, outside = sum(sizes), sum(sizes[:-1])
    if n <= _SCALES_FROM:
        return sizes, 1.0
    kept = max(_SCALES_FROM * outside / n, min(outside, _FEWEST))
    share = np.array(sizes) * (kept / outside)
    share[-1] = _SCALES_FROM - kept
    small = share < _SMALL
    several = share[small].sum()
    rare = np.minimum(sizes, _SMALL)[small]
    number = max(int(np.round(several / rare.mean())), 1) if len(rare) else 0
    chosen = rare[np.linspace(0, len(rare) - 1, number).round().astype(int)] if number else rare
    fewer = np.sort(np.concatenate([chosen, np.round(share[~small]).astype(int)]))
    spread = fewer[:-1].sum() / fewer.sum()
    return tuple(int(size) for size in fewer), float(np.sqrt(outside / n / spread))


def _blocks(draws: int) -> list[int]:
    return [min(_BLOCK_TABLES, draws - first) for first in range(0, draws, _BLOCK_TABLES)]


def _simulated(
    method: Method, x: Items, y: Items, neighbors: int, draws: int, factor: float = 1.0
) -> Null:
    n = len(x)
    rng = np.random.default_rng([n, neighbors, draws])
    block = max(1, _BLOCK_POINTS // n)
    parts = []
    for first in range(0, draws, block):
        rows = min(block, draws - first)
        shuffled = rng.permuted(np.tile(y, (rows, 1)), axis=1)
        parts.append(method.shuffled(np.tile(x, (rows, 1)), shuffled, neighbors))
    scaled = np.concatenate(parts) * np.sqrt(n)
    null = _null(scaled, method, x, y, neighbors, rng)
    return Null(null.scaled * factor, null.excess * factor**2)


def _null(
    scaled: Floats, method: Method, x: Items, y: Items, neighbors: int, rng: np.random.Generator
) -> Null:
    excess = float(scaled.var()) - _term_variance(method, x, y, neighbors, rng)
    return Null(np.sort(scaled), max(0.0, excess))


def _term_variance(
    method: Method, x: Items, y: Items, neighbors: int, rng: np.random.Generator
) -> float:
    whole = np.ones(len(x), dtype=bool)
    variances = []
    for _ in range(_VARIANCE_DRAWS):
        columns = [_column(items, rng) for items in (x, rng.permutation(y))]
        first, second = (Part(column, whole) for column in columns)
        variances.append(method.terms(first, second, neighbors).var())
    return float(np.mean(variances))


def _column(items: Items, rng: np.random.Generator) -> Column:
    if len(np.unique(items)) < len(items):
        return Column("", None, items, np.empty(0, dtype=np.int64), np.empty(0), 0, "")
    # Called tied, so that its ranks are taken, as those of all columns in a shuffle are.
    values, n = items.astype(np.float64), len(items)
    return Column("", values, None, np.argsort(items), rng.random(n), n, "")


def group_p_value(
    method: Method,
    x: Items,
    y: Items,
    neighbors: int,
    *,
    null: Null,
    permutations: int,
    rng: np.random.Generator,
) -> float:
    """P-value of the median over draws of one row a group, by shuffling whole groups.

    If the median of draws reaches a value, half of the draws do; so under independence that is at
    most twice as likely as for one draw. Where this bound is below what the shuffles can resolve,
    it is returned and nothing is shuffled. Else shuffles go on until 10 of them reach the observed
    median, which gives 10 / l after l shuffles (J. Besag, P. Clifford, "Sequential Monte Carlo
    p-values", Biometrika 78, 301, 1991), or to their end, (1 + b) / (1 + m).

    Parameters
    ----------
    method : Method
    x, y : ndarray of int64, shape (draws, groups)
        Ranks or classes of each group's row, draw by draw.
    neighbors : int
        k.
    null : Null
        Of one draw.
    permutations : int
        m at most.
    rng : Generator
        Shuffles.
    """
    draws, groups = x.shape
    observed = float(np.median(method.shuffled(x, y, neighbors)))
    bound = 2 * null.p_value(observed, groups)
    if bound <= 1 / (1 + permutations):
        return bound
    above = 0
    block = int(np.clip(_BLOCK_POINTS // x.size, 1, _STOP_AT))
    for first in range(0, permutations, block):
        rows = min(block, permutations - first)
        moved = np.concatenate([y[:, rng.permutation(groups)] for _ in range(rows)])
        values = method.shuffled(np.tile(x, (rows, 1)), moved, neighbors).reshape(rows, draws)
        reached = np.cumsum(np.median(values, axis=1) >= observed - _ROUNDING) + above
        stop = np.searchsorted(reached, _STOP_AT)
        if stop < rows:
            return float(_STOP_AT / (first + stop + 1))
        above = int(reached[-1])
    return float((1 + above) / (1 + permutations))


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
