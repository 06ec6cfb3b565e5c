"""Move latent dimensions, decode, and measure what changes: one throughout, or each a little."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.study import Result, origin
from latentscope.diagnostics.traversal.lines import (
    COLOR_NOTICED,
    NOTICED,
    SLOPE_NOTICED,
    SURE,
    TELLURIC_SPANS,
    Feature,
    Gauge,
    air_words,
    by_element,
    element_order,
    element_words,
    line_table,
    line_words,
    measured,
    percent,
    signed,
    stellar_features,
)
from latentscope.diagnostics.traversal.velocity import (
    SPEED_OF_LIGHT,
    Floats,
    LogAxis,
    Rate,
    Velocity,
    log_axis,
    rate,
    running_contrast,
    spline,
    velocity,
)
from latentscope.errors import ChoiceError, EstimatorError
from latentscope.workers import Progress, counted

Decode = Callable[[Floats], Any]
"""From latents (k, d) to spectra (k, pixels)."""

Flux = NDArray[np.floating[Any]]
Verdict = Literal["shift", "partly", "none", "unlike"]

UNLIKE = 0.5
"""Height of the cross-correlation below which two spectra have no relative velocity."""

SHIFTS = 0.5
"""Share of the change that shifts must explain in a Doppler shift."""

CONTRAST_WINDOW = 600.0
"""Width in km/s of the running mean that flattens the flux of a model without contrast."""

BLUE, VISUAL = (3920.0, 4810.0), (5030.0, 5870.0)
"""Boxes about as wide as Johnson's B and V, Angstrom."""

# Share of the change, and km/s, below which lines stay.
_STILL_SHARE, _STILL_KMS = 0.05, 0.5
_N_LINES = 10
_MIN_CORRELATION = 0.1
_LINE_SIGMA = 6.0  # km/s
_UNSHIFTED = 0.01  # km/s
_MIN_PIXELS = 64
_AT_ONCE = 4  # spectra decoded together
_BLOCKS = 100
_COVERED = 0.9  # share of a box that light must cover: a hole would tilt the color


