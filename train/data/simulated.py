"""Training rows: a simulated archive, prepared once and kept on disk as float16."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from latentscope import simulation
from latentscope.atomic import atomic_path
from latentscope.simulation.rows import simulated_rows
from latentscope.spectra.prepare import PrepareConfig
from train.settings.data import DataConfig

_BLOCK = 256
_WATCHED = ["radvel", "Teff", "[M/H]", "logg", "vsini"]


def simulated_archive(
    prepare: PrepareConfig, n: int, seed: int, linelist: str | None, folder: Path, workers: int
) -> tuple[NDArray[np.float16], pd.DataFrame]:
    """Rows and true labels of `n` simulated stars, one spectrum each; made once, then read back.

    Parameters
    ----------
    prepare : PrepareConfig
        The model's preparation.
    n, seed : int
        Size and seed of the archive.
    linelist : str, optional
        Line list file; the built-in list by default.
    folder : Path
        Where finished blocks are kept; an interrupted run goes on with the missing ones.
    workers : int
        Processes.

    Returns
    -------
    rows : memory-mapped ndarray of float16, shape (n, prepare.row_size)
    labels : DataFrame of n rows
    """
    recipe = [prepare.to_dict(), n, seed, linelist_digest(linelist), _simulator_digest()]
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]
    folder = folder / f"rows-{key}"
    path, table = folder / "rows.npy", folder / "labels.csv"
    if not table.exists():
        jobs = [
            (prepare, start, min(start + _BLOCK, n), n, seed, linelist, folder)
            for start in range(0, n, _BLOCK)
        ]
        folder.mkdir(parents=True, exist_ok=True)
        if workers == 1:
            parts = [_write_block(job) for job in jobs]
        else:
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                parts = list(pool.map(_write_block, jobs))
        _join(parts, path, table, (n, prepare.row_size))
    return np.load(path, mmap_mode="r"), pd.read_csv(table)


def linelist_digest(linelist: str | None) -> str:
    """SHA-256 of a line list file; "built-in" for none."""
    return (
        "built-in" if linelist is None else hashlib.sha256(Path(linelist).read_bytes()).hexdigest()
    )


def _simulator_digest() -> str:
    """SHA-256 of the simulation's source, so that rows of an older simulator are not taken."""
    folder = Path(simulation.__file__).parent
    files = sorted([*folder.glob("*.py"), *folder.glob("*.csv")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _write_block(job: tuple[Any, ...]) -> tuple[Path, Path]:
    prepare, start, stop, n, seed, linelist, folder = job
    rows_path = folder / f"block-{start:07d}.npy"
    labels_path = rows_path.with_suffix(".csv")
    if not labels_path.exists():
        rows, labels = simulated_rows(prepare, start, stop, n=n, seed=seed, linelist=linelist)
        with atomic_path(rows_path) as temporary:
            np.save(temporary, rows)
        with atomic_path(labels_path) as temporary:
            pd.DataFrame(labels).to_csv(temporary, index=False)
    return rows_path, labels_path


def _join(parts: list[tuple[Path, Path]], path: Path, table: Path, shape: tuple[int, int]) -> None:
    with atomic_path(path) as temporary:
        rows = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
        at = 0
        for block, _ in parts:
            values = np.load(block)
            rows[at : at + len(values)] = values
            at += len(values)
        rows.flush()
    labels = pd.concat([pd.read_csv(part) for _, part in parts], ignore_index=True)
    with atomic_path(table) as temporary:
        labels.to_csv(temporary, index=False)
    for files in parts:
        for file in files:
            file.unlink()


class Batches(Dataset[torch.Tensor]):
    """Batch `i` of a training run, the same for a seed however often the run was interrupted.

    Each pass over the rows has its own permutation, drawn from (seed, pass).
    """

    def __init__(self, rows: NDArray[np.float16], batch_size: int, steps: int, seed: int) -> None:
        self._rows, self._size, self._steps, self._seed = rows, batch_size, steps, seed
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> torch.Tensor:
        a_pass, batch = divmod(index, len(self._rows) // self._size)
        if self._order[0] != a_pass:
            rng = np.random.default_rng((self._seed, a_pass))
            self._order = a_pass, rng.permutation(len(self._rows))
        members = np.sort(self._order[1][batch * self._size : (batch + 1) * self._size])
        return torch.from_numpy(self._rows[members].astype(np.float32))


class Remaining(Sampler[int]):
    """Steps from `start` on; as long as the whole run, by which Lightning knows where it stands."""

    def __init__(self, start: int, steps: int) -> None:
        self._start, self._steps = start, steps

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._start, self._steps))


class SimulatedArchive(lightning.LightningDataModule):
    """Training and validation rows of a simulated archive."""

    def __init__(
        self, config: DataConfig, prepare: PrepareConfig, steps: int, seed: int, folder: Path
    ) -> None:
        super().__init__()
        self._config, self._prepare, self._folder = config, prepare, folder
        self._steps, self._seed = steps, seed

    def setup(self, stage: str | None = None) -> None:
        """Make or read the archives: training with the data seed, validation with the next one."""
        c = self._config
        workers = c.workers or os.cpu_count() or 1
        self.rows, _ = simulated_archive(
            self._prepare, c.spectra, c.seed, c.linelist, self._folder, workers
        )
        self.validation_rows, labels = simulated_archive(
            self._prepare, c.validation, c.seed + 1, c.linelist, self._folder, workers
        )
        self.validation_labels = labels[_WATCHED]
        self.validation_valid = None

    @property
    def provenance(self) -> dict[str, Any]:
        """What the network learned from, for its config.json."""
        c = self._config
        return {
            "archive": "simulated",
            "spectra": c.spectra,
            "archive_seed": c.seed,
            "linelist": "built-in" if c.linelist is None else Path(c.linelist).name,
            "linelist_sha256": linelist_digest(c.linelist),
            "labels_used": False,
        }

    def sample(self, size: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_] | None]]:
        """Yield training rows in blocks of `size`, for statistics over the archive; no masks."""
        for start in range(0, len(self.rows), size):
            yield self.rows[start : start + size].astype(np.float32), None

    def train_dataloader(self) -> DataLoader[torch.Tensor]:
        """Batches that remain after the step the trainer stands at."""
        start = self.trainer.global_step if self.trainer else 0
        batches = Batches(self.rows, self._config.batch_size, self._steps, self._seed)
        return DataLoader(batches, batch_size=None, sampler=Remaining(start, self._steps))
