"""What the panels draw, as arrays: smoothed spectra, density of points, the nearest point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

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

    def rows(self, x: Floats, y: Floats) -> NDArray[np.int64]:
        """Points that lie in it."""
        return np.flatnonzero((x >= self.x0) & (x <= self.x1) & (y >= self.y0) & (y <= self.y1))


def density(
    x: Floats, y: Floats, rgb: Floats, window: Window, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], Floats]:
    """Points in each cell of a window (rows, columns), and their mean color (rows, columns, 3)."""
    inside = window.rows(x, y)
    across = (x[inside] - window.x0) / (window.x1 - window.x0)
    up = (y[inside] - window.y0) / (window.y1 - window.y0)
    row, column = (
        np.minimum((part * size).astype(np.int64), size - 1)
        for part, size in zip((up, across), shape, strict=True)
    )
    cell, cells = row * shape[1] + column, shape[0] * shape[1]
    counts = np.bincount(cell, minlength=cells)
    sums = [np.bincount(cell, rgb[inside, channel], cells) for channel in range(3)]
    mean = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]
    return counts.reshape(shape), mean.reshape(*shape, 3)


def inside(x: Floats, y: Floats, xs: Sequence[float], ys: Sequence[float]) -> NDArray[np.bool_]:
    """Which points lie in the polygon with these corners: a ray from each crosses it oddly."""
    found = np.zeros(len(x), dtype=bool)
    corners = list(zip(xs, ys, strict=True))
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            found ^= crosses & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return found


def nearest_point(x: Floats, y: Floats, at: tuple[float, float], window: Window) -> int | None:
    """Point nearest to a place, as seen in a window; None if none is within 3 % of it."""
    apart = np.hypot((x - at[0]) / (window.x1 - window.x0), (y - at[1]) / (window.y1 - window.y0))
    if not np.isfinite(apart).any():
        return None
    row = int(np.nanargmin(apart))
    return row if apart[row] <= 0.03 else None
