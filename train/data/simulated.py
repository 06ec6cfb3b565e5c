"""Simulated training data: an archive made once and kept on disk, or a stream made while training.

An archive's rows are kept as float16, and shown again and again. Of a stream a network never sees a
spectrum twice: a background thread makes each batch on the device that trains.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from latentscope import simulation
from latentscope.errors import ChoiceError, ModelError
from latentscope.files import atomic_path, cores
from latentscope.simulation.population import POPULATIONS, observe
from latentscope.simulation.simulate import labels_of
from latentscope.spectra.prepare import PrepareConfig
from train.data import rows as rows_of_training
from train.data.batches import START, Batch, Data, Place, Sampled, ahead_of, made_ahead, sent
from train.data.packing import alone, in_processes
from train.data.rows import Maker, simulated_rows
from train.settings import DataConfig, StreamConfig

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

    Finished blocks are kept in `folder`, and an interrupted run goes on with the missing ones. The
    rows are a memory-mapped array of float16, shape (n, prepare.row_size).
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
    with closing(in_processes(_write_block, jobs, workers)) as written:
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


@cache
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
    """Syntax of Python source, without comments and docstrings, the same in every version."""
    with _ONE_PARSER:
        tree = ast.parse(source)
    return str(_syntax(tree))


_ONE_PARSER = Lock()
"""Python 3.11 fails where two threads parse at once (a SystemError, "recursion depth mismatch")."""


def _syntax(part: Any) -> Any:
    if isinstance(part, list):
        return [_syntax(item) for item in part if not _is_text(item)]
    if not isinstance(part, ast.AST):
        return repr(part)
    # Versions differ in which fields there are, and newer ones are empty where older code is.
    fields = [(name, value) for name, value in ast.iter_fields(part) if value not in (None, [])]
    return type(part).__name__, [(name, _syntax(value)) for name, value in fields]


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


def shuffled(
    rows: NDArray[np.float16], batch_size: int, steps: range, seed: int, place: Place = START
) -> Iterator[Batch]:
    """Yield batches of shuffled rows, the same for a seed however often the run was interrupted.

    Each pass over the rows has its own permutation, drawn from (seed, pass). What a pass has left
    beyond whole batches it leaves out. `steps` says which batches of the run.
    """
    of_pass = -1
    for step in steps:
        a_pass, batch = divmod(step, len(rows) // batch_size)
        if of_pass != a_pass:
            of_pass = a_pass
            order = np.random.default_rng((seed, a_pass)).permutation(len(rows))
        members = np.sort(order[batch * batch_size : (batch + 1) * batch_size])
        members = members[place.rank :: place.world]
        yield sent(Batch(torch.from_numpy(rows[members]), torch.from_numpy(members)), place.device)


class _Simulated(Data):
    """Simulated stars, those of validation from the next seed."""

    kind: str

    def __init__(
        self, config: DataConfig, prepare: PrepareConfig, steps: int, seed: int, folder: Path
    ) -> None:
        super().__init__(config.batch_size, steps)
        self._config, self._prepare = config, prepare
        self._seed, self._folder = seed, folder

    @property
    def origin(self) -> dict[str, Any]:
        """Which stars, and by which simulator."""
        c = self._config
        return {
            "archive": self.kind,
            "spectra": self.spectra,
            "archive_seed": c.seed,
            "linelist": "built-in" if c.linelist is None else Path(c.linelist).name,
            "linelist_sha256": linelist_digest(c.linelist),
            "population": c.population,
            "simulator_sha256": simulator_digest(),
            "labels_used": False,
        }

    @property
    @abstractmethod
    def spectra(self) -> int:
        """Different spectra to learn from."""


class SimulatedArchive(_Simulated):
    """Training and validation rows of a simulated archive, shown again and again."""

    kind = "simulated"

    def setup(self, stage: str | None = None) -> None:
        """Make or read the archives: training with the data seed, validation with the next one.

        ChoiceError if there are fewer rows than a batch holds.
        """
        c = self._config
        if self.size > c.spectra:
            raise ChoiceError(f"batch_size is {self.size}; expected 1 to {c.spectra}, the spectra")
        self.rows, _ = self._archive(c.spectra, c.seed)
        self.validation_rows, labels = self._archive(c.validation, c.seed + 1)
        self.validation_labels = labels[_WATCHED]

    def _archive(self, n: int, seed: int) -> tuple[NDArray[np.float16], pd.DataFrame]:
        c = self._config
        workers = c.workers or cores()
        return simulated_archive(
            self._prepare, n, seed, c.linelist, self._folder, workers, c.population
        )

    @property
    def spectra(self) -> int:
        """Spectra of the archive."""
        return self._config.spectra

    @property
    def epoch_steps(self) -> float:
        """Steps of a pass over the training rows."""
        return float(len(self.rows) // self.size)

    def blocks(self, max_rows: int) -> Iterator[Sampled]:
        """Yield all training rows; no masks."""
        for start in range(0, len(self.rows), max_rows):
            yield self.rows[start : start + max_rows].astype(np.float32), None

    def names(self, numbers: Iterable[int]) -> list[str]:
        """Say which stars of the archive they are."""
        return [f"star {int(number)} of seed {self._config.seed}" for number in numbers]

    def batches(self, place: Place) -> Iterator[Batch]:
        """Yield shuffled batches in float16."""
        steps = range(place.step, self.steps)
        batches = shuffled(self.rows, self.size, steps, self._seed, place)
        return made_ahead(batches, ahead_of(place.device), place.device)


class SimulatedStream(_Simulated):
    """Simulated stars one after the other, each seen once.

    Batch k of a run holds spectra ``k * batch_size`` to ``(k + 1) * batch_size - 1``. The stars
    follow from the data's seed alone; nothing is kept.
    """

    kind = "simulated while training"

    def setup(self, stage: str | None = None) -> None:
        """Make the validation spectra, on the CPU, so that they are the same on every machine."""
        if self.validation_valid is not None:
            return
        c = self._config
        maker = self._maker("cpu", c.seed + 1)
        rows, ivar = maker.rows(range(c.validation))
        self.validation_rows, self.validation_ivar = rows.numpy(), ivar.numpy()
        self.validation_valid = np.tile(maker.valid.numpy(), (len(rows), 1))
        truth = pd.DataFrame([labels_of(o) for o in maker.observations(range(c.validation))])
        self.validation_labels = truth.select_dtypes("number")

    @property
    def spectra(self) -> int:
        """Spectra of the whole run."""
        return self.steps * self.size

    def blocks(self, max_rows: int) -> Iterator[Sampled]:
        """Yield the first training rows and their masks."""
        maker = self._maker("cpu", self._config.seed)
        n = min(self._stream.mean_rows, self.spectra)
        for start in range(0, n, max_rows):
            rows, _ = maker.rows(range(start, min(start + max_rows, n)))
            yield rows.numpy(), np.tile(maker.valid.numpy(), (len(rows), 1))

    def names(self, numbers: Iterable[int]) -> list[str]:
        """Say which stars they are, and what they are like."""
        seed = self._config.seed
        names = []
        for number in map(int, numbers):
            truth = labels_of(observe(number, number, seed, POPULATIONS[self._config.population]))
            names.append(
                f"star {number} of seed {seed} (Teff {truth['Teff']:.0f} K, logg "
                f"{truth['logg']:.2f}, [M/H] {truth['[M/H]']:.2f}, SNR {truth['snr']:.0f})"
            )
        return names

    def batches(self, place: Place) -> Iterator[Batch]:
        """Yield stars that were never shown."""
        maker = self._maker(place.device, self._config.seed)

        def made(step: int) -> Batch:
            first = step * self.size
            return maker.batch(range(first + place.rank, first + self.size, place.world))

        steps = range(place.step, self.steps)
        return made_ahead(map(made, steps), self._stream.ahead, maker.device)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to know of the spectra."""
        return {"linelist_sha256": linelist_digest(self._config.linelist)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to go on with another line list than the checkpoint's."""
        if state_dict != self.state_dict():
            raise ModelError(
                f"the run's spectra were made with another line list than "
                f"{self._config.linelist or 'the built-in one'}; give that one with --linelist, or "
                "train into another folder"
            )

    @property
    def _stream(self) -> StreamConfig:
        assert self._config.stream is not None
        return self._config.stream

    def _maker(self, device: torch.device | str, seed: int) -> Maker:
        population = POPULATIONS[self._config.population]
        return Maker(
            self._prepare, seed, self._config.linelist, device, self._stream.block, population
        )
