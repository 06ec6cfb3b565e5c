"""read_spectrum: whatever holds a spectrum, recognized by content and never by file name.

A reader takes what it finds into a `Draft` and leaves units, order, medium, frame and notes to
`draft.finish`. A new format is a reader and a line: in `_read_bytes` here, in `find_spectrum` of
fits.py for one more layout of FITS files.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.draft import Draft, Label, choose, finish
from latentscope.spectra.fits import find_spectrum, plain_fits, read_hdus
from latentscope.spectra.headers import Header, Inferred
from latentscope.spectra.spectrum import Spectrum

# What numpy and struct-like code raise where a header promises what the data do not hold.
_BROKEN = (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError)

# First bytes of what a download may be instead, so that the error says what to do.
_PACKED = {
    b"PK\x03\x04": "a zip archive (or .npz); unpack it and give the file inside",
    b"BZh": "compressed with bzip2; run bunzip2 on it",
    b"\xfd7zXZ": "compressed with xz; run unxz on it",
    b"\x1f\x9d": "compressed with Unix compress; run uncompress on it",
    b"\x89HDF": "an HDF5 file; give (wavelength, flux) read from it",
    b"%PDF": "a PDF document",
}


def read_spectrum(source: Any) -> Spectrum:
    """Read one spectrum: wavelength in Angstrom, flux as it stands, and what the header says.

    Formats are recognized by content: ESO phase-3 products (ADP) and other FITS tables of
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
        return _guarded(lambda: finish(_read_specutils(source), None), "the specutils object")
    if is_pair(source) and not _is_hdulist(source):
        return _guarded(lambda: finish(_read_pair(source), None), "(wavelength, flux)")
    if isinstance(source, np.ndarray):
        return _guarded(lambda: finish(_array_draft(source, "array"), None), "the array")
    data, file = read_source(source)
    return _guarded(lambda: finish(_read_bytes(data, file), file), file or "the bytes given")


def is_pair(source: Any) -> bool:
    """Whether `source` is (wavelength, flux), both with a length of their own."""
    return (
        isinstance(source, tuple | list)
        and len(source) == 2
        and all(hasattr(part, "__len__") and not isinstance(part, str | bytes) for part in source)
    )


def is_specutils(source: Any) -> bool:
    """Whether `source` is a specutils Spectrum or Spectrum1D, told without importing specutils."""
    return hasattr(source, "spectral_axis") and hasattr(source, "flux")


def _is_hdulist(source: Any) -> bool:
    """Whether `source` is an astropy HDUList, told without importing astropy."""
    return isinstance(source, list) and hasattr(source, "writeto")


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
    """Hand the content to the reader that its first bytes call for."""
    if data.startswith(b"SIMPLE  ="):
        return _read_fits(data, file)
    if data.startswith(b"\x93NUMPY"):
        return _read_npy(data)
    if not data[:4096].translate(None, _TEXT_BYTES):
        return _read_text(data)
    raise SpectrumError(
        f"starts with {data[:8]!r}, which is neither FITS, gzip, .npy nor text; expected one of "
        "these"
    )


def read_source(source: Any) -> tuple[bytes, str | None]:
    """Return the content of `source`, gunzipped, and the file's name where it has one.

    Raises
    ------
    SpectrumError
        If it is missing, a folder, empty, unreadable, packed in another way, or no file at all.
    """
    data, file = _content(source)
    name = file or "the bytes given"
    if not data:
        raise SpectrumError(f"{name}: is empty; download or write it again")
    if data.startswith(b"\x1f\x8b"):  # whatever the file's name says
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


def _content(source: Any) -> tuple[bytes, str | None]:
    if isinstance(source, str | os.PathLike):
        return _read_path(os.fspath(source)), os.fspath(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), None
    if _is_hdulist(source):
        file = source.filename() if callable(getattr(source, "filename", None)) else None
        try:
            return plain_fits(source), file
        except Exception as error:  # astropy raises many kinds for closed or broken files
            raise SpectrumError(
                f"{file or 'the HDUList'}: cannot be read ({error}); pass it open, or give the path"
            ) from None
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        file = name if isinstance(name, str) else None
        try:
            content = source.read()
        except (OSError, ValueError) as error:
            raise SpectrumError(f"{file or 'the open file'}: cannot be read ({error})") from None
        return content.encode() if isinstance(content, str) else bytes(content), file
    raise SpectrumError(
        f"a {type(source).__name__} is no spectrum; expected a path, bytes, an open file, an "
        "HDUList, (wavelength, flux), or a specutils object"
    )


