"""From what a user names to prepared rows, each source with its record; loads no torch.

`expand_sources` lists one source per spectrum; `read_chunk` reads and prepares some of them. What
goes wrong with one file is caught there, and becomes its record.
"""

from __future__ import annotations

import codecs
import glob
import os
import re
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import LatentscopeError, SpectrumError, printable
from latentscope.files import expanded, is_address
from latentscope.spectra.oxygen import frame_doubt, oxygen_seen
from latentscope.spectra.prepare import PrepareConfig, Prepared, prepare
from latentscope.spectra.read import Reading, is_pair, is_table, read_spectrum
from latentscope.spectra.spectrum import Spectrum
from latentscope.tables import file_id

COLUMNS = (
    "file", "id", "object", "star", "archive_id", "status", "error", "coverage", "snr",
    "recon_error", "contrast", "roughness", "resolution", "emission", "elsewhere", "vacuum",
    "oxygen_rv", "median", "rv", "berv", "airmass", "instrument", "mode", "program", "date_obs",
    "mjd", "exptime", "rv_ambiguous", "rv_second_peak", "assumed",
)  # fmt: skip
"""Columns of the sidecar table that need a spectrum but no network, in order."""

_NUMBERS = (
    "coverage", "snr", "recon_error", "contrast", "roughness", "resolution", "median", "emission",
    "elsewhere", "vacuum", "oxygen_rv", "rv", "berv", "airmass", "mjd", "exptime", "rv_second_peak",
)  # fmt: skip

SEGMENTS = 32
"""Equal parts of a row, each with its own error, which reveal odd spectra."""

_FITS = (".fits", ".fit", ".fts")
_PACKED = (".gz", ".fz")


def expand_sources(sources: Any) -> list[Any]:
    """List the spectra that one source or a list of them names, one entry per spectrum, in order.

    Text is a file; a folder; a glob (``"night*/*.fits"``, ``**`` for any depth); ``@list.txt``, a
    file with one file name per line (empty lines and lines that begin with # are skipped); ``-``,
    such a list on standard input; or an address (``https://...``, ``s3://bucket/file``, of such
    stores also a pattern, or a folder that ends in ``/``), as fsspec knows them. A leading ``~`` is
    the home folder. A file that exists is taken as itself, whatever characters are in its name.
    `Path` objects are files or folders, never patterns. A folder stands for the FITS files in it at
    any depth, in order of name, without hidden ones; a folder in it that cannot be listed stands
    for itself. Anything else (`Spectrum`, HDUList, open file, array, ...) is one spectrum.

    Names become `Path`, addresses stay text. Files that do not exist, and folders without FITS
    files among other sources, stay in the list: they become failed rows. A SpectrumError if there
    is no source, a glob matches nothing, the only source is a folder without FITS files, or a list
    cannot be read or is empty.
    """
    found: list[Any] = []
    given = [sources] if _is_one(sources) else list(sources)
    for source in given:
        try:
            found.extend(_expand(source))
        except _EmptyFolderError as error:
            # Among shell-expanded names, one odd folder is one failed row.
            if len(given) == 1:
                raise
            found.append(error.folder)
    if not found:
        raise SpectrumError("no spectra given; name files, folders, globs or @list.txt")
    return found


def source_id(source: Any, index: int) -> str:
    """Name a source: the file's name as `file_id` shortens it, else `spectrum-<index>`."""
    file = source_file(source)
    return file_id(file) if file else f"spectrum-{index:06d}"


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
    """Whether this is one source, though it may be iterable."""
    # A pair of columns is a spectrum; a pair of names is two. By these methods HDULists, open files
    # and specutils objects are told, without importing their packages.
    return (
        isinstance(sources, str | bytes | bytearray | memoryview | os.PathLike)
        or not isinstance(sources, Iterable)
        or any(hasattr(sources, name) for name in ("writeto", "spectral_axis"))
        or (hasattr(sources, "read") and not isinstance(sources, list))  # a SpectrumList is many
        or (isinstance(sources, np.ndarray) and sources.dtype.kind in "fiuV")
        or is_table(sources)
        or (isinstance(sources, tuple) and is_pair(sources) and all(map(_is_column, sources)))
    )


def _is_column(part: Any) -> bool:
    """Whether this is an array of numbers or a list of them, not a source or a list of sources."""
    if isinstance(part, list):
        return bool(part) and isinstance(part[0], int | float)
    if hasattr(part, "uncertainty_type"):
        return True
    return getattr(part, "ndim", None) == 1 and not hasattr(part, "spectral_axis")


