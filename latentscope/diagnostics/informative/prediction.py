"""What some columns tell about others: predictions for rows that the fit has not seen.

Ridge regression on the columns, cubic splines and products of their normal scores, and Gaussian
bumps of two widths around random rows. The penalty of each target is the one that predicts best.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]

_FOLDS = 5
_MOST_PRODUCTS = 16
"""Columns up to which products are features; of more they would outnumber the rest."""

_KNOTS = (-1.2, -0.6, 0.0, 0.6, 1.2)
"""Of the splines, in normal scores."""

_BUMPS = 100
_ROWS_PER_BUMP = 8
_WIDTHS = (1.0, 6.0)
"""Variances of the bumps over the number of columns, which have unit variance."""

_PENALTIES = 10.0 ** np.arange(-6.0, 5.0, 2.0)


def normal_scores(values: Floats) -> Floats:
    """Normal quantiles of the ranks in each column, shape (n, d) -> (n, d)."""
    ranks = np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0, kind="stable")
    scores: Floats = ndtri((ranks + 0.5) / len(values))
    return scores


def cross_fitted(columns: Floats, targets: Floats, rng: np.random.Generator) -> Floats:
    """Predict each row from the others: five folds, each predicted by the fit to the rest.

    So a prediction is independent of the noise in its own row's target, and what it shares with
    the target is a lower bound of what the columns share with it.

    Parameters
    ----------
    columns : ndarray of float64, shape (n, s)
        What is known; none constant, independent rows.
    targets : ndarray of float64, shape (n, t)
        What is predicted.
    rng : Generator
        Of folds and bumps.

    Returns
    -------
    ndarray of float64, shape (n, t)
    """
    features = _features(columns, rng)
    centre = targets.mean(axis=0)
    wanted = targets - centre
    fold = rng.permutation(len(features)) % _FOLDS
    parts = [(features[fold == k], wanted[fold == k]) for k in range(_FOLDS)]
    grams = [part.T @ part for part, _ in parts]
    moments = [part.T @ target for part, target in parts]
    gram, moment = sum(grams), sum(moments)
    found = np.empty((len(_PENALTIES), *targets.shape))
    for k, (part, _) in enumerate(parts):
        found[:, fold == k] = _ridge(gram - grams[k], moment - moments[k], part)
    best = ((found - wanted) ** 2).sum(axis=1).argmin(axis=0)
    predicted: Floats = np.stack([found[i, :, t] for t, i in enumerate(best)], axis=1) + centre
    return predicted


def _ridge(gram: Floats, moment: Floats, rows: Floats) -> Floats:
    """Predictions with each penalty, shape (penalties, rows, t)."""
    weights, vectors = np.linalg.eigh(gram)
    turned, rows = vectors.T @ moment, rows @ vectors
    shrunk = np.maximum(weights, 0)[None] + _PENALTIES[:, None]
    return np.stack([rows @ (turned / each[:, None]) for each in shrunk])


def _features(columns: Floats, rng: np.random.Generator) -> Floats:
    n, s = columns.shape
    scores = normal_scores(columns)
    parts = [columns - columns.mean(axis=0), scores**3]
    parts += [np.maximum(scores - knot, 0.0) ** 3 for knot in _KNOTS]
    if s <= _MOST_PRODUCTS:
        first, second = np.triu_indices(s)
        parts.append(scores[:, first] * scores[:, second])
    bumps = scores[rng.choice(n, min(_BUMPS, n // _ROWS_PER_BUMP), replace=False)]
    squares = (scores**2).sum(axis=1)[:, None] + (bumps**2).sum(axis=1) - 2 * scores @ bumps.T
    parts += [np.exp(-squares / (2 * width * s)) for width in _WIDTHS]
    features = np.hstack(parts)
    features -= features.mean(axis=0)
    deviation = np.sqrt(np.einsum("ij,ij->j", features, features) / n)
    scaled: Floats = features / np.where(deviation > 0, deviation, 1.0)
    return scaled