@dataclass(frozen=True, eq=False, repr=False)
class TraversalResult(Result):
    """What moving one dimension does to the decoded spectrum.

    Parameters
    ----------
    dim : int
    base : ndarray, shape (d,)
        The latents that the dimension was moved from.
    unit : float
        Spread of the data in this dimension: one sigma.
    wavelength, valid : ndarray, shape (pixels,)
        Angstrom in air; False in gaps.
    flux : ndarray, shape (k, pixels)
        The decoded spectra, in the order of the table.
    base_flux : ndarray, shape (pixels,)
    table : DataFrame
        One row per value, ascending: `value` of the dimension, `offset` from the base's, `rv_kms`
        against the base (receding positive) and `rv_error`, `correlation` (height of the peak),
        `shift_explained` (share of the squared change of the line contrast that a shift by `rv_kms`
        takes away), `slope` and `slope_error` (d ln flux / d ln wavelength against the base,
        positive: redder), `color_mag` (like B - V, against the base, positive: redder), `rms`
        (relative change of the flux).
    lines : DataFrame
        One row per line or band: `line, element, kind, wavelength`, and `depth`, `ew` (Angstrom,
        absorption positive), `width` (Angstrom) of the base, each with its change per sigma
        (`..._per_sigma`) and the error of that (`..._error`), after the RV is taken out; telluric
        bands where they are. NaN where the spectra do not cover it.
    base_rv : float
        Velocity of the base's lines, km/s; 0 where it could not be measured.
    shift_explained : float
        Share of the squared change of the line contrast, over all values, that shifts explain.
    """

    drawn_by = "plot_traversal"

    dim: int
    base: Floats
    unit: float
    wavelength: Floats
    valid: NDArray[np.bool_]
    flux: Flux
    base_flux: Flux
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
        """Km/s per unit of the latent, receding positive, from `comparable` spectra."""
        rv = np.where(self.comparable, self._column("rv_kms"), np.nan)
        return rate(self._column("offset"), rv, self._column("rv_error"))

    @cached_property
    def slope_per_unit(self) -> Rate:
        """Change of the continuum's slope per unit of the latent; positive: redder."""
        return rate(self._column("offset"), self._column("slope"), self._column("slope_error"))

    @cached_property
    def color_per_unit(self) -> Rate:
        """Change of the color per unit of the latent, mag; positive: redder."""
        return rate(self._column("offset"), self._column("color_mag"))

    @property
    def verdict(self) -> Verdict:
        """Is the change a Doppler shift? "shift", "partly", "none", or "unlike".

        "unlike": more than half of the spectra correlate with the base by less than 0.5. "none":
        the lines stay (the others lie within 0.5 km/s of the base, the rate is within three errors
        of 0, or shifts explain less than 5 % of the change). "shift": shifts explain at least half
        of the change. "partly": other changes are larger.
        """
        rv, correlation = self._column("rv_kms"), self._column("correlation")
        return verdict(rv, correlation, self.rv_per_unit, self.shift_explained)

    @property
    def comparable(self) -> NDArray[np.bool_]:
        """Which spectra correlate with the base by 0.5 or more, shape (k,)."""
        return _comparable(self._column("rv_kms"), self._column("correlation"))

    def sentences(self) -> list[str]:
        """Say what the dimension does, with numbers and errors."""
        strongest, elements = line_words(self.lines), element_words(self.lines)
        words = [self._velocity_words(), self._continuum_words()]
        if strongest:
            words.append(f"Lines that change most, in depth per sigma: {', '.join(strongest)}.")
        else:
            words.append(f"No line's depth changes by {NOTICED:g} per sigma or more.")
        if elements:
            words.append(f"By element: {', '.join(elements)}.")
        air = air_words(self.lines)
        if air is not None:
            change, telling = air
            words.append(
                f"Bands of the Earth's air change, in depth per sigma {change}: perhaps airmass."
                if telling
                else "Bands of the Earth's air change little beside the star's lines (in depth per "
                f"sigma {change}): no sign of airmass."
            )
        return words

    def _column(self, name: str) -> Floats:
        return self.table[name].to_numpy(dtype=np.float64)

    def _velocity_words(self) -> str:
        dim, share, judged = f"dim {self.dim}", percent(self.shift_explained), self.verdict
        values, like = self.table["value"], self.comparable
        span = f"{values.min():.3g} to {values.max():.3g}"
        n_unlike = int((~like).sum())
        if judged == "unlike":
            return (
                f"{dim}: no velocity can be given; from {span}, {n_unlike} of {len(like)} spectra "
                "are too unlike the base (cross-correlation below 0.5)."
            )
        aside = f" ({n_unlike} excluded: correlation with the base below 0.5)" if n_unlike else ""
        per_unit, rv = self.rv_per_unit, self.table["rv_kms"][like]
        if judged == "none":
            return (
                f"{dim} is not a Doppler shift: over the values {span} the lines stay within "
                f"{rv.abs().max():.2g} km/s of the base{aside}, and shifts explain {share} of "
                "their change."
            )
        moves = (
            f"{measured(per_unit.value, per_unit.error)} km/s per unit, "
            f"{signed(per_unit.value * self.unit)} km/s per sigma, receding positive{aside}"
        )
        if judged == "shift":
            return (
                f"{dim} is a Doppler shift: {moves}; {signed(rv.iloc[0])} to {signed(rv.iloc[-1])} "
                f"km/s over the values {span}. Pure shifts explain {share} of the change of the "
                "lines."
            )
        return (
            f"{dim} shifts the lines, {moves}, but this explains only {share} of their change: it "
            "does other things too."
        )

    def _continuum_words(self) -> str:
        color, slope = self.color_per_unit, self.slope_per_unit
        tilt = f"slope {measured(slope.value * self.unit, slope.error * self.unit)} per sigma"
        change, error = color.value * self.unit, color.error * self.unit
        if not np.isfinite(change):
            return f"Continuum: {tilt} (d ln flux / d ln wavelength; positive: redder)."
        if abs(change) < max(COLOR_NOTICED, SURE * error):
            largest = max(self.table["color_mag"].abs().max(), 0.001)
            return f"The continuum's color (like B - V) stays within {largest:.3f} mag; {tilt}."
        return (
            f"The continuum becomes {'redder' if change > 0 else 'bluer'}: "
            f"{measured(change, error)} mag per sigma in a color like B - V; {tilt}."
        )


