"""From files to latents: parallel reading, batches, one row per input, resumable.

`encode` expands its sources, cuts them into blocks of files, and has workers read, prepare and
encode each; finished blocks lie in part files beside the output until all is written, so that an
interrupted run goes on where it was.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import platform
import shlex
import shutil
import sys
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args
from uuid import uuid4

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

import latentscope
from latentscope.compiled import njit
from latentscope.data import Latents, check_latents_path, write_latents, write_parquet
from latentscope.diagnostics.probe import Probe
from latentscope.diagnostics.trust_reference import Reference
from latentscope.errors import ModelError, TableError, printable, warn
from latentscope.files import atomic_path, cores, keep_freed_memory, locked
from latentscope.models.network import SpectrumVAE, moved, packed, single
from latentscope.models.probes import apply_probe, probe_beside, read_probe
from latentscope.models.rows import (
    COLUMNS,
    SEGMENTS,
    Chunk,
    check_coverage,
    expand_sources,
    fail,
    read_chunk,
    source_id,
)
from latentscope.models.trust import Reader, sample_beside, segment_edges, with_trust
from latentscope.models.weights import ModelLike, as_model, check_weights, weights_sha256
from latentscope.spectra.oxygen import DOUBT
from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.read import Reading
from latentscope.spectra.spectrum import Frame
from latentscope.workers import Progress, answer, awaited, connected, held, threads_of

BLOCK = 256
"""Files per part file: what an interrupted run may lose at most, besides a worker's chunk."""

_CPU_VALUES = 8 * 327_680
"""Row values of a batch on a CPU: each weight is fetched once for several spectra."""
_MAX_BATCH = 32
_MEASURED = ("recon_error", "contrast", "roughness", "emission", "elsewhere", "vacuum",
             "rv_second_peak")  # fmt: skip

_LONGEST_NAME = 255  # bytes of a file's name

Precision = Literal["float32", "bf16"]


