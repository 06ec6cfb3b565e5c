"""Pairs of columns measured on all threads: value, error bar and p-value, one row a pair."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from itertools import chain, islice
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.diagnostics.groups import Groups
from latentscope.diagnostics.mi.columns import TIED_SHARE, Column, Part, own_rng
from latentscope.diagnostics.mi.estimators import (
    PLUGIN,
    Estimator,
    Items,
    Measured,
    Method,
    choose,
    measured,
    neighbors_for,
    settled,
    without_single,
)
from latentscope.diagnostics.mi.nulls import (
    Null,
    Show,
    false_discovery_rate,
    group_p_value,
    margin_of,
    null_of,
    ranks_of,
)
from latentscope.diagnostics.threads import in_order, threads_for
from latentscope.errors import EstimatorError, LatentscopeWarning, shortened

_TESTED_DRAWS = 3
"""Draws of one row a group that a shuffle is made of: more cost in proportion."""

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Settings:
    """How pairs are measured.

    Parameters
    ----------
    estimator : str
        One of `Estimator`.
    neighbors : int
        k of the nearest-neighbour estimators.
    draws : int
        Draws of one row a group.
    permutations : int
        Shuffles of whole groups at most.
    seed : int
        Of draws and shuffles.
    pairs : int
        Pairs in the whole table, on which the fineness of p-values depends.
    """

    estimator: Estimator = "auto"
    neighbors: int = 3
    draws: int = 11
    permutations: int = 199
    seed: int = 0
    pairs: int = 1

    def __post_init__(self) -> None:
        for name, least in (("neighbors", 1), ("draws", 1), ("permutations", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise EstimatorError(f"{name} is {value!r}; wanted a whole number, {least} or more")


@dataclass(frozen=True)
class PairResult:
    """What is measured of one pair; `mi_nats` signed, `std_nats` its sampling error.

    A constant column gives 0 without a p-value (NaN); too few rows or groups give NaN throughout.
    """

    mi_nats: float
    std_nats: float
    p_value: float
    n: int
    n_groups: int
    estimator: str
    reason: str


@dataclass(frozen=True)
class _Pair:
    """The rows that two columns share, and the estimator for them."""

    method: Method
    neighbors: int
    reason: str
    x: Part
    y: Part

    @property
    def constant(self) -> list[str]:
        """Names of the columns that do not vary on these rows."""
        return [part.column.name for part in (self.x, self.y) if part.constant]


def value_of(x: Column, y: Column, settings: Settings) -> float:
    """Mutual information of two columns in nats, signed, without error bar and p-value.

    Warns
    -----
    LatentscopeWarning
        If a column is constant, which gives 0, or many values are tied under "ksg".

    Raises
    ------
    EstimatorError
        As `measure` does.
    """
    pair = _pair(x, y, settings)
    few = _too_few(pair, len(pair.x), None, settings) or _unrepeated(pair, len(pair.x), None)
    if few:
        raise EstimatorError(few)
    tied = [column.name for column in (x, y) if column.tied > TIED_SHARE * column.valid.sum()]
    warn_of_ties(tied, settings.estimator)
    if pair.constant:
        warnings.warn(
            f"{' and '.join(pair.constant)} constant: mutual information 0",
            LatentscopeWarning,
            stacklevel=3,
        )
        return 0.0
    return _measured(pair, pair.x, pair.y, settings).value


def warn_of_ties(tied: Sequence[str], estimator: str) -> None:
    """Warn where values are taken as they are, and columns have more than a few ties."""
    if tied and estimator in ("ksg", "npeet"):
        warnings.warn(
            f"many values of {shortened(tied)} are tied, which biases {estimator}; copula breaks "
            "ties at random",
            LatentscopeWarning,
            stacklevel=4,
        )


def measure(
    x: Column, y: Column, groups: Groups | None, settings: Settings, *, strict: bool = True
) -> PairResult:
    """Measure one pair of columns on the rows that both have.

    Parameters
    ----------
    x, y : Column
        The pair.
    groups : Groups or None
        Which star each row shows.
    settings : Settings
    strict : bool
        Whether too few rows or groups are an error; else they give NaN and a reason.

    Raises
    ------
    EstimatorError
        If these rows, or their groups, are not more than `neighbors`, or the estimator does not
        take such columns.
    """
    pair = _pair(x, y, settings)
    n, keep = len(pair.x), pair.x.keep
    n_groups = n if groups is None else groups.count(keep)
    name = pair.method.name
    few = _too_few(pair, n_groups, groups, settings) or _unrepeated(pair, n_groups, groups)
    if few and strict:
        raise EstimatorError(few)
    if few:
        return PairResult(np.nan, np.nan, np.nan, n, n_groups, name, few)
    if pair.constant:
        why = f"constant: {' and '.join(pair.constant)}"
        return PairResult(0.0, 0.0, np.nan, n, n_groups, name, why)
    try:
        if groups is None or n_groups == n:
            values, how = _of_rows(pair, settings)
        else:
            values, how = _of_groups(pair, groups, settings)
    except EstimatorError as error:
        if strict:
            raise EstimatorError(f"{x.name} and {y.name}: {error}") from error
        return PairResult(np.nan, np.nan, np.nan, n, n_groups, name, str(error))
    return PairResult(*values, n, n_groups, name, f"{pair.reason}; {how}" if how else pair.reason)


def _pair(x: Column, y: Column, settings: Settings) -> _Pair:
    x, y = settled(x, y, settings.estimator)
    method, reason = choose(x, y, settings.estimator)
    keep = x.valid if y.complete else x.valid & y.valid
    if x.discrete != y.discrete:
        keep = _without_single(x if x.discrete else y, keep)
    pair = _Pair(method, settings.neighbors, reason, x.part(keep), y.part(keep))
    return _with_neighbors(pair, pair.x, pair.y, settings)


def _with_neighbors(pair: _Pair, x: Part, y: Part, settings: Settings) -> _Pair:
    """Settle k for these rows of a pair, which "auto" leaves to their number."""
    if settings.estimator != "auto" or pair.method is PLUGIN or not len(x):
        return pair
    return replace(pair, neighbors=neighbors_for(x, y, settings.neighbors))


def _measured(pair: _Pair, x: Part, y: Part, settings: Settings) -> Measured:
    least = settings.neighbors if settings.estimator == "auto" else None
    return measured(pair.method, x, y, pair.neighbors, least=least, seed=settings.seed)


def _too_few(pair: _Pair, count: int, groups: Groups | None, settings: Settings) -> str:
    if count > settings.neighbors:
        return ""
    shared = pair.x.column.discrete != pair.y.column.discrete
    return (
        f"{pair.x.column.name} and {pair.y.column.name}: {count} "
        f"{'rows' if groups is None else 'groups'} have both"
        f"{' and share their class with another' if shared else ''}; wanted more than "
        f"neighbors={settings.neighbors}"
    )


def _unrepeated(pair: _Pair, count: int, groups: Groups | None) -> str:
    """Say which column has a class for every row, or star, so that nothing repeats in any."""
    for part in (pair.x, pair.y):
        classes = int(part.codes.max(initial=-1)) + 1 if part.column.discrete else 0
        if classes >= count:
            each = "row" if groups is None else "group"
            return f"{part.column.name} has a class for every {each}; wanted several in a class"
    return ""


def _without_single(classes: Column, keep: Rows) -> Rows:
    assert classes.codes is not None
    keep = keep.copy()
    rows = np.flatnonzero(keep)
    keep[rows] = without_single(classes.codes[rows])
    return keep


def _of_rows(pair: _Pair, settings: Settings) -> tuple[tuple[float, float, float], str]:
    found, n = _measured(pair, pair.x, pair.y, settings), len(pair.x)
    null = _null(pair, pair.x, pair.y, settings)
    std = float(np.sqrt(found.variance + (0.0 if found.complete else null.excess / n)))
    return (found.value, std, null.p_value(found.by_ranks, n)), _how(pair, [found], settings)


def _how(pair: _Pair, found: list[Measured], settings: Settings) -> str:
    """Return what "auto" did of its own, in words."""
    if settings.estimator != "auto" or pair.method is PLUGIN:
        return ""
    k = " ".join(f"{k}" for k in sorted({each.neighbors for each in found if each.neighbors}))
    parts = [f"k = {k}"] if k else []
    if any(each.extrapolated for each in found):
        parts.append("extrapolated to no neighbours")
    return ", ".join(parts)


def _null(pair: _Pair, x: Part, y: Part, settings: Settings) -> Null:
    return null_of(pair.method, margin_of(x), margin_of(y), pair.neighbors, settings.pairs)


def _of_groups(
    pair: _Pair, groups: Groups, settings: Settings
) -> tuple[tuple[float, float, float], str]:
    rng = own_rng(settings.seed, 2)
    draws = groups.draws(pair.x.keep, settings.draws, rng)
    drawn = [_drawn(pair, rows) for rows in draws.rows]
    x, y = drawn[0]
    pair = _with_neighbors(pair, x, y, settings)
    found = [_measured(pair, *parts, settings) for parts in drawn]
    null = _null(pair, x, y, settings)
    p_value = group_p_value(
        pair.method,
        _shown(pair.x),
        _shown(pair.y),
        replace(draws, lots=draws.lots[:_TESTED_DRAWS]),
        pair.neighbors,
        null=null,
        permutations=settings.permutations,
        rng=rng,
    )
    values = [each.value for each in found]
    excess = null.excess / len(x)
    within = [each.variance + (0.0 if each.complete else excess) for each in found]
    std = float(np.sqrt(np.mean(within) + np.var(values)))
    return (float(np.median(values)), std, p_value), _how(pair, found, settings)


def _drawn(pair: _Pair, rows: NDArray[np.int64]) -> tuple[Part, Part]:
    mask = np.zeros(len(pair.x.keep), dtype=bool)
    mask[rows] = True
    return Part(pair.x.column, mask), Part(pair.y.column, mask)


def _shown(part: Part) -> Show:
    """Return what gives the ranks or classes of some rows of a part."""
    number = np.cumsum(part.keep) - 1
    items, discrete = part.items, part.column.discrete

    def show(rows: NDArray[np.int64]) -> Items:
        found: Items = items[number[rows]]
        return found if discrete else ranks_of(found)

    return show


Progress = Callable[[int, int], None]
Read = Callable[[int], Column]

_BYTES = 250e6
"""Of the columns kept ready while others pass by."""

_BYTES_PER_ROW = 48
_BATCH_ROWS = 30_000
_BATCH_PAIRS = 64


@dataclass(frozen=True)
class Task:
    """What all pairs of a table share.

    Parameters
    ----------
    groups : Groups or None
        Which star each row shows.
    settings : Settings
    strict : bool
        Whether too few rows or groups are an error.
    progress : callable or None
        Called with (pairs done, pairs in all), on the calling thread.
    """

    groups: Groups | None
    settings: Settings
    strict: bool
    progress: Progress | None


@dataclass(frozen=True)
class _Place:
    x: Column
    y: Column
    places: tuple[int, int]


def columns_kept(rows: int) -> int:
    """Columns of so many rows that are kept ready at a time."""
    return max(4, int(_BYTES / (_BYTES_PER_ROW * max(rows, 1))))


def across(xs: int, read_x: Read, ys: int, read_y: Read, kept: int) -> Iterator[_Place]:
    """Pair every x with every y: `kept` columns y stay, while the columns x pass by.

    The place of a pair is (of y, of x).
    """
    for first in range(0, ys, kept):
        beside = {i: read_y(i) for i in range(first, min(first + kept, ys))}
        for j in range(xs):
            x = read_x(j)
            yield from (_Place(x, y, (i, j)) for i, y in beside.items())


def among(count: int, read: Read, kept: int) -> Iterator[_Place]:
    """Pair every column with every later one, `kept` of which stay, while the later pass by."""
    for first in range(0, count - 1, kept):
        beside = {i: read(i) for i in range(first, min(first + kept, count))}
        for j in range(first + 1, count):
            y = beside[j] if j in beside else read(j)
            yield from (_Place(x, y, (i, j)) for i, x in beside.items() if i < j)


def measured_table(
    pairs: Iterable[_Place],
    total: int,
    task: Task,
    columns: tuple[str, str],
    names: tuple[Sequence[Any], Sequence[Any]],
) -> pd.DataFrame:
    """Measure pairs, and make the tidy table of them.

    Parameters
    ----------
    pairs : iterable
        Of `across` or `among`.
    total : int
        Their number.
    task : Task
    columns : (str, str)
        What the table calls the two sides of a pair's place.
    names : (list, list)
        Names on either side, by place.

    Returns
    -------
    DataFrame
        One row a pair, sorted by place.
    """
    ended = threading.Event()

    def _measure_batch(batch: list[_Place]) -> list[PairResult]:
        return [
            measure(pair.x, pair.y, task.groups, task.settings, strict=task.strict)
            for pair in batch
            if not ended.is_set()
        ]

    places: list[tuple[int, int]] = []

    def batches() -> Iterator[list[_Place]]:
        for batch in _batches(pairs):
            places.extend(pair.places for pair in batch)
            yield batch

    results: list[PairResult] = []
    with closing(in_order(_measure_batch, batches(), threads_for(total))) as found:
        try:
            for result in chain.from_iterable(found):
                results.append(result)
                if task.progress is not None:
                    task.progress(len(results), total)
        finally:
            ended.set()
    return _tidy(places, results, columns, names)


def _batches(pairs: Iterable[_Place]) -> Iterator[list[_Place]]:
    """Put pairs of few rows together, so that handing them to a thread costs less than they do."""
    rest = iter(pairs)
    for pair in rest:
        more = int(np.clip(_BATCH_ROWS // max(len(pair.x.valid), 1), 1, _BATCH_PAIRS)) - 1
        yield [pair, *islice(rest, more)]


def _tidy(
    places: list[tuple[int, int]],
    results: list[PairResult],
    columns: tuple[str, str],
    names: tuple[Sequence[Any], Sequence[Any]],
) -> pd.DataFrame:
    order = sorted(range(len(places)), key=places.__getitem__)
    cells: dict[str, list[Any]] = {
        column: [names[side][places[i][side]] for i in order] for side, column in enumerate(columns)
    }
    for field in fields(PairResult):
        cells[field.name] = [getattr(results[i], field.name) for i in order]
        if field.name == "p_value":
            p_values = np.array(cells["p_value"], dtype=np.float64)
            cells["q_value"] = list(false_discovery_rate(p_values))
    return pd.DataFrame(cells)


def check_measured(table: pd.DataFrame, named_by: str) -> None:
    """Warn of pairs that are NaN, and of those that are 0 since a column is constant.

    Raises
    ------
    EstimatorError
        If no pair was measured.
    """
    _warn_of_constants(table)
    few = table[table["mi_nats"].isna()]
    if len(few) == len(table):
        raise EstimatorError(f"no pair could be measured: {few['reason'].iloc[0]}")
    if len(few):
        warnings.warn(
            f"{len(few)} of {len(table)} pairs are NaN, with too few rows or groups: those of "
            f"{shortened(map(str, few[named_by]))}; the column reason says how many",
            LatentscopeWarning,
            stacklevel=3,
        )


def _warn_of_constants(table: pd.DataFrame) -> None:
    constant = table[table["reason"].str.startswith("constant: ")]
    if len(constant):
        warnings.warn(
            "constant, hence mutual information 0: "
            f"{shortened(constant['reason'].str.removeprefix('constant: '))}",
            LatentscopeWarning,
            stacklevel=4,
        )
