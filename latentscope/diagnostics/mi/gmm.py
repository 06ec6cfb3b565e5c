"""Mutual information by a Gaussian mixture fitted to the joint density.

D. Piras, H. V. Peiris, A. Pontzen, L. Lucie-Smith, N. Guo, B. Nord, "A robust estimator of mutual
information for deep learning interpretability", Mach. Learn.: Sci. Technol. 4, 025006 (2023): the
number of components by cross-validation, the integral < log p(x, y) - log p(x) - log p(y) > by
Monte Carlo, the error by the bootstrap. Margins of a Gaussian mixture are Gaussian mixtures, so
all three densities are known. Here classes count by how many rows they have.

The density is smooth: values that repeat (rounding, limits, zeros) are spikes that it follows as
far as `REGULARISATION` lets it, which says nothing of their information. Nearest neighbours suit
these, and are faster.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from latentscope.diagnostics.mi.columns import check_lengths, own_rng, paired_rows, rows_of
from latentscope.errors import EstimatorError, LatentscopeWarning

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Components = int | Literal["cv"]

ROWS_PER_COMPONENT = 10
"""Rows of a fit for each of its components, at least."""

REGULARISATION = 1e-6
"""Added to the variances, in units of each column's."""

_TOLERANCE = 1e-4
_ITERATIONS = 500
_PATIENCE = 2


@dataclass(frozen=True)
class GMMResult:
    """Mutual information by a Gaussian mixture.

    Parameters
    ----------
    mi_nats : float
        Of the mixture fitted to all rows.
    std_nats : float
        Standard deviation over bootstrap samples of the rows; NaN without them.
    components : int
        Gaussians in the joint density; those of all classes together.
    """

    mi_nats: float
    std_nats: float
    components: int


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
        each = np.empty((len(self), len(points)))
        for i, (mean, covariance) in enumerate(zip(self.means, self.covariances, strict=True)):
            root = np.linalg.cholesky(covariance)
            scaled = solve_triangular(root, (points - mean).T, lower=True)
            norm = np.log(np.diag(root)).sum() + 0.5 * len(mean) * np.log(2 * np.pi)
            each[i] = np.log(self.weights[i]) - norm - 0.5 * (scaled**2).sum(axis=0)
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


def gmm(
    x: ArrayLike,
    y: ArrayLike,
    *,
    discrete: bool = False,
    components: Components = "cv",
    max_components: int = 20,
    folds: int = 3,
    bootstrap: int = 10,
    draws: int = 50_000,
    seed: int = 0,
) -> GMMResult:
    """Mutual information of x and y in nats by Gaussian mixtures (Piras et al. 2023).

    Parameters
    ----------
    x : array, shape (n,) or (n, d)
        Finite samples, row by row. Columns are brought to mean 0 and variance 1 first.
    y : array, shape (n,) or (n, d), or of classes, shape (n,)
        As x, or one class a row, number or text.
    discrete : bool
        Whether y holds classes. Then each class has a mixture of its own, weighted by its share of
        the rows.
    components : int or "cv"
        Gaussians of the joint density, or of each class; "cv" adds one at a time while the
        likelihood of rows left out grows, and stops when two more have not raised it.
    max_components : int
        At most so many with "cv".
    folds : int
        Of the cross-validation, 2 or more.
    bootstrap : int
        Samples of the rows whose fits give the error, the number of components kept; 0 gives none.
    draws : int
        Points of the Monte Carlo integral. Its own error, about 1 / sqrt(draws) nats, is in the
        bootstrap's.
    seed : int
        Of folds, fits, bootstrap and draws.

    Returns
    -------
    GMMResult
        `mi_nats` may come out below 0 by the error of the integral. Columns that do not vary
        are left out.

    Raises
    ------
    EstimatorError
        If shapes or lengths do not fit, numbers are not finite, a setting is out of its range, or
        a fit, of all rows or of a class, would have fewer than 10 rows for each Gaussian.

    Warns
    -----
    LatentscopeWarning
        If x or y is constant, which gives 0, or a fit of all rows has not converged.
    """
    _check_settings(components, max_components, folds, bootstrap, draws)
    parts, split = _parts(x, y, discrete)
    if not parts:
        return GMMResult(0.0, 0.0, 1)
    rng = own_rng(seed, 3)
    for name, rows in parts.items():
        _check_rows(name, len(rows), components, folds)
    counts = [
        components if components != "cv" else _best_count(rows, max_components, folds, rng)
        for rows in parts.values()
    ]
    fits = [_fit(rows, count, rng) for rows, count in zip(parts.values(), counts, strict=True)]
    _warn_unless_converged([converged for _, converged in fits])
    mixtures = [mixture for mixture, _ in fits]
    sizes = np.array([len(rows) for rows in parts.values()])
    value = _information(mixtures, sizes / sizes.sum(), split, draws, rng)
    values = list(_resampled(list(parts.values()), mixtures, split, (bootstrap, draws), rng))
    std = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return GMMResult(value, std, sum(counts))


def _check_settings(
    components: Components, max_components: int, folds: int, bootstrap: int, draws: int
) -> None:
    if components != "cv" and components < 1:
        raise EstimatorError(f"components is {components}; wanted 'cv', or 1 or more")
    for name, value, least in (
        ("max_components", max_components, 1),
        ("folds", folds, 2),
        ("bootstrap", bootstrap, 0),
        ("draws", draws, 1),
    ):
        if value < least:
            raise EstimatorError(f"{name} is {value}; wanted {least} or more")


