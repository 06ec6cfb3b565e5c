import threading
from dataclasses import replace

import lightning
import numpy as np
import pytest
import torch
from torch import nn

from latentscope.errors import ModelError
from tests.train.data.test_rows import COARSE
from train.data.batches import Batch, made_ahead
from train.data.rows import Maker
from train.data.simulated import SimulatedStream
from train.settings import DataConfig, StreamConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*isinstance.*LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*dataloader is not resumable"),
]


@pytest.fixture
def config(linelist):
    stream = StreamConfig(mean_rows=6, ahead=1)
    return DataConfig(seed=8, validation=5, batch_size=4, linelist=linelist, stream=stream)


@pytest.fixture(scope="module")
def maker(linelist):
    return Maker(COARSE, 8, linelist)


def stream_of(config, tmp_path, steps=6):
    return SimulatedStream(config, COARSE, steps, 0, tmp_path)


def test_a_run_that_is_taken_up_sees_the_batches_it_would_have_seen(config, tmp_path, trainer):
    data = stream_of(config, tmp_path)
    whole = list(data.train_dataloader())
    assert [part.numbers.tolist() for part in whole[:2]] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    data.trainer = trainer(3)
    rest = list(data.train_dataloader())
    assert len(rest) == 3
    for ours, theirs in zip(rest, whole[3:], strict=True):
        assert torch.equal(ours.rows, theirs.rows)
        assert torch.equal(ours.ivar, theirs.ivar)
    assert len(data.train_dataloader()) == 6


def test_processes_share_each_batch(config, tmp_path, maker, trainer):
    data = stream_of(config, tmp_path)
    for rank in range(2):
        data.trainer = trainer(0, rank, 2)
        part = next(iter(data.train_dataloader()))
        assert part.numbers.tolist() == [rank, rank + 2]
        assert torch.equal(part.rows, maker.rows(range(4))[0][rank::2])


def test_validation_spectra_are_those_of_the_next_seed(config, tmp_path):
    data = stream_of(config, tmp_path)
    data.setup()
    expected = Maker(COARSE, 9, config.linelist)
    rows, ivar = expected.rows(range(5))
    assert np.array_equal(data.validation_rows, rows)
    assert np.array_equal(data.validation_ivar, ivar)
    assert data.validation_valid.shape == (5, COARSE.row_size)
    truth = [observation.star.teff for observation in expected.observations(range(5))]
    assert np.allclose(data.validation_labels["Teff"], truth, atol=0.1)
    assert {"radvel", "[M/H]", "snr"} <= set(data.validation_labels)
    before = data.validation_rows
    data.setup("fit")
    assert data.validation_rows is before


def test_the_sample_is_the_beginning_of_the_training(config, tmp_path, maker):
    blocks = list(stream_of(config, tmp_path).sample(4))
    assert [len(rows) for rows, _ in blocks] == [4, 2]
    rows = np.concatenate([rows for rows, _ in blocks])
    assert np.array_equal(rows, maker.rows(range(6))[0])
    assert all(valid.shape == some.shape for some, valid in blocks)
    short = stream_of(config, tmp_path, steps=1)
    assert sum(len(rows) for rows, _ in short.sample(10)) == 4


def test_names_and_provenance_say_what_the_spectra_are(config, tmp_path, maker):
    data = stream_of(config, tmp_path)
    star = maker.observations([3])[0].star
    (name,) = data.names(torch.tensor([3]))
    assert name.startswith(f"star 3 of seed 8 (Teff {star.teff:.0f} K")
    assert data.provenance["spectra"] == 24
    assert data.provenance["archive_seed"] == 8
    assert len(data.provenance["linelist_sha256"]) == 64


def test_another_line_list_is_no_continuation(config, tmp_path):
    state = stream_of(config, tmp_path).state_dict()
    stream_of(config, tmp_path).load_state_dict(state)
    with pytest.raises(ModelError, match="another line list than the built-in one"):
        stream_of(replace(config, linelist=None), tmp_path).load_state_dict(state)


class Collector(lightning.LightningModule):
    """Takes note of the batches it gets."""

    def __init__(self):
        super().__init__()
        self.layer, self.numbers = nn.Linear(1, 1), []

    def training_step(self, batch, batch_idx):
        self.numbers.append(batch.numbers.tolist())
        return self.layer(batch.rows.mean()[None]).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trained(data, steps, checkpoint=None):
    module = Collector()
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=steps, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    return module, trainer


def test_lightning_trains_on_it_and_goes_on(config, tmp_path):
    data = stream_of(config, tmp_path)
    module, trainer = trained(data, 2)
    assert module.numbers == [[0, 1, 2, 3], [4, 5, 6, 7]]
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    rest, _ = trained(stream_of(config, tmp_path), 6, tmp_path / "last.ckpt")
    assert rest.numbers == [[4 * k + i for i in range(4)] for k in range(2, 6)]


# Batches made ahead.


def batch(step):
    return Batch(torch.full((1, 2), float(step)), torch.tensor([step]))


@pytest.mark.parametrize("depth", [0, 1, 3, 20])
def test_batches_come_in_order_and_none_is_lost(depth):
    batches = made_ahead(map(batch, range(4, 12)), depth, torch.device("cpu"))
    assert [int(part.numbers) for part in batches] == list(range(4, 12))


@pytest.mark.parametrize("depth", [1, 3])
def test_so_many_are_made_before_they_are_asked_for(depth):
    made, enough = [], threading.Event()

    def make(step):
        made.append(step)
        if len(made) == depth + 1:
            enough.set()
        return batch(step)

    batches = made_ahead(map(make, range(100)), depth, torch.device("cpu"))
    assert int(next(batches).numbers) == 0
    assert enough.wait(10)
    batches.close()
    assert made == list(range(depth + 1))


def test_without_a_thread_nothing_is_made_before():
    made = []
    steps = (made.append(step) or batch(step) for step in range(9))
    batches = made_ahead(steps, 0, torch.device("cpu"))
    next(batches)
    assert made == [0]


@pytest.mark.parametrize("depth", [0, 2])
def test_an_error_reaches_the_training(depth):
    def make(step):
        if step == 2:
            raise ValueError("no such star")
        return batch(step)

    batches = made_ahead(map(make, range(9)), depth, torch.device("cpu"))
    assert [int(next(batches).numbers) for _ in range(2)] == [0, 1]
    with pytest.raises(ValueError, match="no such star"):
        next(batches)


def test_no_thread_is_left_behind():
    before = threading.active_count()
    for _ in made_ahead(map(batch, range(3)), 2, torch.device("cpu")):
        pass
    assert threading.active_count() == before
