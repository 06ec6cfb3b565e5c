"""Move one latent dimension, decode, and measure what changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.provenance import origin
from latentscope.diagnostics.traversal.compare import Base, Change, Pixels
from latentscope.diagnostics.traversal.decoding import Decode, Decoder, Progress
from latentscope.diagnostics.traversal.features import Feature, stellar_features
from latentscope.diagnostics.traversal.line_changes import line_table
from latentscope.diagnostics.traversal.regression import Rate, rate
from latentscope.diagnostics.traversal.velocity import Floats
from latentscope.diagnostics.traversal.verdict import (
    Verdict,
    comparable,
    explained_by_shift,
    verdict,
)
from latentscope.diagnostics.traversal.wording import traversal_sentences
from latentscope.errors import ChoiceError, EstimatorError


@dataclass(frozen=True, eq=False)
class TraversalResult:
    """What moving one dimension does to the decoded spectrum.

    Parameters
    ----------
    dim : int
    base : ndarray, shape (d,)
        The latents that the dimension was moved from.
    unit : float
        Spread of the data in this dimension: what "per sigma" means.
    wavelength, valid : ndarray, shape (pixels,)
        Angstrom in air; False in gaps.
    flux : ndarray, shape (k, pixels)
        The decoded spectra, in the order of the table.
    base_flux : ndarray, shape (pixels,)
    table : DataFrame
        One row a value, ascending: `value` of the dimension, `offset` from the base's, `rv_kms`
        against the base (receding positive) and `rv_error`, `correlation` (height of the peak),
        `shift_explained` (share of the squared change of the line contrast that a shift by `rv_kms`
        takes away), `slope` and `slope_error` (d ln flux / d ln wavelength against the base,
        positive: redder), `colour_mag` (like B - V, against the base, positive: redder), `rms`
        (relative change of the flux).
    lines : DataFrame
        One row a line or band: `line, element, kind, wavelength`, and `depth`, `ew` (Angstrom,
        absorption positive), `width` (Angstrom) of the base, each with its change per sigma
        (`..._per_sigma`) and the error of that (`..._error`). Measured after the RV is taken out;
        bands of the air where they are. NaN where the spectra do not cover it.
    base_rv : float
        Velocity of the base's lines, km/s; 0 where it could not be measured.
    shift_explained : float
        Share of the squared change of the line contrast, over all values, that shifts explain.
    provenance : dict
    """

    dim: int
    base: Floats
    unit: float
    wavelength: Floats
    valid: NDArray[np.bool_]
    flux: NDArray[np.floating[Any]]
    base_flux: NDArray[np.floating[Any]]
    table: pd.DataFrame
    lines: pd.DataFrame
    base_rv: float
    shift_explained: float
    provenance: dict[str, Any]

    @property
    def base_value(self) -> float:
        """The base's value of the dimension."""
        return float(self.base[self.dim])

    @cached_property
    def rv_per_unit(self) -> Rate:
        """Km/s per unit of the latent and its error: weighted regression, receding positive.

        Of the spectra that correlate with the base by 0.5 or more.
        """
        velocity = np.where(self.comparable, self._column("rv_kms"), np.nan)
        return rate(self._column("offset"), velocity, self._column("rv_error"))

    @cached_property
    def slope_per_unit(self) -> Rate:
        """Change of the continuum's slope per unit of the latent; positive: redder."""
        return rate(self._column("offset"), self._column("slope"), self._column("slope_error"))

    @cached_property
    def colour_per_unit(self) -> Rate:
        """Change of the colour per unit of the latent, mag; positive: redder."""
        return rate(self._column("offset"), self._column("colour_mag"))

    @property
    def verdict(self) -> Verdict:
        """Is the change a Doppler shift? See `latentscope.diagnostics.traversal.verdict`."""
        velocity, correlation = self._column("rv_kms"), self._column("correlation")
        return verdict(velocity, correlation, self.rv_per_unit, self.shift_explained)

    @property
    def comparable(self) -> NDArray[np.bool_]:
        """Which spectra correlate with the base by 0.5 or more, shape (k,)."""
        return comparable(self._column("rv_kms"), self._column("correlation"))

    def sentences(self) -> list[str]:
        """Say in words what the dimension does, with numbers and errors."""
        return traversal_sentences(self)

    def plot(self, ax: Any = None) -> Any:
        """Draw it (`latentscope.plot_traversal`): all panels, or only the spectra on `ax`."""
        # The package finds its own pictures; diagnostics know of none.
        from latentscope import plot_traversal

        return plot_traversal(self, ax)

    def _column(self, name: str) -> Floats:
        return self.table[name].to_numpy(dtype=np.float64)


