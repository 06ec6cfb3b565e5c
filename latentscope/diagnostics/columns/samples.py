"""Samples that are taken as they come: checked, and turned into rows of float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentscope.errors import EstimatorError

Floats = NDArray[np.float64]


def paired_rows(x: ArrayLike, y: ArrayLike, more_than: int = 0) -> tuple[Floats, Floats]:
    """Return x and y as float64 arrays of shape (n, d), row i of one beside row i of the other.

    Parameters
    ----------
    x, y : array, shape (n,) or (n, d)
        Numbers.
    more_than : int
        n has to exceed it.

    Raises
    ------
    EstimatorError
        If an array is not of these shapes or holds NaN or infinite values, the lengths differ, or
        rows are too few.
    """
    first, second = rows_of("x", x), rows_of("y", y)
    check_lengths(len(first), len(second))
    if len(first) <= more_than:
        raise EstimatorError(f"x and y have {len(first)} rows; wanted more than {more_than}")
    return first, second


def rows_of(name: str, values: ArrayLike) -> Floats:
    """Return finite numbers of shape (n,) or (n, d) as float64 of shape (n, d).

    Raises
    ------
    EstimatorError
        If the shape is another, or a value is NaN or infinite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2) or array.size == 0:
        raise EstimatorError(f"{name} has shape {array.shape}; wanted (n,) or (n, d), not empty")
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise EstimatorError(
            f"{name}: {bad} of {array.size} values are NaN or infinite; leave these rows out"
        )
    return array.reshape(len(array), -1)


def check_lengths(of_x: int, of_y: int) -> None:
    """Raise EstimatorError unless x and y have as many rows."""
    if of_x != of_y:
        raise EstimatorError(f"x has {of_x} rows and y has {of_y}; wanted one row each")
