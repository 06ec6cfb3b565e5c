"""Curves on the grid that are shifted or drawn through nodes, star by star of a block."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad


def on_device(values: NDArray[np.floating], device: torch.device) -> Tensor:
    """Return float32 values on a device."""
    return torch.from_numpy(values.astype(np.float32)).to(device)


class Shift:
    """Shifts of the stars of a block along the logarithmic grid.

    Parameters
    ----------
    pixels : ndarray of float64, shape (b,)
        To the red.
    device : torch device
    """

    def __init__(self, pixels: NDArray[np.float64], device: torch.device) -> None:
        floor = np.floor(pixels)
        self.pixels = pixels
        self.whole = torch.from_numpy(floor.astype(np.int64)).to(device)
        self.part = torch.from_numpy(pixels - floor).to(device)


def shifted(template: Tensor, shift: Shift) -> Tensor:
    """Move each row by its star's shift, by linear interpolation; nothing comes in at the ends.

    Parameters
    ----------
    template : Tensor, shape (b, n)
    shift : Shift
        Of b stars, each by less than n pixels.

    Returns
    -------
    Tensor, shape (b, n)
    """
    n = template.shape[1]
    reach = int(np.abs(shift.pixels).max(initial=0.0)) + 2
    rows = torch.arange(len(template), device=template.device)
    windows = pad(template, (reach + 1, reach)).unfold(1, n + 1, 1)
    moved = windows[rows, reach - shift.whole]
    out = torch.lerp(moved[:, 1:], moved[:, :-1], shift.part.float()[:, None])
    # The one pixel that has a neighbour on one side only.
    out[rows, shift.whole % n] = 0.0
    return out


class Nodes:
    """Straight lines between equally spaced nodes, of which the ends are the grid's.

    Parameters
    ----------
    nodes, pixels : int
    device : torch device
    """

    def __init__(self, nodes: int, pixels: int, device: torch.device) -> None:
        at = np.arange(pixels) * ((nodes - 1) / (pixels - 1))
        left = np.minimum(at.astype(np.int64), nodes - 2)
        self._left = torch.from_numpy(left).to(device)
        self._weight = on_device(at - left, device)

    def curve(self, values: NDArray[np.float64]) -> Tensor:
        """Values at the pixels from those at the nodes, (b, nodes); shape (b, pixels)."""
        device = self._weight.device
        begin = on_device(values, device).index_select(1, self._left)
        steps = on_device(np.diff(values), device).index_select(1, self._left)
        return begin.addcmul_(steps, self._weight)
