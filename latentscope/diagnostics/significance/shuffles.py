"""Significance of estimates: p-values of groups of rows, and false discovery rates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.columns.groups import Draws
from latentscope.diagnostics.estimators.choice import Items, Method
from latentscope.diagnostics.significance.nulls import ROUNDING, Null

Floats = NDArray[np.float64]
Show = Callable[[NDArray[np.int64]], Items]

_BLOCK_POINTS = 500_000
_STOP_AT = 10


def group_p_value(
    method: Method,
    x: Show,
    y: Show,
    draws: Draws,
    neighbors: int,
    *,
    null: Null,
    permutations: int,
    rng: np.random.Generator,
) -> float:
    """P-value of the median over draws of one row a group, by shuffling whole groups.

    Groups change places with those of about as many rows, and the draws move with them.

    If the median of draws reaches a value, half of the draws do; so under independence that is at
    most twice as likely as for one draw. Where this bound is below what the shuffles can resolve,
    it is returned and nothing is shuffled. Else shuffles go on until 10 of them reach the observed
    median, which gives 10 / l after l shuffles (J. Besag, P. Clifford, "Sequential Monte Carlo
    p-values", Biometrika 78, 301, 1991), or to their end, (1 + b) / (1 + m).

    Parameters
    ----------
    method : Method
    x, y : callable
        Rows (m, groups) -> ranks or classes of each row of rows, shape (m, groups).
    draws : Draws
        Which rows the groups show.
    neighbors : int
        k.
    null : Null
        Of one draw.
    permutations : int
        m at most.
    rng : Generator
        Shuffles.
    """
    shown = x(draws.rows)
    number, groups = shown.shape
    observed = float(np.median(method.shuffled(shown, y(draws.rows), neighbors)))
    bound = 2 * null.p_value(observed, groups)
    if bound <= 1 / (1 + permutations):
        return bound
    above = 0
    block = int(np.clip(_BLOCK_POINTS // shown.size, 1, _STOP_AT))
    for first in range(0, permutations, block):
        rows = min(block, permutations - first)
        moved = y(np.concatenate([draws.shuffled(rng) for _ in range(rows)]))
        values = method.shuffled(np.tile(shown, (rows, 1)), moved, neighbors).reshape(rows, number)
        reached = np.cumsum(np.median(values, axis=1) >= observed - ROUNDING) + above
        stop = np.searchsorted(reached, _STOP_AT)
        if stop < rows:
            return float(_STOP_AT / (first + stop + 1))
        above = int(reached[-1])
    return float((1 + above) / (1 + permutations))


def ranks_of(items: Items) -> Items:
    """Rank 0 ... n - 1 of different numbers in each row, shape (m, n) -> (m, n)."""
    order = np.argsort(items, axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(items.shape[1])[None], axis=1)
    return ranks


def false_discovery_rate(p_values: Floats) -> Floats:
    """Benjamini-Hochberg q of each p; NaN stays NaN and does not count, shape (m,) -> (m,).

    Y. Benjamini, Y. Hochberg, "Controlling the false discovery rate", J. R. Stat. Soc. B 57, 289
    (1995).
    """
    q_values = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known])[::-1]]
    rank = np.arange(len(order), 0, -1)
    q_values[order] = np.minimum.accumulate(p_values[order] * len(order) / rank).clip(max=1.0)
    return q_values
