"""The lines and bands that a traversal is measured on: where, how deep, what changes, in words."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.diagnostics.traversal.velocity import SPEED_OF_LIGHT, Floats, rate, spline
from latentscope.errors import EstimatorError

Span = tuple[float, float]
"""First and last wavelength in Angstrom."""


class Shape(NamedTuple):
    """Windows of a line, km/s from its center.

    The core, for the depth; the reach of the equivalent width; and the inner and outer ends of the
    windows of the continuum on either side.
    """

    core: float
    reach: float
    inner: float
    outer: float


SHAPES = {
    "narrow": Shape(6.0, 25.0, 30.0, 140.0),
    "strong": Shape(6.0, 60.0, 70.0, 300.0),
    "balmer": Shape(20.0, 600.0, 800.0, 1500.0),
    "resonance": Shape(20.0, 750.0, 1400.0, 2200.0),
}
"""Kinds of lines; "balmer" are those of hydrogen, "resonance" Ca II H and K."""

TELLURIC_SPANS: tuple[Span, ...] = ((6276.0, 6320.0), (6866.0, 6944.0))
"""Strong telluric bands of oxygen (gamma and B), Angstrom: they do not move with a star."""

_ATOMS = (
    "H", "He", "Li", "C", "N", "O", "Na", "Mg", "Al", "Si", "P", "S", "K", "Ca", "Sc", "Ti", "V",
    "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Ru", "Ba", "La",
    "Ce", "Pr", "Nd", "Sm", "Eu", "Gd", "Dy",
)  # fmt: skip
_AIR = ("O2", "H2O")

NOTICED = 0.005
"""Change of depth per sigma below which a line is said to stay."""

SURE = 3.0
"""Errors that a change must exceed to be named."""

COLOR_NOTICED = 0.005
"""Magnitudes per sigma below which the color is said to stay."""

SLOPE_NOTICED = 0.02
"""The equivalent change of d ln flux / d ln wavelength."""

_LINES_NAMED, _ELEMENTS_NAMED = 5, 6
# Twice NOTICED, since windows of telluric bands hold lines of the star too.
_AIR_NOTICED, _AIR_SHARE = 0.01, 0.5
_MEASURES = ("depth", "ew", "width")
_CONTINUUM = 0.85  # quantile of the flux in a window that stands for its continuum
_SHALLOW = 0.02  # a line less deep than this has no width to speak of


@dataclass(frozen=True)
class Feature:
    """A line or a band, by name, such as "Fe I 5269.5", and by element: "Fe I", "H", "TiO", "O2".

    `kind` is a key of `SHAPES`, "band" or "telluric"; `wavelength` the center of a line or the head
    of a band, Angstrom in air, at rest. `core` and `inside` are the windows of depth and equivalent
    width, `sides` one or two windows of the continuum.
    """

    name: str
    element: str
    kind: str
    wavelength: float
    core: Span
    inside: Span
    sides: tuple[Span, ...]

    @property
    def telluric(self) -> bool:
        """Whether it belongs to the air and stays with the observer."""
        return self.kind == "telluric"


def line(element: str, wavelength: float, kind: str = "narrow", name: str | None = None) -> Feature:
    """Make a line of an element, such as "Fe I", of a kind in `SHAPES`; Angstrom in air."""
    if kind not in SHAPES:
        raise EstimatorError(f"{element}: kind is {kind!r}; expected one of {', '.join(SHAPES)}")
    if not 0 < wavelength < float("inf"):
        raise EstimatorError(f"{element}: wavelength is {wavelength}; expected Angstrom in air")
    shape = SHAPES[kind]

    def span(first: float, last: float) -> Span:
        factors = 1 + first / SPEED_OF_LIGHT, 1 + last / SPEED_OF_LIGHT
        return wavelength * factors[0], wavelength * factors[1]

    return Feature(
        name=name or f"{element} {wavelength:.1f}",
        element=element,
        kind=kind,
        wavelength=wavelength,
        core=span(-shape.core, shape.core),
        inside=span(-shape.reach, shape.reach),
        sides=(span(-shape.outer, -shape.inner), span(shape.inner, shape.outer)),
    )


def element_order(element: str) -> tuple[int, str]:
    """Key to sort elements by: atoms by weight, other atoms and molecules, then the air."""
    symbol = element.split()[0]
    if symbol in _AIR:
        return len(_ATOMS) + 1, element
    return (_ATOMS.index(symbol) if symbol in _ATOMS else len(_ATOMS)), element


def stellar_features() -> list[Feature]:
    """Built-in lines of fifteen elements, G band, TiO and telluric bands, 3785 to 6910 A."""
    text = files("latentscope.diagnostics.traversal").joinpath("lines.csv").read_text("utf-8")
    rows = csv.DictReader(row for row in text.splitlines() if not row.startswith("#"))
    return [_feature(row) for row in rows]


def _feature(row: dict[str, str]) -> Feature:
    element, wavelength, kind = row["element"], float(row["wavelength"]), row["kind"]
    if kind in ("balmer", "resonance"):
        owner = "H" if kind == "balmer" else element.rpartition(" ")[0]
        return line(owner, wavelength, kind, name=element)
    if kind in SHAPES:
        return line(element, wavelength, kind)
    inside = (wavelength, float(row["last"]))
    return Feature(
        name=element if "band" in element else f"{element} {wavelength:.0f}",
        element=element.split()[0],
        kind=kind,
        wavelength=wavelength,
        core=inside,
        inside=inside,
        sides=tuple(_span(row[side]) for side in ("blue", "red") if row[side]),
    )


def _span(text: str) -> Span:
    first, last = text.split("-")
    return float(first), float(last)


class Gauge:
    """Measures features of spectra, interpolated by splines, where a star's velocity puts them.

    The continuum of a feature is the straight line through the 85 % quantiles of the flux in its
    windows (that of the one window, for the head of a band); in crowded spectra it lies below the
    true continuum. Wavelengths (n,) are ascending, in Angstrom; features that touch a pixel that is
    not `valid` are not measured.
    """

    def __init__(
        self, features: Sequence[Feature], wavelength: Floats, valid: NDArray[np.bool_]
    ) -> None:
        self.features, self.wavelength, self.valid = list(features), wavelength, valid
        self.pixel = float(np.median(np.diff(wavelength)))
        spans = [span for f in self.features for span in (f.core, f.inside, *f.sides)]
        points = [self._samples(span) for span in spans]
        still = [f.telluric for f in self.features for _ in range(2 + len(f.sides))]
        self.ends = np.cumsum([0, *map(len, points)])
        self.points = np.concatenate([*points, np.empty(0)])
        self.moving = np.repeat(~np.array(still, dtype=np.bool_), np.diff(self.ends))

    def _samples(self, span: Span) -> Floats:
        """Centers of equal parts of a span, at least two a pixel, whose mean is its integral."""
        count = max(9, 2 * round((span[1] - span[0]) / self.pixel) + 1)
        return span[0] + (span[1] - span[0]) * (np.arange(count) + 0.5) / count

    def measure(self, flux: NDArray[np.floating[Any]], rv: float) -> Floats:
        """Measure a spectrum (n,) of a star that recedes at `rv` km/s, giving (3, features).

        Depth: 1 minus the mean flux of the core over the continuum. Equivalent width in Angstrom,
        absorption positive. Width: equivalent width over depth in Angstrom; NaN for lines less than
        0.02 deep. All are NaN where a line is not covered. Telluric bands stay in place.
        """
        at = self.points * np.where(self.moving, 1 + rv / SPEED_OF_LIGHT, 1.0)
        # All at once, since a spline through a whole spectrum takes long.
        sampled = spline(self.wavelength, flux, self.valid)(at)
        bad = np.interp(at, self.wavelength, ~self.valid, left=1.0, right=1.0)
        sampled[bad > 0] = np.nan
        found = np.full((len(self.features), 3), np.nan)
        window = 0
        for number, feature in enumerate(self.features):
            parts = range(window, window + 2 + len(feature.sides))
            window = parts.stop
            pieces = [slice(self.ends[part], self.ends[part + 1]) for part in parts]
            found[number] = _strength(feature, sampled, at, pieces)
        return found.T


def _strength(
    feature: Feature, flux: Floats, wavelength: Floats, pieces: list[slice]
) -> tuple[float, float, float]:
    core, inside, *sides = pieces
    if any(np.isnan(flux[piece]).any() for piece in pieces):
        return np.nan, np.nan, np.nan
    level = [_upper(flux[side]) for side in sides]
    if min(level) <= 0:
        return np.nan, np.nan, np.nan
    place = [float(wavelength[side].mean()) for side in sides]
    depth = 1.0 - float((flux[core] / np.interp(wavelength[core], place, level)).mean())
    missing = 1.0 - float((flux[inside] / np.interp(wavelength[inside], place, level)).mean())
    ew = missing * (feature.inside[1] - feature.inside[0])
    return depth, ew, ew / depth if depth > _SHALLOW else np.nan


def _upper(flux: Floats) -> float:
    """Quantile of the flux that stands for the continuum; faster than numpy's."""
    ordered = np.sort(flux)
    place = _CONTINUUM * (len(flux) - 1)
    below = int(place)
    return float(ordered[below] + (place - below) * (ordered[below + 1] - ordered[below]))


