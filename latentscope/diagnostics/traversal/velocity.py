"""Radial velocity of a spectrum against another, and straight lines through velocities.

In ln(wavelength) a Doppler shift moves all lines by the same number of pixels, where the
cross-correlation peaks (J. Tonry & M. Davis 1979, AJ 84, 1511).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize_scalar

Floats = NDArray[np.float64]

SPEED_OF_LIGHT = 299792.458
"""Kilometers per second."""

_SPLINE: Final = 5
_RINGING = 3  # pixels beside a gap that a spline of the other side's data reaches
_CHUNKS = 16
_SAME = 1e-10  # of the squared contrast: less is rounding
_FLOOR = 1e-3  # least error, over the range of y


@dataclass(frozen=True)
class LogAxis:
    """Equal steps of ln(wavelength): wavelengths (n,) in Angstrom, and which of them count.

    `step` times the speed of light is the velocity of a pixel. `source` (m,) are the wavelengths of
    spectra, `source_valid` the pixels that hold one.
    """

    wavelength: Floats
    step: float
    valid: NDArray[np.bool_]
    source: Floats
    source_valid: NDArray[np.bool_]

    @property
    def same(self) -> bool:
        """Whether spectra come on this axis already."""
        return self.wavelength is self.source

    def put(self, values: NDArray[np.floating[Any]]) -> Floats:
        """Bring values, shape (m,), onto the axis, shape (n,), by cubic splines."""
        if self.same:
            return np.asarray(values, dtype=np.float64)
        resampled: Floats = spline(self.source, values, self.source_valid)(self.wavelength)
        return resampled


def log_axis(wavelength: Floats, valid: NDArray[np.bool_], use: NDArray[np.bool_]) -> LogAxis:
    """Return the axis for spectra on `wavelength` (m,): the same if it is logarithmic already.

    `valid` (m,) are the pixels that hold a spectrum, `use` those that count in velocities.
    """
    logs = np.log(wavelength)
    step = float((logs[-1] - logs[0]) / (len(logs) - 1))
    if np.allclose(np.diff(logs), step, rtol=1e-4, atol=0):
        return LogAxis(wavelength, step, use, wavelength, valid)
    equal = np.exp(logs[0] + step * np.arange(len(logs)))
    equal[-1] = wavelength[-1]  # rounding may put it beyond, where splines extrapolate
    whole = np.interp(equal, wavelength, use.astype(np.float64)) > 0.999
    return LogAxis(equal, step, whole, wavelength, valid)


def spline(
    wavelength: Floats, values: NDArray[np.floating[Any]], valid: NDArray[np.bool_]
) -> CubicSpline:
    """Cubic spline through the valid pixels, straight across the others."""
    bridged = np.asarray(values, dtype=np.float64)
    if not valid.all():
        # Values in gaps would ring into the pixels beside them.
        bridged = np.interp(wavelength, wavelength[valid], bridged[valid])
    return CubicSpline(wavelength, bridged)


def running_contrast(flux: Floats, valid: NDArray[np.bool_], pixels: int) -> Floats:
    """Flux over its running mean, minus 1; 0 where there is no flux. Shape (n,)."""
    light = ndimage.uniform_filter1d(np.where(valid, flux, 0.0), pixels, mode="constant")
    share = ndimage.uniform_filter1d(valid.astype(np.float64), pixels, mode="constant")
    level = np.divide(light, share, out=np.ones_like(light), where=share > 1e-6)
    usable = valid & (level > 0)
    return np.where(usable, flux / np.where(level > 0, level, 1.0) - 1.0, 0.0)


@dataclass(frozen=True)
class Velocity:
    """How far a spectrum is shifted against another one, and its error, km/s, receding positive.

    NaN if the correlation has no peak within the limit. `correlation` is the height of the peak, 1
    for the same spectrum, shifted. `explained` is the share of the summed squared difference that a
    shift by `rv` takes away: 1 for a pure shift, NaN without a difference, possibly a little below
    0. `before` and `after` are the summed squared differences.
    """

    rv: float
    error: float
    correlation: float
    explained: float
    before: float
    after: float


def velocity(contrast: Floats, base: Floats, axis: LogAxis, *, limit: float = 500.0) -> Velocity:
    """Radial velocity of a spectrum against `base`, in km/s, receding positive.

    The normalized cross-correlation over common pixels is evaluated at whole pixels (FFT); its
    highest peak is refined with `base` shifted by fractions of a pixel (splines of degree 5).

    The error is that by which regions of the spectrum disagree, since decoded spectra have no
    photon noise. Each of 16 stretches of pixels would move the peak by its part of
    sum(residual db/ds) / sum((db/ds)^2); the error is the root of the sum of their squares times
    16/15: the cluster-robust error of a regression (Liang & Zeger 1986). It is near 0 for a pure
    shift.

    Contrast and base (n,) are line contrast on the axis, continuum at 0; `limit` is the largest
    velocity considered, km/s.
    """
    b = np.where(axis.valid, base, 0.0)
    f = np.where(axis.valid, contrast, 0.0)
    if not (f.any() and b.any()):
        return Velocity(np.nan, np.nan, np.nan, np.nan, 0.0, 0.0)
    reach = min(int(np.ceil(limit / SPEED_OF_LIGHT / axis.step)), len(f) // 3)
    lags, height = lag_correlation(f, b, axis.valid, reach)
    peak = int(np.argmax(height))
    aligned = _Aligned(f, base, axis.valid, int(lags[peak]))
    if peak in (0, len(lags) - 1):
        return Velocity(np.nan, np.nan, float(height[peak]), np.nan, *aligned.differences(0.0))
    # The largest of the whole lags alone would show every smaller shift as none.
    refined = minimize_scalar(
        lambda shift: -aligned.correlation(shift),
        bounds=(lags[peak] - 1.0, lags[peak] + 1.0),
        method="bounded",
        options={"xatol": 1e-4},
    )
    shift = float(refined.x)
    before, after = aligned.differences(shift)
    return Velocity(
        # The relativistic Doppler factor: a shift in ln(wavelength) is a rapidity.
        rv=float(SPEED_OF_LIGHT * np.tanh(shift * axis.step)),
        error=SPEED_OF_LIGHT * axis.step * aligned.error(shift),
        correlation=-float(refined.fun),
        explained=1.0 - after / before if before > _SAME * (base @ base) else np.nan,
        before=before,
        after=after,
    )


def lag_correlation(
    f: Floats, b: Floats, valid: NDArray[np.bool_], reach: int
) -> tuple[NDArray[np.int64], Floats]:
    """Normalized cross-correlation at whole lags -reach ... reach, over pixels valid in both.

    `f` and `b` are 0 where they are not valid. A positive lag: `f` is to the red of `b`.
    """
    size = fft.next_fast_len(len(f) + reach + 1, real=True)
    mask = valid.astype(np.float64)
    of_f, of_b, of_mask, of_ff, of_bb = (
        fft.rfft(values, size) for values in (f, b, mask, f * f, b * b)
    )
    lags = np.arange(-reach, reach + 1)
    cross, power_f, power_b = (
        fft.irfft(product, size)[lags]
        for product in (of_f * of_b.conj(), of_ff * of_mask.conj(), of_mask * of_bb.conj())
    )
    power = np.sqrt(np.maximum(power_f, 0) * np.maximum(power_b, 0))
    # Lags with hardly any overlap are rounding errors.
    height = np.divide(cross, power, out=np.zeros_like(cross), where=power > 1e-12 * power.max())
    return lags, height


class _Aligned:
    """A spectrum and a base shifted against it by fractions of a pixel, up to a pixel from `lag`.

    The same pixels count for all shifts: those valid in both and clear of splines across gaps.
    """

    def __init__(self, f: Floats, base: Floats, valid: NDArray[np.bool_], lag: int) -> None:
        self.filtered = ndimage.spline_filter1d(base, order=_SPLINE, mode="mirror")
        sound = ndimage.binary_erosion(valid, iterations=_RINGING + 1, border_value=1)
        other = np.zeros_like(sound)
        size = len(sound) - abs(lag)
        other[max(lag, 0) :][:size] = sound[max(-lag, 0) :][:size]
        self.both = np.flatnonzero(sound & other)
        self.f, self.base = f[self.both], base[self.both]

    def shifted(self, shift: float) -> Floats:
        moved: Floats = ndimage.shift(
            self.filtered, shift, order=_SPLINE, mode="mirror", prefilter=False
        )
        return moved[self.both]

    def correlation(self, shift: float) -> float:
        b = self.shifted(shift)
        return float(self.f @ b / np.sqrt((self.f @ self.f) * (b @ b)))

    def differences(self, shift: float) -> tuple[float, float]:
        """Summed squared difference before and after the shift, over the same pixels."""
        before, after = self.f - self.base, self.f - self.shifted(shift)
        return float(before @ before), float(after @ after)

    def error(self, shift: float) -> float:
        """Cluster-robust error of the shift, in pixels."""
        b = self.shifted(shift)
        scale = (self.f @ b) / (b @ b)
        slope = scale * (self.shifted(shift + 0.05) - self.shifted(shift - 0.05)) / 0.1
        pull = slope * (self.f - scale * b)
        parts = np.array([part.sum() for part in np.array_split(pull, _CHUNKS)])
        return float(np.sqrt(_CHUNKS / (_CHUNKS - 1) * (parts @ parts)) / (slope @ slope))


class Rate(NamedTuple):
    """Change per unit of the latent, its error, and the line's value at 0; NaN if unknown."""

    value: float
    error: float
    at_zero: float = float("nan")


