"""Estimators of mutual information, and which of them serves a pair of columns.

Mutual information of continuous variables by nearest neighbours: Kraskov et al. 2004.

A. Kraskov, H. Stoegbauer, P. Grassberger, "Estimating mutual information", Phys. Rev. E 69, 066138
(2004), algorithm 1, equation (8): with eps_i the Chebyshev distance from point i to its k-th
neighbour in (x, y), and n_x, n_y the numbers of other points strictly closer than eps_i in x and
in y, I = psi(k) + psi(n) - < psi(n_x + 1) + psi(n_y + 1) >.

The estimate of no neighbourhood at all: mutual information at several k, carried on to k = 0.

KSG takes the density as constant as far as the k-th neighbour. Where it is not, the estimate has a
bias that grows with k: with the square root of k where the relation has edges, in proportion to k
where it is smooth. With few neighbours the bias is small and the noise is large. So the estimates
at k = 2, 4, 8 and 16 are taken to be I + a sqrt(k) + b k + noise. The covariance of the noise is
that of independent columns. Sizes of a and b from none to 0.3 nats are weighed by how likely they
make the four estimates, so that they are taken off only as far as they stand out of the noise. To
weight several k so that bias cancels is the idea of T. B. Berrett, R. J. Samworth and M. Yuan,
"Efficient multivariate entropy estimation via k-nearest neighbour distances", Ann. Statist. 47,
288 (2019); weights from the data are ours.

Mutual information of a continuous variable and classes by nearest neighbours: Ross 2014.

B. C. Ross, "Mutual information between discrete and continuous data sets", PLoS ONE 9, e87357
(2014), equation (2): with d_i the distance from point i to its k-th neighbour of the same class,
N_c the size of that class and m_i the number of points of any class within d_i,
I = psi(n) - < psi(N_c) > + < psi(k) > - < psi(m_i) >. A class of k points or fewer uses all its
other points as neighbours; a class of one has none and is left out.

Mutual information of two sets of classes: the plug-in estimate, corrected for its bias.

The correction is that of G. A. Miller, "Note on the bias of information estimates" (1955), with
the numbers of classes and of pairs that occur: (K_x + K_y - K_xy - 1) / (2 n) nats.

Mutual information where values repeat: the nearest-neighbour estimate of Gao et al. 2017.

W. Gao, S. Kannan, S. Oh, P. Viswanath, "Estimating mutual information for discrete-continuous
mixtures", NIPS 30 (2017), algorithm 1: with rho_i the Chebyshev distance from point i to its k-th
neighbour in (x, y), k_i = k where rho_i > 0, and the number of points that equal point i, itself
included, where rho_i = 0; with n_x,i and n_y,i the points near it in x and in y,
I = < psi(k_i) + log(n) - f(n_x,i) - f(n_y,i) >.

As printed, f(n) is log(n) and the points within rho_i are counted, its edge included. The program
that its authors published with it has f = psi and counts the points within rho_i without the edge,
the point itself included, except that at rho_i = 0 equal points count; so has this module. Without
ties it is then the estimate of Kraskov et al. but for log(n) in place of psi(n), and on classes
the plug-in with a correction like Miller's. The printed form lies about 1 / k nats lower, and nears
the other only as k grows with n.

The distances are those of the values as they are. Values on a lattice whose step is about the
distance of neighbours (numbers rounded, but not coarsely) bias it by tenths of a nat: several
points then share the distance of the k-th, which neither k nor the counts within it take in.

Mutual information by counting in equal bins, and the paper's indicator made of it.

The value is that of the two binned columns: sum over cells of p_xy log(p_xy / (p_x p_y)), without a
correction. It is biased twice. Chance alone fills cells: of independent columns it is about
(K_x - 1) (K_y - 1) / (2 n) nats too large while the occupied bins K_x and K_y have many rows each
(0.19 nats for 40 bins and 4,000 rows), and nears log(n) as they have few. And bins hide what is
finer than they are, which makes it too small; equal widths do so most where an outlier stretches
the range. Values of columns of different length, or numbers of bins, do not compare; a ranking of
the dimensions for one label does, and that is what the indicator is.

Mutual information by NPEET itself, for whoever wants the published program's number.

NPEET is the "Non-parametric entropy estimation toolbox" of G. Ver Steeg; `npeet_plus` is its faster
continuation. Continuous pairs are estimated as Kraskov et al. 2004 do (algorithm 1), a continuous
column and classes from entropies by Kozachenko and Leonenko.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from itertools import product
from math import ceil, sqrt
from threading import Lock
from typing import Any, Literal, get_args

import numpy as np
from numba import get_num_threads
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.special import digamma, ndtri

from latentscope.diagnostics.mi import kernels
from latentscope.diagnostics.mi.columns import (
    Column,
    Discrete,
    Part,
    SortedColumn,
    check_lengths,
    own_rng,
    paired_rows,
    read_only,
    rows_of,
)
from latentscope.diagnostics.mi.kernels import count_closer, pair_terms_alone
from latentscope.diagnostics.threads import may_spread, spread
from latentscope.errors import EstimatorError

Ranks = NDArray[np.integer[Any]]


Floats = NDArray[np.float64]

_ALONE_BELOW = 20_000
"""Points up to which starting threads costs more than they save."""


@lru_cache(maxsize=8)
def digamma_table(n: int) -> Floats:
    """Return psi(0 ... n), shape (n + 1,); the entry for 0, which has no value, is NaN."""
    table = np.concatenate([[np.nan], digamma(np.arange(1, n + 1))])
    table.setflags(write=False)
    return table


def _threads(points: int) -> int:
    """Threads for so many points to search."""
    return int(get_num_threads()) if points > _ALONE_BELOW and may_spread() else 1


def ksg_terms(x: SortedColumn, y: SortedColumn, neighbors: int = 3) -> Floats:
    """Return the n local terms whose mean is the KSG estimate, in nats, in the order of y.

    Parameters
    ----------
    x, y : SortedColumn of n rows
        Row i of one belongs to row i of the other.
    neighbors : int
        k, below n.

    Returns
    -------
    ndarray of float64, shape (n,)
        Term i belongs to row `y.order[i]`.
    """
    terms: Floats = ksg_terms_of(x, y, (neighbors,))[0]
    return terms


def ksg_terms_of(
    x: SortedColumn, y: SortedColumn, neighbors: Sequence[int], *, threads: int | None = None
) -> Floats:
    """Return what `ksg_terms` does for several k, from one search.

    Parameters
    ----------
    x, y : SortedColumn of n rows
        Row i of one belongs to row i of the other.
    neighbors : sequence of int
        k, ascending, below n.
    threads : int, optional
        Threads for this pair, by default all where that pays and no other pairs are worked on;
        the terms are the same, bit by bit, on any number.

    Returns
    -------
    ndarray of float64, shape (len(neighbors), n)
    """
    ks = np.array(neighbors, dtype=np.int64)
    table = digamma_table(len(x))
    threads = threads or _threads(len(x))
    pair = (read_only(x.ascending), read_only(y.ascending), x.ranks[y.order], ks, table)
    sums = pair_terms(*pair, threads) if threads > 1 else pair_terms_alone(*pair)
    terms: Floats = table[ks, None] + table[len(x)] - sums
    return terms


def ksg_shuffled(
    x: Floats,
    y: Floats,
    pairings: NDArray[np.int64],
    neighbors: int = 3,
    *,
    threads: int | None = None,
) -> Floats:
    """KSG estimates, in nats, of two columns under many pairings of their ranks.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        Ascending values.
    pairings : ndarray of int64, shape (m, n)
        `pairings[i, r]` is the rank in x of the row that has rank r in y.
    neighbors : int
        k, below n.
    threads : int, optional
        As in `ksg_terms_of`.

    Returns
    -------
    ndarray of float64, shape (m,)
    """
    n = len(x)
    ks, table = np.array([neighbors], dtype=np.int64), digamma_table(n)
    threads = threads or _threads(pairings.size)
    pairings = np.ascontiguousarray(pairings, dtype=np.int64)
    sums = pair_sums(read_only(x), read_only(y), pairings, ks, table, threads)
    values: Floats = table[neighbors] + table[n] - sums / n
    return values


def ksg(x: NDArray[Any], y: NDArray[Any], neighbors: int = 3) -> float:
    """KSG mutual information of x and y in nats, signed, Chebyshev norm, strict counts.

    Parameters
    ----------
    x, y : ndarray of float, shape (n,) or (n, d)
        Finite samples, row by row, used as they are: neither scaled nor jittered.
    neighbors : int
        k.

    Returns
    -------
    float
        Estimate (Kraskov et al. 2004, eq. 8); below zero where the noise of the estimator
        says so.
    """
    if x.ndim == 1 and y.ndim == 1:
        return float(ksg_terms(SortedColumn.of(x), SortedColumn.of(y), neighbors).mean())
    x, y = (np.asarray(a, dtype=np.float64).reshape(len(a), -1) for a in (x, y))
    n = len(x)
    joint = np.hstack([x, y])
    near = cKDTree(joint).query(joint, k=neighbors + 1, p=np.inf)[0]
    distance = np.asarray(near)[:, -1]
    table = digamma_table(n)
    closer = [closer_points(part, distance) for part in (x, y)]
    return float(table[neighbors] + table[n] - sum(table[count + 1].mean() for count in closer))


def closer_points(points: Floats, distance: Floats) -> NDArray[np.int64]:
    """Count for each point the others that are strictly closer than a distance of its own.

    Parameters
    ----------
    points : ndarray of float64, shape (n, d)
        Chebyshev norm.
    distance : ndarray of float64, shape (n,)
        0 counts nothing.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    if points.shape[1] == 1:
        column = SortedColumn.of(points[:, 0])
        counts = np.empty(len(column), dtype=np.int64)
        counts[column.order] = count_closer(
            read_only(column.ascending), read_only(distance[column.order])
        )
        return counts
    inside = np.nextafter(distance, 0)
    found = cKDTree(points).query_ball_point(points, inside, p=np.inf, return_length=True)
    return np.where(distance > 0, found - 1, 0)


