"""Mutual information where values repeat: the nearest-neighbour estimate of Gao et al. 2017.

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
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from latentscope.diagnostics.columns.samples import paired_rows
from latentscope.diagnostics.estimators.ksg import SortedColumn, closer_points, digamma_table
from latentscope.diagnostics.kernels.neighbors import count_closer

Floats = NDArray[np.float64]
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
    return float(_terms(together, *near).mean())


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
    return _terms(together, *near)


def _terms(together: Counts, near_x: Counts, near_y: Counts) -> Floats:
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
