"""Line profiles on pixels: optical depth of metal and Balmer lines of a block of stars.

The profiles are those of `latentscope.simulation.synthesis`. Each line has a stretch of pixels of
its own length; all stretches of a block lie one after the other in one long vector, so that nothing
is computed twice and nothing is padded.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentscope.simulation.bands import balmer_lines
from latentscope.simulation.synthesis import (
    BALMER_CORE,
    BALMER_REACH,
    CORE,
    FAINT,
    FIRST,
    LOG_STEP,
    REACH,
    ROOT_PI,
    SOFTENING,
)
from train.simulator.strengths import Lines
from train.simulator.templates import Shift

_UNIT = 2.0**-28
"""Optical depths are summed as whole multiples of this.

Sums of whole numbers do not depend on their order, which on a GPU is another one every time."""


class LineProfiles:
    """Where the lines of a list lie on the grid.

    Parameters
    ----------
    wavelength : ndarray, shape (lines,)
        Angstrom in air, at rest.
    pixels : int
        Of the grid.
    device : torch device
    """

    def __init__(self, wavelength: NDArray[np.float64], pixels: int, device: torch.device) -> None:
        centre = np.log(wavelength / FIRST) / LOG_STEP
        self._whole = torch.from_numpy(np.floor(centre).astype(np.int64)).to(device)
        self._part = torch.from_numpy(centre - np.floor(centre)).to(device)
        self._pixels = pixels

    def optical_depth(self, lines: Lines, shift: Shift) -> Tensor:
        """Gaussian cores and damping wings of all lines, float32 of shape (b, pixels)."""
        stars = len(lines.depth)
        part = self._part + shift.part[:, None]
        whole = self._whole + shift.whole[:, None]
        wing = lines.damping * lines.depth / ROOT_PI
        reach = lines.width * torch.clamp(torch.sqrt(wing / FAINT), min=CORE)
        reach.clamp_(max=REACH)
        # First and one past the last pixel, counted from the whole pixel of the centre.
        low = torch.maximum(torch.ceil(part - reach).long(), -whole)
        high = torch.minimum(torch.floor(part + reach).long() + 1, self._pixels - whole)
        count = ((high - low).clamp_(min=0) * (lines.depth >= FAINT)).flatten()
        pair = torch.repeat_interleave(count)
        begin = torch.cumsum(count, 0) - count - low.flatten()

        def each(values: Tensor) -> Tensor:
            return values.flatten().index_select(0, pair)

        offset = torch.arange(len(pair), device=pair.device).sub_(each(begin))
        u2 = offset.float().sub_(each(part.float())).mul_(each(1.0 / lines.width.float())).square_()
        value = each(wing.float()).div_(u2 + SOFTENING)
        inside = u2 < CORE**2
        # Not exp of large numbers: it underflows, which is slow.
        core = u2.clamp_(max=CORE**2).neg_().exp_().mul_(inside)
        value.addcmul_(core, each(lines.depth.float()))
        row = torch.arange(stars, device=pair.device)[:, None] * self._pixels
        total = torch.zeros(stars * self._pixels, dtype=torch.int64, device=pair.device)
        total.scatter_add_(0, offset.add_(each(whole + row)), value.div_(_UNIT).long())
        return total.float().mul_(_UNIT).view(stars, self._pixels)


def add_balmer(tau: Tensor, strength: Tensor, shift: NDArray[np.float64]) -> None:
    """Add the Balmer lines, whose wings fall as distance^-2.5, to optical depths.

    Parameters
    ----------
    tau : Tensor of float32, shape (b, pixels)
    strength : Tensor of float32, shape (b,)
        Of H-alpha.
    shift : ndarray of float64, shape (b,)
        Of the logarithm of wavelengths.
    """
    pixels = tau.shape[1]
    for position, factor in balmer_lines():
        centre = np.log(position / FIRST) + shift
        reach = BALMER_REACH / (position * np.exp(shift))
        low = max(int((centre + np.log1p(-reach)).min() / LOG_STEP), 0)
        high = min(int((centre + np.log1p(reach)).max() / LOG_STEP) + 2, pixels)
        if low < high:
            stretch = slice(low, high)
            tau[:, stretch] += _balmer(centre / LOG_STEP, strength * factor, low, high)


def _balmer(centre: NDArray[np.float64], strength: Tensor, low: int, high: int) -> Tensor:
    """Optical depth of one Balmer line of each star at pixels `low` to `high`, (b, high - low)."""
    whole = np.floor(centre)
    angstrom = torch.tensor(FIRST * np.exp(centre * LOG_STEP), dtype=torch.float32)
    start, part = (torch.from_numpy(low - whole).float(), torch.from_numpy(centre - whole).float())
    start, part, angstrom = (v[:, None].to(strength.device) for v in (start, part, angstrom))
    x = torch.arange(high - low, device=strength.device) + start  # whole numbers, exact
    distance2 = x.sub_(part).mul_(LOG_STEP).expm1_().mul_(angstrom).square_()
    near = distance2 < BALMER_REACH**2
    inverse = distance2.add_(BALMER_CORE).rsqrt_()
    return inverse.sqrt().mul_(inverse).mul_(inverse).mul_(near).mul_(strength[:, None])
