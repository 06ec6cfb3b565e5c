"""Who does the work: threads, whose number never shows in results, or a Dask cluster's workers.

Compiled kernels release Python's lock. So pairs run side by side, each on one thread of `in_order`,
which starts no more (`may_spread`); and where there are few pairs, or one thing has to be known
before all of them (`together`), parts of one kernel run side by side. `on_cluster` puts a Dask
cluster's workers in the place of the threads of `in_order`.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from itertools import count
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numba

from latentscope.errors import ClusterError, LatentscopeError

_FEWEST = 16  # threads that work is kept ready for: some clusters begin small and grow with it

# A cluster of our own shows nothing in browsers, on a port that may be taken.
NO_PAGE = {"dashboard": False, "dashboard_address": ":0"}


@contextmanager
def connected(dask: Any, workers: int | None = None) -> Iterator[Any]:
    """Yield a `distributed.Client`: `dask` itself, or that of its address.

    "local" starts a cluster of so many processes, by default one per core, and ends it. A
    ClusterError if the package is missing, or no scheduler answers.
    """
    try:
        import distributed
    except ImportError as error:
        raise ClusterError(
            f"a Dask cluster needs the package {error.name}: "
            "pip install 'latentscope-spectra[distributed]'"
        ) from None
    if isinstance(dask, distributed.Client):
        yield dask
        return
    with ExitStack() as stack:
        if dask == "local":
            dask = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    scheduler_kwargs=NO_PAGE,
                    silence_logs=logging.CRITICAL,  # workers that end complain of each other
                )
            )
        try:
            client = distributed.Client(dask, set_as_default=False)
        except Exception as error:
            raise ClusterError(
                f"no Dask scheduler at {dask} ({error}); expected its address, such as "
                "tcp://host:8786, or local"
            ) from None
        yield stack.enter_context(client)


def threads_of(client: Any) -> int:
    """Threads of all workers now, or the most that a growing cluster may get."""
    return max(int(sum(client.nthreads().values())), _FEWEST)


def held(client: Any, make: Callable[..., Any], *arguments: Any) -> Any:
    """Make something on a worker that many tasks share; remake it if that worker dies."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")
        return client.submit(make, *arguments, pure=False)


def answer(future: Any) -> Any:
    """Return what a task found.

    A LatentscopeError as it was raised there; `ClusterError` for what Dask says of workers that
    died.
    """
    try:
        return future.result()
    except LatentscopeError:
        raise
    except Exception as error:
        raise ClusterError(
            f"the Dask cluster failed at {future.key} ({type(error).__name__}: {error}); finished "
            "blocks of encode are kept, the same call goes on from there"
        ) from error


T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


def counted(items: Iterable[T], total: int, progress: Progress | None) -> Iterator[T]:
    """Yield items, and tell `progress` of each once it has been worked on."""
    for done, item in enumerate(items, start=1):
        yield item
        if progress is not None:
            progress(done, total)


def stepper(total: int, progress: Progress | None) -> Callable[[], None]:
    """Return what tells `progress` of one more step each time that it is called."""
    done = count(1)

    def step() -> None:
        if progress is not None:
            progress(next(done), total)

    return step


# Items begun ahead, a thread: a slow one at the front must not leave the others idle.
_AHEAD = 3
_OF_THIS_THREAD = threading.local()
_TOGETHER = threading.RLock()


def threads_for(tasks: int) -> int:
    """Threads that so many equal tasks keep busy; 1 if some of numba's would be idle."""
    threads = int(numba.get_num_threads())
    return threads if tasks >= threads else 1


def may_spread() -> bool:
    """Tell whether this thread may start others: not if it is one of many."""
    return not getattr(_OF_THIS_THREAD, "one_of_many", False)


def threads_to_spread(worth: bool = True) -> int:
    """Threads for parts of one kernel: 1 if more are not worth it or not allowed."""
    return int(numba.get_num_threads()) if worth and may_spread() else 1


def _set_one_of_many(value: bool = True) -> None:
    _OF_THIS_THREAD.one_of_many = value


@contextmanager
def _as_one_of_many(value: bool) -> Iterator[None]:
    before = not may_spread()
    _set_one_of_many(value)
    try:
        yield
    finally:
        _set_one_of_many(before)


@contextmanager
def together() -> Iterator[None]:
    """Do work that other threads wait for, one at a time; it may start threads itself."""
    with _TOGETHER, _as_one_of_many(False):
        yield


def spread(work: Callable[[int, int], object], first: int, end: int, threads: int) -> None:
    """Run work(first, end) in parts, each on a thread of its own."""
    threads = min(threads, end - first)
    if threads <= 1:
        work(first, end)
        return
    edges = [first + (end - first) * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, edges[:-1], edges[1:]))


def awaited(
    submit: Callable[[T], Any],
    items: Iterable[T],
    result: Callable[[Any], R],
    most: Callable[[], int],
) -> Generator[R, None, None]:
    """Yield the result of each item, in their order, with `most()` of them begun ahead."""
    waiting: deque[Any] = deque()
    for item in items:
        waiting.append(submit(item))
        if len(waiting) > most():
            yield result(waiting.popleft())
    while waiting:
        yield result(waiting.popleft())


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
    try:
        yield from awaited(
            lambda item: pool.submit(work, item), items, Future.result, lambda: _AHEAD * threads
        )
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_CLIENT: ContextVar[Any] = ContextVar("client", default=None)


@contextmanager
def on_cluster(dask: Any) -> Iterator[None]:
    """Have tables of pairs measured by a Dask cluster, as `encode` takes it; None: as before."""
    if dask is None:
        yield
        return
    with connected(dask) as client:
        token = _CLIENT.set(client)
        try:
            yield
        finally:
            _CLIENT.reset(token)


def pairs_in_order(
    work: Callable[[list[tuple[Any, T, T]]], R],
    batches: Iterable[list[tuple[Any, T, T]]],
    threads: int,
) -> Generator[R, None, None]:
    """`in_order` for batches of (place, x, y), where a cluster has to be sent the x and y."""
    client = _CLIENT.get()
    if client is None:
        yield from in_order(work, batches, threads)
        return
    # Each is sent once, however many pairs it is in, and forgotten when the caller drops it.
    sent: WeakKeyDictionary[T, Any] = WeakKeyDictionary()

    def there(item: T) -> Any:
        if item not in sent:
            sent[item] = held(client, _itself, item)
        return sent[item]

    shared = held(client, _itself, work)

    def submit(batch: list[tuple[Any, T, T]]) -> Any:
        far = [(place, there(x), there(y)) for place, x, y in batch]
        return client.submit(_on_worker, shared, far, pure=False)

    yield from awaited(submit, batches, answer, lambda: _AHEAD * threads_of(client))


def _itself(item: T) -> T:
    return item


def _on_worker(work: Callable[[T], R], item: T) -> R:
    with _as_one_of_many(True):
        return work(item)
