"""Which lines each latent dimension moves: the derivative of the decoded spectrum, measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.study import Result, origin
from latentscope.diagnostics.traversal.lines import (
    COLOR_NOTICED,
    SLOPE_NOTICED,
    SURE,
    Feature,
    air_words,
    by_element,
    element_order,
    element_words,
    line_table,
    line_words,
    measured,
    percent,
)
from latentscope.diagnostics.traversal.traverse import (
    Base,
    Change,
    Decode,
    Progress,
    check_dims,
    explained_by_shift,
    verdict,
)
from latentscope.diagnostics.traversal.velocity import Floats, rate
from latentscope.errors import ChoiceError, EstimatorError


@dataclass(frozen=True, eq=False, repr=False)
class LineMapResult(Result):
    """What each latent dimension does to each line, per sigma of the data.

    Parameters
    ----------
    table : DataFrame
        One row per dimension and line, the most changed line of each dimension first: `dim, rank,
        line, element, kind, wavelength` (Angstrom in air), `depth, depth_per_sigma, depth_error`
        and the same for `ew` and `width` (Angstrom), after the dimension's own velocity is taken
        out. Errors are from the curvature of the change.
    dims : DataFrame
        One row per dimension: `dim`, `sigma` (spread of the data), `rv_kms_per_sigma` (receding
        positive), `rv_error`, `correlation` (lower of the two), `shift_explained` (share of the
        change of the lines), `verdict` (see `TraversalResult.verdict`), `color_mag_per_sigma`
        (like B - V, positive: redder), `slope_per_sigma` and `slope_error` (d ln flux / d ln
        wavelength), `rms_per_sigma` (relative change of the flux).
    wavelength : ndarray, shape (pixels,)
        Angstrom in air.
    derivative : ndarray of float32, shape (dims, pixels)
        Derivative of the flux with respect to each dimension, per sigma, over the base's flux;
        NaN in gaps and without flux.
    provenance : dict
    """

    drawn_by = "plot_line_map"

    table: pd.DataFrame
    dims: pd.DataFrame
    wavelength: Floats
    derivative: NDArray[np.float32]
    provenance: dict[str, Any]

    def lines_of(self, dim: int) -> pd.DataFrame:
        """Rows of the table of one dimension; a ChoiceError if it is not in the map."""
        if dim not in set(self.dims["dim"]):
            held = ", ".join(map(str, self.dims["dim"]))
            raise ChoiceError(f"dim {dim} is not in this line map; it holds {held}")
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
        """Say what each dimension does, those that change the flux most first."""
        order = self.dims.sort_values("rms_per_sigma", ascending=False)
        return [_sentence(row, self.lines_of(row["dim"])) for row in order.to_dict("records")]


def measure_line_map(
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
    """Derivative of the decoded spectrum with respect to each latent: the core of `line_map`.

    Central differences, `step` sigma above and below the base. Arguments and errors are those of
    `measure_traversal`; `units` (d,) are the spread of the data in each dimension: one sigma.
    """
    start, spread = _checked(base, dims, units, step)
    reference = Base(decode, start, wavelength, valid, contrast, features, rv)
    light = np.where(reference.valid & (reference.flux > 0), reference.flux, np.nan)
    tables, rows = [], []
    derivative = np.empty((len(dims), len(light)), np.float32)
    for number, dim in enumerate(dims):
        moved = np.repeat(start[None], 2, axis=0)
        moved[:, dim] += np.array([-step, step]) * spread[dim]
        below, above = reference.changes(moved, batch=2)
        derivative[number] = (above.flux - below.flux) / (2 * step * light)
        tables.append(_lines(reference, below, above, dim, step))
        rows.append(_row(below, above, dim, float(spread[dim]), step))
        if progress is not None:
            progress(number + 1, len(dims))
    return LineMapResult(
        table=pd.concat(tables, ignore_index=True),
        dims=pd.DataFrame(rows),
        wavelength=reference.wavelength,
        derivative=derivative,
        provenance={
            **origin("line map"),
            "dims": [int(dim) for dim in dims],
            "units": spread.tolist(),
            "step": step,
            **reference.provenance,
        },
    )


def _lines(base: Base, below: Change, above: Change, dim: int, step: float) -> pd.DataFrame:
    """Lines of one dimension, ranked; the base between the two steps shows the curvature."""
    lines = line_table(
        base.features,
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


def _row(below: Change, above: Change, dim: int, sigma: float, step: float) -> dict[str, Any]:
    offset, moved = np.array([-step, step]), (below.velocity, above.velocity)
    rv = np.array([one.rv for one in moved])
    height = np.array([one.correlation for one in moved])
    # Two points leave no scatter about their line, so the errors come from the two themselves.
    per_sigma = rate(offset, rv)._replace(error=math.hypot(*(v.error for v in moved)) / (2 * step))
    share = explained_by_shift([below, above])
    return {
        "dim": int(dim),
        "sigma": sigma,
        "rv_kms_per_sigma": per_sigma.value,
        "rv_error": per_sigma.error,
        "correlation": float(height.min()),
        "shift_explained": share,
        "verdict": verdict(rv, height, per_sigma, share),
        "color_mag_per_sigma": rate(offset, np.array([below.color, above.color])).value,
        "slope_per_sigma": rate(offset, np.array([below.slope.value, above.slope.value])).value,
        "slope_error": math.hypot(below.slope.error, above.slope.error) / (2 * step),
        "rms_per_sigma": float(np.mean([below.rms, above.rms]) / step),
    }


def _checked(
    base: ArrayLike, dims: Sequence[int], units: ArrayLike, step: float
) -> tuple[Floats, Floats]:
    start, spread = np.asarray(base, dtype=np.float64), np.asarray(units, dtype=np.float64)
    if start.ndim != 1 or start.shape != spread.shape or not np.isfinite(start).all():
        raise EstimatorError(
            f"base has shape {start.shape}, units {spread.shape}; expected finite latents (d,) and "
            "the spread of each, (d,)"
        )
    check_dims(dims, len(start))
    if not step > 0 or not (spread[list(dims)] > 0).all():
        raise EstimatorError(
            f"step is {step} and the spreads are {spread[list(dims)].tolist()}; expected positive "
            "numbers: leave out dimensions that do not vary"
        )
    return start, spread


def _sentence(row: dict[Any, Any], lines: pd.DataFrame) -> str:
    """Say what a dimension does, from its row of `dims` and its rows of the table."""
    share = percent(row["shift_explained"])
    rv = f"{measured(row['rv_kms_per_sigma'], row['rv_error'])} km/s"
    parts = {
        "shift": [f"Doppler shift of {rv} per sigma (a shift explains {share})"],
        "partly": [f"shift of {rv} per sigma (but a shift explains only {share})"],
    }.get(row["verdict"], [])
    parts += element_words(lines)
    strongest = line_words(lines, max_lines=3)
    if strongest:
        parts.append(f"most {', '.join(strongest)}")
    color, slope, error = (
        row[name] for name in ("color_mag_per_sigma", "slope_per_sigma", "slope_error")
    )
    if abs(color) >= COLOR_NOTICED:
        parts.append(f"{'redder' if color > 0 else 'bluer'} by {abs(color):.3f} mag")
    elif np.isnan(color) and abs(slope) >= max(SLOPE_NOTICED, SURE * error):
        way = "redder" if slope > 0 else "bluer"
        parts.append(f"continuum {way}, slope {measured(slope, error)}")
    air = air_words(lines)
    if air is not None and air[1]:
        parts.append(f"air {air[0]}")
    return f"dim {row['dim']}: {', '.join(parts) or 'changes nothing that is measured here'}"
