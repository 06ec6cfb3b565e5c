"""A column of numbers or classes, made ready once for all the pairs it takes part in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.estimators.ksg import SortedColumn, read_only
from latentscope.diagnostics.kernels.sorting import ascending_order
from latentscope.errors import EstimatorError

Floats = NDArray[np.float64]
Discrete = bool | Literal["auto"]
Made = TypeVar("Made")

FEW_VALUES = ((5, 10), (50, 50))
"""A numeric column of so many distinct values at most, with so many rows for each on average, is
taken for classes. Of numbers with fewer rows a value, Ross's estimate is too high: with 10 rows for
each of 20 steps of a smooth relation by 0.05 nats."""

_OWN = 0x1A7E27

TIED_SHARE = 0.05
"""Share of tied rows from which ties are worth a word."""


@dataclass(frozen=True)
class Column:
    """A column of n rows, some of which may be missing.

    Parameters
    ----------
    name : str
        What messages call it.
    values : ndarray of float64, shape (n,), or None
        NaN where missing; None for text, and for numbers that are classes because someone said so.
    codes : ndarray of int64, shape (n,), or None
        Class of each row, -1 where missing; None for a continuous column.
    order : ndarray of int64, shape (valid,)
        Rows in ascending order, ties in random order; empty where there are no values.
    jitter : ndarray of float64, shape (n,)
        Uniform draws of this column alone, which place its ranks inside their cells.
    tied : int
        Number of rows that share their value with another.
    note : str
        What was seen or done, in words, for the `reason` of a result.
    clipped : int
        Number of values that were clipped.
    """

    name: str
    values: Floats | None
    codes: NDArray[np.int64] | None
    order: NDArray[np.int64]
    jitter: Floats
    tied: int
    note: str
    clipped: int = 0

    @property
    def discrete(self) -> bool:
        """Whether the column holds classes."""
        return self.codes is not None

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """Which rows have a value, shape (n,)."""
        if self.codes is not None:
            return self.codes >= 0
        assert self.values is not None
        return ~np.isnan(self.values)

    @cached_property
    def complete(self) -> bool:
        """Whether every row has a value."""
        return bool(self.valid.all())

    @property
    def classes(self) -> int:
        """Number of classes; 0 of a continuous column."""
        return 0 if self.codes is None else int(self.codes.max(initial=-1)) + 1

    @cached_property
    def as_numbers(self) -> Column:
        """The same column taken for numbers, where it has them."""
        return replace(self, codes=None, note=f"{self.name} taken for numbers")

    @cached_property
    def _latest(self) -> list[tuple[NDArray[np.bool_], dict[str, Any]]]:
        return [(self.valid, {})]

    def part(self, keep: NDArray[np.bool_]) -> Part:
        """Return the rows where `keep`, shape (n,); what is made of them serves the next pair too.

        Most pairs of a column share their rows, since what is missing is missing in one side.
        """
        latest, made = self._latest[0]
        if keep is not latest and not np.array_equal(keep, latest):
            latest, made = keep, {}
            # Not the part itself: a part and its column would keep each other in memory.
            self._latest[0] = (latest, made)
        return Part(self, latest, made)


@dataclass(frozen=True)
class Part:
    """Some rows of a column: what an estimator is given."""

    column: Column
    keep: NDArray[np.bool_]
    _made: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def _once(self, name: str, make: Callable[[], Made]) -> Made:
        if name not in self._made:
            self._made[name] = make()
        made: Made = self._made[name]
        return made

    def __len__(self) -> int:
        return self._once("rows", lambda: int(np.count_nonzero(self.keep)))

    @property
    def constant(self) -> bool:
        """Whether every row has the same value."""
        return self._once("constant", self._is_constant)

    def _is_constant(self) -> bool:
        if self.column.discrete:
            return int(self.codes.max(initial=0)) == 0
        assert self.column.values is not None
        rows = np.flatnonzero(self.keep)[self._order[[0, -1]]]
        lowest, highest = self.column.values[rows]
        return bool(lowest == highest)

    @property
    def codes(self) -> NDArray[np.int64]:
        """Class of each row, 0, 1, ... without gaps, shape (m,)."""
        return self._once("codes", self._make_codes)

    @property
    def raw(self) -> SortedColumn:
        """The values as they are."""
        return self._once("raw", self._make_raw)

    @property
    def ranked(self) -> SortedColumn:
        """Ranks r of the m rows as (r + u) / m, u uniform in 0 ... 1 and the column's own."""
        return self._once("ranked", self._make_ranked)

    @property
    def items(self) -> NDArray[np.int64]:
        """What a shuffle moves: ranks of a continuous column, classes of a discrete one."""
        return self.codes if self.column.discrete else self.ranked.ranks

    @property
    def _order(self) -> NDArray[np.int64]:
        return self._once("order", self._make_order)

    def _make_codes(self) -> NDArray[np.int64]:
        assert self.column.codes is not None
        return np.unique(self.column.codes[self.keep], return_inverse=True)[1].astype(np.int64)

    def _make_order(self) -> NDArray[np.int64]:
        order = self.column.order
        if len(self) == len(self.keep):
            return order
        number = np.cumsum(self.keep) - 1
        numbered: NDArray[np.int64] = number[order[self.keep[order]]]
        return numbered

    def _make_raw(self) -> SortedColumn:
        assert self.column.values is not None
        whole = len(self) == len(self.keep)
        values = self.column.values if whole else self.column.values[self.keep]
        return SortedColumn(values, self._order, values[self._order])

    def _make_ranked(self) -> SortedColumn:
        n = len(self)
        ascending = (np.arange(n) + self.column.jitter[:n]) / n
        values = np.empty(n)
        values[self._order] = ascending
        return SortedColumn(values, self._order, ascending)


