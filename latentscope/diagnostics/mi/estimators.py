"""Estimators of mutual information, a class per estimator, and which serves a pair of columns.

Another estimator is one more class in this file, and a place in `ESTIMATORS`: its `name` then
appears in the help of the command line and in the error that lists the estimators.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import product
from math import ceil, sqrt
from threading import Lock
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from latentscope.diagnostics.mi import kernels
from latentscope.diagnostics.mi.columns import Column, Discrete, own_rng
from latentscope.diagnostics.mi.points import (
    Part,
    closer,
    local_terms,
    part_of,
    ranked,
    scores_of,
    values_of,
)
from latentscope.errors import ChoiceError, EstimatorError, meant
from latentscope.workers import spread, threads_to_spread

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_WORTH_THREADS = 20_000  # points; for fewer, starting threads costs more than they save
_STRONG = 0.1  # nats, from which "auto" refines a value: below, its bias is lost in the noise


@dataclass(frozen=True)
class Estimate:
    """What an estimator says of the rows that two columns share."""

    value: float  # nats, signed
    variance: float  # of the value, in nats squared
    # Whether the variance counts that neighbors share their surroundings, which the scatter of
    # local terms alone does not.
    complete: bool = False
    # Estimate from ranks and classes alone, of which the null is known, where it came along.
    by_ranks: float | None = None
    # k where "auto" chose it; 0 where the value is that of no neighbors, by extrapolation.
    neighbors: int | None = None


class Estimator(ABC):
    """An estimator of mutual information in nats."""

    name: ClassVar[str]  # what users call it
    takes: ClassVar[tuple[int, ...]]  # how many columns of a pair may hold classes
    one_scale: ClassVar[bool] = False  # whether columns must vary by about as much

    @abstractmethod
    def estimate(self, x: Column, y: Column, neighbors: int, seed: int = 0) -> Estimate:
        """Estimate from two columns of the same rows, none of them missing."""

    def neighbors_for(self, x: Column, y: Column, neighbors: int) -> int:
        """Return the k that is taken for these columns."""
        return neighbors

    def joint(self, x: list[Column], y: list[Column], neighbors: int) -> float:
        """Estimate from several columns x and several columns y, or one y of classes."""
        raise NotImplementedError(self.name)


class LocalTerms(Estimator):
    """An estimator whose value is the mean of one term per row; their scatter gives the error."""

    @abstractmethod
    def terms(self, x: Column, y: Column, neighbors: int) -> Floats:
        """Return the n local terms in nats, in any order."""

    def estimate(self, x: Column, y: Column, neighbors: int, seed: int = 0) -> Estimate:
        """Return the mean of the terms."""
        return Estimate(*_mean_and_variance(self.terms(x, y, neighbors)))


class RankTest(LocalTerms):
    """An estimator of ranks and classes alone, whose null distribution needs no values."""

    @abstractmethod
    def shuffled(self, x: Codes, y: Codes, neighbors: int) -> Floats:
        """Estimates, in nats, of m pairs of rows of ranks or classes: (m, n), (m, n) -> (m,)."""


def _mean_and_variance(terms: Floats) -> tuple[float, float]:
    """Mean of n terms, and its variance, in a fraction of the time of numpy's methods."""
    n = len(terms)
    mean = float(terms.sum()) / n
    centered = terms - mean
    return mean, float(centered @ centered) / n**2


# Two continuous columns: nearest neighbors.


class Ksg(LocalTerms):
    """Nearest neighbors of the values themselves: Kraskov et al. 2004.

    A. Kraskov, H. Stoegbauer, P. Grassberger, "Estimating mutual information", Phys. Rev. E 69,
    066138 (2004), algorithm 1, equation (8): with eps_i the Chebyshev distance from point i to its
    k-th neighbor in (x, y), and n_x, n_y the numbers of other points strictly closer than eps_i in
    x and in y, I = psi(k) + psi(n) - < psi(n_x + 1) + psi(n_y + 1) >.
    """

    name = "ksg"
    takes = (0,)
    one_scale = True

    def terms(self, x: Column, y: Column, neighbors: int) -> Floats:
        """Return equation (8) point by point, in the order of y."""
        terms: Floats = ksg_terms(x.ascending, y.ascending, x.ranks[y.order], [neighbors])[0]
        return terms

    def joint(self, x: list[Column], y: list[Column], neighbors: int) -> float:
        """Estimate in the Chebyshev norm of the values."""
        return float(_terms_of_several(x, y, values_of, [neighbors]).mean())


