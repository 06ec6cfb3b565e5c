"""Multivariate Student-t columns and multivariate normal ones, with their closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import digamma, gammaln

from benchmarks.mi_cases.case import CONTINUOUS, Case, Draw, Floats, Sample, case, unchanged


def dense(columns: int, correlation: float) -> Floats:
    """Covariance of unit variances and one correlation between any two columns."""
    return np.full((columns, columns), correlation) + (1 - correlation) * np.eye(columns)


def paired(columns: int, pairs: int, correlation: float) -> Floats:
    """Covariance of x and y of equally many columns, the first `pairs` of which correlate."""
    covariance = np.eye(2 * columns)
    for i in range(pairs):
        covariance[i, columns + i] = covariance[columns + i, i] = correlation
    return covariance


def split(table: Floats, columns: int) -> Sample:
    """The first columns as x and the others as y, single columns of shape (n,)."""
    x, y = table[:, :columns], table[:, columns:]
    return tuple(part[:, 0] if part.shape[1] == 1 else part for part in (x, y))


def normal_information(covariance: Floats, columns: int) -> float:
    """Mutual information, nats, of the first columns of a normal law with the others."""
    blocks = covariance[:columns, :columns], covariance[columns:, columns:], covariance
    of_x, of_y, of_both = (np.linalg.slogdet(block)[1] for block in blocks)
    return 0.5 * (of_x + of_y - of_both)


def student_entropy(dof: float, columns: int) -> float:
    """Entropy, nats, of a Student-t law of unit dispersion (Arellano-Valle et al. 2013, eq. 7)."""
    half = (dof + columns) / 2
    spread = half * (digamma(half) - digamma(dof / 2))
    return spread + gammaln(dof / 2) - gammaln(half) + columns / 2 * np.log(dof * np.pi)


def student_information(dof: float, columns: int, others: int) -> float:
    """What the shared width of a Student-t law adds to the information of the normal one, nats."""
    whole = student_entropy(dof, columns + others)
    return student_entropy(dof, columns) + student_entropy(dof, others) - whole


def _log_density(table: Floats, dof: float, covariance: Floats) -> Floats:
    columns = len(covariance)
    square = np.einsum("ni,ij,nj->n", table, np.linalg.inv(covariance), table)
    constant = -0.5 * np.linalg.slogdet(covariance)[1]
    if np.isinf(dof):
        return constant - 0.5 * columns * np.log(2 * np.pi) - 0.5 * square
    constant += gammaln((dof + columns) / 2) - gammaln(dof / 2) - columns / 2 * np.log(dof * np.pi)
    return constant - (dof + columns) / 2 * np.log1p(square / dof)


def elliptical(covariance: Floats, columns: int, dof: float = np.inf) -> tuple[Draw, Any, float]:
    """Recipe, log density ratio and truth of a normal or Student-t law.

    Parameters
    ----------
    covariance : array, shape (d, d)
        Dispersion of all columns.
    columns : int
        How many of the d columns make up x.
    dof : float
        Degrees of freedom; infinite for the normal law.
    """
    root = np.linalg.cholesky(covariance)
    total = len(covariance)

    def draw(rng: np.random.Generator, n: int) -> Sample:
        table = rng.normal(size=(n, total)) @ root.T
        if np.isfinite(dof):
            table /= np.sqrt(rng.chisquare(dof, n) / dof)[:, None]
        return split(table, columns)

    def log_ratio(x: Floats, y: Floats) -> Floats:
        x, y = x.reshape(len(x), -1), y.reshape(len(y), -1)
        of_x = _log_density(x, dof, covariance[:columns, :columns])
        of_y = _log_density(y, dof, covariance[columns:, columns:])
        return _log_density(np.hstack([x, y]), dof, covariance) - of_x - of_y

    truth = normal_information(covariance, columns)
    if np.isfinite(dof):
        truth += student_information(dof, columns, total - columns)
    return draw, log_ratio, truth


def student(
    name: str,
    dof: float,
    columns: int,
    others: int,
    correlation: float = 0.0,
    of_both: Callable[[Any], Any] = unchanged,
) -> Case:
    """Student-t case: x of `columns`, y of `others`, one correlation between any two."""
    draw, ratio, truth = elliptical(dense(columns + others, correlation), columns, dof)
    return case(name, CONTINUOUS, draw, truth, ratio, of_both, of_both)


def normal(
    name: str,
    covariance: Floats,
    columns: int,
    of_x: Callable[[Any], Any] = unchanged,
    of_y: Callable[[Any], Any] = unchanged,
) -> Case:
    """Case of a multivariate normal law, the first `columns` of which are x."""
    draw, ratio, truth = elliptical(covariance, columns)
    return case(name, CONTINUOUS, draw, truth, ratio, of_x, of_y)
