"""Spectra in text: CSV, ECSV, columns between blanks; and in numpy's .npy files."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.columns import Label, choose
from latentscope.spectra.draft import Draft
from latentscope.spectra.fitsfile import Header

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
