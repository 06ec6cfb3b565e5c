"""Mutual information of two variables, and of every latent dimension with every label, in nats."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.columns import Column, Discrete, read_column
from latentscope.diagnostics.estimators import Estimator, check_estimator
from latentscope.diagnostics.ksg import ksg
from latentscope.diagnostics.matrix import mi_matrix
from latentscope.diagnostics.mi_result import MIResult
from latentscope.diagnostics.pairs import Settings, value_of
from latentscope.diagnostics.ross import ross
from latentscope.errors import EstimatorError

__all__ = ["Estimator", "MIResult", "mi_matrix", "mutual_information"]

Floats = NDArray[np.float64]

_DISCRETE_OF: dict[str, tuple[Discrete, Discrete]] = {
    "copula": (False, False),
    "ksg": (False, False),
    "ross": (False, True),
    "plugin": (True, True),
}


def mutual_information(
    x: ArrayLike,
    y: ArrayLike,
    *,
    discrete: Discrete = "auto",
    neighbors: int = 3,
    estimator: Estimator = "auto",
    seed: int = 0,
) -> float:
    """Mutual information of x and y in nats, signed: an estimate of 0 may come out below 0.

    Parameters
    ----------
    x, y : array, shape (n,) or (n, d)
        Samples, row by row. NaN (and None or empty text among classes) drops the row.
    discrete : bool or "auto"
        True says that y holds classes, False that it holds numbers, whatever it looks like. "auto"
        takes text, booleans and numbers of few values (20 or fewer, 10 rows each) for classes.
    neighbors : int
        k of the nearest-neighbour estimators.
    estimator : {"auto", "copula", "ksg", "ross", "plugin"}
        "copula": KSG (Kraskov et al. 2004, algorithm 1) of ranks, ties broken at random. "ksg":
        the same of the values as they are. "ross": Ross 2014, y discrete. "plugin": both discrete,
        Miller's correction. "auto" takes "copula", "ross" or "plugin" by what x and y are.
    seed : int
        Of the order of ties and the jitter of ranks.

    Returns
    -------
    float
        Nats.

    Raises
    ------
    EstimatorError
        If the lengths differ, values are infinite, `neighbors` is not below the number of rows, or
        the estimator does not take such variables, or y is to hold classes in several columns.

    Warns
    -----
    LatentscopeWarning
        If x or y is constant, which gives 0.
    """
    check_estimator(estimator)
    arrays = [_samples(name, values) for name, values in (("x", x), ("y", y))]
    if len(arrays[0]) != len(arrays[1]):
        raise EstimatorError(
            f"x has {len(arrays[0])} rows and y has {len(arrays[1])}; wanted one row each"
        )
    of_x, of_y = _DISCRETE_OF.get(estimator, ("auto", discrete))
    if arrays[0].ndim == 2 or arrays[1].ndim == 2:
        return _joint(arrays[0], arrays[1], of_y, estimator, neighbors, seed)
    settings = Settings(estimator=estimator, neighbors=neighbors, seed=seed)
    columns = (
        read_column("x", arrays[0], discrete=of_x, stream=(seed, 0)),
        read_column("y", arrays[1], discrete=of_y, stream=(seed, 1)),
    )
    return value_of(*columns, settings)


def _samples(name: str, values: ArrayLike) -> NDArray[np.generic]:
    array = np.asarray(values)
    if array.ndim not in (1, 2) or array.size == 0:
        raise EstimatorError(f"{name} has shape {array.shape}; wanted (n,) or (n, d), not empty")
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _joint(
    x: NDArray[np.generic],
    y: NDArray[np.generic],
    discrete: Discrete,
    estimator: Estimator,
    neighbors: int,
    seed: int,
) -> float:
    """Mutual information where x or y has several columns, which are taken together."""
    if estimator == "plugin":
        raise EstimatorError("plugin takes two columns of classes; wanted x and y of shape (n,)")
    if y.ndim == 2 and discrete is True:
        raise EstimatorError(
            f"y has shape {y.shape} and is taken for classes; wanted one class a row, (n,): "
            "number the combinations of its columns"
        )
    first = _columns("x", x, False, seed, 0)
    second = _columns("y", y, discrete if y.ndim == 1 else False, seed, 1)
    keep = np.logical_and.reduce([column.valid for column in first + second])
    if int(keep.sum()) <= neighbors:
        raise EstimatorError(
            f"{int(keep.sum())} rows have both x and y; wanted more than neighbors={neighbors}"
        )
    raw = estimator == "ksg"
    if second[0].discrete:
        return ross(
            _stacked(first, keep, raw=not any(c.tied for c in first)),
            second[0].part(keep).codes,
            neighbors,
        )
    return ksg(_stacked(first, keep, raw), _stacked(second, keep, raw), neighbors)


def _columns(
    name: str, array: NDArray[np.generic], discrete: Discrete, seed: int, side: int
) -> list[Column]:
    parts = array.reshape(len(array), -1).T
    return [
        read_column(f"{name}[{i}]", part, discrete=discrete, stream=(seed, side, i))
        for i, part in enumerate(parts)
    ]


def _stacked(columns: list[Column], keep: NDArray[np.bool_], raw: bool) -> Floats:
    parts = [column.part(keep) for column in columns]
    return np.column_stack([part.raw.values if raw else part.ranked.values for part in parts])
