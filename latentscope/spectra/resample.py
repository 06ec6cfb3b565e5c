"""A spectrum onto a model's grid: an exact slice, a flux-conserving rebinning, or interpolation.

Variances add as those of independent pixels do: a weighted mean of pixels, sum of w_i f_i with the
w_i summing to 1, has the variance sum of w_i^2 var_i. What neighboring values have in common after
resampling (they share pixels of the file) is not kept.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentscope.compiled import njit
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import SPEED_OF_LIGHT, TOLERANCE, Grid, convert

Resample = Literal["auto", "rebin", "linear"]

# Above this ratio of the file's pixel to the grid's, rebinning would draw steps. Not 1, so that a
# grid's own pixels shifted by an observer's velocity are treated alike whatever its sign.
_COARSER = 1.05

# A step wider than this many times the steps beside it is a hole in the data, not one wide pixel:
# one pixel that a file leaves out is bridged, two are not.
_HOLE = 2.5

# So is a step of more km/s than this, whatever the steps beside it: few lines of stars are as wide.
# Not where the model's own pixels are nearly as wide.
_BLIND = 800.0
_GRID_PIXELS = 3.0

# The part of a spectrum that is looked at: the grid, and this much more for velocities and media.
_MARGIN = 0.01


def resample(
    spectrum: Spectrum, grid: Grid, how: Resample = "auto", *, ivar: bool = False
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_], NDArray[np.float64] | None]:
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
        pixels of the file fill at least half of it. "linear": interpolation at the new centers; a
        new pixel is valid if both neighbors in the file are. Nothing is drawn across a hole in the
        file's wavelengths: a step over 2.5 times those beside it, or over 800 km/s and three
        pixels of the grid. "auto": the file's own values
        where its pixels are the grid's to 1e-5 Angstrom over their common range; else "linear" if
        the file's median pixel is over 1.05 times as wide as the grid's, else "rebin".
    ivar : bool
        Bring the spectrum's inverse variance along, where it has one.

    Returns
    -------
    flux : ndarray of float32 or float64, shape (grid.length,)
        Flux density in the file's unit; 0 where invalid.
    valid : ndarray of bool, shape (grid.length,)
        True where the spectrum gives the flux, in gaps of the grid too.
    ivar : ndarray of float64, shape (grid.length,), or None
        Inverse variance of the flux; 0 where a pixel without a known variance takes part, or none
        does. None if it was not asked for, or the spectrum has none.

    Raises
    ------
    SpectrumError
        If a velocity that the conversion of the frame needs is unknown.
    """
    near = _near(spectrum, grid)
    if near is None:
        known = ivar and spectrum.ivar is not None
        nothing = np.zeros(grid.length)
        return nothing, np.zeros(grid.length, dtype=np.bool_), nothing.copy() if known else None
    spectrum = convert(near, grid.medium, grid.frame)
    flux = native(spectrum.flux)
    good: NDArray[np.bool_] = np.isfinite(spectrum.flux)
    if spectrum.mask is not None:
        good &= ~np.asarray(spectrum.mask, dtype=np.bool_)
    variance = _variance(spectrum.ivar, good) if ivar and spectrum.ivar is not None else None
    way = way_of(spectrum, grid, how)
    if not isinstance(way, str):
        ours, theirs = way
        density = np.zeros(grid.length, dtype=flux.dtype)
        valid = np.zeros(grid.length, dtype=np.bool_)
        valid[ours], density[ours] = good[theirs], flux[theirs]
        if not good.all():
            density[~valid] = 0
        if variance is None:
            return density, valid, None
        spread = np.full(grid.length, np.nan)
        spread[ours] = variance[theirs]
        return density, valid, _inverse(spread)
    # NaN instead of an array of flags: a mean leaves such pixels out, and what is interpolated from
    # one becomes NaN too.
    if not good.all():
        flux = np.where(good, flux, np.nan)
    wavelength, flux, variance = _split_holes(spectrum.wavelength, flux, variance, _widest(grid))
    if way == "linear":
        density = np.interp(grid.wavelength, wavelength, flux, left=np.nan, right=np.nan)
        valid = np.isfinite(density)
        if variance is not None:
            variance = _between(grid.wavelength, wavelength, variance)
    else:
        density, filled, spread = rebin(pixel_edges(wavelength), flux, variance, grid.edges)
        valid = filled >= 0.5
        if variance is not None:
            variance = spread
    density = np.where(valid, density, 0.0)
    return density, valid, None if variance is None else _inverse(variance)


