"""Pictures of disentanglement: each measure beside its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from latentscope.diagnostics.disentanglement import MetricsResult
from latentscope.diagnostics.disentanglement_measures import MEASURES, Measure
from latentscope.plots.style import (
    INK,
    OVERLAY,
    QUIET,
    RULE,
    STRONG,
    WIDE,
    nats_text,
    new_axes,
    styled,
)

_ROW = 0.3
"""Inches per measure."""

_GAP = 0.17
_ROOM = 0.025


@styled
def plot_metrics(result: MetricsResult, ax: Axes | None = None) -> Axes:
    """Draw each measure with its interval, beside random rotations and PCA of the same latents.

    Total correlation, in nats and better when lower, has axes of its own below those returned.
    """
    ax = new_axes(ax, (WIDE, 1.7 + _ROW * len(MEASURES)))
    rows = {(row["metric"], row["estimator"]): row for row in result.headlines.to_dict("records")}
    upper = [measure for measure in MEASURES if measure.bounded]
    lower = [measure for measure in MEASURES if not measure.bounded]
    height = (len(lower) + 0.2) / (len(upper) + 0.2)
    below = ax.inset_axes((0.0, -height - _GAP, 1.0, height))
    _draw(ax, upper, rows)
    _draw(below, lower, rows)
    ax.set_xlim(*_limits(ax, 1.0))
    below.set_xlim(*_limits(below, 0.1))
    below.set_xlabel("nats, lower is better")
    ax.set_xlabel("1 is perfect")
    stars = result.headlines.iloc[0]["n_groups"]
    dims, labels = len(result.provenance["dims"]), len(result.provenance["columns"])
    ax.set_title(
        f"{dims} dimensions against {labels} label{'s' * (labels > 1)}, {stars:,} stars", pad=24
    )
    _legend(ax)
    return ax


def _limits(ax: Axes, least: float) -> tuple[float, float]:
    """From 0, or what lies below, to `least`, or what lies above, with a little room."""
    low, high = min(0.0, ax.dataLim.x0), max(least, ax.dataLim.x1)
    return low - _ROOM * (high - low), high + _ROOM * (high - low)


def _draw(ax: Axes, measures: Sequence[Measure], rows: dict[Any, dict[Any, Any]]) -> None:
    for place, measure in enumerate(measures):
        _draw_row(ax, place, rows[measure.key])
    ax.set_yticks(range(len(measures)), [measure.title for measure in measures])
    ax.set_ylim(len(measures) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=RULE, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.spines[["left", "top", "right"]].set_visible(False)


def _draw_row(ax: Axes, place: int, row: dict[Any, Any]) -> None:
    ax.plot(
        [row["rotation_low"], row["rotation_high"]], [place, place], color=QUIET, linewidth=7,
        alpha=0.55, solid_capstyle="butt", zorder=2,
    )  # fmt: skip
    ax.plot(row["rotation"], place, "|", color=INK, markersize=9, markeredgewidth=1.3, zorder=3)
    ax.plot(
        row["pca"], place, "D", markerfacecolor="white", markeredgecolor=OVERLAY, markersize=6,
        markeredgewidth=1.5, zorder=4,
    )  # fmt: skip
    ax.plot([row["low"], row["high"]], [place, place], color=STRONG, linewidth=2, zorder=5)
    ax.plot(row["value"], place, "o", color=STRONG, markersize=6, zorder=6)
    text = "infinite" if row["value"] == np.inf else nats_text(row["value"])
    # In a column of their own, as marks may stand anywhere.
    ax.text(
        1.02, place, text, transform=ax.get_yaxis_transform(), va="center",
        ha="left", fontsize=8.5, color=STRONG,
        fontweight="bold" if "rotation and pca" in row["verdict"] else "normal",
    )  # fmt: skip


def _legend(ax: Axes) -> None:
    handles = [
        Line2D([], [], marker="o", color=STRONG, linewidth=2, label="latents, 95 %"),
        Patch(color=QUIET, alpha=0.55, label="random rotations"),
        Line2D(
            [], [], marker="D", linestyle="", markerfacecolor="white", markeredgecolor=OVERLAY,
            markeredgewidth=1.5, label="PCA",
        ),
        Line2D([], [], linestyle="", label="bold: better than both"),
    ]  # fmt: skip
    ax.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(-0.01, 0.995), ncols=4,
        handlelength=1.6, columnspacing=1.4, borderaxespad=0.2,
    )  # fmt: skip
