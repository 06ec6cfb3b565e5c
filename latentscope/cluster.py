"""The workers of a Dask cluster, for what is asked to run there."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from latentscope.errors import ClusterError, LatentscopeError

_FEWEST = 16  # threads that work is kept ready for: some clusters begin small and grow with it

# A cluster of our own shows nothing in browsers, on a port that may be taken.
NO_PAGE = {"dashboard": False, "dashboard_address": ":0"}


@contextmanager
def connected(dask: Any, workers: int | None = None) -> Iterator[Any]:
    """Yield a `distributed.Client`: `dask` itself, or that of its address.

    "local" starts a cluster of so many processes, by default one per core, and ends it.

    Raises
    ------
    ClusterError
        If the package is missing, or no scheduler answers.
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
    """Threads of all workers now, or as many as a cluster that grows may get."""
    return max(int(sum(client.nthreads().values())), _FEWEST)


def held(client: Any, make: Callable[..., Any], *arguments: Any) -> Any:
    """Make something on a worker that many tasks share; made again where that worker dies."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")
        return client.submit(make, *arguments, pure=False)


def answer(future: Any) -> Any:
    """Return what a task found.

    Raises
    ------
    LatentscopeError
        As it was raised there; `ClusterError` for what Dask says of workers that died.
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
