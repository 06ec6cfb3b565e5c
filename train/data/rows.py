"""Rows of simulated spectra, made where the network trains: simulator, noise, preparation.

Preparation here is that of `latentscope.spectra.prepare` for a block of spectra on the simulator's
grid, which is the same for all: which pixels are filled, and what each new pixel is a mean of, is
found once on the host. Tests hold the two equal.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from latentscope.errors import ModelError
from latentscope.simulation.population import HARPS, Observation, Population, observe, star_of_each
from latentscope.simulation.simulate import labels_of, simulate
from latentscope.simulation.synthesis import LOG_STEP, PIXELS, on_device, one_thread, synthesizer_of
from latentscope.spectra.prepare import (
    FLOOR,
    PrepareConfig,
    node_centers,
    pixel_edges,
    prepare,
    resample,
    way_of,
)
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import Grid, convert
from train.data.batches import Batch

_PIXEL = 0.01  # Angstrom; the signal to noise of an observation is per such pixel
# The population and the files draw other things from the streams 0 to 3 of a seed. The rows of an
# archive are the same on every machine (numpy's stream), a stream's are drawn on its device.
_ARCHIVE_NOISE, _DEVICE_NOISE = 4, 5
_FAINTEST = 1e-3  # of the median flux: fainter pixels are not known better than those of this flux


def block_on(device: torch.device) -> int:
    """Spectra that are best made at once: as many as caches hold, or as keep a GPU busy."""
    return 1 if device.type == "cpu" else 32


class Maker:
    """Makes spectrum number i of a seed: another star for each number.

    Star, night and response are those of spectrum i in an archive of `latentscope.simulation` with
    this seed and without repeats. The noise is drawn on the device, and follows from the number,
    the seed and the kind of device. Of `block` spectra, which are made at once, each takes about 20
    MB of memory.
    """

    def __init__(
        self,
        prepare: PrepareConfig,
        seed: int,
        linelist: str | None = None,
        device: torch.device | str = "cpu",
        block: int | None = None,
        population: Population = HARPS,
    ) -> None:
        self.device = torch.device(device)
        self._synthesizer = synthesizer_of(linelist, self.device)
        self._rows = Rows(self._synthesizer.wavelength, prepare, self.device)
        self._seed, self._population = seed, population
        self._block = block or block_on(self.device)

    def observations(self, numbers: Sequence[int]) -> list[Observation]:
        """Stars and nights of some spectra."""
        return [observe(number, number, self._seed, self._population) for number in numbers]

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


def simulated_rows(
    config: PrepareConfig,
    start: int,
    stop: int,
    *,
    n: int,
    seed: int = 0,
    linelist: str | os.PathLike[str] | None = None,
    repeats: bool = False,
    population: Population = HARPS,
) -> tuple[NDArray[np.float16], list[dict[str, Any]]]:
    """Prepared rows and true labels of spectra `start` to `stop` of a simulated archive of `n`.

    The noise is drawn on the synthesis grid instead of the pipeline's 0.01 Angstrom pixels, which
    on a coarser model grid has the same distribution and takes half the time. Faults of an
    imperfect population are made on the pipeline's pixels, as by `latentscope.simulate`. The rows
    are float16, shape (stop - start, config.row_size).
    """
    rows = np.empty((stop - start, config.row_size), np.float16)
    labels = []
    if population.imperfect:
        made = simulate(
            stop, seed=seed, linelist=linelist, repeats=repeats, first=start, population=population
        )
        for row, (spectrum, truth) in zip(rows, made, strict=True):
            row[:] = prepare(spectrum, config).row
            labels.append(truth)
        return rows, labels
    synthesizer = synthesizer_of(linelist)
    preparation = Rows(synthesizer.wavelength, config, synthesizer.device)
    stars = star_of_each(n, seed, repeats)
    for index in range(start, stop):
        observation = observe(index, int(stars[index]), seed, population)
        rng = np.random.default_rng((seed, _ARCHIVE_NOISE, index))
        noise = torch.from_numpy(rng.standard_normal((1, PIXELS), dtype=np.float32))
        snr = torch.tensor([observation.snr])
        with one_thread():
            row = preparation.noisy(synthesizer.flux([observation]), snr, noise)[0]
        rows[index - start] = row[0]
        labels.append(labels_of(observation))
    return rows, labels


def noise_variance(
    flux: NDArray[np.float32], wavelength: NDArray[np.float64], snr: float
) -> NDArray[np.float64]:
    """Photon noise on the synthesis grid, of a flux with median 1; shape (n,) in and out."""
    width = wavelength * LOG_STEP / _PIXEL
    return np.asarray(flux / (width * snr**2), dtype=np.float64)


def deviates(numbers: Iterable[int], seed: int, pixels: int, device: torch.device) -> Tensor:
    """Draw standard normal deviates on a device, a row per spectrum, shape (b, pixels).

    The rows depend on the spectrum's number, the seed and the kind of device alone.
    """
    numbers = list(numbers)
    out = torch.empty(len(numbers), pixels, device=device)
    generator = torch.Generator(device)
    for row, number in zip(out, numbers, strict=True):
        state = np.random.SeedSequence((seed, _DEVICE_NOISE, number)).generate_state(1, np.uint64)
        generator.manual_seed(int(state[0] >> np.uint64(1)))
        row.normal_(generator=generator)
    return out


def median(values: Tensor) -> Tensor:
    """Median of each row as numpy has it, shape (b,): the mean of the two middle values if even."""
    n = values.shape[1]
    low = values.kthvalue((n + 1) // 2, 1).values
    if n % 2:
        return low
    above = values > low[:, None]
    higher = values.masked_fill(~above, torch.inf).amin(1)
    middle_repeats = above.sum(1) < n // 2
    return torch.where(middle_repeats, low, (low + higher) / 2)


def window_sums(values: Tensor, window: int) -> Tensor:
    """Sum of `window` values from each one on, shape (b, n - window + 1).

    Sums of 1, 2, 4, 8 ... neighbors are made from one another, so that nothing is subtracted.
    """
    n = values.shape[1] - window + 1
    sums, length, at = values, 1, 0
    total = torch.zeros(len(values), n, dtype=values.dtype, device=values.device)
    while length <= window:
        if window & length:
            total += sums[:, at : at + n]
            at += length
        sums = sums[:, :-length] + sums[:, length:]
        length *= 2
    return total


def _over_median(flux: Tensor) -> Tensor:
    return flux / flux.median(1, keepdim=True).values


class Rows:
    """A model's preparation for spectra on the simulator's grid.

    ModelError if the preparation takes every simulated spectrum for degenerate, or the simulator
    fills no pixel of the grid; SpectrumError if the grid's frame is not barycentric. `valid`, bool
    of shape (row_size,), are the values of a row that are neither padding, nor in a gap, nor beyond
    the simulator's grid.
    """

    def __init__(
        self, wavelength: NDArray[np.float64], prepare: PrepareConfig, device: torch.device
    ) -> None:
        if prepare.min_median is not None and prepare.min_median >= 0.5:
            raise ModelError(
                f"prepare: min_median is {prepare.min_median:g}, and simulated flux has a median "
                "of 1: every row would be zeros; expected min_median below 0.5, or null"
            )
        self._prepare = prepare
        self._resampling = Resampling(wavelength, prepare, device)
        ones = np.ones(len(wavelength), np.float32)
        self._variance = on_device(noise_variance(ones, wavelength, 1.0), device)
        grid = prepare.grid
        inside = self._resampling.filled & ~grid.gap_mask
        if not inside.any():
            raise ModelError(
                f"prepare: the grid, {grid.wavelength[0]:.1f} to {grid.wavelength[-1]:.1f} "
                f"Angstrom, has no pixel that simulated spectra, {wavelength[0]:.1f} to "
                f"{wavelength[-1]:.1f} Angstrom, fill"
            )
        self._filled = torch.from_numpy(self._resampling.filled).to(device)
        self._inside = torch.from_numpy(inside).to(device)
        self._members = torch.from_numpy(np.flatnonzero(inside)).to(device)
        self._continuum = prepare.normalization == "continuum"
        self._padding = (grid.pad_left, grid.pad_right)
        if self._continuum:
            self._running = _RunningMean(inside, prepare.window, device)
            left, weight = node_centers(grid.length, prepare.nodes)
            self._left = torch.from_numpy(left).to(device)
            self._weight = on_device(weight, device)
            extra = torch.ones(prepare.nodes, dtype=torch.bool, device=device)
            self.valid = torch.cat([self._inside, extra])
        else:
            self.valid = pad(self._inside, self._padding)

    def noiseless(self, flux: Tensor) -> Tensor:
        """Prepared rows of spectra (b, n) in any unit, float32 of shape (b, row_size)."""
        return self._normalized(self._resampling.flux(_over_median(flux)))[0]

    def noisy(self, flux: Tensor, snr: Tensor, deviates: Tensor) -> tuple[Tensor, Tensor]:
        """Prepared rows of spectra with photon noise, and their inverse variance.

        `flux` (b, n) is noiseless, in any unit, `snr` (b,) that of a 0.01 Angstrom pixel at the
        median flux, `deviates` (b, n) are standard normal. The inverse variance is that of all
        values of a row but log c, in the row's units; 0 where a row is not valid. It is that of the
        noise, but no pixel counts as known better than one of 0.001 of the median flux: in the
        cores of the air's lines there is next to no photon noise.
        """
        flux = _over_median(flux)
        unit_variance = self._variance / snr[:, None].square()
        noise = torch.sqrt(flux * unit_variance).mul_(deviates)
        rows, unit = self._normalized(self._resampling.flux(noise.add_(flux)))
        variance = self._resampling.variance(flux.clamp_(min=_FAINTEST).mul_(unit_variance))
        ivar = torch.where(self._inside, unit.square() / variance, 0.0)
        if not self._continuum:
            ivar = pad(ivar, self._padding)
        return rows, ivar

    def _normalized(self, flux: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of flux on the grid, and what each pixel's flux was divided by."""
        grid = self._prepare.grid
        if self._continuum:
            scale = median(flux.index_select(1, self._members))[:, None]
            continuum = (self._running.of(flux) / scale).clamp_(min=FLOOR)
            contrast = (flux / (scale * continuum) - 1.0).clamp_(*self._prepare.clip)
            contrast = torch.where(self._inside, contrast, 0.0)
            log_left = continuum.index_select(1, self._left).log_()
            log_right = continuum.index_select(1, self._left + 1).log_()
            log_c = torch.lerp(log_left, log_right, self._weight)
            rows = torch.cat([contrast, log_c], 1)
            return torch.where(scale > 0, rows, 0.0), scale * continuum
        if self._prepare.normalization == "median-padded":
            zeros = (0, grid.size - len(self._members))
            scale = median(pad(flux.index_select(1, self._members), zeros))[:, None]
        else:
            scale = median(flux.index_select(1, self._members))[:, None]
        science = torch.where(self._filled & (scale > 0), flux / scale, 0.0)
        return pad(science, self._padding), scale


