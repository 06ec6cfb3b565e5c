"""Picture of how well labels are read: what was read against what is true, and what is left."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from latentscope.diagnostics.probe import ProbeResult
from latentscope.errors import ChoiceError, meant
from latentscope.plots.style import (
    INK,
    OVERLAY,
    QUIET,
    SEQUENCE,
    SOFT,
    STRONG,
    WIDE,
    add_bar,
    beyond,
    companion,
    label_name,
    label_title,
    new_axes,
    short_names,
    styled,
)

_MOST = 4
_ACROSS = {1: 1, 2: 2, 3: 3, 4: 2}
"""Labels beside each other, of so many."""

_MAX_POINTS = 3000
_BINS = 12


@styled
def plot_probe(
    result: ProbeResult, ax: Axes | None = None, *, label: str | None = None,
    color: str | None = None,
) -> Axes:  # fmt: skip
    """Draw labels of numbers as the best reader reads them, on stars it did not learn from.

    Below each, read minus true, with the median and the middle 68 % of stars of similar values. Of
    more than four labels those that are read best are drawn, and 3,000 stars; the title counts
    those, and the axes those beyond.

    Parameters
    ----------
    result : ProbeResult
    ax : Axes, optional
        Draw one label there, without the lower panel.
    label : str, optional
        Draw this one alone; by default all, and on given axes the best.
    color : str, optional
        Label of numbers that colors the points; by default Teff, and log g for Teff itself.

    Raises
    ------
    ChoiceError
        If there is no such label of numbers.
    """
    best = result.best
    best = best[best["kind"] == "number"].sort_values("r2", ascending=False, kind="stable")
    names = best["label"].tolist()
    for name in (label, color):
        if name is not None and name not in names:
            raise ChoiceError(
                f"label {name!r} was not read as a number{meant(name, names)}; expected one of "
                f"{', '.join(names)}"
            )
    if not names:
        raise ChoiceError("no label holds numbers, so there is nothing to draw")
    rows = {str(row["label"]): row for row in best.to_dict("records")}
    if ax is not None:
        name = label or names[0]
        _draw(new_axes(ax, (0, 0)), result, rows[name], name, _color_of(name, color, names))
        return ax
    shown = [label] if label is not None else names[:_MOST]
    across = _ACROSS[len(shown)]
    down = -(-len(shown) // across)
    figure = plt.figure(figsize=(max(WIDE * across / 3, 4.2) if down == 1 else WIDE, 4.5 * down))
    grid = figure.add_gridspec(down, across)
    drawn = []
    for number, name in enumerate(shown):
        cells = grid[divmod(number, across)].subgridspec(2, 1, height_ratios=(2.2, 1))
        above = figure.add_subplot(cells[0])
        below = figure.add_subplot(cells[1], sharex=above)
        by = _color_of(name, color, names)
        points = _draw(above, result, rows[name], name, by)
        above.set_xlabel("")
        above.tick_params(labelbottom=False)
        _draw_rest(below, result, rows[name], name)
        if points is not None:
            add_bar(
                points, below, label_title(str(by)), location="bottom", aspect=40,
                extend=beyond(points.get_array(), *points.get_clim()),
            )  # fmt: skip
        drawn.append(above)
    return drawn[0]


def _color_of(name: str, color: str | None, names: list[str]) -> str | None:
    others = [other for other in names if other != name]
    return (
        color if color not in (None, name) else companion(name, others) or next(iter(others), None)
    )


def _values(result: ProbeResult, name: str, *others: str) -> pd.DataFrame:
    columns = [name, f"{name}_read", *others]
    numbers: pd.DataFrame = result.predictions[columns].apply(pd.to_numeric, errors="coerce")
    return numbers.dropna(subset=columns[:2]).iloc[:_MAX_POINTS]


def _draw(ax: Axes, result: ProbeResult, row: dict[Any, Any], name: str, color: str | None) -> Any:
    frame = _values(result, name, *([color] if color else []))
    ends = frame[name].quantile([0.002, 0.998]).to_numpy()
    ends = ends + np.array([-0.05, 0.05]) * (ends[1] - ends[0])
    ax.plot(ends, ends, color=INK, linewidth=0.8, zorder=3)
    colored: dict[str, Any] = {"color": STRONG}
    if color:
        low, high = frame[color].quantile([0.02, 0.98])
        colored = {"c": frame[color], "cmap": SEQUENCE, "vmin": low, "vmax": high}
    points = ax.scatter(
        frame[name], frame[f"{name}_read"], s=5, linewidths=0, alpha=0.7, rasterized=True, **colored
    )
    ax.set_xlim(*ends)
    ax.set_ylim(*ends)
    ax.set_xlabel(label_title(name))
    ax.set_ylabel(f"read ({row['unit']})" if row["unit"] else "read")
    unit = f" {row['unit']}" if row["unit"] else ""
    (short,) = short_names([label_name(name)])
    drawn = f", {len(frame):,} drawn" if len(frame) < row["n"] else ""
    outside = _count_beyond(frame[[name, f"{name}_read"]], ends)
    ax.set_title(
        f"{short} ({row['reader']})\nerror {row['error']:.3g}{unit}, "
        f"R\u00b2 {row['r2']:.3f}\nn = {row['n']:,}{drawn}{outside}", fontsize=9,
    )  # fmt: skip
    return points if color else None


def _count_beyond(values: pd.DataFrame, ends: ArrayLike) -> str:
    """Say how many rows have a value that axes of these ends do not show."""
    low, high = np.asarray(ends, dtype=np.float64)
    count = int(((values < low) | (values > high)).any(axis=1).sum())
    return f", {count:,} beyond" if count else ""


def _draw_rest(ax: Axes, result: ProbeResult, row: dict[Any, Any], name: str) -> None:
    frame = _values(result, name)
    rest = frame[f"{name}_read"] - frame[name]
    ax.scatter(frame[name], rest, s=3, linewidths=0, alpha=0.4, color=QUIET, rasterized=True)
    edges = np.unique(frame[name].quantile(np.linspace(0, 1, _BINS + 1)))
    if len(edges) > 2:
        places = np.clip(np.searchsorted(edges, frame[name], side="right"), 1, len(edges) - 1)
        low, median, high = (
            rest.groupby(places).quantile(share).to_numpy() for share in (0.16, 0.5, 0.84)
        )
        ax.errorbar(
            frame[name].groupby(places).median().to_numpy(), median,
            yerr=[median - low, high - median], fmt="o", markersize=3,
            color=OVERLAY, linewidth=1,
        )  # fmt: skip
    span = float(rest.abs().quantile(0.98))
    ax.axhline(0, color=INK, linewidth=0.8)
    if span > 0:
        ax.set_ylim(-1.3 * span, 1.3 * span)
        outside = _count_beyond(rest.to_frame(), ax.get_ylim())
        ax.set_title(outside.removeprefix(", "), fontsize=8, loc="right", color=SOFT, pad=2)
    ax.set_xlabel(label_title(name))
    ax.set_ylabel("read \u2212 true")
