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

from latentscope.errors import ChoiceError, TableError
from train.data.balance import Draw
from train.data.batch import Batch
from train.packing.archive import PackedArchive, unpacked
from train.packing.store import ROOT_IVAR

_Loaded = tuple[list[NDArray[Any]], NDArray[np.int64]]
"""Arrays of a window (numbers, rows, bits of masks, 1 / sigma if asked for), and their order."""


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
    rank, world : int
        Hand out rows ``rank::world`` of each batch, which `world` divides.
    ivar : bool
        Hand out inverse variances, which the archive must have.
    device : torch device
        Where batches go, in the archive's dtype; masks travel as bits.

    Raises
    ------
    TableError
        If batches or windows are empty.
    ChoiceError
        If `world` processes cannot share a batch equally.
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
        rank: int = 0,
        world: int = 1,
        ivar: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        if batch_size < 1 or window_mb <= 0:
            raise TableError(
                f"batch_size {batch_size}, window_mb {window_mb}; wanted positive numbers"
            )
        if batch_size % world:
            raise ChoiceError(
                f"{batch_size} spectra a batch for {world} processes; wanted a multiple"
            )
        self._archive, self._draw, self._size = archive, draw, batch_size
        self._steps, self._start, self._device = steps, start, torch.device(device)
        self._rank, self._world, self._ivar = rank, world, ivar
        self._chunks = archive.chunks
        row = archive.row_size * archive.dtype.itemsize + -(-archive.row_size // 8)
        row += archive.ivar_size * ROOT_IVAR.itemsize if ivar else 0
        self._window = max(1, int(window_mb * 1e6 / row))

    def __len__(self) -> int:
        """Steps of the whole run, by which Lightning knows where it stands."""
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        """Yield rows of the archive's dtype, their numbers in it and their masks."""
        if get_worker_info() is not None:
            raise TableError(
                "every worker of a DataLoader would hand out every batch; wanted num_workers=0: "
                "threads read ahead as it is"
            )
        loaded = self._loaded()
        try:
            rest: list[_Loaded] = []
            for _ in range(self._start, self._steps):
                rest, parts = self._filled(rest, loaded)
                yield self._batch([np.concatenate(arrays) for arrays in zip(*parts, strict=True)])
        finally:
            loaded.close()

    def _filled(
        self, rest: list[_Loaded], loaded: Iterator[_Loaded]
    ) -> tuple[list[_Loaded], list[list[NDArray[Any]]]]:
        """Take a batch from what is left of earlier windows and, where that ends, from new ones."""
        parts: list[list[NDArray[Any]]] = []
        missing = self._size // self._world
        while missing:
            arrays, order = rest.pop() if rest else next(loaded)
            taken, left = order[:missing], order[missing:]
            parts.append([array[taken] for array in arrays])
            missing -= len(taken)
            if len(left):
                rest.append((arrays, left))
        return rest, parts

    def _batch(self, arrays: list[NDArray[Any]]) -> Batch:
        numbers, rows, bits, *root = map(self._moved, arrays)
        if self._device.type == "cpu":
            valid = torch.from_numpy(unpacked(arrays[2], rows.shape[1]))
        else:
            valid = unpacked_bits(bits, rows.shape[1])
        return Batch(rows, numbers, valid, root[0].float().square_() if root else None)

    def _moved(self, array: NDArray[Any]) -> Tensor:
        values = torch.from_numpy(array)
        if self._device.type == "cuda":
            values = values.pin_memory()
        return values.to(self._device, non_blocking=True)

    def _read(self, members: NDArray[np.int64]) -> list[NDArray[Any]]:
        arrays = [members, *self._archive.read(members)]
        return [*arrays, self._archive.read_root_ivar(members)] if self._ivar else arrays

    def _loaded(self) -> Generator[_Loaded, None, None]:
        """Yield windows as arrays, and the order of their rows; one is read ahead."""
        with ThreadPoolExecutor(1, "train-read") as pool:
            ahead: Future[list[NDArray[Any]]] | None = None
            order: NDArray[np.int64] = np.empty(0, np.int64)
            for window in self._windows():
                following = pool.submit(self._read, window.members)
                if ahead is not None:
                    yield ahead.result(), order
                ahead, order = following, window.order

    def _windows(self) -> Iterator[Window]:
        """Yield this process's part of the windows, from the one with its first row on."""
        length, first = len(self._draw), self._start * self._size
        number, at = first // length, first // length * length
        while True:
            rng = np.random.default_rng((self._draw.seed, number, 1))
            for window in windows(self._draw.epoch(number), self._chunks, self._window, rng):
                skip = max(first - at, 0)
                skip += (self._rank - at - skip) % self._world
                own = window.order[skip :: self._world]
                if len(own):
                    used, order = np.unique(own, return_inverse=True)
                    yield Window(window.members[used], order)
                at += len(window.order)
            number += 1


def unpacked_bits(bits: Tensor, row_size: int) -> Tensor:
    """Masks of bool, shape (n, row_size), of their bits as `numpy.packbits` packs them."""
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device)
    unpacked = (bits[:, :, None] >> shifts) & 1
    return unpacked.flatten(1)[:, :row_size].bool()