class _RunningMean:
    """Mean of the valid pixels in a centered window; linear where a whole window has none."""

    def __init__(self, inside: NDArray[np.bool_], window: int, device: torch.device) -> None:
        self._window, self._half = window, window // 2
        self._inside = torch.from_numpy(inside).to(device)
        count = np.convolve(inside.astype(np.int64), np.ones(window, np.int64))
        count = count[self._half : self._half + len(inside)]
        self._per_pixel = on_device(1.0 / np.maximum(count, 1), device)
        filled, hole = np.flatnonzero(count), np.flatnonzero(count == 0)
        right = np.searchsorted(filled, hole)
        ends = (filled[np.maximum(right - 1, 0)], filled[np.minimum(right, len(filled) - 1)])
        weight = (hole - ends[0]) / np.maximum(ends[1] - ends[0], 1)
        self._hole, self._left, self._right = (
            torch.from_numpy(index).to(device) for index in (hole, *ends)
        )
        self._weight = on_device(np.clip(weight, 0.0, 1.0), device)

    def of(self, flux: Tensor) -> Tensor:
        padded = pad(torch.where(self._inside, flux, 0.0), (self._half, self._half))
        mean = window_sums(padded, self._window) * self._per_pixel
        if len(self._hole):
            mean[:, self._hole] = torch.lerp(
                mean[:, self._left], mean[:, self._right], self._weight
            )
        return mean


