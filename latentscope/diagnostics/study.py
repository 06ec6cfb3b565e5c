"""What a diagnostic is about: latents, labels and stars, read and joined once for all of them.

First which rows show the same star, then the one reading (`Study`), then what all results share.
"""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import (
    LabelsLike,
    Latents,
    LatentsLike,
    aligned,
    bring_to_rows,
    check_order,
    read_labels,
    read_latents,
    rows_where,
)
from latentscope.diagnostics.mi.columns import Names, asked_kinds, is_text
from latentscope.diagnostics.threshold import (
    AS_GOOD_AS_CONSTANT,
    OF_WIDEST,
    SAID_BY,
    ThresholdFrom,
    choose_threshold,
    deviation,
)
from latentscope.errors import ChoiceError, EstimatorError, meant, shortened, warn
from latentscope.files import expanded
from latentscope.labels import CleanLabels, Missing, clean_labels
from latentscope.tables import (
    ID_COLUMNS,
    STAR_COLUMNS,
    find_columns,
    star_name,
    without_mask,
    write_table,
)

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
_REPEATED_COLUMNS = (
    *STAR_COLUMNS, "star_id", "object_id", "source_id", "gaia_id", *ID_COLUMNS,
    "star_name", "target", "target_name", "name",
)  # fmt: skip
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
    stars = str(column).lower() in STAR_COLUMNS
    return star_name(name) if stars else "".join(name.split()).casefold()


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

    What `star` then still lacks is filled from `object`. Columns may be named in any case, as
    OBJECT in catalogs. None where neither table has the column.
    """
    tables = [table for table in (latents.table, labels) if table is not None]
    if not find_columns(tables, [column]):
        return None
    names = pd.Series([None] * len(latents), dtype=object)
    for name in STAR_COLUMNS if column.lower() == "star" else (column,):
        for filling in find_columns(tables, [name]):
            names = names.where(~unnamed(names), filling.astype(object).reset_index(drop=True))
    return names.to_numpy(dtype=object)


def known_stars(latents: Latents) -> NDArray[np.object_] | None:
    """Star of each row by the sidecar, `star` filled from `object`; None where it has neither."""
    column = next((name for name in STAR_COLUMNS if latents.column(name) is not None), None)
    return None if column is None else star_names(column, latents, None)


def row_values(latents: Latents, values: Any, name: str) -> Any:
    """Bring values to the rows of latents by the indexes of both, where they have any."""
    if latents.index is None or not isinstance(values, pd.Series):
        return values
    places = pd.Series(np.arange(len(latents)), index=latents.index)
    return aligned(places, values, (latents.source, name))[1]


def find_groups(
    groups: GroupsLike, latents: Latents, labels: pd.DataFrame | None = None
) -> tuple[Groups | None, str]:
    """Find which rows show the same star; and say in words what "auto" found.

    `groups` are names (n,); or the column of the sidecar or the labels that holds them; "auto":
    `star`, else `object`, if it names 20 stars or more, some of them in several rows, else rows of
    identical latents; None or "none": rows are independent.

    A ChoiceError if there is no such column, an EstimatorError if no row with latents has a name.
    Warns if some have none; and with "auto", if rows are copies of others, or repeat a star or an
    id though no column can be taken.
    """
    if groups is None or (isinstance(groups, str) and groups == "none"):
        return None, ""
    if not isinstance(groups, str):
        groups = row_values(latents, groups, "groups")
        found = read_groups(groups, len(latents))
        _check_names(unnamed(groups)[latents.ok], "array")
        return found, ""
    if groups == "auto":
        return _automatic(latents, labels)
    names = star_names(groups, latents, labels)
    if names is None:
        sidecar = () if latents.table is None else tuple(latents.table.columns)
        others = () if labels is None else tuple(labels.columns)
        columns = f", the labels have {', '.join(others)}" if others else ""
        near = meant(groups, [*sidecar, *others])
        raise ChoiceError(
            f"groups: no column {groups!r}{near}; the latents' table has "
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
        if all(unnamed(held).all() for held in find_columns(tables, [column])):
            continue
        names = star_names(column, latents, labels)
        assert names is not None
        found, rows = read_groups(names, len(latents), column), int(latents.ok.sum())
        stars = found.count(latents.ok)
        if stars == rows:
            break
        if stars < FEWEST_STARS:
            note = (
                f"the {rows:,} rows show only {stars} star{'s' * (stars > 1)}, by column {column}, "
                "so rows count as independent, and significance is overstated; "
                f"groups={column!r} (--groups {column}) counts stars all the same"
            )
            warn(note)
            return None, note
        _check_names(unnamed(names)[latents.ok], f"column {column!r}")
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
        warn(f"{latents.source}: {note}; groups='none' (--groups none) takes them for independent")
        return copies, note
    _warn_of_repeats(latents, tables)
    return None, ""


def _check_names(missing: NDArray[np.bool_], what: str) -> None:
    """Warn of rows without a name; refuse if all lack one."""
    count, n = int(missing.sum()), len(missing)
    if n and count == n:
        raise EstimatorError(
            f"groups: the {what} names none of {n:,} rows with latents; expected the star of each"
        )
    if count:
        warn(
            f"groups: {count:,} of {n:,} rows with latents have no name in the {what}, and each "
            "is taken for a star of its own; if they repeat stars, values and significance are "
            "too high"
        )


def _warn_of_repeats(latents: Latents, tables: Sequence[pd.DataFrame]) -> None:
    for column in find_columns(tables, _REPEATED_COLUMNS):
        name = str(column.name)
        names = column.to_numpy(dtype=object)[latents.ok]
        repeated = read_groups(names, len(names), name).repeated
        if repeated:
            warn(
                f"{repeated:,} of {len(names):,} rows repeat a value of {name!r}, so rows are not "
                "independent: any label that is constant for a star seems to share 0.3 nats and "
                "more with the dimensions at 3 exposures per star, 1 and more at 10, and p-values "
                f"call it significant; pass groups={name!r} (--groups {name})"
            )
            return


Dims = (
    Literal["all", "informative"]
    | int
    | slice
    | Sequence[int]
    | NDArray[np.integer[Any] | np.bool_]
    | None
)


@dataclass(frozen=True, eq=False)
class Study:
    """Latents, labels and stars of the same rows; every diagnostic takes it in place of latents.

    Parameters
    ----------
    latents : Latents of n rows
    labels : DataFrame of n rows or None
    groups : Groups of n rows or None
        Which star each row shows; None: rows are independent.
    groups_found, label_notes : str, tuple of str
        How the stars were found, and what was done to the labels, in words.
    left_out : dict of str to dict of float to int
        For each label, the values taken for missing ones, and in how many rows of its table.
    join, where : str or None
        Column of the join, and condition that the rows meet, if asked for.
    dims : list of int or None
        Dimensions for diagnostics that are not given numbers; None: each chooses.
    kinds : dict of str to bool
        Labels that someone says hold classes (True) or numbers (False).
    """

    latents: Latents
    labels: pd.DataFrame | None = None
    groups: Groups | None = None
    groups_found: str = ""
    label_notes: tuple[str, ...] = ()
    left_out: dict[str, dict[float, int]] = field(default_factory=dict)
    join: str | None = None
    dims: list[int] | None = None
    kinds: dict[str, bool] = field(default_factory=dict)
    where: str | None = None

    def __len__(self) -> int:
        return len(self.latents)

    @property
    def notes(self) -> tuple[str, ...]:
        """How the stars were found and what was done to the labels, in words."""
        return (self.groups_found, *self.label_notes) if self.groups_found else self.label_notes

    @property
    def label_table(self) -> pd.DataFrame:
        """The labels; an EstimatorError if none were given."""
        if self.labels is None:
            raise EstimatorError(f"{self.latents.source}: no labels were given; expected a table")
        return self.labels

    @cached_property
    def stars(self) -> Groups:
        """Which star each row shows; where none are known, each its own."""
        alone = np.arange(len(self))
        return Groups(alone, alone) if self.groups is None else self.groups

    @property
    def group_column(self) -> str | None:
        """Column that names the stars, which is no label; None where there is none."""
        return None if self.groups is None else self.groups.column or None

    @cached_property
    def deviations(self) -> NDArray[np.float64]:
        """Median absolute deviation of each dimension over the finite rows, shape (d,)."""
        latents = self.latents
        check_some_finite(latents)
        rows = slice(None) if latents.ok.all() else latents.ok
        # Column by column: latents of an archive may be mapped from a file.
        columns = (latents.values[rows, dim].astype(np.float64) for dim in range(latents.dims))
        return np.array([deviation(column) for column in columns])

    @cached_property
    def threshold(self) -> tuple[float, ThresholdFrom]:
        """Deviation above which a dimension is informative, and where it comes from."""
        return choose_threshold(self.latents, self.deviations)

    @property
    def informative(self) -> list[int]:
        """Dimensions whose deviation exceeds the threshold, ascending."""
        return np.flatnonzero(self.deviations > self.threshold[0]).tolist()

    def left_out_of(self, dims: Dims, share: float = AS_GOOD_AS_CONSTANT) -> tuple[str, ...]:
        """Note of the dimensions that "informative" leaves out though they vary.

        That is, by more than this share of the largest deviation.
        """
        if not isinstance(dims, str) or dims != "informative" or self.dims is not None:
            return ()
        limit, who = self.threshold
        below = self.deviations <= limit
        below &= self.deviations > share * self.deviations.max()
        if not below.any():
            return ()
        named = shortened(f"{dim} ({self.deviations[dim]:.2g})" for dim in np.flatnonzero(below))
        return (
            f"left out, since their deviation is not above {limit:.3g} ({SAID_BY[who]}): dims "
            f"{named}; dims='all' (--dims all) takes them",
        )

    @property
    def _tables(self) -> list[pd.DataFrame]:
        """Labels and the latents' own table, where there are any."""
        return [table for table in (self.labels, self.latents.table) if table is not None]

    def choose(self, dims: Dims) -> list[int]:
        """Choose dimensions, ascending.

        Parameters
        ----------
        dims : int, list of int, slice, bool array (d,), "all" or "informative"
            The dimensions that the study was read with go before a name. None means all.
            "informative" warns of dimensions that it leaves out though they vary by more than a
            hundredth of the widest, unless a model sets the threshold.

        Raises
        ------
        ChoiceError
            If a dimension is not there or named twice, or a mask has another length.
        EstimatorError
            If values are infinite, or no dimension is informative.
        """
        latents = self.latents
        check_none_infinite(latents)
        if dims is None or isinstance(dims, str):
            return self._named(dims or "all") if self.dims is None else self.dims
        if isinstance(dims, slice):
            dims = range(latents.dims)[dims]
        return whole_dims(dims, latents.dims, latents.source)

    def _named(self, dims: str) -> list[int]:
        if dims == "all":
            return list(range(self.latents.dims))
        if dims != "informative":
            raise EstimatorError(
                f"dims is {dims!r}; expected all, informative, or a list of numbers"
            )
        if not self.informative:
            raise EstimatorError(
                f"{self.latents.source}: no dimension is informative (largest deviation "
                f"{self.deviations.max():.2g}, threshold {self.threshold[0]:.3g}); ask for "
                "dims='all' (--dims all)"
            )
        if self.threshold[1] != "model":
            for note in self.left_out_of("informative", OF_WIDEST):
                warn(f"{self.latents.source}: {note}")
        return self.informative

    def take(self, rows: NDArray[np.int64]) -> Study:
        """Return the study of some rows, such as a balanced sample."""
        labels = self.labels
        if labels is not None:
            source = labels.attrs.get("source", "labels")
            labels = labels.iloc[rows].reset_index(drop=True)
            labels.attrs["source"] = source
        groups = None if self.groups is None else self.groups.take(rows)
        return replace(self, latents=self.latents.take(rows), labels=labels, groups=groups)

    def column(self, name: str) -> pd.Series:
        """Return a column of the labels, else of the latents' table, or raise a ChoiceError."""
        for table in self._tables:
            if name in table:
                return table[name]
        names = [str(one) for table in self._tables for one in table.columns]
        advice = "" if self.labels is not None else "; --labels-file names a table of labels"
        raise ChoiceError(
            f"no column {name!r}{meant(name, names)} among labels and the latents' table; there "
            f"are {', '.join(names) or 'none'}{advice}"
        )

    def meets(self, where: str) -> NDArray[np.bool_]:
        """Which rows meet a condition on labels and columns of the sidecar, shape (n,).

        A ChoiceError if `rows_where` refuses it, an EstimatorError if no row meets it.
        """
        tables = self._tables[::-1]
        columns = {name: table[name].array for table in tables for name in table.columns}
        found = rows_where(pd.DataFrame(columns, index=range(len(self))), where)
        if not found.any():
            raise EstimatorError(f"where is {where!r}, which none of {len(self):,} rows meets")
        return found

    def provenance(self, diagnostic: str, **settings: Any) -> dict[str, Any]:
        """Return the origin of a result: the diagnostic, its settings, and the rows."""
        latents, labels = self.latents, self.labels
        source = {} if labels is None else {"labels": str(labels.attrs.get("source", "labels"))}
        return {
            **origin(diagnostic),
            **settings,
            "groups": self.group_column or self.groups is not None,
            "join": self.join,
            **({"where": self.where} if self.where else {}),
            "rows": len(latents),
            "rows_finite": int(latents.ok.sum()),
            "source": latents.source,
            "latents": latents.provenance,
            **source,
            **({"groups_found": self.groups_found} if self.groups_found else {}),
            **({"missing": self.left_out} if self.left_out else {}),
            "discrete": [name for name, classes in self.kinds.items() if classes],
            "numeric": [name for name, classes in self.kinds.items() if not classes],
        }


