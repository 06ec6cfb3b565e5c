"""Discrete labels: classes with their own law of x, channels that turn x into a class, tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import xlogy

from benchmarks.mi_cases.case import LABEL, Case, Floats, Sample, case, unchanged
from benchmarks.mi_cases.quadrature import information_of_table, quantile_panels


class Classes:
    """A class label, and x drawn from the law of the class.

    Parameters
    ----------
    shares : array, shape (c,)
        How common each class is, up to a factor.
    laws : sequence of scipy.stats distributions
        Of x, one a class.
    """

    def __init__(self, shares: ArrayLike, laws: Sequence[Any]) -> None:
        shares = np.asarray(shares, dtype=float)
        self.shares, self.laws = shares / shares.sum(), list(laws)

    def draw(self, rng: np.random.Generator, n: int) -> Sample:
        """Samples of x and integer codes y."""
        y = rng.choice(len(self.shares), n, p=self.shares)
        x = np.empty(n)
        for code, law in enumerate(self.laws):
            x[y == code] = law.rvs(size=int((y == code).sum()), random_state=rng)
        return x, y

    def log_ratio(self, x: Floats, y: Any) -> Floats:
        """Log of p(x given y) / p(x)."""
        density = np.array([law.pdf(x) for law in self.laws])
        return np.log(density[y, np.arange(len(x))] / (self.shares @ density))

    def truth(self) -> float:
        """Sum over classes of the mean log ratio within each, nats."""
        total = 0.0
        for code, law in enumerate(self.laws):
            x, weight = quantile_panels(law)
            terms = self.log_ratio(x, np.full(len(x), code))
            total += self.shares[code] * float(weight @ terms)
        return total


def classes(
    name: str,
    shares: ArrayLike,
    laws: Sequence[Any],
    of_x: Callable[[Any], Any] = unchanged,
) -> Case:
    """Case of `Classes`."""
    of = Classes(shares, laws)
    return case(name, LABEL, of.draw, of.truth, of.log_ratio, of_x)


def shifted_uniform(count: int) -> Case:
    """Equal classes i, x uniform on [i, i + 2] (Gao et al. 2017)."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        y = rng.integers(count, size=n)
        return y + rng.uniform(0, 2, n), y

    def log_ratio(x: Floats, y: Any) -> Floats:
        shared = (x > 1) & (x < count)
        return np.log(count) - np.log(2) * shared

    truth = np.log(count) - (count - 1) / count * np.log(2)
    return case(f"shifted uniform, {count} classes", LABEL, draw, truth, log_ratio)


def unrelated(name: str, shares: ArrayLike, law: Any) -> Case:
    """Label and x that know nothing of each other."""
    of = Classes(shares, [law] * np.size(shares))
    return case(name, LABEL, of.draw, 0.0, of.log_ratio)


def table(name: str, chances: ArrayLike) -> Case:
    """Two columns of classes; `chances` is the table of their joint probabilities."""
    joint = np.asarray(chances, dtype=float)
    joint = joint / joint.sum()
    product = joint.sum(1, keepdims=True) * joint.sum(0)

    def draw(rng: np.random.Generator, n: int) -> Sample:
        x, y = np.divmod(rng.choice(joint.size, n, p=joint.ravel()), joint.shape[1])
        return x, y

    def log_ratio(x: Any, y: Any) -> Floats:
        return np.log(joint[x, y] / product[x, y])

    return case(name, LABEL, draw, lambda: information_of_table(joint), log_ratio)


def clouds(distance: float) -> Case:
    """Three equal classes at the corners of a triangle, x in two columns.

    The truth is integrated on a grid of the plane.
    """
    corners = distance * np.array([[0, 0], [1, 0], [0.5, np.sqrt(0.75)]])

    def densities(x: Floats) -> Floats:
        square = ((x[..., None, :] - corners) ** 2).sum(-1)
        return np.exp(-0.5 * square) / (2 * np.pi)

    def draw(rng: np.random.Generator, n: int) -> Sample:
        y = rng.integers(3, size=n)
        return corners[y] + rng.normal(size=(n, 2)), y

    def log_ratio(x: Floats, y: Any) -> Floats:
        each = densities(x)
        return np.log(each[np.arange(len(x)), y] / each.mean(-1))

    def truth() -> float:
        axis = np.arange(-9, distance + 9, 0.04)
        each = densities(np.stack(np.meshgrid(axis, axis), axis=-1))
        whole = each.mean(-1)
        return float((xlogy(each, each).mean(-1) - xlogy(whole, whole)).sum() * 0.04**2)

    return case("three classes, x of 2 columns", LABEL, draw, truth, log_ratio)


def _normals(centres: ArrayLike, widths: ArrayLike = 1.0) -> list[Any]:
    centres, widths = np.broadcast_arrays(centres, widths)
    return [stats.norm(c, w) for c, w in zip(centres, widths, strict=True)]


_NOISY_COPY = 0.7 * np.eye(10) + 0.03

CASES = (
    classes("two classes, 0.5 sigma", [1, 1], _normals([0, 0.5])),
    classes("two classes, 1 sigma", [1, 1], _normals([0, 1])),
    classes("two classes, 3 sigma", [1, 1], _normals([0, 3])),
    classes("two classes, 8 sigma", [1, 1], _normals([0, 8])),
    classes("two classes of 10 and 90 %", [9, 1], _normals([0, 2])),
    classes("two classes of 1 and 99 %", [99, 1], _normals([0, 3])),
    classes("two classes, widths 1 and 5", [1, 1], _normals([0, 0], [1, 5])),
    classes("three classes, centres and widths", [5, 3, 2], _normals([0, 2, -1], [1, 0.3, 3])),
    classes("five classes, 1.5 sigma apart", np.ones(5), _normals(1.5 * np.arange(5))),
    classes("ten classes, 1 sigma apart", np.ones(10), _normals(np.arange(10.0))),
    classes("ten classes, shares halving", 0.5 ** np.arange(10), _normals(2.0 * np.arange(10))),
    classes("20 classes, 2 sigma apart", np.ones(20), _normals(2.0 * np.arange(20))),
    classes("50 classes, 0.3 sigma apart", np.ones(50), _normals(0.3 * np.arange(50))),
    classes("Cauchy, two centres", [1, 1], [stats.cauchy(0), stats.cauchy(4)]),
    classes("lognormal, three centres", np.ones(3), _normals([0, 1.5, 3]), lambda x: np.exp(2 * x)),
    classes(
        "exponential, rates 1 3 10", [1, 1, 1], [stats.expon(scale=s) for s in (1, 1 / 3, 0.1)]
    ),
    classes(
        "Student dof 2, widths 1 and 3",
        [2, 1],
        [stats.t(2), stats.t(2, scale=3)],
        lambda x: 1e5 * x,
    ),
    shifted_uniform(3),
    shifted_uniform(5),
    unrelated("unrelated, two classes", [1, 1], stats.norm()),
    unrelated("unrelated, ten classes, Cauchy", np.arange(1, 11), stats.cauchy()),
    unrelated("unrelated, 30 classes", np.ones(30), stats.expon()),
    table("table 2 by 2", [[4, 1], [2, 3]]),
    table("table 3 by 5, uneven", [[8, 4, 2, 1, 1], [1, 6, 3, 2, 1], [1, 1, 1, 12, 20]]),
    table("table, noisy copy of 10", _NOISY_COPY),
    table("table, unrelated 4 by 6", np.outer([1, 2, 3, 4], [3, 1, 1, 2, 2, 5])),
    clouds(2.5),
)
