"""What a model card says a network has learned, measured on validation rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from latentscope.diagnostics.mi.api import mi_matrix, pairwise_mi
from latentscope.errors import EstimatorError, LatentscopeWarning
from train.data.source import Data
from train.learning.module import SpectrumModule
from train.watching.evaluated import evaluated
from train.watching.validation import (
    Validation,
    dims_table,
    own_threads,
    rank_correlation,
    validate,
)

MOST_DIMS = 16
"""Informative dimensions that are measured, those with the largest KL."""


@dataclass(frozen=True)
class Findings:
    """Figures of a network on validation rows, one spectrum a star.

    Parameters
    ----------
    n : int
        Validation rows.
    losses : dict
        Mean of each term of the loss, unweighted and without blur.
    dims : DataFrame
        `dim, kl, mad, variance, active` of every dimension.
    informative : list of int
        Strongest first.
    labels : DataFrame
        One row a label: `label, dim, mi_nats, std_nats, rank, next_dim, next_mi_nats`; empty
        without labels or informative dimensions.
    pair : tuple of (float, int, int), or None
        Largest mutual information of two informative dimensions in nats, and which two.
    """

    n: int
    losses: dict[str, float]
    dims: pd.DataFrame
    informative: list[int]
    labels: pd.DataFrame
    pair: tuple[float, int, int] | None


def findings(module: SpectrumModule, data: Data) -> Findings:
    """Measure a network on its validation rows."""
    with evaluated(module):
        seen = validate(module, data)
    informative = seen.informative[:MOST_DIMS]
    with warnings.catch_warnings(), own_threads():
        # What a label lacks shows in the table: it has no line.
        warnings.simplefilter("ignore", LatentscopeWarning)
        labels = _labels(seen, data.validation_labels, informative)
        pair = _largest_pair(seen, informative)
    dims = dims_table(seen, pd.DataFrame())
    return Findings(len(seen.mean), seen.losses, dims, seen.informative, labels, pair)


def _labels(seen: Validation, labels: pd.DataFrame, dims: list[int]) -> pd.DataFrame:
    if labels.empty or not dims:
        return pd.DataFrame()
    try:
        result = mi_matrix(seen.mean, labels, dims=sorted(dims))
    except EstimatorError:
        return pd.DataFrame()
    lines = []
    for name, of_label in result.table.dropna(subset="p_value").groupby("label", sort=False):
        best, *others = of_label.sort_values("mi_nats", ascending=False).to_dict("records")
        rank = rank_correlation(seen.mean, labels[str(name)].to_numpy(np.float64))
        line = {"label": name, "dim": best["dim"], "mi_nats": best["mi_nats"]}
        line |= {"std_nats": best["std_nats"], "rank": rank[best["dim"]]}
        if others:
            line |= {"next_dim": others[0]["dim"], "next_mi_nats": others[0]["mi_nats"]}
        lines.append(line)
    return pd.DataFrame(lines)


def _largest_pair(seen: Validation, dims: list[int]) -> tuple[float, int, int] | None:
    if len(dims) < 2:
        return None
    try:
        table = pairwise_mi(seen.mean, dims=sorted(dims)).table
    except EstimatorError:
        return None
    best = table.sort_values("mi_nats", ascending=False).iloc[0]
    return float(best["mi_nats"]), int(best["dim_x"]), int(best["dim_y"])
