"""Pictures of a run: reconstructions of validation spectra, and what the top dimensions do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter1d

from latentscope.files import atomic_path
from latentscope.models.network import SpectrumVAE
from latentscope.spectra.prepare import PrepareConfig, restore
from train.data.source import Data
from train.watching.validation import Validation

MOST_DIMS = 6
QUANTILES = (0.02, 0.25, 0.5, 0.75, 0.98)

_SPECTRA = 3
_POINTS = 1500
"""Points that a whole spectrum is averaged down to; more are not seen."""

_AVERAGED = 200
"""Rows whose mean shows where spectra have most structure."""

_LEAST_ZOOM = 64

_DATA, _MODEL, _RESIDUAL = "#9aa5b1", "#0072b2", "#d55e00"

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Scene:
    """The validation spectra that are drawn, and where one looks closer.

    Parameters
    ----------
    prepare : PrepareConfig
        The model's.
    rows : ndarray of float32, shape (k, row_size)
    valid : ndarray of bool, shape (k, grid.length)
        Pixels that a spectrum fills.
    zoom : slice
        Pixels of the grid.
    """

    prepare: PrepareConfig
    rows: NDArray[np.float32]
    valid: NDArray[np.bool_]
    zoom: slice

    def flux(self, rows: Floats) -> Floats:
        """Normalised flux of rows (n, row_size) on the grid, NaN in its gaps."""
        return np.where(self.prepare.grid.gap_mask, np.nan, restore(rows, self.prepare))


def scene(prepare: PrepareConfig, data: Data) -> Scene:
    """Choose the spectra to draw, evenly among the validation rows, and the pixels to zoom in on.

    The zoom is a two-hundredth of the grid, where the mean spectrum has most structure.
    """
    rows = data.validation_rows
    chosen = np.unique(np.linspace(0, len(rows) - 1, _SPECTRA).round().astype(int))
    grid = prepare.grid
    pixels = slice(grid.pad_left, grid.pad_left + grid.length)
    valid = np.ones((len(chosen), grid.length), np.bool_)
    if data.validation_valid is not None:
        valid = data.validation_valid[chosen][:, pixels]
    mean = restore(rows[:_AVERAGED].mean(0, dtype=np.float64), prepare)
    zoom = _structured(np.where(grid.gap_mask, np.nan, mean), max(_LEAST_ZOOM, grid.length // 200))
    return Scene(prepare, rows[chosen].astype(np.float32), valid, zoom)


def draw_reconstructions(model: SpectrumVAE, what: Scene, title: str) -> Figure:
    """Draw data, reconstruction and residual of a few spectra, whole (averaged) and zoomed."""
    decoded = _decoded(model, model.encode(_tensor(model, what.rows))[0])
    data = np.where(what.valid, what.flux(what.rows), np.nan)
    found = np.where(what.valid, what.flux(decoded), np.nan)
    figure, axes = _figure(len(data), title)
    for place, (left, right) in enumerate(axes):
        parts = (("data", _DATA, data[place]), ("reconstruction", _MODEL, found[place]))
        for name, colour, flux in (*parts, ("residual", _RESIDUAL, data[place] - found[place])):
            _line(left, right, what, flux, colour, name)
        left.set_ylabel("normalised flux", fontsize=8)
    _legend(figure, axes[0][0])
    return figure


def draw_traversal(model: SpectrumVAE, what: Scene, seen: Validation, title: str) -> Figure | None:
    """Draw what the informative dimensions do, strongest first; None where there are none.

    Each dimension is moved through quantiles of its values on the validation rows, the others stay
    at their medians. Left the change of the whole spectrum (averaged) against the dimension's
    median, right the spectrum, zoomed.
    """
    dims = seen.informative[:MOST_DIMS]
    if not dims:
        return None
    median = np.median(seen.mean, 0)
    latents = np.repeat(median[None], len(dims) * len(QUANTILES), 0)
    for place, dim in enumerate(dims):
        block = slice(place * len(QUANTILES), (place + 1) * len(QUANTILES))
        latents[block, dim] = np.quantile(seen.mean[:, dim], QUANTILES)
    flux = what.flux(_decoded(model, _tensor(model, latents)))
    colours = matplotlib.colormaps["cividis"](np.linspace(0, 0.9, len(QUANTILES)))
    figure, axes = _figure(len(dims), title)
    for place, (dim, (left, right)) in enumerate(zip(dims, axes, strict=True)):
        moved = flux[place * len(QUANTILES) :][: len(QUANTILES)]
        for curve, colour, quantile in zip(moved, colours, QUANTILES, strict=True):
            _whole(left, what, curve - moved[len(QUANTILES) // 2], colour, f"{quantile:.0%}")
            _zoomed(right, what, curve, colour)
        left.set_ylabel(f"dim {dim}, change", fontsize=8)
        left.set_title(f"KL {seen.kl[dim]:.2f}, MAD {seen.mad[dim]:.2f}", fontsize=8, loc="left")
    _legend(figure, axes[0][0])
    return figure


def write_picture(figure: Figure, path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Write a figure as PNG, whole or not at all, and return its pixels, shape (h, w, 3)."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    pixels: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3]
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary)
    return pixels


def _figure(rows: int, title: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(11, 0.7 + 1.5 * rows), dpi=90)
    axes = figure.subplots(rows, 2, squeeze=False, gridspec_kw={"width_ratios": (3, 2)})
    height = figure.get_figheight()
    figure.subplots_adjust(
        left=0.07, right=0.99, bottom=0.42 / height, top=1 - 0.45 / height, hspace=0.38, wspace=0.12
    )
    figure.suptitle(title, fontsize=10, x=0.07, ha="left", y=1 - 0.1 / height)
    for axis in axes.flat:
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.005)
    for axis in axes[-1]:
        axis.set_xlabel("wavelength (Angstrom)", fontsize=8)
    return figure, axes


def _legend(figure: Figure, axis: Axes) -> None:
    """Name the curves above the panels, where no curve is."""
    handles, names = axis.get_legend_handles_labels()
    figure.legend(handles, names, ncols=len(names), fontsize=8, frameon=False, loc="upper right")


def _line(left: Axes, right: Axes, what: Scene, flux: Floats, colour: Any, name: str) -> None:
    _whole(left, what, flux, colour, name)
    _zoomed(right, what, flux, colour)


def _whole(axis: Axes, what: Scene, flux: Floats, colour: Any, name: str) -> None:
    grid = what.prepare.grid
    size = -(-grid.length // _POINTS)
    axis.plot(
        _binned(grid.wavelength, size), _binned(flux, size), color=colour, linewidth=0.8, label=name
    )


def _zoomed(axis: Axes, what: Scene, flux: Floats, colour: Any) -> None:
    wavelength = what.prepare.grid.wavelength
    axis.plot(wavelength[what.zoom], flux[what.zoom], color=colour, linewidth=1.0)


def _binned(values: Floats, size: int) -> Floats:
    """Means of `size` neighbours, NaN where none of them is finite; the last few are left out."""
    blocks = values[: len(values) // size * size].reshape(-1, size)
    known = np.isfinite(blocks)
    total = np.where(known, blocks, 0.0).sum(1)
    count = known.sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _structured(mean: Floats, width: int) -> slice:
    """The `width` pixels over which a mean spectrum varies most, without invalid ones."""
    filled = np.where(np.isnan(mean), np.nanmean(mean), mean)
    spread = uniform_filter1d(filled**2, width) - uniform_filter1d(filled, width) ** 2
    spread[uniform_filter1d(np.isnan(mean).astype(float), width) > 1e-9] = -np.inf
    spread[: width // 2] = spread[len(mean) - width :] = -np.inf
    first = max(int(np.argmax(spread)) - width // 2, 0)
    return slice(first, first + width)


def _tensor(model: SpectrumVAE, values: Floats) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(next(model.parameters()).device)


def _decoded(model: SpectrumVAE, latents: torch.Tensor) -> Floats:
    decoded: Floats = model.decode(latents).float().cpu().numpy()
    return decoded
