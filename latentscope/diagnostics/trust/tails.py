"""How unusual a distance is in a reference sample, also beyond the largest of the sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TAIL = 0.05
_FEWEST = 10


def share_above(reference: Floats, distance: Floats) -> Floats:
    """Probability that an ordinary row has at least this distance, in (0, 1].

    The share of the reference up to its 95 % quantile u; beyond it the power law
    p(u) (distance / u)^-a with Hill's (1975, Annals of Statistics 3, 1163) estimate of a from the
    rows above u. A distance that no row of the reference has is thus rarer the larger it is.

    Parameters
    ----------
    reference : ndarray, shape (n,)
        Distances of ordinary rows, positive and finite.
    distance : ndarray, shape (m,)

    Returns
    -------
    ndarray, shape (m,)
        NaN where the distance is NaN.
    """
    ordered = np.sort(reference)
    n = len(ordered)
    below = np.searchsorted(ordered, distance, side="left")
    p = (1.0 + n - below) / (1.0 + n)
    edge = float(np.quantile(ordered, 1 - _TAIL))
    above = ordered[ordered > edge]
    if len(above) >= _FEWEST and edge > 0:
        index = len(above) / np.log(above / edge).sum()
        with np.errstate(invalid="ignore", divide="ignore"):
            beyond = (1.0 + len(above)) / (1.0 + n) * (distance / edge) ** -index
        p = np.where(distance > edge, beyond, p)
    return np.where(np.isnan(distance), np.nan, p)


def percent_below(reference: Floats, values: Floats) -> Floats:
    """Percentage of the reference that is smaller, shape (m,); NaN of NaN."""
    below = np.searchsorted(np.sort(reference), values, side="left")
    return np.where(np.isnan(values), np.nan, 100.0 * below / len(reference))
