"""What accompanies a run: stops before its time, lines of progress, whole checkpoints."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from latentscope.errors import ModelError
from latentscope.files import atomic_path
from train.data.batches import Batch
from train.learning.devices import Later, rank_and_world, whole_batch
from train.settings import TrainConfig

CHECK_EVERY = 1000
"""Steps between two looks at whether any dimension is open."""

_NAMED = 3
"""Spectra that an error message names; the file has all."""


class Loss(NamedTuple):
    """A step's loss and where it came from."""

    step: int
    total: Later  # mean over the batch of all processes
    terms: dict[str, Tensor]  # of each spectrum of this process, shape (n,)
    batch: Batch


def stop_if_not_finite(
    loss: Loss, folder: Path, names: Callable[[Iterable[int]], list[str]]
) -> None:
    """Stop a run whose loss is NaN or infinite by a ModelError; its spectra are written down.

    Every process of a run has the same `loss.total`, so that all of them stop. The run's folder
    receives `nan-batch.csv` with `step, number, name` and the terms of each spectrum; `names` says
    spectra in words.
    """
    total = loss.total.item()
    if math.isfinite(total):
        return
    numbers = whole_batch(loss.batch.numbers).cpu().numpy()
    table = pd.DataFrame({"step": loss.step, "number": numbers, "name": names(numbers)})
    for key, values in loss.terms.items():
        table[key] = whole_batch(values.detach().float()).cpu().numpy()
    whole_rows = whole_batch(torch.isfinite(loss.batch.rows).all(1).float()).cpu().numpy() > 0
    path = folder / "nan-batch.csv"
    if rank_and_world()[0] == 0:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False)
    if whole_rows.all():
        bad = ~np.isfinite(table[list(loss.terms)]).all(axis=1)
        advice = (
            f"that of {_named(table['name'][bad])}, whose rows are finite: the network has "
            "diverged; try a lower learning_rate, clip_gradients: 1, a narrower logvar_range, or "
            "full precision, in another folder"
        )
    else:
        advice = (
            f"the rows of {_named(table['name'][~whole_rows])} are not finite; take these "
            "spectra out of the data"
        )
    raise ModelError(
        f"the loss of step {loss.step} is {total}: {advice}. The spectra of this batch "
        f"and their terms are in {path}"
    )


def _named(names: pd.Series) -> str:
    first = ", ".join(names.iloc[:_NAMED])
    return first if len(names) <= _NAMED else f"{first} and {len(names) - _NAMED} more"


class CollapseStop(Callback):
    """Stops a run in which no dimension is open, at two looks one after the other.

    Looks are `CHECK_EVERY` steps apart, and only from `config.collapse_grace` steps after what a
    stage minimizes has settled: before, dimensions may be closed because they are to open later.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._config, self._closed, self._looked = config, 0, -1

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Take the checkpoint's step for looked at."""
        self._looked = trainer.global_step

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look when it is time to; ModelError if nothing was open the last time either."""
        step = trainer.global_step
        # With accumulation several batches end at the same step.
        if step == self._looked or step % CHECK_EVERY or not settled(self._config, step):
            return
        self._looked = step
        open_dims = self._config.architecture.latents - len(pl_module.dead_dims())
        self._closed = 0 if open_dims else self._closed + 1
        if self._closed > 1:
            raise ModelError(_collapsed(self._config, step))

    def state_dict(self) -> dict[str, Any]:
        """Looks at which nothing was open, for a checkpoint."""
        return {"closed": self._closed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a checkpoint's count."""
        self._closed = state_dict["closed"]


def settled(config: TrainConfig, step: int) -> bool:
    """Whether dimensions that are closed at a step are likely to stay closed."""
    if config.collapse_grace is None:
        return False
    _, stage, fraction = config.stage_at(step)
    return round((fraction - stage.settled) * stage.steps) >= config.collapse_grace


def _collapsed(config: TrainConfig, step: int) -> str:
    found, tries = "MAD above 0.02", "a lower learning_rate, or more blur at first"
    if config.architecture.variational:
        found = "KL above 0.1 nats"
        tries = "a smaller beta, a beta that rises slowly or in cycles, free_bits: 0.1, " + tries
    return (
        f"no dimension has {found} on the validation rows at step {step}, nor had one before: the "
        f"latents carry nothing. Try {tries}. If dimensions may still open, raise collapse_grace "
        f"({config.collapse_grace} steps), or set it to null; the same command then goes on"
    )


_LINE_EVERY = 60.0  # seconds


class ProgressLines(Callback):
    """Write step, loss, speed and the time left to stderr: after six seconds, then every minute."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Say what it runs on, and start the clock."""
        if trainer.is_global_zero:
            self._say(
                f"training on {trainer.strategy.root_device.type}, {trainer.world_size} process"
                f"{'es' * (trainer.world_size > 1)}, precision {trainer.precision}, from step "
                f"{trainer.global_step:,}"
            )
        self._from = trainer.global_step
        self._since = time.monotonic()
        self._due = self._since + 0.1 * _LINE_EVERY

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a line when it is time to."""
        now = time.monotonic()
        if now < self._due or not trainer.is_global_zero:
            return
        self._due = now + _LINE_EVERY
        step, steps = trainer.global_step, pl_module.config.steps
        rate = (step - self._from) / max(now - self._since, 1e-9)
        # Logged every so many steps, of all processes; before that there is this one's.
        loss = float(trainer.callback_metrics.get("loss", outputs["loss"]))
        self._say(
            f"step {step:,} of {steps:,}, loss {loss:.4g}, {rate:.3g} steps/s, "
            f"{_duration((steps - step) / rate)} left"
        )

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


LAST = "last.ckpt"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the file and renames.

    Lightning itself writes into the system's temporary folder and moves the file, which copies it
    where that lies on another disk: a kill leaves half a checkpoint then, and no other.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint; an older one stays until the new one is complete."""
        with atomic_path(path) as temporary:
            torch.save(checkpoint, temporary)
