"""How far a pattern of errors over wavelength is from those of ordinary spectra."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.trust.expectation import FOLDS, folds
from latentscope.diagnostics.trust.sets import alike

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


class Judgement(NamedTuple):
    """What a pattern says of some rows that have the same parts.

    Parameters
    ----------
    rows : ndarray of int64, shape (m,)
    distance : ndarray, shape (m,)
    reference : ndarray, shape (n,)
        Distances of the reference over the same parts, each row held out.
    part : ndarray of int64, shape (m,)
        Where each row is oddest, the other parts given.
    excess : ndarray, shape (m,)
        Its residual there over what the other parts make expect.
    """

    rows: Indices
    distance: Floats
    reference: Floats
    part: Indices
    excess: Floats


class Pattern:
    """Mahalanobis distance of residuals (m, s) from those of a reference (n, s).

    Errors of neighbouring parts rise and fall together with the noise; what counts is what breaks
    this pattern. The covariance is shrunk to its diagonal by s / (10 n + s).

    Parameters
    ----------
    reference : ndarray, shape (n, s)
        Residuals in random order, finite.
    """

    def __init__(self, reference: Floats) -> None:
        self._reference = reference
        self._middle, self._covariance = _moments(reference)

    def judge(self, residual: Floats) -> Iterator[Judgement]:
        """Judge rows, one set for each choice of parts that rows have; none of rows without."""
        for parts, rows in alike(np.isfinite(residual)):
            if parts.any():
                away = residual[rows][:, parts] - self._middle[parts]
                covariance = self._covariance[np.ix_(parts, parts)]
                part, excess = _oddest(away, covariance)
                yield Judgement(
                    rows,
                    _distance(away, covariance),
                    self._held_out(parts),
                    np.flatnonzero(parts)[part],
                    excess,
                )

    def own(self) -> Judgement:
        """Judge the reference, each row held out."""
        rows, parts = np.arange(len(self._reference)), np.ones(len(self._middle), np.bool_)
        distance = self._held_out(parts)
        part, excess = _oddest(self._reference - self._middle, self._covariance)
        return Judgement(rows, distance, distance, part, excess)

    def _held_out(self, parts: NDArray[np.bool_]) -> Floats:
        given = self._reference[:, parts]
        out, fold = np.empty(len(given)), folds(len(given))
        for number in range(FOLDS):
            mine = fold == number
            middle, covariance = _moments(given[~mine])
            out[mine] = _distance(given[mine] - middle, covariance)
        return out


def _oddest(away: Floats, covariance: Floats) -> tuple[Indices, Floats]:
    """Part that deviates most from what the others make expect, and by how much, (m,) each.

    The regression of each part on the others, read off the inverse covariance.
    """
    inverse = np.linalg.inv(covariance)
    precision = np.diag(inverse)
    weighted = away @ inverse
    part = np.argmax(np.abs(weighted) / np.sqrt(precision), axis=1)
    return part, (weighted / precision)[np.arange(len(away)), part]


def _moments(rows: Floats) -> tuple[Floats, Floats]:
    """Median, and covariance of the 99 % of rows that lie closest to it."""
    middle = np.median(rows, axis=0)
    distance = _distance(rows - middle, _covariance(rows))
    near = rows[distance <= np.quantile(distance, 0.99)]
    return middle, _covariance(near)


def _covariance(rows: Floats) -> Floats:
    n, s = rows.shape
    full = np.atleast_2d(np.cov(rows, rowvar=False))
    shrink = s / (10 * n + s)
    return np.asarray((1 - shrink) * full + shrink * np.diag(np.diag(full)))


def _distance(away: Floats, covariance: Floats) -> Floats:
    return np.asarray(np.sqrt(np.sum(away * np.linalg.solve(covariance, away.T).T, axis=1)))
