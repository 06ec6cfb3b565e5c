"""What absorbs and where: elements, line lists, molecular bands, Balmer lines.

The package's line lists hold real atoms and molecules; the readers of CSV, MOOG/linemake and VALD
files give atoms. Outside of the windows in which TiO lines are listed its bands have real heads and
invented lines, which look right to a network at a resolution of 100,000 and are no line list.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.simulation.molecules import MOLECULES
from latentscope.spectra.wavelength import vacuum_to_air


class Element(NamedTuple):
    """One element.

    `abundance` is log10 per 10^12 hydrogen atoms in the Sun (Asplund et al. 2009, ARA&A 47, 481);
    `ip1`, `ip2` are ionization potentials in eV (NIST Atomic Spectra Database); `u0`, `u1`, `u2`
    partition functions near 5000 K (after Gray 2005, table D.2; rounded); `mass` in atomic units.
    """

    symbol: str
    abundance: float
    ip1: float
    ip2: float
    u0: float
    u1: float
    u2: float
    mass: float


ELEMENTS: dict[int, Element] = {
    1: Element("H", 12.00, 13.598, 99.0, 2.0, 1.0, 1.0, 1.0),
    3: Element("Li", 1.05, 5.392, 75.64, 2.1, 1.0, 2.0, 6.9),
    6: Element("C", 8.43, 11.260, 24.38, 9.3, 5.9, 1.0, 12.0),
    7: Element("N", 7.83, 14.534, 29.60, 4.1, 8.9, 6.0, 14.0),
    8: Element("O", 8.69, 13.618, 35.12, 8.7, 4.0, 9.0, 16.0),
    11: Element("Na", 6.24, 5.139, 47.29, 2.1, 1.0, 6.0, 23.0),
    12: Element("Mg", 7.60, 7.646, 15.04, 1.0, 2.0, 1.0, 24.3),
    13: Element("Al", 6.45, 5.986, 18.83, 5.9, 1.0, 2.0, 27.0),
    14: Element("Si", 7.51, 8.152, 16.35, 9.5, 5.7, 1.0, 28.1),
    15: Element("P", 5.41, 10.487, 19.77, 4.5, 8.1, 6.0, 31.0),
    16: Element("S", 7.12, 10.360, 23.34, 8.1, 4.2, 8.0, 32.1),
    19: Element("K", 5.03, 4.341, 31.63, 2.2, 1.0, 5.0, 39.1),
    20: Element("Ca", 6.34, 6.113, 11.87, 1.2, 2.2, 1.0, 40.1),
    21: Element("Sc", 3.15, 6.561, 12.80, 12.0, 23.0, 10.0, 45.0),
    22: Element("Ti", 4.95, 6.828, 13.58, 30.0, 56.0, 22.0, 47.9),
    23: Element("V", 3.93, 6.746, 14.62, 48.0, 43.0, 28.0, 50.9),
    24: Element("Cr", 5.64, 6.767, 16.49, 10.4, 7.2, 25.0, 52.0),
    25: Element("Mn", 5.43, 7.434, 15.64, 6.4, 7.7, 6.0, 54.9),
    26: Element("Fe", 7.50, 7.902, 16.19, 27.0, 43.0, 25.0, 55.8),
    27: Element("Co", 4.99, 7.881, 17.08, 33.0, 29.0, 28.0, 58.9),
    28: Element("Ni", 6.22, 7.640, 18.17, 30.0, 11.0, 21.0, 58.7),
    29: Element("Cu", 4.19, 7.726, 20.29, 2.3, 1.0, 10.0, 63.5),
    30: Element("Zn", 4.56, 9.394, 17.96, 1.0, 2.0, 1.0, 65.4),
    31: Element("Ga", 3.04, 5.999, 20.52, 5.6, 1.0, 2.0, 69.7),
    32: Element("Ge", 3.65, 7.899, 15.93, 7.5, 4.4, 1.0, 72.6),
    37: Element("Rb", 2.52, 4.177, 27.29, 2.3, 1.0, 6.0, 85.5),
    38: Element("Sr", 2.87, 5.695, 11.03, 1.3, 2.2, 1.0, 87.6),
    39: Element("Y", 2.21, 6.217, 12.22, 12.0, 16.0, 10.0, 88.9),
    40: Element("Zr", 2.58, 6.634, 13.13, 34.0, 45.0, 25.0, 91.2),
    41: Element("Nb", 1.46, 6.759, 14.32, 54.0, 47.0, 30.0, 92.9),
    42: Element("Mo", 1.88, 7.092, 16.16, 8.9, 7.5, 20.0, 96.0),
    44: Element("Ru", 1.75, 7.361, 16.76, 27.0, 18.0, 20.0, 101.1),
    45: Element("Rh", 0.91, 7.459, 18.08, 20.0, 12.0, 20.0, 102.9),
    50: Element("Sn", 2.04, 7.344, 14.63, 4.5, 3.1, 1.0, 118.7),
    56: Element("Ba", 2.18, 5.212, 10.00, 2.6, 4.2, 1.0, 137.3),
    57: Element("La", 1.10, 5.577, 11.06, 20.0, 28.0, 10.0, 138.9),
    58: Element("Ce", 1.58, 5.539, 10.85, 150.0, 170.0, 80.0, 140.1),
    59: Element("Pr", 0.72, 5.473, 10.55, 90.0, 130.0, 80.0, 140.9),
    60: Element("Nd", 1.42, 5.525, 10.72, 80.0, 120.0, 60.0, 144.2),
    62: Element("Sm", 0.96, 5.644, 11.07, 60.0, 90.0, 50.0, 150.4),
    63: Element("Eu", 0.52, 5.670, 11.24, 8.5, 13.0, 8.0, 152.0),
    64: Element("Gd", 1.07, 6.150, 12.09, 60.0, 80.0, 40.0, 157.3),
    65: Element("Tb", 0.30, 5.864, 11.52, 70.0, 70.0, 40.0, 158.9),
    66: Element("Dy", 1.10, 5.939, 11.67, 40.0, 65.0, 30.0, 162.5),
    67: Element("Ho", 0.48, 6.022, 11.80, 40.0, 50.0, 30.0, 164.9),
    68: Element("Er", 0.92, 6.108, 11.93, 35.0, 50.0, 30.0, 167.3),
    69: Element("Tm", 0.10, 6.184, 12.05, 15.0, 17.0, 15.0, 168.9),
    70: Element("Yb", 0.84, 6.254, 12.18, 1.1, 2.1, 1.0, 173.0),
    71: Element("Lu", 0.10, 5.426, 13.90, 7.0, 1.2, 2.0, 175.0),
    72: Element("Hf", 0.85, 6.825, 14.90, 12.0, 16.0, 10.0, 178.5),
    74: Element("W", 0.85, 7.864, 16.10, 12.0, 13.0, 10.0, 183.8),
    76: Element("Os", 1.40, 8.438, 17.00, 22.0, 18.0, 20.0, 190.2),
    77: Element("Ir", 1.38, 8.967, 17.00, 22.0, 18.0, 20.0, 192.2),
    81: Element("Tl", 0.90, 6.108, 20.43, 2.2, 1.0, 2.0, 204.4),
    82: Element("Pb", 1.75, 7.417, 15.03, 1.6, 2.1, 1.0, 207.2),
}

SYMBOLS = {element.symbol: z for z, element in ELEMENTS.items()}

SPECIES = np.dtype(
    [("Z", "i4"), ("ion", "i4"), ("ip1", "f8"), ("ip2", "f8")]
    + [(name, "f8") for name in ("u0", "u1", "u2", "mass", "abundance")]
)


@dataclass(frozen=True)
class LineList:
    """Lines of atoms and molecules.

    Attributes
    ----------
    name : str
        Where the lines come from; written to every simulated file.
    wavelength : ndarray, shape (n,)
        Air wavelength in Angstrom.
    z, ion : ndarray of int, shape (n,)
        Atomic number, or code of `MOLECULES`; 0 neutral, 1 singly ionized.
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

    def __add__(self, other: LineList) -> LineList:
        """The lines of both, under the name of the first."""
        columns = ("wavelength", "z", "ion", "excitation", "loggf")
        both = (np.concatenate([getattr(self, c), getattr(other, c)]) for c in columns)
        return LineList(self.name, *both)

    @cached_property
    def species(self) -> NDArray[np.void]:
        """The distinct (element, ionization stage) pairs, dtype `SPECIES`."""
        keys = np.unique(self.z * 10 + self.ion).tolist()
        return species_rows([divmod(key, 10) for key in keys])

    @property
    def species_index(self) -> NDArray[np.intp]:
        """Row of `species` that each line belongs to, shape (n,)."""
        index: NDArray[np.intp] = np.unique(self.z * 10 + self.ion, return_inverse=True)[1]
        return index


