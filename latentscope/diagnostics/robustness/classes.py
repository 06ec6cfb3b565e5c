"""The classes of which equal numbers are drawn."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.diagnostics.mi.columns import check_known, is_text, read_column

_USUAL = ("spec_type", "sp_type", "spectral_type", "Teff", "teff")
"""Columns that classes are made of where none is named, the first that is there."""

_SPECTRAL = re.compile(r"[OBAFGKM]([\d\s.:+/-]|I|V|$)")
_MOSTLY = 0.8
_BINS = 5
_EDGES = (0.01, 0.99)
_FEWEST = 20
_RARE = 0.02


@dataclass(frozen=True, eq=False)
class Classes:
    """Class of each row.

    Parameters
    ----------
    name : str
        Of the column.
    codes : ndarray of int64, shape (n,)
        -1 where missing.
    names : tuple of str
        Of the classes.
    """

    name: str
    codes: NDArray[np.int64]
    names: tuple[str, ...]

    def equal_rows(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw as many of these rows, one a star, from each class as the smallest one has.

        Classes with fewer than 20 rows, or than 2 % of all, do not count; none is drawn where
        fewer than two classes are left.
        """
        codes = self.codes[rows]
        counts = np.bincount(codes[codes >= 0], minlength=len(self.names))
        taken = np.flatnonzero(self._frequent(counts))
        if len(taken) < 2:
            return rows[:0]
        size = int(counts[taken].min())
        drawn = [rng.choice(rows[codes == code], size, replace=False) for code in taken]
        return np.sort(np.concatenate(drawn))

    def note(self, rows: NDArray[np.int64]) -> str:
        """Say how many of these rows, one a star, each class has, and which do not count."""
        codes = self.codes[rows]
        counts = np.bincount(codes[codes >= 0], minlength=len(self.names))
        told = ", ".join(
            f"{name} {count:,}{'' if kept else ' (left out)'}"
            for name, count, kept in zip(self.names, counts, self._frequent(counts), strict=True)
            if count
        )
        return f"stars by {self.name}: {told}"

    @staticmethod
    def _frequent(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
        kept: NDArray[np.bool_] = counts >= max(_FEWEST, _RARE * counts.sum())
        return kept


def read_classes(frame: pd.DataFrame, name: str | None) -> Classes | None:
    """Make classes of a column of the labels.

    Spectral types go by their letter; numbers of many values into five bins of equal width between
    their 1st and 99th percentile.

    Parameters
    ----------
    frame : DataFrame of n rows
    name : str or None
        None takes a column of spectral types or Teff, if there is one; else there are no classes.

    Raises
    ------
    ChoiceError
        If there is no such column.
    """
    if name is None:
        name = next((usual for usual in _USUAL if usual in frame), None)
        if name is None:
            return None
    check_known(frame, [name])
    values = frame[name]
    if is_text(values):
        return _of_text(name, values)
    column = read_column(name, values)
    if column.codes is not None:
        known = np.sort(values.dropna().unique())
        return Classes(name, column.codes, tuple(f"{value:g}" for value in known))
    return _of_numbers(name, values.to_numpy(dtype=np.float64, na_value=np.nan))


def _of_text(name: str, values: pd.Series) -> Classes:
    text = values.astype(object).where(values.notna(), None)
    text = text.map(lambda value: str(value).strip() or None, na_action="ignore")
    known = text.dropna()
    spectral = known.map(lambda value: bool(_SPECTRAL.match(value)))
    if len(known) and spectral.mean() >= _MOSTLY:
        text = text.map(lambda value: value[0], na_action="ignore")
    codes, names = pd.factorize(text, sort=True)
    return Classes(name, codes.astype(np.int64), tuple(map(str, names)))


def _of_numbers(name: str, values: NDArray[np.float64]) -> Classes:
    low, high = np.nanquantile(values, _EDGES)
    edges = np.linspace(low, high, _BINS + 1)
    codes = np.searchsorted(edges[1:-1], values, side="right").astype(np.int64)
    codes[np.isnan(values)] = -1
    names = [f"{a:.4g}-{b:.4g}" for a, b in pairwise(edges)]
    return Classes(name, codes, tuple(names))
