"""Cases with ties: classes, rounded and clipped columns, counts, atoms beside continuous parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import entr, gammaln, ndtr, xlogy

from benchmarks.mi_cases.case import (
    LABEL,
    NORMAL_REACH,
    TIES,
    Case,
    Floats,
    Kind,
    Map,
    Sample,
    case,
    information_of_channel,
    information_of_table,
    of_law,
    panels,
    quantile_panels,
    unchanged,
)
from benchmarks.mi_cases.continuous import information, log_ratio, pair

# Discrete labels: classes with their own law of x, channels that turn x into a class, tables.


class Classes:
    """A class label, and x drawn from the law of the class (of scipy.stats).

    `shares` say how common each class is, up to a factor.
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


def classes(name: str, shares: ArrayLike, laws: Sequence[Any], *of_x: Map) -> Case:
    """Case of `Classes`."""
    return of_law(name, LABEL, Classes(shares, laws), *of_x)


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


def _normals(centers: ArrayLike, widths: ArrayLike = 1.0) -> list[Any]:
    centers, widths = np.broadcast_arrays(centers, widths)
    return [stats.norm(c, w) for c, w in zip(centers, widths, strict=True)]


_NOISY_COPY = 0.7 * np.eye(10) + 0.03

CLASSES_CASES = (
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


# Gaussian pairs whose columns were rounded, clipped, censored or cut into classes.
#
# Each truth is that of the columns as they come out, summed over cells and integrated elsewhere.


@dataclass(frozen=True)
class Cut:
    """Which intervals of a standard normal column become one value each."""

    edges: Floats  # (m + 1,): adjoining intervals, rising, from -inf to inf
    value: Floats  # (m,): what each becomes; NaN leaves the values in it unchanged

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


@dataclass(frozen=True)
class CutPair:
    """A Gaussian pair with a cut of either column; `rho` is its correlation before the cuts."""

    rho: float
    x: Cut
    y: Cut

    def draw(self, rng: np.random.Generator, n: int) -> Sample:
        """Samples of x and y before the cuts."""
        return pair(self.rho)(rng, n)

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
        ratio = log_ratio(self.rho)(x[:, None], y)
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
        terms = log_ratio(self.rho)(x, y)
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
    of_y: Map = unchanged,
) -> Case:
    """Case of a Gaussian pair, cut and y then mapped; a "discrete label" has integer codes as y."""

    def column_y(z: Floats) -> Any:
        return y(z).astype(np.int64) if kind == LABEL else of_y(y(z))

    return of_law(name, kind, CutPair(rho, x, y), x, column_y)


_PART_ROUNDED = Cut(
    np.array([-np.inf, -1.5, -0.5, 0.5, 1.5, np.inf]), np.array([np.nan, -1, np.nan, 1, np.nan])
)

