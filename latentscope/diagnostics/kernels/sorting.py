"""Compiled sort of a column of numbers: by the bits of float64, stable, and without the GIL."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from latentscope.diagnostics.kernels.margins import U

_BITS = 11
_DIGITS = 6
_MASK = np.uint64((1 << _BITS) - 1)
_SIGN = np.uint64(63)
_NEGATIVE = np.uint64(1 << 63)


@njit(cache=True, inline="always")
def _digit(key: Any, digit: int) -> Any:
    return (key >> np.uint64(_BITS * digit)) & _MASK


@njit(cache=True)
def _keys_of(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Whole numbers in the order of the values: both zeros are one, negative ones reversed."""
    keys = (values + 0.0).view(np.uint64)
    for i in range(len(keys)):
        key = keys[i]
        keys[i] = ~key if key >> _SIGN else key | _NEGATIVE
    return keys


@njit(cache=True, nogil=True)
def ascending_order(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows in ascending order of their values; equal values keep their order.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Not NaN.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    n = len(values)
    keys = _keys_of(values)
    order = np.arange(n)
    other_keys, other_order = np.empty_like(keys), np.empty_like(order)
    starts = np.zeros((_DIGITS, 1 << _BITS), dtype=np.int64)
    for key in keys:
        for digit in range(_DIGITS):
            starts[digit, _digit(key, digit)] += 1
    for digit in range(_DIGITS):
        start = starts[digit]
        if n == 0 or start[_digit(keys[0], digit)] == n:
            continue
        start[:] = np.cumsum(start) - start
        for i in range(n):
            p = start[_digit(keys[i], digit)]
            start[_digit(keys[i], digit)] = p + 1
            other_keys[U(p)], other_order[U(p)] = keys[i], order[i]
        keys, other_keys = other_keys, keys
        order, other_order = other_order, order
    return order
