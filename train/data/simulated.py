"""Simulated training data: an archive made once and kept on disk, or a stream made while training.

An archive's rows are kept as float16, and shown again and again. Of a stream a network never sees a
spectrum twice: a background thread makes each batch on the device that trains.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset

from latentscope import simulation
from latentscope.errors import ChoiceError, ModelError
from latentscope.files import atomic_path
from latentscope.simulation.population import POPULATIONS, observe
from latentscope.simulation.simulate import labels_of
from latentscope.spectra.prepare import PrepareConfig
from train.data import rows as rows_of_training
from train.data.batches import (
    START,
    Batch,
    Place,
    Sampled,
    ahead_of,
    made_ahead,
    place_of,
    sent,
)
from train.data.packing import alone
from train.data.rows import Maker, simulated_rows
from train.settings import DataConfig

_BLOCK = 256
_SAY_EVERY = 60.0  # seconds
_WATCHED = ["radvel", "Teff", "[M/H]", "logg", "vsini"]


def simulated_archive(
    prepare: PrepareConfig,
    n: int,
    seed: int,
    linelist: str | None,
    folder: Path,
    workers: int,
    population: str = "harps",
) -> tuple[NDArray[np.float16], pd.DataFrame]:
    """Rows and true labels of `n` simulated stars, one spectrum each; made once, then read back.

    Parameters
    ----------
    prepare : PrepareConfig
        The model's preparation.
    n, seed : int
        Size and seed of the archive.
    linelist : str, optional
        Line list file; the package's lines by default.
    folder : Path
        Where finished blocks are kept; an interrupted run goes on with the missing ones.
    workers : int
        Processes.
    population : str
        Name of the stars and instruments.

    Returns
    -------
    rows : memory-mapped ndarray of float16, shape (n, prepare.row_size)
    labels : DataFrame of n rows
    """
    recipe = [
        prepare.to_dict(), n, seed, linelist_digest(linelist), simulator_digest(), population
    ]  # fmt: skip
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]
    folder = folder / f"rows-{key}"
    path, table = folder / "rows.npy", folder / "labels.csv"
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):  # of the processes of one run the first makes it
        if not table.exists():
            jobs = [
                (prepare, start, min(start + _BLOCK, n), n, seed, linelist, folder, population)
                for start in range(0, n, _BLOCK)
            ]
            _join(_written(jobs, workers), path, table, (n, prepare.row_size))
    return np.load(path, mmap_mode="r"), pd.read_csv(table)


def _written(jobs: list[tuple[Any, ...]], workers: int) -> list[tuple[Path, Path]]:
    n = jobs[-1][2]
    _say(f"simulating {n:,} spectra by {workers} process{'es' * (workers > 1)}, once for all runs")
    parts, said = [], time.monotonic()
    with ExitStack() as stack:
        written = map(_write_block, jobs)
        if workers > 1:
            pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
            written = stack.enter_context(pool).map(_write_block, jobs)
        for part in written:
            parts.append(part)
            if time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                _say(f"simulated {jobs[len(parts) - 1][2]:,} of {n:,} spectra")
    return parts


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def linelist_digest(linelist: str | None) -> str:
    """SHA-256 of a line list file, or of the package's lists."""
    folder = Path(simulation.__file__).parent
    paths = sorted(folder.glob("*.csv.gz")) if linelist is None else [Path(linelist)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def simulator_digest() -> str:
    """SHA-256 of the simulation's code and lists, so that rows of an older simulator are not taken.

    Comments and docstrings do not count: they change no spectrum.
    """
    folder = Path(simulation.__file__).parent
    files = [*sorted(folder.glob("*.py")), Path(rows_of_training.__file__)]
    code = "\n".join(without_words(file.read_text(encoding="utf-8")) for file in files)
    lists = b"".join(file.read_bytes() for file in sorted(folder.glob("*.csv.gz")))
    return hashlib.sha256(code.encode() + lists).hexdigest()


def without_words(source: str) -> str:
    """Python source without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _is_text(part: ast.AST) -> bool:
    return isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)


def _write_block(job: tuple[Any, ...]) -> tuple[Path, Path]:
    prepare, start, stop, n, seed, linelist, folder, population = job
    rows_path = folder / f"block-{start:07d}.npy"
    labels_path = rows_path.with_suffix(".csv")
    if not labels_path.exists():
        rows, labels = simulated_rows(
            prepare, start, stop, n=n, seed=seed, linelist=linelist,
            population=POPULATIONS[population],
        )  # fmt: skip
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


def _provenance(archive: str, spectra: int, config: DataConfig) -> dict[str, Any]:
    return {
        "archive": archive,
        "spectra": spectra,
        "archive_seed": config.seed,
        "linelist": "built-in" if config.linelist is None else Path(config.linelist).name,
        "linelist_sha256": linelist_digest(config.linelist),
        "population": config.population,
        "simulator_sha256": simulator_digest(),
        "labels_used": False,
    }


class ArchiveBatches(IterableDataset[Batch]):
    """Batches of shuffled rows, the same for a seed however often the run was interrupted.

    Each pass over the rows has its own permutation, drawn from (seed, pass). What a pass has left
    beyond whole batches it leaves out.

    Parameters
    ----------
    rows : ndarray of float16, shape (n, row_size)
    batch_size, steps : int
        Rows in a batch, n at most, and batches of the whole run.
    seed : int
    place : Place
        Batches before its step are not read.

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
        place: Place = START,
    ) -> None:
        super().__init__()
        if not 0 < batch_size <= len(rows):
            raise ChoiceError(f"batch_size is {batch_size}; expected 1 to {len(rows)}, the spectra")
        self._rows, self._size, self._steps, self._seed = rows, batch_size, steps, seed
        self._place = place
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        """Steps of the whole run, by which Lightning knows where it stands."""
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches that remain, in float16, on the device."""
        steps, device = range(self._place.step, self._steps), self._place.device
        return made_ahead(map(self._batch, steps), ahead_of(device), device)

    def _batch(self, step: int) -> Batch:
        a_pass, batch = divmod(step, len(self._rows) // self._size)
        if self._order[0] != a_pass:
            rng = np.random.default_rng((self._seed, a_pass))
            self._order = a_pass, rng.permutation(len(self._rows))
        members = np.sort(self._order[1][batch * self._size : (batch + 1) * self._size])
        members = members[self._place.rank :: self._place.world]
        found = Batch(torch.from_numpy(self._rows[members]), torch.from_numpy(members))
        return sent(found, self._place.device)


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
            self._prepare, c.spectra, c.seed, c.linelist, self._folder, workers, c.population
        )
        self.validation_rows, labels = simulated_archive(
            self._prepare, c.validation, c.seed + 1, c.linelist, self._folder, workers, c.population
        )
        self.validation_labels = labels[_WATCHED]
        self.validation_valid = self.validation_ivar = None

    @property
    def provenance(self) -> dict[str, Any]:
        """What the network learned from, for its config.json."""
        return _provenance("simulated", self._config.spectra, self._config)

    @property
    def epoch_steps(self) -> float:
        """Steps of a pass over the training rows."""
        return float(len(self.rows) // self._config.batch_size)

    def sample(self, max_rows: int) -> Iterator[Sampled]:
        """Yield training rows for statistics over the archive; no masks."""
        for start in range(0, len(self.rows), max_rows):
            yield self.rows[start : start + max_rows].astype(np.float32), None

    def names(self, numbers: Iterable[int]) -> list[str]:
        """Say which stars of the archive these numbers of a batch are."""
        return [f"star {int(number)} of seed {self._config.seed}" for number in numbers]

    def train_dataloader(self) -> ArchiveBatches:
        """Batches that remain after the step the trainer stands at: this process's part of them."""
        size = self._config.batch_size
        return ArchiveBatches(
            self.rows, size, self._steps, self._seed, place_of(self.trainer, size)
        )


