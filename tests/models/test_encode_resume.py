"""An interrupted encode goes on where it was, and takes up nothing that is not its own."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import latentscope.models.encode as encoding
import latentscope.models.rows as rows
from latentscope.diagnostics.trust_reference import trust_rows
from latentscope.models.encode import Part, PartStore, encode
from latentscope.spectra.read import read_spectrum
from tests.models.encoding import tiny_model, write_adp, write_archive

KILLED = """
import os, signal, sys
import latentscope.models.encode as encoding
from tests.models.encoding import tiny_model

encoding.BLOCK = 4

def progress(done, total):
    if done > 12:
        os.kill(os.getpid(), signal.SIGKILL)

encoding.encode(sys.argv[1], tiny_model(), output=sys.argv[2], progress=progress)
"""


class Stop(Exception):
    pass


@pytest.fixture
def archive(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "BLOCK", 4)
    folder = tmp_path / "archive"
    folder.mkdir()
    return write_archive(folder, 18)


@pytest.fixture
def opened(monkeypatch):
    """Files that were read, in any order."""
    files = []

    def counted(source, **options):
        files.append(source)
        return read_spectrum(source, **options)

    monkeypatch.setattr(rows, "read_spectrum", counted)
    return files


def interrupt(files, model, output, after=9, **options):
    def progress(done, total):
        if done >= after:
            raise Stop

    with pytest.raises(Stop):
        encode(files, model, output=output, progress=progress, **options)


def test_a_killed_run_resumes(archive, tmp_path, repository, opened):
    output = tmp_path / "latents.npy"
    command = [sys.executable, "-c", KILLED, str(archive[0].parent), str(output)]
    killed = subprocess.run(command, cwd=repository, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert killed.returncode == -signal.SIGKILL
    parts = tmp_path / "latents.npy.parts"
    assert len([p for p in parts.iterdir() if p.suffix == ".npz"]) == 3
    assert not output.exists()
    latents = encode(archive[0].parent, tiny_model(), output=output)
    assert sorted(opened) == archive[12:]
    assert not parts.exists()
    whole = encode(archive, tiny_model())
    np.testing.assert_allclose(latents.values, whole.values, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.load(output), latents.values)
    rounded = ["recon_error", "recon_segments"]
    resumed = latents.table.drop(columns=rounded)
    assert resumed.equals(whole.table.drop(columns=rounded))
    np.testing.assert_allclose(
        trust_rows(latents).segments, trust_rows(whole).segments, rtol=0.02, equal_nan=True
    )


def test_parts_of_other_weights_options_or_files_are_never_taken(archive, tmp_path, opened):
    output = tmp_path / "latents.npy"
    model, other = tiny_model(), tiny_model(seed=1)
    interrupt(archive, other, output)
    interrupt(archive, model, output, min_coverage=0.3)
    interrupt(archive, model, output, hdu=1)
    interrupt(archive, model, output, frame="barycentric")
    interrupt(archive, model, output)
    write_adp(tmp_path / "new.fits", seed=99)
    os.replace(tmp_path / "new.fits", archive[5])
    opened.clear()
    latents = encode(archive, model, output=output)
    assert sorted(opened) == archive[4:]
    np.testing.assert_allclose(latents.values, encode(archive, model).values, rtol=1e-5, atol=1e-6)


def test_a_longer_list_takes_up_the_blocks_it_begins_with(archive, tmp_path, opened):
    output = tmp_path / "latents.npy"
    interrupt(archive[:10], tiny_model(), output, after=9)
    opened.clear()
    encode(archive, tiny_model(), output=output)
    assert sorted(opened) == archive[8:]


def test_resume_false_starts_anew(archive, tmp_path, opened):
    output = tmp_path / "latents.npy"
    interrupt(archive, tiny_model(), output)
    opened.clear()
    encode(archive, tiny_model(), output=output, resume=False)
    assert sorted(opened) == archive


def test_a_damaged_part_is_computed_again(archive, tmp_path, opened):
    output = tmp_path / "latents.npy"
    interrupt(archive, tiny_model(), output)
    for part in (tmp_path / "latents.npy.parts").iterdir():
        part.write_bytes(part.read_bytes()[:-40])
    opened.clear()
    latents = encode(archive, tiny_model(), output=output)
    assert sorted(opened) == archive
    assert latents.ok.all()


def test_stored_parts_go_back_to_their_places(archive, tmp_path, opened):
    output, seen = tmp_path / "latents.npy", []
    interrupt(archive, tiny_model(), output, logvar=True, after=18)
    os.utime(archive[1])
    opened.clear()
    latents = encode(
        archive, tiny_model(), output=output, logvar=True, progress=lambda *now: seen.append(now)
    )
    assert sorted(opened) == [*archive[:4], *archive[16:]]
    whole = encode(archive, tiny_model(), logvar=True)
    np.testing.assert_allclose(latents.values, whole.values, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(latents.logvar, whole.logvar, rtol=1e-5, atol=1e-6)
    assert list(latents.ids) == list(whole.ids)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (18, 18)


def test_failed_rows_survive_in_parts(archive, tmp_path):
    archive[1].write_bytes(b"SIMPLE  =")
    output = tmp_path / "latents.npy"
    interrupt(archive, tiny_model(), output)
    latents = encode(archive, tiny_model(), output=output)
    assert list(np.flatnonzero(~latents.ok)) == [1]
    assert latents.table["status"][1] == "failed"
    assert latents.table["error"][1]
    assert latents.table["rv"].dtype == float


def test_parts_hold_what_was_put_in(tmp_path, archive):
    store = PartStore(tmp_path / "x.npy", {"weights": "abc"})
    values = np.array([[1.5, np.nan]], dtype=np.float32)
    segments = np.full((1, 32), 0.25, dtype=np.float32)
    part = Part(values, -values, segments, [{"id": "a", "snr": float("nan"), "coverage": 0.1}])
    store.save(archive[:1], part)
    found = store.load(archive[:1])
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.logvar, -values)
    np.testing.assert_array_equal(found.segments, segments)
    assert found.records[0]["coverage"] == 0.1
    assert np.isnan(found.records[0]["snr"])
    assert store.load(archive[:2]) is None
    assert PartStore(tmp_path / "x.npy", {"weights": "abd"}).load(archive[:1]) is None
    store.discard()
    assert not store.folder.exists()
