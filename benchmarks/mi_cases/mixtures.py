"""Counts, zeros among numbers, atoms beside continuous parts (after Gao et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats
from scipy.special import entr, gammaln, xlogy

from benchmarks.mi_cases.case import TIES, Case, Floats, Sample, case
from benchmarks.mi_cases.gaussian import information, log_ratio, pair
from benchmarks.mi_cases.quadrature import (
    information_of_channel,
    information_of_table,
    quantile_panels,
)


def poisson(rate: Floats, most: int) -> Floats:
    """Chances of counts 0 ... most, shape (len(rate), most + 1)."""
    count = np.arange(most + 1)
    return np.exp(xlogy(count, rate[:, None]) - rate[:, None] - gammaln(count + 1))


def counts(name: str, law, rate: Callable[[Floats], Floats], zeros: float, most: int) -> Case:
    """X of a scipy.stats law; y counts of a rate that depends on x, some of them set to zero.

    Parameters
    ----------
    rate : callable
        Mean count at x.
    zeros : float
        Share of rows whose count is set to 0.
    most : int
        Counts beyond it are negligible.
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


CASES = (
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