StudyLike = Study | LatentsLike

_LINES, _ROWS = 12, 10  # that a notebook shows of a result


def read_study(
    latents: StudyLike,
    labels: LabelsLike | None = None,
    *,
    groups: GroupsLike = "auto",
    join: str | None = None,
    dims: Dims = None,
    missing: Missing = "auto",
    discrete: bool | Names | None = None,
    numeric: Names | None = None,
    where: str | None = None,
) -> Study:
    """Read latents and labels, bring them row to row, and find which rows show the same star.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame or path
        Or a `Study`, which is returned unchanged, but for `dims`, `where`, the kinds of labels, and
        groups of None.
    labels : DataFrame, array (n, labels) or path, optional
        Brought to the rows of the latents by an id, else by their order.
    groups : array (n,) or str, optional
        Which star each row shows, or the column that says so. "auto": `star`, filled from
        `object`, if rows repeat it; None or "none": rows are independent.
    join : str, optional
        Column to join latents and labels on.
    dims : "all", "informative" or list of int, optional
        Dimensions for diagnostics that are not given numbers.
    missing : "auto", "none" or list of numbers
        Label values to treat as missing, such as -999. "auto": values far from all others that
        many rows share.
    discrete : bool or list of str, optional
        Labels to treat as classes; True: all, False: none but text.
    numeric : list of str, optional
        Labels to treat as numbers, such as those of a grid.
    where : str, optional
        Take only rows that meet a condition on labels and columns of the sidecar, in the syntax of
        pandas: ``Teff > 5000 and snr > 50``.

    Raises
    ------
    ChoiceError
        If a column or dimension is not there, `where` cannot be read, or labels, groups or a join
        are given with a study.
    EstimatorError
        If no row with latents has a name in `groups`.
    TableError
        If latents or labels cannot be read or matched.

    Warns
    -----
    LatentscopeWarning
        If rows repeat a star or an id and no groups are found, rows have no name in `groups`, or
        label values are treated as missing.
    """
    if isinstance(latents, Study):
        off = groups is None or (isinstance(groups, str) and groups == "none")
        automatic = isinstance(groups, str) and groups == "auto"
        asked = labels is not None or join is not None or not isinstance(missing, str)
        if asked or missing != "auto" or not (automatic or off):
            raise ChoiceError("labels, groups, join or missing beside a study; it has its own")
        study = replace(latents, groups=None, groups_found="") if off else latents
    else:
        read = read_latents(latents)
        clean = None
        if labels is not None:
            table = read_labels(labels)
            check_order(read, table)
            clean = clean_labels(table, missing)
        frame = None if clean is None else bring_to_rows(read, clean.frame, join)
        found, note = find_groups(groups, read, frame)
        study = Study(read, frame, found, note, join=join)
        if clean is not None:
            _warn_of_missing(clean, missing)
            study = replace(study, label_notes=clean.notes, left_out=clean.left_out)
    if where is not None:
        rows = np.flatnonzero(study.meets(where))
        note = f"{len(rows):,} of {len(study):,} rows have {where}"
        study = replace(study.take(rows), where=where, label_notes=(*study.label_notes, note))
    if study.labels is not None:
        kinds = asked_kinds(study.labels, discrete, numeric)
        study = replace(study, kinds={**study.kinds, **kinds}) if kinds else study
    return study if dims is None else replace(study, dims=study.choose(dims))


