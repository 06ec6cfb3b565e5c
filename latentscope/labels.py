"""Label columns as catalogues write them -> numbers, with what stands for a missing value left out.

Catalogues write -999, 99.99 or 0 where nothing was measured. Such a value is far from all others,
and yet many rows share it to the last digit, which measured values do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.errors import ChoiceError, shortened
from latentscope.tables import EMPTY_AMONG_NUMBERS, is_no_label

Missing = Literal["auto", "none"] | Sequence[float] | float | None
"""Values of labels that are missing ones: numbers, "auto" to look for them, or "none"."""

Floats = NDArray[np.float64]

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_PLAIN = re.compile(_NUMBER)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?")
_UNITS = (
    "K|dex|mag|mas|arcsec|deg|rad|%|R_?sun|M_?sun|L_?sun|k?m/s|k?m s\\^?-1|nm|um|m?A|Angstrom|"
    "[MGk]?yr|[MG]a|k?pc|au|AU|d|days?|h|min|s|cm|g/cm3"
)
_WITH_UNIT = re.compile(rf"({_NUMBER})\s*({_UNITS})")
_SEXAGESIMAL = re.compile(
    r"([+-]?)(\d{1,3})[: hd°] ?([0-5]?\d)[: m'′] ?([0-5]?\d(?:\.\d*)?)[s\"″]?"
)
_WITH_ERROR = re.compile(rf"^({_NUMBER})(?:\s*(?:±|\+/?-)\s*{_NUMBER}|\(\d+\))$")
_FORTRAN = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?")
_NINES = re.compile(r"-?(9+(?:\.9+)?)(?:\.0*)?")

_HUGE = 1e19
_INTEGER_LIMITS = (-32768.0, -2147483648.0, 2147483647.0, -9223372036854775808.0)
_CLASSES = 50
_CONTINUOUS = 20
_MANY_ROWS = 5
_ROWS_OF_MINUS_ONE = 3
_USUAL = np.array(
    [sign * 10.0**-k * (10**n - 1) for n in (3, 4, 5) for k in range(n) for sign in (-1, 1)],
    dtype=np.float32,
)
_FEW_STEPS = 300
_CLOSE = 1e-6
"""Relative: 99.99 in a column of float32 is 99.98999786."""


@dataclass(frozen=True)
class CleanLabels:
    """A label table without what stands for missing values.

    Parameters
    ----------
    frame : DataFrame
        With NaN in their place, and numbers where they were written as text.
    left_out : dict of str to dict of float to int
        For each label the values left out, and how many rows had them.
    converted : tuple of str
        What was made of text, in words.
    kept : dict of str to dict of float to int
        Values that look as if they stood for missing ones, where others were named.
    absent : tuple of float
        Values that were named, and that no label has.
    coarse : str
        Labels in single precision so far from 0 that few values of it lie between theirs, in words.
    """

    frame: pd.DataFrame
    left_out: dict[str, dict[float, int]]
    converted: tuple[str, ...] = ()
    kept: dict[str, dict[float, int]] = field(default_factory=dict)
    absent: tuple[float, ...] = ()
    coarse: str = ""

    @property
    def note(self) -> str:
        """Say which values were left out; empty if none were."""
        found = _listed(self.left_out)
        return f"left out, since they stand for missing values: {found}" if found else ""

    @property
    def doubt(self) -> str:
        """Say what the named values leave open; empty if nothing."""
        found, absent = _listed(self.kept), ", ".join(f"{code:.10g}" for code in self.absent)
        words = [f"kept, though they look as if they stood for missing values: {found}"] * bool(
            found
        )
        words += [f"no label has {absent}, which missing names"] * bool(absent)
        return "; ".join(words)

    @property
    def notes(self) -> tuple[str, ...]:
        """Say all that was done."""
        taken = [f"treated as numbers: {shortened(self.converted)}"] if self.converted else []
        return (*taken, *(words for words in (self.note, self.doubt, self.coarse) if words))


def _listed(found: dict[str, dict[float, int]]) -> str:
    return shortened(
        f"{name} {code:.10g} ({count:,} row{'s' * (count > 1)})"
        for name, codes in found.items()
        for code, count in codes.items()
    )


def clean_labels(frame: pd.DataFrame, missing: Missing = "auto") -> CleanLabels:
    """Turn text that surely holds numbers into numbers, and leave out codes of missing values.

    Ids and names are left as they are. `missing` "auto" takes what `find_codes` finds, numbers are
    left out wherever they stand, "none" keeps all; a ChoiceError if it is something else.
    """
    named = _named_codes(missing)
    changed: dict[str, pd.Series] = {}
    left_out: dict[str, dict[float, int]] = {}
    kept: dict[str, dict[float, int]] = {}
    converted = []
    for name in frame.columns:
        if is_no_label(name):
            continue
        before = frame[name]
        column, words = _from_text(before)
        if words:
            converted.append(f"{name}: {words}")
        numbers = _numbers_among(column)
        if numbers is not None and named != []:
            text = int(column.notna().sum()) > 2 * int(np.isfinite(numbers).sum())
            codes = {} if named is None else _present(numbers, named)
            measured = np.where(np.isin(numbers, list(codes)), np.nan, numbers)
            found = _among_text(measured) if text else find_codes(measured)
            if named is None:
                codes, found = found, {}
            if codes:
                if pd.api.types.is_numeric_dtype(column):
                    column = pd.Series(numbers, index=column.index)
                column = column.where(~np.isin(numbers, list(codes)), np.nan)
            for place, values in ((left_out, codes), (kept, found)):
                if values:
                    place[name] = {_rounded(code): count for code, count in values.items()}
        if column is not before:
            changed[name] = column
    clean = frame if not changed else frame.assign(**changed)
    present = {code for codes in left_out.values() for code in codes}
    absent = [code for code in named or () if not np.isclose(code, [*present], rtol=_CLOSE).any()]
    coarse = shortened(filter(None, map(_coarse, (clean[name] for name in clean))))
    words = (
        f"single precision is too coarse here, and finer digits are lost ({coarse}): read these "
        "in double precision, or subtract an offset first"
    )
    return CleanLabels(
        clean, left_out, tuple(converted), kept, tuple(absent), words if coarse else ""
    )


def _coarse(column: pd.Series) -> str:
    """Name a column of few steps of single or half precision from end to end, and its step."""
    if column.dtype not in (np.float32, np.float16):
        return ""
    values = column[np.isfinite(column)].to_numpy()
    if not len(values) or (values == np.round(values)).all() or values.min() == values.max():
        return ""
    step = float(np.spacing(np.abs(values).max()))
    steps = (float(values.max()) - float(values.min())) / step
    return f"{column.name} in steps of {step:.3g}" if steps < _FEW_STEPS else ""


def _named_codes(missing: Missing) -> list[float] | None:
    """Return the numbers of `missing`: none to keep all, None to look for them."""
    if missing is None or (isinstance(missing, str) and missing == "none"):
        return []
    if isinstance(missing, str) and missing == "auto":
        return None
    try:
        named = [] if isinstance(missing, str) else np.atleast_1d(missing).astype(float).tolist()
    except (TypeError, ValueError):
        named = []
    if not named:
        raise ChoiceError(
            f"missing is {missing!r}; expected auto, none, or numbers such as -999, 99"
        )
    return [float(code) for code in named]


def _numbers_among(column: pd.Series) -> Floats | None:
    """Return a column's numbers, shape (n,), also of text such as G, K, -999; None without any."""
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_complex_dtype(column):
        return None
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    kinds = _texts(column)
    numbers = kinds[kinds.str.fullmatch(_NUMBER)] if len(kinds) else kinds
    if not len(numbers):
        return None
    of_text = pd.Series(numbers.astype(np.float64).to_numpy(), index=numbers.to_numpy())
    return np.asarray(column.map(of_text), dtype=np.float64)


