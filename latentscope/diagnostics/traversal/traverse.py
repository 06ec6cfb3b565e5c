"""Move one latent dimension, decode, and measure what changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.diagnostics.study import origin
from latentscope.diagnostics.traversal.lines import (
    NOTICED,
    SURE,
    TELLURIC_SPANS,
    Feature,
    Gauge,
    Strengths,
    line_table,
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
from latentscope.diagnostics.traversal.words import (
    COLOUR_NOTICED,
    air_words,
    element_words,
    line_words,
    measured,
    percent,
    signed,
)
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
        """Is the change a Doppler shift? See `latentscope.diagnostics.traversal.traverse`."""
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
        """Draw it (`latentscope.plots.plot_traversal`): all panels, or only the spectra on `ax`."""
        # By name, since diagnostics stand below the pictures of them.
        return import_module("latentscope.plots").plot_traversal(self, ax)

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


Verdict = Literal["shift", "partly", "none", "unlike"]

UNLIKE = 0.5
"""Height of the cross-correlation below which two spectra are too unlike to have a velocity."""

SHIFTS = 0.5
"""Share of the change explained by shifts from which a dimension is called a Doppler shift."""

_STILL_SHARE, _STILL_KMS, _SURE = 0.05, 0.5, 3.0


def comparable(velocity: Floats, correlation: Floats) -> NDArray[np.bool_]:
    """Which spectra are like the base enough to have a velocity against it."""
    return np.isfinite(velocity) & (correlation >= UNLIKE)


def verdict(velocity: Floats, correlation: Floats, per_unit: Rate, explained: float) -> Verdict:
    """Judge a dimension by the velocities of its spectra against the base.

    Parameters
    ----------
    velocity : ndarray, shape (k,)
        Km/s.
    correlation : ndarray, shape (k,)
        Height of the cross-correlation's peak.
    per_unit : Rate
        Km/s per unit of the latent.
    explained : float
        Share of the change that shifts explain.

    Returns
    -------
    {"shift", "partly", "none", "unlike"}
        "unlike": more than half of the spectra correlate with the base by less than 0.5, so that
        there is no velocity to speak of. "none": the lines stay (the others lie within 0.5 km/s of
        the base, the rate is within three errors of 0, or shifts explain less than 5 % of the
        change). "shift": they move, and that explains at least half of the change. "partly": they
        move, and other changes are larger.
    """
    like = comparable(velocity, correlation)
    if like.sum() < max(2, len(like) / 2):
        return "unlike"
    still = float(np.abs(velocity[like]).max()) < _STILL_KMS
    sure = abs(per_unit.value) > _SURE * per_unit.error
    if still or not sure or not explained > _STILL_SHARE:
        return "none"
    return "shift" if explained >= SHIFTS else "partly"


def explained_by_shift(velocities: Sequence[Velocity]) -> float:
    """Share of the summed squared change of the line contrast that shifts take away.

    For small shifts it is the squared correlation of the change with the derivative of the base
    with respect to ln(wavelength). NaN where nothing changes.
    """
    before = sum(velocity.before for velocity in velocities)
    after = sum(velocity.after for velocity in velocities)
    return 1.0 - after / before if before > 0 else float("nan")


CONTRAST_WINDOW = 600.0
"""Velocity, km/s, over which the flux is averaged to flatten it where a model gives no contrast."""

_FEWEST_LINES = 10
_LEAST_CORRELATION = 0.1
_LINE_SIGMA = 6.0  # km/s
_UNSHIFTED = 0.01  # km/s


@dataclass(frozen=True)
class Pixels:
    """The wavelengths of decoded spectra, and which of them count.

    Parameters
    ----------
    wavelength : ndarray, shape (n,)
        Angstrom in air, ascending.
    valid : ndarray of bool, shape (n,)
        False in gaps and padding.
    """

    wavelength: Floats
    valid: NDArray[np.bool_]

    @classmethod
    def checked(cls, wavelength: ArrayLike, valid: ArrayLike | None) -> Pixels:
        """Check and complete what a user gave.

        Raises
        ------
        EstimatorError
            If wavelengths are not ascending and positive, or `valid` does not fit.
        """
        given = np.asarray(wavelength, dtype=np.float64)
        if given.ndim != 1 or len(given) < 64 or given[0] <= 0 or not (np.diff(given) > 0).all():
            raise EstimatorError(
                f"wavelength has shape {given.shape}; wanted (pixels,) of at least 64 positive, "
                "ascending values in Angstrom"
            )
        usable = np.ones(len(given), np.bool_) if valid is None else np.asarray(valid, np.bool_)
        if usable.shape != given.shape or usable.sum() < 64:
            raise EstimatorError(
                f"valid has shape {usable.shape} and {int(usable.sum())} usable pixels; wanted "
                f"{given.shape} and at least 64"
            )
        return cls(given, usable)


@dataclass(frozen=True)
class Change:
    """How a decoded spectrum differs from the base.

    Parameters
    ----------
    velocity : Velocity
        Its radial velocity against the base.
    slope : Slope
        Of its continuum against the base's.
    colour : float
        Its colour minus the base's, mag; positive: redder.
    rms : float
        Root mean square of the difference over the base's mean flux.
    strengths : Strengths
        Of its lines, measured where its velocity puts them, without the change of the slope.
    sampling : Strengths
        What the same measurement makes of the base, shifted by that velocity, minus what it makes
        of the base: the error of reading narrow lines off pixels.
    """

    velocity: Velocity
    slope: Slope
    colour: float
    rms: float
    strengths: Strengths
    sampling: Strengths


class Base:
    """The spectrum that others are measured against.

    Parameters
    ----------
    flux : ndarray, shape (n,)
    contrast : ndarray, shape (n,), optional
        Line contrast, continuum at 0; by default of the flux over its running mean.
    pixels : Pixels
    features : sequence of Feature
    rv : float, optional
        Velocity of its lines, km/s; by default where the listed lines correlate best.
    """

    def __init__(
        self,
        flux: NDArray[np.floating[Any]],
        contrast: NDArray[np.floating[Any]] | None,
        pixels: Pixels,
        features: Sequence[Feature],
        rv: float | None = None,
    ) -> None:
        self.flux, self.pixels = flux, pixels
        stellar = pixels.valid.copy()
        for first, last in TELLURIC_SPANS:
            stellar &= (pixels.wavelength < first) | (pixels.wavelength > last)
        self.axis = log_axis(pixels.wavelength, pixels.valid, stellar)
        self.window = 1 + 2 * round(CONTRAST_WINDOW / SPEED_OF_LIGHT / self.axis.step / 2)
        self.contrast = self._contrast(flux, contrast)
        self.gauge = Gauge(features, pixels.wavelength, pixels.valid)
        found = line_velocity(self.contrast, self.axis, features) if rv is None else rv
        self.rv = found if np.isfinite(found) else 0.0
        self.source_of_rv = "given" if rv is not None else _source(found)
        self.strengths = self.gauge.measure(flux, self.rv)
        self.colour = colour(flux, pixels.wavelength, pixels.valid)

    def change(
        self,
        flux: NDArray[np.floating[Any]],
        contrast: NDArray[np.floating[Any]] | None,
    ) -> Change:
        """Measure a spectrum, flux and contrast of shape (n,), against the base."""
        moved = velocity(self._contrast(flux, contrast), self.contrast, self.axis)
        valid, wavelength = self.pixels.valid, self.pixels.wavelength
        difference = (flux - self.flux)[valid].astype(np.float64)
        tilt = slope(flux, self.flux, wavelength, valid)
        level = flux
        if np.isfinite(tilt.value):
            level = flux / (wavelength / wavelength.mean()) ** tilt.value
        shift = moved.rv if np.isfinite(moved.rv) else 0.0
        return Change(
            velocity=moved,
            slope=tilt,
            colour=colour(flux, wavelength, valid) - self.colour,
            rms=float(np.sqrt(np.mean(difference**2)) / abs(self.flux[valid].mean())),
            strengths=self.gauge.measure(level, self.rv + shift),
            sampling=self._sampling(shift),
        )

    def _sampling(self, shift: float) -> Strengths:
        """Error of the strengths of a spectrum that is shifted by so many km/s."""
        if abs(shift) < _UNSHIFTED:
            return self.strengths - self.strengths
        wavelength = self.pixels.wavelength
        base = spline(wavelength, self.flux, self.pixels.valid)
        shifted = base(wavelength / (1 + shift / SPEED_OF_LIGHT))
        return self.gauge.measure(shifted, self.rv + shift) - self.strengths

    def _contrast(
        self, flux: NDArray[np.floating[Any]], contrast: NDArray[np.floating[Any]] | None
    ) -> Floats:
        if contrast is not None:
            return self.axis.put(contrast)
        return running_contrast(self.axis.put(flux), self.axis.valid, self.window)


def _source(found: float) -> str:
    return "its lines" if np.isfinite(found) else "assumed: its lines do not correlate"


def line_velocity(contrast: Floats, axis: LogAxis, features: Sequence[Feature]) -> float:
    """Velocity of a star from its lines, km/s, receding positive.

    The cross-correlation with a mask of the listed atomic lines, all of one strength (Baranne et
    al. 1996, A&AS 119, 373). NaN where fewer than ten of them are covered, or nothing correlates.
    """
    centres = np.array([f.wavelength for f in features if f.kind in ("narrow", "strong")])
    at = np.searchsorted(axis.wavelength, centres)
    inside = (at > 0) & (at < len(axis.wavelength))
    if inside.sum() < _FEWEST_LINES:
        return float("nan")
    mask = np.zeros(len(axis.wavelength))
    sigma = max(_LINE_SIGMA / SPEED_OF_LIGHT / axis.step, 1.0)  # pixels
    reach = int(np.ceil(4 * sigma))
    start = np.log(axis.wavelength[0])
    for place in (np.log(centres[inside]) - start) / axis.step:
        pixels = np.arange(max(0, int(place) - reach), min(len(mask), int(place) + reach + 2))
        mask[pixels] -= np.exp(-0.5 * ((pixels - place) / sigma) ** 2)
    found = velocity(contrast, mask, axis)
    return found.rv if found.correlation > _LEAST_CORRELATION else float("nan")


BLUE, VISUAL = (3920.0, 4810.0), (5030.0, 5870.0)
"""Boxes about as wide as Johnson's B and V, Angstrom."""

