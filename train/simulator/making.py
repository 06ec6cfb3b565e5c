"""Batches of simulated spectra from their numbers: stars on the host, the rest on the device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from latentscope.simulation.population import Observation, observe
from latentscope.simulation.simulate import synthesizer_of
from latentscope.simulation.synthesis import PIXELS
from latentscope.spectra.prepare import PrepareConfig
from train.data.batches import Batch
from train.simulator.noise import deviates
from train.simulator.rows import Rows
from train.simulator.synthesis import BlockSynthesizer


def block_on(device: torch.device) -> int:
    """Spectra that are best made at once: as many as caches hold, or as keep a GPU busy."""
    return 2 if device.type == "cpu" else 32


@lru_cache(maxsize=2)
def _block_synthesizer(linelist: str | None, device: torch.device) -> BlockSynthesizer:
    """Kept, since its templates take a second, for training and validation alike."""
    return BlockSynthesizer(synthesizer_of(linelist), device)


class Maker:
    """Makes spectrum number i of a seed: another star for each number.

    Star, night and response are those of spectrum i in an archive of
    `latentscope.simulation` with this seed and without repeats. The noise is drawn on the device,
    and follows from the number, the seed and the kind of device.

    Parameters
    ----------
    prepare : PrepareConfig
        The model's.
    seed : int
    linelist : str, optional
        Line list file; the built-in list by default.
    device : torch device
    block : int, optional
        Spectra that are made at once; about 20 MB of memory each.
    """

    def __init__(
        self,
        prepare: PrepareConfig,
        seed: int,
        linelist: str | None = None,
        device: torch.device | str = "cpu",
        block: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self._synthesizer = _block_synthesizer(linelist, self.device)
        self._rows = Rows(synthesizer_of(linelist).wavelength, prepare, self.device)
        self._seed = seed
        self._block = block or block_on(self.device)

    def observations(self, numbers: Sequence[int]) -> list[Observation]:
        """Stars and nights of some spectra."""
        return [observe(number, number, self._seed) for number in numbers]

    @property
    def valid(self) -> Tensor:
        """Values of a row that count, bool of shape (row_size,): the same for all spectra."""
        return self._rows.valid

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return rows in float32, their numbers, masks and inverse variances, on the device."""
        rows, ivar = self.rows(numbers)
        valid = self.valid.expand(len(rows), -1)
        return Batch(rows, torch.tensor(numbers, device=self.device), valid, ivar)

    def rows(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Rows of spectra with noise, and the inverse variance of all their values but log c."""
        parts = [
            self._made(numbers[start : start + self._block])
            for start in range(0, len(numbers), self._block)
        ]
        return torch.cat([rows for rows, _ in parts]), torch.cat([ivar for _, ivar in parts])

    def _made(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        observations = self.observations(numbers)
        flux = self._synthesizer.flux(observations)
        snr = torch.tensor([o.snr for o in observations], device=self.device)
        return self._rows.noisy(flux, snr, deviates(numbers, self._seed, PIXELS, self.device))
