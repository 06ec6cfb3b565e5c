"""An interrupted encode goes on where it was, and takes up nothing that is not its own."""

import errno
import os
import platform
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import latentscope.models.encode as encoding
import latentscope.models.rows as rows
from latentscope.diagnostics.trust_reference import trust_rows
from latentscope.errors import TableError
from latentscope.models.encode import Part, PartStore, encode
from latentscope.spectra.read import read_spectrum
from tests.models.encoding import tiny_model, write_adp, write_archive

HELD = """
import sys
import latentscope.models.encode as encoding
from tests.models.encoding import tiny_model

encoding.BLOCK = 4

def progress(done, total):
    if done > 12:
        print("ready", flush=True)
        sys.stdin.read()

encoding.encode(sys.argv[1], tiny_model(), output=sys.argv[2], progress=progress)
"""


TERMINATED = """
import sys
from latentscope.cli import main
import latentscope.models.rows as rows

def waiting():
    print("ready", file=sys.stderr, flush=True)
    return sys.stdin.read()

rows._standard_input = waiting
main()
"""


LIMITED = """
import resource, sys
from latentscope.models.encode import encode
from tests.models.encoding import tiny_model

limit, size, files, *outputs = sys.argv[1:]
model = tiny_model()
resource.setrlimit(getattr(resource, limit), (int(size), int(size)))
for output in outputs:
    try:
        print(encode(files, model, output=output, workers=8).provenance["ok"])
    except OSError as error:
        print(error.strerror, error.filename)
"""


def limited(repository, *arguments):
    """What a process says that may not open or write as much as it likes."""
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, arguments)],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


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


def test_a_second_process_is_refused_and_a_killed_run_resumes(
    archive, tmp_path, repository, opened
):
    output, folder = tmp_path / "latents.npy", archive[0].parent
    command = [sys.executable, "-c", HELD, str(folder), str(output)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=repository, env=environment, **pipes, text=True) as first:
        assert first.stdout.readline() == "ready\n"
        name = f"process {first.pid} on {platform.node()} is writing it now"
        for model in (tiny_model(), tiny_model(seed=1)):
            with pytest.raises(TableError, match=re.escape(name)):
                encode(archive, model, output=output)
        encode(archive[:4], tiny_model(), output=tmp_path / "others.npy")
        first.kill()
    assert first.returncode == -signal.SIGKILL
    opened.clear()
    parts = tmp_path / "latents.npy.parts"
    assert len([p for p in parts.iterdir() if p.suffix == ".npz"]) == 3
    assert not output.exists()
    latents = encode(archive[0].parent, tiny_model(), output=output)
    assert sorted(opened) == archive[12:]
    assert not parts.exists()
    whole = encode(archive, tiny_model())
    np.testing.assert_allclose(latents.values, whole.values, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.load(output), latents.values)
    expected = [f"{name}.{end}" for name in ("latents", "others") for end in ("csv", "json", "npy")]
    assert sorted(path.name for path in tmp_path.glob("*.*")) == expected
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
    key = store.key(archive[:1])
    values = np.array([[1.5, np.nan]], dtype=np.float32)
    segments = np.full((1, 32), 0.25, dtype=np.float32)
    part = Part(values, -values, segments, [{"id": "a", "snr": float("nan"), "coverage": 0.1}])
    with store:
        store.save(key, part)
    found = store.load(key, 1)
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.logvar, -values)
    np.testing.assert_array_equal(found.segments, segments)
    assert found.records[0]["coverage"] == 0.1
    assert np.isnan(found.records[0]["snr"])
    assert store.load(store.key(archive[:2]), 2) is None
    assert PartStore(tmp_path / "x.npy", {"weights": "abd"}).key(archive[:1]) != key
    with store:
        store.clear()
    assert not store.folder.exists()


