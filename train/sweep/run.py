"""The runs of a sweep in parallel processes: restartable, and one that fails loses no other."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

import yaml

from latentscope.cli.application import UsageError
from latentscope.errors import LatentscopeError, ModelError
from latentscope.files import atomic_path
from latentscope.spectra.prepare import PrepareConfig
from train.data.packing import alone
from train.settings import read_config
from train.sweep.grid import (
    ARCHIVE,
    DONE,
    TEST,
    Run,
    SweepConfig,
    folder_of,
    is_done,
    read_sweep,
    runs_of,
    values_of,
)

_CONFIG, _LOG, _LOCK = "run.yaml", "log.txt", "lock"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
_POLL_SECONDS = 0.5

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Parameters
    ----------
    run : Run
    minutes : float
        Wall time of this call's share of it.
    error : str
        Why there is no model; empty where there is one.
    """

    run: Run
    minutes: float = 0.0
    error: str = ""


def write_configs(config: SweepConfig, runs: Sequence[Run], folder: Path) -> None:
    """Write each run's training configuration into its folder.

    Raises
    ------
    ModelError
        If one makes no training run, or a run of another configuration was begun there.
    """
    for run in runs:
        here = folder_of(folder, run)
        text = yaml.safe_dump(values_of(config, run, ARCHIVE), sort_keys=False)
        path = here / _CONFIG
        if not path.exists() or path.read_text("utf-8") != text:
            if (here / _LOG).exists():
                raise ModelError(
                    f"{path}: a run of another sweep configuration was begun here; put that one "
                    "back, or sweep into another folder"
                )
            with atomic_path(path) as temporary:
                temporary.write_text(text, "utf-8")
        read_config(path)


@dataclass
class Sweep:
    """Runs to be trained.

    Parameters
    ----------
    folder : Path
        Of the sweep; it holds the archive and the runs' configurations.
    runs : sequence of Run
    workers : int
        Processes at a time, of one thread each.
    say : callable
        Told a line about each run that ends.
    fit : sequence of str
        The command that trains a run.
    """

    folder: Path
    runs: Sequence[Run]
    workers: int
    say: Say
    fit: Sequence[str] = (sys.executable, "-m", "train", "fit")
    _processes: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _gpus: SimpleQueue[str] = field(default_factory=SimpleQueue)
    _stop: threading.Event = field(default_factory=threading.Event)

    def train(self) -> list[Outcome]:
        """Train what is not trained yet; outcomes in the order of the runs."""
        todo = [run for run in self.runs if not is_done(self.folder, run)]
        ended: dict[str, Outcome] = {}
        # Each run has a GPU, the one that has been free longest; all would take the first.
        gpus = visible_gpus()
        for number in range(self.workers if gpus else 0):
            self._gpus.put(gpus[number % len(gpus)])
        before = len(self.runs) - len(todo)
        if before:
            self.say(f"{before} of {len(self.runs)} runs were finished before")
        with _terminated_like_interrupted(), ThreadPoolExecutor(self.workers) as pool:
            futures = [pool.submit(self._train, run) for run in todo]
            try:
                for future in as_completed(futures):
                    outcome = future.result()
                    ended[outcome.run.name] = outcome
                    self.say(_line(outcome, before + len(ended), len(self.runs)))
            except BaseException:
                self._end(pool)
                raise
        return [ended.get(run.name, Outcome(run)) for run in self.runs]

    def _end(self, pool: ThreadPoolExecutor) -> None:
        """End the processes; their runs go on from their checkpoints another time."""
        self._stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(self._processes):
            with suppress(ProcessLookupError):
                process.terminate()

    def _train(self, run: Run) -> Outcome:
        begun = time.monotonic()
        here = folder_of(self.folder, run)
        with (here / _LOCK).open("w") as held, (here / _LOG).open("ab") as log:
            self._wait_for(held)
            start = log.tell()
            code = self._process(here, held, log)
        minutes = (time.monotonic() - begun) / 60
        if code != 0:
            return Outcome(run, minutes, _reason(here / _LOG, start, code))
        with atomic_path(here / DONE) as temporary:
            ended = datetime.now(UTC).isoformat(timespec="seconds")
            temporary.write_text(json.dumps({"ended": ended}) + "\n", "utf-8")
        return Outcome(run, minutes)

    def _wait_for(self, held: IO[Any]) -> None:
        """Take a run's lock, which its process holds too, even if it outlived a killed sweep."""
        while not self._stop.is_set():
            with suppress(BlockingIOError):
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            self._stop.wait(_POLL_SECONDS)

    def _process(self, here: Path, held: IO[Any], log: IO[bytes]) -> int:
        if self._stop.is_set():
            return -signal.SIGTERM
        archive = str(self.folder / ARCHIVE)
        gpu = {} if self._gpus.empty() else {"CUDA_VISIBLE_DEVICES": self._gpus.get()}
        process = subprocess.Popen(
            [*self.fit, str(here / _CONFIG), "-o", str(here), "--archive", archive],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Runs beside each other; threads of one would wait for those of another.
            env=os.environ | _ONE_THREAD | gpu,
            # The process holds the run's lock too, as long as it lives: a sweep that was killed
            # leaves it working, and the next one waits for it.
            pass_fds=[held.fileno()],
        )
        self._processes.add(process)
        try:
            return process.wait()
        finally:
            self._processes.discard(process)
            for name in gpu.values():
                self._gpus.put(name)


