"""Spectra in FITS images: wavelengths from the linear or log-linear keywords of the first axis.

FITS standard: Greisen et al. 2006, A&A 446, 747 (paper III); IRAF: CTYPE1, DC-FLAG, WATj_nnn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.draft import Draft, angstrom_per
from latentscope.spectra.fitsfile import HDU, Header
from latentscope.spectra.headers import Inferred, Keywords, drs_pipeline

MOST_ROWS = 8
"""An image of more rows on one wavelength axis is no spectrum with companions."""

_WAT_WIDTH = 68
_LOG_UNIT = re.compile(r"(log10|log|lg|ln)\s*[(\[\s]\s*(.+?)\s*[)\]]?", re.IGNORECASE)


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


def read_image(hdus: Sequence[HDU]) -> Draft | None:
    """Read the first image that is one spectrum on a wavelength axis; None if none is."""
    for hdu in hdus:
        rows = prod(hdu.shape[:-1]) if hdu.shape else 0
        if hdu.kind != "image" or not 1 <= rows <= MOST_ROWS or hdu.shape[-1] < 2:
            continue
        axis = _axis(hdu.header)
        if axis is not None:
            return _draft(hdus, hdu, axis, rows)
    return None


def _draft(hdus: Sequence[HDU], hdu: HDU, axis: Axis, rows: int) -> Draft:
    where = f"HDU {hdu.index}, image"
    if axis.step == 0 or not np.isfinite([axis.start, axis.step, axis.reference]).all():
        raise SpectrumError(
            f"{where}: starts at {axis.start} with a step of {axis.step} a pixel; wanted finite "
            "CRVAL1 and CDELT1 other than 0"
        )
    count = hdu.shape[-1]
    if rows > 1:
        axis.notes.append(f"image: the first of its {rows} rows is the spectrum")
    drs = drs_pipeline(Keywords((hdu.header, hdus[0].header))) is not None
    return Draft(
        format="drs-s1d" if drs else "image-linear" if axis.base is None else "image-log",
        where=where,
        wavelength=axis.wavelength(count),
        flux=hdu.image().reshape(-1, count)[0],
        unit=axis.unit,
        flux_unit=hdu.header.text("BUNIT"),
        inferred=axis.inferred,
        headers=(hdu.header, hdus[0].header) if hdu.index else (hdu.header,),
        assumed=axis.notes,
    )


def _axis(header: Header) -> Axis | None:
    """Find the wavelength axis that the keywords describe; None if they describe none."""
    if header.get("COEFF0") is not None and header.get("COEFF1") is not None:
        start, step = _float(header, "COEFF0"), _float(header, "COEFF1")
        return Axis(start, step, base=10.0, unit="Angstrom", inferred=Inferred("vacuum"))
    if "multispec" in header.text("CTYPE1").lower() + header.text("WAT0_001").lower():
        return _multispec(header)
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
    elif kind.endswith("-LOG") and axis.start < 20.0 and angstrom_per(axis.unit) in (None, 1.0):
        axis.base, axis.unit = float(np.e), "Angstrom"
        axis.notes.append("wavelength scale: CRVAL1 taken as the natural logarithm of Angstrom")
    elif kind.endswith("-LOG"):
        axis.base = 0.0
    elif not axis.unit and 3.0 < axis.start < 4.8 and 0 < axis.step < 2e-3:
        axis.base, axis.unit = 10.0, "Angstrom"
        axis.notes.append("wavelength scale: log10 of Angstrom, by the size of CRVAL1 and CDELT1")
    if axis.base == 10.0 and not axis.unit:
        axis.unit = "Angstrom"


def _multispec(header: Header) -> Axis | None:
    """IRAF's spec1 of a file with one spectrum: linear or log-linear, else None."""
    match = re.search(r'spec1\s*=\s*"([^"]*)"', _attribute_text(header, 2))
    numbers = [float(word) for word in match[1].split()] if match else []
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
    """IRAF's attribute string of an axis, cut into keywords of 68 characters by its writer."""
    pieces = []
    for number in range(1, 1000):
        value = header.get(f"WAT{axis}_{number:03d}")
        if value is None:
            break
        pieces.append(str(value).ljust(_WAT_WIDTH))
    return "".join(pieces)


def _float(header: Header, key: str, default: float = float("nan")) -> float:
    value = header.get(key)
    try:
        return default if value is None else float(value)
    except ValueError:
        return default
