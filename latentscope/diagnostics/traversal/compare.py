"""Measures decoded spectra against the one they were moved from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.traversal.continuum import Slope, colour, slope
from latentscope.diagnostics.traversal.features import TELLURIC_SPANS, Feature
from latentscope.diagnostics.traversal.strengths import Gauge, Strengths
from latentscope.diagnostics.traversal.velocity import (
    SPEED_OF_LIGHT,
    Floats,
    LogAxis,
    Velocity,
    log_axis,
    running_contrast,
    spline,
    velocity,
)
from latentscope.errors import EstimatorError

CONTRAST_WINDOW = 600.0
"""Velocity, km/s, over which the flux is averaged to flatten it where a model gives no contrast."""

_FEWEST_LINES = 10
_LEAST_CORRELATION = 0.1
_LINE_SIGMA = 6.0  # km/s
_UNSHIFTED = 0.01  # km/s


@dataclass(frozen=True)
class Pixels:
    """The wavelengths of decoded spectra, and which of them count.

    Parameters
    ----------
    wavelength : ndarray, shape (n,)
        Angstrom in air, ascending.
    valid : ndarray of bool, shape (n,)
        False in gaps and padding.
    """

    wavelength: Floats
    valid: NDArray[np.bool_]

    @classmethod
    def checked(cls, wavelength: ArrayLike, valid: ArrayLike | None) -> Pixels:
        """Check and complete what a user gave.

        Raises
        ------
        EstimatorError
            If wavelengths are not ascending and positive, or `valid` does not fit.
        """
        given = np.asarray(wavelength, dtype=np.float64)
        if given.ndim != 1 or len(given) < 64 or given[0] <= 0 or not (np.diff(given) > 0).all():
            raise EstimatorError(
                f"wavelength has shape {given.shape}; wanted (pixels,) of at least 64 positive, "
                "ascending values in Angstrom"
            )
        usable = np.ones(len(given), np.bool_) if valid is None else np.asarray(valid, np.bool_)
        if usable.shape != given.shape or usable.sum() < 64:
            raise EstimatorError(
                f"valid has shape {usable.shape} and {int(usable.sum())} usable pixels; wanted "
                f"{given.shape} and at least 64"
            )
        return cls(given, usable)


@dataclass(frozen=True)
class Change:
    """How a decoded spectrum differs from the base.

    Parameters
    ----------
    velocity : Velocity
        Its radial velocity against the base.
    slope : Slope
        Of its continuum against the base's.
    colour : float
        Its colour minus the base's, mag; positive: redder.
    rms : float
        Root mean square of the difference over the base's mean flux.
    strengths : Strengths
        Of its lines, measured where its velocity puts them, without the change of the slope.
    sampling : Strengths
        What the same measurement makes of the base, shifted by that velocity, minus what it makes
        of the base: the error of reading narrow lines off pixels.
    """

    velocity: Velocity
    slope: Slope
    colour: float
    rms: float
    strengths: Strengths
    sampling: Strengths


class Base:
    """The spectrum that others are measured against.

    Parameters
    ----------
    flux : ndarray, shape (n,)
    contrast : ndarray, shape (n,), optional
        Line contrast, continuum at 0; by default of the flux over its running mean.
    pixels : Pixels
    features : sequence of Feature
    rv : float, optional
        Velocity of its lines, km/s; by default where the listed lines correlate best.
    """

    def __init__(
        self,
        flux: NDArray[np.floating[Any]],
        contrast: NDArray[np.floating[Any]] | None,
        pixels: Pixels,
        features: Sequence[Feature],
        rv: float | None = None,
    ) -> None:
        self.flux, self.pixels = flux, pixels
        stellar = pixels.valid.copy()
        for first, last in TELLURIC_SPANS:
            stellar &= (pixels.wavelength < first) | (pixels.wavelength > last)
        self.axis = log_axis(pixels.wavelength, pixels.valid, stellar)
        self.window = 1 + 2 * round(CONTRAST_WINDOW / SPEED_OF_LIGHT / self.axis.step / 2)
        self.contrast = self._contrast(flux, contrast)
        self.gauge = Gauge(features, pixels.wavelength, pixels.valid)
        found = line_velocity(self.contrast, self.axis, features) if rv is None else rv
        self.rv = found if np.isfinite(found) else 0.0
        self.source_of_rv = "given" if rv is not None else _source(found)
        self.strengths = self.gauge.measure(flux, self.rv)
        self.colour = colour(flux, pixels.wavelength, pixels.valid)

    def change(
        self,
        flux: NDArray[np.floating[Any]],
        contrast: NDArray[np.floating[Any]] | None,
    ) -> Change:
        """Measure a spectrum, flux and contrast of shape (n,), against the base."""
        moved = velocity(self._contrast(flux, contrast), self.contrast, self.axis)
        valid, wavelength = self.pixels.valid, self.pixels.wavelength
        difference = (flux - self.flux)[valid].astype(np.float64)
        tilt = slope(flux, self.flux, wavelength, valid)
        level = flux
        if np.isfinite(tilt.value):
            level = flux / (wavelength / wavelength.mean()) ** tilt.value
        shift = moved.rv if np.isfinite(moved.rv) else 0.0
        return Change(
            velocity=moved,
            slope=tilt,
            colour=colour(flux, wavelength, valid) - self.colour,
            rms=float(np.sqrt(np.mean(difference**2)) / abs(self.flux[valid].mean())),
            strengths=self.gauge.measure(level, self.rv + shift),
            sampling=self._sampling(shift),
        )

    def _sampling(self, shift: float) -> Strengths:
        """Error of the strengths of a spectrum that is shifted by so many km/s."""
        if abs(shift) < _UNSHIFTED:
            return self.strengths - self.strengths
        wavelength = self.pixels.wavelength
        base = spline(wavelength, self.flux, self.pixels.valid)
        shifted = base(wavelength / (1 + shift / SPEED_OF_LIGHT))
        return self.gauge.measure(shifted, self.rv + shift) - self.strengths

    def _contrast(
        self, flux: NDArray[np.floating[Any]], contrast: NDArray[np.floating[Any]] | None
    ) -> Floats:
        if contrast is not None:
            return self.axis.put(contrast)
        return running_contrast(self.axis.put(flux), self.axis.valid, self.window)


def _source(found: float) -> str:
    return "its lines" if np.isfinite(found) else "assumed: its lines do not correlate"


def line_velocity(contrast: Floats, axis: LogAxis, features: Sequence[Feature]) -> float:
    """Velocity of a star from its lines, km/s, receding positive.

    The cross-correlation with a mask of the listed atomic lines, all of one strength (Baranne et
    al. 1996, A&AS 119, 373). NaN where fewer than ten of them are covered, or nothing correlates.
    """
    centres = np.array([f.wavelength for f in features if f.kind in ("narrow", "strong")])
    at = np.searchsorted(axis.wavelength, centres)
    inside = (at > 0) & (at < len(axis.wavelength))
    if inside.sum() < _FEWEST_LINES:
        return float("nan")
    mask = np.zeros(len(axis.wavelength))
    sigma = max(_LINE_SIGMA / SPEED_OF_LIGHT / axis.step, 1.0)  # pixels
    reach = int(np.ceil(4 * sigma))
    start = np.log(axis.wavelength[0])
    for place in (np.log(centres[inside]) - start) / axis.step:
        pixels = np.arange(max(0, int(place) - reach), min(len(mask), int(place) + reach + 2))
        mask[pixels] -= np.exp(-0.5 * ((pixels - place) / sigma) ** 2)
    found = velocity(contrast, mask, axis)
    return found.rv if found.correlation > _LEAST_CORRELATION else float("nan")
