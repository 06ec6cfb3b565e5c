"""Rows that show the same star: which they are, by which column, and draws of one row per star."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents, aligned
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning, shortened
from latentscope.tables import ID_COLUMNS, STAR_COLUMNS, star_name, without_mask

Indices = NDArray[np.int64]
GroupsLike = ArrayLike | pd.Series | str | None
"""Names of stars, the column that holds them, "auto" (`star`, else `object`), or "none"."""

FEWEST_STARS = 20
"""With fewer stars, the column that names them is taken only if it is asked for."""

_COPIES = 0.01  # share of rows that are copies of another from which they count as groups
_CLOSE = 1e-6
_LOOKED_AT = 300
_SORTED = 8
_ALIKE = 10  # groups that change places: among fewer, shuffles would hardly differ
_REPEATED_COLUMNS = (*STAR_COLUMNS, "star_id", "object_id", "source_id", "gaia_id", *ID_COLUMNS)
"""Columns in which a repeated value means rows that are not independent."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Which group, such as a star, each of n rows belongs to.

    `codes` (n,) are 0, 1, ...; a row without a name is a group of its own. `order` (n,) has the
    rows sorted by group; `column` names the groups, empty where an array does.
    """

    codes: Indices
    order: Indices
    column: str = ""

    @property
    def repeated(self) -> int:
        """Number of rows beyond the first of each group."""
        return len(self.codes) - int(self.codes.max(initial=-1)) - 1

    def count(self, keep: NDArray[np.bool_]) -> int:
        """Count the groups among the rows kept."""
        return int(np.count_nonzero(np.bincount(self.codes[keep])))

    @cached_property
    def _starts(self) -> Indices:
        ordered = self.codes[self.order]
        return np.searchsorted(ordered, np.arange(len(ordered) + 1))

    def rows_of(self, code: int) -> Indices:
        """Rows of a group, ascending."""
        return self.order[self._starts[code] : self._starts[code + 1]]

    def take(self, rows: Indices) -> Groups:
        """Return the groups of some rows, numbered anew."""
        codes = np.asarray(pd.factorize(self.codes[rows])[0], dtype=np.int64)
        return Groups(codes, np.argsort(codes, kind="stable"), self.column)

    def draws(self, keep: NDArray[np.bool_], number: int, rng: np.random.Generator) -> Draws:
        """Draw one random kept row of each group, `number` times; once where no group has two."""
        rows = self.order[keep[self.order]]
        start = np.flatnonzero(np.diff(self.codes[rows], prepend=-1))
        size = np.diff(np.append(start, len(rows)))
        if size.max(initial=1) == 1:
            number = 1
        return Draws(rows, start, size, rng.random((number, len(size))))


@dataclass(frozen=True)
class Draws:
    """Random rows of groups, which can change places.

    `kept` (n,) has rows sorted by group; `start` and `size` (groups,) say where each group's rows
    begin in it and how many they are; `lots` (draws, groups) which of its rows each group shows, as
    a share of its size.
    """

    kept: Indices
    start: Indices
    size: Indices
    lots: NDArray[np.float64]

    @property
    def rows(self) -> Indices:
        """The row of each group in each draw, shape (draws, groups)."""
        return self.rows_of(np.arange(len(self.size)))

    def rows_of(self, groups: Indices) -> Indices:
        """Rows that other groups show by the lots of these, shape (groups,) -> (draws, groups).

        With lots of their own, draws of groups that changed places would be less alike than draws
        of groups in their places, and their median would scatter less.
        """
        return self.kept[self.start[groups] + (self.lots * self.size[groups]).astype(np.int64)]

    @cached_property
    def alike(self) -> tuple[Indices, ...]:
        """Groups of about the same number of rows, 10 or more together, which change places."""
        by_size = np.argsort(self.size, kind="stable")
        bounds, ascending = [0], self.size[by_size]
        for change in np.flatnonzero(np.diff(ascending)) + 1:
            if change - bounds[-1] >= _ALIKE and len(by_size) - change >= _ALIKE:
                bounds.append(int(change))
        return tuple(np.split(by_size, bounds[1:]))

    def shuffled(self, rng: np.random.Generator) -> Indices:
        """Rows of groups that changed places with others of about their size, (draws, groups)."""
        moved = np.empty(len(self.size), dtype=np.int64)
        for groups in self.alike:
            moved[groups] = rng.permutation(groups)
        return self.rows_of(moved)


def unnamed(values: ArrayLike | pd.Series) -> NDArray[np.bool_]:
    """Which of n names are missing: NaN, None or empty text, shape (n,)."""
    series = pd.Series(without_mask(values), dtype=object)
    missing: NDArray[np.bool_] = (series.isna() | (series.astype(str).str.strip() == "")).to_numpy()
    return missing


def plain_name(name: Any, column: str | None) -> Any:
    """Return one spelling for all of a name in a column; anything else than text unchanged.

    Of stars that is `star_name`, in other columns the text without spaces and case.
    """
    if not isinstance(name, str):
        return name
    return star_name(name) if column in STAR_COLUMNS else "".join(name.split()).casefold()


def _spelled(names: NDArray[np.object_], column: str) -> str:
    """Say that some names are spelled in several ways; empty if none are."""
    different = pd.Series(pd.unique(names[~unnamed(names)]), dtype=object)
    plain = different.map(lambda name: plain_name(name, column))
    again = plain[plain.duplicated(keep=False)]
    if not len(again):
        return ""
    first = different[plain == again.iloc[0]]
    return f"names that differ in their spelling are one star: {shortened(map(str, first))}"


def read_groups(values: ArrayLike | pd.Series, n: int, column: str | None = None) -> Groups:
    """Make groups of n names of a column; missing ones (NaN, None, "") make groups of one row.

    Names that differ in their spelling alone, HD 10700 and hd10700, are the same. An
    EstimatorError if there is not one name per row.
    """
    series = pd.Series(without_mask(values), dtype=object)
    if len(series) != n:
        raise EstimatorError(f"groups has {len(series)} values for {n} rows; expected one per row")
    spelled, names = pd.factorize(series.where(~unnamed(series), None))
    plain = pd.Series([plain_name(name, column) for name in names], dtype=object)
    # Rows without a name have the code -1, and so the last place.
    codes = np.append(pd.factorize(plain)[0], -1).astype(np.int64)[spelled]
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(int(alone.sum()))
    return Groups(codes, np.argsort(codes, kind="stable"))


def identical_rows(values: NDArray[np.floating], ok: NDArray[np.bool_]) -> Groups | None:
    """Put rows of the same values into one group, as copies of a file give them.

    Of values (n, d) the rows `ok` (n,) count. Values may differ by a millionth of their spread, as
    networks make them in other batches. None where less than 1 % of the rows are copies, or values
    are rounded.
    """
    rows = np.flatnonzero(ok)
    if len(rows) < 2:
        return None
    sample = values[rows[:: max(1, len(rows) // _LOOKED_AT)]].astype(np.float64)
    # The dimensions with most different values come first.
    different = np.count_nonzero(np.diff(np.sort(sample, axis=0), axis=0), axis=0)
    dims, varying = np.argsort(-different, kind="stable"), int(np.count_nonzero(different))
    if not varying:
        return None
    close = _CLOSE * sample.std(axis=0) * (varying > 1)
    first = values[rows, dims[0]].astype(np.float64)
    order = np.argsort(first)
    near = np.diff(first[order]) <= close[dims[0]]
    if np.count_nonzero(near) < _COPIES * len(rows):
        return None
    run = np.append(0, np.cumsum(~near))
    candidates = np.flatnonzero(np.append(near, False) | np.append(False, near))
    places, run = order[candidates], run[candidates]
    sorting = [values[rows[places], dim] for dim in dims[1:_SORTED]]
    by = np.lexsort([*sorting[::-1], run])
    same, ordered = np.diff(run[by]) == 0, rows[places[by]]
    for dim in dims[1:]:
        same &= np.abs(np.diff(values[ordered, dim].astype(np.float64))) <= close[dim]
        if np.count_nonzero(same) < _COPIES * len(rows):
            return None
    codes = np.arange(len(values))
    leader = np.maximum.accumulate(np.where(np.append(False, same), 0, np.arange(len(by))))
    codes[ordered] = ordered[leader]
    # All dimensions together would have no ties.
    widest = dims[: 2 if varying > 2 else 1]
    if _rounded(values[np.unique(codes[rows])][:, widest], varying):
        return None
    codes = np.asarray(pd.factorize(codes)[0], dtype=np.int64)
    return Groups(codes, np.argsort(codes, kind="stable"))


def _rounded(values: NDArray[np.floating], dims: int) -> bool:
    """Whether different rows have values of a grid in these columns, (n, 1 or 2), of `dims`."""
    if dims == 1:
        scaled = values.astype(np.float64) * 1e4
        whole = np.abs(scaled - np.round(scaled)) <= 1e-6 * np.abs(scaled) + 1e-6
        return values.dtype.itemsize < 4 or bool(whole.all())
    order = np.lexsort(values.T)
    ties = (np.diff(values[order], axis=0) == 0).all(axis=1)
    return bool(ties.mean() > 0.2)


def star_names(
    column: str, latents: Latents, labels: pd.DataFrame | None
) -> NDArray[np.object_] | None:
    """Names in a column of the sidecar, row by row filled from the labels' column of that name.

    What `star` then still lacks is filled from `object`. None where neither table has the column.
    """
    tables = [table for table in (latents.table, labels) if table is not None]
    if not any(column in table for table in tables):
        return None
    names = pd.Series([None] * len(latents), dtype=object)
    for name in STAR_COLUMNS if column == "star" else (column,):
        for table in [table for table in tables if name in table]:
            filling = table[name].astype(object).reset_index(drop=True)
            names = names.where(~unnamed(names), filling)
    return names.to_numpy(dtype=object)


def known_stars(latents: Latents) -> NDArray[np.object_] | None:
    """Star of each row by the sidecar, `star` filled from `object`; None where it has neither."""
    column = next((name for name in STAR_COLUMNS if latents.column(name) is not None), None)
    return None if column is None else star_names(column, latents, None)


def find_groups(
    groups: GroupsLike, latents: Latents, labels: pd.DataFrame | None = None
) -> tuple[Groups | None, str]:
    """Find which rows show the same star; and say in words what "auto" found.

    `groups` are names (n,); or the column of the sidecar or the labels that holds them; "auto":
    `star`, else `object`, if it names 20 stars or more, some of them in several rows, else rows of
    identical latents; None or "none": rows are independent.

    Raises
    ------
    ChoiceError
        If there is no such column.
    EstimatorError
        If no row with latents has a name.

    Warns
    -----
    LatentscopeWarning
        If rows with latents have no name; and with "auto", if rows are copies of others, or repeat
        a star or an id though no column can be taken.
    """
    if groups is None or (isinstance(groups, str) and groups == "none"):
        return None, ""
    if not isinstance(groups, str):
        if latents.index is not None and isinstance(groups, pd.Series):
            index = pd.Series(np.arange(len(latents)), index=latents.index)
            _, groups = aligned(index, groups, (latents.source, "groups"))
        found = read_groups(groups, len(latents))
        _check_names(unnamed(groups)[latents.ok], "array")
        return found, ""
    if groups == "auto":
        return _automatic(latents, labels)
    names = star_names(groups, latents, labels)
    if names is None:
        sidecar = () if latents.table is None else tuple(latents.table.columns)
        columns = "" if labels is None else f", the labels have {', '.join(labels.columns)}"
        raise ChoiceError(
            f"groups: no column {groups!r}; the latents' table has "
            f"{', '.join(map(str, sidecar)) or 'none'}{columns}"
        )
    _check_names(unnamed(names)[latents.ok], f"column {groups!r}")
    found = read_groups(names, len(latents), groups)
    return replace(found, column=groups), _spelled(names, groups)


def _automatic(latents: Latents, labels: pd.DataFrame | None) -> tuple[Groups | None, str]:
    """Take the column `star`, else `object`, where rows repeat what it names."""
    tables = [table for table in (latents.table, labels) if table is not None]
    for column in STAR_COLUMNS:
        # An archive may write the column and leave it empty.
        if all(column not in table or unnamed(table[column]).all() for table in tables):
            continue
        names = star_names(column, latents, labels)
        assert names is not None
        found, rows = read_groups(names, len(latents), column), int(latents.ok.sum())
        stars = found.count(latents.ok)
        if stars == rows:
            break
        if stars < FEWEST_STARS:
            note = (
                f"the {rows:,} rows show {stars} star{'s' * (stars > 1)} only, by column {column}, "
                "too few to be taken for independent, so rows are, and significance is overstated; "
                f"groups={column!r} (--groups {column}) takes stars all the same"
            )
            warnings.warn(note, LatentscopeWarning, stacklevel=5)
            return None, note
        _check_names(unnamed(names)[latents.ok], f"column {column!r}", frames=6)
        note = (
            f"rows of one star, by column {column}, count as one: {stars:,} stars in {rows:,} rows"
        )
        note = "; ".join(filter(None, (note, _spelled(names, column))))
        return replace(found, column=column), note
    copies = identical_rows(latents.values, latents.ok)
    if copies is not None and copies.count(latents.ok) >= FEWEST_STARS:
        rows, different = int(latents.ok.sum()), copies.count(latents.ok)
        note = (
            f"{rows - different:,} of {rows:,} rows of latents are copies of another: rows of the "
            f"same values count as one ({different:,} groups)"
        )
        warnings.warn(
            f"{latents.source}: {note}; groups='none' (--groups none) takes them for independent",
            LatentscopeWarning,
            stacklevel=5,
        )
        return copies, note
    _warn_of_repeats(latents, tables)
    return None, ""


def _check_names(missing: NDArray[np.bool_], what: str, frames: int = 5) -> None:
    """Warn the caller, so many frames up, of rows without a name; refuse where all lack one."""
    count, n = int(missing.sum()), len(missing)
    if n and count == n:
        raise EstimatorError(
            f"groups: the {what} names none of {n:,} rows with latents; expected the star of each"
        )
    if count:
        warnings.warn(
            f"groups: {count:,} of {n:,} rows with latents have no name in the {what}, and each "
            "is taken for a star of its own; if they repeat stars, values and significance are "
            "too high",
            LatentscopeWarning,
            stacklevel=frames,
        )


def _warn_of_repeats(latents: Latents, tables: Sequence[pd.DataFrame]) -> None:
    columns = ((table, name) for table in tables for name in _REPEATED_COLUMNS if name in table)
    for table, name in columns:
        names = table[name].to_numpy(dtype=object)[latents.ok]
        repeated = read_groups(names, len(names), name).repeated
        if repeated:
            warnings.warn(
                f"{repeated:,} of {len(names):,} rows repeat a value of {name!r}, so rows are not "
                "independent: a label that is constant for a star then seems to share 0.3 nats and "
                "more at 3 exposures per star, 1 and more at 10, with whatever tells stars apart, "
                f"and p-values call it significant; pass groups={name!r} (--groups {name})",
                LatentscopeWarning,
                stacklevel=6,
            )
            return
