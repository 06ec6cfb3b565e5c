"""Which columns of a label table are labels, and each made ready as one."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import pandas as pd

from latentscope.diagnostics.columns.column import Column, Discrete, read_column
from latentscope.diagnostics.wording import shortened
from latentscope.errors import ChoiceError, EstimatorError
from latentscope.tables import STAR_COLUMNS, is_id_column

_NOT_LABELS = (*STAR_COLUMNS, "status", "error")


def choose_labels(
    frame: pd.DataFrame, columns: Sequence[str] | None, groups: str | None
) -> tuple[list[str], list[str]]:
    """Choose the columns of a table that are labels.

    Parameters
    ----------
    frame : DataFrame
        Label table.
    columns : list of str or None
        Those asked for; None leaves out ids, names of stars, the column of groups, dates, and text
        with more classes than half its rows.
    groups : str or None
        Column of groups.

    Returns
    -------
    names : list of str
    notes : list of str
        What was left out, in words.

    Raises
    ------
    EstimatorError
        If a column asked for is not there, or none is left.
    """
    if columns is not None:
        check_known(frame, columns)
        if not columns:
            raise EstimatorError(f"columns is empty; wanted some of {', '.join(frame.columns)}")
        return list(dict.fromkeys(columns)), []
    reasons = {name: _no_label(frame[name], groups) for name in frame.columns}
    names = [name for name, reason in reasons.items() if not reason]
    notes = [
        f"left out, since it {reason}: "
        f"{shortened(str(name) for name, why in reasons.items() if why == reason)}"
        for reason in dict.fromkeys(reasons.values())
        if reason
    ]
    if not names:
        raise EstimatorError(f"the table has no label: {'; '.join(notes)}; name columns to take")
    return names, notes


def check_known(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise ChoiceError unless the table has all these columns."""
    unknown = [name for name in columns if name not in frame]
    if unknown:
        raise ChoiceError(
            f"no label {', '.join(unknown)}; the table has {', '.join(frame.columns)}"
        )


def _no_label(column: pd.Series, groups: str | None) -> str:
    name = str(column.name)
    if is_id_column(name) or name in _NOT_LABELS or name == groups:
        return "names rows or stars"
    if pd.api.types.is_datetime64_any_dtype(column):
        return "holds dates"
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return ""
    known = column.dropna()
    classes = known.astype(str).nunique()
    if len(known) and classes > len(known) / 2 and isinstance(known.iloc[0], str):
        return "has a different text in most rows"
    return ""


def read_label(
    name: str, values: pd.Series, *, discrete: Discrete, clip_sigma: float | None, seed: int
) -> Column:
    """Make a label ready; its jitter depends on its name, not on which others are measured."""
    stream = (seed, 1, zlib.crc32(name.encode()))
    return read_column(name, values, discrete=discrete, clip_sigma=clip_sigma, stream=stream)
