"""Which dimension tells most of each label: the indicator of Sedaghat et al. 2021, section 6.2."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.data import LabelsLike
from latentscope.diagnostics.mi.columns import choose_labels
from latentscope.diagnostics.mi.estimators import bin_codes, check_bins
from latentscope.diagnostics.mi.kernels import table_information, table_of
from latentscope.diagnostics.study import StudyLike, read_study
from latentscope.errors import EstimatorError, LatentscopeWarning

Floats = NDArray[np.float64]

PAPER_BINS = (5, 10, 20, 40, 80, 160)
"""Numbers of bins of Sedaghat et al. 2021, section 6.2."""

_CLIPPING_PASSES = 5


def paper_indicator(
    latents: StudyLike,
    labels: LabelsLike | None = None,
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
    latents : Latents, array (n, d), DataFrame, path, or Study
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
        check_bins(number)
    # Counting in bins makes no claim of significance, so that repeated rows are no matter.
    study = read_study(latents, labels, groups=None)
    read, frame = study.latents, study.label_table
    parts = []
    for name in _numeric(frame, columns):
        keep = _rows_of(name, frame[name], read.ok, clip_sigma)
        label = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)[keep]
        parts.append(_indicator(name, label, read.values[keep], bins))
    table = pd.concat(parts, ignore_index=True)
    _warn_of_nothing(table)
    return table


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
            nats[i, dim] = table_information(
                table_of(of_label[i], bin_codes(values, number), number)
            )
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
