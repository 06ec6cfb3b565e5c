"""The error of a median, from ranks: whatever the distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def median_error(values: Floats, independent: int) -> float:
    """Standard error (68 %) of the median: half the distance of the ranks that enclose it.

    The number of values below the true median is binomial, with a standard deviation of half the
    root of the number of independent values (W. J. Conover, "Practical Nonparametric Statistics",
    3rd ed. 1999, section 3.2).

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
    independent : int
        Independent values among them, such as stars; never more than n.
    """
    half = 0.5 / np.sqrt(independent)
    below, above = np.quantile(values, [max(0.5 - half, 0.0), min(0.5 + half, 1.0)])
    return float(above - below) / 2


def mad_error(values: Floats, independent: int) -> float:
    """Standard error (68 %) of the median absolute deviation, the median taken as known."""
    return median_error(np.abs(values - np.median(values)), independent)
