"""Scatter grid of latent dimensions, each against each, colored by a label."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize, to_rgb
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents
from latentscope.diagnostics.mi.api import pairwise_mi
from latentscope.diagnostics.mi.columns import Discrete
from latentscope.diagnostics.mi.result import SIGNIFICANT, PairwiseResult
from latentscope.diagnostics.study import Dims, StudyLike, read_study
from latentscope.errors import EstimatorError
from latentscope.plots.information import counted
from latentscope.plots.style import (
    CLASSES,
    HEXBIN_ABOVE,
    INK,
    LITERAL,
    PALE,
    QUIET,
    SEQUENCE,
    SPECTRAL,
    STRONG,
    WIDE,
    add_bar,
    label_name,
    label_title,
    nats_scale,
    short_names,
    styled,
)

Floats = NDArray[np.float64]

MAX_DIMS = 8
"""Dimensions drawn at most, by default."""

_KEY = 1.3
"""Inches beside the panels, for what colors mean."""

_HEXAGONS = 38
_BINS = 48
_INNER = (0.5, 99.5)
_MARGIN = 0.25
_PALE = 0.3


@dataclass(frozen=True)
class _Grid:
    """What the panels share: rows, windows of the axes, colors."""

    values: Floats
    limits: list[tuple[float, float]]
    colors: LabelColors | None
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
    color: str | ArrayLike | pd.Series | None = None,
    *,
    cmap: str | Colormap = SEQUENCE,
    name: str = "label",
    discrete: Discrete = "auto",
    pairs: PairwiseResult | None = None,
    max_dims: int = MAX_DIMS,
    seed: int = 0,
) -> Axes:
    """Draw dimensions against one another, colored by a label: Sedaghat et al. 2021, figure 5.

    Below the diagonal each pair as points, or as hexagons above 5,000 rows: colored by the mean of
    numbers or the commonest class, paler where rows are few. On the diagonal the distribution of
    each dimension, above it the mutual information of the pair in nats and its rank. Structure in a
    panel means that the two dimensions are not disentangled. Points are rasterized, axes and text
    are not. Axes span the middle 99 % of each dimension and a quarter of that on either side, where
    values reach so far; the title counts the rows beyond.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        Rows of NaN are left out.
    dims : "informative", "all" or a list of int
        "informative": those that `mi_matrix` takes. Of more than `max_dims`, those that share most
        with another.
    color : array (n,) or str, optional
        Of each row; or the column of a study's labels, or of the latents' table, that says so.
        Numbers get a color bar; text, booleans and whole numbers of few values a legend. Rows
        without are gray.
    cmap : str
        Color map of numbers, by its name in matplotlib.
    name : str
        Of the label.
    discrete : bool or "auto"
        Whether the label holds classes.
    pairs : PairwiseResult, optional
        Mutual information of these dimensions, if it is known; else it is measured.
    max_dims : int
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
        If there are fewer than two dimensions, or not one color per row.
    """
    study = read_study(latents, groups="auto" if pairs is None else None)
    read, chosen = study.latents, study.choose(dims)
    if isinstance(color, str):
        name, discrete = color, study.kinds.get(color, discrete)
        color = study.column(name)
    pairs = pairwise_mi(study, dims=chosen, seed=seed) if pairs is None else pairs
    shown = _strongest(pairs, chosen, max_dims) if isinstance(dims, str) else chosen
    grid = _grid(read, shown, color, name, discrete, cmap, seed)
    d = len(shown)
    # As large as a page shows it, but for many dimensions, whose panels need their room.
    side = float(np.clip((WIDE - _KEY) / d, 0.9, 1.9))
    figure, axes = plt.subplots(
        d, d, figsize=(side * d + _KEY, side * d + 0.3), dpi=150, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)  # type: ignore[union-attr, call-arg]
    for row in range(d):
        for column in range(d):
            _panel(axes[row, column], grid, pairs, shown, row, column)
    _label_edges(axes, shown)
    _key(figure, axes, grid)
    figure.suptitle(_title(grid, shown, chosen, read.dims, pairs), fontsize=9, x=0.01, ha="left")
    first: Axes = axes[0, 0]
    return first


def _strongest(pairs: PairwiseResult, chosen: list[int], max_dims: int) -> list[int]:
    if len(chosen) <= max_dims:
        return chosen
    strongest = pairs.matrix.max(axis=0).sort_values(ascending=False, kind="stable")
    return sorted(int(dim) for dim in strongest.index[:max_dims])


def _grid(
    read: Latents,
    shown: list[int],
    color: ArrayLike | pd.Series | None,
    name: str,
    discrete: Discrete,
    cmap: str | Colormap,
    seed: int,
) -> _Grid:
    rows = read.ok
    values = read.values[rows][:, shown].astype(np.float64)
    colors = None
    if color is not None:
        label = np.asarray(color, dtype=object)
        if label.shape != (len(read),):
            raise EstimatorError(
                f"color has shape {label.shape} for {len(read)} rows; expected one value per row"
            )
        colors = replace(label_colors(label[rows], name, discrete), cmap=cmap)
    order = np.random.default_rng(seed).permutation(len(values))
    return _Grid(values, [_window(column) for column in values.T], colors, order)


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
    colors: Any = STRONG if grid.colors is None else grid.colors.rgba(grid.colors.values)
    order = grid.order if grid.colors is None else _gray_first(grid)
    picked = colors if isinstance(colors, str) else colors[order]
    ax.scatter(x[order], y[order], s=size, c=picked, alpha=0.7, linewidths=0, rasterized=True)


def _gray_first(grid: _Grid) -> NDArray[np.int64]:
    assert grid.colors is not None
    labeled = np.isfinite(grid.colors.values[grid.order])
    first: NDArray[np.int64] = grid.order[np.argsort(labeled, kind="stable")]
    return first


def _hexagons(ax: Axes, grid: _Grid, x: Floats, y: Floats, extent: Any) -> None:
    drawn = {"gridsize": _HEXAGONS, "extent": extent, "mincnt": 1, "linewidths": 0.1}
    colors = grid.colors
    if colors is None:
        ax.hexbin(x, y, bins="log", cmap=SEQUENCE, rasterized=True, **drawn)
        return
    counts: list[int] = []
    reduced = _commonest if colors.classes else _mean

    def reduce(rows: NDArray[Any] | list[float]) -> float:
        counts.append(len(rows))
        return reduced(colors.values[np.array(rows, dtype=np.int64)])

    # Rows, not labels, are given: matplotlib leaves out rows without a label.
    made = ax.hexbin(x, y, C=np.arange(len(x)), reduce_C_function=reduce, rasterized=True, **drawn)
    shade = _PALE + (1 - _PALE) * np.log1p(counts) / np.log1p(max(counts, default=1))
    rgba = colors.rgba(np.array(made.get_array(), dtype=np.float64))
    rgba[:, :3] = 1 - (1 - rgba[:, :3]) * shade[:, None]
    made.set_array(None)
    made.set_facecolor(rgba)  # type: ignore[arg-type]
    made.set_edgecolor(rgba)  # type: ignore[arg-type]


# Hexagons of NaN are not drawn, so those without any label are infinite.
def _mean(values: Floats) -> float:
    labeled = values[~np.isnan(values)]
    return float(labeled.mean()) if len(labeled) else float("inf")


def _commonest(values: Floats) -> float:
    labeled = values[~np.isnan(values)]
    return float(np.bincount(labeled.astype(np.int64)).argmax()) if len(labeled) else float("inf")


def _histogram(ax: Axes, grid: _Grid, place: int) -> None:
    column, limits = grid.values[:, place], grid.limits[place]
    edges = np.linspace(*limits, _BINS + 1).tolist()
    ax.hist(column, edges, color="#dfe5ea" if grid.colors else "#b9d3e6")
    if grid.colors is not None:
        for number, color in enumerate(grid.colors.palette):
            rows = grid.colors.values == number
            ax.hist(column[rows], edges, histtype="step", color=color, linewidth=0.9)
    ax.set_xlim(*limits)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.locator_params(axis="x", nbins=3)


def _information(ax: Axes, pairs: PairwiseResult, x: int, y: int) -> None:
    """Write what a pair shares and its rank, on gray where it is not significant."""
    table = pairs.table
    rank = table["mi_nats"].rank(ascending=False, method="first", na_option="bottom")
    here = (table["dim_x"] == min(x, y)) & (table["dim_y"] == max(x, y))
    pair = table[here].iloc[0]
    nats, significant = float(pair["mi_nats"]), bool(pair["q_value"] < SIGNIFICANT)
    part = float(nats_scale()(nats if np.isfinite(nats) else 0.0))
    ax.set_facecolor(SEQUENCE(part) if significant else PALE)
    ink = "white" if significant and part > 0.5 else INK
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
    """Say what colors mean: a legend of classes or a bar of numbers."""
    colors = grid.colors
    if colors is None:
        return
    if not colors.classes:
        mappable = ScalarMappable(Normalize(colors.norm.vmin, colors.norm.vmax), colors.cmap)
        add_bar(
            mappable, list(axes.ravel()), label_title(colors.name), shrink=0.6, aspect=32, pad=0.01,
            extend="both",
        )  # fmt: skip
        return
    handles = [
        _dot(color, f"{one} ({count:,})")
        for one, color, count in zip(
            short_names(colors.classes), colors.palette, colors.counts, strict=True
        )
    ]
    missing = int(np.isnan(colors.values).sum())
    if missing:
        handles.append(_dot(QUIET, f"no label ({missing:,})"))
    (name,) = short_names([colors.name])
    legend = figure.legend(handles=handles, title=name, loc="outside right upper", fontsize=8)
    for text in (*legend.get_texts(), legend.get_title()):
        text.set(**LITERAL)


def _dot(color: str, name: str) -> Line2D:
    return Line2D([], [], marker="o", linestyle="", color=color, markersize=5, label=name)


def _title(
    grid: _Grid, shown: list[int], chosen: list[int], dims: int, pairs: PairwiseResult
) -> str:
    which = f"{len(shown)} of {len(chosen)} chosen" if len(shown) < len(chosen) else f"{len(shown)}"
    beyond = f", {grid.outside:,} beyond the axes" if grid.outside else ""
    return (
        f"{which} of {dims} dimensions, {len(grid.values):,} rows{beyond}\nAbove the diagonal: "
        f"mutual information (nats), gray: q \u2265 {SIGNIFICANT:g}; {counted(pairs.table)}"
    )


_SPECTRAL_TYPE = re.compile(r"[OBAFGKM](?![A-Za-z]*[a-z]{2})[\d\s.:+/IVbp-]*")
_MOSTLY = 0.9
_MAX_NUMBERS = 10
_OTHER = "other"


@dataclass(frozen=True)
class LabelColors:
    """What color each row has.

    Parameters
    ----------
    name : str
        Of the label.
    values : ndarray of float64, shape (n,)
        Numbers, or the place of each row's class in `classes`; NaN where there is no label.
    classes : tuple of str
        Names of classes in the order of the legend; empty for numbers.
    palette : tuple of str
        A color for each class.
    cmap : str
        Color map of numbers.
    """

    name: str
    values: NDArray[np.float64]
    classes: tuple[str, ...]
    palette: tuple[str, ...]
    cmap: str | Colormap = field(default_factory=lambda: SEQUENCE)

    @property
    def norm(self) -> Normalize:
        """Scale of the numbers: from the 1st to the 99th percentile."""
        labeled = self.values[np.isfinite(self.values)]
        low, high = np.percentile(labeled, (1, 99)) if len(labeled) else (0.0, 1.0)
        return Normalize(low, high if high > low else low + 1.0)

    def rgba(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Colors of values, gray of NaN, shape (m,) -> (m, 4)."""
        colors = np.ones((len(values), 4))
        colors[:, :3] = to_rgb(QUIET)
        labeled = np.isfinite(values)
        if self.classes:
            table = np.array([to_rgb(color) for color in self.palette])
            colors[labeled, :3] = table[values[labeled].astype(int)]
        else:
            colors[labeled] = plt.get_cmap(self.cmap)(self.norm(values[labeled]))
        return colors

    @property
    def counts(self) -> list[int]:
        """Rows of each class."""
        return [int((self.values == place).sum()) for place in range(len(self.classes))]


