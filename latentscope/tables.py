"""One file of numbers -> its 2-d arrays and its columns; which columns are ids or dimensions."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.errors import TableError, meant, printable, shortened, warn
from latentscope.files import MAX_BYTES, atomic_path, write_json

ID_COLUMNS = ("id", "archive_id", "dp_id", "file")
"""Columns that name a row, in the order in which they are tried for a join; `*_id` counts too."""

STAR_COLUMNS = ("star", "object")
"""Columns that name what was observed: the same value on many rows is nothing unusual."""

_INDEX_COLUMNS = ("index", "level_0")
"""What pandas calls an index without a name in a file, but for `Unnamed: 0`."""

_PACKED = (".gz", ".bz2", ".fz")
_FITS = (".fits", ".fit", ".fts")
_FORMATS = (*_FITS, ".csv", ".ecsv", ".tsv", ".txt", ".dat", ".asc", ".ascii", ".npy")
_LATENT_NAME = re.compile(r"(?:(?:z|dim|latent|mean|mu)[ _]?)?(\d+)", re.IGNORECASE)
_SHOWN = 8
_EMPTY_TEXT = ("", "nan", "n/a", "#n/a", "<na>", "null", "--", "---", "nat",
               # Excel's, of a formula that fails
               "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!")  # fmt: skip
_EMPTY_TEXT_EXACTLY = ("NA", "None")
"""As pandas has it in a CSV; Na may be sodium."""
EMPTY_AMONG_NUMBERS = ("-", "...", "indef", "masked", "none", "na")
_SWOLLEN = 100  # times its size that no file of measured numbers unpacks to
_FORMULA = re.compile(r"'*[=+\-@].")


@dataclass(frozen=True)
class Contents:
    """Contents of a file: 2-d arrays by name, columns with one value per row, where it is from."""

    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    frame: pd.DataFrame | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


def is_id_column(name: str) -> bool:
    """Whether a column of that name identifies a row: `id`, `file`, `dp_id`, `gaia_id`, ...

    A saved index does too: `index`, `level_0`, `Unnamed: 0`.
    """
    name = name.lower()
    return name in ID_COLUMNS or name.endswith("_id") or is_index_column(name)


def is_index_column(name: str) -> bool:
    """Whether a column of that name is the index of a DataFrame that was saved as a column."""
    name = name.lower()
    return name in _INDEX_COLUMNS or name.startswith("unnamed: ")


def names_row(name: str) -> bool:
    """Whether a column of that name identifies a row or names its star."""
    return is_id_column(name) or name.lower() in STAR_COLUMNS


def is_no_label(name: str) -> bool:
    """Whether a column of that name names rows or stars, or says whether they could be encoded."""
    return names_row(name) or name.lower() in ("status", "error")


def find_column(table: pd.DataFrame, name: str) -> pd.Series | None:
    """Return the column of a table of that name, else of that name in another case, else None."""
    return next(iter(find_columns([table], [name])), None)


def find_columns(tables: Iterable[pd.DataFrame], names: Sequence[str]) -> list[pd.Series]:
    """Return all columns of those names, in any case, table by table, exact names first."""
    found = []
    for table in tables:
        for name in names:
            alike = [own for own in table.columns if str(own).lower() == name.lower()]
            found += [table[own] for own in sorted(alike, key=lambda own: own != name)]
    return found


def counts_rows(values: pd.Series | pd.Index) -> bool:
    """Whether whole numbers are 0 ... n-1 or 1 ... n in order, which says nothing of a row."""
    if not pd.api.types.is_integer_dtype(values.dtype) or values.hasnans or not len(values):
        return False
    numbers = values.to_numpy(dtype=np.int64)
    return numbers[0] in (0, 1) and bool((np.diff(numbers) == 1).all())


def numbers_dimension(name: str) -> bool:
    """Whether a column of that name is a dimension: `0`, `z3`, `dim_12`, `latent 5`."""
    return bool(_LATENT_NAME.fullmatch(name))


def numbered_columns(names: list[str], source: str) -> list[str]:
    """Return the names that number dimensions (`0`, `z3`, `dim_12`), in order of their numbers.

    If these are not 0, 1, ..., a warning says which dimension is which column.
    """
    numbers = {name: int(match[1]) for name in names if (match := _LATENT_NAME.fullmatch(name))}
    latent = sorted(numbers, key=lambda name: numbers[name])
    if [numbers[name] for name in latent] != list(range(len(latent))):
        places = [f"dim {dim} is column {name}" for dim, name in enumerate(latent[:_SHOWN])]
        warn(
            f"{source}: its columns of latents are not numbered 0 ... {len(latent) - 1}; dims are "
            f"their places in order of number: {', '.join(places)}"
            + (", ..." if len(latent) > _SHOWN else "")
        )
    return latent


def file_id(name: str) -> str:
    """Return the id of a file: its name without folders and without the suffixes of its format.

    One suffix of packing and one of a format are taken off and no others, since archive names hold
    dots: `ADP.2014-09-16T11:04:49.123.fits.gz` gives `ADP.2014-09-16T11:04:49.123`.
    """
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    for suffixes in (_PACKED, _FORMATS):
        stem, dot, suffix = name.rpartition(".")
        if stem and dot + suffix.lower() in suffixes:
            name = stem
    return name


# Catalogs in whose names blanks, hyphens and leading zeros before the number say nothing. In those
# of BD, CD and 2MASS a hyphen is the sign of a declination, and K2-18 is not K 218.
_CATALOGS = "hd hip hr gj gl gliese toi tic koi epic lhs ltt nltt sao wasp corot kepler kic ross"
_STAR_NAME = re.compile(rf"({'|'.join(_CATALOGS.split())})[-_.]*0*(\d.*)")
_ZONE = re.compile(r"^((?:bd|cd|cpd) ?[+-] ?)(\d{1,2}) (?=\d)")
_SAME_CATALOG = {"gl": "gj", "gliese": "gj"}
_PLANET = re.compile(r"(?<=[\d\s])\s*([b-j])$")  # alf Cen B is a star
_STAR_MARKS = re.compile(r"^((v\*|\*|name\s)\s*)+")  # SIMBAD's, for a variable, a double, a name


def star_name(name: object) -> str:
    """Return a star's name in one spelling for all: GJ 581, Gl581 and GL-0581 are "gj581".

    Lower case, without blanks and underscores, but for a hyphen between two numbers; numbers of
    common catalogs follow the catalog's name at once. A planet is no star: its letter, lower case
    behind other capitals, follows a dot. What two catalogs call the same star stays two names.

    >>> star_name("HD 010700"), star_name("* tau Cet"), star_name("BD-12 4523")
    ('hd10700', 'taucet', 'bd-124523')
    >>> star_name("HD 189733 B"), star_name("HD 189733 b")
    ('hd189733b', 'hd189733.b')
    >>> star_name("TYC 12 345 1"), star_name("BD+1 2345"), star_name("BD+12 345")
    ('tyc12-345-1', 'bd+012345', 'bd+12345')
    """
    text = " ".join(str(name).replace("_", " ").split())
    # A name all in lower case, as this returns, stays.
    if not text.islower():
        text = _PLANET.sub(r".\1", text)
    text = _STAR_MARKS.sub("", text.lower())
    # The zone of a survey has two digits, and is written without a blank behind it too.
    text = _ZONE.sub(lambda found: f"{found[1]}{found[2]:0>2}", text)
    text = re.sub(r"(?<=\d) (?=\d)", "-", text).replace(" ", "")
    known = _STAR_NAME.fullmatch(text)
    return _SAME_CATALOG.get(known[1], known[1]) + known[2] if known else text


def _numbers_rows(index: pd.Index) -> bool:
    """Whether an index numbers rows, perhaps those of a table from which some were chosen."""
    if not pd.api.types.is_integer_dtype(index.dtype) or not len(index):
        return len(index) == 0
    return bool(index.min() >= 0 and index.max() < 10 * len(index))


def tidy(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return a copy with text column names, a plain index, and text that says empty as missing.

    An index that says more than the number of the row becomes a column, by its name or `index`, so
    that tables indexed by id keep it. Decimals become floats, but for those that are ids, which may
    have more digits. A TableError if two columns share a name, or a cell holds an array.
    """
    named = any(name is not None for name in frame.index.names)
    frame = frame.reset_index(drop=not named and _numbers_rows(frame.index))
    frame.columns = pd.Index(
        [
            # Of several levels, as in a pivot table.
            " ".join(str(level) for level in name if level != "").strip()
            if isinstance(name, tuple)
            else str(name).strip()
            for name in frame.columns
        ]
    )
    repeated = sorted(set(frame.columns[frame.columns.duplicated()]))
    if repeated:
        raise TableError(f"{source}: several columns are named {', '.join(repeated)}; rename them")
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = _without_empty_text(frame[name], name, source)
    return frame


