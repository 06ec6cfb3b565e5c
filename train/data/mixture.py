"""Simulated and packed spectra in every batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import lightning
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from train.data.batch import Batch, changed, joined
from train.data.packed import PackedData
from train.data.place import Place, place_of
from train.data.shuffle import PackedBatches
from train.data.simulated import SimulatedArchive
from train.simulator.stream import SimulatedStream, StreamBatches

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

    def __init__(
        self, simulated: DataLoader[Batch] | StreamBatches, packed: PackedBatches, place: Place
    ) -> None:
        self._loaders, self._place = (simulated, packed), place

    def __len__(self) -> int:
        """Steps of the whole run, by which Lightning knows where it stands."""
        return len(self._loaders[0])

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches on the device."""
        for batches in zip(*self._loaders, strict=True):
            parts = [changed(batch, self._move) for batch in batches]
            yield joined(
                [part._replace(numbers=2 * part.numbers + kind) for kind, part in enumerate(parts)]
            )

    def _move(self, values: Tensor) -> Tensor:
        return values.to(self._place.device)


Loader = DataLoader[Batch] | StreamBatches | PackedBatches | MixedBatches


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
                np.ones(some.shape, np.bool_) if mask is None else mask
                for some, mask in zip(rows, masks, strict=True)
            ]
        )
        ivar = [part.validation_ivar for part in parts if part.validation_ivar is not None]
        self.validation_ivar = np.concatenate(ivar) if len(ivar) == len(parts) else None
        labels = [
            part.validation_labels.reindex(range(len(some))).assign(simulated=1.0 - kind)
            for kind, (part, some) in enumerate(zip(parts, rows, strict=True))
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

    def sample(self, size: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_] | None]]:
        """Yield training rows and masks in blocks of `size`, about as many of each kind."""
        for both in zip(self.simulated.sample(size), self.packed.sample(size), strict=False):
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
        return {kind: part.state_dict() for kind, part in self._parts()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let both kinds see whether they are what the checkpoint was trained on."""
        for kind, part in self._parts():
            part.load_state_dict(state_dict[kind])

    def _parts(self) -> Iterator[tuple[str, SimulatedArchive | SimulatedStream | PackedData]]:
        yield from zip(KINDS, (self.simulated, self.packed), strict=True)