def test_a_file_put_in_the_place_of_another_of_its_size_and_time_is_noticed(
    archive, tmp_path, opened
):
    output = tmp_path / "latents.npy"
    interrupt(archive, tiny_model(), output)
    before = archive[5].stat()
    write_adp(tmp_path / "new.fits", seed=8)
    assert (tmp_path / "new.fits").stat().st_size == before.st_size
    os.replace(tmp_path / "new.fits", archive[5])
    os.utime(archive[5], ns=(before.st_atime_ns, before.st_mtime_ns))
    opened.clear()
    encode(archive, tiny_model(), output=output)
    assert sorted(opened) == archive[4:]


def test_a_file_that_changes_while_it_is_read_is_read_again(archive, tmp_path, opened, monkeypatch):
    output = tmp_path / "latents.npy"

    def changing(source, **options):
        spectrum = read_spectrum(source, **options)
        if source == archive[1]:
            os.utime(source, (0, 0))
        return spectrum

    with monkeypatch.context() as patched:
        patched.setattr(rows, "read_spectrum", changing)
        interrupt(archive, tiny_model(), output)
    opened.clear()
    encode(archive, tiny_model(), output=output)
    assert sorted(opened) == [*archive[:4], *archive[8:]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks of itself")
def test_kills_at_any_moment_lose_nothing(repository):
    options = ["--files", "20", "--block", "4", "--kills", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.interrupted", *options],
        cwd=repository,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "outputs equal byte for byte" in done.stdout


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals of a Unix")
def test_sigterm_ends_a_run_like_ctrl_c(tmp_path):
    # A pipe that nobody writes into keeps the list open until the signal comes.
    command = [sys.executable, "-c", TERMINATED, "encode", "-", "-o", "latents.npy"]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **pipes, text=True) as run:
        assert run.stderr.readline() == "ready\n"
        run.terminate()
        _, said = run.communicate(timeout=120)
    assert run.returncode == 130
    assert said.startswith("interrupted; finished blocks are kept")


def test_a_full_disk_is_said_and_the_earlier_output_stays(archive, tmp_path, monkeypatch):
    output = tmp_path / "latents.npy"
    encode(archive[:4], tiny_model(), output=output)
    before = {path: path.read_bytes() for path in tmp_path.glob("latents.*")}

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left") as error:
        encode(archive, tiny_model(), output=output)
    assert "latents.npy.parts" in str(error.value.filename)
    assert {path: path.read_bytes() for path in tmp_path.glob("latents.*")} == before


def test_where_files_may_not_grow_the_earlier_output_stays(archive, tmp_path, repository):
    pytest.importorskip("pyarrow")
    outputs = [tmp_path / "a" / "latents.npy", tmp_path / "b" / "latents.parquet"]
    for output in outputs:
        encode(archive[:4], tiny_model(), output=output)
    before = {path: path.read_bytes() for path in tmp_path.glob("?/latents.*")}
    said = limited(repository, "RLIMIT_FSIZE", 2000, archive[0].parent, *outputs)
    for output, line in zip(outputs, said.splitlines(), strict=True):
        assert str(output) in line
        kept = {path.name for path in before if path.parent == output.parent}
        assert {path.name for path in output.parent.iterdir()} <= {f"{output.name}.parts", *kept}
    assert {path: path.read_bytes() for path in before} == before


def test_few_open_files_are_enough(archive, tmp_path, repository):
    folder = archive[0].parent
    for number in range(300):
        os.link(archive[0], folder / f"{number}.fits")
    said = limited(repository, "RLIMIT_NOFILE", 64, folder, tmp_path / "latents.npy")
    assert said == "318\n"


def test_a_part_that_goes_while_it_is_wanted_is_not_replaced_by_another(archive, tmp_path):
    output = tmp_path / "latents.npy"
    interrupt(archive, tiny_model(), output)

    def vanish(done, total):
        for part in (tmp_path / "latents.npy.parts").glob("*.npz"):
            part.unlink()

    with pytest.raises(TableError, match="disappeared just now"):
        encode(archive, tiny_model(), output=output, progress=vanish)
