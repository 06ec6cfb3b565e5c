"""Estimates of plain arrays by the estimators of the project, for tests against oracles."""

import numpy as np

from latentscope.diagnostics.mi.columns import read_column
from latentscope.diagnostics.mi.estimators import ESTIMATORS
from latentscope.diagnostics.mi.points import Part, local_terms


def column(values, side=0, discrete=False):
    """Make an array without missing values ready."""
    return read_column("column", values, discrete=discrete, stream=(side,))


def estimate(name, x, y, neighbors=3, *, discrete=False, seed=0):
    """Mutual information in nats by the estimator of a name; y holds classes if discrete."""
    estimator, x, y = ESTIMATORS[name], np.asarray(x), np.asarray(y)
    if x.ndim == y.ndim == 1:
        columns = column(x), column(y, 1, discrete)
        return estimator.estimate(*columns, neighbors, seed).value
    first, second = (a.reshape(len(a), -1).T for a in (x, y))
    return estimator.joint(
        [column(part) for part in first],
        [column(part, 1, discrete) for part in second],
        neighbors,
    )


def ksg(x, y, neighbors=3):
    """KSG of the values, of one column each or of several."""
    return estimate("ksg", x, y, neighbors)


def part(values):
    """Numbers of shape (n,) or (n, d), and no classes."""
    values = np.asarray(values, dtype=np.float64)
    return Part(values.reshape(len(values), -1), np.zeros(len(values), dtype=np.int64))


def terms_of_several(x, y, neighbors):
    """Local terms of several columns, nothing given."""
    return local_terms(part(x), part(y), part(np.empty((len(x), 0))), neighbors)
