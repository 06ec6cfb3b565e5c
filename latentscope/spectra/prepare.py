"""From a spectrum to the row of numbers that a model wants, and back to flux.

One rule for pixels without data: a pixel is invalid if its flux is not finite, if the spectrum's
mask marks it, if the file does not cover it (less than half of it, when rebinning), or if it is
padding. Invalid pixels become 0 in the median normalisations, as the published zero padding does,
and contrast 0 (flux on the pseudo-continuum) in the continuum one. Pixels in a gap of the grid are
not valid either and are left out of medians (or count as zeros, where the model was published so)
and running means; but the median normalisations keep the flux that the file holds there, as the
published preparation does.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, get_args

import numba
import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.resample import Resample, native, resample, resample_ivar
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import Grid, check_choice, check_keys

Normalization = Literal["median-padded", "median-valid", "continuum"]


@dataclass(frozen=True)
class PrepareConfig:
    """How a model wants its spectra.

    Parameters
    ----------
    grid : Grid
        Wavelengths of the science pixels, padding and gaps.
    resample : {"auto", "rebin", "linear"}
        How a spectrum gets onto the grid. "auto": an exact slice where the file's pixels are the
        grid's to 1e-5 Angstrom; else "linear" where the file's pixels are wider than the grid's,
        and "rebin" where they are not. See `latentscope.spectra.resample`.
    normalization : {"median-padded", "median-valid", "continuum"}
        What the flux is divided by: the median over all pixels, gaps, padding and invalid ones as
        zeros (astro-machines); the median over valid pixels (stellar-karaoke); the median over
        valid pixels and then a running mean, with the row [contrast g, log continuum at nodes].
    min_median : float, optional
        A spectrum whose median is at most this, or whose mean over valid pixels is at most 0, is
        degenerate: a row of zeros. In the file's flux unit. None: only spectra that cannot be
        divided by their median (not positive) are degenerate.
    window : int
        Continuum: odd number of pixels of the running mean.
    nodes : int
        Continuum: number of equal blocks of pixels at whose centres log c is given.
    clip : tuple of float
        Continuum: range of the contrast g.

    Raises
    ------
    SpectrumError
        If a value makes no preparation.
    """

    grid: Grid
    resample: Resample = "auto"
    normalization: Normalization = "median-valid"
    min_median: float | None = None
    window: int = 65
    nodes: int = 320
    clip: tuple[float, float] = (-1.0, 1.5)

    def __post_init__(self) -> None:
        check_choice("resample", self.resample, get_args(Resample))
        check_choice("normalization", self.normalization, get_args(Normalization))
        if self.window < 1 or self.window % 2 == 0:
            raise SpectrumError(f"window is {self.window} pixels; wanted an odd positive number")
        if self.nodes < 1 or (self.normalization == "continuum" and self.nodes > self.grid.length):
            raise SpectrumError(
                f"nodes is {self.nodes}; wanted 1 to {self.grid.length}, the grid's pixels"
            )
        low, high = self.clip
        if not low < 0 < high:
            raise SpectrumError(f"clip is {self.clip}; wanted a range of contrast with 0 inside")
        object.__setattr__(self, "clip", (float(low), float(high)))

    @property
    def row_size(self) -> int:
        """Number of values in a prepared row."""
        if self.normalization == "continuum":
            return self.grid.length + self.nodes
        return self.grid.size

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain JSON values."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return values | {"grid": self.grid.to_dict(), "clip": list(self.clip)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PrepareConfig:
        """Build a configuration from `to_dict`'s values.

        Raises
        ------
        SpectrumError
            If a key is unknown or missing, or a value makes no preparation.
        """
        check_keys("prepare", cls, values)
        return cls(**(values | {"grid": Grid.from_dict(values["grid"])}))


@dataclass(frozen=True)
class Prepared:
    """A spectrum as a model wants it.

    Parameters
    ----------
    row : ndarray of float32, shape (row_size,)
        What goes into the network; finite everywhere.
    coverage : float
        Fraction of the grid's science pixels outside gaps that the spectrum fills.
    valid : ndarray of bool, shape (row_size,)
        False in gaps, padding and unfilled pixels.
    scale : float
        What the flux was divided by, in the file's unit; NaN for a degenerate spectrum.
    degenerate : bool
        True if the row was set to zeros because the spectrum has no usable level.
    """

    row: NDArray[np.float32] = field(repr=False)
    coverage: float
    valid: NDArray[np.bool_] = field(repr=False)
    scale: float
    degenerate: bool


def prepare(spectrum: Spectrum, config: PrepareConfig) -> Prepared:
    """Turn a spectrum into the row of numbers that a model wants.

    Wavelengths are converted to the grid's medium and frame, the flux is brought onto the grid
    (`resample`) and normalised (`normalize`).

    Parameters
    ----------
    spectrum : Spectrum
        Flux in any linear unit.
    config : PrepareConfig
        The model's preparation.

    Returns
    -------
    Prepared

    Raises
    ------
    SpectrumError
        If the spectrum and the grid have no valid pixel in common, if the flux spans more than
        single precision can hold, or if a velocity that the conversion of the frame needs is
        unknown. Poor coverage is no error here: see `coverage`.
    """
    flux, valid = resample(spectrum, config.grid, config.resample)
    grid = config.grid
    inside = valid & ~grid.gap_mask
    filled = int(np.count_nonzero(inside))
    if filled == 0:
        raise SpectrumError(
            f"{spectrum.meta.get('file', 'the spectrum')}: no valid pixel between "
            f"{grid.wavelength[0]:.1f} and {grid.wavelength[-1]:.1f} Angstrom, the model's grid; "
            f"the file spans {spectrum.wavelength[0]:.1f} to {spectrum.wavelength[-1]:.1f}: is "
            "the wavelength unit right, and is the flux finite and unmasked?"
        )
    row, scale = normalize(flux, valid, config)
    if not np.isfinite(row).all():
        raise SpectrumError(
            f"{spectrum.meta.get('file', 'the spectrum')}: its flux, from "
            f"{flux[valid].min():g} to {flux[valid].max():g} with a median of {scale:g}, does not "
            "fit into single precision; mask the outliers"
        )
    degenerate = bool(np.isnan(scale))
    full = np.zeros(config.row_size, dtype=np.bool_)
    if config.normalization == "continuum":
        full[: grid.length] = inside
        full[grid.length :] = True
    else:
        full[grid.pad_left : grid.pad_left + grid.length] = inside
    coverage = filled / int(np.count_nonzero(~grid.gap_mask))
    return Prepared(row=row, coverage=coverage, valid=full, scale=scale, degenerate=degenerate)


def normalize(
    flux: NDArray[np.floating[Any]], valid: NDArray[np.bool_], config: PrepareConfig
) -> tuple[NDArray[np.float32], float]:
    """Turn flux on the grid into the model's row.

    The median normalisations work in float32 throughout, as published: float32 flux, median as the
    mean of the two middle values in float32, float32 division.

    Parameters
    ----------
    flux : ndarray, shape (grid.length,)
        Flux density; values at invalid pixels are not looked at.
    valid : ndarray of bool, shape (grid.length,)
        Where there is flux; gaps are left out besides.
    config : PrepareConfig

    Returns
    -------
    row : ndarray of float32, shape (row_size,)
    scale : float
        The median divided by; NaN (and a row of zeros) for a degenerate spectrum.
    """
    grid = config.grid
    inside = valid & ~grid.gap_mask
    if config.normalization == "continuum":
        flux = native(flux)
        scale = _median(flux[inside])
        if _degenerate(scale, flux, inside, config):
            return np.zeros(config.row_size, dtype=np.float32), float("nan")
        row = contrast_and_nodes(flux, inside, scale, config.window, config.nodes, config.clip)
        return row, scale
    science = np.zeros(grid.length, dtype=np.float32)
    with np.errstate(over="ignore"):  # prepare refuses rows that are not finite
        np.copyto(science, flux, where=valid, casting="same_kind")
    if config.normalization == "median-padded":
        everything = np.zeros(grid.size, dtype=np.float32)
        np.copyto(everything[: grid.length], science, where=inside)
        scale = _median(everything)
    else:
        scale = _median(science[inside])
    row = np.zeros(grid.size, dtype=np.float32)
    if _degenerate(scale, science, inside, config):
        return row, float("nan")
    pixels = slice(grid.pad_left, grid.pad_left + grid.length)
    with np.errstate(over="ignore", invalid="ignore"):
        np.divide(science, np.float32(scale), out=row[pixels])
    return row, scale


def continuum_row(
    flux: NDArray[np.floating[Any]], valid: NDArray[np.bool_], config: PrepareConfig
) -> NDArray[np.float32]:
    """Row [line contrast g, log pseudo-continuum at the nodes] of flux on a model's grid.

    With x the flux over its median, c the running mean of x over `config.window` valid pixels and
    g = x / c - 1: c is interpolated linearly where a whole window is invalid and is at least 0.001;
    g is clipped to `config.clip` and 0 at invalid pixels. A spectrum without a positive median
    gives zeros.

    Parameters
    ----------
    flux : ndarray of float32 or float64, shape (grid.length,)
        Flux density in any unit.
    valid : ndarray of bool, shape (grid.length,)
        Where there is flux; the grid's gaps and pixels that are not finite are left out besides.
    config : PrepareConfig
        With normalization "continuum".

    Returns
    -------
    ndarray of float32, shape (grid.length + nodes,)

    Raises
    ------
    SpectrumError
        If the configuration's normalisation is another one, or shapes are not the grid's.
    """
    shape = (config.grid.length,)
    if config.normalization != "continuum" or np.shape(flux) != shape or np.shape(valid) != shape:
        raise SpectrumError(
            f"continuum_row: flux of shape {np.shape(flux)}, valid of shape {np.shape(valid)}, "
            f"normalization {config.normalization!r}; wanted shapes {shape} and 'continuum'"
        )
    return normalize(flux, valid & np.isfinite(flux), config)[0]


def restore(row: NDArray[np.floating[Any]], config: PrepareConfig) -> NDArray[np.floating[Any]]:
    """Turn rows (prepared, or decoded by a model) back into normalised flux.

    Parameters
    ----------
    row : ndarray, shape (..., row_size)
    config : PrepareConfig

    Returns
    -------
    ndarray, shape (..., grid.length)
        Flux at `grid.wavelength`, over the scale that `prepare` divided by. Median normalisations:
        exactly the row without padding. Continuum: exp(log c) (1 + g), with log c interpolated
        linearly in pixel index between the nodes and constant beyond the first and last.

    Raises
    ------
    SpectrumError
        If the rows have another size.
    """
    row = np.asarray(row)
    if row.shape[-1:] != (config.row_size,):
        raise SpectrumError(
            f"restore: rows of shape {row.shape}; wanted (..., {config.row_size}) for this model"
        )
    grid = config.grid
    if config.normalization != "continuum":
        return row[..., grid.pad_left : grid.pad_left + grid.length]
    contrast, log_nodes = row[..., : grid.length], row[..., grid.length :]
    flux: NDArray[np.floating[Any]] = np.exp(log_continuum(log_nodes, grid.length))
    return flux * (1 + contrast)


def _median(values: NDArray[np.floating[Any]]) -> float:
    """Median as numpy has it, in the precision of `values`; NaN of nothing."""
    n = len(values)
    if n == 0:
        return float("nan")
    low, high = (n - 1) // 2, n // 2
    parts = np.partition(values, (low, high))
    if low == high:
        return float(parts[low])
    return float((parts[low] + parts[high]) / values.dtype.type(2))


def _degenerate(
    scale: float,
    flux: NDArray[np.floating[Any]],
    inside: NDArray[np.bool_],
    config: PrepareConfig,
) -> bool:
    if config.min_median is None:
        return not scale > 0
    mean = flux[inside].mean(dtype=np.float64)
    return not (scale > max(config.min_median, 0) and mean > 0)


def ivar_size(config: PrepareConfig) -> int:
    """Number of values at the start of a row that have an inverse variance: all but log c."""
    grid = config.grid
    return grid.length if config.normalization == "continuum" else grid.size


def row_ivar(spectrum: Spectrum, prepared: Prepared, config: PrepareConfig) -> NDArray[np.float32]:
    """Inverse variance of a prepared row, in the row's units.

    Flux over its median m: ivar * m^2. Contrast g = x / c - 1 of flux x over its median:
    ivar * (m c)^2; a value that was clipped keeps it.

    Parameters
    ----------
    spectrum : Spectrum
    prepared : Prepared
        What `prepare` made of it with `config`.
    config : PrepareConfig

    Returns
    -------
    ndarray of float32, shape (ivar_size(config),)
        0 for padding, in gaps, at invalid pixels, and where the spectrum has no inverse variance.
    """
    grid, size = config.grid, ivar_size(config)
    row = np.zeros(size, dtype=np.float32)
    if spectrum.ivar is None or prepared.degenerate:
        return row
    first = 0 if config.normalization == "continuum" else grid.pad_left
    pixels = slice(first, first + grid.length)
    unit: float | NDArray[np.float64] = prepared.scale
    if config.normalization == "continuum":
        flux, _ = resample(spectrum, grid, config.resample)
        inside = prepared.valid[: grid.length]
        unit = prepared.scale * pseudo_continuum(flux, inside, prepared.scale, config.window)
    ivar = resample_ivar(spectrum, grid, config.resample)
    with np.errstate(over="ignore"):
        np.multiply(ivar, np.square(unit), out=row[pixels], casting="same_kind")
    row[~prepared.valid[:size]] = 0
    return row


# The pseudo-continuum is not let below this fraction of the median flux: where a detector has no
# light the contrast would be noise over noise.
FLOOR = 1e-3


def contrast_and_nodes(
    flux: NDArray[np.floating[Any]],
    valid: NDArray[np.bool_],
    scale: float,
    window: int,
    nodes: int,
    clip: tuple[float, float],
) -> NDArray[np.float32]:
    """Line contrast, then log pseudo-continuum at the nodes.

    Parameters
    ----------
    flux : ndarray of float32 or float64, shape (length,)
        Flux density in any unit; values at invalid pixels are not looked at.
    valid : ndarray of bool, shape (length,)
        False for pixels to leave out.
    scale : float
        What the flux is divided by first, positive: its median.
    window : int
        Odd number of pixels of the running mean.
    nodes : int
        Number of equal blocks of pixels.
    clip : tuple of float
        Lowest and highest contrast kept.

    Returns
    -------
    ndarray of float32, shape (length + nodes,)
        Contrast g = x / c - 1, zero at invalid pixels; then log c.
    """
    row = np.zeros(len(flux) + nodes, dtype=np.float32)
    continuum = pseudo_continuum(flux, valid, scale, window)
    _contrast(flux, valid, scale, continuum, clip[0], clip[1], row)
    left, weight = node_centres(len(flux), nodes)
    log_left, log_right = np.log(continuum[left]), np.log(continuum[left + 1])
    row[len(flux) :] = log_left + weight * (log_right - log_left)
    return row


def pseudo_continuum(
    flux: NDArray[np.floating[Any]], valid: NDArray[np.bool_], scale: float, window: int
) -> NDArray[np.float64]:
    """Running mean of the flux over `scale`, shape (length,): what the contrast is relative to.

    Arguments as in `contrast_and_nodes`. Linear across stretches where a whole window is invalid;
    at least 0.001.
    """
    continuum = running_mean(flux, valid, window)
    continuum /= scale
    _bridge(continuum)
    return np.maximum(continuum, FLOOR, out=continuum)


def log_continuum(log_nodes: NDArray[np.floating[Any]], length: int) -> NDArray[np.floating[Any]]:
    """Log pseudo-continuum at every pixel from its values at the nodes.

    Linear in pixel index between the centres of the blocks, constant beyond the first and last.

    Parameters
    ----------
    log_nodes : ndarray of shape (..., nodes)
        Natural log of the continuum at the centres of equal blocks of pixels.
    length : int
        Number of pixels.

    Returns
    -------
    ndarray of shape (..., length)
    """
    left, weight = _between_nodes(length, log_nodes.shape[-1])
    log_c: NDArray[np.floating[Any]] = log_nodes[..., left]
    if log_nodes.shape[-1] > 1:
        log_c += weight.astype(log_nodes.dtype) * (log_nodes[..., left + 1] - log_c)
    return log_c


@lru_cache(maxsize=16)
def node_centres(length: int, nodes: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Pixel left of each node and the weight of the one to its right, shape (nodes,) each."""
    at = (np.arange(nodes) + 0.5) * (length / nodes) - 0.5
    left = np.clip(np.floor(at).astype(np.intp), 0, length - 2)
    return left, at - left


