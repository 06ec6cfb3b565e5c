"""Pictures of a traversal: spectra, residuals, zooms, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import CenteredNorm, Normalize
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter1d

from latentscope.diagnostics.traversal.lines import measured, noticed, noticed_elements, percent
from latentscope.diagnostics.traversal.traverse import LineMapResult, TraversalResult
from latentscope.errors import warn
from latentscope.plots.style import (
    ALONG,
    INK,
    OVERLAY,
    QUIET,
    SIGNED,
    STRONG,
    WIDE,
    add_bar,
    beyond,
    minus,
    new_axes,
    short_title,
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

_VERDICTS = {
    "shift": "a Doppler shift",
    "partly": "partly a Doppler shift",
    "none": "no Doppler shift",
    "unlike": "excluded: correlation below 0.5",
}
_WAVELENGTH = "wavelength in air (\u00c5)"
_MOST_BINS = 1600
_LOCAL = 100.0  # Angstrom over which the flux is averaged that changes are compared with
_BARS = 12
_ROOM = 6  # bars that the axes have room for, if there are fewer
_DENSE = 400  # pixels in a zoom from which lines are drawn thin


def local_mean(wavelength: Floats, values: NDArray[np.floating]) -> Floats:
    """Return the mean of spectra (..., n) over 100 Angstrom; NaN is left out, and stays."""
    width = max(round(_LOCAL / float(np.median(np.diff(wavelength)))), 1)
    known = np.isfinite(values)
    level, share = (
        uniform_filter1d(part, width, mode="nearest")
        for part in (np.where(known, values, 0.0), known.astype(np.float64))
    )
    return np.where(known, level / np.maximum(share, 1 / width), np.nan)


@styled
def plot_traversal(
    result: TraversalResult, ax: Axes | None = None, *, windows: Sequence[Window] | None = None
) -> Axes:
    """Draw the decoded spectra, colored by the value of the dimension, and what they measure.

    Parameters
    ----------
    result : TraversalResult
    ax : Axes, optional
        Where to draw the spectra alone; a new figure also has changes against the base, zooms,
        velocities, elements and lines.
    windows : list of (first, last), optional
        Zooms, Angstrom in air; by default those of `WINDOWS` that the spectra reach.

    Warns
    -----
    LatentscopeWarning
        If the spectra do not reach a window.
    """
    place, base, spectra = _binned(result)
    level = float(np.nanmean(base))
    colors = _colors(result)
    model = result.provenance.get("model")
    of_model = f" of {short_title(str(model))}" if model else ""
    title = f"dim {result.dim}{of_model}: {_VERDICTS[result.verdict]}"
    if ax is not None:
        ax = new_axes(ax, (0, 0))
        _curves(ax, place, base / level, spectra / level, colors)
        ax.set(xlabel=_WAVELENGTH, ylabel="flux / mean", title=title)
        return ax
    known = result.wavelength[result.valid]
    zooms = zooms_of(windows, lambda window: bool(np.ptp(np.searchsorted(known, window)) > 1))
    figure = plt.figure(figsize=(WIDE, 8.4 if zooms else 6.4))
    heights = [1.25, 0.95, *([1.25] if zooms else []), 1.45]
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    first = figure.add_subplot(grid[0])
    _curves(first, place, base / level, spectra / level, colors)
    first.set(ylabel="flux / mean", title=title)
    first.tick_params(labelbottom=False)
    second = figure.add_subplot(grid[1], sharex=first)
    # Around the base, so that blue and red compare.
    change = 100 * (spectra - base) / local_mean(place, base)
    _curves(second, place, np.zeros(len(place)), change, colors)
    second.set(xlabel=_WAVELENGTH, ylabel="change\n(% of local flux)")
    add_bar(colors[0], [first, second], f"dim {result.dim}", pad=0.01)
    if zooms:
        row = grid[2].subgridspec(1, len(zooms)).subplots(squeeze=False)[0]
        _zooms(row, result, zooms, colors)
    below = grid[len(heights) - 1].subgridspec(1, 3)
    _velocities(figure.add_subplot(below[0]), result, colors[1])
    elements = noticed_elements(result.lines).head(_BARS)
    names = [
        f"{row['element']} ({row['lines']})" if row["lines"] > 1 else str(row["element"])
        for row in elements.to_dict("records")
    ]
    ax = figure.add_subplot(below[1])
    _bars(ax, names, elements["depth_per_sigma"], elements["error"])
    ax.set_title("change per sigma by element\n(number of its lines)", fontsize=8)
    lines, ax = noticed(result.lines).head(_BARS), figure.add_subplot(below[2])
    _bars(ax, list(lines["line"]), lines["depth_per_sigma"], lines["depth_error"])
    ax.set_title("change per sigma of the lines\nthat change most", fontsize=8)
    return first


def _colors(result: TraversalResult) -> tuple[ScalarMappable, Any]:
    """Colors of values of the dimension, symmetric about the base, which is dark."""
    reach = float(np.abs(result.table["offset"]).max())
    mappable = ScalarMappable(
        Normalize(result.base_value - reach, result.base_value + reach), ALONG
    )
    return mappable, mappable.to_rgba(result.table["value"].to_numpy(dtype=np.float64))


def _curves(
    ax: Axes, place: Floats, base: Floats, spectra: Floats, colors: Any, width: float = 0.7
) -> None:
    for spectrum, color in zip(spectra, colors[1], strict=True):
        ax.plot(place, spectrum, color=color, linewidth=width, alpha=0.85)
    ax.plot(place, base, color=INK, linewidth=width)
    ax.margins(x=0.01)


def _zooms(row: Any, result: TraversalResult, zooms: dict[str, Window], colors: Any) -> None:
    flux = np.where(result.valid, np.vstack([result.base_flux, *result.flux]), np.nan)
    for ax, (name, (first, last)) in zip(row, zooms.items(), strict=True):
        inside = (result.wavelength >= first) & (result.wavelength <= last)
        base, *spectra = flux[:, inside] / np.nanmax(flux[0, inside])
        width = 0.9 if np.count_nonzero(inside) < _DENSE else 0.45
        _curves(ax, result.wavelength[inside], base, np.array(spectra), colors, width)
        ax.set_xlim(first, last)
        ax.set_title(name, fontsize=9)
        ax.locator_params(axis="x", nbins=3)
        ax.locator_params(axis="y", nbins=4)
        ax.tick_params(labelsize=7)
    row[len(row) // 2].set_xlabel(_WAVELENGTH)
    row[0].set_ylabel("flux / base's largest")


def _velocities(ax: Axes, result: TraversalResult, colors: Any) -> None:
    table, like = result.table, result.comparable
    ax.axhline(0, color=QUIET, linewidth=0.8)
    per_unit = result.rv_per_unit
    if np.isfinite(per_unit.value):
        fit = per_unit.at_zero + per_unit.value * table["offset"]
        ax.plot(table["value"], fit, color=QUIET, linewidth=1.2, zorder=1)
    for (_, row), good, color in zip(table.iterrows(), like, colors, strict=True):
        ax.errorbar(
            row["value"], row["rv_kms"], row["rv_error"], fmt="o", markersize=5, color=color,
            markerfacecolor=None if good else "white",
        )  # fmt: skip
    ax.axvline(result.base_value, color=QUIET, linewidth=0.8, linestyle=":")
    if not (table["rv_kms"].abs() >= 1).any():
        ax.set_ylim(-1, 1)
    excluded = "" if all(like) else " (open: excluded)"
    ax.set_xlabel(f"dim {result.dim}{excluded}")
    ax.set_ylabel("RV relative to the base (km/s)")
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
        f"{minus(measured(per_unit.value, per_unit.error))} km/s per unit,\n"
        f"{minus(f'{sigma:+.3g}')} per sigma; explains {share}"
    )


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


def zooms_of(
    windows: Sequence[Window] | None, reached: Callable[[Window], bool], factor: float = 1.0
) -> dict[str, Window]:
    """Return the windows, or the usual ones at a Doppler factor, that spectra reach, by name.

    Warns
    -----
    LatentscopeWarning
        If a window that was asked for is left out.
    """
    if windows is None:
        named = {name: (a * factor, b * factor) for name, (a, b) in WINDOWS.items()}
    else:
        named = {f"{a:g}-{b:g} \u00c5": (a, b) for a, b in windows}
    found = {name: window for name, window in named.items() if reached(window)}
    for name in named.keys() - found.keys() if windows is not None else ():
        warn(f"{name} is left out: no flux there")
    return found


def _binned(result: TraversalResult) -> tuple[Floats, Floats, Floats]:
    """Mean wavelength, base and spectra of equal blocks of pixels; NaN in blocks that gaps cut."""
    flux = np.vstack([result.wavelength, result.base_flux, *result.flux])
    flux[1:, ~result.valid] = np.nan
    size = -(-flux.shape[1] // _MOST_BINS)
    count = flux.shape[1] // size
    place, base, *spectra = flux[:, : count * size].reshape(-1, count, size).mean(axis=2)
    return place, base, np.array(spectra)


_STRETCHES = 160
_CLIPPED = 99.0  # percentile of the changes that gets the full color
_LEAST_DEPTH, _LEAST_FLUX = 5.0, 2.0  # per cent that get the full color in any case
_LEAST_SCALES = (1.0, 1.0, 0.1)  # km/s per sigma and per unit, and mag, that do
_NUMBERED = 14
_LEAST_DIMS = 4  # that bars of colors have room for their names beside


@styled
def plot_line_map(result: LineMapResult, ax: Axes | None = None) -> Axes:
    """Draw how each dimension changes velocity and color, elements, and the spectrum.

    On given axes the elements alone are drawn; their axes are returned.
    """
    if ax is not None:
        _element_map(new_axes(ax, (0, 0)), result)
        ax.set_title("Change of depth per sigma (% of the continuum)")
        return ax
    dims = len(result.dims)
    height = 0.30 * max(dims, _LEAST_DIMS) + 1.15
    figure = plt.figure(figsize=(WIDE, 2 * height))
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
    ax.set_xticks(range(3), ["per \u03c3", "per unit", "mag/\u03c3"], fontsize=7)
    _frame(ax, result)
    ax.set_ylabel("latent dimension")
    for place, name in ((0.5, "RV (km/s)"), (2, "B \u2212 V")):
        ax.annotate(
            name, (place, 1), xycoords=("data", "axes fraction"), xytext=(0, 6),
            textcoords="offset points", ha="center", fontsize=9,
        )  # fmt: skip


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
    _bar_beside(image, ax, "deeper +, weaker \u2212")


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
    _bar_beside(image, ax, "brighter +, fainter \u2212")


def stretches(result: LineMapResult) -> tuple[Floats, Floats]:
    """Centers of equal stretches (m,) in Angstrom, and change of flux (dims, m) in per cent."""
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


def _bar_beside(image: Any, ax: Axes, label: str) -> None:
    extend = beyond(np.ma.filled(image.get_array(), np.nan), *image.get_clim())
    add_bar(image, ax, label, pad=0.01, fraction=0.03, extend=extend)


def _write(ax: Axes, row: int, column: int, text: str, dark: bool) -> None:
    color = "white" if dark else "black"
    ax.text(column, row, minus(text), ha="center", va="center", fontsize=7, color=color)


def _frame(ax: Axes, result: LineMapResult) -> None:
    dims = [str(dim) for dim in result.dims["dim"]]
    ax.set_yticks(range(len(dims)), dims)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
