"""From a spectrum to the row of numbers that a model wants, and back to flux.

One rule for pixels without data: a pixel is invalid if its flux is not finite, if the spectrum's
mask marks it, if the file does not cover it (less than half of it, when rebinning), or if it is
padding. Invalid pixels become 0 in the median normalizations, as the published zero padding does,
and contrast 0 (flux on the pseudo-continuum) in the continuum one. Pixels in a gap of the grid are
not valid either and are left out of medians (or count as zeros, where the model was published so)
and running means; but the median normalizations keep the flux that the file holds there, as the
published preparation does.

In the continuum normalization a flux x, divided by its median, is written as x = c (1 + g): c is
the running mean of x over an odd number of pixels, g the line contrast, and log c is kept at the
centers of equal blocks of pixels (nodes). The row a model sees is g followed by log c at the nodes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Self

import numpy as np
import pydantic
from numpy.typing import NDArray

from latentscope.compiled import njit
from latentscope.errors import SpectrumError
from latentscope.files import plain
from latentscope.settings import read_settings, settings
from latentscope.spectra.resample import Resample, resample, sampling
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import MAX_PIXELS, Grid

# The pseudo-continuum is not let below this fraction of the median flux: where a detector has no
# light the contrast would be noise over noise.
FLOOR = 1e-3

# Pixels more times as wide as the model's show fewer lines than those that it was trained on.
COARSE = 3.0


@settings(SpectrumError)
class PrepareConfig:
    """How a model wants its spectra.

    Attributes
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
        Continuum: number of equal blocks of pixels at whose centers log c is given.
    clip : tuple of float
        Continuum: range of the contrast g.

    Raises
    ------
    SpectrumError
        If a value makes no preparation.
    """

    grid: Grid
    resample: Resample = "auto"
    normalization: Literal["median-padded", "median-valid", "continuum"] = "median-valid"
    min_median: float | None = None
    window: int = pydantic.Field(default=65, ge=1, strict=True)
    nodes: int = pydantic.Field(default=320, ge=1, le=MAX_PIXELS, strict=True)
    clip: tuple[float, float] = (-1.0, 1.5)

    @pydantic.model_validator(mode="after")
    def _check_continuum(self) -> Self:
        if self.window % 2 == 0:  # else the mean would be of pixels half a pixel aside
            raise ValueError(f"window is {self.window} pixels; expected an odd number")
        if self.normalization == "continuum" and self.nodes > self.grid.length:
            raise ValueError(
                f"nodes is {self.nodes}; expected 1 to {self.grid.length}, the grid's pixels"
            )
        low, high = self.clip
        if not low < 0 < high:
            raise ValueError(f"clip is {self.clip}; expected a range of contrast with 0 inside")
        return self

    @property
    def row_size(self) -> int:
        """Number of values in a prepared row."""
        if self.normalization == "continuum":
            return self.grid.length + self.nodes
        return self.grid.size

    @property
    def science(self) -> slice:
        """Values of a row that are one for each of the grid's pixels: flux, or line contrast."""
        # The continuum's row has no padding, whatever the grid says.
        first = 0 if self.normalization == "continuum" else self.grid.pad_left
        return slice(first, first + self.grid.length)

    @property
    def ivar_size(self) -> int:
        """Number of values at the start of a row that have an inverse variance: all but log c."""
        return self.grid.length if self.normalization == "continuum" else self.grid.size

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain JSON values."""
        values: dict[str, Any] = plain(dataclasses.asdict(self))
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PrepareConfig:
        """Build a configuration from `to_dict`'s values.

        Raises
        ------
        SpectrumError
            If a key is unknown or missing, or a value makes no preparation.
        """
        return read_settings(cls, values, where="prepare", error=SpectrumError)


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
    ivar : ndarray of float32, shape (ivar_size,), optional
        Inverse variance of the row's first values, in the row's units, where it was asked for; 0
        for padding, in gaps, at invalid pixels, and where the spectrum has no inverse variance.
    notes : tuple of str
        What was done or is odd: another frame, pixels of the file far wider than the model's.
    """

    row: NDArray[np.float32] = field(repr=False)
    coverage: float
    valid: NDArray[np.bool_] = field(repr=False)
    scale: float
    degenerate: bool
    ivar: NDArray[np.float32] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()


