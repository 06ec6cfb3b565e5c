"""Scatter grid of latent dimensions, each against each, colored by a label."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.mi.api import SIGNIFICANT, PairwiseResult, pairwise_mi
from latentscope.diagnostics.mi.columns import Discrete
from latentscope.diagnostics.study import Dims, StudyLike, read_study, row_values
from latentscope.errors import EstimatorError
from latentscope.plots.style import (
    CLASSES,
    HEXBIN_ABOVE,
    INK,
    PALE,
    QUIET,
    SEQUENCE,
    SIGNIFICANT_NATS,
    SPECTRAL,
    STRONG,
    WIDE,
    add_bar,
    beyond,
    counted,
    label_name,
    label_title,
    nats_scale,
    nats_text,
    short_names,
    styled,
)
from latentscope.tables import without_mask

Floats = NDArray[np.float64]

MAX_DIMS = 8
"""Dimensions drawn at most, by default."""

_KEY, _LETTER = 1.3, 0.075
"""Inches beside the panels at least, for what colors mean, and of a letter there."""

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


@styled
def plot_pairs(
    latents: StudyLike,
    dims: Dims = "informative",
    color: str | ArrayLike | pd.Series | None = None,
    *,
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
    panel means that the two dimensions are not disentangled. Axes span the middle 99 % of each
    dimension and a quarter of that on either side; the title counts the rows beyond.

    Parameters
    ----------
    latents : Latents, array (n, d), DataFrame, path, or Study
        Rows of NaN are left out.
    dims : "informative", "all" or a list of int
        "informative": those that `mi_matrix` takes. Of more than `max_dims`, those that share most
        with another, unless a list asks for more.
    color : array (n,) or str, optional
        A value per row, called `name`; or a column of a study's labels or of the latents' table.
        Numbers get a color bar; text, booleans and whole numbers of few values a legend. Rows
        without a value are gray.
    discrete : bool or "auto"
        Whether the label holds classes.
    pairs : PairwiseResult, optional
        Mutual information of these dimensions, if it is known; else it is measured.
    seed : int
        Seed of the order in which points are drawn, and of the mutual information.

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
        color = study.column(name)  # in the rows' order, whatever their index
    else:
        color = row_values(read, color, "color")
    pairs = pairwise_mi(study, dims=chosen, seed=seed) if pairs is None else pairs
    shown = chosen
    if isinstance(dims, str) and len(chosen) > max_dims:
        strongest = pairs.matrix.max(axis=0).sort_values(ascending=False, kind="stable")
        shown = sorted(int(dim) for dim in strongest.index[:max_dims])
    values = read.values[read.ok][:, shown].astype(np.float64)
    colors = None
    if color is not None:
        label = without_mask(color).astype(object)
        if label.shape != (len(read),):
            raise EstimatorError(
                f"color has shape {label.shape} for {len(read)} rows; expected one value per row"
            )
        colors = label_colors(label[read.ok], name, discrete)
    order = np.random.default_rng(seed).permutation(len(values))
    grid = _Grid(values, [_window(column) for column in values.T], colors, order)
    d = len(shown)
    # As large as a page shows it, but for many dimensions, whose panels need their room.
    key = _key_width(colors)
    side = float(np.clip((WIDE - key) / d, 0.9, 1.9))
    axes: Any
    figure, axes = plt.subplots(d, d, figsize=(side * d + key, side * d + 0.3), squeeze=False)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)  # type: ignore[union-attr, call-arg]
    for row, column in np.ndindex(d, d):
        _panel(axes[row, column], grid, pairs, shown, row, column)
    _key(figure, axes, grid)
    which = f"{d} of {len(chosen)} chosen" if d < len(chosen) else f"{d}"
    low, high = np.array(grid.limits).T
    outside = int(((values < low) | (values > high)).any(axis=1).sum())
    beyond = f", {outside:,} beyond the axes" if outside else ""
    figure.suptitle(
        f"{which} of {read.dims} dimensions, {len(values):,} rows{beyond}\nAbove the diagonal: "
        f"mutual information, {SIGNIFICANT_NATS}; {counted(pairs.table)}",
        fontsize=9, x=0.01, ha="left",
    )  # fmt: skip
    first: Axes = axes[0, 0]
    return first


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
    last = len(shown) - 1
    ax.tick_params(labelsize=6, length=2, pad=1.5)
    if row == last:
        ax.set_xlabel(f"dim {shown[column]}", fontsize=8)
    if column == 0:
        ax.set_ylabel(f"dim {shown[row]}", fontsize=8)
    if row < column:
        _information(ax, pairs, shown[row], shown[column])
        return
    if row == column:
        _histogram(ax, grid, row)
    else:
        x, y = grid.values[:, column], grid.values[:, row]
        if len(x) > HEXBIN_ABOVE:
            _hexagons(ax, grid, x, y, (*grid.limits[column], *grid.limits[row]))
        else:
            _points(ax, grid, x, y)
        ax.set_ylim(*grid.limits[row])
        ax.locator_params(axis="y", nbins=3)
    ax.set_xlim(*grid.limits[column])
    ax.locator_params(axis="x", nbins=3)
    ax.tick_params(labelbottom=row == last, labelleft=column == 0 < row)


def _points(ax: Axes, grid: _Grid, x: Floats, y: Floats) -> None:
    order, picked = grid.order, None
    if grid.colors is not None:
        # Rows without a label lie below the others.
        labeled = np.isfinite(grid.colors.values[order])
        order = order[np.argsort(labeled, kind="stable")]
        picked = grid.colors.rgba(grid.colors.values[order])
    size = float(np.clip(6000 / max(len(x), 1), 2.5, 10))
    look: dict[str, Any] = {"alpha": 0.7, "linewidths": 0, "rasterized": True}
    ax.scatter(x[order], y[order], s=size, c=STRONG if picked is None else picked, **look)


def _hexagons(ax: Axes, grid: _Grid, x: Floats, y: Floats, extent: Any) -> None:
    look: dict[str, Any] = {
        "gridsize": _HEXAGONS, "extent": extent, "mincnt": 1, "linewidths": 0.1, "rasterized": True,
    }  # fmt: skip
    colors = grid.colors
    if colors is None:
        ax.hexbin(x, y, bins="log", cmap=SEQUENCE, **look)
        return
    counts: list[int] = []
    reduced = _commonest if colors.classes else _mean

    def reduce(rows: NDArray[Any] | list[float]) -> float:
        counts.append(len(rows))
        return reduced(colors.values[np.array(rows, dtype=np.int64)])

    # Rows, not labels, are given: matplotlib leaves out rows without a label.
    made = ax.hexbin(x, y, C=np.arange(len(x)), reduce_C_function=reduce, **look)
    shade = _PALE + (1 - _PALE) * np.log1p(counts) / np.log1p(max(counts, default=1))
    rgba = colors.rgba(np.array(made.get_array(), dtype=np.float64))
    rgba[:, :3] = 1 - (1 - rgba[:, :3]) * shade[:, None]
    made.set_array(None)
    made.set(facecolor=rgba, edgecolor=rgba)


# Hexagons of NaN are not drawn, so those without any label are infinite.
def _mean(values: Floats) -> float:
    labeled = values[~np.isnan(values)]
    return float(labeled.mean()) if len(labeled) else float("inf")


def _commonest(values: Floats) -> float:
    labeled = values[~np.isnan(values)]
    return float(np.bincount(labeled.astype(np.int64)).argmax()) if len(labeled) else float("inf")


def _histogram(ax: Axes, grid: _Grid, place: int) -> None:
    column = grid.values[:, place]
    edges = np.linspace(*grid.limits[place], _BINS + 1).tolist()
    ax.hist(column, edges, color="#dfe5ea" if grid.colors else "#b9d3e6")
    if grid.colors is not None:
        for number, color in enumerate(grid.colors.palette):
            rows = grid.colors.values == number
            ax.hist(column[rows], edges, histtype="step", color=color, linewidth=0.9)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


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
    look: dict[str, Any] = {"transform": ax.transAxes, "color": ink}
    look |= {"ha": "center", "va": "center", "alpha": 1.0 if significant else 0.6}
    ax.text(
        0.5, 0.5, nats_text(nats), fontsize=11 if significant else 9,
        fontweight="bold" if significant else "normal", **look,
    )  # fmt: skip
    place = f"#{int(rank[here].iloc[0])}"
    ax.text(0.06, 0.93, place, fontsize=7, **look | {"ha": "left", "va": "top", "alpha": 0.7})
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _key_width(colors: LabelColors | None) -> float:
    names = [] if colors is None else short_names([colors.name, *colors.classes])
    return max(_KEY, 0.8 + _LETTER * max(map(len, names), default=0))


def _key(figure: Any, axes: NDArray[Any], grid: _Grid) -> None:
    """Say what colors mean: a legend of classes or a bar of numbers."""
    colors = grid.colors
    if colors is None:
        return
    missing = int(np.isnan(colors.values).sum())
    if not colors.classes and missing < len(colors.values):
        add_bar(
            ScalarMappable(colors.norm, SEQUENCE), list(axes.ravel()), label_title(colors.name),
            shrink=0.6, pad=0.01, extend=beyond(colors.values, *colors.limits),
        )  # fmt: skip
    named = zip(short_names(colors.classes), colors.palette, colors.counts, strict=True)
    shown = [*named, *([("no label", QUIET, missing)] if missing else [])]
    if not shown:
        return
    handles = [
        Line2D([], [], marker="o", linestyle="", color=c, markersize=5, label=f"{name} ({count:,})")
        for name, c, count in shown
    ]
    (name,) = short_names([colors.name])
    figure.legend(handles=handles, title=name, loc="outside right center")


_SPECTRAL_TYPE = re.compile(r"[OBAFGKM](?![A-Za-z]*[a-z]{2})[\d\s.:+/IVbp-]*")
_MOSTLY = 0.9
_MAX_NUMBERS = 10
_OTHER = "other"


@dataclass(frozen=True)
class LabelColors:
    """What color each row has.

    `values` (n,) are numbers, or the place of each row's class in `classes`, and NaN where there is
    no label; `palette` has a color for each class.
    """

    name: str
    values: NDArray[np.float64]
    classes: tuple[str, ...]
    palette: tuple[str, ...]

    @property
    def limits(self) -> tuple[float, float]:
        """Ends of the scale of the numbers: the 1st and the 99th percentile."""
        labeled = self.values[np.isfinite(self.values)]
        low, high = np.percentile(labeled, (1, 99)) if len(labeled) else (0.0, 1.0)
        return float(low), float(high if high > low else low + 1.0)

    @property
    def norm(self) -> Normalize:
        """Scale of the numbers."""
        return Normalize(*self.limits)

    def rgba(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Colors of values, gray of NaN, shape (m,) -> (m, 4)."""
        colors = np.ones((len(values), 4))
        colors[:, :3] = to_rgb(QUIET)
        labeled = np.isfinite(values)
        if self.classes:
            table = np.array([to_rgb(color) for color in self.palette])
            colors[labeled, :3] = table[values[labeled].astype(int)]
        else:
            colors[labeled] = SEQUENCE(self.norm(values[labeled]))
        return colors

    @property
    def counts(self) -> list[int]:
        """Rows of each class."""
        return [int((self.values == place).sum()) for place in range(len(self.classes))]


