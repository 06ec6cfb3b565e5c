"""A loss that looks at the whole batch, whatever number of processes have it."""

import torch

from train.learning.devices import mean_over_ranks, rank_and_world, unit_noise, whole_batch
from train.learning.losses import decorrelation, total_correlation, with_free_bits

ROWS = torch.randn((8, 5), generator=torch.Generator().manual_seed(0))
WEIGHT = torch.randn((5, 3), generator=torch.Generator().manual_seed(1))


def loss_and_gradient():
    """A loss with every term that looks at the whole batch, of this process's rows."""
    rank, world = rank_and_world()
    weight = WEIGHT.clone().requires_grad_()
    mean = ROWS[rank::world] @ weight
    logvar = -mean.abs()
    z = mean + unit_noise(mean, seed=7) * torch.exp(0.5 * logvar)
    everyone = whole_batch(mean)
    loss = (
        (z**2).sum(1).mean()
        + with_free_bits(mean**2, 2.0)
        + decorrelation(everyone)
        + total_correlation(whole_batch(z), everyone, whole_batch(logvar), 100)
    )
    loss.backward()
    return mean_over_ranks(loss), mean_over_ranks(weight.grad)