def encode(
    sources: Any,
    model: ModelLike,
    *,
    output: str | os.PathLike[str] | None = None,
    batch_size: int | Literal["auto"] = "auto",
    device: str = "cpu",
    precision: Precision = "float32",
    workers: int | None = None,
    min_coverage: float = 0.5,
    logvar: bool = False,
    recon_error: bool = True,
    resume: bool = True,
    progress: Progress | None = None,
    hdu: int | str | None = None,
    key: str | None = None,
    frame: Frame | None = None,
    probe: Probe | str | os.PathLike[str] | None = "auto",
    dask: Any = None,
) -> Latents:
    """Encode spectra with a model.

    Parameters
    ----------
    sources : source or list of sources
        Files, folders, globs, ``@list.txt``, `Spectrum` objects, ...: see `expand_sources`.
    model : SpectrumVAE, str or path
        With its preparation, as `load_model` gives it; or its name, folder or address.
    output : path, optional
        A .npy file to write the latents to, with their siblings, or a .parquet that holds all in
        one (`write_latents`). An interrupted run leaves its finished blocks in `<output>.parts`,
        and the same call takes them up.
    batch_size : int or "auto"
        Spectra that pass the network at once; "auto" halves it when memory runs out.
    device : str
        "cpu", "auto" or a torch device such as "cuda:1".
    precision : {"float32", "bf16"}
        Precision of the convolutions. bf16 (bfloat16) is faster where the processor has it, and
        changes latents by about 1e-3 of their spread; the provenance says so.
    workers : int, optional
        Threads that read and prepare spectra, on the CPU each with its own passes of the network;
        by default one per core, at most 32.
    min_coverage : float
        Fraction of the model's grid that a spectrum must fill.
    logvar : bool
        Whether to keep the log variance of q(z|x).
    recon_error : bool
        Whether to decode too, for the trust column; without it encoding is two to three times
        faster.
    resume : bool
        Whether to use part files that an interrupted run of the same call left.
    progress : callable (done, total), optional
        Called from this thread whenever rows are done.
    hdu, key, frame : optional
        Which spectrum of each file to read, and the frame of its wavelengths: see `read_spectrum`.
    probe : Probe, str or path, optional
        What reads labels from the latents, as `read_probe` takes it. "auto": the one beside the
        model's weights, where there is one; None or "none": none.
    dask : str or distributed.Client, optional
        Address of the scheduler of a Dask cluster whose workers read and encode in the place of
        threads, or its client; "local": a cluster of `workers` processes on this machine.

    Returns
    -------
    Latents
        One row per input in input order; a row of NaN where `table["status"]` is not "ok" but
        "failed" or "degenerate", with the reason in `error`. A .parquet `output` may be larger than
        memory: then only the rows that are not "ok" are returned, and `read_latents` reads the
        others. `table` names each spectrum (`file`, `id`, `object`, `star`, `archive_id`), says how
        it was observed (`rv` and `berv` in km/s, `mjd`, `exptime` in seconds, ...), what was
        `assumed`, and how far to trust the row (`coverage`, `snr`, `recon_error`, ..., `verdict`);
        docs/encode.md describes all columns. Values do not depend on batch size or workers beyond
        float32 rounding (1e-5).

    Raises
    ------
    ModelError
        If the model has no preparation or no log variance where that is asked for, or if device,
        precision or batch size cannot be used.
    ClusterError
        If there is no such cluster, or its workers die again and again.
    SpectrumError
        If `sources` names nothing, `frame` is unknown, or `min_coverage` not within 0 to 1.
    TableError
        If `output` does not end in .npy or .parquet, it or its siblings would replace files of
        somebody else, or another process writes it now.

    Warns
    -----
    LatentscopeWarning
        If ids repeat, or if nothing could be encoded and an `output` of an earlier run stays.

    Examples
    --------
    >>> latents = encode("spectra/", "harps-sim", output="latents.npy")  # doctest: +SKIP
    >>> latents.values.shape, latents.table["verdict"].value_counts()  # doctest: +SKIP
    """
    model = as_model(model)
    if model.prepare is None:
        raise ModelError(
            "this model does not say how to prepare spectra; build it with prepare=..., or load "
            "it by load_model"
        )
    if logvar and not model.config.variational:
        raise ModelError("this model is deterministic and has no log variance; leave logvar out")
    check_coverage(min_coverage)
    reading = Reading(hdu, key, frame)
    path = None if output is None else check_latents_path(output, logvar=logvar)
    items = expand_sources(sources)
    sample = sample_beside(model)
    reference = None if sample is None else Reference(sample)
    reader = _chosen_probe(probe, model)
    arguments = (model, device, batch_size, recon_error, precision)
    make = partial(_Run, arguments, model.prepare, min_coverage, reading)
    settings = _settings(model, min_coverage, recon_error, precision) | vars(reading)
    count = min(cores(), 32) if workers is None else workers
    if count < 1:
        raise ModelError(f"workers is {workers}; expected at least 1")
    folder_matters = any(isinstance(item, Path) and not item.is_absolute() for item in items)
    with (
        nullcontext() if path is None else PartStore(path, settings) as store,
        _threads(make(), count)
        if dask is None
        else _cluster(make, dask, count, folder_matters) as engine,
        # The products of matrices are small: a BLAS with threads spends twice the processor time.
        threadpool_limits(limits=1, user_api="blas"),
    ):
        if store is not None and not resume:
            store.clear()
        # Spectra given as objects have no path and time of change to be known by.
        resumable = all(isinstance(item, Path | str) for item in items)
        parts = engine.parts(items, store if resumable else None, progress or (lambda *_: None))
        origin = _provenance(settings, engine.device, model.info)
        blocks = _described(parts, origin, logvar, reference, reader)
        earlier = path is not None and path.exists()
        if path is not None and path.suffix.lower() == ".parquet":
            latents, written = _streamed(blocks, path, earlier)
        else:
            latents = _joined(blocks, (len(items), model.config.latents))
            written = bool(latents.ok.any())
            if path is not None and (written or not earlier):
                write_latents(latents, path)
        _warn_of_repeats(items)
        if doubtful := latents.provenance["frame_doubtful"]:
            warn(
                f"the O2 lines of the air contradict the frame of the wavelengths in {doubtful} of "
                f"{len(items)} spectra, so velocities are off by up to 30 km/s, that of the Earth; "
                "the column assumed says how"
            )
        if earlier and not written:
            # Rows that are all NaN never go over those of an earlier run.
            warn(f"none of {len(items)} spectra could be encoded; {path} of an earlier run stays")
        if store is not None:
            store.clear()
    return latents


