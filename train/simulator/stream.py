"""Training data that never repeats: spectra simulated while the network trains, on its device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset

from latentscope.errors import ChoiceError, ModelError
from latentscope.simulation.population import observe
from latentscope.simulation.simulate import labels_of
from latentscope.spectra.prepare import PrepareConfig
from train.data.batches import Batch, place_of
from train.data.simulated import linelist_digest
from train.settings import DataConfig
from train.simulator.ahead import made_ahead
from train.simulator.making import Maker


class StreamBatches(IterableDataset[Batch]):
    """Batch k of a run holds spectra ``k * batch_size`` to ``(k + 1) * batch_size - 1``.

    Parameters
    ----------
    maker : Maker
    batch_size, steps : int
        Spectra in a batch of all processes, and batches of the whole run.
    start : int
        The first batch to hand out; those before are not made.
    rank, world : int
        Hand out spectra ``rank::world`` of each batch.
    ahead : int
        Batches that a thread makes before they are asked for; 0: no thread.
    """

    def __init__(
        self,
        maker: Maker,
        batch_size: int,
        steps: int,
        *,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        ahead: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1 or batch_size % world:
            raise ChoiceError(
                f"{batch_size} spectra a batch for {world} processes; wanted a multiple of {world}"
            )
        self._maker, self._size, self._steps = maker, batch_size, steps
        self._start, self._rank, self._world, self._ahead = start, rank, world, ahead

    def __len__(self) -> int:
        """Steps of the whole run, by which Lightning knows where it stands."""
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches that remain, on the maker's device."""
        steps = range(self._start, self._steps)
        return made_ahead(self._made, steps, self._ahead, self._maker.device)

    def _made(self, step: int) -> Batch:
        first = step * self._size
        return self._maker.batch(range(first + self._rank, first + self._size, self._world))


class SimulatedStream(lightning.LightningDataModule):
    """Simulated stars one after the other, each seen once; validation stars of the next seed.

    Parameters
    ----------
    config : DataConfig
        With a `stream`; besides it `seed`, `linelist`, `validation` and `batch_size` count.
    prepare : PrepareConfig
        The model's.
    steps, seed : int
        Of the run; the stars follow from the data's seed alone.
    folder : Path
        Not used: nothing is kept.

    Raises
    ------
    ModelError
        If the configuration has no `stream`.
    """

    validation_rows: NDArray[np.float32]
    validation_valid: NDArray[np.bool_]
    validation_ivar: NDArray[np.float32]
    validation_labels: pd.DataFrame
    epoch_steps = None

    def __init__(
        self, config: DataConfig, prepare: PrepareConfig, steps: int, seed: int, folder: Path
    ) -> None:
        super().__init__()
        if config.stream is None:
            raise ModelError("this configuration has no stream; add data: stream: true")
        self._config, self._settings, self._prepare = config, config.stream, prepare
        self._steps = steps
        self._made = False

    def setup(self, stage: str | None = None) -> None:
        """Make the validation spectra, on the CPU, so that they are the same on every machine."""
        if self._made:
            return
        c = self._config
        maker = self._maker("cpu", c.seed + 1)
        rows, ivar = maker.rows(range(c.validation))
        self.validation_rows, self.validation_ivar = rows.numpy(), ivar.numpy()
        self.validation_valid = np.tile(maker.valid.numpy(), (len(rows), 1))
        truth = pd.DataFrame([labels_of(o) for o in maker.observations(range(c.validation))])
        self.validation_labels = truth.select_dtypes("number")
        self._made = True

    @property
    def provenance(self) -> dict[str, Any]:
        """What the network learned from, for its config.json."""
        c = self._config
        return {
            "archive": "simulated while training",
            "spectra": self._steps * c.batch_size,
            "archive_seed": c.seed,
            "linelist": "built-in" if c.linelist is None else Path(c.linelist).name,
            "linelist_sha256": linelist_digest(c.linelist),
            "labels_used": False,
        }

    def sample(self, size: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        """Yield the first training rows and their masks in blocks of `size`."""
        maker = self._maker("cpu", self._config.seed)
        some = min(self._settings.mean_rows, self._steps * self._config.batch_size)
        for start in range(0, some, size):
            rows, _ = maker.rows(range(start, min(start + size, some)))
            yield rows.numpy(), np.tile(maker.valid.numpy(), (len(rows), 1))

    def names(self, numbers: Iterable[int]) -> list[str]:
        """Say which stars these numbers of a batch are, and what they are like."""
        return [self._name(int(number)) for number in numbers]

    def train_dataloader(self) -> StreamBatches:
        """Batches that remain after the trainer's step: this process's part, on its device."""
        size = self._config.batch_size
        place = place_of(self.trainer, size)
        return StreamBatches(
            self._maker(place.device, self._config.seed),
            size,
            self._steps,
            start=place.step,
            rank=place.rank,
            world=place.world,
            ahead=self._settings.ahead,
        )

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to know of the spectra."""
        return {"linelist_sha256": linelist_digest(self._config.linelist)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to go on with another line list.

        Raises
        ------
        ModelError
            If the checkpoint's spectra had other lines.
        """
        if state_dict != self.state_dict():
            raise ModelError(
                f"the run's spectra were made with another line list than "
                f"{self._config.linelist or 'the built-in one'}; give that one with --linelist, or "
                "train into another folder"
            )

    def _maker(self, device: torch.device | str, seed: int) -> Maker:
        return Maker(self._prepare, seed, self._config.linelist, device, self._settings.block)

    def _name(self, number: int) -> str:
        seed = self._config.seed
        truth = labels_of(observe(number, number, seed))
        return (
            f"star {number} of seed {seed} (Teff {truth['Teff']:.0f} K, logg {truth['logg']:.2f}, "
            f"[M/H] {truth['[M/H]']:.2f}, SNR {truth['snr']:.0f})"
        )
