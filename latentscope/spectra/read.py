"""read_spectrum: whatever holds a spectrum, recognized by content and never by file name.

A reader takes what it finds into a `Draft` and leaves units, order, medium, frame and notes to
`draft.finish`. A new format is a reader and a line: in `_read_bytes` here, in `find_spectra` of
fits.py for one more layout of FITS files.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import os
import stat
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from latentscope.errors import SpectrumError
from latentscope.files import MAX_BYTES, expanded, is_address
from latentscope.settings import settings
from latentscope.spectra.columns import array_draft, other_table, row_of
from latentscope.spectra.draft import Draft, UnorderedError, finish, orders_of
from latentscope.spectra.fits import find_spectra
from latentscope.spectra.hdus import plain_fits, read_hdus
from latentscope.spectra.headers import Keywords
from latentscope.spectra.join import Piece, join
from latentscope.spectra.objects import (
    is_npz,
    is_votable,
    read_hdf5,
    read_npy,
    read_npz,
    read_pair,
    read_parquet,
    read_specutils,
    read_table,
    read_votable,
)
from latentscope.spectra.spectrum import Frame, Spectrum
from latentscope.spectra.text import TEXT_BYTES, TEXT_MARKS, read_text

# What numpy and struct-like code raise where a header promises what the data do not hold.
_BROKEN = (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError)

# First bytes of what a download may be instead, so that the error says what to do.
_PACKED = {
    b"PK\x03\x04": "a zip archive; unpack it and give the file inside",
    b"\x1f\x8b": "gzipped twice; run gunzip on it",
    b"BZh": "compressed with bzip2; run bunzip2 on it",
    b"\xfd7zXZ": "compressed with xz; run unxz on it",
    b"\x1f\x9d": "compressed with Unix compress; run uncompress on it",
    b"%PDF": "a PDF document",
}


@settings(SpectrumError)
class Reading:
    """Which spectrum to take from a source, and in which frame: the keywords of `read_spectrum`."""

    hdu: int | str | None = None
    key: str | None = None
    frame: Frame | None = None

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> Reading:
        """How the files of latents were read, by the provenance that `encode` wrote."""
        return cls(*(provenance.get(name) for name in ("hdu", "key", "frame")))


def read_spectrum(
    source: Any,
    *,
    hdu: int | str | None = None,
    key: str | None = None,
    frame: Frame | None = None,
    ivar: bool = True,
) -> Spectrum:
    """Read one spectrum: wavelength in Angstrom, flux as it stands, and what the header says.

    Formats are recognized by content: ESO phase-3 products (ADP) and other FITS tables of
    wavelength and flux, S1D images and tables of the HARPS, HARPS-N and ESPRESSO pipelines, FITS
    images with linear or log-linear wavelengths (IRAF or FITS standard), all of them gzipped too;
    CSV, ECSV, text columns, .npy, .npz, HDF5, Parquet; any other FITS through specutils, if it is
    installed. Tables of something else (labels, light curves, line lists) are refused. Of several
    spectra in a FITS file arms and orders are joined, others are to be chosen from by `hdu`.

    Parameters
    ----------
    source : path, address, bytes, open file, HDUList, arrays, table, or specutils object
        Addresses are text (``https://``, ``s3://``, ...) and read through fsspec. Arrays are
        (wavelength, flux) or (wavelength, flux, error), each of shape (n,), masked or not, in
        Angstrom unless they carry a unit; one array of shape (2, n) or (n, 2) is wavelength and
        flux. Tables are those of astropy and pandas, and mappings of columns. A `Spectrum` is
        returned.
    hdu : int or str, optional
        The HDU of a FITS file to read: its number (0 is the primary one), its EXTNAME, or either
        with a row, order or aperture of it, counted from 1: ``"0:3"``, ``"SPECTRUM:2"``; a row
        alone, ``":3"``, is that row of all HDUs. Elsewhere the row of a file with many spectra.
    key : str, optional
        The array, column or group to read where there are several: ``"flux"``, ``"night2/star"``;
        or ``"wave=a,flux=b,err=c"``.
    frame : {"topocentric", "barycentric", "rest"}, optional
        The frame of the wavelengths; overrules the file.
    ivar : bool
        Whether to compute the inverse variance, where the file has errors. False is faster.

    Returns
    -------
    Spectrum
        `flux` keeps its precision (float32 stays float32). `rv` and `berv` in km/s, receding
        positive, None where unknown. ``meta["assumed"]`` lists what the file did not say.

    Raises
    ------
    SpectrumError
        If there is no spectrum in it, or several that are none together; the message names file,
        HDU and column, what to choose by, and for e2ds, ccf and bis products the sibling to use.

    Examples
    --------
    >>> spectrum = read_spectrum("HARPS.2010-09-18T23:42:36.178_s1d_A.fits")  # doctest: +SKIP
    >>> spectrum.meta["object"], spectrum.frame  # doctest: +SKIP
    ('Gl581', 'barycentric')
    """
    reading = Reading(hdu, key, frame)
    if isinstance(source, Spectrum):
        return source if frame is None else replace(source, frame=frame)
    file = None
    read: Callable[[], Draft | list[Draft]]
    in_memory = is_specutils(source) or is_pair(source) or isinstance(source, np.ndarray)
    if is_table(source):
        name, read = "the table", lambda: read_table(source, key, row_of(hdu))
    elif is_hdulist(source) or not in_memory:
        data, file = read_source(source)
        name, read = file or "the bytes given", lambda: _read_bytes(data, file, reading)
    else:
        _check_unused(source, reading)
        if is_specutils(source):
            name, read = "the specutils object", lambda: read_specutils(source)
        elif is_pair(source):
            name, read = "(wavelength, flux)", lambda: read_pair(source)
        else:
            name, read = "the array", lambda: array_draft(source, "array", key)
    return _guarded(read, name, file, frame, ivar)


def is_pair(source: Any) -> bool:
    """Whether `source` is (wavelength, flux) or with a third part, each with a length."""
    return (
        isinstance(source, tuple | list)
        and len(source) in (2, 3)
        and all(
            (hasattr(part, "__len__") or hasattr(part, "uncertainty_type"))
            and not isinstance(part, str | bytes | Mapping)
            for part in source
        )
    )


def is_specutils(source: Any) -> bool:
    """Whether `source` is a specutils Spectrum or Spectrum1D, told without importing specutils."""
    return hasattr(source, "spectral_axis") and hasattr(source, "flux")


def is_table(source: Any) -> bool:
    """Whether `source` is a table or mapping of columns, told without importing its package."""
    return (
        isinstance(source, Mapping)
        or hasattr(source, "colnames")
        or (hasattr(source, "iloc") and hasattr(source, "to_numpy"))
    )


def is_hdulist(source: Any) -> bool:
    """Whether `source` is an astropy HDUList, told without importing astropy."""
    return isinstance(source, list) and hasattr(source, "writeto")


def _check_unused(source: Any, reading: Reading) -> None:
    """Raise for an option that chooses within a file, given for one spectrum in memory."""
    fields = isinstance(source, np.ndarray) and source.dtype.names is not None
    for name in ("hdu", "key"):
        if getattr(reading, name) is not None and not (name == "key" and fields):
            raise SpectrumError(
                f"{name}={getattr(reading, name)!r} chooses within a file; leave it out for a "
                "spectrum in memory"
            )


def _guarded(
    read: Callable[[], Draft | list[Draft]],
    name: str,
    file: str | None,
    frame: Frame | None,
    ivar: bool,
) -> Spectrum:
    """Finish what `read` returns; errors, also numpy's, become SpectrumErrors with the name."""
    try:
        with np.errstate(all="ignore"):  # what overflows is not finite, and judged as such
            found = read()
            if isinstance(found, Draft):
                return _finished(found, file, frame, ivar)
            if len(found) == 1:
                return finish(found[0], file, frame, ivar=ivar)
            pieces = [
                Piece(
                    f"HDU {draft.name} {draft.title}".rstrip(),
                    finish(draft, file, frame),  # with the weights of overlaps
                    draft.target,
                )
                for draft in found
            ]
            return join(pieces)
    except SpectrumError as error:
        message = str(error)
        raise SpectrumError(message if message.startswith(name) else f"{name}: {message}") from None
    except _BROKEN as error:
        if isinstance(error, MemoryError) and not _is_absurd(error):
            raise  # which says nothing of the file
        raise SpectrumError(
            f"{name}: its content contradicts its header ({type(error).__name__}: {error}); "
            "download or write it again"
        ) from error


def _is_absurd(error: MemoryError) -> bool:
    """Whether a file asked for an array that `MAX_BYTES` cannot fill."""
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    if shape is None or dtype is None:  # numpy's errors say them
        return False
    return bool(prod(shape) * dtype.itemsize > 8 * MAX_BYTES)  # bytes, as float64


def _finished(draft: Draft, file: str | None, frame: Frame | None, ivar: bool) -> Spectrum:
    """The spectrum of a draft; its orders are joined if possible."""
    try:
        return finish(draft, file, frame, ivar=ivar)
    except UnorderedError as error:
        orders = orders_of(draft, error.wavelength)
        if not orders:
            raise
        pieces = [Piece(order.title, finish(order, file, frame)) for order in orders]
        try:
            return join(pieces)
        except SpectrumError as reason:
            raise SpectrumError(f"{error}; {reason}") from None


def _read_bytes(data: bytes, file: str | None, reading: Reading) -> Draft | list[Draft]:
    """Hand the content to the reader that its first bytes call for."""
    if data.startswith(b"SIMPLE  ="):
        return _read_fits(data, file, reading.hdu, reading.key)
    if data.startswith(b"\x93NUMPY"):
        return read_npy(data, reading.key)
    if is_npz(data):
        return read_npz(data, reading.key, reading.hdu)
    if data.startswith(b"\x89HDF"):
        return read_hdf5(data, reading.key, reading.hdu)
    if data.startswith(b"PAR1"):
        return read_parquet(data, reading.key, reading.hdu)
    if is_votable(data):
        return read_votable(data, reading.key, reading.hdu)
    if data.startswith(TEXT_MARKS) or not data[:4096].translate(None, TEXT_BYTES):
        return read_text(data, reading.key, reading.hdu)
    raise SpectrumError(
        f"starts with {data[:8]!r}, which is neither FITS, gzip, .npy, .npz, HDF5, Parquet nor "
        "text; expected one of these"
    )


def read_source(source: Any) -> tuple[bytes, str | None]:
    """Return the content of `source`, gunzipped, and the file's name where it has one.

    A SpectrumError if it is missing, a folder, a device or a pipe, empty, unreadable, larger than
    `MAX_BYTES` (unpacked, too), packed in another way, or no file at all.
    """
    data, file = _content(source)
    name = file or "the bytes given"
    if not data:
        raise SpectrumError(f"{name}: is empty; download or write it again")
    if data.startswith(b"\x1f\x8b"):  # whatever the file's name says
        try:
            data = _gunzipped(data, name)
        except (OSError, EOFError, zlib.error) as error:
            raise SpectrumError(
                f"{name}: its gzip compression is broken ({error}); download it again"
            ) from None
    if b"[Content_Types].xml" in data[:4096] and data.startswith(b"PK"):
        raise SpectrumError(f"{name}: is a workbook of Excel; save the sheet as CSV")
    for magic, what in _PACKED.items():
        if data.startswith(magic) and not is_npz(data):
            raise SpectrumError(f"{name}: is {what}")
    head = data[:512].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")) and not is_votable(data):
        raise SpectrumError(
            f"{name}: holds a web page or XML instead of a spectrum; a download probably ended "
            "on a login or error page: fetch the file again"
        )
    return data, file


def _fetched(url: str) -> bytes:
    """Download a file, of which no more than `MAX_BYTES` come into memory."""
    try:
        import fsspec

        with fsspec.open(url, "rb") as stream:
            return _drained(stream, url)
    except SpectrumError:
        raise
    except Exception as error:  # each kind of store raises its own
        # fsspec says no more than the address where a server does not answer; what it met, does.
        met = error.__cause__ or error
        reason = " ".join(str(met).split()) or type(met).__name__
        raise SpectrumError(
            f"{url}: cannot be fetched ({reason}); check the address and the connection"
        ) from None


def _content(source: Any) -> tuple[bytes, str | None]:
    if isinstance(source, str) and is_address(source):
        return _fetched(source), source
    if isinstance(source, str | os.PathLike):
        path = os.fspath(expanded(source))
        return _read_path(path), os.fspath(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), None
    if is_hdulist(source):
        file = source.filename() if callable(getattr(source, "filename", None)) else None
        try:
            return plain_fits(source), file
        except Exception as error:  # astropy raises many kinds for closed or broken files
            raise SpectrumError(
                f"{file or 'the HDUList'}: cannot be read ({error}); pass it open, or give the path"
            ) from None
    if hasattr(source, "read") and not isinstance(source, list):  # a SpectrumList reads others
        name = getattr(source, "name", None)
        file = name if isinstance(name, str) else None
        try:
            return _drained(source, file or "the open file"), file
        except SpectrumError:
            raise
        except (OSError, ValueError) as error:
            raise SpectrumError(f"{file or 'the open file'}: cannot be read ({error})") from None
    raise SpectrumError(
        f"a {type(source).__name__} is not a spectrum; expected a path, bytes, an open file, an "
        "HDUList, (wavelength, flux), or a specutils object"
    )


def _read_path(path: str) -> bytes:
    try:
        found = os.stat(path)  # and not opened: a pipe would wait for somebody to write
        if stat.S_ISDIR(found.st_mode):
            raise SpectrumError(f"{path}: is a folder; expected a file with one spectrum")
        if not stat.S_ISREG(found.st_mode):
            raise SpectrumError(
                f"{path}: is a device, a pipe or a socket; expected a file, or - for a list of "
                "files on standard input"
            )
        _check_size(found.st_size, path)
        with open(path, "rb") as stream:
            # A hole of a gigabyte is no reason to fill the memory with zeros.
            if found.st_size > _LARGE and not stream.read(4096).strip(b"\0"):
                raise SpectrumError(f"{path}: begins with zeros; download or write it again")
            stream.seek(0)
            return stream.read()
    except FileNotFoundError:
        what = "is a link to a file that is not there" if os.path.islink(path) else "no such file"
        raise SpectrumError(f"{path}: {what}") from None
    except SpectrumError:
        raise
    except (OSError, ValueError) as error:  # a name that no file can have is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise SpectrumError(f"{path}: cannot be read ({reason})") from None


_LARGE = 1 << 26  # bytes, as is
_PIECE = 1 << 22


def _check_size(size: int, name: str, what: str = "has") -> None:
    if size > MAX_BYTES:
        raise SpectrumError(
            f"{name}: {what} more than {MAX_BYTES / 1e9:g} GB, the most that is read of a file; "
            "expected one spectrum"
        )


def _drained(stream: Any, name: str) -> bytes:
    """Return the rest of an open file, text as UTF-8."""
    pieces: list[bytes] = []
    size = 0
    while piece := stream.read(_PIECE):
        pieces.append(piece.encode() if isinstance(piece, str) else bytes(piece))
        size += len(pieces[-1])
        _check_size(size, name)
    return b"".join(pieces)


def _gunzipped(data: bytes, name: str) -> bytes:
    """Unpack gzip, of several members too; what is too large is counted and never held."""
    # The last four bytes say the size, if the file is whole and of one member.
    size = int.from_bytes(data[-4:], "little")
    if size <= MAX_BYTES:
        unzip = zlib.decompressobj(wbits=31)
        unpacked = unzip.decompress(data, size + 1)
        if unzip.eof and not unzip.unused_data:
            return unpacked
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        total = 0
        while piece := stream.read(_PIECE):
            total += len(piece)
            _check_size(total, name, "unpacks to")
        stream.seek(0)
        return stream.read()


def _read_fits(
    data: bytes, file: str | None, hdu: int | str | None, key: str | None
) -> Draft | list[Draft]:
    hdus = read_hdus(data)
    found = find_spectra(hdus, file, hdu, key)
    if found:
        return found
    try:
        if hdu is not None:
            raise SpectrumError(f"there is none in hdu {hdu!r}")
        return _read_with_specutils(data, file or "spectrum.fits")
    except SpectrumError as error:
        tables = [[column.name for column in it.columns] for it in hdus if it.kind == "table"]
        kinds = [kind for names in tables if (kind := other_table(names)) is not None]
        like = f", which looks like {kinds[0]}" if kinds else ""
        raise SpectrumError(
            f"no spectrum found in {'; '.join(map(str, hdus))}{like}. Expected a table with "
            "wavelength and flux columns, or a one-dimensional image with CRVAL1 and CDELT1; "
            f"{error}"
        ) from None


def _read_with_specutils(data: bytes, name: str) -> Draft:
    """Read FITS bytes by whichever specutils reader recognizes them."""
    if importlib.util.find_spec("specutils") is None:
        raise SpectrumError(
            "specutils, which knows more formats, is not installed: "
            "pip install 'latentscope-spectra[specutils]'"
        )
    import specutils

    kind = getattr(specutils, "Spectrum", None) or specutils.Spectrum1D  # its name before 2.0
    suffix = "".join(Path(name).suffixes[-1:]) or ".fits"
    # Its readers look at names and open files themselves, some of them twice.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"spectrum{suffix}"
        path.write_bytes(data)
        try:
            found = kind.read(path)
        except Exception as error:  # whatever a foreign reader stumbles upon
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise SpectrumError(f"specutils fails too ({reason[0][:120]})") from None
    draft = read_specutils(found)
    # Where a file says nothing of wavelengths, or of their step, astropy's WCS counts pixels.
    steps = np.diff(draft.wavelength)
    header = Keywords(draft.headers)
    has_start, has_step = (
        any(True for _ in header.values(keys))
        for keys in (["CRVAL1"], ["CDELT1", "CD1_1", "PC1_1"])
    )
    counted = draft.wavelength[0] in (0.0, *steps[:1]) or (has_start and not has_step)
    if len(steps) and np.allclose(steps, steps[0]) and counted:
        raise SpectrumError("specutils finds no wavelengths either, only the numbers of pixels")
    draft.assumed.append("read by specutils")
    return draft
