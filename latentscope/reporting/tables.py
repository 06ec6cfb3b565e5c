"""Tables as HTML: values with their errors, sortable, rows beyond the first folded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import pandas as pd

from latentscope.reporting.numbers import (
    decimals_for_column,
    is_missing,
    is_number,
    number_text,
    p_value_text,
    with_error,
    with_interval,
)
from latentscope.reporting.parts import Column, Table

Row = dict[str, Any]

_LONG = 34
"""Letters from which text is broken into lines."""

_P_VALUES = ("p_value", "q_value", "carried_p_value", "rest_p_value")


def table_html(table: Table) -> str:
    """Return a table as a `figure`: caption, the first rows, and the others in a fold.

    Columns of which nothing is known are left out.
    """
    shown = table.frame.head(table.most)
    rows: list[Row] = [{str(key): value for key, value in row.items()} for row in _records(shown)]
    cells = [_Cells(column, [row[column.name] for row in rows]) for column in table.columns]
    cells = [column for column in cells if column.known]
    if not rows:
        return f'<p class="note">{escape(table.caption)} There is none.</p>'
    fits = table.open_rows > 0 and len(rows) <= table.open_rows + 3
    split = len(rows) if fits else table.open_rows
    parts = [f'<figure class="table"><figcaption>{escape(table.caption)}</figcaption>']
    if split:
        parts.append(_grid(table, cells, rows[:split]))
    if split < len(rows):
        more = f"{len(rows) - split:,} {'more ' if split else ''}rows"
        parts.append(f"<details><summary>{more}</summary>")
        parts.append(_grid(table, cells, rows[split:]) + "</details>")
    left_out = len(table.frame) - len(shown)
    if left_out:
        parts.append(
            f'<p class="note">{left_out:,} further rows of this table are in report.json.</p>'
        )
    return "".join([*parts, "</figure>"])


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.to_dict("records")


class _Cells:
    """How the cells of a column are written."""

    def __init__(self, column: Column, values: list[Any]) -> None:
        self.column = column
        self.known = known = [value for value in values if not is_missing(value)]
        self.numeric = bool(known) and all(is_number(value) for value in known)
        self._write = _writer(column, decimals_for_column(known))
        longest = max((len(str(value)) for value in known), default=0)
        text = "long" if longest > _LONG else "text"
        self.kind = "number" if self.numeric else text

    def head(self) -> str:
        hint = f' title="{escape(self.column.hint)}"' if self.column.hint else ""
        name = escape(self.column.heading)
        return (
            f'<th scope="col" class="{self.kind}"{hint}><button type="button">{name}</button></th>'
        )

    def cell(self, row: Row) -> str:
        value = row[self.column.name]
        return (
            f'<td class="{self.kind}" data-value="{escape(_sorted_by(value))}">'
            f"{escape(self._write(row))}</td>"
        )


def _writer(column: Column, decimals: int) -> Callable[[Row], str]:
    name, error, interval = column.name, column.error, column.interval
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


def _grid(table: Table, cells: list[_Cells], rows: list[Row]) -> str:
    label = escape(table.caption.partition(".")[0])
    return "".join(
        [
            f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">',
            f'<table data-name="{escape(table.name)}"><thead><tr>',
            *(column.head() for column in cells),
            "</tr></thead><tbody>",
            *_body(cells, rows),
            "</tbody></table></div>",
        ]
    )


def _body(cells: list[_Cells], rows: list[Row]) -> Iterator[str]:
    for row in rows:
        yield "<tr>" + "".join(column.cell(row) for column in cells) + "</tr>"