def traverse(
    decode: Decode,
    base: ArrayLike,
    dim: int,
    values: ArrayLike,
    *,
    wavelength: ArrayLike,
    unit: float = 1.0,
    valid: ArrayLike | None = None,
    contrast: Decode | None = None,
    features: Sequence[Feature] | None = None,
    rv: float | None = None,
    batch: int = 4,
    progress: Progress | None = None,
) -> TraversalResult:
    """Move one latent dimension, decode, and measure what changes.

    Parameters
    ----------
    decode : callable
        From latents (k, d) to flux (k, pixels).
    base : array (d,)
        The latents to move from: those of a spectrum, or a mean.
    dim : int
    values : array (k,)
        What the dimension is set to, at least two different values.
    wavelength : array (pixels,)
        Angstrom in air, ascending.
    unit : float
        Spread of the data in this dimension; changes of lines are given per this.
    valid : array of bool (pixels,), optional
        False in gaps.
    contrast : callable, optional
        From latents (k, d) to line contrast (k, pixels), continuum at 0, for models that decode
        lines apart from the continuum. Velocities are measured on it. By default the flux over its
        running mean over 600 km/s.
    features : sequence of Feature, optional
        Lines and bands; by default `stellar_features()`.
    rv : float, optional
        Velocity of the base's lines in km/s, receding positive. By default where a mask of the
        listed lines correlates best with it.
    batch : int
        Spectra decoded at a time.
    progress : callable, optional
        Called with (spectra done, spectra in all).

    Raises
    ------
    ChoiceError
        If there is no such dimension.
    EstimatorError
        If shapes do not fit, values are not finite or all the same, or the decoder gives another
        number of pixels.
    """
    pixels = Pixels.checked(wavelength, valid)
    start, steps = _checked(base, dim, values, unit)
    decoder = Decoder(decode, contrast, len(pixels.wavelength), batch)
    listed = list(stellar_features() if features is None else features)
    flux, lines = next(decoder.spectra(start[None]))
    reference = Base(flux, lines, pixels, listed, rv)
    moved = np.repeat(start[None], len(steps), axis=0)
    moved[:, dim] = steps
    spectra = np.empty((len(steps), len(flux)), dtype=np.float32)
    changes: list[Change] = []
    for row, (decoded, of_lines) in enumerate(decoder.spectra(moved)):
        spectra[row] = decoded
        changes.append(reference.change(decoded, of_lines))
        if progress is not None:
            progress(row + 1, len(steps))
    offset = steps - start[dim]
    return TraversalResult(
        dim=dim,
        base=start,
        unit=unit,
        wavelength=pixels.wavelength,
        valid=pixels.valid,
        flux=spectra,
        base_flux=flux,
        table=_table(steps, offset, changes),
        lines=line_table(
            listed,
            reference.strengths,
            [change.strengths for change in changes],
            [change.sampling for change in changes],
            offset,
            unit,
        ),
        base_rv=reference.rv,
        shift_explained=explained_by_shift([change.velocity for change in changes]),
        provenance={
            **origin("traversal"),
            "dim": dim,
            "values": steps.tolist(),
            "base": start.tolist(),
            "unit": unit,
            "base_rv": reference.rv,
            "base_rv_from": reference.source_of_rv,
            "lines": len(listed),
        },
    )


def _table(values: Floats, offset: Floats, changes: Sequence[Change]) -> pd.DataFrame:
    rows = [
        {
            "value": value,
            "offset": step,
            "rv_kms": change.velocity.rv,
            "rv_error": change.velocity.error,
            "correlation": change.velocity.correlation,
            "shift_explained": change.velocity.explained,
            "slope": change.slope.value,
            "slope_error": change.slope.error,
            "colour_mag": change.colour,
            "rms": change.rms,
        }
        for value, step, change in zip(values, offset, changes, strict=True)
    ]
    return pd.DataFrame(rows)


def _checked(base: ArrayLike, dim: int, values: ArrayLike, unit: float) -> tuple[Floats, Floats]:
    start = np.asarray(base, dtype=np.float64)
    if start.ndim != 1 or not np.isfinite(start).all():
        raise EstimatorError(
            f"base has shape {start.shape}; wanted the finite latents of one spectrum, (d,)"
        )
    if not 0 <= dim < len(start):
        raise ChoiceError(f"dim is {dim}; there are dimensions 0 to {len(start) - 1}")
    steps = np.unique(np.asarray(values, dtype=np.float64))
    if not np.isfinite(steps).all() or len(steps) < 2:
        raise EstimatorError(
            f"values for dim {dim} are {steps.tolist()}; wanted at least two different finite "
            "numbers"
        )
    if not (np.isfinite(unit) and unit > 0):
        raise EstimatorError(
            f"unit is {unit} for dim {dim}; wanted the positive spread of the data: a dimension "
            "that does not vary has none"
        )
    return start, steps
