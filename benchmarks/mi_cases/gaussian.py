"""Cases made of a Gaussian pair: any strength, and invertible maps of its columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import ndtr

from benchmarks.mi_cases.case import CONTINUOUS, Case, Draw, Floats, Sample, case, unchanged


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


def gaussian(
    name: str,
    rho: float,
    of_x: Callable[[Any], Any] = unchanged,
    of_y: Callable[[Any], Any] = unchanged,
) -> Case:
    """Gaussian pair with maps of its columns."""
    return case(name, CONTINUOUS, pair(rho), information(rho), log_ratio(rho), of_x, of_y)


CASES = (
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
