"""Total correlation: what the dimensions share with one another, in nats.

S. Watanabe, IBM J. Res. Dev. 4, 66 (1960): the sum of the entropies of the dimensions minus that
of all together; 0 if they are independent. By nearest neighbours as A. Kraskov, H. Stoegbauer,
P. Grassberger, Phys. Rev. E 69, 066138 (2004), eq. 23.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import digamma, ndtri

from latentscope.diagnostics.columns.column import read_column
from latentscope.diagnostics.disentanglement.catalogue import MEAN
from latentscope.diagnostics.disentanglement.sample import Drawn
from latentscope.diagnostics.disentanglement.scores import Key, Scores
from latentscope.diagnostics.estimators.ksg import closer_points, digamma_table

Floats = NDArray[np.float64]

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


def gaussian_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
    """Total correlation of a Gaussian with the correlations of the dimensions."""
    value = gaussian_total_correlation(drawn.latents(drawn.every))
    return Scores({Key("total_correlation", "gaussian", MEAN): value})


def knn_scores(drawn: Drawn, rng: np.random.Generator) -> Scores:
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
