"""Mutual information of every latent dimension with every label."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.activity import mad
from latentscope.diagnostics.columns import Column, Discrete, read_column
from latentscope.diagnostics.estimators import Estimator, check_estimator
from latentscope.diagnostics.group_columns import groups_of
from latentscope.diagnostics.groups import Groups
from latentscope.diagnostics.label_columns import check_known, choose_labels, read_label
from latentscope.diagnostics.mi_result import MIResult
from latentscope.diagnostics.pairs import Settings, measure, warn_of_ties
from latentscope.diagnostics.provenance import origin
from latentscope.diagnostics.significance import false_discovery_rate
from latentscope.errors import EstimatorError, LatentscopeWarning
from latentscope.latents import Latents, align, read_labels, read_latents

Dims = Literal["all", "informative"] | Sequence[int] | NDArray[np.integer[Any]] | None
Progress = Callable[[int, int], None]


def mi_matrix(
    latents: Latents | ArrayLike | pd.DataFrame | str | os.PathLike[str],
    labels: ArrayLike | pd.DataFrame | str | os.PathLike[str],
    *,
    dims: Dims = "all",
    columns: Sequence[str] | None = None,
    estimator: Estimator = "auto",
    neighbors: int = 3,
    clip_sigma: float | None = 5.0,
    discrete: Sequence[str] | None = None,
    groups: ArrayLike | pd.Series | str | None = None,
    join: str | None = None,
    draws: int = 11,
    permutations: int = 199,
    seed: int = 0,
    progress: Progress | None = None,
) -> MIResult:
    """Mutual information of latent dimensions with labels, in nats, with errors and significance.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame or path
        Rows of NaN are left out.
    labels : DataFrame, array (n, labels) or path
        Brought to the rows of the latents as `latentscope.align` does. A missing label leaves the
        row out for that label.
    dims : "all", "informative" or a list of int
        "informative": those whose median absolute deviation exceeds 0.02.
    columns : list of str, optional
        Labels to take; by default all but ids, names of stars, and text that names nearly each
        row.
    estimator : {"auto", "copula", "ksg", "ross", "plugin"}
        As for `mutual_information`; "auto" looks at each pair.
    neighbors : int
        k of the nearest-neighbour estimators.
    clip_sigma : float, optional
        Clip continuous labels at so many standard deviations from their mean; None does not.
    discrete : list of str, optional
        Labels to take for classes, whatever they look like. By default text, booleans and numbers
        of 20 values or fewer.
    groups : array (n,) or str, optional
        Which star each row shows, or the column that says so: the sidecar's, filled from the label
        table's of that name, and `star` from `object`. Rows of a star are not independent: the
        value is then the median over draws of one random row a star, the error bar includes their
        spread, and the null shuffles whole stars.
    join : str, optional
        Column to join latents and labels on.
    draws : int
        Draws of one row a group.
    permutations : int
        Shuffles of groups at most.
    seed : int
        Of ties, jitter, draws and shuffles.
    progress : callable, optional
        Called with (pairs done, pairs in all).

    Returns
    -------
    MIResult

    Raises
    ------
    EstimatorError
        If values are infinite, a label asked for has too few rows or groups, the estimator does
        not take a pair, or no row with latents has a name in `groups`.
    TableError
        If latents and labels cannot be read or matched.

    Warns
    -----
    LatentscopeWarning
        If rows repeat a star and no groups are given, rows have no name in `groups`, columns are
        constant, or pairs have too few rows or groups, which makes them NaN.
    """
    check_estimator(estimator)
    settings = Settings(estimator, neighbors, draws, permutations, seed)
    read, frame = align(read_latents(latents), read_labels(labels), join)
    wanted = _dims(dims, read)
    grouping = groups_of(groups, read, frame)
    check_known(frame, discrete or ())
    names, notes = choose_labels(frame, columns, groups if isinstance(groups, str) else None)
    task = _Task(read, frame, grouping, settings, clip_sigma, frozenset(discrete or ()))
    label_columns = [task.label(name) for name in names]
    label_columns, few = _with_rows(label_columns, task, strict=columns is not None)
    warn_of_ties(label_columns, estimator)
    task = replace(task, settings=replace(settings, pairs=len(label_columns) * len(wanted)))
    table = _table(task, label_columns, wanted, progress, strict=columns is not None)
    _warn_of_constants(table)
    _check_measured(table, settings.neighbors)
    said = [column.note for column in label_columns if column.note]
    provenance = {
        **origin("mutual information"),
        **asdict(settings),
        "dims": wanted,
        "columns": [column.name for column in label_columns],
        "discrete": list(discrete or ()),
        "clip_sigma": clip_sigma,
        "groups": groups if isinstance(groups, str) else groups is not None,
        "join": join,
        "rows": len(read),
        "rows_finite": int(read.ok.sum()),
        "source": read.source,
        "labels": str(frame.attrs.get("source", "labels")),
        "latents": read.provenance,
    }
    return MIResult(table, provenance, (*notes, *few, *said))


@dataclass(frozen=True)
class _Task:
    """What all pairs of a matrix share."""

    latents: Latents
    frame: pd.DataFrame
    groups: Groups | None
    settings: Settings
    clip_sigma: float | None
    discrete: frozenset[str]

    def label(self, name: str) -> Column:
        forced = name in self.discrete or self.settings.estimator in ("ross", "plugin")
        kind: Discrete = False if self.settings.estimator in ("ksg", "copula") else "auto"
        return read_label(
            name,
            self.frame[name],
            discrete=forced or kind,
            clip_sigma=self.clip_sigma,
            seed=self.settings.seed,
        )

    def dim(self, number: int) -> Column:
        values = np.where(self.latents.ok, self.latents.values[:, number], np.nan)
        kind: Discrete = "auto" if self.settings.estimator == "auto" else False
        kind = True if self.settings.estimator == "plugin" else kind
        stream = (self.settings.seed, 0, number)
        return read_column(f"dim {number}", values, discrete=kind, stream=stream)


def _dims(dims: Dims, latents: Latents) -> list[int]:
    infinite = np.flatnonzero(np.isinf(latents.values).any(axis=0))
    if len(infinite):
        raise EstimatorError(
            f"{latents.source}: infinite values in dims {', '.join(map(str, infinite[:10]))}; set "
            "these rows to NaN to leave them out"
        )
    if dims is None or (isinstance(dims, str) and dims == "all"):
        return list(range(latents.dims))
    if isinstance(dims, str):
        return _named_dims(dims, latents)
    numbers = [int(dim) for dim in dims]
    unknown = [dim for dim in numbers if not 0 <= dim < latents.dims]
    if unknown or not numbers:
        raise EstimatorError(
            f"dims {unknown or numbers}: wanted some of 0 ... {latents.dims - 1} of "
            f"{latents.source}"
        )
    return sorted(set(numbers))


def _named_dims(dims: str, latents: Latents) -> list[int]:
    if dims != "informative":
        raise EstimatorError(f"dims is {dims!r}; wanted all, informative, or a list of numbers")
    result = mad(latents)
    if not len(result.informative):
        raise EstimatorError(
            f"{latents.source}: no dimension is informative (largest deviation "
            f"{result.values.max():.2g}, threshold {result.threshold:g}); ask for dims='all'"
        )
    return [int(dim) for dim in result.informative]


def _with_rows(
    labels: list[Column], task: _Task, *, strict: bool
) -> tuple[list[Column], list[str]]:
    """Leave out labels with too few rows, which `measure` refuses, unless they were asked for."""
    least = task.settings.neighbors
    rows = {column.name: int((column.valid & task.latents.ok).sum()) for column in labels}
    few = [] if strict else [name for name, n in rows.items() if n <= least]
    for name in few:
        warnings.warn(
            f"{name}: left out, since {rows[name]} rows have it and a latent, and more than "
            f"neighbors={least} are needed",
            LatentscopeWarning,
            stacklevel=3,
        )
    kept = [column for column in labels if column.name not in few]
    if not kept:
        raise EstimatorError(f"no label has more than {least} rows with finite latents")
    return kept, [f"{name}: left out, {rows[name]} rows" for name in few]


def _table(
    task: _Task,
    labels: list[Column],
    dims: list[int],
    progress: Progress | None,
    *,
    strict: bool,
) -> pd.DataFrame:
    rows = []
    for dim in dims:
        column = task.dim(dim)
        for place, label in enumerate(labels):
            result = measure(column, label, task.groups, task.settings, strict=strict)
            rows.append({"label": label.name, "dim": dim, **asdict(result), "place": place})
            if progress is not None:
                progress(len(rows), len(dims) * len(labels))
    table = pd.DataFrame(rows).sort_values(["place", "dim"], ignore_index=True)
    q_values = false_discovery_rate(table["p_value"].to_numpy(dtype=np.float64))
    table.insert(list(table.columns).index("p_value") + 1, "q_value", q_values)
    return table.drop(columns="place")


def _check_measured(table: pd.DataFrame, neighbors: int) -> None:
    few = table[table["mi_nats"].isna()]
    if len(few) == len(table):
        raise EstimatorError(f"no pair has more than neighbors={neighbors} groups with both")
    if len(few):
        names = ", ".join(dict.fromkeys(few["label"]))
        warnings.warn(
            f"{len(few)} of {len(table)} pairs are NaN, with too few rows or groups: those of "
            f"{names}; the column reason says how many",
            LatentscopeWarning,
            stacklevel=3,
        )


def _warn_of_constants(table: pd.DataFrame) -> None:
    constant = table[table["reason"].str.startswith("constant: ")]
    if not len(constant):
        return
    names = list(dict.fromkeys(constant["reason"].str.removeprefix("constant: ")))
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    warnings.warn(
        f"constant, hence mutual information 0: {shown}", LatentscopeWarning, stacklevel=3
    )
