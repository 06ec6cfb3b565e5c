"""Text files: CSV, ECSV and columns between blanks, with or without a line of names."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.columns import (
    MIN_PIXELS,
    Numbers,
    are_names,
    columns_draft,
    looks_like_wavelengths,
    refuse_other_tables,
    row_of,
    table_draft,
)
from latentscope.spectra.draft import Draft, Label, find_wavelength
from latentscope.spectra.headers import Header, in_km
from latentscope.spectra.wavelength import angstrom_per

_COMMENT = ("#", "%", "!", "//")
_FORTRAN = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)")  # the exponent's letter in 1.5D+03
# Fixed columns of Fortran leave no blank before a sign: 1.5D+03-2.5D-01.
_JOINED = re.compile(r"(?<=\d)(?=[+-]\d*\.\d)")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eEdD][+-]?\d+)?")
_MISSING = ["INDEF", "--", "---", "...", "nan(ind)", "-nan(ind)"]
_MISSING += ["*" * width for width in range(1, 31)]  # Fortran's for what is too wide
"""Words for no number, beside those of pandas."""
_MISSING_WORDS = {"", "nan", "-nan", "na", "n/a", "null", "none", *map(str.lower, _MISSING)}
_HEADER_ROWS = 3
_HEAD = 4_000_000  # characters, and lines of them, in which the numbers must begin
_HEAD_LINES = 20_000
_LONGEST_LINE = 100_000  # characters
_MOST_COLUMNS = 1000
_A_LINE_A_PIXEL = (
    "expected one line per pixel, of wavelength and flux; are rows and columns exchanged?"
)
_LONGEST_TEXT = 80_000_000  # bytes, which pandas takes 0.8 GB for
TEXT_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
TEXT_BYTES = bytes(range(32, 256)) + b"\t\r\n\f"


def read_text(data: bytes, key: str | None = None, hdu: int | str | None = None) -> Draft:
    """Read text: CSV, ECSV or columns between blanks, with or without a line of names."""
    if len(data) > _LONGEST_TEXT:
        raise SpectrumError(
            f"text of more than {_LONGEST_TEXT / 1e6:g} MB; write wavelength and flux alone, or as "
            ".npy or FITS"
        )
    wide = data.startswith(TEXT_MARKS)
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # which knows every byte
    text = text.replace("\f", "\n")  # pages of printers
    lines = text[:_HEAD].splitlines(keepends=True)
    # ECSV names its columns line by line.
    _refuse_wide(lines, text.count("\n# - {", 0, _HEAD))
    if text.startswith("# %ECSV"):
        return _read_ecsv(text, key, hdu)
    if hdu is not None:
        raise SpectrumError(f"is not a FITS file, and has no HDU {hdu}; leave hdu out")
    first = _first_row(lines[:_HEAD_LINES])
    if first is None:
        _refuse_words(lines)
        raise SpectrumError("text without a line of numbers; expected columns wavelength and flux")
    layout = _Layout.of(lines[first])
    width = len(layout.split(lines[first]))
    if width > _MOST_COLUMNS:
        raise SpectrumError(f"text with {width} columns; {_A_LINE_A_PIXEL}")
    labels = _column_labels(lines[:first], layout, width)
    body = layout.plain(text[sum(map(len, lines[:first])) :])
    try:
        table = pd.read_csv(
            io.StringIO(body),
            sep=layout.mark or r"\s+",
            decimal="," if layout.decimal_comma else ".",
            header=None,
            comment="#",
            na_values=_MISSING,
            skipinitialspace=True,
            skip_blank_lines=True,
            low_memory=False,  # else columns change their type from one piece to the next
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise SpectrumError(f"text, after line {first}: {error}") from None
    form = "csv" if layout.mark else "text"
    names = [label.name for label in labels]
    labels = labels or [Label("")] * table.shape[1]
    columns = [Numbers.of(table[key].to_numpy()) for key in table.columns]
    if _is_title(labels, columns):
        labels = [Label("")] * len(columns)
    notes = ["numbers: written with decimal commas"] if layout.decimal_comma else []
    esprit = [] if key else _esprit_labels(lines[:first], len(columns))
    if esprit:
        form, labels = "libre-esprit", esprit
    above = 0 if any(label.name for label in labels) else _numbers_above(columns[0].values)
    if above:
        columns = [Numbers(column.values[above:]) for column in columns]
        notes.append(f"rows: the first {above} hold numbers of a header, not pixels")
    if layout.fortran and not names and key is None and _is_phoenix(columns):
        columns = _phoenix(columns)
        form, labels = "phoenix", [Label("wave_vac", "Angstrom"), Label("flux")]
        notes.append("flux: 10 to the power of the second column, as PHOENIX writes it")
    draft = columns_draft(form, labels, columns, key, _header(lines[:first]))
    draft.assumed[:0] = notes
    return draft


_CARD = re.compile(
    r"(?:HIERARCH )?([A-Za-z][\w -]*?)\s*(?:[(\[]([^)\]]*)[)\]]\s*)?[=:]"
    r"\s*'?([^']*?)'?(?:\s+/.*)?\s*"
)


def _header(above: Sequence[str]) -> Header:
    """Keywords of comments above the numbers, ``# BERV = 12.3 km/s``, and all of their words."""
    lines = [line.strip().lstrip("#%!/; ") for line in above if not line.strip()[:1].isalnum()]
    cards = [found for line in lines if (found := _CARD.fullmatch(line))]
    values = {}
    for card in cards:
        velocity = f"{card[3]} {card[2] or ''}"
        values[card[1].upper()] = card[3] if in_km(velocity) == velocity else in_km(velocity)
    return Header({}, {**values, "COMMENT": "\n".join(lines)})


