"""Conditional mutual information I(X; Y | Z): what two columns share once others are known.

S. Frenzel, B. Pompe, "Partial mutual information for coupling analysis of multivariate time
series", Phys. Rev. Lett. 99, 204101 (2007): with eps_i the Chebyshev distance from point i to its
k-th neighbor in (x, y, z), and n_xz, n_yz, n_z the numbers of other points strictly closer,
I(X; Y | Z) = psi(k) - < psi(n_xz + 1) + psi(n_yz + 1) - psi(n_z + 1) >.

Classes are infinitely far from one another, so that neighbors are of the same class: without
conditions that is Kraskov et al. 2004 and Ross 2014. "mixture" is that of O. C. Mesner, C. R.
Shalizi, "Conditional mutual information estimation for mixed, discrete and continuous data", IEEE
Trans. Inf. Theory 67, 464 (2021), for columns that repeat some values.

Nearest neighbors lose most of what two columns share if both follow a condition closely: within
the width of x, few points are near in z. I(X; Y | Z) stays the same if x - f(z) takes the place of
x. So "auto" takes off what a prediction from the conditions says, of rows that it was not fitted
to.

The null is that of J. Runge, "Conditional independence testing based on a nearest-neighbor
estimator of conditional mutual information", AISTATS, PMLR 84, 938 (2018): x moves among rows that
are near in z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import ndtri
from scipy.stats import t as student

from latentscope.diagnostics.mi import kernels
from latentscope.diagnostics.mi.columns import Column, own_rng
from latentscope.diagnostics.mi.estimators import (
    NEIGHBORS,
    digamma_table,
    extrapolated,
    plugin_terms,
)
from latentscope.diagnostics.prediction import cross_fitted
from latentscope.diagnostics.threads import in_order, may_spread, spread

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

CONDITIONAL = ("auto", "copula", "ksg", "mixture")
"""Estimators that take conditions."""

_NEAR = 8
"""Rows near in z among which x moves."""

_SPREAD_FROM = 2_000
_FEWEST_TO_PREDICT = 50
_EXTRAPOLATED_TO = 20_000
_SHUFFLES, _FEWEST_SHUFFLES = 40, 3


class Part(NamedTuple):
    """Columns of the same n rows: numbers (n, d), d may be 0, and the class of each row."""

    numbers: Floats
    codes: Codes

    def and_(self, *others: Part) -> Part:
        """Join columns; a class is then one of each."""
        numbers = np.hstack([self.numbers, *(other.numbers for other in others)])
        codes = self.codes
        for other in [other for other in others if other.codes.any()]:
            codes = codes * (int(other.codes.max(initial=0)) + 1) + other.codes
            codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
        return Part(numbers, codes)


def part_of(columns: Sequence[Column], *, ranks: bool) -> Part:
    """Make a part of columns without missing rows: normal scores of ranks, or the values."""
    n = len(columns[0])
    part = Part(np.empty((n, 0)), np.zeros(n, dtype=np.int64))
    for column in columns:
        if column.codes is not None:
            own = Part(np.empty((n, 0)), column.codes)
        else:
            values = ndtri(column.ranked) if ranks else column.values
            assert values is not None
            own = Part(values[:, None], np.zeros(n, dtype=np.int64))
        part = part.and_(own)
    return part


def conditional_terms(x: Part, y: Part, z: Part, neighbors: Sequence[int]) -> Floats:
    """Local terms of Frenzel & Pompe in nats, shape (len(neighbors), n).

    A class of k rows or fewer takes all its others for neighbors; a row alone in its class, with
    those of the other columns, says nothing: 0.
    """
    n = len(z.codes)
    table = np.append(digamma_table(n), 0.0)
    xyz, xz, yz = x.and_(y, z), x.and_(z), y.and_(z)
    size = np.bincount(xyz.codes)[xyz.codes]
    out = np.empty((len(neighbors), n))
    if not xyz.numbers.shape[1]:
        # Classes alone: the table of counts within each class of the conditions.
        for code in range(int(z.codes.max()) + 1):
            rows = z.codes == code
            pair = [np.unique(it.codes[rows], return_inverse=True)[1] for it in (x, y)]
            out[:, rows] = plugin_terms(pair[0].astype(np.int64), pair[1].astype(np.int64))
        return out
    together, *apart = in_order(_classes, (xyz, xz, yz, z), _threads(n))
    far = _distances(together, neighbors, n)
    for i, k in enumerate(neighbors):
        used = np.minimum(k, size - 1)
        near_x, near_y, near_z = (_closer(classes, far[i]) + 1 for classes in apart)
        terms = table[used] - table[near_x] - table[near_y] + table[near_z]
        out[i] = np.where(used > 0, terms, 0.0)
    return out


def mesner_shalizi_terms(x: Part, y: Part, z: Part, k: int) -> Floats:
    """Local terms of Mesner & Shalizi 2021, algorithm 1, in nats, shape (n,).

    With rho_i the distance to the k-th neighbor, k_i = k, or where rho_i = 0 the number of others
    at the same place, and others within rho_i, its edge included: psi(k_i) - psi(n_xz) - psi(n_yz)
    + psi(n_z). Classes count as numbers that differ by more than all else; the mean is not cut
    off at 0.
    """
    parts = [
        np.column_stack([p.numbers, p.codes * 1e9]) for p in (x.and_(y, z), x.and_(z), y.and_(z), z)
    ]
    distance = np.asarray(cKDTree(parts[0]).query(parts[0], k=k + 1, p=np.inf)[0])[:, -1]
    counts = [
        cKDTree(part).query_ball_point(part, distance, p=np.inf, return_length=True) - 1
        for part in parts
    ]
    table = digamma_table(len(distance))
    used = np.where(distance == 0, counts[0], k)
    terms: Floats = table[used] - table[counts[1]] - table[counts[2]] + table[counts[3]]
    return terms


class Found(NamedTuple):
    """Conditional mutual information in nats, its sampling error, and the p-value of none."""

    value: float
    std: float
    p_value: float
    k: int  # 0 where the value is that of no neighbors, by extrapolation


@dataclass(frozen=True)
class Recipe:
    """How a part of the rows is measured: one of `CONDITIONAL`, and at least so many neighbors."""

    estimator: str
    neighbors: int

    def ready(
        self, x: Column, y: Column, given: Sequence[Column], rng: np.random.Generator
    ) -> tuple[Part, Part, Part]:
        """Make parts of columns of the same rows, none of them missing."""
        ranks = self.estimator in ("auto", "copula")
        first, second, z = (part_of(it, ranks=ranks) for it in ([x], [y], given))
        if self.estimator != "auto" or not z.numbers.shape[1]:
            return first, second, z
        first, second = (without_condition(part, z, rng) for part in (first, second))
        # What is left hardly follows the conditions: neighbors may be far from each other in many.
        return first, second, Part(z.numbers / z.numbers.shape[1], z.codes)

    def k(self, x: Part, y: Part) -> int:
        """Neighbors; 0: extrapolated to none."""
        n = len(x.codes)
        if self.estimator != "auto" or self.neighbors > NEIGHBORS[-1]:
            return self.neighbors
        both = x.numbers.shape[1] and y.numbers.shape[1]
        if both and 4 * NEIGHBORS[-1] < n <= _EXTRAPOLATED_TO:
            return 0
        return max(self.neighbors, min(8, -(-21_000 // n), n // 16))

    def measured(self, x: Part, y: Part, z: Part) -> tuple[float, float]:
        """Value in nats, and the variance that its local terms show."""
        k = self.k(x, y)
        if self.estimator == "mixture":
            terms = mesner_shalizi_terms(x, y, z, k)
        elif k == 0:
            return extrapolated(conditional_terms(x, y, z, NEIGHBORS))
        else:
            terms = conditional_terms(x, y, z, [k])[0]
        return float(terms.mean()), float(terms.var()) / len(terms)


def measured_given(
    x: Column,
    y: Column,
    given: Sequence[Column],
    draws: NDArray[np.bool_],
    recipe: Recipe,
    *,
    n_permutations: int,
    seed: int,
) -> Found:
    """Measure what two columns share once others are known, in nats, signed.

    `draws`, shape (m, n), say which rows each draw of one row per star takes, all of them with a
    value in each column. The value is the median over draws. The null has 40 shuffles at most, on
    one draw each, and is taken for Student's t about their mean; p-values come from that.
    """
    rng = own_rng(seed, 25)
    parts = [
        recipe.ready(x.take(keep), y.take(keep), [it.take(keep) for it in given], rng)
        for keep in draws
    ]
    found = np.array([recipe.measured(*each) for each in parts])
    value = float(np.median(found[:, 0]))
    variance = float(found[:, 1].mean() + found[:, 0].var())
    shuffles, k = min(n_permutations, _SHUFFLES), recipe.k(*parts[0][:2])
    if shuffles < _FEWEST_SHUFFLES:
        return Found(value, variance**0.5, float("nan"), k)
    near = [_near(z) for _, _, z in parts[:shuffles]]
    null = np.empty((shuffles, 2))
    for i in range(shuffles):
        place = i % len(near)
        first, second, z = parts[place]
        moved = _moved(near[place], z, rng)
        null[i] = recipe.measured(Part(first.numbers[moved], first.codes[moved]), second, z)
    scatter = float(null[:, 0].var(ddof=1))
    # Terms of neighbors are correlated, which their own scatter does not show.
    variance += max(0.0, scatter - float(null[:, 1].mean()))
    width = max(scatter * (1 + 1 / shuffles), 1e-24) ** 0.5
    p_value = float(student.sf((value - float(null[:, 0].mean())) / width, shuffles - 1))
    return Found(value, variance**0.5, p_value, k)


def _near(z: Part) -> Codes | None:
    """The rows nearest to each in the numbers of z, of its class, (n, 8); None without numbers."""
    if not z.numbers.shape[1]:
        return None
    near = np.empty((len(z.codes), _NEAR), dtype=np.int64)
    for rows in _each_class(z.codes):
        k = [min(i + 1, len(rows)) for i in range(_NEAR)]
        found = cKDTree(z.numbers[rows]).query(z.numbers[rows], k=k, p=np.inf)[1]
        near[rows] = rows[np.asarray(found)]
    return near


def _moved(near: Codes | None, z: Part, rng: np.random.Generator) -> Codes:
    if near is not None:
        order = rng.permutation(len(near))
        return np.asarray(kernels.moved_near(rng.permuted(near, axis=1), order))
    moved = np.empty(len(z.codes), dtype=np.int64)
    for rows in _each_class(z.codes):
        moved[rows] = rng.permutation(rows)
    return moved


def _each_class(codes: Codes) -> list[Codes]:
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def _threads(rows: int) -> int:
    return int(get_num_threads()) if rows >= _SPREAD_FROM and may_spread() else 1


class _Class(NamedTuple):
    """Rows of one class, and a tree of their numbers; None of one column or none, (rows, d)."""

    rows: Codes
    numbers: Floats
    tree: kernels.Tree | None


def _classes(part: Part) -> list[_Class]:
    found = []
    for rows in _each_class(part.codes):
        numbers = part.numbers[rows]
        several = numbers.shape[1] > 1
        tree = kernels.tree_of(np.ascontiguousarray(numbers.T)) if several else None
        found.append(_Class(rows, numbers, tree))
    return found


def _distances(classes: Sequence[_Class], neighbors: Sequence[int], n: int) -> Floats:
    """Distance of each row to its k-th neighbor of the same class, (len(neighbors), n)."""
    out = np.zeros((len(neighbors), n))
    for rows, numbers, tree in classes:
        if len(rows) > 1:
            ks = np.minimum(np.array(neighbors, dtype=np.int64), len(rows) - 1)
            found = np.empty((len(ks), len(rows)))
            if tree is None:
                tree = kernels.tree_of(np.ascontiguousarray(numbers.T))
            fill = partial(kernels.tree_distances, tree, ks, found)
            spread(fill, 0, 1 << tree.levels, _threads(len(rows)))
            out[:, rows] = found
    return out


def _closer(classes: Sequence[_Class], distance: Floats) -> Codes:
    """Count for each row the others of its class that are strictly closer than its distance."""
    counts = np.empty(len(distance), dtype=np.int64)
    for rows, numbers, tree in classes:
        limit = distance[rows]
        if tree is not None:
            found = np.empty(len(rows), dtype=np.int64)
            fill = partial(kernels.tree_counts, tree, limit, found)
            spread(fill, 0, 1 << tree.levels, _threads(len(rows)))
            counts[rows] = found
        elif numbers.shape[1]:
            order = np.argsort(numbers[:, 0])
            counts[rows[order]] = kernels.count_closer(numbers[order, 0], limit[order])
        else:
            counts[rows] = len(rows) - 1
    return counts


def without_condition(part: Part, z: Part, rng: np.random.Generator) -> Part:
    """Take off what a prediction from the conditions says of numbers, and rank what is left."""
    left = part.numbers.copy()
    for rows in _each_class(z.codes):
        columns = z.numbers[rows][:, np.ptp(z.numbers[rows], axis=0) > 0]
        if len(rows) >= _FEWEST_TO_PREDICT and columns.shape[1] and left.shape[1]:
            left[rows] -= cross_fitted(columns, left[rows], rng)
    ranks = np.argsort(np.argsort(left, axis=0), axis=0)
    return Part(ndtri((ranks + 0.5) / len(left)), part.codes)