def label_colors(
    values: ArrayLike | pd.Series, name: str = "label", discrete: Discrete = "auto"
) -> LabelColors:
    """Choose colors for a label (n,), in which NaN, None and empty text are missing.

    Text and booleans are classes, numbers are a scale, but for whole numbers of up to 10 values.
    Spectral types ("K V", "G2", "M3.5") become the classes O ... M by their first letter. Of more
    than nine classes the eight with most rows have a color of their own.
    """
    series = pd.Series(without_mask(values), dtype=object)
    numbers = pd.to_numeric(series, errors="coerce")
    text = series.where(series.notna(), "").map(lambda value: str(value).strip())
    labeled = text[text != ""]
    whole = numbers.nunique() <= _MAX_NUMBERS and (numbers.dropna() % 1 == 0).all()
    booleans = series.map(lambda value: isinstance(value, bool | np.bool_)).any()
    few = (booleans or whole) if discrete == "auto" else discrete
    if numbers[labeled.index].notna().all() and not (few and len(labeled)):
        return LabelColors(name, np.array(numbers, dtype=np.float64), (), ())
    spectral = labeled.map(lambda cell: bool(_SPECTRAL_TYPE.fullmatch(cell))).astype(bool)
    if spectral.mean() > _MOSTLY:
        name, labeled = label_name(name), labeled.str[0].where(spectral, _OTHER)
        palette = {letter: SPECTRAL[letter] for letter in SPECTRAL if (labeled == letter).any()}
    else:
        kept = list(labeled.value_counts().index)
        few = len(kept) <= len(CLASSES)
        kept = sorted(kept, key=_numbers_first) if few else kept[: len(CLASSES) - 1]
        palette = dict(zip(kept, CLASSES, strict=False))
    labeled = labeled.where(labeled.isin(list(palette)), _OTHER)
    if (labeled == _OTHER).any():
        palette.setdefault(_OTHER, "#555555")
    place = {cell: float(i) for i, cell in enumerate(palette)}
    places = np.array(labeled.map(place).reindex(text.index), dtype=np.float64)
    return LabelColors(name, places, tuple(palette), tuple(palette.values()))


def _numbers_first(cell: str) -> tuple[bool, float, str]:
    try:
        return False, float(cell), ""
    except ValueError:
        return True, 0.0, cell
