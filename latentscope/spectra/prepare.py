"""From a spectrum to the row of numbers that a model expects, and back to flux.

A pixel is invalid if its flux is not finite, if the spectrum's mask marks it, if the file does not
cover it (less than half of it, when rebinning), or if it is padding. Invalid pixels become 0 in the
median normalizations, as in the published padding, and contrast 0 (flux on the pseudo-continuum) in
the continuum one. Pixels in a gap of the grid are not valid either and are left out of medians (or
count as zeros, where the model was published so) and running means; but the median normalizations
keep the flux there, as the published preparation does.

Onto the model's grid a spectrum comes by an exact slice, a flux-conserving rebinning, or
interpolation. Variances add as those of independent pixels do: a weighted mean, sum of w_i f_i with
the w_i summing to 1, has the variance sum of w_i^2 var_i. What neighboring values have in common
after resampling (they share pixels of the file) is not kept.

In the continuum normalization a flux x, divided by its median, is written as x = c (1 + g): c is
the running mean of x over an odd number of pixels, g the line contrast, and log c is kept at the
centers of equal blocks of pixels (nodes). A row is g followed by log c at the nodes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, Self

import numpy as np
import pydantic
from numpy.typing import NDArray

from latentscope.compiled import njit
from latentscope.errors import SpectrumError
from latentscope.files import plain
from latentscope.settings import read_settings, settings
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import MAX_PIXELS, SPEED_OF_LIGHT, TOLERANCE, Grid, convert

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
    """Bring a spectrum onto a model's grid, its wavelengths to the grid's medium and frame.

    `how` is "rebin" (mean density over each new pixel, conserving flux; valid if valid pixels of
    the file fill at least half of it), "linear" (interpolation at the new centers; valid if both
    neighbors in the file are), or "auto": the file's own values where its pixels are the grid's to
    1e-5 Angstrom over their common range, else "linear" if the file's median pixel is over 1.05
    times as wide as the grid's, else "rebin". Nothing is drawn across a hole in the file's
    wavelengths: a step over 2.5 times those beside it, or over 800 km/s and three pixels of the
    grid.

    Returns
    -------
    flux : ndarray of float32 or float64, shape (grid.length,)
        Flux density in the file's unit; 0 where invalid.
    valid : ndarray of bool, shape (grid.length,)
        In gaps of the grid too.
    ivar : ndarray of float64, shape (grid.length,), or None
        Inverse variance of the flux, 0 where it is not known. None if it was not asked for by
        `ivar`, or the spectrum has none.

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
    flux, mask = native(spectrum.flux), spectrum.mask
    if mask is not None:
        mask = np.asarray(mask, dtype=np.bool_)
    variance = None
    if ivar and spectrum.ivar is not None:
        variance = _variance(spectrum.ivar, flux, mask)
    way = way_of(spectrum, grid, how)
    if not isinstance(way, str):
        ours, theirs = way
        density = np.zeros(grid.length, dtype=flux.dtype)
        valid = np.zeros(grid.length, dtype=np.bool_)
        _take(flux[theirs], None if mask is None else mask[theirs], density[ours], valid[ours])
        if variance is None:
            return density, valid, None
        spread = np.full(grid.length, np.nan)
        spread[ours] = variance[theirs]
        return density, valid, _inverse(spread)
    wavelength, flux, variance, bad = _split_holes(
        spectrum.wavelength, flux, variance, mask, _widest(grid)
    )
    if way == "linear":
        # What is interpolated from NaN becomes NaN too.
        flux = np.where(np.isfinite(flux), flux, np.nan)
        flux[bad] = np.nan
        density = np.interp(grid.wavelength, wavelength, flux, left=np.nan, right=np.nan)
        valid = np.isfinite(density)
        if variance is not None:
            variance = _between(grid.wavelength, wavelength, variance)
    else:
        density, filled, spread = rebin(wavelength, flux, bad, variance, grid.edges)
        valid = filled >= 0.5
        if variance is not None:
            variance = spread
    density = np.where(valid, density, 0.0)
    return density, valid, None if variance is None else _inverse(variance)


