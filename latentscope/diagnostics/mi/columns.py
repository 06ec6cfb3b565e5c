"""Columns made ready for estimators, and which columns of a table are labels."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents
from latentscope.diagnostics.mi.kernels import ascending_order
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning, shortened
from latentscope.tables import STAR_COLUMNS, is_id_column

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


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view that cannot be written: one type of arguments is one kernel to load."""
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view


@dataclass(frozen=True)
class SortedColumn:
    """A column of finite numbers, sorted once for all its pairs.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        The column, row by row.
    order : ndarray of int64, shape (n,)
        Rows in ascending order of the values.
    ascending : ndarray of float64, shape (n,)
        `values[order]`.
    """

    values: Floats
    order: NDArray[np.int64]
    ascending: Floats

    @classmethod
    def of(cls, values: Floats) -> SortedColumn:
        """Sort a column of finite values, shape (n,)."""
        values = np.ascontiguousarray(values, dtype=np.float64)
        order = ascending_order(read_only(values))
        return cls(values, order, values[order])

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, keep: NDArray[np.bool_]) -> SortedColumn:
        """Return the column without the rows where `keep`, shape (n,), is False; no new sort."""
        if keep.all():
            return self
        number = np.cumsum(keep) - 1
        kept = keep[self.order]
        return SortedColumn(self.values[keep], number[self.order[kept]], self.ascending[kept])

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """Position of each row in ascending order, 0 ... n-1, shape (n,)."""
        ranks = np.empty(len(self), dtype=np.int64)
        ranks[self.order] = np.arange(len(self))
        return ranks


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


_NOT_LABELS = (*STAR_COLUMNS, "status", "error")
_TIMES = {
    **dict.fromkeys(("datetime64", "datetime", "date", "time", "period"), "holds dates"),
    **dict.fromkeys(("timedelta64", "timedelta"), "holds durations"),
}
_MANY_TEXTS = "has a different text in most rows"


def choose_labels(
    frame: pd.DataFrame, columns: Sequence[str] | None, groups: str | None
) -> tuple[list[str], list[str]]:
    """Choose the columns of a table that are labels.

    Parameters
    ----------
    frame : DataFrame
        Label table.
    columns : list of str or None
        Those asked for; None leaves out ids, names of stars, the column of groups, dates,
        durations, and text with more classes than half its rows.
    groups : str or None
        Column of groups.

    Returns
    -------
    names : list of str
    notes : list of str
        What was left out, in words.

    Raises
    ------
    EstimatorError
        If a column asked for is not there or holds complex numbers, or none is left.

    Warns
    -----
    LatentscopeWarning
        If most of a text column are numbers: some of its cells are not, or have decimal commas.
    """
    if columns is not None:
        check_known(frame, columns)
        if not columns:
            raise EstimatorError(f"columns is empty; wanted some of {', '.join(frame.columns)}")
        asked = list(dict.fromkeys(columns))
        _check_complex(frame, asked)
        _warn_of_numbers(frame, asked)
        return asked, []
    reasons = {name: _no_label(frame[name], groups) for name in frame.columns}
    names = [name for name, reason in reasons.items() if not reason]
    notes = [
        f"left out, since it {reason}: "
        f"{shortened(str(name) for name, why in reasons.items() if why == reason)}"
        for reason in dict.fromkeys(reasons.values())
        if reason
    ]
    _check_complex(frame, names)
    _warn_of_numbers(frame, [name for name, why in reasons.items() if why in ("", _MANY_TEXTS)])
    if not names:
        raise EstimatorError(f"the table has no label: {'; '.join(notes)}; name columns to take")
    return names, notes


