"""Rows that have the same columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def alike(known: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.int64]]]:
    """Yield each set of columns that rows have, shape (k,), and the indices of those rows.

    Parameters
    ----------
    known : ndarray of bool, shape (n, k)
        Which row has which column.
    """
    # Nearly all rows have all columns, and sorting a million rows takes longer than the rest.
    whole = known.all(axis=1)
    if whole.any():
        yield np.ones(known.shape[1], dtype=np.bool_), np.flatnonzero(whole)
    others = np.flatnonzero(~whole)
    sets, member = np.unique(known[others], axis=0, return_inverse=True)
    for number, columns in enumerate(sets):
        yield columns, others[member.reshape(-1) == number]