# Compiled: numpy would pass over the pixels five times.
@njit(nogil=True)
def _take(
    flux: NDArray[np.floating[Any]],
    mask: NDArray[np.bool_] | None,
    density: NDArray[np.floating[Any]],
    valid: NDArray[np.bool_],
) -> None:
    """Copy flux (n,) where it is finite and not masked, and mark these pixels."""
    for i in range(len(flux)):
        good = abs(flux[i]) < np.inf
        if mask is not None:
            good &= not mask[i]
        valid[i] = good
        density[i] = flux[i] if good else 0.0


def way_of(
    spectrum: Spectrum, grid: Grid, how: Resample
) -> tuple[slice, slice] | Literal["linear", "rebin"]:
    """Return the way by which a spectrum in the grid's medium and frame gets onto it.

    Slices of the grid and of the spectrum that are the same pixels, or how to resample.
    """
    if how != "auto":
        return how
    common = _common(spectrum.wavelength, grid)
    if common is not None:
        return common
    return "linear" if sampling(spectrum, grid) > _COARSER else "rebin"


def sampling(spectrum: Spectrum, grid: Grid) -> float:
    """Median step of the spectrum over that of the grid, where both are; NaN if that is nowhere."""
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
    """Widest step between pixels that can be bridged, over the wavelength."""
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


def _typical_step(wavelength: NDArray[np.float64], low: float, high: float) -> float:
    """Median of up to 1,001 steps spread evenly over the steps that touch [low, high]."""
    # All 300,000 of them would take longer than the rebinning. Not compiled, which takes 4 seconds
    # and saves 16 microseconds.
    first = max(int(np.searchsorted(wavelength, low, side="right")) - 1, 0)
    last = min(max(int(np.searchsorted(wavelength, high)), first + 1), len(wavelength) - 1)
    at = np.linspace(min(first, last - 1), last - 1, 1001).astype(np.intp)
    steps = wavelength[at + 1] - wavelength[at]
    middle = len(steps) // 2
    return float(np.partition(steps, middle)[middle])