def _present(numbers: Floats, named: Sequence[float]) -> dict[float, int]:
    """Count the values of a column that are one of these, in single precision."""
    found: dict[float, int] = {}
    for code in named:
        same = numbers[np.isclose(numbers, code, rtol=_CLOSE, atol=0)]
        for value, count in zip(*np.unique(same, return_counts=True), strict=True):
            found[float(value)] = int(count)
    return found


def find_codes(numbers: Floats) -> dict[float, int]:
    """Find the values of a column, shape (n,), that stand for missing ones, and count their rows.

    They are its lowest or highest values, one after the other: nines (-999, 99.99, 9999), -1 or
    -99 where all else is positive, limits of integers and 1e20, 0 where all else is far from it,
    and single digits with zeros (-1000) very far from all else. How far, and in how many rows, is
    less for what is a custom. Limits, zero counts and classes next to the others are none.
    """
    rest = numbers[np.isfinite(numbers)]
    found: dict[float, int] = {}
    while len(rest):
        lowest, highest = float(rest.min()), float(rest.max())
        if lowest == highest or not (_looks_like_code(lowest) or _looks_like_code(highest)):
            break
        both = rest[(rest != lowest) & (rest != highest)]
        for code, opposite in ((lowest, highest), (highest, lowest)):
            if not _looks_like_code(code):
                continue
            others = rest[rest != code]
            count = len(rest) - len(others)
            # A code at the other end would make the rest seem wide.
            if len(both) and _looks_like_code(opposite) and len(both) + count + 1 < len(rest):
                others = both
            if _stands_for_missing(code, count, others):
                found[code] = count
                rest = rest[rest != code]
                break
        else:
            break
    if len(rest):
        found |= _inside(rest)
    return found


