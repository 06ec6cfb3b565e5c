"""What a spectrum is, in a few numbers: what ``latentscope inspect`` says, and resolving power."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.prepare import PrepareConfig, prepare
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import air_to_vacuum

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
_MIN_SIGNAL = 6.0  # correlation over its scatter by noise

Floats = NDArray[np.float64]


def resolving_power(spectrum: Spectrum) -> float:
    """Wavelength over width of the lines in the O2 B band: a lower limit of the resolving power.

    The width is the full width at half maximum of a Gaussian line whose autocorrelation falls to
    one half where that of the flux does. Lag 0, where noise adds, is extrapolated from the next
    two. The lines' own width and blends count too, so that an instrument of 115,000 measures
    60,000 to 80,000 here, one of 40,000 or 20,000 its own value, and one of 5,000 measures 7,600.

    Parameters
    ----------
    spectrum : Spectrum
        Not at rest with the star, where the band is not in its place.

    Returns
    -------
    float
        NaN where less than 60 % of 6867-6912 Angstrom (air) is covered, more than a tenth of the
        pixels have no flux, the frame is "rest", or no line stands out of the noise.
    """
    if spectrum.frame == "rest":
        return float("nan")
    low, high = air_to_vacuum(BAND) if spectrum.medium == "vacuum" else np.array(BAND)
    first, last = np.searchsorted(spectrum.wavelength, (low, high))
    wavelength = spectrum.wavelength[first:last]
    if len(wavelength) < _MIN_PIXELS or wavelength[-1] - wavelength[0] < _MIN_COVERED * (
        high - low
    ):
        return float("nan")
    flux = np.asarray(spectrum.flux[first:last], dtype=np.float64)
    filled = np.isfinite(flux) & (flux != 0)  # pipelines write 0 where a detector has nothing
    if spectrum.mask is not None:
        filled &= ~np.asarray(spectrum.mask[first:last], dtype=np.bool_)
    if filled.mean() < _MIN_FILLED:
        return float("nan")
    step = float(wavelength[-1] - wavelength[0]) / (len(wavelength) - 1)
    if not filled.all():
        flux = np.interp(wavelength, wavelength[filled], flux[filled])
    width = _line_width(flux, max(int(_LEVEL / step), 4)) * step
    return float(wavelength.mean() / width)


def _line_width(flux: Floats, half: int) -> float:
    """Full width at half maximum of lines in pixels; NaN where none stands out."""
    # Fewer than `half` pixels on a side at the ends.
    level = pd.Series(flux).rolling(2 * half + 1, center=True, min_periods=1).mean().to_numpy()
    if level.min() <= 0:
        return float("nan")
    contrast = flux / level - 1
    contrast -= contrast.mean()
    # Noise of independent pixels correlates at lag 0 alone. A Gaussian's autocorrelation falls from
    # lag 0 to 1 by a third of its fall from 1 to 2.
    zero, one, two = (_correlation(contrast, lag) for lag in range(3))
    peak = one + (one - two) / 3
    if not peak > _MIN_SIGNAL * zero / np.sqrt(len(contrast)):
        return float("nan")
    before = peak
    for lag in range(1, half + 1):
        here = _correlation(contrast, lag)
        if here < peak / 2:
            # The autocorrelation of a Gaussian is sqrt(2) times as wide as itself.
            half_width = lag - 1 + (before - peak / 2) / (before - here)
            return float(half_width * np.sqrt(2.0))
        before = here
    return float("nan")


def _correlation(values: Floats, lag: int) -> float:
    return float(values[: len(values) - lag] @ values[lag:])