def species_rows(keys: list[tuple[int, int]]) -> NDArray[np.void]:
    """Rows of dtype `SPECIES` for pairs of atomic number, or code, and ionization stage."""
    return np.array([_species_row(z, ion) for z, ion in keys], dtype=SPECIES)


def _species_row(z: int, ion: int) -> tuple[float, ...]:
    if z >= 100:
        mass = sum(ELEMENTS[atom].mass for atom in MOLECULES[z].atoms)
        return (z, ion, 0.0, 0.0, 1.0, 1.0, 1.0, mass, 0.0)
    e = ELEMENTS[z]
    return (z, ion, e.ip1, e.ip2, e.u0, e.u1, e.u2, e.mass, e.abundance)


def _line_list(name: str, rows: list[tuple[float, int, int, float, float]]) -> LineList:
    usable = [r for r in rows if r[1] in ELEMENTS and r[1] > 1 and r[2] in (0, 1)]
    if not usable:
        raise SpectrumError(
            f"{name}: no atomic line found; expected a CSV with the columns wavelength_air_A, Z, "
            "ion, ep_eV, loggf, a MOOG/linemake list, or a VALD extract-stellar file"
        )
    table = np.array(sorted(usable))
    return LineList(
        name, table[:, 0], table[:, 1].astype("i4"), table[:, 2].astype("i4"), table[:, 3],
        table[:, 4],
    )  # fmt: skip