class _EmptyFolderError(SpectrumError):
    """A folder stands for no spectrum."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder}: no FITS file in this folder; for other formats give a glob such as "
            f"'{folder / '*.csv'}'"
        )
        self.folder = folder


def _expand(source: Any) -> list[Any]:
    if isinstance(source, os.PathLike):
        path = expanded(source)
        return _folder(path) if os.path.isdir(path) else [path]
    if not isinstance(source, str):
        return [source]
    if source == "-":
        return _lines(_standard_input())
    if is_address(source):
        return _remote(source)
    if not source:
        raise SpectrumError("a name is empty (an unset variable of the shell?); expected files")
    path = expanded(source)
    # Before lists and patterns: a file is itself, whatever characters are in its name.
    if os.path.lexists(path):
        return _expand(path)
    if source.startswith("@"):
        return _listed(source[1:])
    if not glob.has_magic(source):
        return [path]
    names = sorted(glob.glob(os.fspath(path), recursive=True))
    return _matched(source, [Path(name) for name in names if not os.path.isdir(name)])


def _matched(pattern: str, found: list[Any]) -> list[Any]:
    if not found:
        raise SpectrumError(f"{pattern}: matches no file; check the pattern and the folder")
    return found


def _remote(address: str) -> list[str]:
    """List the files behind an address: itself, or those of a store's pattern or folder."""
    try:
        import fsspec

        system, path = fsspec.core.url_to_fs(address)
        # Web servers list nothing, and ? begins a query there.
        listed = glob.has_magic(path) or address.endswith("/")
        if address.startswith("http") or not listed:
            return [address]
        if glob.has_magic(path):
            names = system.glob(path)
        else:
            names = [name for name in system.find(path) if _is_fits(name.rpartition("/")[2])]
        names = [str(system.unstrip_protocol(name)) for name in sorted(names)]
    except ImportError as error:
        raise SpectrumError(
            f"{address}: needs another package ({error}): pip install 'latentscope-spectra[remote]'"
        ) from None
    except Exception as error:  # each kind of store raises its own
        raise SpectrumError(f"{address}: cannot be listed ({error})") from None
    return _matched(address, names)


def _folder(folder: Path) -> list[Path]:
    found = []
    closed: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=closed.append):
        # In place: os.walk goes into what is left in the list.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent) / name for name in names if _is_fits(name)]
    found += [Path(error.filename) for error in closed]
    if not found:
        raise _EmptyFolderError(folder)
    return sorted(found)


def _is_fits(name: str) -> bool:
    stem, suffix = os.path.splitext(name.lower())
    if suffix in _PACKED:
        suffix = os.path.splitext(stem)[1] or (".fits" if suffix == ".fz" else "")
    return suffix in _FITS and not name.startswith(".")


def _listed(name: str) -> list[Path | str]:
    path, expected = expanded(name), "expected text with one file name per line"
    try:
        # What the shell opened for us is open; other pipes and devices may never end.
        if not (stat.S_ISREG(os.stat(path).st_mode) or name.startswith(("/dev/fd/", "/dev/stdin"))):
            raise SpectrumError(f"@{name}: is not a file; {expected}")
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SpectrumError(f"@{name}: the list cannot be read ({reason}); {expected}") from None
    found = _lines(_decoded(data, f"@{name}"))
    if not found:
        raise SpectrumError(f"@{name}: names no file; {expected}")
    return found


def _standard_input() -> str:
    if sys.stdin is None:
        raise SpectrumError("-: standard input is closed; expected one file name per line")
    # Its bytes, where it has them: names need not be UTF-8.
    stream = getattr(sys.stdin, "buffer", None)
    return sys.stdin.read() if stream is None else _decoded(stream.read(), "-")


