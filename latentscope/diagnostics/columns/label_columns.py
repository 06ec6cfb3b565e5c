"""Which columns of a label table are labels, and each made ready as one."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Sequence

import pandas as pd

from latentscope.diagnostics.columns.column import FEW_VALUES, Column, Discrete, read_column
from latentscope.diagnostics.wording import shortened
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning
from latentscope.tables import STAR_COLUMNS, is_id_column

_NOT_LABELS = (*STAR_COLUMNS, "status", "error")
_TIMES = {
    **dict.fromkeys(("datetime64", "datetime", "date", "time", "period"), "holds dates"),
    **dict.fromkeys(("timedelta64", "timedelta"), "holds durations"),
}
_MANY_TEXTS = "has a different text in most rows"


def choose_labels(
    frame: pd.DataFrame, columns: Sequence[str] | None, groups: str | None
) -> tuple[list[str], list[str]]:
    """Choose the columns of a table that are labels.

    Parameters
    ----------
    frame : DataFrame
        Label table.
    columns : list of str or None
        Those asked for; None leaves out ids, names of stars, the column of groups, dates,
        durations, and text with more classes than half its rows.
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
        If a column asked for is not there or holds complex numbers, or none is left.

    Warns
    -----
    LatentscopeWarning
        If most of a text column are numbers: some of its cells are not, or have decimal commas.
    """
    if columns is not None:
        check_known(frame, columns)
        if not columns:
            raise EstimatorError(f"columns is empty; wanted some of {', '.join(frame.columns)}")
        asked = list(dict.fromkeys(columns))
        _check_complex(frame, asked)
        _warn_of_numbers(frame, asked)
        return asked, []
    reasons = {name: _no_label(frame[name], groups) for name in frame.columns}
    names = [name for name, reason in reasons.items() if not reason]
    notes = [
        f"left out, since it {reason}: "
        f"{shortened(str(name) for name, why in reasons.items() if why == reason)}"
        for reason in dict.fromkeys(reasons.values())
        if reason
    ]
    _check_complex(frame, names)
    _warn_of_numbers(frame, [name for name, why in reasons.items() if why in ("", _MANY_TEXTS)])
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
    kind = pd.api.types.infer_dtype(column)
    if kind in _TIMES:
        return _TIMES[kind]
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return ""
    known = column.dropna()
    classes = known.astype(str).nunique()
    if len(known) and classes > len(known) / 2 and isinstance(known.iloc[0], str):
        return _MANY_TEXTS
    return ""


def _check_complex(frame: pd.DataFrame, names: Sequence[str]) -> None:
    found = [name for name in names if pd.api.types.infer_dtype(frame[name]) == "complex"]
    if found:
        raise EstimatorError(
            f"{shortened(found)}: complex numbers; wanted real ones, such as their real and "
            "imaginary parts in a column each"
        )


def _warn_of_numbers(frame: pd.DataFrame, names: Sequence[str]) -> None:
    seen = [numbers_in_text(name, frame[name]) for name in names]
    for advice in dict.fromkeys(advice for _, advice in seen if advice):
        said = [what for what, why in seen if why == advice]
        warnings.warn(
            f"{shortened(said)}, so {'it is' if len(said) == 1 else 'they are'} taken for classes "
            f"(or left out); {advice}",
            LatentscopeWarning,
            stacklevel=4,
        )


def numbers_in_text(name: str, column: pd.Series) -> tuple[str, str]:
    """Say how many values of a text column are numbers and what to do; empty where few are.

    Numbers with a decimal comma count. Text that is numbers throughout is told only where it has
    so many values that numbers would not be taken for classes.
    """
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.infer_dtype(column) == "boolean":
        return "", ""
    text = column.dropna().astype(str)
    plain = pd.to_numeric(text, errors="coerce").notna()
    commas = ~plain & pd.to_numeric(text.str.replace(",", "."), errors="coerce").notna()
    count, n = int((plain | commas).sum()), len(text)
    if count <= n / 2:
        return "", ""
    said = f"{name}: {count:,} of {n:,} values are numbers"
    if commas.any():
        return f"{said}, some like {text[commas].iloc[0]}", "wanted a decimal point, not a comma"
    if count < n:
        other = text[~plain].iloc[0]
        return f"{said}, others are text such as {other!r}", "make these empty"
    if text.nunique() <= FEW_VALUES[-1][0]:
        return "", ""
    return f"{said} written as text", "make them numbers"


def read_label(
    name: str, values: pd.Series, *, discrete: Discrete, clip_sigma: float | None, seed: int
) -> Column:
    """Make a label ready; its jitter depends on its name, not on which others are measured."""
    stream = (seed, 1, zlib.crc32(name.encode()))
    return read_column(name, values, discrete=discrete, clip_sigma=clip_sigma, stream=stream)
