"""Looking at a run: numbers and pictures of the validation rows every so many steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pandas as pd
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from train.data.source import Data
from train.learning.module import SpectrumModule
from train.watching.evaluated import evaluated
from train.watching.loggers import forget_from
from train.watching.pictures import (
    Scene,
    draw_reconstructions,
    draw_traversal,
    scene,
    write_picture,
)
from train.watching.tables import StepTable
from train.watching.validation import Validation, dims_table, figures, validate

PICTURES_AFTER = 5
"""Checks from one pair of pictures to the next, by default."""

_SHORTEST_EPOCH = 0.25
"""Epochs shorter than this share of `every` have no check of their own."""


class Watch(Callback):
    """Looks at the validation rows every so many steps, at the end of epochs and at the very end.

    Writes `watch.csv` (a line a check), `dims.csv` (a line a dimension and check), `pictures/`
    (the latest ones), and the same to TensorBoard where the trainer has such a logger. Global rank
    0 looks, the others wait. A run that is taken up from a checkpoint goes on in the same files:
    what was written of later steps is dropped.

    Parameters
    ----------
    every : int
        Steps from one check to the next.
    folder : Path
        Of the run.
    pictures_every : int, optional
        Steps from one pair of pictures to the next, at checks alone; 0 draws none. By default five
        times `every`. The last check of a run draws in any case but 0.
    """

    def __init__(self, every: int, folder: Path, *, pictures_every: int | None = None) -> None:
        self._every, self._folder = every, folder
        self._pictures = PICTURES_AFTER * every if pictures_every is None else pictures_every
        self._watch = StepTable(folder / "watch.csv")
        self._dims = StepTable(folder / "dims.csv")
        self._scene: Scene | None = None
        self._drawn = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Drop what was written after the checkpoint that the run goes on from."""
        if not trainer.is_global_zero:
            return
        self._drawn = trainer.global_step
        self._watch.cut(trainer.global_step + 1)
        self._dims.cut(trainer.global_step + 1)
        forget_from(trainer.loggers, trainer.global_step)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look when it is time to."""
        step = trainer.global_step
        last = step == pl_module.config.steps
        if trainer.is_global_zero and (last or self._due(step, trainer.datamodule.epoch_steps)):  # type: ignore[attr-defined]
            self._look(trainer, pl_module, step, last)

    def _due(self, step: int, epoch: float | None) -> bool:
        if step % self._every == 0:
            return True
        if epoch is None or epoch < _SHORTEST_EPOCH * self._every:
            return False
        return int(step / epoch) > int((step - 1) / epoch)

    def _look(
        self, trainer: lightning.Trainer, module: SpectrumModule, step: int, last: bool
    ) -> None:
        data: Data = trainer.datamodule  # type: ignore[attr-defined]
        boards = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        with evaluated(module):
            seen = validate(module, data)
            dims = dims_table(seen, data.validation_labels)
            line = figures(module, seen, dims, data.validation_labels)
            self._write(step, module.seconds / 60, line, dims)
            _log_numbers(boards, step, line, dims)
            if self._pictures and (last or step - self._drawn >= self._pictures):
                self._drawn = step
                self._draw(module, data, seen, boards, step)

    def _write(self, step: int, minutes: float, line: dict[str, float], dims: pd.DataFrame) -> None:
        row = {"step": step, "minutes": round(minutes, 2)} | line
        self._watch.add(_rounded(pd.DataFrame([row])))
        dims = dims.astype({"active": int})
        dims.insert(0, "step", step)
        self._dims.add(_rounded(dims))

    def _draw(
        self,
        module: SpectrumModule,
        data: Data,
        seen: Validation,
        boards: list[TensorBoardLogger],
        step: int,
    ) -> None:
        model = module.model
        assert model.prepare is not None
        if self._scene is None:
            self._scene = scene(model.prepare, data)
        title = f"{module.config.name}, step {step:,}"
        drawn = {
            "reconstructions": draw_reconstructions(model, self._scene, title),
            "traversal": draw_traversal(model, self._scene, seen, title),
        }
        for name, figure in drawn.items():
            if figure is None:
                continue
            pixels = write_picture(figure, self._folder / "pictures" / f"{name}.png")
            for board in boards:
                board.experiment.add_image(name, pixels, step - 1, dataformats="HWC")


def _log_numbers(
    boards: list[TensorBoardLogger], step: int, line: dict[str, float], dims: pd.DataFrame
) -> None:
    """Log to TensorBoard, where steps count from 0 as Lightning's do."""
    values = {f"validation/{key}": value for key, value in line.items()}
    for kind in ("kl", "mad"):
        values |= {f"{kind}/{dim:03d}": float(value) for dim, value in enumerate(dims[kind])}
    for board in boards:
        board.log_metrics(values, step - 1)


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Six significant digits of every number that is not whole."""
    return table.map(lambda value: float(f"{value:.6g}") if isinstance(value, float) else value)
