"""What error ordinary spectra of the same kind and noise have: a quadratic fit to the reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FOLDS = 5
_ROWS_A_TERM = 10
_EDGES = (0.005, 0.995)
_RIDGE = 1.0


class Fit:
    """Quadratic regression of columns y on columns x, with x held to the range it was fitted in.

    Linear, or a mean alone, where there are fewer than ten rows a term.

    Parameters
    ----------
    x : ndarray, shape (n, p)
    y : ndarray, shape (n, q)
    """

    def __init__(self, x: Floats, y: Floats) -> None:
        width = x.shape[1]
        self._order = 2 if len(x) >= _ROWS_A_TERM * (width + 1) * (width + 2) // 2 else 1
        if len(x) < _ROWS_A_TERM * (width + 1):
            self._order = 0
        self._low, self._high = np.quantile(x, _EDGES, axis=0)
        self._middle, deviation = x.mean(axis=0), x.std(axis=0)
        self._scale = np.where(deviation > 0, deviation, 1.0)
        terms = self._terms(x)
        # The constant is not drawn to 0.
        penalty = _RIDGE * np.diag(np.arange(terms.shape[1]) > 0)
        self._weights = np.linalg.solve(terms.T @ terms + penalty, terms.T @ y)

    def residual(self, x: Floats, y: Floats) -> Floats:
        """Return y less what is expected at x, shape (m, q)."""
        return np.asarray(y - self._terms(x) @ self._weights)

    def _terms(self, x: Floats) -> Floats:
        inside = (np.clip(x, self._low, self._high) - self._middle) / self._scale
        parts = [np.ones((len(x), 1))]
        if self._order > 0:
            parts.append(inside)
        if self._order > 1:
            first, second = np.triu_indices(x.shape[1])
            parts.append(inside[:, first] * inside[:, second])
        return np.concatenate(parts, axis=1)


def folds(n: int) -> NDArray[np.int64]:
    """Fold of each of n rows in random order, 0 to 4."""
    return np.arange(n) % FOLDS


def held_out(x: Floats, y: Floats) -> Floats:
    """Residual of each row from a fit to the other folds, shape (n, q)."""
    out, fold = np.empty_like(y), folds(len(x))
    for number in range(FOLDS):
        mine = fold == number
        out[mine] = Fit(x[~mine], y[~mine]).residual(x[mine], y[mine])
    return out
