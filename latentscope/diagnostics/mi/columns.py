"""Columns made ready for estimators, and which columns of a table are labels."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import time
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents
from latentscope.diagnostics.mi.kernels import order_of_some
from latentscope.errors import ChoiceError, EstimatorError, meant, shortened, warn
from latentscope.tables import beyond_floats, is_no_label

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]
Discrete = bool | Literal["auto"]
Names = Sequence[str] | str
Seed = Any
"""A whole number, or a generator of numpy, which `whole_seed` makes one of."""

FEW_VALUES = ((5, 10), (50, 50))
"""A numeric column of so many distinct values at most, with so many rows for each on average, is
treated as classes. Of numbers with fewer rows per value, Ross's estimate is too high: with 10 rows
for each of 20 steps of a smooth relation by 0.05 nats."""

TIED_SHARE = 0.05
"""Share of tied rows from which ties are worth a word."""

CLIP_SIGMA = 5.0
"""Standard deviations from the median beyond which a label is left out, as published."""

_CLIPPING_PASSES = 5  # as many as astropy.stats.sigma_clip makes, which the published recipe calls
_FEW_STEPS = 20
_OWN = 0x1A7E27


@dataclass(frozen=True, eq=False)
class Column:
    """A column of n rows, some perhaps missing, made ready once for all its pairs."""

    name: str
    values: Floats | None  # NaN where missing; None of text, and of numbers asked for as classes
    codes: Codes | None  # class of each row, without gaps, -1 where missing; None if continuous
    order: Codes  # valid rows in ascending order, ties in random order; empty without values
    jitter: Floats  # uniform draws of this column alone, n or more: its ranks within their cells
    n_tied: int = 0  # rows that share their value with another
    n_clipped: int = 0  # values left out, since they lie too far from the others
    n_classes: int = 0  # of the whole column, also where this is a part; 0 of a continuous one
    note: str = ""  # what was seen or done, in words, for the `reason` of a result

    def __len__(self) -> int:
        if self.codes is not None:
            return len(self.codes)
        assert self.values is not None
        return len(self.values)

    @property
    def discrete(self) -> bool:
        """Whether the column holds classes."""
        return self.codes is not None

    @cached_property
    def valid(self) -> Mask:
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
    def rounded(self) -> bool:
        """Whether values repeat and are multiples of a step, but too many to be classes."""
        if self.values is None or self.n_tied <= TIED_SHARE * len(self.order):
            return False
        steps = np.diff(np.unique(self.values[self.order]))
        if len(steps) < _FEW_STEPS:
            return False
        multiples = steps / steps.min()
        return bool((np.abs(multiples - np.round(multiples)) < 0.01).all())

    @cached_property
    def as_numbers(self) -> Column:
        """The same column treated as numbers, where it has them."""
        return replace(self, codes=None, n_classes=0, note=f"{self.name} treated as numbers")

    @cached_property
    def _latest(self) -> list[tuple[Mask, Column]]:
        return []

    def part(self, keep: Mask) -> Column:
        """Return what `take` does, and keep it: the next pair mostly has the same rows."""
        if keep.all():
            return self  # and not a part that is kept: it would hold its own memory
        # One read of one slot: other threads may put another part there meanwhile.
        for rows, part in self._latest:
            if rows is keep or np.array_equal(rows, keep):
                return part
        part = self.take(keep)
        self._latest[:] = [(keep, part)]
        return part

    def take(self, keep: Mask) -> Column:
        """Return the column of the rows where `keep`, shape (n,); all of them have a value."""
        if keep.all():
            return self
        if self.codes is not None:
            codes = np.unique(self.codes[keep], return_inverse=True)[1].astype(np.int64)
            return replace(self, values=None, codes=codes, order=self.order[:0])
        assert self.values is not None
        order, ranks = order_of_some(self.order, keep)
        part = replace(self, values=self.values[keep], order=order)
        vars(part)["ranks"] = ranks  # the same pass gives both, without Python's lock
        return part

    # What follows is of a column without missing rows.

    @property
    def constant(self) -> bool:
        """Whether every row has the same value."""
        if self.codes is not None:
            return int(self.codes.max(initial=0)) == 0
        assert self.values is not None
        lowest, highest = self.values[self.order[[0, -1]]]
        return bool(lowest == highest)

    @cached_property
    def ascending(self) -> Floats:
        """The values in ascending order, shape (n,)."""
        assert self.values is not None
        return self.values[self.order]

    @cached_property
    def ranks(self) -> Codes:
        """Position of each row in ascending order, 0 ... n-1, shape (n,)."""
        ranks = np.empty(len(self), dtype=np.int64)
        ranks[self.order] = np.arange(len(self))
        return ranks

    @cached_property
    def ascending_ranks(self) -> Floats:
        """Ranks r in ascending order as (r + u) / n, u uniform in 0 ... 1 and the column's own."""
        n = len(self)
        return (np.arange(n) + self.jitter[:n]) / n

    @property
    def ranked(self) -> Floats:
        """The same ranks row by row: the column spread evenly over 0 ... 1, shape (n,)."""
        return self.ascending_ranks[self.ranks]

    @property
    def items(self) -> Codes:
        """What a shuffle moves: ranks of a continuous column, classes of a discrete one."""
        return self.ranks if self.codes is None else self.codes


