"""What a spectrum is, in a few numbers: what ``latentscope inspect`` says, and resolving power."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from latentscope.compiled import njit
from latentscope.errors import SpectrumError
from latentscope.spectra.oxygen import oxygen_depth
from latentscope.spectra.prepare import PrepareConfig, prepare
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import air_to_vacuum, vacuum_to_air

Sampling = Literal["linear", "log", "irregular"]

_FROM_META = ("object", "star", "archive_id", "instrument", "date_obs", "airmass", "snr")


def summarize(spectrum: Spectrum, config: PrepareConfig | None = None) -> dict[str, Any]:
    """Summarize a spectrum in plain JSON values, in the order in which they are to be shown.

    Parameters
    ----------
    spectrum : Spectrum
        What `read_spectrum` returned.
    config : PrepareConfig, optional
        The preparation of a model, for `coverage`.

    Returns
    -------
    dict
        `file`, `format`, `medium`, `frame`; `first`, `last` and `step` (the median one) in
        Angstrom, `sampling` ("linear", "log" or "irregular"), `pixels`; `finite`, the fraction of
        pixels with a finite flux that is not masked; `flux_median` in `flux_unit`; `coverage`,
        the fraction of the model's grid that is filled (None without `config`, 0 where the
        preparation fails, and then `coverage_error` says why); `rv`, `rv_keyword` and `berv` in
        km/s, receding positive; `object`, `star`, `archive_id`, `instrument`, `date_obs`,
        `airmass`, `snr`; `assumed`, a list of what the file did not say. Unknown values are None.
    """
    meta = spectrum.meta
    usable = np.isfinite(spectrum.flux)
    if spectrum.mask is not None:
        usable &= ~spectrum.mask
    sampling, step = _sampling(spectrum.wavelength)
    coverage, trouble, notes = _coverage(spectrum, config)
    return {
        "file": meta.get("file"),
        "format": meta.get("format"),
        "medium": spectrum.medium,
        "frame": spectrum.frame,
        "first": float(spectrum.wavelength[0]),
        "last": float(spectrum.wavelength[-1]),
        "step": step,
        "sampling": sampling,
        "pixels": len(spectrum),
        "finite": float(usable.mean()),
        "flux_median": float(np.median(spectrum.flux[usable])) if usable.any() else None,
        "flux_unit": meta.get("flux_unit"),
        "coverage": coverage,
        "coverage_error": trouble,
        "rv": spectrum.rv,
        "rv_keyword": meta.get("rv_keyword"),
        "berv": spectrum.berv,
        **{key: meta.get(key) for key in _FROM_META},
        "assumed": [*meta.get("assumed", []), *notes],
    }


def _sampling(wavelength: NDArray[np.float64]) -> tuple[Sampling, float]:
    """Tell how the pixels are spaced, and their median step in Angstrom."""
    # Tables may hold rounded wavelengths, so that equal steps are equal to 1e-4.
    steps = np.diff(wavelength)
    step = float(np.median(steps))
    if np.ptp(steps) < 1e-4 * step:
        return "linear", step
    logarithmic = np.diff(np.log(wavelength))
    if np.ptp(logarithmic) < 1e-4 * float(np.median(logarithmic)):
        return "log", step
    return "irregular", step


def _coverage(
    spectrum: Spectrum, config: PrepareConfig | None
) -> tuple[float | None, str | None, tuple[str, ...]]:
    """Coverage of the model's grid, why there is none, and notes of the preparation."""
    if config is None:
        return None, None, ()
    try:
        prepared = prepare(spectrum, config)
    except SpectrumError as error:
        return 0.0, str(error), ()
    return float(prepared.coverage), None, prepared.notes


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
_STEP = 1.5e-6  # of ln(wavelength) of what is compared, 0.45 km/s
_POWERS = np.geomspace(2500.0, 320_000.0, 22)
_COLUMNS = np.geomspace(0.5, 4.0, 7)  # of oxygen over that at the zenith of La Silla

Floats = NDArray[np.float64]


def resolving_power(spectrum: Spectrum) -> float:
    """Resolving power with which the O2 B band looks as the flux does, wavelength over FWHM.

    The lines of the band are wide and saturated: their own width says little. So the band itself is
    compared, whose lines, strengths and pressure widths are known (`oxygen_depth`), as instruments
    of 2,500 to 320,000 see it through more or less air. The one of the least squares counts.

    Parameters
    ----------
    spectrum : Spectrum
        Not at rest with the star, where the band is not in its place.

    Returns
    -------
    float
        NaN where it cannot be told: less than 60 % of 6867-6912 Angstrom (air) is covered, more
        than a tenth of the pixels have no flux, the frame is "rest", the band does not stand out of
        the noise and the star's lines (a correlation below 0.45), the error exceeds 25 %, or no
        instrument would fit better.
    """
    if spectrum.frame == "rest":
        return float("nan")
    low, high = air_to_vacuum(BAND) if spectrum.medium == "vacuum" else np.array(BAND)
    first, last = np.searchsorted(spectrum.wavelength, (low - _BEYOND, high + _BEYOND))
    wavelength = spectrum.wavelength[first:last]
    inside = (low < wavelength) & (wavelength < high)
    if inside.sum() < _MIN_PIXELS or np.ptp(wavelength[inside]) < _MIN_COVERED * (high - low):
        return float("nan")
    flux = np.asarray(spectrum.flux[first:last], dtype=np.float64)
    filled = np.isfinite(flux) & (flux != 0)  # pipelines write 0 where a detector has nothing
    if spectrum.mask is not None:
        filled &= ~np.asarray(spectrum.mask[first:last], dtype=np.bool_)
    if filled.mean() < _MIN_FILLED:
        return float("nan")
    if spectrum.medium == "vacuum":
        wavelength = vacuum_to_air(wavelength)
    return _best_power(np.log(wavelength[filled]), flux[filled])


def _best_power(position: Floats, flux: Floats) -> float:
    """Resolving power of flux at these logarithms of wavelengths in air, or NaN."""
    start, bands, sums = _seen_bands()
    reach = round(_FASTEST / 299792.458 / _STEP)
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
    bands = bands[..., low:high]
    squares = sums[high] - sums[low]
    seen_square = float(seen @ seen)
    overlap = (bands @ seen.astype(np.float32)).astype(np.float64)
    best = np.unravel_index((overlap / np.sqrt(squares)).argmax(), overlap.shape)
    if not overlap[best] > _MIN_CORRELATION * np.sqrt(squares[best] * seen_square):
        return float("nan")
    misfit = (squares - 2 * overlap).min(1) + seen_square  # of each power
    k = int(misfit.argmin())
    if k == 0:
        return float(_POWERS[0])
    if k == len(misfit) - 1:  # sharper than what any instrument sees
        return float("nan")
    before, here, after = misfit[k - 1 : k + 2]
    curvature = before - 2 * here + after
    step = np.log(_POWERS[1] / _POWERS[0])
    # Neighbors on the grid share their noise: as many pixels as the file has are independent.
    error = step * np.sqrt(2 * here / len(position) / curvature)
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
