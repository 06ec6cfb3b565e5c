"""One training run from a configuration to a model folder."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger

from latentscope.model.vae import SpectrumVAE
from latentscope.model.weights import save_model
from train.config import ArchiveConfig, TrainConfig
from train.data import SimulatedArchive
from train.module import SpectrumModule
from train.packed import PackedData

Data = SimulatedArchive | PackedData


class Watch(Callback):
    """Every so many steps: loss terms, KL and MAD of each dimension on validation rows.

    The labels are looked at here alone, for the log: rank correlation of each with its best
    dimension. Nothing flows back into the training.
    """

    def __init__(self, every: int, path: Path) -> None:
        self._every, self._path = every, path
        self._start = time.monotonic()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a line when it is time to."""
        step = trainer.global_step
        if step % self._every and step != pl_module.config.steps:
            return
        row = {"step": step, "minutes": round((time.monotonic() - self._start) / 60, 2)}
        row |= watched(pl_module, trainer.datamodule)
        exists = self._path.exists()
        pd.DataFrame([row]).to_csv(self._path, mode="a", header=not exists, index=False)


def watched(module: SpectrumModule, data: Data) -> dict[str, float]:
    """Validation figures of a model: loss terms, explained line variance, dimensions, labels."""
    module.model.eval()
    parts: dict[str, list[np.ndarray[Any, Any]]] = {}
    rows, valid = data.validation_rows, data.validation_valid
    with torch.no_grad():
        for start in range(0, len(rows), 50):
            some = slice(start, start + 50)
            batch = torch.from_numpy(rows[some].astype("f4")).to(module.device)
            mask = None if valid is None else torch.from_numpy(valid[some]).to(module.device)
            for key, value in module.terms(batch, valid=mask).items():
                parts.setdefault(key, []).append(value.cpu().numpy())
    module.model.train()
    terms = {key: np.concatenate(value) for key, value in parts.items()}
    mean, kl = terms["mean"], terms["kl"].mean(0)
    deviation = np.median(np.abs(mean - np.median(mean, 0)), 0)
    figures = {"lines": terms["lines"].mean(), "continuum": terms["continuum"].mean()}
    figures |= {"kl": kl.sum(), "kl_dims": int((kl > 0.1).sum())}
    figures["mad_dims"] = int((deviation > 0.02).sum())
    for name, label in data.validation_labels.items():
        correlation = np.abs(pd.DataFrame(mean).corrwith(label, method="spearman"))
        best = int(correlation.argmax())
        figures |= {f"{name}_dim": best, f"{name}_rank": correlation[best]}
    if module.model.config.doppler:
        figures["doppler_scale"] = module.model.doppler_scale.item()
    return {key: round(float(value), 4) for key, value in figures.items()}


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
    data = _data(config, data_folder or folder / "data")
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


def _data(config: TrainConfig, folder: Path) -> Data:
    if config.data.archive is None:
        return SimulatedArchive(config.data, config.prepare, config.steps, config.seed, folder)
    return PackedData(config.data, config.prepare, config.steps, config.seed)


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


def export(
    module: SpectrumModule, config: TrainConfig, provenance: dict[str, Any], folder: Path
) -> Path:
    """Write the model folder: config.json, model.safetensors, and the training's provenance."""
    model = module.model.eval()
    last = config.stages[-1]
    model.info = {
        "name": config.name,
        "description": config.description,
        "beta": last.beta.at(1.0),
        "mad_threshold": 0.02,
        "training": provenance
        | {
            "steps": config.steps,
            "batch_size": config.data.batch_size,
            "seed": config.seed,
            "minutes": round(module.seconds / 60, 1),
        },
    }
    save_model(model, folder)
    return folder