def read_column(
    name: str,
    values: ArrayLike | pd.Series,
    *,
    discrete: Discrete = "auto",
    clip_sigma: float | None = None,
    stream: tuple[int, ...] = (0,),
) -> Column:
    """Look at a column, shape (n,), and make it ready.

    NaN, None and empty text are missing, never a class. Dates and durations count in days. With
    "auto", text, booleans and columns of few values are classes. Of a continuous column values that
    `beyond_sigma` finds are missing too. `stream` is the seed of the order of ties and the jitter
    of ranks: two columns that share it seem related.
    """
    series = pd.Series(np.asarray(values) if not isinstance(values, pd.Series) else values)
    series = in_days(series.reset_index(drop=True))
    text = is_text(series)
    if text and discrete is False:
        raise EstimatorError(
            f"{name}: holds {series.dtype}, not numbers; expected discrete=True and an estimator "
            "that takes classes, such as auto (--estimator auto), or leave it out"
        )
    numbers = None if text else _numbers(name, series)
    if numbers is None or discrete is True:
        column = Column(name, None, None, np.empty(0, dtype=np.int64), np.empty(0))
    else:
        classes = discrete == "auto" and _few_values(numbers)
        column = _continuous(name, numbers, None if classes else clip_sigma, own_rng(*stream))
        if not classes:
            return column
    codes = _codes(series if numbers is None else pd.Series(numbers))
    n_classes = int(codes.max(initial=-1)) + 1
    note = f"{name} has {n_classes} classes"
    return replace(column, codes=codes, n_classes=n_classes, n_tied=0, note=note)


def read_dim(latents: Latents, dim: int, *, discrete: Discrete, seed: int) -> Column:
    """Make a latent dimension ready; its jitter depends on its number alone."""
    # Only now are values taken from a file that may lie on disk.
    values = np.array(latents.values[:, dim], dtype=np.float64)
    values[~latents.ok] = np.nan
    return read_column(f"dim {dim}", values, discrete=discrete, stream=(seed, 0, dim))


def read_label(
    name: str,
    values: pd.Series,
    *,
    discrete: Discrete = "auto",
    clip_sigma: float | None = CLIP_SIGMA,
    seed: int,
) -> Column:
    """Make a label ready; its jitter depends on its name, not on which others are measured."""
    stream = (seed, 1, zlib.crc32(name.encode()))
    return read_column(name, values, discrete=discrete, clip_sigma=clip_sigma, stream=stream)


def beyond_sigma(values: Floats, sigma: float) -> Mask:
    """Tell which of n values astropy's `sigma_clip` masks, shape (n,); never NaN.

    Those further than `sigma` standard deviations from the median, again of the rest until none
    does, at most five times.
    """
    beyond = np.zeros(len(values), dtype=bool)
    finite = ~np.isnan(values)
    # By a power of 2, which changes no digit, so that squares neither overflow nor vanish.
    values = np.ldexp(values, -np.frexp(np.abs(values[finite]).max(initial=0.0))[1])
    for _ in range(_CLIPPING_PASSES):
        rest = values[finite & ~beyond]
        if not len(rest):
            break
        further = finite & ~(np.abs(values - np.median(rest)) <= sigma * rest.std())
        if not (further & ~beyond).any():
            break
        beyond |= further
    return beyond


