"""Errors of the reconstruction over those that like spectra with like noise have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.trust.expectation import Fit, held_out
from latentscope.diagnostics.trust.misfit import Judgement, Pattern
from latentscope.diagnostics.trust.places import FEWEST, Judged
from latentscope.diagnostics.trust.sample import Sample
from latentscope.diagnostics.trust.tails import percent_below, share_above

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


class _Residuals:
    """Residuals of logarithmic errors at equal latents and noise."""

    def __init__(self, x: Floats, y: Floats) -> None:
        self.own = held_out(x, y)
        self._fit = Fit(x, y)

    def of(self, x: Floats, y: Floats) -> Floats:
        return self._fit.residual(x, y)


class Expected:
    """Errors of the reconstruction against what like spectra with like noise have.

    Two fits: one that knows the signal-to-noise ratio, if nine reference rows in ten have it, and
    one that does not, for rows without.
    """

    def __init__(self, sample: Sample, dims: Rows, error: Floats) -> None:
        self._dims = dims
        self._fits: dict[bool, _Residuals] = {}
        self._rows: dict[bool, Rows] = {}
        snr = np.isfinite(sample.snr) & (sample.snr > 0)
        good = np.isfinite(error).all(axis=1)
        for known in (True, False):
            rows = np.flatnonzero(good & snr if known else good)
            if len(rows) >= FEWEST and (not known or len(rows) >= 0.9 * good.sum()):
                self._fits[known] = _Residuals(self._x(sample, rows, known), error[rows])
                self._rows[known] = rows

    def __bool__(self) -> bool:
        return False in self._fits

    @property
    def fits(self) -> list[bool]:
        """Which fits there are: with the signal-to-noise ratio (True), without it (False)."""
        return list(self._fits)

    def reference(self, known: bool) -> Floats:
        """Residuals of the reference, each row held out, shape (rows, parts)."""
        return self._fits[known].own

    def kinds(self, sample: Sample, good: NDArray[np.bool_]) -> list[tuple[bool, Rows]]:
        """Rows of a sample by whether the fit with their signal-to-noise ratio serves them."""
        snr = np.isfinite(sample.snr) & (sample.snr > 0) & (True in self._fits)
        return [(known, np.flatnonzero(good & (snr == known))) for known in self._fits]

    def residual(self, sample: Sample, rows: Rows, known: bool, error: Floats) -> Floats:
        """Residuals of some rows of a sample, whose errors are given for all, (rows, parts)."""
        return self._fits[known].of(self._x(sample, rows, known), error[rows])

    def own_rows(self) -> tuple[bool, Rows]:
        """Rows of the reference that its best fit knows, and which fit that is."""
        known = True in self._fits
        return known, self._rows[known]

    def _x(self, sample: Sample, rows: Rows, known: bool) -> Floats:
        x = sample.values[rows][:, self._dims]
        return np.column_stack([x, np.log(sample.snr[rows])]) if known else x


def _log(error: Floats) -> Floats:
    """Logarithm; NaN of what is not positive."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(error > 0, np.log(error), np.nan)


class Reconstruction:
    """Reconstruction error over what is expected."""

    def __init__(self, sample: Sample, dims: Rows) -> None:
        self._errors = Expected(sample, dims, _log(sample.recon_error)[:, None])
        self.own = Judged.unknown(len(sample))
        if self._errors:
            known, rows = self._errors.own_rows()
            reference = self._errors.reference(known)[:, 0]
            self.own.p[rows] = share_above(np.exp(reference), np.exp(reference))
            self.own.percentile[rows] = percent_below(reference, reference)

    def judge(self, sample: Sample) -> Judged:
        """Judge rows; the percentile is that of the error: 100 is worse than all reference."""
        out = Judged.unknown(len(sample))
        if not self._errors:
            return out
        error = _log(sample.recon_error)[:, None]
        good = np.isfinite(error[:, 0]) & np.isfinite(sample.values).all(axis=1)
        for known, rows in self._errors.kinds(sample, good):
            found = self._errors.residual(sample, rows, known, error)[:, 0]
            reference = self._errors.reference(known)[:, 0]
            out.p[rows] = share_above(np.exp(reference), np.exp(found))
            out.percentile[rows] = percent_below(reference, found)
        return out


class Misfit:
    """Pattern of the reconstruction's error over wavelength.

    Attributes
    ----------
    own : Judged
    own_oddest : tuple of ndarray
        Part of the spectrum that is oddest in each row, and its error over the one that the other
        parts make expect.
    """

    def __init__(self, sample: Sample, dims: Rows) -> None:
        error = _log(sample.segments)
        finite = np.isfinite(error)
        self._parts = np.flatnonzero(finite.mean(axis=0) >= 0.9) if error.shape[1] else np.empty(0)
        self._parts = self._parts.astype(np.int64)
        constant = np.array([np.ptp(error[finite[:, p], p]) == 0 for p in self._parts], np.bool_)
        self._parts = self._parts[~constant]
        self.count = error.shape[1]
        self._errors = Expected(sample, dims, error[:, self._parts])
        self._usable = len(self._parts) > 0 and bool(self._errors)
        self.own, self.own_oddest = Judged.unknown(len(sample)), _no_part(len(sample))
        if not self._usable:
            return
        self._patterns = {
            known: Pattern(self._errors.reference(known)) for known in self._errors.fits
        }
        known, rows = self._errors.own_rows()
        self._fill(self.own, self.own_oddest, rows, self._patterns[known].own())

    def judge(self, sample: Sample) -> tuple[Judged, tuple[Rows, Floats]]:
        """Judge rows; the percentile is that of the misfit. And the oddest part of each."""
        out, oddest = Judged.unknown(len(sample)), _no_part(len(sample))
        if not self._usable or sample.segments.shape[1] != self.count:
            return out, oddest
        error = _log(sample.segments[:, self._parts])
        good = np.asarray(np.isfinite(error).any(axis=1) & np.isfinite(sample.values).all(axis=1))
        for known, rows in self._errors.kinds(sample, good):
            residual = self._errors.residual(sample, rows, known, error)
            for found in self._patterns[known].judge(residual):
                self._fill(out, oddest, rows, found)
        return out, oddest

    def _fill(self, out: Judged, oddest: tuple[Rows, Floats], rows: Rows, found: Judgement) -> None:
        mine = rows[found.rows]
        out.p[mine] = share_above(found.reference, found.distance)
        out.percentile[mine] = percent_below(found.reference, found.distance)
        oddest[0][mine], oddest[1][mine] = self._parts[found.part], np.exp(found.excess)


def _no_part(n: int) -> tuple[Rows, Floats]:
    return np.full(n, -1, dtype=np.int64), np.full(n, np.nan)
