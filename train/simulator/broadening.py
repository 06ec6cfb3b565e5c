"""Rotation and instrument profile of a block of stars: each row convolved with its own kernel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn.functional import pad

_WIDEST_SUM = 64
"""Pixels on each side: up to here a sum over the kernel is faster than a Fourier transform."""
_PLANNED = 256


def convolved(values: Tensor, kernels: Sequence[NDArray[np.float32]]) -> Tensor:
    """Convolve each row with a symmetric kernel of its own; the ends are held constant.

    Parameters
    ----------
    values : Tensor of float32, shape (b, n)
    kernels : b arrays of shape (h,)
        Right halves, the centre first, as `latentscope.simulation.broadening` gives them.

    Returns
    -------
    Tensor, shape (b, n)
    """
    wide = [i for i, kernel in enumerate(kernels) if len(kernel) > _WIDEST_SUM + 1]
    narrow = [i for i, kernel in enumerate(kernels) if len(kernel) <= _WIDEST_SUM + 1]
    if not wide:
        return _by_sum(values, _stacked(kernels, values.device))
    out = torch.empty_like(values)
    if narrow:
        index = torch.tensor(narrow, device=values.device)
        halves = _stacked([kernels[i] for i in narrow], values.device)
        out[index] = _by_sum(values[index], halves)
    for i in wide:
        out[i] = _by_transform(values[i], torch.from_numpy(kernels[i]).to(values.device))
    return out


def _stacked(kernels: Sequence[NDArray[np.float32]], device: torch.device) -> Tensor:
    """Right halves filled up with zeros to the longest, shape (b, h)."""
    halves = np.zeros((len(kernels), max(map(len, kernels))), np.float32)
    for row, kernel in zip(halves, kernels, strict=True):
        row[: len(kernel)] = kernel
    return torch.from_numpy(halves).to(device)


def _by_sum(values: Tensor, halves: Tensor) -> Tensor:
    n, reach = values.shape[1], halves.shape[1] - 1
    padded = pad(values[:, None], (reach, reach), mode="replicate")[:, 0]
    out = values * halves[:, :1]
    for k in range(1, reach + 1):
        both = padded[:, reach - k : reach - k + n] + padded[:, reach + k : reach + k + n]
        out.addcmul_(both, halves[:, k : k + 1])
    return out


def _by_transform(values: Tensor, half: Tensor) -> Tensor:
    n, reach = len(values), len(half) - 1
    # One of few lengths, for which plans are kept.
    size = next_fast_len(n + 2 * _PLANNED * -(-reach // _PLANNED), real=True)
    padded = pad(values[None], (reach, reach), mode="replicate")[0]
    kernel = torch.zeros(size, device=values.device)
    kernel[: reach + 1] = half
    kernel[size - reach :] = half[1:].flip(0)
    product = torch.fft.rfft(padded, n=size) * torch.fft.rfft(kernel).real
    convolution: Tensor = torch.fft.irfft(product, n=size)
    return convolution[reach : reach + n]
