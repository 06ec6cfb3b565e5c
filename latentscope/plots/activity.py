"""Pictures of how much each dimension varies."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from latentscope.diagnostics.activity import MADResult
from latentscope.plots.style import OVERLAY, QUIET, STRONG, new_axes, styled


@styled
def plot_mad(result: MADResult, ax: Axes | None = None) -> Axes:
    """Draw the deviation of each dimension as stems, with the threshold; informative ones named.

    Parameters
    ----------
    result : MADResult
    ax : Axes, optional
        Where to draw; by default a new figure.
    """
    ax = new_axes(ax, (7.2, 3.0))
    dims = np.arange(len(result.values))
    informative = result.values > result.threshold
    for which, colour, size in ((~informative, QUIET, 2.5), (informative, STRONG, 5)):
        if which.any():
            lines = ax.vlines(dims[which], 0, result.values[which], color=colour)
            lines.set_linewidth(1.4 if colour == STRONG else 0.8)
            ax.plot(dims[which], result.values[which], "o", color=colour, markersize=size)
    ax.axhline(result.threshold, color=OVERLAY, linewidth=1, linestyle="--")
    ax.annotate(
        f"threshold {result.threshold:g}",
        (1, result.threshold),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        ha="left",
        va="center",
        color=OVERLAY,
        fontsize=8,
    )
    for dim in dims[informative]:
        ax.annotate(
            str(dim),
            (dim, result.values[dim]),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=STRONG,
        )
    ax.set_xlim(-0.02 * len(dims) - 0.5, 1.02 * len(dims) - 0.5)
    ax.set_ylim(0, max(float(result.values.max()), 2 * result.threshold) * 1.18)
    ax.set_xlabel("latent dimension")
    ax.set_ylabel(f"{result.kind} absolute deviation")
    ax.set_title(
        f"{int(informative.sum())} of {len(dims)} dimensions informative, n = {result.n:,}"
    )
    return ax
