import warnings
from dataclasses import replace

import numpy as np
import pytest

from latentscope.errors import LatentscopeWarning, TableError
from train.data.archive import PackedArchive
from train.data.rows import simulated_rows
from train.data.stars import stars_of
from train.sweep import archive
from train.sweep.archive import Recipe, make_archive


@pytest.fixture(scope="module")
def recipe(prepare, linelist):
    return Recipe(prepare, 20, seed=5, repeats=True, linelist=linelist)


@pytest.fixture(scope="module")
def made(recipe, tmp_path_factory):
    """Folder of the archive as one process makes it in one block."""
    return make_archive(tmp_path_factory.mktemp("made") / "made.zarr", recipe, workers=1)


@pytest.fixture
def whole(made):
    return PackedArchive(made)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of four rows instead of megabytes."""
    sized = archive.Layout.sized
    monkeypatch.setattr(
        archive.Layout, "sized",
        lambda size, dtype, shard_mb: sized(
            size, dtype, chunk_mb=2 * size * 2 / 1e6, shard_mb=4 * size * 2 / 1e6
        ),
    )  # fmt: skip


def test_rows_and_labels_are_the_simulators(whole, recipe):
    rows, labels = simulated_rows(
        recipe.prepare, 0, 20, n=20, seed=5, linelist=recipe.linelist, repeats=True
    )
    assert np.array_equal(whole.read(np.arange(20))[0], rows)
    for name in ("radvel", "Teff", "[M/H]", "logg", "vsini", "berv", "airmass", "snr"):
        assert whole.table[name].tolist() == [label[name] for label in labels]
    assert whole.table["spec_type"].tolist() == [label["spec_type"] for label in labels]
    stars = [label["object"].lower() for label in labels]
    assert stars_of(whole.table).tolist() == stars
    assert len(set(stars)) < 20


def test_an_interrupted_archive_goes_on(whole, recipe, tmp_path, monkeypatch, small_blocks):
    block = archive._block
    begun = []

    def dies(job):
        begun.append(job[1])
        if len(begun) == 3:
            raise KeyboardInterrupt
        return block(job)

    with monkeypatch.context() as patched:
        patched.setattr(archive, "_block", dies)
        with pytest.raises(KeyboardInterrupt):
            make_archive(tmp_path / "parts.zarr", recipe, workers=1)
        begun.append(None)
        told = []
        make_archive(
            tmp_path / "parts.zarr", recipe, workers=1, progress=lambda *done: told.append(done)
        )
    assert begun == [0, 4, 8, None, 8, 12, 16]
    assert told == [(12, 20), (16, 20), (20, 20)]
    parts = PackedArchive(tmp_path / "parts.zarr")
    assert np.array_equal(parts.read(np.arange(20))[0], whole.read(np.arange(20))[0])
    assert parts.fingerprint == whole.fingerprint
    monkeypatch.setattr(archive, "_block", None)
    make_archive(tmp_path / "parts.zarr", recipe, workers=1)


@pytest.mark.slow
def test_processes_make_the_same_archive(whole, recipe, tmp_path, small_blocks):
    two = PackedArchive(make_archive(tmp_path / "two.zarr", recipe, workers=2))
    assert np.array_equal(whole.read(np.arange(20))[0], two.read(np.arange(20))[0])


def test_another_archive_is_refused_and_another_simulator_is_told(made, recipe, monkeypatch):
    with pytest.raises(TableError, match=r"made\.zarr: was made with other settings"):
        make_archive(made, replace(recipe, seed=6), workers=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_archive(made, recipe, workers=1)
    monkeypatch.setattr(archive, "simulator_digest", lambda: "newer")
    with pytest.warns(LatentscopeWarning, match="another version of the simulator"):
        make_archive(made, recipe, workers=1)
