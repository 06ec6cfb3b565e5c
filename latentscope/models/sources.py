"""What a user names on a command line, expanded to one source per spectrum, each with its id."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from latentscope.errors import SpectrumError
from latentscope.spectra.read import is_pair
from latentscope.tables import file_id

_FITS = (".fits", ".fit", ".fts")
_PACKED = (".gz", ".fz")


def expand_sources(sources: Any, stdin: TextIO | None = None) -> list[Any]:
    """List the spectra that `sources` names, one entry each, in order.

    Parameters
    ----------
    sources : one source or a list of them
        Text: a file; a folder; a glob (``"night*/*.fits"``, ``**`` for any depth); ``@list.txt``,
        a file with one file name a line (empty lines and lines that begin with # are skipped); or
        ``-``, such a list on standard input. A file that exists is taken as itself, whatever
        characters are in its name. `Path` objects are files or folders, never patterns. A folder
        stands for the FITS files in it at any depth, in order of name, hidden ones left out.
        Anything else (`Spectrum`, HDUList, open file, tuple (wavelength, flux), array, ...) is one
        spectrum and handed on to `read_spectrum`.
    stdin : text stream, optional
        What ``-`` reads; by default standard input.

    Returns
    -------
    list
        `Path` for everything named by text, the object itself otherwise. A named file that does
        not exist stays in the list: it becomes a failed row, not a lost one.

    Raises
    ------
    SpectrumError
        If there is no source, a glob matches nothing, a folder holds no FITS file, or a list
        cannot be read.
    """
    expanded: list[Any] = []
    for source in [sources] if _is_one(sources) else sources:
        expanded.extend(_expand(source, stdin))
    if not expanded:
        raise SpectrumError("no spectra given; name files, folders, globs or @list.txt")
    return expanded


def source_id(source: Any, index: int) -> str:
    """Name a source: the file's name without its suffixes, or `spectrum-<index>` without a file.

    Only suffixes of known formats are taken off, since archive names hold dots:
    ADP.2014-09-16T11:05:37.617.fits is ADP.2014-09-16T11:05:37.617.
    """
    file = source_file(source)
    if not file:
        return f"spectrum-{index:06d}"
    return file_id(file)


def source_file(source: Any) -> str:
    """Name the file of a source as the user gave it; empty where there is none."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        return name if isinstance(name, str) else ""
    meta = getattr(source, "meta", None)
    return str(meta.get("file") or "") if isinstance(meta, dict) else ""


def _is_one(sources: Any) -> bool:
    """Whether this is one source, though it may be iterable.

    HDULists, open files, specutils objects, tuples (wavelength, flux) and arrays of numbers are.
    """
    return (
        isinstance(sources, str | bytes | bytearray | memoryview | os.PathLike)
        or not isinstance(sources, Iterable)
        or any(hasattr(sources, name) for name in ("writeto", "read", "spectral_axis"))
        or (isinstance(sources, np.ndarray) and sources.dtype.kind in "fiuV")
        or (isinstance(sources, tuple) and is_pair(sources) and all(map(_is_column, sources)))
    )


def _is_column(part: Any) -> bool:
    """Whether this is an array of numbers or a list of them, not a source or a list of sources."""
    if isinstance(part, list):
        return bool(part) and isinstance(part[0], int | float)
    return getattr(part, "ndim", None) == 1 and not hasattr(part, "spectral_axis")


def _expand(source: Any, stdin: TextIO | None) -> list[Any]:
    if isinstance(source, os.PathLike):
        path = Path(source)
        return list(_folder(path)) if path.is_dir() else [path]
    if not isinstance(source, str):
        return [source]
    if source == "-":
        return _lines((stdin or sys.stdin).read())
    if os.path.lexists(source):
        return _expand(Path(source), stdin)
    if source.startswith("@"):
        return _lines(_read_list(source[1:]))
    if glob.has_magic(source):
        return _matches(source)
    return [Path(source)]


def _folder(folder: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent) / name for name in names if _is_fits(name)]
    if not found:
        raise SpectrumError(
            f"{folder}: no FITS file in this folder; for other formats give a glob such as "
            f"'{folder / '*.csv'}'"
        )
    return sorted(found)


def _is_fits(name: str) -> bool:
    stem, suffix = os.path.splitext(name.lower())
    if suffix in _PACKED:
        suffix = os.path.splitext(stem)[1] or (".fits" if suffix == ".fz" else "")
    return suffix in _FITS and not name.startswith(".")


def _matches(pattern: str) -> list[Path]:
    found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    files = [path for path in found if not path.is_dir()]
    if not files:
        raise SpectrumError(f"{pattern}: matches no file; check the pattern and the folder")
    return files


def _read_list(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpectrumError(
            f"@{name}: the list cannot be read ({error}); wanted text with one file name a line"
        ) from None


def _lines(text: str) -> list[Path]:
    lines = (line.strip() for line in text.splitlines())
    return [Path(line) for line in lines if line and not line.startswith("#")]
