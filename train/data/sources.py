"""The data of a run, from its settings: one source, or two mixed in every batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from latentscope.errors import ChoiceError, ModelError
from train.data.batches import Batch, Data, Place, Sampled, joined
from train.data.doppler import Shifts
from train.data.packed import PackedData
from train.data.simulated import SimulatedArchive, SimulatedStream
from train.settings import DataConfig, TrainConfig

KINDS = ("simulated", "packed")
"""The number of a spectrum is twice its number in its own data, plus its place here."""


class Mixture(Data):
    """Simulated and packed training rows, a fixed number of each in every batch.

    Each kind has an order of its own, the simulated ones come first. Validation rows are those of
    both; labels that one kind does not have are NaN there, and the label `simulated` is 1 or 0.
    """

    def __init__(self, simulated: Data, packed: PackedData) -> None:
        super().__init__(simulated.size + packed.size, simulated.steps)
        self.simulated, self.packed = self._parts = simulated, packed

    def setup(self, stage: str | None = None) -> None:
        """Set up both kinds, and join what is validated."""
        for part in self._parts:
            part.setup(stage)
        rows = [part.validation_rows for part in self._parts]
        self.validation_rows = np.concatenate(rows)
        masks = [
            np.ones(part.validation_rows.shape, np.bool_)
            if part.validation_valid is None
            else part.validation_valid
            for part in self._parts
        ]
        self.validation_valid = np.concatenate(masks)
        ivar = [part.validation_ivar for part in self._parts if part.validation_ivar is not None]
        self.validation_ivar = np.concatenate(ivar) if len(ivar) == 2 else None
        labels = [
            part.validation_labels.reindex(range(len(block))).assign(simulated=1.0 - kind)
            for kind, (part, block) in enumerate(zip(self._parts, rows, strict=True))
        ]
        self.validation_labels = pd.concat(labels, ignore_index=True)

    @property
    def origin(self) -> dict[str, Any]:
        """What both kinds are."""
        packed = self.packed.provenance
        return {
            "archive": "simulated and packed",
            "spectra_a_batch": {
                kind: part.size for kind, part in zip(KINDS, self._parts, strict=True)
            },
            "simulated": self.simulated.provenance,
            "packed": packed,
            "labels_used": packed["labels_used"],
        }

    @property
    def epoch_steps(self) -> float:
        """Steps of an epoch of the packed spectra."""
        return self.packed.epoch_steps

    def blocks(self, max_rows: int) -> Iterator[Sampled]:
        """Yield rows and masks, about as many of each kind."""
        both = (part.sample(max_rows) for part in self._parts)
        yield from chain.from_iterable(zip(*both, strict=False))

    def names(self, numbers: Iterable[int]) -> list[str]:
        """Say which spectra they are, and of which kind."""
        return [
            f"{KINDS[number % 2]}: {self._parts[number % 2].names([number // 2])[0]}"
            for number in map(int, numbers)
        ]

    def batches(self, place: Place) -> Iterator[Batch]:
        """Yield joined batches of both."""
        for part in self._parts:
            part.check_share(place.world)
        for both in zip(*(part.batches(place) for part in self._parts), strict=True):
            yield joined(
                [part._replace(numbers=2 * part.numbers + kind) for kind, part in enumerate(both)]
            )

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to know of the data."""
        return {kind: part.state_dict() for kind, part in zip(KINDS, self._parts, strict=True)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let both kinds see whether they are what the checkpoint was trained on."""
        for kind, part in zip(KINDS, self._parts, strict=True):
            part.load_state_dict(state_dict[kind])


def data_of(config: TrainConfig, folder: Path) -> Data:
    """Return what a run learns from, as its configuration says.

    Rows of a simulated archive are kept in `folder`. ModelError if the parts of `data` do not go
    together, or lack what the loss needs; ChoiceError if a batch is too small for a mixture.
    """
    source = _source(config, folder)
    if config.data.doppler is not None:
        source.shifts = Shifts(config.data, config.prepare, config.seed)
    return source


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
    return Mixture(_simulated(config, parts[0], folder), _packed(config, parts[1]))


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
