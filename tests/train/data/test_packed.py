from itertools import islice

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from latentscope.errors import ChoiceError, LatentscopeError, ModelError, TableError
from tests.train.conftest import TINY
from train.data.archive import Layout, PackedArchive, unpacked
from train.data.batches import Place
from train.data.packed import (
    Draw,
    PackedBatches,
    PackedData,
    binned,
    statement,
    unpacked_bits,
    windows,
)
from train.data.packing import pack
from train.data.stars import stars_of
from train.settings import ArchiveConfig, DataConfig, read_config


def config_of(tmp_path, **archive):
    path = tmp_path / "packed.yaml"
    values = {"validation": 0.4, "split_seed": 1, "window_mb": 0.01} | archive
    path.write_text(yaml.safe_dump(TINY | {"data": {"batch_size": 4, "archive": values}}))
    return read_config(path)


def data_of(config):
    data = PackedData(config.data, config.prepare, config.steps, config.seed)
    data.setup()
    return data


def test_the_module_holds_out_stars(labelled, tmp_path):
    data = data_of(config_of(tmp_path, path=str(labelled)))
    stars = stars_of(data.archive.table)
    held = set(stars) - set(stars[data.draw.members])
    assert 0 < len(held) < 6
    assert len(data.validation_rows) == len(data.validation_valid) == len(held)
    said = data.provenance
    assert said["stars"] == {"train": 6 - len(held), "validation": len(held)}
    assert said["balance"] == "every spectrum once per epoch"
    assert said["spectra"] == len(data.draw) == len(data.draw.members)
    assert said["labels_used"] is False
    sampled = np.concatenate([rows for rows, _ in data.sample(3)])
    assert sampled.shape == (len(data.draw), 520)


def test_labels_balance_the_epochs_and_the_run_says_so(labelled, tmp_path):
    data = data_of(config_of(tmp_path, path=str(labelled), label="type", weights={"K": 3.0}))
    types = data.archive.table["type"].to_numpy()[data.draw.epoch(0)]
    share = 3.0 / (2.0 + len(set(types)))
    assert abs((types == "K").sum() - share * len(data.draw)) <= 4
    assert "weights {'K': 3.0} of the bins of type" in data.provenance["balance"]
    assert data.provenance["labels_used"] == "to balance epochs"
    flat = data_of(config_of(tmp_path, path=str(labelled), label="Teff", bins=2, one_per_star=True))
    assert len(flat.draw) == flat.provenance["stars"]["train"]


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        ({"label": "age"}, "Teff, type"),
        ({"label": "type", "weights": {"M": 1.0}}, "F, G, K"),
        ({"label": "Teff", "bins": 2, "weights": {5: 1.0}}, "0, 1"),
        ({"validation": 0.0}, "none of 6 stars"),
        ({"validation": 1.0}, "below 1"),
    ],
)
def test_what_the_archive_does_not_have_is_named(labelled, tmp_path, archive, words):
    with pytest.raises(ChoiceError, match=words):
        data_of(config_of(tmp_path, path=str(labelled), **archive))


def test_another_grid_is_refused(labelled, tmp_path):
    config = config_of(tmp_path, path=str(labelled))
    other = type(config.prepare).from_dict(config.prepare.to_dict() | {"window": 7})
    with pytest.raises(ModelError, match="another preparation"):
        PackedData(config.data, other, 1, 0).setup()


def test_the_configuration_is_read_strictly(tmp_path):
    with pytest.raises(LatentscopeError, match="folder"):
        config_of(tmp_path, path="a.zarr", folder="b")
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump(TINY | {"data": {"archive": "a.zarr"}}))
    config = read_config(path)
    assert config.data.archive == ArchiveConfig("a.zarr")
    assert "a.zarr" not in config.recipe
    path.write_text(yaml.safe_dump(TINY))
    assert '"archive"' not in read_config(path).recipe  # recipes of older runs stay as they were


def test_masked_pixels_do_not_count(tmp_path, tiny):
    import torch

    from latentscope.models.network import SpectrumVAE
    from train.learning.module import SpectrumModule

    config = read_config(tiny)
    torch.manual_seed(0)
    module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
    module.model.eval()
    rows = torch.randn(2, 520)
    valid = torch.rand(2, 520) > 0.3
    decoded = module.model(rows)[0]
    squared = 0.5 * (((decoded - rows) * valid)[:, :512] * module.valid).square().sum(1)
    assert torch.allclose(module.terms(rows, valid=valid)["lines"], squared, rtol=1e-5)
    everything = module.terms(rows, valid=torch.ones_like(valid))
    assert torch.equal(everything["lines"], module.terms(rows)["lines"])