OBSERVATION = ("instrument", "mode", "program", "mjd", "exptime", "airmass", "berv", "snr")
"""Columns of a sidecar that say how a spectrum was observed, not what star it shows."""


def observed(
    study: Study, discrete: bool | Names | None = None, numeric: Names | None = None
) -> Study:
    """Take columns of the sidecar that say how the spectra were observed as the labels.

    `discrete` and `numeric` are those of `read_study`. An EstimatorError if none of `OBSERVATION`
    is there with more than one value.
    """
    table = study.latents.table
    frame = pd.DataFrame(index=range(len(study))) if table is None else table
    frame = frame.reindex(columns=list(OBSERVATION)).reset_index(drop=True).replace("", None)
    counts = frame.nunique()
    varied = [name for name in OBSERVATION if counts[name] > 1]
    if not varied:
        raise EstimatorError(
            f"{study.latents.source}: no labels were given, and none of {', '.join(OBSERVATION)} "
            "in its table varies; encode again, or give a table of labels"
        )
    notes = []
    if alike := [name for name in OBSERVATION if counts[name] == 1]:
        notes.append(f"the same in all rows: {shortened(alike)}")
    if absent := [name for name in OBSERVATION if counts[name] == 0]:
        notes.append(f"not in the table of the latents: {', '.join(absent)}")
    frame = frame[varied]
    kinds = asked_kinds(frame, discrete, numeric)
    return replace(study, labels=frame, label_notes=tuple(notes), left_out={}, kinds=kinds)