def check_known(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise ChoiceError unless the table has all these columns."""
    unknown = [name for name in columns if name not in frame]
    if unknown:
        raise ChoiceError(
            f"no label {', '.join(unknown)}; the table has {', '.join(frame.columns)}"
        )


def _no_label(column: pd.Series, groups: str | None) -> str:
    name = str(column.name)
    if is_id_column(name) or name in _NOT_LABELS or name == groups:
        return "names rows or stars"
    kind = pd.api.types.infer_dtype(column)
    if kind in _TIMES:
        return _TIMES[kind]
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return ""
    known = column.dropna()
    classes = known.astype(str).nunique()
    if len(known) and classes > len(known) / 2 and isinstance(known.iloc[0], str):
        return _MANY_TEXTS
    return ""


def _check_complex(frame: pd.DataFrame, names: Sequence[str]) -> None:
    found = [name for name in names if pd.api.types.infer_dtype(frame[name]) == "complex"]
    if found:
        raise EstimatorError(
            f"{shortened(found)}: complex numbers; wanted real ones, such as their real and "
            "imaginary parts in a column each"
        )


def _warn_of_numbers(frame: pd.DataFrame, names: Sequence[str]) -> None:
    seen = [numbers_in_text(name, frame[name]) for name in names]
    for advice in dict.fromkeys(advice for _, advice in seen if advice):
        said = [what for what, why in seen if why == advice]
        warnings.warn(
            f"{shortened(said)}, so {'it is' if len(said) == 1 else 'they are'} taken for classes "
            f"(or left out); {advice}",
            LatentscopeWarning,
            stacklevel=4,
        )


def numbers_in_text(name: str, column: pd.Series) -> tuple[str, str]:
    """Say how many values of a text column are numbers and what to do; empty where few are.

    Numbers with a decimal comma count. Text that is numbers throughout is told only where it has
    so many values that numbers would not be taken for classes.
    """
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.infer_dtype(column) == "boolean":
        return "", ""
    text = column.dropna().astype(str)
    plain = pd.to_numeric(text, errors="coerce").notna()
    commas = ~plain & pd.to_numeric(text.str.replace(",", "."), errors="coerce").notna()
    count, n = int((plain | commas).sum()), len(text)
    if count <= n / 2:
        return "", ""
    said = f"{name}: {count:,} of {n:,} values are numbers"
    if commas.any():
        return f"{said}, some like {text[commas].iloc[0]}", "wanted a decimal point, not a comma"
    if count < n:
        other = text[~plain].iloc[0]
        return f"{said}, others are text such as {other!r}", "make these empty"
    if text.nunique() <= FEW_VALUES[-1][0]:
        return "", ""
    return f"{said} written as text", "make them numbers"


def read_label(
    name: str, values: pd.Series, *, discrete: Discrete, clip_sigma: float | None, seed: int
) -> Column:
    """Make a label ready; its jitter depends on its name, not on which others are measured."""
    stream = (seed, 1, zlib.crc32(name.encode()))
    return read_column(name, values, discrete=discrete, clip_sigma=clip_sigma, stream=stream)


@dataclass(frozen=True)
class SeenLabel:
    """What is remembered of a label once its column is dropped.

    Parameters
    ----------
    name : str
    rows : int
        Rows with the label and finite latents.
    tied : int
        How many of these rows share their value with another.
    clipped : int
        Number of values.
    classes : int
        0 of a continuous label.
    entropy : float
        Of its classes, in nats; NaN of a continuous label.
    """

    name: str
    rows: int
    tied: int
    clipped: int
    classes: int
    entropy: float

    @property
    def many_tied(self) -> bool:
        """Whether ties are worth a word."""
        return not self.classes and self.tied > TIED_SHARE * self.rows


def seen(column: Column, ok: NDArray[np.bool_]) -> SeenLabel:
    """Look at a label on the rows that have latents, `ok`, shape (n,)."""
    keep = column.valid & ok
    rows, entropy = int(np.count_nonzero(keep)), np.nan
    if column.codes is not None:
        share = np.bincount(column.codes[keep]) / max(rows, 1)
        share = share[share > 0]
        entropy = float(-(share * np.log(share)).sum())
    tied = _tied(column, keep)
    return SeenLabel(column.name, rows, tied, column.clipped, column.classes, entropy)


def _tied(column: Column, keep: NDArray[np.bool_]) -> int:
    if column.values is None or not column.tied:
        return 0
    ascending = column.values[column.order[keep[column.order]]]
    same = np.concatenate(([False], ascending[1:] == ascending[:-1], [False]))
    return int(np.count_nonzero(same[1:] | same[:-1])) if len(ascending) else 0


def notes_of(labels: Sequence[SeenLabel], clip_sigma: float | None) -> list[str]:
    """Say which labels were clipped, taken for classes, or have ties, each in one line."""
    clipped = [f"{label.name} ({label.clipped:,})" for label in labels if label.clipped]
    classes = [f"{label.name} ({label.classes:,})" for label in labels if label.classes]
    tied = [
        f"{label.name} ({label.tied / label.rows:.0%})"
        for label in labels
        if label.many_tied and label.rows
    ]
    said = (
        (f"values beyond {clip_sigma:g} sigma clipped: " if clip_sigma else "", clipped),
        ("taken for classes: ", classes),
        ("values tied, their order random: ", tied),
    )
    return [f"{what}{shortened(names)}" for what, names in said if names]


def paired_rows(x: ArrayLike, y: ArrayLike, more_than: int = 0) -> tuple[Floats, Floats]:
    """Return x and y as float64 arrays of shape (n, d), row i of one beside row i of the other.

    Parameters
    ----------
    x, y : array, shape (n,) or (n, d)
        Numbers.
    more_than : int
        n has to exceed it.

    Raises
    ------
    EstimatorError
        If an array is not of these shapes or holds NaN or infinite values, the lengths differ, or
        rows are too few.
    """
    first, second = rows_of("x", x), rows_of("y", y)
    check_lengths(len(first), len(second))
    if len(first) <= more_than:
        raise EstimatorError(f"x and y have {len(first)} rows; wanted more than {more_than}")
    return first, second


def rows_of(name: str, values: ArrayLike) -> Floats:
    """Return finite numbers of shape (n,) or (n, d) as float64 of shape (n, d).

    Raises
    ------
    EstimatorError
        If the shape is another, or a value is NaN or infinite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2) or array.size == 0:
        raise EstimatorError(f"{name} has shape {array.shape}; wanted (n,) or (n, d), not empty")
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise EstimatorError(
            f"{name}: {bad} of {array.size} values are NaN or infinite; leave these rows out"
        )
    return array.reshape(len(array), -1)


def check_lengths(of_x: int, of_y: int) -> None:
    """Raise EstimatorError unless x and y have as many rows."""
    if of_x != of_y:
        raise EstimatorError(f"x has {of_x} rows and y has {of_y}; wanted one row each")


def dim_reader(
    latents: Latents, dims: Sequence[int], kind: Discrete, seed: int
) -> Callable[[int], Column]:
    """Return what reads the column at a place of `dims`; its jitter depends on the dim alone.

    Values stay as they are in memory or on disk until a column is read.
    """
    ok = latents.ok

    def read(place: int) -> Column:
        number = dims[place]
        values = np.array(latents.values[:, number], dtype=np.float64)
        values[~ok] = np.nan
        return read_column(f"dim {number}", values, discrete=kind, stream=(seed, 0, number))

    return read
