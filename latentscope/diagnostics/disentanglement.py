"""Published measures of disentanglement, with intervals, beside random rotations and PCA.

Nearest neighbors take a repeated row for a perfect relation, so a bootstrap of stars would not do.
Half of the stars without replacement does: with n stars, a statistic of m of them deviates from
that of all by sigma^2 (1/m - 1/n) in variance, which for m = n/2 is the sampling variance of the
whole itself (the delete-d jackknife; J. Shao & C. F. J. Wu, Ann. Statist. 17, 1176, 1989).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import ortho_group
from scipy.stats import t as student

from latentscope.data import LabelsLike
from latentscope.diagnostics.disentanglement_measures import (
    FAMILIES,
    MEAN,
    MEASURES,
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
    mean_scores,
)
from latentscope.diagnostics.mi.columns import (
    CLIP_SIGMA,
    Column,
    Names,
    Seed,
    choose_labels,
    is_text,
    own_rng,
    read_label,
    whole_seed,
)
from latentscope.diagnostics.study import (
    Dims,
    Groups,
    GroupsLike,
    Result,
    Study,
    StudyLike,
    check_least,
    read_study,
)
from latentscope.errors import EstimatorError, shortened, warn
from latentscope.labels import Missing
from latentscope.workers import Progress, counted, in_order, threads_for

BINS = 20
"""Equal-count bins of a continuous label at most."""

COVERED = 0.95
"""Share of samples whose interval holds the value of infinitely many stars."""

_SHOWN = ("metric", "estimator", "value", "low", "high", "rotation", "pca", "verdict")
_BEST = ("mig", "knn")
_REPEATS = 3
_MIN_HALVES = 10  # fewer give a standard deviation that is uncertain by a quarter
_SLOW_SHARE = 5
_STARS_PER_BIN = 50
_FEWEST_TO_COMPARE = BINS * _STARS_PER_BIN
_MOST_IF_SLOW = 10_000
_MOST_IN_PART = 5_000
_MIN_IN_CLASS = 20  # a quarter of which is learned from
_MIN_STARS = 100
_LEADING_SHARE = 0.2
"""Share of the variance that a thousandth of the rows may have; Gaussian ones have 0.01."""

_FAR = 10.0
_GAUSSIAN = 1.4826  # standard deviation of a Gaussian over its median absolute deviation
_NOTHING = 1e-10  # share of the variance below which a principal component is rounding, not data
_MEANINGS = {
    (True, True): "the axes mean something",
    (True, False): "the axes are no accident, but PCA finds about as good ones",
    (False, True): "the axes separate labels better than PCA, but hardly better than by luck",
    (False, False): "these axes are hardly better than others",
}
"""By whether half of the measures or more are better than rotations, and than PCA."""


@dataclass(frozen=True, eq=False, repr=False)
class MetricsResult(Result):
    """Measures of disentanglement, with intervals, beside those of other axes.

    Parameters
    ----------
    table : DataFrame
        One row per measure and label: `metric, estimator, label, value, low, high, rotation,
        rotation_low, rotation_high, pca, verdict, draws, n, n_groups`. `label` is "mean" for all
        labels (or the latents as a whole), and "dim 3" for a dimension. `low ... high`: 95 %
        interval over samples of stars; `rotation`: mean over random rotations of the latents, and
        their range; `pca`: for their principal components; `verdict`: the baselines that the whole
        interval beats, empty where axes do not matter or there is no interval; `draws`: halves for
        the interval; `n`: rows; `n_groups`: stars, each of which counts once.
    importance : DataFrame, dims x labels
        Share of each label's variance that a forest explains through each dimension, on stars it
        has not seen; 0 where it does not predict the label.
    information : DataFrame, dims x labels
        Mutual information in nats with the label's classes, or bins of equal count, by neighbors.
    """

    drawn_by = "plot_metrics"

    table: pd.DataFrame
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()
    importance: pd.DataFrame | None = None
    information: pd.DataFrame | None = None

    @property
    def headlines(self) -> pd.DataFrame:
        """Rows of the table over all labels, one per measure and estimator."""
        return self.table[self.table["label"] == MEAN].reset_index(drop=True)

    @property
    def compact(self) -> pd.DataFrame:
        """The headlines with the most important columns."""
        return self.headlines[list(_SHOWN)]

    def sentences(self) -> list[str]:
        """Say what the measures mean beside the baselines."""
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
    discrete: bool | Names | None = None,
    numeric: Names | None = None,
    groups: GroupsLike = "auto",
    join: str | None = None,
    missing: Missing = "auto",
    n_halves: int = 100,
    n_rotations: int = 5,
    max_stars: int | None = None,
    seed: Seed = 0,
    progress: Progress | None = None,
) -> MetricsResult:
    """Measure disentanglement: MIG, SAP, DCI, modularity, explicitness, total correlation.

    Each is evaluated on one random row per star, on latents scaled to unit variance, and again on
    random rotations of these and on their principal components, which hold the same information
    along other axes. A number says something only beside those two.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        Rows of NaN are left out.
    labels : DataFrame, array (n, labels) or path
        Joined on an id column that both have, else row by row. Values of a continuous label beyond
        5 sigma are left out. For MIG and modularity it is cut into 20 bins of equal count, fewer
        below 1,000 stars.
    dims : "informative", "all" or a list of int
        Two or more.
    columns : list of str, optional
        Labels to take; by default all that `mi_matrix` takes and 100 stars have.
    discrete : bool or list of str, optional
        Labels to treat as classes, by default text and booleans. Classes of fewer than 20 stars are
        left out.
    numeric : list of str, optional
        Labels to treat as numbers, by default all others, also those of a grid.
    groups, join, missing
        As for `read_study`, with its errors and warnings.
    n_halves : int
        Random halves of the stars for the intervals; a fifth of them, but at least 10, for what
        takes long: forests, explicitness, and total correlation by neighbors. Above 10,000 stars,
        parts of 5,000. 0: no intervals.
    n_rotations : int
        Random rotations.
    max_stars : int, optional
        Stars at most, of more a random part; by default all, but 10,000 for what takes long. Fewer
        stars have fewer bins, so compare archives at equal numbers.
    seed : int or Generator
        Seed of all random draws.
    progress : callable, optional
        Called with (evaluations done, evaluations in all).

    Raises
    ------
    EstimatorError
        If there are fewer than two dimensions, values are infinite, or labels cannot be used.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(500, 2))
    >>> labels = pd.DataFrame({"Teff": z[:, 1], "logg": z[:, 0]})
    >>> result = metrics(z, labels, n_halves=0, n_rotations=1)
    >>> bool(result["mig"]["value"].max() > 0.9)
    True
    """
    seed = whole_seed(seed)
    if n_halves != 0 and n_halves < _MIN_HALVES:
        raise EstimatorError(f"n_halves is {n_halves}; expected 0, or {_MIN_HALVES} or more")
    check_least(1, n_rotations=n_rotations, max_stars=max_stars)
    study = read_study(
        latents, labels, groups=groups, join=join, missing=missing, discrete=discrete,
        numeric=numeric,
    )  # fmt: skip
    read, chosen = study.latents, study.choose(dims)
    if len(chosen) < 2:
        raise EstimatorError(f"{read.source}: {len(chosen)} dimension; expected two or more")
    ok, sampled = _stars_kept(study, max_stars, seed)
    usable, made = ready_labels(study, columns, ok, seed)
    count = study.stars.count(ok)
    if count < _FEWEST_TO_COMPARE and any(label.numbers is not None for label in usable):
        few = (
            f"{count:,} stars, below {_FEWEST_TO_COMPARE:,}: MIG, DMIG and modularity cut numbers "
            f"into {_bins(count)} bins instead of {BINS}, and are higher than with more stars; "
            "compare at equal numbers (max_stars=, --max-stars)"
        )
        warn(f"{read.source}: {few}")
        sampled.append(few)
    values = np.array(read.values[:, chosen], dtype=np.float64)
    every = study.stars.draws(ok, 1, own_rng(seed, 7)).rows[0]
    stars = Stars(standardized(values, every), ok, study.stars, usable, chosen, seed)
    far = _far_rows(values, every, chosen)
    if far:
        warn(f"{read.source}: {far}")
    rotations = [random_rotation(len(chosen), own_rng(seed, 9, i)) for i in range(n_rotations)]
    pca = principal_axes(stars.values[every])
    samples = {False: stars, True: stars.at_most(_MOST_IF_SLOW)}
    scores = _evaluated(samples, pca, rotations, n_halves, progress)
    names = [label.name for label in usable]
    importance, information = (
        pd.DataFrame(
            np.mean([s.matrices[name] for s in scores["latents"] if name in s.matrices], axis=0),
            index=pd.Index(chosen, name="dim"),
            columns=names,
        )
        for name in ("importance", "information (knn)")
    )
    provenance = study.provenance(
        "metrics", dims=chosen, columns=names, n_halves=n_halves, n_rotations=n_rotations,
        max_stars=max_stars, seed=seed,
    )  # fmt: skip
    notes = (*study.notes, *study.left_out_of(dims), *sampled, *([far] if far else []), *made)
    return MetricsResult(_table(scores, samples), provenance, notes, importance, information)


def _stars_kept(
    study: Study, max_stars: int | None, seed: int
) -> tuple[NDArray[np.bool_], list[str]]:
    """Which rows with latents are used, and words on those that are not."""
    ok, stars = study.latents.ok, study.stars.count(study.latents.ok)
    notes = []
    if max_stars is not None and stars > max_stars:
        ok = ok & _some_stars(study.stars, ok, max_stars, own_rng(seed, 8))
        notes = [f"{max_stars:,} of {stars:,} stars taken at random"]
        stars = max_stars
    if stars > _MOST_IF_SLOW:
        notes.append(
            f"DCI, explicitness and total correlation by neighbors: on {_MOST_IF_SLOW:,} of "
            f"{stars:,} stars, taken at random"
        )
    return ok, notes


def _some_stars(
    groups: Groups, ok: NDArray[np.bool_], count: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Rows of so many stars, drawn from those with latents."""
    taken = np.zeros(int(groups.codes.max()) + 1, dtype=bool)
    taken[rng.choice(np.unique(groups.codes[ok]), count, replace=False)] = True
    return taken[groups.codes]