def _without_empty_text(column: pd.Series, name: str, source: str) -> pd.Series:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if not (pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column)):
        return column
    values = [_plain_text(value) for value in column]
    if any(isinstance(value, (list, tuple, dict, np.ndarray)) for value in values):
        raise TableError(f"{source}: column {name} holds arrays; expected one value per row")
    if not is_id_column(name):
        values = [float(value) if isinstance(value, Decimal) else value for value in values]
    column = pd.Series(values, index=column.index, dtype=object)
    found = column.infer_objects()
    floats = pd.api.types.is_float_dtype(found)
    if floats and beyond_floats(found).any() and pd.api.types.infer_dtype(column) == "integer":
        return column.astype("Int64")  # a gap made floats of whole numbers
    return found


def says_empty(text: str) -> bool:
    """Whether a cell says in words that it is empty, such as N/A or --."""
    return text.lower() in _EMPTY_TEXT or text in _EMPTY_TEXT_EXACTLY


def _plain_text(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, str):
        value = value.strip()
        return np.nan if says_empty(value) else value
    return np.nan if value is None or value is pd.NA else value


def without_mask(values: Any) -> NDArray[Any]:
    """Return an array in which masked cells are missing: NaN among numbers, else None.

    In this machine's byte order. Takes `numpy.ma`, astropy's `Masked`, whose unit is dropped, and
    tensors of torch, which may have gradients, lie on a GPU, or be bfloat16.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":
            values = values.float()
    if hasattr(values, "unmasked"):
        values = np.ma.MaskedArray(values.unmasked, values.mask)
    if not np.ma.isMaskedArray(values):
        return native(np.asarray(values))
    # Without the unit that a subclass of ndarray may have.
    array, mask = native(np.asarray(np.ma.getdata(values))), np.ma.getmaskarray(values)
    if array.dtype.names or not mask.any():
        return array
    if array.dtype.kind in "iu" and not beyond_floats(array).any():
        array = array.astype(np.float64)
    filled = array.copy() if array.dtype.kind in "fc" else array.astype(object)
    filled[mask] = np.nan if filled.dtype.kind in "fc" else None
    return filled


_EXACT = 2**53


def beyond_floats(values: ArrayLike) -> NDArray[np.bool_]:
    """Which numbers are so large that floats no longer tell whole ones apart, as ids of Gaia."""
    array = np.asarray(values)
    return np.asarray((array > _EXACT) | (array < -_EXACT))


def _columns_of(records: Any) -> dict[str, NDArray[Any]]:
    """Return the columns of a structured array by name, masked cells missing."""
    columns = {name: without_mask(records[name]) for name in records.dtype.names}
    # A table of FITS says which whole number is none.
    nulls = {each.name: each.null for each in getattr(records, "columns", ())}
    for name, null in nulls.items():
        if isinstance(null, int) and columns[name].dtype.kind in "iu":
            columns[name] = without_mask(np.ma.masked_equal(columns[name], null))
    return columns


def is_astropy_table(source: Any) -> bool:
    """Whether this is a `Table` or `QTable` of astropy, which is not imported for the answer."""
    return hasattr(source, "colnames") and hasattr(source, "to_pandas")


def from_other_frames(source: Any) -> Any:
    """Return the DataFrame of a table of polars or arrow; anything else as it is."""
    other = hasattr(source, "to_pandas") and not is_astropy_table(source)
    return source.to_pandas() if other else source


def is_structured(source: Any) -> bool:
    """Whether this is an array whose columns have names, such as a table of FITS."""
    return bool(getattr(getattr(source, "dtype", None), "names", None))


def table_contents(source: Any, name: str) -> Contents:
    """Read an astropy table or a structured array, column by column."""
    plain = is_structured(source) and not is_astropy_table(source)
    contents = _from_arrays(_columns_of(source), name) if plain else _from_astropy(source)
    frame = None if contents.frame is None else tidy(contents.frame, name)
    return Contents(contents.arrays, frame)


def numeric_matrix(values: ArrayLike, source: str) -> NDArray[np.floating[Any]]:
    """Return values as a float array (n, d); TableError says of `source` why they are not one."""
    array = without_mask(values)
    if array.ndim != 2 or array.shape[1] == 0:
        raise TableError(
            f"{source}: has shape {array.shape}; expected (n, d), one row per spectrum"
            + (": reshape(-1, 1) makes one dimension of it" if array.ndim == 1 else "")
        )
    if array.dtype.kind in "iub":
        return array.astype(np.float64)
    if array.dtype.kind != "f":
        raise TableError(f"{source}: holds {array.dtype}; expected numbers")
    return array


def read_contents(path: Path, key: str | None = None) -> Contents:
    """Read a file of latents or labels, recognized by its suffix (`_READERS`).

    `key` is the array to take of several, `group/array` in HDF5; `logvar` comes with it. A
    TableError says why a file cannot be read.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "a device, a pipe or a socket"
        what = f"is {what}; expected a file of numbers" if path.exists() else "no such file"
        raise TableError(f"{path}: {what}")
    suffix = next((end for end in _READERS if path.name.lower().endswith(end)), None)
    if suffix is None:
        advice = _INSTEAD.get(path.suffix.lower(), "")
        raise TableError(
            f"{path}: unknown kind of table; expected one of {', '.join(_READERS)}{advice}"
        )
    try:
        contents = _READERS[suffix](path)
    except TableError:
        raise
    except ImportError as error:
        # pandas does not name what it lacks in a way that a program can read.
        package = error.name or "pyarrow"
        raise TableError(
            f"{path}: reading {path.suffix} needs the package {package}: pip install {package}"
        ) from error
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    except Exception as error:
        if "Object arrays" in str(error):
            raise TableError(
                f"{path}: holds Python objects, which run code when they are loaded, and are not "
                "read; load it where you trust it, and save np.asarray(values, dtype=float), or a "
                "table as .csv"
            ) from None
        # numpy takes what is no array for a pickled one.
        reason = "it holds no array" if "allow_pickle" in str(error) else error
        raise TableError(f"{path}: cannot be read as {suffix}: {reason}") from error
    arrays = contents.arrays
    if key is not None:
        if key not in arrays:
            raise TableError(
                f"{path}: has no array {key!r}{meant(key, arrays)} of several values per row; "
                f"it has {', '.join(arrays) or 'none, only columns'}"
            )
        arrays = {name: array for name, array in arrays.items() if name in (key, "logvar")}
    frame = None if contents.frame is None else tidy(_masked(contents.frame), str(path))
    return replace(contents, arrays=arrays, frame=frame)