class StreamBatches(IterableDataset[Batch]):
    """Batch k of a run holds spectra ``k * batch_size`` to ``(k + 1) * batch_size - 1``.

    Parameters
    ----------
    maker : Maker
    batch_size, steps : int
        Spectra in a batch of all processes, and batches of the whole run.
    place : Place
        Batches before its step are not made.
    ahead : int
        Batches that a thread makes before they are asked for; 0: no thread.
    """

    def __init__(
        self,
        maker: Maker,
        batch_size: int,
        steps: int,
        place: Place = START,
        *,
        ahead: int = 0,
    ) -> None:
        super().__init__()
        self._maker, self._size, self._steps = maker, batch_size, steps
        self._place, self._ahead = place, ahead

    def __len__(self) -> int:
        """Steps of the whole run, by which Lightning knows where it stands."""
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches that remain, on the maker's device."""
        steps = range(self._place.step, self._steps)
        return made_ahead(map(self._made, steps), self._ahead, self._maker.device)

    def _made(self, step: int) -> Batch:
        first, (_, rank, world, _) = step * self._size, self._place
        return self._maker.batch(range(first + rank, first + self._size, world))


class SimulatedStream(lightning.LightningDataModule):
    """Simulated stars one after the other, each seen once; validation stars of the next seed.

    Parameters
    ----------
    config : DataConfig
        With a `stream`; besides it `seed`, `linelist`, `validation` and `batch_size` count.
    prepare : PrepareConfig
        The model's.
    steps, seed : int
        Of the run; the stars follow from the data's seed alone.
    folder : Path
        Not used: nothing is kept.
    """

    validation_rows: NDArray[np.float32]
    validation_valid: NDArray[np.bool_]
    validation_ivar: NDArray[np.float32]
    validation_labels: pd.DataFrame
    epoch_steps = None

    def __init__(
        self, config: DataConfig, prepare: PrepareConfig, steps: int, seed: int, folder: Path
    ) -> None:
        super().__init__()
        assert config.stream is not None
        self._config, self._settings, self._prepare = config, config.stream, prepare
        self._steps = steps
        self._made = False

    def setup(self, stage: str | None = None) -> None:
        """Make the validation spectra, on the CPU, so that they are the same on every machine."""
        if self._made:
            return
        c = self._config
        maker = self._maker("cpu", c.seed + 1)
        rows, ivar = maker.rows(range(c.validation))
        self.validation_rows, self.validation_ivar = rows.numpy(), ivar.numpy()
        self.validation_valid = np.tile(maker.valid.numpy(), (len(rows), 1))
        truth = pd.DataFrame([labels_of(o) for o in maker.observations(range(c.validation))])
        self.validation_labels = truth.select_dtypes("number")
        self._made = True

    @property
    def provenance(self) -> dict[str, Any]:
        """What the network learned from, for its config.json."""
        n = self._steps * self._config.batch_size
        return _provenance("simulated while training", n, self._config)

    def sample(self, max_rows: int) -> Iterator[Sampled]:
        """Yield the first training rows and their masks in blocks of `max_rows`."""
        maker = self._maker("cpu", self._config.seed)
        n = min(self._settings.mean_rows, self._steps * self._config.batch_size)
        for start in range(0, n, max_rows):
            rows, _ = maker.rows(range(start, min(start + max_rows, n)))
            yield rows.numpy(), np.tile(maker.valid.numpy(), (len(rows), 1))

    def names(self, numbers: Iterable[int]) -> list[str]:
        """Say which stars these numbers of a batch are, and what they are like."""
        seed = self._config.seed
        names = []
        for number in map(int, numbers):
            truth = labels_of(observe(number, number, seed, POPULATIONS[self._config.population]))
            names.append(
                f"star {number} of seed {seed} (Teff {truth['Teff']:.0f} K, logg "
                f"{truth['logg']:.2f}, [M/H] {truth['[M/H]']:.2f}, SNR {truth['snr']:.0f})"
            )
        return names

    def train_dataloader(self) -> StreamBatches:
        """Batches that remain after the trainer's step: this process's part, on its device."""
        size = self._config.batch_size
        place = place_of(self.trainer, size)
        maker = self._maker(place.device, self._config.seed)
        return StreamBatches(maker, size, self._steps, place, ahead=self._settings.ahead)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to know of the spectra."""
        return {"linelist_sha256": linelist_digest(self._config.linelist)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to go on with another line list.

        Raises
        ------
        ModelError
            If the checkpoint's spectra had other lines.
        """
        if state_dict != self.state_dict():
            raise ModelError(
                f"the run's spectra were made with another line list than "
                f"{self._config.linelist or 'the built-in one'}; give that one with --linelist, or "
                "train into another folder"
            )

    def _maker(self, device: torch.device | str, seed: int) -> Maker:
        population = POPULATIONS[self._config.population]
        block = self._settings.block
        return Maker(self._prepare, seed, self._config.linelist, device, block, population)