@cache
def atomic_lines() -> LineList:
    """The package's atomic lines: 16,000 from linemake (Placco et al. 2021, RNAAS 5, 92)."""
    return _packaged("atomic_lines.csv.gz")


@cache
def molecular_lines() -> LineList:
    """The package's 31,000 lines of CH, CN, MgH, C2 and TiO; the file names their sources."""
    return _packaged("molecular_lines.csv.gz")


def _packaged(name: str) -> LineList:
    raw = files("latentscope.simulation").joinpath(name).read_bytes()
    text = gzip.decompress(raw).decode("ascii").splitlines()
    table = np.loadtxt([row for row in text if row[0].isdigit()], delimiter=",")
    wavelength, z, ion, excitation, loggf = np.ascontiguousarray(table.T)
    return LineList("latentscope", wavelength, z.astype("i4"), ion.astype("i4"), excitation, loggf)


def read_linelist(source: str | os.PathLike[str] | None = None) -> LineList:
    """Read a list of atomic lines; None gives the package's.

    Recognized by content: CSV with a header line (`wavelength_air_A, Z, ion, ep_eV, loggf`),
    MOOG/linemake (wavelength, species such as 26.1, excitation, loggf in columns) and VALD
    extract-stellar (`'Fe 1', wavelength, excitation, vmic, loggf, ...`). `.gz` is unpacked.

    Raises
    ------
    SpectrumError
        If the file is missing, is none of these, or holds no usable line.
    """
    if source is None:
        return atomic_lines()
    path = Path(source)
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8", "replace")
    except (OSError, EOFError) as error:
        raise SpectrumError(f"{path}: cannot read the line list: {error}") from error
    rows = (row.lower() for row in text.splitlines() if row.strip() and not row.startswith("#"))
    header = next(rows, "")
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
            w, level, loggf = (float(row[key]) for key in ("wavelength_air_A", "ep_eV", "loggf"))
            rows.append((w, int(row["Z"]), int(row["ion"]), level, loggf))
        except (KeyError, TypeError, ValueError) as error:
            raise SpectrumError(
                f"{name}: row {number}: {error}; expected numbers in wavelength_air_A, Z, ion, "
                "ep_eV, loggf"
            ) from error
    return rows


