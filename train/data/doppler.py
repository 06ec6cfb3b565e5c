"""Rows shifted by a velocity, on the device: velocity whitening as an augmentation.

Sedaghat et al. (2023, MNRAS 526, 1559) give every observed spectrum a random, virtual radial
velocity. All that the spectrum holds moves with it, lines of the star and of the Earth's
atmosphere alike.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.wavelength import SPEED_OF_LIGHT
from train.data.batches import Batch, Place, Sampled, changed, joined
from train.settings import DataConfig

_TAPS = 6
_SCALES = [1 / math.prod(tap - k for k in range(_TAPS) if k != tap) for tap in range(_TAPS)]
_BEFORE = _TAPS // 2 - 1
_MARGIN = _TAPS
"""Pixels put before and after a row, so that no tap reads past them."""

_CACHED = 2**19
"""Values that are shifted at once on a CPU."""


class DopplerShift:
    """Moves prepared rows by velocities, as if their stars had another radial velocity.

    The value at a wavelength comes from the wavelength over the Doppler factor sqrt((1 + v/c) / (1
    - v/c)), by interpolation through six pixels (Lagrange, of degree 5), or by whole pixels of a
    logarithmic grid. The grid's gaps stay, since they are the detector's, and so does the log
    continuum at its nodes. A pixel is invalid if a pixel that it comes from is, or lies in a gap or
    beyond the ends; it is 0 then.
    """

    def __init__(self, prepare: PrepareConfig, *, whole_pixels: bool = False) -> None:
        grid = prepare.grid
        self._log, self._step, self._whole = grid.kind == "log", grid.step, whole_pixels
        self._pixels, self._row_size = prepare.science, prepare.row_size
        self._always = torch.zeros(self._row_size, dtype=torch.bool)
        if prepare.normalization == "continuum":
            self._always[grid.length :] = True  # nodes are valid as they are
        self._gap = torch.from_numpy(grid.gap_mask.copy())
        self._in_pixels = torch.from_numpy((grid.wavelength / grid.step).astype("f4"))

    def __call__(self, batch: Batch, velocity: Tensor) -> Batch:
        """Shift the rows of a batch by km/s, positive to the red; a few at a time in a CPU's cache.

        `velocity` is float64 on the CPU, shape (n,). The batch gets float32 rows and masks; an
        inverse variance is interpolated linearly, and is 0 where a pixel without a known one takes
        part.
        """
        size = len(velocity)
        if batch.rows.device.type == "cpu":
            size = max(1, _CACHED // self._row_size)
        blocks = [slice(start, start + size) for start in range(0, len(velocity), size)]
        return joined(
            [
                self._shifted(changed(batch, operator.itemgetter(block)), velocity[block])
                for block in blocks
            ]
        )

    def _shifted(self, batch: Batch, velocity: Tensor) -> Batch:
        self._move_to(batch.rows.device)
        gap, back = self._gap, -self._displacement(velocity)
        whole = back.floor()
        part = back - whole
        places = self._places(whole)
        rows = batch.rows.float()
        science = rows[:, self._pixels]
        bad = _moved_mask(self._bad(batch.valid, gap), places, part) | gap
        moved = _interpolated(pad(science, (_MARGIN, _MARGIN)), places, part)
        # A gap is the detector's: what the row held there stays there, and is not valid.
        moved = torch.where(gap, science, moved.masked_fill(bad, 0.0))
        given = self._always.expand(len(rows), -1) if batch.valid is None else batch.valid
        valid = self._put(given, ~bad)
        ivar = batch.ivar
        if ivar is not None:
            ivar = self._put(ivar, self._moved_ivar(ivar, places, part) * ~bad)
        return Batch(self._put(rows, moved), batch.numbers, valid, ivar)

    def _move_to(self, device: torch.device) -> None:
        self._gap, self._always = self._gap.to(device), self._always.to(device)
        self._in_pixels = self._in_pixels.to(device)

    def _displacement(self, velocity: Tensor) -> Tensor:
        """How many pixels the value at each pixel came to the red, shape (n, 1) or (n, length)."""
        beta = velocity.double()[:, None] / SPEED_OF_LIGHT
        log_factor = torch.atanh(beta)  # of sqrt((1 + beta) / (1 - beta))
        pixels = log_factor / self._step
        if not self._log:
            pixels = -torch.expm1(-log_factor)
        elif self._whole:
            pixels = pixels.round()
        on_device = pixels.float()
        if self._gap.is_cuda:
            on_device = on_device.pin_memory().to(self._gap.device, non_blocking=True)
        return on_device if self._log else on_device * self._in_pixels

    def _places(self, whole: Tensor) -> Tensor:
        """Index of the first tap of each pixel in a row with margins, shape (n, length)."""
        length = len(self._gap)
        pixel = torch.arange(length, device=whole.device)
        first = (pixel + whole.long()).clamp(-_BEFORE - 2, length + 1)
        return first + (_MARGIN - _BEFORE)

    def _bad(self, valid: Tensor | None, gap: Tensor) -> Tensor:
        """Where a pixel is not valid, with margins."""
        bad = gap[None] if valid is None else ~valid[:, self._pixels] | gap
        return pad(bad, (_MARGIN, _MARGIN), value=True)

    def _moved_ivar(self, ivar: Tensor, places: Tensor, part: Tensor) -> Tensor:
        given = pad(ivar[:, self._pixels], (_MARGIN, _MARGIN))
        left, right = (_taken(given, places, _BEFORE + side) for side in (0, 1))
        return torch.lerp(left, right, part.expand_as(left)) * ~_moved_mask(
            given <= 0, places, part
        )

    def _put(self, rows: Tensor, science: Tensor) -> Tensor:
        """Rows with other science pixels."""
        rows = rows.clone()
        rows[:, self._pixels] = science
        return rows


def _taken(values: Tensor, places: Tensor, tap: int) -> Tensor:
    """Values (n or 1, length with margins) at a tap of each place, shape (n, length)."""
    return values[:, tap:].expand(len(places), -1).gather(1, places)


def _moved_mask(bad: Tensor, places: Tensor, part: Tensor) -> Tensor:
    """Where the pixel that a value comes from is bad or, between pixels, any tap; (n, length)."""
    touched = _touched(bad)
    own = bad[:, _BEFORE : _BEFORE + touched.shape[1]]
    exact = (part == 0).all(1, keepdim=True)
    return _taken(torch.where(exact, own, touched), places, 0)


def _touched(bad: Tensor) -> Tensor:
    """Where any of the taps that begin at a pixel is bad; shorter by all taps but one."""
    length = bad.shape[1] - _TAPS + 1
    touched = bad[:, :length].clone()
    for tap in range(1, _TAPS):
        touched |= bad[:, tap : tap + length]
    return touched


def _interpolated(values: Tensor, places: Tensor, part: Tensor) -> Tensor:
    """Interpolate values (n, length with margins) at a fraction between the taps of each place."""
    weights = _weights(part)
    if part.shape[1] == 1:  # the same all along a row, which is then moved by whole pixels
        length = values.shape[1] - _TAPS + 1
        mixed = torch.zeros_like(values[:, :length])
        for tap, weight in enumerate(weights):
            mixed.addcmul_(weight, values[:, tap : tap + length], value=_SCALES[tap])
        return _taken(mixed, places, 0)
    total = torch.zeros_like(part)
    for tap, weight in enumerate(weights):
        total.addcmul_(weight, _taken(values, places, tap), value=_SCALES[tap])
    return total


def _weights(part: Tensor) -> list[Tensor]:
    """Lagrange's polynomials of the taps at fractions (0 to 1) past the third of them.

    Times `_SCALES` each is 1 at its own pixel; at the others' it is 0.
    """
    distance = [part + (_BEFORE - tap) for tap in range(_TAPS)]
    below, above = [torch.ones_like(part)], [torch.ones_like(part)]
    for tap in range(_TAPS - 1):
        below.append(below[-1] * distance[tap])
        above.append(above[-1] * distance[-1 - tap])
    return [below[tap] * above[-1 - tap] for tap in range(_TAPS)]


class Shifts:
    """A velocity for each spectrum each time it is shown, by which it is shifted.

    Velocities follow from the run's seed, the step and the place in the batch.
    """

    def __init__(self, config: DataConfig, prepare: PrepareConfig, seed: int) -> None:
        assert config.doppler is not None
        self._spread, whole = config.doppler.spread, config.doppler.whole_pixels
        self._size, self._seed = config.part_size, seed
        self._shift = DopplerShift(prepare, whole_pixels=whole)
        kind = "whole pixels, " * whole
        self.statement = f"{kind}uniform within +-{self._spread:g} km/s, anew each time"

    def batches(self, batches: Iterable[Batch], place: Place) -> Iterator[Batch]:
        """Shift the batches from `place.step` on, this process's part of each."""
        for step, batch in enumerate(batches, place.step):
            yield self._shift(batch, self.velocities(step)[place.rank :: place.world])

    def velocities(self, step: int) -> Tensor:
        """Velocities of the whole batch of a step in km/s, shape (batch_size,)."""
        rng = np.random.default_rng((self._seed, step, 7))
        return torch.from_numpy(rng.uniform(-self._spread, self._spread, self._size))

    def sample(self, blocks: Iterable[Sampled]) -> Iterator[Sampled]:
        """Shift blocks of rows."""
        rng = np.random.default_rng((self._seed, 3))
        for rows, valid in blocks:
            masks = None if valid is None else torch.from_numpy(valid.copy())
            batch = Batch(torch.from_numpy(rows), torch.arange(len(rows)), masks)
            velocity = rng.uniform(-self._spread, self._spread, len(rows))
            shifted = self._shift(batch, torch.from_numpy(velocity))
            assert shifted.valid is not None
            yield shifted.rows.numpy(), shifted.valid.numpy()