def measure_traversal(
    base: Base,
    dim: int,
    values: ArrayLike,
    *,
    unit: float = 1.0,
    progress: Progress | None = None,
) -> TraversalResult:
    """Move one latent dimension, decode, and measure what changes: the core of `traverse`.

    `unit` is the spread of the data in the dimension. A ChoiceError if there is no such dimension,
    an EstimatorError if values are not finite or all the same, or the decoder gives another number
    of pixels.
    """
    start = base.latents
    check_dims([dim], len(start))
    steps = np.unique(np.asarray(values, dtype=np.float64))
    if not np.isfinite(steps).all() or len(steps) < 2:
        raise EstimatorError(
            f"values for dim {dim} are {steps.tolist()}; expected at least two different finite "
            "numbers"
        )
    if not (np.isfinite(unit) and unit > 0):
        raise EstimatorError(f"unit is {unit} for dim {dim}; expected a positive spread")
    moved = np.repeat(start[None], len(steps), axis=0)
    moved[:, dim] = steps
    changes = list(counted(base.changes(moved), len(steps), progress))
    return TraversalResult(
        dim=dim,
        base=start,
        unit=unit,
        wavelength=base.wavelength,
        valid=base.valid,
        flux=np.array([change.flux for change in changes], dtype=np.float32),
        base_flux=base.flux,
        table=pd.DataFrame(
            [
                {
                    "value": value,
                    "offset": value - start[dim],
                    "rv_kms": change.velocity.rv,
                    "rv_error": change.velocity.error,
                    "correlation": change.velocity.correlation,
                    "shift_explained": change.velocity.explained,
                    "slope": change.slope.value,
                    "slope_error": change.slope.error,
                    "color_mag": change.color,
                    "rms": change.rms,
                }
                for value, change in zip(steps, changes, strict=True)
            ]
        ),
        lines=line_table(
            base.features,
            base.strengths,
            [change.strengths for change in changes],
            [change.sampling for change in changes],
            steps - start[dim],
            unit,
        ),
        base_rv=base.rv,
        shift_explained=explained_by_shift(changes),
        provenance={
            **origin("traversal"),
            "dim": dim,
            "values": steps.tolist(),
            "unit": unit,
            **base.provenance,
        },
    )


def check_dims(dims: Sequence[int], count: int) -> None:
    """Refuse dimensions that are not there, and an empty list."""
    absent = [dim for dim in dims if not 0 <= dim < count]
    if absent:
        raise ChoiceError(f"dim is {absent[0]}; there are dimensions 0 to {count - 1}")
    if not len(dims):
        raise ChoiceError(f"dims are empty; expected at least one of 0 to {count - 1}")


@dataclass(frozen=True)
class Change:
    """How a decoded spectrum, `flux` (pixels,), differs from the base.

    Its `velocity`, `slope` of the continuum and `color` (mag, positive: redder) against the base,
    and the `rms` difference over the base's mean flux. `strengths` (3, features) of its lines are
    measured where its velocity puts them, without the change of the slope; `sampling` is the error
    of reading narrow lines off pixels: strengths of the base shifted by that velocity, minus its
    own.
    """

    flux: Flux
    velocity: Velocity
    slope: Rate
    color: float
    rms: float
    strengths: Floats
    sampling: Floats


