from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from latentscope.errors import ChoiceError, TableError
from train.data.archive import Layout, PackedArchive, unpacked
from train.data.packed import Draw, PackedBatches, unpacked_bits, windows
from train.data.packing import pack

WINDOW_MB = 6 * (520 * 2 + 65) / 1e6  # six rows


@pytest.fixture
def archive(night, tmp_path, prepare):
    layout = Layout(520, "float16", chunk=2, shard=4)
    pack(night, tmp_path / "a.zarr", prepare, layout=layout, workers=1)
    return PackedArchive(tmp_path / "a.zarr")


def batches(archive, draw, size, steps, **options):
    return PackedBatches(archive, draw, size, steps, **({"window_mb": WINDOW_MB} | options))


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
    draw = Draw(np.arange(2, 21), 1, archive.stars[2:])
    whole = [batch.rows for batch in batches(archive, draw, 3, 20)]
    rest = [batch.rows for batch in batches(archive, draw, 3, 20, start=start)]
    assert len(whole) == len(batches(archive, draw, 3, 20)) == 20
    assert all(torch.equal(a, b) for a, b in zip(whole[start:], rest, strict=True))
    other = Draw(np.arange(2, 21), 2, archive.stars[2:])
    assert not all(
        torch.equal(a, b.rows) for a, b in zip(whole, batches(archive, other, 3, 20), strict=True)
    )


@pytest.mark.parametrize("start", [0, 5])
@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_every_batch(archive, world, start):
    draw = Draw(np.arange(19), 1)
    whole = list(batches(archive, draw, 6, 12, start=start))
    parts = [
        list(batches(archive, draw, 6, 12, start=start, rank=rank, world=world))
        for rank in range(world)
    ]
    for step, batch in enumerate(whole):
        for rank in range(world):
            part = parts[rank][step]
            assert part.numbers.tolist() == batch.numbers[rank::world].tolist()
            assert torch.equal(part.rows, batch.rows[rank::world])
            assert torch.equal(part.valid, batch.valid[rank::world])
    with pytest.raises(ChoiceError, match="4 processes"):
        batches(archive, draw, 6, 12, world=4)


def test_a_batch_may_be_larger_than_the_archive(archive):
    rows, _, valid, _ = next(iter(batches(archive, Draw(np.arange(21), 0), 50, 1)))
    assert rows.shape == valid.shape == (50, 520)
    counts = np.bincount(members_of(archive, rows))
    assert set(counts) == {2, 3}


def test_a_loader_hands_out_the_same_and_takes_no_workers(archive, monkeypatch):
    dataset = batches(archive, Draw(np.arange(21), 0), 4, 3)
    plain = [batch.rows for batch in dataset]
    loaded = [batch.rows for batch in DataLoader(dataset, batch_size=None)]
    assert all(torch.equal(a, b) for a, b in zip(plain, loaded, strict=True))
    monkeypatch.setattr("train.data.packed.get_worker_info", lambda: "worker 0 of 2")
    with pytest.raises(TableError, match="num_workers=0"):
        next(iter(dataset))


def test_a_batch_has_rows_and_a_window_has_a_size(archive):
    for options in ({"size": 0}, {"size": 4, "window_mb": 0}):
        with pytest.raises(TableError, match="positive"):
            batches(archive, Draw(np.arange(21), 0), steps=3, **options)


def test_leaving_early_ends_the_reading_thread(archive):
    import threading

    iterator = iter(batches(archive, Draw(np.arange(21), 0), 4, 1000))
    assert len(list(islice(iterator, 2))) == 2
    iterator.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("train-read")]
