"""MIG and modularity: measures of a matrix of mutual information, by bins or by neighbours.

T. Q. Chen et al., "Isolating sources of disentanglement in variational autoencoders", NeurIPS
(2018), section 4.1: MIG. K. Ridgeway, M. C. Mozer, "Learning deep disentangled embeddings with the
F-statistic loss", NeurIPS (2018), section 3: modularity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.columns.column import Column, read_column
from latentscope.diagnostics.disentanglement.sample import Drawn
from latentscope.diagnostics.disentanglement.scores import Scores, dim_names, mean_of
from latentscope.diagnostics.pairs import Settings, value_of

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

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