def ready_labels(
    study: Study, columns: Sequence[str] | None, ok: NDArray[np.bool_], seed: int
) -> tuple[list[Label], list[str]]:
    """Prepare numbers and classes of labels, and say what was left out or binned.

    Numbers stay numbers, however few values they have, unless the study takes them for classes.
    `ok` (n,) are the rows to use. Labels with fewer than 100 stars or one class are an error if
    they were asked for by name, else left out with a warning.
    """
    frame = study.label_table
    names, notes = choose_labels(frame, columns, study.group_column)
    labels, refused, cut, clipped = [], [], [], []
    for name in names:
        kind = study.kinds.get(name, is_text(frame[name]))
        column = read_label(name, frame[name], discrete=kind, seed=seed)
        keep = column.valid & ok
        # Bins and rare classes are those of stars.
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
        if not labels or columns is not None:
            raise EstimatorError(f"{text}; leave them out" if labels else text)
        warn(f"left out, since {text}")
    for doubtful, doubt in ((_may_wrap, _WRAPS), (_may_be_codes, _CODES)):
        unsaid = shortened(
            label.name
            for label in labels
            if label.numbers is not None
            and label.name not in study.kinds
            and doubtful(label.numbers[ok])
        )
        if unsaid:
            warn(f"{unsaid}: {doubt}")
            notes.append(f"{unsaid}: {doubt}")
    if clipped:
        notes.append(f"values beyond {CLIP_SIGMA:g} sigma left out: {', '.join(clipped)}")
    if cut:
        notes.append(
            f"cut into bins of about equal count, where classes are needed: {', '.join(cut)}"
        )
    return labels, notes