def way_of(
    spectrum: Spectrum, grid: Grid, how: Resample
) -> tuple[slice, slice] | Literal["linear", "rebin"]:
    """Return how a spectrum in the grid's medium and frame gets onto it.

    Slices of the grid and of the spectrum that are the same pixels, or how to resample.
    """
    if how != "auto":
        return how
    common = _common(spectrum.wavelength, grid)
    if common is not None:
        return common
    return "linear" if sampling(spectrum, grid) > _COARSER else "rebin"


def sampling(spectrum: Spectrum, grid: Grid) -> float:
    """Median step of the spectrum over that of the grid, where both are; NaN if that is nowhere.

    Above 1 the spectrum is coarser than the model's pixels.
    """
    # Over the range that both have: pixels of a log grid grow with wavelength.
    low = max(spectrum.wavelength[0], grid.wavelength[0])
    high = min(spectrum.wavelength[-1], grid.wavelength[-1])
    if not low < high:
        return float("nan")
    return _typical_step(spectrum.wavelength, low, high) / _step_of_grid(grid, low, high)


def _near(spectrum: Spectrum, grid: Grid) -> Spectrum | None:
    """The part of a spectrum near the grid; None if it has less than two pixels there."""
    low, high = grid.wavelength[0] * (1 - _MARGIN), grid.wavelength[-1] * (1 + _MARGIN)
    first, last = (int(at) for at in np.searchsorted(spectrum.wavelength, (low, high)))
    if last - first < 2:
        return None
    if last - first == len(spectrum):
        return spectrum
    part = slice(first, last)
    return replace(
        spectrum,
        wavelength=spectrum.wavelength[part],
        flux=spectrum.flux[part],
        ivar=None if spectrum.ivar is None else spectrum.ivar[part],
        mask=None if spectrum.mask is None else spectrum.mask[part],
    )


def _widest(grid: Grid) -> float:
    """Widest step between pixels of a file that can be drawn across, over the wavelength."""
    pixel = float((grid.wavelength[1] - grid.wavelength[0]) / grid.wavelength[0])
    return max(_BLIND / SPEED_OF_LIGHT, _GRID_PIXELS * pixel)


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
    if n <= 0 or not _same(wavelength[first : first + n], target[start:stop], TOLERANCE):
        return None
    return slice(start, stop), slice(first, first + n)


@lru_cache(maxsize=16)  # that of the whole grid, nearly always
def _step_of_grid(grid: Grid, low: float, high: float) -> float:
    return _typical_step(grid.wavelength, low, high)


@njit(nogil=True)
def _typical_step(wavelength: NDArray[np.float64], low: float, high: float) -> float:
    """Median of up to 1,001 steps spread evenly over the steps that touch [low, high]."""
    # All 300,000 of them would take longer than the rebinning.
    first = max(int(np.searchsorted(wavelength, low, side="right")) - 1, 0)
    last = min(max(int(np.searchsorted(wavelength, high)), first + 1), len(wavelength) - 1)
    at = np.linspace(min(first, last - 1), last - 1, 1001).astype(np.intp)
    return float(np.median(wavelength[at + 1] - wavelength[at]))


