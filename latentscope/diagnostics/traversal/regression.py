"""Straight lines through what is measured along a dimension."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from latentscope.diagnostics.traversal.velocity import Floats

_FLOOR = 1e-3  # of the scatter of y: no point is so sure that it alone decides


class Rate(NamedTuple):
    """Change per unit of the latent, its error, and the line's value at 0; NaN if unknown."""

    value: float
    error: float
    at_zero: float = float("nan")


def rate(x: Floats, y: Floats, error: Floats | None = None) -> Rate:
    """Slope of y over x by weighted least squares with a free intercept.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Points with a NaN are left out.
    error : ndarray, shape (n,), optional
        Of y; weights are 1 / error^2. By default all points weigh the same.

    Returns
    -------
    Rate
        The error is that of the weights, or the one that the scatter about the line asks for (with
        n - 2 degrees of freedom), whichever is larger. NaN for fewer than two different x.
    """
    known = np.isfinite(x) & np.isfinite(y)
    if error is not None:
        known &= np.isfinite(error)
    x, y = x[known], y[known]
    if len(x) < 2 or np.ptp(x) == 0:
        return Rate(float("nan"), float("nan"))
    if error is None:
        weight, formal = np.ones(len(x)), 0.0
    else:
        weight = 1 / (error[known] ** 2 + max(_FLOOR * float(np.ptp(y)), 1e-12) ** 2)
        formal = 1.0
    centre = weight @ x / weight.sum()
    spread = float(weight @ (x - centre) ** 2)
    slope = float(weight @ ((x - centre) * y) / spread)
    middle = float(weight @ y / weight.sum())
    residual = y - middle - slope * (x - centre)
    freedom = max(len(x) - 2, 1)
    scatter = float(np.sqrt(weight @ residual**2 / freedom))
    uncertain = max(formal, scatter) / float(np.sqrt(spread))
    return Rate(slope, uncertain, middle - slope * float(centre))
