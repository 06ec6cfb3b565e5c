"""Bands of TiO with each star's own pattern, and of CH, as optical depths of a block of stars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentscope.simulation.bands import BAND_FADE, FILLED, band_templates, tio_pattern
from latentscope.simulation.synthesis import Star, band_strengths
from train.simulator.templates import Shift, on_device, shifted


class Molecules:
    """What the bands of all stars have in common.

    A band begins at its head and fades exponentially to the red. So the sum of all bands is, from
    one head to the next, one number of the star times one falling exponential.

    Parameters
    ----------
    wavelength : ndarray of float64, shape (pixels,)
        The grid in Angstrom.
    device : torch device
    """

    def __init__(self, wavelength: NDArray[np.float64], device: torch.device) -> None:
        lines, ch = band_templates(wavelength)
        filling = torch.from_numpy(FILLED[0] + FILLED[1] * lines).to(device)
        self._filling = torch.cat([filling, filling])
        self._ch = torch.from_numpy(ch).to(device)
        starts = np.searchsorted(wavelength, tio_pattern(0, len(wavelength)).heads)
        first = wavelength[0]
        self._rise = np.exp((wavelength[starts] - first) / BAND_FADE)
        self._fade = on_device(np.exp((first - wavelength) / BAND_FADE), device)
        passed = np.searchsorted(starts, np.arange(len(wavelength)), side="right")
        self._passed = torch.from_numpy(passed).to(device)

    def optical_depth(self, stars: Sequence[Star], shift: Shift) -> Tensor:
        """Optical depth of the bands of stars, float32 of shape (b, pixels)."""
        strengths = np.array([band_strengths(star) for star in stars])
        depth = on_device(strengths[:, 1:], self._ch.device) * self._ch
        cool = np.flatnonzero(strengths[:, 0]).tolist()
        if len(cool):
            tio = self._titanium_oxide([stars[i] for i in cool])
            tio *= on_device(strengths[cool, :1], tio.device)
            depth.index_add_(0, torch.tensor(cool, device=tio.device), tio)
        return shifted(depth, shift)

    def _titanium_oxide(self, stars: Sequence[Star]) -> Tensor:
        """TiO at unit strength and rest, shape (b, pixels)."""
        device, pixels = self._ch.device, len(self._ch)
        patterns = [tio_pattern(star.pattern, pixels) for star in stars]
        sums = np.array([np.cumsum(pattern.levels * self._rise) for pattern in patterns])
        sums = np.concatenate([np.zeros((len(stars), 1)), sums], 1)
        between = on_device(np.array([[pattern.between] for pattern in patterns]), device)
        start = torch.tensor([-pattern.roll % pixels for pattern in patterns], device=device)
        envelope = on_device(sums, device).index_select(1, self._passed)
        envelope = envelope.mul_(self._fade).add_(between)
        return envelope.mul_(self._filling.unfold(0, pixels, 1)[start])
