"""read_spectrum: whatever holds a spectrum, recognised by content and never by file name."""

from __future__ import annotations

import gzip
import importlib.util
import io
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.draft import Choice, Draft, Label, choose, finish
from latentscope.spectra.fits import HDU, Column, Header, plain_fits, split_hdus
from latentscope.spectra.headers import PIPELINES, Inferred, Keywords, drs_pipeline
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import Axis, image_axis

_BROKEN = (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError)


def read_spectrum(source: Any) -> Spectrum:
    """Read one spectrum: wavelength in Angstrom, flux as it stands, and what the header says.

    Formats are recognised by content: ESO phase-3 products (ADP) and other FITS tables of
    wavelength and flux, S1D images and tables of the HARPS, HARPS-N and ESPRESSO pipelines, FITS
    images with linear or log-linear wavelengths (IRAF or FITS standard), all of them gzipped too;
    CSV, ECSV, text columns, .npy; any other FITS through specutils, if it is installed.

    Parameters
    ----------
    source : path, bytes, open file, HDUList, (wavelength, flux), Quantity pair, or specutils object
        Arrays are shape (n,), in Angstrom unless they carry a unit. An array of shape (2, n) or
        (n, 2) is wavelength and flux. A `Spectrum` comes back as it is.

    Returns
    -------
    Spectrum
        `flux` keeps its precision (float32 stays float32). `rv` and `berv` in km/s, receding
        positive, None where unknown. ``meta["assumed"]`` lists what the file did not say.

    Raises
    ------
    SpectrumError
        If there is no spectrum in it; the message names file, HDU and column, and for e2ds, ccf
        and bis products the sibling file to use.
    """
    if isinstance(source, Spectrum):
        return source
    if is_specutils(source):
        return _guarded(lambda: finish(read_specutils(source), None), "the specutils object")
    if is_pair(source) and not is_hdulist(source):
        return _guarded(lambda: finish(read_pair(source), None), "(wavelength, flux)")
    if isinstance(source, np.ndarray):
        return _guarded(lambda: finish(array_draft(source, "array"), None), "the array")
    data, file = read_source(source)
    return _guarded(lambda: finish(_read_bytes(data, file), file), file or "the bytes given")


def _guarded(read: Callable[[], Spectrum], name: str) -> Spectrum:
    """Run `read`; put the name before its errors and turn those of numpy into SpectrumError."""
    try:
        with np.errstate(all="ignore"):  # what overflows is not finite, and judged as such
            return read()
    except SpectrumError as error:
        message = str(error)
        raise SpectrumError(message if message.startswith(name) else f"{name}: {message}") from None
    except _BROKEN as error:
        raise SpectrumError(
            f"{name}: its content contradicts its header ({type(error).__name__}: {error}); "
            "download or write it again"
        ) from error


def _read_bytes(data: bytes, file: str | None) -> Draft:
    if data.startswith(b"SIMPLE  ="):
        return _read_fits(data, file)
    if data.startswith(b"\x93NUMPY"):
        return read_npy(data)
    if is_text(data):
        return read_text(data)
    raise SpectrumError(
        f"starts with {data[:8]!r}, which is neither FITS, gzip, .npy nor text; wanted one of these"
    )


def _read_fits(data: bytes, file: str | None) -> Draft:
    hdus = split_hdus(data)
    if any(hdu.header.get("ZIMAGE") is True for hdu in hdus):
        hdus = split_hdus(_unpacked(data))
    refuse_other_products(hdus, file)
    for reader in (_read_table, _read_image):  # each gives None for a file that is not its kind
        draft = reader(hdus)
        if draft is not None:
            return draft
    try:
        return read_with_specutils(data, file or "spectrum.fits")
    except SpectrumError as error:
        raise SpectrumError(
            f"no spectrum found in {'; '.join(_inventory(hdu) for hdu in hdus)}. Wanted a table "
            "with wavelength and flux columns, or a one-dimensional image with CRVAL1 and CDELT1; "
            f"{error}"
        ) from None


