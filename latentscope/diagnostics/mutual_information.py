"""Mutual information of two variables, and of every latent dimension with every label, in nats."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.columns.column import Column, Discrete, read_column
from latentscope.diagnostics.estimators.choice import Estimator, check_estimator, kinds_of
from latentscope.diagnostics.estimators.joint import check_takes_several, joint_information
from latentscope.diagnostics.matrix import mi_matrix
from latentscope.diagnostics.mi_result import MIResult
from latentscope.diagnostics.pairs import Settings, value_of
from latentscope.errors import EstimatorError

__all__ = ["Estimator", "MIResult", "mi_matrix", "mutual_information"]

Floats = NDArray[np.float64]


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
        takes text, booleans and numbers of few values (5 with 10 rows each, 50 with 50) for
        classes.
    neighbors : int
        k of the nearest-neighbour estimators; "auto" takes more where rows are few.
    estimator : str
        "auto" takes "copula", "ross" or "plugin" by what x and y are, and extrapolates strong
        relations to no neighbours. "copula": KSG (Kraskov et al. 2004, algorithm 1) of ranks, ties
        broken at random. "ksg": the same of the values as they are. "ross": Ross 2014, y discrete.
        "plugin": both discrete, Miller's correction. "mixture": Gao et al. 2017. "histogram": 40
        equal bins. "gmm": mixtures of Gaussians. "npeet": NPEET, if installed.
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
    of_x, of_y = kinds_of(estimator)
    of_y = discrete if of_y == "auto" else of_y
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
    check_takes_several(estimator)
    if y.ndim == 2 and discrete is True:
        raise EstimatorError(
            f"y has shape {y.shape} and is taken for classes; wanted one class a row, (n,): "
            "number the combinations of its columns"
        )
    first = _columns("x", x, False, seed, 0)
    second = _columns("y", y, discrete if y.ndim == 1 else False, seed, 1)
    return joint_information(first, second, estimator, neighbors)


def _columns(
    name: str, array: NDArray[np.generic], discrete: Discrete, seed: int, side: int
) -> list[Column]:
    parts = array.reshape(len(array), -1).T
    return [
        read_column(f"{name}[{i}]", part, discrete=discrete, stream=(seed, side, i))
        for i, part in enumerate(parts)
    ]