COARSE_CASES = (
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


# Counts, zeros among numbers, atoms beside continuous parts (after Gao et al. 2017).


def poisson(rate: Floats, most: int) -> Floats:
    """Chances of counts 0 ... most, shape (len(rate), most + 1)."""
    count = np.arange(most + 1)
    return np.exp(xlogy(count, rate[:, None]) - rate[:, None] - gammaln(count + 1))


def counts(name: str, law, rate: Callable[[Floats], Floats], zeros: float, most: int) -> Case:
    """X of a scipy.stats law; y counts of a rate that depends on x, a share of them set to zero.

    Counts beyond `most` are negligible.
    """

    def chances(x: Floats) -> Floats:
        out = (1 - zeros) * poisson(rate(x), most)
        out[:, 0] += zeros
        return out

    def truth() -> float:
        x, weight = quantile_panels(law)
        return information_of_channel(weight, chances(x))

    def draw(rng: np.random.Generator, n: int) -> Sample:
        x = law.rvs(size=n, random_state=rng)
        return x, rng.poisson(rate(x)) * (rng.uniform(size=n) >= zeros).astype(float)

    def ratio(x: Floats, y: Floats) -> Floats:
        nodes, weight = quantile_panels(law)
        overall = weight @ chances(nodes)
        of_x = rate(x)
        given = (1 - zeros) * np.exp(xlogy(y, of_x) - of_x - gammaln(y + 1))
        return np.log((given + zeros * (y == 0)) / overall[y.astype(int)])

    return case(name, TIES, draw, truth, ratio)


def shared_counts(own: float, shared: float) -> Case:
    """Two Poisson counts that have a Poisson count in common."""
    most = 60

    def joint() -> Floats:
        each = poisson(np.array([own]), most)[0]
        common = poisson(np.array([shared]), most)[0]
        table = np.zeros((most + 1, most + 1))
        for c, chance in enumerate(common):
            table[c:, c:] += chance * np.outer(each[: most + 1 - c], each[: most + 1 - c])
        return table

    def draw(rng: np.random.Generator, n: int) -> Sample:
        common = rng.poisson(shared, n)
        x, y = common + rng.poisson(own, (2, n))
        return x.astype(float), y.astype(float)

    def ratio(x: Floats, y: Floats) -> Floats:
        table = joint()
        product = table.sum(1, keepdims=True) * table.sum(0)
        return np.log(table / np.where(product > 0, product, 1))[x.astype(int), y.astype(int)]

    return case(
        f"counts with {shared} in common", TIES, draw, lambda: information_of_table(joint()), ratio
    )


def uniform_steps(count: int) -> Case:
    """X one of `count` whole numbers, y uniform on [x, x + 2] (Gao et al. 2017), as numbers."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        x = rng.integers(count, size=n).astype(float)
        return x, x + rng.uniform(0, 2, n)

    def ratio(x: Floats, y: Floats) -> Floats:
        return np.log(count) - np.log(2) * ((y > 1) & (y < count))

    truth = np.log(count) - (count - 1) / count * np.log(2)
    return case(f"{count} steps and uniform noise", TIES, draw, truth, ratio)


def atoms_beside(name: str, share: float, rho: float, agree: float, at: float) -> Case:
    """Gaussian pair in `share` of the rows, else x and y of -at or at, equal with chance `agree`.

    An atom says that the other column is one too, which adds the entropy of that choice.
    """

    def draw(rng: np.random.Generator, n: int) -> Sample:
        x, y = pair(rho)(rng, n)
        lump = rng.uniform(size=n) >= share
        sign = rng.choice([-at, at], n)
        same = np.where(rng.uniform(size=n) < agree, 1, -1)
        return np.where(lump, sign, x), np.where(lump, sign * same, y)

    def ratio(x: Floats, y: Floats) -> Floats:
        lump = np.abs(x) == at
        within = np.where(x == y, np.log(2 * agree), np.log(2 * (1 - agree)))
        whole = log_ratio(rho)(x, y) - np.log(share)
        return np.where(lump, within - np.log(1 - share), whole)

    choice = float(entr(share) + entr(1 - share))
    within = np.log(2) - float(entr(agree) + entr(1 - agree))
    truth = choice + share * information(rho) + (1 - share) * within
    return case(name, TIES, draw, truth, ratio)


def dropped(name: str, share: float, rho: float) -> Case:
    """Gaussian pair where x is set to zero in `share` of the rows, whatever it was."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        x, y = pair(rho)(rng, n)
        return np.where(rng.uniform(size=n) < share, 0.0, x), y

    def ratio(x: Floats, y: Floats) -> Floats:
        return np.where(x == 0, 0.0, log_ratio(rho)(x, y))

    return case(name, TIES, draw, (1 - share) * information(rho), ratio)


def both_dropped(name: str, share: float, rho: float) -> Case:
    """Gaussian pair where both are zero in `share` of the rows, as of faint objects."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        x, y = pair(rho)(rng, n)
        gone = rng.uniform(size=n) < share
        return np.where(gone, 0.0, x), np.where(gone, 0.0, y)

    def ratio(x: Floats, y: Floats) -> Floats:
        return np.where(x == 0, -np.log(share), log_ratio(rho)(x, y) - np.log(1 - share))

    truth = float(entr(share) + entr(1 - share)) + (1 - share) * information(rho)
    return case(name, TIES, draw, truth, ratio)


def unrelated_zeros(rng: np.random.Generator, n: int) -> Sample:
    """Independent columns, both with zeros: 30 % among exponential, 60 % among lognormal values."""
    x = rng.exponential(size=n) * (rng.uniform(size=n) >= 0.3)
    return x, rng.lognormal(size=n) * (rng.uniform(size=n) >= 0.6)


def erased(share: float) -> Case:
    """Fair coin x in {0, 1}, y equal to it or else uniform on [0, 1], which says nothing."""

    def draw(rng: np.random.Generator, n: int) -> Sample:
        x = rng.integers(2, size=n).astype(float)
        return x, np.where(rng.uniform(size=n) < share, rng.uniform(size=n), x)

    def ratio(x: Floats, y: Floats) -> Floats:
        return np.where(x == y, np.log(2), 0.0)

    return case("coin or uniform", TIES, draw, (1 - share) * np.log(2), ratio)


MIXTURES_CASES = (
    counts("zero-inflated Poisson of an exponential", stats.expon(), lambda x: x, 0.15, 150),
    counts("Poisson of an exponential", stats.expon(), lambda x: x, 0.0, 150),
    counts("half zeros, Poisson of an exponential", stats.expon(), lambda x: 4 * x, 0.5, 400),
    counts("counts of exp x", stats.norm(), lambda x: np.exp(1 + 0.8 * x), 0.0, 2500),
    counts("counts of a faint rate", stats.norm(), lambda x: np.exp(0.5 * x - 1), 0.0, 120),
    shared_counts(2, 3),
    uniform_steps(5),
    uniform_steps(30),
    atoms_beside("atoms beside a Gaussian, half", 0.5, 0.9, 0.9, 1.0),
    atoms_beside("atoms far out, a tenth", 0.9, 0.6, 0.8, 5.0),
    dropped("x zero in 30 %", 0.3, 0.8),
    dropped("x zero in 80 %", 0.8, 0.95),
    both_dropped("both zero in 30 %", 0.3, 0.8),
    both_dropped("both zero in 5 %", 0.05, 0.6),
    erased(0.4),
    case("independent, both with zeros", TIES, unrelated_zeros, 0.0),
)


CASES = (*CLASSES_CASES, *COARSE_CASES, *MIXTURES_CASES)
