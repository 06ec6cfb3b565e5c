"""Files read and prepared for a packed archive, in this process or in several."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import TableError
from latentscope.models.rows import fail, read_chunk
from latentscope.spectra.prepare import PrepareConfig
from train.packing.store import ROOT_IVAR, ArchiveStore

_TASK_FILES = 16
_TASK_BYTES = 8e6
"""What a worker reads at once: at most so many files, or rows of so many bytes in float32."""


class Read(NamedTuple):
    """What came of some files.

    Attributes
    ----------
    rows : ndarray of the archive's dtype, shape (n, row_size)
    valid : ndarray of bool, shape (n, row_size)
    records : list of dict
        One a file, with the keys of `COLUMNS`; `row` counts within `rows`, -1 for a file without.
    root_ivar : ndarray of float16, shape (n, ivar_size), or None
        1 / sigma, 0 where it is not known, at most what float16 holds.
    """

    rows: NDArray[Any]
    valid: NDArray[np.bool_]
    records: list[dict[str, Any]]
    root_ivar: NDArray[np.float16] | None = None


def worker_count(workers: int | None) -> int:
    """Return `workers`, or one a core, at most 32.

    Raises
    ------
    TableError
        If it is below 1.
    """
    if workers is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return min(cores or 1, 32)
    if workers < 1:
        raise TableError(f"workers is {workers}; wanted at least 1")
    return workers


def file_stamp(file: Path) -> tuple[int, int]:
    """Size in bytes and time of change in ns, by which a file is known; -1 where there is none."""
    try:
        stat = os.stat(file)
    except OSError:
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


def read_chunks(
    files: list[Path], store: ArchiveStore, min_coverage: float, workers: int
) -> Generator[Read, None, None]:
    """Yield what came of some files at a time, in order of the files.

    Parameters
    ----------
    files : list of Path
    store : ArchiveStore
        Whose preparation, dtype and inverse variances (if any) the rows get.
    min_coverage : float
        Spectra that fill less of the grid fail.
    workers : int
        Processes; 1 reads in this one. At most two tasks a worker wait for the caller.

    Raises
    ------
    TableError
        If a worker was killed.
    """
    size = max(1, min(_TASK_FILES, int(_TASK_BYTES / (4 * store.layout.row_size))))
    size = min(size, -(-len(files) // workers) or 1)
    tasks = [files[at : at + size] for at in range(0, len(files), size)]
    how = store.prepare, min_coverage, store.layout.dtype, store.layout.ivar_size > 0
    if workers == 1:
        for some in tasks:
            yield read_files(some, *how)
        return
    waiting: deque[Future[Read]] = deque()
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_leave_with_parent)
    try:
        for some in tasks:
            waiting.append(pool.submit(read_files, some, *how))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise TableError(
            f"{store.source}: a process that reads spectra was killed (out of memory?); what was "
            "packed is kept: go on with the same command and fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_with_parent() -> None:
    """End this worker when its parent is killed, which the pool itself would not notice.

    Ctrl-C is the parent's to answer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def read_files(
    files: list[Path], prepare: PrepareConfig, min_coverage: float, dtype: str, ivar: bool = False
) -> Read:
    """Read and prepare some files, with inverse variances if asked for.

    A row that `dtype` cannot hold fails.
    """
    stamps = [file_stamp(file) for file in files]
    chunk = read_chunk(list(files), 0, prepare, min_coverage, ivar=ivar)
    limit = float(np.finfo(dtype).max)
    largest = np.abs(chunk.rows).max(axis=1, initial=0)
    kept = [at for at, value in enumerate(largest) if value <= limit]
    where = dict.fromkeys(range(len(files)), -1)
    for at, index in enumerate(chunk.where):
        if largest[at] > limit:
            fail(
                chunk.records[index],
                f"{files[index]}: its row reaches {largest[at]:g}, more than {dtype} holds; mask "
                "the outliers, or pack into float32",
            )
    where |= {chunk.where[at]: row for row, at in enumerate(kept)}
    records = [
        record
        | {"frame": prepare.grid.frame, "row": where[index]}
        | dict(zip(("size", "mtime_ns"), stamps[index], strict=True))
        for index, record in enumerate(chunk.records)
    ]
    root_ivar = None if chunk.ivar is None else _root(chunk.ivar[kept])
    return Read(chunk.rows[kept].astype(dtype), chunk.valid[kept], records, root_ivar)


def _root(ivar: NDArray[np.float32]) -> NDArray[np.float16]:
    limit = np.float32(np.finfo(ROOT_IVAR).max)
    root: NDArray[np.float16] = np.minimum(np.sqrt(ivar), limit).astype(ROOT_IVAR)
    return root
