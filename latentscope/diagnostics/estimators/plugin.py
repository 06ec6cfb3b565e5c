"""Mutual information of two sets of classes: the plug-in estimate, corrected for its bias.

The correction is that of G. A. Miller, "Note on the bias of information estimates" (1955), with
the numbers of classes and of pairs that occur: (K_x + K_y - K_xy - 1) / (2 n) nats.
"""

from __future__ import annotations

from typing import Any

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


def plugin_of_counts(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Corrected plug-in estimates, in nats, of m tables of counts, (m, classes, classes) -> (m,).

    Every class occurs in every table.
    """
    of_x, of_y = (counts.sum(axis=axis, keepdims=True) for axis in (2, 1))
    n = counts.sum(axis=(1, 2))
    ratio = counts * n[:, None, None] / (of_x * of_y)
    value = (counts * np.log(np.where(counts > 0, ratio, 1.0))).sum(axis=(1, 2)) / n
    occurring = np.count_nonzero(counts, axis=(1, 2))
    out: NDArray[np.float64] = value + (sum(counts.shape[1:]) - occurring - 1) / (2 * n)
    return out


def plugin_shuffled(x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Corrected plug-in estimates, in nats, of m pairs of code rows: (m, n), (m, n) -> (m,)."""
    return np.array([plugin_terms(*_without_gaps(a, b)).mean() for a, b in zip(x, y, strict=True)])


def _without_gaps(x: Codes, y: Codes) -> tuple[Codes, Codes]:
    # A draw of one row a group may lack a class that the whole column has.
    first, second = (np.unique(codes, return_inverse=True)[1] for codes in (x, y))
    return first.astype(np.int64), second.astype(np.int64)
