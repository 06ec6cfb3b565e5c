"""The measures of disentanglement, each evaluated on one random row per star.

- MIG: T. Q. Chen et al. 2018, NeurIPS, "Isolating sources of disentanglement in variational
  autoencoders", section 4.1.
- DMIG: K. N. Watcharasupat & A. Lerch 2021, ISMIR late-breaking demo, "Evaluation of latent space
  disentanglement in the presence of interdependent attributes".
- Modularity, explicitness: K. Ridgeway & M. C. Mozer 2018, NeurIPS, "Learning deep disentangled
  embeddings with the F-statistic loss", section 3.
- SAP: A. Kumar, P. Sattigeri & A. Balakrishnan 2018, ICLR, "Variational inference of disentangled
  latent concepts from unlabeled observations", section 3.
- DCI: C. Eastwood & C. K. I. Williams 2018, ICLR, "A framework for the quantitative evaluation of
  disentangled representations", section 2. Importance is measured on stars that the trees have not
  seen (X. Li et al. 2019, NeurIPS, "A debiased MDI feature importance measure for random forests",
  eq. 8), since training stars give every dimension some.
- Total correlation: S. Watanabe 1960, IBM J. Res. Dev. 4, 66; by nearest neighbors A. Kraskov,
  H. Stoegbauer & P. Grassberger 2004, Phys. Rev. E 69, 066138, eq. 23.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.special import digamma, ndtri

from latentscope.diagnostics.mi.api import Settings, value_of
from latentscope.diagnostics.mi.columns import Column, read_column
from latentscope.diagnostics.mi.estimators import plugin_terms
from latentscope.diagnostics.mi.kernels import digamma_table
from latentscope.diagnostics.mi.points import closer

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Codes = NDArray[np.int64]

MEAN = "mean"
"""What the table calls the row of a measure over all labels, or of the latents as a whole."""

LATENT_BINS = 20
"""Bins of equal width of each latent dimension, as disentanglement_lib has them."""

_NOTHING_LEFT = 0.02
"""Share of a label's entropy below which another label counts as equivalent."""

_NULL_WIDTH, _NULL_SIGMAS = 0.8, 3.0
_SVC_COST = 0.01
_BORDERS = (0.2, 0.4, 0.6, 0.8)  # quantiles of a continuous label that borders are drawn at
_TREES = 30
# A leaf holds a hundredth of the rows learned from, within these bounds: with fewer rows a tree
# learns noise, with more it misses what is there.
_LEAVES = 100
_LEAF = (5, 20)
_CHANCE_SIGMAS = 3.0
_NEIGHBORS = 3
# Smallest eigenvalue of a correlation matrix that is more than rounding.
_SINGULAR = 1e-10


@dataclass(frozen=True)
class Measure:
    """A measure: its name in the table and in words, and its question.

    `of_axes`: it depends on the choice of axes, so that baselines can be beaten; `most`, `least`:
    what it cannot exceed but for noise, in nats where `most` is infinite.
    """

    metric: str
    estimator: str
    title: str
    question: str
    lower_is_better: bool = False
    of_axes: bool = True
    most: float = 1.0
    least: float = 0.0

    @property
    def key(self) -> tuple[str, str]:
        """What finds it in the table."""
        return self.metric, self.estimator

    @property
    def bounded(self) -> bool:
        """Whether 1 is perfect; else it is in nats."""
        return self.most == 1


_INF = float("inf")
_AHEAD = "how far the best dimension of a label is ahead of the second best"
_GAP = f"{_AHEAD}, as a share of the label's entropy"
_DEPENDENT = f"{_AHEAD}, as a share of what other labels leave of it, where these are related"
_SERVES = "whether a dimension serves one label only"
_SERVED = "whether a label is served by one dimension only"
_BORDERS_TELL = "how well straight borders tell labels apart, 0.5 being chance"
_SHARED = "what the dimensions share in straight lines, in nats; PCA has none by construction"
_FOREST = "how much of the labels a forest predicts from all dimensions"