class Base:
    """The decoded spectrum of latents (d,), against which others are measured.

    `decode` makes flux (k, pixels) of latents (k, d); `contrast` makes line contrast, continuum at
    0, for velocities (by default the flux over its running mean over 600 km/s). `wavelength` is in
    Angstrom in air, `valid` False in gaps; `rv` the velocity of its lines in km/s, by default
    measured. An EstimatorError if shapes do not fit or values are not finite.
    """

    def __init__(
        self,
        decode: Decode,
        latents: ArrayLike,
        wavelength: ArrayLike,
        valid: ArrayLike | None = None,
        contrast: Decode | None = None,
        features: Sequence[Feature] | None = None,
        rv: float | None = None,
    ) -> None:
        if rv is not None and not np.isfinite(rv):
            raise EstimatorError(f"rv is {rv}; expected a velocity in km/s")
        start = self.latents = np.asarray(latents, dtype=np.float64)
        if start.ndim != 1 or not np.isfinite(start).all():
            raise EstimatorError(
                f"base has shape {start.shape}; expected the finite latents of one spectrum, (d,)"
            )
        self.wavelength, self.valid = _pixels(wavelength, valid)
        self.features = list(stellar_features() if features is None else features)
        self._decode, self._decode_contrast = decode, contrast
        self._axis, self._window = _velocity_axis(self.wavelength, self.valid)
        self.flux, self.contrast = next(self._spectra(start[None]))
        self._gauge = Gauge(self.features, self.wavelength, self.valid)
        own = line_velocity(self.contrast, self._axis, self.features) if rv is None else rv
        self.rv = own if np.isfinite(own) else 0.0
        self.strengths = self._gauge.measure(self.flux, self.rv)
        self._color = color(self.flux, self.wavelength, self.valid)
        measured_rv = "its lines" if np.isfinite(own) else "assumed: its lines do not correlate"
        self.provenance = {
            "base": start.tolist(),
            "base_rv": self.rv,
            "base_rv_from": "given" if rv is not None else measured_rv,
            "lines": len(self.features),
        }

    def changes(self, latents: Floats) -> Iterator[Change]:
        """Yield the change against the base for each row of latents (k, d)."""
        for flux, contrast in self._spectra(latents):
            yield self._change(flux, contrast)

    def _change(self, flux: Flux, contrast: Floats) -> Change:
        moved = velocity(contrast, self.contrast, self._axis)
        difference = (flux - self.flux)[self.valid].astype(np.float64)  # a sum of 300,000 squares
        tilt = slope(flux, self.flux, self.wavelength, self.valid)
        level = flux
        # A slope would change the depths of wide lines.
        if np.isfinite(tilt.value):
            level = flux / (self.wavelength / self.wavelength.mean()) ** tilt.value
        shift = moved.rv if np.isfinite(moved.rv) else 0.0
        return Change(
            flux=flux,
            velocity=moved,
            slope=tilt,
            color=color(flux, self.wavelength, self.valid) - self._color,
            rms=float(np.sqrt(np.mean(difference**2)) / abs(self.flux[self.valid].mean())),
            strengths=self._gauge.measure(level, self.rv + shift),
            sampling=self._sampling(shift),
        )

    def _sampling(self, shift: float) -> Floats:
        """Error of the strengths of a spectrum shifted by so many km/s."""
        if abs(shift) < _UNSHIFTED:
            return self.strengths - self.strengths  # 0, and NaN where a line is not covered
        base = spline(self.wavelength, self.flux, self.valid)
        shifted = base(self.wavelength / (1 + shift / SPEED_OF_LIGHT))
        return self._gauge.measure(shifted, self.rv + shift) - self.strengths

    def _spectra(self, latents: Floats) -> Iterator[tuple[Flux, Floats]]:
        """Yield flux (pixels,) and line contrast on the velocity axis of each row of latents."""
        for first in range(0, len(latents), _AT_ONCE):
            rows = latents[first : first + _AT_ONCE]
            flux = self._checked("decode", self._decode(rows), len(rows))
            if self._decode_contrast is not None:
                lines = self._checked("contrast", self._decode_contrast(rows), len(rows))
                yield from zip(flux, map(self._axis.put, lines), strict=True)
                continue
            for row in flux:
                level = self._axis.put(row)
                yield row, running_contrast(level, self._axis.valid, self._window)

    def _checked(self, what: str, given: Any, count: int) -> Flux:
        spectra = np.asarray(given)
        if spectra.shape != (count, len(self.wavelength)):
            raise EstimatorError(
                f"{what} gave an array of shape {spectra.shape} for {count} latents; expected "
                f"{(count, len(self.wavelength))}"
            )
        if not np.isfinite(spectra).all():
            raise EstimatorError(
                f"{what} gave values that are not finite; are these latents of this model?"
            )
        return spectra