def whole_seed(seed: Seed) -> Any:
    """Return a seed unchanged; of a generator, its next whole number."""
    if isinstance(seed, np.random.RandomState):
        return int(seed.randint(2**31))
    return int(seed.integers(2**32)) if isinstance(seed, np.random.Generator) else seed


def own_rng(*stream: int) -> np.random.Generator:
    """Return a generator for one stream, which no user's seed gives.

    NumPy pads seeds with zeros: (0, 0) is the stream of 0, and ties of a column drawn from seed 0
    would be ordered by the very numbers that made it.
    """
    return np.random.default_rng((_OWN, *stream, _OWN))


def in_days(series: pd.Series) -> pd.Series:
    """Return dates as modified Julian dates, and durations as days; others as they are."""
    if pd.api.types.is_numeric_dtype(series):
        return series
    kind = _TIMES.get(pd.api.types.infer_dtype(series), "")
    if kind.endswith("durations"):
        return pd.to_timedelta(series) / pd.Timedelta(days=1)
    if kind.endswith("dates") and not isinstance(series.dropna().iloc[0], time | pd.Period):
        dates = pd.to_datetime(series, utc=True)
        return (dates - pd.Timestamp("1858-11-17", tz="UTC")) / pd.Timedelta(days=1)
    return series


def is_text(series: pd.Series) -> bool:
    """Tell whether a column holds anything but numbers and dates, such as text or booleans."""
    series = in_days(series)
    if pd.api.types.is_bool_dtype(series) or isinstance(series.dtype, pd.CategoricalDtype):
        return True
    if pd.api.types.is_numeric_dtype(series):
        return False
    return not all(
        isinstance(value, int | float | np.number | Decimal) and not isinstance(value, bool)
        for value in series.dropna()
    )


def _numbers(name: str, series: pd.Series) -> Floats:
    _check_complex(pd.DataFrame({name: series}), [name])
    numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = int(np.isinf(numbers).sum())
    if infinite:
        raise EstimatorError(
            f"{name}: {infinite} of {len(numbers)} values are infinite; replace them by NaN to "
            "leave these rows out"
        )
    return numbers


def _few_values(numbers: Floats) -> bool:
    finite = numbers[~np.isnan(numbers)]
    # A look at the first thousand spares the sort of most columns.
    if not len(finite) or len(np.unique(finite[:1000])) > FEW_VALUES[-1][0]:
        return False
    distinct = max(2, len(np.unique(finite)))
    return any(distinct <= most and len(finite) >= rows * distinct for most, rows in FEW_VALUES)


def _codes(series: pd.Series) -> Codes:
    values = series if pd.api.types.is_numeric_dtype(series) else stripped(series)
    return np.asarray(pd.factorize(values, sort=True)[0], dtype=np.int64)


def stripped(series: pd.Series) -> pd.Series:
    """Return values as text without spaces around it; None where nothing is left."""
    text = series.astype(object).where(series.notna(), None)
    return text.map(lambda value: str(value).strip() or None, na_action="ignore")


def _continuous(
    name: str, numbers: Floats, clip_sigma: float | None, rng: np.random.Generator
) -> Column:
    notes, n_clipped = [], 0
    if clip_sigma is not None:
        beyond = beyond_sigma(numbers, clip_sigma)
        n_clipped = int(beyond.sum())
    if n_clipped:
        numbers = np.where(beyond, np.nan, numbers)
        plural = "s" * (n_clipped > 1)
        notes = [f"{n_clipped:,} value{plural} of {name} beyond {clip_sigma:g} sigma left out"]
    valid = np.flatnonzero(~np.isnan(numbers))
    order, n_tied = _ascending(numbers, valid, rng.random(len(valid)))
    if n_tied > TIED_SHARE * len(valid):
        notes.append(f"{n_tied:,} of {len(valid):,} values of {name} are tied")
    jitter = rng.random(len(numbers))
    return Column(name, numbers, None, order, jitter, n_tied, n_clipped, note="; ".join(notes))


