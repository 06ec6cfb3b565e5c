"""Conditional mutual information I(X; Y | Z): what two columns share once others are known.

The terms are those of Frenzel & Pompe 2007 (`points`). "mixture" is that of O. C. Mesner, C. R.
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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import t as student

from latentscope.diagnostics.mi import kernels
from latentscope.diagnostics.mi.columns import Column, own_rng
from latentscope.diagnostics.mi.estimators import (
    NEIGHBORS,
    extrapolated,
    neighbors_of_few_rows,
    plugin_terms,
)
from latentscope.diagnostics.mi.points import (
    Part,
    each_class,
    local_terms,
    part_of,
    scores_of,
    values_of,
)
from latentscope.diagnostics.prediction import cross_fitted, normal_scores

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

CONDITIONAL = ("auto", "copula", "ksg", "mixture")
"""Estimators that take conditions."""

_NEAR = 8
"""Rows near in z among which x moves."""

_FEWEST_TO_PREDICT = 50
_EXTRAPOLATED_TO = 20_000
_SHUFFLES, _FEWEST_SHUFFLES = 40, 3


def _counted_terms(x: Part, y: Part, z: Part) -> Floats:
    """Terms of classes alone, (n,): the table of counts within each class of the conditions."""
    out = np.empty(len(z.codes))
    for rows in each_class(z.codes):
        pair = [np.unique(it.codes[rows], return_inverse=True)[1] for it in (x, y)]
        out[rows] = plugin_terms(pair[0].astype(np.int64), pair[1].astype(np.int64))
    return out


def mesner_shalizi_terms(x: Part, y: Part, z: Part, k: int) -> Floats:
    """Local terms of Mesner & Shalizi 2021, algorithm 1, in nats, shape (n,).

    With rho_i the distance to the k-th neighbor, k_i = k, or where rho_i = 0 the number of others
    at the same place, and others within rho_i, its edge included: psi(k_i) - psi(n_xz) - psi(n_yz)
    + psi(n_z). Classes count as numbers that differ by more than all else; the mean is not cut
    off at 0.
    """
    joint = x.and_(y, z)
    apart = 1 + 2 * np.ptp(joint.numbers, axis=0).max(initial=0.0)
    parts = [
        np.column_stack([p.numbers, p.codes * apart]) for p in (joint, x.and_(z), y.and_(z), z)
    ]
    distance = np.asarray(cKDTree(parts[0]).query(parts[0], k=k + 1, p=np.inf)[0])[:, -1]
    counts = [
        cKDTree(part).query_ball_point(part, distance, p=np.inf, return_length=True) - 1
        for part in parts
    ]
    table = kernels.digamma_table(len(distance))
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
    """An estimator of `CONDITIONAL`, and its least number of neighbors."""

    estimator: str
    neighbors: int

    def ready(
        self, x: Column, y: Column, given: Sequence[Column], rng: np.random.Generator
    ) -> tuple[Part, Part, Part]:
        """Make parts of columns of the same rows, none of them missing."""
        numbers = scores_of if self.estimator in ("auto", "copula") else values_of
        first, second, z = (part_of(it, len(x), numbers) for it in ([x], [y], given))
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
        return neighbors_of_few_rows(n, self.neighbors)

    def measured(self, x: Part, y: Part, z: Part) -> tuple[float, float]:
        """Value in nats, and the variance that its local terms show."""
        k = self.k(x, y)
        if self.estimator == "mixture":
            terms = mesner_shalizi_terms(x, y, z, k)
        elif not any(part.numbers.shape[1] for part in (x, y, z)):
            terms = _counted_terms(x, y, z)
        elif k == 0:
            return extrapolated(local_terms(x, y, z, NEIGHBORS))
        else:
            terms = local_terms(x, y, z, [k])[0]
        return float(terms.mean()), float(terms.var()) / len(terms)


def measured_given(
    drawn: Sequence[tuple[Column, Column, Sequence[Column]]],
    recipe: Recipe,
    n_permutations: int,
    seed: int,
) -> Found:
    """Measure what two columns share once others are known, in nats, signed.

    `drawn` are the two and the others in each draw of one row per star. The value is the median
    over draws. The null has 40 shuffles at most, on one draw each, and is taken for Student's t
    about their mean; p-values come from that.
    """
    rng = own_rng(seed, 25)
    parts = [recipe.ready(*each, rng) for each in drawn]
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
    for rows in each_class(z.codes):
        k = [min(i + 1, len(rows)) for i in range(_NEAR)]
        found = cKDTree(z.numbers[rows]).query(z.numbers[rows], k=k, p=np.inf)[1]
        near[rows] = rows[np.asarray(found)]
    return near


def _moved(near: Codes | None, z: Part, rng: np.random.Generator) -> Codes:
    if near is not None:
        order = rng.permutation(len(near))
        return np.asarray(kernels.moved_near(rng.permuted(near, axis=1), order))
    moved = np.empty(len(z.codes), dtype=np.int64)
    for rows in each_class(z.codes):
        moved[rows] = rng.permutation(rows)
    return moved


def without_condition(part: Part, z: Part, rng: np.random.Generator) -> Part:
    """Subtract a prediction from the conditions, and rank the residual."""
    left = part.numbers.copy()
    for rows in each_class(z.codes):
        columns = z.numbers[rows][:, np.ptp(z.numbers[rows], axis=0) > 0]
        if len(rows) >= _FEWEST_TO_PREDICT and columns.shape[1] and left.shape[1]:
            left[rows] -= cross_fitted(columns, left[rows], rng)
    return Part(normal_scores(left), part.codes)