MEASURES = (
    Measure("mig", "binned", "MIG (binned)", _GAP),
    Measure("mig", "knn", "MIG (kNN)", _GAP),
    Measure("dmig", "binned", "DMIG (binned)", _DEPENDENT),
    Measure("dmig", "knn", "DMIG (kNN)", _DEPENDENT),
    Measure("sap", "linear", "SAP", f"{_AHEAD}, for straight lines"),
    Measure("dci_disentanglement", "forest", "DCI disentanglement", _SERVES),
    Measure("dci_completeness", "forest", "DCI completeness", _SERVED),
    Measure("modularity", "binned", "Modularity (binned)", "whether a dimension knows one label"),
    Measure("modularity", "knn", "Modularity (kNN)", "whether a dimension knows one label"),
    Measure(
        "dci_informativeness", "forest", "DCI informativeness", _FOREST, of_axes=False, least=-_INF
    ),
    Measure("explicitness", "logistic", "Explicitness", _BORDERS_TELL, of_axes=False),
    Measure(
        "total_correlation", "gaussian", "Total correlation (Gaussian)", _SHARED,
        lower_is_better=True, of_axes=False, most=_INF,
    ),
    Measure(
        "total_correlation", "knn", "Total correlation (kNN)",
        "what the dimensions share in any way, in nats", lower_is_better=True, most=_INF,
    ),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Label:
    """A label, and how many rows and stars have it and latents.

    `codes` (n,) are its classes, or bins of equal count, -1 where missing; `numbers` (n,) are the
    values of a continuous label, NaN where missing or beyond 5 sigma, and None for classes.
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


@dataclass(frozen=True, eq=False)
class Drawn:
    """One row per star, along some axes: the input of a measure.

    `values` (n, d) are the standardized latents of all rows, `axes` (d, d) has other axes than
    their own in columns, `every` a row of each star, `rows` for each label a row of each star that
    has it, and `lots` (n,), the same for all rows of a star, split stars in two.
    """

    values: Floats
    dims: Sequence[int]
    labels: Sequence[Label]
    axes: Floats | None
    every: Rows
    rows: Sequence[Rows]
    lots: Floats

    @property
    def each(self) -> list[tuple[Label, Rows]]:
        """Each label with its rows."""
        return list(zip(self.labels, self.rows, strict=True))

    @property
    def codes(self) -> list[Codes]:
        """Classes of each label on its rows."""
        return [label.codes[rows] for label, rows in self.each]

    @property
    def label_names(self) -> list[str]:
        """Names of the labels."""
        return [label.name for label in self.labels]

    @property
    def dim_names(self) -> list[str]:
        """What the table calls dimensions in its column `label`."""
        return [f"dim {dim}" for dim in self.dims]

    def latents(self, rows: Rows) -> Floats:
        """Latents of some rows along the axes, shape (rows, d)."""
        values = self.values[rows]
        return values if self.axes is None else values @ self.axes

    def split(self, rows: Rows) -> tuple[Rows, Rows]:
        """Places of rows, one per star, to learn from and to judge by lots that stars keep."""
        order = np.argsort(self.lots[rows], kind="stable")
        return np.sort(order[: len(rows) // 2]), np.sort(order[len(rows) // 2 :])


class Key(NamedTuple):
    """Which number it is."""

    metric: str
    estimator: str
    label: str


@dataclass(frozen=True)
class Scores:
    """Numbers of one evaluation by their keys, and arrays of shape (d, labels) by name."""

    values: dict[Key, float] = field(default_factory=dict)
    matrices: dict[str, Floats] = field(default_factory=dict)

    def add(
        self, metric: str, estimator: str, names: Sequence[str], values: Floats, mean: float
    ) -> Scores:
        """Add the values of several labels or dimensions, and their mean; return self."""
        for name, value in zip(names, values, strict=True):
            self.values[Key(metric, estimator, name)] = float(value)
        self.values[Key(metric, estimator, MEAN)] = float(mean)
        return self


def mean_of(values: Floats) -> float:
    """Mean of the values that are not NaN; NaN where there is none."""
    finite = values[~np.isnan(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def mean_scores(found: Sequence[Scores]) -> Scores:
    """Mean of several evaluations of the same measures."""
    values = {key: mean_of(np.array([s.values[key] for s in found])) for key in found[0].values}
    names = found[0].matrices
    return Scores(values, {name: np.mean([s.matrices[name] for s in found], 0) for name in names})


# Mutual information: MIG and modularity, by bins or by neighbors.


def mig(information: ArrayLike, entropies: ArrayLike) -> Floats:
    """Mutual information gap of each label (Chen et al. 2018, eq. 6).

    (largest - second largest mutual information of the label with a dimension) / its entropy: 1
    where one dimension knows all of the label and no other anything, 0 where two know the same.
    Information (d, labels), d of 2 or more, and entropies (labels,), above 0, in nats.
    """
    return np.asarray(sap(information) / np.asarray(entropies, dtype=np.float64))


def dmig(information: ArrayLike, entropies: ArrayLike, between: ArrayLike) -> Floats:
    """Dependency-aware mutual information gap of each label (Watcharasupat & Lerch 2021).

    The gap of `mig`, over H(label | other) in place of H(label) where the second best dimension is
    the best of another label (of several, the one that leaves least). Equal to `mig` where labels
    are independent; NaN where another label leaves nothing. Information (d, labels), entropies
    (labels,), and mutual information `between` labels (labels, labels), in nats.
    """
    table, left = np.asarray(information), np.array(entropies, dtype=np.float64)
    best, second = np.argsort(table, axis=0, kind="stable")[[-1, -2]]
    for label in range(len(left)):
        others = (best == second[label]) & (np.arange(len(left)) != label)
        if others.any():
            left[label] -= max(0.0, float(np.asarray(between)[label, others].max()))
    worth = left > _NOTHING_LEFT * np.asarray(entropies)
    return np.asarray(np.where(worth, sap(table) / np.where(worth, left, 1.0), np.nan))


def modularity(information: ArrayLike) -> Floats:
    """Modularity of each dimension (Ridgeway & Mozer 2018, section 3).

    1 - (sum of squared mutual informations with all labels but the best) / (square of the best *
    (labels - 1)): 1 where a dimension knows one label only, 0 where it knows all alike, and 0
    where it knows none. Information (d, labels) in nats, not below 0, gives (d,); NaN where there
    is only one label.
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
    information = np.empty((len(drawn.dims), len(drawn.labels)))
    for number, (label, rows) in enumerate(drawn.each):
        for i, column in enumerate(drawn.latents(rows).T):
            information[i, number] = plain_information(equal_width_bins(column), label.codes[rows])
    return _information_scores(drawn, information, information, "binned")


def knn_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
    """MIG and modularity from Ross's estimate of latents with classes.

    For modularity values within three standard deviations of independent columns count as 0, and
    dimensions that then know nothing are left out of its mean.
    """
    seed = int(rng.integers(2**31))
    # Labels that the same stars have share their sorted columns.
    held: dict[bytes, list[Column]] = {}
    information = np.empty((len(drawn.dims), len(drawn.labels)))
    for number, (label, rows) in enumerate(drawn.each):
        if rows.tobytes() not in held:
            held[rows.tobytes()] = [
                read_column(f"axis {i}", column, discrete=False, stream=(seed, i))
                for i, column in enumerate(drawn.latents(rows).T)
            ]
        classes = read_column("label", label.codes[rows], discrete=True)
        for i, column in enumerate(held[rows.tobytes()]):
            assert column.values is not None
            constant = np.ptp(column.values) == 0
            information[i, number] = 0.0 if constant else value_of(column, classes, Settings())
    floors = np.array([_floor(codes) for codes in drawn.codes])
    beyond_chance = np.where(information > floors, information, 0.0)
    return _information_scores(drawn, information, beyond_chance, "knn")


def _information_scores(
    drawn: Drawn, information: Floats, beyond_chance: Floats, estimator: str
) -> Scores:
    scores = Scores(matrices={f"information ({estimator})": information})
    entropies = [entropy(codes) for codes in drawn.codes]
    for name, gaps in (
        ("mig", mig(information, entropies)),
        ("dmig", dmig(information, entropies, _between_labels(drawn))),
    ):
        scores.add(name, estimator, drawn.label_names, gaps, mean_of(gaps))
    of_dims = modularity(beyond_chance)
    knowing = (beyond_chance > 0).any(axis=1)
    mean = mean_of(of_dims[knowing]) if knowing.any() else 0.0
    return scores.add("modularity", estimator, drawn.dim_names, of_dims, mean)


def _between_labels(drawn: Drawn) -> Floats:
    """Mutual information of labels with one another, on the rows of the first, (labels, labels)."""
    between = np.zeros((len(drawn.labels), len(drawn.labels)))
    for i, (label, rows) in enumerate(drawn.each):
        for j, other in enumerate(drawn.labels):
            both = rows[other.codes[rows] >= 0]
            if i != j and len(both):
                pair = (np.unique(it.codes[both], return_inverse=True)[1] for it in (label, other))
                between[i, j] = plugin_terms(*pair).mean()
    return between


def entropy(codes: Codes) -> float:
    """Entropy of classes in nats, from their shares."""
    return _entropy_of_counts(np.bincount(codes))


def equal_width_bins(column: Floats) -> Codes:
    """Return the bin 0 ... 19 of each value, between the smallest and the largest."""
    low, width = column.min(), np.ptp(column) / LATENT_BINS
    if width == 0:
        return np.zeros(len(column), dtype=np.int64)
    return np.asarray(np.minimum((column - low) / width, LATENT_BINS - 1), dtype=np.int64)


def plain_information(x: Codes, y: Codes) -> float:
    """Mutual information of two sets of classes in nats, from their shares, uncorrected.

    Too large by about (classes of x - 1) (classes of y - 1) / (2 n). The same as scikit-learn's
    `mutual_info_score`, in a 60th of the time.
    """
    together = np.bincount(x * (int(y.max()) + 1) + y)
    return entropy(x) + entropy(y) - _entropy_of_counts(together)


def _entropy_of_counts(counts: Codes) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _floor(codes: Codes) -> float:
    """What independent columns reach; its width is that of `shrunk` of mi/nulls.py."""
    n, outside = len(codes), len(codes) - int(np.bincount(codes).max())
    return float(_NULL_SIGMAS * _NULL_WIDTH * np.sqrt(outside) / n)


# Straight lines and borders: SAP and explicitness.


def sap(scores: ArrayLike) -> Floats:
    """Separated attribute predictability of each label (Kumar et al. 2018, section 3).

    Best minus second best score over the dimensions. Scores (d, labels), d of 2 or more, say how
    well each dimension alone predicts each label: squared correlation, or share of rows in the
    right class.
    """
    second, best = np.sort(np.asarray(scores, dtype=np.float64), axis=0)[-2:]
    return np.asarray(best - second)


def sap_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
    """SAP from squared correlations, and for classes from linear support vector machines."""
    columns = [
        _accuracies(drawn.latents(rows), label.codes[rows], *drawn.split(rows))
        if label.numbers is None
        else squared_correlations(drawn.latents(rows), label.numbers[rows])
        for label, rows in drawn.each
    ]
    gaps = sap(np.column_stack(columns))
    return Scores().add("sap", "linear", drawn.label_names, gaps, mean_of(gaps))


def squared_correlations(latents: Floats, numbers: Floats) -> Floats:
    """Squared Pearson correlation of each column of (n, d) with numbers (n,); 0 if constant."""
    z, y = latents - latents.mean(axis=0), numbers - numbers.mean()
    spread = (z**2).sum(axis=0) * (y**2).sum()
    squared: Floats = (y @ z) ** 2 / np.where(spread > 0, spread, 1.0)
    return squared


def _accuracies(latents: Floats, codes: Codes, learn: Rows, judge: Rows) -> Floats:
    # Imported here and below, since scikit-learn takes long to load.
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=_SVC_COST, class_weight="balanced", dual=False)
    shares = []
    for column in latents.T[:, :, None]:
        predicted = machine.fit(column[learn], codes[learn]).predict(column[judge])
        shares.append(float((predicted == codes[judge]).mean()))
    return np.array(shares)