def _ascending(numbers: Floats, valid: Codes, lot: Floats) -> tuple[Codes, int]:
    """Sort the valid rows by value, tied ones by lot, and count those."""
    values = numbers[valid]
    # Not the stable sort, which takes twice as long: the lot orders what is equal.
    order = np.argsort(values)
    ascending = values[order]
    same = np.append(False, ascending[1:] == ascending[:-1])
    tied = np.flatnonzero(same | np.append(same[1:], False))
    if len(tied):
        rows, run = order[tied], np.cumsum(~same)[tied]
        order[tied] = rows[np.lexsort((lot[rows], run))]
    return valid[order], len(tied)


# Which columns of a table are labels.

_TIMES = {
    **dict.fromkeys(("datetime64", "datetime", "date", "time", "period"), "holds dates"),
    **dict.fromkeys(("timedelta64", "timedelta"), "holds durations"),
}
_MANY_TEXTS = "has a different text in most rows"


def choose_labels(
    frame: pd.DataFrame, columns: Names | None, groups: str | None
) -> tuple[list[str], list[str]]:
    """Choose the label columns of a table, and say which columns were left out.

    Those asked for, else all but ids, names of stars, the column of groups, dates, durations, and
    text with more classes than half its rows. Warns if most cells of a text column are numbers.
    """
    if columns is not None:
        columns = listed(columns)
        check_columns(frame, columns)
        if not columns:
            raise EstimatorError(f"columns is empty; expected some of {', '.join(frame.columns)}")
        reasons = dict.fromkeys(columns, "")
        _check_text(frame, [name for name in columns if name != groups])
    else:
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


