"""Bytes of a source: what is no file, what is too large, and what is packed."""

import gzip
import io
import os
import resource
import socket
import time
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from latentscope.errors import SpectrumError
from latentscope.spectra.read import read_spectrum


@contextmanager
def in_memory(megabytes):
    """Let this process take at most so much more memory than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def zeros_in_gzip(count, members=1):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = b"".join(packer.compress(bytes(1 << 20)) for _ in range(count)) + packer.flush()
    return piece * members


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sparse", "has more than 1 GB"),
        ("hole", "begins with zeros"),
        ("bomb", r"unpacks to more than 0\.1 GB"),
        ("bombs", r"unpacks to more than 0\.1 GB"),
        ("twice", "gzipped twice"),
        ("pipe", "a device, a pipe or a socket"),
        ("device", "a device, a pipe or a socket"),
        ("socket", "a device, a pipe or a socket"),
        ("gone", "a link to a file that is not there"),
        ("circle", "symbolic links"),
        ("folder", "is a folder"),
        ("x" * 300, "File name too long"),
        ("nul\0", "null"),
    ],
)
def test_what_no_spectrum_can_be_is_refused_at_once(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    if name in ("sparse", "hole"):
        with open(name, "wb") as file:
            file.truncate(10_000_000_000 if name == "sparse" else 900_000_000)
    elif name in ("bomb", "bombs"):
        monkeypatch.setattr("latentscope.spectra.read.MAX_BYTES", 100_000_000)
        data = zeros_in_gzip(128) if name == "bomb" else zeros_in_gzip(32, members=4)
        Path(name).write_bytes(data)
    elif name == "twice":
        Path(name).write_bytes(gzip.compress(gzip.compress(b"SIMPLE  =")))
    elif name == "pipe":
        os.mkfifo(name)
    elif name == "device":
        os.symlink("/dev/zero", name)
    elif name == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(name)
    elif name in ("gone", "circle"):
        os.symlink(name if name == "circle" else "nothing", name)
    elif name == "folder":
        Path(name).mkdir()
    begun = time.monotonic()
    with in_memory(90), pytest.raises(SpectrumError, match=message):
        read_spectrum(name)
    assert time.monotonic() - begun < 5


def test_gzip_of_several_members_and_with_zeros_behind_is_read(tmp_path):
    path = tmp_path / "a.txt.gz"
    lines = [f"{5000 + i} {i + 1}\n".encode() for i in range(200)]
    members = [gzip.compress(b"".join(lines[:90])), gzip.compress(b"".join(lines[90:]))]
    for data in (b"".join(members), b"".join(members) + bytes(512)):
        path.write_bytes(data)
        np.testing.assert_array_equal(read_spectrum(path).flux, np.arange(1, 201))
    path.write_bytes(members[0] + members[1][:-20])
    with pytest.raises(SpectrumError, match="compression is broken"):
        read_spectrum(path)


def test_open_files_are_read_in_pieces_and_capped(monkeypatch):
    lines = "".join(f"{5000 + i} {i + 1}\n" for i in range(200))
    monkeypatch.setattr("latentscope.spectra.read._PIECE", 100)
    for stream in (io.BytesIO(lines.encode()), io.StringIO(lines)):
        np.testing.assert_array_equal(read_spectrum(stream).flux, np.arange(1, 201))
    monkeypatch.undo()
    monkeypatch.setattr("latentscope.spectra.read.MAX_BYTES", 50_000_000)
    with open("/dev/zero", "rb") as endless, pytest.raises(SpectrumError, match=r"than 0\.05 GB"):
        read_spectrum(endless)
