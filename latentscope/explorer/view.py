"""What somebody looks at, as the page's address says it, so that a view can be shared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True)
class View:
    """A view.

    `row` of the spectrum shown, -1 for the mean; dimensions that were `moved` away from it, and
    where to; columns of the map, empty where not said; wavelengths in Angstrom that are seen, NaN
    for all; velocity of the marked lines in km/s, NaN for that of the spectrum; pixels that are
    smoothed over.
    """

    row: int = -1
    moved: tuple[tuple[int, float], ...] = ()
    x: str = ""
    y: str = ""
    color: str = ""
    first: float = math.nan
    last: float = math.nan
    rv: float = math.nan
    smooth: float = 0.0

    @property
    def query(self) -> str:
        """The view as the end of an address."""
        values: dict[str, Any] = {"row": self.row} if self.row >= 0 else {}
        if self.moved:
            values["z"] = ",".join(f"{dim}:{value:.4g}" for dim, value in self.moved)
        values |= {name: getattr(self, name) for name in ("x", "y", "color") if getattr(self, name)}
        if self.last > self.first:
            values["wavelength"] = f"{self.first:.2f}-{self.last:.2f}"
        if math.isfinite(self.rv):
            values["rv"] = f"{self.rv:.3f}"
        if self.smooth > 0:
            values["smooth"] = f"{self.smooth:g}"
        return urlencode(values)


def read_view(
    arguments: Mapping[str, list[bytes]], rows: int, dims: int, columns: list[str]
) -> View:
    """Read the end of an address, as a request has it; what makes no sense there is not taken.

    `rows` and `dims` are those of the archive, `columns` those that a map can show.
    """
    given = {name: values[-1].decode("utf-8", "replace") for name, values in arguments.items()}
    row = _number(given.get("row", ""))
    moved = []
    for part in given.get("z", "").split(",")[:dims]:
        name, _, text = part.partition(":")
        value = _number(text)
        if name.isascii() and name.isdigit() and int(name) < dims and math.isfinite(value):
            moved.append((int(name), value))
    first, _, last = given.get("wavelength", "").partition("-")
    smooth = _number(given.get("smooth", ""))
    named = {n: given[n] for n in ("x", "y", "color") if given.get(n) in columns}
    return View(
        row=int(row) if 0 <= row < rows else -1,
        moved=tuple(moved),
        first=_number(first),
        last=_number(last),
        rv=_number(given.get("rv", "")),
        smooth=min(smooth, 1000.0) if smooth > 0 else 0.0,
        **named,
    )


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
