"""A column of numbers or classes, made ready once for all the pairs it takes part in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.ksg import SortedColumn
from latentscope.errors import EstimatorError

Floats = NDArray[np.float64]
Discrete = bool | Literal["auto"]

FEW_VALUES = 20
"""A numeric column with this many distinct values or fewer, and `ROWS_PER_VALUE` rows for each on
average, is taken for classes."""

ROWS_PER_VALUE = 10

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
        NaN where missing; None for text.
    codes : ndarray of int64, shape (n,), or None
        Class of each row, -1 where missing; None for a continuous column.
    order : ndarray of int64, shape (valid,)
        Rows in ascending order, ties in random order; empty for classes.
    jitter : ndarray of float64, shape (n,)
        Uniform draws of this column alone, which place its ranks inside their cells.
    tied : int
        Number of rows that share their value with another.
    note : str
        What was seen or done, in words, for the `reason` of a result.
    """

    name: str
    values: Floats | None
    codes: NDArray[np.int64] | None
    order: NDArray[np.int64]
    jitter: Floats
    tied: int
    note: str

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
    def _whole(self) -> Part:
        return Part(self, self.valid)

    def part(self, keep: NDArray[np.bool_]) -> Part:
        """Return the rows where `keep`, shape (n,); all valid rows are made ready only once."""
        return self._whole if np.array_equal(keep, self.valid) else Part(self, keep)


@dataclass(frozen=True)
class Part:
    """Some rows of a column: what an estimator is given."""

    column: Column
    keep: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.keep.sum())

    @property
    def constant(self) -> bool:
        """Whether every row has the same value."""
        if self.column.discrete:
            return int(self.codes.max(initial=0)) == 0
        return bool(self.raw.ascending[0] == self.raw.ascending[-1])

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """Class of each row, 0, 1, ... without gaps, shape (m,)."""
        assert self.column.codes is not None
        return np.unique(self.column.codes[self.keep], return_inverse=True)[1].astype(np.int64)

    @cached_property
    def raw(self) -> SortedColumn:
        """The values as they are."""
        assert self.column.values is not None
        order = self.column.order[self.keep[self.column.order]]
        number = np.cumsum(self.keep) - 1
        return SortedColumn(self.column.values[self.keep], number[order], self.column.values[order])

    @cached_property
    def ranked(self) -> SortedColumn:
        """Ranks r of the m rows as (r + u) / m, u uniform in 0 ... 1 and the column's own."""
        n = len(self)
        ascending = (np.arange(n) + self.column.jitter[:n]) / n
        values = np.empty(n)
        values[self.raw.order] = ascending
        return SortedColumn(values, self.raw.order, ascending)

    @property
    def items(self) -> NDArray[np.int64]:
        """What a shuffle moves: ranks of a continuous column, classes of a discrete one."""
        return self.codes if self.column.discrete else self.raw.ranks


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
    text = _is_text(series)
    if text and discrete is False:
        raise EstimatorError(f"{name}: holds {series.dtype}, not numbers; wanted discrete=True")
    numbers = None if text else _numbers(name, series)
    few = numbers is not None and _few_values(numbers)
    if text or discrete is True or (discrete == "auto" and few):
        codes = _codes(series if text else pd.Series(numbers))
        note = f"{name} has {codes.max(initial=-1) + 1} classes"
        empty = np.empty(0)
        return Column(name, None, codes, empty.astype(np.int64), empty, 0, note)
    assert numbers is not None
    return _continuous(name, numbers, clip_sigma, np.random.default_rng(stream))


def _is_text(series: pd.Series) -> bool:
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
    if len(known) < 2 * ROWS_PER_VALUE or len(np.unique(known[:1000])) > FEW_VALUES:
        return False
    distinct = len(np.unique(known))
    return distinct <= FEW_VALUES and len(known) >= ROWS_PER_VALUE * distinct


def _codes(series: pd.Series) -> NDArray[np.int64]:
    if not pd.api.types.is_numeric_dtype(series):
        text = series.astype(object).where(series.notna(), None)
        series = text.map(lambda value: str(value).strip() or None, na_action="ignore")
    return np.asarray(pd.factorize(series, sort=True)[0], dtype=np.int64)


def _continuous(
    name: str, numbers: Floats, clip_sigma: float | None, rng: np.random.Generator
) -> Column:
    note = ""
    known = np.flatnonzero(~np.isnan(numbers))
    if clip_sigma is not None and len(known):
        numbers, note = _clipped(name, numbers, clip_sigma)
    by_value = np.lexsort((rng.random(len(known)), numbers[known]))
    order = known[by_value]
    same = np.diff(numbers[order]) == 0
    tied = int((np.append(same, False) | np.append(False, same)).sum())
    if tied > TIED_SHARE * len(known):
        ties = f"{tied:,} of {len(known):,} values of {name} are tied"
        note = f"{note}; {ties}" if note else ties
    return Column(name, numbers, None, order, rng.random(len(numbers)), tied, note)


def _clipped(name: str, numbers: Floats, sigma: float) -> tuple[Floats, str]:
    centre, width = np.nanmean(numbers), sigma * np.nanstd(numbers)
    low, high = float(centre - width), float(centre + width)
    outside = int(((numbers < low) | (numbers > high)).sum())
    if not outside:
        return numbers, ""
    note = (
        f"{outside:,} value{'s' * (outside > 1)} of {name} beyond {sigma:g} sigma clipped to "
        f"{low:.6g} ... {high:.6g}"
    )
    return np.clip(numbers, low, high), note
