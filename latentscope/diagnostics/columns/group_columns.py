"""Which column says what star each row shows, and a word where none was named but rows repeat."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents
from latentscope.diagnostics.columns.groups import Groups, read_groups, unnamed
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning
from latentscope.tables import ID_COLUMNS, STAR_COLUMNS

_WHAT_ROWS_SHOW = (*STAR_COLUMNS, "star_id", "object_id", "source_id", "gaia_id", *ID_COLUMNS)
"""Columns in which a repeated value means rows that are not independent."""


def groups_of(
    groups: ArrayLike | pd.Series | str | None, latents: Latents, frame: pd.DataFrame
) -> Groups | None:
    """Make groups of an array, or of the column of a name.

    Names that the sidecar's column lacks are taken from the label table's column of that name, and
    what `star` then still lacks from `object`.

    Parameters
    ----------
    groups : array (n,), str or None
        None gives None.
    latents : Latents of n rows
        With their sidecar table.
    frame : DataFrame of n rows
        The labels.

    Raises
    ------
    ChoiceError
        If there is no such column.
    EstimatorError
        If no row with latents has a name.

    Warns
    -----
    LatentscopeWarning
        If rows repeat a star and no groups are given, and if rows with latents have no name.
    """
    if groups is None:
        _warn_of_repeats(latents, frame)
        return None
    what = f"column {groups!r}" if isinstance(groups, str) else "array"
    names = _named(groups, latents, frame) if isinstance(groups, str) else groups
    found = read_groups(names, len(latents))
    _check_names(unnamed(names)[latents.ok], what)
    return found


def _named(name: str, latents: Latents, frame: pd.DataFrame) -> NDArray[np.object_]:
    tables = [table for table in (latents.table, frame) if table is not None]
    if not any(name in table for table in tables):
        sidecar = [] if latents.table is None else list(latents.table.columns)
        raise ChoiceError(
            f"groups: no column {name!r}; the latents' table has {', '.join(sidecar) or 'none'}, "
            f"the labels have {', '.join(frame.columns)}"
        )
    names = pd.Series([None] * len(latents), dtype=object)
    for column in STAR_COLUMNS if name == "star" else (name,):
        for table in [table for table in tables if column in table]:
            filling = table[column].astype(object).reset_index(drop=True)
            names = names.where(~unnamed(names), filling)
    return names.to_numpy(dtype=object)


def _check_names(missing: NDArray[np.bool_], what: str) -> None:
    count, n = int(missing.sum()), len(missing)
    if n and count == n:
        raise EstimatorError(
            f"groups: the {what} names none of {n:,} rows with latents; wanted the star of each"
        )
    if count:
        warnings.warn(
            f"groups: {count:,} of {n:,} rows with latents have no name in the {what}, and each "
            "is taken for a star of its own; if they repeat stars, values and significance are "
            "too high",
            LatentscopeWarning,
            stacklevel=4,
        )


def _warn_of_repeats(latents: Latents, frame: pd.DataFrame) -> None:
    for table in (latents.table, frame):
        names = [] if table is None else [str(name) for name in table.columns]
        for name in [name for name in _WHAT_ROWS_SHOW if name in names]:
            assert table is not None
            rows = read_groups(table[name], len(latents))
            repeated = rows.repeated
            if repeated:
                warnings.warn(
                    f"{repeated:,} of {len(latents):,} rows repeat a value of {name!r}, so rows "
                    "are not independent: a label that is constant for a star then seems to share "
                    "0.3 nats and more at 3 exposures a star, 1 and more at 10, with whatever "
                    "tells stars apart, and p-values call it significant; pass "
                    f"groups={name!r} (--groups {name})",
                    LatentscopeWarning,
                    stacklevel=4,
                )
                return
