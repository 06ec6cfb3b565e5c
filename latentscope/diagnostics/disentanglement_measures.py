"""The measures of disentanglement, each evaluated on one random row a star.

MIG: T. Q. Chen et al., "Isolating sources of disentanglement in variational autoencoders", NeurIPS
(2018), section 4.1. Modularity and explicitness: K. Ridgeway, M. C. Mozer, "Learning deep
disentangled embeddings with the F-statistic loss", NeurIPS (2018), section 3. SAP: A. Kumar,
P. Sattigeri, A. Balakrishnan, "Variational inference of disentangled latent concepts from unlabeled
observations", ICLR (2018), section 3. DCI: C. Eastwood, C. K. I. Williams, "A framework for the
quantitative evaluation of disentangled representations", ICLR (2018), section 2. Total correlation:
S. Watanabe, IBM J. Res. Dev. 4, 66 (1960); by nearest neighbors as A. Kraskov, H. Stoegbauer,
P. Grassberger, Phys. Rev. E 69, 066138 (2004), eq. 23.

Rows of a star are not independent, and nearest neighbors take a repeated row for a perfect
relation. So a bootstrap that draws stars with replacement would not do. Half of the stars without
replacement does: with n stars, a statistic of m of them deviates from that of all by
sigma^2 (1/m - 1/n) in variance, which for m = n/2 is the sampling variance of the whole itself
(the delete-d jackknife; J. Shao & C. F. J. Wu, Ann. Statist. 17, 1176, 1989).

Importance in forests is measured on stars that the trees have not seen, as X. Li et al., "A
debiased MDI feature importance measure for random forests", NeurIPS (2019), eq. 8: importance
counted where trees learn adds noise for every dimension, however irrelevant.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.special import digamma, ndtri
from scipy.stats import rankdata

from latentscope.diagnostics.groups import Groups
from latentscope.diagnostics.mi.columns import (
    Column,
    Discrete,
    check_known,
    choose_labels,
    read_column,
    read_label,
)
from latentscope.diagnostics.mi.estimators import closer_points, digamma_table
from latentscope.diagnostics.mi.table import Settings, value_of
from latentscope.errors import EstimatorError, LatentscopeWarning, shortened

MEAN = "mean"
"""What the table calls the row of a measure over all labels, or of the latents as a whole."""


@dataclass(frozen=True)
class Measure:
    """One line of the table's headlines.

    Parameters
    ----------
    metric, estimator : str
        As the table names them.
    title : str
        As a person says it.
    question : str
        What it measures, in words.
    lower_is_better : bool
    of_axes : bool
        Whether it depends on the choice of axes, so that baselines are something to beat.
    bounded : bool
        Whether 1 is perfect; else it is in nats.
    """

    metric: str
    estimator: str
    title: str
    question: str
    lower_is_better: bool = False
    of_axes: bool = True
    bounded: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """What finds it in the table."""
        return self.metric, self.estimator


_AHEAD = "how far the best dimension of a label is ahead of the second best"

MEASURES = (
    Measure("mig", "binned", "MIG (binned)", f"{_AHEAD}, as a share of the label's entropy"),
    Measure("mig", "knn", "MIG (kNN)", f"{_AHEAD}, as a share of the label's entropy"),
    Measure("sap", "linear", "SAP", f"{_AHEAD}, for straight lines"),
    Measure(
        "dci_disentanglement",
        "forest",
        "DCI disentanglement",
        "whether a dimension serves one label only",
    ),
    Measure(
        "dci_completeness",
        "forest",
        "DCI completeness",
        "whether a label is served by one dimension only",
    ),
    Measure("modularity", "binned", "Modularity (binned)", "whether a dimension knows one label"),
    Measure("modularity", "knn", "Modularity (kNN)", "whether a dimension knows one label"),
    Measure(
        "dci_informativeness",
        "forest",
        "DCI informativeness",
        "how much of the labels a forest predicts from all dimensions",
        of_axes=False,
    ),
    Measure(
        "explicitness",
        "logistic",
        "Explicitness",
        "how well straight borders tell labels apart, 0.5 being chance",
        of_axes=False,
    ),
    Measure(
        "total_correlation",
        "gaussian",
        "Total correlation (Gaussian)",
        "what the dimensions share in straight lines, in nats; PCA has none by construction",
        lower_is_better=True,
        of_axes=False,
        bounded=False,
    ),
    Measure(
        "total_correlation",
        "knn",
        "Total correlation (kNN)",
        "what the dimensions share in any way, in nats",
        lower_is_better=True,
        bounded=False,
    ),
)


Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

BINS = 20
"""Equal-count bins of a continuous label at most."""

_STARS_PER_BIN = 50
_FEWEST_IN_CLASS = 20
_FEWEST_STARS = 100
_CLIP_SIGMA = 5.0


@dataclass(frozen=True, eq=False)
class Label:
    """A label, ready.

    Parameters
    ----------
    name : str
    codes : ndarray of int64, shape (n,)
        Class of each row, 0, 1, ..., -1 where missing. Of a continuous label the bin of equal
        count.
    numbers : ndarray of float64, shape (n,), or None
        Values of a continuous label, clipped at 5 sigma, NaN where missing; None for classes.
    n_rows, n_stars : int
        Rows, and stars, that have the label and latents.
    """

    name: str
    codes: Codes
    numbers: Floats | None
    n_rows: int
    n_stars: int

    @property
    def classes(self) -> int:
        """Number of classes or bins."""
        return int(self.codes.max()) + 1


def read_all(
    frame: pd.DataFrame,
    columns: Sequence[str] | None,
    discrete: Sequence[str],
    named: str | None,
    ok: NDArray[np.bool_],
    groups: Groups,
    seed: int,
) -> tuple[list[Label], list[str]]:
    """Choose labels and make them ready.

    Parameters
    ----------
    frame : DataFrame of n rows
    columns, discrete : list of str
        As those of `mi_matrix`.
    named : str or None
        The column of groups.
    ok : ndarray of bool, shape (n,)
        Rows with latents.
    groups : Groups
    seed : int

    Returns
    -------
    labels : list of Label
    notes : list of str
        What was left out or binned, in words.

    Raises
    ------
    EstimatorError
        If no label is left, or one that was asked for cannot be used.

    Warns
    -----
    LatentscopeWarning
        If labels are left out that have fewer than 100 stars or one class.
    """
    check_known(frame, discrete)
    names, notes = choose_labels(frame, columns, named)
    labels, refused, cut = [], [], []
    for name in names:
        wanted: Discrete = True if name in discrete else "auto"
        column = read_label(name, frame[name], discrete=wanted, clip_sigma=_CLIP_SIGMA, seed=seed)
        label, note = _label(column, ok, groups)
        problem = _problem(label)
        if problem:
            refused.append(f"{name} ({problem})")
            continue
        labels.append(label)
        notes += [note] if note else []
        cut += [f"{name} ({label.classes})"] if label.numbers is not None else []
    _tell(refused, strict=columns is not None, none_left=not labels)
    if cut:
        notes.append(
            f"cut into bins of about equal count, where classes are wanted: {', '.join(cut)}"
        )
    return labels, notes


def _label(column: Column, ok: NDArray[np.bool_], groups: Groups) -> tuple[Label, str]:
    keep = column.valid & ok
    rows = groups.draws(keep, 1, np.random.default_rng(0)).rows[0]
    if column.codes is None:
        codes, note = _binned(column, keep, rows), ""
    else:
        codes, note = _frequent(column, keep, rows)
    kept = codes >= 0
    label = Label(
        column.name,
        codes,
        None if column.discrete else column.values,
        int((kept & ok).sum()),
        groups.count(kept & ok),
    )
    return label, note


def _binned(column: Column, keep: NDArray[np.bool_], rows: Codes) -> Codes:
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


def _frequent(column: Column, keep: NDArray[np.bool_], rows: Codes) -> tuple[Codes, str]:
    """Leave out classes of few stars, of which no half could be learned."""
    assert column.codes is not None
    codes = np.full(len(keep), -1, dtype=np.int64)
    stars = np.bincount(column.codes[rows], minlength=column.classes)
    frequent = stars >= _FEWEST_IN_CLASS
    number = np.cumsum(frequent) - 1
    taken = keep & frequent[column.codes]
    codes[taken] = number[column.codes[taken]]
    rare = int((~frequent & (stars > 0)).sum())
    left = int(stars[~frequent].sum())
    note = f"{column.name}: {int(frequent.sum())} classes"
    told = f", {rare} with fewer than {_FEWEST_IN_CLASS} stars left out ({left} stars)"
    return codes, note + (told if rare else "")


def _problem(label: Label) -> str:
    if label.n_stars < _FEWEST_STARS:
        return f"{label.n_stars} stars"
    return "constant" if label.classes < 2 else ""


def _tell(refused: list[str], *, strict: bool, none_left: bool) -> None:
    if not refused:
        return
    wanted = f"{_FEWEST_STARS} stars with the label and two classes or more are needed"
    told = f"{wanted}: {shortened(refused)}"
    if strict or none_left:
        raise EstimatorError(f"{told}; leave them out" if not none_left else told)
    warnings.warn(f"left out, since {told}", LatentscopeWarning, stacklevel=4)


Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stars:
    """Latents, labels, and which rows show one star.

    Parameters
    ----------
    values : ndarray of float64, shape (n, d)
        Standardised latents of the dimensions chosen; NaN where a row has none.
    ok : ndarray of bool, shape (n,)
        Which rows have latents.
    groups : Groups
        Star of each row.
    labels : list of Label
    dims : list of int
        Numbers of the d dimensions.
    """

    values: Floats
    ok: NDArray[np.bool_]
    groups: Groups
    labels: Sequence[Label]
    dims: Sequence[int]

    @property
    def repeated(self) -> bool:
        """Whether some star has several rows with latents."""
        return self.groups.count(self.ok) < int(self.ok.sum())

    def draw(self, axes: Axes, rng: np.random.Generator, *, half: bool = False) -> Drawn:
        """Draw one random row of each star, or of a random half of the stars.

        A row is drawn for each label among those that have the label.
        """
        keep = self.ok & self._half(rng) if half else self.ok
        known = [keep & (label.codes >= 0) for label in self.labels]
        rows = [self.groups.draws(mask, 1, rng).rows[0] for mask in (keep, *known)]
        return Drawn(self, axes, rows[0], rows[1:])

    def _half(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        stars = np.unique(self.groups.codes[self.ok])
        chosen = np.zeros(len(self.groups.codes), dtype=bool)
        chosen[rng.choice(stars, len(stars) // 2, replace=False)] = True
        taken: NDArray[np.bool_] = chosen[self.groups.codes]
        return taken


@dataclass(frozen=True, eq=False)
class Drawn:
    """One row a star, seen along some axes.

    Parameters
    ----------
    stars : Stars
    axes : Axes
        Latents as they are, or a baseline.
    every : ndarray of int64
        A row of each star.
    rows : list of ndarray of int64
        For each label a row of each star that has it.
    """

    stars: Stars
    axes: Axes
    every: Rows
    rows: Sequence[Rows]

    @property
    def labels(self) -> Sequence[Label]:
        """The labels."""
        return self.stars.labels

    @property
    def names(self) -> list[str]:
        """Names of the labels."""
        return [label.name for label in self.labels]

    def latents(self, rows: Rows) -> Floats:
        """Latents of some rows along these axes, shape (rows, d)."""
        return self.axes.of(self.stars.values[rows])


def split(count: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Split `count` rows, of as many stars, into two random halves: to learn and to judge."""
    order = rng.permutation(count)
    return np.sort(order[: count // 2]), np.sort(order[count // 2 :])


_NOTHING = 1e-10
"""Share of the variance below which a principal component is rounding, not data."""


@dataclass(frozen=True, eq=False)
class Axes:
    """Axes along which latents are seen.

    Parameters
    ----------
    name : str
        "latents", "rotation" or "pca".
    matrix : ndarray of float64, shape (d, d), or None
        New axes in columns; None for the latents' own.
    """

    name: str
    matrix: Floats | None = None

    def of(self, values: Floats) -> Floats:
        """Return values of shape (n, d) along these axes."""
        return values if self.matrix is None else values @ self.matrix


def standardised(values: Floats, rows: NDArray[np.int64]) -> Floats:
    """Return values (n, d) with mean 0 and standard deviation 1 over some rows, a column each.

    A column that is constant there becomes 0.
    """
    mean, std = values[rows].mean(axis=0), values[rows].std(axis=0)
    constant = np.ptp(values[rows], axis=0) == 0
    scaled: Floats = (values - mean) / np.where(constant, 1.0, std)
    scaled[:, constant] *= 0.0
    return scaled


def random_rotation(d: int, rng: np.random.Generator) -> Axes:
    """Return an orthogonal matrix drawn evenly from all (F. Mezzadri, Notices AMS 54, 592, 2007).

    QR of a Gaussian matrix, with the signs of the diagonal of R put into Q.
    """
    q, r = np.linalg.qr(rng.normal(size=(d, d)))
    return Axes("rotation", q * np.sign(np.diag(r)))


def principal_axes(values: Floats) -> Axes:
    """Return the principal axes of values of shape (n, d), the widest first.

    An axis along which nothing varies but rounding errors is 0: ranks would make a column of them
    as wide as any.
    """
    covariance = np.cov(values, rowvar=False)
    variance, vectors = np.linalg.eigh(covariance)
    order = np.argsort(variance)[::-1]
    kept = variance[order] > _NOTHING * variance.sum()
    return Axes("pca", vectors[:, order] * kept)


class Key(NamedTuple):
    """Which number it is."""

    metric: str
    estimator: str
    label: str


@dataclass(frozen=True)
class Scores:
    """Numbers of one evaluation.

    Parameters
    ----------
    values : dict
        By key.
    matrices : dict
        Arrays of shape (d, labels) by name.
    """

    values: dict[Key, float] = field(default_factory=dict)
    matrices: dict[str, Floats] = field(default_factory=dict)

    def add(
        self, metric: str, estimator: str, names: Sequence[str], values: Floats, mean: float
    ) -> None:
        """Add the values of several labels or dimensions, and their mean."""
        for name, value in zip(names, values, strict=True):
            self.values[Key(metric, estimator, name)] = float(value)
        self.values[Key(metric, estimator, MEAN)] = float(mean)


Family = Callable[[Drawn, np.random.Generator], Scores]
"""(one row a star, what is random) -> its numbers."""


def mean_of(values: Floats) -> float:
    """Mean of the values that are not NaN; NaN where there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def dim_names(dims: Sequence[int]) -> list[str]:
    """What the table calls dimensions in its column `label`."""
    return [f"dim {dim}" for dim in dims]


_TREES = 30
_LEAVES = 100
_LEAF = (5, 20)
_CHANCE_SIGMAS = 3.0


def disentanglement(importance: ArrayLike) -> tuple[Floats, float]:
    """Disentanglement of each dimension, and their mean weighted by importance.

    1 - entropy of a dimension's importances over the labels, in units of log(labels) (Eastwood &
    Williams 2018, section 2): 1 where it serves one label, 0 where it serves all alike, or none.

    Parameters
    ----------
    importance : array, shape (d, labels)
        Not below 0.

    Returns
    -------
    each : ndarray of float64, shape (d,)
        NaN where there is only one label.
    mean : float
    """
    return _evenness(np.asarray(importance, dtype=np.float64))


def completeness(importance: ArrayLike) -> tuple[Floats, float]:
    """Completeness of each label, and their mean weighted by importance.

    1 - entropy of a label's importances over the dimensions, in units of log(d) (Eastwood &
    Williams 2018, section 2): 1 where one dimension serves it, 0 where all do alike, or none.

    Parameters
    ----------
    importance : array, shape (d, labels)
        Not below 0.

    Returns
    -------
    each : ndarray of float64, shape (labels,)
        NaN where there is only one dimension.
    mean : float
    """
    return _evenness(np.asarray(importance, dtype=np.float64).T)


def _evenness(rows: Floats) -> tuple[Floats, float]:
    """1 - the normalised entropy of each row, and the mean of that weighted by the rows' sums."""
    if rows.shape[1] < 2:
        return np.full(len(rows), np.nan), float("nan")
    total = rows.sum(axis=1)
    share = rows / np.where(total > 0, total, 1.0)[:, None]
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
    each = np.where(total > 0, 1 - entropy / np.log(rows.shape[1]), 0.0)
    return each, float(each @ total / total.sum()) if total.sum() > 0 else 0.0


