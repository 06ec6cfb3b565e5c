"""One random row a star, of all stars or half of them: what every measure is evaluated on.

Rows of a star are not independent, and nearest neighbours take a repeated row for a perfect
relation. So a bootstrap that draws stars with replacement would not do. Half of the stars without
replacement does: with n stars, a statistic of m of them deviates from that of all by
sigma^2 (1/m - 1/n) in variance, which for m = n/2 is the sampling variance of the whole itself
(the delete-d jackknife; J. Shao & C. F. J. Wu, Ann. Statist. 17, 1176, 1989).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.columns.groups import Groups
from latentscope.diagnostics.disentanglement.baselines import Axes
from latentscope.diagnostics.disentanglement.labels import Label

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stars:
    """Latents, labels, and which rows show one star.

    Parameters
    ----------
    values : ndarray of float64, shape (n, d)
        Standardised latents of the dimensions chosen; NaN where a row has none.
    ok : ndarray of bool, shape (n,)
        Which rows have latents.
    groups : Groups
        Star of each row.
    labels : list of Label
    dims : list of int
        Numbers of the d dimensions.
    """

    values: Floats
    ok: NDArray[np.bool_]
    groups: Groups
    labels: Sequence[Label]
    dims: Sequence[int]

    @property
    def repeated(self) -> bool:
        """Whether some star has several rows with latents."""
        return self.groups.count(self.ok) < int(self.ok.sum())

    def draw(self, axes: Axes, rng: np.random.Generator, *, half: bool = False) -> Drawn:
        """Draw one random row of each star, or of a random half of the stars.

        A row is drawn for each label among those that have the label.
        """
        keep = self.ok & self._half(rng) if half else self.ok
        known = [keep & (label.codes >= 0) for label in self.labels]
        rows = [self.groups.draws(mask, 1, rng).rows[0] for mask in (keep, *known)]
        return Drawn(self, axes, rows[0], rows[1:])

    def _half(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        stars = np.unique(self.groups.codes[self.ok])
        chosen = np.zeros(len(self.groups.codes), dtype=bool)
        chosen[rng.choice(stars, len(stars) // 2, replace=False)] = True
        taken: NDArray[np.bool_] = chosen[self.groups.codes]
        return taken


@dataclass(frozen=True, eq=False)
class Drawn:
    """One row a star, seen along some axes.

    Parameters
    ----------
    stars : Stars
    axes : Axes
        Latents as they are, or a baseline.
    every : ndarray of int64
        A row of each star.
    rows : list of ndarray of int64
        For each label a row of each star that has it.
    """

    stars: Stars
    axes: Axes
    every: Rows
    rows: Sequence[Rows]

    @property
    def labels(self) -> Sequence[Label]:
        """The labels."""
        return self.stars.labels

    @property
    def names(self) -> list[str]:
        """Names of the labels."""
        return [label.name for label in self.labels]

    def latents(self, rows: Rows) -> Floats:
        """Latents of some rows along these axes, shape (rows, d)."""
        return self.axes.of(self.stars.values[rows])


def split(count: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Split `count` rows, of as many stars, into two random halves: to learn and to judge."""
    order = rng.permutation(count)
    return np.sort(order[: count // 2]), np.sort(order[count // 2 :])
