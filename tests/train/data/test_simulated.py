from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch

from latentscope.errors import ChoiceError
from train.data.batches import Place
from train.data.simulated import SimulatedArchive, shuffled, without_words
from train.data.sources import data_of
from train.settings import read_config

ROWS = np.random.default_rng(0).normal(size=(23, 40)).astype("f2")


def test_batches_say_which_rows_they_hold():
    handed = list(shuffled(ROWS, 5, range(9), seed=1))
    for batch in handed:
        assert np.array_equal(batch.rows.numpy(), ROWS[batch.numbers])
        assert batch.valid is None
        assert batch.ivar is None
    # Four batches a pass, of different rows each; another order in the next pass.
    passes = [torch.cat([b.numbers for b in handed[at : at + 4]]).tolist() for at in (0, 4)]
    assert all(len(set(one)) == 20 for one in passes)
    assert passes[0] != passes[1]


@pytest.mark.parametrize("world", [2, 3, 6])
def test_processes_share_every_batch(world):
    whole = list(shuffled(ROWS, 6, range(8), seed=2))
    for rank in range(world):
        part = list(shuffled(ROWS, 6, range(8), 2, Place(0, rank, world)))
        for step in range(8):
            assert torch.equal(part[step].numbers, whole[step].numbers[rank::world])
            assert torch.equal(part[step].rows, whole[step].rows[rank::world])


def test_a_batch_is_no_larger_than_the_archive(configured, data_folder):
    with pytest.raises(ChoiceError, match="1 to 24"):
        data_of(configured(batch_size=25), data_folder).setup()


def test_the_module_serves_its_process_from_the_trainers_step_on(tiny, data_folder, trainer):
    config = read_config(tiny)
    data = SimulatedArchive(config.data, config.prepare, config.steps, config.seed, data_folder)
    data.setup()
    alone = list(data.train_dataloader())
    assert len(alone) == len(data.train_dataloader()) == config.steps
    data.trainer = trainer(3, 1, 2)
    shared = list(data.train_dataloader())
    assert len(shared) == config.steps - 3
    for batch, whole in zip(shared, alone[3:], strict=True):
        assert torch.equal(batch.numbers, whole.numbers[1::2])
    assert data.names(torch.tensor([4, 0])) == ["star 4 of seed 3", "star 0 of seed 3"]


def test_a_batch_is_shared_equally(configured, data_folder, trainer):
    data = data_of(configured(batch_size=5), data_folder)
    data.trainer = trainer(3, 1, 2)
    with pytest.raises(ChoiceError, match="multiple of 2"):
        data.train_dataloader()


def test_processes_that_start_together_make_one_archive(prepare, tmp_path, monkeypatch):
    import train.data.simulated as simulated

    made, write = [], simulated._write_block
    monkeypatch.setattr(simulated, "_write_block", lambda job: made.append(job) or write(job))
    together = Barrier(2)

    def archive(_):
        together.wait()
        return simulated.simulated_archive(prepare, 3, 0, None, tmp_path, 1)

    with ThreadPoolExecutor(2) as pool:
        (rows, labels), (again, _) = pool.map(archive, range(2))
    assert len(made) == 1
    assert rows.shape == (3, 520)
    assert len(labels) == 3
    assert np.array_equal(rows, again)


def test_the_digest_of_the_simulator_follows_its_code_and_not_its_words():
    plain = "def twice(x):\n    return 2 * x\n"
    worded = 'def twice(x):\n    """Double."""\n    # because\n    return (2 * x)\n'
    assert without_words(plain) == without_words(worded)
    assert without_words(plain) != without_words(plain.replace("2", "3"))