def explicitness_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
    """Area under the ROC curve of logistic regressions on all dimensions, on stars not seen.

    One class against the rest; for a continuous label, values above each quintile against those
    below.
    """
    each = [_explicitness(drawn, label, rows) for label, rows in drawn.each]
    areas = np.array(each)
    return Scores().add("explicitness", "logistic", drawn.label_names, areas, mean_of(areas))


def _explicitness(drawn: Drawn, label: Label, rows: Rows) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    latents, (learn, judge) = drawn.latents(rows), drawn.split(rows)
    if label.numbers is None:
        sides = label.codes[rows][:, None] == np.arange(label.classes)
    else:
        numbers = label.numbers[rows]
        sides = numbers[:, None] > np.quantile(numbers, _BORDERS)
    areas = []
    for positive in sides.T.astype(np.int64):
        if np.ptp(positive[learn]) and np.ptp(positive[judge]):
            model = LogisticRegression(max_iter=1000).fit(latents[learn], positive[learn])
            areas.append(roc_auc_score(positive[judge], model.decision_function(latents[judge])))
    return float(np.mean(areas)) if areas else float("nan")


# Forests: DCI.


def disentanglement(importance: ArrayLike) -> tuple[Floats, float]:
    """Disentanglement of each dimension, and their mean weighted by importance.

    1 - entropy of a dimension's importances over the labels, in units of log(labels) (Eastwood &
    Williams 2018, section 2): 1 where it serves one label, 0 where it serves all alike, or none.
    Importance (d, labels), not below 0, gives (d,) and a float; NaN where there is only one label.
    """
    rows = np.asarray(importance, dtype=np.float64)
    if rows.shape[1] < 2:
        return np.full(len(rows), np.nan), float("nan")
    total = rows.sum(axis=1)
    share = rows / np.where(total > 0, total, 1.0)[:, None]
    entropies = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
    each = np.where(total > 0, 1 - entropies / np.log(rows.shape[1]), 0.0)
    return each, float(each @ total / total.sum()) if total.sum() > 0 else 0.0


