"""Cases of continuous columns: Gaussian pairs, Student-t laws, mixtures, folds, several columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import digamma, gammaln, i0e, logsumexp, ndtr, ndtri
from scipy.stats import norm

from benchmarks.mi_cases.case import (
    CONTINUOUS,
    NORMAL_REACH,
    Case,
    Draw,
    Floats,
    Map,
    Sample,
    case,
    information_of_table,
    normal_panels,
    of_law,
    panels,
    unchanged,
)

# Cases made of a Gaussian pair: any strength, and invertible maps of its columns.


def pair(rho: float) -> Draw:
    """Recipe of two standard normal columns of correlation `rho`."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        x, noise = rng.normal(size=(2, n))
        return x, rho * x + np.sqrt(1 - rho**2) * noise

    return draw


def information(rho: float) -> float:
    """Mutual information of a Gaussian pair, nats."""
    return -0.5 * np.log1p(-(rho**2))


def log_ratio(rho: float) -> Callable[[Floats, Floats], Floats]:
    """Log of p(x, y) / p(x) p(y) of the standard Gaussian pair, as a function of x and y."""

    def at(x: Floats, y: Floats) -> Floats:
        exponent = rho**2 * (x * x + y * y) - 2 * rho * x * y
        return information(rho) - exponent / (2 * (1 - rho**2))

    return at


def gaussian(name: str, rho: float, *maps: Map) -> Case:
    """Gaussian pair with maps of its columns."""
    return case(name, CONTINUOUS, pair(rho), information(rho), log_ratio(rho), *maps)


GAUSSIAN_CASES = (
    *(gaussian(f"normal {rho}", rho) for rho in (0.1, 0.3, 0.5, 0.6, 0.9, -0.95, 0.99, 0.999)),
    gaussian("lognormal columns", 0.7, lambda x: np.exp(1.5 * x), np.exp),
    gaussian("sinh and fifth power", 0.7, lambda x: np.sinh(2 * x), lambda y: y**5),
    gaussian("far tails, exp of cubes", 0.8, lambda x: np.exp(x**3 / 8), lambda y: y**3),
    gaussian("Cauchy columns", 0.6, lambda x: np.tan(np.pi * (ndtr(x) - 0.5)), lambda y: y**3),
    gaussian("uniform against lognormal", 0.8, ndtr, lambda y: np.exp(2 * y)),
    gaussian("scales 0.001 and 1e6", 0.7, lambda x: 1e-3 * x, lambda y: 1e6 * y),
    gaussian("offset 5000, scale 1000", 0.7, unchanged, lambda y: 5000 + 1000 * y),
    gaussian("scale 1e6, strong", 0.95, lambda x: 1e6 * x, unchanged),
)


