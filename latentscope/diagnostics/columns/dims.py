"""Which latent dimensions are measured, and each made ready as a column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentscope.data import Latents
from latentscope.diagnostics.activity import mad
from latentscope.diagnostics.mi.columns import Column, Discrete, read_column
from latentscope.errors import ChoiceError, EstimatorError

Dims = Literal["all", "informative"] | Sequence[int] | NDArray[np.integer[Any]] | None


def choose_dims(dims: Dims, latents: Latents) -> list[int]:
    """Choose dimensions, ascending.

    Parameters
    ----------
    dims : "all", "informative", list of int or None
        None means all.
    latents : Latents

    Raises
    ------
    ChoiceError
        If a dimension asked for is not there.
    EstimatorError
        If values are infinite, or no dimension is informative.
    """
    infinite = np.flatnonzero(np.isinf(latents.values).any(axis=0))
    if len(infinite):
        raise EstimatorError(
            f"{latents.source}: infinite values in dims {', '.join(map(str, infinite[:10]))}; set "
            "these rows to NaN to leave them out"
        )
    if dims is None or (isinstance(dims, str) and dims == "all"):
        return list(range(latents.dims))
    if isinstance(dims, str):
        return _named_dims(dims, latents)
    numbers = [int(dim) for dim in dims]
    unknown = [dim for dim in numbers if not 0 <= dim < latents.dims]
    if unknown or not numbers:
        raise ChoiceError(
            f"dims {unknown or numbers}: wanted some of 0 ... {latents.dims - 1} of "
            f"{latents.source}"
        )
    return sorted(set(numbers))


def _named_dims(dims: str, latents: Latents) -> list[int]:
    if dims != "informative":
        raise EstimatorError(f"dims is {dims!r}; wanted all, informative, or a list of numbers")
    result = mad(latents)
    if not len(result.informative):
        raise EstimatorError(
            f"{latents.source}: no dimension is informative (largest deviation "
            f"{result.values.max():.2g}, threshold {result.threshold:g}); ask for dims='all'"
        )
    return [int(dim) for dim in result.informative]


def dim_reader(
    latents: Latents, dims: Sequence[int], kind: Discrete, seed: int
) -> Callable[[int], Column]:
    """Return what reads the column at a place of `dims`; its jitter depends on the dim alone.

    Values stay as they are in memory or on disk until a column is read.
    """
    ok = latents.ok

    def read(place: int) -> Column:
        number = dims[place]
        values = np.array(latents.values[:, number], dtype=np.float64)
        values[~ok] = np.nan
        return read_column(f"dim {number}", values, discrete=kind, stream=(seed, 0, number))

    return read