def completeness(importance: ArrayLike) -> tuple[Floats, float]:
    """Completeness of each label, shape (labels,), and their mean weighted by importance.

    The same with labels and dimensions in each other's place: 1 where one dimension serves a
    label, 0 where all do alike, or none.
    """
    return disentanglement(np.asarray(importance, dtype=np.float64).T)


def forest_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
    """Disentanglement, completeness and informativeness from extremely randomized trees.

    Without importances: a label with an informativeness below 9 / n for n stars not seen, which a
    chance correlation of three standard deviations gives. Importances below 0 count as 0.
    """
    each = [_predicted(drawn, label, rows, rng) for label, rows in drawn.each]
    importance = np.column_stack([shares for shares, _ in each]).clip(min=0.0)
    informativeness = np.array([score for _, score in each])
    chance = np.array([2 * _CHANCE_SIGMAS**2 / len(rows) for rows in drawn.rows])
    importance[:, informativeness <= chance] = 0.0
    scores = Scores(matrices={"importance": importance})
    scores.add("dci_disentanglement", "forest", drawn.dim_names, *disentanglement(importance))
    scores.add("dci_completeness", "forest", drawn.label_names, *completeness(importance))
    mean = float(informativeness.mean())
    return scores.add("dci_informativeness", "forest", drawn.label_names, informativeness, mean)


