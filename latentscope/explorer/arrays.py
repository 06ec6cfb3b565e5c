"""What the panels draw, as arrays: smoothed spectra, density of points, what a lasso holds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from latentscope.compiled import njit

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SIGMAS_PER_WIDTH = 1 / 2.3548  # of a Gaussian, by its full width at half maximum


def smoothed(flux: Singles, pixels: float) -> Singles:
    """Flux under a Gaussian of so many pixels full width at half maximum; NaN stays NaN."""
    if pixels <= 0:
        return flux
    sigma, there = pixels * _SIGMAS_PER_WIDTH, np.isfinite(flux)
    light = ndimage.gaussian_filter1d(np.where(there, flux, 0.0), sigma, mode="constant")
    share = ndimage.gaussian_filter1d(there.astype(np.float64), sigma, mode="constant")
    level = np.divide(light, share, out=np.full(len(flux), np.nan), where=there)
    single: Singles = level.astype(np.float32)
    return single


class Window(NamedTuple):
    """What a map shows: from `x0` to `x1` and from `y0` to `y1`."""

    x0: float
    x1: float
    y0: float
    y1: float

    def holds(self, x: Floats, y: Floats) -> Mask:
        """Which points lie in it."""
        return (x >= self.x0) & (x <= self.x1) & (y >= self.y0) & (y <= self.y1)


@njit(nogil=True)
def density(
    x: Any, y: Any, color: Any, x0: float, x1: float, y0: float, y1: float, shape: Any
) -> tuple[Any, Any]:
    """Points in each cell of a window, and the mean of their colors: (rows, columns) each.

    Points and colors have shape (n,); the mean is over the colors that are finite, NaN where there
    are none.
    """
    rows, columns = shape
    counts, named = np.zeros((rows, columns), np.int64), np.zeros((rows, columns), np.int64)
    total = np.zeros((rows, columns))
    to_column, to_row = columns / (x1 - x0), rows / (y1 - y0)
    for i in range(len(x)):
        # NaN is in no window.
        if x0 <= x[i] < x1 and y0 <= y[i] < y1:
            row = min(int((y[i] - y0) * to_row), rows - 1)
            column = min(int((x[i] - x0) * to_column), columns - 1)
            counts[row, column] += 1
            if np.isfinite(color[i]):
                named[row, column] += 1
                total[row, column] += color[i]
    mean = np.full((rows, columns), np.nan)
    for row in range(rows):
        for column in range(columns):
            if named[row, column]:
                mean[row, column] = total[row, column] / named[row, column]
    return counts, mean


@njit(nogil=True)
def inside(x: Any, y: Any, xs: Any, ys: Any) -> Any:
    """Which points (n,) lie in the polygon with corners (m,): a ray from each crosses it oddly."""
    found = np.zeros(len(x), np.bool_)
    for i in range(len(x)):
        odd = False
        j = len(xs) - 1
        for k in range(len(xs)):
            if (ys[k] > y[i]) != (ys[j] > y[i]):
                across = xs[k] + (y[i] - ys[k]) / (ys[j] - ys[k]) * (xs[j] - xs[k])
                if x[i] < across:
                    odd = not odd
            j = k
        found[i] = odd
    return found


def nearest_point(x: Floats, y: Floats, at: tuple[float, float], window: Window) -> int | None:
    """Row of the point nearest to a place, as seen in a window; None if none is within 3 % of it.

    Points have shape (n,).
    """
    apart = np.hypot((x - at[0]) / (window.x1 - window.x0), (y - at[1]) / (window.y1 - window.y0))
    if not np.isfinite(apart).any():
        return None
    row = int(np.nanargmin(apart))
    return row if apart[row] <= 0.03 else None
