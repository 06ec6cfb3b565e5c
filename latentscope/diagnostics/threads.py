"""Work shared out among threads, whose number never shows in results.

Compiled kernels release Python's lock. So pairs run side by side, each on one thread of `in_order`,
which starts no more (`may_spread`); and where there are few pairs, or one thing has to be known
before all of them (`together`), parts of one kernel run side by side.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numba

T = TypeVar("T")
R = TypeVar("R")

# Items begun ahead, a thread: a slow one at the front must not leave the others idle.
_AHEAD = 3
_OF_THIS_THREAD = threading.local()
_TOGETHER = threading.RLock()


def threads_for(tasks: int) -> int:
    """Threads that so many equal tasks keep busy: 1 where they leave some of numba's idle."""
    threads = int(numba.get_num_threads())
    return threads if tasks >= threads else 1


def may_spread() -> bool:
    """Tell whether this thread may start others: not if it is one of many."""
    return not getattr(_OF_THIS_THREAD, "one_of_many", False)


def _set_one_of_many(value: bool = True) -> None:
    _OF_THIS_THREAD.one_of_many = value


@contextmanager
def together() -> Iterator[None]:
    """Do what other threads wait for: one thread at a time, and that one may start others."""
    with _TOGETHER:
        before = not may_spread()
        _set_one_of_many(False)
        try:
            yield
        finally:
            _set_one_of_many(before)


def spread(work: Callable[[int, int], object], first: int, end: int, threads: int) -> None:
    """Run work(first, end) in parts, each on a thread of its own."""
    threads = min(threads, end - first)
    if threads <= 1:
        work(first, end)
        return
    edges = [first + (end - first) * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, edges[:-1], edges[1:]))


def in_order(work: Callable[[T], R], items: Iterable[T], threads: int) -> Generator[R, None, None]:
    """Yield `work(item)` of each item, in their order, worked on by so many threads.

    Items are asked for on the calling thread, few ahead of what was yielded; one thread is that
    thread itself. Closing the iterator, or an exception in it or in `work`, drops what has not
    begun and waits for what has.
    """
    if threads == 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(threads, initializer=_set_one_of_many)
    running: deque[Future[R]] = deque()
    try:
        for item in items:
            running.append(pool.submit(work, item))
            if len(running) > _AHEAD * threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