def whole_dims(dims: ArrayLike, d: int, source: str) -> list[int]:
    """Return dimensions that are given by number, or by a mask of all d, ascending.

    A ChoiceError if one is not there, is given twice or is not a whole number, or a mask has
    another length.
    """
    expected = f"expected some of 0 ... {d - 1} of {source}"
    array = np.atleast_1d(without_mask(dims))
    if array.ndim > 1 or not array.size:
        raise ChoiceError(f"dims has shape {array.shape}; {expected}")
    if array.dtype.kind == "b":
        if len(array) != d or not array.any():
            raise ChoiceError(
                f"dims is a mask of {len(array)} values, {int(array.sum())} of them true; expected "
                f"{d}, and a true one, for {source}"
            )
        return np.flatnonzero(array).tolist()
    wrong = [dim for dim in array.tolist() if not _is_dim(dim, d)]
    if wrong:
        raise ChoiceError(f"dims {wrong[:8]}: {expected}")
    numbers, counts = np.unique(array.astype(np.int64), return_counts=True)
    if (counts > 1).any():
        repeated = numbers[counts > 1][:8].tolist()
        raise ChoiceError(f"dims {repeated} given more than once; {expected}, each once")
    return [int(dim) for dim in numbers]


def _is_dim(dim: Any, d: int) -> bool:
    number = isinstance(dim, int | float) and not isinstance(dim, bool)
    return number and 0 <= dim < d and dim == int(dim)


