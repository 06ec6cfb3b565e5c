"""Mutual information by counting in equal bins, and the paper's indicator made of it.

The value is that of the two binned columns: sum over cells of p_xy log(p_xy / (p_x p_y)), without a
correction. It is biased twice. Chance alone fills cells: of independent columns it is about
(K_x - 1) (K_y - 1) / (2 n) nats too large while the occupied bins K_x and K_y have many rows each
(0.19 nats for 40 bins and 4,000 rows), and nears log(n) as they have few. And bins hide what is
finer than they are, which makes it too small; equal widths do so most where an outlier stretches
the range. Values of columns of different length, or numbers of bins, do not compare; a ranking of
the dimensions for one label does, and that is what the indicator is.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents, align, read_labels, read_latents
from latentscope.diagnostics.columns.label_columns import choose_labels
from latentscope.diagnostics.columns.samples import paired_rows
from latentscope.errors import EstimatorError, LatentscopeWarning

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

PAPER_BINS = (5, 10, 20, 40, 80, 160)
"""Numbers of bins of Sedaghat et al. 2021, section 6.2."""

_CLIPPING_PASSES = 5


def histogram(x: ArrayLike, y: ArrayLike, bins: int = 40) -> float:
    """Mutual information of x and y in equal bins, in nats, never below 0.

    Parameters
    ----------
    x, y : array, shape (n,)
        Finite samples, row by row.
    bins : int
        Bins of equal width between the smallest and the largest value of each.

    Returns
    -------
    float
        Plug-in value of the binned samples, without correction of its bias.

    Raises
    ------
    EstimatorError
        If shapes or lengths do not fit, values are not finite, or `bins` is below 1.
    """
    first, second = paired_rows(x, y)
    if first.shape[1] > 1 or second.shape[1] > 1:
        raise EstimatorError("histogram takes one column each; wanted x and y of shape (n,)")
    return float(histogram_terms(first[:, 0], second[:, 0], bins).mean())


def histogram_terms(x: Floats, y: Floats, bins: int = 40) -> Floats:
    """Return the n local terms whose mean is the value of `histogram`, in nats, row by row.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        Finite.
    bins : int
        Of each.
    """
    _check_bins(bins)
    of_x, of_y = bin_codes(x, bins), bin_codes(y, bins)
    together = _counts(of_x, of_y, bins)
    expected = together.sum(axis=1)[of_x] * together.sum(axis=0)[of_y]
    terms: Floats = np.log(together[of_x, of_y] * len(x) / expected)
    return terms


def bin_codes(values: Floats, bins: int) -> Codes:
    """Bin of each value, 0 ... bins - 1, edges as those of `numpy.histogram`, shape (n,).

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite. A bin includes its lower edge, the last its upper one too.
    bins : int
        Of equal width between the smallest and the largest value; of a constant, all in one.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.zeros(len(values), dtype=np.int64)
    codes: Codes = _codes(values, np.linspace(low, high, bins + 1))
    return codes


@njit(cache=True)
def _codes(values: Floats, edges: Floats) -> Codes:
    last = len(edges) - 2
    scale = (last + 1) / (edges[-1] - edges[0])
    codes = np.empty(len(values), dtype=np.int64)
    for i in range(len(values)):
        code = min(max(int((values[i] - edges[0]) * scale), 0), last)
        # The product rounds; the edges decide.
        while code > 0 and values[i] < edges[code]:
            code -= 1
        while code < last and values[i] >= edges[code + 1]:
            code += 1
        codes[i] = code
    return codes


@njit(cache=True)
def _counts(of_x: Codes, of_y: Codes, bins: int) -> Codes:
    together = np.zeros((bins, bins), dtype=np.int64)
    for i in range(len(of_x)):
        together[of_x[i], of_y[i]] += 1
    return together


@njit(cache=True)
def _value(together: Codes) -> float:
    """Mutual information in nats of a table of counts."""
    of_x, of_y, n = together.sum(axis=1), together.sum(axis=0), together.sum()
    total = 0.0
    for i in range(len(of_x)):
        for j in range(len(of_y)):
            if together[i, j]:
                total += together[i, j] * np.log(together[i, j] * n / (of_x[i] * of_y[j]))
    return float(total / n)


