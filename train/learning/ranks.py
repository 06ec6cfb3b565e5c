"""Several processes that train one network: each holds every `world`-th row of a batch.

What is computed over a batch is computed over the whole of it, so that w processes see the losses
of one process with the same batch. DistributedDataParallel averages the gradients over processes.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def rank_and_world() -> tuple[int, int]:
    """Return the number of this process, from 0, and how many there are."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def whole_batch(part: Tensor) -> Tensor:
    """Rows of all processes in the order of the batch: this process's stand at ``rank::world``.

    Gradients flow into every process: of a function of the whole batch that each of them adds to
    its loss, the averaged gradient is the gradient of the function.

    Parameters
    ----------
    part : Tensor of shape (n, ...)
        Of the same shape in every process.

    Returns
    -------
    Tensor of shape (n * world, ...)
    """
    if rank_and_world()[1] == 1:
        return part
    from torch.distributed.nn.functional import all_gather

    parts: list[Tensor] = list(all_gather(part.contiguous()))
    return torch.stack(parts, dim=1).flatten(0, 1)


def mean_over_ranks(values: Tensor) -> Tensor:
    """Mean of a tensor over the processes, without gradient."""
    _, world = rank_and_world()
    values = values.detach()
    if world > 1:
        values = values.clone()
        distributed.all_reduce(values)
        values = values / world
    return values


def unit_noise(like: Tensor, seed: int | None) -> Tensor:
    """Unit Gaussian draws for the rows of this process, as one process draws for the whole batch.

    Parameters
    ----------
    like : Tensor of shape (n, latents)
        Says how many draws, and on which device.
    seed : int, optional
        By default torch's global generator draws.
    """
    rank, world = rank_and_world()
    generator = None if seed is None else torch.Generator(like.device).manual_seed(seed)
    shape = (len(like) * world, like.shape[1])
    return torch.randn(shape, generator=generator, device=like.device)[rank::world]
