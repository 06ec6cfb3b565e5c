"""Picture of how well labels are read: what was read against what is true, and what is left."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from latentscope.diagnostics.probe import ProbeResult
from latentscope.errors import ChoiceError
from latentscope.plots.style import INK, LITERAL, OVERLAY, QUIET, STRONG, styled

_MOST = 4
_USUAL = ("teff", "[m/h]", "[fe/h]", "logg")  # labels that color first
_MAX_POINTS = 3000
_BINS = 12


@styled
def plot_probe(
    result: ProbeResult, ax: Axes | None = None, *, label: str | None = None,
    color: str | None = None,
) -> Axes:  # fmt: skip
    """Draw labels of numbers as the best reader reads them, on stars it did not learn from.

    Below each, what was read minus what is true, with the median and the middle 68 % of stars with
    like values. Of more than four labels those that are read best are drawn, and 3,000 stars.

    Parameters
    ----------
    result : ProbeResult
    ax : Axes, optional
        Draw one label there, without what is left.
    label : str, optional
        Draw this one alone; by default all, and on given axes the best.
    color : str, optional
        Label of numbers that colors the points; by default Teff, and metallicity for Teff itself.

    Returns
    -------
    Axes

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
                f"label {name!r} was not read as a number; expected one of {', '.join(names)}"
            )
    if not names:
        raise ChoiceError("no label holds numbers, so there is nothing to draw")
    rows = {str(row["label"]): row for row in best.to_dict("records")}
    if ax is not None:
        name = label or names[0]
        _draw(ax, result, rows[name], name, _color_of(name, color, names))
        return ax
    shown = [label] if label is not None else names[:_MOST]
    figure, panels = plt.subplots(
        2, len(shown), figsize=(3.6 * len(shown), 4.8), dpi=150, layout="constrained",
        sharex="col", squeeze=False, height_ratios=(2.2, 1),
    )  # fmt: skip
    for above, below, name in zip(*panels, shown, strict=True):
        by = _color_of(name, color, names)
        points = _draw(above, result, rows[name], name, by)
        above.set_xlabel("")
        if points is not None:
            bar = figure.colorbar(points, ax=above, location="top", aspect=40, pad=0.02)
            bar.set_label(str(by), **LITERAL)
        _draw_rest(below, result, rows[name], name)
    first: Axes = panels[0, 0]
    return first


def _color_of(name: str, color: str | None, names: list[str]) -> str | None:
    others = [other for other in names if other != name]
    usual = [other for kind in _USUAL for other in others if other.lower() == kind]
    return color if color not in (None, name) else next(iter([*usual, *others]), None)


def _values(result: ProbeResult, name: str, *others: str) -> pd.DataFrame:
    columns = [name, f"{name}_read", *others]
    numbers: pd.DataFrame = result.predictions[columns].apply(pd.to_numeric, errors="coerce")
    return numbers.dropna(subset=columns[:2]).iloc[:_MAX_POINTS]


def _named(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name


def _draw(ax: Axes, result: ProbeResult, row: dict[Any, Any], name: str, color: str | None) -> Any:
    frame = _values(result, name, *([color] if color else []))
    ends = frame[name].quantile([0.002, 0.998]).to_numpy()
    ends = ends + np.array([-0.05, 0.05]) * (ends[1] - ends[0])
    ax.plot(ends, ends, color=INK, linewidth=0.8, zorder=3)
    colored: dict[str, Any] = {"color": STRONG}
    if color:
        low, high = frame[color].quantile([0.02, 0.98])
        colored = {"c": frame[color], "cmap": "viridis", "vmin": low, "vmax": high}
    points = ax.scatter(
        frame[name], frame[f"{name}_read"], s=5, linewidths=0, alpha=0.7, rasterized=True, **colored
    )
    ax.set_xlim(*ends)
    ax.set_ylim(*ends)
    ax.set_xlabel(_named(name, row["unit"]), **LITERAL)
    ax.set_ylabel(f"{_named(name, row['unit'])}, read", **LITERAL)
    unit = f" {row['unit']}" if row["unit"] else ""
    ax.text(
        0.03, 0.97,
        f"{row['reader']}, n = {row['n']:,}\nerror {row['error']:.3g}{unit}, R2 {row['r2']:.3f}",
        transform=ax.transAxes, va="top", fontsize=8,
    )  # fmt: skip
    return points if color else None


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
    ax.set_xlabel(_named(name, row["unit"]), **LITERAL)
    ax.set_ylabel("read - true", **LITERAL)
