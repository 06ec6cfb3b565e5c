"""Noise of spectrum number i: the same in whatever batch, and on whichever process, it comes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

_KIND = 5
"""The population and the archives draw other things from the streams 0 to 4 of a seed."""


def deviates(numbers: Iterable[int], seed: int, pixels: int, device: torch.device) -> Tensor:
    """Draw standard normal deviates on a device, a row a spectrum, shape (b, pixels).

    The rows depend on the spectrum's number, the seed and the kind of device alone.
    """
    numbers = list(numbers)
    out = torch.empty(len(numbers), pixels, device=device)
    generator = torch.Generator(device)
    for row, number in zip(out, numbers, strict=True):
        state = np.random.SeedSequence((seed, _KIND, number)).generate_state(1, np.uint64)
        generator.manual_seed(int(state[0] >> np.uint64(1)))
        row.normal_(generator=generator)
    return out
