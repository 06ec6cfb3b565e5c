"""The data of a run, from its settings: one source, or two mixed in every batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd

from latentscope.errors import ChoiceError, ModelError
from train.data.batches import Batch, Batches, Data, Place, Sampled, joined, place_of
from train.data.doppler import ShiftedData
from train.data.packed import PackedData
from train.data.simulated import SimulatedArchive, SimulatedStream
from train.settings import DataConfig, TrainConfig

KINDS = ("simulated", "packed")
"""The number of a spectrum is twice its number in its own data, plus its place here."""


class MixedBatches:
    """Batches of two loaders joined: first the simulated spectra, then the packed ones.

    Parameters
    ----------
    simulated, packed : loaders of Batch
        From the same step on, this process's part of each.
    place : Place
    """

    def __init__(self, simulated: Batches, packed: Batches, place: Place) -> None:
        self._loaders, self._place = (simulated, packed), place

    def __len__(self) -> int:
        """Steps of the whole run, by which Lightning knows where it stands."""
        return len(self._loaders[0])

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches on the device."""
        for parts in zip(*self._loaders, strict=True):
            yield joined(
                [part._replace(numbers=2 * part.numbers + kind) for kind, part in enumerate(parts)]
            )


class Mixture(lightning.LightningDataModule):
    """Simulated and packed training rows, a fixed number of each in every batch.

    Each kind has an order of its own. Validation rows are those of both, the simulated ones first;
    labels that one kind does not have are NaN there, and the label `simulated` is 1 or 0.

    Parameters
    ----------
    simulated, packed : data modules
        With the same steps, each with its own part of the batch.
    sizes : tuple of int
        Spectra of each kind in a batch of all processes.
    """

    def __init__(
        self,
        simulated: SimulatedArchive | SimulatedStream,
        packed: PackedData,
        sizes: tuple[int, int],
    ) -> None:
        super().__init__()
        self.simulated, self.packed, self._sizes = simulated, packed, sizes

    def setup(self, stage: str | None = None) -> None:
        """Set up both kinds, and join what is validated."""
        parts = self.simulated, self.packed
        for part in parts:
            part.setup(stage)
        rows = [part.validation_rows for part in parts]
        self.validation_rows = np.concatenate(rows)
        masks = [part.validation_valid for part in parts]
        self.validation_valid = np.concatenate(
            [
                np.ones(block.shape, np.bool_) if mask is None else mask
                for block, mask in zip(rows, masks, strict=True)
            ]
        )
        ivar = [part.validation_ivar for part in parts if part.validation_ivar is not None]
        self.validation_ivar = np.concatenate(ivar) if len(ivar) == len(parts) else None
        labels = [
            part.validation_labels.reindex(range(len(block))).assign(simulated=1.0 - kind)
            for kind, (part, block) in enumerate(zip(parts, rows, strict=True))
        ]
        self.validation_labels = pd.concat(labels, ignore_index=True)

    @property
    def provenance(self) -> dict[str, Any]:
        """What the network learned from, for its config.json."""
        packed = self.packed.provenance
        return {
            "archive": "simulated and packed",
            "spectra_a_batch": dict(zip(KINDS, self._sizes, strict=True)),
            "simulated": self.simulated.provenance,
            "packed": packed,
            "labels_used": packed["labels_used"],
        }

    @property
    def epoch_steps(self) -> float:
        """Steps of an epoch of the packed spectra."""
        return self.packed.epoch_steps

    def sample(self, max_rows: int) -> Iterator[Sampled]:
        """Yield training rows and masks in blocks of `max_rows`, about as many of each kind."""
        for both in zip(
            self.simulated.sample(max_rows), self.packed.sample(max_rows), strict=False
        ):
            yield from both

    def names(self, numbers: Iterable[int]) -> list[str]:
        """Say which spectra these numbers of a batch are, and of which kind."""
        named = []
        for number in map(int, numbers):
            data = (self.simulated, self.packed)[number % 2]
            named.append(f"{KINDS[number % 2]}: {data.names([number // 2])[0]}")
        return named

    def train_dataloader(self) -> MixedBatches:
        """Batches that remain after the trainer's step: this process's part, on its device.

        Raises
        ------
        ChoiceError
            If the processes cannot share each kind equally.
        """
        self.simulated.trainer = self.packed.trainer = self.trainer
        loaders = self.simulated.train_dataloader(), self.packed.train_dataloader()
        return MixedBatches(*loaders, place_of(self.trainer, self._sizes[0]))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to know of the data."""
        return dict(
            zip(KINDS, (self.simulated.state_dict(), self.packed.state_dict()), strict=True)
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let both kinds see whether they are what the checkpoint was trained on."""
        for kind, part in zip(KINDS, (self.simulated, self.packed), strict=True):
            part.load_state_dict(state_dict[kind])


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


def _source(config: TrainConfig, folder: Path) -> Data:
    # Loaders know no steps of several parts: each part is a batch of its own.
    data = replace(config.data, batch_size=config.data.part_size, accumulate=1)
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
    return kind(data, config.prepare, _batches(config), config.seed, folder)


def _packed(config: TrainConfig, data: DataConfig) -> PackedData:
    ivar = config.loss == "ivar"
    return PackedData(data, config.prepare, _batches(config), config.seed, ivar=ivar)


def _batches(config: TrainConfig) -> int:
    return config.steps * config.data.accumulate


def _sizes(batch_size: int, fraction: float) -> tuple[int, int]:
    """Simulated and packed spectra of a batch."""
    simulated = round(fraction * batch_size)
    if not 0 < simulated < batch_size:
        raise ChoiceError(
            f"mixture: {fraction:g} of a batch of {batch_size} is simulated; expected at least one "
            "spectrum of each kind: take a larger batch_size"
        )
    return simulated, batch_size - simulated