def _read_path(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        raise SpectrumError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        if Path(path).is_dir():  # Windows calls it a lack of permission
            raise SpectrumError(f"{path}: is a folder; expected a file with one spectrum") from None
        raise SpectrumError(f"{path}: cannot be read ({error})") from None


def _read_fits(data: bytes, file: str | None) -> Draft:
    hdus = read_hdus(data)
    draft = find_spectrum(hdus, file)
    if draft is not None:
        return draft
    try:
        return _read_with_specutils(data, file or "spectrum.fits")
    except SpectrumError as error:
        raise SpectrumError(
            f"no spectrum found in {'; '.join(map(str, hdus))}. Expected a table with wavelength "
            f"and flux columns, or a one-dimensional image with CRVAL1 and CDELT1; {error}"
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
    draft = _read_specutils(found)
    draft.assumed.append("read by specutils")
    return draft


def _read_specutils(source: Any) -> Draft:
    """Take a specutils spectrum with its uncertainty, mask and header."""
    flux, flux_unit = _numbers(source.flux)
    if flux.ndim != 1:
        raise SpectrumError(
            f"specutils object: flux has shape {flux.shape}; expected one spectrum (n,): index the "
            "one you want"
        )
    wavelength, unit = _wavelengths(source.spectral_axis, "spectral_axis")
    mask = getattr(source, "mask", None)
    header = _meta_header(getattr(source, "meta", None))
    wcs = getattr(getattr(source, "wcs", None), "wcs", None)
    axes = [header.text("CTYPE1"), *(str(kind) for kind in getattr(wcs, "ctype", []))]
    return Draft(
        format="specutils",
        where="specutils object",
        wavelength=wavelength,
        flux=flux,
        unit=unit,
        flux_unit=flux_unit,
        ivar=_uncertainty_ivar(getattr(source, "uncertainty", None), flux.shape),
        mask=None if mask is None else np.array(np.broadcast_to(mask, flux.shape), dtype=bool),
        inferred=Inferred("air") if any(kind.startswith("AWAV") for kind in axes) else None,
        headers=(header,),
    )


def _uncertainty_ivar(uncertainty: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Inverse variance of an NDUncertainty of any of the three kinds; None otherwise."""
    array = getattr(uncertainty, "array", None)
    powers = {"std": -2.0, "var": -1.0, "ivar": 1.0}
    kind = getattr(uncertainty, "uncertainty_type", "")
    if array is None or np.shape(array) != shape or kind not in powers:
        return None
    return np.asarray(np.asarray(array) ** powers[kind])


def _meta_header(meta: Any) -> Header:
    """Keywords of a header kept in `meta`, and the plain entries of `meta` itself."""
    values: dict[str, Any] = {}
    if not isinstance(meta, Mapping):
        return Header({})
    inner = meta.get("header")
    for source in [meta, inner] if isinstance(inner, Mapping) else [meta]:
        for key in list(source):
            try:
                value = source[key]
            except Exception:  # astropy raises VerifyError and others for cards that are broken
                continue
            if isinstance(value, str | int | float | bool):
                values[str(key).upper()] = value
    return Header({}, values)


def _read_pair(source: Any) -> Draft:
    """Take (wavelength, flux): arrays (Angstrom unless sized like nm) or Quantities."""
    wavelength, unit = _wavelengths(source[0], "wavelength")
    flux, flux_unit = _numbers(source[1])
    return Draft("arrays", "(wavelength, flux)", wavelength, flux, unit, flux_unit)


def _numbers(values: Any) -> tuple[NDArray[Any], str]:
    """Numbers and unit of a Quantity or an array."""
    unit = getattr(values, "unit", None)
    return np.asarray(getattr(values, "value", values)), "" if unit is None else str(unit)


def _wavelengths(values: Any, what: str) -> tuple[NDArray[Any], str]:
    """Numbers and unit name of wavelengths; spectral Quantities come in Angstrom."""
    if getattr(values, "unit", None) is None:
        return np.asarray(values), ""
    from astropy import units

    try:
        converted = units.Quantity(values).to(units.AA, equivalencies=units.spectral())
    except units.UnitConversionError:
        raise SpectrumError(
            f"{what} is in {values.unit}; expected a length, frequency or energy"
        ) from None
    return np.asarray(converted.value), "Angstrom"


_COMMENT = ("#", "%", "!", "//")
_FORTRAN = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)")  # the exponent's letter in 1.5D+03
_TEXT_BYTES = bytes(range(32, 256)) + b"\t\r\n\f"


def _read_text(data: bytes) -> Draft:
    """Read text: CSV, ECSV or columns between blanks, with or without a line of names."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # which knows every byte
    if text.startswith("# %ECSV"):
        return _read_ecsv(text)
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if _is_data(line)), None)
    if first is None:
        raise SpectrumError("text without a line of numbers; expected columns wavelength and flux")
    comma = _separator(lines[first])  # None: blanks
    body = "\n".join(lines[first:])
    if _FORTRAN.search(lines[first]):
        body = _FORTRAN.sub("e", body)
    names = _column_names(lines[:first], comma, len(_split(lines[first], comma)))
    try:
        table = pd.read_csv(
            io.StringIO(body),
            sep=comma or r"\s+",
            header=None,
            comment="#",
            skip_blank_lines=True,
            low_memory=False,  # else columns change their type from one piece to the next
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise SpectrumError(f"text, after line {first}: {error}") from None
    labels = [Label(name) for name in names] or [Label("")] * table.shape[1]
    columns = [table[key].to_numpy() for key in table.columns]
    return _columns_draft("csv" if comma else "text", labels, columns)


def _separator(line: str) -> str | None:
    return next((mark for mark in ",;\t" if mark in line), None)


def _split(line: str, mark: str | None) -> list[str]:
    return [word.strip().strip('"') for word in line.strip().split(mark)]


def _is_data(line: str) -> bool:
    """Two or more words, the first two numbers (or, between commas, one of them left out)."""
    if not line.strip() or line.lstrip().startswith(_COMMENT):
        return False
    words = _split(line, _separator(line))
    return len(words) >= 2 and any(words[:2]) and all(_is_number(word) for word in words[:2])


def _is_number(word: str) -> bool:
    try:
        float(_FORTRAN.sub("e", word))
    except ValueError:
        return word == ""
    return True


def _column_names(lines: Sequence[str], mark: str | None, count: int) -> list[str]:
    """Column names from the last line above the numbers that has one word per column."""
    for line in reversed(lines):
        bare = re.sub(r"^\s*(#|%|!|//)\s*", "", line)
        # Names above columns between commas may stand between blanks in a comment.
        for words in (_split(bare, mark), _split(bare, None)):
            if len(words) == count and not all(_is_number(word) for word in words):
                return words
        if line.strip():
            return []
    return []


def _read_ecsv(text: str) -> Draft:
    from astropy.table import Table

    try:
        table = Table.read(text, format="ascii.ecsv")
    except Exception as error:  # astropy and yaml raise many kinds for a malformed header
        raise SpectrumError(f"ecsv: {error}") from None
    labels = [Label(name, str(table[name].unit or "")) for name in table.colnames]
    columns = [
        np.ma.filled(table[name], np.nan)
        if table[name].dtype.kind == "f"
        else np.asarray(table[name])
        for name in table.colnames
    ]
    header = Header({}, {str(key).upper(): value for key, value in table.meta.items()})
    return _columns_draft("ecsv", labels, columns, header)


def _read_npy(data: bytes) -> Draft:
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise SpectrumError(f".npy: {error}; expected an array of numbers") from None
    return _array_draft(array, "npy")


def _array_draft(array: NDArray[Any], form: str) -> Draft:
    """Take a spectrum from one array: named fields, or wavelength, flux (and error) as rows."""
    if array.dtype.names:
        labels = [Label(name) for name in array.dtype.names]
        return _columns_draft(form, labels, [array[name] for name in array.dtype.names])
    if array.ndim != 2 or min(array.shape) not in (2, 3) or array.dtype.kind not in "fiu":
        raise SpectrumError(
            f"{form}: {array.dtype} of shape {array.shape}; expected numbers of shape (2, n) or "
            "(n, 2): wavelength and flux"
        )
    # Of three by three pixels nobody can tell; spectra have more.
    rows = array if array.shape[0] <= 3 else array.T
    return _columns_draft(form, [Label("")] * len(rows), list(rows))


def _columns_draft(
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
        raise SpectrumError(f"{form}: one column; expected at least wavelength and flux")
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
        error=_as_float(error),
        ivar=_as_float(ivar),
        mask=None if quality is None or quality.dtype.kind not in "fiub" else quality != 0,
        medium=None if choice is None else choice.medium,
        inferred=None if choice is None else choice.inferred,
        headers=() if header is None else (header,),
        assumed=notes,
    )


def _as_float(values: NDArray[Any] | None) -> NDArray[Any] | None:
    """Make floats of a column's numbers, since integers would overflow in squares; else None."""
    if values is None or values.dtype.kind not in "fiu":
        return None
    return values if values.dtype.kind == "f" else values.astype(np.float64)