@njit(nogil=True)
def pixel_edges(wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Borders of pixels whose centers are given: halfway between centers, mirrored at the ends.

    Parameters
    ----------
    wavelength : ndarray of shape (n,)
        Ascending centers in Angstrom, n >= 2.

    Returns
    -------
    ndarray of shape (n + 1,)
    """
    edges = np.empty(len(wavelength) + 1)
    for i in range(1, len(wavelength)):
        edges[i] = 0.5 * (wavelength[i - 1] + wavelength[i])
    edges[0] = wavelength[0] - (edges[1] - wavelength[0])
    edges[-1] = wavelength[-1] + (wavelength[-1] - edges[-2])
    return edges


def native(flux: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Flux as a contiguous array in the machine's byte order: float32 if it was, else float64."""
    dtype = np.asarray(flux).dtype
    single = dtype.kind == "f" and dtype.itemsize == 4
    return np.ascontiguousarray(flux, dtype=np.float32 if single else np.float64)


def _split_holes(
    wavelength: NDArray[np.float64],
    flux: NDArray[np.floating[Any]],
    variance: NDArray[np.float64] | None,
    widest: float,
) -> tuple[NDArray[np.float64], NDArray[np.floating[Any]], NDArray[np.float64] | None]:
    """Put NaN pixels into every hole of a wavelength axis, so that nothing is drawn across it."""
    # Some formats leave missing pixels out, or join two detectors without what lies between.
    hole, beside = _holes(np.ascontiguousarray(wavelength, dtype=np.float64), widest)
    if len(hole) == 0:
        return wavelength, flux, variance
    # Two NaN pixels a hole, one small step inside it: the pixels beside it keep their width.
    ends = np.column_stack([wavelength[hole] + beside, wavelength[hole + 1] - beside])
    at = np.repeat(hole + 1, 2)
    split = None if variance is None else np.insert(variance, at, np.nan)
    return np.insert(wavelength, at, ends.ravel()), np.insert(flux, at, np.nan), split


def _variance(ivar: NDArray[Any], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Variance of each pixel: infinite where it is not known, NaN where there is no flux."""
    values = np.asarray(ivar, dtype=np.float64)
    with np.errstate(divide="ignore"):
        variance = 1.0 / np.where(values > 0, values, 0.0)
    variance[~good] = np.nan
    return np.asarray(variance)


def _inverse(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(variance > 0, 1.0 / variance, 0.0)


def _between(
    at: NDArray[np.float64], wavelength: NDArray[np.float64], variance: NDArray[Any]
) -> NDArray[np.float64]:
    """Variance of linear interpolation at some wavelengths, shape (m,); NaN outside."""
    left = np.clip(np.searchsorted(wavelength, at, side="right") - 1, 0, len(wavelength) - 2)
    weight = (at - wavelength[left]) / (wavelength[left + 1] - wavelength[left])
    weight[(weight < 0) | (weight > 1)] = np.nan
    with np.errstate(invalid="ignore"):
        before, after = (1 - weight) ** 2 * variance[left], weight**2 * variance[left + 1]
    # A pixel of weight 0 takes no part, not even one whose variance is infinite or missing.
    return np.asarray(np.where(weight == 1, 0, before) + np.where(weight == 0, 0, after))


@njit(nogil=True)
def _same(first: NDArray[np.float64], second: NDArray[np.float64], tolerance: float) -> bool:
    """Whether two arrays of one length, shape (n,), differ nowhere by more than `tolerance`."""
    for start in range(0, len(first), 1024):
        one, two = first[start : start + 1024], second[start : start + 1024]
        others = 0
        for i in range(len(one)):  # in vectors, without a branch
            others += abs(one[i] - two[i]) > tolerance
        if others:
            return False
    return True


@njit(nogil=True)
def _holes(
    wavelength: NDArray[np.float64], widest: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixels before a hole, and the width of the pixels beside each hole, shape (holes,) each.

    The steps beside are means of two, so that orders that lie between each other are no holes.
    """
    n = len(wavelength)
    # Most files have no hole, which a loop without branches tells fastest. The mean of two steps is
    # at least half of either; the outermost pixels are looked at closely, always.
    suspect = False
    for i in range(1, n - 2):
        step = wavelength[i + 1] - wavelength[i]
        suspect |= 2.0 * step > _HOLE * (wavelength[i] - wavelength[i - 1])
        suspect |= 2.0 * step > _HOLE * (wavelength[i + 2] - wavelength[i + 1])
        suspect |= step > widest * wavelength[i]
    stride = 1 if suspect else max(n - 2, 1)
    at = np.empty(n if suspect else 2, dtype=np.int64)
    beside = np.empty(len(at))
    found = 0
    for i in range(0, n - 1, stride):
        step, limit = wavelength[i + 1] - wavelength[i], widest * wavelength[i]
        left, right = max(i - 2, 0), min(i + 3, n - 1)
        small = np.inf
        if left < i:
            small = (wavelength[i] - wavelength[left]) / (i - left)
        if right > i + 1:
            small = min(small, (wavelength[right] - wavelength[i + 1]) / (right - i - 1))
        if step > _HOLE * small or step > limit:
            at[found], beside[found] = i, min(small, limit / _HOLE)
            found += 1
    return at[:found].copy(), beside[:found].copy()


# numba compiles one version with variances and one without, where `variance` is None.
@njit(nogil=True)
def rebin(
    edges_in: NDArray[np.float64],
    flux: NDArray[np.floating[Any]],
    variance: NDArray[np.float64] | None,
    edges_out: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Flux density on new pixels, conserving flux.

    The density of a new pixel is the mean of the old densities in it, weighted by the length of
    the overlap; pixels that are not finite and stretches outside the input count neither in the
    sum nor in the length. Hence the sum over new pixels of density * filled * width equals the
    integral of the old density over the stretch that both sets of pixels cover.

    Parameters
    ----------
    edges_in, edges_out : ndarray of float64, shape (n + 1,) and (m + 1,)
        Ascending borders of the old and the new pixels in Angstrom.
    flux : ndarray of float32 or float64, shape (n,)
        Flux density in each old pixel; NaN or infinite where there is none.
    variance : ndarray of float64, shape (n,), or None

    Returns
    -------
    density, filled, variance : ndarray of float64, shape (m,)
        Density, NaN where nothing fills the pixel; filled fraction, 0 to 1; variance of the
        density, empty without one.
    """
    n, m = len(flux), len(edges_out) - 1
    density = np.full(m, np.nan)
    filled = np.zeros(m)
    spread = np.full(m if variance is not None else 0, np.nan)
    i = max(np.searchsorted(edges_in, edges_out[0], side="right") - 1, 0)
    for j in range(m):
        low, high = edges_out[j], edges_out[j + 1]
        # Both sets of borders ascend: the search for the first old pixel goes on where it ended.
        while i < n and edges_in[i + 1] <= low:
            i += 1
        first, start = i, max(low, edges_in[i])
        # Most new pixels hold whole old ones with flux; the others are gone through once more. Two
        # sums side by side, since each addition waits for the one before it.
        left, total, other, square = start, 0.0, 0.0, 0.0
        while i + 1 < n and edges_in[i + 2] < high:
            middle = edges_in[i + 1]
            total += flux[i] * (middle - left)
            left = edges_in[i + 2]
            other += flux[i + 1] * (left - middle)
            i += 2
        if i < n and edges_in[i + 1] < high:
            total += flux[i] * (edges_in[i + 1] - left)
            left = edges_in[i + 1]
            i += 1
        if i < n and left < high:
            total += flux[i] * (high - left)
            left = high
        total += other
        covered = left - start
        if variance is not None or not np.isfinite(total):
            total = covered = 0.0
            for k in range(first, min(i + 1, n)):
                overlap = min(high, edges_in[k + 1]) - max(low, edges_in[k])
                if overlap > 0 and np.isfinite(flux[k]):
                    total += flux[k] * overlap
                    covered += overlap
                    if variance is not None:
                        square += variance[k] * overlap * overlap
        if covered > 0:
            density[j] = total / covered
            filled[j] = min(covered / (high - low), 1.0)
            if variance is not None:
                spread[j] = square / (covered * covered)
    return density, filled, spread
