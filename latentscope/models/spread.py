"""How a model's latents are spread over data, or over its prior where there is none."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from latentscope.data import Latents, read_latents
from latentscope.errors import EstimatorError, LatentscopeWarning

Floats = NDArray[np.float64]
Data = Latents | ArrayLike | pd.DataFrame | str | os.PathLike[str]

_ONE_SIGMA = (0.16, 0.84)


@dataclass(frozen=True)
class Spread:
    """Where the latents of spectra lie.

    Parameters
    ----------
    values : ndarray, shape (n, d), optional
        Latents of spectra, all finite. None: only the prior is known.
    dims : int
        Number of dimensions, d.
    source : str
        What messages call it.
    """

    values: Floats | None
    dims: int
    source: str

    @classmethod
    def of(cls, latents: Data | None, dims: int) -> Spread:
        """Read latents of a model with `dims` dimensions; None gives the prior.

        Raises
        ------
        EstimatorError
            If they have another number of dimensions, or fewer than two finite rows.
        TableError
            If they cannot be read.
        """
        if latents is None:
            return cls(None, dims, "the model's prior")
        read = read_latents(latents)
        if read.dims != dims:
            raise EstimatorError(
                f"{read.source}: has {read.dims} dimensions, the model {dims}; wanted latents that "
                "this model encoded"
            )
        values = read.values[read.ok].astype(np.float64)
        if len(values) < 2:
            raise EstimatorError(
                f"{read.source}: {len(values)} of {len(read)} rows are finite; wanted two or more"
            )
        return cls(values, dims, read.source)

    @property
    def mean(self) -> Floats:
        """Mean of each dimension, shape (d,); 0 in the prior."""
        return np.zeros(self.dims) if self.values is None else self.values.mean(axis=0)

    @cached_property
    def sigma(self) -> Floats:
        """Half the distance of the 16 % and 84 % quantiles of each dimension, shape (d,).

        1 in the prior; 0 for dimensions that do not vary.
        """
        if self.values is None:
            return np.ones(self.dims)
        low, high = np.quantile(self.values, _ONE_SIGMA, axis=0)
        return np.asarray((high - low) / 2, dtype=np.float64)

    def unit(self, dim: int) -> float:
        """One sigma of a dimension; that of the prior, 1, for one that does not vary.

        Warns
        -----
        LatentscopeWarning
            If it does not vary.
        """
        if self.sigma[dim] > 0:
            return float(self.sigma[dim])
        warnings.warn(
            f"{self.source}: dim {dim} does not vary; mean 0 and sigma 1 of the prior stand for it",
            LatentscopeWarning,
            stacklevel=2,
        )
        return 1.0

    def quantiles(self, dim: int, at: Sequence[float]) -> Floats:
        """Values of a dimension at quantiles between 0 and 1; the prior's if it does not vary.

        Raises
        ------
        EstimatorError
            If a quantile is not between 0 and 1.
        """
        wanted = np.asarray(at, dtype=np.float64)
        if not ((wanted > 0) & (wanted < 1)).all():
            raise EstimatorError(f"quantiles are {wanted.tolist()}; wanted numbers between 0 and 1")
        if self.values is None or self.sigma[dim] == 0:
            return np.asarray(ndtri(wanted), dtype=np.float64)
        return np.asarray(np.quantile(self.values[:, dim], wanted), dtype=np.float64)