def line_table(
    features: Sequence[Feature],
    base: Floats,
    along: Sequence[Floats],
    errors: Sequence[Floats],
    offset: Floats,
    unit: float,
) -> pd.DataFrame:
    """Table of the lines with their change per sigma: slopes of straight lines, and their errors.

    `base` (3, features) comes from `Gauge.measure`, as do `along` and `errors` (of either sign) of
    k spectra along the dimension, at `offset` (k,) from the base; `unit` is one sigma.
    """
    rows: dict[str, Any] = {
        "line": [f.name for f in features],
        "element": [f.element for f in features],
        "kind": [f.kind for f in features],
        "wavelength": [f.wavelength for f in features],
    }
    # Weight of each spectrum in the slope of a straight line.
    lever = (offset - offset.mean()) / np.sum((offset - offset.mean()) ** 2)
    for number, what in enumerate(_MEASURES):
        columns = np.array([strengths[number] for strengths in along]).T  # (features, k)
        sizes = _at_least_typical(np.array([error[number] for error in errors]).T)
        slopes = np.array([rate(offset, column)[:2] for column in columns]).reshape(-1, 2) * unit
        rows |= {
            what: base[number],
            f"{what}_per_sigma": slopes[:, 0],
            f"{what}_error": np.hypot(slopes[:, 1], np.sqrt(sizes**2 @ lever**2) * unit),
        }
    return pd.DataFrame(rows)


