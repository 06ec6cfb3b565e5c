"""What dimensions mean: which dimension knows each label best, and which label each knows.

The indicator is that of Sedaghat et al. 2021, section 6.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from latentscope.data import LabelsLike
from latentscope.diagnostics.activity import MADResult
from latentscope.diagnostics.disentanglement_measures import plain_information
from latentscope.diagnostics.mi.api import MIResult
from latentscope.diagnostics.mi.columns import CLIP_SIGMA, beyond_sigma, choose_labels
from latentscope.diagnostics.mi.estimators import bin_codes
from latentscope.diagnostics.study import Dims, StudyLike, read_study
from latentscope.errors import EstimatorError, warn
from latentscope.labels import Missing

Floats = NDArray[np.float64]

PAPER_BINS = (5, 10, 20, 40, 80, 160)
"""Numbers of bins of Sedaghat et al. 2021, section 6.2."""


def paper_indicator(
    latents: StudyLike,
    labels: LabelsLike | None = None,
    bins: Sequence[int] = PAPER_BINS,
    clip_sigma: float | None = CLIP_SIGMA,
    columns: Sequence[str] | None = None,
    missing: Missing = "auto",
    dims: Dims = "all",
) -> pd.DataFrame:
    """Which dimension knows each label best: the indicator of Sedaghat et al. 2021, section 6.2.

    For each label and number of bins, the mutual information of every dimension with it, both in so
    many equal bins, divided by the largest of them. So 1 marks the dimension that tells most,
    whatever it tells: the indicator of a label that none of them knows has a 1 too.

    Parameters
    ----------
    latents, labels, clip_sigma, columns, missing, dims
        As those of `mi_matrix`; labels must be numbers.
    bins : sequence of int
        Numbers of bins.

    Returns
    -------
    DataFrame
        Columns `label, bins, dim, n, mi_nats, indicator`.
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

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(500, 2))
    >>> labels = pd.DataFrame({"Teff": 5500 + 500 * z[:, 1]})
    >>> table = paper_indicator(z, labels)
    >>> table.pivot_table(index="label", columns="dim", values="indicator").loc["Teff", 1].item()
    1.0
    """
    for number in bins:
        if not isinstance(number, int | np.integer) or number < 1:
            raise EstimatorError(f"bins is {number!r}; expected a whole number, 1 or more")
    # Counting in bins makes no claim of significance, so that repeated rows are no matter.
    study = read_study(latents, labels, groups=None, missing=missing)
    read, frame, numbers = study.latents, study.label_table, study.choose(dims)
    parts = []
    for name in _numeric(frame, columns):
        label = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        rows = np.flatnonzero(read.ok & np.isfinite(label))
        if not len(rows):
            raise EstimatorError(f"{name}: no row has both latents and this label; leave it out")
        if clip_sigma is not None:
            rows = rows[~beyond_sigma(label[rows], clip_sigma)]
        part = _indicator(name, label[rows], read.values[rows][:, numbers], bins)
        parts.append(part.assign(dim=np.tile(numbers, len(bins))))
    table = pd.concat(parts, ignore_index=True)
    empty = table.loc[table["indicator"].isna(), "label"].unique()
    if len(empty):
        warn(f"{', '.join(empty)}: no dimension knows anything about it; its indicator is NaN")
    return table


def _numeric(frame: pd.DataFrame, columns: Sequence[str] | None) -> list[str]:
    names, _ = choose_labels(frame, columns, None)
    others = [name for name in names if not pd.api.types.is_numeric_dtype(frame[name])]
    if others and (columns is not None or len(others) == len(names)):
        raise EstimatorError(
            f"{', '.join(others)}: no numbers, which equal bins need; mi_matrix takes classes"
        )
    return [name for name in names if name not in others]


def _indicator(
    name: str, label: Floats, latents: NDArray[np.floating[Any]], bins: Sequence[int]
) -> pd.DataFrame:
    dims = latents.shape[1]
    of_label = [bin_codes(label, number) for number in bins]
    nats = np.empty((len(bins), dims))
    for dim in range(dims):
        values = np.ascontiguousarray(latents[:, dim], dtype=np.float64)
        for i, number in enumerate(bins):
            nats[i, dim] = plain_information(of_label[i], bin_codes(values, number))
    largest = nats.max(axis=1, keepdims=True)
    indicator = np.full_like(nats, np.nan)
    np.divide(nats, largest, out=indicator, where=largest > 0)
    cells = {
        "label": name,
        "bins": np.repeat(bins, dims),
        "dim": np.tile(np.arange(dims), len(bins)),
        "n": len(label),
        "mi_nats": nats.ravel(),
        "indicator": indicator.ravel(),
    }
    return pd.DataFrame(cells)


LABEL_WORDS = {
    "radvel": "radial velocity",
    "Teff": "effective temperature",
    "logg": "surface gravity",
    "[M/H]": "metallicity",
    "vsini": "rotation",
    "berv": "barycentric correction",
    "snr": "signal-to-noise ratio",
}
"""What sentences call common labels; others keep their names."""

# Nats from which a dimension is said to do so to a label.
_VERBS = ((0.5, "follows"), (0.1, "knows something about"), (0.0, "knows little about"))
# Rank correlation below which a relation may well turn back on itself.
_MONOTONE = 0.3


@dataclass(frozen=True)
class Meaning:
    """The label that a dimension knows most about."""

    dim: int
    mad: float  # median absolute deviation
    label: str | None = None  # of the largest significant mutual information, if there is one
    mi_nats: float = float("nan")  # that mutual information in nats; NaN without a label
    correlation: float = float("nan")  # Spearman's with the label; NaN without one, or of classes

    @property
    def sentence(self) -> str:
        """Say it in one sentence."""
        subject = f"Dimension {self.dim} (MAD {self.mad:.3g})"
        if self.label is None:
            return f"{subject} varies, but matches no label."
        verb = next(verb for nats, verb in _VERBS if self.mi_nats >= nats)
        words = LABEL_WORDS.get(self.label, self.label)
        return f"{subject} {verb} {words}: {self.mi_nats:.2f} nats with {self.label}{self._course}."

    @property
    def _course(self) -> str:
        if np.isnan(self.correlation):
            return ""
        if abs(self.correlation) < _MONOTONE:
            how = "neither rising nor falling with it throughout"
        else:
            how = "rising with it" if self.correlation > 0 else "falling as it rises"
        return f", {how} (rank correlation {self.correlation:+.2f})"


def meaning_lines(meanings: Sequence[Meaning]) -> list[str]:
    """Return a sentence for each dimension that matches a label, and one for all others."""
    lines = [meaning.sentence for meaning in meanings if meaning.label is not None]
    dims = [str(meaning.dim) for meaning in meanings if meaning.label is None]
    if len(dims) == 1:
        lines.append(f"Dimension {dims[0]} varies, but matches no label.")
    elif dims:
        named = f"{', '.join(dims[:-1])} and {dims[-1]}"
        lines.append(f"Dimensions {named} vary, but match no label.")
    return lines


def dimension_meanings(
    values: NDArray[np.floating],
    labels: pd.DataFrame,
    activity: MADResult,
    information: MIResult,
    *,
    significance: float = 0.05,
) -> list[Meaning]:
    """Find for each informative dimension the label that it knows most about.

    Parameters
    ----------
    values : ndarray, shape (n, d)
        Latents; rows of NaN are left out.
    labels : DataFrame of n rows
    activity : MADResult
        Which dimensions are informative.
    information : MIResult
        Mutual information of these dimensions with the labels.
    significance : float
        Largest q-value over the table that counts.

    Returns
    -------
    list of Meaning
        The strongest relation first; dimensions without one last, by their MAD.
    """
    table = information.table[information.table["q_value"] <= significance]
    table = table[table["mi_nats"] > 0]
    meanings = []
    for dim in activity.informative.tolist():
        spread, rows = float(activity.values[dim]), table[table["dim"] == dim]
        if not len(rows):
            meanings.append(Meaning(dim, spread))
            continue
        best = rows.iloc[int(rows["mi_nats"].argmax())]
        label, nats = str(best["label"]), float(best["mi_nats"])
        correlation = rank_correlation(values[:, dim], labels[label])
        meanings.append(Meaning(dim, spread, label, nats, correlation))
    return sorted(meanings, key=lambda it: (it.label is None, -np.nan_to_num(it.mi_nats), -it.mad))


def rank_correlation(x: NDArray[np.floating], label: pd.Series) -> float:
    """Spearman's rank correlation over finite rows; NaN for classes or a constant."""
    if not pd.api.types.is_numeric_dtype(label):
        return float("nan")
    y = label.to_numpy(dtype=np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    if finite.sum() < 2 or np.ptp(x[finite]) == 0 or np.ptp(y[finite]) == 0:
        return float("nan")
    return float(spearmanr(x[finite], y[finite]).statistic)