def label_colors(
    values: ArrayLike | pd.Series, name: str = "label", discrete: Discrete = "auto"
) -> LabelColors:
    """Choose colors for a label.

    Text and booleans are classes, numbers are a scale, but for whole numbers of up to 10 values.
    Spectral types ("K V", "G2", "M3.5") become the classes O ... M by their first letter. Of more
    than nine classes the eight with most rows have a color of their own.

    Parameters
    ----------
    values : array or Series, shape (n,)
        NaN, None and empty text are missing.
    name : str
        What the legend calls it.
    discrete : bool or "auto"
        Whether numbers are classes.
    """
    series = pd.Series(np.asarray(values, dtype=object)).reset_index(drop=True)
    numbers = pd.to_numeric(series, errors="coerce")
    text = series.where(series.notna(), "").map(lambda value: str(value).strip())
    labeled = text[text != ""]
    few = _is_few(series, numbers) if discrete == "auto" else discrete
    if numbers[labeled.index].notna().all() and not few:
        return LabelColors(name, np.array(numbers, dtype=np.float64), (), ())
    if (
        len(labeled)
        and labeled.map(lambda cell: bool(_SPECTRAL_TYPE.fullmatch(cell))).mean() > _MOSTLY
    ):
        return _spectral(name, text)
    return _classes(name, text, tuple(labeled.value_counts().index))


