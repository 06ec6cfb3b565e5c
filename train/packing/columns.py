"""Columns of a packed archive's table, and how they are stored as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COLUMNS = {
    "file": "absolute path of the file",
    "id": "file name without folders and suffixes",
    "star": "the star, as the header has it",
    "object": "target name in the header",
    "archive_id": "id of the file in its archive",
    "frame": "frame of the row's wavelengths",
    "berv": "barycentric correction, km/s",
    "rv": "radial velocity in the header, km/s",
    "airmass": "airmass",
    "snr": "signal-to-noise ratio in the header",
    "median": "median flux, what the flux was divided by, in the file's unit",
    "coverage": "fraction of the grid outside gaps that the spectrum fills",
    "status": "ok, failed or degenerate",
    "error": "why there is no row",
    "assumed": "what the file does not say and was assumed",
    "row": "number of the row in `rows` and `valid`; -1: none",
    "size": "bytes of the file",
    "mtime_ns": "time of the file's last change, ns",
}
"""Columns of the table, and what they mean; labels follow them."""

NUMBERS = ("berv", "rv", "airmass", "snr", "median", "coverage")
INTEGERS = ("row", "size", "mtime_ns")


def node_name(column: str) -> str:
    """Name of a column's array; a slash would make it a group."""
    return column.replace("%", "%25").replace("/", "%2F")


def as_series(values: NDArray[Any], column: str) -> pd.Series:
    """Return a stored column; a label without text is missing."""
    if values.dtype.kind in "if":
        return pd.Series(values)
    text = pd.Series(values.astype(object), dtype=object)
    return text if column in COLUMNS else text.where(text != "", np.nan)


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with `COLUMNS` of text, float64 and int64; labels stay as they are."""
    kinds = dict.fromkeys(COLUMNS, "object")
    kinds |= dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(INTEGERS, "int64")
    return table.astype(kinds)


def as_array(column: pd.Series) -> NDArray[Any]:
    """Return a column as an array that Zarr knows: int64, float64 or text ("" where missing)."""
    if column.name in INTEGERS:
        return column.to_numpy(np.int64)
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return column.to_numpy(np.float64, na_value=np.nan)
    filled = column.astype(object).where(column.notna(), "")
    return np.array([str(value) for value in filled], dtype=np.dtypes.StringDType())