def _masked(frame: pd.DataFrame) -> pd.DataFrame:
    """Apply the masks that astropy writes beside columns in Parquet and HDF5, as `logg.mask`."""
    for mask in frame.columns:
        name = str(mask).removesuffix(".mask")
        if name != mask and name in frame and pd.api.types.is_bool_dtype(frame[mask]):
            frame = frame.assign(**{name: frame[name].mask(frame[mask])}).drop(columns=mask)
    return frame


def _read_csv(path: Path) -> Contents:
    """Read a CSV with its id columns as text, so that 64-bit ids and leading zeros survive."""
    head = _head(path)
    if not head.names:
        raise TableError(f"{path}: cannot be read: it is empty")
    _check_names(path, head.names)
    count, comments = _check_rows(path, head)
    if not count:
        return Contents(frame=pd.DataFrame(columns=head.names))
    text = {
        name
        for name in head.names
        if (is_id_column(name) and not is_index_column(name)) or name.lower() in STAR_COLUMNS
    }
    frame = _rows_of_csv(path, head, comments, text)
    # A gap makes floats of whole numbers, which then lack the last digits of an id of Gaia.
    large = {
        str(name)
        for name in frame.select_dtypes("float")
        if name not in text and beyond_floats(frame[name]).any()
    }
    again = _rows_of_csv(path, head, comments, large) if large else frame
    for name in large:
        column = again[name]
        filled = column.dropna().astype(str)
        if filled.str.fullmatch(r"\s*[+-]?\d+\s*").all() and filled.map(int).abs().max() < 2**63:
            whole = [int(value) if isinstance(value, str) else None for value in column]
            frame[name] = pd.array(whole, dtype="Int64")
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].map(_without_apostrophe)
    return Contents(frame=frame)


