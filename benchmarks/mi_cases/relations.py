"""Continuous relations that are no Gaussian pair in disguise: folds, rings, changing scatter."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import digamma, i0e
from scipy.stats import norm

from benchmarks.mi_cases.case import CONTINUOUS, Case, Floats, Sample, case
from benchmarks.mi_cases.quadrature import information_of_table, normal_panels, panels


class Scatter:
    """Standard normal x, y = curve(x) + width(x) times standard normal noise.

    Parameters
    ----------
    curve, width : callable
        Of x.
    reach : (float, float)
        Range of y beyond which its density is negligible.
    """

    def __init__(
        self,
        curve: Callable[[Floats], Floats],
        width: Callable[[Floats], Floats],
        reach: tuple[float, float],
    ) -> None:
        self.curve, self.width, self.reach = curve, width, reach

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


def scatter(
    name: str,
    curve: Callable[[Floats], Floats],
    width: Callable[[Floats], Floats],
    reach: tuple[float, float],
) -> Case:
    """Case of `Scatter`."""
    relation = Scatter(curve, width, reach)
    return case(name, CONTINUOUS, relation.draw, relation.truth, relation.log_ratio)


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


CASES = (
    scatter("fold, y = x^2 + 0.2 noise", np.square, lambda x: 0.2 + 0 * x, (-2, 75)),
    scatter("fold, y = x^2 + noise", np.square, np.ones_like, (-9, 80)),
    scatter(
        "sine, y = sin 4x + 0.3 noise", lambda x: np.sin(4 * x), lambda x: 0.3 + 0 * x, (-4, 4)
    ),
    scatter("scatter grows with |x|", lambda x: 0 * x, lambda x: 0.2 + np.abs(x), (-60, 60)),
    scatter("scatter grows as exp x", lambda x: x, lambda x: 0.3 * np.exp(0.7 * x), (-300, 300)),
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
