"""Does each dimension hold one thing, and each thing sit in one dimension: published measures.

All measures of one set of latents and labels, with intervals, beside random rotations and PCA.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from latentscope.data import LabelsLike, Latents
from latentscope.diagnostics.disentanglement_measures import (
    MEAN,
    MEASURES,
    Axes,
    Family,
    Key,
    Measure,
    Scores,
    Stars,
    binned_scores,
    explicitness_scores,
    forest_scores,
    gaussian_total_correlation_scores,
    knn_scores,
    knn_total_correlation_scores,
    mean_of,
    principal_axes,
    random_rotation,
    read_all,
    sap_scores,
    standardised,
)
from latentscope.diagnostics.groups import Groups, GroupsLike
from latentscope.diagnostics.mi.columns import own_rng
from latentscope.diagnostics.mi.table import Progress
from latentscope.diagnostics.study import (
    Dims,
    StudyLike,
    read_study,
)
from latentscope.diagnostics.threads import in_order, threads_for
from latentscope.errors import EstimatorError

_SHOWN = ("metric", "estimator", "value", "low", "high", "rotation", "pca", "verdict")
_BEST = ("mig", "knn")


@dataclass(frozen=True, eq=False)
class MetricsResult:
    """Measures of disentanglement, with intervals, beside those of other axes.

    Parameters
    ----------
    table : DataFrame
        One row a measure and label: `metric, estimator, label, value, low, high, rotation,
        rotation_low, rotation_high, pca, verdict, draws, n, n_groups`. `label` is "mean" for all
        labels (or the latents as a whole), and "dim 3" for a dimension, where the measure has one.
        `low` ... `high` is the 95 % interval over samples of stars. `rotation` is the mean over
        random rotations of the latents, `rotation_low` ... `rotation_high` their range, `pca` the
        value of their principal components. `verdict` names the baselines that the whole interval
        beats; it is empty where axes do not matter or there is no interval. `draws` is the number
        of halves that the interval comes from. `n` counts rows, `n_groups` stars, each of which
        counts once.
    provenance : dict
        Settings, versions, and where latents and labels come from.
    notes : tuple of str
        What was done to the labels, in words.
    importance : DataFrame, dims x labels
        Share of each label's variance that a forest explains through each dimension, on stars it
        has not seen; 0 where it does not predict the label.
    information : DataFrame, dims x labels
        Mutual information in nats with the label's classes, or bins of equal count, by neighbours.
    """

    table: pd.DataFrame
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()
    importance: pd.DataFrame | None = None
    information: pd.DataFrame | None = None

    @property
    def headlines(self) -> pd.DataFrame:
        """Rows of the table over all labels, one a measure and estimator."""
        return self.table[self.table["label"] == MEAN].reset_index(drop=True)

    @property
    def compact(self) -> pd.DataFrame:
        """The headlines with the columns that a person wants first."""
        return self.headlines[list(_SHOWN)]

    def sentences(self) -> list[str]:
        """Say what the numbers mean beside the baselines, in lines a person can read."""
        rows = {(row["metric"], row["estimator"]): row for row in _records(self.headlines)}
        lines = [self._summary(rows)]
        lines += [_sentence(measure, rows[measure.key]) for measure in MEASURES]
        return lines + self._labels()

    def _summary(self, rows: dict[tuple[str, str], dict[str, Any]]) -> str:
        judged = [m for m in MEASURES if m.of_axes and rows[m.key]["verdict"]]
        if not judged:
            return "Without intervals nothing is judged; ask for a bootstrap."
        over = {
            name: sum(name in rows[m.key]["verdict"] for m in judged)
            for name in ("rotation", "pca")
        }
        means = _MEANS[2 * over["rotation"] >= len(judged), 2 * over["pca"] >= len(judged)]
        return (
            f"Of {len(judged)} measures that depend on the axes, {over['rotation']} are better "
            f"than any random rotation and {over['pca']} better than PCA of the same latents: "
            f"{means}."
        )

    def _labels(self) -> list[str]:
        """Name the labels with the widest and the narrowest gap."""
        here = (self.table["metric"] == _BEST[0]) & (self.table["estimator"] == _BEST[1])
        rows = self.table[here & (self.table["label"] != MEAN)].dropna(subset="value")
        if len(rows) < 2:
            return []
        ordered = rows.sort_values("value", ascending=False)
        told = [f"{row['label']} ({row['value']:.2f})" for row in _records(ordered)]
        return [f"Gap by label, MIG (kNN): {', '.join(told)}."]

    def plot(self, ax: Any = None) -> Any:
        """Draw values beside baselines (`latentscope.plots.plot_metrics`)."""
        # By name, since diagnostics stand below the pictures of them.
        return import_module("latentscope.plots").plot_metrics(self, ax)


_MEANS = {
    (True, True): "the axes mean something",
    (True, False): "the axes are no accident, but PCA finds about as good ones",
    (False, True): "the axes separate labels better than PCA, but hardly better than by luck",
    (False, False): "these axes are hardly better than others",
}


def _records(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table.to_dict("records")


def _sentence(measure: Measure, row: dict[str, Any]) -> str:
    asked = f"It says {measure.question}."
    if np.isnan(row["value"]):
        return f"{measure.title}: not defined here. {asked}"
    between = "" if np.isnan(row["low"]) else f" ({row['low']:.2f} ... {row['high']:.2f})"
    verdict = row["verdict"].replace("pca", "PCA").replace("rotation and PCA", "both")
    return (
        f"{measure.title} {row['value']:.2f}{between}, rotation {row['rotation']:.2f}, PCA "
        f"{row['pca']:.2f}{': ' if verdict else ''}{verdict}. {asked}"
    )


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
    _Measured(gaussian_total_correlation_scores),
)


@dataclass(frozen=True)
class _Task:
    """One evaluation: of which family, along which axes, of all stars or half of them."""

    family: int
    axes: Axes
    half: bool
    stream: tuple[int, ...]


def metrics(
    latents: StudyLike,
    labels: LabelsLike | None = None,
    *,
    dims: Dims = "informative",
    columns: Sequence[str] | None = None,
    discrete: Sequence[str] | None = None,
    groups: GroupsLike = "auto",
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
    latents : Latents, array (n, d), DataFrame, path, or Study
        Rows of NaN are left out.
    labels : DataFrame, array (n, labels) or path
        Joined on an id column that both have, else row by row. A missing label leaves the row out
        for that label. Continuous labels (clipped at 5 sigma) are cut into 20 bins of equal
        count, fewer below 1,000 stars, where a measure wants classes: MIG and modularity.
    dims : "informative", "all" or a list of int
        "informative": as for `mi_matrix`. Two or more.
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
        If rows repeat a star and no groups are found, or labels have too few stars.
    """
    _check_counts(bootstrap, rotations, most)
    study = read_study(latents, labels, groups=groups, join=join)
    read, wanted, grouping = study.latents, study.choose(dims), study.stars
    if len(wanted) < 2:
        raise EstimatorError(f"{read.source}: {len(wanted)} dimension; expected two or more")
    ok, notes = _stars_kept(read, grouping, most, seed)
    found, told = read_all(
        study.label_table, columns, discrete or (), study.group_column, ok, grouping, seed
    )
    values = np.array(read.values[:, wanted], dtype=np.float64)
    every = grouping.draws(ok, 1, own_rng(seed, 7)).rows[0]
    stars = Stars(standardised(values, every), ok, grouping, found, wanted)
    evaluations = _evaluated(stars, every, bootstrap, rotations, seed, progress)
    provenance = study.provenance(
        "metrics",
        dims=wanted,
        columns=[label.name for label in found],
        discrete=list(discrete or ()),
        bootstrap=bootstrap,
        rotations=rotations,
        most=most,
        seed=seed,
    )
    importance, information = matrices_of(evaluations, stars)
    table = table_of(evaluations, stars)
    words = (*study.notes, *notes, *told)
    return MetricsResult(table, provenance, words, importance, information)


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


