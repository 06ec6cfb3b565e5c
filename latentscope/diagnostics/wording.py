"""Names in messages."""

from __future__ import annotations

from collections.abc import Iterable

_NAMES_SHOWN = 8


def shortened(names: Iterable[str]) -> str:
    """Join different names, of many only the first few."""
    different = list(dict.fromkeys(names))
    more = len(different) - _NAMES_SHOWN
    return ", ".join(different[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
