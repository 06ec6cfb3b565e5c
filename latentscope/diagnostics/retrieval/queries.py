"""What is asked for: rows of the sample, by number or name, or other latents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents
from latentscope.diagnostics.retrieval.sample import RowNames, Stars
from latentscope.errors import ChoiceError, EstimatorError

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Query = int | str | Latents | ArrayLike | Sequence["int | str | Latents"]

_NO_ROW = -1


@dataclass(frozen=True, eq=False)
class Queries:
    """Latents whose neighbours are wanted.

    Parameters
    ----------
    values : ndarray of float64, shape (m, d)
        All dimensions; a row of NaN cannot be compared.
    names : list of str
        What results call them.
    rows : ndarray of int64, shape (m,)
        Row of the sample that a query is, or shows the same exposure as; -1 for none.
    own : list of m arrays of int64
        Rows of the sample that are the query itself.
    stars : ndarray of int64, shape (m,)
        Code of the star that each shows; -1 where no row of the sample is known to show it.
    files : list of str
        File of each spectrum; empty where it is not known.
    reasons : list of str
        Why a query cannot be answered; empty where it can.
    """

    values: Floats
    names: list[str]
    rows: Rows
    own: list[Rows]
    stars: Rows
    files: list[str]
    reasons: list[str]

    def __len__(self) -> int:
        return len(self.values)


def read_queries(
    query: Query | Queries, latents: Latents, names: RowNames, stars: Stars
) -> Queries:
    """Read queries.

    Parameters
    ----------
    query : int, str, Latents, array (d,) or (m, d), or a list of these
        A whole number is a row of the sample, counted from 0, and a list or array (m,) of whole
        numbers are rows; text is the id of a row; other arrays are values in the dimensions of the
        sample.
    latents : Latents
        The sample.
    names : RowNames
        Of the sample.
    stars : Stars
        Of the sample.

    Raises
    ------
    ChoiceError
        If there is no such row, or several have the id.
    EstimatorError
        If values have another number of dimensions, or nothing is asked.
    """
    if isinstance(query, Queries):
        return query
    if isinstance(query, Latents):
        return _other(query, latents, names, stars)
    if isinstance(query, str):
        return _rows([names.find(query)], latents, stars)
    if isinstance(query, list | tuple) and any(_is_one(item) for item in query):
        return joined(read_queries(item, latents, names, stars) for item in query)
    array = np.asarray(query)
    if array.dtype.kind in "iu" and array.ndim <= 1 and array.size:
        return _rows([int(row) for row in np.atleast_1d(array)], latents, stars)
    return _other(_as_latents(array), latents, names, stars)


def _is_one(item: Any) -> bool:
    return isinstance(item, str | Latents | Queries)


def _as_latents(array: NDArray[Any]) -> Latents:
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2) or not array.size:
        raise EstimatorError(
            f"query: {array.dtype} of shape {array.shape}; wanted numbers of rows, ids, or values "
            "of shape (d,) or (m, d)"
        )
    return Latents(np.atleast_2d(array), source="query")


def joined(parts: Iterable[Queries]) -> Queries:
    """Put queries one after the other."""
    parts = list(parts)
    return Queries(
        np.concatenate([part.values for part in parts]),
        [name for part in parts for name in part.names],
        np.concatenate([part.rows for part in parts]),
        [rows for part in parts for rows in part.own],
        np.concatenate([part.stars for part in parts]),
        [file for part in parts for file in part.files],
        [reason for part in parts for reason in part.reasons],
    )


def _rows(rows: list[int], latents: Latents, stars: Stars) -> Queries:
    absent = [row for row in rows if not 0 <= row < len(latents)]
    if absent:
        raise ChoiceError(
            f"{latents.source}: no row {', '.join(map(str, absent))}; wanted 0 ... "
            f"{len(latents) - 1}"
        )
    ids = latents.ids
    places = np.array(rows, dtype=np.int64)
    values = np.asarray(latents.values[places], dtype=np.float64)
    failed = "its latents are NaN: it could not be encoded"
    return Queries(
        values,
        [f"row {row}" if ids is None else f"{ids[row]}" for row in rows],
        places,
        [places[i : i + 1] for i in range(len(places))],
        stars.groups.codes[places],
        _files_of(latents, places),
        ["" if np.isfinite(row).all() else failed for row in values],
    )


def _other(others: Latents, latents: Latents, names: RowNames, stars: Stars) -> Queries:
    if others.dims != latents.dims:
        raise EstimatorError(
            f"{others.source} has {others.dims} dimensions, {latents.source} has {latents.dims}; "
            "wanted latents of the same model"
        )
    own = names.same_exposure(others)
    rows = np.array([found[0] if len(found) else _NO_ROW for found in own], dtype=np.int64)
    return Queries(
        np.asarray(others.values, dtype=np.float64),
        _names_of(others),
        rows,
        own,
        _stars_of(others, rows, stars),
        _files_of(others, np.arange(len(others))),
        [_reason(others, row) for row in range(len(others))],
    )


def _files_of(latents: Latents, rows: Rows) -> list[str]:
    files = latents.column("file")
    if files is None:
        return [""] * len(rows)
    return [file if isinstance(file, str) else "" for file in files[rows]]


def _names_of(latents: Latents) -> list[str]:
    if latents.ids is None:
        return [f"query {row}" for row in range(len(latents))]
    return [str(name) for name in latents.ids]


def _stars_of(others: Latents, rows: Rows, stars: Stars) -> Rows:
    given = stars.names_in(others)
    codes = np.full(len(others), _NO_ROW, dtype=np.int64)
    if given is not None:
        codes = np.array([stars.code_of(name) for name in given], dtype=np.int64)
    known = (codes < 0) & (rows >= 0)
    codes[known] = stars.groups.codes[rows[known]]
    return codes


def _reason(latents: Latents, row: int) -> str:
    if np.isfinite(latents.values[row]).all():
        return ""
    errors = latents.column("error")
    told = "" if errors is None or not isinstance(errors[row], str) else errors[row]
    return told or "its latents are not finite"