def _chosen_probe(probe: Probe | str | os.PathLike[str] | None, model: SpectrumVAE) -> Probe | None:
    if probe is None or isinstance(probe, Probe) or os.fspath(probe) == "none":
        found = probe if isinstance(probe, Probe) else None
    else:
        found = probe_beside(model) if os.fspath(probe) == "auto" else read_probe(probe)
    if found is not None:  # refused before the work
        if found.n_dims != model.config.latents:
            raise ModelError(
                f"the probe reads {found.n_dims} dimensions, the model has {model.config.latents}; "
                "give one made with this model, or none"
            )
        check_weights(found.info, weights_sha256(model), "the probe")
    return found


def _with_probe(latents: Latents, probe: Probe) -> Latents:
    """Put probe readings into the table, before the long errors of segments."""
    table = latents.table
    assert table is not None
    found = apply_probe(probe, latents).drop(columns="id", errors="ignore")
    last = table.columns[-1:]
    table = pd.concat([table.drop(columns=last), found, table[last]], axis=1)
    provenance = latents.provenance | {"probe": probe.info}
    return replace(latents, table=table, provenance=provenance)


@dataclass
class _Run:
    """The work on sources, for threads and cluster workers alike."""

    arguments: tuple[Any, ...]  # of the network
    prepare: PrepareConfig
    min_coverage: float
    reading: Reading

    def __post_init__(self) -> None:
        self.network = Network(*self.arguments)

    def __reduce__(self) -> tuple[type[_Run], tuple[Any, ...]]:
        # Another process lays out weights for its own processor.
        return _Run, (self.arguments, self.prepare, self.min_coverage, self.reading)

    def part(self, sources: list[Any], first: int) -> Part:
        """Read, prepare and encode sources, the first of them number `first`, with one thread."""
        # Workers that do so side by side fill the cores by themselves; torch's own threads on top
        # would wait for one another.
        torch.set_num_threads(1)
        keep_freed_memory()
        size = self.network.batch_size
        batches = range(0, len(sources), size)
        return Part.joined(
            [self.encoded(self.read(sources[at : at + size], first + at)) for at in batches]
        )

    def read(self, sources: list[Any], first: int) -> Chunk:
        """Read and prepare sources."""
        return read_chunk(sources, first, self.prepare, self.min_coverage, reading=self.reading)

    def encoded(self, chunk: Chunk) -> Part:
        """Pass what was read through the network."""
        found, n = self.network.encode(chunk.rows, chunk.valid), len(chunk.records)
        values, logvar = (np.full((n, found.mean.shape[1]), np.nan, "f4") for _ in range(2))
        segments = np.full((n, SEGMENTS), np.nan, "f4")
        for row, index in enumerate(chunk.where):
            record = chunk.records[index]
            # Finite rows can overflow in a network: an outlier of the detector, say.
            if not np.isfinite(found.mean[row]).all():
                fail(record, "the network gives no finite latents")
                continue
            values[index], logvar[index] = found.mean[row], found.logvar[row]
            segments[index] = found.segments[row]
            record |= {column: float(getattr(found, column)[row]) for column in _MEASURED}
            if np.isfinite(found.rv_ambiguous[row]):
                record["rv_ambiguous"] = bool(found.rv_ambiguous[row])
        return Part(values, logvar, segments, chunk.records)


