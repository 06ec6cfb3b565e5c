"""Phrases that traversals and line maps share."""

from __future__ import annotations

import numpy as np
import pandas as pd

from latentscope.diagnostics.traversal.lines import noticed, noticed_elements

COLOR_NOTICED = 0.005
"""Magnitudes per sigma below which the color is said to stay."""

_LINES_NAMED, _ELEMENTS_NAMED = 5, 6
_AIR_NOTICED, _AIR_SHARE = 0.01, 0.5


def line_words(lines: pd.DataFrame, max_lines: int = _LINES_NAMED) -> list[str]:
    """Name the lines of the star whose depth changes most, and by how much."""
    moved = noticed(lines[lines["kind"] != "telluric"]).head(max_lines)
    return [
        f"{row['line']} {measured(row['depth_per_sigma'], row['depth_error'])}"
        for row in moved.to_dict("records")
    ]


def element_words(lines: pd.DataFrame, max_elements: int = _ELEMENTS_NAMED) -> list[str]:
    """Say for each element whether its lines deepen or weaken; the most changed first."""
    changed = noticed_elements(lines[lines["kind"] != "telluric"])
    words = [
        f"{row['element']} depth {'+' if row['depth_per_sigma'] > 0 else '-'}"
        for row in changed.to_dict("records")
    ]
    more = len(words) - max_elements
    return words[:max_elements] + ([f"and {more} more elements"] if more > 0 else [])


def air_words(lines: pd.DataFrame) -> tuple[str, bool] | None:
    """Return how the most changed band of the air changes, and whether that is a sign of airmass.

    None if all stay within 0.01 per sigma. The windows of these bands hold lines of the star too;
    so a change below half of the star's own largest one is no sign of airmass.
    """
    air = noticed(lines[lines["kind"] == "telluric"])
    air = air[air["depth_per_sigma"].abs() >= _AIR_NOTICED]
    if not len(air):
        return None
    star = lines.loc[lines["kind"] != "telluric", "depth_per_sigma"].abs().max()
    first = air.iloc[0]
    change = f"{first['line']} {measured(first['depth_per_sigma'], first['depth_error'])}"
    return change, not abs(first["depth_per_sigma"]) < _AIR_SHARE * star


def measured(value: float, error: float) -> str:
    """Return value and error, to two digits of the error."""
    if not np.isfinite(error):
        return signed(value)
    digits = 4 if error == 0 else int(np.clip(1 - np.floor(np.log10(error)), 0, 4))
    return f"{value:+.{digits}f} ± {error:.{digits}f}"


def signed(value: float) -> str:
    """Return a number to three digits, with its sign."""
    return f"{value:+.3g}"


def percent(share: float) -> str:
    """Return a share as a percentage, with a digit where it matters."""
    if not np.isfinite(share):
        return "an unknown part"
    if 0.99 < share < 1:
        return f"{100 * share:.1f} %"
    return f"{100 * share:.0f} %".replace("-0 %", "0 %")