def _is_few(series: pd.Series, numbers: pd.Series) -> bool:
    labeled = numbers.dropna()
    if series.dropna().map(lambda value: isinstance(value, bool | np.bool_)).any():
        return True
    return bool(len(labeled) and labeled.nunique() <= _MAX_NUMBERS and (labeled % 1 == 0).all())


def _spectral(name: str, text: pd.Series) -> LabelColors:
    letters = text.map(
        lambda cell: cell[0] if _SPECTRAL_TYPE.fullmatch(cell) else _OTHER if cell else ""
    )
    there = set(letters)
    classes = [letter for letter in SPECTRAL if letter in there]
    palette = [SPECTRAL[letter] for letter in classes]
    if _OTHER in there:
        classes, palette = [*classes, _OTHER], [*palette, "#555555"]
    return _placed(label_name(name), letters, tuple(classes), tuple(palette))


def _classes(name: str, text: pd.Series, by_rows: tuple[str, ...]) -> LabelColors:
    n_colors = len(CLASSES)
    if len(by_rows) > n_colors:
        kept = by_rows[: n_colors - 1]
        text = text.where(text.isin([*kept, ""]), _OTHER)
        return _placed(name, text, (*kept, _OTHER), (*CLASSES[: n_colors - 1], "#555555"))
    classes = tuple(sorted(by_rows, key=_numbers_first))
    return _placed(name, text, classes, CLASSES[: len(classes)])


def _numbers_first(cell: str) -> tuple[bool, float, str]:
    try:
        return False, float(cell), ""
    except ValueError:
        return True, 0.0, cell


def _placed(
    name: str, text: pd.Series, classes: tuple[str, ...], palette: tuple[str, ...]
) -> LabelColors:
    place = {cell: float(i) for i, cell in enumerate(classes)}
    values = np.array([place.get(cell, np.nan) for cell in text], dtype=np.float64)
    return LabelColors(name, values, classes, palette)
