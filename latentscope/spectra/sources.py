"""From whatever stands for a file (path, bytes, open file, HDUList) to its bytes and its name."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

from latentscope.errors import SpectrumError
from latentscope.spectra.fitsfile import plain_fits

_PACKED = {
    b"PK\x03\x04": "a zip archive (or .npz); unpack it and give the file inside",
    b"BZh": "compressed with bzip2; run bunzip2 on it",
    b"\xfd7zXZ": "compressed with xz; run unxz on it",
    b"\x1f\x9d": "compressed with Unix compress; run uncompress on it",
    b"\x89HDF": "an HDF5 file; give (wavelength, flux) read from it",
    b"%PDF": "a PDF document",
}


def read_source(source: Any) -> tuple[bytes, str | None]:
    """Return the content of `source`, gunzipped, and the file's name where it has one.

    Raises
    ------
    SpectrumError
        If it is missing, a folder, empty, unreadable, packed in another way, or no file at all.
    """
    data, file = _raw(source)
    name = file or "the bytes given"
    if not data:
        raise SpectrumError(f"{name}: is empty; download or write it again")
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise SpectrumError(
                f"{name}: its gzip compression is broken ({error}); download it again"
            ) from None
    for magic, what in _PACKED.items():
        if data.startswith(magic):
            raise SpectrumError(f"{name}: is {what}")
    head = data[:512].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<votable")):
        raise SpectrumError(
            f"{name}: holds a web page or XML instead of a spectrum; a download probably ended "
            "on a login or error page: fetch the file again"
        )
    return data, file


def is_hdulist(source: Any) -> bool:
    """Whether `source` is an astropy HDUList, told without importing astropy."""
    return isinstance(source, list) and hasattr(source, "writeto")


def _raw(source: Any) -> tuple[bytes, str | None]:
    if isinstance(source, str | os.PathLike):
        return _read_path(os.fspath(source)), os.fspath(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), None
    if is_hdulist(source):
        return _read_hdulist(source)
    if hasattr(source, "read"):
        return _read_stream(source)
    raise SpectrumError(
        f"a {type(source).__name__} is no spectrum; wanted a path, bytes, an open file, an "
        "HDUList, (wavelength, flux), or a specutils object"
    )


def _read_path(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        raise SpectrumError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise SpectrumError(f"{path}: is a folder; wanted a file with one spectrum") from None
    except (OSError, ValueError) as error:
        if Path(path).is_dir():
            raise SpectrumError(f"{path}: is a folder; wanted a file with one spectrum") from None
        raise SpectrumError(f"{path}: cannot be read ({error})") from None


def _read_stream(stream: Any) -> tuple[bytes, str | None]:
    name = getattr(stream, "name", None)
    file = name if isinstance(name, str) else None
    try:
        content = stream.read()
    except (OSError, ValueError) as error:
        raise SpectrumError(f"{file or 'the open file'}: cannot be read ({error})") from None
    return content.encode() if isinstance(content, str) else bytes(content), file


def _read_hdulist(hdulist: Any) -> tuple[bytes, str | None]:
    file = hdulist.filename() if callable(getattr(hdulist, "filename", None)) else None
    try:
        return plain_fits(hdulist), file
    except Exception as error:  # astropy raises many kinds for closed or broken files
        raise SpectrumError(
            f"{file or 'the HDUList'}: cannot be read ({error}); pass it open, or give the path"
        ) from None
