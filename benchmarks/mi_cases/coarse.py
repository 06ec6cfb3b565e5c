"""Gaussian pairs whose columns were rounded, clipped, censored or cut into classes.

Each truth is that of the columns as they come out, summed over cells and integrated elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtr, xlogy

from benchmarks.mi_cases.case import LABEL, TIES, Case, Floats, Kind, Sample, case, unchanged
from benchmarks.mi_cases.gaussian import log_ratio as gaussian_ratio
from benchmarks.mi_cases.gaussian import pair
from benchmarks.mi_cases.quadrature import NORMAL_REACH, panels


@dataclass(frozen=True)
class Cut:
    """Which intervals of a standard normal column become one value each.

    Attributes
    ----------
    edges : array, shape (m + 1,)
        Adjoining intervals, rising, from -inf to inf.
    value : array, shape (m,)
        What each becomes; NaN leaves the values in it as they are.
    """

    edges: Floats
    value: Floats

    def __call__(self, z: Floats) -> Floats:
        """The column as it comes out."""
        value = self.value[self.cell(z)]
        return np.where(np.isnan(value), z, value)

    def cell(self, z: Floats) -> Any:
        """Index of the interval that holds each value."""
        return np.searchsorted(self.edges[1:-1], z, side="right")

    @cached_property
    def atoms(self) -> Any:
        """Indices of the intervals that become one value."""
        return np.flatnonzero(~np.isnan(self.value))

    @cached_property
    def masses(self) -> Floats:
        """Probability of each interval."""
        return np.diff(ndtr(self.edges))

    def nodes(self, atoms: bool) -> tuple[Floats, Floats, Any]:
        """Points, probabilities and interval of each point, of the atoms or of the rest."""
        points, weights, cells = [], [], []
        for i in np.flatnonzero(np.isnan(self.value) ^ atoms):
            low, high = np.clip(self.edges[[i, i + 1]], -NORMAL_REACH, NORMAL_REACH)
            z, weight = panels(np.linspace(low, high, 1 + int(np.ceil((high - low) / 0.2))), 6)
            points.append(z)
            weights.append(weight * np.exp(-z * z / 2) / np.sqrt(2 * np.pi))
            cells.append(np.full(len(z), i))
        if not points:
            return np.empty(0), np.empty(0), np.empty(0, dtype=int)
        return np.concatenate(points), np.concatenate(weights), np.concatenate(cells)

    def chances(self, given: Floats, rho: float) -> Floats:
        """Probability of each atom where the other column is `given`, shape (n, atoms)."""
        score = (self.edges - rho * given[:, None]) / np.sqrt(1 - rho**2)
        lower, upper = score[:, :-1][:, self.atoms], score[:, 1:][:, self.atoms]
        # Both tails keep their digits: the difference is taken on the side where it is small.
        flip = np.where(lower + upper > 0, -1.0, 1.0)
        return np.abs(ndtr(flip * upper) - ndtr(flip * lower))


WHOLE = Cut(np.array([-np.inf, np.inf]), np.array([np.nan]))


def rounded(step: float, reach: float = 6.0) -> Cut:
    """Cut of a column to the nearest multiple of `step`."""
    count = int(np.ceil(reach / step))
    value = step * np.arange(-count, count + 1)
    inner = step * (np.arange(-count, count) + 0.5)
    return Cut(np.concatenate([[-np.inf], inner, [np.inf]]), value)


def clipped(low: float, high: float) -> Cut:
    """Cut of a column at limits, beyond which it has the value of the limit."""
    edges, values = [-np.inf], [np.nan]
    if np.isfinite(low):
        edges, values = [-np.inf, low], [low, np.nan]
    if np.isfinite(high):
        edges, values = [*edges, high], [*values, high]
    return Cut(np.array([*edges, np.inf]), np.array(values))


def classed(edges: list[float]) -> Cut:
    """Cut of a column into classes 0, 1, ... at inner edges."""
    inner = np.asarray(edges, dtype=float)
    return Cut(np.concatenate([[-np.inf], inner, [np.inf]]), np.arange(len(inner) + 1.0))


class CutPair:
    """A Gaussian pair with a cut of either column.

    Parameters
    ----------
    rho : float
        Correlation before the cuts.
    x, y : Cut
    """

    def __init__(self, rho: float, x: Cut, y: Cut) -> None:
        self.rho, self.x, self.y = rho, x, y

    @cached_property
    def table(self) -> Floats:
        """Joint probability of the atoms of x and of y."""
        z, weight, cell = self.y.nodes(atoms=True)
        table = np.zeros((len(self.x.atoms), len(self.y.value)))
        chances = self.x.chances(z, self.rho) * weight[:, None]
        np.add.at(table.T, cell, chances)
        return table[:, self.y.atoms]

    def _mixed(self, atoms: Cut, whole: Cut) -> float:
        """What atoms of one column and the uncut part of the other tell, nats."""
        z, weight, _ = whole.nodes(atoms=False)
        chances = atoms.chances(z, self.rho)
        against = chances * np.log(atoms.masses[atoms.atoms])
        return float(weight @ (xlogy(chances, chances) - against).sum(1))

    def _uncut(self) -> float:
        (x, of_x, _), (y, of_y, _) = self.x.nodes(atoms=False), self.y.nodes(atoms=False)
        ratio = gaussian_ratio(self.rho)(x[:, None], y)
        return float(of_x @ (np.exp(ratio) * ratio) @ of_y)

    def truth(self) -> float:
        """Mutual information of the columns as they come out, nats."""
        product = np.outer(self.x.masses[self.x.atoms], self.y.masses[self.y.atoms])
        seen = self.table > 0
        atoms = float((self.table[seen] * np.log(self.table[seen] / product[seen])).sum())
        return atoms + self._mixed(self.x, self.y) + self._mixed(self.y, self.x) + self._uncut()

    def log_ratio(self, x: Floats, y: Floats) -> Floats:
        """Log of p(x, y) / p(x) p(y) at columns before the cut."""
        of_x, of_y = self.x.cell(x), self.y.cell(y)
        lump_x, lump_y = ~np.isnan(self.x.value[of_x]), ~np.isnan(self.y.value[of_y])
        terms = gaussian_ratio(self.rho)(x, y)
        for cut, lump, other, cell, given in (
            (self.x, lump_x, lump_y, of_x, y),
            (self.y, lump_y, lump_x, of_y, x),
        ):
            only = lump & ~other
            chances = cut.chances(given[only], self.rho)
            at = np.searchsorted(cut.atoms, cell[only])
            terms[only] = np.log(chances[np.arange(len(at)), at] / cut.masses[cell[only]])
        both = lump_x & lump_y
        row = np.searchsorted(self.x.atoms, of_x[both])
        column = np.searchsorted(self.y.atoms, of_y[both])
        product = self.x.masses[of_x[both]] * self.y.masses[of_y[both]]
        terms[both] = np.log(self.table[row, column] / product)
        return terms


def cut_pair(
    name: str,
    rho: float,
    x: Cut = WHOLE,
    y: Cut = WHOLE,
    kind: Kind = TIES,
    of_x: Callable[[Any], Any] = unchanged,
    of_y: Callable[[Any], Any] = unchanged,
) -> Case:
    """Case of a Gaussian pair, cut and then mapped; a "discrete label" has integer codes as y."""
    of = CutPair(rho, x, y)

    def draw(rng: np.random.Generator, n: int) -> Sample:
        return pair(rho)(rng, n)

    def column_y(z: Floats) -> Any:
        return y(z).astype(np.int64) if kind == LABEL else of_y(y(z))

    return case(name, kind, draw, of.truth, of.log_ratio, lambda z: of_x(x(z)), column_y)


_PART_ROUNDED = Cut(
    np.array([-np.inf, -1.5, -0.5, 0.5, 1.5, np.inf]), np.array([np.nan, -1, np.nan, 1, np.nan])
)

CASES = (
    cut_pair("both rounded to 0.01", 0.9, rounded(0.01), rounded(0.01)),
    cut_pair("both rounded to 0.1", 0.7, rounded(0.1), rounded(0.1)),
    cut_pair("both rounded to 0.5", 0.7, rounded(0.5), rounded(0.5)),
    cut_pair("both rounded to 0.1, strong", 0.98, rounded(0.1), rounded(0.1)),
    cut_pair("x rounded to 0.1", 0.7, rounded(0.1)),
    cut_pair("x rounded to 0.5, y lognormal", 0.7, rounded(0.5), of_y=lambda y: np.exp(2 * y)),
    cut_pair("y rounded to 0.25, strong", 0.95, y=rounded(0.25)),
    cut_pair("x to 0.05 and y to 0.5, weak", 0.3, rounded(0.05), rounded(0.5)),
    cut_pair("independent, both rounded to 0.2", 0.0, rounded(0.2), rounded(0.2)),
    cut_pair("x clipped at 1 sigma", 0.8, clipped(-1, 1)),
    cut_pair("both saturated above 0.5", 0.8, clipped(-np.inf, 0.5), clipped(-np.inf, 0.5)),
    cut_pair("y censored below 0", 0.8, y=clipped(0, np.inf)),
    cut_pair("independent, both censored", 0.0, clipped(0, np.inf), clipped(0.5, np.inf)),
    cut_pair("x rounded in parts", 0.8, _PART_ROUNDED),
    cut_pair("ordinal of 7 from a Gaussian", 0.8, y=classed(list(np.arange(-2.5, 3))), kind=LABEL),
    cut_pair("above or below 0", 0.8, y=classed([0]), kind=LABEL),
    cut_pair("rare above 2 sigma", 0.7, y=classed([2]), kind=LABEL),
)
