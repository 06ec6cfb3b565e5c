"""A benchmark case of mutual information: a recipe of samples and the truth, in nats.

Below it the sums that stand for integrals: Gauss-Legendre panels, and densities on grids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, xlogy

Floats = NDArray[np.float64]
Sample = tuple[NDArray[Any], NDArray[Any]]
Draw = Callable[[np.random.Generator, int], Sample]
Map = Callable[[Any], Any]
"""Of a column, invertible."""

Kind = Literal["continuous", "discrete label", "ties and mixtures"]

CONTINUOUS: Kind = "continuous"
LABEL: Kind = "discrete label"
TIES: Kind = "ties and mixtures"


@dataclass(frozen=True)
class Case:
    """A pair of variables whose mutual information is known."""

    name: str  # unique among the cases
    kind: Kind  # of a "discrete label" y holds integer codes
    draw: Draw  # (rng, n) to x and y, independent rows; each has shape (n,) or (n, d)
    formula: Callable[[], float]  # the truth in nats; called once, when it is first asked for
    # (rng, n) to n values of ln p(x, y) / p(x) p(y) at fresh samples, whose mean is the mutual
    # information: a check of `formula`. None where densities are unknown.
    pointwise: Callable[[np.random.Generator, int], Floats] | None = None

    @cached_property
    def truth(self) -> float:
        """Mutual information, nats."""
        return float(self.formula())

    @cached_property
    def columns(self) -> int:
        """How many columns x and y have together; 2 for a pair of single columns."""
        x, y = self.draw(np.random.default_rng(0), 20)
        return sum(1 if part.ndim == 1 else part.shape[1] for part in (x, y))


def unchanged(column: NDArray[Any]) -> NDArray[Any]:
    """Return the column itself."""
    return column


def case(
    name: str,
    kind: Kind,
    draw: Draw,
    formula: Callable[[], float] | float,
    log_ratio: Callable[[Any, Any], Floats] | None = None,
    of_x: Map = unchanged,
    of_y: Map = unchanged,
) -> Case:
    """Build a case from variables whose density ratio is known and invertible maps of each.

    `draw` and `log_ratio` are those before the maps, which leave the truth as it is.
    """

    def mapped(rng: np.random.Generator, n: int) -> Sample:
        x, y = draw(rng, n)
        return of_x(x), of_y(y)

    def pointwise(rng: np.random.Generator, n: int) -> Floats:
        assert log_ratio is not None
        return log_ratio(*draw(rng, n))

    exact = formula if callable(formula) else (lambda value=formula: value)
    return Case(name, kind, mapped, exact, pointwise if log_ratio else None)


def of_law(name: str, kind: Kind, law: Any, *maps: Map) -> Case:
    """Build a case of a law that has `draw`, `truth` and `log_ratio`, as `case` takes them."""
    return case(name, kind, law.draw, law.truth, law.log_ratio, *maps)


# Beyond this many standard deviations a normal density adds less than 1e-17.
NORMAL_REACH = 8.5


def panels(edges: Floats, order: int = 8) -> tuple[Floats, Floats]:
    """Points and weights (m * order,) of Gauss-Legendre quadrature between m + 1 rising edges."""
    at, weight = np.polynomial.legendre.leggauss(order)
    half = np.diff(edges)[:, None] / 2
    middle = (edges[:-1] + edges[1:])[:, None] / 2
    return (middle + half * at).ravel(), (half * weight).ravel()


def normal_panels(count: int = 60, order: int = 8) -> tuple[Floats, Floats]:
    """Points t and weights for means over a standard normal variable."""
    t, weight = panels(np.linspace(-NORMAL_REACH, NORMAL_REACH, count + 1), order)
    weight = weight * np.exp(-t * t / 2)
    return t, weight / weight.sum()


def quantile_panels(law, count: int = 60, order: int = 8) -> tuple[Floats, Floats]:
    """Points x and weights for means over a distribution of scipy.stats, heavy tails included."""
    t, weight = normal_panels(count, order)
    return np.where(t < 0, law.ppf(ndtr(t)), law.isf(ndtr(-t))), weight


def information_of_table(joint: Floats) -> float:
    """Mutual information, nats, of rows and columns of a table of probabilities or masses."""
    joint = joint / joint.sum()
    rows, columns = joint.sum(1), joint.sum(0)
    own = xlogy(joint, joint).sum()
    return float(own - xlogy(rows, rows).sum() - xlogy(columns, columns).sum())


def information_of_channel(weights: Floats, chances: Floats) -> float:
    """Mutual information, nats, of x at weighted points and a discrete y of known chances.

    `weights` (m,) sum to 1; `chances` (m, c) are the probabilities of each y at each point.
    """
    overall = weights @ chances
    return float((weights @ (xlogy(chances, chances))).sum() - xlogy(overall, overall).sum())
