"""Sums that stand for integrals: Gauss-Legendre panels and densities on grids."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, xlogy

from benchmarks.mi_cases.case import Floats

# Beyond this many standard deviations a normal density adds less than 1e-17.
NORMAL_REACH = 8.5


def panels(edges: Floats, order: int = 8) -> tuple[Floats, Floats]:
    """Points and weights of Gauss-Legendre quadrature on adjoining intervals.

    Parameters
    ----------
    edges : array, shape (m + 1,)
        Ends of the intervals, rising.
    order : int
        Points in each.

    Returns
    -------
    points, weights : arrays, shape (m * order,)
    """
    at, weight = np.polynomial.legendre.leggauss(order)
    half = np.diff(edges)[:, None] / 2
    middle = (edges[:-1] + edges[1:])[:, None] / 2
    return (middle + half * at).ravel(), (half * weight).ravel()


def normal_panels(count: int = 60, order: int = 8) -> tuple[Floats, Floats]:
    """Points t and weights for means over a standard normal variable."""
    t, weight = panels(np.linspace(-NORMAL_REACH, NORMAL_REACH, count + 1), order)
    weight = weight * np.exp(-t * t / 2)
    return t, weight / weight.sum()


def quantile_panels(law, count: int = 60, order: int = 8) -> tuple[Floats, Floats]:
    """Points x and weights for means over a distribution of scipy.stats, heavy tails included."""
    t, weight = normal_panels(count, order)
    return np.where(t < 0, law.ppf(ndtr(t)), law.isf(ndtr(-t))), weight


def information_of_table(joint: Floats) -> float:
    """Mutual information, nats, of rows and columns of a table of probabilities or masses."""
    joint = joint / joint.sum()
    rows, columns = joint.sum(1), joint.sum(0)
    own = xlogy(joint, joint).sum()
    return float(own - xlogy(rows, rows).sum() - xlogy(columns, columns).sum())


def information_of_channel(weights: Floats, chances: Floats) -> float:
    """Mutual information, nats, of x at weighted points and a discrete y of known chances.

    Parameters
    ----------
    weights : array, shape (m,)
        Probability at each point of x; their sum is 1.
    chances : array, shape (m, c)
        Probability of each y at each of these.
    """
    overall = weights @ chances
    return float((weights @ (xlogy(chances, chances))).sum() - xlogy(overall, overall).sum())
