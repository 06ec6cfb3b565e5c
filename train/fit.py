"""One training run from a configuration to a model folder, or to that of its last checkpoint."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from latentscope.errors import ModelError
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import load_model
from train.data.archive import ArchiveStore
from train.data.batches import Data
from train.data.sources import data_of
from train.learning.callbacks import LAST, ProgressLines, WholeCheckpoints
from train.learning.devices import (
    compiled,
    fastest_threads,
    on_this_machine,
    trainer_arguments,
)
from train.learning.module import SpectrumModule
from train.publishing import export
from train.settings import ArchiveConfig, TrainConfig, TrainerConfig
from train.watching import WATCHED, Watch, loggers


def fit(
    config: TrainConfig,
    folder: Path,
    *,
    linelist: str | Path | None = None,
    archive: str | None = None,
    data_folder: Path | None = None,
    watch_every: int = 1000,
    threads: int | None = None,
    progress: bool = False,
) -> Path:
    """Train a model and export it; return the model folder.

    A run that was interrupted goes on from its last checkpoint in `folder`. Of several processes
    (`torchrun`, SLURM, `config.trainer.devices`) each calls this; one of them writes.

    Parameters
    ----------
    folder : Path
        Receives `last.ckpt`, `best.ckpt`, `watch.csv`, `log/` and `model/`.
    linelist, archive : str, optional
        Override the configuration's line list, and where its packed archive lies.
    data_folder : Path, optional
        Where the simulated rows are kept; `folder/data` by default.
    watch_every : int
        Steps between checkpoints and lines of `watch.csv`.
    threads : int, optional
        Of torch, which is left alone by default. 0: those of the checkpoint, or as many as are
        fastest on this machine.
    progress : bool
        Show a progress bar; else a line per minute goes to the standard error stream.
    """
    config = with_paths(config, linelist, archive)
    running = on_this_machine(config.trainer)
    # Of the initial weights; draws in training follow from the step number instead.
    lightning.seed_everything(config.seed, verbose=False)
    data = data_of(config, data_folder or folder / "data")
    data.setup()
    module = SpectrumModule(_model(config, data), config)
    last = folder / LAST
    kept = _read_checkpoint(last) if last.exists() else {}
    if threads is not None:
        torch.set_num_threads(threads or _threads(module, data, running, kept))
    try:
        trainer = _trainer(config, running, folder, watch_every, progress)
    except (MisconfigurationException, ValueError) as error:
        raise ModelError(f"trainer: {error}") from error
    with _silenced(), compiled(module.model, running):
        try:
            trainer.fit(module, datamodule=data, ckpt_path=str(last) if last.exists() else None)
        except SystemExit:  # Lightning's, after Ctrl-C and, with exit code 0, after SIGTERM
            raise KeyboardInterrupt from None
        # Of the last step, so that further stages can go on from it.
        trainer.save_checkpoint(last)
    module.finish(data)
    if trainer.is_global_zero:
        export(module, config, data, folder / "model")
    trainer.strategy.barrier()
    return folder / "model"


def with_paths(
    config: TrainConfig, linelist: str | Path | None, archive: str | None
) -> TrainConfig:
    """Return the configuration with what is given or in the archive put into it.

    Places of its line list and archive, if given; the preparation of the archive's rows, where it
    has none of its own. ModelError if the archive has no place, or there is neither preparation nor
    archive.
    """
    data, prepare = config.data, config.prepare
    if linelist is not None:
        data = replace(data, linelist=str(linelist))
    if archive is not None:
        data = replace(data, archive=replace(data.archive or ArchiveConfig(), path=archive))
    if data.archive is not None and not data.archive.path:
        raise ModelError("data.archive.path is missing; say where the archive lies, by --archive")
    if prepare is None:
        if data.archive is None:
            raise ModelError("prepare is missing, and there is no packed archive that has one")
        prepare = ArchiveStore.open(data.archive.path).prepare
    return replace(config, data=data, prepare=prepare)


def _trainer(
    config: TrainConfig, running: TrainerConfig, folder: Path, watch_every: int, progress: bool
) -> lightning.Trainer:
    # An interrupted run goes on from the last one, and the end is what is exported.
    callbacks: list[Callback] = [
        ModelCheckpoint(
            folder, "best", monitor=WATCHED, save_last=True, every_n_train_steps=watch_every,
            enable_version_counter=False,
        ),
        Watch(watch_every, folder),
        TQDMProgressBar() if progress else ProgressLines(),
    ]  # fmt: skip
    if config.trainer.keep_every is not None:
        callbacks.append(
            ModelCheckpoint(
                folder, "step-{step}", auto_insert_metric_name=False, save_top_k=-1,
                every_n_train_steps=config.trainer.keep_every,
            )
        )  # fmt: skip
    return lightning.Trainer(
        **trainer_arguments(running),
        max_steps=config.steps,
        accumulate_grad_batches=config.data.accumulate,
        callbacks=callbacks,
        plugins=[WholeCheckpoints()],
        logger=loggers(folder),
        log_every_n_steps=min(100, max(1, config.steps // 10)),
        enable_progress_bar=progress,
        enable_model_summary=False,
        # Our loaders hand each process its part; Lightning would share that out again.
        use_distributed_sampler=False,
        default_root_dir=folder,
    )


@contextmanager
def _silenced() -> Iterator[None]:
    """Hide warnings of Lightning that do not hold here."""
    with warnings.catch_warnings():
        # Rows come from memory, so one process loads them; and the loader begins at the trainer's
        # step, which Lightning cannot know. It uses a deprecated part of torch itself, and a run
        # that goes on finds its own checkpoint, of other times to keep some of them perhaps.
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        warnings.filterwarnings("ignore", message=".*dataloader is not resumable")
        warnings.filterwarnings("ignore", message=".*isinstance.*LeafSpec")
        warnings.filterwarnings("ignore", message=".*exists and is not empty")
        warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint")
        yield


def _model(config: TrainConfig, data: Data) -> SpectrumVAE:
    """The network before its first step: fresh, or with another model's weights."""
    model = SpectrumVAE(config.architecture, config.prepare)
    if config.start is None:
        start_from_means(model, data)
        return model
    given = load_model(config.start)
    if (given.config, given.prepare) != (config.architecture, config.prepare):
        raise ModelError(
            f"start: {config.start} has another architecture or preparation than the "
            "configuration; leave both out, so that they are that model's"
        )
    model.load_state_dict(given.state_dict())
    return model


