"""The packed archive: rows of spectra, their masks and a table of them in one Zarr v3 store.

    rows     (capacity, row_size)        prepared rows; chunks and shards of whole spectra
    valid    (capacity, row_size / 8)    bits of the masks, first pixel in the highest bit
    root_ivar (capacity, ivar_size)      where asked for: 1 / sigma of the values that have one
    journal  (blocks,)                   one JSON text per block: the records of its files
    index/n  columns, one array each     the table as the last finished run left it

A block is one shard and the records of the files read for it. Its rows are written first, its masks
next, its journal entry last, each as a single object: what the journal names is there. A shard is
never written again once its entry stands. The attributes of the group say which `index` counts and
how many blocks it covers; journal entries after these complete it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pandas as pd
import zarr
from fsspec.core import url_to_fs
from numcodecs import Blosc
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from zarr.codecs import BloscCodec

from latentscope.errors import TableError
from latentscope.files import cores
from latentscope.settings import settings
from latentscope.spectra.prepare import PrepareConfig

COLUMNS = {
    "file": "absolute path of the file",
    "id": "file name without folders and suffixes",
    "star": "the star, as the header has it",
    "object": "target name in the header",
    "archive_id": "id of the file in its archive",
    "frame": "frame of the row's wavelengths",
    "berv": "barycentric correction, km/s",
    "rv": "radial velocity in the header, km/s",
    "airmass": "airmass",
    "snr": "signal-to-noise ratio in the header",
    "median": "median flux, what the flux was divided by, in the file's unit",
    "coverage": "fraction of the grid outside gaps that the spectrum fills",
    "status": "ok, failed or degenerate",
    "error": "why there is no row",
    "assumed": "what the file does not say and was assumed",
    "row": "number of the row in `rows` and `valid`; -1: none",
    "size": "bytes of the file",
    "mtime_ns": "time of the file's last change, ns",
}
"""Columns of the table, and what they mean; labels follow them."""

NUMBERS = ("berv", "rv", "airmass", "snr", "median", "coverage")
INTEGERS = ("row", "size", "mtime_ns")


def node_name(column: str) -> str:
    """Name of a column's array; a slash would make it a group."""
    return column.replace("%", "%25").replace("/", "%2F")