Floats = NDArray[np.float64]

COVERED = 0.95
"""Share of samples whose interval holds the value of infinitely many stars."""


@dataclass(frozen=True)
class Evaluations:
    """Scores by what was evaluated: "latents", "rotation", "pca", or "half" of the stars."""

    found: dict[str, list[Scores]] = field(default_factory=dict)

    def add(self, what: str, scores: Scores) -> None:
        """Keep the scores of one evaluation."""
        self.found.setdefault(what, []).append(scores)

    def of(self, what: str, key: Key) -> Floats:
        """Return one number from all evaluations that have it."""
        return np.array(
            [scores.values[key] for scores in self.found.get(what, []) if key in scores.values]
        )

    def matrix(self, name: str) -> Floats:
        """Return the mean of a matrix over the evaluations of the latents."""
        found = [s.matrices[name] for s in self.found["latents"] if name in s.matrices]
        mean: Floats = np.mean(found, axis=0)
        return mean

    @property
    def keys(self) -> list[Key]:
        """Numbers there are, the measures in the order of the catalogue, means first."""
        order = {measure.key: place for place, measure in enumerate(MEASURES)}
        keys = dict.fromkeys(key for scores in self.found["latents"] for key in scores.values)
        return sorted(keys, key=lambda key: (order[key[:2]], key.label != MEAN))


