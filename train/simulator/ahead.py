"""Batches made by a background thread while the network learns from those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from train.data.batches import Batch


def made_ahead(
    make: Callable[[int], Batch], steps: Iterable[int], depth: int, device: torch.device
) -> Iterator[Batch]:
    """Yield ``make(step)`` for each step, in order, with up to `depth` of them made before.

    On a GPU the thread works on a stream of its own, so that the two overlap there too.

    Parameters
    ----------
    make : callable
        Returns a batch on `device`.
    steps : iterable of int
    depth : int
        0: make each batch when it is asked for, without a thread.
    device : torch device
    """
    if depth == 0:
        yield from map(make, steps)
        return
    aside = _Aside(device) if device.type == "cuda" else None
    work = make if aside is None else aside.making(make)
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="simulator") as pool:
        try:
            for step in steps:
                waiting.append(pool.submit(work, step))
                if len(waiting) > depth:
                    yield _ready(waiting.popleft().result(), aside)
            while waiting:
                yield _ready(waiting.popleft().result(), aside)
        finally:
            pool.shutdown(cancel_futures=True)


class _Aside:
    """A CUDA stream beside the one that trains."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._stream.wait_stream(torch.cuda.current_stream(device))
        self._done: deque[torch.cuda.Event] = deque()

    def making(self, make: Callable[[int], Batch]) -> Callable[[int], Batch]:
        def work(step: int) -> Batch:
            with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
                batch = make(step)
                self._done.append(self._stream.record_event())
            return batch

        return work

    def hand_over(self, batch: Batch) -> None:
        """Let the training stream wait for the batch, and keep its memory while it is in use."""
        current = torch.cuda.current_stream(self._device)
        current.wait_event(self._done.popleft())
        for tensor in batch:
            if tensor is not None:
                tensor.record_stream(current)


def _ready(batch: Batch, aside: _Aside | None) -> Batch:
    if aside is not None:
        aside.hand_over(batch)
    return batch
