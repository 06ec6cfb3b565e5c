"""DCI: which dimensions a forest uses to predict each label, and how well it does.

C. Eastwood, C. K. I. Williams, "A framework for the quantitative evaluation of disentangled
representations", ICLR (2018), section 2. Importance is measured on stars that the trees have not
seen, as X. Li et al., "A debiased MDI feature importance measure for random forests", NeurIPS
(2019), eq. 8: importance counted where trees learn adds noise for every dimension, however
irrelevant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.disentanglement.labels import Label
from latentscope.diagnostics.disentanglement.sample import Drawn, split
from latentscope.diagnostics.disentanglement.scores import Scores, dim_names

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

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