def table_of(evaluations: Evaluations, stars: Stars) -> pd.DataFrame:
    """Return the table of `MetricsResult`."""
    counts = {label.name: (label.n_rows, label.n_stars) for label in stars.labels}
    whole = (int(stars.ok.sum()), stars.groups.count(stars.ok))
    by_key = {measure.key: measure for measure in MEASURES}
    return pd.DataFrame(
        [
            _row(key, by_key[key[:2]], evaluations, counts.get(key.label, whole))
            for key in evaluations.keys
        ]
    )


def _row(
    key: Key, measure: Measure, evaluations: Evaluations, counts: tuple[int, int]
) -> dict[str, Any]:
    value = mean_of(evaluations.of("latents", key))
    halves = evaluations.of("half", key)
    low, high = interval(value, halves, counts[1])
    # Axis 3 of a rotation is none of the latents' dimensions.
    comparable = not key.label.startswith("dim ")
    turned = evaluations.of("rotation", key) if comparable else np.empty(0)
    principal = mean_of(evaluations.of("pca", key)) if comparable else float("nan")
    row = {
        **key._asdict(),
        "value": value,
        "low": low,
        "high": high,
        "rotation": mean_of(turned),
        "rotation_low": float(turned.min(initial=np.inf)) if len(turned) else float("nan"),
        "rotation_high": float(turned.max(initial=-np.inf)) if len(turned) else float("nan"),
        "pca": principal,
    }
    row["verdict"] = _verdict(row, measure) if comparable and measure.of_axes else ""
    return {**row, "draws": len(halves), "n": counts[0], "n_groups": counts[1]}


def interval(value: float, halves: Floats, stars: int) -> tuple[float, float]:
    """95 % interval of a value from its values on random halves of the stars.

    Parameters
    ----------
    value : float
        On all stars.
    halves : ndarray of float64, shape (draws,)
        On m = stars // 2 of them, drawn without replacement. What counts is their standard
        deviation, times sqrt(m / (stars - m)); that half as many stars give another mean, as
        estimators with a bias do, does not.
    stars : int

    Returns
    -------
    low, high : float
        By Student's t with draws - 1 degrees of freedom; NaN where there are no draws.
    """
    if len(halves) < 2 or not np.isfinite(halves).all():
        return float("nan"), float("nan")
    m = stars // 2
    error = float(halves.std(ddof=1)) * np.sqrt(m / (stars - m))
    width = float(student.ppf(0.5 + COVERED / 2, len(halves) - 1)) * error
    return value - width, value + width


def _verdict(row: dict[str, Any], measure: Measure) -> str:
    """Which baselines the whole interval beats."""
    if np.isnan(row["low"]):
        return ""
    if measure.lower_is_better:
        over_rotation, over_pca = row["high"] < row["rotation_low"], row["high"] < row["pca"]
    else:
        over_rotation, over_pca = row["low"] > row["rotation_high"], row["low"] > row["pca"]
    beaten = [name for name, it in (("rotation", over_rotation), ("pca", over_pca)) if it]
    return f"better than {' and '.join(beaten)}" if beaten else "no better"


def matrices_of(evaluations: Evaluations, stars: Stars) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return importances, and mutual information by neighbours, dims x labels."""
    names = [label.name for label in stars.labels]
    importance, information = (
        pd.DataFrame(evaluations.matrix(name), index=list(stars.dims), columns=names)
        for name in ("importance", "information (knn)")
    )
    return importance.rename_axis("dim"), information.rename_axis("dim")