def _unpacked(data: bytes) -> bytes:
    """Tile-compressed images are left to astropy."""
    from astropy.io import fits

    try:
        with fits.open(io.BytesIO(data), memmap=False) as hdulist:
            return plain_fits(hdulist)
    except Exception as error:  # the decompressors raise many kinds
        raise SpectrumError(f"its tile compression is broken ({error})") from None


def _inventory(hdu: HDU) -> str:
    shape = " x ".join(str(length) for length in hdu.shape)
    content = f"{hdu.kind} {shape}" if shape else "no data"
    if hdu.kind == "table":
        content = "table with columns " + ", ".join(column.name for column in hdu.columns[:8])
    return f"HDU {hdu.index} ({content})"


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


_DESCRIPTIONS = {
    "bis": "the bisector of a cross-correlation function (bis)",
    "ccf": "a cross-correlation function (ccf), a function of velocity",
    "e2ds": "an order-by-order spectrum (e2ds), not merged",
    "s2d": "an order-by-order spectrum (S2D), not merged",
    "frame": "a detector or guide-camera frame, not an extracted spectrum",
}
_OLD_NAME = re.compile(r"_(e2ds|ccf|bis|wave|blaze)(?:_[A-Za-z0-9]+)*?_([AB])(?=\.|$)")
_NEW_NAME = re.compile(r"_(S2D|CCF)(?:_[A-Z0-9]+)*?_([AB])(?=\.|$)")


def refuse_other_products(hdus: Sequence[HDU], file: str | None) -> None:
    """Raise if the file is an e2ds, ccf, bis, S2D or raw frame; say which file to use.

    Raises
    ------
    SpectrumError
    """
    found = _recognise(hdus)
    if found is None:
        return
    kind, hdu = found
    shape = " x ".join(str(length) for length in hdu.shape) or "no data"
    raise SpectrumError(
        f"HDU {hdu.index} ({shape}) is {_DESCRIPTIONS[kind]}; use {_sibling(kind, file)}"
    )


def _recognise(hdus: Sequence[HDU]) -> tuple[str, HDU] | None:
    keywords = Keywords([hdu.header for hdu in hdus])
    images = [hdu for hdu in hdus if hdu.kind == "image" and prod(hdu.shape) > 1]
    if not images:
        return None
    category = keywords.text(["ESO PRO CATG", "TNG PRO CATG"]) or ""
    for prefix, kind in (("CCF", "ccf"), ("S2D", "s2d")):
        if category.startswith(prefix):
            return kind, images[0]
    velocity = _velocity_product(keywords, images[0])
    if velocity is not None:
        return velocity, images[0]
    wide = [hdu for hdu in images if prod(hdu.shape[:-1]) > MOST_ROWS]
    if not wide or any(hdu.kind == "table" for hdu in hdus):
        return None
    return _wide_product(keywords, wide[0]), wide[0]


def _velocity_product(keywords: Keywords, hdu: HDU) -> str | None:
    """Tell a bis or ccf of the old DRS by its keywords, in an image that is no S1D."""
    on_velocity = hdu.header.text("CTYPE1").lower() in ("km/s", "m/s", "velo", "vrad")
    if len(hdu.shape) < 2 and not on_velocity:
        return None
    for kind in ("bis", "ccf"):
        if any(keywords.has_prefix(f"{name} DRS {kind.upper()}") for name in PIPELINES):
            return kind
    return "ccf" if on_velocity else None


def _wide_product(keywords: Keywords, hdu: HDU) -> str:
    if drs_pipeline(keywords) == "new DRS" or hdu.header.text("EXTNAME") == "SCIDATA":
        return "s2d"
    few_orders = hdu.shape[0] <= 200 and hdu.shape[-1] >= 1000
    extracted = any(keywords.has_prefix(f"{name} DRS ") for name in PIPELINES)
    return "e2ds" if len(hdu.shape) == 2 and few_orders and extracted else "frame"


def _sibling(kind: str, file: str | None) -> str:
    name = re.split(r"[\\/]", file)[-1] if file else ""
    for pattern, word in ((_OLD_NAME, "s1d"), (_NEW_NAME, "S1D")):
        found = pattern.search(name)
        if found:
            return f"its sibling {name[: found.start()]}_{word}_{found[2]}{name[found.end() :]}"
    if kind == "s2d":
        return "the merged spectrum beside it, named ..._S1D_A.fits"
    if kind == "frame":
        return "the reduced spectrum, an ADP product of the archive or ..._s1d_A.fits"
    return "the merged spectrum beside it, named ..._s1d_A.fits (or ..._S1D_A.fits)"


