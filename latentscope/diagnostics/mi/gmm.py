"""Mutual information by a Gaussian mixture fitted to the joint density.

D. Piras, H. V. Peiris, A. Pontzen, L. Lucie-Smith, N. Guo, B. Nord, "A robust estimator of mutual
information for deep learning interpretability", Mach. Learn.: Sci. Technol. 4, 025006 (2023): the
number of components by cross-validation, the integral < log p(x, y) - log p(x) - log p(y) > by
Monte Carlo, the error by the bootstrap. Margins of a Gaussian mixture are Gaussian mixtures, so
all three densities are known. Here classes count by how many rows they have.

The density is smooth: values that repeat (rounding, limits, zeros) are spikes that it follows as
far as `REGULARIZATION` lets it, which says nothing of their information. Nearest neighbors suit
these, and are faster.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from latentscope.diagnostics.mi.columns import own_rng
from latentscope.errors import EstimatorError, warn

Floats = NDArray[np.float64]

ROWS_PER_COMPONENT = 10
"""Rows of a fit for each of its components, at least."""

REGULARIZATION = 1e-6
"""Added to the variances, in units of each column's."""

_TOLERANCE = 1e-4
_ITERATIONS = 500
_FOLDS = 3  # of the cross-validation that finds the number of components
_MAX_COMPONENTS = 20
_PATIENCE = 2  # components more that may leave the likelihood as it is, before no more are tried
_BOOTSTRAP = 10  # samples of the rows, whose fits give the error
_DRAWS = 50_000  # points of the integral, whose own error is about 1 / sqrt(this) nats


class GMMResult(NamedTuple):
    """Mutual information by a Gaussian mixture fitted to all rows."""

    mi_nats: float
    std_nats: float  # over bootstrap samples of the rows
    components: int  # Gaussians in the joint density, those of all classes together


