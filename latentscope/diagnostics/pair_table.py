"""Many pairs of columns, measured on all threads, with few columns at a time in memory."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from itertools import chain, islice
from typing import Any

import numpy as np
import pandas as pd

from latentscope.diagnostics.columns.column import Column
from latentscope.diagnostics.columns.groups import Groups
from latentscope.diagnostics.pairs import PairResult, Settings, measure
from latentscope.diagnostics.significance.shuffles import false_discovery_rate
from latentscope.diagnostics.threads import in_order, threads_for
from latentscope.diagnostics.wording import shortened
from latentscope.errors import EstimatorError, LatentscopeWarning

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
class _Pair:
    x: Column
    y: Column
    places: tuple[int, int]


def columns_kept(rows: int) -> int:
    """Columns of so many rows that are kept ready at a time."""
    return max(4, int(_BYTES / (_BYTES_PER_ROW * max(rows, 1))))


def across(xs: int, read_x: Read, ys: int, read_y: Read, kept: int) -> Iterator[_Pair]:
    """Pair every x with every y: `kept` columns y stay, while the columns x pass by.

    The place of a pair is (of y, of x).
    """
    for first in range(0, ys, kept):
        beside = {i: read_y(i) for i in range(first, min(first + kept, ys))}
        for j in range(xs):
            x = read_x(j)
            yield from (_Pair(x, y, (i, j)) for i, y in beside.items())


def among(count: int, read: Read, kept: int) -> Iterator[_Pair]:
    """Pair every column with every later one, `kept` of which stay, while the later pass by."""
    for first in range(0, count - 1, kept):
        beside = {i: read(i) for i in range(first, min(first + kept, count))}
        for j in range(first + 1, count):
            y = beside[j] if j in beside else read(j)
            yield from (_Pair(x, y, (i, j)) for i, x in beside.items() if i < j)


def measured_table(
    pairs: Iterable[_Pair],
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

    def measured(batch: list[_Pair]) -> list[PairResult]:
        return [
            measure(pair.x, pair.y, task.groups, task.settings, strict=task.strict)
            for pair in batch
            if not ended.is_set()
        ]

    places: list[tuple[int, int]] = []

    def batches() -> Iterator[list[_Pair]]:
        for batch in _batches(pairs):
            places.extend(pair.places for pair in batch)
            yield batch

    results: list[PairResult] = []
    with closing(in_order(measured, batches(), threads_for(total))) as found:
        try:
            for result in chain.from_iterable(found):
                results.append(result)
                if task.progress is not None:
                    task.progress(len(results), total)
        finally:
            ended.set()
    return _tidy(places, results, columns, names)


def _batches(pairs: Iterable[_Pair]) -> Iterator[list[_Pair]]:
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