MOST_ROWS = 8
"""An image of more rows on one wavelength axis is no spectrum with companions."""


def _read_table(hdus: Sequence[HDU]) -> Draft | None:
    """Read the first binary table that has wavelength and flux columns; None if none has."""
    for hdu in hdus:
        if hdu.kind != "table" or not hdu.columns:
            continue
        labels = [Label(c.name, c.unit, c.ucd, c.utype) for c in hdu.columns]
        choice = choose(labels)
        if choice is not None:
            return _table_draft(hdus, hdu, labels, choice)
    return None


def _table_draft(hdus: Sequence[HDU], hdu: HDU, labels: Sequence[Label], choice: Choice) -> Draft:
    wave, flux = hdu.columns[choice.wavelength], hdu.columns[choice.flux]
    values = _one_spectrum(hdu, wave)
    logarithmic = labels[choice.wavelength].key == "loglam"
    quality = _optional(hdu, choice.quality)
    return Draft(
        format=_format(hdus, hdu),
        where=f"HDU {hdu.index}, columns {wave.name} and {flux.name}",
        wavelength=10.0 ** values.astype(np.float64) if logarithmic else values,
        flux=_one_spectrum(hdu, flux),
        unit="Angstrom" if logarithmic else labels[choice.wavelength].written_unit,
        flux_unit=flux.unit,
        error=_same_length(_optional(hdu, choice.error), values),
        ivar=_same_length(_optional(hdu, choice.ivar), values),
        mask=None if quality is None or quality.shape != values.shape else quality != 0,
        medium=choice.medium,
        inferred=choice.inferred,
        headers=(hdu.header, hdus[0].header),
    )


def _one_spectrum(hdu: HDU, column: Column) -> NDArray[Any]:
    """Return the column as one axis, whether pixels lie along a row or down the rows."""
    rows = hdu.shape[0]
    in_cells = column.repeat > 1 and column.code not in "XA"
    if rows > 1 and (in_cells or column.code in "PQ"):
        raise SpectrumError(
            f"HDU {hdu.index}, column {column.name}: {rows} rows of array cells, one an order or "
            "a target; wanted one merged spectrum: use the S1D or ADP product, or give one row "
            "as a (wavelength, flux) tuple"
        )
    return hdu.cells(column).reshape(-1)


def _optional(hdu: HDU, position: int | None) -> NDArray[Any] | None:
    """Read an error or quality column; a broken one does not fail the spectrum."""
    if position is None:
        return None
    try:
        return _one_spectrum(hdu, hdu.columns[position])
    except (SpectrumError, ValueError, TypeError):
        return None


def _same_length(values: NDArray[Any] | None, like: NDArray[Any]) -> NDArray[Any] | None:
    return values if values is not None and values.shape == like.shape else None


def _format(hdus: Sequence[HDU], hdu: HDU) -> str:
    category = hdus[0].header.text("PRODCATG") or hdu.header.text("PRODCATG")
    if category.upper().startswith("SCIENCE.SPECTRUM"):
        return "eso-phase3"
    names = {column.name.lower() for column in hdu.columns}
    if hdu.shape[0] == 1:
        return "eso-phase3" if {"wave", "flux"} <= names else "table-cells"
    return "drs-s1d-table" if {"wavelength", "wavelength_air"} <= names else "table"


def _read_image(hdus: Sequence[HDU]) -> Draft | None:
    """Read the first image that is one spectrum on a wavelength axis; None if none is."""
    for hdu in hdus:
        rows = prod(hdu.shape[:-1]) if hdu.shape else 0
        if hdu.kind != "image" or not 1 <= rows <= MOST_ROWS or hdu.shape[-1] < 2:
            continue
        axis = image_axis(hdu.header)
        if axis is not None:
            return _image_draft(hdus, hdu, axis, rows)
    return None