def _among_text(numbers: Floats) -> dict[float, int]:
    """Find nines among names of classes, such as G, K, -999."""
    values, counts = np.unique(numbers[np.isfinite(numbers)], return_counts=True)
    return {
        float(value): int(count)
        for value, count in zip(values, counts, strict=True)
        if _nines(value) >= 2
    }


def _rounded(code: float) -> float:
    """Return the code that was meant, with the digits of single precision."""
    return code if code.is_integer() and abs(code) < _HUGE else float(f"{code:.7g}")


def _nines(code: float) -> int:
    """Count the nines of -999 or 99.99; 0 if there are other digits."""
    text = f"{code:.0f}" if code.is_integer() and abs(code) < _HUGE else f"{code:.7g}"
    match = _NINES.fullmatch(text)
    return match[1].count("9") if match else 0


def _round(code: float) -> bool:
    return float(f"{code:.0e}") == code


def _looks_like_code(code: float) -> bool:
    return _round(code) or _nines(code) > 0 or _beyond_numbers(code)


def _beyond_numbers(code: float) -> bool:
    return abs(code) >= _HUGE or code in _INTEGER_LIMITS


def _stands_for_missing(code: float, count: int, others: Floats) -> bool:
    low, high = float(others.min()), float(others.max())
    width, gap = high - low, low - code if code < low else code - high
    nines = _nines(code)
    if _beyond_numbers(code):
        return gap > width or code < 0 <= low
    if nines >= 2 and (width or nines > 2):
        # Where all else is positive no measured value is -99.
        alone = code < 0 <= low and count >= 2
        wide = gap >= width and count >= 4 - nines
        if alone or wide or (nines > 2 and gap >= width / 2 and count >= 2):
            return True
    if code == -9 and low >= 0 and 0 < width < gap and count >= 2:
        return True
    if count < (_ROWS_OF_MINUS_ONE if code == -1 else _MANY_ROWS) or not _continuous(others):
        return False
    if code < 0 <= low:
        return True
    first, last = np.quantile(others, (0.01, 0.99))
    if code == 0:
        return bool(gap >= 0.4 * (last - first))
    if nines < 2:
        return gap >= (1 if nines else 2) * width
    # Values beyond a limit pile up at it, about where the others end: of these, as many as are
    # piled up span many times the gap.
    near = np.sort(others if code < low else -others)[: count + 1]
    part = max(0.25, _MANY_ROWS / count)
    return bool(gap >= max(part * (near[-1] - near[0]), 0.2 * (last - first)))


def _inside(rest: Floats) -> dict[float, int]:
    """Find nines that lie among other values and are far more frequent."""
    single, found = rest.astype(np.float32), {}
    for code in _USUAL[(single.min() < _USUAL) & (single.max() > _USUAL)]:
        same = single == code
        count = int(np.count_nonzero(same))
        if count >= _MANY_ROWS and _continuous(rest[~same]):
            most = int(np.unique(single[~same], return_counts=True)[1].max())
            if count >= _MANY_ROWS * most:
                found[float(rest[same][0])] = count
    return found


def _continuous(values: Floats) -> bool:
    """Whether values are more than a few classes or counts next to each other."""
    # Most columns show it in their first rows.
    return any(len(np.unique(part)) >= _CONTINUOUS for part in (values[:200], values))


# Numbers written as text.


