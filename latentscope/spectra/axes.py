"""Wavelength axes of FITS images: linear, logarithmic, and one for each row.

By the keywords of the FITS standard (Greisen et al. 2006, A&A 446, 747, paper III) and of IRAF
(CTYPE1, DC-FLAG, WATj_nnn; Valdes 1993, "The IRAF/NOAO Spectral World Coordinate Systems").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.polynomial import chebyshev, legendre
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.headers import Header, Inferred, Keywords, drs_pipeline
from latentscope.spectra.wavelength import angstrom_per

_LOG_UNIT = re.compile(r"(log10|log|lg|ln)\s*[(\[\s]\s*(.+?)\s*[)\]]?", re.IGNORECASE)
_WAT_WIDTH = 68  # characters of a quoted string that fit on one card
_SKY = ("RA-", "DEC-", "GLON", "GLAT")
_CURVED = re.compile(r".{4}-(?:[FWVA]2[FWVA]|GR[IA]|TAB)")
"""Axes of paper III that are linear in something else, as of grisms; astropy's WCS knows them."""


@dataclass
class Axis:
    """The wavelength axis of an image: ``start + step * (pixel - reference)``, or an exponential.

    `base` None: linear; a number: that number to the power of it; 0: FITS ``-LOG``, that is
    ``start * exp(step * (pixel - reference) / start)`` (paper III, equation 5). `length` is how
    many pixels of the row count, where the header tells.
    """

    start: float
    step: float
    reference: float = 1.0
    base: float | None = None
    unit: str = ""
    stretch: float = 1.0
    inferred: Inferred | None = None
    notes: list[str] = field(default_factory=list)
    length: int | None = None

    @property
    def kind(self) -> str:
        """``image-linear`` or ``image-log``: the name of the format."""
        return "image-linear" if self.base is None else "image-log"

    def wavelength(self, count: int) -> NDArray[np.float64]:
        """Wavelengths of pixels 1 to `count`, in the unit of the axis."""
        if self.step == 0 or not np.isfinite([self.start, self.step, self.reference]).all():
            raise SpectrumError(
                f"starts at {self.start} with a step of {self.step} a pixel, from pixel "
                f"{self.reference}; expected numbers in CRVAL1, CDELT1 (or CD1_1) and CRPIX1, "
                "and a step other than 0"
            )
        value = np.arange(1.0 - self.reference, count + 1.0 - self.reference)
        value *= self.step
        if self.base == 0:
            return np.asarray(self.start * np.exp(value / self.start))
        value += self.start
        if self.base is not None:
            value = self.base**value
        return value if self.stretch == 1.0 else value * self.stretch


@dataclass
class FittedAxis(Axis):
    """An axis of IRAF's functions: a weighted sum of polynomials and splines of the pixel."""

    functions: Sequence[float] = ()

    @property
    def kind(self) -> str:
        """``image-fitted``: the name of the format."""
        return "image-fitted"

    def wavelength(self, count: int) -> NDArray[np.float64]:
        """Wavelengths of pixels 1 to `count`, in the unit of the axis."""
        pixel = (np.arange(1.0, count + 1.0) - self.reference) / self.step + 1.0
        total, rest = np.zeros(count), list(self.functions)
        while rest:
            weight, shift, kind, order, low, high = (*rest, *[np.nan] * 6)[:6]
            # Chebyshev, Legendre, cubic spline, linear spline: so many coefficients each.
            more = {1.0: 0, 2.0: 0, 3.0: 3, 4.0: 1}.get(kind)
            terms = 0 if more is None or not 0 < order < 1000 else int(order) + more
            coefficients, rest = np.array(rest[6 : 6 + terms]), rest[6 + terms :]
            if terms < 1 or len(coefficients) != terms or not high > low:
                raise SpectrumError(
                    f"its dispersion (IRAF function {kind:g} with {order:g} terms) is cut short or "
                    "not one of Chebyshev, Legendre and spline; linearize it (IRAF dispcor)"
                )
            place = (pixel - low) / (high - low)
            if kind == 1.0:
                value = chebyshev.chebval(2.0 * place - 1.0, coefficients)
            elif kind == 2.0:
                value = legendre.legval(2.0 * place - 1.0, coefficients)
            else:
                value = _spline(place * order, coefficients, cubic=kind == 3.0)
            total += weight * (shift + value)
        return total * self.stretch


