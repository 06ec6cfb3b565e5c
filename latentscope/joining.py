"""Which row of a label table belongs to which row of latents."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from latentscope.errors import LatentscopeWarning, TableError
from latentscope.tables import ID_COLUMNS, STAR_COLUMNS, file_id, is_id_column

_SHOWN = 5


@dataclass(frozen=True)
class _Pairing:
    """A column of the sidecar matched against a column of the labels."""

    left: str
    right: str
    rows: pd.Series
    repeated: list[str]

    @property
    def matched(self) -> int:
        return int((self.rows >= 0).sum())


def match_rows(
    table: pd.DataFrame | None,
    labels: pd.DataFrame,
    n: int,
    join: str | None,
    sources: tuple[str, str],
) -> pd.Series | None:
    """Return for each row of latents the row of its label, -1 for none; None for row order.

    Parameters
    ----------
    table : DataFrame of n rows or None
        The latents' sidecar.
    labels : DataFrame
        The label table.
    n : int
        Number of rows of latents.
    join : str or None
        A column that must be joined on.
    sources : (str, str)
        What messages call the latents and the labels.

    Raises
    ------
    TableError
        As `latentscope.latents.align` says.
    """
    pairings = [
        _pairing(table, labels, left, right)
        for left, right in _candidates(table, labels, join, sources)
        if table is not None
    ]
    if not any(pairing.matched for pairing in pairings):
        _check_row_order(pairings, labels, n, join, sources)
        return None
    best = max(pairings, key=lambda pairing: (pairing.matched, not pairing.repeated))
    return _checked(best, n, sources)


def _candidates(
    table: pd.DataFrame | None, labels: pd.DataFrame, join: str | None, sources: tuple[str, str]
) -> list[tuple[str, str]]:
    left = [] if table is None else [str(name) for name in table.columns]
    right = [str(name) for name in labels.columns]
    if join is not None:
        return _forced(left, right, join, sources)
    shared = [(name, name) for name in left if name in right and is_id_column(name)]
    named = [(a, b) for a in ID_COLUMNS for b in ID_COLUMNS if a in left and b in right]
    return shared + [pair for pair in named if pair not in shared]


def _forced(
    left: list[str], right: list[str], join: str, sources: tuple[str, str]
) -> list[tuple[str, str]]:
    if join not in right:
        raise TableError(
            f"{sources[1]}: has no column {join!r} to join on; it has {', '.join(right)}"
        )
    if join in left:
        return [(join, join)]
    kind = STAR_COLUMNS if join in STAR_COLUMNS else ID_COLUMNS
    known = [name for name in left if name in kind]
    if not known:
        raise TableError(
            f"{sources[0]}: has no column {join!r}, nor any of {', '.join(kind)}, to join "
            f"{sources[1]} on; it has {', '.join(left) or 'no sidecar table'}"
        )
    return [(name, join) for name in known]


def _pairing(table: pd.DataFrame, labels: pd.DataFrame, left: str, right: str) -> _Pairing:
    wanted, keys = row_keys(table[left]), row_keys(labels[right])
    known = keys.dropna()
    repeated = sorted(set(known[known.duplicated()]))
    lookup = known.drop_duplicates()
    rows = wanted.map(pd.Series(lookup.index, index=lookup.to_numpy()))
    return _Pairing(left, right, rows.fillna(-1).astype(np.int64), repeated)


def row_keys(column: pd.Series) -> pd.Series:
    """Return ids as text that compares equal for the same row, NaN where missing.

    Whole numbers lose their point (7.0 is 7), and file names their folders and suffixes.
    """
    column = column.reset_index(drop=True)
    return column.map(_file_key if column.name in ID_COLUMNS else _key, na_action="ignore")


def _key(value: object) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _file_key(value: object) -> str:
    return file_id(_key(value))


def _check_row_order(
    pairings: list[_Pairing],
    labels: pd.DataFrame,
    n: int,
    join: str | None,
    sources: tuple[str, str],
) -> None:
    tried = ", ".join(f"{pair.left} with {pair.right}" for pair in pairings)
    if join is not None:
        raise TableError(
            f"{sources[0]} and {sources[1]} have no id in common (tried {tried}); check that they "
            "describe the same spectra"
        )
    if len(labels) != n:
        reason = f"no id in common (tried {tried})" if pairings else "no id column in common"
        raise TableError(
            f"{sources[0]} has {n} rows and {sources[1]} has {len(labels)}, with {reason}; wanted "
            "equal lengths, or an id column on both sides, or a column to join on"
        )
    if pairings:
        warnings.warn(
            f"{sources[0]} and {sources[1]} have no id in common (tried {tried}), but {n} rows "
            "each: taken row by row",
            LatentscopeWarning,
            stacklevel=4,
        )


def _checked(pairing: _Pairing, n: int, sources: tuple[str, str]) -> pd.Series:
    if pairing.repeated:
        shown = ", ".join(pairing.repeated[:_SHOWN])
        more = len(pairing.repeated) - _SHOWN
        raise TableError(
            f"{sources[1]}: column {pairing.right} repeats {shown}"
            + (f" and {more} more" if more > 0 else "")
            + f"; wanted one row for each {pairing.right}"
        )
    missing = n - pairing.matched
    if missing:
        warnings.warn(
            f"{missing} of {n} rows of {sources[0]} have no label: their {pairing.left} is not "
            f"among the {pairing.right} of {sources[1]}",
            LatentscopeWarning,
            stacklevel=4,
        )
    return pairing.rows