def _check_text(frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse text labels that are neither classes nor numbers."""
    for name in names:
        filled = frame[name].dropna()
        if _no_label(frame[name], None) == _MANY_TEXTS and filled.nunique() > 0.9 * len(filled):
            example = filled.iloc[0]
            source = frame.attrs.get("source", "labels")
            raise EstimatorError(
                f"{source}: {name} {_MANY_TEXTS}, such as {example!r}; expected numbers, or "
                "classes of several rows"
            )


def check_columns(frame: pd.DataFrame, columns: Names) -> None:
    """Raise ChoiceError unless the table has all these columns."""
    unknown = [name for name in listed(columns) if name not in frame]
    if unknown:
        source = frame.attrs.get("source", "labels")
        raise ChoiceError(
            f"{source}: no label {', '.join(unknown)}{meant(unknown[0], frame)}; the table has "
            f"{', '.join(frame.columns)}"
        )


def asked_kinds(
    frame: pd.DataFrame, discrete: bool | Names | None, numeric: Names | None
) -> dict[str, bool]:
    """Labels that the user calls classes (True) or numbers (False).

    `discrete` and `numeric` name them; True says so of all labels, False that all but text hold
    numbers.
    """
    if isinstance(discrete, bool):
        kinds = {str(name): discrete for name in frame if discrete or not is_text(frame[name])}
        classes = []
    else:
        kinds, classes = {}, listed(discrete)
    numbers = listed(numeric)
    check_columns(frame, [*classes, *numbers])
    both = [name for name in classes if name in numbers]
    if both:
        raise ChoiceError(
            f"{shortened(both)}: asked for as classes (discrete) and as numbers (numeric); "
            "expected one of the two"
        )
    return kinds | dict.fromkeys(classes, True) | dict.fromkeys(numbers, False)


def listed(names: Names | None) -> list[str]:
    """Return the names asked for as a list: of one, of any sequence or index, or of none."""
    return [names] if isinstance(names, str) else [] if names is None else [*map(str, names)]


def _no_label(column: pd.Series, groups: str | None) -> str:
    """Say why a column is no label; empty where it is one."""
    name = str(column.name)
    if is_no_label(name) or (groups is not None and name.lower() == groups.lower()):
        return "names rows or stars"
    kind = pd.api.types.infer_dtype(column)
    if kind in _TIMES:
        return _TIMES[kind]
    if pd.api.types.is_integer_dtype(column) and beyond_floats(column.dropna()).any():
        return "has whole numbers of 16 digits or more, as ids are"
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return ""
    filled = column.dropna()
    classes = filled.astype(str).nunique()
    if len(filled) and classes > len(filled) / 2 and isinstance(filled.iloc[0], str):
        return _MANY_TEXTS
    return ""


def _check_complex(frame: pd.DataFrame, names: Sequence[str]) -> None:
    found = [name for name in names if pd.api.types.infer_dtype(frame[name]) == "complex"]
    if found:
        raise EstimatorError(
            f"{shortened(found)}: complex numbers; expected real ones, such as their real and "
            "imaginary parts in two columns"
        )


def _warn_of_numbers(frame: pd.DataFrame, names: Sequence[str]) -> None:
    findings = [finding for name in names if (finding := _numbers_in_text(name, frame[name]))]
    if findings:
        warn(
            f"numbers in text: {shortened(findings)}; such labels are treated as classes, or left "
            "out: write decimal points, and leave cells without a number empty"
        )


def _numbers_in_text(name: str, column: pd.Series) -> str:
    """Say how many values of a text column are numbers; empty where few are."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.infer_dtype(column) == "boolean":
        return ""
    text = column.dropna().astype(str)
    plain = pd.to_numeric(text, errors="coerce").notna()
    commas = ~plain & pd.to_numeric(text.str.replace(",", "."), errors="coerce").notna()
    count, n = int((plain | commas).sum()), len(text)
    # So few numbers would be treated as classes anyway.
    if count <= n / 2 or (plain.all() and text.nunique() <= FEW_VALUES[-1][0]):
        return ""
    other = (
        "" if plain.all() else f", another is {text[commas if commas.any() else ~plain].iloc[0]!r}"
    )
    return f"{name} ({count:,} of {n:,}{other})"


@dataclass(frozen=True)
class LabelSummary:
    """What remains of a label once its column is dropped."""

    name: str
    rows: int  # with the label and finite latents
    n_tied: int  # of these rows
    n_clipped: int
    n_classes: int  # 0 of a continuous label
    entropy: float  # of its classes, in nats; NaN of a continuous label

    @property
    def many_tied(self) -> bool:
        """Whether there are enough ties to report."""
        return not self.n_classes and self.n_tied > TIED_SHARE * self.rows


def summary_of(column: Column, ok: Mask) -> LabelSummary:
    """Look at a label on the rows that have latents, `ok`, shape (n,)."""
    keep = column.valid & ok
    rows, entropy = int(np.count_nonzero(keep)), np.nan
    if column.codes is not None:
        share = np.bincount(column.codes[keep]) / max(rows, 1)
        share = share[share > 0]
        entropy = float(-(share * np.log(share)).sum())
    n_tied = _ties_among(column, keep) if column.n_tied and rows else 0
    return LabelSummary(column.name, rows, n_tied, column.n_clipped, column.n_classes, entropy)


def _ties_among(column: Column, keep: Mask) -> int:
    assert column.values is not None
    ascending = column.values[column.order[keep[column.order]]]
    same = np.concatenate(([False], ascending[1:] == ascending[:-1], [False]))
    return int(np.count_nonzero(same[1:] | same[:-1]))


def notes_of(labels: Sequence[LabelSummary], clip_sigma: float | None) -> list[str]:
    """Say which labels lost values, were treated as classes, or have ties, each in one line."""
    clipped = [f"{label.name} ({label.n_clipped:,})" for label in labels if label.n_clipped]
    classes = [f"{label.name} ({label.n_classes:,})" for label in labels if label.n_classes]
    tied = [
        f"{label.name} ({label.n_tied / label.rows:.0%})" for label in labels if label.many_tied
    ]
    kinds = (
        (f"values beyond {clip_sigma or 0:g} sigma left out: ", clipped),
        ("treated as classes: ", classes),
        ("ties broken at random: ", tied),
    )
    return [f"{kind}{shortened(names)}" for kind, names in kinds if names]
