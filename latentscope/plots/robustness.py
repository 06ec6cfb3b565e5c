"""Pictures of what other samples change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from latentscope.diagnostics.robustness import HALF, REPEATS, SINGLE, WHOLE, RobustnessResult
from latentscope.plots.style import (
    FOURTH,
    INK,
    LITERAL,
    OVERLAY,
    RULE,
    STRONG,
    THIRD,
    WIDE,
    label_name,
    new_axes,
    short_names,
    styled,
)

_LOOKS: dict[str, tuple[str, str]] = {
    WHOLE: ("o", INK),
    SINGLE: ("s", STRONG),
    HALF: ("v", FOURTH),
    REPEATS: ("X", OVERLAY),
}
"""Marker and color of each sample; equal classes have the rest."""

_BARS = 1.96
_MAX_PAIRS = 14
_MIN_NATS = 0.05
_BELOW = 0.42  # inches from the axes to the legend


@styled
def plot_robustness(
    result: RobustnessResult, ax: Axes | None = None, *, max_pairs: int = _MAX_PAIRS
) -> Axes:
    """Draw the information of the strongest pairs on every sample, with the samples' dimensions.

    Bars are 95 % intervals of one sample. Filled marks differ from the whole (q < 0.05). Shown are
    the strongest dimension of each label and the pairs that change most, up to `max_pairs`.
    """
    pairs = _shown_pairs(result, max_pairs)
    samples = result.samples
    step = 0.74 / len(samples)
    ax = new_axes(ax, (WIDE, 1.9 + 0.13 * len(samples) * max(len(pairs), 1)))
    for number, sample in enumerate(samples):
        rows = result.of(sample).set_index(["label", "dim"]).reindex(pairs)
        places = np.arange(len(pairs)) + step * (number - (len(samples) - 1) / 2)
        _draw_sample(ax, sample, rows, places)
    for edge in range(1, len(pairs)):
        ax.axhline(edge - 0.5, color=RULE, linewidth=0.8, zorder=0)
    names = short_names(f"{label_name(label)}, dim {dim}" for label, dim in pairs)
    ax.set_yticks(range(len(pairs)), names, **LITERAL)
    ax.set_ylim(max(len(pairs), 1) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.axvline(0, color=RULE, linewidth=0.8, zorder=0)
    ax.set_xlabel("mutual information (nats, with 95 % intervals)")
    ax.set_title("The same pairs on other samples of the same stars", pad=12)
    _legend(ax, result)
    return ax


def _shown_pairs(result: RobustnessResult, max_pairs: int) -> list[tuple[str, int]]:
    """The best dimension of each label, then what changes most, by label."""
    best = list(result.best(WHOLE).items())
    changed = result.mi[result.mi["significant"] & (result.mi["sample"] != REPEATS)]
    changed = changed[changed[["mi_nats", "whole"]].max(axis=1) > _MIN_NATS]
    order = changed["difference"].abs().sort_values(ascending=False).index
    others = [(str(row["label"]), int(row["dim"])) for row in changed.loc[order].to_dict("records")]
    chosen = list(dict.fromkeys([*best, *others]))[:max_pairs]
    whole = result.of(WHOLE).set_index(["label", "dim"])["mi_nats"]
    return sorted(chosen, key=lambda pair: -float(whole[pair]))


def _look(sample: str) -> tuple[str, str]:
    return _LOOKS.get(sample, ("D", THIRD))


def _draw_sample(
    ax: Axes, sample: str, rows: pd.DataFrame, places: NDArray[np.floating[Any]]
) -> None:
    marker, color = _look(sample)
    for place, row in zip(places, rows.to_dict("records"), strict=True):
        value, width = row["mi_nats"], _BARS * row["std_nats"]
        ax.plot([value - width, value + width], [place, place], color=color, linewidth=1.3)
        filled = sample == WHOLE or bool(row["significant"])
        ax.plot(
            value, place, marker, color=color, markersize=5, markeredgewidth=1.1,
            markerfacecolor=color if filled else "white",
        )  # fmt: skip


def _called(sample: str) -> str:
    """Name a sample, and the label of which all classes are equal as an astronomer does."""
    column = sample.removeprefix("equal ")
    return sample if column == sample else f"equal {label_name(column)}"


def _legend(ax: Axes, result: RobustnessResult) -> None:
    figure = ax.get_figure(root=True)
    assert figure is not None
    below = ax.transAxes + ScaledTranslation(0, -_BELOW, figure.dpi_scale_trans)
    handles = []
    for row in result.mad.to_dict("records"):
        marker, color = _look(row["sample"])
        between = "" if row["low"] == row["high"] else f", {row['low']} to {row['high']}"
        text = f"{_called(row['sample'])} ({row['informative']}{between}; {row['n_stars']:,})"
        handles.append(Line2D([], [], marker=marker, color=color, markersize=5, label=text))
    legend = ax.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2,
        bbox_transform=below, title="sample (informative dimensions, stars); filled marks "
        "differ from the whole, q < 0.05",
    )  # fmt: skip
    legend.get_title().set_fontsize(8)
