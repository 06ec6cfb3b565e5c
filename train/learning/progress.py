"""A line now and then, for a run that nobody watches at a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

import lightning
from lightning.pytorch.callbacks import Callback


class ProgressLines(Callback):
    """Write step, loss, speed and the time left to a stream every so many seconds.

    Parameters
    ----------
    every : float
        Seconds between lines; the first comes a tenth of that after the start.
    stream : text file, optional
        The standard error stream by default.
    """

    def __init__(self, every: float = 60.0, stream: TextIO | None = None) -> None:
        self._every, self._stream = every, stream
        self._since = self._due = 0.0
        self._from = 0

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
        self._due = self._since + 0.1 * self._every

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a line when it is time to."""
        now = time.monotonic()
        if now < self._due or not trainer.is_global_zero:
            return
        self._due = now + self._every
        step, steps = trainer.global_step, pl_module.config.steps
        rate = (step - self._from) / max(now - self._since, 1e-9)
        # Logged every so many steps, of all processes; before that there is this one's.
        loss = float(trainer.callback_metrics.get("loss", outputs["loss"]))
        self._say(
            f"step {step:,} of {steps:,}, loss {loss:.4g}, {rate:.3g} steps/s, "
            f"{_duration((steps - step) / rate)} left"
        )

    def _say(self, line: str) -> None:
        print(line, file=self._stream or sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