def prepare(spectrum: Spectrum, config: PrepareConfig, *, ivar: bool = False) -> Prepared:
    """Turn a spectrum into the row of numbers that a model wants.

    Wavelengths are converted to the grid's medium and frame (at rest without `rv`, they are taken
    for barycentric ones of a star at 0 km/s), the flux is brought onto the grid (`resample`) and
    normalized. The median normalizations work in float32 throughout, as published:
    float32 flux, median as the mean of the two middle values in float32, float32 division.

    Parameters
    ----------
    spectrum : Spectrum
        Flux in any linear unit.
    config : PrepareConfig
        The model's preparation.
    ivar : bool
        Give the row's inverse variance too: of flux over its median m, ivar * m^2; of the contrast
        g = x / c - 1, ivar * (m c)^2, which a value that was clipped keeps. Median and
        pseudo-continuum, which are means of many pixels, count as known.

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
    grid = config.grid
    frame = spectrum.frame
    # At rest a star of unknown velocity is one of velocity 0, whose lines a model knows.
    if (frame, grid.frame, spectrum.rv) == ("rest", "barycentric", None):
        spectrum = dataclasses.replace(spectrum, frame="barycentric")
    flux, valid, inverse = resample(spectrum, grid, config.resample, ivar=ivar)
    inside = valid & ~grid.gap_mask
    filled = int(np.count_nonzero(inside))
    coarseness = sampling(spectrum, grid)
    if filled == 0:
        raise SpectrumError(
            f"{spectrum.meta.get('file', 'the spectrum')}: no valid pixel between "
            f"{grid.wavelength[0]:.1f} and {grid.wavelength[-1]:.1f} Angstrom, the model's grid; "
            f"the file spans {spectrum.wavelength[0]:.1f} to {spectrum.wavelength[-1]:.1f}"
            + (
                f" in pixels {coarseness:.3g} times as wide as the model's"
                if coarseness > COARSE
                else ""
            )
            + ": is the wavelength unit right, and is the flux finite and unmasked?"
        )
    full = np.zeros(config.row_size, dtype=np.bool_)
    unit: float | NDArray[np.float64]  # flux of one unit of the row
    if config.normalization == "continuum":
        full[grid.length :] = True  # the continuum is filled across gaps
        row, scale, unit = _continuum_row(flux, inside, config)
    else:
        row, scale = _median_row(flux, valid, inside, config)
        unit = scale
    pixels = config.science
    full[pixels] = inside
    # One infinite value would make the latents of the whole spectrum NaN.
    if not np.isfinite(row).all():
        raise SpectrumError(
            f"{spectrum.meta.get('file', 'the spectrum')}: its flux, from "
            f"{flux[valid].min():g} to {flux[valid].max():g} with a median of {scale:g}, does not "
            "fit into single precision; mask the outliers"
        )
    degenerate = bool(np.isnan(scale))
    row_ivar = None
    if ivar:
        row_ivar = np.zeros(config.ivar_size, dtype=np.float32)
        if inverse is not None and not degenerate:
            with np.errstate(over="ignore"):
                np.multiply(inverse, np.square(unit), out=row_ivar[pixels], casting="same_kind")
            row_ivar[~full[: config.ivar_size]] = 0
    coverage = filled / int(np.count_nonzero(~grid.gap_mask))
    notes = []
    if spectrum.frame != grid.frame:
        notes.append(f"frame: moved from {frame} to {grid.frame}, the model's")
    elif frame != grid.frame:
        notes.append(f"frame: {frame}, taken for {grid.frame} with a velocity of 0")
    if coarseness > COARSE:
        notes.append(
            f"sampling: the file's pixels are {coarseness:.3g} times as wide as the model's, which "
            "knows no spectra as coarse"
        )
    return Prepared(row, coverage, full, scale, degenerate, row_ivar, tuple(notes))


def restore(row: NDArray[np.floating[Any]], config: PrepareConfig) -> NDArray[np.floating[Any]]:
    """Turn rows (prepared, or decoded by a model) back into normalized flux.

    Parameters
    ----------
    row : ndarray, shape (..., row_size)
    config : PrepareConfig

    Returns
    -------
    ndarray, shape (..., grid.length)
        Flux at `grid.wavelength`, over the scale that `prepare` divided by. Median normalizations:
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
            f"restore: rows of shape {row.shape}; expected (..., {config.row_size}) for this model"
        )
    grid = config.grid
    # A view: rows of the published network have 330,000 values.
    if config.normalization != "continuum":
        return row[..., config.science]
    contrast, log_nodes = row[..., : grid.length], row[..., grid.length :]
    left, weight = _between_nodes(grid.length, config.nodes)
    log_c: NDArray[np.floating[Any]] = log_nodes[..., left]
    if config.nodes > 1:
        log_c += weight.astype(log_nodes.dtype) * (log_nodes[..., left + 1] - log_c)
    flux: NDArray[np.floating[Any]] = np.exp(log_c)
    return flux * (1 + contrast)


