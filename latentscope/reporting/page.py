"""A document as one page of HTML that needs nothing but itself."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Any

from latentscope.reporting.numbers import (
    decimals_for_column,
    is_missing,
    is_number,
    number_text,
    p_value_text,
    with_error,
    with_interval,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2 import Template

    from latentscope.reporting import document

_SMALL = 560
"""CSS pixels up to which pictures stand side by side."""

_LONG = 34
"""Letters from which text is broken into lines."""

_P_VALUES = ("p_value", "q_value", "carried_p_value", "rest_p_value")

_SETTINGS = {
    "estimator": "estimator {}",
    "neighbors": "k = {}",
    "n_draws": "{} draws of one row per star",
    "n_permutations": "{} shuffles at most",
    "n_halves": "{} halves of the stars",
    "seed": "seed {}",
}


def page_html(document: document.Document) -> str:
    """Return the whole page; all that came from users is escaped."""
    own = {kind: _own(f"page.{kind}") for kind in ("css", "js")}
    return _template().render(document=document, **own)


def part_html(part: document.Part) -> str:
    """Return a part as HTML; all that came from users is escaped."""
    return str(_template().module.part(part))  # type: ignore[attr-defined]


def table_html(table: document.Table) -> str:
    """Return a table as a `figure`: caption and rows, of which a script shows the first."""
    return str(_template().module.table(table))  # type: ignore[attr-defined]


@cache
def _template() -> Template:
    # Imported here, since everything but a report does without it.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "base64": lambda data: b64encode(data).decode("ascii"),
        "cells": _cells,
        "measured_with": _measured_with,
        "side_by_side": _side_by_side,
    }
    return environment.from_string(_own("page.html"))


def _own(name: str) -> str:
    return files("latentscope.reporting").joinpath(name).read_text(encoding="utf-8")


def _side_by_side(
    pictures: tuple[document.Picture, ...],
) -> list[tuple[bool, list[document.Picture]]]:
    """Group neighbors of the same kind, and say whether they are wide."""
    wide = groupby(pictures, lambda picture: picture.width > _SMALL)
    return [(is_wide, list(group)) for is_wide, group in wide]


def _measured_with(part: document.Part) -> str:
    """Say by which settings a part was measured."""
    settings = [
        text.format(number_text(part.provenance[name]))
        for name, text in _SETTINGS.items()
        if part.provenance.get(name) is not None
    ]
    return f"Measured with: {', '.join(settings)}." if settings else ""


def _cells(table: document.Table) -> dict[str, Any]:
    """Return what is shown of a table: `columns` of which something is known, and `rows`.

    A row holds for each column its kind, what it is sorted by, and its text.
    """
    rows = table.frame.head(table.max_rows).to_dict("records")
    columns, cells = [], []
    for name, column in table.columns.items():
        present = [row[name] for row in rows if not is_missing(row[name])]
        if not present:
            continue
        longest = max(len(str(value)) for value in present)
        kind = "long" if longest > _LONG else "text"
        kind = "number" if all(is_number(value) for value in present) else kind
        write = _writer(name, column, decimals_for_column(present))
        columns.append({"kind": kind, "heading": column.heading, "hint": column.hint})
        cells.append([(kind, _sorted_by(row[name]), write(row)) for row in rows])
    fits = table.open_rows > 0 and len(rows) <= table.open_rows + 3
    named = table.open_rows == 0
    return {
        "columns": columns,
        "rows": list(zip(*cells, strict=True)),
        "split": len(rows) if fits else table.open_rows,
        "left_out": len(table.frame) - (0 if named else len(rows)),
    }


def _writer(name: str, column: document.Column, decimals: int) -> Callable[[dict[Any, Any]], str]:
    error, interval = column.error, column.interval
    if error is not None:
        return lambda row: with_error(row[name], row[error])
    if interval is not None:
        return lambda row: with_interval(row[name], row[interval[0]], row[interval[1]])
    if name in _P_VALUES:
        return lambda row: p_value_text(row[name])
    if column.mixed:
        return lambda row: number_text(row[name], decimals_for_column([row[name]]))
    shown = decimals if column.decimals is None else column.decimals
    return lambda row: number_text(row[name], shown)


def _sorted_by(value: Any) -> str:
    if is_missing(value):
        return ""
    if is_number(value):
        return repr(value.item() if hasattr(value, "item") else value)
    return str(value)
