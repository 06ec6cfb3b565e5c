import numpy as np
import pytest
import torch

from latentscope.errors import LatentscopeError, ModelError
from train.data.doppler import DopplerShift, ShiftedData
from train.data.simulated import SimulatedArchive
from train.data.sources import data_of


@pytest.fixture
def plain_and_shifted(configured, data_folder):
    config = configured(doppler={"spread": 500.0})
    plain = SimulatedArchive(config.data, config.prepare, config.steps, config.seed, data_folder)
    shifted = data_of(config, data_folder)
    for data in (plain, shifted):
        data.setup()
    return plain, shifted, config


def equal(one, other):
    return all(
        (a is None and b is None) or torch.equal(a, b) for a, b in zip(one, other, strict=True)
    )


def test_rows_are_shifted_by_the_velocities_of_their_step(plain_and_shifted):
    plain, shifted, config = plain_and_shifted
    loader = shifted.train_dataloader()
    shift = DopplerShift(config.prepare)
    assert len(loader) == config.steps
    for step, (batch, source) in enumerate(zip(loader, plain.train_dataloader(), strict=True)):
        assert equal(batch, shift(source, loader.velocities(step)))
        assert not torch.equal(batch.rows, source.rows)
        assert batch.valid is not None
    assert shifted.names([3]) == plain.names([3])


def test_a_run_that_is_taken_up_and_processes_see_the_same(plain_and_shifted, trainer):
    _, shifted, config = plain_and_shifted
    whole = list(shifted.train_dataloader())
    shifted.trainer = trainer(4)
    assert all(map(equal, shifted.train_dataloader(), whole[4:]))
    for rank in range(3):
        shifted.trainer = trainer(2, rank, 3)
        parts = list(shifted.train_dataloader())
        assert len(parts) == config.steps - 2
        for part, batch in zip(parts, whole[2:], strict=True):
            assert torch.equal(part.numbers, batch.numbers[rank::3])
            assert torch.equal(part.rows, batch.rows[rank::3])


def test_velocities_fill_their_range_evenly(plain_and_shifted):
    _, shifted, _ = plain_and_shifted
    loader = shifted.train_dataloader()
    drawn = torch.cat([loader.velocities(step) for step in range(1500)]).numpy()
    assert drawn.shape == (9000,)
    assert len(np.unique(drawn)) == 9000
    counts = np.histogram(drawn, 9, (-500, 500))[0]
    assert counts.sum() == 9000
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)


def test_what_is_validated_is_not_shifted_and_the_run_says_so(plain_and_shifted):
    plain, shifted, _ = plain_and_shifted
    assert np.array_equal(shifted.validation_rows, plain.validation_rows)
    assert shifted.validation_labels.equals(plain.validation_labels)
    assert shifted.validation_valid is None
    assert shifted.epoch_steps == plain.epoch_steps
    said = shifted.provenance
    assert said.pop("doppler_shifts") == "uniform within +-500 km/s, anew each time"
    assert said == plain.provenance


def test_means_are_those_of_shifted_rows(plain_and_shifted):
    plain, shifted, config = plain_and_shifted
    blocks = list(shifted.sample(10))
    rows, valid = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    still = np.concatenate([rows for rows, _ in plain.sample(10)])
    assert rows.shape == valid.shape == still.shape
    assert np.array_equal(rows[:, 512:], still[:, 512:])
    assert (rows[:, :512] != still[:, :512]).any(1).all()
    assert not valid[:, :512][:, config.prepare.grid.gap_mask].any()


def test_packed_rows_are_shifted_with_their_masks(configured, labelled, trainer, tmp_path):
    archive = {"path": str(labelled), "validation": 0.4, "split_seed": 1}
    config = configured(archive=archive, doppler={"spread": 90.0, "whole_pixels": True})
    shifted, plain = data_of(config, tmp_path), data_of(configured(archive=archive), tmp_path)
    for data in (shifted, plain):
        data.setup()
    for batch, source in zip(shifted.train_dataloader(), plain.train_dataloader(), strict=True):
        assert torch.equal(batch.numbers, source.numbers)
        assert batch.rows.dtype == torch.float32
        assert batch.valid[:, :512].sum() <= source.valid[:, :512].sum()
    assert shifted.provenance["doppler_shifts"].startswith("whole pixels, uniform")
    assert shifted.state_dict() == plain.state_dict()
    with pytest.raises(ModelError, match="archive changed"):
        shifted.load_state_dict({"archive_sha256": "another"})


def test_a_spread_is_a_velocity(configured, data_folder):
    for spread in (0, -3.0, 4000.0):
        with pytest.raises(LatentscopeError, match="km/s"):
            configured(doppler={"spread": spread})
    config = configured(doppler=True)
    assert config.data.doppler.spread == 60.0
    plain = configured(doppler=False)
    assert plain.data.doppler is None
    assert "spread" not in plain.recipe
    with pytest.raises(ModelError, match="shifts no spectra"):
        ShiftedData(data_of(plain, data_folder), plain.data, plain.prepare, 0)
