import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latentscope.errors import LatentscopeError, ModelError
from latentscope.spectra.prepare import PrepareConfig, prepare
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import Grid, doppler_shift
from train.data.batches import Batch
from train.data.doppler import DopplerShift, Shifts
from train.data.simulated import SimulatedArchive
from train.data.sources import data_of

LINEAR = PrepareConfig(
    Grid("linear", 5000.0, 0.05, 900, pad_left=4, pad_right=7, gaps=((5020.0, 5022.0),)),
    normalization="median-valid",
)
LOG = PrepareConfig(
    Grid("log", 5000.0, 1e-5, 900, gaps=((5020.0, 5022.0),)),
    normalization="continuum", window=151, nodes=9,
)  # fmt: skip
PLAIN = PrepareConfig(Grid("log", 5000.0, 1e-5, 900), normalization="median-padded")
ALL = pytest.mark.parametrize("config", [LINEAR, LOG, PLAIN], ids=["linear", "log", "plain"])
KM_S = 1e-5 * 299792.458
"""A pixel of the log grids, nearly."""


def pixels_of(config):
    first = config.grid.pad_left
    return slice(first, first + config.grid.length)


def rows_of(config, science):
    rows = torch.zeros(len(science), config.row_size)
    rows[:, pixels_of(config)] = torch.as_tensor(science, dtype=torch.float32)
    return rows


def shifted(config, science, velocity, valid=None, ivar=None, **options):
    rows = rows_of(config, np.atleast_2d(science))
    velocity = torch.as_tensor(np.atleast_1d(velocity), dtype=torch.float64)
    batch = Batch(rows, torch.arange(len(rows)), valid, ivar)
    out = DopplerShift(config, **options)(batch, velocity)
    assert out.rows.dtype == torch.float32
    assert torch.equal(out.numbers, batch.numbers)
    inside = pixels_of(config)
    return out, out.rows[:, inside].double().numpy(), out.valid[:, inside].numpy()


@ALL
@given(velocity=st.floats(-300, 300).filter(lambda v: abs(v) > 0.01))
def test_the_value_is_the_wavelength_that_the_light_had(config, velocity):
    wavelength = config.grid.wavelength
    _, moved, valid = shifted(config, wavelength - 5000, velocity)
    was = doppler_shift(wavelength, -velocity)
    assert np.abs(moved - (was - 5000))[valid].max() < 2e-5
    # Valid from the third pixel to the last but three, which the six taps need.
    low, high = wavelength[2], wavelength[-3]
    far = np.abs(was - low) + np.abs(was - high) > high - low + 1e-4
    near = (was > low + 1e-4) & (was < high - 1e-4)
    gap = config.grid.gap_mask
    if gap.any():
        hole = wavelength[gap][[0, -1]] + 3 * np.array([-0.05, 0.05])
        near &= (was < hole[0] - 0.02) | (was > hole[1] + 0.02)
        far |= (was > hole[0] + 0.07) & (was < hole[1] - 0.07)
    assert valid[0][near & ~gap].all()
    assert not valid[0][far | gap].any()
    assert (moved[0][~valid[0] & ~gap] == 0).all()


@ALL
@pytest.mark.parametrize("velocity", [-55.3, -7.0, 0.3, 41.9])
def test_rows_move_like_spectra_do(config, velocity):
    fine = np.linspace(4990.0, 5060.0, 20_000)
    centres = np.random.default_rng(0).uniform(4990, 5060, 60)
    flux = 100 - sum(40 * np.exp(-0.5 * ((fine - c) / 0.2) ** 2) for c in centres)
    here = prepare(Spectrum(fine, flux), config)
    there = prepare(Spectrum(doppler_shift(fine, velocity), flux), config)
    batch = Batch(
        torch.from_numpy(here.row)[None], torch.zeros(1), torch.from_numpy(here.valid)[None]
    )
    out = DopplerShift(config)(batch, torch.tensor([velocity], dtype=torch.float64))
    moved, valid = out.rows[0].numpy(), out.valid[0].numpy()
    assert valid[: config.grid.size].sum() > 600
    inside = valid.copy()
    if config.normalization == "continuum":
        # The pseudo-continuum of a spectrum that ends, or has a gap, is another one there.
        ended = np.pad(~valid[: config.grid.length], 105, constant_values=True)
        known = np.convolve(ended, np.ones(211), "valid") == 0
        inside[: config.grid.length] &= known
        inside[config.grid.length :] = False
        assert np.array_equal(moved[config.grid.length :], here.row[config.grid.length :])
        unit = 1.0
    else:
        unit = here.scale / there.scale
    assert inside.sum() > 300
    assert np.abs(moved * unit - there.row)[inside].max() < 3e-4
    assert np.abs(here.row - there.row)[inside].max() > 0.005 * max(1, abs(velocity))


@ALL
@given(velocity=st.floats(5, 120))
def test_positive_velocities_move_lines_to_the_red(config, velocity):
    wavelength = config.grid.wavelength
    line = 1 - 0.8 * np.exp(-0.5 * ((wavelength - 5030.0) / 0.3) ** 2)
    _, moved, valid = shifted(config, np.stack([line, line]), [velocity, -velocity])
    for row, good, way in zip(moved, valid, (velocity, -velocity), strict=True):
        wanted = doppler_shift(5030.0, way)
        assert np.average(wavelength[good], weights=1 - row[good]) == pytest.approx(
            wanted, abs=1e-3
        )