def _parts(x: ArrayLike, y: ArrayLike, discrete: bool) -> tuple[dict[str, Floats], int | None]:
    """Standardised rows to fit: all of (x, y) and where y begins, or x by class."""
    if not discrete:
        first, second = paired_rows(x, y, more_than=1)
        constant = [
            n for n, part in (("x", first), ("y", second)) if not np.ptp(part, axis=0).any()
        ]
        if _warned_of(constant):
            return {}, None
        rows = _scaled(np.hstack([first, second]))
        return {"x and y": rows}, int(_varying(first).sum())
    first, classes = rows_of("x", x), np.asarray(y)
    check_lengths(len(first), len(classes))
    if classes.size != len(classes):
        raise EstimatorError(f"y has shape {classes.shape}; wanted one class a row, (n,)")
    names, codes = np.unique(classes.reshape(-1), return_inverse=True)
    constant = ["x"] * (not _varying(first).any()) + ["y"] * (len(names) == 1)
    if _warned_of(constant):
        return {}, None
    scaled = _scaled(first)
    return {f"class {name}": scaled[codes == i] for i, name in enumerate(names)}, None


def _warned_of(constant: list[str]) -> bool:
    if constant:
        warnings.warn(
            f"{' and '.join(constant)} constant: mutual information 0",
            LatentscopeWarning,
            stacklevel=4,
        )
    return bool(constant)


def _varying(points: Floats) -> NDArray[np.bool_]:
    varying: NDArray[np.bool_] = np.ptp(points, axis=0) > 0
    return varying


def _scaled(points: Floats) -> Floats:
    """Columns that vary, with mean 0 and variance 1."""
    points = points[:, _varying(points)]
    scaled: Floats = (points - points.mean(axis=0)) / points.std(axis=0)
    return scaled


def _check_rows(name: str, rows: int, components: Components, folds: int) -> None:
    if components == "cv":
        least = -(-ROWS_PER_COMPONENT * folds // (folds - 1))
        why = f"folds={folds}"
    else:
        least, why = ROWS_PER_COMPONENT * components, f"components={components}"
    if rows < least:
        raise EstimatorError(
            f"{name}: {rows} rows; wanted {least} or more for {why}, "
            f"{ROWS_PER_COMPONENT} for each Gaussian of a fit"
        )


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
        reg_covar=REGULARISATION,
        max_iter=_ITERATIONS,
        random_state=int(rng.integers(2**31)),
        **given,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(points)
    return Mixture(model.weights_, model.means_, model.covariances_), bool(model.converged_)


def _warn_unless_converged(converged: list[bool]) -> None:
    if not all(converged):
        warnings.warn(
            f"{converged.count(False)} of {len(converged)} Gaussian mixtures have not converged in "
            f"{_ITERATIONS} iterations; fewer components may",
            LatentscopeWarning,
            stacklevel=3,
        )


def _best_count(points: Floats, most: int, folds: int, rng: np.random.Generator) -> int:
    """Return the number of Gaussians under which points left out of the fit are most likely."""
    fold = rng.permutation(np.arange(len(points)) % folds)
    smallest = len(points) - int(np.bincount(fold).max())
    best, best_score = 1, -np.inf
    for components in range(1, min(most, smallest // ROWS_PER_COMPONENT) + 1):
        score = 0.0
        for i in range(folds):
            mixture, _ = _fit(points[fold != i], components, rng)
            score += float(mixture.log_density(points[fold == i]).sum())
        if score > best_score:
            best, best_score = components, score
        elif components - best >= _PATIENCE:
            break
    return best


def _information(
    mixtures: list[Mixture],
    shares: Floats,
    split: int | None,
    draws: int,
    rng: np.random.Generator,
) -> float:
    """Monte Carlo integral of the log ratio of densities, in nats."""
    if split is not None:
        points = mixtures[0].draw(draws, rng)
        margins = slice(None, split), slice(split, None)
        apart = [mixtures[0].margin(part).log_density(points[:, part]) for part in margins]
        return float((mixtures[0].log_density(points) - apart[0] - apart[1]).mean())
    whole = Mixture(
        np.concatenate([share * m.weights for share, m in zip(shares, mixtures, strict=True)]),
        np.concatenate([m.means for m in mixtures]),
        np.concatenate([m.covariances for m in mixtures]),
    )
    total = 0.0
    for share, mixture in zip(shares, mixtures, strict=True):
        points = mixture.draw(max(1, round(draws * share)), rng)
        total += share * (mixture.log_density(points) - whole.log_density(points)).mean()
    return float(total)


def _resampled(
    parts: list[Floats],
    mixtures: list[Mixture],
    split: int | None,
    repeats: tuple[int, int],
    rng: np.random.Generator,
) -> Iterator[float]:
    """Values of `_information` of bootstrap samples, fitted from where the whole fit ended."""
    sizes = np.array([len(rows) for rows in parts])
    bootstrap, draws = repeats
    for _ in range(bootstrap):
        fits = []
        for rows, mixture in zip(parts, mixtures, strict=True):
            again = rows[rng.integers(len(rows), size=len(rows))]
            fits.append(_fit(again, len(mixture), rng, mixture)[0])
        shares = rng.multinomial(sizes.sum(), sizes / sizes.sum()) / sizes.sum()
        yield _information(fits, shares, split, draws, rng)