_BLOCKS = 100
_COVERED = 0.9


class Slope(NamedTuple):
    """d ln(flux / base) / d ln(wavelength), positive: redder than the base; and its error."""

    value: float
    error: float


def colour(flux: NDArray[np.floating[Any]], wavelength: Floats, valid: NDArray[np.bool_]) -> float:
    """Colour like B - V in magnitudes, without a zero point: larger is redder.

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


def slope(
    flux: NDArray[np.floating[Any]],
    base: NDArray[np.floating[Any]],
    wavelength: Floats,
    valid: NDArray[np.bool_],
) -> Slope:
    """Slope of the continuum against the base's.

    The spectra are summed in 100 blocks of pixels, in which shifts of lines cancel; ln of the ratio
    is regressed on ln(wavelength), with the error of that regression. NaN if fewer than three
    blocks hold light.
    """
    pixels = np.array_split(np.flatnonzero(valid), min(_BLOCKS, max(int(valid.sum()) // 8, 1)))
    light = np.array([[flux[p].sum(), base[p].sum(), wavelength[p].mean()] for p in pixels])
    bright = (light[:, :2] > 0).all(axis=1)
    if bright.sum() < 3:
        return Slope(float("nan"), float("nan"))
    above, below, place = light[bright].T.astype(np.float64)
    found = rate(np.log(place), np.log(above / below))
    return Slope(found.value, found.error)


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


def traversal_sentences(result: TraversalResult) -> list[str]:
    """Say what moving a dimension does: velocity, continuum, lines, bands of the air."""
    strongest, groups = line_words(result.lines), element_words(result.lines)
    words = [_velocity_words(result), _continuum_words(result)]
    if strongest:
        words.append(f"Lines that change most, in depth per sigma: {', '.join(strongest)}.")
    else:
        words.append(f"No line's depth changes by {NOTICED:g} per sigma or more.")
    if groups:
        words.append(f"By element: {', '.join(groups)}.")
    return [*words, *_air_sentence(result.lines)]


def _velocity_words(result: TraversalResult) -> str:
    dim, share = f"dim {result.dim}", percent(result.shift_explained)
    values, like = result.table["value"], result.comparable
    span = f"{values.min():.3g} to {values.max():.3g}"
    verdict = result.verdict
    if verdict == "unlike":
        return (
            f"{dim}: no velocity can be given; from {span}, {int((~like).sum())} of {len(like)} "
            "spectra are too unlike the base (cross-correlation below 0.5)."
        )
    others = int((~like).sum())
    aside = f" ({others} too unlike the base left out)" if others else ""
    per_unit, velocity = result.rv_per_unit, result.table["rv_kms"][like]
    moves = (
        f"{measured(per_unit.value, per_unit.error)} km/s per unit, "
        f"{signed(per_unit.value * result.unit)} km/s per sigma, receding positive{aside}"
    )
    if verdict == "none":
        return (
            f"{dim} is no Doppler shift: over the values {span} the lines stay within "
            f"{velocity.abs().max():.2g} km/s of the base{aside}, and shifts explain {share} of "
            "their change."
        )
    if verdict == "shift":
        reached = f"{signed(velocity.iloc[0])} to {signed(velocity.iloc[-1])} km/s"
        return (
            f"{dim} is a Doppler shift: {moves}; {reached} over the values {span}. Pure shifts "
            f"explain {share} of the change of the lines."
        )
    return (
        f"{dim} shifts the lines, {moves}, but this explains only {share} of their change: it does "
        "other things too."
    )


def _continuum_words(result: TraversalResult) -> str:
    colour, slope = result.colour_per_unit, result.slope_per_unit
    tilt = f"slope {measured(slope.value * result.unit, slope.error * result.unit)} per sigma"
    change, error = colour.value * result.unit, colour.error * result.unit
    if not np.isfinite(change):
        return f"Continuum: {tilt} (d ln flux / d ln wavelength; positive: redder)."
    if abs(change) < max(COLOUR_NOTICED, SURE * error):
        most = result.table["colour_mag"].abs().max()
        return (
            f"The continuum's colour (like B - V) stays within {max(most, 0.001):.3f} mag; {tilt}."
        )
    return (
        f"The continuum becomes {'redder' if change > 0 else 'bluer'}: "
        f"{measured(change, error)} mag per sigma in a colour like B - V; {tilt}."
    )


def _air_sentence(lines: pd.DataFrame) -> list[str]:
    found = air_words(lines)
    if found is None:
        return []
    change, tells = found
    if tells:
        return [f"Bands of the Earth's air change, in depth per sigma {change}: perhaps airmass."]
    return [
        "Bands of the Earth's air change little beside the star's lines (in depth per sigma "
        f"{change}): no sign of airmass."
    ]