def _predicted(
    drawn: Drawn, label: Label, rows: Rows, rng: np.random.Generator
) -> tuple[Floats, float]:
    """Importance of each dimension for a label, (d,), and how well the forest predicts it.

    That is R^2 of numbers, and for classes the share of the errors of the most frequent class that
    are avoided.
    """
    from sklearn.tree import ExtraTreeRegressor

    learn, judge = drawn.split(rows)
    codes, values = label.codes[rows], drawn.latents(rows).astype(np.float32)
    if label.numbers is not None:
        target = label.numbers[rows][:, None]
    else:
        target = np.eye(label.classes)[codes]
    leaf = int(np.clip(len(learn) // _LEAVES, *_LEAF))
    # Faster one by one than as a forest.
    trees = [
        ExtraTreeRegressor(min_samples_leaf=leaf, max_features=None, random_state=int(seed))
        .fit(values[learn], target[learn], check_input=False)
        .tree_
        for seed in rng.integers(2**31, size=_TREES)
    ]
    shares = held_out_importance(trees, values[judge], target[judge])
    answers = np.mean([tree.predict(values[judge])[..., 0] for tree in trees], axis=0)
    answers, truth = answers.reshape(len(judge), -1), target[judge]
    if label.numbers is not None:
        score = 1 - ((truth - answers) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    else:
        wrong = float((answers.argmax(axis=1) != codes[judge]).mean())
        score = 1 - wrong / (1 - float(np.bincount(codes[judge]).max()) / len(judge))
    return shares, float(score)


def held_out_importance(
    trees: Sequence[Any], values: NDArray[np.float32], target: Floats
) -> Floats:
    """Share of the variance of a target that a forest explains through each dimension.

    For each tree, the covariance between the target and the change of the prediction by splits on
    the dimension (Li et al. 2019, eq. 8), on rows that the forest has not seen. 0 within the noise,
    also below, for a useless dimension. Trees are the `tree_` of scikit-learn's regression trees;
    values (n, d) and target (n, outputs) give (d,).
    """
    centered = target - target.mean(axis=0)
    importance = np.zeros(values.shape[1])
    for tree in trees:
        sums = tree.decision_path(values).T @ centered
        level = tree.value[:, :, 0]
        parents = np.flatnonzero(tree.children_left >= 0)
        for children in (tree.children_left[parents], tree.children_right[parents]):
            change = ((level[children] - level[parents]) * sums[children]).sum(axis=1)
            importance += np.bincount(tree.feature[parents], change, minlength=len(importance))
    share: Floats = importance / (len(trees) * (centered**2).sum())
    return share


# What dimensions share with one another: total correlation.


def gaussian_total_correlation(values: Floats) -> float:
    """Total correlation of a Gaussian in nats, -1/2 log det of the correlations of columns (n, d).

    Infinite where a column is a sum of others; constant ones do not count.
    """
    values = values[:, np.ptp(values, axis=0) > 0]
    if values.shape[1] < 2:
        return 0.0
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(values, rowvar=False))
    if eigenvalues[0] < _SINGULAR:
        return float("inf")
    return float(-0.5 * np.log(eigenvalues).sum())


def knn_total_correlation(values: Floats) -> float:
    """Total correlation of columns in nats, signed (Kraskov et al. 2004, eq. 23).

    psi(k) + (d - 1) psi(n) - sum over the columns of < psi(n_j + 1) >, with n_j the points strictly
    closer in column j than the k-th neighbor in all, in the Chebyshev norm. Values (n, d) are
    neither scaled nor jittered.
    """
    n, d = values.shape
    near = cKDTree(values).query(values, k=_NEIGHBORS + 1, p=np.inf)[0]
    distance, table = np.asarray(near)[:, -1], digamma_table(n)
    margins = sum(float(table[closer(column, distance) + 1].mean()) for column in values.T)
    return float(digamma(_NEIGHBORS) + (d - 1) * table[n] - margins)


def gaussian_total_correlation_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
    """Total correlation of a Gaussian with the correlations of the dimensions."""
    value = gaussian_total_correlation(drawn.latents(drawn.every))
    return Scores({Key("total_correlation", "gaussian", MEAN): value})


def knn_total_correlation_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
    """Total correlation by neighbors among normal scores of the ranks."""
    values = drawn.latents(drawn.every)
    values = values[:, np.ptp(values, axis=0) > 0]
    value = 0.0
    if values.shape[1] > 1:
        seed = int(rng.integers(2**31))
        columns = [
            read_column("", column, discrete=False, stream=(seed, i))
            for i, column in enumerate(values.T)
        ]
        ranks = np.column_stack([column.ranked for column in columns])
        value = knn_total_correlation(ndtri(ranks))
    return Scores({Key("total_correlation", "knn", MEAN): value})


class Family(NamedTuple):
    """Measures of one evaluation, averaged over random `splits`, on fewer halves if `slow`."""

    scores: Callable[[Drawn, np.random.Generator], Scores]
    splits: bool = False
    slow: bool = False


# The slow ones first, so that no core ends alone with them.
FAMILIES = (
    Family(forest_scores, splits=True, slow=True),
    Family(knn_total_correlation_scores, slow=True),
    Family(knn_scores),
    Family(explicitness_scores, splits=True, slow=True),
    Family(sap_scores, splits=True),
    Family(binned_scores),
    Family(gaussian_total_correlation_scores),
)
"""A new measure is a function here, and a line for each of its numbers in `MEASURES`."""
