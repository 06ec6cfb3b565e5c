"""Pictures of a traversal: spectra, residuals, zooms, and what was measured."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import CenteredNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter1d

from latentscope.diagnostics.traversal.line_map import LineMapResult
from latentscope.diagnostics.traversal.lines import measured, noticed, noticed_elements, percent
from latentscope.diagnostics.traversal.traverse import TraversalResult
from latentscope.errors import LatentscopeWarning
from latentscope.plots.style import (
    ALONG,
    INK,
    OVERLAY,
    QUIET,
    SIGNED,
    STRONG,
    WIDE,
    add_bar,
    styled,
)

Floats = NDArray[np.float64]
Window = tuple[float, float]

WINDOWS: dict[str, Window] = {
    "Ca II H, K": (3920.0, 3982.0),
    "H-beta": (4852.0, 4871.0),
    "Mg b": (5164.0, 5188.0),
    "Na D": (5884.0, 5902.0),
    "H-alpha": (6553.0, 6573.0),
}
"""Zooms that are drawn by default, Angstrom in air."""

_WAVELENGTH = "wavelength in air (\u00c5)"
_MOST_BINS = 1600
_LOCAL = 100.0  # Angstrom over which the flux is averaged that changes are compared with
_BARS = 12
_ROOM = 6  # bars that the axes have room for, if there are fewer
_DENSE = 400  # pixels in a zoom from which lines are drawn thin


@styled
def plot_traversal(
    result: TraversalResult,
    ax: Axes | None = None,
    *,
    windows: Sequence[Window] | None = None,
) -> Axes:
    """Draw the decoded spectra, colored by the value of the dimension, and what they measure.

    Parameters
    ----------
    result : TraversalResult
    ax : Axes, optional
        Where to draw the spectra alone; by default a new figure with all panels: spectra,
        residuals against the base, zooms, velocities, elements and lines.
    windows : list of (first, last), optional
        Zooms, Angstrom in air; by default those of `WINDOWS` that the spectra reach.

    Warns
    -----
    LatentscopeWarning
        If the spectra do not reach a window that was asked for.
    """
    if ax is not None:
        _spectra(ax, result)
        ax.set_title(_title(result))
        return ax
    zooms = _covered(result, windows)
    figure = plt.figure(figsize=(WIDE, 8.4 if zooms else 6.4), dpi=150, layout="constrained")
    heights = [1.25, 0.95, *([1.25] if zooms else []), 1.45]
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    first = figure.add_subplot(grid[0])
    _spectra(first, result)
    first.set_title(_title(result))
    first.set_xlabel("")
    first.tick_params(labelbottom=False)
    second = figure.add_subplot(grid[1], sharex=first)
    _residuals(second, result)
    add_bar(_mappable(result), [first, second], f"dim {result.dim}", pad=0.01)
    if zooms:
        _zooms(figure, grid[2].subgridspec(1, len(zooms)), result, zooms)
    below = grid[len(heights) - 1].subgridspec(1, 3)
    _velocities(figure.add_subplot(below[0]), result)
    _elements(figure.add_subplot(below[1]), result)
    _lines(figure.add_subplot(below[2]), result)
    return first


def _title(result: TraversalResult) -> str:
    words = {
        "shift": "a Doppler shift",
        "partly": "partly a Doppler shift",
        "none": "no Doppler shift",
        "unlike": "excluded: correlation below 0.5",
    }[result.verdict]
    model = result.provenance.get("model")
    return f"dim {result.dim}{f' of {model}' if model else ''}: {words}"


def _spectra(ax: Axes, result: TraversalResult) -> None:
    place, base = _binned(result, result.base_flux)
    level = float(np.nanmean(base))
    for value, spectrum in zip(result.table["value"], result.flux, strict=True):
        flux = _binned(result, spectrum)[1]
        ax.plot(place, flux / level, color=_color(result, value), linewidth=0.7, alpha=0.85)
    ax.plot(place, base / level, color=INK, linewidth=0.9)
    ax.margins(x=0.01)
    ax.set_ylabel("flux / mean")
    ax.set_xlabel(_WAVELENGTH)


def _residuals(ax: Axes, result: TraversalResult) -> None:
    """Draw changes in per cent of the base's flux around them, so that blue and red compare."""
    place, base = _binned(result, result.base_flux)
    width = max(round(_LOCAL / (place[1] - place[0])), 1)
    known = np.isfinite(base)
    local, share = (
        uniform_filter1d(values, width, mode="nearest")
        for values in (np.where(known, base, 0.0), known.astype(np.float64))
    )
    local = np.where(known, local / np.maximum(share, 1 / width), np.nan)
    for value, spectrum in zip(result.table["value"], result.flux, strict=True):
        flux = _binned(result, spectrum)[1]
        ax.plot(
            place, 100 * (flux - base) / local, color=_color(result, value), linewidth=0.7,
            alpha=0.85,
        )  # fmt: skip
    ax.axhline(0, color=INK, linewidth=0.9)
    ax.set_ylabel("change\n(% of local flux)")
    ax.set_xlabel(_WAVELENGTH)


