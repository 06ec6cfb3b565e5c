"""The meaning of each dimension in plain words, from its mutual information with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from latentscope.diagnostics.activity import MADResult
from latentscope.diagnostics.mi.result import MIResult

LABEL_WORDS = {
    "radvel": "radial velocity",
    "Teff": "effective temperature",
    "logg": "surface gravity",
    "[M/H]": "metallicity",
    "vsini": "rotation",
    "berv": "barycentric correction",
    "snr": "signal-to-noise ratio",
}
"""What common labels are called in a sentence; other labels go by their own names."""

# Nats from which a dimension is said to do so to a label.
_VERBS = ((0.5, "follows"), (0.1, "knows something about"), (0.0, "knows little about"))
# Rank correlation below which a relation may well turn back on itself.
_MONOTONE = 0.3


@dataclass(frozen=True)
class Meaning:
    """The label that a dimension knows most about.

    Attributes
    ----------
    dim : int
    mad : float
        Its median absolute deviation.
    label : str or None
        The label with the largest significant mutual information, if there is one.
    mi_nats : float
        That mutual information in nats; NaN without a label.
    correlation : float
        Spearman's rank correlation with the label; NaN without one, or if it holds classes.
    """

    dim: int
    mad: float
    label: str | None = None
    mi_nats: float = float("nan")
    correlation: float = float("nan")

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