def pair_terms(
    x: Floats, y: Floats, pairing: Ranks, ks: Counts, table: Floats, threads: int
) -> Floats:
    """Return what `pair_terms_alone` does, bit by bit, on several threads."""
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


def pair_sums(
    x: Floats, y: Floats, pairings: Ranks, ks: Counts, table: Floats, threads: int
) -> Floats:
    """Return the sum of `pair_terms_alone`, of one k, for each of m pairings, (m, n) -> (m,)."""
    out = np.empty(len(pairings))
    spread(
        lambda first, end: kernels.sums_alone(x, y, pairings[first:end], ks, table, out[first:end]),
        0,
        len(pairings),
        threads,
    )
    return out


NEIGHBORS = (2, 4, 8, 16)
"""The k whose estimates are extrapolated."""

_COVARIANCE = np.array(
    [
        [0.886, 0.341, 0.135, 0.060],
        [0.341, 0.395, 0.162, 0.058],
        [0.135, 0.162, 0.180, 0.072],
        [0.060, 0.058, 0.072, 0.088],
    ]
)
"""n times the covariance of the estimates of independent columns, measured on 1,500 pairs of 1,024
rows."""

_OF_TERMS = np.array([0.590, 0.250, 0.111, 0.050])
"""Variance of the local terms on the same pairs. The covariance of two k is that of the larger."""