def test_every_spectrum_once():
    draw = Draw(np.arange(5, 50), seed=0)
    assert len(draw) == 45
    assert sorted(draw.epoch(3)) == list(range(5, 50))


def test_one_spectrum_per_star_and_each_exposure_in_its_turn():
    stars = np.repeat(np.array(["a", "b", "c"], object), [1, 4, 16])
    draw = Draw(np.arange(100, 121), 3, stars)
    drawn = [draw.epoch(number) for number in range(800)]
    for epoch in drawn:
        assert sorted(stars[epoch - 100]) == ["a", "b", "c"]
    counts = np.bincount(np.concatenate(drawn) - 100)
    assert counts[0] == 800
    assert np.allclose(counts[1:5], 200, atol=5 * 12.3)
    assert np.allclose(counts[5:], 50, atol=5 * 6.9)
    assert np.array_equal(Draw(np.arange(100, 121), 3, stars).epoch(7), drawn[7])


@pytest.mark.parametrize("weights", [{}, {0: 2.0}, {1: 0.0, 2: 5.0}])
def test_bins_get_their_shares_of_every_epoch(weights):
    bins = np.repeat([0, 1, 2], [600, 250, 50])
    draw = Draw(np.arange(900), 1, bins=bins, weights=weights)
    shares = np.array([weights.get(place, 1.0) for place in range(3)])
    wanted = 900 * shares / shares.sum()
    for epoch in (draw.epoch(number) for number in range(5)):
        assert len(epoch) == len(draw) == 900
        assert np.allclose(np.bincount(bins[epoch], minlength=3), wanted, atol=50)
        times = np.bincount(epoch, minlength=900)
        expected = (wanted / [600, 250, 50])[bins]
        assert (np.abs(times - expected) < 1).all()  # rounded down or up
    mean = np.mean([np.bincount(bins[draw.epoch(e)], minlength=3) for e in range(100)], axis=0)
    assert np.allclose(mean, wanted, atol=6)


def test_one_per_star_and_flat_in_a_label():
    stars = np.array([f"s{n % 90}" for n in range(900)], object)
    bins = np.array([0 if n % 90 < 80 else 1 for n in range(900)])
    draw = Draw(np.arange(900), 0, stars, bins)
    epoch = draw.epoch(0)
    assert len(epoch) == len(draw) == 90
    assert abs(np.bincount(bins[epoch])[0] - 45) <= 10
    assert len(set(stars[epoch[bins[epoch] == 1]])) == 10


def test_bins_of_numbers_and_of_text():
    assert binned([0.0, 1.0, 9.99, 10.0, np.nan], 10).tolist() == [0, 1, 9, 9, -1]
    assert binned([1.0, 2.0, 3.0, 4.0, 0.0], [1, 2, 4]).tolist() == [0, 1, 1, 1, -1]
    assert binned(np.array(["K", "F", None, "K"], object), 3).tolist() == [1, 0, -1, 1]
    assert binned([2.0, 2.0], 3).min() >= 0
    for bins in (0, [1.0], [2.0, 1.0]):
        with pytest.raises(ChoiceError, match="expected"):
            binned([1.0, 2.0], bins)


def test_nothing_to_draw_is_an_error():
    with pytest.raises(TableError, match="no spectrum"):
        Draw(np.empty(0, np.int64), 0)
    with pytest.raises(ChoiceError, match="not all 0"):
        Draw(np.arange(3), 0, bins=np.zeros(3, int), weights={0: 0.0}).epoch(0)


def test_provenance_says_it_in_words():
    assert statement(ArchiveConfig("a")) == "every spectrum once per epoch"
    assert statement(ArchiveConfig("a", one_per_star=True)) == "one spectrum per star per epoch"
    assert "equal shares of the bins of Teff" in statement(ArchiveConfig("a", label="Teff"))


WINDOW_MB = 6 * (520 * 2 + 65) / 1e6  # six rows


@pytest.fixture
def archive(night, tmp_path, prepare):
    layout = Layout(520, "float16", chunk=2, shard=4)
    pack(night, tmp_path / "a.zarr", prepare, layout=layout, workers=1)
    return PackedArchive(tmp_path / "a.zarr")