_Means = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Old pixels of each new one, and their weights, shape (k, grid.length) each."""


class Resampling:
    """A grid's pixels as weighted means of those of spectra at given wavelengths in air.

    These are barycentric. `filled` (grid.length,) says which pixels the spectra fill. SpectrumError
    if the grid is in a frame that only the velocity of a star or an observer leads to.
    """

    def __init__(
        self, wavelength: NDArray[np.float64], prepare: PrepareConfig, device: torch.device
    ) -> None:
        grid = prepare.grid
        given = Spectrum(wavelength, np.ones(len(wavelength)))
        self.filled = resample(given, grid, prepare.resample)[1]
        spectrum = convert(given, grid.medium, grid.frame)
        way = way_of(spectrum, grid, prepare.resample)
        if way == "rebin":
            columns, weights = _overlaps(spectrum.wavelength, grid)
        elif way == "linear":
            columns, weights = _neighbors(spectrum.wavelength, grid)
        else:
            columns, weights = np.zeros((1, grid.length), np.int64), np.ones((1, grid.length))
            columns[0, way[0]] = np.arange(way[1].start, way[1].stop)
        self._columns = torch.from_numpy(columns).to(device)
        self._weights = on_device(weights * self.filled, device)

    def flux(self, values: Tensor) -> Tensor:
        """Flux density on the grid, shape (b, grid.length), of spectra (b, n); 0 where unfilled."""
        return self._sum(values, self._weights)

    def variance(self, values: Tensor) -> Tensor:
        """Variance on the grid, shape (b, grid.length), of independent pixels' variances (b, n)."""
        return self._sum(values, self._weights.square())

    def _sum(self, values: Tensor, weights: Tensor) -> Tensor:
        out = torch.zeros(len(values), weights.shape[1], device=values.device)
        for column, weight in zip(self._columns, weights, strict=True):
            out.addcmul_(values.index_select(1, column), weight)
        return out


