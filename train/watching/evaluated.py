"""Which weights of a run are looked at and published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from latentscope.models.network import SpectrumVAE
from train.learning.module import SpectrumModule


@contextmanager
def evaluated(module: SpectrumModule) -> Iterator[SpectrumVAE]:
    """Yield the network that is watched and exported, in eval mode and without gradients.

    It has the averaged weights, where the run averages them. Training goes on afterwards as if
    nothing had been looked at; no random number is drawn.
    """
    model = module.model
    training = model.training
    model.eval()
    try:
        with module.averaged(), torch.no_grad():
            yield model
    finally:
        model.train(training)
