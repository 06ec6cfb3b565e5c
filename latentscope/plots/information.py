"""Pictures of mutual information: heatmaps of labels or dimensions by dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from latentscope.diagnostics.mi.api import SIGNIFICANT, MIResult, PairwiseResult
from latentscope.errors import EstimatorError
from latentscope.plots.style import (
    HEXBIN_ABOVE,
    INK,
    LITERAL,
    OVERLAY,
    PALE,
    QUIET,
    SEQUENCE,
    STRONG,
    WIDE,
    add_bar,
    beyond,
    counted,
    label_name,
    label_title,
    nats_bar,
    nats_scale,
    nats_text,
    new_axes,
    plain_log,
    short_names,
    styled,
)
from latentscope.tables import without_mask

_MOST_DIMS = 16
_FEW_DIMS = 8
_ROOMY = 12  # columns whose cells have room for larger letters
_DARK = 0.5  # of the scale: from where on letters on a cell are white


@styled
def plot_mi(result: MIResult, ax: Axes | None = None, *, most: int = _MOST_DIMS) -> Axes:
    """Draw mutual information, labels x dims, as a heatmap with nats in the cells.

    The scale of colors is the same in all pictures. Gray cells are not significant at a false
    discovery rate of 5 %. Of more than eight dimensions those without a significant pair are left
    out; if more than `most` are left, the best of each label are shown and then the strongest.
    """
    matrix, q_values = result.matrix, result.pivot("q_value")
    dims = _shown_dims(matrix, q_values, most)
    ax = _heatmap(matrix[dims], q_values[dims], ax)
    ax.set_xlabel("latent dimension")
    known = ", ".join(result.given)
    what = f"Mutual information given {known}" if known else "Mutual information"
    ax.set_title(_heatmap_title(what, len(dims), matrix.shape[1], result.table))
    return ax


@styled
def plot_pairwise(
    result: PairwiseResult, ax: Axes | None = None, *, most: int = _MOST_DIMS
) -> Axes:
    """Draw mutual information of dimensions with one another as a heatmap with nats in the cells.

    Colors as in `plot_mi`. Of more than `most` dimensions those that share most are shown.
    """
    matrix, q_values = result.matrix, result.pivot("q_value")
    strongest = matrix.max(axis=0).sort_values(ascending=False, kind="stable").index[:most]
    dims = sorted(int(dim) for dim in strongest)
    ax = _heatmap(matrix.loc[dims, dims], q_values.loc[dims, dims], ax)
    ax.set_xlabel("latent dimension")
    ax.set_ylabel("latent dimension")
    what = "Mutual information of dimensions"
    ax.set_title(_heatmap_title(what, len(dims), len(matrix), result.table))
    return ax


def _heatmap(shown: pd.DataFrame, q_values: pd.DataFrame, ax: Axes | None) -> Axes:
    rows, columns = shown.shape
    own = ax is None
    ax = new_axes(ax, (max(4.2, min(1.9 + 0.5 * columns, WIDE)), max(2.2, 1.3 + 0.3 * rows)))
    draw_nats(ax, shown.to_numpy(dtype=np.float64), q_values.to_numpy(dtype=np.float64))
    ax.set_xticks(range(columns), [str(dim) for dim in shown.columns])
    names = [label_name(str(name)) for name in shown.index]
    ax.set_yticks(range(rows), short_names(names), **LITERAL)
    ax.tick_params(length=0)
    if own:
        _make_room(ax, 1.3 + 0.5 * columns)
    nats_bar(ax)
    return ax


def draw_nats(ax: Axes, values: NDArray[np.float64], q_values: NDArray[np.float64]) -> None:
    """Draw cells of information: colored by nats, or quiet where they are not significant."""
    scale = nats_scale()
    colors = SEQUENCE(scale(values))
    # Where no test was made nothing is known to be noise.
    tested = np.isfinite(q_values).any()
    quiet = ~(q_values < SIGNIFICANT) & tested | ~np.isfinite(values)
    colors[quiet] = to_rgba(PALE)
    ax.imshow(colors, aspect="auto")
    rows, columns = values.shape
    ax.spines[:].set_visible(False)
    # White lines between cells, so that quiet ones are told apart too.
    ax.vlines(np.arange(1, columns) - 0.5, -0.5, rows - 0.5, color="white", linewidth=1.2)
    ax.hlines(np.arange(1, rows) - 0.5, -0.5, columns - 0.5, color="white", linewidth=1.2)
    size = 8 if columns <= _ROOMY else 7
    for (row, column), value in np.ndenumerate(values):
        dark = not quiet[row, column] and float(scale(value)) > _DARK
        ax.text(
            column, row, nats_text(value), ha="center", va="center", fontsize=size,
            color="white" if dark else INK,
            alpha=0.5 if quiet[row, column] else 1.0,
            fontweight="bold" if q_values[row, column] < SIGNIFICANT else "normal",
        )  # fmt: skip


def _make_room(ax: Axes, inches: float) -> None:
    """Widen the figure to hold the names of the rows beside `inches` of everything else."""
    figure = ax.get_figure()
    assert isinstance(figure, Figure)
    names = max((label.get_window_extent().width for label in ax.get_yticklabels()), default=0.0)
    figure.set_figwidth(max(figure.get_figwidth(), inches + names / figure.dpi))


def _heatmap_title(what: str, shown: int, dims: int, table: pd.DataFrame) -> str:
    """Say what is shown, of how many dimensions and stars."""
    some = f", {shown} of {dims} dimensions" if shown < dims else ""
    return f"{what}{some}\n{counted(table)}"


def _shown_dims(matrix: pd.DataFrame, q_values: pd.DataFrame, most: int) -> list[int]:
    dims = [int(dim) for dim in matrix.columns]
    if len(dims) <= min(_FEW_DIMS, most):
        return dims
    alive = [dim for dim in dims if q_values[dim].min() < SIGNIFICANT] or dims
    if len(alive) <= most:
        return alive
    kept = matrix[alive]
    best = kept.max(axis=0).sort_values(ascending=False).index
    of_labels = kept.dropna(how="all").idxmax(axis=1)
    first = [*dict.fromkeys([*of_labels, *best])][: max(most, of_labels.nunique())]
    return sorted(int(dim) for dim in first)


@styled
def plot_indicator(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the indicator of Sedaghat et al. 2021, section 6.2: which dimension tells most.

    One row per label and number of bins, divided by its largest value.

    Parameters
    ----------
    table : DataFrame
        Of `paper_indicator`.
    ax : Axes, optional
    """
    labels = list(dict.fromkeys(table["label"]))
    rows = table.pivot(index=["label", "bins"], columns="dim", values="indicator").loc[labels]
    dims, steps = rows.columns, rows.index.get_level_values("bins").nunique()
    ax = new_axes(ax, (max(4.2, min(WIDE, 2.5 + 0.2 * len(dims))), 1.2 + 0.09 * len(rows)))
    image = ax.imshow(rows.to_numpy(dtype=np.float64), cmap=SEQUENCE, vmin=0, vmax=1,
                      aspect="auto", interpolation="nearest")  # fmt: skip
    for place in range(1, len(labels)):
        ax.axhline(place * steps - 0.5, color="white", linewidth=1.5)
    places = (np.arange(len(labels)) + 0.5) * steps - 0.5
    names = [label_name(str(label)) for label in labels]
    ax.set_yticks(places, short_names(names), **LITERAL)
    every = max(1, len(dims) // 32)
    ax.set_xticks(range(0, len(dims), every), [str(dim) for dim in dims[::every]])
    ax.tick_params(length=0, labelsize=7 if len(dims) > 16 else 9)
    ax.set_xlabel("latent dimension")
    numbers = ", ".join(map(str, sorted(table["bins"].unique())))
    ax.set_title(f"Indicator by {numbers} bins\n{counted(table)}")
    add_bar(image, ax, "relative to the largest of the row")
    return ax


@styled
def plot_dim_against_label(
    latent: ArrayLike,
    label: ArrayLike,
    ax: Axes | None = None,
    *,
    dim: int | None = None,
    name: str = "label",
    mi: float | None = None,
    color: ArrayLike | None = None,
    color_name: str = "label",
    track: tuple[ArrayLike, ArrayLike] | None = None,
    track_name: str = "track",
) -> Axes:
    """Draw one latent dimension against a label it was never shown.

    Parameters
    ----------
    latent, label : array (n,)
        Numbers; rows with a NaN on either side are left out.
    ax : Axes, optional
    dim : int, optional
        Number of the dimension, for the axis.
    name : str
        Name of the label. Common ones are written out, with their units.
    mi : float, optional
        Mutual information in nats, for the title.
    color : array (n,), optional
        Another label, named `color_name`, that colors the points, gray where it is missing; above
        5,000 points its mean.
    track : (array, array), optional
        Label and latent values of other spectra, drawn on top and joined in their order;
        `track_name` is their legend.

    Raises
    ------
    EstimatorError
        If latents, label or color are no numbers.
    """
    ax = new_axes(ax, (4.6, 3.6))
    z, truth = _numbers(latent, "latent"), _numbers(label, name)
    both = np.isfinite(z) & np.isfinite(truth)
    z, truth = z[both], truth[both]
    other = None if color is None else _numbers(color, color_name)[both]
    _cloud(ax, truth, z, other, color_name)
    if not len(z):
        ax.text(0.5, 0.5, "no row has both", transform=ax.transAxes, ha="center")
    if track is not None:
        there, value = (np.asarray(part, dtype=np.float64) for part in track)
        ax.plot(there, value, "-", color="white", linewidth=4, zorder=3)
        ax.plot(
            there, value, "o-", color=OVERLAY, markersize=4, linewidth=1.8, zorder=4,
            markeredgecolor="white", markeredgewidth=0.6, label=track_name,
        )  # fmt: skip
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="best")
    ax.set_xlabel(label_title(name))
    ax.set_ylabel("latent dimension" + ("" if dim is None else f" {dim}"))
    said = [] if mi is None else [f"{mi:.2f} nats"]
    if len(z) > 2 and np.ptp(truth) > 0 and np.ptp(z) > 0:
        said.append(f"rank correlation {spearmanr(truth, z).statistic:+.3f}")
    ax.set_title(", ".join([*said, f"n = {len(z):,}"]))
    return ax


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        return without_mask(values).astype(np.float64)
    except (TypeError, ValueError):
        raise EstimatorError(f"{name}: expected numbers; plot_pairs colors by classes") from None