def _overlaps(wavelength: NDArray[np.float64], grid: Grid) -> _Means:
    """Each old pixel weighs as much of a new one as it covers."""
    old, low, high = pixel_edges(wavelength), grid.edges[:-1], grid.edges[1:]
    first = np.maximum(np.searchsorted(old, low, side="right") - 1, 0)
    count = int((np.searchsorted(old, high) - first).max())
    columns = np.minimum(first + np.arange(count)[:, None], len(wavelength) - 1)
    # A pixel past the last one would be the last one again.
    new = first + np.arange(count)[:, None] == columns
    overlap = np.minimum(high, old[columns + 1]) - np.maximum(low, old[columns])
    overlap = np.maximum(overlap, 0.0) * new
    return columns, overlap / np.maximum(overlap.sum(0), np.finfo(np.float64).tiny)


def _neighbors(wavelength: NDArray[np.float64], grid: Grid) -> _Means:
    """Linear interpolation between the two old pixels beside each new center."""
    right = np.searchsorted(wavelength, grid.wavelength, side="right")
    left = np.clip(right - 1, 0, len(wavelength) - 2)
    weight = (grid.wavelength - wavelength[left]) / (wavelength[left + 1] - wavelength[left])
    return np.stack([left, left + 1]), np.stack([1.0 - weight, weight])
