"""From files of spectra to a packed archive: parallel, resumable, in bounded memory."""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import latentscope
from latentscope.data import match_rows, read_labels
from latentscope.errors import LatentscopeWarning, TableError
from latentscope.models.rows import expand_sources
from latentscope.spectra.prepare import PrepareConfig
from latentscope.tables import ID_COLUMNS, STAR_COLUMNS
from train.packing.alone import alone
from train.packing.columns import COLUMNS
from train.packing.reading import Read, file_stamp, read_chunks, worker_count
from train.packing.store import ROOT_IVAR, ArchiveStore, Layout, MissingArchiveError

_FAILURES_A_SHARD = 4
"""A block ends early with so many times a shard's rows in files, when most of them fail."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PackReport:
    """What a run of `pack` did.

    Parameters
    ----------
    archive : str
        Path or URL.
    rows : int
        Rows of the archive that its table names.
    packed, kept : int
        Files named in this call that it packed, and that were in the archive already.
    failed : list of (file, reason)
        Files named in this call that have no row.
    """

    archive: str
    rows: int
    packed: int
    kept: int
    failed: list[tuple[str, str]] = field(repr=False)


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
    prepare : PrepareConfig
        The grid and normalisation of the rows.
    layout : Layout
        Of a new archive; an existing one keeps its own, and must have the same `dtype` and
        `ivar_size`. Where that is positive, inverse variances are packed too.
    model : str
        Name of the model whose preparation this is, for the record.
    min_coverage : float
        Fraction of the grid that a spectrum must fill.
    labels : DataFrame, array or path, optional
        As `read_labels` takes them; they replace the labels of an earlier run.
    join : str, optional
        The column to join labels on, such as `object` for a table with a row a star.
    workers : int, optional
        Processes that read, by default one a core, at most 32; 1 reads in this one.
    progress : callable (done, total), optional

    Returns
    -------
    PackReport

    Raises
    ------
    TableError
        If the store cannot be made or read, belongs to another preparation, is being packed by
        another process, or labels cannot be read or joined.
    SpectrumError
        If `sources` names nothing.
    """
    count = worker_count(workers)
    files = _files(sources)
    frame = None if labels is None else read_labels(labels)
    settings = {"prepare": prepare.to_dict(), "min_coverage": min_coverage}
    store = _store(archive, settings, layout, model)
    with _alone(store):
        store.sweep()
        known = _known(store.table())
        todo = [file for file in files if known.get(str(file)) != file_stamp(file)]
        blocks = _Blocks(store, (len(files) - len(todo), len(files)), progress or _silent)
        with closing(read_chunks(todo, store, min_coverage, count)) as chunks:
            for read in chunks:
                blocks.take(read)
        blocks.flush()
        blocks.warn()
        table, names = _labelled(store, frame, join)
        store.finish(table, names, _run())
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


@contextmanager
def _alone(store: ArchiveStore) -> Iterator[None]:
    """Hold a local archive's folder; two processes would write the same block."""
    with ExitStack() as held:
        try:
            if store.folder is not None:
                held.enter_context(alone(store.folder, wait=False))
        except BlockingIOError:
            raise TableError(
                f"{store.source}: another process packs into it; wait for it"
            ) from None
        yield


def _known(table: pd.DataFrame) -> dict[str, tuple[int, int]]:
    stamps = zip(table["size"].tolist(), table["mtime_ns"].tolist(), strict=True)
    return dict(zip(table["file"].tolist(), stamps, strict=True))


class _Blocks:
    """Rows gathered until they fill a shard."""

    def __init__(self, store: ArchiveStore, done: tuple[int, int], progress: Progress) -> None:
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
            warnings.warn(
                f"{self._store.source}: {self._without} of {self._packed} spectra have no errors; "
                "their inverse variance is 0, so an inverse-variance loss would not see them",
                LatentscopeWarning,
                stacklevel=3,
            )


def _labelled(
    store: ArchiveStore, labels: pd.DataFrame | None, join: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """Join labels to the archive's table; without new ones it keeps those that it has."""
    table = store.table()
    if labels is None:
        return table, store.labels
    table = table[list(COLUMNS)]
    rows = table.index[table["row"] >= 0]
    source = str(labels.attrs["source"])
    matches = match_rows(table.loc[rows], labels, len(rows), join, (store.source, source))
    if matches is None:
        raise TableError(
            f"{source}: has no column that names the archive's files or stars; wanted id, file, "
            "archive_id, or a column to join on (--join)"
        )
    joined = labels.reindex(matches.where(matches >= 0)).set_axis(rows).infer_objects()
    keys = {*ID_COLUMNS, *STAR_COLUMNS}
    renamed = {
        name: f"label_{name}" if name in COLUMNS else name
        for name in map(str, joined.columns)
        if name.lower() not in keys
    }
    joined = joined[list(renamed)].rename(columns=renamed)
    return table.join(joined), list(renamed.values())


def _run() -> dict[str, str]:
    return {
        "time": _now(),
        "latentscope": latentscope.__version__,
        "command": shlex.join(sys.argv),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _silent(done: int, total: int) -> None:
    """Report no progress."""


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