@dataclass(frozen=True)
class Mixture:
    """A density: Gaussians with their weights (c,), means (c, d) and covariances (c, d, d)."""

    weights: Floats
    means: Floats
    covariances: Floats

    def __len__(self) -> int:
        return len(self.weights)

    def margin(self, columns: slice) -> Mixture:
        """Return the density of some columns."""
        covariances = self.covariances[:, columns, columns]
        return Mixture(self.weights, self.means[:, columns], covariances)

    def log_density(self, points: Floats) -> Floats:
        """Return log p of each point, shape (m, d) -> (m,)."""
        each = []
        # scipy's normal takes a covariance of one far outlier for singular.
        roots = np.linalg.cholesky(self.covariances)
        for weight, mean, root in zip(self.weights, self.means, roots, strict=True):
            scaled = solve_triangular(root, (points - mean).T, lower=True)
            squares = len(mean) * np.log(2 * np.pi) + (scaled**2).sum(axis=0)
            each.append(np.log(weight) - np.log(np.diag(root)).sum() - squares / 2)
        values: Floats = logsumexp(each, axis=0)
        return values

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Return points of the density, shape (count, d)."""
        numbers = rng.multinomial(count, self.weights)
        roots = np.linalg.cholesky(self.covariances)
        normal = rng.normal(size=(count, self.means.shape[1]))
        which = np.repeat(np.arange(len(self)), numbers)
        points: Floats = self.means[which] + np.einsum("nij,nj->ni", roots[which], normal)
        return points


def gmm(x: Floats, y: NDArray[np.generic], *, discrete: bool = False, seed: int = 0) -> GMMResult:
    """Mutual information of x and y, (n,) each and finite, in nats (Piras et al. 2023).

    If y is discrete, each class has a mixture of its own, weighted by its share of the rows.
    Gaussians are added one at a time, up to 20, while the likelihood of rows left out grows, until
    two more have not raised it. `mi_nats` may come out below 0 by the error of the integral; it is
    0 where x or y is constant.
    """
    if np.ptp(x) == 0 or len(np.unique(y)) == 1:
        return GMMResult(0.0, 0.0, 1)
    if discrete:
        scaled = _scaled(x[:, None])
        parts = {f"class {name}": scaled[y == name] for name in np.unique(y)}
    else:
        parts = {"x and y": _scaled(np.column_stack([x, y]))}
    rng = own_rng(seed, 3)
    least = -(-ROWS_PER_COMPONENT * _FOLDS // (_FOLDS - 1))
    for name, rows in parts.items():
        if len(rows) < least:
            raise EstimatorError(
                f"{name}: {len(rows)} rows; expected {least} or more, "
                f"{ROWS_PER_COMPONENT} for each Gaussian in two of {_FOLDS} folds"
            )
    samples = list(parts.values())
    counts = [_best_count(rows, rng) for rows in samples]
    fits = [_fit(rows, count, rng) for rows, count in zip(samples, counts, strict=True)]
    diverging = [converged for _, converged in fits].count(False)
    if diverging:
        warn(
            f"{diverging} of {len(fits)} Gaussian mixtures have not converged in {_ITERATIONS} "
            "iterations; fewer components may"
        )
    mixtures = [mixture for mixture, _ in fits]
    sizes = np.array([len(rows) for rows in samples])
    value = _information(mixtures, sizes / sizes.sum(), rng)
    again = [_resampled(samples, mixtures, rng) for _ in range(_BOOTSTRAP)]
    return GMMResult(value, float(np.std(again, ddof=1)), sum(map(len, mixtures)))


def _scaled(points: Floats) -> Floats:
    scaled: Floats = (points - points.mean(axis=0)) / points.std(axis=0)
    return scaled


def _fit(
    points: Floats, components: int, rng: np.random.Generator, start: Mixture | None = None
) -> tuple[Mixture, bool]:
    """Fit Gaussians to points, and say whether the fit has converged."""
    given = {}
    if start is not None:
        precisions = np.linalg.inv(start.covariances)
        given = {"weights_init": start.weights, "means_init": start.means}
        given["precisions_init"] = (precisions + precisions.transpose(0, 2, 1)) / 2
    model = GaussianMixture(
        components,
        tol=_TOLERANCE,
        reg_covar=REGULARIZATION,
        max_iter=_ITERATIONS,
        random_state=int(rng.integers(2**31)),
        **given,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(points)
    return Mixture(model.weights_, model.means_, model.covariances_), bool(model.converged_)


def _best_count(points: Floats, rng: np.random.Generator) -> int:
    """Return the number of Gaussians under which points left out of the fit are most likely."""
    fold = rng.permutation(np.arange(len(points)) % _FOLDS)
    smallest = len(points) - int(np.bincount(fold).max())
    best, best_score = 1, -np.inf
    for components in range(1, min(_MAX_COMPONENTS, smallest // ROWS_PER_COMPONENT) + 1):
        score = 0.0
        for i in range(_FOLDS):
            mixture, _ = _fit(points[fold != i], components, rng)
            score += float(mixture.log_density(points[fold == i]).sum())
        if score > best_score:
            best, best_score = components, score
        elif components - best >= _PATIENCE:
            break
    return best


def _information(mixtures: Sequence[Mixture], shares: Floats, rng: np.random.Generator) -> float:
    """Monte Carlo integral of the log ratio of densities, in nats."""
    if mixtures[0].means.shape[1] == 2:  # of x and y together, not of x by class
        points = mixtures[0].draw(_DRAWS, rng)
        margins = slice(None, 1), slice(1, None)
        apart = [mixtures[0].margin(part).log_density(points[:, part]) for part in margins]
        return float((mixtures[0].log_density(points) - apart[0] - apart[1]).mean())
    whole = Mixture(
        np.concatenate([share * m.weights for share, m in zip(shares, mixtures, strict=True)]),
        np.concatenate([m.means for m in mixtures]),
        np.concatenate([m.covariances for m in mixtures]),
    )
    total = 0.0
    for share, mixture in zip(shares, mixtures, strict=True):
        points = mixture.draw(max(1, round(_DRAWS * share)), rng)
        total += share * (mixture.log_density(points) - whole.log_density(points)).mean()
    return float(total)


def _resampled(
    samples: Sequence[Floats], mixtures: Sequence[Mixture], rng: np.random.Generator
) -> float:
    """The value of a bootstrap sample, fitted from where the whole fit ended."""
    sizes = np.array([len(rows) for rows in samples])
    fits = []
    for rows, mixture in zip(samples, mixtures, strict=True):
        again = rows[rng.integers(len(rows), size=len(rows))]
        fits.append(_fit(again, len(mixture), rng, mixture)[0])
    shares = rng.multinomial(sizes.sum(), sizes / sizes.sum()) / sizes.sum()
    return _information(fits, shares, rng)
