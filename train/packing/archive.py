"""Reading a packed archive: its table, its rows, and which star each of them shows."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.errors import TableError
from train.packing.chunks import ChunkReader, take_rows
from train.packing.reading import worker_count
from train.packing.store import ROOT_IVAR, ArchiveStore


class PackedArchive:
    """The spectra of a packed archive that have a row, numbered 0 to n - 1.

    An archive can be read while it is being packed, or after packing was interrupted: its finished
    blocks are there, labels as the last finished run left them.

    Parameters
    ----------
    url : path or fsspec URL
    threads : int, optional
        Threads that decompress; by default one a core, at most 32.

    Attributes
    ----------
    table : DataFrame of n rows
        The columns of `train.packing.columns.COLUMNS`, then `labels`; in the order of packing.
    failed : DataFrame
        The same for files without a row, with the reason in `error`.
    labels : list of str
        Columns of `table` that are labels.
    prepare : PrepareConfig
        Grid and normalisation of the rows.

    Raises
    ------
    TableError
        If there is no archive, or no row in it.
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
            raise TableError(f"{self.source}: holds no row; pack spectra into it first")
        self._readers = {name: ChunkReader(self._store.array(name)) for name in self._store.names}
        self._pool = ThreadPoolExecutor(worker_count(threads), "train-chunks")
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
    def stars(self) -> NDArray[np.object_]:
        """What keeps spectra together in splits, shape (n,).

        The star's name in lower case without blanks; the object's where there is none; else the
        file, each a star of its own.
        """
        names = self.table["star"].where(self.table["star"] != "", self.table["object"])
        names = names.astype(object).map(lambda name: "".join(str(name).split()).lower())
        named: NDArray[np.object_] = names.where(names != "", self.table["file"]).to_numpy(object)
        return named

    @property
    def fingerprint(self) -> str:
        """SHA-256 of which version of which file lies in which row, and of the labels."""
        columns = ["file", "size", "mtime_ns", "row", *self.labels]
        text = self.table[columns].to_csv(index=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, members: ArrayLike) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Read spectra by number.

        Each chunk is read once, whatever the order of the numbers.

        Parameters
        ----------
        members : array of int, shape (m,)

        Returns
        -------
        rows : ndarray of `dtype`, shape (m, row_size)
        valid : ndarray of uint8, shape (m, ceil(row_size / 8))
            Bits of the masks, for `unpacked`.
        """
        wanted = self._at[np.asarray(members, dtype=np.int64)]
        rows = np.empty((len(wanted), self.row_size), self.dtype)
        valid = np.empty((len(wanted), -(-self.row_size // 8)), np.uint8)
        readers = [self._readers["rows"], self._readers["valid"]]
        take_rows(readers, [rows, valid], wanted, self._pool)
        return rows, valid

    def read_root_ivar(self, members: ArrayLike) -> NDArray[np.float16]:
        """Read square roots of inverse variances, 1 / sigma in the units of the row, by number.

        Parameters
        ----------
        members : array of int, shape (m,)

        Returns
        -------
        ndarray of float16, shape (m, ivar_size)
            0 where it is not known; of the first `ivar_size` values of each row.

        Raises
        ------
        TableError
            If the archive has none.
        """
        if not self.ivar_size:
            raise TableError(f"{self.source}: has no inverse variances; pack it with --ivar")
        wanted = self._at[np.asarray(members, dtype=np.int64)]
        root = np.empty((len(wanted), self.ivar_size), ROOT_IVAR)
        take_rows([self._readers["root_ivar"]], [root], wanted, self._pool)
        return root


def unpacked(valid: NDArray[np.uint8], row_size: int) -> NDArray[np.bool_]:
    """Masks of shape (m, row_size), True where a pixel is valid, of their bits."""
    return np.unpackbits(valid, axis=1, count=row_size).view(np.bool_)