_WRAPS = (
    "spans a full turn, such as 0 to 360. Lines and errors break where an angle wraps: use its "
    "sine and cosine as labels, or say with numeric (--numeric) that it is no angle"
)
_CODES = (
    "looks like the numbers of classes (0, 1, 2, ...), but is treated as an ordered number; say "
    "which it is with discrete (--discrete) or numeric (--numeric)"
)
_TURNS = ((0.0, 360.0), (-180.0, 180.0), (0.0, 24.0), (0.0, 2 * np.pi), (-np.pi, np.pi))
_END = 0.01  # share of a turn that values may leave empty at its ends


def _may_wrap(numbers: Floats) -> bool:
    """Whether numbers fill a whole turn, from end to end, and nothing beyond."""
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    return any(
        first <= low and high <= last and (low - first) + (last - high) < _END * (last - first)
        for first, last in _TURNS
    )


def _may_be_codes(numbers: Floats) -> bool:
    """Whether numbers are 0 ... m or 1 ... m, all present, as codes of few classes."""
    values = np.unique(numbers[~np.isnan(numbers)])
    few = 2 <= len(values) <= BINS and values[0] in (0, 1)
    return few and bool((np.diff(values) == 1).all())


def _binned(column: Column, keep: NDArray[np.bool_], rows: Rows) -> Codes:
    """Bin at the quantiles of one row per star; equal values share a bin."""
    assert column.values is not None
    codes = np.full(len(keep), -1, dtype=np.int64)
    if not len(rows):
        return codes
    bins, levels = _bins(len(rows)), np.unique(column.values[rows])
    if len(levels) <= bins:
        edges = levels[1:]
    else:
        edges = np.unique(np.quantile(column.values[rows], np.arange(1, bins) / bins))
    codes[keep] = np.searchsorted(edges, column.values[keep], side="right")
    codes[keep] = np.unique(codes[keep], return_inverse=True)[1]
    return codes


