"""From files of spectra to a packed archive: parallel, resumable, in bounded memory."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import latentscope
from latentscope.cli.application import UsageError
from latentscope.data import match_rows, read_labels, row_keys
from latentscope.errors import LatentscopeError, ModelError, TableError, warn
from latentscope.files import cores, locked
from latentscope.models.config import DEFAULT_MODEL
from latentscope.models.rows import expand_sources, fail, read_chunk
from latentscope.settings import read_settings
from latentscope.spectra.prepare import PrepareConfig
from latentscope.tables import ID_COLUMNS, STAR_COLUMNS
from latentscope.workers import awaited
from train.data.archive import (
    COLUMNS,
    ROOT_IVAR,
    ArchiveStore,
    Layout,
    MissingArchiveError,
)
from train.data.stars import read_aliases, resolved, stars_of
from train.settings import read_yaml, shape_of


@contextmanager
def alone(folder: Path | None, refusal: LatentscopeError | None = None) -> Iterator[None]:
    """Hold a folder, so that one process at a time works in it; nothing of a remote archive (None).

    `refusal` is raised if another process holds it; by default that is waited for.
    """
    held = None
    while folder is not None and (held := locked(folder)) is None:
        if refusal is not None:
            raise refusal
        time.sleep(0.2)
    try:
        yield
    finally:
        if held is not None:
            os.close(held)


def named_preparation(model: str | None, grid: Path | None) -> tuple[str, PrepareConfig]:
    """Return the name of a model and its preparation, or "" and the one in a file.

    `grid` is YAML or JSON: a training configuration, a model's config.json, or its `prepare` alone.
    The bundled model where neither is given; UsageError if both are, ModelError if there is no such
    model or it has no preparation.
    """
    if grid is not None:
        if model is not None:
            raise UsageError("--model and --grid both say how to prepare; give one of them")
        return "", _from_file(grid)
    name = model or DEFAULT_MODEL
    prepare = shape_of(name)[1]
    if prepare is None:
        raise ModelError(f"{name}: this model does not say how to prepare spectra; use --grid")
    return name, prepare


def _from_file(path: Path) -> PrepareConfig:
    values = read_yaml(path)
    if isinstance(values, Mapping) and "prepare" in values:
        values = values["prepare"]
    if not isinstance(values, Mapping) or "grid" not in values:
        raise ModelError(f"{path}: no preparation; expected `prepare` with a `grid` in it")
    return read_settings(PrepareConfig, values, where=f"{path}: prepare", error=ModelError)


_TASK_FILES = 16
_TASK_BYTES = 8e6
"""What a worker reads at once: at most so many files, or rows of so many bytes in float32."""


class Read(NamedTuple):
    """What came of some files."""

    rows: NDArray[Any]  # (n, row_size), of the archive's dtype
    valid: NDArray[np.bool_]
    # One per file, with the keys of `COLUMNS`; `row` counts within `rows`, -1 without a row.
    records: list[dict[str, Any]]
    # (n, ivar_size): 1 / sigma, 0 where it is not known, at most what float16 holds.
    root_ivar: NDArray[np.float16] | None = None


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

    Rows get the preparation, dtype and inverse variances (if any) of `store`; spectra that fill
    less than `min_coverage` of the grid fail. TableError if a worker was killed.
    """
    size = max(1, min(_TASK_FILES, int(_TASK_BYTES / (4 * store.layout.row_size))))
    size = min(size, -(-len(files) // workers) or 1)
    tasks = [files[at : at + size] for at in range(0, len(files), size)]
    work = partial(
        read_files, prepare=store.prepare, min_coverage=min_coverage, dtype=store.layout.dtype,
        ivar=store.layout.ivar_size > 0,
    )  # fmt: skip
    try:
        yield from in_processes(work, tasks, workers)
    except BrokenProcessPool as error:
        raise TableError(
            f"{store.source}: a process that reads spectra was killed (out of memory?); what was "
            "packed is kept: go on with the same command and fewer --workers"
        ) from error


T = TypeVar("T")
R = TypeVar("R")


def in_processes(
    work: Callable[[T], R], items: Sequence[T], workers: int
) -> Generator[R, None, None]:
    """Yield `work(item)` in order, by so many processes that end with this one, or by this one."""
    if workers == 1 or len(items) <= 1:
        yield from map(work, items)
        return
    # Spawned, since a fork would copy the threads of numba and torch in the middle of their work;
    # and few items at a time, so that memory stays bounded however slow the writing is.
    workers = min(workers, len(items))
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=leave_with_parent)
    try:
        yield from awaited(
            lambda item: pool.submit(work, item), items, Future.result, lambda: 2 * workers
        )
    finally:
        pool.shutdown(cancel_futures=True)


def leave_with_parent() -> None:
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
    # Taken before reading: a file that changes meanwhile is read again by the next call.
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
    root_ivar = None
    if chunk.ivar is not None:
        largest_root = np.float32(np.finfo(ROOT_IVAR).max)  # beyond it float16 would say infinite
        root_ivar = np.minimum(np.sqrt(chunk.ivar[kept]), largest_root).astype(ROOT_IVAR)
    return Read(chunk.rows[kept].astype(dtype), chunk.valid[kept], records, root_ivar)


_FAILURES_A_SHARD = 4
"""A block ends early with so many times a shard's rows in files, when most of them fail."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PackReport:
    """What a run of `pack` did."""

    archive: str
    rows: int  # of the archive that its table names
    packed: int  # files named in this call
    kept: int  # files named in this call that were in the archive already
    failed: list[tuple[str, str]] = field(repr=False)  # named files without a row, and why


def pack(
    sources: Any,
    archive: str | os.PathLike[str],
    prepare: PrepareConfig,
    *,
    layout: Layout,
    model: str = "",
    min_coverage: float = 0.5,
    labels: Any = None,
    join: str | None = None,
    aliases: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> PackReport:
    """Pack spectra into an archive, or add them to one.

    A file whose absolute path, size and time of change the archive knows is not read again, whether
    it has a row or failed; so the same call goes on where an interrupted one was, and a call with
    more files adds these. A file that changed is read again, and its newest version counts.

    Parameters
    ----------
    sources : source or list of sources
        Files, folders, globs, ``@list.txt``, ``-``: see `expand_sources`.
    archive : path or fsspec URL
        A new store, or one of the same preparation.
    layout : Layout
        Of a new archive; an existing one must have the same `dtype` and `ivar_size`. Where that is
        positive, inverse variances are packed too.
    model : str
        Name of the model whose preparation this is, for the record.
    min_coverage : float
        Fraction of the grid that a spectrum must fill.
    labels : DataFrame, array or path, optional
        As `read_labels` takes them; they replace the labels of an earlier run.
    join : str, optional
        The column to join labels on, such as `star` for a table of one row per star.
    aliases : Path, optional
        Names that stars also have, as `read_aliases` takes them, for a join on stars.
    workers : int, optional
        Processes that read, by default one per core, at most 32; 1 reads in this one.

    Raises
    ------
    TableError
        If the store cannot be made or read, belongs to another preparation, is being packed by
        another process, or labels cannot be read or joined.
    SpectrumError
        If `sources` names nothing.
    """
    files = _files(sources)
    frame = None if labels is None else read_labels(labels)
    names = {} if aliases is None else read_aliases(aliases)
    settings = {"prepare": prepare.to_dict(), "min_coverage": min_coverage}
    store = _store(archive, settings, layout, model)
    # Two processes would write the same block.
    busy = TableError(f"{store.source}: another process packs into it; wait for it")
    with alone(store.folder, busy):
        store.sweep()
        entries = store.table()[["file", "size", "mtime_ns"]].itertuples(index=False)
        stamps = {file: (size, changed) for file, size, changed in entries}
        todo = [file for file in files if stamps.get(str(file)) != file_stamp(file)]
        blocks = _Blocks(store, (len(files) - len(todo), len(files)), progress)
        with closing(read_chunks(todo, store, min_coverage, workers or min(cores(), 32))) as chunks:
            for read in chunks:
                blocks.take(read)
        blocks.flush()
        blocks.warn()
        table, columns = _labelled(store, frame, join, names)
        command = shlex.join(sys.argv)
        run = {"time": _now(), "latentscope": latentscope.__version__, "command": command}
        store.finish(table, columns, run)
    return _report(store, table, files, {str(file) for file in todo})


def _files(sources: Any) -> list[Path]:
    items = expand_sources(sources)
    if not all(isinstance(item, Path) for item in items):
        raise TableError("only files can be packed, since a file's path and time tell what is done")
    return list(dict.fromkeys(Path(os.path.abspath(item)) for item in items))


def _store(
    archive: str | os.PathLike[str], settings: dict[str, Any], layout: Layout, model: str
) -> ArchiveStore:
    try:
        store = ArchiveStore.open(archive, write=True)
    except MissingArchiveError:
        made = {"latentscope": latentscope.__version__, "model": model, "made": _now()}
        return ArchiveStore.create(archive, settings | made, layout)
    differs = [key for key, value in settings.items() if store.settings.get(key) != value]
    kept = {"dtype": "dtype", "ivar_size": "ivar"}
    differs += [
        word for key, word in kept.items() if getattr(store.layout, key) != getattr(layout, key)
    ]
    if differs:
        raise TableError(
            f"{archive}: was packed with another {' and '.join(differs)}; give the same again, or "
            "pack into a new archive"
        )
    return store


class _Blocks:
    """Rows gathered until they fill a shard."""

    def __init__(
        self, store: ArchiveStore, done: tuple[int, int], progress: Progress | None
    ) -> None:
        self._store, self._progress = store, progress
        self._done, self._total = done
        layout = store.layout
        self._rows = np.zeros((layout.shard, layout.row_size), layout.dtype)
        self._valid = np.zeros((layout.shard, layout.row_size), np.bool_)
        self._root_ivar = np.zeros((layout.shard, layout.ivar_size), ROOT_IVAR)
        self._filled, self._packed, self._without = 0, 0, 0
        self._records: list[dict[str, Any]] = []

    def take(self, read: Read) -> None:
        """Add files' records and rows; write a block whenever a shard is full."""
        for record in read.records:
            row = record["row"]
            if row >= 0:
                self._keep(read, row)
                record = record | {"row": self._filled - 1}
            self._records.append(record)
            shard = len(self._rows)
            if self._filled == shard or len(self._records) >= _FAILURES_A_SHARD * shard:
                self.flush()
        self._done += len(read.records)
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _keep(self, read: Read, row: int) -> None:
        at = self._filled
        self._rows[at], self._valid[at] = read.rows[row], read.valid[row]
        if read.root_ivar is not None:
            self._root_ivar[at] = read.root_ivar[row]
            self._without += not read.root_ivar[row].any()
        self._filled += 1
        self._packed += 1

    def flush(self) -> None:
        """Write what was gathered as a block."""
        if self._records:
            filled = slice(self._filled)
            self._store.add(
                self._rows[filled], self._valid[filled], self._records, self._root_ivar[filled]
            )
        self._filled, self._records = 0, []

    def warn(self) -> None:
        """Say how many spectra have no inverse variance where it was asked for."""
        if self._without:
            warn(
                f"{self._store.source}: {self._without} of {self._packed} spectra have no errors; "
                "their inverse variance is 0, so an inverse-variance loss would not see them"
            )


def _labelled(
    store: ArchiveStore,
    labels: pd.DataFrame | None,
    join: str | None,
    aliases: Mapping[str, str],
) -> tuple[pd.DataFrame, list[str]]:
    """Join labels to the archive's table; without new ones it keeps those that it has."""
    table = store.table()
    if labels is None:
        return table, store.labels
    table = table[list(COLUMNS)]
    rows = table.index[table["row"] >= 0]
    source = str(labels.attrs["source"])
    left, right = table.loc[rows], labels
    if join is not None and join in labels and join.lower() in STAR_COLUMNS:
        # Of stars that both sides may write otherwise.
        left = left.assign(**{join.lower(): stars_of(left, join.lower(), aliases)})
        right = labels.assign(**{join: resolved(labels[join], aliases)})
    matches = match_rows(left, right, len(rows), join, (store.source, source))
    if matches is None:
        raise TableError(
            f"{source}: has no column that names the archive's files or stars; expected id, file, "
            "archive_id, or a column to join on (--join)"
        )
    for name in labels.select_dtypes("integer"):
        if labels[name].abs().max() > 2**53:  # a name such as Gaia's, which a float would round
            labels = labels.assign(**{name: labels[name].astype(str)})
    joined = labels.reindex(matches.where(matches >= 0)).set_axis(rows).infer_objects()
    said = [row_keys(table.loc[rows, name], files=True) for name in (*ID_COLUMNS, *STAR_COLUMNS)
            if name in table]  # fmt: skip
    new = {
        name: f"label_{name}" if name in COLUMNS else name
        for name in map(str, joined.columns)
        if not _repeats(row_keys(joined[name], files=True), said)
    }
    joined = joined[list(new)].rename(columns=new)
    return table.join(joined), list(new.values())


def _repeats(keys: pd.Series, said: list[pd.Series]) -> bool:
    """Whether a column says nothing but what one of the archive's own columns says."""
    known = keys.notna()
    return bool(known.any()) and any((keys[known] == own[known]).all() for own in said)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _report(
    store: ArchiveStore, table: pd.DataFrame, files: list[Path], read: set[str]
) -> PackReport:
    named = table.set_index("file").loc[[str(file) for file in files]]
    failed, packed = named[named["row"] < 0], named.index[named["row"] >= 0]
    new = sum(file in read for file in packed)
    reasons = list(zip(map(str, failed.index), map(str, failed["error"]), strict=True))
    return PackReport(
        archive=store.source,
        rows=int((table["row"] >= 0).sum()),
        packed=new,
        kept=len(packed) - new,
        failed=reasons,
    )