def _zooms(
    figure: Figure, grid: GridSpecFromSubplotSpec, result: TraversalResult, zooms: dict[str, Window]
) -> None:
    for number, (name, (first, last)) in enumerate(zooms.items()):
        ax = figure.add_subplot(grid[number])
        inside = (result.wavelength >= first) & (result.wavelength <= last)
        place = result.wavelength[inside]
        base = _blanked(result, result.base_flux)[inside]
        level = float(np.nanmax(base))
        for value, spectrum in zip(result.table["value"], result.flux, strict=True):
            flux = _blanked(result, spectrum)[inside]
            ax.plot(place, flux / level, color=_color(result, value))
        ax.plot(place, base / level, color=INK)
        ax.set_xlim(first, last)
        ax.set_title(name, fontsize=9)
        width = 0.9 if np.count_nonzero(inside) < _DENSE else 0.45
        for curve in ax.lines:
            curve.set_linewidth(width)
        if number == len(zooms) // 2:
            ax.set_xlabel(_WAVELENGTH)
        ax.locator_params(axis="x", nbins=3)
        ax.locator_params(axis="y", nbins=4)
        ax.tick_params(labelsize=7)
        if number == 0:
            ax.set_ylabel("flux / base's largest")


def _velocities(ax: Axes, result: TraversalResult) -> None:
    table, like = result.table, result.comparable
    ax.axhline(0, color=QUIET, linewidth=0.8)
    per_unit = result.rv_per_unit
    if np.isfinite(per_unit.value):
        fit = per_unit.at_zero + per_unit.value * table["offset"]
        ax.plot(table["value"], fit, color=QUIET, linewidth=1.2, zorder=1)
    for (_, row), good in zip(table.iterrows(), like, strict=True):
        ax.errorbar(
            row["value"], row["rv_kms"], row["rv_error"], fmt="o", markersize=5,
            color=_color(result, row["value"]), markerfacecolor=None if good else "white",
        )  # fmt: skip
    ax.axvline(result.base_value, color=QUIET, linewidth=0.8, linestyle=":")
    if np.nanmax(np.abs(table["rv_kms"])) < 1:
        ax.set_ylim(-1, 1)
    ax.set_xlabel(f"dim {result.dim}")
    ax.set_ylabel("RV against the base (km/s)")
    ax.set_title(_velocity_title(result), fontsize=8)


def _velocity_title(result: TraversalResult) -> str:
    per_unit, share = result.rv_per_unit, percent(result.shift_explained)
    if result.verdict == "unlike" or not np.isfinite(per_unit.value):
        return "no velocity: too unlike the base"
    if result.verdict == "none":
        largest = result.table["rv_kms"][result.comparable].abs().max()
        return f"no Doppler shift:\nlines stay within {largest:.2g} km/s"
    sigma = per_unit.value * result.unit
    return (
        f"{measured(per_unit.value, per_unit.error)} km/s per unit,\n"
        f"{sigma:+.3g} per sigma; explains {share}"
    )


def _elements(ax: Axes, result: TraversalResult) -> None:
    table = noticed_elements(result.lines).head(_BARS)
    labels = [
        f"{row['element']} ({row['lines']})" if row["lines"] > 1 else str(row["element"])
        for row in table.to_dict("records")
    ]
    _bars(ax, labels, table["depth_per_sigma"], table["error"])
    ax.set_title("change per sigma by element\n(number of its lines)", fontsize=8)


def _lines(ax: Axes, result: TraversalResult) -> None:
    table = noticed(result.lines).head(_BARS)
    _bars(ax, list(table["line"]), table["depth_per_sigma"], table["depth_error"])
    ax.set_title("change per sigma of the lines\nthat change most", fontsize=8)


