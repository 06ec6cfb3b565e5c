"""A batch, what a source of batches is, and a process's place in the run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import lightning
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentscope.errors import ChoiceError


class Batch(NamedTuple):
    """Spectra of one step, on one device."""

    rows: Tensor  # (n, row_size), float16 or float32
    numbers: Tensor  # (n,): which spectra; the data module's `names` says them in words
    valid: Tensor | None = None  # (n, row_size): pixels that count; None: all
    ivar: Tensor | None = None  # (n, length): of the first values of each row, if known


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
    """Yield batches in order, with up to `depth` of them taken from the iterator in advance.

    A thread does that (none at a depth of 0); on a GPU it works on a stream of its own, so that the
    two overlap there too.
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


class Place(NamedTuple):
    """What a source has to know of the process that it serves."""

    step: int = 0  # the first batch to hand out
    rank: int = 0  # this process gets rows rank::world of each batch
    world: int = 1
    device: torch.device = torch.device("cpu")


START = Place()
"""Of a run that one process has not begun yet."""


class Batches:
    """What the trainer gets: the batches that remain of a run.

    Its length is that of the whole run, by which Lightning knows where it stands.
    """

    def __init__(self, steps: int, batches: Callable[[], Iterator[Batch]]) -> None:
        self._steps, self._batches = steps, batches

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        return self._batches()


class Data(lightning.LightningDataModule, ABC):
    """What a run learns from, whatever its spectra come from.

    A source makes `batches`, `blocks`, `origin` and `names`, and in `setup` what is validated.
    `size` and `steps` are the spectra in a batch of all processes, and the batches of the whole
    run.
    """

    # `doppler.Shifts` of training spectra; those of validation stay as they were observed.
    shifts: Any = None
    validation_rows: NDArray[Any]  # (n, row_size)
    validation_valid: NDArray[np.bool_] | None = None  # of the same shape; None: all count
    validation_ivar: NDArray[np.float32] | None = None  # (n, length)
    validation_labels: pd.DataFrame

    def __init__(self, size: int, steps: int) -> None:
        super().__init__()
        self.size, self.steps = size, steps

    def check_share(self, world: int) -> None:
        """Raise ChoiceError if `world` processes cannot share a batch equally."""
        if self.size % world:
            raise ChoiceError(
                f"{self.size} spectra a batch for {world} processes; expected a multiple of "
                f"{world}, since each process gets the same number of them"
            )

    @property
    def epoch_steps(self) -> float | None:
        """Steps of an epoch, fractions included; None where there are no epochs."""
        return None

    @property
    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """What the spectra are, for the model's config.json."""

    @abstractmethod
    def batches(self, place: Place) -> Iterator[Batch]:
        """Yield the batches that remain at a place: its process's part, on its device."""

    @abstractmethod
    def blocks(self, max_rows: int) -> Iterator[Sampled]:
        """Yield some training rows and their masks in blocks of at most `max_rows`."""

    @abstractmethod
    def names(self, numbers: Iterable[int]) -> list[str]:
        """Say which spectra these numbers of a batch are."""

    @property
    def provenance(self) -> dict[str, Any]:
        """What the network learned from, for its config.json."""
        return self.origin | ({"doppler_shifts": self.shifts.statement} if self.shifts else {})

    def sample(self, max_rows: int) -> Iterator[Sampled]:
        """Yield some training rows and their masks, as the network sees them."""
        if self.shifts is None:
            return self.blocks(max_rows)
        return self.shifts.sample(self.blocks(min(max_rows, _SHIFTED)))

    def train_dataloader(self) -> Batches:
        """Batches that remain after the trainer's step."""
        place, shifts = place_of(self.trainer), self.shifts
        self.check_share(place.world)
        if shifts is None:
            return Batches(self.steps, lambda: self.batches(place))
        return Batches(self.steps, lambda: shifts.batches(self.batches(place), place))


_SHIFTED = 16
"""Rows of a sample that are shifted at once."""


def place_of(trainer: Any) -> Place:
    """Return the place of this process in a trainer's run; the start of it all without one."""
    if trainer is None:
        return START
    first = trainer.global_step * trainer.accumulate_grad_batches
    return Place(first, trainer.global_rank, trainer.world_size, trainer.strategy.root_device)
