"""A document as one page of HTML that needs nothing but itself; numbers as a page shows them."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

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


# Numbers: as many digits as their error allows, minus signs, thousands.

MISSING = "–"
_MOST_DECIMALS = 4
_SMALLEST, _LARGEST = 1e-4, 1e6


def whole_numbers(values: Iterable[Any]) -> list[int | None]:
    """Return whole numbers that missing ones have made floats, missing ones as None."""
    return [None if is_missing(value) else int(value) for value in values]


def is_number(value: Any) -> bool:
    """Tell numbers from all else; truth values are none."""
    return (
        isinstance(value, Real) and not isinstance(value, bool) and not hasattr(value, "strftime")
    )


def is_missing(value: Any) -> bool:
    """Tell None and NaN."""
    return value is None or (isinstance(value, Real) and math.isnan(float(value)))


def decimals_for_error(error: float) -> int:
    """Decimals that show an error with two digits, 0 to 4; 4 for an error that is not above 0."""
    if not (math.isfinite(error) and error > 0):
        return _MOST_DECIMALS
    return max(0, min(_MOST_DECIMALS, 1 - math.floor(math.log10(error))))


def decimals_for_column(values: Sequence[Any]) -> int:
    """Decimals that show the largest of a column with four digits, 0 to 4."""
    sizes = [abs(float(value)) for value in values if is_number(value) and math.isfinite(value)]
    largest = max(sizes, default=0.0)
    if largest == 0:
        return 1
    return max(0, min(_MOST_DECIMALS, 3 - math.floor(math.log10(largest))))


def number_text(value: Any, decimals: int = 3) -> str:
    """Return a number, text or truth value as text, a dash for NaN and None.

    Whole numbers have no decimals.
    """
    if is_missing(value):
        return MISSING
    if not is_number(value):
        return {True: "yes", False: "no"}[bool(value)] if _is_truth(value) else str(value)
    if isinstance(value, Integral):
        text = f"{int(value):,}"
    elif math.isinf(value):
        text = "-∞" if value < 0 else "∞"
    elif _is_tiny(float(value), decimals) or abs(value) >= _LARGEST:
        text = _with_power(float(value))
    else:
        text = f"{float(value):,.{decimals}f}"
    return _signed(text)


def with_error(value: Any, error: Any) -> str:
    """Return "1.234 ± 0.012", digits by the error; the value alone where there is no error."""
    if is_missing(value) or is_missing(error):
        return number_text(value)
    decimals = decimals_for_error(float(error))
    return _signed(f"{float(value):,.{decimals}f} ± {float(error):,.{decimals}f}")


def with_interval(value: Any, low: Any, high: Any) -> str:
    """Return "0.34 [0.30, 0.38]", digits by the width; the value alone without an interval."""
    if is_missing(value) or is_missing(low) or is_missing(high):
        return number_text(value)
    whole = all(float(number).is_integer() for number in (value, low, high))
    decimals = 0 if whole else decimals_for_error((float(high) - float(low)) / 2)
    ends = (f"{float(end):,.{decimals}f}" for end in (value, low, high))
    return _signed("{} [{}, {}]".format(*ends))


def p_value_text(value: Any) -> str:
    """Return a p-value or q-value with two digits, small ones as "<0.001"."""
    if is_missing(value):
        return MISSING
    return "<0.001" if value < 0.001 else f"{float(value):.3f}"


def _is_truth(value: Any) -> bool:
    return type(value).__name__ in ("bool", "bool_", "numpy.bool")


def _is_tiny(value: float, decimals: int) -> bool:
    return 0 < abs(value) < min(_SMALLEST, 0.5 * 10.0**-decimals)


def _with_power(value: float) -> str:
    mantissa, power = f"{value:.1e}".split("e")
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}×10{raised}"


def _signed(text: str) -> str:
    """Write minus signs as such, and 0 without one."""
    bare = text.replace("-", "")
    if text.startswith("-") and not any(digit in "123456789∞" for digit in text.split(" ")[0]):
        text = text[1:]
    return text.replace("-", "−") if bare != text else text
