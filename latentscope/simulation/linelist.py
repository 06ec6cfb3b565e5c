"""Line lists: the built-in one, and readers of CSV, MOOG/linemake and VALD files."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.simulation.atmosphere import SUN, layer, stage_fractions
from latentscope.simulation.elements import ELEMENTS, SYMBOLS
from latentscope.spectra.wavelength import vacuum_to_air

SPECIES = np.dtype(
    [("Z", "i4"), ("ion", "i4"), ("ip1", "f8"), ("ip2", "f8")]
    + [(name, "f8") for name in ("u0", "u1", "u2", "mass", "abundance")]
)


@dataclass(frozen=True)
class LineList:
    """Atomic lines, ascending in wavelength.

    Attributes
    ----------
    name : str
        Where the lines come from; written to every simulated file.
    wavelength : ndarray, shape (n,)
        Air wavelength in Angstrom.
    z, ion : ndarray of int, shape (n,)
        Atomic number; 0 neutral, 1 singly ionised.
    excitation : ndarray, shape (n,)
        Lower level in eV.
    loggf : ndarray, shape (n,)
        Log10 of statistical weight times oscillator strength.
    """

    name: str
    wavelength: NDArray[np.float64]
    z: NDArray[np.int32]
    ion: NDArray[np.int32]
    excitation: NDArray[np.float64]
    loggf: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.wavelength)

    @cached_property
    def _keys(self) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        keys, index = np.unique(self.z * 10 + self.ion, return_inverse=True)
        return keys, index

    @cached_property
    def species(self) -> NDArray[np.void]:
        """The distinct (element, ionisation stage) pairs, dtype `SPECIES`."""
        rows = [_species_row(int(key) // 10, int(key) % 10) for key in self._keys[0]]
        return np.array(rows, dtype=SPECIES)

    @property
    def species_index(self) -> NDArray[np.intp]:
        """Row of `species` that each line belongs to, shape (n,)."""
        return self._keys[1]


def _species_row(z: int, ion: int) -> tuple[float, ...]:
    e = ELEMENTS[z]
    return (z, ion, e.ip1, e.ip2, e.u0, e.u1, e.u2, e.mass, e.abundance)


def _line_list(name: str, rows: list[tuple[float, int, int, float, float]]) -> LineList:
    usable = [r for r in rows if r[1] in ELEMENTS and r[1] > 1 and r[2] in (0, 1)]
    if not usable:
        raise SpectrumError(
            f"{name}: no atomic line found; wanted a CSV with the columns wavelength_air_A, Z, "
            "ion, ep_eV, loggf, a MOOG/linemake list, or a VALD extract-stellar file"
        )
    table = np.array(sorted(usable))
    return LineList(
        name, table[:, 0], table[:, 1].astype("i4"), table[:, 2].astype("i4"), table[:, 3],
        table[:, 4],
    )  # fmt: skip


def builtin_linelist(seed: int = 2021, forest: int = 9000) -> LineList:
    """Strong lines from published values, and a seeded forest of weak ones.

    The strong lines (`strong_lines.csv`: NIST and the papers named there) are real. The forest is
    invented: its wavelengths, levels and strengths are drawn so that line density falls from the
    blue to the red as in a solar-type star. Spectra made with it look like stars to a network and
    must not be compared line by line with a real one.
    """
    text = files("latentscope.simulation").joinpath("strong_lines.csv").read_text("utf-8")
    rows = _read_csv("strong_lines.csv", text)
    rng = np.random.default_rng(seed)
    wavelength = 3765.0 + (6930.0 - 3765.0) * rng.beta(1.0, 2.6, forest)
    drawn_species = rng.choice(len(_FOREST), forest, p=_FOREST_WEIGHT)
    z, ion = _FOREST[drawn_species].T
    excitation = np.clip(rng.gamma(4.0, 0.8, forest) - 0.3, 0.0, 6.5)
    # Optical depth in the Sun: many weak lines, few strong ones; log gf follows from it.
    depth = -1.3 + rng.exponential(0.65, forest)
    state = layer(*SUN)
    species = np.array([_species_row(int(a), int(b)) for a, b in _FOREST], dtype=SPECIES)
    column = np.log10(stage_fractions(state, species)) + species["abundance"]
    loggf = depth - column[drawn_species] + excitation * 5040.0 / state.temperature + _FOREST_ZERO
    drawn = zip(wavelength, z.tolist(), ion.tolist(), excitation, loggf, strict=True)
    return _line_list(f"built-in (seed {seed})", rows + [tuple(r) for r in drawn])


_FOREST = np.array(
    [(26, 0), (22, 0), (24, 0), (23, 0), (28, 0), (27, 0), (25, 0), (20, 0), (26, 1), (22, 1),
     (24, 1), (58, 1), (60, 1), (40, 1), (14, 0)]
)  # fmt: skip
_FOREST_ZERO = -0.6  # gives an Fe I line of log tau = 0 in the Sun the log gf that nature gives it
_FOREST_WEIGHT = np.array([42, 10, 8, 6, 7, 4, 3, 1, 6, 4, 3, 2, 2, 1, 1]) / 100.0


def read_linelist(source: str | os.PathLike[str] | None = None) -> LineList:
    """Read a line list; None gives the built-in one.

    Recognised by content: CSV with a header line (`wavelength_air_A, Z, ion, ep_eV, loggf`),
    MOOG/linemake (wavelength, species such as 26.1, excitation, loggf in columns) and VALD
    extract-stellar (`'Fe 1', wavelength, excitation, vmic, loggf, ...`). `.gz` is unpacked.

    Raises
    ------
    SpectrumError
        If the file is missing, is none of these, or holds no usable line.
    """
    if source is None:
        return builtin_linelist()
    path = Path(source)
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8", "replace")
    except (OSError, EOFError) as error:
        raise SpectrumError(f"{path}: cannot read the line list: {error}") from error
    header = text.lstrip().splitlines()[0].lower() if text.strip() else ""
    if "loggf" in header and "z" in header.split(","):
        return _line_list(path.name, _read_csv(path.name, text))
    if re.search(r"^\s*'[A-Z][a-z]?\s+\d'\s*,", text, re.MULTILINE):
        return _line_list(path.name, _read_vald(text))
    return _line_list(path.name, _read_moog(text))


def _read_csv(name: str, text: str) -> list[tuple[float, int, int, float, float]]:
    lines = (line for line in io.StringIO(text) if not line.startswith("#"))
    rows = []
    for number, row in enumerate(csv.DictReader(lines), start=2):
        try:
            rows.append(_csv_row(row))
        except (KeyError, TypeError, ValueError) as error:
            raise SpectrumError(
                f"{name}: row {number}: {error}; wanted numbers in wavelength_air_A, Z, ion, "
                "ep_eV, loggf"
            ) from error
    return rows


def _csv_row(row: dict[str, Any]) -> tuple[float, int, int, float, float]:
    wavelength = float(row["wavelength_air_A"])
    return wavelength, int(row["Z"]), int(row["ion"]), float(row["ep_eV"]), float(row["loggf"])


def _read_moog(text: str) -> list[tuple[float, int, int, float, float]]:
    rows = []
    for line in text.splitlines():
        try:
            wavelength, species, excitation, loggf = (float(v) for v in line.split()[:4])
        except ValueError:
            continue  # the title line, and comments
        # 26.0 neutral, 26.1 ionised, 26.1054 an isotope; molecules have Z above 100.
        rows.append((wavelength, int(species), int(species * 10) % 10, excitation, loggf))
    return rows


_PER_EV = 8065.544  # wavenumbers in 1/cm


def _read_vald(text: str) -> list[tuple[float, int, int, float, float]]:
    pattern = re.compile(
        r"^\s*'([A-Z][a-z]?)\s+(\d)'\s*,\s*([\d.]+)\s*,\s*([-\d.]+)\s*,\s*([-\d.]+)\s*,\s*([-\d.]+)",
        re.MULTILINE,
    )
    rows = [
        (float(w), SYMBOLS[symbol], int(stage) - 1, float(excitation), float(loggf))
        for symbol, stage, w, excitation, _, loggf in pattern.findall(text)
        if symbol in SYMBOLS
    ]
    # The columns' heading says in which of VALD's two units each is.
    if "WL_vac(A)" in text and rows:
        air = vacuum_to_air(np.array([row[0] for row in rows]))
        rows = [(float(w), *row[1:]) for w, row in zip(air, rows, strict=True)]
    if "Excit(cm-1)" in text:
        rows = [(w, z, ion, level / _PER_EV, loggf) for w, z, ion, level, loggf in rows]
    return rows
