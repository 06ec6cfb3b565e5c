"""Predicting columns from others, each row by a fit to the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]

_FOLDS = 5
_MAX_PRODUCTS = 16
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
    that is no more than the columns share with it. Ridge regression on the columns, cubic splines
    and products of their normal scores, and Gaussian bumps of two widths around random rows; the
    penalty of each target is the one that predicts best. Columns (n, s), none constant, of
    independent rows, and targets (n, t) give predictions (n, t).
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
