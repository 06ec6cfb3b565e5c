"""One-dimensional tasks of Czyz et al. 2023 (Beyond Normal, NeurIPS) and their later mixtures.

Recipes after the paper and its package `benchmark-mi`; the truths of the mixtures, which the
package estimates from samples, are integrated here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri

from benchmarks.mi_cases.case import CONTINUOUS, Case, Floats, Sample, case
from benchmarks.mi_cases.gaussian import gaussian
from benchmarks.mi_cases.quadrature import NORMAL_REACH, information_of_table
from benchmarks.mi_cases.student import student


def half_cube(x: Floats) -> Floats:
    """|x|^1.5 with the sign of x."""
    return x * np.sqrt(np.abs(x))


def wiggly_x(x: Floats) -> Floats:
    """Rising curve with waves of three lengths."""
    return x + 0.4 * np.sin(x) + 0.2 * np.sin(1.7 * x + 1) + 0.03 * np.sin(3.3 * x - 2.5)


def wiggly_y(y: Floats) -> Floats:
    """Rising curve with waves, of other lengths than `wiggly_x`."""
    waves = 0.17 * np.sin(1.3 * y + 3.5) + 0.02 * np.sin(4.3 * y - 2.5)
    return y - 0.4 * np.sin(0.4 * y) + waves


def two_peaks(share: float, first: float, second: float):
    """Map of a standard normal column onto a mixture of two normal laws of unit width."""
    # Further out the last digits before 1 run out; samples do not get there.
    grid = np.linspace(min(first, second) - 6.5, max(first, second) + 6.5, 50_001)
    scores = ndtri(share * ndtr(grid - first) + (1 - share) * ndtr(grid - second))
    return lambda z: np.interp(z, scores, grid)


def added_uniform(width: float) -> Case:
    """X uniform on [0, 1], y = x plus uniform noise of -width to width."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        x = rng.uniform(size=n)
        return x, x + rng.uniform(-width, width, n)

    def log_ratio(x: Floats, y: Floats) -> Floats:
        density = (np.minimum(1, y + width) - np.maximum(0, y - width)) / (2 * width)
        return -np.log(2 * width * density)

    truth = 1 / (4 * width) if width > 0.5 else width - np.log(2 * width)
    return case(f"uniform, added uniform {width}", CONTINUOUS, draw, truth, log_ratio)


@dataclass(frozen=True)
class NormalMixture:
    """Equal parts of normal laws in the plane.

    Attributes
    ----------
    means : array, shape (c, 2)
    covariances : array, shape (c, 2, 2)
    step : (float, float)
        Spacing of the grid on which the truth is integrated, below half the narrowest part.
    """

    means: Floats
    covariances: Floats
    step: tuple[float, float]

    def draw(self, rng: np.random.Generator, n: int) -> Sample:
        """Samples of x and y."""
        part = rng.integers(len(self.means), size=n)
        roots = np.linalg.cholesky(self.covariances)[part]
        points = self.means[part] + np.einsum("nij,nj->ni", roots, rng.normal(size=(n, 2)))
        return points[:, 0], points[:, 1]

    def log_joint(self, x: Floats, y: Floats) -> Floats:
        """Log of p(x, y)."""
        terms = []
        for mean, covariance in zip(self.means, self.covariances, strict=True):
            (a, b), (_, c) = np.linalg.inv(covariance)
            u, v = x - mean[0], y - mean[1]
            norm = 0.5 * np.log(np.linalg.det(covariance))
            terms.append(-0.5 * (a * u * u + 2 * b * u * v + c * v * v) - norm)
        return logsumexp(terms, axis=0) - np.log(2 * np.pi * len(self.means))

    def log_margin(self, side: int, at: Floats) -> Floats:
        """Log of p(x) for side 0, ln p(y) for side 1."""
        width = np.sqrt(self.covariances[:, side, side])
        score = (at[..., None] - self.means[:, side]) / width
        terms = -0.5 * score**2 - np.log(width)
        return logsumexp(terms, axis=-1) - np.log(np.sqrt(2 * np.pi) * len(self.means))

    def log_ratio(self, x: Floats, y: Floats) -> Floats:
        """Log of p(x, y) / p(x) p(y)."""
        return self.log_joint(x, y) - self.log_margin(0, x) - self.log_margin(1, y)

    def truth(self) -> float:
        """Mutual information, nats, from the densities on a grid."""
        axes = []
        for side in (0, 1):
            reach = NORMAL_REACH * np.sqrt(self.covariances[:, side, side])
            low = (self.means[:, side] - reach).min()
            high = (self.means[:, side] + reach).max()
            axes.append(np.arange(low, high, self.step[side]))
        return information_of_table(np.exp(self.log_joint(axes[0][:, None], axes[1])))


def _parts(rows: Sequence[tuple[float, ...]], step: tuple[float, float]) -> NormalMixture:
    """From rows of mean x, mean y, variance of x, of y, covariance."""
    table = np.array(rows, dtype=float)
    covariances = table[:, [2, 4, 4, 3]].reshape(-1, 2, 2)
    return NormalMixture(table[:, :2], covariances, step)


CROSS = _parts([(0, 0, 1, 1, 0.9), (0, 0, 1, 1, -0.9)], (0.03, 0.03))
_SLANT = 0.95 * np.sqrt(0.04 * 0.2)
LETTERS = _parts(
    [
        (1, 0, 0.01, 0.2, 0),
        (1, 1, 0.05, 0.001, 0),
        (1, -1, 0.05, 0.001, 0),
        (-0.8, -0.2, 0.03, 0.001, 0),
        (-1.2, 0, 0.04, 0.2, _SLANT),
        (-0.4, 0, 0.04, 0.2, -_SLANT),
    ],
    (0.008, 0.008),
)
RINGED = _parts([(0, i, i * i, 1e-4, 0) for i in (1, 2, 3)], (0.1, 0.004))
SCATTERED = _parts([(0, 0, 1, 1, 0.95), (0, 0, 1, 1, 0), (0, 0, 1, 1, 0.95)], (0.03, 0.03))


def mixture(name: str, parts: NormalMixture) -> Case:
    """Case of two single columns whose joint law is a mixture of normal laws."""
    return case(name, CONTINUOUS, parts.draw, parts.truth, parts.log_ratio)


CASES = (
    gaussian("bmi normal 0.75", 0.75),
    gaussian("bmi uniform margins 0.75", 0.75, ndtr, ndtr),
    gaussian("bmi half-cube 0.75", 0.75, half_cube, half_cube),
    gaussian("bmi wiggly 0.75", 0.75, wiggly_x, wiggly_y),
    gaussian("bmi bimodal 0.75", 0.75, two_peaks(0.3, 0, 5), two_peaks(0.5, -1, 3)),
    added_uniform(0.1),
    added_uniform(0.3),
    added_uniform(0.75),
    *(student(f"Student 1 x 1, dof {dof}", dof, 1, 1) for dof in (1, 2, 3, 5)),
    student("asinh of Student 1 x 1, dof 1", 1, 1, 1, of_both=np.arcsinh),
    student("Student 1 x 1, dof 2, correlated 0.75", 2, 1, 1, correlation=0.75),
    mixture("X", CROSS),
    mixture("AI", LETTERS),
    mixture("concentric 1 x 1", RINGED),
    mixture("normal 0.95 with a third unrelated", SCATTERED),
)
