"""All measures of one set of latents and labels, with intervals, beside a rotation and PCA."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from latentscope.data import Latents, align, read_labels, read_latents
from latentscope.diagnostics.columns.column import own_rng
from latentscope.diagnostics.columns.dims import Dims, choose_dims
from latentscope.diagnostics.columns.group_columns import groups_of
from latentscope.diagnostics.columns.groups import Groups, read_groups
from latentscope.diagnostics.disentanglement.baselines import (
    Axes,
    principal_axes,
    random_rotation,
    standardised,
)
from latentscope.diagnostics.disentanglement.forests import forest_scores
from latentscope.diagnostics.disentanglement.information import binned_scores, knn_scores
from latentscope.diagnostics.disentanglement.labels import read_all
from latentscope.diagnostics.disentanglement.linear import explicitness_scores, sap_scores
from latentscope.diagnostics.disentanglement.result import MetricsResult
from latentscope.diagnostics.disentanglement.sample import Stars
from latentscope.diagnostics.disentanglement.scores import Family, Scores
from latentscope.diagnostics.disentanglement.table import Evaluations, matrices_of, table_of
from latentscope.diagnostics.disentanglement.total_correlation import gaussian_scores
from latentscope.diagnostics.disentanglement.total_correlation import (
    knn_scores as knn_total_correlation_scores,
)
from latentscope.diagnostics.pair_table import Progress
from latentscope.diagnostics.provenance import origin
from latentscope.diagnostics.threads import in_order, threads_for
from latentscope.errors import EstimatorError

_REPEATS = 3
_FEWEST_HALVES = 10
_DEAR_SHARE = 5


@dataclass(frozen=True)
class _Measured:
    """A family of measures that come from one evaluation.

    Parameters
    ----------
    scores : Family
    splits : bool
        Whether stars are split at random to learn and to judge, so that several splits are worth
        averaging.
    dear : bool
        Whether an evaluation takes so long that fewer halves have to do.
    """

    scores: Family
    splits: bool = False
    dear: bool = False


_FAMILIES = (
    _Measured(forest_scores, splits=True, dear=True),
    _Measured(knn_total_correlation_scores, dear=True),
    _Measured(knn_scores),
    _Measured(explicitness_scores, splits=True, dear=True),
    _Measured(sap_scores, splits=True),
    _Measured(binned_scores),
    _Measured(gaussian_scores),
)


@dataclass(frozen=True)
class _Task:
    """One evaluation: of which family, along which axes, of all stars or half of them."""

    family: int
    axes: Axes
    half: bool
    stream: tuple[int, ...]


def metrics(
    latents: Latents | ArrayLike | pd.DataFrame | str | os.PathLike[str],
    labels: ArrayLike | pd.DataFrame | str | os.PathLike[str],
    *,
    dims: Dims = "informative",
    columns: Sequence[str] | None = None,
    discrete: Sequence[str] | None = None,
    groups: ArrayLike | pd.Series | str | None = None,
    join: str | None = None,
    bootstrap: int = 100,
    rotations: int = 5,
    most: int = 10_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> MetricsResult:
    """Measure disentanglement: MIG, SAP, DCI, modularity, explicitness, total correlation.

    Each is evaluated on one random row a star, on latents scaled to unit variance, and again on
    random rotations of these and on their principal components, which hold the same information
    along other axes. A number says something only beside those two.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame or path
        Rows of NaN are left out.
    labels : DataFrame, array (n, labels) or path
        Brought to the rows of the latents as `latentscope.align` does. A missing label leaves the
        row out for that label. Continuous labels (clipped at 5 sigma) are cut into 20 bins of equal
        count, fewer below 1,000 stars, where a measure wants classes: MIG and modularity.
    dims : "informative", "all" or a list of int
        "informative": those whose median absolute deviation exceeds 0.02. Two or more.
    columns : list of str, optional
        Labels to take; by default all but ids, names of stars, and text that names nearly each
        row, and those with fewer than 100 stars.
    discrete : list of str, optional
        Labels to take for classes, whatever they look like. Classes of fewer than 20 stars are
        left out.
    groups : array (n,) or str, optional
        Which star each row shows, or the column that says so, as for `mi_matrix`.
    join : str, optional
        Column to join latents and labels on.
    bootstrap : int
        Random halves of the stars that the intervals come from; a fifth of them, but at least 10,
        for what takes long: the forests of DCI, explicitness, and total correlation by neighbours.
        0 leaves intervals out.
    rotations : int
        Random rotations.
    most : int
        Stars at most; of more a random part is taken.
    seed : int
        Of all that is random.
    progress : callable, optional
        Called with (evaluations done, evaluations in all).

    Returns
    -------
    MetricsResult

    Raises
    ------
    EstimatorError
        If there are fewer than two dimensions, values are infinite, no label can be used, one
        asked for cannot, or a number of draws makes no sense.
    TableError
        If latents and labels cannot be read or matched.

    Warns
    -----
    LatentscopeWarning
        If rows repeat a star and no groups are given, or labels have too few stars.
    """
    _check_counts(bootstrap, rotations, most)
    read, frame = align(read_latents(latents), read_labels(labels), join)
    wanted = choose_dims(dims, read)
    if len(wanted) < 2:
        raise EstimatorError(f"{read.source}: {len(wanted)} dimension; wanted two or more")
    given = groups_of(groups, read, frame)
    grouping = read_groups(np.arange(len(read)), len(read)) if given is None else given
    ok, notes = _stars_kept(read, grouping, most, seed)
    named = groups if isinstance(groups, str) else None
    found, told = read_all(frame, columns, discrete or (), named, ok, grouping, seed)
    values = np.array(read.values[:, wanted], dtype=np.float64)
    every = grouping.draws(ok, 1, own_rng(seed, 7)).rows[0]
    stars = Stars(standardised(values, every), ok, grouping, found, wanted)
    evaluations = _evaluated(stars, every, bootstrap, rotations, seed, progress)
    provenance = {
        **origin("metrics"),
        "dims": wanted,
        "columns": [label.name for label in found],
        "discrete": list(discrete or ()),
        "groups": groups if isinstance(groups, str) else groups is not None,
        "join": join,
        "bootstrap": bootstrap,
        "rotations": rotations,
        "most": most,
        "seed": seed,
        "rows": len(read),
        "rows_finite": int(read.ok.sum()),
        "source": read.source,
        "labels": str(frame.attrs.get("source", "labels")),
        "latents": read.provenance,
    }
    importance, information = matrices_of(evaluations, stars)
    table = table_of(evaluations, stars)
    return MetricsResult(table, provenance, (*notes, *told), importance, information)


def _check_counts(bootstrap: int, rotations: int, most: int) -> None:
    if bootstrap != 0 and bootstrap < _FEWEST_HALVES:
        raise EstimatorError(f"bootstrap is {bootstrap}; wanted 0, or {_FEWEST_HALVES} or more")
    if rotations < 1:
        raise EstimatorError(f"rotations is {rotations}; wanted 1 or more")
    if most < 1:
        raise EstimatorError(f"most is {most}; wanted the number of stars at most")


def _stars_kept(
    latents: Latents, groups: Groups, most: int, seed: int
) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], list[str]]:
    """Which rows have latents and belong to the stars that are taken."""
    ok, stars = latents.ok, np.unique(groups.codes[latents.ok])
    if len(stars) <= most:
        return ok, []
    chosen = np.zeros(int(groups.codes.max()) + 1, dtype=bool)
    chosen[own_rng(seed, 8).choice(stars, most, replace=False)] = True
    return ok & chosen[groups.codes], [f"{most:,} of {len(stars):,} stars taken at random"]


def _evaluated(
    stars: Stars,
    every: np.ndarray[Any, np.dtype[np.int64]],
    bootstrap: int,
    rotations: int,
    seed: int,
    progress: Progress | None,
) -> Evaluations:
    turned = [random_rotation(len(stars.dims), own_rng(seed, 9, i)) for i in range(rotations)]
    principal = principal_axes(stars.values[every])
    tasks = [
        replace(task, stream=(seed, *task.stream))
        for number, family in enumerate(_FAMILIES)
        for task in _tasks(number, family, stars.repeated, bootstrap, turned, principal)
    ]

    def work(task: _Task) -> Scores:
        # The same rows for all axes, so that they are compared on equal terms.
        rng = own_rng(*task.stream)
        drawn = stars.draw(task.axes, rng, half=task.half)
        return _FAMILIES[task.family].scores(drawn, rng)

    # Imported here, as scikit-learn, which needs it too, is.
    from threadpoolctl import threadpool_limits

    found = Evaluations()
    # Evaluations keep all cores busy; algebra that starts threads of its own would slow them down.
    threads = threads_for(len(tasks))
    with threadpool_limits(limits=1), closing(in_order(work, tasks, threads)) as results:
        for done, (task, scores) in enumerate(zip(tasks, results, strict=True), start=1):
            found.add("half" if task.half else task.axes.name, scores)
            if progress is not None:
                progress(done, len(tasks))
    return found


def _tasks(
    number: int,
    family: _Measured,
    repeated: bool,
    bootstrap: int,
    turned: Sequence[Axes],
    principal: Axes,
) -> Iterator[_Task]:
    repeats = _REPEATS if family.splits or repeated else 1
    own = Axes("latents")
    for axes in (own, principal):
        for repeat in range(repeats):
            yield _Task(number, axes, False, (10, repeat))
    for i, axes in enumerate(turned):
        yield _Task(number, axes, False, (10, i % repeats))
    halves = max(bootstrap // _DEAR_SHARE, _FEWEST_HALVES) if family.dear else bootstrap
    for half in range(min(halves, bootstrap)):
        yield _Task(number, own, True, (11, half))