def _threads(
    module: SpectrumModule, data: Data, running: TrainerConfig, kept: Mapping[str, Any]
) -> int:
    """Threads of a run: those of its checkpoint, for another number rounds otherwise."""
    if kept:
        return int(kept.get("threads", 1))
    most = torch.get_num_threads()
    if running.accelerator != "cpu" or most == 1:
        return most
    rows, _ = next(iter(data.sample(module.config.data.part_size)))
    return fastest_threads(module, torch.from_numpy(rows), most)


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise ModelError(
            f"{path}: is not a complete checkpoint ({error}); move it away to begin anew, or put "
            "another one of this run in its place"
        ) from error
    return kept


def start_from_means(model: SpectrumVAE, data: Data) -> None:
    """Set the learned mean spectrum and the center of the continuum to the archive's means."""
    config = model.config
    total, count = np.zeros(config.row_size), np.zeros(config.row_size)
    for block, valid in data.sample(500):
        kept = np.ones(block.shape, np.bool_) if valid is None else valid
        total += block.sum(0, where=kept, dtype=np.float64)
        count += kept.sum(0)
    mean = torch.from_numpy((total / np.maximum(count, 1)).astype("f4"))
    with torch.no_grad():
        if config.extra:
            model.extra_mean.copy_(mean[config.length :])
        if config.output == "mean":
            model.line_mean.copy_(mean[: config.length])


def export_checkpoint(
    config: TrainConfig,
    run: Path,
    folder: Path,
    *,
    linelist: str | Path | None = None,
    archive: str | None = None,
    data_folder: Path | None = None,
    checkpoint: str = LAST,
) -> int:
    """Write the model folder of a run's checkpoint; return the steps that it was trained.

    Of the last step the model that `fit` wrote; of an earlier one averaged weights, where the run
    has them, and no dimension closed or turned. The run can go on meanwhile.
    `config` is the run's, `run` its folder, `checkpoint` the name of a file in it, such as
    `best.ckpt`; the rest as `fit` takes it. ModelError if there is no such checkpoint, or it is
    another run's.
    """
    path = run / checkpoint
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in run.glob("*.ckpt"))) or "no checkpoint yet"
        raise ModelError(f"{path}: no such file; the run has {there}")
    config = with_paths(config, linelist, archive)
    module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
    kept = _read_checkpoint(path)
    module.on_load_checkpoint(kept)
    module.load_state_dict(kept["state_dict"])
    data = data_of(config, data_folder or run / "data")
    data.setup()
    steps = int(kept["global_step"])
    if steps >= config.steps:
        module.finish(data)
    export(module, config, data, folder, steps=steps)
    return steps