@njit(nogil=True)
def pixel_edges(wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Borders (n + 1,) of pixels by their ascending centers (n,): halfway, mirrored at the ends."""
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
    mask: NDArray[np.bool_] | None,
    widest: float,
) -> tuple[
    NDArray[np.float64], NDArray[np.floating[Any]], NDArray[np.float64] | None, NDArray[np.intp]
]:
    """Put NaN pixels into every hole of a wavelength axis, so that nothing is drawn across it.

    With the numbers of the masked pixels.
    """
    bad = np.empty(0, np.intp) if mask is None else np.flatnonzero(mask)
    # Some formats leave missing pixels out, or join two detectors without what lies between.
    hole, beside = _holes(np.ascontiguousarray(wavelength, dtype=np.float64), widest)
    if len(hole) == 0:
        return np.ascontiguousarray(wavelength), flux, variance, bad
    # Two NaN pixels a hole, one small step inside it: the pixels beside it keep their width.
    ends = np.column_stack([wavelength[hole] + beside, wavelength[hole + 1] - beside])
    at = np.repeat(hole + 1, 2)
    split = None if variance is None else np.insert(variance, at, np.nan)
    bad = bad + np.searchsorted(at, bad, side="right")
    return np.insert(wavelength, at, ends.ravel()), np.insert(flux, at, np.nan), split, bad


def _variance(
    ivar: NDArray[Any], flux: NDArray[np.floating[Any]], mask: NDArray[np.bool_] | None
) -> NDArray[np.float64]:
    """Variance of each pixel: infinite where it is not known, NaN where there is no flux."""
    values = np.asarray(ivar, dtype=np.float64)
    with np.errstate(divide="ignore"):
        variance = 1.0 / np.where(values > 0, values, 0.0)
    variance[~np.isfinite(flux)] = np.nan
    if mask is not None:
        variance[mask] = np.nan
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
    for start in range(0, len(first), 4096):
        one, two = first[start : start + 4096], second[start : start + 4096]
        same = True
        for i in range(len(one)):  # in vectors, without a branch
            same &= abs(one[i] - two[i]) <= tolerance
        if not same:
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


# numba compiles one version with variances and one without, where `variance` is None. Indices have
# no sign: it would look at each whether it counts from the end, which takes longer than the sum.
@njit(nogil=True)
def rebin(
    wavelength: NDArray[np.float64],
    flux: NDArray[np.floating[Any]],
    bad: NDArray[np.intp],
    variance: NDArray[np.float64] | None,
    edges: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Flux density on new pixels between `edges` (m + 1,), conserving flux; each of shape (m,).

    The density of a new pixel is the mean of the old densities in it, weighted by the length of
    the overlap; old pixels whose numbers are in `bad` (ascending) or that are not finite, and
    stretches outside the input, count neither in the sum nor in the length. Hence the sum over new
    pixels of density * filled * width equals the integral of the old density over the stretch that
    both cover. Borders of old pixels, whose ascending centers are given, are `pixel_edges`.

    Returns density, NaN where nothing fills the pixel; filled fraction, 0 to 1; and variance of the
    density, empty without one.
    """
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    n, m = np.uint64(len(flux)), len(edges) - 1
    density = np.full(m, np.nan)
    filled = np.zeros(m)
    spread = np.full(m if variance is not None else 0, np.nan)
    stop = wavelength[-1] + 0.5 * (wavelength[-1] - wavelength[-2])  # where the last pixel ends
    i, left = np.uint64(0), wavelength[0] - 0.5 * (wavelength[1] - wavelength[0])
    nearest = np.searchsorted(wavelength, edges[0])
    if nearest > 1:
        i = np.uint64(nearest - 1)
        left = 0.5 * (wavelength[i - one] + wavelength[i])
    after = 0  # of the bad pixels
    for j in range(m):
        low, high = edges[j], edges[j + 1]
        # Both sets of borders ascend: the search for the first old pixel goes on where it ended.
        while i + one < n and 0.5 * (wavelength[i] + wavelength[i + one]) <= low:
            left = 0.5 * (wavelength[i] + wavelength[i + one])
            i += one
        start, end = max(low, left), min(high, stop)
        if not start < end:
            continue
        # Whole old pixels, with flux mostly; else they are gone through once more. Four sums side
        # by side, since each addition waits for the one before it.
        first, last, twice = i, i, 2.0 * high
        total = 0.0
        if i + one < n and wavelength[i] + wavelength[i + one] < twice:
            s0 = s1 = s2 = s3 = 0.0
            k = i + one
            while k + four < n and wavelength[k + three] + wavelength[k + four] < twice:
                s0 += flux[k] * (wavelength[k + one] - wavelength[k - one])
                s1 += flux[k + one] * (wavelength[k + two] - wavelength[k])
                s2 += flux[k + two] * (wavelength[k + three] - wavelength[k + one])
                s3 += flux[k + three] * (wavelength[k + four] - wavelength[k + two])
                k += four
            while k + one < n and wavelength[k] + wavelength[k + one] < twice:
                s0 += flux[k] * (wavelength[k + one] - wavelength[k - one])
                k += one
            total = 0.5 * ((s0 + s1) + (s2 + s3))
            total += flux[i] * (0.5 * (wavelength[i] + wavelength[i + one]) - start)
            left = 0.5 * (wavelength[k - one] + wavelength[k])
            total += flux[k] * (end - left)
            i = last = k
        else:
            total = flux[i] * (end - start)
        covered, square = end - start, 0.0
        while after < len(bad) and bad[after] < first:
            after += 1
        spoiled = (after < len(bad) and bad[after] <= last) or not np.isfinite(total)
        if variance is not None or spoiled:
            total = covered = 0.0
            at = after
            border = start
            for old in range(first, last + one):
                begin, border = border, end
                if old < last:
                    border = 0.5 * (wavelength[old] + wavelength[old + one])
                if at < len(bad) and bad[at] == old:
                    at += 1
                elif np.isfinite(flux[old]):
                    overlap = border - begin
                    total += flux[old] * overlap
                    covered += overlap
                    if variance is not None:
                        square += variance[old] * overlap * overlap
        if covered > 0:
            density[j] = total / covered
            filled[j] = min(covered / (high - low), 1.0)
            if variance is not None:
                spread[j] = square / (covered * covered)
    return density, filled, spread


# The pseudo-continuum is not let below this fraction of the median flux: where a detector has no
# light the contrast would be noise over noise.
FLOOR = 1e-3

# Pixels more times as wide as the model's show fewer lines than those that it was trained on.
COARSE = 3.0


@settings(SpectrumError)
class PrepareConfig:
    """How a model expects its spectra.

    Attributes
    ----------
    grid : Grid
        Wavelengths of the science pixels, padding and gaps.
    resample : {"auto", "rebin", "linear"}
        How a spectrum gets onto the grid: see `resample`. "auto": an exact slice where the file's
        pixels are the grid's to 1e-5 Angstrom; else "linear" where they are wider, and "rebin".
    normalization : {"median-padded", "median-valid", "continuum"}
        What the flux is divided by: the median over all pixels, gaps, padding and invalid ones as
        zeros (astro-machines); the median over valid pixels (stellar-karaoke); the median over
        valid pixels and then a running mean, with the row [contrast g, log continuum at nodes].
    min_median : float, optional
        A spectrum whose median is at most this in the file's flux unit, or whose mean over valid
        pixels is at most 0, is degenerate: a row of zeros. None: only spectra whose median is not
        positive are.
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

    Examples
    --------
    >>> from latentscope.spectra.wavelength import Grid
    >>> PrepareConfig(Grid("linear", 5000.0, 1.0, 100), normalization="median-valid").grid.length
    100
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
        values: dict[str, Any] = plain(asdict(self))
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PrepareConfig:
        """Build a configuration from `to_dict`'s values; raise SpectrumError if they make none."""
        return read_settings(cls, values, where="prepare", error=SpectrumError)


@dataclass(frozen=True)
class Prepared:
    """A spectrum as a model expects it.

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
        where a pixel is not valid or its variance not known.
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
    """Turn a spectrum into the row of numbers that a model expects.

    Wavelengths are converted to the grid's medium and frame (at rest without `rv`, they are taken
    for barycentric ones of a star at 0 km/s), the flux is brought onto the grid (`resample`) and
    normalized. The median normalizations work in float32 throughout, as published.

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

    Raises
    ------
    SpectrumError
        If the spectrum and the grid have no valid pixel in common, if the flux spans more than
        single precision can hold, or if a velocity that the conversion of the frame needs is
        unknown. Poor coverage is no error here: see `coverage`.

    Examples
    --------
    >>> from latentscope import load_model, read_spectrum
    >>> prepare(read_spectrum("spectrum.fits"), load_model("harps-sim").prepare)  # doctest: +SKIP
    """
    grid = config.grid
    frame = spectrum.frame
    # At rest a star of unknown velocity is one of velocity 0, whose lines a model knows.
    if (frame, grid.frame, spectrum.rv) == ("rest", "barycentric", None):
        spectrum = replace(spectrum, frame="barycentric")
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
        row, scale = _median_row(flux, inside, config)
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
    """Turn rows, prepared or decoded by a model, back into normalized flux.

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
    flux: NDArray[np.floating[Any]], inside: NDArray[np.bool_], config: PrepareConfig
) -> tuple[NDArray[np.float32], float]:
    """Row of shape (grid.size,) and its scale: zeros and NaN for a degenerate spectrum."""
    row = np.zeros(config.grid.size, dtype=np.float32)
    science = row[config.science]
    with np.errstate(over="ignore"):  # prepare refuses rows that are not finite
        science[:] = flux  # 0 where invalid
    if config.normalization == "median-padded":
        everything = row.copy()
        everything[config.science][config.grid.gap_mask] = 0
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
    """Median like numpy's, in the precision of `values`, which it reorders."""
    # Not np.median, which looks for NaN besides, and selects twice.
    n = len(values)
    values.partition(n // 2)
    high = values[n // 2]
    if n % 2:
        return float(high)
    return float((values[: n // 2].max() + high) / values.dtype.type(2))


def _degenerate(
    scale: float, flux: NDArray[np.floating[Any]], inside: NDArray[np.bool_], config: PrepareConfig
) -> bool:
    if config.min_median is None:
        return not scale > 0
    return not (scale > max(config.min_median, 0) and _total(flux, inside) > 0)


@njit(nogil=True, fastmath={"reassoc"})
def _total(flux: NDArray[np.floating[Any]], inside: NDArray[np.bool_]) -> float:
    total = 0.0
    for i in range(len(flux)):
        total += np.float64(flux[i]) if inside[i] else 0.0
    return total


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
    """Mean of the valid pixels in a centered window of odd width; NaN where there are none.

    Sums run forwards and backwards within blocks as long as the window, so that a window is the
    end of one block plus the start of the next: nothing is subtracted, and one huge pixel spoils
    no window but those it lies in (van Herk 1992, Pattern Recognition Letters 13, 517, for sums).
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
