"""Clocks and tables that the benchmarks share."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Work = Callable[[], object]
Name = TypeVar("Name", bound=Hashable)


def seconds(work: Work, clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of one call, by the wall; `time.process_time` is that of all threads together."""
    begin = clock()
    work()
    return clock() - begin


def in_turns(
    tasks: Mapping[str, Work],
    n_rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    *,
    warm: bool = False,
) -> dict[str, float]:
    """Shortest time of each task over rounds in which each has one turn.

    Other work on the machine then disturbs all of them alike. With `warm` a first round compiles,
    fills caches and does not count.
    """
    found = rounds(tasks, n_rounds, lambda work: seconds(work, clock), warm=warm)
    return {name: float(taken.min()) for name, taken in found.items()}


def rounds(
    tasks: Mapping[Name, Work],
    n_rounds: int,
    measure: Callable[[Work], Any] = seconds,
    *,
    warm: bool = False,
) -> dict[Name, NDArray[np.float64]]:
    """What `measure` says of each task in each round, shape (n_rounds, ...); as `in_turns`."""
    every = [[measure(work) for work in tasks.values()] for _ in range(n_rounds + warm)]
    return {name: np.array(taken) for name, *taken in zip(tasks, *every[warm:], strict=True)}


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def table(lines: Iterable[Mapping[str, Any]], form: str = ".4g") -> str:
    """Return a markdown table of lines that have the same keys, its header; "-" for NaN."""

    def text(cell: Any) -> str:
        if isinstance(cell, float):
            return "-" if np.isnan(cell) else format(cell, form)
        return str(cell)

    lines = list(lines)
    cells = [[text(cell) for cell in line.values()] for line in lines]
    return markdown_table(list(lines[0]) if lines else [], cells)


def wall_and_processor(work: Work) -> NDArray[np.float64]:
    """Seconds of one call by the wall, and of the processor, all threads together."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return np.array([time.perf_counter() - wall, time.process_time() - processor])


def row(*cells: str) -> None:
    """Print a line of a markdown table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def duration(value: float) -> str:
    """Seconds as text of three digits."""
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"