def _rows_of_csv(path: Path, head: _Head, skipped: list[int], text: set[str]) -> pd.DataFrame:
    """Read the rows below the names, the columns `text` as text."""
    with _opened(path, "rt", head.encoding) as file:
        # pandas would count a name of two lines as one.
        for _ in islice(file, head.lines):
            pass
        # Without index_col and usecols, pandas takes the first column of rows that end in a comma
        # for an index.
        frame: pd.DataFrame = pd.read_csv(
            file,
            sep=head.separator,
            header=None,
            names=head.names,
            dtype=dict.fromkeys(text, str),
            low_memory=False,
            skipinitialspace=True,
            skiprows=skipped,
            index_col=False,
            usecols=range(len(head.names)),
            na_values=["--", "---", "NaT"],
        )
    return frame


@dataclass(frozen=True)
class _Head:
    """What stands above the rows of a CSV: names, and how many lines there are."""

    encoding: str
    separator: str
    names: list[str]
    lines: int


def _head(path: Path) -> _Head:
    """Find the names of a CSV below comments (``#``), and rows of units and rules below the names.

    So write VizieR and IPAC. Excel may write ``sep=;`` above all. Names in the last comment are
    those of the columns if there are no others.
    """
    with _opened(path, "rb") as binary:
        wide = binary.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding = "utf-16" if wide else "utf-8-sig"
    with _opened(path, "rt", encoding) as file:
        lines = list(islice(file, _HEAD_LINES))
    if any("\0" in line for line in lines):
        raise TableError(f"{path}: is not UTF-8 text, since it holds zero bytes; save it as UTF-8")
    above = 0
    while above < len(lines) and _ABOVE.match(lines[above]):
        above += 1
    body = lines[above:]
    separator = max(",;\t ", key=lambda mark: _fields(body, mark))
    reader = csv.reader(body, delimiter=separator, skipinitialspace=True)
    names = _words(next(reader, []))
    comment = lines[above - 1].lstrip(" #") if above and lines[above - 1].startswith("#") else ""
    comments = _words(next(csv.reader([comment], delimiter=separator, skipinitialspace=True), []))
    named = any(map(_is_number, names)) or any(map(names_row, comments[:1]))
    named = named and names != [str(dim) for dim in range(len(names))]
    count = reader.line_num
    if len(comments) == len(names) > 1 and not any(map(_is_number, comments)):
        if named:
            names, count = comments, 0
        elif all(map(str.isidentifier, comments)):
            warn(
                f"{path}: {shortened(names)} are taken for the names of its columns, and "
                f"{shortened(comments)} for a comment; if these are the names, take off the #"
            )
    rows = [(reader.line_num, _words(row)) for row in islice(filter(None, reader), _HEAD_ROWS)]
    units: list[str] = []
    for (line, row), (_, below) in pairwise(rows):
        rule = all(field and not field.strip("-=") for field in row) and max(map(len, row)) > 3
        if not rule and (units or not _are_units(names, row, below)):
            break
        units, count = units if rule else row, line
    if units:
        warn(
            f"{path}: the row below the names is taken for units and not read: "
            f"{shortened(unit for unit in units if unit.strip('-'))}"
        )
    names = [name or f"Unnamed: {place}" for place, name in enumerate(names)]
    return _Head(encoding, separator, names, above + count)


