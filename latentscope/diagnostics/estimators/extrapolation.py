"""The estimate of no neighbourhood at all: mutual information at several k, carried on to k = 0.

KSG takes the density as constant as far as the k-th neighbour. Where it is not, the estimate has a
bias that grows with k: with the square root of k where the relation has edges, in proportion to k
where it is smooth. With few neighbours the bias is small and the noise is large. So the estimates
at k = 2, 4, 8 and 16 are taken to be I + a sqrt(k) + b k + noise. The covariance of the noise is
that of independent columns. Sizes of a and b from none to 0.3 nats are weighed by how likely they
make the four estimates, so that they are taken off only as far as they stand out of the noise. To
weight several k so that bias cancels is the idea of T. B. Berrett, R. J. Samworth and M. Yuan,
"Efficient multivariate entropy estimation via k-nearest neighbour distances", Ann. Statist. 47,
288 (2019); weights from the data are ours.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEIGHBORS = (2, 4, 8, 16)
"""The k whose estimates are extrapolated."""

_NOISE = np.array(
    [
        [0.886, 0.341, 0.135, 0.060],
        [0.341, 0.395, 0.162, 0.058],
        [0.135, 0.162, 0.180, 0.072],
        [0.060, 0.058, 0.072, 0.088],
    ]
)
"""n times the covariance of the estimates of independent columns, measured on 1,500 pairs of 1,024
rows."""

_OF_TERMS = np.array([0.590, 0.250, 0.111, 0.050])
"""Variance of the local terms on the same pairs. The covariance of two k is that of the larger."""

_SIZES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Sizes of each bias in nats, at k = 8."""

_SHARED_BIAS = 0.2
"""n times the square of the bias that all four k share and so cannot show: Gaussian pairs come out
high by about 0.45 / sqrt(n) with any k (correlation 0.9, n = 600 and 5,000)."""

_EXCESS = _NOISE - _OF_TERMS[np.maximum.outer(np.arange(4), np.arange(4))]


def extrapolated(terms: Floats) -> tuple[float, float]:
    """Extrapolate from the local terms of `NEIGHBORS`, in nats, to no neighbours.

    Parameters
    ----------
    terms : ndarray of float64, shape (4, n)
        Local terms of KSG with each k of `NEIGHBORS`, point by point.

    Returns
    -------
    value : float
        Nats, signed.
    variance : float
        Its sampling variance, and what is uncertain about the bias, in nats squared.
    """
    n = terms.shape[1]
    estimates = terms.mean(axis=1)
    weights, precision, normalisation = _models(n)
    misfit = np.einsum("i,gij,j->g", estimates, precision, estimates)
    likelihood = normalisation - 0.5 * misfit
    belief = np.exp(likelihood - likelihood.max())
    belief /= belief.sum()
    values = weights @ estimates
    value = float(belief @ values)
    mean_weights = belief @ weights
    sampling = np.var(mean_weights @ terms) + mean_weights @ _EXCESS @ mean_weights
    doubt = belief @ (values - value) ** 2 + _SHARED_BIAS / n
    return value, float(max(sampling, 0.0) / n + doubt)


@lru_cache(maxsize=256)
def _models(n: int) -> tuple[Floats, Floats, Floats]:
    """Weights (g, 4), precision (g, 4, 4) and normalisation (g,) for each pair of bias sizes."""
    k = np.array(NEIGHBORS) / 8
    shapes = np.stack([np.outer(k**0.5, k**0.5), np.outer(k, k)])
    sizes = np.array(list(product(_SIZES, repeat=2)))
    covariance = _NOISE / n + np.einsum("gs,sij->gij", sizes**2, shapes)
    inverse = np.linalg.inv(covariance)
    row_sums = inverse.sum(axis=2)
    total = row_sums.sum(axis=1)
    weights = row_sums / total[:, None]
    precision = inverse - row_sums[:, :, None] * row_sums[:, None, :] / total[:, None, None]
    normalisation = -0.5 * (np.linalg.slogdet(covariance)[1] + np.log(total))
    return weights, precision, normalisation
