"""What is shown beside a match: what names it, and its labels."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from latentscope.data import Latents
from latentscope.diagnostics.mi.columns import check_known
from latentscope.tables import STAR_COLUMNS, is_id_column

NAMES = ("id", *STAR_COLUMNS[::-1], "file")
"""Columns of the sidecar that name a row, in the order in which they are shown."""

_OF_RESULT = (
    "query", "rank", "row", "distance", "percentile", "agree", "differ",
    "left_out", "matches", "error", *NAMES,
)  # fmt: skip


def names_shown(latents: Latents) -> pd.DataFrame:
    """Columns of the sidecar that name rows, row by row."""
    table = latents.table
    if table is None:
        return pd.DataFrame(index=range(len(latents)))
    names = [name for name in NAMES if name in table]
    return table[names].reset_index(drop=True)


def labels_shown(
    labels: pd.DataFrame | None, columns: Sequence[str] | None, n: int
) -> pd.DataFrame:
    """Choose the labels, row by row.

    Parameters
    ----------
    labels : DataFrame of n rows, optional
    columns : list of str, optional
        Those asked for; by default all but ids and names of stars.
    n : int

    Returns
    -------
    DataFrame of n rows
        A label that has the name of a column of results has " (label)" after it.

    Raises
    ------
    ChoiceError
        If a column asked for is not there.
    """
    if labels is None:
        return pd.DataFrame(index=range(n))
    if columns is None:
        names = [str(name) for name in labels.columns]
        columns = [name for name in names if not is_id_column(name) and name not in STAR_COLUMNS]
    check_known(labels, columns)
    renamed = {name: f"{name} (label)" for name in columns if name in _OF_RESULT}
    return labels[list(columns)].rename(columns=renamed).reset_index(drop=True)
