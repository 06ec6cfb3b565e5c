"""The shift of rows by fractions of a pixel, and its gradient."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

SHIFT_MARGIN = 256
"""Empty pixels beside the decoded lines, so that a shift brings in continuum at the edges (g = 0)
and not the lines of the other end; shifts larger than this wrap around."""


def shift_lines(lines: Tensor, pixels: Tensor) -> Tensor:
    """Shift each row toward higher index (longer wavelength) by its own number of pixels.

    Band-limited interpolation by the shift theorem: F(k) -> F(k) exp(-2 pi i k s). The row is
    continued by `SHIFT_MARGIN` zeros, which are what enters at its edges.

    Parameters
    ----------
    lines : Tensor of shape (n, length)
    pixels : Tensor of shape (n,)
        Shifts s in pixels, fractions allowed; positive is toward longer wavelength.

    Returns
    -------
    Tensor of shape (n, length)
    """
    return cast(Tensor, _Shift.apply(lines, pixels))  # type: ignore[no-untyped-call]


class _Shift(torch.autograd.Function):
    """The gradient takes two transforms of real rows, where autograd takes complex ones."""

    @staticmethod
    def forward(ctx: Any, lines: Tensor, pixels: Tensor) -> Tensor:
        length = lines.shape[1]
        size = length + SHIFT_MARGIN
        frequency = torch.fft.rfftfreq(size, device=lines.device, dtype=lines.dtype)
        rate = -2 * torch.pi * frequency
        angle = pixels[:, None] * rate  # (n, size // 2 + 1)
        phase = torch.complex(torch.cos(angle), torch.sin(angle))
        spectrum = torch.fft.rfft(lines, n=size) * phase
        ctx.save_for_backward(spectrum, phase, rate)
        ctx.size, ctx.length = size, length
        shifted: Tensor = torch.fft.irfft(spectrum, n=size)[:, :length]
        return shifted

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        spectrum, phase, rate = ctx.saved_tensors
        size = ctx.size
        grad = torch.fft.rfft(grads[0], n=size)
        of_lines = torch.fft.irfft(grad * phase.conj(), n=size)[:, : ctx.length]
        # By Parseval: the derivative of the shifted row has the spectrum i rate F. Frequencies
        # stand for their negative too, except the first, whose rate is 0, and the last of an
        # even size.
        slope = grad.real * spectrum.imag - grad.imag * spectrum.real
        twice = 2 * rate
        if size % 2 == 0:
            twice[-1] = rate[-1]
        return of_lines, -(slope @ twice) / size
