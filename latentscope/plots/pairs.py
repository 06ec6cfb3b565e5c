"""Scatter grid of latent dimensions, each against each, coloured by a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents
from latentscope.diagnostics.mi.api import pairwise_mi
from latentscope.diagnostics.mi.result import SIGNIFICANT, PairwiseResult
from latentscope.diagnostics.study import (
    Dims,
    StudyLike,
    read_study,
)
from latentscope.errors import EstimatorError
from latentscope.plots.label_colours import NUMBERS, LabelColours, label_colours
from latentscope.plots.style import HEXBIN_ABOVE, INK, LITERAL, QUIET, STRONG, short_names, styled

Floats = NDArray[np.float64]

MOST_DIMS = 8
_HEXAGONS = 38
_BINS = 48
_INNER = (0.5, 99.5)
_MARGIN = 0.25
_PALE = 0.3


@dataclass(frozen=True)
class _Grid:
    """What the panels share: rows, windows of the axes, colours."""

    values: Floats
    limits: list[tuple[float, float]]
    colours: LabelColours | None
    order: NDArray[np.int64]

    @property
    def outside(self) -> int:
        """Rows that no panel shows in full, since a value is beyond its axis."""
        low, high = np.array(self.limits).T
        return int(((self.values < low) | (self.values > high)).any(axis=1).sum())


@styled
def plot_pairs(
    latents: StudyLike,
    dims: Dims = "informative",
    color: ArrayLike | pd.Series | None = None,
    *,
    name: str = "label",
    pairs: PairwiseResult | None = None,
    most: int = MOST_DIMS,
    seed: int = 0,
) -> Axes:
    """Draw dimensions against one another, coloured by a label: Sedaghat et al. 2021, figure 5.

    Below the diagonal each pair as points, or as hexagons above 5,000 rows: coloured by the mean of
    numbers or the commonest class, paler where rows are few. On the diagonal the distribution of
    each dimension, above it the mutual information of the pair in nats and its rank. Structure in a
    panel means that the two dimensions are not disentangled. Points are rasterised, axes and text
    are not. Axes span the middle 99 % of each dimension and a quarter of that on either side, where
    values reach so far; the title counts the rows beyond.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        Rows of NaN are left out.
    dims : "informative", "all" or a list of int
        "informative": those that `mi_matrix` takes. Of more than `most`,
        those that share most with another.
    color : array (n,), optional
        Of each row. Numbers get a colour bar; text, booleans and whole numbers of few values a
        legend. Rows without are grey.
    name : str
        Of the label.
    pairs : PairwiseResult, optional
        Mutual information of these dimensions, if it is known; else it is measured.
    most : int
        Dimensions drawn at most, unless `dims` lists them.
    seed : int
        Of the order in which points are drawn, and of the mutual information.

    Returns
    -------
    Axes
        The first panel; its figure holds the grid.

    Raises
    ------
    EstimatorError
        If there are fewer than two dimensions, or not one colour a row.
    """
    study = read_study(latents, groups="auto" if pairs is None else None)
    read, wanted = study.latents, study.choose(dims)
    pairs = pairwise_mi(study, dims=wanted, seed=seed) if pairs is None else pairs
    shown = _strongest(pairs, wanted, most) if isinstance(dims, str) else wanted
    grid = _grid(read, shown, color, name, seed)
    d = len(shown)
    side = float(np.clip(9.0 / d, 1.15, 1.9))
    figure, axes = plt.subplots(
        d, d, figsize=(side * d + 1.5, side * d + 0.3), dpi=150, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)  # type: ignore[union-attr, call-arg]
    for row in range(d):
        for column in range(d):
            _panel(axes[row, column], grid, pairs, shown, row, column)
    _label_edges(axes, shown)
    _key(figure, axes, grid)
    figure.suptitle(_title(grid, shown, wanted, read.dims), fontsize=10, x=0.01, ha="left")
    first: Axes = axes[0, 0]
    return first


def _strongest(pairs: PairwiseResult, wanted: list[int], most: int) -> list[int]:
    if len(wanted) <= most:
        return wanted
    strongest = pairs.matrix.max(axis=0).sort_values(ascending=False, kind="stable")
    return sorted(int(dim) for dim in strongest.index[:most])


def _grid(
    read: Latents, shown: list[int], color: ArrayLike | pd.Series | None, name: str, seed: int
) -> _Grid:
    rows = read.ok
    values = read.values[rows][:, shown].astype(np.float64)
    colours = None
    if color is not None:
        label = np.asarray(color, dtype=object)
        if label.shape != (len(read),):
            raise EstimatorError(
                f"color has shape {label.shape} for {len(read)} rows; wanted one value a row"
            )
        colours = label_colours(label[rows], name)
    order = np.random.default_rng(seed).permutation(len(values))
    return _Grid(values, [_window(column) for column in values.T], colours, order)


def _window(column: Floats) -> tuple[float, float]:
    low, high = np.percentile(column, _INNER)
    margin = _MARGIN * (high - low) or 1.0
    # No wider than the data: the window is there for outliers alone.
    small = 0.03 * (high - low) or 1.0
    return (
        float(max(low - margin, column.min() - small)),
        float(min(high + margin, column.max() + small)),
    )


def _panel(
    ax: Axes, grid: _Grid, pairs: PairwiseResult, shown: list[int], row: int, column: int
) -> None:
    ax.tick_params(labelsize=6, length=2, pad=1.5)
    if row == column:
        _histogram(ax, grid, row)
    elif row < column:
        _information(ax, pairs, shown[row], shown[column])
    else:
        x, y = grid.values[:, column], grid.values[:, row]
        draw = _hexagons if len(grid.values) > HEXBIN_ABOVE else _points
        draw(ax, grid, x, y, (*grid.limits[column], *grid.limits[row]))
        ax.set_xlim(*grid.limits[column])
        ax.set_ylim(*grid.limits[row])
        ax.locator_params(nbins=3)


def _points(ax: Axes, grid: _Grid, x: Floats, y: Floats, extent: tuple[float, ...]) -> None:
    del extent
    size = float(np.clip(6000 / max(len(x), 1), 2.5, 10))
    colours: Any = STRONG if grid.colours is None else grid.colours.rgba(grid.colours.values)
    order = grid.order if grid.colours is None else _grey_first(grid)
    picked = colours if isinstance(colours, str) else colours[order]
    ax.scatter(x[order], y[order], s=size, c=picked, alpha=0.7, linewidths=0, rasterized=True)


def _grey_first(grid: _Grid) -> NDArray[np.int64]:
    assert grid.colours is not None
    known = np.isfinite(grid.colours.values[grid.order])
    first: NDArray[np.int64] = grid.order[np.argsort(known, kind="stable")]
    return first


def _hexagons(ax: Axes, grid: _Grid, x: Floats, y: Floats, extent: Any) -> None:
    drawn = {"gridsize": _HEXAGONS, "extent": extent, "mincnt": 1, "linewidths": 0.1}
    colours = grid.colours
    if colours is None:
        ax.hexbin(x, y, bins="log", cmap="cividis", rasterized=True, **drawn)
        return
    counts: list[int] = []
    reduced = _commonest if colours.classes else _mean

    def reduce(rows: NDArray[Any] | list[float]) -> float:
        counts.append(len(rows))
        return reduced(colours.values[np.array(rows, dtype=np.int64)])

    # Rows, not labels, are given: matplotlib leaves out rows without a label.
    made = ax.hexbin(x, y, C=np.arange(len(x)), reduce_C_function=reduce, rasterized=True, **drawn)
    shade = _PALE + (1 - _PALE) * np.log1p(counts) / np.log1p(max(counts, default=1))
    rgba = colours.rgba(np.array(made.get_array(), dtype=np.float64))
    rgba[:, :3] = 1 - (1 - rgba[:, :3]) * shade[:, None]
    made.set_array(None)
    made.set_facecolor(rgba)  # type: ignore[arg-type]
    made.set_edgecolor(rgba)  # type: ignore[arg-type]


# Hexagons of NaN are not drawn, so those without any label are infinite.
def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("inf")


def _commonest(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.bincount(known.astype(np.int64)).argmax()) if len(known) else float("inf")


def _histogram(ax: Axes, grid: _Grid, place: int) -> None:
    column, limits = grid.values[:, place], grid.limits[place]
    edges = np.linspace(*limits, _BINS + 1).tolist()
    ax.hist(column, edges, color="#dfe5ea" if grid.colours else "#b9d3e6")
    if grid.colours is not None:
        for number, colour in enumerate(grid.colours.palette):
            rows = grid.colours.values == number
            ax.hist(column[rows], edges, histtype="step", color=colour, linewidth=0.9)
    ax.set_xlim(*limits)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.locator_params(axis="x", nbins=3)


def _information(ax: Axes, pairs: PairwiseResult, x: int, y: int) -> None:
    """Write what a pair shares and its rank, on a square the darker the more it is."""
    table = pairs.table
    rank = table["mi_nats"].rank(ascending=False, method="first", na_option="bottom")
    here = (table["dim_x"] == min(x, y)) & (table["dim_y"] == max(x, y))
    pair = table[here].iloc[0]
    nats, significant = float(pair["mi_nats"]), bool(pair["q_value"] < SIGNIFICANT)
    share = float(np.sqrt(-np.expm1(-2 * max(nats, 0.0)))) if np.isfinite(nats) else 0.0
    ax.set_facecolor(plt.get_cmap("Blues")(0.75 * share))
    ink = "white" if share > 0.75 else INK
    text = "-" if np.isnan(nats) else f"{nats:.2f}".replace("-0.00", "0.00")
    ax.text(
        0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=ink,
        fontsize=11 if significant else 9, fontweight="bold" if significant else "normal",
        alpha=1.0 if significant else 0.6,
    )  # fmt: skip
    ax.text(
        0.06, 0.93, f"#{int(rank[here].iloc[0])}", transform=ax.transAxes, ha="left", va="top",
        fontsize=6, color=ink, alpha=0.7,
    )  # fmt: skip
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)


def _label_edges(axes: NDArray[Any], shown: list[int]) -> None:
    last = len(shown) - 1
    for row, column in np.ndindex(axes.shape):
        ax: Any = axes[row, column]
        if row >= column:
            ax.tick_params(labelbottom=row == last, labelleft=column == 0 and row > 0)
        if row == last:
            ax.set_xlabel(f"dim {shown[column]}", fontsize=8)
        if column == 0:
            ax.set_ylabel(f"dim {shown[row]}", fontsize=8)


def _key(figure: Any, axes: NDArray[Any], grid: _Grid) -> None:
    """Say what colours mean: a legend of classes or a bar of numbers."""
    colours = grid.colours
    if colours is None:
        return
    (name,) = short_names([colours.name])
    if not colours.classes:
        mappable = ScalarMappable(Normalize(colours.norm.vmin, colours.norm.vmax), NUMBERS)
        bar = figure.colorbar(mappable, ax=axes, shrink=0.6, aspect=32, pad=0.01, extend="both")
        bar.outline.set_visible(False)
        bar.set_label(name, **LITERAL)
        return
    handles = [
        _dot(colour, f"{one} ({count:,})")
        for one, colour, count in zip(
            short_names(colours.classes), colours.palette, colours.counts, strict=True
        )
    ]
    missing = int(np.isnan(colours.values).sum())
    if missing:
        handles.append(_dot(QUIET, f"no label ({missing:,})"))
    legend = figure.legend(handles=handles, title=name, loc="outside right upper", fontsize=8)
    for text in (*legend.get_texts(), legend.get_title()):
        text.set(**LITERAL)


def _dot(colour: str, name: str) -> Line2D:
    return Line2D([], [], marker="o", linestyle="", color=colour, markersize=5, label=name)


def _title(grid: _Grid, shown: list[int], wanted: list[int], dims: int) -> str:
    some = f"{len(shown)} of {len(wanted)} chosen" if len(shown) < len(wanted) else f"{len(shown)}"
    beyond = f", {grid.outside:,} beyond the axes" if grid.outside else ""
    return (
        f"{some} of {dims} dimensions, {len(grid.values):,} rows{beyond}; above the diagonal: "
        "mutual information (nats)"
    )