@dataclass(frozen=True)
class Copula(RankTest):
    """KSG of the ranks, so that units, heavy tails and monotone maps do not matter.

    Ties are broken at random, and each rank is placed at random in its own cell. If `adaptive`, few
    rows get more neighbors, strong relations are extrapolated to none, and several columns are
    normal scores of their ranks, which serve them better than the ranks (mean |error| 0.036 against
    0.057 nats on the cases of several columns of benchmarks/mi_cases, n = 5,000).
    """

    adaptive: bool = False
    name = "copula"
    takes = (0,)

    def neighbors_for(self, x: Column, y: Column, neighbors: int) -> int:
        """Return more neighbors for few rows, if adaptive."""
        return neighbors_of_few_rows(len(x), neighbors) if self.adaptive else neighbors

    def terms(self, x: Column, y: Column, neighbors: int) -> Floats:
        """Return the terms of KSG of the ranks, in the order of y."""
        terms: Floats = self._terms(x, y, [neighbors])[0]
        return terms

    def _terms(self, x: Column, y: Column, neighbors: Sequence[int]) -> Floats:
        return ksg_terms(x.ascending_ranks, y.ascending_ranks, x.ranks[y.order], neighbors)

    def estimate(self, x: Column, y: Column, neighbors: int, seed: int = 0) -> Estimate:
        """Return the mean of the terms, or, if adaptive, what it tends to without neighbors."""
        k = self.neighbors_for(x, y, neighbors)
        value, variance = _mean_and_variance(self.terms(x, y, k))
        if not self.adaptive:
            return Estimate(value, variance, by_ranks=value)
        # With many rows the bias is far below what matters, unless the relation is a very close
        # one; with very few the trend over k cannot be seen.
        biased = len(x) >= 64 and (len(x) <= 20_000 or value >= 5.0)
        if value <= _STRONG or neighbors > NEIGHBORS[-1] or not biased:
            return Estimate(value, variance, by_ranks=value, neighbors=k)
        found = extrapolated(self._terms(x, y, NEIGHBORS))
        return Estimate(*found, complete=True, by_ranks=value, neighbors=0)

    def joint(self, x: list[Column], y: list[Column], neighbors: int) -> float:
        """Estimate in the Chebyshev norm of the ranks, or of their normal scores."""
        numbers = scores_of if self.adaptive else ranked
        if self.adaptive and len(x[0]) > 4 * NEIGHBORS[-1]:
            return extrapolated(_terms_of_several(x, y, numbers, NEIGHBORS))[0]
        return float(_terms_of_several(x, y, numbers, [neighbors]).mean())

    def shuffled(self, x: Codes, y: Codes, neighbors: int) -> Floats:
        """Estimates of many pairings of ranks."""
        n = x.shape[1]
        pairings = np.empty_like(x)
        np.put_along_axis(pairings, y, x, axis=1)
        return ksg_shuffled(margin(n, 0), margin(n, 1), pairings, neighbors)


