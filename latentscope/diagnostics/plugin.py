"""Mutual information of two sets of classes: the plug-in estimate, corrected for its bias.

The correction is that of G. A. Miller, "Note on the bias of information estimates" (1955), with
the numbers of classes and of pairs that occur: (K_x + K_y - K_xy - 1) / (2 n) nats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]


def plugin_terms(x: Codes, y: Codes) -> NDArray[np.float64]:
    """Return the n local terms whose mean is the corrected estimate, in nats, signed.

    Parameters
    ----------
    x, y : ndarray of int64, shape (n,)
        Classes 0, 1, ... without gaps, row by row.
    """
    n, columns = len(x), int(y.max()) + 1
    pair = x * columns + y
    together = np.bincount(pair)
    of_x, of_y = np.bincount(x), np.bincount(y)
    correction = (len(of_x) + len(of_y) - np.count_nonzero(together) - 1) / (2 * n)
    terms: NDArray[np.float64] = np.log(n * together[pair] / (of_x[x] * of_y[y])) + correction
    return terms


def plugin_shuffled(x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Corrected plug-in estimates, in nats, of m pairs of code rows: (m, n), (m, n) -> (m,)."""
    return np.array([plugin_terms(*_without_gaps(a, b)).mean() for a, b in zip(x, y, strict=True)])


def _without_gaps(x: Codes, y: Codes) -> tuple[Codes, Codes]:
    # A draw of one row a group may lack a class that the whole column has.
    first, second = (np.unique(codes, return_inverse=True)[1] for codes in (x, y))
    return first.astype(np.int64), second.astype(np.int64)
