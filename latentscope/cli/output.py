"""What a command shows: text and tables for people, JSON for programs, progress bars."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from latentscope.files import plain

if TYPE_CHECKING:
    import pandas as pd

Advance = Callable[..., None]
"""Called with the number done and, where the total was not known before, the total."""

_LONGEST_LIST = 10


class Output:
    """Where a command's words go: with `--json`, stdout carries JSON alone and text is on stderr.

    Parameters
    ----------
    as_json : bool
        Whether `--json` was given.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, text: str = "") -> None:
        """Print a line for people."""
        typer.echo(text, err=self.as_json)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print rows as aligned text, numbers to the right."""
        for line in _aligned(columns, list(rows)):
            self.say(line)

    def frame(self, table: pd.DataFrame) -> None:
        """Print a DataFrame as `table` does."""
        rows = plain(table.to_dict("records"))
        self.table(list(table.columns), [list(row.values()) for row in rows])

    def failures(self, named: Sequence[tuple[str, str]]) -> None:
        """Print on stderr which inputs failed and why, the first few of them."""
        for name, reason in named[:_LONGEST_LIST]:
            said = reason if name in reason else f"{name}: {reason}"
            typer.echo(f"failed: {said}", err=True)
        if len(named) > _LONGEST_LIST:
            typer.echo(f"... and {len(named) - _LONGEST_LIST} more", err=True)

    def result(self, value: Any) -> None:
        """Print `value` as JSON on stdout, if JSON was asked for; NaN becomes null."""
        if self.as_json:
            typer.echo(json.dumps(plain(value), indent=2, allow_nan=False))


def say_groups(out: Output, provenance: Mapping[str, Any]) -> None:
    """Say once which rows were taken for one star, where no option said it."""
    if "groups_found" in provenance:
        out.say(str(provenance["groups_found"]))


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    numeric = [any(isinstance(row[i], (int, float)) for row in rows) for i in range(len(columns))]
    for line in [list(columns), *cells]:
        padded = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        )
        yield "  ".join(padded).rstrip()


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Advance | None]:
    """Yield a function (done, total) that moves a bar, or None where nobody is looking.

    The bar is drawn on stderr, only in a terminal, and disappears when the work is done.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(label, total=total)

        def advance(done: int, whole: int | None = None) -> None:
            bar.update(task, completed=done, total=total if whole is None else whole)

        yield advance
