"""Wavelength axes of FITS images: linear, logarithmic, and one for each row.

By the keywords of the FITS standard (Greisen et al. 2006, A&A 446, 747, paper III) and of IRAF
(CTYPE1, DC-FLAG, WATj_nnn; Valdes 1993, "The IRAF/NOAO Spectral World Coordinate Systems").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from latentscope.spectra.headers import Header, Inferred, Keywords, drs_pipeline
from latentscope.spectra.wavelength import angstrom_per

_LOG_UNIT = re.compile(r"(log10|log|lg|ln)\s*[(\[\s]\s*(.+?)\s*[)\]]?", re.IGNORECASE)
_WAT_WIDTH = 68  # characters of a quoted string that fit on one card


@dataclass
class Axis:
    """The wavelength axis of an image: ``start + step * (pixel - reference)``, or an exponential.

    `base` None: linear; a number: that number to the power of it; 0: FITS ``-LOG``, that is
    ``start * exp(step * (pixel - reference) / start)`` (paper III, equation 5).
    """

    start: float
    step: float
    reference: float = 1.0
    base: float | None = None
    unit: str = ""
    stretch: float = 1.0
    inferred: Inferred | None = None
    notes: list[str] = field(default_factory=list)

    def wavelength(self, count: int) -> NDArray[np.float64]:
        """Wavelengths of pixels 1 to `count`, in the unit of the axis."""
        pixel = np.arange(1.0 - self.reference, count + 1.0 - self.reference)
        if self.base == 0:
            return np.asarray(self.start * np.exp(self.step * pixel / self.start))
        value = self.start + self.step * pixel
        return np.asarray((value if self.base is None else self.base**value) * self.stretch)


def image_axis(header: Header) -> Axis | None:
    """Find the wavelength axis that the keywords describe; None if they describe none."""
    # SDSS: log10 of Angstrom in vacuum.
    if header.get("COEFF0") is not None and header.get("COEFF1") is not None:
        start, step = _float(header, "COEFF0"), _float(header, "COEFF1")
        return Axis(start, step, base=10.0, unit="Angstrom", inferred=Inferred("vacuum"))
    if "multispec" in header.text("CTYPE1").lower() + header.text("WAT0_001").lower():
        return _multispec(header)
    # IRAF goes by CD1_1, and may leave an older CDELT1 beside it.
    step = _float(header, "CD1_1")
    if not np.isfinite(step) or step == 0:
        step = _float(header, "CDELT1")
    if header.get("CRVAL1") is None or np.isnan(step):
        return None
    axis = Axis(_float(header, "CRVAL1"), step, _float(header, "CRPIX1", 1.0), unit=_unit(header))
    kind = header.text("CTYPE1").upper()
    _set_scale(axis, header, kind)
    if kind.startswith("AWAV"):
        axis.inferred = Inferred("air")
    # An S1D of the DRS is in air, whatever its CTYPE1 says.
    elif kind in ("WAVE", "WAVE-LOG") and drs_pipeline(Keywords((header,))) is None:
        axis.inferred = Inferred("vacuum", f"which CTYPE1 = {kind} means in the FITS standard")
    return axis


def _set_scale(axis: Axis, header: Header, kind: str) -> None:
    """Linear, log10 (IRAF), or the exponential of the FITS standard."""
    logarithm = _LOG_UNIT.fullmatch(axis.unit.strip())
    if logarithm:
        axis.base = float(np.e) if logarithm[1].lower() == "ln" else 10.0
        axis.unit = logarithm[2]
    elif header.integer("DC-FLAG") == 1 or kind.startswith(("LOGLIN", "LOG-LIN", "LOG10")):
        axis.base = 10.0
    # The standard puts a wavelength into CRVAL1 of a -LOG axis; some writers put its logarithm, and
    # no spectrum begins at 20 Angstrom.
    elif kind.endswith("-LOG") and axis.start < 20.0 and angstrom_per(axis.unit) in (None, 1.0):
        axis.base, axis.unit = float(np.e), "Angstrom"
        axis.notes.append("wavelength scale: CRVAL1 taken as the natural logarithm of Angstrom")
    elif kind.endswith("-LOG"):
        axis.base = 0.0
    # 1,000 to 63,000 Angstrom in pixels of up to 1,400 km/s.
    elif not axis.unit and 3.0 < axis.start < 4.8 and 0 < axis.step < 2e-3:
        axis.base, axis.unit = 10.0, "Angstrom"
        axis.notes.append("wavelength scale: log10 of Angstrom, by the size of CRVAL1 and CDELT1")
    if axis.base == 10.0 and not axis.unit:
        axis.unit = "Angstrom"


def _multispec(header: Header) -> Axis | None:
    """IRAF's spec1 of a file with one spectrum: linear or log-linear, else None."""
    match = re.search(r'spec1\s*=\s*"([^"]*)"', _attribute_text(header, 2))
    numbers = [float(word) for word in match[1].split()] if match else []
    # aperture, beam, dtype, first wavelength, step, pixels, redshift, ...; dtype 2 is a polynomial.
    if len(numbers) < 7 or numbers[2] not in (0.0, 1.0):
        return None
    kind, start, step, _, redshift = numbers[2:7]
    return Axis(
        start,
        step,
        base=10.0 if kind == 1.0 else None,
        unit=_unit(header) or ("Angstrom" if kind == 1.0 else ""),
        stretch=1.0 / (1.0 + redshift),
    )


def _unit(header: Header) -> str:
    """Find the unit of the axis: CUNIT1, IRAF's attributes, or a CTYPE1 that is a unit."""
    attribute = re.search(r"\bunits=\"?([\w.]+)", _attribute_text(header, 1))
    if header.text("CUNIT1"):
        return header.text("CUNIT1")
    if attribute:
        return attribute[1]
    kind = header.text("CTYPE1")
    return kind if angstrom_per(kind) is not None else ""


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
    value = header.get(key)
    try:
        return default if value is None else float(value)
    except ValueError:
        return default
