"""What a benchmark case of mutual information is: a recipe of samples and the truth, in nats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Sample = tuple[NDArray[Any], NDArray[Any]]
Draw = Callable[[np.random.Generator, int], Sample]
Kind = Literal["continuous", "discrete label", "ties and mixtures"]

CONTINUOUS: Kind = "continuous"
LABEL: Kind = "discrete label"
TIES: Kind = "ties and mixtures"


@dataclass(frozen=True)
class Case:
    """A pair of variables whose mutual information is known.

    Attributes
    ----------
    name : str
        Unique among the cases.
    kind : str
        "continuous", "discrete label" (y holds integer codes) or "ties and mixtures" (numbers).
    draw : callable
        (rng, n) to x and y, independent rows; each has shape (n,) or (n, d).
    formula : callable
        Computes the truth in nats; called once, when `truth` is first asked for.
    pointwise : callable or None
        (rng, n) to n values of the log density ratio ln p(x, y) / p(x) p(y) at fresh samples. Their
        mean is the mutual information: a check of `formula`. None where densities are unknown.
    """

    name: str
    kind: Kind
    draw: Draw
    formula: Callable[[], float]
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
    of_x: Callable[[Any], Any] = unchanged,
    of_y: Callable[[Any], Any] = unchanged,
) -> Case:
    """Build a case from variables whose density ratio is known and invertible maps of each.

    Parameters
    ----------
    draw, log_ratio : callable
        Samples before the maps, and ln p(x, y) / p(x) p(y) of these.
    formula : callable or float
        The truth in nats.
    of_x, of_y : callable
        Invertible, so that they leave the truth as it is.
    """

    def mapped(rng: np.random.Generator, n: int) -> Sample:
        x, y = draw(rng, n)
        return of_x(x), of_y(y)

    def pointwise(rng: np.random.Generator, n: int) -> Floats:
        assert log_ratio is not None
        return log_ratio(*draw(rng, n))

    known = formula if callable(formula) else (lambda value=formula: value)
    return Case(name, kind, mapped, known, pointwise if log_ratio else None)
