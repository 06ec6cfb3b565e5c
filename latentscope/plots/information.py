"""Pictures of mutual information: heatmaps of labels or dimensions by dimensions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from latentscope.diagnostics.mi.result import SIGNIFICANT, MIResult, PairwiseResult
from latentscope.plots.style import (
    HEXBIN_ABOVE,
    LITERAL,
    OVERLAY,
    STRONG,
    new_axes,
    short_names,
    styled,
)

_MOST_DIMS = 16


@styled
def plot_mi(result: MIResult, ax: Axes | None = None, *, most: int = _MOST_DIMS) -> Axes:
    """Draw mutual information, labels x dims, as a heatmap with nats in the cells.

    Bold cells with a border are significant at a false discovery rate of 5 %.

    Parameters
    ----------
    result : MIResult
    ax : Axes, optional
        Where to draw; by default a new figure that fits the matrix.
    most : int
        Of more dimensions than that, the best of each label are shown, and of the others those
        that have a significant pair, the strongest if these are too many, in their order.
    """
    matrix, q_values = result.matrix, result.pivot("q_value")
    dims = _shown_dims(matrix, q_values, most)
    ax = _heatmap(matrix[dims], q_values[dims], ax)
    ax.set_xlabel("latent dimension")
    known = ", ".join(result.given)
    what = f"Mutual information given {known}" if known else "Mutual information"
    ax.set_title(_heatmap_title(what, len(dims), matrix.shape[1]))
    return ax


@styled
def plot_pairwise(
    result: PairwiseResult, ax: Axes | None = None, *, most: int = _MOST_DIMS
) -> Axes:
    """Draw mutual information of dimensions with one another as a heatmap with nats in the cells.

    Bold cells with a border are significant at a false discovery rate of 5 %.

    Parameters
    ----------
    result : PairwiseResult
    ax : Axes, optional
        Where to draw; by default a new figure that fits the matrix.
    most : int
        Of more dimensions than that, those are shown that share most with another.
    """
    matrix, q_values = result.matrix, result.pivot("q_value")
    strongest = matrix.max(axis=0).sort_values(ascending=False, kind="stable").index[:most]
    dims = sorted(int(dim) for dim in strongest)
    ax = _heatmap(matrix.loc[dims, dims], q_values.loc[dims, dims], ax)
    ax.set_xlabel("latent dimension")
    ax.set_ylabel("latent dimension")
    ax.set_title(_heatmap_title("Mutual information of dimensions", len(dims), len(matrix)))
    return ax


def _heatmap(shown: pd.DataFrame, q_values: pd.DataFrame, ax: Axes | None) -> Axes:
    rows, columns = shown.shape
    own = ax is None
    ax = new_axes(ax, (max(4.2, 1.9 + 0.5 * columns), max(2.2, 1.3 + 0.34 * rows)))
    values = shown.to_numpy(dtype=np.float64)
    largest = float(np.nanmax(values)) if np.isfinite(values).any() else 0.0
    norm = PowerNorm(0.6, 0, max(largest, 0.1))
    # cividis reads the same to those who do not tell red from green.
    image = ax.imshow(values, cmap="cividis", norm=norm, aspect="auto")
    _write_cells(ax, values, q_values.to_numpy(dtype=np.float64), norm)
    ax.set_xticks(range(columns), [str(dim) for dim in shown.columns])
    ax.set_yticks(range(rows), short_names(map(str, shown.index)), **LITERAL)
    ax.tick_params(length=0)
    if own:
        _make_room(ax, 1.3 + 0.5 * columns)
    for spine in ax.spines.values():
        spine.set_visible(False)
    figure = ax.get_figure()
    assert figure is not None
    bar = figure.colorbar(image, ax=ax, pad=0.02, fraction=0.05)
    bar.outline.set_visible(False)
    bar.set_label(f"nats (bold, framed: q < {SIGNIFICANT:g})")
    return ax


def _make_room(ax: Axes, inches: float) -> None:
    """Widen the figure to hold the names of the rows beside `inches` of everything else."""
    figure = ax.get_figure()
    assert isinstance(figure, Figure)
    names = max((label.get_window_extent().width for label in ax.get_yticklabels()), default=0.0)
    figure.set_figwidth(max(figure.get_figwidth(), inches + names / figure.dpi))


def _heatmap_title(what: str, shown: int, dims: int) -> str:
    return f"{what} (nats)" + (f", {shown} of {dims} dimensions" if shown < dims else "")


def _shown_dims(matrix: pd.DataFrame, q_values: pd.DataFrame, most: int) -> list[int]:
    if matrix.shape[1] <= most:
        return [int(dim) for dim in matrix.columns]
    best = matrix.max(axis=0).sort_values(ascending=False)
    significant = q_values.min(axis=0)[best.index] < SIGNIFICANT
    chosen = best.index[significant] if significant.any() else best.index
    of_labels = matrix.dropna(how="all").idxmax(axis=1)
    first = [*dict.fromkeys([*of_labels, *chosen])][: max(most, of_labels.nunique())]
    return sorted(int(dim) for dim in first)


def _write_cells(
    ax: Axes, values: NDArray[np.float64], q_values: NDArray[np.float64], norm: Normalize
) -> None:
    for (row, column), value in np.ndenumerate(values):
        significant = q_values[row, column] < SIGNIFICANT
        color = "black" if norm(value) > 0.55 else "white"
        if significant:
            frame = Rectangle(
                (column - 0.46, row - 0.44), 0.92, 0.88, fill=False, edgecolor=color, linewidth=0.8
            )
            ax.add_patch(frame)
        ax.text(
            column,
            row,
            "-" if np.isnan(value) else f"{value:.2f}".replace("-0.00", "0.00"),
            ha="center",
            va="center",
            fontsize=8,
            color=color,
            alpha=1.0 if significant else 0.65,
            fontweight="bold" if significant else "normal",
        )


@styled
def plot_indicator(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the indicator of Sedaghat et al. 2021, section 6.2: which dimension tells most.

    A row for each label and number of bins, divided by its largest value, whatever that is.

    Parameters
    ----------
    table : DataFrame
        Of `paper_indicator`.
    ax : Axes, optional
        Where to draw; by default a new figure.
    """
    labels = list(dict.fromkeys(table["label"]))
    rows = table.pivot(index=["label", "bins"], columns="dim", values="indicator").loc[labels]
    dims, steps = rows.columns, rows.index.get_level_values("bins").nunique()
    ax = new_axes(ax, (max(4.2, min(11.0, 2.5 + 0.2 * len(dims))), 1.2 + 0.09 * len(rows)))
    image = ax.imshow(rows.to_numpy(dtype=np.float64), cmap="cividis", vmin=0, vmax=1,
                      aspect="auto", interpolation="nearest")  # fmt: skip
    for place in range(1, len(labels)):
        ax.axhline(place * steps - 0.5, color="white", linewidth=1.5)
    places = (np.arange(len(labels)) + 0.5) * steps - 0.5
    ax.set_yticks(places, short_names(map(str, labels)), **LITERAL)
    every = max(1, len(dims) // 32)
    ax.set_xticks(range(0, len(dims), every), [str(dim) for dim in dims[::every]])
    ax.tick_params(length=0, labelsize=7 if len(dims) > 16 else 9)
    ax.set_xlabel("latent dimension")
    ax.set_title(f"Indicator by {', '.join(map(str, sorted(table['bins'].unique())))} bins")
    figure = ax.get_figure()
    assert figure is not None
    bar = figure.colorbar(image, ax=ax, pad=0.02, fraction=0.05)
    bar.outline.set_visible(False)
    bar.set_label("over the largest of the row")
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
    track: tuple[ArrayLike, ArrayLike] | None = None,
    track_name: str = "track",
) -> Axes:
    """Draw one latent dimension against a label it was never shown.

    Parameters
    ----------
    latent : array (n,)
        Values of the dimension.
    label : array (n,)
        Numbers; rows with a NaN on either side are left out.
    ax : Axes, optional
        Where to draw; by default a new figure.
    dim : int, optional
        Number of the dimension, for the axis.
    name : str
        Of the label, with its unit.
    mi : float, optional
        Mutual information in nats, for the title.
    track : (array, array), optional
        Label and latent values of other spectra, drawn on top, joined in their order.
    track_name : str
        What the legend calls them.
    """
    ax = new_axes(ax, (4.6, 3.6))
    z = np.asarray(latent, dtype=np.float64)
    truth = np.asarray(label, dtype=np.float64)
    both = np.isfinite(z) & np.isfinite(truth)
    z, truth = z[both], truth[both]
    if len(z) > HEXBIN_ABOVE:
        ax.hexbin(truth, z, gridsize=70, bins="log", mincnt=1, cmap="cividis", linewidths=0.1)
    else:
        size = float(np.clip(4000 / max(len(z), 1), 3, 18))
        ax.scatter(truth, z, s=size, color=STRONG, alpha=0.5, linewidths=0, rasterized=True)
    if track is not None:
        there, value = (np.asarray(part, dtype=np.float64) for part in track)
        ax.plot(there, value, "-", color="white", linewidth=4, zorder=3)
        ax.plot(
            there, value, "o-", color=OVERLAY, markersize=4, linewidth=1.8, zorder=4,
            markeredgecolor="white", markeredgewidth=0.6, label=track_name,
        )  # fmt: skip
        for text in ax.legend(loc="best", fontsize=8).get_texts():
            text.set(**LITERAL)
    ax.set_xlabel(name, **LITERAL)
    ax.set_ylabel("latent dimension" + ("" if dim is None else f" {dim}"))
    ax.set_title(_relation(truth, z, mi))
    return ax


def _relation(label: NDArray[np.float64], latent: NDArray[np.float64], mi: float | None) -> str:
    parts = [] if mi is None else [f"MI {mi:.2f} nats"]
    if len(label) > 2 and np.ptp(label) > 0 and np.ptp(latent) > 0:
        parts.append(f"rank correlation {spearmanr(label, latent).statistic:+.3f}")
    return ", ".join([*parts, f"n = {len(label):,}"])
