import threading

import pytest
import torch

from train.data.batches import Batch
from train.simulator.ahead import made_ahead

CPU = torch.device("cpu")


def batch(step):
    return Batch(torch.full((1, 2), float(step)), torch.tensor([step]))


@pytest.mark.parametrize("depth", [0, 1, 3, 20])
def test_batches_come_in_order_and_none_is_lost(depth):
    made = [int(part.numbers) for part in made_ahead(batch, range(4, 12), depth, CPU)]
    assert made == list(range(4, 12))


@pytest.mark.parametrize("depth", [1, 3])
def test_so_many_are_made_before_they_are_asked_for(depth):
    made, enough = [], threading.Event()

    def make(step):
        made.append(step)
        if len(made) == depth + 1:
            enough.set()
        return batch(step)

    batches = made_ahead(make, range(100), depth, CPU)
    assert int(next(batches).numbers) == 0
    assert enough.wait(10)
    batches.close()
    assert made == list(range(depth + 1))


def test_without_a_thread_nothing_is_made_before():
    made = []
    batches = made_ahead(lambda step: made.append(step) or batch(step), range(9), 0, CPU)
    next(batches)
    assert made == [0]


@pytest.mark.parametrize("depth", [0, 2])
def test_an_error_reaches_the_training(depth):
    def make(step):
        if step == 2:
            raise ValueError("no such star")
        return batch(step)

    batches = made_ahead(make, range(9), depth, CPU)
    assert [int(next(batches).numbers) for _ in range(2)] == [0, 1]
    with pytest.raises(ValueError, match="no such star"):
        next(batches)


def test_no_thread_is_left_behind():
    before = threading.active_count()
    for _ in made_ahead(batch, range(3), 2, CPU):
        pass
    assert threading.active_count() == before