def _at_least_typical(errors: Floats) -> Floats:
    """Sizes of errors (lines, k), at least the median of their spectrum."""
    covered = np.isfinite(errors).any(axis=1)
    size = np.abs(np.nan_to_num(errors))
    return np.maximum(size, np.median(size[covered], axis=0)) if covered.any() else size


def noticed(lines: pd.DataFrame) -> pd.DataFrame:
    """Lines whose depth changes by at least 0.005 per sigma and three errors, the largest first."""
    change = lines["depth_per_sigma"].abs()
    clear = lines[(change >= NOTICED) & (change >= SURE * lines["depth_error"].fillna(0))]
    return clear.sort_values("depth_per_sigma", key=np.abs, ascending=False)


def by_element(lines: pd.DataFrame) -> pd.DataFrame:
    """Mean change of depth per sigma of each element's lines, the largest first.

    Columns `element, lines` (measured ones), `depth_per_sigma`, `error` (from their scatter or from
    their own errors, whichever is larger).
    """
    rows: list[dict[str, Any]] = []
    for element, same in lines.dropna(subset=["depth_per_sigma"]).groupby("element", sort=False):
        change = same["depth_per_sigma"].to_numpy(dtype=np.float64)
        own = np.nan_to_num(same["depth_error"].to_numpy(dtype=np.float64))
        count = len(change)
        scatter = float(change.std(ddof=1)) / np.sqrt(count) if count > 1 else 0.0
        rows.append(
            {
                "element": element,
                "lines": count,
                "depth_per_sigma": float(change.mean()),
                "error": max(scatter, float(np.sqrt(own @ own)) / count),
            }
        )
    table = pd.DataFrame(rows, columns=["element", "lines", "depth_per_sigma", "error"])
    return table.sort_values("depth_per_sigma", key=np.abs, ascending=False, ignore_index=True)


def noticed_elements(lines: pd.DataFrame) -> pd.DataFrame:
    """Rows of `by_element` whose mean changes by at least 0.005 per sigma and three errors."""
    table = by_element(lines)
    size = table["depth_per_sigma"].abs()
    return table[(size >= NOTICED) & (size >= SURE * table["error"])]


def line_words(lines: pd.DataFrame, max_lines: int = _LINES_NAMED) -> list[str]:
    """Name the stellar lines that change most in depth, and say by how much."""
    moved = noticed(lines[lines["kind"] != "telluric"]).head(max_lines)
    return [
        f"{row['line']} {measured(row['depth_per_sigma'], row['depth_error'])}"
        for row in moved.to_dict("records")
    ]


def element_words(lines: pd.DataFrame) -> list[str]:
    """Say for each element whether its lines deepen or weaken, largest change first."""
    changed = noticed_elements(lines[lines["kind"] != "telluric"])
    words = [
        f"{row['element']} depth {'+' if row['depth_per_sigma'] > 0 else '-'}"
        for row in changed.to_dict("records")
    ]
    more = len(words) - _ELEMENTS_NAMED
    return words[:_ELEMENTS_NAMED] + ([f"and {more} more elements"] if more > 0 else [])


def air_words(lines: pd.DataFrame) -> tuple[str, bool] | None:
    """Return the largest change of a band of the air, and whether that is a sign of airmass.

    None if all stay within 0.01 per sigma. These bands hold lines of the star too, so a change
    below half of the star's largest is no sign of airmass.
    """
    air = noticed(lines[lines["kind"] == "telluric"])
    air = air[air["depth_per_sigma"].abs() >= _AIR_NOTICED]
    if not len(air):
        return None
    star = lines.loc[lines["kind"] != "telluric", "depth_per_sigma"].abs().max()
    first = air.iloc[0]
    change = f"{first['line']} {measured(first['depth_per_sigma'], first['depth_error'])}"
    return change, not abs(first["depth_per_sigma"]) < _AIR_SHARE * star


def measured(value: float, error: float) -> str:
    """Return value and error, to two digits of the error."""
    if not np.isfinite(error):
        return signed(value)
    digits = 4 if error == 0 else int(np.clip(1 - np.floor(np.log10(error)), 0, 4))
    return f"{value:+.{digits}f} ± {error:.{digits}f}"


def signed(value: float) -> str:
    """Return a number to three digits, with its sign."""
    return f"{value:+.3g}"


def percent(share: float) -> str:
    """Return a share as a percentage, with a digit where it matters."""
    if not np.isfinite(share):
        return "an unknown part"
    if 0.99 < share < 1:
        return f"{100 * share:.1f} %"
    return f"{100 * share:.0f} %".replace("-0 %", "0 %")
