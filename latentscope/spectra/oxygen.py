"""Oxygen in the air: the lines of its B and gamma bands, and the resolving power that they tell.

Lines lie where the levels of the molecule put them, to 0.01 Angstrom.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.special import voigt_profile

from latentscope.compiled import njit
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import SPEED_OF_LIGHT, air_to_vacuum, vacuum_to_air

Floats = NDArray[np.float64]

_KELVIN_PER_WAVENUMBER = 1.438777
_TEMPERATURE = 255.0  # Kelvin, of the air that absorbs
_GROUND = 0.76  # atmospheres, La Silla
_LAYERS = (0.125, 0.375, 0.625, 0.875)  # of equal mass: pressures over that on the ground
_WIDTH = 0.050  # half width in 1/cm at one atmosphere and this temperature (HITRAN: 0.045 at 296 K)
_REACH = 3.0  # Angstrom


class _Band(NamedTuple):
    """Vibrational band b-X of O2: origin, rotation and stretching of the upper level in 1/cm.

    `area` is the band's strength times the column of O2 over La Silla, in 1/cm.
    """

    origin: float
    rotation: float
    stretching: float
    area: float


# B (1-0) and gamma (2-0). Levels after Babcock & Herzberg 1948, ApJ 108, 167, and strengths after
# HITRAN, rounded; both held against HARPS spectra (docs/simulation.md).
_BANDS = (_Band(14525.66, 1.37296, 5.38e-6, 51.0), _Band(15902.42, 1.35451, 5.4e-6, 2.4))
# X v = 0: rotation, stretching, spin-spin and spin-rotation constants in 1/cm.
_GROUND_STATE = (1.437676, 4.842e-6, 1.984751, -0.008425)
_HIGHEST_N = 41


def oxygen_lines() -> tuple[Floats, Floats]:
    """Wavenumbers in vacuum and areas of optical depth, both in 1/cm, of the B and gamma bands.

    The triplet of the ground state is that of Schlapp (1937, Phys. Rev. 51, 342): levels J = N + 1,
    N and N - 1, from which the branches RQ; PP and RR; PQ start. Only odd N exist.
    """
    n = np.arange(1, _HIGHEST_N + 1, 2)
    rotation, stretching, spin, spin_rotation = _GROUND_STATE
    middle = rotation * n * (n + 1) - stretching * (n * (n + 1)) ** 2

    def split(k: NDArray[np.int64]) -> Floats:
        root = np.sqrt((k * rotation) ** 2 + spin**2 - 2 * spin * rotation)
        return np.asarray(k * rotation - root)

    upper = middle + split(2 * n + 3) - spin + spin_rotation * (n + 1)
    lower = middle - split(2 * n - 1) - spin - spin_rotation * n
    wavenumbers, areas = [], []
    for band in _BANDS:
        found, weights = [], []
        for level, to, weight in (
            (middle, n - 1, n), (lower, n - 1, n - 1), (middle, n + 1, n + 1), (upper, n + 1, n + 2)
        ):  # fmt: skip
            end = band.rotation * to * (to + 1) - band.stretching * (to * (to + 1)) ** 2
            found.append(band.origin + end - level)
            weights.append(weight * np.exp(-_KELVIN_PER_WAVENUMBER * level / _TEMPERATURE))
        weight = np.concatenate(weights)
        wavenumbers.append(np.concatenate(found))
        areas.append(band.area * weight / weight.sum())
    return np.concatenate(wavenumbers), np.concatenate(areas)


def oxygen_depth(wavelength: Floats) -> Floats:
    """Optical depth of O2 at the zenith at air wavelengths in ascending order, shape (n,)."""
    wavenumbers, areas = oxygen_lines()
    inside = (wavelength[0] - 4 < 1e8 / wavenumbers) & (1e8 / wavenumbers < wavelength[-1] + 4)
    centers = vacuum_to_air(1e8 / wavenumbers[inside])
    return pressed_lines(wavelength, centers, areas[inside], _WIDTH, _LAYERS, 32.0)


def pressed_lines(
    wavelength: Floats,
    centers: Floats,
    areas: Floats,
    width: float,
    layers: tuple[float, ...],
    mass: float,
) -> Floats:
    """Sum of Voigt profiles over La Silla, each a mean over layers of the air, shape (n,).

    At ascending `wavelength` (n,), of lines at `centers`, both in Angstrom in air. `areas` are
    integrals of optical depth over wavenumber in 1/cm, `width` is the half width of the Lorentz
    profile in 1/cm at one atmosphere, `layers` are pressures over that on the ground, `mass` is
    that of the molecule in atomic units.
    """
    out = np.zeros(len(wavelength))
    thermal = np.sqrt(8314.5 * _TEMPERATURE / mass) / 2.998e8
    low = np.searchsorted(wavelength, centers - _REACH)
    high = np.searchsorted(wavelength, centers + _REACH)
    for center, area, a, b in zip(centers, areas, low, high, strict=True):
        wavenumber = 1e8 / center
        distance = (wavelength[a:b] / center - 1) * wavenumber
        for layer in layers:
            half = width * layer * _GROUND
            out[a:b] += area / len(layers) * voigt_profile(distance, thermal * wavenumber, half)
    return out


BAND = (6867.0, 6912.0)
"""O2 B band, Angstrom in air, as far as HARPS sees it."""

_MIN_COVERED = 0.6  # of the band
_MIN_FILLED = 0.9  # of the pixels in it
_MIN_PIXELS = 60
# Angstrom on either side over which the continuum is a mean: wide against a line of the air, and
# narrow against the lines of a star that rotates.
_LEVEL = 3.0
_MIN_CORRELATION = 0.45  # with the band, where it fits best
_MAX_ERROR = 0.25  # of the natural logarithm
_BEYOND = 2.0  # Angstrom beyond the band, for what moves it
_COMPARED = (6866.5, 6910.5)  # Angstrom in the observer's frame
_FASTEST = 60.0  # km/s between the file's frame and the observer's
_SEARCHED = 125.0  # km/s: vacuum wavelengths that are called air move the band by 83 besides
_STEP = 1.5e-6  # of ln(wavelength) of what is compared, 0.45 km/s
_POWERS = np.geomspace(2500.0, 320_000.0, 22)
_COLUMNS = np.geomspace(0.5, 4.0, 7)  # of oxygen over that at the zenith of La Silla


class Seen(NamedTuple):
    """The O2 B band in a spectrum: resolving power, and velocity in km/s to the red; or NaN."""

    power: float
    velocity: float


_UNSEEN = Seen(float("nan"), float("nan"))


def resolving_power(spectrum: Spectrum) -> float:
    """Resolving power at which the O2 B band looks like the flux: that of `oxygen_seen`."""
    return oxygen_seen(spectrum).power


def oxygen_seen(spectrum: Spectrum) -> Seen:
    """Sharpness of the O2 B band (wavelength over FWHM), and its place in the spectrum's frame.

    The lines of the band are wide and saturated: their own width says little. So the band itself is
    compared, whose lines, strengths and pressure widths are known (`oxygen_depth`), as instruments
    of 2,500 to 320,000 see it through more or less air. The one of the least squares counts.

    NaN where it cannot be told: less than 60 % of 6867-6912 Angstrom (air) is covered, more than a
    tenth of the pixels have no flux, the frame is "rest", or the band does not stand out of the
    noise and the star's lines (a correlation below 0.45). The power alone is NaN where the band
    lies more than 60 km/s off, the error exceeds 25 %, or no instrument would fit better.
    """
    if spectrum.frame == "rest":
        return _UNSEEN
    low, high = air_to_vacuum(BAND) if spectrum.medium == "vacuum" else np.array(BAND)
    first, last = np.searchsorted(spectrum.wavelength, (low - _BEYOND, high + _BEYOND))
    wavelength = spectrum.wavelength[first:last]
    inside = (low < wavelength) & (wavelength < high)
    if inside.sum() < _MIN_PIXELS or np.ptp(wavelength[inside]) < _MIN_COVERED * (high - low):
        return _UNSEEN
    flux = np.asarray(spectrum.flux[first:last], dtype=np.float64)
    filled = np.isfinite(flux) & (flux != 0)  # pipelines write 0 where a detector has nothing
    if spectrum.mask is not None:
        filled &= ~np.asarray(spectrum.mask[first:last], dtype=np.bool_)
    if filled.mean() < _MIN_FILLED:
        return _UNSEEN
    if spectrum.medium == "vacuum":
        wavelength = vacuum_to_air(wavelength)
    return _best(np.log(wavelength[filled]), flux[filled])


_OFF = 2.0  # km/s: of 2,575 simulated HARPS spectra none lies off by more than 0.53
_NEAR = 1.0
_EARTH = 31.0  # km/s at most
_REST = 50.0  # km/s: vacuum wavelengths that are called air lie 52 and more off
DOUBT = "frame: the O2 lines of the air"


def frame_doubt(spectrum: Spectrum, velocity: float) -> str:
    """What telluric O2 at `velocity` km/s says against the frame; empty if nothing.

    The air is at rest with the observer: in barycentric wavelengths its lines lie at `berv`. What
    lies further off than `_FASTEST` is in another medium. Where the file says neither frame nor
    `berv`, lines at 0 and lines faster than the Earth speak against the custom.
    """
    berv, frame = np.nan if spectrum.berv is None else spectrum.berv, spectrum.frame
    place = berv if frame == "barycentric" else 0.0
    found = f"{DOUBT} lie at {velocity:+.1f} km/s"
    if frame == "barycentric" and spectrum.berv is None:
        notes = spectrum.meta.get("assumed", ())
        if not any(note.startswith("frame:") and "does not say" in note for note in notes):
            return ""
        if abs(velocity) < _NEAR:
            return f"{found}, as in topocentric wavelengths"
        if _EARTH + _OFF < abs(velocity) < _REST:
            return f"{found}, faster than the Earth: at rest? --frame rest (frame=) takes them so"
    if frame == "rest" or not _OFF < abs(velocity - place) < _FASTEST:
        return ""
    told = "the frame or berv is wrong"
    for at, words in (
        (-berv, "as in wavelengths that were corrected with the wrong sign"),
        (2 * berv, "as in wavelengths that were corrected twice"),
        (berv, "as in barycentric wavelengths: --frame barycentric (frame=) takes them so"),
        (0.0, "as in topocentric wavelengths: --frame topocentric (frame=) takes them so"),
    ):
        told = words if abs(velocity - at) < _NEAR else told
    return f"{found} and not at {place:+.1f}, {told}"


def _best(position: Floats, flux: Floats) -> Seen:
    """The band in flux at these logarithms of wavelengths in air."""
    start, bands, sums = _seen_bands()
    reach = round(_SEARCHED / SPEED_OF_LIGHT / _STEP)
    size = bands.shape[-1]
    grid = start + _STEP * np.arange(size)
    seen = _contrast(np.interp(grid, position, flux))
    length = next_fast_len(size + reach, real=True)
    lags = np.fft.irfft(np.fft.rfft(seen, length) * _middle_band(length), length)
    lag = int(np.concatenate([lags[-reach:], lags[: reach + 1]]).argmax()) - reach
    # Now as the observer had it, where there is flux.
    grid += lag * _STEP
    low, high = np.searchsorted(grid, (position[0], position[-1]))
    seen = _contrast(np.interp(grid[low:high], position, flux))
    squares = sums[high] - sums[low]
    seen_square = float(seen @ seen)
    # Filled up with zeros, so that one product goes through the bands as they lie in memory.
    filled = np.zeros(size, dtype=np.float32)
    filled[low:high] = seen
    overlap = (bands.reshape(-1, size) @ filled).reshape(squares.shape).astype(np.float64)
    best = np.unravel_index((overlap / np.sqrt(squares)).argmax(), overlap.shape)
    if not overlap[best] > _MIN_CORRELATION * np.sqrt(squares[best] * seen_square):
        return _UNSEEN
    velocity = lag * _STEP * SPEED_OF_LIGHT
    if abs(velocity) > _FASTEST:
        return Seen(float("nan"), velocity)
    misfit = (squares - 2 * overlap).min(1) + seen_square  # of each power
    return Seen(_sharpest(misfit, len(position)), velocity)


def _sharpest(misfit: Floats, pixels: int) -> float:
    """Resolving power of the least misfit to `pixels` values, or NaN."""
    k = int(misfit.argmin())
    if k == 0:
        return float(_POWERS[0])
    if k == len(misfit) - 1:  # sharper than what any instrument sees
        return float("nan")
    before, here, after = misfit[k - 1 : k + 2]
    curvature = before - 2 * here + after
    step = np.log(_POWERS[1] / _POWERS[0])
    # Neighbors on the grid share their noise: as many pixels as the file has are independent.
    error = step * np.sqrt(2 * here / pixels / curvature)
    if not error < _MAX_ERROR:
        return float("nan")
    return float(_POWERS[k] * np.exp(0.5 * step * (before - after) / curvature))


@cache
def _middle_band(length: int) -> NDArray[np.complex128]:
    """Conjugate transform of the band by an instrument in the middle, and oxygen as usual."""
    band = _seen_bands()[1][len(_POWERS) * 2 // 3, 2]
    return np.asarray(np.fft.rfft(band.astype(np.float64), length).conj())


@cache
def _seen_bands() -> tuple[float, NDArray[np.float32], Floats]:
    """The band as instruments see it through more or less air.

    Its first ln(wavelength), contrasts of shape (powers, columns, n), and running sums of their
    squares, (n + 1, powers, columns).
    """
    first, last = np.log(_COMPARED)
    edge = 1200  # pixels beyond the band that an instrument sees into it
    grid = first + _STEP * np.arange(-edge, round((last - first) / _STEP) + edge)
    depth = oxygen_depth(np.exp(grid))
    transmission = np.exp(-_COLUMNS[:, None] * depth)
    frequency = np.fft.rfftfreq(len(grid))
    spectra = np.fft.rfft(transmission)
    bands = []
    for power in _POWERS:
        sigma = 1 / power / 2.3548 / _STEP
        seen = np.fft.irfft(spectra * np.exp(-2 * (np.pi * sigma * frequency) ** 2), len(grid))
        bands.append([_contrast(row[edge:-edge]) for row in seen])
    out = np.array(bands)
    sums = np.pad(np.cumsum(np.moveaxis(out**2, -1, 0), axis=0), ((1, 0), (0, 0), (0, 0)))
    return float(first), out.astype(np.float32), sums


def _contrast(flux: Floats) -> Floats:
    """Flux over its mean within 3 Angstrom on either side, less one."""
    contrast = _over_level(flux, round(_LEVEL / BAND[0] / _STEP))
    return np.asarray(contrast - contrast.mean(), dtype=np.float64)


@njit(nogil=True)
def _over_level(flux: Floats, half: int) -> Floats:
    """Flux over its mean within `half` pixels; NaN throughout if a mean is not positive."""
    n = len(flux)
    sums = np.zeros(n + 1)
    for i in range(n):
        sums[i + 1] = sums[i] + flux[i]
    out = np.empty(n)
    for i in range(n):
        low, high = max(i - half, 0), min(i + half + 1, n)
        level = (sums[high] - sums[low]) / (high - low)
        if not level > 0:
            return np.full(n, np.nan)
        out[i] = flux[i] / level
    return out