def _image_draft(hdus: Sequence[HDU], hdu: HDU, axis: Axis, rows: int) -> Draft:
    where = f"HDU {hdu.index}, image"
    if axis.step == 0 or not np.isfinite([axis.start, axis.step, axis.reference]).all():
        raise SpectrumError(
            f"{where}: starts at {axis.start} with a step of {axis.step} a pixel; wanted finite "
            "CRVAL1 and CDELT1 other than 0"
        )
    count = hdu.shape[-1]
    if rows > 1:
        axis.notes.append(f"image: the first of its {rows} rows is the spectrum")
    drs = drs_pipeline(Keywords((hdu.header, hdus[0].header))) is not None
    return Draft(
        format="drs-s1d" if drs else "image-linear" if axis.base is None else "image-log",
        where=where,
        wavelength=axis.wavelength(count),
        flux=hdu.image().reshape(-1, count)[0],
        unit=axis.unit,
        flux_unit=hdu.header.text("BUNIT"),
        inferred=axis.inferred,
        headers=(hdu.header, hdus[0].header) if hdu.index else (hdu.header,),
        assumed=axis.notes,
    )


_COMMENT = ("#", "%", "!", "//")
_FORTRAN = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)")  # the exponent's letter in 1.5D+03
_TEXT_BYTES = bytes(range(32, 256)) + b"\t\r\n\f"


def is_text(data: bytes) -> bool:
    """Whether the first bytes are text rather than a binary format."""
    return not data[:4096].translate(None, _TEXT_BYTES)