# Multivariate Student-t columns and multivariate normal ones, with their closed forms.


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
    """Recipe, log density ratio and truth of a normal (infinite `dof`) or Student-t law.

    `covariance` (d, d) is the dispersion of all columns, of which the first `columns` make up x.
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
    name: str, dof: float, columns: int, others: int, correlation: float = 0.0,
    of_both: Map = unchanged,
) -> Case:  # fmt: skip
    """Student-t case: x of `columns`, y of `others`, one correlation between any two."""
    draw, ratio, truth = elliptical(dense(columns + others, correlation), columns, dof)
    return case(name, CONTINUOUS, draw, truth, ratio, of_both, of_both)


def normal(name: str, covariance: Floats, columns: int, *maps: Map) -> Case:
    """Case of a multivariate normal law, the first `columns` of which are x."""
    draw, ratio, truth = elliptical(covariance, columns)
    return case(name, CONTINUOUS, draw, truth, ratio, *maps)


# One-dimensional tasks of Czyz et al. 2023 (Beyond Normal, NeurIPS) and their later mixtures.
#
# Recipes after the paper and its package `benchmark-mi`; the truths of the mixtures, which the
# package estimates from samples, are integrated here.


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
    """Equal parts of normal laws in the plane."""

    means: Floats  # (c, 2)
    covariances: Floats  # (c, 2, 2)
    # Spacing of the grid on which the truth is integrated, below half the narrowest part.
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


BMI_CASES = (
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
    of_law("X", CONTINUOUS, CROSS),
    of_law("AI", CONTINUOUS, LETTERS),
    of_law("concentric 1 x 1", CONTINUOUS, RINGED),
    of_law("normal 0.95 with a third unrelated", CONTINUOUS, SCATTERED),
)


# Continuous relations that are no Gaussian pair in disguise: folds, rings, changing scatter.


@dataclass(frozen=True)
class Scatter:
    """Standard normal x, y = curve(x) + width(x) times standard normal noise.

    Beyond `reach` the density of y is negligible.
    """

    curve: Callable[[Floats], Floats]
    width: Callable[[Floats], Floats]
    reach: tuple[float, float]

    def draw(self, rng: np.random.Generator, n: int) -> Sample:
        """Samples of x and y."""
        x, noise = rng.normal(size=(2, n))
        return x, self.curve(x) + self.width(x) * noise

    def margin(self, y: Floats) -> Floats:
        """Density of y."""
        t, weight = normal_panels(300)
        of_t, width = self.curve(t), self.width(t)
        chunks = np.array_split(y, max(1, len(y) // 500))
        return np.concatenate(
            [norm.pdf((part[:, None] - of_t) / width) @ (weight / width) for part in chunks]
        )

    @cached_property
    def log_margin(self) -> CubicSpline:
        """Spline of ln p(y)."""
        y = np.linspace(*self.reach, 4001)
        return CubicSpline(y, np.log(np.maximum(self.margin(y), 1e-300)))

    def truth(self) -> float:
        """Entropy of y less that of the noise, nats."""
        y, weight = panels(np.linspace(*self.reach, 301), 10)
        density = self.margin(y)
        t, mass = normal_panels(300)
        noise = 0.5 * np.log(2 * np.pi * np.e) + mass @ np.log(self.width(t))
        return -float(weight @ (density * np.log(np.maximum(density, 1e-300)))) - noise

    def log_ratio(self, x: Floats, y: Floats) -> Floats:
        """Log of p(y given x) / p(y)."""
        width = self.width(x)
        given = norm.logpdf((y - self.curve(x)) / width) - np.log(width)
        return given - self.log_margin(np.clip(y, *self.reach))


def ring(width: float) -> Case:
    """Points of the unit circle with normal noise of `width` in x and in y."""
    angle = 2 * np.pi * np.arange(4000) / 4000

    def draw(rng: np.random.Generator, n: int) -> Sample:
        turn = rng.uniform(0, 2 * np.pi, n)
        x, y = width * rng.normal(size=(2, n))
        return x + np.cos(turn), y + np.sin(turn)

    def log_joint(x: Floats, y: Floats) -> Floats:
        radius = np.hypot(x, y)
        bessel = np.log(i0e(radius / width**2))
        return bessel - (radius - 1) ** 2 / (2 * width**2) - np.log(2 * np.pi * width**2)

    def log_margin(x: Floats) -> Floats:
        score = (x[:, None] - np.cos(angle)) / width
        return np.log(np.maximum(norm.pdf(score).mean(1) / width, 1e-300))

    def truth() -> float:
        axis = np.arange(-1 - 8 * width, 1 + 8 * width, width / 5)
        return information_of_table(np.exp(log_joint(axis[:, None], axis)))

    def log_ratio(x: Floats, y: Floats) -> Floats:
        axis = np.linspace(-1 - 9 * width, 1 + 9 * width, 2001)
        margin = CubicSpline(axis, log_margin(axis))
        return log_joint(x, y) - margin(x) - margin(y)

    return case(f"ring, noise {width}", CONTINUOUS, draw, truth, log_ratio)


def _disc(rng: np.random.Generator, n: int) -> Sample:
    radius, turn = np.sqrt(rng.uniform(size=n)), rng.uniform(0, 2 * np.pi, n)
    return radius * np.cos(turn), radius * np.sin(turn)


def _disc_ratio(x: Floats, y: Floats) -> Floats:
    return np.log(np.pi / 4) - 0.5 * np.log1p(-x * x) - 0.5 * np.log1p(-y * y)


def gamma_exponential(shape: float) -> Case:
    """Gamma x; y exponential of rate x (Darbellay & Vajda 2000)."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        x = rng.gamma(shape, size=n)
        return x, rng.exponential(size=n) / x

    def log_ratio(x: Floats, y: Floats) -> Floats:
        return np.log(x) - x * y - np.log(shape) + (shape + 1) * np.log1p(y)

    truth = float(digamma(shape + 1) - np.log(shape))
    return case(f"gamma-exponential {shape}", CONTINUOUS, draw, truth, log_ratio)