def batches(archive, draw, size, steps, window_mb=WINDOW_MB, **place):
    return PackedBatches(archive, draw, size, steps, Place(**place), window_mb=window_mb)


def members_of(archive, rows):
    """Which spectra these rows are; all rows of the archive differ."""
    known = {row.tobytes(): at for at, row in enumerate(archive.read(np.arange(len(archive)))[0])}
    assert len(known) == len(archive)
    return [known[row.numpy().tobytes()] for row in rows]


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=120),
    st.integers(1, 9),
    st.integers(1, 30),
    st.integers(0, 3),
)
def test_windows_hold_every_member_as_often_as_the_epoch(members, chunk, size, seed):
    chunks = np.arange(61) // chunk
    parts = windows(np.array(members), chunks, size, np.random.default_rng(seed))
    handed = np.concatenate([part.members[part.order] for part in parts])
    assert sorted(handed) == sorted(members)
    seen = [set(chunks[part.members]) for part in parts]
    assert sum(map(len, seen)) == len(set.union(*seen))
    for part in parts:
        assert len(set(part.members)) == len(part.members) < size + chunk


def test_every_row_comes_once_an_epoch_across_batches(archive):
    draw = Draw(np.arange(21), seed=4)
    handed = torch.cat([batch.rows for batch in batches(archive, draw, 4, 21)])
    members = members_of(archive, handed)
    epochs = [members[at : at + 21] for at in range(0, 84, 21)]
    assert all(sorted(epoch) == list(range(21)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert epochs[0] != list(range(21))


def test_masks_come_with_their_rows(archive):
    for rows, numbers, valid, ivar in batches(archive, Draw(np.arange(21), 0), 5, 4):
        assert numbers.tolist() == members_of(archive, rows)
        assert ivar is None
        wanted = unpacked(archive.read(numbers)[1], 520)
        assert rows.dtype == torch.float16
        assert valid.dtype == torch.bool
        assert np.array_equal(valid.numpy(), wanted)
    bits = np.random.default_rng(0).integers(0, 256, (3, 65), dtype=np.uint8)
    assert np.array_equal(unpacked_bits(torch.from_numpy(bits), 517).numpy(), unpacked(bits, 517))


@pytest.mark.parametrize("start", [1, 5, 6, 13])
def test_a_run_that_is_taken_up_sees_what_it_would_have_seen(archive, start):
    draw = Draw(np.arange(2, 21), 1, stars_of(archive.table)[2:])
    whole = [batch.rows for batch in batches(archive, draw, 3, 20)]
    rest = [batch.rows for batch in batches(archive, draw, 3, 20, step=start)]
    assert len(whole) == 20
    assert all(torch.equal(a, b) for a, b in zip(whole[start:], rest, strict=True))
    other = Draw(np.arange(2, 21), 2, stars_of(archive.table)[2:])
    assert not all(
        torch.equal(a, b.rows) for a, b in zip(whole, batches(archive, other, 3, 20), strict=True)
    )


@pytest.mark.parametrize("start", [0, 5])
@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_every_batch(archive, world, start):
    draw = Draw(np.arange(19), 1)
    whole = list(batches(archive, draw, 6, 12, step=start))
    parts = [
        list(batches(archive, draw, 6, 12, step=start, rank=rank, world=world))
        for rank in range(world)
    ]
    for step, batch in enumerate(whole):
        for rank in range(world):
            part = parts[rank][step]
            assert part.numbers.tolist() == batch.numbers[rank::world].tolist()
            assert torch.equal(part.rows, batch.rows[rank::world])
            assert torch.equal(part.valid, batch.valid[rank::world])


def test_a_batch_may_be_larger_than_the_archive(archive):
    rows, _, valid, _ = next(iter(batches(archive, Draw(np.arange(21), 0), 50, 1)))
    assert rows.shape == valid.shape == (50, 520)
    counts = np.bincount(members_of(archive, rows))
    assert set(counts) == {2, 3}


def test_a_batch_has_rows_and_a_window_has_a_size():
    with pytest.raises(ModelError, match="window_mb is 0"):
        ArchiveConfig("a.zarr", window_mb=0)
    with pytest.raises(ModelError, match="batch_size is 0"):
        DataConfig(batch_size=0)


def test_leaving_early_ends_the_reading_thread(archive):
    import threading

    iterator = iter(batches(archive, Draw(np.arange(21), 0), 4, 1000))
    assert len(list(islice(iterator, 2))) == 2
    iterator.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("train-read")]
