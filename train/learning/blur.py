"""The Gaussian blur of residuals, and half the sum of squares of what it leaves.

Both are written with their gradient: autograd would transform rows of real values as complex ones.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

NARROWEST = 0.05
"""Pixels: a Gaussian of a standard deviation below this changes nothing."""


def blurred(residual: Tensor, sigma: float) -> Tensor:
    """Residual of shape (n, length) smoothed by a Gaussian of `sigma` pixels (0: unchanged)."""
    if sigma <= NARROWEST:
        return residual
    return cast(Tensor, _Filtered.apply(residual, _transfer(residual, sigma)))  # type: ignore[no-untyped-call]


def blurred_energy(residual: Tensor, sigma: float) -> Tensor:
    """Half the sum of squares of each row of ``blurred(residual, sigma)``, shape (n,).

    By Parseval's theorem from the spectrum alone: two transforms with the gradient instead of four.
    """
    if sigma <= NARROWEST:
        return 0.5 * (residual**2).sum(1)
    power = _transfer(residual, sigma) ** 2
    return cast(Tensor, _Energy.apply(residual, power))  # type: ignore[no-untyped-call]


def _transfer(rows: Tensor, sigma: float) -> Tensor:
    """Transform of the Gaussian at the frequencies of `rfft`, shape (length // 2 + 1,)."""
    frequency = torch.fft.rfftfreq(rows.shape[1], device=rows.device, dtype=rows.dtype)
    return torch.exp(-2 * (torch.pi * sigma * frequency) ** 2)


class _Filtered(torch.autograd.Function):
    """A filter that is symmetric in pixels: its gradient is the filter itself."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, transfer: Tensor) -> Tensor:
        ctx.save_for_backward(transfer)
        smooth: Tensor = torch.fft.irfft(torch.fft.rfft(rows) * transfer, n=rows.shape[1])
        return smooth

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (transfer,) = ctx.saved_tensors
        (grad,) = grads
        return torch.fft.irfft(torch.fft.rfft(grad) * transfer, n=grad.shape[1]), None


class _Energy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, power: Tensor) -> Tensor:
        size = rows.shape[1]
        spectrum = torch.fft.rfft(rows)
        ctx.save_for_backward(spectrum * power)
        ctx.size = size
        # Frequencies stand for their negative too, except the first and the last of an even size.
        weight = 2 * power
        weight[0] = power[0]
        if size % 2 == 0:
            weight[-1] = power[-1]
        squares: Tensor = torch.view_as_real(spectrum).square().sum(2)
        return 0.5 * (squares @ weight) / size

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (filtered,) = ctx.saved_tensors
        return grads[0][:, None] * torch.fft.irfft(filtered, n=ctx.size), None
