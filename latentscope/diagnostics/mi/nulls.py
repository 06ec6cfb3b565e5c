"""Null distributions: the mutual information that independent columns show, and p-values.

Under ranks the null of a nearest-neighbor estimate depends on n and k alone, so one table, shipped
with the package, serves every pair of continuous columns (ties are broken at random first). Its
mean is 0; its standard deviation times sqrt(n) is 0.64, 0.74 and 0.76 at n = 64, 1,024 and 4,096
(k = 3). With one column of classes it depends on their sizes too, and is simulated for these, once
for all pairs of such sizes. Two columns of classes have tables of counts, which are drawn as they
are for any n. Estimators of values are judged by the ranks of these.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.polynomial.hermite_e import hermefit, hermeval
from numpy.typing import NDArray
from scipy.special import ndtri

from latentscope.diagnostics.mi.columns import Column
from latentscope.diagnostics.mi.estimators import Copula, Plugin, RankTest, Ross, plugin_of_counts
from latentscope.diagnostics.study import Draws
from latentscope.files import atomic_path
from latentscope.workers import together

Floats = NDArray[np.float64]
Items = NDArray[np.int64]
Show = Callable[[Items], Items]
Sizes = int | tuple[int, ...]
"""Number of rows of a continuous column, or the rows of each class of a discrete one, ascending."""

TABLE = Path(__file__).with_name("rank_nulls.npz")
RESOLUTION = 99_999
"""Quantiles that a shape is spread into: 1 / (1 + this) is the least p-value."""

ROUNDING = 1e-9  # equal tables of counts give sums that differ by rounding, and must count as equal

_TERMS = 4
_SCALES_FROM = 1024  # rows from which a null is that of so many, scaled
_SHAPE_DRAWS = 8_000
_BLOCK_POINTS = 500_000  # of shuffles at a time, which bounds memory
_BLOCK_TABLES = 2_000


@dataclass(frozen=True)
class Null:
    """Estimates of independent columns."""

    scaled: Floats  # estimates times sqrt(n), ascending, shape (m,)
    # Variance of a scaled estimate that its local terms do not show, since terms of neighbors are
    # correlated.
    excess: float

    def p_value(self, value: float, n: int) -> float:
        """(1 + b) / (1 + m), with b of the m estimates at or above the value; never 0."""
        least = value * np.sqrt(n) - ROUNDING
        above = len(self.scaled) - np.searchsorted(self.scaled, least, side="left")
        return float((1 + above) / (1 + len(self.scaled)))


def null_of(test: RankTest, x: Sizes, y: Sizes, neighbors: int, pairs: int = 1) -> Null:
    """Return the null of a test for two columns of which these margins are known.

    Of two columns of classes more tables are drawn the more `pairs` there are in the table of
    results, so that one that stands out still does after the correction for their number.
    """
    # Other threads wait for the null that one of them simulates.
    with together():
        if isinstance(x, tuple) and isinstance(y, tuple):
            return _count_null(x, y, int(np.clip(100 * pairs, 9_999, RESOLUTION)))
        if isinstance(test, Ross):
            sizes = x if isinstance(x, tuple) else y
            assert isinstance(sizes, tuple)
            return _class_null(test, sizes, neighbors)
        assert isinstance(x, int)
        return _rank_null(x, neighbors)


def sizes_of(column: Column) -> Sizes:
    """Return what the null of a column depends on."""
    if column.codes is None:
        return len(column)
    return tuple(int(size) for size in np.sort(np.bincount(column.codes)))


@lru_cache(maxsize=16)
def _rank_null(n: int, neighbors: int) -> Null:
    shape = shipped_shape(neighbors, n)
    if shape is None:
        rows = np.arange(min(n, _SCALES_FROM))
        shape = simulated(Copula(), rows, rows, neighbors, _SHAPE_DRAWS)
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
    return Null(np.sort(scaled), _excess(scaled, Plugin(), x, y, 1, rng))


@lru_cache(maxsize=64)
def _class_null(test: Ross, sizes: tuple[int, ...], neighbors: int) -> Null:
    fewer, factor = shrunk(sizes, neighbors)
    shape = _class_shape(test, fewer, neighbors)
    shape = shape.of_more_rows(sum(sizes[:-1]) / max(sum(fewer[:-1]), 1), factor)
    return Null(shape.quantiles(), shape.excess)


@lru_cache(maxsize=256)
def _class_shape(test: Ross, sizes: tuple[int, ...], neighbors: int) -> Shape:
    classes, ranks = np.repeat(np.arange(len(sizes)), sizes), np.arange(sum(sizes))
    x, y = (classes, ranks) if test.classes_first else (ranks, classes)
    return simulated(test, x, y, neighbors, _SHAPE_DRAWS)


def shrunk(sizes: tuple[int, ...], neighbors: int) -> tuple[tuple[int, ...], float]:
    """Return fewer rows in classes with the same null, and the factor between the scales.

    The standard deviation of Ross's estimate for independent columns is 0.70 to 0.82 times
    sqrt(rows outside the largest class) / n, whether the classes are two or a thousand (k = 3). So
    shares are kept, but at least 64 rows and 16 for each neighbor, or all there are, stay outside
    the largest class, and 8 for each neighbor in any; of classes too small to be shrunk fewer are
    taken. Sizes are rounded to about 4 %, so that columns that differ by a few rows share a null.
    Its width comes out within about 4 %, the noise of its simulation included. The sizes, rows of
    each class, ascend; those returned are about 1,024 in all at most. The factor is that of
    estimates times sqrt(n).
    """
    n, outside = sum(sizes), sum(sizes[:-1])
    fewer = _rounded(sizes if n <= _SCALES_FROM else _shares(sizes, neighbors))
    spread = sum(fewer[:-1]) / sum(fewer)
    return fewer, float(np.sqrt(outside / n / spread)) if outside else 1.0


def _shares(sizes: tuple[int, ...], neighbors: int) -> tuple[int, ...]:
    n, outside = sum(sizes), sum(sizes[:-1])
    enough = min(8 * neighbors, _SCALES_FROM // 4)
    kept = max(_SCALES_FROM * outside / n, min(outside, max(64, 2 * enough)))
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


def simulated(test: RankTest, x: Items, y: Items, neighbors: int, draws: int) -> Shape:
    """Simulate the null of a test on ranks 0 ... n - 1 or classes, shape (n,), by shuffles of y.

    The seed depends on the arguments alone.
    """
    n = len(x)
    rng = np.random.default_rng([n, neighbors, draws])
    parts = []
    for rows in _blocks(draws, max(1, _BLOCK_POINTS // n)):
        moved = rng.permuted(np.tile(y, (rows, 1)), axis=1)
        parts.append(test.shuffled(np.tile(x, (rows, 1)), moved, neighbors))
    scaled = np.concatenate(parts) * np.sqrt(n)
    return Shape.of(scaled, _excess(scaled, test, x, y, neighbors, rng))


def _excess(
    scaled: Floats, test: RankTest, x: Items, y: Items, neighbors: int, rng: np.random.Generator
) -> float:
    """Variance of scaled estimates beyond the mean variance of local terms in 20 shuffles."""
    variances = []
    for _ in range(20):
        first, second = (_column(items, rng) for items in (x, rng.permutation(y)))
        variances.append(test.terms(first, second, neighbors).var())
    return max(0.0, float(scaled.var()) - float(np.mean(variances)))


def _column(items: Items, rng: np.random.Generator) -> Column:
    if len(np.unique(items)) < len(items):
        return Column("", None, items, np.empty(0, dtype=np.int64), np.empty(0))
    n = len(items)
    return Column("", items.astype(np.float64), None, np.argsort(items), rng.random(n))


# The shape of a null in a few numbers. Estimates of independent columns are sums of many weakly
# dependent terms, so they are nearly normal. A shape is the expansion of their quantiles in Hermite
# polynomials of the normal quantile z, q(z) = sum_j c_j He_j(z) (E. A. Cornish, R. A. Fisher,
# "Moments and cumulants in the specification of distributions", Rev. Inst. Int. Stat. 5, 307,
# 1938), which smooths the tail of a simulation. In that expansion c_j falls as N^(-(j - 1) / 2)
# with N rows, from j = 2 on, while c_1, the width of the estimate times sqrt(N), stays.


@dataclass(frozen=True)
class Shape:
    """Distribution of estimates times sqrt(n), for independent columns."""

    coefficients: Floats  # c_j of He_j, shape (4,)
    excess: float  # as that of `Null`

    @classmethod
    def of(cls, scaled: Floats, excess: float) -> Shape:
        """Fit simulated estimates times sqrt(n), shape (draws,)."""
        draws = len(scaled)
        z = ndtri((np.arange(draws) + 0.5) / draws)
        fitted = hermefit(z, np.sort(scaled), _TERMS - 1)
        return cls(np.asarray(fitted), excess)

    def of_more_rows(self, times: float, factor: float = 1.0) -> Shape:
        """Return the shape of so many times the rows, its width times a factor."""
        power = np.maximum(np.arange(_TERMS) - 1, 0) / 2
        return Shape(self.coefficients * factor / times**power, self.excess * factor**2)

    def towards(self, other: Shape, share: float) -> Shape:
        """Return the shape so far on the way to another, 0 ... 1."""
        coefficients = (1 - share) * self.coefficients + share * other.coefficients
        return Shape(coefficients, (1 - share) * self.excess + share * other.excess)

    def quantiles(self) -> Floats:
        """Return the distribution as `RESOLUTION` equally likely values, ascending."""
        return np.maximum.accumulate(hermeval(_normal_quantiles(), self.coefficients))


@lru_cache(maxsize=1)
def _normal_quantiles() -> Floats:
    return np.asarray(ndtri(np.arange(1, RESOLUTION + 1) / (RESOLUTION + 1)))


@dataclass(frozen=True)
class TableEntry:
    """Shapes of KSG of ranks with one number of neighbors."""

    rows: Floats  # ascending n, shape (m,)
    coefficients: Floats  # as those of `Shape`, shape (m, 4)
    excess: Floats  # shape (m,)

    def shape(self, n: int) -> Shape | None:
        """Return the shape of n rows, interpolated in 1 / sqrt(n); None if they are too few."""
        last = self.rows[-1]
        if n < self.rows[0]:
            return None
        if n >= last:
            return Shape(self.coefficients[-1], float(self.excess[-1])).of_more_rows(n / last)
        at, places = -(n**-0.5), -(self.rows**-0.5)
        coefficients = [np.interp(at, places, column) for column in self.coefficients.T]
        return Shape(np.array(coefficients), float(np.interp(at, places, self.excess)))


def shipped_shape(neighbors: int, n: int) -> Shape | None:
    """Look up the shape of KSG of n ranks; None if the table has none for so few rows.

    Between the numbers of neighbors of the table shapes are interpolated in their logarithm.
    """
    table = read_table(TABLE)
    if neighbors in table:
        return table[neighbors].shape(n)
    below = max((k for k in table if k < neighbors), default=None)
    above = min((k for k in table if k > neighbors), default=None)
    if below is None or above is None:
        return None
    low, high = table[below].shape(n), table[above].shape(n)
    if low is None or high is None:
        return None
    return low.towards(high, float(np.log(neighbors / below) / np.log(above / below)))


@lru_cache(maxsize=4)
def read_table(path: Path) -> dict[int, TableEntry]:
    """Read the entries by number of neighbors; without the file, there are none."""
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        keys, *parts = (stored[name] for name in ("keys", "rows", "coefficients", "excess"))
    return {
        int(str(key).split()[1]): TableEntry(*(part[rows > 0] for part in (rows, *others)))
        for key, rows, *others in zip(keys, *parts, strict=True)
    }


def write_table(path: Path, table: dict[int, TableEntry]) -> None:
    """Write what `read_table` reads."""
    shape = (len(table), max(len(entry.rows) for entry in table.values()))
    rows, excess = np.zeros(shape), np.zeros(shape)
    coefficients = np.zeros((*shape, _TERMS))
    for i, entry in enumerate(table.values()):
        filled = len(entry.rows)
        rows[i, :filled], excess[i, :filled] = entry.rows, entry.excess
        coefficients[i, :filled] = entry.coefficients
    keys = np.array([f"copula {k}" for k in table])
    with path.open("wb") as file:
        np.savez_compressed(file, keys=keys, rows=rows, coefficients=coefficients, excess=excess)


# P-values of groups of rows.

_STOP_AT = 10  # shuffles that reach the observed value, after which more say little


def group_p_value(
    test: RankTest,
    x: Show,
    y: Show,
    draws: Draws,
    neighbors: int,
    *,
    null: Null,
    n_permutations: int,
    rng: np.random.Generator,
) -> float:
    """P-value of the median over draws of one row per group, by shuffling whole groups.

    Groups change places with those of about as many rows, and the draws move with them.

    If the median of draws reaches a value, half of the draws do; so under independence that is at
    most twice as likely as for one draw. Where this bound is below what the shuffles can resolve,
    it is returned and nothing is shuffled. Else shuffles go on until 10 of them reach the observed
    median, which gives 10 / l after l shuffles (J. Besag, P. Clifford, "Sequential Monte Carlo
    p-values", Biometrika 78, 301, 1991), or to their end, (1 + b) / (1 + m).

    `x` and `y` give the ranks or classes, (m, groups), of rows (m, groups), `draws` which rows the
    groups show; `null` is that of one draw, and m is n_permutations at most.
    """
    shown = x(draws.rows)
    number, groups = shown.shape
    observed = float(np.median(test.shuffled(shown, y(draws.rows), neighbors)))
    bound = 2 * null.p_value(observed, groups)
    if bound <= 1 / (1 + n_permutations):
        return bound
    above = 0
    block = int(np.clip(_BLOCK_POINTS // shown.size, 1, _STOP_AT))
    for first in range(0, n_permutations, block):
        rows = min(block, n_permutations - first)
        moved = y(np.concatenate([draws.shuffled(rng) for _ in range(rows)]))
        values = test.shuffled(np.tile(shown, (rows, 1)), moved, neighbors).reshape(rows, number)
        reached = np.cumsum(np.median(values, axis=1) >= observed - ROUNDING) + above
        stop = np.searchsorted(reached, _STOP_AT)
        if stop < rows:
            return float(_STOP_AT / (first + stop + 1))
        above = int(reached[-1])
    return float((1 + above) / (1 + n_permutations))


def ranks_of(items: Items) -> Items:
    """Rank 0 ... n - 1 of different numbers in each row, shape (m, n) -> (m, n)."""
    order = np.argsort(items, axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(items.shape[1])[None], axis=1)
    return ranks


# How the shipped table is made: python -m latentscope.diagnostics.mi.nulls. The draws are seeded;
# all of the default takes about half an hour on two cores. Other entries stay.

NEIGHBORS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32)
ROWS = (12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 4096)


def entry_of(neighbors: int, rows: Sequence[int] = ROWS) -> TableEntry:
    """Simulate KSG of ranks with one number of neighbors.

    Beyond 1,024 rows fewer draws are made, which give the width alone: the rest of the shape is
    that of 1,024 rows, scaled.
    """
    shapes: list[Shape] = []
    enough = [n for n in rows if n >= 2 * neighbors]
    for n in enough:
        wide = n > 1024 and shapes
        n_draws = 6_000 if wide else 20_000
        shape = simulated(Copula(), np.arange(n), np.arange(n), neighbors, n_draws)
        if wide:
            before = shapes[-1].of_more_rows(n / enough[len(shapes) - 1]).coefficients
            width = np.where(np.arange(len(before)) == 1, shape.coefficients, before)
            shape = Shape(width, shape.excess)
        shapes.append(shape)
    return TableEntry(
        np.array(enough, dtype=np.float64),
        np.array([shape.coefficients for shape in shapes]),
        np.array([shape.excess for shape in shapes]),
    )


def main() -> None:
    """Simulate what is asked for, and put it into the table."""
    parser = argparse.ArgumentParser(description="Simulate nulls of KSG under ranks.")
    parser.add_argument("--neighbors", nargs="+", type=int, default=NEIGHBORS)
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS)
    parser.add_argument("-o", "--output", type=Path, default=TABLE)
    options = parser.parse_args()
    table = dict(read_table(options.output))
    for neighbors in options.neighbors:
        entry = table[neighbors] = entry_of(neighbors, options.rows)
        with atomic_path(options.output) as temporary:
            write_table(temporary, table)
        width = entry.coefficients[-1, 1]
        print(f"k = {neighbors}: standard deviation {width:.4f} / sqrt(n)", flush=True)


if __name__ == "__main__":
    main()