def _warn_of_missing(clean: CleanLabels, missing: Missing) -> None:
    automatic = isinstance(missing, str) and missing == "auto"
    words = f"{clean.note}; missing='none' (--missing none) keeps them" if clean.note else ""
    words = words if automatic else clean.doubt
    for each in filter(None, (words, clean.coarse)):
        source = clean.frame.attrs["source"]
        warn(f"{source}: {each}")


def check_none_infinite(latents: Latents) -> None:
    """Refuse latents with infinite values."""
    infinite = np.flatnonzero(np.isinf(latents.values).any(axis=0))
    if len(infinite):
        raise EstimatorError(
            f"{latents.source}: infinite values in dims {', '.join(map(str, infinite[:10]))}; "
            "set these rows to NaN to leave them out"
        )


def check_some_finite(latents: Latents) -> None:
    """Refuse latents without a finite row."""
    if not latents.ok.any():
        raise EstimatorError(
            f"{latents.source}: none of {len(latents)} rows is finite; nothing to measure"
        )


def check_least(least: int, **options: int | None) -> None:
    """Refuse options below the least value that makes sense."""
    for name, value in options.items():
        if value is not None and value < least:
            raise EstimatorError(f"{name} is {value}; expected {least} or more")


class Result:
    """What all results have in common: words, a table, a picture and a file.

    `provenance` has settings, versions, and the origin of latents and labels; `notes`, where there
    are some, say what was done to rows and labels.
    """

    drawn_by = ""
    """The function of `latentscope.plots` that draws it."""

    if TYPE_CHECKING:

        @property
        def table(self) -> pd.DataFrame:
            """The measurements."""

        @property
        def provenance(self) -> dict[str, Any]:
            """Settings, versions, and origin of latents and labels."""

        def sentences(self) -> list[str]:
            """Say what was found."""

    def __repr__(self) -> str:
        """Return what was found, in words."""
        lines = self.sentences()
        more = [f"... and {len(lines) - _LINES} more"] if len(lines) > _LINES else []
        head = f"{type(self).__name__}: a table of {len(self.table):,} rows"
        return "\n".join([head, *lines[:_LINES], *more])

    def _repr_html_(self) -> str:
        """Return the words and the first rows of the table, for a notebook."""
        words = "<br>".join(html.escape(line) for line in repr(self).split("\n"))
        return f"<p>{words}</p>{self.table.head(_ROWS).to_html(border=0)}"

    def __getitem__(self, name: str) -> pd.DataFrame | pd.Series:
        """Return a column of the table, or its rows of that label, measure or other name."""
        table = self.table
        if name in table:
            return table[name]
        texts = [column.astype(str) for _, column in table.items() if is_text(column)]
        for column in texts:
            same = column.str.lower() == str(name).lower()
            if same.any():
                return table[same]
        known = [*table.columns, *(one for column in texts for one in column.unique())]
        raise ChoiceError(
            f"no column or name {name!r}{meant(name, known)}; there are "
            f"{', '.join(map(str, known[:60]))}"
        )

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the table as CSV and its provenance as .json beside it, each whole."""
        write_table(expanded(path), self.table, self.provenance)

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Draw it, on given axes or new ones, by its function of `latentscope.plots`."""
        # By name, since diagnostics stand below plots.
        return getattr(import_module("latentscope.plots"), self.drawn_by)(self, ax, **options)


def origin(diagnostic: str) -> dict[str, Any]:
    """Return which diagnostic, of which version, measured when (UTC, ISO 8601)."""
    return {
        "diagnostic": diagnostic,
        "latentscope": import_module("latentscope").__version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