class _Engine(NamedTuple):
    """Who does the work: threads of this process, or workers of a Dask cluster."""

    workers: Callable[[], int]  # their number now
    size: int  # sources that a worker takes at once, at most
    submit: Callable[[list[Any], int], Any]  # sources, number of the first -> future
    result: Callable[[Any], Part]  # of such a future
    device: str

    def parts(
        self, items: list[Any], store: PartStore | None, progress: Progress
    ) -> Iterator[Part]:
        """Yield the part of each block in order, also those that an earlier run stored."""
        blocks = [(at, items[at : at + BLOCK]) for at in range(0, len(items), BLOCK)]
        # By what the files are before they are read, should one change meanwhile.
        keys = [store.key(block) if store else "" for _, block in blocks]
        stored = {
            at
            for (at, block), key in zip(blocks, keys, strict=True)
            if store is not None and store.load(key, len(block)) is not None
        }
        missing = [(at, block) for at, block in blocks if at not in stored]
        # The bar begins where the earlier run ended.
        done = len(items) - sum(len(block) for _, block in missing)
        if stored:
            progress(done, len(items))
        # No more under way than keeps all busy: rows of an archive would fill the memory.
        results = awaited(
            lambda chunk: self.submit(*chunk),
            self._chunks(missing),
            self.result,
            lambda: 2 * self.workers(),
        )
        for (at, block), key in zip(blocks, keys, strict=True):
            if store is not None and at in stored:
                part = store.load(key, len(block))
                if part is None:
                    raise TableError(f"{store.folder / key}: disappeared just now; run it again")
            else:
                pieces: list[Part] = []
                while sum(len(piece.records) for piece in pieces) < len(block):
                    pieces.append(next(results))
                    done += len(pieces[-1].records)
                    progress(done, len(items))
                part = Part.joined(pieces)
                if store is not None:
                    store.save(key, part)
            yield part

    def _chunks(self, blocks: list[tuple[int, list[Any]]]) -> list[tuple[list[Any], int]]:
        """Split blocks into chunks, so that all workers have some: sources, number of the first."""
        # Four for each worker at least: with one each, all would wait for the slowest file.
        count = sum(len(block) for _, block in blocks)
        size = min(self.size, -(-count // (4 * self.workers())))
        return [
            (block[at : at + size], first + at)
            for first, block in blocks
            for at in range(0, len(block), size)
        ]


@contextmanager
def _threads(run: _Run, workers: int) -> Iterator[_Engine]:
    """Workers that are threads; on another device the caller's thread passes all batches."""
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, "latentscope-encode")
    network = run.network

    def result(done: Future[Any]) -> Part:
        return done.result() if network.on_cpu else run.encoded(done.result())

    work: Callable[..., Part | Chunk] = run.part if network.on_cpu else run.read
    try:
        submit = partial(pool.submit, work)
        yield _Engine(lambda: workers, network.batch_size, submit, result, str(network.device))
    finally:
        pool.shutdown(cancel_futures=True)
        # Of new threads; that of the calling thread has not changed.
        torch.set_num_threads(threads)


@contextmanager
def _cluster(
    make: Callable[[], _Run], dask: Any, workers: int, relative: bool
) -> Iterator[_Engine]:
    """Workers of a Dask cluster, each with a network of its own."""
    with connected(dask, workers) as client:
        folders = client.run(os.getcwd)
        for worker, folder in folders.items():
            if relative and folder != os.getcwd():
                raise ModelError(
                    f"the Dask worker {worker} runs in {folder}, where relative names of files "
                    "are others; give absolute ones"
                )
        run = held(client, make)
        device = answer(client.submit(lambda run: str(run.network.device), run, pure=False))

        def submit(sources: list[Any], first: int) -> Any:
            name = f"rows-{first}-to-{first + len(sources) - 1}-{uuid4().hex}"
            return client.submit(_Run.part, run, sources, first, key=name)

        yield _Engine(partial(threads_of, client), BLOCK, submit, answer, device)


_IN_NOTES = {"unsaid": "the file does not say", "frame_doubtful": DOUBT}
"""Counts of the provenance, and the words of `assumed` in the rows that they count."""


def _described(
    parts: Iterable[Part],
    origin: dict[str, Any],
    logvar: bool,
    reference: Reference | None,
    probe: Probe | None,
) -> Iterator[Latents]:
    """Yield the latents of each part, with all of their table; the last provenance counts all."""
    counts = dict.fromkeys(("n", "ok", "failed", "degenerate", "outside", *_IN_NOTES), 0)
    for part in parts:
        table = pd.DataFrame.from_records(part.records, columns=list(COLUMNS))
        spread = part.logvar if logvar else None
        latents = Latents(part.values, table, spread, dict(origin))
        latents = replace(latents, table=with_trust(latents, part.segments, reference))
        if probe is not None:
            latents = _with_probe(latents, probe)
        assert latents.table is not None
        found = Counter([*latents.table["status"], *latents.table["verdict"]])
        for note in latents.table.loc[latents.ok, "assumed"]:
            found.update(name for name, words in _IN_NOTES.items() if words in note)
        counts = {name: number + found[name] for name, number in counts.items()}
        counts["n"] += len(table)
        latents.provenance.update(counts)
        yield latents


def _joined(blocks: Iterable[Latents], shape: tuple[int, int]) -> Latents:
    """Put blocks together, with the provenance of the last."""
    # Placed as they come, so that no number is there twice.
    values = np.full(shape, np.nan, "f4")
    spread = np.full(shape, np.nan, "f4")
    tables: list[pd.DataFrame] = []
    first = 0
    for block in blocks:
        rows = slice(first, first + len(block))
        values[rows] = block.values
        if block.logvar is not None:
            spread[rows] = block.logvar
        assert block.table is not None
        tables.append(block.table)
        first = rows.stop
    table = pd.concat(tables, ignore_index=True)
    return Latents(values, table, None if block.logvar is None else spread, block.provenance)


def _streamed(blocks: Iterable[Latents], path: Path, earlier: bool) -> tuple[Latents, bool]:
    """Write blocks as Parquet; return the rows that are not ok, and whether it was written.

    Over an `earlier` file it is not if no row is ok.
    """
    failed: list[Latents] = []

    def watched() -> Iterator[Latents]:
        for block in blocks:
            if failed and not len(failed[-1]):
                failed.pop()  # of millions of blocks the last empty one is enough
            failed.append(block.take(np.flatnonzero(~block.ok)))
            yield block
        if earlier and not block.provenance["ok"]:
            raise _NothingError

    with suppress(_NothingError):
        write_parquet(watched(), path)
    last = failed[-1]
    return _joined(failed, (sum(map(len, failed)), last.dims)), bool(last.provenance["ok"])


class _NothingError(Exception):
    """No row is ok."""


@dataclass(frozen=True)
class Part:
    """What became of n sources, row by row."""

    values: NDArray[np.float32]  # shape (n, d), as logvar
    logvar: NDArray[np.float32]
    segments: NDArray[np.float32]  # shape (n, 32), as in `Encoded`
    records: list[dict[str, Any]]

    @classmethod
    def joined(cls, parts: list[Part]) -> Part:
        """Rows of several, one after the other."""
        return cls(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.logvar for part in parts]),
            np.concatenate([part.segments for part in parts]),
            [record for part in parts for record in part.records],
        )


