"""A spectrum onto a model's grid: an exact slice, a flux-conserving rebinning, or interpolation."""

from __future__ import annotations

from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import TOLERANCE, Grid, convert

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


# A step between pixels wider than this many times the smaller of its neighbour steps is a hole
# in the data, not one wide pixel.
_HOLE = 3.0


def pixel_edges(wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Borders of pixels whose centres are given: halfway between centres, mirrored at the ends.

    Parameters
    ----------
    wavelength : ndarray of shape (n,)
        Ascending centres in Angstrom, n >= 2.

    Returns
    -------
    ndarray of shape (n + 1,)
    """
    edges = np.empty(len(wavelength) + 1)
    np.add(wavelength[1:], wavelength[:-1], out=edges[1:-1])
    edges[1:-1] *= 0.5
    edges[0] = wavelength[0] - (edges[1] - wavelength[0])
    edges[-1] = wavelength[-1] + (wavelength[-1] - edges[-2])
    return edges


def rebin(
    edges_in: NDArray[np.float64],
    flux: NDArray[np.floating[Any]],
    edges_out: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Flux density on new pixels, conserving flux.

    The density of a new pixel is the mean of the old densities in it, weighted by the length of
    the overlap; pixels that are not finite and stretches outside the input count neither in the
    sum nor in the length. Hence the sum over new pixels of density * filled * width equals the
    integral of the old density over the stretch that both sets of pixels cover.

    Parameters
    ----------
    edges_in : ndarray of shape (n + 1,)
        Ascending borders of the old pixels in Angstrom.
    flux : ndarray of shape (n,)
        Flux density in each old pixel; NaN or infinite where there is none.
    edges_out : ndarray of shape (m + 1,)
        Ascending borders of the new pixels in Angstrom.

    Returns
    -------
    density : ndarray of float64, shape (m,)
        NaN where nothing fills the pixel.
    filled : ndarray of float64, shape (m,)
        Filled fraction of each new pixel, 0 to 1.

    Raises
    ------
    SpectrumError
        If there is not one more border than there are pixels.
    """
    if len(edges_in) != len(flux) + 1 or len(edges_out) < 2:
        raise SpectrumError(
            f"rebin: {len(edges_in)} borders for {len(flux)} pixels onto {len(edges_out)} borders; "
            "wanted one border more than pixels (pixel_edges gives them)"
        )
    density, filled = _rebin(
        np.ascontiguousarray(edges_in, dtype=np.float64),
        native(flux),
        np.ascontiguousarray(edges_out, dtype=np.float64),
    )
    return density, filled


def native(flux: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Flux as a contiguous array in the machine's byte order: float32 if it was, else float64."""
    dtype = np.asarray(flux).dtype
    single = dtype.kind == "f" and dtype.itemsize == 4
    return np.ascontiguousarray(flux, dtype=np.float32 if single else np.float64)


def split_holes(
    wavelength: NDArray[np.float64], flux: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.floating[Any]]]:
    """Put NaN pixels into every hole of a wavelength axis, so that nothing is drawn across it.

    A hole is a step more than three times the smaller of the steps on its two sides: a format that
    leaves missing pixels out, or the stretch between two detectors.

    Parameters
    ----------
    wavelength : ndarray of shape (n,)
        Ascending centres in Angstrom.
    flux : ndarray of shape (n,)
        Flux density.

    Returns
    -------
    wavelength, flux : ndarray of shape (n + 2 * number of holes,)
    """
    hole, beside = _holes(np.ascontiguousarray(wavelength, dtype=np.float64))
    if len(hole) == 0:
        return wavelength, flux
    # Two NaN pixels a hole, one small step inside it: the pixels beside it keep their width.
    ends = np.column_stack([wavelength[hole] + beside, wavelength[hole + 1] - beside])
    at = np.repeat(hole + 1, 2)
    return np.insert(wavelength, at, ends.ravel()), np.insert(flux, at, np.nan)


@numba.njit(nogil=True, cache=True)
def same(first: NDArray[np.float64], second: NDArray[np.float64], tolerance: float) -> bool:
    """Whether two arrays of one length, shape (n,), differ nowhere by more than `tolerance`."""
    for i in range(len(first)):  # noqa: SIM110, faster compiled than all() of a generator
        if not abs(first[i] - second[i]) <= tolerance:
            return False
    return True


@numba.njit(nogil=True, cache=True)
def _holes(wavelength: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixels before a hole, and the smaller of the steps beside each hole, shape (holes,) each."""
    n = len(wavelength)
    at = np.empty(n, dtype=np.int64)
    beside = np.empty(n)
    found = 0
    for i in range(n - 1):
        small = np.inf
        if i > 0:
            small = wavelength[i] - wavelength[i - 1]
        if i + 2 < n:
            small = min(small, wavelength[i + 2] - wavelength[i + 1])
        if wavelength[i + 1] - wavelength[i] > _HOLE * small:
            at[found], beside[found] = i, small
            found += 1
    return at[:found].copy(), beside[:found].copy()


@numba.njit(nogil=True, cache=True)
def _rebin(
    edges_in: NDArray[np.float64],
    flux: NDArray[np.floating[Any]],
    edges_out: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n, m = len(flux), len(edges_out) - 1
    density = np.full(m, np.nan)
    filled = np.zeros(m)
    first = max(np.searchsorted(edges_in, edges_out[0], side="right") - 1, 0)
    for j in range(m):
        low, high = edges_out[j], edges_out[j + 1]
        while first < n and edges_in[first + 1] <= low:
            first += 1
        total, covered = 0.0, 0.0
        i = first
        while i < n and edges_in[i] < high:
            if np.isfinite(flux[i]):
                overlap = min(high, edges_in[i + 1]) - max(low, edges_in[i])
                total += flux[i] * overlap
                covered += overlap
            i += 1
        if covered > 0:
            density[j] = total / covered
            filled[j] = min(covered / (high - low), 1.0)
    return density, filled


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