def _from_text(column: pd.Series) -> tuple[pd.Series, str]:
    """Return the numbers that a text column surely holds, and say what was done.

    Other columns come back as they are.
    """
    kinds = _texts(column)
    if not len(kinds):
        return column, ""
    empty = kinds[kinds.str.lower().isin(EMPTY_AMONG_NUMBERS)]
    filled = kinds[~kinds.isin(empty)]
    count = int(column.notna().sum())
    # So few numbers that someone made text of are classes; a decimal comma makes text of any.
    few = not len(empty) and len(filled) <= min(_CLASSES, count / 2)
    for read, words in [_DECIMAL_COMMAS] if few else _READERS:
        values = read(filled) if len(filled) else None
        if values is not None:
            missing = len(column) - count + int(column.isin(empty).sum())
            gaps = f", {missing:,} of {len(column):,} rows are empty" * (missing > 0)
            numbers = pd.Series(values.to_numpy(), index=filled.to_numpy())
            return column.map(numbers), words and words + gaps
    return column, ""


def _texts(column: pd.Series) -> pd.Series:
    """Return the different texts of a column; none of one that holds anything else."""
    none = pd.Series([], dtype=object)
    if not (pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column)):
        return none
    kinds = pd.Series(column.dropna().unique())
    return kinds if all(isinstance(value, str) for value in kinds) else none


def _plain(text: pd.Series) -> pd.Series | None:
    text = text.str.replace(_FORTRAN, "e", regex=True)
    # 007 is a name.
    if not text.map(lambda value: bool(_PLAIN.fullmatch(value))).all():
        return None
    if text.str.match(r"[+-]?0\d").any():
        return None
    return text.astype(np.float64)


def _thousands(text: pd.Series) -> pd.Series | None:
    """Read 5,777 as 5777 only where a decimal comma is ruled out."""
    commas = text.str.contains(",")
    if not text[commas].map(lambda value: bool(_THOUSANDS.fullmatch(value))).all():
        return None
    if not text[~commas].map(lambda value: bool(_PLAIN.fullmatch(value))).all() or not commas.any():
        return None
    whole = text.str.partition(".")[0]
    certain = (text.str.count(",") > 1) | (commas & text.str.contains(".", regex=False))
    # Without a comma 9999 would be 9,999: all small numbers, and one of them at least.
    small = len(text[~commas]) > 0 and bool((whole[~commas].str.lstrip("+-").str.len() < 4).all())
    if not certain.any() and not small:
        return None
    return text.str.replace(",", "").astype(np.float64)


def _decimal_commas(text: pd.Series) -> pd.Series | None:
    """Read 5777,5 as 5777.5 only where some are surely not thousands."""
    if not text.str.fullmatch(r"[+-]?\d+(?:,\d+)?").all():
        return None
    if not text.str.fullmatch(r"[+-]?(?:0,\d+|\d{4,},\d+|\d+,(?:\d{1,2}|\d{4,}))").any():
        return None
    return text.str.replace(",", ".").astype(np.float64)


def _with_unit(text: pd.Series) -> pd.Series | None:
    matches = [_WITH_UNIT.fullmatch(value) for value in text]
    units = {match[2].strip() if match else "" for match in matches}
    if len(units) > 1 or units == {""}:
        return None
    return pd.Series([float(match[1]) for match in matches if match], index=text.index)


def _with_error(text: pd.Series) -> pd.Series | None:
    values = text.map(lambda value: _WITH_ERROR.sub(r"\1", value))
    return _plain(values) if (values != text).any() else None


def _sexagesimal(text: pd.Series) -> pd.Series | None:
    matches = [_SEXAGESIMAL.fullmatch(value) for value in text]
    values = [
        float(f"{match[1]}1") * (int(match[2]) + int(match[3]) / 60 + float(match[4]) / 3600)
        for match in matches
        if match
    ]
    return pd.Series(values, index=text.index) if len(values) == len(text) else None


def _dates(text: pd.Series) -> pd.Series | None:
    if not text.map(lambda value: bool(_DATE.fullmatch(value))).all():
        return None
    found = pd.to_datetime(text, errors="coerce", format="ISO8601", utc=True)
    return None if found.isna().any() else found.dt.tz_localize(None)


_Reader = tuple[Callable[[pd.Series], pd.Series | None], str]
_DECIMAL_COMMAS: _Reader = (_decimal_commas, "numbers with decimal commas")
_READERS: tuple[_Reader, ...] = (
    (_plain, "numbers written as text"),
    (_dates, ""),  # no numbers; who leaves them out tells it
    (_thousands, "numbers with commas between thousands"),
    _DECIMAL_COMMAS,
    (_with_unit, "numbers with their unit"),
    (_with_error, "numbers with their errors, which are left out"),
    (_sexagesimal, "hours or degrees, minutes and seconds, taken for decimal ones"),
)