def clayton(strength: float) -> Case:
    """Uniform columns of a Clayton copula, which are tied together in the lower tail."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        frailty = rng.gamma(1 / strength, size=n)
        x, y = (1 + rng.exponential(size=(2, n)) / frailty) ** (-1 / strength)
        return x, y

    def log_ratio(x: Floats, y: Floats) -> Floats:
        inner = np.log(x**-strength + y**-strength - 1)
        outer = np.log1p(strength) - (1 + strength) * np.log(x * y)
        return outer - (2 + 1 / strength) * inner

    truth = np.log1p(strength) - strength / (1 + strength)
    return case(f"Clayton copula {strength}", CONTINUOUS, draw, truth, log_ratio)


def independent(name: str, of_x: Callable[..., Any], of_y: Callable[..., Any]) -> Case:
    """Columns that know nothing of each other; each law is called with (rng, n)."""
    return case(name, CONTINUOUS, lambda rng, n: (of_x(rng, n), of_y(rng, n)), 0.0)


def _two_peaks(rng: np.random.Generator, n: int) -> Floats:
    return rng.normal(size=n) + 6 * (rng.uniform(size=n) < 0.3)


SCATTERS = {
    "fold, y = x^2 + 0.2 noise": Scatter(np.square, lambda x: 0.2 + 0 * x, (-2, 75)),
    "fold, y = x^2 + noise": Scatter(np.square, np.ones_like, (-9, 80)),
    "sine, y = sin 4x + 0.3 noise": Scatter(
        lambda x: np.sin(4 * x), lambda x: 0.3 + 0 * x, (-4, 4)
    ),
    "scatter grows with |x|": Scatter(lambda x: 0 * x, lambda x: 0.2 + np.abs(x), (-60, 60)),
    "scatter grows as exp x": Scatter(unchanged, lambda x: 0.3 * np.exp(0.7 * x), (-300, 300)),
}

RELATIONS_CASES = (
    *(of_law(name, CONTINUOUS, law) for name, law in SCATTERS.items()),
    ring(0.1),
    ring(0.3),
    case("uniform on a disc", CONTINUOUS, _disc, np.log(np.pi) - 1, _disc_ratio),
    gamma_exponential(1.0),
    gamma_exponential(3.0),
    clayton(2.0),
    independent(
        "independent normal", lambda rng, n: rng.normal(size=n), lambda rng, n: rng.normal(size=n)
    ),
    independent(
        "independent Cauchy and uniform",
        lambda rng, n: rng.standard_cauchy(n),
        lambda rng, n: rng.uniform(size=n),
    ),
    independent(
        "independent lognormal and Student",
        lambda rng, n: rng.lognormal(sigma=2, size=n),
        lambda rng, n: rng.standard_t(2, n),
    ),
    independent(
        "independent exponential and two peaks",
        lambda rng, n: rng.exponential(size=n),
        _two_peaks,
    ),
)


# Cases where x or y has several columns: tasks of Czyz et al. 2023 and some more.


def spiral(speed: float, first: int = 0, second: int = 1):
    """Turn of two columns by an angle of `speed` times the squared length of the whole row."""

    def turned(x: Floats) -> Floats:
        angle = speed * (x * x).sum(1)
        out = x.copy()
        out[:, first] = np.cos(angle) * x[:, first] - np.sin(angle) * x[:, second]
        out[:, second] = np.sin(angle) * x[:, first] + np.cos(angle) * x[:, second]
        return out

    return turned


def swiss_roll(z: Floats) -> Floats:
    """Normal column laid along a spiral in the plane."""
    turn = 1.5 * np.pi * (1 + 2 * ndtr(z))
    return np.column_stack([turn * np.cos(turn), turn * np.sin(turn)]) / 21


def galaxy(speed: float = 0.5, distance: float = 3.0) -> Case:
    """Two round clouds in three columns, of which the first two, x, are wound up.

    Only the distance along the line between the clouds says which one it is, so the truth is that
    of two columns.
    """
    half = distance / 2
    line = np.array([[-1, -1], [1, 1]]) * [np.sqrt(2) * half, half]
    flat = NormalMixture(line, np.array([np.eye(2)] * 2), (0.05, 0.05))

    def draw(rng: np.random.Generator, n: int) -> Sample:
        side = rng.choice([-half, half], n)
        table = side[:, None] + rng.normal(size=(n, 3))
        return table[:, :2], table[:, 2]

    def log_ratio(x: Floats, y: Floats) -> Floats:
        return flat.log_ratio(x.sum(1) / np.sqrt(2), y)

    return case("galaxy 2 x 1", CONTINUOUS, draw, flat.truth, log_ratio, spiral(speed))


def waves(parts: int = 12, amplitude: float = 5.0, frequency: float = 3.0) -> Case:
    """Clouds in a row, y in steps of four, x sheared into waves by a column of no information."""
    steps = np.arange(parts)
    means = 1.5 * np.column_stack([steps, steps % 4])
    flat = NormalMixture(means, np.array([0.1 * np.eye(2)] * parts), (0.04, 0.04))

    def draw(rng: np.random.Generator, n: int) -> Sample:
        along, y = flat.draw(rng, n)
        return np.column_stack([along, rng.normal(size=n)]), y

    def wavy(x: Floats) -> Floats:
        along = x[:, 0] + amplitude * np.sin(frequency * x[:, 1])
        return np.column_stack([0.1 * along - 0.8, 0.5 * x[:, 1]])

    def log_ratio(x: Floats, y: Floats) -> Floats:
        return flat.log_ratio(x[:, 0], y)

    return case("waves 2 x 1", CONTINUOUS, draw, flat.truth, log_ratio, wavy)


def uneven(x: Floats) -> Floats:
    """Columns in units that differ by a factor of 1000 each."""
    return x * 1000.0 ** np.arange(x.shape[1])


# Correlation of the interacting pairs of the "sparse" tasks: 2^2 / (2^2 + 1).
PAIRED = 0.8

JOINT_CASES = (
    gaussian("Swiss roll 2 x 1", 0.75, swiss_roll, ndtr),
    normal("normal dense 1 x 2", dense(3, 0.5), 1),
    normal("normal dense 2 x 1, strong", dense(3, 0.9), 2),
    normal("normal dense 2 x 2", dense(4, 0.5), 2),
    normal("normal dense 3 x 3", dense(6, 0.5), 3),
    normal("normal pairs 2 x 2", paired(2, 2, PAIRED), 2),
    normal("normal pairs 3 x 3", paired(3, 2, PAIRED), 3),
    normal("uniform margins, pairs 3 x 3", paired(3, 2, PAIRED), 3, ndtr, ndtr),
    normal("half-cube, pairs 3 x 3", paired(3, 2, PAIRED), 3, half_cube, half_cube),
    normal("spiral, pairs 3 x 3", paired(3, 2, PAIRED), 3, spiral(1 / 3), spiral(1 / 3, 1, 2)),
    normal(
        "spiral of uniform, pairs 3 x 3",
        paired(3, 2, PAIRED),
        3,
        lambda x: spiral(1 / 3)(ndtr(x)),
        lambda y: spiral(1 / 3, 1, 2)(ndtr(y)),
    ),
    normal("units 1000 apart, dense 2 x 2", dense(4, 0.5), 2, uneven, uneven),
    normal("independent 2 x 2", np.eye(4), 2),
    *(student(f"Student 2 x 2, dof {dof}", dof, 2, 2) for dof in (1, 2, 3)),
    student("asinh of Student 2 x 2, dof 1", 1, 2, 2, of_both=np.arcsinh),
    student("Student 3 x 3, dof 2", 2, 3, 3),
    student("asinh of Student 3 x 3, dof 2", 2, 3, 3, of_both=np.arcsinh),
    galaxy(),
    waves(),
)


CASES = (*GAUSSIAN_CASES, *BMI_CASES, *RELATIONS_CASES, *JOINT_CASES)
