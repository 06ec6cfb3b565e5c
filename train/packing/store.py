"""The packed archive: rows of spectra, their masks and a table of them in one Zarr v3 store.

    rows     (capacity, row_size)        prepared rows; chunks and shards of whole spectra
    valid    (capacity, row_size / 8)    bits of the masks, first pixel in the highest bit
    root_ivar (capacity, ivar_size)      where asked for: 1 / sigma of the values that have one
    journal  (blocks,)                   one JSON text a block: the records of its files
    index/n  columns, one array each     the table as the last finished run left it

A block is one shard and the records of the files read for it. Its rows are written first, its masks
next, its journal entry last, each as a single object: what the journal names is there. A shard is
never written again once its entry stands. The attributes of the group say which `index` counts and
how many blocks it covers; journal entries after these complete it.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from latentscope.errors import TableError
from latentscope.spectra.prepare import PrepareConfig
from train.packing.columns import COLUMNS, as_array, as_series, node_name, typed

FORMAT = 1
MARK = "latentscope_archive"
_PARTIAL = ".partial"

ROOT_IVAR = np.dtype(np.float16)
"""Of 1 / sigma, which saturates at 65504: an ivar of 4.3e9 in the units of the row."""

Dtype = Literal["float16", "float32"]
Compression = Literal["zstd", "lz4"]


@dataclass(frozen=True)
class Layout:
    """How rows lie in the store.

    Parameters
    ----------
    row_size : int
        Values in a row.
    dtype : {"float16", "float32"}
    chunk, shard : int
        Rows in a chunk (decompressed at once) and in a shard (one object of the store).
    compression : {"zstd", "lz4"}
        By Blosc, after its transposition of bits.
    ivar_size : int
        Values of a row, from the first on, that have an inverse variance; 0: none is kept.
    """

    row_size: int
    dtype: Dtype
    chunk: int
    shard: int
    compression: Compression = "zstd"
    ivar_size: int = 0

    def __post_init__(self) -> None:
        for what, known in (("dtype", Dtype), ("compression", Compression)):
            value = getattr(self, what)
            if value not in get_args(known):
                raise TableError(f"{what} is {value!r}; wanted one of {', '.join(get_args(known))}")

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
            raise TableError(f"chunks of {chunk_mb} and shards of {shard_mb} MB; wanted positive")
        row = row_size * (2 if dtype == "float16" else 4)
        chunk = max(1, int(chunk_mb * 1e6 / row))
        shard = chunk * max(1, math.ceil(shard_mb * 1e6 / (row * chunk)))
        return cls(row_size, dtype, chunk, shard, compression, ivar_size)


class MissingArchiveError(TableError):
    """There is no archive at that place."""


class ArchiveStore:
    """A packed archive as a store: blocks are added one after the other.

    Parameters
    ----------
    group : zarr.Group
    source : str
        What messages call it.
    """

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

        Raises
        ------
        MissingArchiveError
            If there is none.
        TableError
            If it cannot be read.
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
        """Make an archive without rows.

        Parameters
        ----------
        url : path or fsspec URL
            A folder that is absent or empty.
        settings : dict
            What the rows depend on besides the files, as JSON: `prepare` at least.
        layout : Layout

        Raises
        ------
        TableError
            If something else is there, or nothing can be written.
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
            raise TableError(f"{source}: holds other files; wanted a new or an empty folder")
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
        """Names of the arrays that have a row a spectrum."""
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

        Parameters
        ----------
        rows, valid : ndarray, shape (n, row_size)
        records : list of dict
            Of its files, with the keys of `COLUMNS`; their `row` counts within the block (-1: none)
            and is turned into the archive's.
        root_ivar : ndarray, shape (n, ivar_size)
            Where the layout has it.
        """
        block, shard = self._blocks, self.layout.shard
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
        """One row a file, in the order of packing: `COLUMNS`, then labels.

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