def _spline(
    place: NDArray[np.float64], coefficients: NDArray[np.float64], *, cubic: bool
) -> NDArray[np.float64]:
    """IRAF's spline of pieces of length 1, at `place`."""
    pieces = len(coefficients) - (3 if cubic else 1)
    piece = np.clip(np.floor(place), 0, pieces - 1).astype(int)
    b = place - piece
    a = 1.0 - b
    if cubic:
        weights = [a**3, 1 + 3 * a * (1 + a * b), 1 + 3 * b * (1 + a * b), b**3]
    else:
        weights = [a, b]
    parts = [weight * coefficients[piece + i] for i, weight in enumerate(weights)]
    return np.asarray(np.sum(parts, axis=0))


def image_axis(header: Header) -> Axis | None:
    """Find the wavelength axis that the keywords describe; None if they describe none."""
    # SDSS: log10 of Angstrom in vacuum.
    if header.get("COEFF0") is not None and header.get("COEFF1") is not None:
        start, step = _float(header, "COEFF0"), _float(header, "COEFF1")
        return Axis(start, step, base=10.0, unit="Angstrom", inferred=Inferred("vacuum"))
    kind = header.text("CTYPE1").upper()
    if is_multispec(header) or kind.startswith(_SKY) or _CURVED.fullmatch(kind):
        return None
    # IRAF goes by CD1_1, and may leave an older CDELT1 beside it.
    step = _float(header, "CD1_1")
    if not np.isfinite(step) or step == 0:
        step = _float(header, "CDELT1") * (_float(header, "PC1_1", 1.0) or 1.0)
    steps = header.get("CD1_1"), header.get("CDELT1")
    if header.get("CRVAL1") is None or steps == (None, None):
        return None
    axis = Axis(_float(header, "CRVAL1"), step, _float(header, "CRPIX1", 1.0), unit=_unit(header))
    # What IRAF and others write for pixels that nobody has calibrated.
    if step == 1.0 and axis.start + 1.0 - axis.reference in (0.0, 1.0):
        return None
    _set_scale(axis, header, kind)
    if kind.startswith("AWAV"):
        axis.inferred = Inferred("air")
    # An S1D of the DRS is in air, whatever its CTYPE1 says.
    elif kind in ("WAVE", "WAVE-LOG") and drs_pipeline(Keywords((header,))) is None:
        axis.inferred = Inferred("vacuum", f"which CTYPE1 = {kind} means in the FITS standard")
    return axis


def _set_scale(axis: Axis, header: Header, kind: str) -> None:
    """Linear, a logarithm of base 10 or e, or the exponential of the FITS standard."""
    logarithm = _LOG_UNIT.fullmatch(axis.unit.strip())
    if logarithm:
        axis.unit = logarithm[2]
    per = angstrom_per(axis.unit) if axis.unit else 1.0
    # No spectrum of a star begins below 100 Angstrom: such a number is a logarithm.
    small = per in (1.0, 10.0) and axis.start * per < 100.0
    stated: float | None = None
    if logarithm:
        stated = float(np.e) if logarithm[1].lower() == "ln" else 10.0
    elif header.get("DC-FLAG") == 1:  # IRAF's
        stated = 10.0
    elif kind.endswith("-LOG") and not small:
        axis.base = 0.0
        return
    elif kind.endswith("-LOG") or kind.startswith("LN"):
        stated = float(np.e)
    elif "LOG" in kind:
        stated = 10.0
    elif not small or not 0 < axis.step < 5e-3:
        return
    _set_base(axis, stated)