def rate(x: Floats, y: Floats, error: Floats | None = None) -> Rate:
    """Slope of y over x (n,) by weighted least squares with a free intercept; NaN is left out.

    Weights are 1 / error^2, by default equal. The error of the slope is from these or from the
    scatter about the line (n - 2 degrees of freedom), whichever is larger. NaN for fewer than two
    different x.
    """
    finite = np.isfinite(x) & np.isfinite(y)
    if error is not None:
        finite &= np.isfinite(error)
    x, y = x[finite], y[finite]
    if len(x) < 2 or np.ptp(x) == 0:
        return Rate(float("nan"), float("nan"))
    if error is None:
        weight, formal = np.ones(len(x)), 0.0
    else:
        weight = 1 / (error[finite] ** 2 + max(_FLOOR * float(np.ptp(y)), 1e-12) ** 2)
        formal = 1.0
    center = weight @ x / weight.sum()
    spread = float(weight @ (x - center) ** 2)
    slope = float(weight @ ((x - center) * y) / spread)
    middle = float(weight @ y / weight.sum())
    residual = y - middle - slope * (x - center)
    freedom = max(len(x) - 2, 1)  # two points lie on their line, and have no scatter
    scatter = float(np.sqrt(weight @ residual**2 / freedom))
    uncertain = max(formal, scatter) / float(np.sqrt(spread))
    return Rate(slope, uncertain, middle - slope * float(center))
