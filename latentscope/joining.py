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
        if not pairings and table is not None:
            _warn_of_unused_ids(table, labels, sources)
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
    same = [(a, b) for a in left for b in right if is_id_column(a) and a.lower() == b.lower()]
    of_files = [[name for name in names if _names_files(name)] for names in (left, right)]
    return same + [(a, b) for a in of_files[0] for b in of_files[1] if (a, b) not in same]


def _names_files(column: str) -> bool:
    return column.lower() in ID_COLUMNS


def _forced(
    left: list[str], right: list[str], join: str, sources: tuple[str, str]
) -> list[tuple[str, str]]:
    if join not in right:
        raise TableError(
            f"{sources[1]}: has no column {join!r} to join on; it has {', '.join(right)}"
        )
    same = [name for name in left if name.lower() == join.lower()]
    if same:
        return [(join if join in same else same[0], join)]
    kind = STAR_COLUMNS if join.lower() in STAR_COLUMNS else ID_COLUMNS
    known = [name for name in left if name.lower() in kind]
    if not known:
        raise TableError(
            f"{sources[0]}: has no column {join!r}, nor any of {', '.join(kind)}, to join "
            f"{sources[1]} on; it has {', '.join(left) or 'no sidecar table'}"
        )
    return [(name, join) for name in known]


def _pairing(table: pd.DataFrame, labels: pd.DataFrame, left: str, right: str) -> _Pairing:
    files = _names_files(left) or _names_files(right)
    wanted, keys = row_keys(table[left], files=files), row_keys(labels[right], files=files)
    known = keys.dropna()
    repeated = sorted(set(known[known.duplicated()]))
    lookup = known.drop_duplicates()
    rows = wanted.map(pd.Series(lookup.index, index=lookup.to_numpy()))
    return _Pairing(left, right, rows.fillna(-1).astype(np.int64), repeated)


def row_keys(column: pd.Series, *, files: bool) -> pd.Series:
    """Return ids as text that compares equal for the same row, NaN where missing.

    Whole numbers lose their point (7.0 is 7), and with `files` names lose folders and suffixes.
    """
    return column.reset_index(drop=True).map(_file_key if files else _key, na_action="ignore")


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


def warn_of_order(latents: pd.Index | None, labels: pd.Index, sources: tuple[str, str]) -> None:
    """Warn where tables taken row by row have indexes of the same values in another order."""
    if latents is None or len(latents) != len(labels) or latents.equals(labels):
        return
    if set(latents) == set(labels):
        warnings.warn(
            f"{sources[0]} and {sources[1]} are taken row by row, though their indexes have the "
            "same values in another order; to match them make the index a column id of both, else "
            "reset_index(drop=True)",
            LatentscopeWarning,
            stacklevel=4,
        )


def _warn_of_unused_ids(
    table: pd.DataFrame, labels: pd.DataFrame, sources: tuple[str, str]
) -> None:
    ids = [str(name) for name in table.columns if is_id_column(str(name))]
    similar = [str(name) for name in labels.columns if _looks_like_ids(labels[name])]
    if ids and similar:
        warnings.warn(
            f"{sources[1]} has no id column and is taken row by row, though {sources[0]} has ids "
            f"({', '.join(ids)}) and {', '.join(similar)} names each row; to match them pass "
            f"join={similar[0]!r} (--join {similar[0]}), or call that column id",
            LatentscopeWarning,
            stacklevel=4,
        )


def _looks_like_ids(column: pd.Series) -> bool:
    known = column.dropna()
    return len(known) > 1 and known.is_unique and all(isinstance(value, str) for value in known)


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
