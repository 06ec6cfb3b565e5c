"""One training run from a configuration to a model folder."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger

from latentscope.model.vae import SpectrumVAE
from train.data.source import Data, data_of
from train.learning.module import SpectrumModule
from train.publishing.export import export
from train.settings.data import ArchiveConfig
from train.settings.run import TrainConfig
from train.watching.watch import Watch


def fit(
    config: TrainConfig,
    folder: Path,
    *,
    linelist: str | None = None,
    archive: str | None = None,
    data_folder: Path | None = None,
    watch_every: int = 1000,
    progress: bool = False,
) -> Path:
    """Train a model and export it.

    A run that was interrupted goes on from its last checkpoint in `folder`.

    Parameters
    ----------
    config : TrainConfig
    folder : Path
        Receives `last.ckpt`, `watch.csv`, `metrics.csv` and `model/`.
    linelist : str, optional
        Overrides the configuration's line list.
    archive : str, optional
        Overrides where the configuration's packed archive lies, or names one where it has none.
    data_folder : Path, optional
        Where the simulated rows are kept; `folder/data` by default.
    watch_every : int
        Steps between checkpoints and lines of `watch.csv`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        The model folder, which `load_model` reads.
    """
    if linelist is not None:
        config = replace(config, data=replace(config.data, linelist=linelist))
    if archive is not None:
        there = config.data.archive or ArchiveConfig(archive)
        config = replace(config, data=replace(config.data, archive=replace(there, path=archive)))
    lightning.seed_everything(config.seed, verbose=False)
    data = data_of(config, data_folder or folder / "data")
    data.setup()
    module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
    start_from_means(module.model, data)
    checkpoint = ModelCheckpoint(
        folder, save_last=True, save_top_k=0, every_n_train_steps=watch_every
    )
    callbacks: list[Callback] = [checkpoint, Watch(watch_every, folder / "watch.csv")]
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=1,
        max_steps=config.steps,
        callbacks=callbacks + ([TQDMProgressBar()] if progress else []),
        logger=CSVLogger(folder, name="", version="log"),
        log_every_n_steps=min(100, max(1, config.steps // 10)),
        enable_progress_bar=progress,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    last = folder / "last.ckpt"
    with warnings.catch_warnings():
        # Rows come from memory, so one process loads them; and the loader begins at the trainer's
        # step, which Lightning cannot know.
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        warnings.filterwarnings("ignore", message=".*dataloader is not resumable")
        trainer.fit(module, datamodule=data, ckpt_path=str(last) if last.exists() else None)
    module.close(module.dims_below(config.close_below))
    return export(module, config, data.provenance, folder / "model")


def start_from_means(model: SpectrumVAE, data: Data) -> None:
    """Set the learned mean spectrum and the centre of the continuum to the archive's means."""
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
