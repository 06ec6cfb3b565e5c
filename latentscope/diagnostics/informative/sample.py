"""Rows and noise on which information is measured: independent rows, few enough to be fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentscope.data import Latents
from latentscope.diagnostics.activity import THRESHOLD, mad
from latentscope.diagnostics.columns.column import own_rng
from latentscope.diagnostics.columns.groups import Groups
from latentscope.diagnostics.informative.carried import Noise
from latentscope.errors import EstimatorError

Floats = NDArray[np.float64]

FEWEST_ROWS = 100
_MAD_OF_NORMAL = 0.6745


@dataclass(frozen=True)
class Sample:
    """Some rows of the dimensions looked at.

    Parameters
    ----------
    dims : list of int
        The dimensions, ascending.
    rows : ndarray of int64, shape (n,)
        Which rows of the latents, ascending, one a star where stars are known.
    means : ndarray of float64, shape (n, d)
        Values of these dimensions.
    noise : Noise
        What they are read with.
    resolution : str
        Where the noise comes from, in words.
    """

    dims: list[int]
    rows: NDArray[np.int64]
    means: Floats
    noise: Noise
    resolution: str

    @property
    def drawn(self) -> Floats:
        """Means and noise: a draw of each dimension for each row, shape (n, d)."""
        return self.means + self.noise.drawn


def draw_sample(
    latents: Latents, dims: list[int], groups: Groups | None, most: int, seed: int
) -> Sample:
    """Draw independent rows, and the noise of these dimensions.

    Parameters
    ----------
    latents : Latents
        With `logvar`, if it is known; else the noise has the standard deviation of a dimension at
        the threshold of the deviations: the estimated one, or the published one without a gap.
    dims : list of int
        Dimensions.
    groups : Groups or None
        Which star each row shows; one random row of each is drawn.
    most : int
        Rows at most.
    seed : int
        Of all that.

    Raises
    ------
    EstimatorError
        If there are fewer than 100 independent rows.
    """
    rng = own_rng(seed, 3)
    rows = _rows(latents, groups, most, rng)
    means = latents.values[rows][:, dims].astype(np.float64)
    sigma, resolution = _sigma(latents, rows, dims)
    return Sample(dims, rows, means, Noise.of(sigma, rng), resolution)


def _rows(
    latents: Latents, groups: Groups | None, most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    usable = latents.ok
    if latents.logvar is not None:
        usable = usable & np.isfinite(latents.logvar).all(axis=1)
    rows = np.flatnonzero(usable) if groups is None else groups.draws(usable, 1, rng).rows[0]
    if len(rows) < FEWEST_ROWS:
        what = "rows are finite" if groups is None else "groups have a finite row"
        raise EstimatorError(
            f"{latents.source}: {len(rows)} {what}; wanted {FEWEST_ROWS} or more to measure "
            "information"
        )
    chosen = rows if len(rows) <= most else rng.choice(rows, most, replace=False)
    ascending: NDArray[np.int64] = np.sort(chosen)
    return ascending


def _sigma(latents: Latents, rows: NDArray[np.int64], dims: list[int]) -> tuple[Floats, str]:
    if latents.logvar is not None:
        sigma: Floats = np.exp(0.5 * latents.logvar[rows][:, dims].astype(np.float64))
        return sigma, "the posterior's own width (logvar)"
    estimated = mad(latents).estimated_threshold
    threshold = THRESHOLD if estimated is None else estimated
    where = "published" if estimated is None else "estimated"
    told = f"that of a dimension at the {where} threshold {threshold:.3g}, since logvar is unknown"
    return np.full((len(rows), len(dims)), threshold / _MAD_OF_NORMAL), told
