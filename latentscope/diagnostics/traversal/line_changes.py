"""Tables of lines and how each changes along a dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from latentscope.diagnostics.traversal.features import Feature
from latentscope.diagnostics.traversal.regression import rate
from latentscope.diagnostics.traversal.strengths import Strengths
from latentscope.diagnostics.traversal.velocity import Floats

NOTICED = 0.005
"""Change of depth per sigma below which a line is said to stay."""

SURE = 3.0
"""Errors that a change must exceed to be told."""
_MEASURES = ("depth", "ew", "width")


def line_table(
    features: Sequence[Feature],
    base: Strengths,
    along: Sequence[Strengths],
    doubts: Sequence[Strengths],
    offset: Floats,
    unit: float,
) -> pd.DataFrame:
    """Table of the lines with their change per sigma.

    Parameters
    ----------
    features : sequence of Feature
    base : Strengths
        Of the base.
    along : sequence of k Strengths
        Of the spectra along the dimension.
    doubts : sequence of k Strengths
        Their errors, of either sign.
    offset : ndarray, shape (k,)
        Their distance from the base in the dimension.
    unit : float
        What one sigma is, in the same unit.

    Returns
    -------
    DataFrame
        `line, element, kind, wavelength`, then for depth, ew and width: the base's, its change per
        sigma (slope of a straight line), and the error of that: from the scatter about the line and
        from the doubts.
    """
    rows: dict[str, Any] = {
        "line": [f.name for f in features],
        "element": [f.element for f in features],
        "kind": [f.kind for f in features],
        "wavelength": [f.wavelength for f in features],
    }
    for what in _MEASURES:
        columns = np.array([getattr(strengths, what) for strengths in along]).T
        errors = np.array([getattr(strengths, what) for strengths in doubts]).T
        lever = (offset - offset.mean()) / np.sum((offset - offset.mean()) ** 2)
        found = np.array([rate(offset, column)[:2] for column in columns]).reshape(-1, 2) * unit
        doubt = np.sqrt(_at_least_typical(errors) ** 2 @ lever**2) * unit
        rows |= {
            what: getattr(base, what),
            f"{what}_per_sigma": found[:, 0],
            f"{what}_error": np.hypot(found[:, 1], doubt),
        }
    return pd.DataFrame(rows)


def _at_least_typical(errors: Floats) -> Floats:
    """Sizes of errors (lines, k), none below the median of its spectrum: some are small by luck."""
    known = np.isfinite(errors).any(axis=1)
    size = np.abs(np.nan_to_num(errors))
    return np.maximum(size, np.median(size[known], axis=0)) if known.any() else size


def noticed(lines: pd.DataFrame) -> pd.DataFrame:
    """Lines whose depth changes by at least 0.005 per sigma and three errors, the largest first."""
    change = lines["depth_per_sigma"].abs()
    told = lines[(change >= NOTICED) & (change >= SURE * lines["depth_error"].fillna(0))]
    return told.sort_values("depth_per_sigma", key=np.abs, ascending=False)


def by_element(lines: pd.DataFrame) -> pd.DataFrame:
    """Mean change of depth per sigma of each element's lines.

    Returns
    -------
    DataFrame
        `element, lines` (measured ones), `depth_per_sigma` (mean over them), `error` (from how
        much they differ, or from their own errors, whichever is larger), largest change first.
    """
    rows: list[dict[str, Any]] = []
    for element, some in lines.dropna(subset=["depth_per_sigma"]).groupby("element", sort=False):
        change = some["depth_per_sigma"].to_numpy(dtype=np.float64)
        own = np.nan_to_num(some["depth_error"].to_numpy(dtype=np.float64))
        count = len(change)
        scatter = float(change.std(ddof=1)) / np.sqrt(count) if count > 1 else 0.0
        rows.append(
            {
                "element": element,
                "lines": count,
                "depth_per_sigma": float(change.mean()),
                "error": max(scatter, float(np.sqrt(own @ own)) / count),
            }
        )
    table = pd.DataFrame(rows, columns=["element", "lines", "depth_per_sigma", "error"])
    return table.sort_values("depth_per_sigma", key=np.abs, ascending=False, ignore_index=True)


def noticed_elements(lines: pd.DataFrame) -> pd.DataFrame:
    """Rows of `by_element` whose mean changes by at least 0.005 per sigma and three errors."""
    table = by_element(lines)
    size = table["depth_per_sigma"].abs()
    return table[(size >= NOTICED) & (size >= SURE * table["error"])]
