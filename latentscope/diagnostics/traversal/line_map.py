"""Which lines each latent dimension moves: the derivative of the decoded spectrum, measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.study import origin
from latentscope.diagnostics.traversal.lines import (
    Feature,
    by_element,
    element_order,
    line_table,
    stellar_features,
)
from latentscope.diagnostics.traversal.traverse import (
    Base,
    Change,
    Decode,
    Decoder,
    Pixels,
    Progress,
    explained_by_shift,
    verdict,
)
from latentscope.diagnostics.traversal.velocity import Floats, rate
from latentscope.diagnostics.traversal.words import (
    COLOUR_NOTICED,
    air_words,
    element_words,
    line_words,
    measured,
    percent,
)
from latentscope.errors import ChoiceError, EstimatorError


@dataclass(frozen=True, eq=False)
class LineMapResult:
    """What each latent dimension does to each line, per sigma of the data.

    Parameters
    ----------
    table : DataFrame
        One row a dimension and line, the most changed line of each dimension first: `dim, rank,
        line, element, kind, wavelength` (Angstrom in air), `depth, depth_per_sigma, depth_error`
        and the same of `ew` and `width` (Angstrom), measured after the dimension's own velocity is
        taken out. The errors are what the curvature of the change amounts to.
    dims : DataFrame
        One row a dimension: `dim`, `sigma` (spread of the data), `rv_kms_per_sigma` (receding
        positive), `rv_error`, `correlation` (lower of the two), `shift_explained` (share of the
        change of the lines), `verdict` (see `TraversalResult.verdict`), `colour_mag_per_sigma`
        (like B - V, positive: redder), `slope_per_sigma` and `slope_error` (d ln flux / d ln
        wavelength), `rms_per_sigma` (relative change of the flux).
    wavelength : ndarray, shape (pixels,)
        Angstrom in air.
    derivative : ndarray of float32, shape (dims, pixels)
        Derivative of the flux with respect to each dimension, per sigma, over the base's flux;
        NaN in gaps and where the base has none.
    provenance : dict
    """

    table: pd.DataFrame
    dims: pd.DataFrame
    wavelength: Floats
    derivative: NDArray[np.float32]
    provenance: dict[str, Any]

    def lines_of(self, dim: int) -> pd.DataFrame:
        """Rows of the table of one dimension.

        Raises
        ------
        ChoiceError
            If the map does not hold it.
        """
        if dim not in set(self.dims["dim"]):
            known = ", ".join(map(str, self.dims["dim"]))
            raise ChoiceError(f"dim {dim} is not in this line map; it holds {known}")
        return self.table[self.table["dim"] == dim]

    @property
    def elements(self) -> pd.DataFrame:
        """Mean change of depth per sigma, dims x elements: light atoms first, the air last."""
        columns = {
            dim: by_element(self.lines_of(dim)).set_index("element")["depth_per_sigma"]
            for dim in self.dims["dim"]
        }
        order = sorted(self.table["element"].unique(), key=element_order)
        return pd.DataFrame(columns).T.reindex(columns=order).rename_axis(index="dim")

    def sentences(self) -> list[str]:
        """Say in a line for each dimension what it does, those that change the flux most first."""
        order = self.dims.sort_values("rms_per_sigma", ascending=False)
        return [map_sentence(row, self.lines_of(row["dim"])) for row in order.to_dict("records")]

    def plot(self, ax: Any = None) -> Any:
        """Draw it (`latentscope.plots.plot_line_map`): all panels, or only the elements on `ax`."""
        # By name, since diagnostics stand below the pictures of them.
        return import_module("latentscope.plots").plot_line_map(self, ax)


def line_map(
    decode: Decode,
    base: ArrayLike,
    dims: Sequence[int],
    units: ArrayLike,
    *,
    wavelength: ArrayLike,
    step: float = 0.5,
    valid: ArrayLike | None = None,
    contrast: Decode | None = None,
    features: Sequence[Feature] | None = None,
    rv: float | None = None,
    progress: Progress | None = None,
) -> LineMapResult:
    """Derivative of the decoded spectrum with respect to each latent, read on a list of lines.

    Central differences: each dimension is set to `step` sigma above and below the base, decoded,
    and measured as in `traverse`.

    Parameters
    ----------
    decode : callable
        From latents (k, d) to flux (k, pixels).
    base : array (d,)
        The latents to move from.
    dims : list of int
        Dimensions to map.
    units : array (d,)
        Spread of the data in each dimension of the model: one sigma.
    wavelength : array (pixels,)
        Angstrom in air, ascending.
    step : float
        Of the differences, in sigma.
    valid, contrast, features, rv
        As for `traverse`.
    progress : callable, optional
        Called with (dimensions done, dimensions in all).

    Raises
    ------
    ChoiceError
        If there is no such dimension.
    EstimatorError
        If shapes do not fit, values are not finite, a spread or the step is not positive, or the
        decoder gives another number of pixels.
    """
    pixels = Pixels.checked(wavelength, valid)
    start, spread = _checked(base, dims, units, step)
    decoder = Decoder(decode, contrast, len(pixels.wavelength), batch=2)
    listed = list(stellar_features() if features is None else features)
    flux, lines = next(decoder.spectra(start[None]))
    reference = Base(flux, lines, pixels, listed, rv)
    light = np.where(pixels.valid & (flux > 0), flux, np.nan)
    tables, rows = [], []
    derivative = np.empty((len(dims), len(flux)), np.float32)
    for number, dim in enumerate(dims):
        moved = np.repeat(start[None], 2, axis=0)
        moved[:, dim] += np.array([-step, step]) * spread[dim]
        below, above = decoder.spectra(moved)
        changes = [reference.change(*below), reference.change(*above)]
        derivative[number] = (above[0] - below[0]) / (2 * step * light)
        tables.append(_lines(listed, reference, changes, dim, step))
        rows.append(_row(changes, dim, float(spread[dim]), step))
        if progress is not None:
            progress(number + 1, len(dims))
    return LineMapResult(
        table=pd.concat(tables, ignore_index=True),
        dims=pd.DataFrame(rows),
        wavelength=pixels.wavelength,
        derivative=derivative,
        provenance={
            **origin("line map"),
            "dims": [int(dim) for dim in dims],
            "base": start.tolist(),
            "units": spread.tolist(),
            "step": step,
            "base_rv": reference.rv,
            "base_rv_from": reference.source_of_rv,
            "lines": len(listed),
        },
    )


def _lines(
    features: Sequence[Feature], base: Base, changes: list[Change], dim: int, step: float
) -> pd.DataFrame:
    """Lines of one dimension, ranked; the base between the two steps tells of curvature."""
    below, above = changes
    lines = line_table(
        features,
        base.strengths,
        [below.strengths, base.strengths, above.strengths],
        [below.sampling, base.strengths - base.strengths, above.sampling],
        np.array([-step, 0.0, step]),
        1.0,
    )
    lines = lines.sort_values("depth_per_sigma", key=np.abs, ascending=False, ignore_index=True)
    lines.insert(0, "dim", dim)
    lines.insert(1, "rank", np.arange(1, len(lines) + 1))
    return lines


def _row(changes: list[Change], dim: int, sigma: float, step: float) -> dict[str, Any]:
    offset = np.array([-step, step])
    moved = [change.velocity for change in changes]
    velocity = np.array([one.rv for one in moved])
    height = np.array([one.correlation for one in moved])
    error = _hypot(one.error for one in moved) / (2 * step)
    per_sigma = rate(offset, velocity)._replace(error=error)
    share = explained_by_shift(moved)
    slopes = [change.slope for change in changes]
    return {
        "dim": int(dim),
        "sigma": sigma,
        "rv_kms_per_sigma": per_sigma.value,
        "rv_error": error,
        "correlation": float(height.min()),
        "shift_explained": share,
        "verdict": verdict(velocity, height, per_sigma, share),
        "colour_mag_per_sigma": rate(offset, np.array([c.colour for c in changes])).value,
        "slope_per_sigma": rate(offset, np.array([one.value for one in slopes])).value,
        "slope_error": _hypot(one.error for one in slopes) / (2 * step),
        "rms_per_sigma": float(np.mean([change.rms for change in changes]) / step),
    }


def _hypot(values: Iterable[float]) -> float:
    return math.hypot(*values)


def _checked(
    base: ArrayLike, dims: Sequence[int], units: ArrayLike, step: float
) -> tuple[Floats, Floats]:
    start, spread = np.asarray(base, dtype=np.float64), np.asarray(units, dtype=np.float64)
    if start.ndim != 1 or start.shape != spread.shape or not np.isfinite(start).all():
        raise EstimatorError(
            f"base has shape {start.shape}, units {spread.shape}; wanted finite latents (d,) and "
            "the spread of each dimension, (d,)"
        )
    unknown = [dim for dim in dims if not 0 <= dim < len(start)]
    if unknown or not len(dims):
        raise ChoiceError(f"dims are {list(dims)}; wanted at least one of 0 to {len(start) - 1}")
    if not step > 0 or not (spread[list(dims)] > 0).all():
        raise EstimatorError(
            f"step is {step} and the spreads are {spread[list(dims)].tolist()}; wanted positive "
            "numbers: leave out dimensions that do not vary"
        )
    return start, spread


def map_sentence(row: dict[Any, Any], lines: pd.DataFrame) -> str:
    """Say in a line what one dimension of a line map does.

    Parameters
    ----------
    row : dict
        Of `LineMapResult.dims`.
    lines : DataFrame
        The rows of `LineMapResult.table` of this dimension.
    """
    share = percent(row["shift_explained"])
    parts = {
        "shift": [f"Doppler shift of {_kms(row)} per sigma (a shift explains {share})"],
        "partly": [f"shift of {_kms(row)} per sigma (but a shift explains only {share})"],
    }.get(row["verdict"], [])
    parts += element_words(lines)
    strongest = line_words(lines, most=3)
    if strongest:
        parts.append(f"most {', '.join(strongest)}")
    parts += _colour_part(row["colour_mag_per_sigma"])
    air = air_words(lines)
    parts += [f"air {air[0]}"] if air is not None and air[1] else []
    return f"dim {row['dim']}: {', '.join(parts) or 'changes nothing that is measured here'}"


def _kms(row: dict[Any, Any]) -> str:
    return f"{measured(row['rv_kms_per_sigma'], row['rv_error'])} km/s"


def _colour_part(change: float) -> list[str]:
    if not abs(change) >= COLOUR_NOTICED:
        return []
    return [f"{'redder' if change > 0 else 'bluer'} by {abs(change):.3f} mag"]