def read_column(
    name: str,
    values: ArrayLike | pd.Series,
    *,
    discrete: Discrete = "auto",
    clip_sigma: float | None = None,
    stream: tuple[int, ...] = (0,),
) -> Column:
    """Look at a column and make it ready.

    Parameters
    ----------
    name : str
        What messages call it.
    values : array or Series, shape (n,)
        NaN, None and empty text are missing, never a class.
    discrete : bool or "auto"
        "auto" takes text, booleans and columns of few values for classes.
    clip_sigma : float, optional
        Clip a continuous column at so many standard deviations from its mean.
    stream : tuple of int
        Seed of the order of ties and the jitter of ranks. Two columns that share it seem related.

    Raises
    ------
    EstimatorError
        If values are infinite, or text is to be taken for numbers.
    """
    series = pd.Series(np.asarray(values) if not isinstance(values, pd.Series) else values)
    series = series.reset_index(drop=True)
    text = is_text(series)
    if text and discrete is False:
        raise EstimatorError(
            f"{name}: holds {series.dtype}, not numbers; wanted discrete=True and "
            "an estimator that takes classes, such as auto (--estimator auto), or leave it out"
        )
    numbers = None if text else _numbers(name, series)
    if numbers is None or discrete is True:
        codes = _codes(series if numbers is None else pd.Series(numbers))
        empty = np.empty(0)
        return Column(
            name, None, codes, empty.astype(np.int64), empty, 0, _has_classes(name, codes)
        )
    few = discrete == "auto" and _few_values(numbers)
    column = _continuous(name, numbers, None if few else clip_sigma, own_rng(*stream))
    if not few:
        return column
    codes = _codes(pd.Series(numbers))
    return replace(column, codes=codes, tied=0, note=_has_classes(name, codes))


def own_rng(*stream: int) -> np.random.Generator:
    """Return a generator that no seed of a user gives, and that differs for every stream.

    NumPy pads seeds with zeros: (0, 0) is the stream of 0, and ties of a column drawn from seed 0
    would be ordered by the very numbers that made it.
    """
    return np.random.default_rng((_OWN, *stream, _OWN))


def _has_classes(name: str, codes: NDArray[np.int64]) -> str:
    return f"{name} has {codes.max(initial=-1) + 1} classes"


def is_text(series: pd.Series) -> bool:
    """Tell whether a column holds anything but numbers, such as text or booleans."""
    if pd.api.types.is_bool_dtype(series) or isinstance(series.dtype, pd.CategoricalDtype):
        return True
    if pd.api.types.is_numeric_dtype(series):
        return False
    return not all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool)
        for value in series.dropna()
    )


def _numbers(name: str, series: pd.Series) -> Floats:
    numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = int(np.isinf(numbers).sum())
    if infinite:
        raise EstimatorError(
            f"{name}: {infinite} of {len(numbers)} values are infinite; replace them by NaN to "
            "leave these rows out"
        )
    return numbers


def _few_values(numbers: Floats) -> bool:
    known = numbers[~np.isnan(numbers)]
    most = FEW_VALUES[-1][0]
    if not len(known) or len(np.unique(known[:1000])) > most:
        return False
    distinct = max(2, len(np.unique(known)))
    return any(distinct <= few and len(known) >= rows * distinct for few, rows in FEW_VALUES)


def _codes(series: pd.Series) -> NDArray[np.int64]:
    if not pd.api.types.is_numeric_dtype(series):
        text = series.astype(object).where(series.notna(), None)
        series = text.map(lambda value: str(value).strip() or None, na_action="ignore")
    return np.asarray(pd.factorize(series, sort=True)[0], dtype=np.int64)


def _continuous(
    name: str, numbers: Floats, clip_sigma: float | None, rng: np.random.Generator
) -> Column:
    note, clipped = "", 0
    known = np.flatnonzero(~np.isnan(numbers))
    if clip_sigma is not None and len(known):
        numbers, note, clipped = _clipped(name, numbers, clip_sigma)
    order, tied = _ascending(numbers, known, rng.random(len(known)))
    if tied > TIED_SHARE * len(known):
        ties = f"{tied:,} of {len(known):,} values of {name} are tied"
        note = f"{note}; {ties}" if note else ties
    return Column(name, numbers, None, order, rng.random(len(numbers)), tied, note, clipped)


def _ascending(
    numbers: Floats, known: NDArray[np.int64], lot: Floats
) -> tuple[NDArray[np.int64], int]:
    """Sort the known rows by value, tied ones by lot, and count those."""
    values = numbers[known]
    order = ascending_order(read_only(values))
    ascending = values[order]
    same = np.append(False, ascending[1:] == ascending[:-1])
    tied = np.flatnonzero(same | np.append(same[1:], False))
    if len(tied):
        rows, run = order[tied], np.cumsum(~same)[tied]
        order[tied] = rows[np.lexsort((lot[rows], run))]
    return known[order], len(tied)


def _clipped(name: str, numbers: Floats, sigma: float) -> tuple[Floats, str, int]:
    centre, width = np.nanmean(numbers), sigma * np.nanstd(numbers)
    low, high = float(centre - width), float(centre + width)
    outside = int(((numbers < low) | (numbers > high)).sum())
    if not outside:
        return numbers, "", 0
    note = (
        f"{outside:,} value{'s' * (outside > 1)} of {name} beyond {sigma:g} sigma clipped to "
        f"{low:.6g} ... {high:.6g}"
    )
    return np.clip(numbers, low, high), note, outside