def _pixels(wavelength: ArrayLike, valid: ArrayLike | None) -> tuple[Floats, NDArray[np.bool_]]:
    given = np.asarray(wavelength, dtype=np.float64)
    ascending = given.ndim == 1 and len(given) >= _MIN_PIXELS and (np.diff(given) > 0).all()
    if not ascending or given[0] <= 0:
        raise EstimatorError(
            f"wavelength has shape {given.shape}; expected (pixels,) of at least {_MIN_PIXELS} "
            "positive, ascending values in Angstrom"
        )
    usable = np.ones(len(given), np.bool_) if valid is None else np.asarray(valid, np.bool_)
    if usable.shape != given.shape or usable.sum() < _MIN_PIXELS:
        raise EstimatorError(
            f"valid has shape {usable.shape} and {int(usable.sum())} usable pixels; expected "
            f"{given.shape} and at least {_MIN_PIXELS}"
        )
    return given, usable


def _velocity_axis(wavelength: Floats, valid: NDArray[np.bool_]) -> tuple[LogAxis, int]:
    """Axis on which velocities are measured, and pixels of the running mean below the contrast."""
    # The air does not shift with the star.
    stellar = valid.copy()
    for first, last in TELLURIC_SPANS:
        stellar &= (wavelength < first) | (wavelength > last)
    axis = log_axis(wavelength, valid, stellar)
    return axis, 1 + 2 * round(CONTRAST_WINDOW / SPEED_OF_LIGHT / axis.step / 2)


def star_velocity(flux: Flux, wavelength: Floats, valid: NDArray[np.bool_]) -> float:
    """Velocity of a star from the lines of its spectrum (n,), wavelength in air, Angstrom.

    As `line_velocity` measures it.
    """
    axis, window = _velocity_axis(wavelength, valid)
    contrast = running_contrast(axis.put(flux), axis.valid, window)
    return line_velocity(contrast, axis, stellar_features())


def line_velocity(contrast: Floats, axis: LogAxis, features: Sequence[Feature]) -> float:
    """Velocity of a star from its lines, km/s, receding positive.

    By cross-correlation with a mask of atomic lines, all of one strength (Baranne et al. 1996, A&AS
    119, 373). NaN where fewer than ten of them are covered, or nothing correlates.
    """
    centers = np.array([f.wavelength for f in features if f.kind in ("narrow", "strong")])
    at = np.searchsorted(axis.wavelength, centers)
    inside = (at > 0) & (at < len(axis.wavelength))
    if inside.sum() < _N_LINES:
        return float("nan")
    # The strength of each depends on the star, which is unknown.
    mask = np.zeros(len(axis.wavelength))
    sigma = max(_LINE_SIGMA / SPEED_OF_LIGHT / axis.step, 1.0)  # pixels
    reach = int(np.ceil(4 * sigma))
    start = np.log(axis.wavelength[0])
    for place in (np.log(centers[inside]) - start) / axis.step:
        pixels = np.arange(max(0, int(place) - reach), min(len(mask), int(place) + reach + 2))
        mask[pixels] -= np.exp(-0.5 * ((pixels - place) / sigma) ** 2)
    found = velocity(contrast, mask, axis)
    return found.rv if found.correlation > _MIN_CORRELATION else float("nan")


def color(flux: Flux, wavelength: Floats, valid: NDArray[np.bool_]) -> float:
    """Color like B - V in magnitudes, without a zero point: larger is redder.

    -2.5 log10 of the mean flux in 3920-4810 Angstrom over that in 5030-5870. NaN if a box is less
    than 90 % covered, or holds no light.
    """
    means = []
    for first, last in (BLUE, VISUAL):
        box = (wavelength >= first) & (wavelength <= last)
        reach = min(wavelength[-1], last) - max(wavelength[0], first)
        if reach < _COVERED * (last - first) or valid[box].mean() < _COVERED:
            return float("nan")
        means.append(float(flux[box & valid].mean(dtype=np.float64)))
    if min(means) <= 0:
        return float("nan")
    return float(-2.5 * np.log10(means[0] / means[1]))