def visible_gpus() -> list[str]:
    """Return names of the NVIDIA GPUs that processes may use, as CUDA_VISIBLE_DEVICES has them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    return [str(number) for number in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C, so that the processes end with the sweep."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _line(outcome: Outcome, number: int, total: int) -> str:
    head = f"[{number}/{total}] {outcome.run.name}"
    if outcome.error:
        return f"{head} failed after {outcome.minutes:.1f} minutes: {outcome.error}"
    return f"{head} trained, {outcome.minutes:.1f} minutes"


def _reason(log: Path, start: int, code: int) -> str:
    """Last line that a run wrote."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return f"exit code {code}: {lines[-1].strip() if lines else 'no output'} ({log})"


@dataclass(frozen=True)
class Report:
    """What a sweep did.

    Parameters
    ----------
    finished, total : int
        Runs that have a model, and runs in all.
    failed : dict of str to str
        Name of each run that failed in this call -> why.
    """

    finished: int
    total: int
    failed: Mapping[str, str]


CONFIGS = Path(__file__).parents[1] / "configs"


def sweep(
    folder: Path,
    *,
    config: Path | None = None,
    quick: bool = False,
    linelist: str | None = None,
    workers: int = 2,
    measure_only: bool = False,
    say: Say = print,
) -> Report:
    """Train what is not trained yet, and measure the finished runs.

    Parameters
    ----------
    folder : Path
        Receives `archive.zarr`, `test.zarr` and `runs/`, a folder each, and the results.
    config : Path, optional
        By default `train/configs/sweep.yaml`.
    quick : bool
        Take `train/configs/sweep-quick.yaml` instead.
    linelist : str, optional
        Line list file of the simulation; the built-in list by default.
    workers : int
        Runs at a time.
    measure_only : bool
        Train nothing.
    say : callable
        Told what happens, a line at a time.

    Raises
    ------
    UsageError
        If both `config` and `quick` are given.
    LatentscopeError
        If the configuration makes no sweep, the folder is another sweep's or is being worked in,
        or there is nothing to measure.
    """
    if quick and config is not None:
        raise UsageError("--quick and --config both say what to sweep; give one of them")
    path = config or CONFIGS / ("sweep-quick.yaml" if quick else "sweep.yaml")
    settings = read_sweep(path)
    folder.mkdir(parents=True, exist_ok=True)
    # Two sweeps would train the same runs.
    busy = LatentscopeError(
        f"{folder}: another sweep works in this folder; wait for it, or end it first"
    )
    with alone(folder, busy):
        errors = {} if measure_only else _trained(settings, folder, linelist, workers, say)
        runs = runs_of(settings)
        finished = sum(is_done(folder, run) for run in runs)
        if finished:
            # Here, so that the process that waits for the runs is a small one.
            import torch

            from train.sweep.measure import results_of

            # As each run has: results do not depend on how many cores there are.
            torch.set_num_threads(1)
            command = _command(folder, path, linelist, workers)
            results_of(settings, folder, failed=errors, command=command, say=say)
        elif measure_only:
            raise LatentscopeError(f"{folder}: no run is finished; nothing to measure")
        return Report(finished, len(runs), errors)


def _trained(
    config: SweepConfig, folder: Path, linelist: str | None, workers: int, say: Say
) -> dict[str, str]:
    """Make the archives, train the runs; why some failed, by name."""
    from train.sweep.archive import Recipe, make_archive

    runs = runs_of(config)
    write_configs(config, runs, folder)
    prepare = PrepareConfig.from_dict(dict(config.base["prepare"]))
    for name, recipe in (
        (ARCHIVE, Recipe(prepare, config.archive.spectra, config.archive.seed, True, linelist)),
        (TEST, Recipe(prepare, config.test.stars, config.test.seed, False, linelist)),
    ):

        def tell(done: int, total: int, name: str = name) -> None:
            say(f"{name}: {done} of {total} spectra")

        make_archive(folder / name, recipe, workers=workers, progress=tell)
    outcomes = Sweep(folder, runs, workers, say).train()
    return {outcome.run.name: outcome.error for outcome in outcomes if outcome.error}


def _command(folder: Path, config: Path, linelist: str | None, workers: int) -> str:
    """The command that makes all this elsewhere: names without this machine's folders."""
    words = ["python", "-m", "train", "sweep", "-o", f"runs/{folder.name}"]
    if config.name == "sweep-quick.yaml":
        words += ["--quick"]
    elif config != CONFIGS / "sweep.yaml":
        words += ["--config", config.name]
    words += [] if linelist is None else ["--linelist", Path(linelist).name]
    words += ["--workers", str(workers)]
    return shlex.join(words)
