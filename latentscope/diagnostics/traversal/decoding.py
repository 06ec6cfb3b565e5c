"""The decoder as a callable: called in small batches, its answers checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.traversal.velocity import Floats
from latentscope.errors import EstimatorError

Decode = Callable[[Floats], Any]
"""From latents (k, d) to spectra (k, pixels)."""

Progress = Callable[[int, int], None]
"""Called with (spectra done, spectra in all)."""

Spectrum = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Decoder:
    """What turns latents into flux and, where a model has one apart from it, into line contrast.

    Parameters
    ----------
    flux, contrast : callable
        From latents (k, d) to (k, pixels); contrast may be None.
    pixels : int
        Of a spectrum.
    batch : int
        Spectra decoded at a time.
    """

    flux: Decode
    contrast: Decode | None
    pixels: int
    batch: int = 4

    def spectra(self, latents: Floats) -> Iterator[tuple[Spectrum, Spectrum | None]]:
        """Yield flux and contrast, each (pixels,), of each row of latents.

        Raises
        ------
        EstimatorError
            If the decoder gives another shape, or values that are not finite.
        """
        for first in range(0, len(latents), self.batch):
            some = latents[first : first + self.batch]
            flux = self._checked("decode", self.flux(some), len(some))
            contrast = None
            if self.contrast is not None:
                contrast = self._checked("contrast", self.contrast(some), len(some))
            for row in range(len(some)):
                yield flux[row], None if contrast is None else contrast[row]

    def _checked(self, what: str, given: Any, count: int) -> Spectrum:
        found = np.asarray(given)
        if found.shape != (count, self.pixels):
            raise EstimatorError(
                f"{what} gave an array of shape {found.shape} for {count} latents; wanted "
                f"{(count, self.pixels)}: one value for each wavelength"
            )
        if not np.isfinite(found).all():
            raise EstimatorError(
                f"{what} gave values that are not finite; are these latents of this model?"
            )
        return found