@dataclass(frozen=True)
class _Layout:
    """How to split a line of text into numbers."""

    mark: str | None  # between numbers; None: blanks
    decimal_comma: bool = False
    fortran: bool = False
    joined: bool = False

    @classmethod
    def of(cls, line: str) -> _Layout:
        fortran = bool(_FORTRAN.search(line))
        for mark in (";", "\t", None):
            words = [word.strip() for word in line.split(mark)] if mark or "," in line else []
            commas = [word for word in words if "," in word]
            if commas and len(words) > 1 and all(map(_DECIMAL_COMMA.fullmatch, commas)):
                return cls(mark, decimal_comma=True, fortran=fortran)
        mark = _separator(line)
        return cls(mark, fortran=fortran, joined=mark is None and bool(_JOINED.search(line)))

    def plain(self, text: str) -> str:
        """Write exponents and columns in the form that readers expect."""
        text = _FORTRAN.sub("e", text) if self.fortran else text
        text = _edges(text) if self.mark == "|" else text
        return _JOINED.sub(" ", text) if self.joined else text

    def split(self, line: str) -> list[str]:
        """Words of a line of numbers, with decimal points."""
        words = _split(self.plain(line), self.mark)
        return [word.replace(",", ".") for word in words] if self.decimal_comma else words


def _first_row(lines: Sequence[str]) -> int | None:
    """Index of the first line of numbers that resembles the next, else of the first."""
    previous: tuple[int, int] | None = None
    earliest = None
    for index, line in enumerate(lines):
        if not line.strip():
            continue
        width = _width(line)
        if width and earliest is None:
            earliest = index
        # Headers have counts and ranges in lines of their own.
        if width and previous and width == previous[1]:
            return previous[0]
        previous = (index, width)
    return earliest


def _refuse_wide(lines: Sequence[str], columns: int) -> None:
    """Raise for lines that no table of pixels has, before they are cut into words."""
    longest = max(map(len, lines), default=0)
    if longest > _LONGEST_LINE:
        raise SpectrumError(f"text with a line of {longest} characters; {_A_LINE_A_PIXEL}")
    if columns > _MOST_COLUMNS:
        raise SpectrumError(f"text with {columns} columns; {_A_LINE_A_PIXEL}")


def _refuse_words(lines: Sequence[str]) -> None:
    """Refuse a table with text in its first columns, and say what it looks like."""
    head = next((line for line in lines if line.strip()), "")
    refuse_other_tables("text", _split(re.sub(r"^\s*#\s*", "", head), _separator(head)))


def _numbers_above(values: NDArray[Any]) -> int:
    """How many first rows belong to a header, since their step to the next is odd."""
    if len(values) < MIN_PIXELS or values.dtype.kind not in "fiu":
        return 0
    steps = np.diff(values[: 2 * MIN_PIXELS].astype(np.float64))
    usual = np.median(steps)
    odd = np.flatnonzero(~(np.abs(steps[:_HEADER_ROWS] - usual) < 100 * abs(usual)))
    above = len(odd)
    # Zeros are the padding of a spectrum, and pixels before a gap lie as close as others.
    if (
        not above
        or odd[-1] >= above
        or not values[:above].any()
        or not looks_like_wavelengths(values[above:])
    ):
        return 0
    return above


# A title, the counts of pixels and of columns but the wavelength, and sometimes names: of
# intensity, or of I, V, two null spectra, one error for all. nm (ESPaDOnS and NARVAL:
# folsomcp.github.io/specpolFlow, Tutorials, "standardized .s format"; OPERA, operaExtractProducts).
_ESPRIT_TITLE = re.compile(r"\*+\s*(reduced spectrum|snr) of", re.IGNORECASE)
_ESPRIT_NAMES = {2: ("flux", "error"), 5: ("flux", "V", "N1", "N2", "error")}


def _esprit_labels(above: Sequence[str], width: int) -> list[Label]:
    """Labels of the columns of a file by Libre-ESpRIT; empty for another."""
    titled = next((i for i, line in enumerate(above) if _ESPRIT_TITLE.match(line.strip())), None)
    if titled is None or titled + 1 >= len(above):
        return []
    counts = above[titled + 1].split()
    if len(counts) != 2 or not all(map(str.isdecimal, counts)):
        return []
    names = _ESPRIT_NAMES.get(int(counts[1]))
    if names is None or len(names) + 1 != width:
        raise SpectrumError(
            f"text by Libre-ESpRIT with {counts[1]} columns beside the first; expected 2 "
            "(intensity, error) or 5 (I, V, N1, N2, error): a profile over velocity or a list of "
            "signal to noise? else choose columns by key='wave=1,flux=2'"
        )
    return [Label("wavelength", "nm"), *map(Label, names)]


