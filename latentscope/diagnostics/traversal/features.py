"""The lines and bands that a traversal is measured on: where each is, and where its continuum."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

from latentscope.diagnostics.traversal.velocity import SPEED_OF_LIGHT
from latentscope.errors import EstimatorError

Span = tuple[float, float]
"""First and last wavelength in Angstrom."""


class Shape(NamedTuple):
    """Windows of a line, as velocities from its centre in km/s.

    The core, whose mean is the depth; the reach of the equivalent width; and where the windows of
    the continuum begin and end on either side.
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
"""Strong bands of the air's oxygen (gamma and B), Angstrom: they do not move with a star."""

_ATOMS = (
    "H", "He", "Li", "C", "N", "O", "Na", "Mg", "Al", "Si", "P", "S", "K", "Ca", "Sc", "Ti", "V",
    "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Ru", "Ba", "La",
    "Ce", "Pr", "Nd", "Sm", "Eu", "Gd", "Dy",
)  # fmt: skip
_AIR = ("O2", "H2O")


@dataclass(frozen=True)
class Feature:
    """A line or a band.

    Parameters
    ----------
    name : str
        Such as "Fe I 5269.5".
    element : str
        What it belongs to: "Fe I", "H", "TiO", "O2".
    kind : str
        A key of `SHAPES`, "band" or "telluric".
    wavelength : float
        Centre of a line, head of a band; Angstrom in air, at rest.
    core, inside : (float, float)
        Windows of the depth and of the equivalent width, Angstrom.
    sides : tuple of (float, float)
        One or two windows of the continuum, Angstrom.
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
    """Make a line of a known kind.

    Parameters
    ----------
    element : str
        Such as "Fe I".
    wavelength : float
        Angstrom in air, at rest.
    kind : str
        A key of `SHAPES`.
    name : str, optional
        By default element and wavelength.

    Raises
    ------
    EstimatorError
        If there is no such kind, or the wavelength is not positive.
    """
    if kind not in SHAPES:
        raise EstimatorError(f"{element}: kind is {kind!r}; wanted one of {', '.join(SHAPES)}")
    if not 0 < wavelength < float("inf"):
        raise EstimatorError(f"{element}: wavelength is {wavelength}; wanted Angstrom in air")
    shape = SHAPES[kind]

    def span(first: float, last: float) -> Span:
        return (
            wavelength * (1 + first / SPEED_OF_LIGHT),
            wavelength * (1 + last / SPEED_OF_LIGHT),
        )

    return Feature(
        name=name or f"{element} {wavelength:.1f}",
        element=element,
        kind=kind,
        wavelength=wavelength,
        core=span(-shape.core, shape.core),
        inside=span(-shape.reach, shape.reach),
        sides=(span(-shape.outer, -shape.inner), span(shape.inner, shape.outer)),
    )


def lines_from(table: Iterable[tuple[str, float]]) -> list[Feature]:
    """Make narrow lines from pairs of element and air wavelength in Angstrom."""
    return [line(element, float(wavelength)) for element, wavelength in table]


def element_order(element: str) -> tuple[int, str]:
    """Key to sort elements by: atoms by weight, other atoms and molecules, then the air."""
    symbol = element.split()[0]
    if symbol in _AIR:
        return len(_ATOMS) + 1, element
    return (_ATOMS.index(symbol) if symbol in _ATOMS else len(_ATOMS)), element


def stellar_features() -> list[Feature]:
    """The built-in list, ascending in wavelength.

    Balmer lines, Ca II H and K, the G band, TiO, lines of fifteen elements between 3785 and
    6910 Angstrom, and bands of the air.
    """
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