class PartStore:
    """Part files in `<output>.parts`, so that an interrupted run goes on where it was.

    The key of a part is a hash of all that its content depends on: weights, architecture,
    preparation, options (`settings`), and path, size, inode and times of change of each file. As a
    context the folder is this process's alone (`TableError` if another has it), and removed at the
    end if no part is in it.
    """

    def __init__(self, output: Path, settings: dict[str, Any]) -> None:
        name = f"{output.name}.parts"
        if len(os.fsencode(name)) > _LONGEST_NAME:
            name = f"{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()}.parts"
        self.folder = output.with_name(name)
        self._output, self._settings = output, json.dumps(settings, sort_keys=True)

    def __enter__(self) -> Self:
        owner = self.folder / "owner"
        lock = locked(self.folder)
        if lock is None:
            found = "another process"
            with suppress(OSError):
                found = owner.read_text(encoding="utf-8") or found
            raise TableError(
                f"{self._output}: {found} is writing it now; wait for its end, or give another "
                "output"
            )
        self._lock = lock
        owner.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        (self.folder / "owner").unlink(missing_ok=True)
        with suppress(OSError):  # parts are in it
            self.folder.rmdir()
        os.close(self._lock)

    def key(self, sources: list[Path | str]) -> str:
        """Name the part of these files as they are now."""
        text = json.dumps([self._settings, [_stamp(source) for source in sources]])
        return f"{hashlib.sha256(text.encode()).hexdigest()}.npz"

    def load(self, key: str, n: int) -> Part | None:
        """Return a part of n rows, or None if there is none (or it is damaged)."""
        path = self.folder / key
        if not path.is_file():
            return None
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                records = json.loads(str(stored["records"]))
                part = Part(stored["values"], stored["logvar"], stored["segments"], records)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return part if len(part.values) == len(part.records) == n else None

    def save(self, key: str, part: Part) -> None:
        """Write a part, whole or not at all."""
        with atomic_path(self.folder / key) as temporary:
            np.savez(temporary, **vars(part) | {"records": np.array(json.dumps(part.records))})

    def clear(self) -> None:
        """Remove all parts of this output, also those of earlier and of killed runs."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != "owner":
                path.unlink(missing_ok=True)


def _stamp(path: Path | str) -> tuple[str | int, ...]:
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        # A failed row, and another part once the file is there; or an address, which says it all.
        return (str(path),)
    # A file put in the place of another may have its size and time, which archivers set.
    return str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


class Encoded(NamedTuple):
    """Output of a network for n rows, float32 of shape (n,) unless stated.

    NaN where it was not asked for, or the model has none. Errors are root mean squares of
    reconstruction minus row over the valid pixels (not the continuum nodes); `contrast` is the
    standard deviation of the row, `roughness` the root mean square step between neighbors.
    """

    mean: NDArray[np.float32]  # (n, d)
    logvar: NDArray[np.float32]  # (n, d)
    recon_error: NDArray[np.float32]
    segments: NDArray[np.float32]  # (n, 32), of equal parts; NaN where half is not valid
    contrast: NDArray[np.float32]
    roughness: NDArray[np.float32]
    emission: NDArray[np.float32]  # as `elsewhere` and `vacuum`: see `Signs`
    elsewhere: NDArray[np.float32]
    vacuum: NDArray[np.float32]
    rv_second_peak: NDArray[np.float32]  # as `rv_ambiguous`: see `Shift`
    rv_ambiguous: NDArray[np.float32]


class Network:
    """A model on a device, with the batch size it can take; the model is copied if it has to move.

    Device "auto" is CUDA or Apple's MPS where there is one, else the CPU. Batch size "auto" suits
    the device, and is halved whenever memory runs out. With `recon_error` rows are decoded too.
    Raises `ModelError` if device, precision or batch size cannot be used.
    """

    def __init__(
        self,
        model: SpectrumVAE,
        device: str,
        batch_size: int | str,
        recon_error: bool,
        precision: Precision = "float32",
    ) -> None:
        self.device = _device(device)
        if precision not in get_args(Precision):
            raise ModelError(f"precision is {precision!r}; expected float32 or bf16")
        low = precision == "bf16"
        if low and self.on_cpu and not torch.cpu._is_avx512_bf16_supported():
            raise ModelError(
                "precision is 'bf16', which this processor computes slower than float32: it lacks "
                "the instructions (AVX512_BF16); leave precision out"
            )
        current = next(model.parameters()).device
        # Rows are float32, and so are latents, whatever the caller's model computes in.
        model = single(model)
        self._signs = Reader(model, self.device) if recon_error else None
        self._model = model if current == self.device else moved(copy.deepcopy(model), self.device)
        if self.on_cpu:
            self._model = packed(self._model, torch.bfloat16 if low else torch.float32)
        self._low = low and not self.on_cpu
        self._adapts = batch_size == "auto"
        self._lock = threading.Lock()  # several workers may run out of memory at once
        if batch_size == "auto":
            fitting = _CPU_VALUES // model.config.row_size if self.on_cpu else _MAX_BATCH
            self.batch_size = min(max(fitting, 1), _MAX_BATCH)
        elif isinstance(batch_size, str) or batch_size < 1:
            raise ModelError(
                f"batch size is {batch_size!r}; expected 'auto' or a positive whole number"
            )
        else:
            self.batch_size = int(batch_size)

    @property
    def on_cpu(self) -> bool:
        """Whether the network runs on the CPU, beside the reading."""
        return self.device.type == "cpu"

    def encode(self, rows: NDArray[np.float32], valid: NDArray[np.bool_]) -> Encoded:
        """Latents of prepared rows, float32 and bool of shape (n, row_size)."""
        n, d = len(rows), self._model.config.latents
        shapes = ((n, d), (n, d), (n,), (n, SEGMENTS), *[(n,)] * (len(Encoded._fields) - 4))
        out = Encoded(*(np.full(shape, np.nan, dtype=np.float32) for shape in shapes))
        start = 0
        while start < n:
            size = self.batch_size
            batch = slice(start, start + size)
            try:
                found = self._pass(rows[batch], valid[batch])
            except RuntimeError as trouble:
                if not _out_of_memory(trouble):
                    raise
                # The same rows again, fewer at a time.
                self._shrink(min(size, n - start), trouble)
                continue
            for whole, part in zip(out, found, strict=True):
                whole[batch] = part
            start += size
        return out

    def _pass(self, rows: NDArray[np.float32], valid: NDArray[np.bool_]) -> Encoded:
        model, length, unknown = self._model, self._model.config.length, np.nan
        low = torch.autocast(self.device.type, torch.bfloat16, enabled=self._low)
        with torch.inference_mode(), _full_precision(self.device), low:
            batch = torch.from_numpy(rows).to(self.device)
            mean, logvar, shift, lines = model.encoding(batch)
            measured: tuple[Any, ...] = (unknown, unknown, unknown, unknown)
            signs: tuple[Any, ...] = (unknown, unknown, unknown)
            if self._signs is not None:
                # A fitted shift has drawn the lines already.
                drawn = model.decode(mean) if lines is None else model.shifted(lines, mean)
                drawn = drawn[:, :length]
                measured = _measured(rows[:, :length], valid[:, :length], drawn.cpu().numpy())
                inside = torch.from_numpy(valid[:, :length]).to(self.device)
                errors = torch.from_numpy(measured[1]).to(self.device)
                signs = self._signs.read(batch[:, :length], drawn, inside, errors)
            fit = (unknown, unknown) if shift is None else (shift.second_peak, shift.ambiguous)
            found = (mean, unknown if logvar is None else logvar, *measured, *signs, *fit)
            return Encoded(*(x.cpu().numpy() if isinstance(x, Tensor) else x for x in found))

    def _shrink(self, tried: int, trouble: RuntimeError) -> None:
        if tried == 1 or not self._adapts:
            advice = (
                "use batch size 'auto', or a smaller one" if tried > 1 else "use another device"
            )
            raise ModelError(
                f"out of memory on {self.device} at {tried} spectra at once; {advice}"
            ) from trouble
        with self._lock:
            self.batch_size = min(self.batch_size, tried // 2)


# One pass over the pixels instead of twenty.
@njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _measured(
    rows: NDArray[np.float32], inside: NDArray[np.bool_], drawn: NDArray[np.float32]
) -> tuple[NDArray[np.float32], ...]:
    """Errors of reconstructions and of their parts (n, 32), contrast and roughness of the rows."""
    n, length = rows.shape
    error, contrast = np.empty(n, np.float32), np.empty(n, np.float32)
    roughness, segments = np.empty(n, np.float32), np.empty((n, SEGMENTS), np.float32)
    for i in range(n):
        total, values, squares, steps = 0.0, 0.0, 0.0, 0.0
        count, both, stop = 0, 0, 0
        for k in range(SEGMENTS):
            start, stop = stop, stop + length // SEGMENTS + (k < length % SEGMENTS)
            # In parts of their own and loaded at once, values are read in vectors: eight times
            # faster.
            row, use, other = rows[i, start:stop], inside[i, start:stop], drawn[i, start:stop]
            misfit, known = 0.0, 0
            for j in range(len(row)):
                here, there = np.float64(row[j]), np.float64(other[j])
                value = here if use[j] else 0.0
                residual = there - value if use[j] else 0.0
                misfit += residual * residual
                values += value
                squares += value * value
                known += use[j]
            # An error over less than half of a part says more of the gap than of the spectrum.
            measured = known > 0 and 2 * known >= stop - start
            segments[i, k] = np.sqrt(misfit / known) if measured else np.nan
            total += misfit
            count += known
        row, use = rows[i], inside[i]
        for j in range(1, length):
            here, there = np.float64(row[j]), np.float64(row[j - 1])
            pair = use[j] & use[j - 1]
            step = here - there if pair else 0.0
            steps += step * step
            both += pair
        error[i] = np.sqrt(total / count)
        contrast[i] = np.sqrt(max(squares / count - (values / count) ** 2, 0.0))
        roughness[i] = np.sqrt(steps / both)
    return error, segments, contrast, roughness


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"device is {name!r}, which cannot be used ({reason[:_SHOWN]}); expected auto, cpu, "
            "cuda, cuda:1 or mps"
        ) from None
    return torch.device(name)


_SHOWN = 80  # characters of torch's reason


def _out_of_memory(error: RuntimeError) -> bool:
    # torch.cuda.OutOfMemoryError says so too; the last is what the CPU's allocator says.
    return any(words in str(error).lower() for words in ("out of memory", "can't allocate memory"))


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Convolve in float32 on CUDA, not in TF32, so that devices agree."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def _settings(
    model: SpectrumVAE, min_coverage: float, recon_error: bool, precision: Precision
) -> dict[str, Any]:
    assert model.prepare is not None
    return {
        "model": str(model.info.get("name", "unnamed")),
        "weights_sha256": weights_sha256(model),
        "architecture": model.config.to_dict(),
        "prepare": model.prepare.to_dict(),
        "min_coverage": min_coverage,
        "recon_error": recon_error,
        "precision": precision,
        "recon_segments": segment_edges(model.prepare),
        "latentscope": latentscope.__version__,
    }


def _provenance(settings: dict[str, Any], device: str, info: dict[str, Any]) -> dict[str, Any]:
    return settings | {
        # By which every diagnostic of these latents tells informative dimensions.
        "mad_threshold": info.get("mad_threshold"),
        "command": printable(shlex.join(sys.argv)),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "torch": torch.__version__,
    }


def _warn_of_repeats(items: list[Any]) -> None:
    times = Counter(printable(source_id(item, number)) for number, item in enumerate(items))
    repeated = [name for name, number in times.items() if number > 1]
    if repeated:
        count = "1 id stands" if len(repeated) == 1 else f"{len(repeated)} ids stand"
        warn(
            f"{count} for more than one row ({repeated[0]!r} first): files of "
            "one name in several folders, or named twice; labels joined by id go to each of them"
        )