def _separator(line: str) -> str | None:
    return next((mark for mark in ",;\t|" if mark in line), None)


def _split(line: str, mark: str | None) -> list[str]:
    line = _edges(line) if mark == "|" else line
    return [word.strip().strip('"') for word in line.strip().split(mark)]


def _edges(text: str) -> str:
    """Without the bars at both ends of lines that a table in Markdown has."""
    return re.sub(r"^[ ]*\|[ ]*|[ ]*\|[ ]*$", "", text, flags=re.MULTILINE)


def _width(line: str) -> int:
    """Count of words in a line of numbers, of which the first two must be some; else 0."""
    if line.lstrip().startswith(_COMMENT):
        return 0
    words = _Layout.of(line).split(line)
    # Between commas one may be left out; the second may have a word for that.
    if len(words) < 2 or not _is_number(words[0]):
        return 0
    missing = words[1].lower() in _MISSING_WORDS
    return len(words) if (words[0] if missing else _is_number(words[1])) else 0


def _is_number(word: str) -> bool:
    try:
        float(_FORTRAN.sub("e", word))
    except ValueError:
        return word == ""
    return True


def _column_labels(lines: Sequence[str], layout: _Layout, count: int) -> list[Label]:
    """Labels of the columns from the last line above the numbers that has one word per column.

    It may be a line of units below that of the names (VizieR, IPAC), and a rule below both.
    """
    units: list[str] = []
    for line in reversed(lines):
        words = _words_of(line, layout, count)
        if not line.strip() or (words and not "".join(words).strip("-=+")):
            continue
        if words and not units and _are_units(words):
            units = words
            continue
        if not words:
            break
        bare = [unit.strip("()[]") for unit in units or [""] * count]
        wave = find_wavelength([Label(word) for word in words])
        if wave is not None and angstrom_per(bare[wave]) is None:
            bare[wave] = ""
        return [Label(name, unit) for name, unit in zip(words, bare, strict=True)]
    return []


def _is_title(labels: Sequence[Label], columns: Sequence[Numbers]) -> bool:
    """Whether the words above the numbers call the wrong column wavelength."""
    wave = find_wavelength(labels)
    if not wave or wave >= len(columns) or not all(c.numeric for c in (columns[0], columns[wave])):
        return False
    return looks_like_wavelengths(columns[0].values) and not looks_like_wavelengths(
        columns[wave].values
    )


def _words_of(line: str, layout: _Layout, count: int) -> list[str]:
    """Words of a line above the numbers, if they can be names or units of so many columns."""
    bare = re.sub(r"^\s*(#|%|!|//)\s*", "", line).strip(" |\r\n")
    words = [word.strip(" |") for word in _split(bare, "|" if "|" in bare else layout.mark)]
    if (layout.mark or "|" in bare) and len(words) == count and not all(map(_is_number, words)):
        return words
    # Names above columns between commas may stand between blanks in a comment; as many words
    # may be a title.
    words = _split(bare, None)
    rule = not bare.strip("-=+ ")
    return words if len(words) == count and (rule or are_names(words) or _are_units(words)) else []


def _are_units(words: Sequence[str]) -> bool:
    """Whether one of these is a unit of wavelengths, and none a name of theirs."""
    bare = [word.strip("()[]") for word in words]
    names = find_wavelength([Label(word) for word in words])
    return names is None and any(angstrom_per(word) is not None for word in bare)


def _is_phoenix(columns: Sequence[Numbers]) -> bool:
    """Whether flux and black body stand in the second and third column by their logarithms."""
    if len(columns) < 3 or not all(column.numeric for column in columns[:3]):
        return False
    flux, body = (column.values[np.isfinite(column.values)] for column in columns[1:3])
    if len(flux) < MIN_PIXELS or len(body) < MIN_PIXELS:
        return False
    levels = np.median(flux), np.median(body)
    bounded = np.abs(flux).max() < 100 and np.abs(body).max() < 100
    return bool(bounded and min(np.abs(levels)) > 3 and abs(levels[0] - levels[1]) < 2)


def _phoenix(columns: Sequence[Numbers]) -> list[Numbers]:
    """Wavelengths in order and fluxes per Angstrom."""
    # FORMAT beside the grids of phoenix.ens-lyon.fr: the rows of parallel runs are not sorted.
    wavelength, order = np.unique(columns[0].values, return_index=True)
    return [Numbers(wavelength), Numbers(10.0 ** (columns[1].values[order] - 8.0))]


def _read_ecsv(text: str, key: str | None, hdu: int | str | None) -> Draft:
    from astropy.table import Table

    try:
        table = Table.read(text, format="ascii.ecsv")
    except Exception as error:  # astropy and yaml raise many kinds for a malformed header
        raise SpectrumError(f"ecsv: {error}") from None
    columns = {name: table[name] for name in table.colnames}
    return table_draft("ecsv", columns, {}, table.meta, key, row_of(hdu))
