"""Line contrast and pseudo-continuum of a spectrum: the running-mean form of a model's input row.

A flux x, divided by its median, is written as x = c (1 + g): c is the running mean of x over an odd
number of pixels, g the line contrast, and log c is kept at the centres of equal blocks of pixels
(nodes). The row a model sees is g followed by log c at the nodes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

# The pseudo-continuum is not let below this fraction of the median flux: where a detector has no
# light the contrast would be noise over noise.
FLOOR = 1e-3


def contrast_and_nodes(
    flux: NDArray[np.floating[Any]],
    valid: NDArray[np.bool_],
    scale: float,
    window: int,
    nodes: int,
    clip: tuple[float, float],
) -> NDArray[np.float32]:
    """Line contrast, then log pseudo-continuum at the nodes.

    Parameters
    ----------
    flux : ndarray of float32 or float64, shape (length,)
        Flux density in any unit; values at invalid pixels are not looked at.
    valid : ndarray of bool, shape (length,)
        False for pixels to leave out.
    scale : float
        What the flux is divided by first, positive: its median.
    window : int
        Odd number of pixels of the running mean.
    nodes : int
        Number of equal blocks of pixels.
    clip : tuple of float
        Lowest and highest contrast kept.

    Returns
    -------
    ndarray of float32, shape (length + nodes,)
        Contrast g = x / c - 1, zero at invalid pixels; then log c.
    """
    row = np.zeros(len(flux) + nodes, dtype=np.float32)
    continuum = pseudo_continuum(flux, valid, scale, window)
    _contrast(flux, valid, scale, continuum, clip[0], clip[1], row)
    left, weight = node_centres(len(flux), nodes)
    log_left, log_right = np.log(continuum[left]), np.log(continuum[left + 1])
    row[len(flux) :] = log_left + weight * (log_right - log_left)
    return row


def pseudo_continuum(
    flux: NDArray[np.floating[Any]], valid: NDArray[np.bool_], scale: float, window: int
) -> NDArray[np.float64]:
    """Running mean of the flux over `scale`, shape (length,): what the contrast is relative to.

    Arguments as in `contrast_and_nodes`. Linear across stretches where a whole window is invalid;
    at least 0.001.
    """
    continuum = running_mean(flux, valid, window)
    continuum /= scale
    _bridge(continuum)
    return np.maximum(continuum, FLOOR, out=continuum)


def log_continuum(log_nodes: NDArray[np.floating[Any]], length: int) -> NDArray[np.floating[Any]]:
    """Log pseudo-continuum at every pixel from its values at the nodes.

    Linear in pixel index between the centres of the blocks, constant beyond the first and last.

    Parameters
    ----------
    log_nodes : ndarray of shape (..., nodes)
        Natural log of the continuum at the centres of equal blocks of pixels.
    length : int
        Number of pixels.

    Returns
    -------
    ndarray of shape (..., length)
    """
    left, weight = _between_nodes(length, log_nodes.shape[-1])
    log_c: NDArray[np.floating[Any]] = log_nodes[..., left]
    if log_nodes.shape[-1] > 1:
        log_c += weight.astype(log_nodes.dtype) * (log_nodes[..., left + 1] - log_c)
    return log_c


@lru_cache(maxsize=16)
def node_centres(length: int, nodes: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Pixel left of each node and the weight of the one to its right, shape (nodes,) each."""
    at = (np.arange(nodes) + 0.5) * (length / nodes) - 0.5
    left = np.clip(np.floor(at).astype(np.intp), 0, length - 2)
    return left, at - left


@lru_cache(maxsize=16)
def _between_nodes(length: int, nodes: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Node left of each pixel and the weight of the one to its right, shape (length,) each."""
    at = np.clip((np.arange(length) + 0.5) * (nodes / length) - 0.5, 0.0, nodes - 1.0)
    left = np.clip(np.floor(at).astype(np.intp), 0, max(nodes - 2, 0))
    return left, at - left


@numba.njit(nogil=True, cache=True)
def running_mean(
    flux: NDArray[np.floating[Any]], valid: NDArray[np.bool_], window: int
) -> NDArray[np.float64]:
    """Mean of the valid pixels in a centred window, cut short at the ends.

    Sums run forwards and backwards within blocks as long as the window, so that a window is the
    end of one block plus the start of the next: nothing is subtracted, and one huge pixel spoils
    no window but those it lies in (van Herk 1992, Pattern Recognition Letters 13, 517, for sums).

    Parameters
    ----------
    flux : ndarray of float32 or float64, shape (n,)
    valid : ndarray of bool, shape (n,)
    window : int
        Odd.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN where no pixel of the window is valid.
    """
    n, half = len(flux), window // 2
    size = ((n + 2 * half + window - 1) // window) * window
    ahead, behind = np.zeros(size), np.zeros(size)
    count = np.zeros(size + 1, dtype=np.int64)
    for i in range(size):
        j = i - half
        inside = 0 <= j < n and valid[j]
        ahead[i] = flux[j] if inside else 0.0
        behind[i] = ahead[i]
        count[i + 1] = count[i] + (1 if inside else 0)
    for i in range(size):
        if i % window:
            ahead[i] += ahead[i - 1]
    for i in range(size - 2, -1, -1):
        if (i + 1) % window:
            behind[i] += behind[i + 1]
    mean = np.empty(n)
    for i in range(n):
        total = ahead[i + window - 1]
        if i % window:
            total += behind[i]
        members = count[i + window] - count[i]
        mean[i] = total / members if members else np.nan
    return mean


def _bridge(continuum: NDArray[np.float64]) -> None:
    """Fill NaN pixels of a continuum in place, linearly from their neighbours."""
    hole = np.isnan(continuum)
    if hole.any():
        known = np.flatnonzero(~hole)
        continuum[hole] = np.interp(np.flatnonzero(hole), known, continuum[known])


@numba.njit(nogil=True, cache=True)
def _contrast(
    flux: NDArray[np.floating[Any]],
    valid: NDArray[np.bool_],
    scale: float,
    continuum: NDArray[np.float64],
    low: float,
    high: float,
    row: NDArray[np.float32],
) -> None:
    for i in range(len(flux)):
        if valid[i]:
            row[i] = min(max(flux[i] / (scale * continuum[i]) - 1.0, low), high)
