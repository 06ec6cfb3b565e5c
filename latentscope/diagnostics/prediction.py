"""Predicting columns from others, each row by a fit to the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from latentscope.diagnostics.mi.columns import Column
from latentscope.diagnostics.mi.estimators import without_single
from latentscope.errors import EstimatorError

Floats = NDArray[np.float64]

_MIN_ROWS = 100
_MAX_SCORES = 3
"""Columns to which the predicted scores of classes are reduced: kNN degrades with more."""

_FOLDS = 5
_MAX_PRODUCTS = 16
"""Columns up to which products are features; of more they would outnumber the rest."""

_KNOTS = (-1.2, -0.6, 0.0, 0.6, 1.2)  # of the splines, in normal scores
_BUMPS = 100
_ROWS_PER_BUMP = 8
_WIDTHS = (1.0, 6.0)  # variances of the bumps over the number of columns, which have unit variance
_PENALTIES = 10.0 ** np.arange(-6.0, 5.0, 2.0)


def normal_scores(values: Floats) -> Floats:
    """Normal quantiles of the ranks in each column, shape (n, d) -> (n, d)."""
    ranks = rankdata(values, method="ordinal", axis=0)
    scores: Floats = ndtri((ranks - 0.5) / len(values))
    return scores


def cross_fitted(columns: Floats, targets: Floats, rng: np.random.Generator) -> Floats:
    """Predict each row from the others: five folds, each predicted by the fit to the rest.

    So a prediction shares no more with its own row's target than the columns do. Ridge regression
    on the columns, cubic splines and products of their normal scores, and Gaussian bumps of two
    widths around random rows; the penalty of each target is the one that predicts best. Columns
    (n, s), none constant, of independent rows, and targets (n, t) give predictions (n, t).
    """
    features = _features(columns, rng)
    center = targets.mean(axis=0)
    truth = targets - center
    fold = rng.permutation(len(features)) % _FOLDS
    parts = [(features[fold == k], truth[fold == k]) for k in range(_FOLDS)]
    grams = [part.T @ part for part, _ in parts]
    moments = [part.T @ target for part, target in parts]
    gram, moment = sum(grams), sum(moments)
    fits = np.empty((len(_PENALTIES), *targets.shape))
    for k, (part, _) in enumerate(parts):
        # Five products and five decompositions serve thirty ridge regressions.
        weights, vectors = np.linalg.eigh(gram - grams[k])
        turned, rows = vectors.T @ (moment - moments[k]), part @ vectors
        for i, penalty in enumerate(_PENALTIES):
            fits[i, fold == k] = rows @ (turned / (np.maximum(weights, 0) + penalty)[:, None])
    best = ((fits - truth) ** 2).sum(axis=1).argmin(axis=0)
    predicted: Floats = np.stack([fits[i, :, t] for t, i in enumerate(best)], axis=1) + center
    return predicted


def _features(columns: Floats, rng: np.random.Generator) -> Floats:
    n, s = columns.shape
    scores = normal_scores(columns)
    parts = [columns - columns.mean(axis=0), scores**3]
    parts += [np.maximum(scores - knot, 0.0) ** 3 for knot in _KNOTS]
    if s <= _MAX_PRODUCTS:
        first, second = np.triu_indices(s)
        parts.append(scores[:, first] * scores[:, second])
    # Bumps see what neither splines nor products do: relations of several columns, such as rings.
    bumps = scores[rng.choice(n, min(_BUMPS, n // _ROWS_PER_BUMP), replace=False)]
    squares = (scores**2).sum(axis=1)[:, None] + (bumps**2).sum(axis=1) - 2 * scores @ bumps.T
    parts += [np.exp(-squares / (2 * width * s)) for width in _WIDTHS]
    features = np.hstack(parts)
    features -= features.mean(axis=0)
    deviation = np.sqrt(np.einsum("ij,ij->j", features, features) / n)
    scaled: Floats = features / np.where(deviation > 0, deviation, 1.0)
    return scaled


@dataclass(frozen=True)
class Target:
    """A label on the rows that have it: what is predicted (n, t), and its values (n,)."""

    rows: NDArray[np.int64]
    targets: Floats
    values: NDArray[np.generic]
    discrete: bool


def target_of(column: Column, of_rows: NDArray[np.int64]) -> Target:
    """Make a label ready to be predicted on some rows, (m,); `Target.rows` are places among these.

    An EstimatorError if fewer than 100 of them have the label, or no two classes have several rows.
    """
    rows = np.flatnonzero(column.valid[of_rows])
    if len(rows) < _MIN_ROWS:
        raise EstimatorError(
            f"{column.name}: known for {len(rows)} of {len(of_rows)} rows; expected {_MIN_ROWS} "
            "or more"
        )
    labeled = of_rows[rows]
    if column.codes is None:
        assert column.values is not None
        values = column.values[labeled]
        return Target(rows, normal_scores(values[:, None]), values, False)
    # A class of one row has no neighbor of its own kind.
    several = without_single(column.codes[labeled])
    rows, labeled = rows[several], labeled[several]
    codes = np.unique(column.codes[labeled], return_inverse=True)[1]
    if codes.max(initial=0) == 0:
        raise EstimatorError(f"{column.name}: one class with several rows; expected two or more")
    return Target(rows, np.eye(int(codes.max()) + 1)[codes], codes, True)


def scores_of(target: Target, columns: Floats, rng: np.random.Generator) -> Floats:
    """Predict a label from columns (n, s) of its rows, in one to three columns (n, k).

    What these share with the label is no more than the columns do.
    """
    scores = cross_fitted(columns, target.targets, rng)
    left, sizes, _ = np.linalg.svd(scores - scores.mean(axis=0), full_matrices=False)
    # The scores of all classes add up to 1, so one of them says nothing new.
    kept = min(max(scores.shape[1] - 1, 1), _MAX_SCORES)
    reduced: Floats = left[:, :kept] * sizes[:kept]
    return reduced
