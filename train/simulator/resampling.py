"""From the simulator's grid onto a model's, on the device, by the rules of `resample`.

Resampling is linear, and each new pixel is a mean of a few old ones that lie side by side. The
weights are the same for all spectra, so they are made once, on the host.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.resample import pixel_edges, resample, way_of
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import Grid, convert
from train.simulator.templates import on_device

_Means = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Old pixels of each new one, and their weights, shape (k, grid.length) each."""


class Resampling:
    """A grid's pixels as weighted means of those of spectra at given wavelengths.

    Parameters
    ----------
    wavelength : ndarray of float64, shape (n,)
        Of the spectra, Angstrom in air, barycentric.
    prepare : PrepareConfig
    device : torch device

    Attributes
    ----------
    filled : ndarray of bool, shape (grid.length,)
        Pixels of the grid that the spectra fill.

    Raises
    ------
    SpectrumError
        If the grid is in a frame that only the velocity of a star or an observer leads to.
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
            columns, weights = _neighbours(spectrum.wavelength, grid)
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


def _neighbours(wavelength: NDArray[np.float64], grid: Grid) -> _Means:
    """Linear interpolation between the two old pixels beside each new centre."""
    right = np.searchsorted(wavelength, grid.wavelength, side="right")
    left = np.clip(right - 1, 0, len(wavelength) - 2)
    weight = (grid.wavelength - wavelength[left]) / (wavelength[left + 1] - wavelength[left])
    return np.stack([left, left + 1]), np.stack([1.0 - weight, weight])
