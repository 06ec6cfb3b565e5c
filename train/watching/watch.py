"""Figures of a run on its validation rows, a line every so many steps."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback

from train.data.source import Data
from train.learning.module import SpectrumModule


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