_HEAD_LINES = 10_000
_HEAD_ROWS = 4  # of which units and rules are some
_ABOVE = re.compile(r"\s*(#|sep=.\s*$|$)")


def _words(row: list[str]) -> list[str]:
    return [field.strip() for field in row]


def _are_units(names: list[str], row: list[str], below: list[str]) -> bool:
    """Whether a row says units: text only, above numbers or below them a rule, and no name."""
    said = [
        (name, field, other)
        for name, field, other in zip(names, row, below, strict=False)
        if field.strip("-")
    ]
    return bool(said) and all(
        not _is_number(field)
        and not says_empty(field)
        and field.lower() not in (*EMPTY_AMONG_NUMBERS, "unknown")
        and not names_row(name)
        and (_is_number(other) or re.match(r"[+-]?\d+[: ]\d+[: ]\d|-{2,}$", other))
        for name, field, other in said
    )


def _without_apostrophe(value: Any) -> Any:
    protected = isinstance(value, str) and value.startswith("'") and _FORMULA.match(value)
    return value[1:] if protected else value


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, without the index.

    Text that begins as a formula does (``=``, ``+``, ``-``, ``@``) and is no number, a spreadsheet
    would compute: an apostrophe before it says that it is text, and `read_contents` takes it off.
    Control characters become escapes (`printable`).
    """
    frame = frame.copy(deep=False)
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].map(_cell)
    frame.to_csv(path, index=False)


def write_table(path: Path, table: pd.DataFrame, provenance: Mapping[str, Any]) -> None:
    """Write a result's table as CSV, and its provenance as .json beside it, each whole."""
    with atomic_path(path) as temporary:
        write_csv(table, temporary)
    write_json(path.with_suffix(".json"), provenance)


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if _FORMULA.match(text) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _opened(path: Path, mode: str, encoding: str | None = None) -> Any:
    opened: Any = gzip.open if path.name.lower().endswith(".gz") else open
    return opened(path, mode, encoding=encoding, newline=None if encoding is None else "")


