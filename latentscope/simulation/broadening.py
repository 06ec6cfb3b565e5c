"""Rotational and instrumental broadening on a grid of equal velocity steps."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_LIMB_DARKENING = 0.6


def rotation_kernel(vsini: float, sigma: float) -> NDArray[np.float32]:
    """Right half of the symmetric kernel: rotation (Gray 2005 eq. 18.14) convolved with a Gaussian.

    Parameters
    ----------
    vsini : float
        Projected rotation in pixels; limb darkening 0.6.
    sigma : float
        Standard deviation of the instrument profile in pixels.

    Returns
    -------
    ndarray of float32, shape (h,)
        Centre first; centre plus twice the rest sums to 1.
    """
    sub = 4  # samples a pixel, so that a rotation narrower than a pixel is still integrated
    half = int(np.ceil(vsini + 4.5 * sigma)) + 1
    x = np.arange(-half * sub, half * sub + 1) / sub
    kernel = np.exp(-0.5 * (x / sigma) ** 2)
    if vsini > 0.25:
        inside = np.clip(1.0 - (x / vsini) ** 2, 0.0, None)
        rotation = 2 * (1 - _LIMB_DARKENING) * np.sqrt(inside) + (
            0.5 * np.pi * _LIMB_DARKENING * inside
        )
        kernel = np.convolve(kernel, rotation, "same")
    right = kernel[half * sub :: sub]
    return np.asarray(right / (right[0] + 2 * right[1:].sum()), dtype=np.float32)


@numba.njit(cache=True, fastmath=True)
def convolve_symmetric(
    values: NDArray[np.float32], kernel: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Convolve with a symmetric kernel given by its right half; the ends are held constant."""
    n, half = len(values), len(kernel) - 1
    padded = np.empty(n + 2 * half, np.float32)
    padded[:half] = values[0]
    padded[half : half + n] = values
    padded[half + n :] = values[n - 1]
    out = np.empty(n, np.float32)
    block = 2048  # fits the first-level cache
    for start in range(0, n, block):
        stop = min(start + block, n)
        for i in range(start, stop):
            out[i] = kernel[0] * padded[i + half]
        for j in range(1, half + 1):
            weight = kernel[j]
            for i in range(start, stop):
                out[i] += weight * (padded[i + half - j] + padded[i + half + j])
    return out
