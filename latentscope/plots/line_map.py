"""Pictures of a line map: what each dimension does to elements, colour and spectrum."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Normalize
from numpy.typing import NDArray

from latentscope.diagnostics.traversal.line_map import LineMapResult
from latentscope.plots.style import styled

Floats = NDArray[np.float64]

_SIGNED = "RdBu_r"  # told apart by all kinds of colour vision
_STRETCHES = 160
_CLIPPED = 99.0  # percentile of the changes that gets the full colour
_LEAST_DEPTH, _LEAST_FLUX = 0.05, 2.0  # what gets the full colour even if nothing else changes
_LEAST_SCALES = (1.0, 0.1)  # km/s and mag per sigma that get the full colour in any case
_NUMBERED = 14


@styled
def plot_line_map(result: LineMapResult, ax: Axes | None = None) -> Axes:
    """Draw how each dimension changes velocity and colour, elements, and the spectrum.

    Parameters
    ----------
    result : LineMapResult
    ax : Axes, optional
        Where to draw the elements alone; by default a new figure with all panels.

    Returns
    -------
    Axes
        Those of the elements.
    """
    if ax is not None:
        _elements(ax, result)
        ax.set_title("Change of depth per sigma, mean of each element's lines")
        return ax
    dims = len(result.dims)
    height = 0.30 * dims + 1.15
    figure = plt.figure(figsize=(11, 2 * height), dpi=150, layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(0.16, 1))
    first = figure.add_subplot(grid[0, 0])
    elements = figure.add_subplot(grid[0, 1])
    _velocity_and_colour(first, result)
    _elements(elements, result)
    elements.set_yticks([])
    elements.set_ylabel("")
    elements.set_title("change of depth per sigma, mean of each element's lines (RV taken out)")
    _spectrum(figure.add_subplot(grid[1, :]), result)
    return elements


def _velocity_and_colour(ax: Axes, result: LineMapResult) -> None:
    names = {"rv_kms_per_sigma": "RV\n(km/s)", "colour_mag_per_sigma": "B - V\n(mag)"}
    shown = result.dims.set_index("dim")[list(names)]
    values = shown.to_numpy(dtype=np.float64)
    scale = np.maximum(np.nan_to_num(np.abs(values)).max(axis=0), _LEAST_SCALES)
    ax.imshow(values / scale, cmap=_SIGNED, norm=CenteredNorm(0, 1.3), aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        text = f"{value:+.1f}" if column == 0 else f"{value:+.2f}"
        text = text.replace("-0.00", "0.00").replace("+0.00", "0.00")
        text = text if text not in ("-0.0", "+0.0") else "0.0"
        dark = abs(value) > 0.75 * scale[column]
        _write(ax, row, column, text, dark)
    ax.set_xticks(range(len(names)), list(names.values()))
    _frame(ax, result)
    ax.set_ylabel("latent dimension")
    ax.set_title("per sigma")


def _elements(ax: Axes, result: LineMapResult) -> None:
    shown = result.elements.dropna(axis=1, how="all")
    values = shown.to_numpy(dtype=np.float64)
    norm = _centred(values, _LEAST_DEPTH)
    image = ax.imshow(values, cmap=_SIGNED, norm=norm, aspect="auto")
    if len(shown) <= _NUMBERED:
        for (row, column), value in np.ndenumerate(values):
            if abs(value) >= 0.01:
                _write(ax, row, column, f"{value:+.2f}", abs(norm(value) - 0.5) > 0.33)
    ax.set_xticks(range(shown.shape[1]), list(shown.columns), rotation=60, ha="right",
                  rotation_mode="anchor")  # fmt: skip
    _frame(ax, result)
    _bar(ax, image, "deeper +, weaker -")


def _spectrum(ax: Axes, result: LineMapResult) -> None:
    place, values = stretches(result)
    norm = _centred(values, _LEAST_FLUX)
    half = (place[1] - place[0]) / 2
    image = ax.imshow(
        values, cmap=_SIGNED, norm=norm, aspect="auto",
        extent=(place[0] - half, place[-1] + half, len(values) - 0.5, -0.5),
        interpolation="nearest",
    )  # fmt: skip
    _frame(ax, result)
    ax.set_ylabel("latent dimension")
    ax.set_xlabel("wavelength in air (Angstrom)")
    ax.set_title("change of the flux per sigma (%)")
    _bar(ax, image, "brighter +, fainter -")


def stretches(result: LineMapResult) -> tuple[Floats, Floats]:
    """Mean change of the flux in equal stretches of wavelength, in per cent.

    Returns
    -------
    place : ndarray, shape (stretches,)
        Their centres, Angstrom.
    change : ndarray, shape (dims, stretches)
        NaN in gaps.
    """
    count = min(_STRETCHES, len(result.wavelength) // 4)
    edges = np.linspace(result.wavelength[0], result.wavelength[-1], count + 1)
    starts = np.searchsorted(result.wavelength, edges[:-1])
    known = np.isfinite(result.derivative)
    sums = np.add.reduceat(np.where(known, result.derivative, 0.0), starts, axis=1)
    sizes = np.add.reduceat(known.astype(np.float64), starts, axis=1)
    change = np.divide(100 * sums, sizes, out=np.full_like(sums, np.nan), where=sizes > 0)
    return (edges[:-1] + edges[1:]) / 2, change


def _centred(values: Floats, least: float) -> Normalize:
    sizes = np.abs(values[np.isfinite(values)])
    reach = float(np.percentile(sizes, _CLIPPED)) if sizes.size else 0.0
    return Normalize(-max(reach, least), max(reach, least))


def _write(ax: Axes, row: int, column: int, text: str, dark: bool) -> None:
    colour = "white" if dark else "black"
    ax.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def _frame(ax: Axes, result: LineMapResult) -> None:
    dims = [str(dim) for dim in result.dims["dim"]]
    ax.set_yticks(range(len(dims)), dims)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _bar(ax: Axes, image: Any, label: str) -> None:
    figure = ax.get_figure()
    assert figure is not None
    bar = figure.colorbar(image, ax=ax, pad=0.01, fraction=0.03, extend="both")
    bar.outline.set_visible(False)
    bar.set_label(label)
