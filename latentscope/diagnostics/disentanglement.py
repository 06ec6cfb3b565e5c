"""Does each dimension hold one thing, and each thing sit in one dimension: published measures.

All measures (`disentanglement_measures.py`) of one set of latents and labels, with intervals,
beside random rotations and PCA.

Rows of a star are not independent, and nearest neighbors take a repeated row for a perfect
relation. So a bootstrap that draws stars with replacement would not do. Half of the stars without
replacement does: with n stars, a statistic of m of them deviates from that of all by
sigma^2 (1/m - 1/n) in variance, which for m = n/2 is the sampling variance of the whole itself
(the delete-d jackknife; J. Shao & C. F. J. Wu, Ann. Statist. 17, 1176, 1989).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import ortho_group
from scipy.stats import t as student

from latentscope.data import LabelsLike, Latents
from latentscope.diagnostics.disentanglement_measures import (
    FAMILIES,
    MEAN,
    MEASURES,
    Axes,
    Codes,
    Drawn,
    Family,
    Floats,
    Key,
    Label,
    Measure,
    Rows,
    Scores,
    mean_of,
)
from latentscope.diagnostics.groups import Groups, GroupsLike
from latentscope.diagnostics.mi.api import Progress
from latentscope.diagnostics.mi.columns import (
    CLIP_SIGMA,
    Column,
    Discrete,
    check_columns,
    choose_labels,
    own_rng,
    read_label,
)
from latentscope.diagnostics.study import Dims, Study, StudyLike, draw, read_study
from latentscope.diagnostics.threads import in_order, threads_for
from latentscope.errors import EstimatorError, LatentscopeWarning, shortened
from latentscope.labels import Missing

BINS = 20
"""Equal-count bins of a continuous label at most."""

COVERED = 0.95
"""Share of samples whose interval holds the value of infinitely many stars."""

_SHOWN = ("metric", "estimator", "value", "low", "high", "rotation", "pca", "verdict")
_BEST = ("mig", "knn")
_REPEATS = 3
# A standard deviation of fewer is itself uncertain by a quarter.
_MIN_HALVES = 10
_SLOW_SHARE = 5
_STARS_PER_BIN = 50
# Half of the stars are drawn, and half of those learned from: a quarter of a class has to do.
_MIN_IN_CLASS = 20
_MIN_STARS = 100
_LEADING_SHARE = 0.2
"""Share of the variance that a thousandth of the rows may have; Gaussian ones have 0.01."""

_FAR = 10.0
_GAUSSIAN = 1.4826
"""Standard deviation of a Gaussian over its median absolute deviation."""

_NOTHING = 1e-10
"""Share of the variance below which a principal component is rounding, not data."""

_MEANINGS = {
    (True, True): "the axes mean something",
    (True, False): "the axes are no accident, but PCA finds about as good ones",
    (False, True): "the axes separate labels better than PCA, but hardly better than by luck",
    (False, False): "these axes are hardly better than others",
}
"""By whether half of the measures or more are better than rotations, and than PCA."""


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
        Mutual information in nats with the label's classes, or bins of equal count, by neighbors.
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
        records = self.headlines.to_dict("records")
        rows = {(row["metric"], row["estimator"]): row for row in records}
        judged = [rows[m.key]["verdict"] for m in MEASURES if m.of_axes and rows[m.key]["verdict"]]
        lines = [_summary(judged), *(_sentence(m, rows[m.key]) for m in MEASURES)]
        here = (self.table["metric"] == _BEST[0]) & (self.table["estimator"] == _BEST[1])
        gaps = self.table[here & (self.table["label"] != MEAN)].dropna(subset="value")
        if len(gaps) > 1:
            widest = gaps.sort_values("value", ascending=False).to_dict("records")
            of_labels = ", ".join(f"{row['label']} ({row['value']:.2f})" for row in widest)
            lines.append(f"Gap by label, MIG (kNN): {of_labels}.")
        return lines

    def plot(self, ax: Any = None) -> Any:
        """Draw values beside baselines (`latentscope.plots.plot_metrics`)."""
        return draw("plot_metrics", self, ax)


def _summary(verdicts: list[str]) -> str:
    if not verdicts:
        return "Without intervals nothing is judged; ask for halves of the stars."
    rotation, pca = (sum(name in text for text in verdicts) for name in ("rotation", "pca"))
    meaning = _MEANINGS[2 * rotation >= len(verdicts), 2 * pca >= len(verdicts)]
    return (
        f"Of {len(verdicts)} measures that depend on the axes, {rotation} are better than any "
        f"random rotation and {pca} better than PCA of the same latents: {meaning}."
    )


def _sentence(measure: Measure, row: dict[Any, Any]) -> str:
    asked = f"It says {measure.question}."
    if np.isnan(row["value"]):
        return f"{measure.title}: not defined here. {asked}"
    between = "" if np.isnan(row["low"]) else f" ({row['low']:.2f} ... {row['high']:.2f})"
    verdict = row["verdict"].replace("pca", "PCA").replace("rotation and PCA", "both")
    return (
        f"{measure.title} {row['value']:.2f}{between}, rotation {row['rotation']:.2f}, PCA "
        f"{row['pca']:.2f}{': ' if verdict else ''}{verdict}. {asked}"
    )


def metrics(
    latents: StudyLike,
    labels: LabelsLike | None = None,
    *,
    dims: Dims = "informative",
    columns: Sequence[str] | None = None,
    discrete: Sequence[str] | None = None,
    groups: GroupsLike = "auto",
    join: str | None = None,
    missing: Missing = "auto",
    n_halves: int = 100,
    n_rotations: int = 5,
    max_stars: int = 10_000,
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
        for that label. Values of a continuous label beyond 5 sigma are left out. It is cut
        into 20 bins of equal count, fewer below 1,000 stars, where a measure takes classes: MIG
        and modularity.
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
    missing : "auto", "none" or list of numbers
        Values of labels that stand for missing ones, as `mi_matrix` takes them.
    n_halves : int
        Random halves of the stars that the intervals come from; a fifth of them, but at least 10,
        for what takes long: the forests of DCI, explicitness, and total correlation by neighbors.
        0 leaves intervals out.
    n_rotations : int
        Random rotations.
    max_stars : int
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
    if n_halves != 0 and n_halves < _MIN_HALVES:
        raise EstimatorError(f"n_halves is {n_halves}; expected 0, or {_MIN_HALVES} or more")
    for name, value in (("n_rotations", n_rotations), ("max_stars", max_stars)):
        if value < 1:
            raise EstimatorError(f"{name} is {value}; expected 1 or more")
    study = read_study(latents, labels, groups=groups, join=join, missing=missing)
    read, chosen = study.latents, study.choose(dims)
    if len(chosen) < 2:
        raise EstimatorError(f"{read.source}: {len(chosen)} dimension; expected two or more")
    ok, sampled = _stars_kept(read, study.stars, max_stars, seed)
    usable, made = ready_labels(study, columns, discrete or (), ok, seed)
    values = np.array(read.values[:, chosen], dtype=np.float64)
    every = study.stars.draws(ok, 1, own_rng(seed, 7)).rows[0]
    stars = Stars(standardized(values, every), ok, study.stars, usable, chosen)
    far = _far_rows(values, every, chosen)
    if far:
        warnings.warn(f"{read.source}: {far}", LatentscopeWarning, stacklevel=2)
    rotations = [random_rotation(len(chosen), own_rng(seed, 9, i)) for i in range(n_rotations)]
    baselines = [principal_axes(stars.values[every]), *rotations]
    scores = _evaluated(stars, baselines, n_halves, seed, progress)
    names = [label.name for label in usable]
    importance, information = (
        pd.DataFrame(
            np.mean([s.matrices[name] for s in scores["latents"] if name in s.matrices], axis=0),
            index=pd.Index(chosen, name="dim"),
            columns=names,
        )
        for name in ("importance", "information (knn)")
    )
    return MetricsResult(
        table=_table(scores, stars),
        provenance=study.provenance(
            "metrics",
            dims=chosen,
            columns=names,
            discrete=list(discrete or ()),
            n_halves=n_halves,
            n_rotations=n_rotations,
            max_stars=max_stars,
            seed=seed,
        ),
        notes=(*study.notes, *sampled, *([far] if far else []), *made),
        importance=importance,
        information=information,
    )


def _stars_kept(
    latents: Latents, groups: Groups, max_stars: int, seed: int
) -> tuple[NDArray[np.bool_], list[str]]:
    """Which rows have latents and belong to the stars that are taken."""
    ok, stars = latents.ok, np.unique(groups.codes[latents.ok])
    if len(stars) <= max_stars:
        return ok, []
    taken = np.zeros(int(groups.codes.max()) + 1, dtype=bool)
    taken[own_rng(seed, 8).choice(stars, max_stars, replace=False)] = True
    return ok & taken[groups.codes], [f"{max_stars:,} of {len(stars):,} stars taken at random"]


def ready_labels(
    study: Study,
    columns: Sequence[str] | None,
    discrete: Sequence[str],
    ok: NDArray[np.bool_],
    seed: int,
) -> tuple[list[Label], list[str]]:
    """Choose labels and make them ready: numbers where there are, and classes always.

    `ok`, shape (n,), are the rows with latents, of the stars that are taken. Returns the labels,
    and in words what was left out or binned. Labels with fewer than 100 stars or one class are an
    error if they were asked for by name, else left out with a warning.
    """
    frame = study.label_table
    check_columns(frame, discrete)
    names, notes = choose_labels(frame, columns, study.group_column)
    labels, refused, cut, clipped = [], [], [], []
    for name in names:
        kind: Discrete = True if name in discrete else "auto"
        column = read_label(name, frame[name], discrete=kind, seed=seed)
        keep = column.valid & ok
        # Bins and rare classes are those of stars: one with ten spectra counts once.
        rows = study.stars.draws(keep, 1, np.random.default_rng(0)).rows[0]
        if column.codes is None:
            codes, note = _binned(column, keep, rows), ""
        else:
            codes, note = _frequent(column, keep, rows)
        has = codes >= 0
        numbers = None if column.discrete else column.values
        label = Label(name, codes, numbers, int(has.sum()), study.stars.count(has))
        if label.n_stars < _MIN_STARS:
            refused.append(f"{name} ({label.n_stars} stars)")
        elif label.classes < 2:
            refused.append(f"{name} (constant)")
        else:
            labels.append(label)
            notes += [note] if note else []
            cut += [f"{name} ({label.classes})"] if numbers is not None else []
            clipped += [f"{name} ({column.n_clipped})"] if column.n_clipped else []
    if refused:
        text = (
            f"{_MIN_STARS} stars with the label and two classes or more are needed: "
            f"{shortened(refused)}"
        )
        if not labels:
            raise EstimatorError(text)
        if columns is not None:
            raise EstimatorError(f"{text}; leave them out")
        warnings.warn(f"left out, since {text}", LatentscopeWarning, stacklevel=3)
    if clipped:
        notes.append(f"values beyond {CLIP_SIGMA:g} sigma left out: {', '.join(clipped)}")
    if cut:
        notes.append(
            f"cut into bins of about equal count, where classes are needed: {', '.join(cut)}"
        )
    return labels, notes


def _binned(column: Column, keep: NDArray[np.bool_], rows: Rows) -> Codes:
    """Cut at the quantiles of one row a star; equal values stay in one bin."""
    assert column.values is not None
    codes = np.full(len(keep), -1, dtype=np.int64)
    if not len(rows):
        return codes
    bins = int(np.clip(len(rows) // _STARS_PER_BIN, 2, BINS))
    edges = np.unique(np.quantile(column.values[rows], np.arange(1, bins) / bins))
    codes[keep] = np.searchsorted(edges, column.values[keep], side="right")
    codes[keep] = np.unique(codes[keep], return_inverse=True)[1]
    return codes


def _frequent(column: Column, keep: NDArray[np.bool_], rows: Rows) -> tuple[Codes, str]:
    """Leave out classes of few stars, of which no half could be learned."""
    assert column.codes is not None
    codes = np.full(len(keep), -1, dtype=np.int64)
    stars = np.bincount(column.codes[rows], minlength=column.n_classes)
    frequent = stars >= _MIN_IN_CLASS
    number = np.cumsum(frequent) - 1
    taken = keep & frequent[column.codes]
    codes[taken] = number[column.codes[taken]]
    note = f"{column.name}: {int(frequent.sum())} classes"
    n_rare, n_left_out = int((~frequent & (stars > 0)).sum()), int(stars[~frequent].sum())
    if n_rare:
        note += f", {n_rare} with fewer than {_MIN_IN_CLASS} stars left out ({n_left_out} stars)"
    return codes, note


@dataclass(frozen=True, eq=False)
class Stars:
    """Standardized latents (n, d) of these dims, labels, and which rows show one star.

    `ok`: which rows have latents; the values of others are NaN.
    """

    values: Floats
    ok: NDArray[np.bool_]
    groups: Groups
    labels: Sequence[Label]
    dims: Sequence[int]

    def draw(self, axes: Axes, rng: np.random.Generator, *, half: bool = False) -> Drawn:
        """Draw one random row of each star, or of a random half of the stars.

        A row is drawn for each label among those that have the label.
        """
        keep = self.ok
        if half:
            codes = self.groups.codes
            stars = np.unique(codes[self.ok])
            taken = np.zeros(len(codes), dtype=bool)
            taken[rng.choice(stars, len(stars) // 2, replace=False)] = True
            keep = keep & taken[codes]
        # Of its own for each label: a star may lack one in some of its spectra.
        masks = [keep, *(keep & (label.codes >= 0) for label in self.labels)]
        every, *rows = (self.groups.draws(mask, 1, rng).rows[0] for mask in masks)
        return Drawn(self.values, self.dims, self.labels, axes, every, rows)


def _far_rows(values: Floats, rows: Rows, dims: Sequence[int]) -> str:
    """Say in which dims a few rows make up the variance, on which some measures rest; or nothing.

    `values` have shape (n, d), and `rows` are those of one draw a star.
    """
    part = values[rows]
    away = np.abs(part - np.median(part, axis=0))
    squared = np.sort(away**2, axis=0)
    count = max(1, len(part) // 1000)
    share = squared[-count:].sum(axis=0) / np.maximum(squared.sum(axis=0), np.finfo(float).tiny)
    spread = _GAUSSIAN * np.median(away, axis=0)
    led = np.flatnonzero((share > _LEADING_SHARE) & (away.max(axis=0) > _FAR * spread))
    if not len(led):
        return ""
    numbers = rows[np.argmax(away[:, led], axis=0)]
    found = [
        f"dim {dims[dim]} (row {row}, {away[:, dim].max() / max(spread[dim], 1e-300):.3g} sigma)"
        for dim, row in zip(led.tolist(), numbers, strict=True)
    ]
    return (
        f"few rows far out make up {share[led].min():.0%} of the variance or more, by which SAP, "
        "binned MIG, gaussian total correlation, forests and PCA go; the measures by neighbors do "
        f"not; set such rows to NaN to leave them out: {shortened(found)}"
    )


def standardized(values: Floats, rows: Rows) -> Floats:
    """Return values (n, d) with mean 0 and standard deviation 1 over some rows, a column each.

    A column that is constant there becomes 0.
    """
    part = values[rows]
    constant = np.ptp(part, axis=0) == 0
    scaled: Floats = (values - part.mean(axis=0)) / np.where(constant, 1.0, part.std(axis=0))
    scaled[:, constant] *= 0.0  # and NaN stays NaN
    return scaled


def random_rotation(d: int, rng: np.random.Generator) -> Axes:
    """Return an orthogonal matrix, drawn evenly from all."""
    return Axes("rotation", ortho_group.rvs(d, random_state=rng))


def principal_axes(values: Floats) -> Axes:
    """Return the principal axes of values of shape (n, d), the widest first.

    An axis along which nothing varies but rounding errors is 0: ranks would make a column of them
    as wide as any.
    """
    variance, vectors = np.linalg.eigh(np.cov(values, rowvar=False))
    order = np.argsort(variance)[::-1]
    kept = variance[order] > _NOTHING * variance.sum()
    return Axes("pca", vectors[:, order] * kept)


class _Task(NamedTuple):
    """One evaluation: of which family, along which axes, of all stars or half of them."""

    family: Family
    axes: Axes
    half: bool
    stream: tuple[int, ...]


def _tasks(
    family: Family, repeated: bool, baselines: Sequence[Axes], n_halves: int
) -> Iterator[_Task]:
    own, (principal, *rotations) = Axes("latents"), baselines
    repeats = _REPEATS if family.splits or repeated else 1
    for axes in (own, principal):
        for repeat in range(repeats):
            yield _Task(family, axes, False, (10, repeat))
    for i, axes in enumerate(rotations):
        yield _Task(family, axes, False, (10, i % repeats))
    halves = max(n_halves // _SLOW_SHARE, _MIN_HALVES) if family.slow else n_halves
    for half in range(min(halves, n_halves)):
        yield _Task(family, own, True, (11, half))


def _evaluated(
    stars: Stars, baselines: Sequence[Axes], n_halves: int, seed: int, progress: Progress | None
) -> dict[str, list[Scores]]:
    """Scores by what was evaluated: "latents", "rotation", "pca", or "half" of the stars."""
    # Where a star has several rows, which of them is drawn is worth averaging over.
    repeated = stars.groups.count(stars.ok) < int(stars.ok.sum())
    tasks = [task for it in FAMILIES for task in _tasks(it, repeated, baselines, n_halves)]

    def work(task: _Task) -> Scores:
        # The same rows for all axes, so that they are compared on equal terms.
        rng = own_rng(seed, *task.stream)
        return task.family.scores(stars.draw(task.axes, rng, half=task.half), rng)

    # Imported here, as scikit-learn, which needs it too, is.
    from threadpoolctl import threadpool_limits

    scores: dict[str, list[Scores]] = {}
    # Evaluations keep all cores busy; algebra that starts threads of its own would slow them down.
    threads = threads_for(len(tasks))
    with threadpool_limits(limits=1), closing(in_order(work, tasks, threads)) as results:
        for done, (task, one) in enumerate(zip(tasks, results, strict=True), start=1):
            scores.setdefault("half" if task.half else task.axes.name, []).append(one)
            if progress is not None:
                progress(done, len(tasks))
    return scores


def _table(scores: dict[str, list[Scores]], stars: Stars) -> pd.DataFrame:
    """The table of `MetricsResult`: measures in the order of the catalogue, means first."""
    counts = {label.name: (label.n_rows, label.n_stars) for label in stars.labels}
    whole = (int(stars.ok.sum()), stars.groups.count(stars.ok))
    order = {measure.key: place for place, measure in enumerate(MEASURES)}
    keys = dict.fromkeys(key for one in scores["latents"] for key in one.values)
    return pd.DataFrame(
        [
            _row(key, MEASURES[order[key[:2]]], scores, counts.get(key.label, whole))
            for key in sorted(keys, key=lambda key: (order[key[:2]], key.label != MEAN))
        ]
    )


def _row(
    key: Key, measure: Measure, scores: dict[str, list[Scores]], counts: tuple[int, int]
) -> dict[str, Any]:
    def of(what: str) -> Floats:
        return np.array([s.values[key] for s in scores.get(what, []) if key in s.values])

    value, halves = mean_of(of("latents")), of("half")
    low, high = interval(value, halves, counts[1])
    # Axis 3 of a rotation is none of the latents' dimensions.
    comparable = not key.label.startswith("dim ")
    turned = of("rotation") if comparable else np.empty(0)
    row = {
        **key._asdict(),
        "value": value,
        "low": low,
        "high": high,
        "rotation": mean_of(turned),
        "rotation_low": float(turned.min()) if len(turned) else float("nan"),
        "rotation_high": float(turned.max()) if len(turned) else float("nan"),
        "pca": mean_of(of("pca")) if comparable else float("nan"),
    }
    row["verdict"] = _verdict(row, measure) if comparable and measure.of_axes else ""
    return {**row, "draws": len(halves), "n": counts[0], "n_groups": counts[1]}


def interval(value: float, halves: Floats, stars: int) -> tuple[float, float]:
    """95 % interval of a value from its values on random halves of the stars, shape (draws,).

    Halves are m = stars // 2 stars, drawn without replacement. What counts is their standard
    deviation, times sqrt(m / (stars - m)); that half as many stars give another mean, as estimators
    with a bias do, does not. By Student's t with draws - 1 degrees of freedom; NaN without draws.
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
    # The best of the rotations counts, since one of them is good by luck.
    if measure.lower_is_better:
        better = {"rotation": row["high"] < row["rotation_low"], "pca": row["high"] < row["pca"]}
    else:
        better = {"rotation": row["low"] > row["rotation_high"], "pca": row["low"] > row["pca"]}
    beaten = [name for name, beats in better.items() if beats]
    return f"better than {' and '.join(beaten)}" if beaten else "no better"
