"""Inverse variance of a model's row, from that of the spectrum.

Variances add as those of independent pixels do: a weighted mean of pixels, sum of w_i f_i with the
w_i summing to 1, has the variance sum of w_i^2 var_i. What neighbouring values of a row have in
common after resampling (they share pixels of the file) is not kept. Median and pseudo-continuum,
which are means of many pixels, count as known.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from latentscope.spectra.continuum import pseudo_continuum
from latentscope.spectra.grid import Grid
from latentscope.spectra.prepare import PrepareConfig, Prepared
from latentscope.spectra.rebin import pixel_edges, split_holes
from latentscope.spectra.resample import Resample, resample, usable, way_of
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import convert


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


def resample_ivar(spectrum: Spectrum, grid: Grid, how: Resample = "auto") -> NDArray[np.float64]:
    """Inverse variance of what `resample` makes of a spectrum that has one.

    Parameters
    ----------
    spectrum : Spectrum
        With `ivar`; 0 means that a pixel's variance is not known.
    grid : Grid
    how : {"auto", "rebin", "linear"}

    Returns
    -------
    ndarray of float64, shape (grid.length,)
        0 where a pixel without a known variance takes part, or none does.
    """
    spectrum = convert(spectrum, grid.medium, grid.frame)
    ivar = np.asarray(spectrum.ivar, dtype=np.float64)
    with np.errstate(divide="ignore"):
        variance = 1.0 / np.where(ivar > 0, ivar, 0.0)
    variance[~usable(spectrum)] = np.nan
    way = way_of(spectrum, grid, how)
    if not isinstance(way, str):
        ours, theirs = way
        out = np.full(grid.length, np.nan)
        out[ours] = variance[theirs]
    else:
        wavelength, holed = split_holes(spectrum.wavelength, variance)
        split = np.asarray(holed, dtype=np.float64)
        if way == "linear":
            out = _between(grid.wavelength, wavelength, split)
        else:
            out = _rebin_variance(pixel_edges(wavelength), split, grid.edges)
    return np.where(out > 0, 1.0 / out, 0.0)


def _between(
    at: NDArray[np.float64], wavelength: NDArray[np.float64], variance: NDArray[Any]
) -> NDArray[np.float64]:
    """Variance of linear interpolation at some wavelengths, shape (m,); NaN outside."""
    left = np.clip(np.searchsorted(wavelength, at, side="right") - 1, 0, len(wavelength) - 2)
    weight = (at - wavelength[left]) / (wavelength[left + 1] - wavelength[left])
    weight[(weight < 0) | (weight > 1)] = np.nan
    with np.errstate(invalid="ignore"):
        parts = (1 - weight) ** 2 * variance[left], weight**2 * variance[left + 1]
    # A pixel of weight 0 takes no part, not even one whose variance is infinite or missing.
    out: NDArray[np.float64] = np.where(weight == 1, 0, parts[0]) + np.where(
        weight == 0, 0, parts[1]
    )
    return out


@numba.njit(nogil=True, cache=True)
def _rebin_variance(
    edges_in: NDArray[np.float64],
    variance: NDArray[np.float64],
    edges_out: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Variance of `rebin`'s mean densities; pixels with a variance of NaN count in none."""
    n, m = len(variance), len(edges_out) - 1
    out = np.full(m, np.nan)
    first = max(np.searchsorted(edges_in, edges_out[0], side="right") - 1, 0)
    for j in range(m):
        low, high = edges_out[j], edges_out[j + 1]
        while first < n and edges_in[first + 1] <= low:
            first += 1
        total, covered = 0.0, 0.0
        i = first
        while i < n and edges_in[i] < high:
            if not np.isnan(variance[i]):
                overlap = min(high, edges_in[i + 1]) - max(low, edges_in[i])
                total += variance[i] * overlap * overlap
                covered += overlap
            i += 1
        if covered > 0:
            out[j] = total / (covered * covered)
    return out
