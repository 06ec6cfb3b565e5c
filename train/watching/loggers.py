"""Where the figures of a run go: TensorBoard events, and one CSV file that survives a restart."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from train.watching.tables import StepTable


class MetricsTable(Logger):
    """What the training step logs, as `metrics.csv`: steps counted from 0, a line each.

    Lightning's own CSV logger deletes what a run wrote before it was interrupted.

    Parameters
    ----------
    folder : Path
        Receives the file.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.table = StepTable(folder / "metrics.csv")

    @property
    def name(self) -> str:
        """Not used: the folder is the run's."""
        return ""

    @property
    def version(self) -> str:
        """Not used: a run that is taken up is the same run."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append a line."""
        row = {"step": int(step or 0)} | {key: float(value) for key, value in metrics.items()}
        self.table.add(pd.DataFrame([row]))

    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        """Write nothing: the run's configuration is in its checkpoint and in its model."""


def loggers(folder: Path) -> list[Logger]:
    """Return the loggers of a run: TensorBoard events and `metrics.csv`, both in `folder/log`.

    `tensorboard --logdir FOLDER` shows the first; both continue after an interruption.
    """
    board = TensorBoardLogger(folder, name="", version="log", default_hp_metric=False)
    return [MetricsTable(folder / "log"), board]


def forget_from(loggers: Iterable[Logger], step: int) -> None:
    """Drop what was logged of `step` (counted from 0) and later ones, by a run that was killed."""
    for logger in loggers:
        if isinstance(logger, MetricsTable):
            logger.table.cut(step)
        elif isinstance(logger, TensorBoardLogger):
            _restart(logger, step)


def _restart(logger: TensorBoardLogger, step: int) -> None:
    """Tell TensorBoard that a new session starts at `step`: older events from there on are void."""
    from tensorboard.compat.proto.event_pb2 import (  # type: ignore[import-untyped]
        Event,
        SessionLog,
    )

    start = SessionLog(status=SessionLog.START)
    writer = logger.experiment.file_writer
    writer.add_event(Event(step=step, file_version="brain.Event:2"))
    writer.add_event(Event(step=step, session_log=start))
