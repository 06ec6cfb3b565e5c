"""A sample of ordinary rows, ready to judge others by: one test for each way to be odd."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.activity import THRESHOLD
from latentscope.diagnostics.trust.errors import Misfit, Reconstruction
from latentscope.diagnostics.trust.places import FEWEST, Density, Resolution
from latentscope.diagnostics.trust.sample import Sample
from latentscope.errors import TableError


class Reference:
    """A sample of ordinary rows with its tests; `own` has what these say of its own rows.

    Parameters
    ----------
    sample : Sample
        In random order, as `sample_of` draws it.

    Raises
    ------
    TableError
        If it has fewer than 100 rows with latents.
    """

    def __init__(self, sample: Sample) -> None:
        sample = sample.rows(np.asarray(np.isfinite(sample.values).all(axis=1)))
        if len(sample) < FEWEST:
            raise TableError(
                f"the reference ({sample.info.get('origin', 'sample')}) has {len(sample)} rows "
                f"with latents; wanted at least {FEWEST}, better 2,000"
            )
        self.sample = sample
        self.dims = _informative(sample)
        self.density = Density(sample, self.dims)
        self.reconstruction = Reconstruction(sample, self.dims)
        self.misfit = Misfit(sample, self.dims)
        self.resolution = Resolution(sample)
        self.own = {
            "recon": self.reconstruction.own,
            "misfit": self.misfit.own,
            "density": self.density.own,
            "resolution": self.resolution.own,
        }
        known = sample.coverage[np.isfinite(sample.coverage)]
        self.lowest_coverage = float(np.quantile(known, 0.01)) if len(known) else float("nan")


def _informative(sample: Sample) -> NDArray[np.int64]:
    """Dimensions above the MAD threshold; where there is none, those that vary at all."""
    values = sample.values
    spread = np.median(np.abs(values - np.median(values, axis=0)), axis=0)
    dims = np.flatnonzero(spread > THRESHOLD)
    return dims if len(dims) else np.flatnonzero(values.std(axis=0) > 0)