def as_series(values: NDArray[Any], column: str) -> pd.Series:
    """Return a stored column; a label without text is missing."""
    if values.dtype.kind in "if":
        return pd.Series(values)
    text = pd.Series(values.astype(object), dtype=object)
    return text if column in COLUMNS else text.where(text != "", np.nan)


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with `COLUMNS` of text, float64 and int64; labels stay as they are."""
    kinds = dict.fromkeys(COLUMNS, "object")
    kinds |= dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(INTEGERS, "int64")
    return table.astype(kinds)


def as_array(column: pd.Series) -> NDArray[Any]:
    """Return a column as an array that Zarr knows: int64, float64 or text ("" where missing)."""
    if column.name in INTEGERS or (column.dtype == np.int64):
        return column.to_numpy(np.int64)
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return column.to_numpy(np.float64, na_value=np.nan)
    filled = column.astype(object).where(column.notna(), "")
    return np.array([str(value) for value in filled], dtype=np.dtypes.StringDType())


FORMAT = 1
MARK = "latentscope_archive"
_PARTIAL = ".partial"  # how Zarr names a file that it has not written to its end

ROOT_IVAR = np.dtype(np.float16)
"""Of 1 / sigma, which saturates at 65504: an ivar of 4.3e9 in the units of the row."""

Dtype = Literal["float16", "float32"]
Compression = Literal["zstd", "lz4"]


@settings(TableError)
class Layout:
    """How rows lie in the store."""

    row_size: Annotated[int, Field(ge=1)]
    dtype: Dtype
    chunk: Annotated[int, Field(ge=1)]  # rows that are decompressed at once
    shard: Annotated[int, Field(ge=1)]  # rows in one object of the store
    compression: Compression = "zstd"  # by Blosc, after its transposition of bits
    ivar_size: int = Field(0, ge=0)  # values of a row, from the first on, that have an ivar

    @classmethod
    def sized(
        cls,
        row_size: int,
        dtype: Dtype,
        *,
        chunk_mb: float = 1.0,
        shard_mb: float = 32.0,
        compression: Compression = "zstd",
        ivar_size: int = 0,
    ) -> Layout:
        """Lay rows out in chunks and shards of about so many MB (10^6 bytes), at least a row."""
        if chunk_mb <= 0 or shard_mb <= 0:
            raise TableError(f"chunks of {chunk_mb} and shards of {shard_mb} MB; expected positive")
        row = row_size * (2 if dtype == "float16" else 4)
        chunk = max(1, int(chunk_mb * 1e6 / row))
        shard = chunk * max(1, math.ceil(shard_mb * 1e6 / (row * chunk)))
        return cls(row_size, dtype, chunk, shard, compression, ivar_size)


class MissingArchiveError(TableError):
    """There is no archive at that place."""


class ArchiveStore:
    """A packed archive as a store: blocks are added one after the other."""

    def __init__(self, group: zarr.Group, source: str) -> None:
        self.group, self.source = group, source
        attributes = self._attributes
        if attributes.get(MARK) != FORMAT:
            raise TableError(
                f"{source}: is no packed archive of format {FORMAT} ({MARK} is "
                f"{attributes.get(MARK)!r}); one is made by `python -m train pack`"
            )
        self.settings: dict[str, Any] = attributes["settings"]
        self.prepare = PrepareConfig.from_dict(self.settings["prepare"])
        self.layout = Layout(**attributes["layout"])
        self._blocks = int(attributes["blocks"]) + len(self._journal())

    @classmethod
    def open(cls, url: str | os.PathLike[str], *, write: bool = False) -> ArchiveStore:
        """Open an archive that exists.

        MissingArchiveError if there is none, TableError if it cannot be read.
        """
        source = os.fspath(url)
        try:
            group = zarr.open_group(_place(source), mode="r+" if write else "r", zarr_format=3)
        except FileNotFoundError:
            raise MissingArchiveError(
                f"{source}: no packed archive there; make one by `python -m train pack FILES... "
                f"-o {source}`"
            ) from None
        except (OSError, ValueError, ImportError) as error:
            raise TableError(f"{source}: cannot be opened as a Zarr store: {error}") from error
        return cls(group, source)

    @classmethod
    def create(
        cls, url: str | os.PathLike[str], settings: dict[str, Any], layout: Layout
    ) -> ArchiveStore:
        """Make an archive without rows in a folder (or fsspec URL) that is absent or empty.

        `settings` is what the rows depend on besides the files, as JSON: `prepare` at least.
        TableError if something else is there, or nothing can be written.
        """
        source = os.fspath(url)
        attributes = {
            MARK: FORMAT,
            "settings": settings,
            "layout": asdict(layout),
            "columns": COLUMNS,
            "labels": [],
            "index": "",
            "blocks": 0,
            "runs": [],
        }
        place = _place(source)
        if isinstance(place, Path) and any(f.suffix != _PARTIAL for f in place.glob("*")):
            raise TableError(f"{source}: contains other files; expected a new or an empty folder")
        try:
            group = zarr.create_group(place, zarr_format=3, attributes=attributes)
        except (OSError, ValueError, ImportError) as error:
            raise TableError(f"{source}: no archive can be made there: {error}") from error
        return cls(group, source)

    @property
    def folder(self) -> Path | None:
        """The folder of a local archive."""
        place = _place(self.source)
        return place if isinstance(place, Path) else None

    def sweep(self) -> None:
        """Remove the half-written files that a killed run left; a local archive's alone."""
        for file in self.folder.rglob(f"*{_PARTIAL}") if self.folder else ():
            file.unlink()

    @property
    def labels(self) -> list[str]:
        """Columns of the table that are labels."""
        return list(self._attributes["labels"])

    @property
    def _attributes(self) -> dict[str, Any]:
        return self.group.attrs.asdict()

    @property
    def names(self) -> list[str]:
        """Names of the arrays that have a row per spectrum."""
        return ["rows", "valid", *(["root_ivar"] if self.layout.ivar_size else [])]

    def array(self, name: str) -> zarr.Array[Any]:
        """Return an array of `names`, or `journal`; made at first use by whoever may write."""
        if name in self.group:
            return _array(self.group, name)
        if self.group.read_only:
            raise TableError(f"{self.source}: has no {name} yet; pack spectra into it first")
        if name == "journal":
            return self.group.create_array(name, shape=(0,), chunks=(1,), dtype=str, fill_value="")
        layout = self.layout
        wide, dtype = {
            "rows": (layout.row_size, np.dtype(layout.dtype)),
            "valid": (-(-layout.row_size // 8), np.dtype(np.uint8)),
            "root_ivar": (layout.ivar_size, ROOT_IVAR),
        }[name]
        return self.group.create_array(
            name,
            shape=(0, wide),
            chunks=(layout.chunk, wide),
            shards=(layout.shard, wide),
            dtype=dtype,
            # Neighboring values share high bits, which a transposition of bits brings together;
            # masks are bits already.
            compressors=BloscCodec(
                cname=layout.compression,
                clevel=1,
                shuffle="noshuffle" if name == "valid" else "bitshuffle",
                typesize=dtype.itemsize,
            ),
            fill_value=0,
        )

    def add(
        self,
        rows: NDArray[Any],
        valid: NDArray[np.bool_],
        records: list[dict[str, Any]],
        root_ivar: NDArray[np.float16] | None = None,
    ) -> None:
        """Write a block of at most a shard of rows.

        `valid` has the shape of `rows`, `root_ivar` is there where the layout has it. The records,
        one per file, have the keys of `COLUMNS`; their `row` counts within the block (-1: none) and
        is turned into the archive's.
        """
        block, shard = self._blocks, self.layout.shard
        # A shard per block, full or not: none is ever opened for writing again.
        first = block * shard
        arrays = [rows, np.packbits(valid, axis=1), root_ivar]
        # Zeros are written too (spectra without errors), so that a shard that lacks is lost.
        with zarr.config.set({"array.write_empty_chunks": True}):
            for name, values in zip(self.names, arrays, strict=False):
                array = self.array(name)
                whole = np.zeros((shard, array.shape[1]), dtype=array.dtype)
                whole[: len(rows)] = values
                array.resize((first + shard, array.shape[1]))
                array[first : first + shard] = whole
        named = [r | {"row": first + r["row"] if r["row"] >= 0 else -1} for r in records]
        journal = self.array("journal")
        journal.resize((block + 1,))
        journal[block] = json.dumps({key: [r[key] for r in named] for key in COLUMNS})
        self._blocks += 1

    def table(self) -> pd.DataFrame:
        """One row per file, in the order of packing: `COLUMNS`, then labels.

        A file that was packed again after a change stands for its last version alone.
        """
        index = str(self._attributes["index"])
        parts = [self._index(index)] if index else []
        parts += [pd.DataFrame(json.loads(text)) for text in self._journal()]
        if not parts:
            return typed(pd.DataFrame(columns=list(COLUMNS)))
        table = pd.concat(parts, ignore_index=True)
        return typed(table.drop_duplicates("file", keep="last", ignore_index=True))

    def finish(self, table: pd.DataFrame, labels: list[str], run: dict[str, Any]) -> None:
        """Write the table (with label columns) as the index, and cut `rows` behind the last row."""
        old = str(self._attributes["index"])
        name = f"index/{int(old.split('/')[1]) + 1 if old else 0:04d}"
        if name in self.group:
            del self.group[name]  # of a run that was killed here
        group = self.group.create_group(name, attributes={"n": len(table)})
        for column in table.columns:
            values = as_array(table[column])
            group.create_array(node_name(column), data=values, chunks=(max(1, len(table)),))
        runs = [*self._attributes["runs"], run]
        self.group.attrs.update(
            {"index": name, "blocks": self._blocks, "labels": labels, "runs": runs}
        )
        end = int(table["row"].max()) + 1 if len(table) else 0
        for array in map(self.array, self.names):
            array.resize((end, array.shape[1]))
        if old:
            del self.group[old]

    def _journal(self) -> list[str]:
        """Entries of the blocks that the index does not cover."""
        if "journal" not in self.group:
            return []
        texts = self.array("journal")[int(self._attributes["blocks"]) :]
        return [str(text) for text in np.asarray(texts) if text]

    def _index(self, name: str) -> pd.DataFrame:
        group = self.group[name]
        assert isinstance(group, zarr.Group)
        names = [*COLUMNS, *self.labels]
        arrays = {column: _array(group, node_name(column))[:] for column in names}
        return pd.DataFrame({name: as_series(np.asarray(arrays[name]), name) for name in names})


def _place(source: str) -> Path | str:
    """Return a local archive as a `Path`, whose files are replaced whole, others as their URL."""
    if source.startswith("file://"):
        return Path(url2pathname(urlsplit(source).path))
    return source if "://" in source or "::" in source else Path(source).expanduser()


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    found = group[name]
    assert isinstance(found, zarr.Array)
    return found


# Zarr reads a chunk in a few milliseconds beyond its decompression, one after the other, which
# would keep a GPU waiting. So rows are read from the store's objects themselves, as the Zarr v3
# format describes them: the shard of rows n * shard ... is the object "c/n/0", made of chunks that
# Blosc compressed, an index of (offset, length) as little endian uint64, and a checksum.
_EMPTY = 2**64 - 1
_CHECKSUM = 4


class ChunkReader:
    """Reads rows of an array whose shards and chunks are whole rows."""

    def __init__(self, files: Any, path: str, array: zarr.Array[Any]) -> None:
        assert array.shards is not None
        self.chunk, self.shard = array.chunks[0], array.shards[0]
        self.shape, self.dtype = (self.chunk, array.shape[1]), np.dtype(array.dtype)
        self._files, self._path = files, path
        self._indices: dict[int, NDArray[np.uint64]] = {}
        self._codec, self._scratch = Blosc(), threading.local()

    def take(self, chunk: int, rows: NDArray[np.int64], into: Any, places: Any) -> None:
        """Put rows of a chunk, numbered within it, at some places of an array.

        TableError if the chunk is missing or damaged.
        """
        shard, at = divmod(chunk, self.shard // self.chunk)
        offset, length = (int(value) for value in self._index(shard)[at])
        if offset == _EMPTY:
            into[places] = 0
            return
        data = self._bytes(shard, offset, offset + length)
        # One array for all chunks of a thread: decompression would spend its time on new pages.
        if not hasattr(self._scratch, "values"):
            self._scratch.values = np.empty(self.shape, self.dtype)
        try:
            self._codec.decode(data, self._scratch.values)
        except (RuntimeError, ValueError) as error:
            raise TableError(f"{self._name(shard)}: chunk {at} is damaged: {error}") from error
        into[places] = self._scratch.values[rows]

    def _index(self, shard: int) -> NDArray[np.uint64]:
        """Offset and length of the shard's chunks, shape (chunks, 2)."""
        if shard not in self._indices:
            size = self.shard // self.chunk * 16
            data = self._bytes(shard, -(size + _CHECKSUM), None)
            self._indices[shard] = np.frombuffer(data[:size], "<u8").reshape(-1, 2)
        return self._indices[shard]

    def _bytes(self, shard: int, start: int, end: int | None) -> bytes:
        try:
            return bytes(self._files.cat_file(self._name(shard), start=start, end=end))
        except FileNotFoundError:
            raise TableError(f"{self._name(shard)} is missing; pack again") from None

    def _name(self, shard: int) -> str:
        return f"{self._path}/c/{shard}/0"


def take_rows(
    readers: list[ChunkReader],
    arrays: list[NDArray[Any]],
    numbers: NDArray[np.int64],
    pool: ThreadPoolExecutor,
) -> None:
    """Fill arrays (m, width) with the rows of these numbers, shape (m,), of each reader's array.

    Each chunk is read once; `pool` reads several at a time.
    """
    jobs = [
        pool.submit(reader.take, chunk, rows, array, places)
        for chunk, rows, places in _by_chunk(numbers, readers[0].chunk)
        for reader, array in zip(readers, arrays, strict=True)
    ]
    try:
        for job in jobs:
            job.result()
    finally:
        for job in jobs:
            job.cancel()


def _by_chunk(
    numbers: NDArray[np.int64], size: int
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield each chunk, the rows to take of it, and their places in `numbers`."""
    order = np.argsort(numbers, kind="stable")
    chunks = numbers[order] // size
    for places in np.split(order, np.flatnonzero(np.diff(chunks)) + 1):
        if len(places):
            chunk = int(numbers[places[0]]) // size
            yield chunk, numbers[places] - chunk * size, places


class PackedArchive:
    """The spectra of a packed archive that have a row, numbered 0 to n - 1.

    An archive can be read while it is being packed, or after packing was interrupted: its finished
    blocks are there, labels as the last finished run left them. TableError if there is no archive,
    or no row in it.

    Attributes
    ----------
    table : DataFrame of n rows
        The columns of `COLUMNS`, then `labels`; in the order of packing.
    failed : DataFrame
        The same for files without a row, with the reason in `error`.
    labels : list of str
        Columns of `table` that are labels.
    prepare : PrepareConfig
        Grid and normalization of the rows.
    """

    def __init__(self, url: str | os.PathLike[str], *, threads: int | None = None) -> None:
        self._store = ArchiveStore.open(url)
        table = self._store.table()
        packed = table["row"] >= 0
        self.source = self._store.source
        self.prepare, self.settings = self._store.prepare, self._store.settings
        self.table: pd.DataFrame = table[packed].reset_index(drop=True)
        self.failed: pd.DataFrame = table[~packed].reset_index(drop=True)
        self.labels = self._store.labels
        if self.table.empty:
            raise TableError(f"{self.source}: has no rows; pack spectra into it first")
        files, root = url_to_fs(str(_place(self.source)))
        self._readers = {
            name: ChunkReader(files, f"{root}/{name}", self._store.array(name))
            for name in self._store.names
        }
        self._pool = ThreadPoolExecutor(threads or min(cores(), 32), "train-chunks")
        self._at: NDArray[np.int64] = self.table["row"].to_numpy(np.int64)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def row_size(self) -> int:
        """Values in a row."""
        return self._store.layout.row_size

    @property
    def ivar_size(self) -> int:
        """Values of a row, from the first on, that have an inverse variance; 0: none was packed."""
        return self._store.layout.ivar_size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""
        return np.dtype(self._store.layout.dtype)

    @property
    def chunks(self) -> NDArray[np.int64]:
        """Which chunk of the store each spectrum lies in, shape (n,)."""
        return self._at // self._store.layout.chunk

    @property
    def fingerprint(self) -> str:
        """SHA-256 of which version of which file lies in which row, and of the labels."""
        columns = ["file", "size", "mtime_ns", "row", *self.labels]
        text = self.table[columns].to_csv(index=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, members: ArrayLike, *, ivar: bool = False) -> list[NDArray[Any]]:
        """Read spectra by number, each chunk once, whatever the order of the numbers.

        Returns rows of `dtype`, shape (m, row_size); bits of their masks, shape (m, row_size / 8),
        for `unpacked`; and with `ivar` 1 / sigma in the units of the row in float16, shape (m,
        ivar_size), 0 where it is not known. TableError if the archive has no inverse variances.
        """
        if ivar and not self.ivar_size:
            raise TableError(f"{self.source}: has no inverse variances; pack it with --ivar")
        numbers = self._at[np.asarray(members, dtype=np.int64)]
        readers = [self._readers[name] for name in self._store.names[: 2 + ivar]]
        arrays = [np.empty((len(numbers), one.shape[1]), one.dtype) for one in readers]
        take_rows(readers, arrays, numbers, self._pool)
        return arrays


def unpacked(valid: NDArray[np.uint8], row_size: int) -> NDArray[np.bool_]:
    """Masks of shape (m, row_size), True where a pixel is valid, of their bits."""
    return np.unpackbits(valid, axis=1, count=row_size).view(np.bool_)
