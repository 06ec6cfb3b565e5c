"""The shift of rows by fractions of a pixel, its gradient, and the shift that fits best."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

SHIFT_MARGIN = 256
"""Empty pixels beside the decoded lines, so that a shift brings in continuum at the edges (g = 0)
and not the lines of the other end; shifts larger than this wrap around."""

_STEPS = 12
_LARGEST_STEP = 0.5  # pixels: larger ones jump to another maximum, in the bands of M dwarfs
_LEAST_CURVATURE = 1 / 8  # of a perfect match: more keeps half-known stars from getting there


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


def fit_shift(lines: Tensor, wanted: Tensor, start: Tensor, prior: Tensor) -> Tensor:
    """Return the shift in pixels, near a first guess, that makes lines most like what is wanted.

    Maximises the cross-correlation sum(wanted * shifted) - prior * s^2 / 2, whose maximum over s is
    the least sum of squared residuals with a Gaussian prior on s (Zucker 2003, MNRAS 342, 1291,
    section 2). Twelve Newton steps of half a pixel at most, with a least curvature, so that they go
    uphill anywhere.

    Parameters
    ----------
    lines, wanted : Tensor of shape (n, length)
        Continued by `SHIFT_MARGIN` zeros, as by `shift_lines`.
    start : Tensor of shape (n,)
        Pixels; positive is toward longer wavelength. The nearest maximum is found, within 6 pixels:
        it should lie within a line's width of the answer.
    prior : Tensor
        Inverse variance of the shift a priori, one number, above 0.

    Returns
    -------
    Tensor of shape (n,)
    """
    size = lines.shape[1] + SHIFT_MARGIN
    rate = 2 * torch.pi * torch.fft.rfftfreq(size, device=lines.device, dtype=lines.dtype)
    # By Parseval; a frequency stands for its negative too, but the last of an even size, which
    # counts half as much as the others. The first has rate 0.
    weight = torch.full_like(rate, 2 / size)
    if size % 2 == 0:
        weight[-1] /= 2
    transform = torch.fft.rfft(lines, n=size)
    crossed = torch.fft.rfft(wanted, n=size) * transform.conj() * weight
    matched = (transform.abs() ** 2) @ (weight * rate**2)
    pixels = start
    for _ in range(_STEPS):
        angle = pixels[:, None] * rate
        turned = crossed * torch.complex(torch.cos(angle), torch.sin(angle))
        slope = -(turned.imag @ rate) - prior * pixels
        curvature = torch.maximum(turned.real @ rate**2, _LEAST_CURVATURE * matched)
        step = slope / (curvature + prior)
        pixels = pixels + step.clamp(-_LARGEST_STEP, _LARGEST_STEP)
    return pixels


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
