"""The data of a run, from its configuration."""

from __future__ import annotations

from pathlib import Path

from train.data.packed import PackedData
from train.data.simulated import SimulatedArchive
from train.settings.run import TrainConfig

Data = SimulatedArchive | PackedData


def data_of(config: TrainConfig, folder: Path) -> Data:
    """Packed or simulated rows, as the configuration says; `folder` keeps simulated ones."""
    if config.data.archive is None:
        return SimulatedArchive(config.data, config.prepare, config.steps, config.seed, folder)
    return PackedData(config.data, config.prepare, config.steps, config.seed)