def _decoded(data: bytes, name: str) -> str:
    """Text of a list: UTF-8, or what its byte order mark says; other bytes are kept."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    if b"\0" in data:
        raise SpectrumError(f"{name}: is binary, not a list; expected one file name per line")
    return data.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="surrogateescape")


def _lines(text: str) -> list[Path | str]:
    lines = (line.strip() for line in re.split(r"[\r\n]+", text))
    return [
        line if is_address(line) else expanded(line)
        for line in lines
        if line and not line.startswith("#")
    ]


@dataclass(frozen=True)
class Chunk:
    """Prepared rows of sources, and a record for each source."""

    records: list[dict[str, Any]]  # one per source, with the keys of `COLUMNS`
    where: list[int]  # which of the records the rows belong to
    rows: NDArray[np.float32]  # shape (len(where), row_size)
    valid: NDArray[np.bool_]  # of the same shape
    ivar: NDArray[np.float32] | None = None  # (len(where), ivar_size), where it was asked for


def check_coverage(min_coverage: float) -> None:
    """Raise `SpectrumError` unless this is a fraction, of which NaN is none."""
    if not 0 <= min_coverage <= 1:
        raise SpectrumError(f"min_coverage is {min_coverage}; expected a number from 0 to 1")


def read_chunk(
    sources: list[Any],
    first: int,
    config: PrepareConfig,
    min_coverage: float,
    *,
    ivar: bool = False,
    reading: Reading | None = None,
) -> Chunk:
    """Read and prepare sources that `expand_sources` lists, the first of them number `first`.

    Those that fail, as those do that fill less of the grid than `min_coverage`, and degenerate ones
    have a record with status and reason, and no row. `reading` is how to read those that are files.
    """
    check_coverage(min_coverage)
    chosen = vars(reading) if reading else {}
    records: list[dict[str, Any]] = []
    where: list[int] = []
    found: list[Prepared] = []
    for index, source in enumerate(sources):
        record = dict.fromkeys(COLUMNS, "") | dict.fromkeys(_NUMBERS, float("nan"))
        record |= {"file": source_file(source), "id": source_id(source, first + index)}
        records.append(record | {"status": "ok"})
        prepared = _prepared(source, records[-1], config, min_coverage, ivar, chosen)
        # Names and headers may hold what no table and no terminal should.
        records[-1] = {
            name: printable(value) if isinstance(value, str) else value
            for name, value in records[-1].items()
        }
        if prepared is not None:
            where.append(index)
            found.append(prepared)

    def stacked(name: str, width: int, dtype: type[Any]) -> NDArray[Any]:
        arrays: list[NDArray[Any]] = [getattr(prepared, name) for prepared in found]
        return np.stack(arrays) if arrays else np.empty((0, width), dtype=dtype)

    return Chunk(
        records,
        where,
        stacked("row", config.row_size, np.float32),
        stacked("valid", config.row_size, np.bool_),
        stacked("ivar", config.ivar_size, np.float32) if ivar else None,
    )


def fail(record: dict[str, Any], reason: str, status: str = "failed") -> None:
    """Mark a record as failed (or degenerate), with the reason on one line."""
    record["status"] = status
    record["error"] = " ".join(reason.split())


def _prepared(
    source: Any,
    record: dict[str, Any],
    config: PrepareConfig,
    min_coverage: float,
    ivar: bool,
    reading: dict[str, Any],
) -> Prepared | None:
    """The row of a source, None if it failed; the header's values go into the record."""
    name = source_file(source) or "the spectrum"
    try:
        spectrum = read_spectrum(source, **reading, ivar=ivar)
        _describe(record, spectrum)
        prepared = prepare(spectrum, config, ivar=ivar)
    except MemoryError:
        # No row may stay failed because others took the memory when it was read.
        raise SpectrumError(
            f"{name}: out of memory while it was read; give fewer workers (finished blocks are "
            "kept), or leave this file out"
        ) from None
    except Exception as error:  # one file in an archive may break a reader in any way
        known = isinstance(error, LatentscopeError)
        fail(record, str(error) if known else f"{name}: {type(error).__name__}: {error}")
        return None
    record["coverage"] = prepared.coverage
    record["median"] = prepared.scale
    record["assumed"] = "; ".join(filter(None, (record["assumed"], *prepared.notes)))
    if prepared.coverage < min_coverage:
        fail(
            record,
            f"{name}: covers {prepared.coverage:.3f} of the model's grid, less than "
            f"{min_coverage:g}; a lower --min-coverage lets it through"
            + "".join(f" ({note})" for note in prepared.notes),
        )
        return None
    if prepared.degenerate:
        limit = config.min_median or 0.0
        fail(
            record,
            f"{name}: its median flux is not above {limit:g} in the file's unit, or its mean is "
            "not positive: nothing to normalize by"
            + ("; bring fluxes in other units to the counts that the model knows" if limit else ""),
            status="degenerate",
        )
        return None
    first = prepared.row[np.argmax(prepared.valid)]
    if not np.any((prepared.row != first) & prepared.valid):
        fail(record, f"{name}: flux is the same in all pixels; a spectrum has lines", "degenerate")
        return None
    return prepared


def _describe(record: dict[str, Any], spectrum: Spectrum) -> None:
    meta = spectrum.meta
    for name in ("object", "star", "archive_id", "instrument", "mode", "program", "date_obs"):
        record[name] = str(meta.get(name) or "")
    for name in ("snr", "airmass", "mjd", "exptime"):
        record[name] = _number(meta.get(name))
    record["rv"], record["berv"] = _number(spectrum.rv), _number(spectrum.berv)
    record["resolution"], velocity = oxygen_seen(spectrum)
    if spectrum.frame == "topocentric":
        record["oxygen_rv"] = velocity
    elif spectrum.frame == "barycentric" and spectrum.berv is not None:
        record["oxygen_rv"] = velocity - spectrum.berv
    notes = [*(meta.get("assumed") or ()), frame_doubt(spectrum, velocity)]
    record["assumed"] = "; ".join(filter(None, notes))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