def _fields(lines: list[str], separator: str) -> int:
    """Fields of the names or of the row below, the fewer: names may contain any mark."""
    rows = list(islice(filter(None, csv.reader(lines, delimiter=separator)), 2))
    if separator == " " and len(rows) == 2:
        rows = [line.split() for line in lines if line.strip()][:2]
        # Text holds blanks as well.
        if len({*map(len, rows)}) != 1 or not _is_number(rows[-1][-1]):
            return 0
    return min(map(len, rows), default=0)


def _check_rows(path: Path, head: _Head) -> tuple[int, list[int]]:
    """Return how many rows there are, none of them wider than the names, and which are comments."""
    count, width, comments, short = 0, len(head.names), [], 0
    with _opened(path, "rt", head.encoding) as file:
        lines = islice(file, head.lines, None)
        reader = csv.reader(lines, delimiter=head.separator, skipinitialspace=True)
        for number, row in enumerate(reader):
            if row and row[0].startswith("#") and not says_empty(row[0].strip()):
                comments.append(number)
                continue
            filled = row not in ([], [""])
            count += filled
            short += filled and len(row) < width
            if len(row) > width and (len(row) > width + 1 or row[-1].strip()):
                raise TableError(
                    f"{path}: row {head.lines + reader.line_num} has {len(row)} fields, the header "
                    f"{width}; expected a name for each column, and quotes around text that holds "
                    f"{head.separator!r}"
                )
    if not count:  # names
        return len(comments), []
    words = [f"left out, since they begin with #: {len(comments)} rows"] * bool(comments)
    words += [f"filled up, since they have fewer fields than names: {short} rows"] * bool(short)
    for each in words:
        warn(f"{path}: {each}")
    return count, comments


