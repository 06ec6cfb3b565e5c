"""Depth, equivalent width and width of lines and bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.traversal.features import Feature, Span
from latentscope.diagnostics.traversal.velocity import SPEED_OF_LIGHT, Floats, spline

_CONTINUUM = 0.85  # quantile of the flux in a window that stands for its continuum
_SHALLOW = 0.02  # a line less deep than this has no width to speak of


@dataclass(frozen=True)
class Strengths:
    """What a spectrum's lines measure, each shape (features,); NaN where they are not covered.

    Parameters
    ----------
    depth : ndarray
        1 minus the mean flux of the core over the continuum; deeper is larger.
    ew : ndarray
        Equivalent width in Angstrom, absorption positive.
    width : ndarray
        Equivalent width over depth in Angstrom: how broad the line is, whatever its strength. NaN
        for lines less than 0.02 deep.
    """

    depth: Floats
    ew: Floats
    width: Floats

    def __sub__(self, other: Strengths) -> Strengths:
        return Strengths(self.depth - other.depth, self.ew - other.ew, self.width - other.width)


class Gauge:
    """Reads features off spectra, interpolated by splines, wherever a star's velocity puts them.

    The continuum of a feature is the straight line through the 85 % quantiles of the flux in its
    windows on either side (the one window's, for the head of a band). In crowded spectra it lies
    below the true continuum, by the same rule for each spectrum.

    Parameters
    ----------
    features : sequence of Feature
    wavelength : ndarray, shape (n,)
        Angstrom, ascending.
    valid : ndarray of bool, shape (n,)
        A feature that touches an invalid pixel is not measured.
    """

    def __init__(
        self, features: Sequence[Feature], wavelength: Floats, valid: NDArray[np.bool_]
    ) -> None:
        self.features, self.wavelength, self.valid = list(features), wavelength, valid
        self.pixel = float(np.median(np.diff(wavelength)))
        spans = [span for f in self.features for span in (f.core, f.inside, *f.sides)]
        points = [self._samples(span) for span in spans]
        still = [f.telluric for f in self.features for _ in range(2 + len(f.sides))]
        self.ends = np.cumsum([0, *map(len, points)])
        self.points = np.concatenate([*points, np.empty(0)])
        self.moving = np.repeat(~np.array(still, dtype=np.bool_), np.diff(self.ends))

    def _samples(self, span: Span) -> Floats:
        """Centres of equal parts of a span, at least two a pixel, whose mean is its integral."""
        count = max(9, 2 * round((span[1] - span[0]) / self.pixel) + 1)
        return span[0] + (span[1] - span[0]) * (np.arange(count) + 0.5) / count

    def measure(self, flux: NDArray[np.floating[Any]], rv: float) -> Strengths:
        """Measure a spectrum, shape (n,), of a star that recedes at `rv` km/s.

        Bands of the air are measured where they are.
        """
        at = self.points * np.where(self.moving, 1 + rv / SPEED_OF_LIGHT, 1.0)
        sampled = spline(self.wavelength, flux, self.valid)(at)
        bad = np.interp(at, self.wavelength, ~self.valid, left=1.0, right=1.0)
        sampled[bad > 0] = np.nan
        found = np.full((len(self.features), 3), np.nan)
        window = 0
        for number, feature in enumerate(self.features):
            parts = range(window, window + 2 + len(feature.sides))
            window = parts.stop
            pieces = [slice(self.ends[part], self.ends[part + 1]) for part in parts]
            found[number] = _strength(feature, sampled, at, pieces)
        return Strengths(*found.T)


def _strength(
    feature: Feature, flux: Floats, wavelength: Floats, pieces: list[slice]
) -> tuple[float, float, float]:
    core, inside, *sides = pieces
    if any(np.isnan(flux[piece]).any() for piece in pieces):
        return np.nan, np.nan, np.nan
    level = [_upper(flux[side]) for side in sides]
    if min(level) <= 0:
        return np.nan, np.nan, np.nan
    place = [float(wavelength[side].mean()) for side in sides]
    depth = 1.0 - float((flux[core] / np.interp(wavelength[core], place, level)).mean())
    missing = 1.0 - float((flux[inside] / np.interp(wavelength[inside], place, level)).mean())
    ew = missing * (feature.inside[1] - feature.inside[0])
    return depth, ew, ew / depth if depth > _SHALLOW else np.nan


def _upper(flux: Floats) -> float:
    """Quantile of the flux that stands for the continuum: numpy's, without its cost per call."""
    ordered = np.sort(flux)
    place = _CONTINUUM * (len(flux) - 1)
    below = int(place)
    return float(ordered[below] + (place - below) * (ordered[below + 1] - ordered[below]))