def slope(flux: Flux, base: Flux, wavelength: Floats, valid: NDArray[np.bool_]) -> Rate:
    """D ln(flux / base) / d ln(wavelength) of the continuum, positive: redder; and its error.

    The spectra are summed in 100 blocks of pixels, in which shifts of lines cancel; ln of the ratio
    is regressed on ln(wavelength), with the error of that regression. NaN if fewer than three
    blocks hold light.
    """
    pixels = np.array_split(np.flatnonzero(valid), min(_BLOCKS, max(int(valid.sum()) // 8, 1)))
    light = np.array([[flux[p].sum(), base[p].sum(), wavelength[p].mean()] for p in pixels])
    bright = (light[:, :2] > 0).all(axis=1)
    if bright.sum() < 3:
        return Rate(float("nan"), float("nan"))
    above, below, place = light[bright].T.astype(np.float64)
    return rate(np.log(place), np.log(above / below))


def _comparable(rv: Floats, correlation: Floats) -> NDArray[np.bool_]:
    """Which spectra resemble the base enough to have a velocity against it."""
    return np.isfinite(rv) & (correlation >= UNLIKE)


def verdict(rv: Floats, correlation: Floats, per_unit: Rate, explained: float) -> Verdict:
    """Verdict of `TraversalResult.verdict` by rv (k,) in km/s against the base and correlations."""
    like = _comparable(rv, correlation)
    if like.sum() < max(2, len(like) / 2):
        return "unlike"
    still = float(np.abs(rv[like]).max()) < _STILL_KMS
    sure = abs(per_unit.value) > SURE * per_unit.error
    if still or not sure or not explained > _STILL_SHARE:
        return "none"
    return "shift" if explained >= SHIFTS else "partly"


def explained_by_shift(changes: Sequence[Change]) -> float:
    """Share of the summed squared change of the line contrast that shifts explain.

    For small shifts it is the squared correlation of the change with the derivative of the base
    with respect to ln(wavelength). NaN where nothing changes.
    """
    before = sum(change.velocity.before for change in changes)
    after = sum(change.velocity.after for change in changes)
    return 1.0 - after / before if before > 0 else float("nan")


# Which lines each dimension moves: the derivative of the decoded spectrum.


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
    base: Base,
    dims: Sequence[int],
    units: ArrayLike,
    *,
    step: float = 0.5,
    progress: Progress | None = None,
) -> LineMapResult:
    """Derivative of the decoded spectrum with respect to each latent: the core of `line_map`.

    Central differences, `step` sigma above and below the base. `units` (d,) are the spread of the
    data in each dimension: one sigma. Errors are those of `measure_traversal`.
    """
    start, spread = base.latents, np.asarray(units, dtype=np.float64)
    if start.shape != spread.shape:
        raise EstimatorError(
            f"units has shape {spread.shape}; expected a spread of each of {len(start)} dimensions"
        )
    check_dims(dims, len(start))
    if not step > 0 or not (spread[list(dims)] > 0).all():
        raise EstimatorError(
            f"step is {step} and the spreads are {spread[list(dims)].tolist()}; expected positive "
            "numbers: leave out dimensions that do not vary"
        )
    light = np.where(base.valid & (base.flux > 0), base.flux, np.nan)
    tables, rows = [], []
    derivative = np.empty((len(dims), len(light)), np.float32)
    for number, dim in counted(enumerate(dims), len(dims), progress):
        moved = np.repeat(start[None], 2, axis=0)
        moved[:, dim] += np.array([-step, step]) * spread[dim]
        below, above = base.changes(moved)
        derivative[number] = (above.flux - below.flux) / (2 * step * light)
        tables.append(_lines(base, below, above, dim, step))
        rows.append(_row(below, above, dim, float(spread[dim]), step))
    return LineMapResult(
        table=pd.concat(tables, ignore_index=True),
        dims=pd.DataFrame(rows),
        wavelength=base.wavelength,
        derivative=derivative,
        provenance={
            **origin("line map"),
            "dims": [int(dim) for dim in dims],
            "units": spread.tolist(),
            "step": step,
            **base.provenance,
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
