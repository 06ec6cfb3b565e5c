"""Numbers as a page shows them: as many digits as their error allows, minus signs, thousands."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

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
    """Return a number, text or truth value as text.

    Parameters
    ----------
    value : number, bool, str or None
        NaN and None give a dash.
    decimals : int
        Digits behind the point; whole numbers have none.
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