def neighbors_of_few_rows(n: int, neighbors: int) -> int:
    """Neighbors that bring the noise below 0.009 nats, at most 8 plus one per 16 rows."""
    # The standard deviation at independence is 1.3 / sqrt(k n): 0.009 nats for k n = 21,000.
    return max(neighbors, min(8, ceil(21_000 / n), n // 16))


def ksg_terms(
    x: Floats, y: Floats, pairing: Codes, neighbors: Sequence[int], threads: int | None = None
) -> Floats:
    """Return local terms of KSG, in nats, for several k from one search: (len(neighbors), n).

    x and y, shape (n,), are ascending values, and `pairing`, shape (n,), has the rank in x of the
    row that has rank r in y. The k ascend and are below n; terms are in the order of y, and the
    same, bit by bit, on any number of threads: by default all where that pays and no other pairs
    are worked on.
    """
    ks, table = np.array(neighbors, dtype=np.int64), kernels.digamma_table(len(x))
    threads = threads or threads_to_spread(len(x) > _WORTH_THREADS)
    pair = (_read_only(x), _read_only(y), pairing, ks, table)
    sums = kernels.pair_terms(*pair) if threads == 1 else _spread_terms(*pair, threads)
    terms: Floats = table[ks, None] + table[len(x)] - sums
    return terms


def _spread_terms(
    x: Floats, y: Floats, pairing: Codes, ks: Codes, table: Floats, threads: int
) -> Floats:
    """Return what `kernels.pair_terms` does, bit by bit, strip by strip on several threads."""
    pair = kernels.pair_of(x, y, pairing, int(ks[-1]))
    sums, out = np.empty((len(x), 2 * len(ks))), np.empty((len(ks), len(x)))
    spread(
        lambda first, end: kernels.strips_sums(pair, first, end, ks, table, sums),
        1,
        max(2, pair.strips.halves),
        threads,
    )
    spread(lambda first, end: kernels.add_y(pair, first, end, sums, table, out), 0, len(x), threads)
    return out


def ksg_shuffled(
    x: Floats, y: Floats, pairings: Codes, neighbors: int, threads: int | None = None
) -> Floats:
    """KSG estimates, in nats, of ascending x and y (n,) under many pairings (m, n): (m,)."""
    n = len(x)
    ks, table = np.array([neighbors], dtype=np.int64), kernels.digamma_table(n)
    pairings = np.ascontiguousarray(pairings, dtype=np.int64)
    x, y, sums = _read_only(x), _read_only(y), np.empty(len(pairings))

    def fill(first: int, end: int) -> None:
        kernels.fill_sums(x, y, pairings[first:end], ks, table, sums[first:end])

    spread(fill, 0, len(pairings), threads or threads_to_spread(pairings.size > _WORTH_THREADS))
    values: Floats = table[neighbors] + table[n] - sums / n
    return values


@lru_cache(maxsize=8)
def margin(n: int, side: int) -> Floats:
    """Return n ascending ranks, one uniform draw in each cell; side 0 and 1 are independent."""
    ascending: Floats = (np.arange(n) + own_rng(n, side, 4).random(n)) / n
    ascending.setflags(write=False)
    return ascending


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view: arguments of one type need one compiled kernel."""
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view


def _terms_of_several(
    x: list[Column], y: list[Column], numbers: Callable[[Column], Floats], neighbors: Sequence[int]
) -> Floats:
    """Local terms of several columns of n rows, in nats, (len(neighbors), n)."""
    first, second, nothing = (part_of(side, len(y[0]), numbers) for side in (x, y, []))
    return local_terms(first, second, nothing, neighbors)


# No neighbors at all. KSG takes the density as constant as far as the k-th neighbor. Where it is
# not, the estimate has a bias that grows with k: with the square root of k where the relation has
# edges, in proportion to k where it is smooth. With few neighbors the bias is small and the noise
# is large. So the estimates at k = 2, 4, 8 and 16 are taken to be I + a sqrt(k) + b k + noise. The
# covariance of the noise is that of independent columns. Sizes of a and b from none to 0.3 nats are
# weighed by how likely they make the four estimates, so that they are taken off only as far as they
# stand out of the noise. To weight several k so that bias cancels is the idea of T. B. Berrett,
# R. J. Samworth and M. Yuan, "Efficient multivariate entropy estimation via k-nearest neighbor
# distances", Ann. Statist. 47, 288 (2019); weights from the data are ours.

NEIGHBORS = (2, 4, 8, 16)
"""The k whose estimates are extrapolated."""

COVARIANCE = np.array(
    [
        [0.886, 0.341, 0.135, 0.060],
        [0.341, 0.395, 0.162, 0.058],
        [0.135, 0.162, 0.180, 0.072],
        [0.060, 0.058, 0.072, 0.088],
    ]
)
"""n times the covariance of the estimates of independent columns, measured on 1,500 pairs of 1,024
rows."""

VARIANCE_OF_TERMS = np.array([0.590, 0.250, 0.111, 0.050])
"""Variance of the local terms on the same pairs. The covariance of two k is that of the larger."""

_EXCESS = COVARIANCE - VARIANCE_OF_TERMS[np.maximum.outer(np.arange(4), np.arange(4))]
_BIASES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)  # sizes of each bias in nats, at k = 8

_SHARED_BIAS = 0.2
"""n times the square of the bias that all four k share and so cannot show: Gaussian pairs come out
high by about 0.45 / sqrt(n) with any k (correlation 0.9, n = 600 and 5,000)."""


def extrapolated(terms: Floats) -> tuple[float, float]:
    """Extrapolate from local terms of KSG with each k of `NEIGHBORS`, (4, n) nats, to no neighbors.

    Return the value and its variance in nats squared: of sampling, and of what is uncertain about
    the bias.
    """
    n = terms.shape[1]
    estimates = terms.mean(axis=1)
    weights, precision, normalization = _bias_models(n)
    misfit = np.einsum("i,gij,j->g", estimates, precision, estimates)
    likelihood = normalization - 0.5 * misfit
    belief = np.exp(likelihood - likelihood.max())
    belief /= belief.sum()
    values = weights @ estimates
    value = float(belief @ values)
    mean_weights = belief @ weights
    sampling = np.var(mean_weights @ terms) + mean_weights @ _EXCESS @ mean_weights
    doubt = belief @ (values - value) ** 2 + _SHARED_BIAS / n
    return value, float(max(sampling, 0.0) / n + doubt)


@lru_cache(maxsize=256)
def _bias_models(n: int) -> tuple[Floats, Floats, Floats]:
    """Weights (g, 4), precision (g, 4, 4) and normalization (g,) for each pair of bias sizes."""
    k = np.array(NEIGHBORS) / 8
    shapes = np.stack([np.outer(k**0.5, k**0.5), np.outer(k, k)])
    sizes = np.array(list(product(_BIASES, repeat=2)))
    covariance = COVARIANCE / n + np.einsum("gs,sij->gij", sizes**2, shapes)
    inverse = np.linalg.inv(covariance)
    row_sums = inverse.sum(axis=2)
    total = row_sums.sum(axis=1)
    weights = row_sums / total[:, None]
    precision = inverse - row_sums[:, :, None] * row_sums[:, None, :] / total[:, None, None]
    normalization = -0.5 * (np.linalg.slogdet(covariance)[1] + np.log(total))
    return weights, precision, normalization


# One column of classes, or two.


@dataclass(frozen=True)
class Ross(RankTest):
    """Nearest neighbors within a class: Ross 2014.

    B. C. Ross, "Mutual information between discrete and continuous data sets", PLoS ONE 9, e87357
    (2014), equation (2): with d_i the distance from point i to its k-th neighbor of the same
    class, N_c the size of that class and m_i the number of points of any class within d_i,
    I = psi(n) - < psi(N_c) > + < psi(k) > - < psi(m_i) >. A class of k points or fewer uses all its
    other points as neighbors; a class of one has none and is left out.
    """

    by_ranks: bool = False  # of values; tied values are taken by their ranks anyway
    adaptive: bool = False  # k goes by the rows per class; several columns are normal scores
    classes_first: bool = False  # of two columns to shuffle
    name = "ross"
    takes = (1,)

    def neighbors_for(self, x: Column, y: Column, neighbors: int) -> int:
        """16, but one for 8 rows per class at most."""
        if not self.adaptive:
            return neighbors
        return max(neighbors, min(16, len(x) // (8 * max(x.n_classes, y.n_classes))))

    def neighbors_of_strong(self, x: Column, y: Column, neighbors: int) -> int:
        """A quarter of the square root of the rows per class, 16 at most: there bias errs most."""
        rows = len(x) / max(x.n_classes, y.n_classes)
        return max(neighbors, min(16, round(sqrt(rows) / 4)))

    def terms(self, x: Column, y: Column, neighbors: int) -> Floats:
        """Return equation (2) point by point, in the order of the continuous column."""
        continuous, classes = _continuous_first(x, y)
        assert classes.codes is not None
        ranks = self.by_ranks or continuous.n_tied
        ascending = continuous.ascending_ranks if ranks else continuous.ascending
        codes, table = classes.codes[continuous.order], kernels.digamma_table(len(x))
        number = int(codes.max()) + 1
        terms: Floats = kernels.ross_terms(_read_only(ascending), codes, number, neighbors, table)
        return terms

    def estimate(self, x: Column, y: Column, neighbors: int, seed: int = 0) -> Estimate:
        """Return the mean of the terms, if adaptive with fewer neighbors for strong relations."""
        k = self.neighbors_for(x, y, neighbors)
        value, variance = _mean_and_variance(self.terms(x, y, k))
        by_ranks = value if self.by_ranks else None
        if not self.adaptive:
            return Estimate(value, variance, by_ranks=by_ranks)
        if value > _STRONG and neighbors <= NEIGHBORS[-1]:
            k = self.neighbors_of_strong(x, y, neighbors)
            value, variance = _mean_and_variance(self.terms(x, y, k))
        return Estimate(value, variance, by_ranks=by_ranks, neighbors=k)

    def joint(self, x: list[Column], y: list[Column], neighbors: int) -> float:
        """Estimate in the Chebyshev norm of several continuous columns, with classes y."""
        assert y[0].codes is not None
        keep = without_single(y[0].codes)
        if keep.sum() <= neighbors:
            raise EstimatorError(
                f"y: {int(keep.sum())} rows share their class with another; expected more than "
                f"neighbors={neighbors}; {self.name} needs classes; copula and ksg take numbers"
            )
        numbers = scores_of if self.adaptive else values_of
        if not self.adaptive and any(column.n_tied for column in x):
            numbers = ranked
        # Ranks are those among all rows, whether others share their class or not.
        sides = (part_of(side, len(keep), numbers) for side in (x, y, []))
        first, second, nothing = (Part(side.numbers[keep], side.codes[keep]) for side in sides)
        return float(local_terms(first, second, nothing, [neighbors]).mean())

    def shuffled(self, x: Codes, y: Codes, neighbors: int) -> Floats:
        """Estimates of many columns of classes beside ranks."""
        ranks, classes = (y, x) if self.classes_first else (x, y)
        ascending = np.empty_like(classes)
        np.put_along_axis(ascending, ranks, classes, axis=1)
        return ross_shuffled(margin(ranks.shape[1], 0), ascending, neighbors)


def _continuous_first(x: Column, y: Column) -> tuple[Column, Column]:
    return (y, x) if x.discrete else (x, y)


def ross_shuffled(x: Floats, codes: Codes, neighbors: int) -> Floats:
    """Ross's estimates, in nats, of ascending values (n,) under many codes (m, n): (m,)."""
    classes, table = int(codes.max()) + 1, kernels.digamma_table(len(x))
    means = np.empty(len(codes))

    def fill(first: int, end: int) -> None:
        part = codes[first:end], classes, neighbors, table, means[first:end]
        kernels.fill_ross_means(_read_only(x), *part)

    spread(fill, 0, len(codes), threads_to_spread())
    return means


def without_single(codes: Codes) -> NDArray[np.bool_]:
    """Which rows belong to a class of at least two, shape (n,)."""
    keep: NDArray[np.bool_] = np.bincount(codes)[codes] > 1
    return keep


class Plugin(RankTest):
    """The table of counts of two columns of classes, corrected for its bias.

    The correction is that of G. A. Miller, "Note on the bias of information estimates" (1955), with
    the numbers of classes and of pairs that occur: (K_x + K_y - K_xy - 1) / (2 n) nats.
    """

    name = "plugin"
    takes = (2,)

    def terms(self, x: Column, y: Column, neighbors: int) -> Floats:
        """Return log(p_xy / (p_x p_y)) of each row, with the correction."""
        assert x.codes is not None
        assert y.codes is not None
        return plugin_terms(x.codes, y.codes)

    def estimate(self, x: Column, y: Column, neighbors: int, seed: int = 0) -> Estimate:
        """Return the mean of the terms."""
        value, variance = _mean_and_variance(self.terms(x, y, neighbors))
        return Estimate(value, variance, by_ranks=value)

    def shuffled(self, x: Codes, y: Codes, neighbors: int) -> Floats:
        """Estimates of many pairs of columns of classes."""
        # A draw of one row per group may lack a class that the whole column has.
        x, y = (
            np.array([np.unique(row, return_inverse=True)[1] for row in side]) for side in (x, y)
        )
        return np.array([plugin_terms(*rows).mean() for rows in zip(x, y, strict=True)])


def plugin_terms(x: Codes, y: Codes) -> Floats:
    """Return n local terms whose mean is the corrected estimate, of classes 0, 1, ... of n rows."""
    n, columns = len(x), int(y.max()) + 1
    pair = x * columns + y
    together = np.bincount(pair)
    of_x, of_y = np.bincount(x), np.bincount(y)
    correction = (len(of_x) + len(of_y) - np.count_nonzero(together) - 1) / (2 * n)
    terms: Floats = np.log(n * together[pair] / (of_x[x] * of_y[y])) + correction
    return terms


def plugin_of_counts(counts: NDArray[Any]) -> Floats:
    """Corrected plug-in estimates, in nats, of m tables of counts, (m, classes, classes) -> (m,).

    Every class occurs in every table.
    """
    of_x, of_y = (counts.sum(axis=axis, keepdims=True) for axis in (2, 1))
    n = counts.sum(axis=(1, 2))
    ratio = counts * n[:, None, None] / (of_x * of_y)
    value = (counts * np.log(np.where(counts > 0, ratio, 1.0))).sum(axis=(1, 2)) / n
    occurring = np.count_nonzero(counts, axis=(1, 2))
    out: Floats = value + (sum(counts.shape[1:]) - occurring - 1) / (2 * n)
    return out


# Estimators that only a name asks for.


class Mixture(LocalTerms):
    """Nearest neighbors where values repeat: Gao et al. 2017.

    W. Gao, S. Kannan, S. Oh, P. Viswanath, "Estimating mutual information for discrete-continuous
    mixtures", NIPS 30 (2017), algorithm 1: with rho_i the Chebyshev distance from point i to its
    k-th neighbor in (x, y), k_i = k where rho_i > 0, and the number of points that equal point i,
    itself included, where rho_i = 0; with n_x,i and n_y,i the points near it in x and in y,
    I = < psi(k_i) + log(n) - f(n_x,i) - f(n_y,i) >.

    As printed, f(n) is log(n) and the points within rho_i are counted, its edge included. The
    program that its authors published with it has f = psi and counts the points within rho_i
    without the edge, the point itself included, except that at rho_i = 0 equal points count; so has
    this class. Without ties it is then the estimate of Kraskov et al. but for log(n) in place of
    psi(n), and on classes the plug-in with a correction like Miller's. The printed form lies about
    1 / k nats lower, and nears the other only as k grows with n.

    The distances are those of the values as they are. Values on a lattice whose step is about the
    distance of neighbors (numbers rounded, but not coarsely) bias it by tenths of a nat: several
    points then share the distance of the k-th, which neither k nor the counts within it take in.
    """

    name = "mixture"
    takes = (0,)
    one_scale = True

    def terms(self, x: Column, y: Column, neighbors: int) -> Floats:
        """Return the terms of algorithm 1, as its authors' program has it, row by row."""
        levels = [_levels(column) for column in (x, y)]
        pair = levels[0] * (levels[1].max() + 1) + levels[1]
        # Each distinct point is searched once, and stands for as many as equal it.
        _, first, row, equal = np.unique(
            pair, return_index=True, return_inverse=True, return_counts=True
        )
        points = np.column_stack([values_of(x), values_of(y)])[first]
        distance = _distance_to(points, equal, neighbors)[row]
        together = np.where(distance == 0, equal[row], neighbors)
        inside = _inside(points, distance)
        near = [_near(column, level, inside) for column, level in zip((x, y), levels, strict=True)]
        table = kernels.digamma_table(len(x))
        terms: Floats = table[together] + np.log(len(x)) - table[near[0]] - table[near[1]]
        return terms


def _levels(column: Column) -> Codes:
    """Number of each row's value among the distinct ones, ascending from 0, shape (n,)."""
    steps = np.diff(column.ascending, prepend=column.ascending[:1]) > 0
    return np.cumsum(steps, dtype=np.int64)[column.ranks]


def _distance_to(points: Floats, equal: Codes, k: int) -> Floats:
    """Distance of each distinct point, which occurs `equal` times, to its k-th neighbor."""
    nearest = np.arange(1, min(k + 1, len(points)) + 1)
    distance, which = cKDTree(points).query(points, k=nearest, p=np.inf)
    enough = equal[np.asarray(which)].cumsum(axis=1) > k
    found: Floats = np.asarray(distance)[np.arange(len(points)), enough.argmax(axis=1)]
    return found


def _inside(points: Floats, distance: Floats) -> Floats:
    """Distances just small enough that rounding puts no point of the edge inside."""
    # 0.3 - 0.2 and 0.2 - 0.1 are not the same number, but the same step of rounded values. Where
    # columns differ much in scale, that must not eat up the distances of the smaller one.
    rounding = 2 * np.spacing(np.abs(points).max(axis=0)).sum()
    inside: Floats = distance - np.minimum(rounding, 1e-6 * distance)
    return inside


def _near(column: Column, level: Codes, distance: Floats) -> Codes:
    """Count the rows near each, itself included: within its distance, or equal where that is 0."""
    near = closer(values_of(column), distance, column.order) + 1
    return np.where(distance == 0, np.bincount(level)[level], near)


class Histogram(LocalTerms):
    """Counts in 40 equal bins, without a correction.

    The value is that of the two binned columns: sum over cells of p_xy log(p_xy / (p_x p_y)). It is
    biased twice. Chance alone fills cells: of independent columns it is about (K_x - 1) (K_y - 1) /
    (2 n) nats too large while the occupied bins K_x and K_y have many rows each (0.19 nats for 40
    bins and 4,000 rows), and nears log(n) as they have few. And bins hide what is finer than they
    are, which makes it too small; equal widths do so most where an outlier stretches the range.
    Values of columns of different length, or numbers of bins, do not compare; a ranking of the
    dimensions for one label does, and that is what the published indicator is.
    """

    name = "histogram"
    takes = (0,)

    def terms(self, x: Column, y: Column, neighbors: int) -> Floats:
        """Return log(p_xy / (p_x p_y)) of each row's cell, row by row."""
        return histogram_terms(values_of(x), values_of(y))


def histogram_terms(x: Floats, y: Floats, bins: int = 40) -> Floats:
    """Return log(p_xy / (p_x p_y)) of each row's cell, in nats; bins are those of `bin_codes`."""
    of_x, of_y = bin_codes(x, bins), bin_codes(y, bins)
    cell = of_x * bins + of_y
    expected = np.bincount(of_x)[of_x] * np.bincount(of_y)[of_y]
    terms: Floats = np.log(np.bincount(cell)[cell] * len(x) / expected)
    return terms


def bin_codes(numbers: Floats, bins: int) -> Codes:
    """Bin of each of n finite numbers, 0 ... bins - 1, edges as those of `numpy.histogram`, (n,).

    A bin includes its lower edge, the last its upper one too; a constant lies in one bin.
    """
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        return np.zeros(len(numbers), dtype=np.int64)
    inner = np.linspace(low, high, bins + 1)[1:-1]
    return np.searchsorted(inner, numbers, side="right")


class Gmm(Estimator):
    """Mixtures of Gaussians, with a bootstrap error: see `gmm`."""

    name = "gmm"
    takes = (0, 1)

    def estimate(self, x: Column, y: Column, neighbors: int, seed: int = 0) -> Estimate:
        """Fit the joint density, or that of each class."""
        # Imported here, since it loads scikit-learn, which takes longer than most tables.
        from latentscope.diagnostics.mi.gmm import gmm

        continuous, other = _continuous_first(x, y)
        second = values_of(other) if other.codes is None else other.codes
        result = gmm(values_of(continuous), second, discrete=other.discrete, seed=seed)
        return Estimate(result.mi_nats, result.std_nats**2, complete=True)


class Npeet(Estimator):
    """NPEET itself, to compare with the published program.

    NPEET is the "Non-parametric entropy estimation toolbox" of G. Ver Steeg; `npeet_plus` is its
    faster continuation. Continuous pairs are estimated as Kraskov et al. 2004 do (algorithm 1), a
    continuous column and classes from entropies by Kozachenko and Leonenko, of which it gives the
    absolute value, and takes a class of k rows or fewer to tell nothing.

    It adds noise below 1e-10 to every number against ties, whatever their scale: columns should be
    neither tiny nor huge. It draws it from NumPy's global random state, which is seeded for the
    call and put back after it. The error is that of our own estimate.
    """

    name = "npeet"
    takes = (0, 1)
    one_scale = True

    def estimate(self, x: Column, y: Column, neighbors: int, seed: int = 0) -> Estimate:
        """Call `mi` or `micd` of the package, with its logarithms in nats."""
        toolbox = _npeet()
        continuous, other = _continuous_first(x, y)
        ours = Ross() if other.discrete else Ksg()
        function = toolbox.micd if other.discrete else toolbox.mi
        second = other.values if other.codes is None else other.codes
        arrays = [np.asarray(side).reshape(-1, 1) for side in (continuous.values, second)]
        with _NPEET_ALONE, _seeded(seed):
            value = float(function(*arrays, k=neighbors, base=np.e))
        return Estimate(value, ours.estimate(x, y, neighbors).variance)


_NPEET_ALONE = Lock()
"""Held while NPEET draws: pairs on other threads would share the global random state."""


def _npeet() -> Any:
    for name in ("npeet_plus", "npeet.entropy_estimators"):
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    raise EstimatorError(
        "NPEET is not installed; pip install 'latentscope-spectra[npeet]', or choose another "
        "estimator"
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # NPEET knows no other source of randomness than the global one.
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


# Which of them serves a pair.

ESTIMATORS: dict[str, Estimator] = {
    each.name: each
    for each in (Ksg(), Copula(), Ross(), Plugin(), Mixture(), Histogram(), Gmm(), Npeet())
}
"""Those that a name asks for; "auto" takes `AUTO`."""

AUTO = (Copula(adaptive=True), Ross(by_ranks=True, adaptive=True), Plugin())
"""What "auto" takes for no, one and two columns of classes."""

NAMES = ("auto", *ESTIMATORS)
"""What `estimator=` and `--estimator` may be."""

_ROWS_PER_CELL = 10  # of a table of two columns of classes, on average, at least


def check_estimator(name: str) -> None:
    """Raise ChoiceError unless the name is one of `NAMES`."""
    if name not in NAMES:
        raise ChoiceError(
            f"estimator is {name!r}{meant(name, NAMES)}; expected one of {', '.join(NAMES)}"
        )


def kinds_of(name: str) -> tuple[Discrete, Discrete]:
    """Tell how an estimator takes latents and labels: as classes, as numbers, or as they look."""
    if name == "auto":
        return "auto", "auto"
    takes = ESTIMATORS[name].takes
    return max(takes) == 2, "auto" if len(takes) > 1 else max(takes) > 0


def check_takes_several(name: str) -> None:
    """Raise EstimatorError if the estimator takes single columns only."""
    able = [each for each, its in ESTIMATORS.items() if type(its).joint is not Estimator.joint]
    if name not in ("auto", *able):
        raise EstimatorError(
            f"{name} takes single columns, x and y of shape (n,); expected one of auto, "
            f"{', '.join(able)} for several columns"
        )


def choose(x: Column, y: Column, name: str) -> tuple[Estimator, Column, Column, str]:
    """Choose the estimator of a pair and how it takes the columns, and say why.

    Under "auto", two columns of classes that make more cells than a tenth of their rows are too
    many for a table of counts: the one with more values is treated as numbers, if it has them, and
    then the other if that does not do.
    """
    if name == "auto":
        x, y = _thinned(x, y)
    count = int(x.discrete) + int(y.discrete)
    estimator = AUTO[count] if name == "auto" else ESTIMATORS[name]
    if count not in estimator.takes:
        classes = [column.name for column in (x, y) if column.discrete]
        expected = " or ".join(("none", "one", "both")[number] for number in estimator.takes)
        raise EstimatorError(
            f"{x.name} and {y.name}: {' and '.join(classes) or 'neither'} treated as classes, but "
            f"{name} takes {expected} of them so; choose another estimator, or say discrete="
        )
    kinds = ("both continuous", "one discrete", "both discrete")[count]
    notes = [column.note for column in (x, y) if column.note]
    reason = "; ".join([kinds if name == "auto" else f"asked for ({kinds})", *notes])
    return estimator, x, y, reason


def _thinned(x: Column, y: Column) -> tuple[Column, Column]:
    if not (x.discrete and y.discrete):
        return x, y
    if _ROWS_PER_CELL * x.n_classes * y.n_classes <= int((x.valid & y.valid).sum()):
        return x, y
    if y.values is not None and (y.n_classes >= x.n_classes or x.values is None):
        return x, y.as_numbers
    return (x, y) if x.values is None else (x.as_numbers, y)


def rank_test(x: Column, y: Column) -> RankTest:
    """Return the test of a pair, by ranks and classes, for which the null is known."""
    by_classes = Ross(by_ranks=True, classes_first=x.discrete)
    tests: tuple[RankTest, ...] = (Copula(), by_classes, Plugin())
    return tests[int(x.discrete) + int(y.discrete)]


def of_other_scale(columns: Sequence[Column], neighbors: int) -> str:
    """Say which column varies too much for another; empty if none does.

    Nearest neighbors of values as they are would be those of the wide one alone, and what it shares
    with the narrow one is missed: half of 0.35 nats where their spreads differ by n / (3 k).
    """
    spread_of = {}
    for column in columns:
        n = len(column.order)
        if n and not column.discrete:
            low, high = values_of(column)[column.order[[n * 16 // 100, n * 84 // 100]]]
            spread_of[column.name] = float(high - low)
    spread_of = {name: width for name, width in spread_of.items() if width > 0}
    if not spread_of:
        return ""
    narrow, wide = (end(spread_of, key=spread_of.__getitem__) for end in (min, max))
    ratio = spread_of[wide] / spread_of[narrow]
    if ratio <= max(10, len(columns[0]) / (20 * neighbors)):
        return ""
    times = f"{ratio:,.0f}" if ratio < 1e6 else f"{ratio:.0e}"
    return f"{wide} varies {times} times as much as {narrow}"


def joint_value(x: list[Column], y: list[Column], name: str, neighbors: int) -> float:
    """Mutual information of several columns x and several columns y, or classes y, in nats."""
    keep = np.logical_and.reduce([column.valid for column in x + y])
    n = int(keep.sum())
    if n <= neighbors:
        raise EstimatorError(
            f"{n} rows have both x and y; expected more than neighbors={neighbors}"
        )
    estimator = AUTO[int(y[0].discrete)] if name == "auto" else ESTIMATORS[name]
    x, y = ([column.part(keep) for column in side] for side in (x, y))
    return estimator.joint(x, y, neighbors)
