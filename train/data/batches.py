"""What one training step gets: a batch, and this process's place in the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentscope.errors import ChoiceError


class Batch(NamedTuple):
    """Spectra of one step, on one device.

    Attributes
    ----------
    rows : Tensor of shape (n, row_size)
        Prepared spectra, float16 or float32.
    numbers : Tensor of int64, shape (n,)
        Which spectra they are; the data module's `names(numbers)` says them in words.
    valid : Tensor of bool, shape (n, row_size), or None
        Pixels that count; None: all.
    ivar : Tensor of shape (n, length), or None
        Inverse variance of the first `length` values of each row; None: not known.
    """

    rows: Tensor
    numbers: Tensor
    valid: Tensor | None = None
    ivar: Tensor | None = None


def changed(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """Return a batch with every tensor that it has changed."""
    valid, ivar = (None if values is None else change(values) for values in batch[2:])
    return Batch(change(batch.rows), change(batch.numbers), valid, ivar)


def sent(batch: Batch, device: torch.device) -> Batch:
    """Return a batch on a device; to a GPU by way of pinned memory, so that nobody waits for it."""

    def send(values: Tensor) -> Tensor:
        if device.type == "cuda" and values.device.type == "cpu":
            values = values.pin_memory()
        return values.to(device, non_blocking=True)

    return changed(batch, send)


def made_ahead(batches: Iterator[Batch], depth: int, device: torch.device) -> Iterator[Batch]:
    """Yield batches in order, with up to `depth` of them taken from the iterator before.

    A thread does that; on a GPU it works on a stream of its own, so that the two overlap there too.

    Parameters
    ----------
    batches : iterator of Batch
        On `device`.
    depth : int
        0: take each batch when it is asked for, without a thread.
    device : torch device
    """
    if depth == 0:
        yield from batches
        return
    aside = None
    if device.type == "cuda":
        aside = torch.cuda.Stream(device)
        # What a maker holds was put there on the stream that trains.
        aside.wait_stream(torch.cuda.current_stream(device))

    def work() -> tuple[Batch | None, torch.cuda.Event | None]:
        if aside is None:
            return next(batches, None), None
        with torch.cuda.device(device), torch.cuda.stream(aside):
            return next(batches, None), aside.record_event()

    waiting: deque[Future[tuple[Batch | None, torch.cuda.Event | None]]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        try:
            waiting.extend(pool.submit(work) for _ in range(depth + 1))
            while True:
                batch, event = waiting.popleft().result()
                if batch is None:
                    return
                if event is not None:
                    training = torch.cuda.current_stream(device)
                    training.wait_event(event)
                    for tensor in batch:
                        if tensor is not None:
                            # Its memory must not be given to the next batch while it is in use.
                            tensor.record_stream(training)
                yield batch
                waiting.append(pool.submit(work))
        finally:
            pool.shutdown(cancel_futures=True)


def ahead_of(device: torch.device) -> int:
    """Batches to read before they are asked for: on a CPU reading takes time from the training."""
    return 2 if device.type == "cuda" else 0


def joined(parts: list[Batch]) -> Batch:
    """Join batches on one device, one after the other.

    Where some have masks, the others' pixels all count. Inverse variances are kept if all have
    them.
    """
    if len(parts) == 1:
        return parts[0]
    masked = any(part.valid is not None for part in parts)
    valid = [
        torch.ones_like(p.rows, dtype=torch.bool) if p.valid is None else p.valid for p in parts
    ]
    ivar = [part.ivar for part in parts if part.ivar is not None]
    return Batch(
        torch.cat([part.rows for part in parts]),
        torch.cat([part.numbers for part in parts]),
        torch.cat(valid) if masked else None,
        torch.cat(ivar) if len(ivar) == len(parts) else None,
    )


Sampled = tuple[NDArray[np.float32], NDArray[np.bool_] | None]
"""Rows of shape (n, row_size), and their masks; None: every pixel counts."""


class Batches(Protocol):
    """What a data module hands to the trainer: the batches that remain of a run.

    Its length is that of the whole run, by which Lightning knows where it stands.
    """

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


class Data(Protocol):
    """What a run asks of a data module, whatever its spectra come from.

    Attributes
    ----------
    validation_rows : ndarray, shape (n, row_size)
    validation_valid : ndarray of bool, shape (n, row_size), or None
        Pixels that count; None: all.
    validation_ivar : ndarray, shape (n, length), or None
    validation_labels : DataFrame of n rows
    """

    validation_rows: NDArray[Any]
    validation_valid: NDArray[np.bool_] | None
    validation_ivar: NDArray[np.float32] | None
    validation_labels: pd.DataFrame
    trainer: Any

    @property
    def provenance(self) -> dict[str, Any]:
        """What the network learned from, for its config.json."""

    @property
    def epoch_steps(self) -> float | None:
        """Steps of an epoch, fractions included; None where there are no epochs."""

    def setup(self, stage: str | None = None) -> None:
        """Make or open the spectra, and read those to validate with."""

    def sample(self, max_rows: int) -> Iterator[Sampled]:
        """Yield some training rows and their masks in blocks of at most `max_rows`."""

    def names(self, numbers: Iterable[int]) -> list[str]:
        """Say which spectra these numbers of a batch are."""

    def train_dataloader(self) -> Batches:
        """Batches that remain after the trainer's step: this process's part, on its device."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to know of the data."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to go on with other data than the checkpoint's."""


class Place(NamedTuple):
    """What a loader has to know of the process that it serves.

    Attributes
    ----------
    step : int
        The first batch to hand out.
    rank, world : int
        This process and the number of processes; it gets rows ``rank::world`` of each batch.
    device : torch.device
        Where it computes.
    """

    step: int = 0
    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")


START = Place()
"""Of a run that one process has not begun yet."""


def place_of(trainer: Any, batch_size: int) -> Place:
    """Return the place of this process in a trainer's run; the start of it all without one.

    Raises
    ------
    ChoiceError
        If the processes cannot share a batch of `batch_size` spectra equally.
    """
    if trainer is None:
        return START
    world = trainer.world_size
    if batch_size % world:
        raise ChoiceError(
            f"{batch_size} spectra a batch for {world} processes; expected a multiple of {world}, "
            "since each process gets the same number of them"
        )
    first = trainer.global_step * trainer.accumulate_grad_batches
    return Place(first, trainer.global_rank, world, trainer.strategy.root_device)