@ALL
@given(velocity=st.floats(-60, 60))
def test_there_and_back_again(config, velocity):
    wavelength = config.grid.wavelength
    flux = np.sin(2 * np.pi * wavelength / 1.1) + np.cos(2 * np.pi * wavelength / 2.3)
    shift = DopplerShift(config)
    batch = Batch(rows_of(config, flux[None]), torch.zeros(1))
    back = shift(shift(batch, torch.tensor([velocity])), torch.tensor([-velocity]))
    inside = pixels_of(config)
    valid = back.valid[0, inside].numpy()
    assert valid.sum() > 700 - 4 * abs(velocity)
    assert np.abs(back.rows[0, inside].numpy() - flux)[valid].max() < 1e-3


@pytest.mark.parametrize("config", [LOG, PLAIN])
@pytest.mark.parametrize("pixels", [-7, -1, 0, 3, 40])
def test_whole_pixels_are_moved_and_not_interpolated(config, pixels):
    noise = np.random.default_rng(1).normal(size=900)
    velocity = (pixels + 0.3) * KM_S
    _, moved, valid = shifted(config, noise, velocity, whole_pixels=True)
    gap = config.grid.gap_mask
    rolled, hole = np.roll(noise, pixels).astype("f4"), np.roll(gap, pixels)
    entered = np.roll(np.ones(900, bool), pixels)
    entered[: max(pixels, 0)] = entered[900 + min(pixels, 0) :] = False
    assert np.array_equal(valid[0], entered & ~hole & ~gap)
    assert np.array_equal(moved[0][valid[0]], rolled[valid[0]])
    assert np.array_equal(moved[0][gap], noise[gap].astype("f4"))


@ALL
def test_no_velocity_changes_nothing(config):
    science = np.random.default_rng(2).normal(size=(2, 900))
    out, _, valid = shifted(config, science, [0.0, 0.0])
    assert np.array_equal(out.rows, rows_of(config, science))
    assert np.array_equal(valid, np.repeat(~config.grid.gap_mask[None], 2, 0))
    outside = torch.ones(config.row_size, dtype=bool)
    outside[pixels_of(config)] = False
    assert (out.valid[:, outside] == (config is LOG)).all()  # nodes count, padding does not


@ALL
@pytest.mark.parametrize("pixels", [0, 5.5, -12.25])
def test_masks_move_with_the_lines(config, pixels):
    velocity = pixels * KM_S
    valid = torch.ones(1, config.row_size, dtype=torch.bool)
    valid[0, config.grid.pad_left + 700] = False
    science = np.random.default_rng(3).normal(size=900)
    _, clean, kept = shifted(config, science, velocity)
    science[700] = 1e6
    _, moved, good = shifted(config, science, velocity, valid)
    lost = np.flatnonzero(kept[0] & ~good[0])
    wavelength = config.grid.wavelength
    centre = doppler_shift(wavelength[700], velocity)
    assert len(lost) == (6 if pixels else 1)
    assert abs(wavelength[lost].mean() - centre) < 0.06
    assert np.array_equal(moved[good], clean[good])


@ALL
def test_inverse_variances_move_with_their_pixels(config):
    size = config.grid.length if config is LOG else config.row_size
    ivar = torch.zeros(1, size)
    inside = pixels_of(config)
    ivar[:, inside] = torch.where(torch.arange(900) < 650, 4.0, 9.0)
    ivar[0, inside.start + 300] = 0.0
    velocity = 7.5 * KM_S
    out, _, valid = shifted(config, np.ones(900), velocity, None, ivar)
    moved = out.ivar[0, inside].numpy()
    wavelength = config.grid.wavelength
    edge = np.searchsorted(wavelength, doppler_shift(wavelength[650], velocity))
    hole = np.searchsorted(wavelength, doppler_shift(wavelength[300], velocity))
    assert out.ivar.shape == ivar.shape
    assert (moved[~valid[0]] == 0).all()
    assert np.count_nonzero(valid[0] & (moved == 0)) == 6
    assert moved[hole - 1] == moved[hole] == 0
    known = valid[0] & (moved > 0)
    assert (moved[: edge - 2][known[: edge - 2]] == 4).all()
    assert (moved[edge + 2 :][known[edge + 2 :]] == 9).all()


@ALL
def test_each_row_has_its_velocity_however_many_are_moved_at_once(config, monkeypatch):
    science = np.random.default_rng(4).normal(size=(5, 900))
    velocity = np.array([-50.0, 0.0, 3.3, 17.0, 59.0])
    valid = torch.rand(5, config.row_size, generator=torch.Generator().manual_seed(0)) > 0.02
    whole = shifted(config, science, velocity, valid)[0]
    monkeypatch.setattr("train.data.doppler._CACHED", 1)
    for one, all_rows in zip(shifted(config, science, velocity, valid)[0], whole, strict=True):
        assert (one is None and all_rows is None) or torch.equal(one, all_rows)
    for at in range(5):
        alone = shifted(config, science[at], velocity[at], valid[at : at + 1])[0]
        assert torch.equal(alone.rows[0], whole.rows[at])
        assert torch.equal(alone.valid[0], whole.valid[at])


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
    velocities = Shifts(config.data, config.prepare, config.seed).velocities
    assert len(loader) == config.steps
    for step, (batch, source) in enumerate(zip(loader, plain.train_dataloader(), strict=True)):
        assert equal(batch, shift(source, velocities(step)))
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
    drawn = torch.cat([shifted.shifts.velocities(step) for step in range(1500)]).numpy()
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
    with pytest.raises(ModelError):
        shifted.load_state_dict({"archive_sha256": "another"})


def test_a_spread_is_a_velocity(configured, data_folder):
    for spread in (0, -3.0, 4000.0):
        with pytest.raises(LatentscopeError, match="spread is"):
            configured(doppler={"spread": spread})
    config = configured(doppler=True)
    assert config.data.doppler.spread == 60.0
    plain = configured(doppler=False)
    assert plain.data.doppler is None
    assert "spread" not in plain.recipe
