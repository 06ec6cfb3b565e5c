"""Rows that show the same star: draws of one row a group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.errors import EstimatorError

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """Which group each of n rows belongs to.

    Parameters
    ----------
    codes : ndarray of int64, shape (n,)
        Group of each row, 0, 1, ...; a row without a name is a group of its own.
    order : ndarray of int64, shape (n,)
        Rows sorted by group.
    """

    codes: Indices
    order: Indices

    @property
    def repeated(self) -> int:
        """Number of rows beyond the first of each group."""
        return len(self.codes) - int(self.codes.max(initial=-1)) - 1

    def count(self, keep: NDArray[np.bool_]) -> int:
        """Count the groups among the rows kept."""
        return len(np.unique(self.codes[keep]))

    def draws(self, keep: NDArray[np.bool_], number: int, rng: np.random.Generator) -> Indices:
        """Draw one random kept row of each group, `number` times over.

        Returns
        -------
        ndarray of int64, shape (draws, groups)
            Rows; one draw only, where no group has two rows, since all would be the same.
        """
        rows = self.order[keep[self.order]]
        start = np.flatnonzero(np.diff(self.codes[rows], prepend=-1))
        size = np.diff(np.append(start, len(rows)))
        if size.max(initial=1) == 1:
            number = 1
        chosen = start + (rng.random((number, len(size))) * size).astype(np.int64)
        return rows[chosen]


def unnamed(values: ArrayLike | pd.Series) -> NDArray[np.bool_]:
    """Which of n names are missing: NaN, None or empty text, shape (n,)."""
    series = pd.Series(np.asarray(values, dtype=object))
    missing: NDArray[np.bool_] = (series.isna() | (series.astype(str).str.strip() == "")).to_numpy()
    return missing


def read_groups(values: ArrayLike | pd.Series, n: int) -> Groups:
    """Make groups of a column of names.

    Parameters
    ----------
    values : array of any type, shape (n,)
        Missing names (NaN, None, empty text) make groups of one row.
    n : int
        Rows wanted.

    Raises
    ------
    EstimatorError
        If there is not one name a row.
    """
    series = pd.Series(np.asarray(values, dtype=object))
    if len(series) != n:
        raise EstimatorError(f"groups has {len(series)} values for {n} rows; wanted one a row")
    codes = np.asarray(pd.factorize(series.where(~unnamed(series), None))[0], dtype=np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(int(alone.sum()))
    return Groups(codes, np.argsort(codes, kind="stable"))
