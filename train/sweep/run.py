"""The runs of a sweep in parallel processes: restartable, and one that fails loses no other."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import yaml

from latentscope.cli.application import UsageError
from latentscope.errors import LatentscopeError, ModelError
from latentscope.files import atomic_path, keep_freed_memory
from latentscope.spectra.prepare import PrepareConfig
from train.data.packing import alone, leave_with_parent
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

_CONFIG, _LOG = "run.yaml", "log.txt"
_WATCH_EVERY = 3500  # steps: looks at validation rows would be a quarter of so short a run

Say = Callable[[str], None]
Fit = Callable[[Path, Path, Path], None]


def write_configs(config: SweepConfig, runs: Sequence[Run], folder: Path) -> None:
    """Write each run's configuration into its folder; ModelError if another was begun there."""
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


def fit_run(config: Path, folder: Path, archive: Path) -> None:
    """Train one run, on one thread: runs beside each other would wait for each other's threads."""
    from train.fit import fit

    keep_freed_memory((1 << 31) - 1, 1 << 30)
    fit(read_config(config), folder, archive=str(archive), threads=1, watch_every=_WATCH_EVERY)


def train_runs(
    folder: Path, runs: Sequence[Run], workers: int, say: Say, fit: Fit = fit_run
) -> dict[str, str]:
    """Train what is not trained yet, in `workers` processes that end with this one.

    `folder` is the sweep's, with the archive and the runs' configurations; `fit` trains a run.
    Returns why each run failed that did, by name.
    """
    todo = [run for run in runs if not is_done(folder, run)]
    number = len(runs) - len(todo)
    if number:
        say(f"{number} of {len(runs)} runs were finished before")
    context, failed = get_context("spawn"), {}
    # Each process has a GPU, as long as there are some; all would take the first.
    gpus = context.SimpleQueue()
    named = visible_gpus()
    for worker in range(workers):
        gpus.put(named[worker % len(named)] if named else None)
    with ProcessPoolExecutor(workers, context, _begin, (gpus,)) as pool:
        futures = {
            pool.submit(_minutes_of, folder_of(folder, run), folder, fit): run for run in todo
        }
        try:
            for future in as_completed(futures):
                number, name = number + 1, futures[future].name
                head = f"[{number}/{len(runs)}] {name}"
                try:
                    say(f"{head} trained, {future.result():.1f} minutes")
                except Exception as error:  # whatever it is, the other runs go on
                    failed[name] = f"{error} ({folder_of(folder, futures[future]) / _LOG})"
                    say(f"{head} failed: {failed[name]}")
        except BaseException:
            # Runs go on from their checkpoints another time.
            pool.shutdown(wait=False, cancel_futures=True)
            for process in active_children():
                process.terminate()
            raise
    return failed


def _begin(gpus: Any) -> None:
    leave_with_parent()
    gpu = gpus.get()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu


def _minutes_of(here: Path, folder: Path, fit: Fit) -> float:
    """Train the run of a folder; minutes that it took."""
    begun = time.monotonic()
    with (here / _LOG).open("a") as log, redirect_stdout(log), redirect_stderr(log):
        fit(here / _CONFIG, here, folder / ARCHIVE)
    with atomic_path(here / DONE) as temporary:
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        temporary.write_text(json.dumps({"ended": ended}) + "\n", "utf-8")
    return (time.monotonic() - begun) / 60


def visible_gpus() -> list[str]:
    """Return names of the NVIDIA GPUs that processes may use, as CUDA_VISIBLE_DEVICES has them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    return [str(number) for number in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


@dataclass(frozen=True)
class Report:
    """What a sweep did: runs that have a model, runs in all, and why some failed, by name."""

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
        Receives `archive.zarr`, `test.zarr` and `runs/`, with one folder per run, and the results.
    config : Path, optional
        By default `train/configs/sweep.yaml`; with `quick` `train/configs/sweep-quick.yaml`.
    linelist : str, optional
        Line list file of the simulation; the built-in list by default.
    workers : int
        Runs at a time.
    say : callable
        Gets a line for each thing that happens.

    Raises
    ------
    UsageError
        If both `config` and `quick` are given.
    LatentscopeError
        If the configuration makes no sweep, the folder is another sweep's or is being worked in, or
        there is nothing to measure.
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
    return train_runs(folder, runs, workers, say)


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
