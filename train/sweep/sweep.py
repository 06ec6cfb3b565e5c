"""A whole sweep: the archive, the runs, the page."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from latentscope.cli.application import UsageError
from latentscope.errors import LatentscopeError
from latentscope.spectra.prepare import PrepareConfig
from train.sweep.archive import Facts, Recipe, make_archive
from train.sweep.grid import runs_of
from train.sweep.page import draw
from train.sweep.results import results_of
from train.sweep.run import ARCHIVE, TEST, Sweep, alone, is_done, write_configs
from train.sweep.settings import SweepConfig, read_sweep

CONFIGS = Path(__file__).parents[1] / "configs"


@dataclass(frozen=True)
class Report:
    """What a sweep did.

    Parameters
    ----------
    page : Path or None
        The page that was drawn; None where no run is finished.
    finished, total : int
        Runs that have a model, and runs in all.
    failed : dict of str to str
        Name of each run that failed in this call -> why.
    """

    page: Path | None
    finished: int
    total: int
    failed: Mapping[str, str]


def sweep(
    folder: Path,
    *,
    config: Path | None = None,
    quick: bool = False,
    linelist: str | None = None,
    workers: int = 2,
    draw_only: bool = False,
    page: Path | None = None,
    say: Callable[[str], None] = print,
) -> Report:
    """Train what is not trained yet, and draw the page from the finished runs.

    Parameters
    ----------
    folder : Path
        Receives `archive.zarr`, `test.zarr` and `runs/`, a folder each.
    config : Path, optional
        By default `train/configs/sweep.yaml`.
    quick : bool
        Take `train/configs/sweep-quick.yaml` instead.
    linelist : str, optional
        Line list file of the simulation; the built-in list by default.
    workers : int
        Runs at a time.
    draw_only : bool
        Train nothing.
    page : Path, optional
        By default `reproduction.md` in `folder`.
    say : callable
        Told what happens, a line at a time.

    Returns
    -------
    Report

    Raises
    ------
    UsageError
        If both `config` and `quick` are given.
    LatentscopeError
        If the configuration makes no sweep, the folder is another sweep's or is being worked in,
        the page has no place for the sweep, or there is nothing to draw from.
    """
    if quick and config is not None:
        raise UsageError("--quick and --config both say what to sweep; give one of them")
    path = config or CONFIGS / ("sweep-quick.yaml" if quick else "sweep.yaml")
    settings = read_sweep(path)
    page = page or folder / "reproduction.md"
    torch.set_num_threads(1)
    with alone(folder):
        errors = {} if draw_only else _trained(settings, folder, linelist, workers, say)
        runs = runs_of(settings)
        finished = sum(is_done(folder, run) for run in runs)
        if not finished:
            if draw_only:
                raise LatentscopeError(f"{folder}: no run is finished; nothing to draw from")
            return Report(None, 0, len(runs), errors)
        results = results_of(settings, folder, errors, say)
        command = _command(folder, path, linelist, workers, page)
        found = draw(results, page, command, Facts.read(folder / ARCHIVE))
        agree = sum(bool(finding.agrees) for finding in found)
        say(f"{agree} of {len(found)} statements of the paper hold")
        return Report(page, finished, len(runs), errors)


def _trained(
    config: SweepConfig,
    folder: Path,
    linelist: str | None,
    workers: int,
    say: Callable[[str], None],
) -> dict[str, str]:
    """Make the archives, train the runs; why some failed, by name."""
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


def _command(folder: Path, config: Path, linelist: str | None, workers: int, page: Path) -> str:
    """The command that makes all this elsewhere: names without this machine's folders."""
    words = ["python", "-m", "train", "sweep", "-o", f"runs/{folder.name}"]
    if config.name == "sweep-quick.yaml":
        words += ["--quick"]
    elif config != CONFIGS / "sweep.yaml":
        words += ["--config", config.name]
    words += [] if linelist is None else ["--linelist", Path(linelist).name]
    words += ["--workers", str(workers)]
    if page.parent != folder:
        words += ["--page", f"{page.parent.name}/{page.name}"]
    return shlex.join(words)