_SIZES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Sizes of each bias in nats, at k = 8."""

_SHARED_BIAS = 0.2
"""n times the square of the bias that all four k share and so cannot show: Gaussian pairs come out
high by about 0.45 / sqrt(n) with any k (correlation 0.9, n = 600 and 5,000)."""

_EXCESS = _COVARIANCE - _OF_TERMS[np.maximum.outer(np.arange(4), np.arange(4))]


def extrapolated(terms: Floats) -> tuple[float, float]:
    """Extrapolate from the local terms of `NEIGHBORS`, in nats, to no neighbours.

    Parameters
    ----------
    terms : ndarray of float64, shape (4, n)
        Local terms of KSG with each k of `NEIGHBORS`, point by point.

    Returns
    -------
    value : float
        Nats, signed.
    variance : float
        Its sampling variance, and what is uncertain about the bias, in nats squared.
    """
    n = terms.shape[1]
    estimates = terms.mean(axis=1)
    weights, precision, normalisation = _models(n)
    misfit = np.einsum("i,gij,j->g", estimates, precision, estimates)
    likelihood = normalisation - 0.5 * misfit
    belief = np.exp(likelihood - likelihood.max())
    belief /= belief.sum()
    values = weights @ estimates
    value = float(belief @ values)
    mean_weights = belief @ weights
    sampling = np.var(mean_weights @ terms) + mean_weights @ _EXCESS @ mean_weights
    doubt = belief @ (values - value) ** 2 + _SHARED_BIAS / n
    return value, float(max(sampling, 0.0) / n + doubt)


@lru_cache(maxsize=256)
def _models(n: int) -> tuple[Floats, Floats, Floats]:
    """Weights (g, 4), precision (g, 4, 4) and normalisation (g,) for each pair of bias sizes."""
    k = np.array(NEIGHBORS) / 8
    shapes = np.stack([np.outer(k**0.5, k**0.5), np.outer(k, k)])
    sizes = np.array(list(product(_SIZES, repeat=2)))
    covariance = _COVARIANCE / n + np.einsum("gs,sij->gij", sizes**2, shapes)
    inverse = np.linalg.inv(covariance)
    row_sums = inverse.sum(axis=2)
    total = row_sums.sum(axis=1)
    weights = row_sums / total[:, None]
    precision = inverse - row_sums[:, :, None] * row_sums[:, None, :] / total[:, None, None]
    normalisation = -0.5 * (np.linalg.slogdet(covariance)[1] + np.log(total))
    return weights, precision, normalisation


Codes = NDArray[np.int64]


def without_single(codes: Codes) -> NDArray[np.bool_]:
    """Which rows belong to a class of at least two, shape (n,)."""
    keep: NDArray[np.bool_] = np.bincount(codes)[codes] > 1
    return keep


def ross_terms(x: SortedColumn, codes: Codes, neighbors: int) -> Floats:
    """Return the n local terms whose mean is Ross's estimate, in nats, in the order of x.

    Parameters
    ----------
    x : SortedColumn of n rows
        The continuous variable.
    codes : ndarray of int64, shape (n,)
        Class of each row, 0, 1, ...; each class has two rows or more.
    neighbors : int
        k.
    """
    table = digamma_table(len(x))
    classes = int(codes.max()) + 1
    terms: Floats = kernels.ross_terms_ascending(
        x.ascending, codes[x.order], classes, neighbors, table
    )
    return terms


def ross_shuffled(x: Floats, codes: Codes, neighbors: int) -> Floats:
    """Ross's estimates, in nats, of ascending values (n,) under many codes (m, n) of them.

    Returns
    -------
    ndarray of float64, shape (m,)
    """
    classes, table = int(codes.max()) + 1, digamma_table(len(x))
    values = np.empty(len(codes))

    def fill(first: int, end: int) -> None:
        kernels.ross_means(x, codes[first:end], classes, neighbors, table, values[first:end])

    spread(fill, 0, len(codes), int(get_num_threads()) if may_spread() else 1)
    return values


def ross(x: NDArray[Any], codes: Codes, neighbors: int = 3) -> float:
    """Mutual information of continuous x and classes in nats, signed (Ross 2014, eq. 2).

    Parameters
    ----------
    x : ndarray of float, shape (n,) or (n, d)
        Finite samples; Chebyshev norm.
    codes : ndarray of int64, shape (n,)
        Class of each row, 0, 1, ...; rows alone in their class are left out.
    neighbors : int
        k.
    """
    keep = without_single(codes)
    codes = np.unique(codes[keep], return_inverse=True)[1].astype(np.int64)
    if x.ndim == 1:
        return float(ross_terms(SortedColumn.of(x[keep]), codes, neighbors).mean())
    points = np.asarray(x[keep], dtype=np.float64)
    n, size = len(points), np.bincount(codes)
    used = np.minimum(neighbors, size - 1)
    distance = np.empty(n)
    for code, k in enumerate(used):
        inside = codes == code
        near = cKDTree(points[inside]).query(points[inside], k=k + 1, p=np.inf)[0]
        distance[inside] = np.asarray(near)[:, -1]
    table = digamma_table(n)
    within = table[closer_points(points, distance) + 1]
    return float(table[n] + (table[used] - table[size])[codes].mean() - within.mean())


def plugin_terms(x: Codes, y: Codes) -> NDArray[np.float64]:
    """Return the n local terms whose mean is the corrected estimate, in nats, signed.

    Parameters
    ----------
    x, y : ndarray of int64, shape (n,)
        Classes 0, 1, ... without gaps, row by row.
    """
    n, columns = len(x), int(y.max()) + 1
    pair = x * columns + y
    together = np.bincount(pair)
    of_x, of_y = np.bincount(x), np.bincount(y)
    correction = (len(of_x) + len(of_y) - np.count_nonzero(together) - 1) / (2 * n)
    terms: NDArray[np.float64] = np.log(n * together[pair] / (of_x[x] * of_y[y])) + correction
    return terms


def plugin_of_counts(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Corrected plug-in estimates, in nats, of m tables of counts, (m, classes, classes) -> (m,).

    Every class occurs in every table.
    """
    of_x, of_y = (counts.sum(axis=axis, keepdims=True) for axis in (2, 1))
    n = counts.sum(axis=(1, 2))
    ratio = counts * n[:, None, None] / (of_x * of_y)
    value = (counts * np.log(np.where(counts > 0, ratio, 1.0))).sum(axis=(1, 2)) / n
    occurring = np.count_nonzero(counts, axis=(1, 2))
    out: NDArray[np.float64] = value + (sum(counts.shape[1:]) - occurring - 1) / (2 * n)
    return out