def paper_indicator(
    latents: Latents | ArrayLike | pd.DataFrame | str | os.PathLike[str],
    labels: ArrayLike | pd.DataFrame | str | os.PathLike[str],
    bins: Sequence[int] = PAPER_BINS,
    clip_sigma: float | None = 5.0,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Which dimension tells most of each label: the indicator of Sedaghat et al. 2021, section 6.2.

    For each label and number of bins, the mutual information of every dimension with it by
    `histogram`, divided by the largest of them. So 1 marks the dimension that tells most, whatever
    it tells: the indicator of a label that none of them knows has a 1 too.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame or path
        Rows of NaN are left out.
    labels : DataFrame, array (n, labels) or path
        A missing label leaves the row out for that label.
    bins : sequence of int
        Numbers of bins.
    clip_sigma : float, optional
        Leave out the rows whose label lies further than so many standard deviations from its
        median, again until none does, at most five times; None keeps them.
    columns : list of str, optional
        Labels to take; by default all that hold numbers and do not name rows or stars.

    Returns
    -------
    DataFrame
        Columns `label`, `bins`, `dim`, `n`, `mi_nats`, `indicator`, a row for each dimension.
        `.pivot_table(index="label", columns="dim", values="indicator")` is the mean over the
        numbers of bins, labels x dimensions.

    Raises
    ------
    EstimatorError
        If no label, or not each of those asked for, holds numbers; no row has it, or a number of
        bins is below 1.
    TableError
        If latents and labels cannot be read or matched.

    Warns
    -----
    LatentscopeWarning
        If no dimension tells anything of a label, as of a constant, which leaves its indicator NaN.
    """
    for number in bins:
        _check_bins(number)
    read, frame = align(read_latents(latents), read_labels(labels), None)
    parts = []
    for name in _numeric(frame, columns):
        keep = _rows_of(name, frame[name], read.ok, clip_sigma)
        label = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)[keep]
        parts.append(_indicator(name, label, read.values[keep], bins))
    table = pd.concat(parts, ignore_index=True)
    _warn_of_nothing(table)
    return table


def _check_bins(bins: int) -> None:
    if not isinstance(bins, int | np.integer) or bins < 1:
        raise EstimatorError(f"bins is {bins!r}; wanted a whole number, 1 or more")


def _numeric(frame: pd.DataFrame, columns: Sequence[str] | None) -> list[str]:
    names, _ = choose_labels(frame, columns, None)
    others = [name for name in names if not pd.api.types.is_numeric_dtype(frame[name])]
    if others and (columns is not None or len(others) == len(names)):
        raise EstimatorError(
            f"{', '.join(others)}: no numbers, which equal bins want; mi_matrix takes classes"
        )
    return [name for name in names if name not in others]


def _rows_of(
    name: str, column: pd.Series, ok: NDArray[np.bool_], sigma: float | None
) -> NDArray[np.bool_]:
    """Rows that have latents and this label, outliers left out."""
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    keep: NDArray[np.bool_] = ok & np.isfinite(values)
    if not keep.any():
        raise EstimatorError(f"{name}: no row has both latents and this label; leave it out")
    for _ in range(_CLIPPING_PASSES if sigma is not None else 0):
        known = values[keep]
        keep &= np.abs(values - np.median(known)) <= sigma * known.std()
    return keep


def _indicator(
    name: str, label: Floats, latents: NDArray[np.floating[Any]], bins: Sequence[int]
) -> pd.DataFrame:
    dims = latents.shape[1]
    of_label = [bin_codes(label, number) for number in bins]
    nats = np.empty((len(bins), dims))
    for dim in range(dims):
        values = np.ascontiguousarray(latents[:, dim], dtype=np.float64)
        for i, number in enumerate(bins):
            nats[i, dim] = _value(_counts(of_label[i], bin_codes(values, number), number))
    largest = nats.max(axis=1, keepdims=True)
    indicator = np.full_like(nats, np.nan)
    np.divide(nats, largest, out=indicator, where=largest > 0)
    columns = {
        "label": name,
        "bins": np.repeat(bins, dims),
        "dim": np.tile(np.arange(dims), len(bins)),
        "n": len(label),
        "mi_nats": nats.ravel(),
        "indicator": indicator.ravel(),
    }
    return pd.DataFrame(columns)


def _warn_of_nothing(table: pd.DataFrame) -> None:
    empty = table.loc[table["indicator"].isna(), "label"].unique()
    if len(empty):
        warnings.warn(
            f"{', '.join(empty)}: no dimension tells anything of it; its indicator is NaN",
            LatentscopeWarning,
            stacklevel=3,
        )
