"""Mutual information of variables of several columns, which are taken together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import digamma, ndtri

from latentscope.diagnostics.columns.column import Column
from latentscope.diagnostics.estimators.choice import Estimator
from latentscope.diagnostics.estimators.extrapolation import NEIGHBORS, extrapolated
from latentscope.diagnostics.estimators.ksg import closer_points, digamma_table, ksg
from latentscope.diagnostics.estimators.ross import ross
from latentscope.errors import EstimatorError

Floats = NDArray[np.float64]

_TAKEN = ("auto", "copula", "ksg", "ross")


def check_takes_several(estimator: Estimator) -> None:
    """Raise EstimatorError if the estimator takes single columns only."""
    if estimator not in _TAKEN:
        raise EstimatorError(
            f"{estimator} takes single columns, x and y of shape (n,); wanted one of "
            f"{', '.join(_TAKEN)} for several columns"
        )


def joint_information(
    x: list[Column], y: list[Column], estimator: Estimator, neighbors: int
) -> float:
    """Mutual information of several columns x and several columns y, or classes y, in nats.

    "auto" takes normal scores of the ranks of each column, which serve several columns better than
    the ranks (mean |error| 0.036 against 0.057 nats on the cases of several columns of
    benchmarks/mi_cases, n = 5,000), and extrapolates to no neighbours.

    Parameters
    ----------
    x, y : list of Column
        Of the same rows; a single column of classes for y, or none.
    estimator : str
        "auto", "copula", "ksg" or "ross".
    neighbors : int
        k.

    Raises
    ------
    EstimatorError
        If rows are not more than `neighbors`.
    """
    keep = np.logical_and.reduce([column.valid for column in x + y])
    n = int(keep.sum())
    if n <= neighbors:
        raise EstimatorError(f"{n} rows have both x and y; wanted more than neighbors={neighbors}")
    how = {"ksg": _values, "auto": _scores}.get(estimator, _ranks)
    if y[0].discrete:
        how = how if estimator == "auto" or any(column.tied for column in x) else _values
        return ross(how(x, keep), y[0].part(keep).codes, neighbors)
    first, second = how(x, keep), how(y, keep)
    if estimator == "auto" and n > 4 * NEIGHBORS[-1]:
        return extrapolated(joint_terms(first, second, NEIGHBORS))[0]
    return ksg(first, second, neighbors)


def _values(columns: list[Column], keep: NDArray[np.bool_]) -> Floats:
    return np.column_stack([column.part(keep).raw.values for column in columns])


def _ranks(columns: list[Column], keep: NDArray[np.bool_]) -> Floats:
    return np.column_stack([column.part(keep).ranked.values for column in columns])


def _scores(columns: list[Column], keep: NDArray[np.bool_]) -> Floats:
    scores: Floats = ndtri(_ranks(columns, keep))
    return scores


def joint_terms(x: Floats, y: Floats, neighbors: Sequence[int]) -> Floats:
    """Return local terms of KSG (Kraskov et al. 2004, eq. 8), in nats, for several k.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n, d)
        Used as they are; Chebyshev norm.
    neighbors : sequence of int
        Ascending.

    Returns
    -------
    ndarray of float64, shape (len(neighbors), n)
    """
    table = digamma_table(len(x))
    both = np.hstack([x, y])
    near = cKDTree(both).query(both, k=[k + 1 for k in neighbors], p=np.inf, workers=-1)[0]
    return np.stack(
        [
            digamma(k)
            + table[len(x)]
            - sum(table[closer_points(part, distance) + 1] for part in (x, y))
            for k, distance in zip(neighbors, np.asarray(near).T, strict=True)
        ]
    )
