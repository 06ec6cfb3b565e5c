"""Chunks of a packed archive, decompressed in threads.

Zarr reads a chunk in a few milliseconds beyond its decompression, one after the other, which would
keep a GPU waiting. This reads the same objects by the layout that `store` gave them: shards of the
Zarr v3 sharding codec, chunks compressed by Blosc, an index of (offset, length) as little endian
uint64 and a checksum at the shard's end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc
from numpy.typing import NDArray
from zarr.abc.store import RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore

from latentscope.errors import TableError

_EMPTY = 2**64 - 1
_CHECKSUM = 4


class ChunkReader:
    """Reads rows of an array whose shards and chunks are whole rows.

    Parameters
    ----------
    array : zarr.Array
        `rows` or `valid` of a packed archive.
    """

    def __init__(self, array: zarr.Array[Any]) -> None:
        assert array.shards is not None
        self.chunk, self.shard = array.chunks[0], array.shards[0]
        self.shape, self.dtype = (self.chunk, array.shape[1]), np.dtype(array.dtype)
        self._store: Store = array.store_path.store
        self._path, self._key = array.store_path.path, array.metadata.encode_chunk_key
        self._indices: dict[int, NDArray[np.uint64]] = {}
        self._codec, self._scratch = Blosc(), threading.local()

    def take(self, chunk: int, rows: NDArray[np.int64], into: Any, places: Any) -> None:
        """Put rows of a chunk, numbered within it, at some places of an array.

        Raises
        ------
        TableError
            If the chunk is not there, or is damaged.
        """
        shard, at = divmod(chunk, self.shard // self.chunk)
        offset, length = (int(value) for value in self._index(shard)[at])
        if offset == _EMPTY:
            into[places] = 0
            return
        data = self._bytes(shard, RangeByteRequest(offset, offset + length))
        values = self._buffer()
        try:
            self._codec.decode(data, values)
        except (RuntimeError, ValueError) as error:
            raise TableError(f"{self._name(shard)}: chunk {at} is damaged: {error}") from error
        into[places] = values[rows]

    def _buffer(self) -> NDArray[Any]:
        """An array for a chunk, the same for all chunks of a thread."""
        if not hasattr(self._scratch, "values"):
            self._scratch.values = np.empty(self.shape, self.dtype)
        values: NDArray[Any] = self._scratch.values
        return values

    def _index(self, shard: int) -> NDArray[np.uint64]:
        """Offset and length of the shard's chunks, shape (chunks, 2)."""
        if shard not in self._indices:
            size = self.shard // self.chunk * 16
            data = self._bytes(shard, SuffixByteRequest(size + _CHECKSUM))
            self._indices[shard] = np.frombuffer(data[:size], "<u8").reshape(-1, 2)
        return self._indices[shard]

    def _bytes(self, shard: int, part: RangeByteRequest | SuffixByteRequest) -> bytes:
        if isinstance(self._store, LocalStore):
            try:
                return _part_of(Path(self._store.root) / self._name(shard), part)
            except FileNotFoundError:
                found = None
        else:
            found = sync(self._store.get(self._name(shard), default_buffer_prototype(), part))
        if found is None:
            raise TableError(f"{self._store}: {self._name(shard)} is missing; pack again")
        return found.to_bytes()

    def _name(self, shard: int) -> str:
        return f"{self._path}/{self._key((shard, 0))}".lstrip("/")


def _part_of(file: Path, part: RangeByteRequest | SuffixByteRequest) -> bytes:
    with file.open("rb") as stream:
        if isinstance(part, SuffixByteRequest):
            stream.seek(-part.suffix, 2)
            return stream.read()
        stream.seek(part.start)
        return stream.read(part.end - part.start)


def take_rows(
    readers: list[ChunkReader],
    arrays: list[NDArray[Any]],
    wanted: NDArray[np.int64],
    pool: ThreadPoolExecutor,
) -> None:
    """Fill arrays (m, width) with the rows numbered `wanted`, shape (m,), of each reader's array.

    Each chunk is read once; `pool` reads several at a time.
    """
    jobs = [
        pool.submit(reader.take, chunk, rows, array, places)
        for chunk, rows, places in _by_chunk(wanted, readers[0].chunk)
        for reader, array in zip(readers, arrays, strict=True)
    ]
    try:
        for job in jobs:
            job.result()
    finally:
        for job in jobs:
            job.cancel()


def _by_chunk(
    wanted: NDArray[np.int64], size: int
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield each chunk, the rows wanted of it, and their places in `wanted`."""
    order = np.argsort(wanted, kind="stable")
    chunks = wanted[order] // size
    for places in np.split(order, np.flatnonzero(np.diff(chunks)) + 1):
        if len(places):
            chunk = int(wanted[places[0]]) // size
            yield chunk, wanted[places] - chunk * size, places
