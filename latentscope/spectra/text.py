"""Text files: CSV, ECSV and columns between blanks, with or without a line of names."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from latentscope.errors import SpectrumError
from latentscope.spectra.columns import columns_draft
from latentscope.spectra.draft import Draft, Label
from latentscope.spectra.headers import Header

_COMMENT = ("#", "%", "!", "//")
_FORTRAN = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)")  # the exponent's letter in 1.5D+03
TEXT_BYTES = bytes(range(32, 256)) + b"\t\r\n\f"


def read_text(data: bytes) -> Draft:
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
    return columns_draft("csv" if comma else "text", labels, columns)


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
    return columns_draft("ecsv", labels, columns, header)
