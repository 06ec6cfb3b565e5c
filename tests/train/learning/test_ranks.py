import multiprocessing

import pytest
import torch
from torch import distributed

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


def work(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    torch.save(loss_and_gradient(), f"{folder}/{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


def test_one_process_is_its_own_batch():
    assert rank_and_world() == (0, 1)
    assert whole_batch(ROWS) is ROWS
    generator = torch.Generator().manual_seed(7)
    assert torch.equal(unit_noise(ROWS, 7), torch.randn((8, 5), generator=generator))


@pytest.mark.slow
def test_two_processes_have_the_loss_and_gradient_of_one(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(rank, tmp_path)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)  # gloo may abort a process that is done; what it wrote counts
    loss, gradient = loss_and_gradient()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found[0].item() == pytest.approx(loss.item(), rel=1e-6)
        assert torch.allclose(found[1], gradient, rtol=1e-5, atol=1e-6)
