"""Which latent dimensions carry information: the spread of each over a data set.

A dimension that the KL term has switched off stays near 0 for every spectrum (Sedaghat et al. 2021,
MNRAS 501, 6026, section 4.2 and figure 4). Beside it: the KL divergence, active units (Burda et al.
2016, "Importance Weighted Autoencoders", ICLR, section 5.2), and a threshold estimated from the
deviations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.data import Latents, read_latents
from latentscope.diagnostics.study import (
    Result,
    Study,
    StudyLike,
    check_none_infinite,
    check_some_finite,
    origin,
)
from latentscope.diagnostics.threshold import (
    SAID_BY,
    Gap,
    ThresholdFrom,
    choose_threshold,
    deviation,
    find_gap,
)
from latentscope.errors import EstimatorError, warn

Kind = Literal["median", "mean"]
Floats = NDArray[np.float64]

ACTIVE_VARIANCE = 0.01
"""Variance of the posterior mean over the data above which a unit is active."""

_MOST_NAMES = 24


@dataclass(frozen=True, eq=False, repr=False)
class MADResult(Result):
    """Spread of each latent dimension.

    Parameters
    ----------
    values : ndarray of float64, shape (d,)
        Median (or mean) absolute deviation, unscaled, in units of the latents.
    threshold : float
        Dimensions above it are informative.
    kind : {"median", "mean"}
        Which deviation.
    n, ignored : int
        Rows that counted, and rows left out since they hold a NaN.
    kl : ndarray of float64, shape (d,), or None
        KL divergence of q(z|x) from a standard normal prior in nats, averaged over rows; None
        without log variances.
    gap : Gap
        Where the deviations themselves put the threshold, or why they do not.
    table : DataFrame
        One row per dimension: `dim, mad, informative, median, mean, std, minimum, maximum,
        half_equal, active, kl_nats, above_gap`. Where half of the values or more are equal
        (`half_equal`), the median deviation is 0, and `mad` is the mean one times 0.845 (for a
        Gaussian, the median one). `kl_nats` is NaN where unknown, `above_gap` None without a gap.
    threshold_from : {"asked", "model", "published", "estimated", "varying"}
        Source of the threshold: the caller; the model of the latents; the paper, for latents with a
        log variance but no model; the gap; or, without one, a hundredth of the widest.
    """

    drawn_by = "plot_mad"

    values: Floats
    threshold: float
    kind: Kind
    n: int
    ignored: int
    kl: Floats | None
    gap: Gap
    table: pd.DataFrame
    provenance: dict[str, Any]
    threshold_from: ThresholdFrom = "asked"

    @property
    def informative(self) -> NDArray[np.int64]:
        """Dimensions above the threshold, ascending."""
        return np.flatnonzero(self.values > self.threshold)

    @property
    def half_equal(self) -> NDArray[np.int64]:
        """Dimensions of which half of the values or more are equal, ascending."""
        return np.flatnonzero(self.table["half_equal"])

    @property
    def active(self) -> NDArray[np.bool_]:
        """Active units (Burda et al. 2016): variance of the mean above 0.01, shape (d,)."""
        return self.table["active"].to_numpy(dtype=bool)

    @property
    def estimated_threshold(self) -> float | None:
        """The middle of the gap between the noise floor and the rest; None without a gap."""
        return self.gap.threshold

    def sentences(self) -> list[str]:
        """Say which dimensions are informative, by this and by other criteria."""
        dims, active = self.informative, np.flatnonzero(self.active)
        which = "the same" if np.array_equal(active, dims) else _named(active)
        lines = [
            f"{len(dims)} of {len(self.values)} dimensions are informative "
            f"(MAD > {self.threshold:.3g}): {_named(dims)}",
            self._gap_text(),
            f"{len(active)} active units (variance > {ACTIVE_VARIANCE:g}): {which}",
        ]
        if self.kl is not None:
            inside = float(self.kl[dims].sum())
            lines.append(f"KL: {self.kl.sum():.3g} nats in all, {inside:.3g} of them in these")
        if self.threshold_from in ("published", "varying"):
            lines.append(f"threshold {self.threshold:.3g}: {SAID_BY[self.threshold_from]}")
        if len(self.half_equal):
            lines.append(
                f"half of the values or more are equal, as zeros of a ReLU, in dims "
                f"{_named(self.half_equal)}: their median deviation is 0, so the mean one counts"
            )
        return lines

    def _gap_text(self) -> str:
        threshold = self.estimated_threshold
        if threshold is None:
            return f"no threshold can be estimated: {self.gap.reason}"
        if self.threshold_from == "estimated":
            return f"this threshold is estimated, since no model says one: {self.gap.reason}"
        differ = np.flatnonzero((self.values > threshold) != (self.values > self.threshold))
        verdict = f"differs in {_named(differ)}" if len(differ) else "picks the same dimensions"
        return f"threshold estimated from the data: {threshold:.2g} ({self.gap.reason}), {verdict}"


def mad(latents: StudyLike, *, kind: Kind = "median", threshold: float | None = None) -> MADResult:
    """Median absolute deviation of each latent dimension, unscaled, in units of the latents.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        Posterior means, with `Latents.logvar` for the KL divergence. Rows that hold a NaN are left
        out and counted.
    kind : {"median", "mean"}
        median(|z - median(z)|), or mean(|z - mean(z)|). Neither is scaled to a standard deviation.
    threshold : float, optional
        Dimensions above it are informative. By default that of the model (`mad_threshold` of the
        provenance); else, with log variances, the paper's 0.02 for a unit Gaussian prior; else the
        gap in the deviations, or without a gap a hundredth of the widest.

    Raises
    ------
    EstimatorError
        If no row is finite, a value is infinite, or `kind` is unknown.

    Warns
    -----
    LatentscopeWarning
        If the log variance of rows that count is not finite: the KL divergence leaves these out.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(500, 3)) * [1.0, 0.001, 0.5]
    >>> mad(z, threshold=0.02).informative.tolist()
    [0, 2]
    """
    if kind not in get_args(Kind):
        raise EstimatorError(f"kind is {kind!r}; expected one of {', '.join(get_args(Kind))}")
    read = latents.latents if isinstance(latents, Study) else read_latents(latents)
    check_none_infinite(read)
    check_some_finite(read)
    values = read.values if read.ok.all() else read.values[read.ok]
    columns = (values[:, dim].astype(np.float64) for dim in range(read.dims))
    table = pd.DataFrame([_spread(column, kind) for column in columns])
    deviations = table["mad"].to_numpy(dtype=np.float64)
    threshold_from: ThresholdFrom = "asked"
    if threshold is None:
        threshold, threshold_from = choose_threshold(read, deviations)
    table.insert(0, "dim", np.arange(read.dims))
    table.insert(2, "informative", deviations > threshold)
    table["active"] = table["std"] ** 2 > ACTIVE_VARIANCE
    kl, gap = _kl(read), find_gap(deviations)
    table["kl_nats"] = np.nan if kl is None else kl
    table["above_gap"] = None if gap.threshold is None else deviations > gap.threshold
    n = len(values)
    provenance = origin("mad") | {
        "kind": kind, "threshold": threshold, "threshold_from": threshold_from,
        "estimated_threshold": gap.threshold, "estimated_from": gap.reason,
        "dims": list(range(read.dims)), "rows": len(read), "rows_finite": n, "source": read.source,
        "latents": read.provenance,
    }  # fmt: skip
    return MADResult(
        deviations, threshold, kind, n, len(read) - n, kl, gap, table, provenance, threshold_from
    )


def _kl(read: Latents) -> Floats | None:
    if read.logvar is None:
        return None
    rows = read.ok & np.isfinite(read.logvar).all(axis=1)
    missing = int(read.ok.sum() - rows.sum())
    if missing:
        warn(
            f"{read.source}: the log variance of {missing:,} rows is not finite; the KL divergence "
            "leaves them out"
        )
    if not rows.any():
        return None
    chosen = slice(None) if rows.all() else rows
    return kl_divergence(read.values[chosen], read.logvar[chosen])


def _named(dims: NDArray[np.int64]) -> str:
    more = len(dims) - _MOST_NAMES
    names = ", ".join(map(str, dims[:_MOST_NAMES])) or "none"
    return names + (f" and {more:,} more" if more > 0 else "")


def _spread(column: Floats, kind: Kind) -> dict[str, float]:
    median, mean = float(np.median(column)), float(column.mean())
    constant = bool(column.min() == column.max())
    spread = deviation(column) if kind == "median" else float(np.abs(column - mean).mean())
    return {
        # The mean of equal numbers can miss them by a rounding error.
        "mad": 0.0 if constant else spread,
        "median": median,
        "mean": mean,
        "std": 0.0 if constant else float(column.std()),
        "minimum": float(column.min()),
        "maximum": float(column.max()),
        "half_equal": not constant and 2 * int(np.count_nonzero(column == median)) >= len(column),
    }


def kl_divergence(mean: NDArray[np.floating], logvar: NDArray[np.floating]) -> Floats:
    """KL divergence of q(z|x) from a standard normal prior, in nats, averaged over rows.

    0.5 (exp(logvar) + mean^2 - 1 - logvar), of mean and logvar (n, d) -> (d,): Kingma & Welling
    2014, "Auto-Encoding Variational Bayes", appendix B. A variance that overflows gives infinity.
    """
    total = np.zeros(mean.shape[1])
    # By blocks, so that half-precision latents of an archive are not copied to float64 at once.
    block = max(1, 2_000_000 // max(mean.shape[1], 1))
    for first in range(0, len(mean), block):
        rows = slice(first, first + block)
        m, v = mean[rows].astype(np.float64), logvar[rows].astype(np.float64)
        with np.errstate(over="ignore"):
            total += (np.exp(v) + m**2 - 1 - v).sum(axis=0)
    return 0.5 * total / len(mean)