def _set_base(axis: Axis, stated: float | None) -> None:
    """Take the base that makes a wavelength of the start, whatever is stated; note it."""
    unit = axis.unit or "Angstrom"
    per = angstrom_per(unit)
    # By the size alone only what stars are observed at; 500 Angstrom to 30 micron otherwise.
    low, high = (1e3, 6.3e4) if stated is None else (500.0, 3e5)
    bases = (stated,) if stated is not None else ()
    fitting = [
        base
        for base in (*bases, 10.0, float(np.e))
        if per is not None and np.log(low / per) <= axis.start * np.log(base) <= np.log(high / per)
    ]
    axis.base = fitting[0] if fitting else stated
    if axis.base is None:
        return
    axis.unit = unit
    if axis.base != stated:
        name = "log10" if axis.base == 10.0 else "natural logarithm"
        axis.notes.append(f"wavelength scale: {name} of {unit}, by the size of CRVAL1")


def is_multispec(header: Header) -> bool:
    """Whether each row of the image has a wavelength axis of its own, as IRAF writes them."""
    return "multispec" in header.text("CTYPE1").lower() + header.text("WAT0_001").lower()


def row_axes(header: Header) -> list[Axis]:
    """IRAF's multispec: the axes of rows 1, 2, ...

    Raises
    ------
    SpectrumError
        If a row has none, or one of another kind than linear, logarithmic, polynomial and spline.
    """
    text = _attribute_text(header, 2)
    found = {int(row): words for row, words in re.findall(r'spec(\d+)\s*=\s*"([^"]*)"', text)}
    axes = []
    for row in range(1, len(found) + 1):
        numbers = [_word(word) for word in found.get(row, "").split()]
        # aperture, beam, type, first wavelength, step, pixels, redshift, two edges, functions
        if len(numbers) < 7 or numbers[2] not in (0.0, 1.0, 2.0):
            raise SpectrumError(
                f"row {row}: spec{row} of WAT2_nnn is {found.get(row, 'missing')[:60]!r}; expected "
                "a linear, logarithmic or fitted wavelength axis"
            )
        axes.append(_row_axis(header, numbers))
    return axes


def _row_axis(header: Header, numbers: list[float]) -> Axis:
    kind, start, step, length, redshift = numbers[2:7]
    # Rows that were cut (LTV1) or binned (LTM1_1) keep the dispersion of the pixels before.
    binned, shift = _float(header, "LTM1_1", 1.0), _float(header, "LTV1", 0.0)
    unit = _unit(header)
    axis: Axis
    if kind == 2.0:
        axis = FittedAxis(start, binned, binned + shift, functions=numbers[9:])
        axis.unit = unit
    else:
        axis = Axis(start, step / binned, binned + shift, unit=unit)
        if kind == 1.0:
            axis.base = 10.0
            axis.unit = unit or "Angstrom"
    axis.stretch = 1.0 / (1.0 + redshift)
    axis.length = int(length) if length >= 2 else None
    return axis


def _word(word: str) -> float:
    try:
        return float(word)
    except ValueError:  # INDEF
        return float("nan")


def _unit(header: Header) -> str:
    """Find the unit of the axis: CUNIT1, IRAF's attributes, or a CTYPE1 that is a unit."""
    attribute = re.search(r"\bunits=\"?([\w.]+)", _attribute_text(header, 1))
    written = header.text("CUNIT1")
    candidates = (written, attribute[1] if attribute else "", header.text("CTYPE1"))
    for unit in candidates:
        logarithm = _LOG_UNIT.fullmatch(unit)
        if angstrom_per(logarithm[2] if logarithm else unit) is not None:
            return unit
    return written or candidates[1]


def _attribute_text(header: Header, axis: int) -> str:
    """IRAF's attribute string of an axis, which its writer cuts into keywords of one card each."""
    pieces = []
    for number in range(1, 1000):
        value = header.get(f"WAT{axis}_{number:03d}")
        if value is None:
            break
        pieces.append(str(value).ljust(_WAT_WIDTH))  # blanks at the end of a string are not kept
    return "".join(pieces)


def _float(header: Header, key: str, default: float = float("nan")) -> float:
    """Read a number; NaN where the value is a logical or text that is none."""
    value = header.get(key)
    if value is None:
        return default
    return float("nan") if isinstance(value, bool) else _word(str(value))