def _read_moog(text: str) -> list[tuple[float, int, int, float, float]]:
    rows = []
    for line in text.splitlines():
        try:
            wavelength, species, excitation, loggf = (float(v) for v in line.split()[:4])
        except ValueError:
            continue  # the title line, and comments
        # 26.0 neutral, 26.1 ionized, 26.1054 an isotope; molecules have Z above 100.
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


# TiO band heads, Angstrom, and relative strength (systems alpha, beta, gamma, gamma'; heads after
# Valenti, Piskunov & Johns-Krull 1998 and Kirkpatrick, Henry & McCarthy 1991).
_TIO = (
    (4584, 0.5), (4626, 0.4), (4761, 0.8), (4804, 0.5), (4847, 0.3), (4954, 1.0), (5003, 0.5),
    (5167, 1.0), (5240, 0.5), (5307, 0.2), (5448, 0.7), (5497, 0.5), (5597, 0.6), (5661, 0.5),
    (5759, 0.5), (5810, 0.4), (5847, 0.7), (5862, 0.4), (6158, 1.0), (6187, 0.5), (6215, 0.4),
    (6268, 0.3), (6651, 0.7), (6681, 0.6), (6714, 0.5), (6747, 0.4), (6781, 0.4),
)  # fmt: skip
BAND_FADE = 80.0  # Angstrom
FILLED = (0.15, 0.75)  # optical depth of a band: this much smooth, this much in lines
_BETWEEN = 0.1  # level between the bands of the mean pattern
# Wavelength in air (NIST); strength of the wings against H-alpha: oscillator strength times the
# growth of the Stark width with the upper level.
BALMER = (
    (6562.79, 1.0), (4861.35, 0.48), (4340.47, 0.26), (4101.73, 0.19), (3970.08, 0.14),
    (3889.06, 0.11), (3835.40, 0.08), (3797.91, 0.06),
)  # fmt: skip


def _comb(
    wavelength: NDArray[np.float64],
    centers: NDArray[np.float64],
    depths: NDArray[np.float64],
    sigma: float,
) -> NDArray[np.float32]:
    """Sum of narrow Gaussians, `sigma` in Angstrom."""
    out = np.zeros(len(wavelength), np.float32)
    reach = 5 * sigma
    low = np.searchsorted(wavelength, centers - reach)
    high = np.searchsorted(wavelength, centers + reach)
    for center, depth, a, b in zip(centers, depths, low, high, strict=True):
        out[a:b] += depth * np.exp(-0.5 * ((wavelength[a:b] - center) / sigma) ** 2)
    return out


def band_template(wavelength: NDArray[np.float64]) -> NDArray[np.float32]:
    """Invented lines of molecules at unit mean strength, shape (n,)."""
    rng = np.random.default_rng(7)
    span = (wavelength[0], wavelength[-1])
    count = int((span[1] - span[0]) * 7)
    return _comb(wavelength, rng.uniform(*span, count), rng.exponential(1.0, count), 0.035)


TIO_WINDOWS = ((4675.0, 4905.0), (5649.0, 5875.0), (6478.0, 6775.0))
"""Where TiO lines are real, Angstrom; elsewhere bands with invented lines stand for them."""


class Pattern(NamedTuple):
    """TiO of one star.

    Heads in Angstrom and their levels, shape (27,) each; the level between the bands; by how many
    pixels the lines are rolled.
    """

    heads: NDArray[np.float64]
    levels: NDArray[np.float64]
    between: float
    roll: int


def tio_pattern(pattern: int, pixels: int) -> Pattern:
    """Draw the TiO pattern of a star for lines on `pixels` pixels; 0 is the mean pattern.

    The heads stay where they are. Their levels, what lies between the bands and where the lines
    fall follow from `pattern`, so that a network cannot learn invented lines by heart.
    """
    heads, levels = (np.array(column, np.float64) for column in zip(*_TIO, strict=True))
    if not pattern:
        return Pattern(heads, levels, _BETWEEN, 0)
    rng = np.random.default_rng(pattern)
    levels = levels * rng.lognormal(0.0, 0.3, len(levels))
    return Pattern(heads, levels, _BETWEEN * rng.lognormal(0.0, 0.5), int(rng.integers(pixels)))
