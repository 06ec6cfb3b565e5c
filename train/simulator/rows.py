"""From simulated flux to a model's rows, on the device: noise, resampling, normalisation."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from latentscope.errors import ModelError
from latentscope.simulation.rows import noise_variance
from latentscope.spectra.prepare import FLOOR, PrepareConfig, node_centres
from train.simulator.resampling import Resampling
from train.simulator.templates import on_device

_FAINTEST = 1e-3
"""Of the median flux: fainter pixels are not known better than those of this flux."""


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

    Sums of 1, 2, 4, 8 ... neighbours are made from one another, so that nothing is subtracted.
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

    Parameters
    ----------
    wavelength : ndarray of float64, shape (n,)
        The simulator's grid, Angstrom in air, barycentric.
    prepare : PrepareConfig
    device : torch device

    Attributes
    ----------
    valid : Tensor of bool, shape (row_size,)
        Values of a row that are neither padding, nor in a gap, nor beyond the simulator's grid.

    Raises
    ------
    ModelError
        If the preparation takes every simulated spectrum for degenerate, or the simulator fills no
        pixel of the grid.
    SpectrumError
        If the grid's frame is not barycentric.
    """

    def __init__(
        self, wavelength: NDArray[np.float64], prepare: PrepareConfig, device: torch.device
    ) -> None:
        if prepare.min_median is not None and prepare.min_median >= 0.5:
            raise ModelError(
                f"prepare: min_median is {prepare.min_median:g}, and simulated flux has a median "
                "of 1: every row would be zeros; wanted min_median below 0.5, or null"
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
            left, weight = node_centres(grid.length, prepare.nodes)
            self._left = torch.from_numpy(left).to(device)
            self._weight = on_device(weight, device)
            extra = torch.ones(prepare.nodes, dtype=torch.bool, device=device)
            self.valid = torch.cat([self._inside, extra])
        else:
            self.valid = pad(self._inside, self._padding)

    @torch.no_grad()
    def noiseless(self, flux: Tensor) -> Tensor:
        """Prepared rows of spectra (b, n) in any unit, float32 of shape (b, row_size)."""
        return self._normalized(self._resampling.flux(_over_median(flux)))[0]

    @torch.no_grad()
    def noisy(self, flux: Tensor, snr: Tensor, deviates: Tensor) -> tuple[Tensor, Tensor]:
        """Prepared rows of spectra with photon noise, and their inverse variance.

        Parameters
        ----------
        flux : Tensor of float32, shape (b, n)
            Noiseless, in any unit.
        snr : Tensor, shape (b,)
            Signal to noise of a 0.01 Angstrom pixel at the median flux.
        deviates : Tensor, shape (b, n)
            Standard normal.

        Returns
        -------
        rows : Tensor of float32, shape (b, row_size)
        ivar : Tensor of float32, shape (b, k)
            Of all values of a row but log c, in the row's units; 0 where a row is not valid. It is
            that of the noise, but no pixel counts as known better than one of 0.001 of the median
            flux: in the cores of the air's lines there is next to no photon noise.
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
    """Mean of the valid pixels in a centred window; linear where a whole window has none."""

    def __init__(self, inside: NDArray[np.bool_], window: int, device: torch.device) -> None:
        self._window, self._half = window, window // 2
        self._inside = torch.from_numpy(inside).to(device)
        count = np.convolve(inside.astype(np.int64), np.ones(window, np.int64))
        count = count[self._half : self._half + len(inside)]
        self._per_pixel = on_device(1.0 / np.maximum(count, 1), device)
        known, hole = np.flatnonzero(count), np.flatnonzero(count == 0)
        right = np.searchsorted(known, hole)
        ends = (known[np.maximum(right - 1, 0)], known[np.minimum(right, len(known) - 1)])
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
