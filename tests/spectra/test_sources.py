"""Bytes of a source: what is no file, what is too large, and what is packed."""

import gzip
import io
import os
import resource
import socket
import sys
import time
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from latentscope.errors import SpectrumError
from latentscope.spectra.read import read_spectrum


@contextmanager
def in_memory(megabytes):
    """Let this process take at most so much more memory than it has, where Linux counts it."""
    if sys.platform != "linux":
        yield
        return
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
    begun = time.process_time()
    with in_memory(90), pytest.raises(SpectrumError, match=message):
        read_spectrum(name)
    assert time.process_time() - begun < 5


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


def card(key, value):
    return f"{key:<8}= {value:>20}".ljust(80).encode()


def tiled(key, value):
    stream = io.BytesIO()
    image = fits.CompImageHDU(np.ones((2, 3000), "f4"), compression_type="GZIP_1")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(stream)
    data = stream.getvalue()
    at = data.index(f"{key:<8}=".encode())
    return data[:at] + card(key, value) + data[at + 80 :]


def extensions(count):
    cards = [b"XTENSION= 'IMAGE   '".ljust(80), card("BITPIX", 8), card("NAXIS", 0)]
    cards += [card("PCOUNT", 0), card("GCOUNT", 1), b"END".ljust(80)]
    stream = io.BytesIO()
    fits.PrimaryHDU().writeto(stream)
    return stream.getvalue() + count * b"".join(cards).ljust(2880)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"5000.1 " * 4_000_000, "a line of .* characters"),
        (lambda: b"5000.1," * 4_000_000, "a line of .* characters"),
        (lambda: b"1" * 20_000_000, "a line of .* characters"),
        (lambda: (b"1.5 " * 20_000 + b"\n") * 20, "20000 columns"),
        (lambda: b"a b c\n" * 5_000_000, "without a line of numbers"),
        (lambda: b"# a b c\n" * 5_000_000, "without a line of numbers"),
        (lambda: b"# %ECSV 1.0\n" + b"# - {name: c, datatype: int8}\n" * 20_000, "20000 columns"),
        (lambda: b"5000 1\n" * 12_000_000, "text of more than 80 MB"),
        (lambda: tiled("ZNAXIS2", 10**6), "unpacks to more than 1 GB"),
        (lambda: tiled("ZTILE1", 10**10), "unpacks to more than 1 GB"),
        (lambda: extensions(30_000), "more than 1000 HDUs"),
    ],
)
def test_what_announces_or_holds_too_much_is_refused_soon(make, message):
    data = make()
    begun = time.process_time()
    with in_memory(600), pytest.raises(SpectrumError, match=message):
        read_spectrum(data)
    assert time.process_time() - begun < 5


def test_text_below_a_long_header_and_of_many_columns_is_read():
    rows = [" ".join(f"{5000 + i + 0.5 * j}" for j in range(300)) for i in range(200)]
    text = "# observed\n" * 15_000 + "\n".join(rows)
    spectrum = read_spectrum(text.encode())
    np.testing.assert_array_equal(spectrum.wavelength, 5000.0 + np.arange(200))


def test_a_tiled_spectrum_of_honest_size_is_read():
    stream = io.BytesIO()
    image = fits.CompImageHDU(np.arange(3000, dtype="f4"), compression_type="GZIP_1")
    image.header["CRVAL1"], image.header["CDELT1"] = 5000.0, 0.01
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(stream)
    np.testing.assert_array_equal(read_spectrum(stream.getvalue()).flux, np.arange(3000))
