"""A spectrum onto a model's grid: an exact slice, a flux-conserving rebinning, or interpolation."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentscope.spectra.grid import TOLERANCE, Grid
from latentscope.spectra.rebin import native, pixel_edges, rebin, same, split_holes
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import convert

Resample = Literal["auto", "rebin", "linear"]

# Above this ratio of the file's pixel to the grid's, rebinning would draw steps. Not 1, so that a
# grid's own pixels shifted by an observer's velocity are treated alike whatever its sign.
_COARSER = 1.05


def resample(
    spectrum: Spectrum, grid: Grid, how: Resample = "auto"
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]:
    """Bring a spectrum onto a model's grid.

    Wavelengths are first converted to the grid's medium and frame; the flux values are not
    changed by that.

    Parameters
    ----------
    spectrum : Spectrum
        Flux density in any linear unit.
    grid : Grid
    how : {"auto", "rebin", "linear"}
        "rebin": mean density over each new pixel, conserving flux; a new pixel is valid if valid
        pixels of the file fill at least half of it. "linear": interpolation at the new centres; a
        new pixel is valid if both neighbours in the file are. Nothing is drawn across a hole in the
        file's wavelengths (a step over three times its neighbours). "auto": the file's own values
        where its pixels are the grid's to 1e-5 Angstrom over their common range; else "linear" if
        the file's median pixel is over 1.05 times as wide as the grid's, else "rebin".

    Returns
    -------
    flux : ndarray of float32 or float64, shape (grid.length,)
        Flux density in the file's unit; 0 where invalid.
    valid : ndarray of bool, shape (grid.length,)
        True where the spectrum gives the flux, in gaps of the grid too.

    Raises
    ------
    SpectrumError
        If a velocity that the conversion of the frame needs is unknown.
    """
    spectrum = convert(spectrum, grid.medium, grid.frame)
    flux = native(spectrum.flux)
    good = usable(spectrum)
    way = way_of(spectrum, grid, how)
    if not isinstance(way, str):
        return _exact(flux, good, grid, *way)
    if not good.all():
        flux = np.where(good, flux, np.nan)
    wavelength, flux = split_holes(spectrum.wavelength, flux)
    if way == "linear":
        density = np.interp(grid.wavelength, wavelength, flux, left=np.nan, right=np.nan)
        valid = np.isfinite(density)
    else:
        density, filled = rebin(pixel_edges(wavelength), flux, grid.edges)
        valid = filled >= 0.5
    return np.where(valid, density, 0.0), valid


def usable(spectrum: Spectrum) -> NDArray[np.bool_]:
    """True for pixels of a spectrum that are finite and not masked, shape (n,)."""
    good: NDArray[np.bool_] = np.isfinite(spectrum.flux)
    if spectrum.mask is not None:
        good &= ~np.asarray(spectrum.mask, dtype=np.bool_)
    return good


def way_of(
    spectrum: Spectrum, grid: Grid, how: Resample
) -> tuple[slice, slice] | Literal["linear", "rebin"]:
    """Return how a spectrum in the grid's medium and frame gets onto it.

    Slices of the grid and of the spectrum that are the same pixels, or how to resample.
    """
    if how != "auto":
        return how
    return _common(spectrum.wavelength, grid) or (
        "linear" if _coarser(spectrum.wavelength, grid) else "rebin"
    )


def _exact(
    flux: NDArray[np.floating[Any]], good: NDArray[np.bool_], grid: Grid, ours: slice, theirs: slice
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]:
    out = np.zeros(grid.length, dtype=flux.dtype)
    valid = np.zeros(grid.length, dtype=np.bool_)
    valid[ours] = good[theirs]
    np.copyto(out[ours], flux[theirs], where=good[theirs])
    return out, valid


def _common(wavelength: NDArray[np.float64], grid: Grid) -> tuple[slice, slice] | None:
    """Slices of grid and file over their common pixels if these are the same to the tolerance."""
    target = grid.wavelength
    first = int(np.searchsorted(wavelength, target[0] - TOLERANCE))
    if first == len(wavelength):
        return None
    start = int(np.searchsorted(target, wavelength[first] - TOLERANCE))
    stop = min(
        len(target), start + int(np.searchsorted(wavelength, target[-1] + TOLERANCE)) - first
    )
    n = stop - start
    if n <= 0 or not same(wavelength[first : first + n], target[start:stop], TOLERANCE):
        return None
    return slice(start, stop), slice(first, first + n)


def _coarser(wavelength: NDArray[np.float64], grid: Grid) -> bool:
    """Whether the file's median pixel is clearly wider than the grid's over their common range."""
    low = max(wavelength[0], grid.wavelength[0])
    high = min(wavelength[-1], grid.wavelength[-1])
    return _typical_step(wavelength, low, high) > _COARSER * _typical_step(
        grid.wavelength, low, high
    )


def _typical_step(wavelength: NDArray[np.float64], low: float, high: float) -> float:
    """Median of up to 1,001 steps spread evenly over the steps that touch [low, high]."""
    first = max(int(np.searchsorted(wavelength, low, side="right")) - 1, 0)
    last = min(max(int(np.searchsorted(wavelength, high)), first + 1), len(wavelength) - 1)
    at = np.linspace(min(first, last - 1), last - 1, 1001).astype(np.intp)
    return float(np.median(wavelength[at + 1] - wavelength[at]))
