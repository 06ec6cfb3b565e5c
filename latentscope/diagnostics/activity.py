"""Which latent dimensions carry information: the spread of each over a data set.

N. Sedaghat et al., "Machines learn to infer stellar parameters just by looking at a large number of
spectra", MNRAS 501, 6026 (2021), section 4.2 and figure 4: a dimension that the KL term has
switched off stays near 0 for every spectrum; one whose median absolute deviation exceeds 0.02 is
informative.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.provenance import origin
from latentscope.errors import EstimatorError
from latentscope.latents import Latents, read_latents

Kind = Literal["median", "mean"]
Floats = NDArray[np.float64]

THRESHOLD = 0.02
"""Unscaled deviation above which the paper calls a dimension informative."""


@dataclass(frozen=True, eq=False)
class MADResult:
    """Spread of each latent dimension.

    Parameters
    ----------
    values : ndarray of float64, shape (d,)
        Median (or mean) absolute deviation, unscaled, in units of the latents.
    threshold : float
        Dimensions above it are informative.
    kind : {"median", "mean"}
        Which deviation.
    n : int
        Rows that counted.
    ignored : int
        Rows left out because they hold a NaN.
    table : DataFrame
        `dim, mad, informative, median, mean, std, minimum, maximum`, one row a dimension.
    provenance : dict
        Settings and where the latents come from.
    """

    values: Floats
    threshold: float
    kind: Kind
    n: int
    ignored: int
    table: pd.DataFrame
    provenance: dict[str, Any]

    @property
    def informative(self) -> NDArray[np.int64]:
        """Dimensions above the threshold, ascending."""
        return np.flatnonzero(self.values > self.threshold)


def mad(
    latents: Latents | ArrayLike | pd.DataFrame | str | os.PathLike[str],
    *,
    kind: Kind = "median",
    threshold: float = THRESHOLD,
) -> MADResult:
    """Median absolute deviation of each latent dimension, unscaled, in units of the latents.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame or path
        Rows that hold a NaN are left out and counted.
    kind : {"median", "mean"}
        median(|z - median(z)|), or mean(|z - mean(z)|). Neither is scaled to a standard deviation.
    threshold : float
        What informative means; the paper's 0.02 belongs to latents with a unit Gaussian prior.

    Raises
    ------
    EstimatorError
        If no row is finite, a value is infinite, or `kind` is unknown.
    """
    if kind not in get_args(Kind):
        raise EstimatorError(f"kind is {kind!r}; wanted one of {', '.join(get_args(Kind))}")
    read = read_latents(latents)
    infinite = int(np.isinf(read.values).sum())
    if infinite:
        raise EstimatorError(
            f"{read.source}: {infinite} values are infinite; set these rows to NaN to leave them "
            "out"
        )
    values = read.values if read.ok.all() else read.values[read.ok]
    if not len(values):
        raise EstimatorError(
            f"{read.source}: none of {len(read)} rows is finite; nothing to measure"
        )
    rows = [_spread(values[:, dim].astype(np.float64), kind) for dim in range(read.dims)]
    table = pd.DataFrame(rows)
    deviation = table["mad"].to_numpy(dtype=np.float64)
    table.insert(0, "dim", np.arange(read.dims))
    table.insert(2, "informative", deviation > threshold)
    provenance = {
        **origin("mad"),
        "kind": kind,
        "threshold": threshold,
        "dims": list(range(read.dims)),
        "rows": len(read),
        "rows_finite": len(values),
        "source": read.source,
        "latents": read.provenance,
    }
    ignored = len(read) - len(values)
    return MADResult(deviation, threshold, kind, len(values), ignored, table, provenance)


def _spread(column: Floats, kind: Kind) -> dict[str, float]:
    median, mean = float(np.median(column)), float(column.mean())
    distance = np.abs(column - (median if kind == "median" else mean))
    constant = bool(column.min() == column.max())
    deviation = np.median(distance) if kind == "median" else distance.mean()
    return {
        # The mean of equal numbers can miss them by a rounding error.
        "mad": 0.0 if constant else float(deviation),
        "median": median,
        "mean": mean,
        "std": 0.0 if constant else float(column.std()),
        "minimum": float(column.min()),
        "maximum": float(column.max()),
    }