def plugin_shuffled(x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Corrected plug-in estimates, in nats, of m pairs of code rows: (m, n), (m, n) -> (m,)."""
    return np.array([plugin_terms(*_without_gaps(a, b)).mean() for a, b in zip(x, y, strict=True)])


def _without_gaps(x: Codes, y: Codes) -> tuple[Codes, Codes]:
    # A draw of one row a group may lack a class that the whole column has.
    first, second = (np.unique(codes, return_inverse=True)[1] for codes in (x, y))
    return first.astype(np.int64), second.astype(np.int64)


Counts = NDArray[np.int64]

_ROUNDING = 1e-6
"""Share of a distance that rounding may make up, where columns differ much in scale."""


def mixture(x: ArrayLike, y: ArrayLike, neighbors: int = 3) -> float:
    """Mutual information of x and y in nats, signed, where either may be discrete, or both mixed.

    Parameters
    ----------
    x, y : array, shape (n,) or (n, d)
        Finite samples, row by row, used as they are: neither scaled nor jittered. Chebyshev norm.
    neighbors : int
        k, below n.

    Returns
    -------
    float
        Estimate (Gao et al. 2017, algorithm 1, as its authors' program has it).

    Raises
    ------
    EstimatorError
        If shapes or lengths do not fit, values are not finite, or n is not above `neighbors`.
    """
    first, second = paired_rows(x, y, more_than=neighbors)
    if first.shape[1] == 1 and second.shape[1] == 1:
        columns = SortedColumn.of(first[:, 0]), SortedColumn.of(second[:, 0])
        return float(mixture_terms(*columns, neighbors).mean())
    points, row, equal = _distinct_rows(np.hstack([first, second]))
    distance = _distance_to(points, equal, neighbors)[row]
    together = np.where(distance == 0, equal[row], neighbors)
    inside = _inside(points, distance)
    near = [_near_rows(part, inside) for part in (first, second)]
    return float(_terms_of_counts(together, *near).mean())


def mixture_terms(x: SortedColumn, y: SortedColumn, neighbors: int) -> Floats:
    """Return the n local terms whose mean is the estimate of `mixture`, in nats, row by row.

    Parameters
    ----------
    x, y : SortedColumn of n rows
        Row i of one belongs to row i of the other.
    neighbors : int
        k, below n.
    """
    levels = _levels(x), _levels(y)
    pair = levels[0] * (levels[1].max() + 1) + levels[1]
    _, first, row, equal = np.unique(
        pair, return_index=True, return_inverse=True, return_counts=True
    )
    points = np.column_stack([x.values[first], y.values[first]])
    distance = _distance_to(points, equal, neighbors)[row]
    together = np.where(distance == 0, equal[row], neighbors)
    inside = _inside(points, distance)
    near = [
        _near_values(column, level, inside) for column, level in zip((x, y), levels, strict=True)
    ]
    return _terms_of_counts(together, *near)


def _terms_of_counts(together: Counts, near_x: Counts, near_y: Counts) -> Floats:
    table = digamma_table(len(together))
    terms: Floats = table[together] + np.log(len(together)) - table[near_x] - table[near_y]
    return terms


def _levels(column: SortedColumn) -> Counts:
    """Number of each row's value among the distinct ones, ascending from 0, shape (n,)."""
    ascending = np.cumsum(np.diff(column.ascending, prepend=column.ascending[:1]) > 0)
    levels = np.empty(len(column), dtype=np.int64)
    levels[column.order] = ascending
    return levels


def _distance_to(points: Floats, equal: Counts, k: int) -> Floats:
    """Distance of each distinct point, which occurs `equal` times, to its k-th neighbour."""
    nearest = np.arange(1, min(k + 1, len(points)) + 1)
    distance, which = cKDTree(points).query(points, k=nearest, p=np.inf)
    enough = equal[np.asarray(which)].cumsum(axis=1) > k
    found: Floats = np.asarray(distance)[np.arange(len(points)), enough.argmax(axis=1)]
    return found


def _inside(points: Floats, distance: Floats) -> Floats:
    """Distances just small enough that rounding puts no point of the edge inside."""
    # 0.3 - 0.2 and 0.2 - 0.1 are not the same number, but the same step of rounded values.
    rounding = 2 * np.spacing(np.abs(points).max(axis=0)).sum()
    inside: Floats = distance - np.minimum(rounding, _ROUNDING * distance)
    return inside


def _near_values(column: SortedColumn, level: Counts, distance: Floats) -> Counts:
    """Count the rows near each, itself included: within its distance, or equal where that is 0."""
    closer = np.empty(len(column), dtype=np.int64)
    closer[column.order] = count_closer(column.ascending, distance[column.order])
    return np.where(distance == 0, np.bincount(level)[level], closer + 1)


def _near_rows(points: Floats, distance: Floats) -> Counts:
    _, row, equal = _distinct_rows(points)
    return np.where(distance == 0, equal[row], closer_points(points, distance) + 1)


def _distinct_rows(points: Floats) -> tuple[Floats, Counts, Counts]:
    distinct, row, equal = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    return distinct, row.reshape(-1), equal


def histogram(x: ArrayLike, y: ArrayLike, bins: int = 40) -> float:
    """Mutual information of x and y in equal bins, in nats, never below 0.

    Parameters
    ----------
    x, y : array, shape (n,)
        Finite samples, row by row.
    bins : int
        Bins of equal width between the smallest and the largest value of each.

    Returns
    -------
    float
        Plug-in value of the binned samples, without correction of its bias.

    Raises
    ------
    EstimatorError
        If shapes or lengths do not fit, values are not finite, or `bins` is below 1.
    """
    first, second = paired_rows(x, y)
    if first.shape[1] > 1 or second.shape[1] > 1:
        raise EstimatorError("histogram takes one column each; wanted x and y of shape (n,)")
    return float(histogram_terms(first[:, 0], second[:, 0], bins).mean())


def histogram_terms(x: Floats, y: Floats, bins: int = 40) -> Floats:
    """Return the n local terms whose mean is the value of `histogram`, in nats, row by row.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        Finite.
    bins : int
        Of each.
    """
    check_bins(bins)
    of_x, of_y = bin_codes(x, bins), bin_codes(y, bins)
    together = kernels.table_of(of_x, of_y, bins)
    expected = together.sum(axis=1)[of_x] * together.sum(axis=0)[of_y]
    terms: Floats = np.log(together[of_x, of_y] * len(x) / expected)
    return terms


def bin_codes(values: Floats, bins: int) -> Codes:
    """Bin of each value, 0 ... bins - 1, edges as those of `numpy.histogram`, shape (n,).

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite. A bin includes its lower edge, the last its upper one too.
    bins : int
        Of equal width between the smallest and the largest value; of a constant, all in one.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.zeros(len(values), dtype=np.int64)
    codes: Codes = kernels.codes_between(values, np.linspace(low, high, bins + 1))
    return codes


def check_bins(bins: int) -> None:
    """Raise EstimatorError unless bins is a whole number above 0."""
    if not isinstance(bins, int | np.integer) or bins < 1:
        raise EstimatorError(f"bins is {bins!r}; wanted a whole number, 1 or more")


_ALONE = Lock()
"""Held while NPEET draws: pairs on other threads would share the global random state."""

_MODULES = ("npeet_plus", "npeet.entropy_estimators")


def npeet_mi(
    x: ArrayLike, y: ArrayLike, neighbors: int = 3, discrete: bool = False, *, seed: int = 0
) -> float:
    """Mutual information of x and y in nats, by NPEET.

    NPEET adds noise below 1e-10 to every number against ties, whatever their scale: columns should
    be neither tiny nor huge. It draws it from NumPy's global random state, which is seeded for the
    call and put back after it.

    Parameters
    ----------
    x : array, shape (n,) or (n, d)
        Finite samples, row by row.
    y : array, shape (n,) or (n, d), or of classes, shape (n,)
        As x, or one class a row, number or text.
    neighbors : int
        k.
    discrete : bool
        Whether y holds classes. NPEET then gives the absolute value, never below 0, and takes a
        class of k rows or fewer to tell nothing, with a warning.
    seed : int
        Of the noise.

    Returns
    -------
    float

    Raises
    ------
    EstimatorError
        If NPEET is not installed, shapes or lengths do not fit, numbers are not finite, or n is not
        above `neighbors`.
    """
    toolbox = _toolbox()
    first, second = _classes(x, y) if discrete else paired_rows(x, y, more_than=neighbors)
    if len(first) <= neighbors:
        raise EstimatorError(f"x and y have {len(first)} rows; wanted more than {neighbors}")
    estimate = toolbox.micd if discrete else toolbox.mi
    with _ALONE, _seeded(seed):
        return float(estimate(first, second, k=neighbors, base=np.e))


def _toolbox() -> Any:
    for name in _MODULES:
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    raise EstimatorError(
        "NPEET is not installed; pip install 'latentscope-spectra[npeet]', or choose another "
        "estimator"
    )


def _classes(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    first, classes = rows_of("x", x), np.asarray(y)
    check_lengths(len(first), len(classes))
    if classes.size != len(classes):
        raise EstimatorError(f"y has shape {classes.shape}; wanted one class a row, (n,)")
    return first, np.unique(classes.reshape(-1), return_inverse=True)[1].reshape(-1, 1)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # NPEET knows no other source of randomness than the global one.
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


Items = NDArray[np.int64]
Estimator = Literal[
    "auto", "copula", "ksg", "ross", "plugin", "mixture", "histogram", "gmm", "npeet"
]

_CLASSES_WANTED: dict[str, tuple[int, ...]] = {
    "copula": (0,),
    "ksg": (0,),
    "mixture": (0,),
    "histogram": (0,),
    "npeet": (0, 1),
    "gmm": (0, 1),
    "ross": (1,),
    "plugin": (2,),
}
"""How many columns of a pair are classes."""

_NOISE = 21_000
"""Rows times neighbours from which the noise of the estimator itself is below 0.009 nats: its
standard deviation at independence is 1.3 / sqrt(k n)."""

_MOST_NEIGHBORS = 8
_MOST_OF_CLASSES = 16
_ROWS_A_NEIGHBOR = 16
_CELLS = 0.1


@dataclass(frozen=True)
class Method:
    """One estimator: local terms of a pair, and the rank form of a test of independence.

    Parameters
    ----------
    name : str
        As the table of results names it.
    terms : callable
        (x, y, neighbors) -> (n,) terms, in nats, whose mean is the estimate.
    shuffled : callable
        (items of x (m, n), items of y (m, n), neighbors) -> (m,) estimates from ranks and classes
        alone, whose distribution under independence needs no values.
    by_ranks : bool
        Whether the mean of the terms is itself such an estimate.
    own : callable, optional
        (x, y, neighbors, seed) -> (estimate, its standard error or NaN), in nats, in place of the
        mean of the terms; NaN leaves the error to the terms.
    """

    name: str
    terms: Callable[[Part, Part, int], Floats]
    shuffled: Callable[[Items, Items, int], Floats]
    by_ranks: bool = False
    own: Callable[[Part, Part, int, int], tuple[float, float]] | None = None


@lru_cache(maxsize=8)
def margin(n: int, side: int) -> Floats:
    """Return n ascending ranks, one uniform draw in each cell; side 0 and 1 are independent."""
    rng = own_rng(n, side, 4)
    ascending: Floats = (np.arange(n) + rng.random(n)) / n
    ascending.setflags(write=False)
    return ascending


def _copula_terms(x: Part, y: Part, neighbors: int) -> Floats:
    return ksg_terms(x.ranked, y.ranked, neighbors)


def _ksg_terms(x: Part, y: Part, neighbors: int) -> Floats:
    return ksg_terms(x.raw, y.raw, neighbors)


def _mixture_terms(x: Part, y: Part, neighbors: int) -> Floats:
    return mixture_terms(x.raw, y.raw, neighbors)


def _histogram_terms(x: Part, y: Part, neighbors: int) -> Floats:
    return histogram_terms(x.raw.values, y.raw.values)


def _ranks_shuffled(x: Items, y: Items, neighbors: int) -> Floats:
    n = x.shape[1]
    pairing = np.empty_like(x)
    np.put_along_axis(pairing, y, x, axis=1)
    return ksg_shuffled(margin(n, 0), margin(n, 1), pairing, neighbors)


def _ross_terms(x: Part, y: Part, neighbors: int) -> Floats:
    continuous, classes = (y, x) if x.column.discrete else (x, y)
    return ross_terms(continuous.ranked, classes.codes, neighbors)


def _raw_ross_terms(x: Part, y: Part, neighbors: int) -> Floats:
    continuous, classes = (y, x) if x.column.discrete else (x, y)
    values = continuous.ranked if continuous.column.tied else continuous.raw
    return ross_terms(values, classes.codes, neighbors)


def _ross_shuffled(x: Items, y: Items, neighbors: int) -> Floats:
    in_order = np.empty_like(y)
    np.put_along_axis(in_order, x, y, axis=1)
    return ross_shuffled(margin(x.shape[1], 0), in_order, neighbors)


def _ross_shuffled_mirrored(x: Items, y: Items, neighbors: int) -> Floats:
    return _ross_shuffled(y, x, neighbors)


def _plugin_terms(x: Part, y: Part, neighbors: int) -> Floats:
    return plugin_terms(x.codes, y.codes)


def _plugin_shuffled(x: Items, y: Items, neighbors: int) -> Floats:
    return plugin_shuffled(x, y)


def _gmm(x: Part, y: Part, neighbors: int, seed: int) -> tuple[float, float]:
    # Imported here, since it loads scikit-learn, which takes longer than most tables.
    from latentscope.diagnostics.mi.gmm import gmm

    continuous, other = (y, x) if x.column.discrete else (x, y)
    discrete = other.column.discrete
    known = other.codes if discrete else other.raw.values
    result = gmm(continuous.raw.values, known, discrete=discrete, seed=seed)
    return result.mi_nats, result.std_nats


def _npeet(x: Part, y: Part, neighbors: int, seed: int) -> tuple[float, float]:
    continuous, other = (y, x) if x.column.discrete else (x, y)
    discrete = other.column.discrete
    known = other.codes if discrete else other.raw.values
    return npeet_mi(continuous.raw.values, known, neighbors, discrete, seed=seed), np.nan


COPULA = Method("copula", _copula_terms, _ranks_shuffled, by_ranks=True)
ROSS = Method("ross", _ross_terms, _ross_shuffled, by_ranks=True)
PLUGIN = Method("plugin", _plugin_terms, _plugin_shuffled, by_ranks=True)
_KSG = Method("ksg", _ksg_terms, _ranks_shuffled)
_RAW_ROSS = Method("ross", _raw_ross_terms, _ross_shuffled)
_BY_NAME = {
    "ksg": (_KSG,),
    "copula": (COPULA,),
    "mixture": (Method("mixture", _mixture_terms, _ranks_shuffled),),
    "histogram": (Method("histogram", _histogram_terms, _ranks_shuffled),),
    "npeet": (
        replace(_KSG, name="npeet", own=_npeet),
        replace(_RAW_ROSS, name="npeet", own=_npeet),
    ),
    "gmm": (replace(COPULA, name="gmm", own=_gmm), replace(ROSS, name="gmm", own=_gmm)),
    "ross": (COPULA, _RAW_ROSS),
    "plugin": (COPULA, ROSS, PLUGIN),
}
"""Methods for no, one and two columns of classes."""

_AUTO = (COPULA, ROSS, PLUGIN)


def check_estimator(estimator: str) -> None:
    """Raise EstimatorError unless the name is one of `Estimator`."""
    if estimator not in get_args(Estimator):
        known = ", ".join(get_args(Estimator))
        raise EstimatorError(f"estimator is {estimator!r}; wanted one of {known}")


def kinds_of(estimator: Estimator) -> tuple[Discrete, Discrete]:
    """Tell how an estimator takes latents and labels: as classes, as numbers, or as they look."""
    counts = _CLASSES_WANTED.get(estimator)
    if counts is None:
        return "auto", "auto"
    return max(counts) == 2, "auto" if len(counts) > 1 else max(counts) > 0


def settled(x: Column, y: Column, estimator: Estimator) -> tuple[Column, Column]:
    """Take a column of few numbers for numbers where two tables of classes would be too thin.

    The plug-in estimate wants many rows a cell. Under "auto", of two columns whose classes make
    more cells than a tenth of the rows, the one with more values is taken for numbers, if it has
    them, and then the other if that does not do.
    """
    if estimator != "auto" or not (x.discrete and y.discrete):
        return x, y
    if x.classes * y.classes <= _CELLS * int((x.valid & y.valid).sum()):
        return x, y
    if y.values is not None and (y.classes >= x.classes or x.values is None):
        return x, y.as_numbers
    return (x, y) if x.values is None else (x.as_numbers, y)


def choose(x: Column, y: Column, estimator: Estimator) -> tuple[Method, str]:
    """Choose the estimator of a pair, and say why.

    Parameters
    ----------
    x, y : Column
        As `settled` leaves them.
    estimator : str
        "auto" takes "copula" for two continuous columns, "ross" for one, "plugin" for none.

    Returns
    -------
    method : Method
    reason : str
        In words; also what was noted about the columns.

    Raises
    ------
    EstimatorError
        If a named estimator cannot take these columns.
    """
    count = int(x.discrete) + int(y.discrete)
    wanted = _CLASSES_WANTED.get(estimator, (count,))
    if count not in wanted:
        classes = [column.name for column in (x, y) if column.discrete]
        raise EstimatorError(
            f"{x.name} and {y.name}: {' and '.join(classes) or 'neither'} taken for classes, but "
            f"{estimator} wants {' or '.join(('none', 'one', 'both')[c] for c in wanted)} of them "
            "so; choose another estimator, or say discrete="
        )
    method = _AUTO[count] if estimator == "auto" else _BY_NAME[estimator][count]
    if count == 1 and x.discrete:
        method = replace(method, shuffled=_ross_shuffled_mirrored)
    why = ("both continuous", "one discrete", "both discrete")[count]
    notes = [column.note for column in (x, y) if column.note]
    return method, "; ".join([why if estimator == "auto" else f"asked for ({why})", *notes])


def neighbors_for(x: Part, y: Part, least: int) -> int:
    """Number of neighbours under "auto": more where rows are few and noise is what errs most.

    Between continuous columns as many as bring the noise of the estimator below 0.009 nats, 8 at
    most, and one for 16 rows at most. Between a continuous column and classes 16, but one for 8
    rows a class at most.

    Parameters
    ----------
    x, y : Part
        The rows that both columns have.
    least : int
        Neighbours at least.
    """
    n, classes = len(x), max(x.column.classes, y.column.classes)
    if classes:
        return max(least, min(_MOST_OF_CLASSES, n // (_ROWS_A_NEIGHBOR // 2 * classes)))
    return max(least, min(_MOST_NEIGHBORS, ceil(_NOISE / n), n // _ROWS_A_NEIGHBOR))


def neighbors_of_strong(x: Part, y: Part, least: int) -> int:
    """Number of neighbours under "auto" where classes and a continuous column are strongly related.

    There bias errs most, so it is a quarter of the square root of the rows a class, 16 at most.
    """
    rows = len(x) / max(x.column.classes, y.column.classes)
    return max(least, min(_MOST_OF_CLASSES, round(sqrt(rows) / 4)))


_STRONG = 0.1
_VERY_STRONG = 5.0
_REFINED_ROWS = (64, 20_000)


@dataclass(frozen=True)
class Measured:
    """What one estimator says of the rows that two columns share.

    Parameters
    ----------
    value : float
        Estimate in nats, signed.
    variance : float
        Of the estimate, in nats squared.
    complete : bool
        Whether the variance counts that neighbours share their surroundings; the scatter of local
        terms alone does not.
    by_ranks : float
        Estimate from ranks and classes alone, which the null is one of.
    neighbors : int
        k of the estimate; 0 where it is that of no neighbours, by extrapolation.
    """

    value: float
    variance: float
    complete: bool
    by_ranks: float
    neighbors: int

    @property
    def extrapolated(self) -> bool:
        """Whether the estimate is that of no neighbours."""
        return self.neighbors == 0


def measured(
    method: Method, x: Part, y: Part, neighbors: int, *, least: int | None, seed: int
) -> Measured:
    """Estimate the mutual information of two parts of the same rows.

    Parameters
    ----------
    method : Method
    x, y : Part
        The pair.
    neighbors : int
        k.
    least : int or None
        None takes the estimate as it is. Else a relation above 0.1 nats by ranks is refined: with
        classes by fewer neighbours, `least` at least; between continuous columns of 64 rows or
        more it is extrapolated to none. With more than 20,000 rows the bias is far below what
        matters unless the relation exceeds 5 nats, and it stays as it is, as it does with a `least`
        above 16.
    seed : int
        Of estimators that draw.
    """
    own, error = (np.nan, np.nan) if method.own is None else method.own(x, y, neighbors, seed)
    if np.isfinite(error):
        return Measured(own, error**2, True, _by_ranks(x, y, neighbors), neighbors)
    value, variance = _mean_and_variance(method.terms(x, y, neighbors))
    if least is not None and value > _STRONG and least <= NEIGHBORS[-1]:
        return _refined(method, x, y, least, Measured(value, variance, False, value, neighbors))
    ranked = value if method.by_ranks else _by_ranks(x, y, neighbors)
    return Measured(value if np.isnan(own) else own, variance, False, ranked, neighbors)


def _refined(method: Method, x: Part, y: Part, least: int, first: Measured) -> Measured:
    if x.column.discrete and y.column.discrete:
        return first
    if x.column.discrete or y.column.discrete:
        k = neighbors_of_strong(x, y, least)
        value, variance = _mean_and_variance(method.terms(x, y, k))
        return replace(first, value=value, variance=variance, neighbors=k)
    if len(x) < _REFINED_ROWS[0] or (len(x) > _REFINED_ROWS[1] and first.value < _VERY_STRONG):
        return first
    value, variance = extrapolated(ksg_terms_of(x.ranked, y.ranked, NEIGHBORS))
    return Measured(value, variance, True, first.by_ranks, 0)


def _mean_and_variance(terms: NDArray[np.float64]) -> tuple[float, float]:
    """Mean of n terms, and its variance, in a fraction of the time of numpy's methods."""
    n = len(terms)
    mean = float(terms.sum()) / n
    centred = terms - mean
    return mean, float(centred @ centred) / n**2


def _by_ranks(x: Part, y: Part, neighbors: int) -> float:
    of_ranks = (COPULA, ROSS, PLUGIN)[int(x.column.discrete) + int(y.column.discrete)]
    return float(of_ranks.terms(x, y, neighbors).mean())


_TAKEN = ("auto", "copula", "ksg", "ross")


def check_takes_several(estimator: Estimator) -> None:
    """Raise EstimatorError if the estimator takes single columns only."""
    if estimator not in _TAKEN:
        raise EstimatorError(
            f"{estimator} takes single columns, x and y of shape (n,); wanted one of "
            f"{', '.join(_TAKEN)} for several columns"
        )


def joint_information(
    x: list[Column], y: list[Column], estimator: Estimator, neighbors: int
) -> float:
    """Mutual information of several columns x and several columns y, or classes y, in nats.

    "auto" takes normal scores of the ranks of each column, which serve several columns better than
    the ranks (mean |error| 0.036 against 0.057 nats on the cases of several columns of
    benchmarks/mi_cases, n = 5,000), and extrapolates to no neighbours.

    Parameters
    ----------
    x, y : list of Column
        Of the same rows; a single column of classes for y, or none.
    estimator : str
        "auto", "copula", "ksg" or "ross".
    neighbors : int
        k.

    Raises
    ------
    EstimatorError
        If rows are not more than `neighbors`.
    """
    keep = np.logical_and.reduce([column.valid for column in x + y])
    n = int(keep.sum())
    if n <= neighbors:
        raise EstimatorError(f"{n} rows have both x and y; wanted more than neighbors={neighbors}")
    how = {"ksg": _joint_values, "auto": _joint_scores}.get(estimator, _joint_ranks)
    if y[0].discrete:
        how = how if estimator == "auto" or any(column.tied for column in x) else _joint_values
        return ross(how(x, keep), y[0].part(keep).codes, neighbors)
    first, second = how(x, keep), how(y, keep)
    if estimator == "auto" and n > 4 * NEIGHBORS[-1]:
        return extrapolated(joint_terms(first, second, NEIGHBORS))[0]
    return ksg(first, second, neighbors)


def _joint_values(columns: list[Column], keep: NDArray[np.bool_]) -> Floats:
    return np.column_stack([column.part(keep).raw.values for column in columns])


def _joint_ranks(columns: list[Column], keep: NDArray[np.bool_]) -> Floats:
    return np.column_stack([column.part(keep).ranked.values for column in columns])


def _joint_scores(columns: list[Column], keep: NDArray[np.bool_]) -> Floats:
    scores: Floats = ndtri(_joint_ranks(columns, keep))
    return scores


def joint_terms(x: Floats, y: Floats, neighbors: Sequence[int]) -> Floats:
    """Return local terms of KSG (Kraskov et al. 2004, eq. 8), in nats, for several k.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n, d)
        Used as they are; Chebyshev norm.
    neighbors : sequence of int
        Ascending.

    Returns
    -------
    ndarray of float64, shape (len(neighbors), n)
    """
    table = digamma_table(len(x))
    both = np.hstack([x, y])
    near = cKDTree(both).query(both, k=[k + 1 for k in neighbors], p=np.inf, workers=-1)[0]
    return np.stack(
        [
            digamma(k)
            + table[len(x)]
            - sum(table[closer_points(part, distance) + 1] for part in (x, y))
            for k, distance in zip(neighbors, np.asarray(near).T, strict=True)
        ]
    )
