"""Spectra nearest to a query in latent space, as RETR-SPECT of Sedaghat et al. 2021 finds them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import LabelsLike, Latents, LatentsLike, read_latents, row_keys
from latentscope.diagnostics.mi.columns import Seed, check_columns, listed, whole_seed
from latentscope.diagnostics.nearest import Metric, Near, Neighbors, Spread, measure_space
from latentscope.diagnostics.study import (
    Dims,
    Groups,
    GroupsLike,
    Result,
    Study,
    StudyLike,
    check_least,
    find_groups,
    known_stars,
    plain_name,
    read_groups,
    read_study,
    star_names,
    unnamed,
)
from latentscope.errors import ChoiceError, EstimatorError, meant, shortened
from latentscope.labels import Missing
from latentscope.tables import STAR_COLUMNS, find_column, names_row
from latentscope.workers import Progress

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Query = int | str | Latents | ArrayLike | Sequence[Any]

N_REFERENCE = 500
"""Rows whose distance to their nearest gives percentiles, which are then known to 2 points."""

AGREE = 0.5
"""Spreads within which two spectra agree in a dimension: 28 % of Gaussian ones by chance."""

NAMES = ("id", *STAR_COLUMNS[::-1], "file")
"""Columns of the sidecar that name a row, as they are shown."""

_EXPOSURE_NAMES = ("id", "archive_id")
_OF_RESULT = (
    "query", "rank", "row", "distance", "percentile", "agree", "differ",
    "left_out", "matches", "error", *NAMES,
)  # fmt: skip
_NO_ROW = -1


@dataclass(frozen=True, eq=False, repr=False)
class RetrievalResult(Result):
    """Nearest spectra of one or more queries.

    Parameters
    ----------
    table : DataFrame
        One row per match, by query and rank: `query` (name), `rank` (from 1), `row` (of the
        latents, from 0), `id`, `object`, `star` and `file` where known, `distance`, `percentile`
        (of spectra, % whose own nearest one is nearer; NaN where none has any), `agree` (number of
        dimensions within 0.5 spreads), `differ` (the three that differ most, match minus query in
        spreads), and the labels.
    queries : DataFrame
        One row per query: `query`, `row` (missing where it is not in the latents), `id`, `object`,
        `star` and `file` where known, `left_out` (rows of its own star, itself included),
        `matches`, `error` (why there are none, else empty), and the labels of its row.
    differences : DataFrame
        One row per match, one column per dimension: match minus query, in spreads.
    profiles : DataFrame
        One row per query, one column per dimension: spreads from the sample's median.
    band : DataFrame
        `low` and `high` of each dimension: where 90 % of stars (or rows) lie, in spreads.
    usual : ndarray of float64
        Ascending distances from rows of the sample, one per star, to their own nearest.
    """

    drawn_by = "plot_retrieval"

    table: pd.DataFrame
    queries: pd.DataFrame
    differences: pd.DataFrame
    profiles: pd.DataFrame
    band: pd.DataFrame
    usual: Floats
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def dims(self) -> list[int]:
        """Dimensions that counted, ascending."""
        return [int(dim) for dim in self.profiles.columns]

    @property
    def failed(self) -> list[tuple[str, str]]:
        """Queries without an answer, and why."""
        rows = self.queries[self.queries["error"] != ""]
        return list(zip(rows["query"], rows["error"], strict=True))

    def matches(self, query: int = 0) -> pd.DataFrame:
        """Rows of the table of a query, counted from 0; their index is that of `differences`."""
        counts = self.queries["matches"].to_numpy()
        first = int(counts[:query].sum())
        return self.table.iloc[first : first + int(counts[query])]

    def sentences(self, count: int = 3) -> list[str]:
        """Name the first matches of each query, how near they are and how they differ."""
        lines = []
        for place in range(len(self.queries)):
            lines.append(self.heading(place))
            for match in self.matches(place).head(count).to_dict("records"):
                name = match.get("id", f"row {match['row']}")
                share, nearness = match["percentile"], ""
                if share <= 50:
                    nearness = f" ({100 - share:.0f} % of spectra have none so near)"
                elif share > 50:  # not NaN
                    nearness = f" ({share:.0f} % of spectra have a nearer one)"
                lines.append(
                    f"{match['rank']}. {name}: distance {match['distance']:.3g}{nearness}; agrees "
                    f"in {match['agree']} of {len(self.dims)} dims, differs most in dim "
                    f"{match['differ'].split(',')[0]}"
                )
        return lines

    def heading(self, query: int = 0) -> str:
        """Such as "spectrum-12: 10 nearest of 1,998 spectra over 5 dims (euclidean)"."""
        asked = self.queries.iloc[query]
        if asked["error"]:
            return f"{asked['query']}: no matches, {asked['error']}"
        made, out = self.provenance, int(asked["left_out"])
        left = f"; {out:,} left out: itself and its star" if out else ""
        return (
            f"{asked['query']}: {asked['matches']} nearest of {made['rows_searched'] - out:,} "
            f"spectra over {len(self.dims)} dims ({made['metric']}){left}"
        )


class Retriever:
    """A sample of latents, loaded once and searched as often as needed, from any thread.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        The sample. Rows of NaN are never found. The values of a .npy file stay on disk, mapped; the
        search keeps 4 bytes for each value of the chosen dimensions in memory.
    dims : "informative", "all" or a list of int
        Dimensions that count. "informative": those whose median absolute deviation exceeds the
        threshold of the model that made the latents, else 0.02. Divided by its spread, a dimension
        that the network does not use would count as much as any.
    metric : {"euclidean", "mahalanobis", "manhattan", "cosine"}
        Distance, in units of the spreads: Euclidean; Euclidean without the sample's correlations,
        for dimensions that share information; the sum of absolute differences, where one odd
        dimension should not decide; or 1 minus the cosine of the angle at the sample's median, for
        spectra that depart from it in the same direction, however far.
    spread : {"robust", "plain", "none"}
        Unit of a dimension: 1.4826 times its median absolute deviation over the sample, its
        standard deviation, or 1.
    groups : array (n,) or str, optional
        Which star each row shows, or the column that says so. "auto": `star`, filled from
        `object`, of the sidecar; None or "none": no star is known.
    same_star : bool
        Whether other rows of a query's star may be found. Its own row never is.
    one_per_star : bool
        Whether only the nearest row of each star is found.
    labels : DataFrame, array (n, labels) or path, optional
        Shown beside the matches; joined on an id column that both have, else row by row.
    columns : list of str, optional
        Labels to show; by default all but ids and names of stars.
    join, missing
        As for `read_study`, with its errors and warnings.
    where : str, optional
        Find only rows that meet a condition, as for `read_study`. Queries need not meet it.
    n_reference : int
        Rows at most, one per star, whose distances to their own nearest give percentiles.
    seed : int or Generator
        Seed of that choice.
    progress : callable, optional
        Called with (of these done, of these in all).

    Raises
    ------
    EstimatorError
        If values are infinite, no row is finite, no dimension is informative or has a spread, a
        choice is unknown, or dimensions depend linearly on others for "mahalanobis".
    ChoiceError
        If a dimension, label or column of groups is not there.

    Warns
    -----
    LatentscopeWarning
        If dimensions without spread are left out, or rows have no name in `groups`.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(500, 2))
    >>> z[7] = z[3] + 0.0001
    >>> Retriever(z).query(3, n_matches=1).table["row"].tolist()
    [7]
    """

    def __init__(
        self,
        latents: StudyLike,
        *,
        dims: Dims = "informative",
        metric: Metric = "euclidean",
        spread: Spread = "robust",
        groups: GroupsLike = "auto",
        same_star: bool = False,
        one_per_star: bool = False,
        labels: LabelsLike | None = None,
        columns: Sequence[str] | None = None,
        join: str | None = None,
        missing: Missing = "auto",
        where: str | None = None,
        n_reference: int = N_REFERENCE,
        seed: Seed = 0,
        progress: Progress | None = None,
    ) -> None:
        mapped = latents if isinstance(latents, Study) else _mapped(latents)
        # Rows need not be independent here; stars say what may be found.
        study = read_study(mapped, labels, groups=None, join=join, missing=missing)
        read, frame = study.latents, study.labels
        self.latents, self._same_star = read, same_star
        self._beside = _names_and_labels(read, frame, columns)
        self._groups, self._star_column, self._star_codes = _read_stars(groups, read, frame)
        chosen = study.choose(dims)
        ok = read.ok if where is None else read.ok & study.meets(where)
        self._missing, self._searched, self._where = int((~read.ok).sum()), int(ok.sum()), where
        self.space = measure_space(read.values, ok, chosen, metric, spread, read.source)
        codes = self._groups.codes if one_per_star else None
        self._neighbors = Neighbors(read.values, ok, self.space, codes)
        # Distances are compared with those of rows under the same rules, one row per star.
        rng, keep = np.random.default_rng(whole_seed(seed)), np.zeros(len(self), dtype=np.bool_)
        keep[self._neighbors.rows] = True
        singles = self._groups.draws(keep, 1, rng).rows[0]
        drawn = np.sort(rng.permutation(singles)[:n_reference])
        limits = np.quantile(self.space.standardized(self._values(drawn)), (0.05, 0.95), axis=0)
        self._band = pd.DataFrame(limits.T, index=self.space.dims, columns=["low", "high"])
        hidden = [self._hidden(asked) for asked in self._of_rows(drawn.tolist())]
        near = self._neighbors.nearest(self._values(drawn), hidden, 1, progress)
        self.usual = np.sort([float(one.distances[0]) for one in near if len(one.rows)])
        self._provenance = study.provenance(
            "retrieval", dims=self.space.dims, metric=metric, spread=spread, same_star=same_star,
            one_per_star=one_per_star, reference=len(self.usual), seed=seed,
            rows_searched=len(self._neighbors),
        ) | {"groups": self._star_column if self._star_codes else False}  # fmt: skip

    def __len__(self) -> int:
        return len(self.latents)

    def queries(self, query: Query) -> list[Asked]:
        """Read queries as `query` does, without answering: to see early whether there are any."""
        if isinstance(query, Asked):
            return [query]
        if isinstance(query, Latents):
            return self._of_latents(query)
        if isinstance(query, str):
            return self._of_rows([self._row_named(query)])
        if isinstance(query, list | tuple):
            arrays = [isinstance(item, np.ndarray) for item in query]
            several = any(isinstance(item, str | Latents | Asked | list) for item in query)
            if several or (any(arrays) and not all(arrays)):
                return [asked for item in query for asked in self.queries(item)]
        array = np.asarray(query)
        # Latents have fractions, so whole numbers are rows.
        if array.dtype.kind in "iu" and array.ndim <= 1 and array.size:
            return self._of_rows([int(row) for row in np.atleast_1d(array)])
        if array.dtype.kind not in "fiu" or array.ndim not in (1, 2) or not array.size:
            raise EstimatorError(
                f"query: {array.dtype} of shape {array.shape}; expected numbers of rows, ids, or "
                "values of shape (d,) or (m, d)"
            )
        return self._of_latents(Latents(np.atleast_2d(array), source="query"))

    def query(self, query: Query, n_matches: int = 10) -> RetrievalResult:
        """Find the nearest rows of each query.

        Parameters
        ----------
        query : int, str, Latents, array (d,) or (m, d), or a list of these
            Rows of the sample by number, from 0 (whole numbers) or by id (text); or values in all
            dimensions of the sample. Rows of other latents that show an exposure of the sample
            (same `id` or `archive_id`) do not find it.
        n_matches : int
            Matches of each query; fewer where there are no more rows.

        Returns
        -------
        RetrievalResult
            Of equally near rows the first comes first. Queries of NaN have no matches.

        Raises
        ------
        ChoiceError
            If there is no such row, or several have the id.
        EstimatorError
            If values have another number of dimensions, n_matches is below 1, or no query can be
            answered.
        """
        check_least(1, n_matches=n_matches)
        asked = self.queries(query)
        values = np.array([one.values[self.space.dims] for one in asked])
        hidden = [self._hidden(one) for one in asked]
        near, failures = self._answers(asked, values, hidden, n_matches)
        names = [one.name for one in asked]
        if all(failures):
            more = f" (and {len(asked) - 1} more)" if len(asked) > 1 else ""
            raise EstimatorError(f"no query can be answered: {names[0]}: {failures[0]}{more}")
        rows = np.concatenate([one.rows for one in near])
        counts = [len(one.rows) for one in near]
        moved = (self._values(rows) - np.repeat(values, counts, axis=0)) / self.space.spread
        differences = pd.DataFrame(moved, columns=self.space.dims)
        agree, differ = _reasons(differences)
        distances = np.concatenate([one.distances for one in near])
        table = pd.DataFrame(
            {
                "query": np.repeat(np.array(names, dtype=object), counts),
                "rank": np.concatenate([np.arange(1, count + 1) for count in counts]),
                "row": rows,
                "distance": distances,
                "percentile": percentiles(distances, self.usual),
                "agree": agree,
                "differ": differ,
            }
        )
        places = pd.Series([one.row for one in asked])
        queries = pd.DataFrame(
            {
                "query": names,
                "row": places.where(places >= 0).astype("Int64"),
                "left_out": [self._neighbors.count(out) for out in hidden],
                "matches": counts,
                "error": failures,
            }
        )
        # Queries that the sample does not have are at row -1, which no table has.
        beside = self._beside.reindex(places)
        if any(one.file for one in asked):
            queries.insert(2, "file", [one.file for one in asked])
            beside = beside.drop(columns="file", errors="ignore")
        return RetrievalResult(
            _with_names(table, self._beside.iloc[rows]),
            _with_names(queries, beside),
            differences,
            pd.DataFrame(self.space.standardized(values), columns=self.space.dims),
            self._band,
            self.usual,
            {**self._provenance, "n_matches": n_matches, "queries": names},
            tuple(self._notes(asked)),
        )

    def _answers(
        self, asked: list[Asked], values: Floats, hidden: list[Rows], n_matches: int
    ) -> tuple[list[Near], list[str]]:
        """Rows found for each query, and why there are none."""
        fine = [place for place, one in enumerate(asked) if not one.error]
        found = self._neighbors.nearest(values[fine], [hidden[place] for place in fine], n_matches)
        near = [Near(np.empty(0, dtype=np.int64), np.empty(0)) for _ in asked]
        failures = [one.error for one in asked]
        other = "" if self._same_star else " of another star"
        for place, answer in zip(fine, found, strict=True):
            near[place] = answer
            if np.isnan(self.space.points(values[place][None])).any():
                failures[place] = "it lies at the sample's median and has no direction"
            elif not len(answer.rows):
                failures[place] = f"the sample has no other row{other}"
        return near, failures

    def _hidden(self, asked: Asked) -> Rows:
        """Rows that a query must not find."""
        if self._same_star or asked.star < 0:
            return asked.own
        return np.union1d(asked.own, self._groups.rows_of(asked.star))

    def _values(self, rows: Rows) -> Floats:
        return self.space.part(self.latents.values, rows)

    def _notes(self, asked: list[Asked]) -> list[str]:
        notes = [f"{_rows_text(self._missing)} of NaN left out"] if self._missing else []
        if self._where is not None:
            notes.append(f"only the {_rows_text(self._searched)} that have {self._where} are found")
        flat = self._searched - len(self._neighbors)
        if flat:
            notes.append(f"{_rows_text(flat)} at the sample's median left out: no direction")
        if self._same_star:
            return notes
        strangers = [one.name for one in asked if one.star < 0 and not one.error]
        if not self._star_codes:
            notes.append("no column says which star a row shows: matches may show the same star")
        elif strangers:
            notes.append(
                f"{shortened(strangers)}: of a star that no row is known to show; if rows show it "
                "under another name, they are among the matches"
            )
        return notes

    @cached_property
    def _rows_by_name(self) -> list[tuple[str, dict[str, Rows]]]:
        """Rows of each name of an exposure, for each column of such names."""
        return [
            (name, {str(key): np.asarray(rows) for key, rows in keys.groupby(keys).indices.items()})
            for name, keys in _exposure_names(self.latents)
        ]

    def _row_named(self, name: str) -> int:
        """Row of an id, with or without its suffix, or of an archive id."""
        source = self.latents.source
        key = str(row_keys(pd.Series([name]), files=True)[0])
        found = [rows[key] for _, rows in self._rows_by_name if key in rows]
        if not found:
            columns = ", ".join(column for column, _ in self._rows_by_name)
            where = f"column {columns}" if columns else "a table of ids, which it does not have"
            near = meant(name, [one for _, rows in self._rows_by_name for one in rows])
            raise ChoiceError(
                f"{source}: no row is named {name!r}{near}; expected one of {where}, or a "
                "row's number"
            )
        if len(found[0]) > 1:
            shown = ", ".join(map(str, found[0][:5]))
            raise ChoiceError(
                f"{source}: {len(found[0])} rows are named {name!r} ({shown}); give a row's number"
            )
        return int(found[0][0])

    def _of_rows(self, rows: list[int]) -> list[Asked]:
        latents = self.latents
        absent = [row for row in rows if not 0 <= row < len(latents)]
        if absent:
            raise ChoiceError(
                f"{latents.source}: no row {', '.join(map(str, absent))}; expected 0 ... "
                f"{len(latents) - 1}"
            )
        places = np.array(rows, dtype=np.int64)
        names = [f"row {row}" for row in rows]
        return _asked(
            latents.take(places), list(places[:, None]), self._groups.codes[places], names
        )

    def _of_latents(self, others: Latents) -> list[Asked]:
        if others.dims != self.latents.dims:
            raise EstimatorError(
                f"{others.source} has {others.dims} dimensions, {self.latents.source} has "
                f"{self.latents.dims}; expected latents of the same model"
            )
        own, stars = self._same_exposures(others), self._stars_in(others)
        for place, rows in enumerate(own):
            if stars[place] < 0 and len(rows):
                # Its exposure is known here, whatever its star is called there.
                stars[place] = self._groups.codes[rows[0]]
        return _asked(others, own, stars, [f"query {i}" for i in range(len(others))])

    def _same_exposures(self, others: Latents) -> list[Rows]:
        """Rows of the sample that show the exposure of each row of other latents."""
        found: list[list[Rows]] = [[np.empty(0, dtype=np.int64)] for _ in range(len(others))]
        names = dict(_exposure_names(others))
        for column, rows in self._rows_by_name:
            for place, key in enumerate(names.get(column, ())):
                if isinstance(key, str) and key in rows:
                    found[place].append(rows[key])
        return [np.unique(np.concatenate(rows)).astype(np.int64) for rows in found]

    def _stars_in(self, latents: Latents) -> Rows:
        """Codes of the stars that rows of other latents show; -1 of those not known here."""
        column = self._star_column
        names = known_stars(latents)
        if column != STAR_COLUMNS[0]:
            names = None if column is None else star_names(column, latents, None)
        if names is None:
            return np.full(len(latents), _NO_ROW, dtype=np.int64)
        plain = (plain_name(str(name), column) for name in names)
        return np.array([self._star_codes.get(name, _NO_ROW) for name in plain])


@dataclass(frozen=True, eq=False)
class Asked:
    """A query: its name, its latents in all dimensions, and its rows in the sample.

    `own` are the rows that it is or shows the same exposure as, `row` the first of them (-1: none),
    `star` the code of its star (-1: not known), `error` why it cannot be answered.
    """

    name: str
    values: Floats
    row: int
    own: Rows
    star: int
    file: str
    error: str


def _asked(latents: Latents, own: Sequence[Rows], stars: Rows, names: Sequence[str]) -> list[Asked]:
    """Queries of all rows of latents, by their ids, else by these names."""
    ids, files, errors = latents.ids, latents.column("file"), latents.column("error")
    asked = []
    for i, values in enumerate(np.asarray(latents.values, dtype=np.float64)):
        error = ""
        if not np.isfinite(values).all():
            how = "NaN" if np.isnan(values).any() else "not finite"
            error = _text(errors, i) or f"its latents are {how}"
        name = names[i] if ids is None else str(ids[i])
        row = int(own[i][0]) if len(own[i]) else _NO_ROW
        asked.append(Asked(name, values, row, own[i], int(stars[i]), _text(files, i), error))
    return asked


def _text(column: NDArray[np.object_] | None, row: int) -> str:
    """Text in a column of a table; empty where there is none."""
    return str(column[row]) if column is not None and isinstance(column[row], str) else ""


def _exposure_names(latents: Latents) -> list[tuple[str, pd.Series]]:
    """Columns that name exposures, as text that compares equal for the same one."""
    table = pd.DataFrame() if latents.table is None else latents.table
    held = ((name, find_column(table, name)) for name in _EXPOSURE_NAMES)
    return [(name, row_keys(column, files=True)) for name, column in held if column is not None]


def _read_stars(
    groups: GroupsLike, latents: Latents, labels: pd.DataFrame | None
) -> tuple[Groups, str | None, dict[str, int]]:
    """The star of each row, the column that names it elsewhere too, and codes of names.

    A row without a name is a star of its own.
    """
    found: Groups | None = None
    names: ArrayLike | None
    column: str | None = STAR_COLUMNS[0]
    if isinstance(groups, str) and groups == "auto":
        # Few stars or many, whether rows repeat them or not: a query may show one of them.
        names = known_stars(latents)
        if names is not None and not unnamed(names).all():
            found = read_groups(names, len(latents), column)
    else:
        found, _ = find_groups(groups, latents, labels)
        column = groups if isinstance(groups, str) else None
        names = star_names(groups, latents, labels) if isinstance(groups, str) else groups
    if found is None or names is None:
        alone = np.arange(len(latents))
        return Groups(alone, alone), STAR_COLUMNS[0], {}
    named = ~unnamed(names)
    plain = [plain_name(str(name), column) for name in np.asarray(names, dtype=object)[named]]
    return found, column, dict(zip(plain, found.codes[named].tolist(), strict=True))


def _names_and_labels(
    latents: Latents, labels: pd.DataFrame | None, columns: Sequence[str] | None
) -> pd.DataFrame:
    """Names and labels of each row; " (label)" marks names that results use already."""
    table = pd.DataFrame(index=range(len(latents))) if latents.table is None else latents.table
    names = table[[name for name in NAMES if name in table]].reset_index(drop=True)
    if labels is None:
        return names
    every = [str(name) for name in labels.columns if not names_row(str(name))]
    columns = every if columns is None else listed(columns)
    check_columns(labels, columns)
    renamed = {name: f"{name} (label)" for name in columns if name in _OF_RESULT}
    beside = labels[columns].rename(columns=renamed).reset_index(drop=True)
    return pd.concat([names, beside], axis=1)


def _with_names(table: pd.DataFrame, beside: pd.DataFrame) -> pd.DataFrame:
    """Put the names of a row after its number, and labels at the end."""
    at = list(table.columns).index("row") + 1
    beside = beside.reset_index(drop=True)
    names = [name for name in NAMES if name in beside]
    parts = [table.iloc[:, :at], beside[names], table.iloc[:, at:], beside.drop(columns=names)]
    return pd.concat(parts, axis=1)


def _reasons(differences: pd.DataFrame) -> tuple[list[int], list[str]]:
    """Number of dims in which matches agree, and those that differ most: "85 (+0.71), ..."."""
    values, dims = differences.to_numpy(dtype=np.float64), list(differences.columns)
    largest = np.argsort(-np.abs(values), axis=1, kind="stable")[:, :3]
    differ = [
        ", ".join(f"{dims[place]} ({row[place]:+.2f})" for place in places)
        for row, places in zip(values, largest, strict=True)
    ]
    return (np.abs(values) <= AGREE).sum(axis=1).tolist(), differ


def percentiles(distances: Floats, usual: Floats) -> Floats:
    """Share of the usual distances that are smaller, in %; equal ones count half."""
    if not len(usual):
        return np.full(len(distances), np.nan)
    below = np.searchsorted(usual, distances, "left") + np.searchsorted(usual, distances, "right")
    return np.asarray(below * (50 / len(usual)))


def _rows_text(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _mapped(source: LatentsLike) -> Latents:
    """Read latents; values of a .npy file are mapped from it and not held in memory."""
    read = read_latents(source)
    if not isinstance(source, str | os.PathLike) or not os.fspath(source).lower().endswith(".npy"):
        return read
    mapped = np.load(source, mmap_mode="r")
    # Values that reading converted, such as whole numbers, are not those of the file.
    same = mapped.dtype == read.values.dtype and mapped.shape == read.values.shape
    return replace(read, values=mapped) if same else read
