"""Where a process stands in a run: the next step, and its part of every batch."""

from __future__ import annotations

from typing import NamedTuple

import lightning
import torch

from latentscope.errors import ChoiceError


class Place(NamedTuple):
    """What a loader has to know of the process that it serves.

    Attributes
    ----------
    step : int
        The first step to hand out.
    rank, world : int
        This process and the number of processes; it gets rows ``rank::world`` of each batch.
    device : torch.device
        Where it computes.
    """

    step: int = 0
    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")


def place_of(trainer: lightning.Trainer | None, batch_size: int) -> Place:
    """Return the place of this process in a trainer's run; the start of it all without one.

    Raises
    ------
    ChoiceError
        If the processes cannot share a batch of `batch_size` spectra equally.
    """
    if trainer is None:
        return Place()
    world = trainer.world_size
    if batch_size % world:
        raise ChoiceError(
            f"{batch_size} spectra a batch for {world} processes; wanted a multiple of {world}, "
            "since each process gets the same number of them"
        )
    return Place(trainer.global_step, trainer.global_rank, world, trainer.strategy.root_device)
