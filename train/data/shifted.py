"""Training data whose spectra have another velocity each time they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentscope.errors import ModelError
from latentscope.spectra.prepare import PrepareConfig
from train.data.batch import Batch, changed
from train.data.doppler import DopplerShift
from train.data.mixture import Loader, Mixture
from train.data.packed import PackedData
from train.data.place import Place, place_of
from train.data.simulated import SimulatedArchive
from train.settings.data import DataConfig
from train.simulator.stream import SimulatedStream

_SAMPLED = 16
"""Rows of a sample that are shifted at once."""


class ShiftedBatches:
    """Batches of a loader, each row shifted by the velocity that its step and its place give it.

    Parameters
    ----------
    batches : iterable of Batch, with a length
        From `place.step` on, this process's part of each.
    shift : DopplerShift
    spread : float
        km/s: velocities are uniform between -spread and +spread.
    seed : int
    batch_size : int
        Of all processes together.
    place : Place
    """

    def __init__(
        self,
        batches: Loader,
        shift: DopplerShift,
        spread: float,
        seed: int,
        batch_size: int,
        place: Place,
    ) -> None:
        self._batches, self._shift, self._place = batches, shift, place
        self._spread, self._seed, self._size = spread, seed, batch_size

    def __len__(self) -> int:
        """Steps of the whole run, by which Lightning knows where it stands."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        """Yield shifted batches on the device."""
        place = self._place
        for step, batch in enumerate(self._batches, place.step):
            velocity = self.velocities(step)[place.rank :: place.world]
            moved = changed(batch, lambda values: values.to(place.device))
            yield self._shift(moved, velocity)

    def velocities(self, step: int) -> Tensor:
        """Velocities of the whole batch of a step in km/s, shape (batch_size,)."""
        rng = np.random.default_rng((self._seed, step, 7))
        return torch.from_numpy(rng.uniform(-self._spread, self._spread, self._size))


class ShiftedData(lightning.LightningDataModule):
    """Another module's data, with training spectra shifted by random velocities.

    Validation spectra are as they were observed. Everything else is the other module's.

    Parameters
    ----------
    data : data module
    config : DataConfig
        With `doppler`.
    prepare : PrepareConfig
        The model's.
    seed : int
        Of the run; velocities follow from it, the step and the place in the batch.
    """

    def __init__(
        self,
        data: SimulatedArchive | SimulatedStream | PackedData | Mixture,
        config: DataConfig,
        prepare: PrepareConfig,
        seed: int,
    ) -> None:
        super().__init__()
        if config.doppler is None:
            raise ModelError(
                "this configuration shifts no spectra; add data: doppler: {spread: 60}"
            )
        self._data, self._seed = data, seed
        self._size, self._settings = config.batch_size, config.doppler
        self._shift = DopplerShift(prepare, whole_pixels=config.doppler.whole_pixels)

    def setup(self, stage: str | None = None) -> None:
        """Set up the data, and take over what is validated."""
        data = self._data
        data.setup(stage)
        self.validation_rows, self.validation_valid = data.validation_rows, data.validation_valid
        self.validation_ivar, self.validation_labels = data.validation_ivar, data.validation_labels

    @property
    def provenance(self) -> dict[str, Any]:
        """What the network learned from, for its config.json."""
        kind = "whole pixels, " if self._settings.whole_pixels else ""
        said = f"{kind}uniform within +-{self._settings.spread:g} km/s, anew each time"
        return self._data.provenance | {"doppler_shifts": said}

    @property
    def epoch_steps(self) -> float | None:
        """Steps of an epoch of the data, if it has epochs."""
        return self._data.epoch_steps

    def sample(self, size: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        """Yield shifted training rows and masks in blocks of at most `size`."""
        rng = np.random.default_rng((self._seed, 3))
        spread = self._settings.spread
        for rows, valid in self._data.sample(min(size, _SAMPLED)):
            masks = None if valid is None else torch.from_numpy(valid.copy())
            batch = Batch(torch.from_numpy(rows), torch.arange(len(rows)), masks)
            shifted = self._shift(batch, torch.from_numpy(rng.uniform(-spread, spread, len(rows))))
            assert shifted.valid is not None
            yield shifted.rows.numpy(), shifted.valid.numpy()

    def names(self, numbers: Iterable[int]) -> list[str]:
        """Say which spectra these numbers of a batch are."""
        return self._data.names(numbers)

    def train_dataloader(self) -> ShiftedBatches:
        """Shifted batches that remain after the step the trainer stands at."""
        self._data.trainer = self.trainer
        place = place_of(self.trainer, self._size)
        batches = self._data.train_dataloader()
        spread = self._settings.spread
        return ShiftedBatches(batches, self._shift, spread, self._seed, self._size, place)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to know of the data."""
        return self._data.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the data see whether it is what the checkpoint was trained on."""
        self._data.load_state_dict(state_dict)