def _median_row(
    flux: NDArray[np.floating[Any]],
    valid: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    config: PrepareConfig,
) -> tuple[NDArray[np.float32], float]:
    """Row of shape (grid.size,) and its scale: zeros and NaN for a degenerate spectrum."""
    row = np.zeros(config.grid.size, dtype=np.float32)
    science = row[config.science]
    with np.errstate(over="ignore"):  # prepare refuses rows that are not finite
        science[:] = flux  # 0 where invalid
    if config.normalization == "median-padded":
        everything = row.copy()
        everything[config.science][np.flatnonzero(config.grid.gap_mask)] = 0
        scale = _median(everything)
    else:
        scale = _median(science[inside])
    if _degenerate(scale, science, inside, config):
        return np.zeros_like(row), float("nan")
    with np.errstate(over="ignore", invalid="ignore"):
        science /= np.float32(scale)
    return row, scale


def _continuum_row(
    flux: NDArray[np.floating[Any]], inside: NDArray[np.bool_], config: PrepareConfig
) -> tuple[NDArray[np.float32], float, NDArray[np.float64]]:
    """Row [contrast, log c at the nodes], its scale, and the flux of contrast 1, (grid.length,)."""
    row = np.zeros(config.row_size, dtype=np.float32)
    scale = _median(flux[inside])
    if _degenerate(scale, flux, inside, config):
        return row, float("nan"), np.zeros(len(flux))
    continuum = running_mean(flux, inside, config.window)
    continuum /= scale
    # Where a whole window is invalid, the continuum runs straight from one side to the other.
    hole = np.isnan(continuum)
    if hole.any():
        filled = np.flatnonzero(~hole)
        continuum[hole] = np.interp(np.flatnonzero(hole), filled, continuum[filled])
    np.maximum(continuum, FLOOR, out=continuum)
    _contrast(flux, inside, scale, continuum, *config.clip, row)
    left, weight = node_centers(len(flux), config.nodes)
    log_left, log_right = np.log(continuum[left]), np.log(continuum[left + 1])
    row[len(flux) :] = log_left + weight * (log_right - log_left)
    return row, scale, scale * continuum


def _median(values: NDArray[np.floating[Any]]) -> float:
    """Median as numpy has it, in the precision of `values`; NaN of nothing."""
    n = len(values)
    if n == 0:
        return float("nan")
    # Not np.median, which looks for NaN besides, and selects twice.
    parts = np.partition(values, n // 2)
    high = parts[n // 2]
    if n % 2:
        return float(high)
    return float((parts[: n // 2].max() + high) / values.dtype.type(2))


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


@lru_cache(maxsize=16)
def node_centers(length: int, nodes: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
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


@njit(nogil=True)
def running_mean(
    flux: NDArray[np.floating[Any]], valid: NDArray[np.bool_], window: int
) -> NDArray[np.float64]:
    """Mean of the valid pixels in a centered window, cut short at the ends.

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
    members = 0
    for i in range(n):
        behind[half + i] = flux[i] if valid[i] else 0.0
        members += valid[i]
        count[half + i + 1] = members
    count[half + n + 1 :] = members
    # In local sums: what was just stored takes as long to load as an addition.
    for start in range(0, size, window):
        total = 0.0
        for i in range(start, start + window):
            total += behind[i]
            ahead[i] = total
        total = 0.0
        for i in range(start + window - 1, start - 1, -1):
            total += behind[i]
            behind[i] = total
    mean = np.empty(n)
    for i in range(n):
        members = count[i + window] - count[i]
        mean[i] = (ahead[i + window - 1] + behind[i]) / members if members else np.nan
    for i in range(0, n, window):  # one block, of which both sums are the whole
        mean[i] *= 0.5
    return mean


# Compiled: numpy would pass over the pixels five times.
@njit(nogil=True)
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
