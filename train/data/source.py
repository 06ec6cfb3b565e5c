"""The data of a run, from its configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from latentscope.errors import ChoiceError, ModelError
from train.data.mixture import Mixture
from train.data.packed import PackedData
from train.data.shifted import ShiftedData
from train.data.simulated import SimulatedArchive
from train.settings.data import DataConfig
from train.settings.run import TrainConfig
from train.simulator.stream import SimulatedStream

Source = SimulatedArchive | SimulatedStream | PackedData | Mixture
Data = Source | ShiftedData


def data_of(config: TrainConfig, folder: Path) -> Data:
    """Return what a run learns from, as its configuration says.

    Parameters
    ----------
    config : TrainConfig
    folder : Path
        Where rows of a simulated archive are kept.

    Raises
    ------
    ModelError
        If the parts of `data` do not go together, or lack what the loss needs.
    ChoiceError
        If a batch is too small for a mixture.
    """
    source = _source(config, folder)
    if config.data.doppler is None:
        return source
    return ShiftedData(source, config.data, config.prepare, config.seed)


def _source(config: TrainConfig, folder: Path) -> Source:
    data = config.data
    if data.mixture is None and data.archive is not None:
        if data.stream is not None:
            raise ModelError(
                "data has both `archive` and `stream`; add `mixture`, or drop one of them"
            )
        return _packed(config, data)
    if config.loss == "ivar" and data.stream is None:
        raise ModelError(
            "loss: ivar, but a simulated archive keeps no inverse variances; take data: stream: "
            "true, or another loss"
        )
    if data.mixture is None:
        return _simulated(config, data, folder)
    if data.archive is None:
        raise ModelError("data: mixture needs a packed archive; add data: archive, or --archive")
    sizes = _sizes(data.batch_size, data.mixture.simulated)
    parts = [replace(data, batch_size=size) for size in sizes]
    return Mixture(_simulated(config, parts[0], folder), _packed(config, parts[1]), sizes)


def _simulated(
    config: TrainConfig, data: DataConfig, folder: Path
) -> SimulatedArchive | SimulatedStream:
    kind = SimulatedArchive if data.stream is None else SimulatedStream
    return kind(data, config.prepare, config.steps, config.seed, folder)


def _packed(config: TrainConfig, data: DataConfig) -> PackedData:
    ivar = config.loss == "ivar"
    return PackedData(data, config.prepare, config.steps, config.seed, ivar=ivar)


def _sizes(batch_size: int, fraction: float) -> tuple[int, int]:
    """Simulated and packed spectra of a batch."""
    simulated = round(fraction * batch_size)
    if not 0 < simulated < batch_size:
        raise ChoiceError(
            f"mixture: {fraction:g} of a batch of {batch_size} is simulated; wanted at least one "
            "spectrum of each kind: take a larger batch_size"
        )
    return simulated, batch_size - simulated
