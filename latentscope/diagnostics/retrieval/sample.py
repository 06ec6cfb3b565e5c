"""The rows of a sample: which star each shows, and which ones a name means."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents, row_keys
from latentscope.diagnostics.columns.group_columns import groups_of
from latentscope.diagnostics.columns.groups import Groups, read_groups, unnamed
from latentscope.errors import ChoiceError
from latentscope.tables import STAR_COLUMNS

Rows = NDArray[np.int64]

_NAMES = ("id", "archive_id")
"""Columns of the sidecar that name an exposure."""


@dataclass(frozen=True, eq=False)
class Stars:
    """Which star each row shows.

    Parameters
    ----------
    groups : Groups
        Of n rows; a row whose star is not known is a star of its own.
    column : str or None
        Sidecar column that says so for other latents too; None where there is none.
    known : bool
        Whether any row has a name.
    codes : dict
        Code of each name, as text.
    """

    groups: Groups
    column: str | None
    known: bool
    codes: dict[str, int] = field(default_factory=dict)

    @cached_property
    def _starts(self) -> Rows:
        ordered = self.groups.codes[self.groups.order]
        return np.searchsorted(ordered, np.arange(len(ordered) + 1))

    def rows_of(self, code: int) -> Rows:
        """Rows of a star, ascending."""
        return self.groups.order[self._starts[code] : self._starts[code + 1]]

    def code_of(self, name: Any) -> int:
        """Return the code of a name, -1 where no row has it."""
        return self.codes.get(str(name).strip(), -1)

    def names_in(self, latents: Latents) -> NDArray[np.object_] | None:
        """Names that other latents give to their rows; None where they cannot be compared."""
        if self.column in STAR_COLUMNS[:1]:
            return latents.groups
        return None if self.column is None else latents.column(self.column)


def read_stars(
    groups: ArrayLike | pd.Series | str | None, latents: Latents, labels: pd.DataFrame | None
) -> Stars:
    """Read which star each row shows.

    Parameters
    ----------
    groups : array (n,), str or None
        Names, the column of the sidecar or of the labels that has them, or `star`, filled from
        `object`, of the sidecar, if it has them.
    latents : Latents of n rows
    labels : DataFrame of n rows, optional

    Raises
    ------
    ChoiceError, EstimatorError
        As `groups_of` does.
    """
    if groups is None:
        names = latents.groups
        if names is None or unnamed(names).all():
            alone = np.arange(len(latents))
            return Stars(Groups(alone, alone), STAR_COLUMNS[0], known=False)
        return _named(read_groups(names, len(latents)), names, STAR_COLUMNS[0])
    frame = pd.DataFrame(index=range(len(latents))) if labels is None else labels
    found = groups_of(groups, latents, frame)
    assert found is not None
    if not isinstance(groups, str):
        return _named(found, np.asarray(groups, dtype=object), None)
    return _named(found, _names_of(groups, latents, frame), groups)


def _names_of(column: str, latents: Latents, frame: pd.DataFrame) -> NDArray[np.object_]:
    """Names of the sidecar, and where it has none those of the labels."""
    names: NDArray[np.object_] = np.full(len(latents), None, dtype=object)
    of_table = latents.groups if column == STAR_COLUMNS[0] else latents.column(column)
    of_labels = frame[column].to_numpy(dtype=object) if column in frame else None
    for more in (of_table, of_labels):
        if more is not None:
            names = np.where(unnamed(names), more, names)
    return names


def _named(groups: Groups, names: NDArray[np.object_], column: str | None) -> Stars:
    known = np.flatnonzero(~unnamed(names))
    _, first = np.unique(groups.codes[known], return_index=True)
    codes = {str(names[row]).strip(): int(groups.codes[row]) for row in known[first]}
    return Stars(groups, column, True, codes)


class RowNames:
    """Rows by the names of their exposures.

    Parameters
    ----------
    latents : Latents
    """

    def __init__(self, latents: Latents) -> None:
        self._latents = latents

    @cached_property
    def _rows(self) -> list[tuple[str, dict[str, Rows]]]:
        """Rows of each name, for each column of names."""
        return [
            (name, {str(key): np.asarray(rows) for key, rows in keys.groupby(keys).indices.items()})
            for name, keys in exposure_names(self._latents)
        ]

    def find(self, name: str) -> int:
        """Return the row of a name: an id with or without its suffix, or an archive id.

        Raises
        ------
        ChoiceError
            If no row has the name, or several have.
        """
        key = str(row_keys(pd.Series([name]), files=True)[0])
        found = [rows[key] for _, rows in self._rows if key in rows]
        if not found:
            columns = ", ".join(column for column, _ in self._rows)
            where = f"the column {columns}" if columns else "a table of ids, which it does not have"
            raise ChoiceError(
                f"{self._latents.source}: no row is named {name!r}; wanted a value of {where}, or "
                "the number of a row"
            )
        if len(found[0]) > 1:
            shown = ", ".join(map(str, found[0][:5]))
            raise ChoiceError(
                f"{self._latents.source}: {len(found[0])} rows are named {name!r} ({shown}); ask "
                "for one of them by its number"
            )
        return int(found[0][0])

    def same_exposure(self, others: Latents) -> list[Rows]:
        """Rows of the sample that show the exposure of each row of other latents."""
        found: list[list[Rows]] = [[np.empty(0, dtype=np.int64)] for _ in range(len(others))]
        names = dict(exposure_names(others))
        for column, rows in self._rows:
            for place, key in enumerate(names.get(column, ())):
                if isinstance(key, str) and key in rows:
                    found[place].append(rows[key])
        return [np.unique(np.concatenate(rows)).astype(np.int64) for rows in found]


def exposure_names(latents: Latents) -> list[tuple[str, pd.Series]]:
    """Columns that name exposures, as text that compares equal for the same one."""
    if latents.table is None:
        return []
    return [
        (name, row_keys(latents.table[name], files=True))
        for name in _NAMES
        if name in latents.table
    ]