def _bars(ax: Axes, labels: list[str], values: ArrayLike, errors: ArrayLike) -> None:
    change = 100 * np.asarray(values, dtype=np.float64)
    if not len(change):
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no significant change", ha="center", transform=ax.transAxes, color=INK)
        return
    rows = np.arange(len(change))
    colors = [OVERLAY if value > 0 else STRONG for value in change]
    ax.barh(rows, change, xerr=100 * np.asarray(errors), color=colors, height=0.7,
            error_kw={"ecolor": INK, "elinewidth": 0.8})  # fmt: skip
    ax.axvline(0, color=INK, linewidth=0.8)
    # Names stand where no bar is, so that the panels are equally wide.
    for row, name, value in zip(rows, labels, change, strict=True):
        ax.annotate(
            name, (0, row), xytext=(-3 if value > 0 else 3, 0), textcoords="offset points",
            ha="right" if value > 0 else "left", va="center", fontsize=7,
        )  # fmt: skip
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_ylim(max(len(rows), _ROOM) - 0.5, -0.5)
    reach = max(float(np.abs(change).max()), 1.0) * 1.25
    ax.set_xlim(-reach, reach)
    ax.locator_params(axis="x", nbins=5)
    ax.set_xlabel("depth (% of the continuum)")


def _covered(result: TraversalResult, windows: Sequence[Window] | None) -> dict[str, Window]:
    covered = result.wavelength[result.valid]

    def reached(window: Window) -> bool:
        return int(np.count_nonzero((covered >= window[0]) & (covered <= window[1]))) > 1

    if windows is None:
        return {name: window for name, window in WINDOWS.items() if reached(window)}
    for first, last in windows:
        if not reached((first, last)):
            warnings.warn(
                f"window {first:g}-{last:g} Angstrom is left out; the spectra reach from "
                f"{covered[0]:.0f} to {covered[-1]:.0f}, without their gaps",
                LatentscopeWarning,
                stacklevel=4,
            )
    return {
        f"{first:g}-{last:g}": (first, last) for first, last in windows if reached((first, last))
    }


def _mappable(result: TraversalResult) -> ScalarMappable:
    return ScalarMappable(_norm(result), ALONG)


def _norm(result: TraversalResult) -> Normalize:
    """Symmetric about the base, which is dark."""
    reach = float(np.abs(result.table["offset"]).max())
    return Normalize(result.base_value - reach, result.base_value + reach)


def _color(result: TraversalResult, value: float) -> tuple[float, float, float, float]:
    return ALONG(_norm(result)(value))


def _blanked(result: TraversalResult, flux: NDArray[np.floating]) -> Floats:
    return np.where(result.valid, flux, np.nan)