def _bins(stars: int) -> int:
    return int(np.clip(stars // _STARS_PER_BIN, 2, BINS))


def _frequent(column: Column, keep: NDArray[np.bool_], rows: Rows) -> tuple[Codes, str]:
    """Leave out classes of few stars."""
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
    """Standardized latents (n, d) of these dims, labels, and stars; `ok`: which rows to use."""

    values: Floats
    ok: NDArray[np.bool_]
    groups: Groups
    labels: Sequence[Label]
    dims: Sequence[int]
    seed: int

    @cached_property
    def count(self) -> int:
        """Number of stars."""
        return self.groups.count(self.ok)

    @property
    def part_size(self) -> int:
        """Stars in a part that intervals come from."""
        return min(self.count // 2, _MOST_IN_PART)

    def draw(self, axes: Floats | None, stream: tuple[int, ...], part: int | None = None) -> Drawn:
        """Draw one random row of each star (of a numbered part), and one with each label."""
        keep, codes = self.ok, self.groups.codes
        if part is not None:
            rng = own_rng(self.seed, 11, part)
            keep = keep & _some_stars(self.groups, keep, self.part_size, rng)
        # A star may lack a label in some of its spectra.
        masks = [keep, *(keep & (label.codes >= 0) for label in self.labels)]
        rng = own_rng(self.seed, *stream)
        lots = rng.random(int(codes.max()) + 1)[codes]
        every, *rows = (self.groups.draws(mask, 1, rng).rows[0] for mask in masks)
        return Drawn(self.values, self.dims, self.labels, axes, every, rows, lots)

    def at_most(self, count: int) -> Stars:
        """Return a random part of the stars, if there are more."""
        if self.count <= count:
            return self
        taken = _some_stars(self.groups, self.ok, count, own_rng(self.seed, 13))
        return replace(self, ok=self.ok & taken)

    def counted(self, label: Label | None) -> tuple[int, int]:
        """Count the rows, and the stars, that have latents and this label."""
        keep = self.ok if label is None else self.ok & (label.codes >= 0)
        return int(keep.sum()), self.groups.count(keep)


def _far_rows(values: Floats, rows: Rows, dims: Sequence[int]) -> str:
    """Name the dims of (n, d) in which a few rows make up the variance; empty if none."""
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
        f"a few outlying rows make up {share[led].min():.0%} of the variance or more, and decide "
        "SAP, binned MIG, gaussian total correlation, forests and PCA, but not the measures by "
        f"neighbors; set these rows to NaN to leave them out: {shortened(found)}"
    )


def standardized(values: Floats, rows: Rows) -> Floats:
    """Values (n, d) with mean 0 and standard deviation 1 over some rows; constant columns are 0."""
    part = values[rows]
    constant = np.ptp(part, axis=0) == 0
    scaled: Floats = (values - part.mean(axis=0)) / np.where(constant, 1.0, part.std(axis=0))
    scaled[:, constant] *= 0.0  # and NaN stays NaN
    return scaled


def random_rotation(d: int, rng: np.random.Generator) -> Floats:
    """Return a random orthogonal matrix (d, d)."""
    return np.asarray(ortho_group.rvs(d, random_state=rng))


def principal_axes(values: Floats) -> Floats:
    """Return the principal axes of values (n, d) in columns, the widest first.

    They are 0 where nothing varies: ranks would make a column of rounding errors as wide as any.
    """
    variance, vectors = np.linalg.eigh(np.cov(values, rowvar=False))
    order = np.argsort(variance)[::-1]
    kept = variance[order] > _NOTHING * variance.sum()
    return np.asarray(vectors[:, order] * kept)


class _Task(NamedTuple):
    """A family of measures, along some axes, on all stars or a part, averaged over repeats.

    `what` is "latents", "rotation", "pca", or "half" of the stars.
    """

    what: str
    family: Family
    axes: Floats | None
    repeats: Sequence[int]
    part: int | None = None


def _tasks(
    family: Family, repeated: bool, pca: Floats, rotations: Sequence[Floats], n_halves: int
) -> Iterator[_Task]:
    repeats = range(_REPEATS if family.splits or repeated else 1)
    yield _Task("latents", family, None, repeats)
    yield _Task("pca", family, pca, repeats)
    for i, axes in enumerate(rotations):
        yield _Task("rotation", family, axes, [i % len(repeats)])
    halves = max(n_halves // _SLOW_SHARE, _MIN_HALVES) if family.slow else n_halves
    for part in range(min(halves, n_halves)):
        yield _Task("half", family, None, repeats, part)


def _evaluated(
    samples: dict[bool, Stars],
    pca: Floats,
    rotations: Sequence[Floats],
    n_halves: int,
    progress: Progress | None,
) -> dict[str, list[Scores]]:
    """Scores by what was evaluated.

    `samples` has the stars of families that are slow (True) and of the others (False).
    """
    stars = samples[False]
    # Averaged over the rows drawn, where a star has several.
    repeated = stars.count < int(stars.ok.sum())
    tasks = [t for it in FAMILIES for t in _tasks(it, repeated, pca, rotations, n_halves)]

    def work(task: _Task) -> Scores:
        sample, found = samples[task.family.slow], []
        for repeat in task.repeats:
            # The same rows for all axes.
            drawn = sample.draw(task.axes, (10, repeat), task.part)
            found.append(task.family.scores(drawn, own_rng(sample.seed, 12, repeat)))
        return mean_scores(found)

    from threadpoolctl import threadpool_limits

    scores: dict[str, list[Scores]] = {}
    # Evaluations keep all cores busy; threads of the algebra would slow them down.
    threads = threads_for(len(tasks))
    with threadpool_limits(limits=1), closing(in_order(work, tasks, threads)) as results:
        for task, one in counted(zip(tasks, results, strict=True), len(tasks), progress):
            scores.setdefault(task.what, []).append(one)
    return scores


def _table(scores: dict[str, list[Scores]], samples: dict[bool, Stars]) -> pd.DataFrame:
    """The table of `MetricsResult`: measures in the order of the catalogue, means first."""
    own = zip(FAMILIES, scores["latents"], strict=True)
    slow = {key[:2] for family, one in own if family.slow for key in one.values}
    labels = {label.name: label for label in samples[False].labels}
    order = {measure.key: place for place, measure in enumerate(MEASURES)}
    keys = dict.fromkeys(key for one in scores["latents"] for key in one.values)
    rows = []
    for key in sorted(keys, key=lambda key: (order[key[:2]], key.label != MEAN)):
        sample = samples[key[:2] in slow]
        rows.append(_row(key, MEASURES[order[key[:2]]], scores, sample, labels.get(key.label)))
    return pd.DataFrame(rows)


def _row(
    key: Key, measure: Measure, scores: dict[str, list[Scores]], stars: Stars, label: Label | None
) -> dict[str, Any]:
    def of(what: str) -> Floats:
        return np.array([s.values[key] for s in scores.get(what, []) if key in s.values])

    n, n_stars = stars.counted(label)
    value, halves = mean_of(of("latents")), of("half")
    low, high = interval(value, halves, n_stars * stars.part_size / stars.count, n_stars)
    # Axis 3 of a rotation is none of the latents' dimensions.
    comparable = not key.label.startswith("dim ")
    turned = of("rotation") if comparable else np.empty(0)
    row = {
        **key._asdict(),
        "value": value,
        # An estimate may lie beyond what the measure can be; its interval need not.
        "low": np.minimum(value, np.maximum(low, measure.least)),
        "high": np.maximum(value, np.minimum(high, measure.most)),
        "rotation": mean_of(turned),
        "rotation_low": float(turned.min()) if len(turned) else np.nan,
        "rotation_high": float(turned.max()) if len(turned) else np.nan,
        "pca": mean_of(of("pca")) if comparable else np.nan,
    }
    row["verdict"] = _verdict(row, measure) if comparable and measure.of_axes else ""
    return {**row, "draws": len(halves), "n": n, "n_groups": n_stars}


def interval(value: float, parts: Floats, m: float, n: int) -> tuple[float, float]:
    """95 % interval of a value of n stars from its values on random parts of m of them, (draws,).

    From the standard deviation of the parts, drawn without replacement, times sqrt(m / (n - m)), by
    Student's t; their mean, which the bias of estimators shifts, does not count. NaN without draws.
    """
    if len(parts) < 2 or not np.isfinite(parts).all():
        return float("nan"), float("nan")
    width = float(student.ppf(0.5 + COVERED / 2, len(parts) - 1)) * error_of(parts, m, n)
    return value - width, value + width


def error_of(parts: Floats, m: float, n: int) -> float:
    """Standard error of a value of n stars from its values on random parts of m of them."""
    return float(parts.std(ddof=1) * np.sqrt(m / (n - m)))


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
