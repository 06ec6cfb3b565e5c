"""Other axes for the same latents: what a number is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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
