"""Shuffled batches of a packed archive: chunks in random order, rows mixed within a window."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from latentscope.errors import TableError
from train.data.balance import Draw
from train.packing.archive import PackedArchive, unpacked

Batch = tuple[Tensor, Tensor]
_Loaded = tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True)
class Window:
    """Spectra that are in memory together, and the order in which they are handed out.

    Parameters
    ----------
    members : ndarray of int, shape (m,)
        Numbers of the spectra to read, each once.
    order : ndarray of int, shape (k,)
        Places in `members`; with repeats where an epoch repeats spectra.
    """

    members: NDArray[np.int64]
    order: NDArray[np.int64]


def windows(
    members: NDArray[np.int64],
    chunks: NDArray[np.int64],
    size: int,
    rng: np.random.Generator,
) -> list[Window]:
    """Shuffle an epoch: chunks in random order, cut into windows, each of them permuted.

    Parameters
    ----------
    members : ndarray of int, shape (k,)
        Numbers of the spectra of the epoch, with repeats where it has some.
    chunks : ndarray of int
        Chunk of every spectrum of the archive; a chunk never stands in two windows.
    size : int
        A window ends with the chunk that brings it to so many different spectra.
    rng : numpy.random.Generator

    Returns
    -------
    list of Window
        Together they hold `members`, each as often as there.
    """
    unique, counts = np.unique(members, return_counts=True)
    codes = np.unique(chunks[unique], return_inverse=True)[1]
    shuffled = rng.permutation(codes.max(initial=-1) + 1)
    by_chunk = np.argsort(shuffled[codes], kind="stable")
    ends = np.cumsum(np.bincount(shuffled[codes]))
    cuts, begin = [], 0
    for end in ends[:-1]:
        if end - begin >= size:
            cuts.append(end)
            begin = end
    parts = np.split(by_chunk, cuts)
    return [
        Window(unique[part], rng.permutation(np.repeat(np.arange(len(part)), counts[part])))
        for part in parts
    ]


class PackedBatches(IterableDataset[Batch]):
    """Batches of shuffled rows and their masks, the same for a seed wherever a run takes them up.

    The spectra of one epoch after the other are cut into batches; an epoch's last few begin the
    next one's first batch, so that none is left out. While a window is handed out, a thread reads
    the next: memory holds two windows and a chunk.

    Iterate over it as it is, or by `DataLoader(..., batch_size=None)` without workers.

    Parameters
    ----------
    archive : PackedArchive
    draw : Draw
        What an epoch shows.
    batch_size, steps : int
        Rows in a batch, and batches of the whole run.
    start : int
        The first batch to hand out; those before are not read.
    window_mb : float
        Size of a window in MB (10^6 bytes). The larger, the better the shuffling.
    device : torch device
        Where batches go, in the archive's dtype; masks travel as bits.
    """

    def __init__(
        self,
        archive: PackedArchive,
        draw: Draw,
        batch_size: int,
        steps: int,
        *,
        start: int = 0,
        window_mb: float = 256.0,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        if batch_size < 1 or window_mb <= 0:
            raise TableError(
                f"batch_size {batch_size}, window_mb {window_mb}; wanted positive numbers"
            )
        self._archive, self._draw, self._size = archive, draw, batch_size
        self._steps, self._start, self._device = steps, start, torch.device(device)
        self._chunks = archive.chunks
        row = archive.row_size * archive.dtype.itemsize + -(-archive.row_size // 8)
        self._window = max(1, int(window_mb * 1e6 / row))

    def __len__(self) -> int:
        """Steps of the whole run, by which Lightning knows where it stands."""
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        """Yield rows (batch, row_size) and masks (batch, row_size) of bool, True where valid."""
        if get_worker_info() is not None:
            raise TableError(
                "every worker of a DataLoader would hand out every batch; wanted num_workers=0: "
                "threads read ahead as it is"
            )
        loaded = self._loaded()
        try:
            rest: list[tuple[NDArray[Any], NDArray[np.uint8]]] = []
            for _ in range(self._start, self._steps):
                rest, batch = self._filled(rest, loaded)
                yield self._tensors(batch)
        finally:
            loaded.close()

    def _filled(self, rest: list[Any], loaded: Iterator[Any]) -> tuple[list[Any], list[Any]]:
        """Take a batch from what is left of earlier windows and, where that ends, from new ones."""
        batch: list[Any] = []
        missing = self._size
        while missing:
            rows, valid, order = rest.pop() if rest else next(loaded)
            taken, left = order[:missing], order[missing:]
            if len(taken):
                batch.append((rows[taken], valid[taken]))
            missing -= len(taken)
            if len(left):
                rest.append((rows, valid, left))
        return rest, batch

    def _tensors(self, batch: list[Any]) -> Batch:
        rows = torch.from_numpy(np.concatenate([part[0] for part in batch]))
        packed = np.concatenate([part[1] for part in batch])
        if self._device.type == "cpu":
            return rows, torch.from_numpy(unpacked(packed, rows.shape[1]))
        bits = torch.from_numpy(packed)
        if self._device.type == "cuda":
            rows, bits = rows.pin_memory(), bits.pin_memory()
        rows = rows.to(self._device, non_blocking=True)
        return rows, unpacked_bits(bits.to(self._device, non_blocking=True), rows.shape[1])

    def _loaded(self) -> Generator[_Loaded, None, None]:
        """Yield windows as arrays, and the order of their rows; one is read ahead."""
        with ThreadPoolExecutor(1, "train-read") as pool:
            ahead: Future[Any] | None = None
            order: NDArray[np.int64] = np.empty(0, np.int64)
            for window in self._windows():
                following = pool.submit(self._archive.read, window.members)
                if ahead is not None:
                    yield (*ahead.result(), order)
                ahead, order = following, window.order

    def _windows(self) -> Iterator[Window]:
        """Yield the windows of all epochs, from the one that holds the first row to hand out."""
        length = len(self._draw)
        number, skip = divmod(self._start * self._size, length)
        while True:
            rng = np.random.default_rng((self._draw.seed, number, 1))
            for window in windows(self._draw.epoch(number), self._chunks, self._window, rng):
                if skip < len(window.order):
                    yield Window(window.members, window.order[skip:])
                skip = max(0, skip - len(window.order))
            number += 1


def unpacked_bits(bits: Tensor, row_size: int) -> Tensor:
    """Masks of bool, shape (n, row_size), of their bits as `numpy.packbits` packs them."""
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device)
    unpacked = (bits[:, :, None] >> shifts) & 1
    return unpacked.flatten(1)[:, :row_size].bool()
