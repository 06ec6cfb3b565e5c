"""SAP and explicitness: what straight lines and borders know of the labels.

A. Kumar, P. Sattigeri, A. Balakrishnan, "Variational inference of disentangled latent concepts
from unlabeled observations", ICLR (2018), section 3: SAP. K. Ridgeway, M. C. Mozer, "Learning deep
disentangled embeddings with the F-statistic loss", NeurIPS (2018), section 3: explicitness.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from latentscope.diagnostics.disentanglement.labels import Label
from latentscope.diagnostics.disentanglement.sample import Drawn, split
from latentscope.diagnostics.disentanglement.scores import Scores, mean_of

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

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