def forest_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
    """Disentanglement, completeness and informativeness from extremely randomised trees.

    A label that the forest does not predict has no importances: its informativeness is below 9 / n
    for n stars not seen, which a correlation of three standard deviations by chance gives.
    Importances below 0 count as 0.
    """
    found = [
        _of_label(drawn.latents(rows), label, rows, rng)
        for label, rows in zip(drawn.labels, drawn.rows, strict=True)
    ]
    informativeness = np.array([score for _, score in found])
    importance = np.column_stack([shares for shares, _ in found]).clip(min=0.0)
    chance = np.array([2 * _CHANCE_SIGMAS**2 / len(rows) for rows in drawn.rows])
    importance[:, informativeness <= chance] = 0.0
    scores = Scores(matrices={"importance": importance})
    of_dims, of_labels = disentanglement(importance), completeness(importance)
    scores.add("dci_disentanglement", "forest", dim_names(drawn.stars.dims), *of_dims)
    scores.add("dci_completeness", "forest", drawn.names, *of_labels)
    mean = float(informativeness.mean())
    scores.add("dci_informativeness", "forest", drawn.names, informativeness, mean)
    return scores


def _of_label(
    latents: Floats, label: Label, rows: Rows, rng: np.random.Generator
) -> tuple[Floats, float]:
    learn, judge = split(len(rows), rng)
    target, values = _target(label, rows), latents.astype(np.float32)
    trees = _grown(values[learn], target[learn], rng)
    shares = held_out_importance(trees, values[judge], target[judge])
    drawn = [tree.predict(values[judge])[..., 0] for tree in trees]
    predicted = np.mean(drawn, axis=0).reshape(len(judge), -1)
    if label.numbers is not None:
        return shares, _explained(predicted, target[judge])
    return shares, _guessed(predicted, label.codes[rows][judge])