def _cloud(
    ax: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    color: NDArray[np.float64] | None,
    name: str,
) -> None:
    """Draw points, or hexagons where they are many, colored by a label."""
    size = float(np.clip(4000 / max(len(x), 1), 3, 18))
    points: dict[str, Any] = {"s": size, "linewidths": 0, "rasterized": True}
    hexagons: dict[str, Any] = {"gridsize": 60, "linewidths": 0.1, "cmap": SEQUENCE}
    many = len(x) > HEXBIN_ABOVE
    if color is None and many:
        bar = add_bar(ax.hexbin(x, y, mincnt=1, bins="log", **hexagons), ax, "rows")
        plain_log(bar.ax.yaxis)
        return
    if color is None:
        ax.scatter(x, y, color=STRONG, alpha=0.5, **points)
        return
    known = np.isfinite(color)
    if not known.all():
        (short,) = short_names([label_name(name)])
        said = f"no {short} ({np.count_nonzero(~known):,})"
        ax.scatter(x[~known], y[~known], color=QUIET, label=said, **points)
    x, y, color = x[known], y[known], color[known]
    if not len(x):
        return
    low, high = np.percentile(color, (1, 99))
    drawn: Any
    if many:
        # Their mean: of points that cover each other only the last would be seen.
        drawn = ax.hexbin(x, y, C=color, vmin=low, vmax=high, **hexagons)
    else:
        drawn = ax.scatter(x, y, c=color, cmap=SEQUENCE, vmin=low, vmax=high, **points)
    title = f"{label_title(name)}{', mean' if many else ''}"
    add_bar(drawn, ax, title, extend=beyond(color, low, high))
