"""Rows that show the same star: draws of one row a group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.errors import EstimatorError

Indices = NDArray[np.int64]

_ALIKE = 10


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
        return int(np.count_nonzero(np.bincount(self.codes[keep])))

    def draws(self, keep: NDArray[np.bool_], number: int, rng: np.random.Generator) -> Draws:
        """Draw one random kept row of each group, `number` times over.

        Only once where no group has two rows, since all draws would be the same.
        """
        rows = self.order[keep[self.order]]
        start = np.flatnonzero(np.diff(self.codes[rows], prepend=-1))
        size = np.diff(np.append(start, len(rows)))
        if size.max(initial=1) == 1:
            number = 1
        return Draws(rows, start, size, rng.random((number, len(size))))


@dataclass(frozen=True)
class Draws:
    """Random rows of groups, of which groups can change places.

    Parameters
    ----------
    kept : ndarray of int64, shape (n,)
        Rows sorted by group.
    start, size : ndarray of int64, shape (groups,)
        Where each group's rows begin in `kept`, and how many they are.
    lots : ndarray of float64, shape (draws, groups)
        Which of its rows each group shows, as a share of its size.
    """

    kept: Indices
    start: Indices
    size: Indices
    lots: NDArray[np.float64]

    @property
    def rows(self) -> Indices:
        """The row of each group in each draw, shape (draws, groups)."""
        return self.rows_of(np.arange(len(self.size)))

    def rows_of(self, groups: Indices) -> Indices:
        """Rows that other groups show by the lots of these, shape (groups,) -> (draws, groups).

        Draws that show the same row of a group then show the same row of the one in its place, as
        if the two were one. With lots of their own, draws of groups that changed places would be
        less alike than those of groups as they are, and their median would scatter less.
        """
        return self.kept[self.start[groups] + (self.lots * self.size[groups]).astype(np.int64)]

    @cached_property
    def alike(self) -> tuple[Indices, ...]:
        """Groups of about the same number of rows, 10 or more together, which change places."""
        by_size = np.argsort(self.size, kind="stable")
        bounds, ascending = [0], self.size[by_size]
        for change in np.flatnonzero(np.diff(ascending)) + 1:
            if change - bounds[-1] >= _ALIKE and len(by_size) - change >= _ALIKE:
                bounds.append(int(change))
        return tuple(np.split(by_size, bounds[1:]))

    def shuffled(self, rng: np.random.Generator) -> Indices:
        """Rows of groups that changed places with others of about their size, (draws, groups)."""
        moved = np.empty(len(self.size), dtype=np.int64)
        for groups in self.alike:
            moved[groups] = rng.permutation(groups)
        return self.rows_of(moved)


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
