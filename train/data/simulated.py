"""Training rows: a simulated archive, prepared once and kept on disk as float16."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
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
from latentscope.errors import ChoiceError
from latentscope.files import atomic_path
from latentscope.simulation.rows import simulated_rows
from latentscope.spectra.prepare import PrepareConfig
from train.data.batches import Batch, place_of
from train.data.packing import alone
from train.settings import DataConfig

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
    recipe = [prepare.to_dict(), n, seed, linelist_digest(linelist), simulator_digest()]
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]
    folder = folder / f"rows-{key}"
    path, table = folder / "rows.npy", folder / "labels.csv"
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder, wait=True):  # of the processes of one run the first makes it
        if not table.exists():
            jobs = [
                (prepare, start, min(start + _BLOCK, n), n, seed, linelist, folder)
                for start in range(0, n, _BLOCK)
            ]
            _join(_written(jobs, workers), path, table, (n, prepare.row_size))
    return np.load(path, mmap_mode="r"), pd.read_csv(table)


def _written(jobs: list[tuple[Any, ...]], workers: int) -> list[tuple[Path, Path]]:
    if workers == 1:
        return [_write_block(job) for job in jobs]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_write_block, jobs))


def linelist_digest(linelist: str | None) -> str:
    """SHA-256 of a line list file; "built-in" for none."""
    return (
        "built-in" if linelist is None else hashlib.sha256(Path(linelist).read_bytes()).hexdigest()
    )


def simulator_digest() -> str:
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


class Batches(Dataset[Batch]):
    """Batch `i` of a training run, the same for a seed however often the run was interrupted.

    Each pass over the rows has its own permutation, drawn from (seed, pass). What a pass has left
    beyond whole batches it leaves out.

    Parameters
    ----------
    rows : ndarray of float16, shape (n, row_size)
    batch_size, steps : int
        Rows in a batch, n at most, and batches of the whole run.
    seed : int
    rank, world : int
        Hand out rows ``rank::world`` of each batch.

    Raises
    ------
    ChoiceError
        If there are fewer rows than a batch holds.
    """

    def __init__(
        self,
        rows: NDArray[np.float16],
        batch_size: int,
        steps: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if not 0 < batch_size <= len(rows):
            raise ChoiceError(f"batch_size is {batch_size}; wanted 1 to {len(rows)}, the spectra")
        self._rows, self._size, self._steps, self._seed = rows, batch_size, steps, seed
        self._part = slice(rank, None, world)
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> Batch:
        a_pass, batch = divmod(index, len(self._rows) // self._size)
        if self._order[0] != a_pass:
            rng = np.random.default_rng((self._seed, a_pass))
            self._order = a_pass, rng.permutation(len(self._rows))
        members = np.sort(self._order[1][batch * self._size : (batch + 1) * self._size])
        members = members[self._part]
        rows = torch.from_numpy(self._rows[members].astype(np.float32))
        return Batch(rows, torch.from_numpy(members))


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
        self.validation_valid = self.validation_ivar = None

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

    @property
    def epoch_steps(self) -> float:
        """Steps of a pass over the training rows."""
        return float(len(self.rows) // self._config.batch_size)

    def sample(self, size: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_] | None]]:
        """Yield training rows in blocks of `size`, for statistics over the archive; no masks."""
        for start in range(0, len(self.rows), size):
            yield self.rows[start : start + size].astype(np.float32), None

    def names(self, numbers: Iterable[int]) -> list[str]:
        """Say which stars of the archive these numbers of a batch are."""
        return [f"star {int(number)} of seed {self._config.seed}" for number in numbers]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches that remain after the step the trainer stands at: this process's part of them."""
        size = self._config.batch_size
        place = place_of(self.trainer, size)
        batches = Batches(self.rows, size, self._steps, self._seed, place.rank, place.world)
        return DataLoader(batches, batch_size=None, sampler=Remaining(place.step, self._steps))