def read_text(data: bytes) -> Draft:
    """Read a spectrum from text: two or more columns, with or without a line of names.

    Raises
    ------
    SpectrumError
        If no line holds two numbers, or columns are not numbers.
    """
    text = _decode(data)
    if text.startswith("# %ECSV"):
        return _read_ecsv(text)
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if _is_data(line)), None)
    if first is None:
        raise SpectrumError("text without a line of numbers; wanted columns wavelength and flux")
    comma = next((mark for mark in ",;\t" if mark in lines[first]), None)
    body = "\n".join(lines[first:])
    if _FORTRAN.search(lines[first]):
        body = _FORTRAN.sub("e", body)
    names = _names(lines[:first], comma, len(_split(lines[first], comma)))
    try:
        table = pd.read_csv(
            io.StringIO(body),
            sep=comma or r"\s+",
            header=None,
            comment="#",
            skip_blank_lines=True,
            low_memory=False,
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise SpectrumError(f"text, after line {first}: {error}") from None
    labels = [Label(name) for name in names] or [Label("")] * table.shape[1]
    columns = [table[key].to_numpy() for key in table.columns]
    return columns_draft("csv" if comma else "text", labels, columns)


def read_npy(data: bytes) -> Draft:
    """Read a spectrum from a .npy file: (2, n), (n, 2) or named columns.

    Raises
    ------
    SpectrumError
        If the array is none of these.
    """
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise SpectrumError(f".npy: {error}; wanted an array of numbers") from None
    return array_draft(array, "npy")


def array_draft(array: NDArray[Any], form: str) -> Draft:
    """Take a spectrum from one array: named fields, or wavelength, flux (and error) as rows."""
    if array.dtype.names:
        labels = [Label(name) for name in array.dtype.names]
        return columns_draft(form, labels, [array[name] for name in array.dtype.names])
    if array.ndim != 2 or min(array.shape) not in (2, 3) or array.dtype.kind not in "fiu":
        raise SpectrumError(
            f"{form}: {array.dtype} of shape {array.shape}; wanted numbers of shape (2, n) or "
            "(n, 2): wavelength and flux"
        )
    rows = array if array.shape[0] <= 3 else array.T
    return columns_draft(form, [Label("")] * len(rows), list(rows))


def columns_draft(
    form: str,
    labels: Sequence[Label],
    columns: Sequence[NDArray[Any]],
    header: Header | None = None,
) -> Draft:
    """Take a spectrum from columns: by name, else wavelength, flux and error in this order."""
    choice = choose(labels)
    notes = []
    if choice is not None:
        places = (choice.wavelength, choice.flux, choice.error, choice.ivar, choice.quality)
    elif len(columns) >= 2:
        places = (0, 1, 2 if len(columns) == 3 else None, None, None)
        notes.append("columns: the first is wavelength, the second flux; no names say so")
    else:
        raise SpectrumError(f"{form}: one column; wanted at least wavelength and flux")
    wave, flux, error, ivar, quality = (
        None if place is None else np.asarray(columns[place]) for place in places
    )
    named = [
        labels[place].name or f"number {place + 1}" for place in places[:2] if place is not None
    ]
    if wave is None or flux is None or wave.dtype.kind not in "fiu" or flux.dtype.kind not in "fiu":
        raise SpectrumError(
            f"{form}, columns {' and '.join(named)}: not all values are numbers; remove the lines "
            "or footers that are none"
        )
    return Draft(
        format=form,
        where=f"{form}, columns {' and '.join(named)}",
        wavelength=wave,
        flux=flux,
        unit=labels[places[0]].written_unit,
        flux_unit=labels[places[1]].written_unit,
        error=_number_column(error),
        ivar=_number_column(ivar),
        mask=None if quality is None or quality.dtype.kind not in "fiub" else quality != 0,
        medium=None if choice is None else choice.medium,
        inferred=None if choice is None else choice.inferred,
        headers=() if header is None else (header,),
        assumed=notes,
    )


def _read_ecsv(text: str) -> Draft:
    from astropy.table import Table

    try:
        table = Table.read(text, format="ascii.ecsv")
    except Exception as error:  # astropy and yaml raise many kinds for a malformed header
        raise SpectrumError(f"ecsv: {error}") from None
    labels = [Label(name, str(table[name].unit or "")) for name in table.colnames]
    columns = [np.ma.filled(table[name], np.nan) if table[name].dtype.kind == "f"
               else np.asarray(table[name]) for name in table.colnames]  # fmt: skip
    header = Header({}, {str(key).upper(): value for key, value in table.meta.items()})
    return columns_draft("ecsv", labels, columns, header)


def _number_column(values: NDArray[Any] | None) -> NDArray[Any] | None:
    if values is None or values.dtype.kind not in "fiu":
        return None
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _split(line: str, mark: str | None) -> list[str]:
    return [word.strip().strip('"') for word in line.strip().split(mark)]


def _is_data(line: str) -> bool:
    """Two or more words, the first two numbers (or, between commas, one of them left out)."""
    if not line.strip() or line.lstrip().startswith(_COMMENT):
        return False
    words = _split(line, next((mark for mark in ",;\t" if mark in line), None))
    return len(words) >= 2 and any(words[:2]) and all(_is_number(word) for word in words[:2])


def _is_number(word: str) -> bool:
    try:
        float(_FORTRAN.sub("e", word))
    except ValueError:
        return word == ""
    return True


def _names(lines: Sequence[str], mark: str | None, count: int) -> list[str]:
    """Column names from the last line above the numbers that has one word per column."""
    for line in reversed(lines):
        bare = re.sub(r"^\s*(#|%|!|//)\s*", "", line)
        for words in (_split(bare, mark), _split(bare, None)):
            if len(words) == count and not all(_is_number(word) for word in words):
                return words
        if line.strip():
            return []
    return []


def is_specutils(source: Any) -> bool:
    """Whether `source` is a specutils Spectrum or Spectrum1D."""
    return hasattr(source, "spectral_axis") and hasattr(source, "flux")


def is_pair(source: Any) -> bool:
    """Whether `source` is (wavelength, flux), both with a length of their own."""
    return (
        isinstance(source, tuple | list)
        and len(source) == 2
        and all(hasattr(part, "__len__") and not isinstance(part, str | bytes) for part in source)
    )


def read_pair(source: Any) -> Draft:
    """Take (wavelength, flux): arrays (Angstrom unless sized like nm) or Quantities."""
    wavelength, unit = _length(source[0], "wavelength")
    flux, flux_unit = _plain(source[1])
    return Draft(
        format="arrays",
        where="(wavelength, flux)",
        wavelength=wavelength,
        flux=flux,
        unit=unit,
        flux_unit=flux_unit,
    )


def read_specutils(source: Any) -> Draft:
    """Take a specutils spectrum with its uncertainty, mask and header."""
    flux, flux_unit = _plain(source.flux)
    if flux.ndim != 1:
        raise SpectrumError(
            f"specutils object: flux has shape {flux.shape}; wanted one spectrum (n,): index the "
            "one you want"
        )
    wavelength, unit = _length(source.spectral_axis, "spectral_axis")
    mask = getattr(source, "mask", None)
    header = _header(getattr(source, "meta", None))
    return Draft(
        format="specutils",
        where="specutils object",
        wavelength=wavelength,
        flux=flux,
        unit=unit,
        flux_unit=flux_unit,
        ivar=_ivar(getattr(source, "uncertainty", None), flux.shape),
        mask=None if mask is None else np.array(np.broadcast_to(mask, flux.shape), dtype=bool),
        inferred=_inferred(source, header),
        headers=(header,),
    )


def read_with_specutils(data: bytes, name: str) -> Draft:
    """Read FITS bytes by whichever specutils reader recognises them.

    Raises
    ------
    SpectrumError
        If specutils is not installed, or fails too.
    """
    if importlib.util.find_spec("specutils") is None:
        raise SpectrumError(
            "specutils, which knows more formats, is not installed: "
            "pip install 'latentscope-spectra[specutils]'"
        )
    import specutils

    kind = getattr(specutils, "Spectrum", None) or specutils.Spectrum1D  # its name before 2.0
    suffix = "".join(Path(name).suffixes[-1:]) or ".fits"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"spectrum{suffix}"
        path.write_bytes(data)
        try:
            found = kind.read(path)
        except Exception as error:  # whatever a foreign reader stumbles upon
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise SpectrumError(f"specutils fails too ({reason[0][:120]})") from None
    draft = read_specutils(found)
    draft.assumed.append("read by specutils")
    return draft


def _plain(values: Any) -> tuple[NDArray[Any], str]:
    """Numbers and unit of a Quantity or an array."""
    unit = getattr(values, "unit", None)
    return np.asarray(getattr(values, "value", values)), "" if unit is None else str(unit)


def _length(values: Any, what: str) -> tuple[NDArray[Any], str]:
    """Numbers and unit name of wavelengths; spectral Quantities come in Angstrom."""
    if getattr(values, "unit", None) is None:
        return np.asarray(values), ""
    from astropy import units

    try:
        converted = units.Quantity(values).to(units.AA, equivalencies=units.spectral())
    except units.UnitConversionError:
        raise SpectrumError(
            f"{what} is in {values.unit}; wanted a length, frequency or energy"
        ) from None
    return np.asarray(converted.value), "Angstrom"


def _ivar(uncertainty: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Inverse variance of an NDUncertainty of any of the three kinds; None otherwise."""
    array = getattr(uncertainty, "array", None)
    kind = getattr(uncertainty, "uncertainty_type", "")
    if array is None or np.shape(array) != shape:
        return None
    values = np.asarray(array)
    powers = {"std": -2.0, "var": -1.0, "ivar": 1.0}
    if kind not in powers:
        return None
    with np.errstate(all="ignore"):
        return np.asarray(values ** powers[kind])


def _header(meta: Any) -> Header:
    """Keywords of a header kept in `meta`, and the plain entries of `meta` itself."""
    values: dict[str, Any] = {}
    if not isinstance(meta, Mapping):
        return Header({})
    inner = meta.get("header")
    for source in [meta, inner] if isinstance(inner, Mapping) else [meta]:
        for key in list(source):
            value = _entry(source, key)
            if isinstance(value, str | int | float | bool):
                values[str(key).upper()] = value
    return Header({}, values)


def _entry(mapping: Any, key: Any) -> Any:
    """One entry, None where its card is broken."""
    try:
        return mapping[key]
    except Exception:  # astropy raises VerifyError and others for cards that break the standard
        return None


def _inferred(source: Any, header: Header) -> Inferred | None:
    kinds = [header.text("CTYPE1")]
    kinds += [str(kind) for kind in getattr(getattr(getattr(source, "wcs", None), "wcs", None),
                                            "ctype", [])]  # fmt: skip
    return Inferred("air") if any(kind.startswith("AWAV") for kind in kinds) else None