@lru_cache(maxsize=16)
def _between_nodes(length: int, nodes: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Node left of each pixel and the weight of the one to its right, shape (length,) each."""
    at = np.clip((np.arange(length) + 0.5) * (nodes / length) - 0.5, 0.0, nodes - 1.0)
    left = np.clip(np.floor(at).astype(np.intp), 0, max(nodes - 2, 0))
    return left, at - left


@numba.njit(nogil=True, cache=True)
def running_mean(
    flux: NDArray[np.floating[Any]], valid: NDArray[np.bool_], window: int
) -> NDArray[np.float64]:
    """Mean of the valid pixels in a centred window, cut short at the ends.

    Sums run forwards and backwards within blocks as long as the window, so that a window is the
    end of one block plus the start of the next: nothing is subtracted, and one huge pixel spoils
    no window but those it lies in (van Herk 1992, Pattern Recognition Letters 13, 517, for sums).

    Parameters
    ----------
    flux : ndarray of float32 or float64, shape (n,)
    valid : ndarray of bool, shape (n,)
    window : int
        Odd.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN where no pixel of the window is valid.
    """
    n, half = len(flux), window // 2
    size = ((n + 2 * half + window - 1) // window) * window
    ahead, behind = np.zeros(size), np.zeros(size)
    count = np.zeros(size + 1, dtype=np.int64)
    for i in range(size):
        j = i - half
        inside = 0 <= j < n and valid[j]
        ahead[i] = flux[j] if inside else 0.0
        behind[i] = ahead[i]
        count[i + 1] = count[i] + (1 if inside else 0)
    for i in range(size):
        if i % window:
            ahead[i] += ahead[i - 1]
    for i in range(size - 2, -1, -1):
        if (i + 1) % window:
            behind[i] += behind[i + 1]
    mean = np.empty(n)
    for i in range(n):
        total = ahead[i + window - 1]
        if i % window:
            total += behind[i]
        members = count[i + window] - count[i]
        mean[i] = total / members if members else np.nan
    return mean


def _bridge(continuum: NDArray[np.float64]) -> None:
    """Fill NaN pixels of a continuum in place, linearly from their neighbours."""
    hole = np.isnan(continuum)
    if hole.any():
        known = np.flatnonzero(~hole)
        continuum[hole] = np.interp(np.flatnonzero(hole), known, continuum[known])


@numba.njit(nogil=True, cache=True)
def _contrast(
    flux: NDArray[np.floating[Any]],
    valid: NDArray[np.bool_],
    scale: float,
    continuum: NDArray[np.float64],
    low: float,
    high: float,
    row: NDArray[np.float32],
) -> None:
    for i in range(len(flux)):
        if valid[i]:
            row[i] = min(max(flux[i] / (scale * continuum[i]) - 1.0, low), high)
