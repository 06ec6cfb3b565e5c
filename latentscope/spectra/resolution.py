"""Resolving power, measured on lines of the air, which no star can broaden.

The O2 B band lies at rest with the observer, and its lines are narrower than what spectrographs
resolve. Stellar lines are no measure: rotation widens them. A header's SPEC_RES is no measure
either: it is what the instrument has, and stays in a file that was smoothed since.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import air_to_vacuum

BAND = (6867.0, 6912.0)
"""O2 B band, Angstrom in air, as far as HARPS sees it."""

_COVERED = 0.6  # of the band, at least
_KNOWN = 0.9  # of its pixels, at least
_FEWEST = 60
_LEVEL = 3.0  # Angstrom on either side over which the continuum is a mean
_SIGNAL = 6.0  # correlation over its scatter by noise

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
    if len(wavelength) < _FEWEST or wavelength[-1] - wavelength[0] < _COVERED * (high - low):
        return float("nan")
    flux = np.asarray(spectrum.flux[first:last], dtype=np.float64)
    known = np.isfinite(flux) & (flux != 0)
    if spectrum.mask is not None:
        known &= ~np.asarray(spectrum.mask[first:last], dtype=np.bool_)
    if known.mean() < _KNOWN:
        return float("nan")
    step = float(wavelength[-1] - wavelength[0]) / (len(wavelength) - 1)
    if not known.all():
        flux = np.interp(wavelength, wavelength[known], flux[known])
    width = _line_width(flux, max(int(_LEVEL / step), 4)) * step
    return float(wavelength.mean() / width)


def _line_width(flux: Floats, half: int) -> float:
    """Full width at half maximum of lines in pixels; NaN where none stands out."""
    level = _running_mean(flux, half)
    if level.min() <= 0:
        return float("nan")
    contrast = flux / level - 1
    contrast -= contrast.mean()
    zero, one, two = (_correlation(contrast, lag) for lag in range(3))
    peak = one + (one - two) / 3
    if not peak > _SIGNAL * zero / np.sqrt(len(contrast)):
        return float("nan")
    before = peak
    for lag in range(1, half + 1):
        here = _correlation(contrast, lag)
        if here < peak / 2:
            half_width = lag - 1 + (before - peak / 2) / (before - here)
            return float(half_width * np.sqrt(2.0))
        before = here
    return float("nan")


def _correlation(values: Floats, lag: int) -> float:
    return float(values[: len(values) - lag] @ values[lag:])


def _running_mean(values: Floats, half: int) -> Floats:
    """Mean over `half` pixels on either side, fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    left, right = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    return np.asarray((total[right] - total[left]) / (right - left))