def _binned(result: TraversalResult, flux: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Mean wavelength and flux of equal blocks of pixels; NaN in blocks that gaps cut."""
    size = -(-len(flux) // _MOST_BINS)
    count = len(flux) // size
    blocks = _blanked(result, flux)[: count * size].reshape(count, size)
    return result.wavelength[: count * size].reshape(count, size).mean(axis=1), blocks.mean(axis=1)


_STRETCHES = 160
_CLIPPED = 99.0  # percentile of the changes that gets the full color
_LEAST_DEPTH, _LEAST_FLUX = 5.0, 2.0  # per cent that get the full color in any case
_LEAST_SCALES = (1.0, 1.0, 0.1)  # km/s per sigma and per unit, and mag, that do
_NUMBERED = 14
_BESIDE = {"pad": 0.01, "fraction": 0.03, "extend": "both"}


@styled
def plot_line_map(result: LineMapResult, ax: Axes | None = None) -> Axes:
    """Draw how each dimension changes velocity and color, elements, and the spectrum.

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
        _element_map(ax, result)
        ax.set_title("Change of depth per sigma (% of the continuum)")
        return ax
    dims = len(result.dims)
    height = 0.30 * dims + 1.15
    figure = plt.figure(figsize=(WIDE, 2 * height), dpi=150, layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(0.27, 1))
    first = figure.add_subplot(grid[0, 0])
    elements = figure.add_subplot(grid[0, 1])
    _velocity_and_color(first, result)
    _element_map(elements, result)
    elements.set_yticks([])
    elements.set_ylabel("")
    elements.set_title("Change of depth per sigma (% of the continuum, mean of an element's lines)")
    _spectrum(figure.add_subplot(grid[1, :]), result)
    return elements


def _velocity_and_color(ax: Axes, result: LineMapResult) -> None:
    dims = result.dims
    values = np.column_stack([
        dims["rv_kms_per_sigma"], dims["rv_kms_per_sigma"] / dims["sigma"],
        dims["color_mag_per_sigma"],
    ]).astype(np.float64)  # fmt: skip
    scale = np.maximum(np.nan_to_num(np.abs(values)).max(axis=0), _LEAST_SCALES)
    ax.imshow(values / scale, cmap=SIGNED, norm=CenteredNorm(0, 1.3), aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        text = f"{value:+.2f}" if column == 2 else f"{value:+.1f}"
        text = "0" if float(text) == 0 else text
        _write(ax, row, column, text, abs(value) > 0.75 * scale[column])
    ax.set_xticks(range(3), ["per \u03c3", "per unit", "per \u03c3"], fontsize=7)
    _frame(ax, result)
    ax.set_ylabel("latent dimension")
    ax.set_title("RV (km/s)   B \u2212 V", fontsize=9)


def _element_map(ax: Axes, result: LineMapResult) -> None:
    shown = result.elements.dropna(axis=1, how="all")
    values = 100 * shown.to_numpy(dtype=np.float64)
    norm = _centered(values, _LEAST_DEPTH)
    image = ax.imshow(values, cmap=SIGNED, norm=norm, aspect="auto")
    if len(shown) <= _NUMBERED:
        for (row, column), value in np.ndenumerate(values):
            if abs(value) >= 1:
                _write(ax, row, column, f"{value:+.0f}", abs(norm(value) - 0.5) > 0.33)
    ax.set_xticks(range(shown.shape[1]), list(shown.columns), rotation=60, ha="right",
                  rotation_mode="anchor", fontsize=8)  # fmt: skip
    _frame(ax, result)
    add_bar(image, ax, "deeper +, weaker \u2212", **_BESIDE)


def _spectrum(ax: Axes, result: LineMapResult) -> None:
    place, values = stretches(result)
    norm = _centered(values, _LEAST_FLUX)
    half = (place[1] - place[0]) / 2
    image = ax.imshow(
        values, cmap=SIGNED, norm=norm, aspect="auto",
        extent=(place[0] - half, place[-1] + half, len(values) - 0.5, -0.5),
        interpolation="nearest",
    )  # fmt: skip
    _frame(ax, result)
    ax.set_ylabel("latent dimension")
    ax.set_xlabel(_WAVELENGTH)
    ax.set_title("Change of the flux per sigma (%)")
    add_bar(image, ax, "brighter +, fainter \u2212", **_BESIDE)


def stretches(result: LineMapResult) -> tuple[Floats, Floats]:
    """Mean change of the flux in equal stretches of wavelength, in per cent.

    Returns
    -------
    place : ndarray, shape (stretches,)
        Their centers, Angstrom.
    change : ndarray, shape (dims, stretches)
        NaN in gaps.
    """
    count = min(_STRETCHES, len(result.wavelength) // 4)
    edges = np.linspace(result.wavelength[0], result.wavelength[-1], count + 1)
    starts = np.searchsorted(result.wavelength, edges[:-1])
    valid = np.isfinite(result.derivative)
    sums = np.add.reduceat(np.where(valid, result.derivative, 0.0), starts, axis=1)
    sizes = np.add.reduceat(valid.astype(np.float64), starts, axis=1)
    change = np.divide(100 * sums, sizes, out=np.full_like(sums, np.nan), where=sizes > 0)
    return (edges[:-1] + edges[1:]) / 2, change


def _centered(values: Floats, least: float) -> Normalize:
    sizes = np.abs(values[np.isfinite(values)])
    reach = float(np.percentile(sizes, _CLIPPED)) if sizes.size else 0.0
    return Normalize(-max(reach, least), max(reach, least))


def _write(ax: Axes, row: int, column: int, text: str, dark: bool) -> None:
    color = "white" if dark else "black"
    ax.text(column, row, text, ha="center", va="center", fontsize=7, color=color)


def _frame(ax: Axes, result: LineMapResult) -> None:
    dims = [str(dim) for dim in result.dims["dim"]]
    ax.set_yticks(range(len(dims)), dims)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