def _check_names(path: Path, names: list[str]) -> None:
    """Refuse names that pandas would change, and numbers in the place of names."""
    repeated = [name for name, count in Counter(names).items() if name and count > 1]
    if all(map(_is_number, names)) and not all(map(numbers_dimension, names)):
        raise TableError(
            f"{path}: its first row holds numbers ({', '.join(names[:3])}), which would be lost as "
            "names of columns; expected names there, such as z0,z1,..."
        )
    if repeated:
        raise TableError(f"{path}: several columns are named {', '.join(repeated)}; rename them")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; a TableError if the file holds anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TableError(f"{path}: is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise TableError(f"{path}: holds a {type(value).__name__}; expected a JSON object")
    return value


def provenance_beside(path: Path) -> dict[str, Any] | None:
    """Return what the .json beside a result says, if latentscope wrote it; else None."""
    try:
        value = read_json(path.with_suffix(".json"))
    except (OSError, TableError):
        return None
    ours = not value or "latentscope" in value or "latentscope" in (value.get("provenance") or ())
    return value if ours else None


def _from_arrays(arrays: Mapping[str, NDArray[Any]], source: str) -> Contents:
    """Put arrays of one value per row together in a table, and leave the others as they are."""
    matrices = {name: array for name, array in arrays.items() if array.ndim >= 2}
    columns = {name: native(array) for name, array in arrays.items() if array.ndim == 1}
    rows = {len(array) for array in matrices.values()}
    if rows:  # beside vectors, what has one value for each
        other = [name for name, column in columns.items() if len(column) not in rows]
        if other:
            warn(f"{source}: left out, since they have not one value per row: {shortened(other)}")
        columns = {name: column for name, column in columns.items() if name not in other}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        sizes = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise TableError(
            f"{source}: its columns differ in length ({sizes}); expected one value per row"
        )
    return Contents(matrices, pd.DataFrame(columns) if columns else None)


def native(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array in this machine's byte order, which pandas and numba want."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _read_npy(path: Path) -> Contents:
    array = native(np.load(path, allow_pickle=False))
    if array.dtype.names:
        return _from_arrays(_columns_of(array), str(path))
    return Contents({path.stem: array})


def _read_npz(path: Path) -> Contents:
    with np.load(path, allow_pickle=False) as archive:
        size = sum(member.file_size for member in archive.zip.infolist())
        if size > MAX_BYTES and size > _SWOLLEN * path.stat().st_size:
            raise TableError(f"{path}: unpacks to {size / 1e9:.3g} GB of almost nothing but zeros")
        return _from_arrays({name: archive[name] for name in archive.files}, str(path))


def _read_hdf5(path: Path) -> Contents:
    """Read columns at the top level, arrays of vectors anywhere, and compound tables.

    Images and spectra, which files of embeddings hold beside these, stay where they are.
    """
    import h5py

    found: dict[str, NDArray[Any]] = {}

    def take(name: str, item: Any) -> None:
        # astropy puts a YAML header beside its tables.
        if not isinstance(item, h5py.Dataset) or name.endswith("__table_column_meta__"):
            return
        if item.dtype.names:
            found.update(_columns_of(item[()]))
        elif item.ndim == 2 or (item.ndim == 1 and "/" not in name):
            found[name] = native(np.asarray(item[()]))

    with h5py.File(path, "r") as file:
        file.visititems(take)
    if not found:
        raise TableError(f"{path}: has no array of one or two dimensions")
    return _from_arrays(found, str(path))


def _read_parquet(path: Path) -> Contents:
    """Read a table, with our provenance; columns of lists of one length become arrays."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    # As we write them; pandas would make an object of each row.
    fixed = {
        name: np.concatenate(
            [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table[name].chunks]
        ).reshape(len(table), -1)
        for name, kind in zip(table.column_names, table.schema.types, strict=True)
        if pa.types.is_fixed_size_list(kind) and len(table) and not table[name].null_count
    }
    frame = table.drop_columns(list(fixed)).to_pandas()
    if not frame.index.is_monotonic_increasing:  # the order of a table that was shuffled
        frame = frame.reset_index()
    vectors = {name: _stacked(frame[name]) for name in frame.columns}
    arrays = {str(name): array for name, array in vectors.items() if array is not None}
    rest = frame.drop(columns=[name for name, array in vectors.items() if array is not None])
    found = (pq.read_metadata(path).metadata or {}).get(PROVENANCE)
    provenance = json.loads(found) if found else {}
    return Contents(fixed | arrays, rest if len(rest.columns) else None, provenance)


def _stacked(column: pd.Series) -> NDArray[Any] | None:
    """Return the lists of a column as rows, NaN where one is missing; None of anything else."""
    filled = column.dropna()
    if not len(filled) or not all(isinstance(cell, np.ndarray | list) for cell in filled):
        return None
    size = len(filled.iloc[0])
    if not size or any(np.ndim(cell) != 1 or len(cell) != size for cell in filled):
        return None
    rows = np.full((len(column), size), np.nan)
    rows[column.notna().to_numpy()] = np.stack([np.asarray(cell, dtype=float) for cell in filled])
    return rows


def _from_astropy(table: Any) -> Contents:
    """Read a `Table` or `QTable`: masked cells are missing, and units are dropped."""
    matrices = {name: without_mask(table[name]) for name in table.colnames if table[name].ndim >= 2}
    flat = [name for name in table.colnames if name not in matrices]
    return Contents(matrices, table[flat].to_pandas(index=False) if flat else None)


def _read_ecsv(path: Path) -> Contents:
    from astropy.table import Table

    return _from_astropy(Table.read(path, format="ascii.ecsv"))


def _longest(path: Path, rows: Mapping[int, int]) -> int:
    """Number of the first of a file's longest tables; says so if there are several.

    What is said of a catalog as a whole stands in a table of its own.
    """
    number = max(rows, key=lambda number: rows[number])
    if len(rows) > 1:
        warn(
            f"{path}: of its {len(rows)} tables number {number} is read, the first of the longest "
            f"({rows[number]:,} rows)"
        )
    return number


def _read_votable(path: Path) -> Contents:
    from astropy.io.votable import parse

    with warnings.catch_warnings():
        # Archives write many a VOTable that the standard does not allow.
        warnings.simplefilter("ignore")
        tables = list(parse(path, verify="ignore").iter_tables())
        found = [table.to_table(use_names_over_ids=True) for table in tables]
    rows = {number: len(table) for number, table in enumerate(found, start=1)}
    if not rows:
        raise TableError(f"{path}: has no table")
    return _from_astropy(found[_longest(path, rows) - 1])


def _read_fits(path: Path) -> Contents:
    from astropy.io import fits
    from astropy.table import Table

    with fits.open(path) as hdus:
        rows: dict[int, int] = {}
        for number, hdu in enumerate(hdus):
            if isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
                rows[number] = int(hdu.header["NAXIS2"])
            elif not rows and hdu.data is not None and hdu.data.ndim == 2:
                return Contents({hdu.name: native(np.array(hdu.data))})
        if not rows:
            raise TableError(f"{path}: has neither a table nor a 2-d image")
        options = {"unit_parse_strict": "silent", "character_as_bytes": False}
        return _from_astropy(Table.read(hdus, hdu=_longest(path, rows), format="fits", **options))


PROVENANCE = b"latentscope"
"""Key of the metadata of a Parquet file under which the provenance stands, as JSON."""

_READERS: dict[str, Callable[[Path], Contents]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".ecsv": _read_ecsv,
    **dict.fromkeys((".csv", ".csv.gz", ".tsv", ".txt", ".dat"), _read_csv),
    ".parquet": _read_parquet,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".fits": _read_fits,
    ".fits.gz": _read_fits,
    ".vot": _read_votable,
    ".xml": _read_votable,
}

_TORCH = "; np.save('latents.npy', tensor.detach().cpu().float().numpy()) writes one of a tensor"
_INSTEAD = dict.fromkeys((".pt", ".pth", ".pkl"), _TORCH)
"""What to do with files that run code when they are loaded."""
