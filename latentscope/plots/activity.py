"""Pictures of how much each dimension varies, and of what each adds."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from latentscope.diagnostics.activity import MADResult
from latentscope.diagnostics.exclusive import ExclusiveResult
from latentscope.plots.style import (
    INK,
    OVERLAY,
    QUIET,
    STRONG,
    THIRD,
    WIDE,
    new_axes,
    plain_log,
    styled,
)

_MOST_DOTS = 40  # of stems; more would smear into a line
_MOST_NAMES = 24
_CARRIED = "#d9e6ef"
_CLOSE = 0.06
_WHOSE = {"asked": "", "model": "", "varying": ",\n1 % of the widest"}
_LEGEND = 1.35  # height of the axes, in that of the bars below the legend
_BELOW = 0.05  # of the threshold: where the axis ends, if nothing is smaller


@styled
def plot_mad(result: MADResult, ax: Axes | None = None) -> Axes:
    """Draw the deviation of each dimension as stems, with the thresholds; informative ones named.

    The scale is logarithmic; a deviation of 0 is a dot on the axis. A new figure has the KL
    divergence of each dimension below, where it is known.
    """
    if ax is None and result.kl is not None and np.isfinite(result.kl).all():
        _, (ax, below) = plt.subplots(2, 1, figsize=(WIDE, 4.4), sharex=True, height_ratios=(3, 2))
        _stems(below, result.kl, result.values > result.threshold)
        below.set_ylim(0, max(float(result.kl.max()) * 1.1, 0.1))
        below.set_xlabel("latent dimension")
        below.set_ylabel("KL (nats)")
        below.set_title(f"{result.kl.sum():.3g} nats in all", fontsize=8, loc="right")
    else:
        ax = new_axes(ax, (WIDE, 3.0))
        ax.set_xlabel("latent dimension")
    informative = result.values > result.threshold
    positive = [*result.values[result.values > 0], _BELOW * result.threshold or 1e-3]
    low, high = min(positive), max(*positive, 3 * result.threshold)
    ax.set_yscale("log")
    ax.set_ylim(0.7 * low, high * (high / low) ** 0.12)
    plain_log(ax.yaxis)
    _stems(ax, result.values, informative)
    _thresholds(ax, result)
    for dim in np.flatnonzero(informative) if informative.sum() <= _MOST_NAMES else []:
        ax.annotate(
            str(dim), (dim, result.values[dim]), xytext=(0, 5), textcoords="offset points",
            ha="center", fontsize=8, color=STRONG,
        )  # fmt: skip
    count = len(result.values)
    ax.set_xlim(-0.02 * count - 0.5, 1.02 * count - 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel(f"{result.kind} absolute deviation")
    ax.set_title(f"{int(informative.sum())} of {count} dimensions informative, n = {result.n:,}")
    return ax


def _stems(ax: Axes, values: NDArray[np.float64], strong: NDArray[np.bool_]) -> None:
    dims, foot = np.arange(len(values)), ax.get_ylim()[0]
    # What lies below the axis, such as a deviation of 0 on a logarithmic one, is a dot on it.
    values = np.maximum(values, foot)
    # Dots of many stems would cover each other.
    large = float(np.clip(400 / len(values), 2, 5))
    for which, color, size, width in ((~strong, QUIET, 2.5, 0.8), (strong, STRONG, large, 1.4)):
        if which.any():
            ax.vlines(dims[which], foot, values[which], color=color, linewidth=width)
        if which.any() and (color == STRONG or len(values) <= _MOST_DOTS):
            ax.plot(dims[which], values[which], "o", color=color, markersize=size, clip_on=False)


def _thresholds(ax: Axes, result: MADResult) -> None:
    """Draw the threshold that was used, and the estimated one."""
    whose = _WHOSE.get(result.threshold_from, f", {result.threshold_from}")
    lines = [(result.threshold, f"threshold {result.threshold:.3g}{whose}", OVERLAY, "--")]
    if result.estimated_threshold not in (None, result.threshold):
        estimated = result.estimated_threshold
        lines.append((estimated, f"estimated {estimated:.2g}", THIRD, ":"))
    lines.sort()
    # Names of lines that nearly coincide are moved apart.
    low, high = ax.get_ylim()
    near = len(lines) == 2 and lines[1][0] < lines[0][0] * (high / low) ** _CLOSE
    for (level, name, color, dashes), place in zip(lines, ("top", "bottom"), strict=False):
        value = max(level, low)
        ax.axhline(value, color=color, linewidth=1, linestyle=dashes)
        ax.annotate(
            name, (1, value), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", va=place if near else "center", color=color, fontsize=8,
        )  # fmt: skip


@styled
def plot_exclusive(result: ExclusiveResult, ax: Axes | None = None) -> Axes:
    """Draw what each dimension carries and what it adds to those before it, in greedy order."""
    order = result.order
    ax = new_axes(ax, (WIDE, 3.2))
    place = np.arange(len(order))
    carried = result.table.set_index("dim")["carried_nats"].reindex(order["dim"]).to_numpy()
    ax.bar(place, carried, width=0.78, color=_CARRIED)
    colors = [STRONG if adds else QUIET for adds in order["adds"]]
    ax.bar(
        place, order["gain_nats"], width=0.5, color=colors, yerr=order["std_nats"],
        error_kw={"elinewidth": 0.9, "ecolor": INK},
    )  # fmt: skip
    count = int(order["adds"].sum())
    if 0 < count < len(order):
        ax.axvline(count - 0.5, color=OVERLAY, linewidth=1, linestyle="--")
    every = -(-len(order) // _MOST_NAMES)
    ax.set_xticks(place[::every], [str(dim) for dim in order["dim"]][::every])
    ax.tick_params(axis="x", length=0)
    ax.set_xlabel("latent dimension, in the order of what it adds")
    ax.set_ylabel("nats")
    ax.set_title(f"{count} of {len(result.table)} dimensions add information, n = {result.n:,}")
    patches = [
        Patch(color=_CARRIED, label="carries"),
        Patch(color=STRONG, label="adds to those before"),
    ]
    if count < len(order):
        patches.append(Patch(color=QUIET, label="would add, not significant"))
    # The last bars leave room for the legend.
    last = carried[-max(len(order) // 3, 1) :]
    ax.set_ylim(0, max(ax.get_ylim()[1], _LEGEND * float(np.nanmax(last, initial=0.0))))
    ax.legend(handles=patches, loc="upper right")
    return ax
