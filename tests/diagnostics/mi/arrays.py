"""Estimates of plain arrays by the estimators of the project, for tests against oracles."""

import numpy as np

from latentscope.diagnostics.mi.columns import read_column
from latentscope.diagnostics.mi.estimators import ESTIMATORS


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
