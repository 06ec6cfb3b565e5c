"""What one evaluation of a measure gives: numbers under names, and matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.disentanglement.catalogue import MEAN
from latentscope.diagnostics.disentanglement.sample import Drawn

Floats = NDArray[np.float64]


class Key(NamedTuple):
    """Which number it is."""

    metric: str
    estimator: str
    label: str


@dataclass(frozen=True)
class Scores:
    """Numbers of one evaluation.

    Parameters
    ----------
    values : dict
        By key.
    matrices : dict
        Arrays of shape (d, labels) by name.
    """

    values: dict[Key, float] = field(default_factory=dict)
    matrices: dict[str, Floats] = field(default_factory=dict)

    def add(
        self, metric: str, estimator: str, names: Sequence[str], values: Floats, mean: float
    ) -> None:
        """Add the values of several labels or dimensions, and their mean."""
        for name, value in zip(names, values, strict=True):
            self.values[Key(metric, estimator, name)] = float(value)
        self.values[Key(metric, estimator, MEAN)] = float(mean)


Family = Callable[[Drawn, np.random.Generator], Scores]
"""(one row a star, what is random) -> its numbers."""


def mean_of(values: Floats) -> float:
    """Mean of the values that are not NaN; NaN where there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def dim_names(dims: Sequence[int]) -> list[str]:
    """What the table calls dimensions in its column `label`."""
    return [f"dim {dim}" for dim in dims]
