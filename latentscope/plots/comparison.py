"""Picture of a comparison: which dimensions match, and what each model knows of labels."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from latentscope.diagnostics.comparison import ALL, BEST, ComparisonResult
from latentscope.errors import ChoiceError
from latentscope.plots.information import draw_nats
from latentscope.plots.style import (
    INK,
    LITERAL,
    OVERLAY,
    STRONG,
    WIDE,
    counted,
    label_name,
    nats_bar,
    new_axes,
    short_names,
    styled,
)

_MOST = 16
_BESIDE = 8  # dimensions whose cells have room for numbers in half of the width
_COLORS = (STRONG, OVERLAY)


@styled
def plot_comparison(
    result: ComparisonResult, ax: Axes | None = None, *, names: tuple[str, str] | None = None
) -> Axes:
    """Draw mutual information of the dimensions of two models, and what each knows of labels.

    Framed cells are matched dimensions. Filled bars are the dimension that knows most of a label,
    outlines all of them together; bold: the best dimensions differ significantly. On given axes the
    matrix alone is drawn.

    Parameters
    ----------
    result : ComparisonResult
    ax : Axes, optional
    names : (str, str), optional
        The two models; by default the first two.

    Raises
    ------
    ChoiceError
        If there are no such models.
    """
    known = [str(name) for name in result.models["model"]]
    a, b = names or known[:2]
    matching, labels = result.of(result.matching, a, b), result.of(result.labels, a, b)
    if not len(matching):
        raise ChoiceError(
            f"no models {a} and {b}, in this order; expected two of {', '.join(known)}"
        )
    if ax is not None or not len(labels):
        matrix = new_axes(ax, (4.8, 4.0))
    else:
        height = max(3.2, 1.2 + 0.32 * labels["label"].nunique())
        if matching["dim_b"].nunique() > _BESIDE:
            heights = 1.2 + 0.32 * min(matching["dim_a"].nunique(), _MOST), height
            _, (matrix, bars) = plt.subplots(
                2, 1, figsize=(WIDE, sum(heights)), height_ratios=heights
            )
        else:
            _, (matrix, bars) = plt.subplots(1, 2, figsize=(WIDE, height))
        _draw_labels(bars, labels, (a, b))
    _draw_matching(matrix, matching, (a, b))
    return matrix


def _draw_matching(ax: Axes, table: pd.DataFrame, names: tuple[str, str]) -> None:
    nats = table.pivot(index="dim_a", columns="dim_b", values="mi_nats")
    matched = table[table["matched"]]
    # Of many dimensions those that have a counterpart, then those that share most.
    kept = []
    for column, frame in (("dim_a", nats), ("dim_b", nats.T)):
        order = frame.max(axis=1).sort_values(ascending=False, kind="stable").index
        first = [*dict.fromkeys([*matched[column], *order])][:_MOST]
        kept.append(sorted(int(dim) for dim in first))
    shown = nats.loc[kept[0], kept[1]].to_numpy(dtype=np.float64)
    chances = table.pivot(index="dim_a", columns="dim_b", values="q_value")
    draw_nats(ax, shown, chances.loc[kept[0], kept[1]].to_numpy(dtype=np.float64))
    for pair in matched.to_dict("records"):
        if pair["dim_a"] in kept[0] and pair["dim_b"] in kept[1]:
            x, y = kept[1].index(pair["dim_b"]), kept[0].index(pair["dim_a"])
            look: dict[str, Any] = {"fill": False, "edgecolor": OVERLAY, "linewidth": 1.6}
            ax.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, **look))
    ax.set_xticks(range(len(kept[1])), [str(dim) for dim in kept[1]])
    ax.set_yticks(range(len(kept[0])), [str(dim) for dim in kept[0]])
    ax.tick_params(length=0)
    of_a, of_b = short_names(names)
    ax.set_xlabel(f"dimension of {of_b}")
    ax.set_ylabel(f"dimension of {of_a}")
    ax.set_title(f"Shared by dimensions (framed: matched)\n{counted(table)}")
    nats_bar(ax)


def _draw_labels(ax: Axes, table: pd.DataFrame, names: tuple[str, str]) -> None:
    best = table[table["by"] == BEST].set_index("label")
    every = table[table["by"] == ALL].set_index("label")
    order = best[["nats_a", "nats_b"]].max(axis=1).sort_values(kind="stable").index
    places = np.arange(len(order), dtype=np.float64)
    for side, (name, color) in enumerate(zip(short_names(names), _COLORS, strict=True)):
        column, at = f"nats_{'ab'[side]}", places + (0.2, -0.2)[side]
        ax.barh(at, best.loc[order, column], height=0.36, color=color, label=name)
        ax.barh(at, every.loc[order, column], height=0.36, fill=False, edgecolor=color)
    ax.set_yticks(places, short_names(label_name(str(label)) for label in order), **LITERAL)
    differs: Any = (best.loc[order, "q_value"] < 0.05).to_numpy()
    for text, bold in zip(ax.get_yticklabels(), differs, strict=True):
        text.set_fontweight("bold" if bold else "normal")
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_xlabel("nats of the best dimension (outline: of all)")
    ax.set_title("What each model knows of labels\nbold: they differ (q < 0.05)")
    ax.legend(loc="lower right")
