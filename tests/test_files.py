import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest

import latentscope.files as files
from latentscope.errors import TableError
from latentscope.files import atomic_path, check_writable, write_json
from latentscope.tables import read_contents


def test_a_folder_is_not_replaced_and_is_named(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_json(folder, {})
    assert caught.value.filename == str(folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_place_that_takes_no_files_is_told_by_the_name_that_was_given(tmp_path, monkeypatch):
    def refuse(*, prefix, dir):
        raise PermissionError(errno.EACCES, "Permission denied", f"{dir}/{prefix}x")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(PermissionError) as caught:
        write_json(tmp_path / "out.json", {})
    assert caught.value.filename == str(tmp_path / "out.json")


def test_a_folder_in_place_of_a_table_is_not_called_absent(tmp_path):
    folder = tmp_path / "latents.npy"
    folder.mkdir()
    with pytest.raises(TableError, match=r"latents\.npy: is a folder"):
        read_contents(folder)


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "store").mkdir()
    target = tmp_path / "store" / "a1b2"
    target.write_text("old")
    link = tmp_path / "out.json"
    link.symlink_to(os.path.join("store", "a1b2"))
    for _ in range(2):
        with atomic_path(link) as temporary:
            assert temporary.suffix == ".json"
            temporary.write_text("new")
        assert link.is_symlink()
        assert target.read_text() == "new"
        target.unlink()  # then the link leads to nothing, and to a new file again
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "store"]


@pytest.mark.parametrize("kind", ["/dev/null", "/dev/stdout", "/dev/fd/1", "pipe", "link"])
def test_a_device_or_a_pipe_is_never_replaced(tmp_path, kind):
    path = tmp_path / kind if not kind.startswith("/") else kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/null")
    before = os.lstat(path)
    with pytest.raises(OSError, match="a device or a pipe"):
        write_json(path, {})
    assert os.path.samestat(os.lstat(path), before)


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="there is none")
def test_memory_that_is_mounted_as_files_takes_files():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        write_json(os.path.join(folder, "a.json"), {"a": 1})
        assert os.listdir(folder) == ["a.json"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("folder", IsADirectoryError),
        ("file/x.csv", NotADirectoryError),
        ("circle", OSError),
        ("x" * 252 + ".csv", OSError),
    ],
)
def test_where_nothing_can_be_written_is_told_before_the_work(tmp_path, name, error):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(error) as caught:
        check_writable(tmp_path / name)
    assert caught.value.filename == str(tmp_path / name)


def test_a_folder_that_takes_no_files_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _: os.fspath(path) != str(tmp_path))
    for name in ("x.csv", "new/deep/x.csv"):
        with pytest.raises(PermissionError, match="No file can be written in"):
            check_writable(tmp_path / name)


def test_long_names_have_a_short_temporary_one(tmp_path):
    path = tmp_path / ("x" * 250 + ".json")
    write_json(path, {})
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [np.save, lambda path, values: path.write_bytes(values)])
def test_a_full_disk_names_the_file(tmp_path, write):
    path = tmp_path / "x.npy"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError) as caught, atomic_path(path) as temporary:
            write(temporary, np.zeros(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(path)
    assert caught.value.strerror
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from latentscope.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def test_what_a_killed_run_left_is_removed_and_what_is_being_written_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_FRESH", 0.0)
    files._sweep.cache_clear()

    def begun(how):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "out.json"), how]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    with begun("killed") as killed:
        assert killed.wait() == -signal.SIGKILL
    with begun("writes") as writing:
        writing.stdout.readline()
        held = list(tmp_path.glob(".latentscope-*"))
        assert len(held) == 1  # what the first left is gone, though it was killed a moment ago
        write_json(tmp_path / "other.json", {})
        assert list(tmp_path.glob(".latentscope-*")) == held
        writing.communicate()
        assert writing.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.json", "out.json"]
    assert (tmp_path / "out.json").read_text() == "half"
    files._sweep.cache_clear()


def test_what_another_machine_writes_is_left_alone_for_a_week(tmp_path):
    files._sweep.cache_clear()
    ours, theirs, old = (
        tmp_path / f"{files._scratch_name()}a",
        tmp_path / ".latentscope-0123abcd-b",
        tmp_path / ".latentscope-0123abcd-c",
    )
    for folder, age in ((ours, 10), (theirs, 86400), (old, 8 * 86400)):
        folder.mkdir()
        then = time.time() - age
        os.utime(folder, (then, then))
    write_json(tmp_path / "a.json", {})
    assert sorted(tmp_path.iterdir()) == [theirs, tmp_path / "a.json"]
    files._sweep.cache_clear()