def _grown(values: NDArray[np.float32], target: Floats, rng: np.random.Generator) -> list[Any]:
    """Grow extremely randomised trees, one by one to save a forest's bookkeeping."""
    # Imported here, since scikit-learn takes longer to load than most tables to measure.
    from sklearn.tree import ExtraTreeRegressor

    leaf = int(np.clip(len(values) // _LEAVES, *_LEAF))
    seeds = rng.integers(2**31, size=_TREES)
    grown = [
        ExtraTreeRegressor(min_samples_leaf=leaf, max_features=None, random_state=int(seed))
        for seed in seeds
    ]
    return [tree.fit(values, target, check_input=False).tree_ for tree in grown]


def _target(label: Label, rows: Rows) -> Floats:
    """Numbers, or 0 and 1 for each class, shape (rows, outputs)."""
    if label.numbers is not None:
        return label.numbers[rows][:, None]
    return np.eye(label.classes)[label.codes[rows]]


def _explained(predicted: Floats, truth: Floats) -> float:
    """Share of the variance that is explained (R^2); 0 is a constant guess."""
    return float(1 - ((truth - predicted) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())


def _guessed(predicted: Floats, codes: Rows) -> float:
    """Share of the errors of a constant guess, the most frequent class, that are avoided."""
    wrong = float((predicted.argmax(axis=1) != codes).mean())
    return 1 - wrong / (1 - float(np.bincount(codes).max()) / len(codes))


def held_out_importance(
    trees: Sequence[Any], values: NDArray[np.float32], target: Floats
) -> Floats:
    """Share of the variance of a target that a forest explains through each dimension.

    The sum over the splits of a tree on a dimension of the covariance between what the split
    changes in the prediction and the target (Li et al. 2019, eq. 8), on rows that the forest has
    not seen; the mean over its trees. A dimension that tells nothing has 0 within the noise, and
    may come out below.

    Parameters
    ----------
    trees : list
        The `tree_` of each regression tree of scikit-learn.
    values : ndarray of float32, shape (n, d)
    target : ndarray of float64, shape (n, outputs)

    Returns
    -------
    ndarray of float64, shape (d,)
    """
    centred = target - target.mean(axis=0)
    importance = np.zeros(values.shape[1])
    for tree in trees:
        sums = tree.decision_path(values).T @ centred
        level = tree.value[:, :, 0]
        parents = np.flatnonzero(tree.children_left >= 0)
        for children in (tree.children_left[parents], tree.children_right[parents]):
            change = ((level[children] - level[parents]) * sums[children]).sum(axis=1)
            importance += np.bincount(tree.feature[parents], change, minlength=len(importance))
    share: Floats = importance / (len(trees) * (centred**2).sum())
    return share


LATENT_BINS = 20
"""Bins of equal width of each latent dimension, as disentanglement_lib has them."""

_NULL_WIDTH = 0.8
_NULL_SIGMAS = 3.0


def mig(information: ArrayLike, entropies: ArrayLike) -> Floats:
    """Mutual information gap of each label (Chen et al. 2018, eq. 6).

    (largest - second largest mutual information of the label with a dimension) / its entropy: 1
    where one dimension knows all of the label and no other anything, 0 where two know the same.

    Parameters
    ----------
    information : array, shape (d, labels)
        Mutual information in nats, d of 2 or more.
    entropies : array, shape (labels,)
        Entropy of each label in nats, above 0.

    Returns
    -------
    ndarray of float64, shape (labels,)
    """
    best = np.sort(np.asarray(information, dtype=np.float64), axis=0)[::-1]
    gap: Floats = (best[0] - best[1]) / np.asarray(entropies, dtype=np.float64)
    return gap


def modularity(information: ArrayLike) -> Floats:
    """Modularity of each dimension (Ridgeway & Mozer 2018, section 3).

    1 - (sum of squared mutual informations with all labels but the best) / (square of the best *
    (labels - 1)): 1 where a dimension knows one label only, 0 where it knows all alike, and 0
    where it knows none.

    Parameters
    ----------
    information : array, shape (d, labels)
        Mutual information in nats, not below 0.

    Returns
    -------
    ndarray of float64, shape (d,)
        NaN where there is only one label.
    """
    squared = np.asarray(information, dtype=np.float64) ** 2
    labels = squared.shape[1]
    if labels < 2:
        return np.full(len(squared), np.nan)
    best = squared.max(axis=1)
    others = squared.sum(axis=1) - best
    return np.where(best > 0, 1 - others / np.where(best > 0, best * (labels - 1), 1.0), 0.0)


def binned_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
    """MIG and modularity from 20 bins of equal width of each dimension."""
    information = np.column_stack(
        [
            _binned_information(drawn.latents(rows), label.codes[rows])
            for label, rows in zip(drawn.labels, drawn.rows, strict=True)
        ]
    )
    return _scores(drawn, information, information, "binned")


def knn_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
    """MIG and modularity from Ross's estimate, between latents as they are and classes.

    For modularity what is not above three standard deviations of independent columns counts as 0,
    and dimensions that then know nothing are left out of its mean.
    """
    seed = int(rng.integers(2**31))
    held: dict[bytes, list[Column]] = {}
    parts = []
    for label, rows in zip(drawn.labels, drawn.rows, strict=True):
        key = rows.tobytes()
        if key not in held:
            held[key] = _columns(drawn.latents(rows), seed)
        parts.append(_knn_information(held[key], label.codes[rows]))
    information = np.column_stack(parts)
    floors = [
        _floor(label.codes[rows]) for label, rows in zip(drawn.labels, drawn.rows, strict=True)
    ]
    known = np.where(information > np.array(floors), information, 0.0)
    return _scores(drawn, information, known, "knn")


def _scores(drawn: Drawn, information: Floats, known: Floats, estimator: str) -> Scores:
    entropies = [
        entropy(label.codes[rows]) for label, rows in zip(drawn.labels, drawn.rows, strict=True)
    ]
    scores = Scores(matrices={f"information ({estimator})": information})
    gaps, of_dims = mig(information, entropies), modularity(known)
    scores.add("mig", estimator, drawn.names, gaps, mean_of(gaps))
    knowing = (known > 0).any(axis=1)
    mean = mean_of(of_dims[knowing]) if knowing.any() else 0.0
    scores.add("modularity", estimator, dim_names(drawn.stars.dims), of_dims, mean)
    return scores


def entropy(codes: Codes) -> float:
    """Entropy of classes in nats, from their shares."""
    return entropy_of_counts(np.bincount(codes))


def equal_width_bins(column: Floats, bins: int = LATENT_BINS) -> Codes:
    """Return the bin 0 ... bins - 1 of each value, between the smallest and the largest."""
    low, width = column.min(), np.ptp(column) / bins
    if width == 0:
        return np.zeros(len(column), dtype=np.int64)
    return np.asarray(np.minimum((column - low) / width, bins - 1), dtype=np.int64)


def plain_information(x: Codes, y: Codes) -> float:
    """Mutual information of two sets of classes in nats, from their shares, uncorrected.

    Too large by about (classes of x - 1) (classes of y - 1) / (2 n).
    """
    together = np.bincount(x * (int(y.max()) + 1) + y)
    return entropy(x) + entropy(y) - entropy_of_counts(together)


def entropy_of_counts(counts: Codes) -> float:
    """Entropy in nats of classes with these counts."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _binned_information(latents: Floats, codes: Codes) -> Floats:
    return np.array([plain_information(equal_width_bins(column), codes) for column in latents.T])


def _columns(latents: Floats, seed: int) -> list[Column]:
    return [
        read_column(f"axis {i}", column, discrete=False, stream=(seed, i))
        for i, column in enumerate(latents.T)
    ]


def _knn_information(columns: list[Column], codes: Codes) -> Floats:
    classes, settings = read_column("label", codes, discrete=True), Settings()
    return np.array(
        [0.0 if _constant(column) else value_of(column, classes, settings) for column in columns]
    )


def _constant(column: Column) -> bool:
    assert column.values is not None
    return bool(np.ptp(column.values) == 0)


def _floor(codes: Codes) -> float:
    """What independent columns reach: see `shrunk` of significance/nulls.py for its width."""
    n, outside = len(codes), len(codes) - int(np.bincount(codes).max())
    return float(_NULL_SIGMAS * _NULL_WIDTH * np.sqrt(outside) / n)


_SVC_COST = 0.01
_BORDERS = (0.2, 0.4, 0.6, 0.8)
"""Quantiles of a continuous label that borders are drawn at."""


def sap(scores: ArrayLike) -> Floats:
    """Separated attribute predictability of each label (Kumar et al. 2018, section 3).

    Best minus second best score over the dimensions.

    Parameters
    ----------
    scores : array, shape (d, labels)
        How well each dimension alone predicts each label, d of 2 or more: squared correlation, or
        share of rows in the right class.

    Returns
    -------
    ndarray of float64, shape (labels,)
    """
    best = np.sort(np.asarray(scores, dtype=np.float64), axis=0)[::-1]
    gap: Floats = best[0] - best[1]
    return gap


def sap_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
    """SAP from squared correlations, and for classes from linear support vector machines."""
    table = []
    for label, rows in zip(drawn.labels, drawn.rows, strict=True):
        latents = drawn.latents(rows)
        if label.numbers is not None:
            table.append(squared_correlations(latents, label.numbers[rows]))
        else:
            table.append(_accuracies(latents, label.codes[rows], rng))
    gaps = sap(np.column_stack(table))
    scores = Scores()
    scores.add("sap", "linear", drawn.names, gaps, mean_of(gaps))
    return scores


def squared_correlations(latents: Floats, numbers: Floats) -> Floats:
    """Squared Pearson correlation of each column of (n, d) with numbers (n,); 0 if constant."""
    z, y = latents - latents.mean(axis=0), numbers - numbers.mean()
    spread = (z**2).sum(axis=0) * (y**2).sum()
    squared: Floats = (y @ z) ** 2 / np.where(spread > 0, spread, 1.0)
    return squared


def _accuracies(latents: Floats, codes: Rows, rng: np.random.Generator) -> Floats:
    from sklearn.svm import LinearSVC

    learn, judge = split(len(codes), rng)
    machine = LinearSVC(C=_SVC_COST, class_weight="balanced", dual=False)
    shares = []
    for column in latents.T[:, :, None]:
        predicted = machine.fit(column[learn], codes[learn]).predict(column[judge])
        shares.append(float((predicted == codes[judge]).mean()))
    return np.array(shares)


def explicitness_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
    """Area under the ROC curve of logistic regressions on all dimensions, on stars not seen.

    One class against the rest, and of a continuous label its values above each quintile against
    those below: classes in its middle have no straight border.
    """
    areas = np.array(
        [
            _explicitness(drawn.latents(rows), label, rows, rng)
            for label, rows in zip(drawn.labels, drawn.rows, strict=True)
        ]
    )
    scores = Scores()
    scores.add("explicitness", "logistic", drawn.names, areas, mean_of(areas))
    return scores


def _explicitness(latents: Floats, label: Label, rows: Rows, rng: np.random.Generator) -> float:
    from sklearn.linear_model import LogisticRegression

    learn, judge = split(len(rows), rng)
    areas = []
    for positive in _sides(label, rows).T:
        if np.ptp(positive[learn]) and np.ptp(positive[judge]):
            model = LogisticRegression(max_iter=1000).fit(latents[learn], positive[learn])
            areas.append(area_under_curve(model.decision_function(latents[judge]), positive[judge]))
    return float(np.mean(areas)) if areas else float("nan")


def _sides(label: Label, rows: Rows) -> NDArray[np.int64]:
    """Which rows are on one side of each border, 0 or 1, shape (rows, borders)."""
    if label.numbers is None:
        sides = label.codes[rows][:, None] == np.arange(label.classes)
    else:
        numbers = label.numbers[rows]
        sides = numbers[:, None] > np.quantile(numbers, _BORDERS)
    return np.asarray(sides, dtype=np.int64)


def area_under_curve(score: Floats, positive: Rows) -> float:
    """Share of pairs of a 1 and a 0 in which the 1 has the larger score, ties counting half."""
    ones = int(positive.sum())
    zeros = len(positive) - ones
    ranks = rankdata(score)[positive == 1].sum()
    return float((ranks - ones * (ones + 1) / 2) / (ones * zeros))


_NEIGHBORS = 3
_SINGULAR = 1e-10


def gaussian_total_correlation(values: Floats) -> float:
    """Total correlation in nats of a Gaussian with the correlations of the columns.

    -1/2 log det of their correlation matrix; infinite where a column is a sum of others.

    Parameters
    ----------
    values : ndarray of float64, shape (n, d)
        Constant columns do not count.
    """
    values = values[:, np.ptp(values, axis=0) > 0]
    if values.shape[1] < 2:
        return 0.0
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(values, rowvar=False))
    if eigenvalues[0] < _SINGULAR:
        return float("inf")
    return float(-0.5 * np.log(eigenvalues).sum())


def knn_total_correlation(values: Floats, neighbors: int = _NEIGHBORS) -> float:
    """Total correlation of columns in nats, signed (Kraskov et al. 2004, eq. 23).

    psi(k) + (d - 1) psi(n) - sum over the columns of < psi(n_j + 1) >, with n_j the points strictly
    closer in column j than the k-th neighbour in all, in the Chebyshev norm.

    Parameters
    ----------
    values : ndarray of float64, shape (n, d)
        Used as they are: neither scaled nor jittered.
    neighbors : int
        k.
    """
    n, d = values.shape
    near = cKDTree(values).query(values, k=neighbors + 1, p=np.inf)[0]
    distance, table = np.asarray(near)[:, -1], digamma_table(n)
    margins = sum(float(table[closer_points(part, distance) + 1].mean()) for part in _parts(values))
    return float(digamma(neighbors) + (d - 1) * table[n] - margins)


def _parts(values: Floats) -> list[Floats]:
    return [np.ascontiguousarray(column)[:, None] for column in values.T]


def gaussian_total_correlation_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
    """Total correlation of a Gaussian with the correlations of the dimensions."""
    value = gaussian_total_correlation(drawn.latents(drawn.every))
    return Scores({Key("total_correlation", "gaussian", MEAN): value})


def knn_total_correlation_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
    """Total correlation by neighbours among normal scores of the ranks."""
    values = drawn.latents(drawn.every)
    values = values[:, np.ptp(values, axis=0) > 0]
    if values.shape[1] < 2:
        return Scores({Key("total_correlation", "knn", MEAN): 0.0})
    value = knn_total_correlation(_normal_scores(values, int(rng.integers(2**31))))
    return Scores({Key("total_correlation", "knn", MEAN): value})


def _normal_scores(values: Floats, seed: int) -> Floats:
    everything = np.ones(len(values), dtype=bool)
    ranked = [
        read_column("", column, discrete=False, stream=(seed, i)).part(everything).ranked.values
        for i, column in enumerate(values.T)
    ]
    scores: Floats = ndtri(np.column_stack(ranked))
    return scores
