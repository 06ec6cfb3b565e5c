"""The spectra in the HDUs of a FITS file: in tables, else in images.

Which image, and which row of it, is flux, error, mask or wavelength, names decide: EXTNAME, ESO's
HDUCLASn, and the keywords that name rows (BANDIDn of IRAF, ROWn, ARRAYn, COLn). Where a survey's
rows have no names, its documents do: SDSS DR7 spSpec (flux, flux without continuum, error, mask)
and LAMOST to DR7 (flux, inverse variance, wavelength, two masks). Products of pipelines that are no
merged spectrum are told by content, with what to use instead.

Wavelength axes of images are linear, logarithmic, or one for each row, by the keywords of the FITS
standard (Greisen et al. 2006, A&A 446, 747, paper III) and of IRAF (CTYPE1, DC-FLAG, WATj_nnn;
Valdes 1993, "The IRAF/NOAO Spectral World Coordinate Systems").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any, NoReturn

import numpy as np
from numpy.polynomial import chebyshev, legendre
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.columns import AmbiguousError, Numbers, choose_by_key, columns_draft
from latentscope.spectra.draft import Choice, Draft, ErrorKind, Label, choose, filled, is_line_list
from latentscope.spectra.hdus import HDU
from latentscope.spectra.headers import (
    PIPELINES,
    Header,
    Inferred,
    Keywords,
    drs_pipeline,
    medium_in,
    medium_of_axis,
)
from latentscope.spectra.spectrum import Medium
from latentscope.spectra.wavelength import angstrom_per, logarithm_of

_WAT_WIDTH = 68  # characters of a quoted string that fit on one card
_SKY = ("RA-", "DEC-", "GLON", "GLAT")
_CURVED = re.compile(
    r".{4}-(?:[FWVA]2[FWVA]|GR[IA]|TAB)|(?:FREQ|WAVN|ENER|VELO|VRAD|VOPT|ZOPT|BETA)\b.*"
)
"""Axes of FITS paper III that are not linear, as of grisms; astropy's WCS reads them."""


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
                    f"its dispersion (IRAF function {kind:g} with {order:g} terms) is truncated or "
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
        axis = Axis(start, step, base=10.0, unit="Angstrom", inferred=Inferred("vacuum"))
        # IRAF cuts a spectrum by CRVAL1 alone.
        other = _float(header, "CRVAL1", start) + step * (1.0 - _float(header, "CRPIX1", 1.0))
        if abs(other - start) > abs(step) / 2:
            axis.notes.append(f"wavelength scale: by COEFF0 = {start}; CRVAL1 says {other:g}")
        return axis
    kind = header.text("CTYPE1").upper()
    if is_multispec(header) or kind.startswith(_SKY) or _CURVED.fullmatch(kind):
        return None
    if _counts_pixels(header):
        return None
    step = _step(header)
    steps = header.get("CD1_1"), header.get("CDELT1")
    if header.get("CRVAL1") is None or steps == (None, None):
        return None
    axis = Axis(_float(header, "CRVAL1"), step, _float(header, "CRPIX1", 1.0), unit=_unit(header))
    # What IRAF and others write for pixels that nobody has calibrated.
    if step == 1.0 and axis.start + 1.0 - axis.reference in (0.0, 1.0):
        return None
    _set_scale(axis, header, kind)
    axis.inferred = medium_of_axis(kind, Keywords((header,)))
    return axis


def _step(header: Header) -> float:
    """Step of the first axis; NaN if there is none."""
    # IRAF goes by CD1_1, and may leave an older CDELT1 beside it.
    step = _float(header, "CD1_1")
    if not np.isfinite(step) or step == 0:
        step = _float(header, "CDELT1") * (_float(header, "PC1_1", 1.0) or 1.0)
    return step


def _counts_pixels(header: Header) -> bool:
    """Whether the first axis is one of pixels by its name, IRAF's too, and by its steps."""
    label = "label=pixel" in _attribute_text(header, 1).lower().replace('"', "")
    named = label or header.text("CTYPE1").upper().startswith("PIXEL")
    # Some pipelines leave that name on axes of wavelengths.
    return named and angstrom_per(_unit(header)) is None and _step(header).is_integer()


def _set_scale(axis: Axis, header: Header, kind: str) -> None:
    """Linear, a logarithm of base 10 or e, or the exponential of the FITS standard."""
    logarithm = logarithm_of(axis.unit)
    if logarithm:
        axis.unit = logarithm[1]
    per = angstrom_per(axis.unit) if axis.unit else 1.0
    # No spectrum of a star begins below 100 Angstrom: such a number is a logarithm.
    small = per in (1.0, 10.0) and axis.start * per < 100.0
    stated: float | None = None
    if logarithm:
        stated = float(np.e) if logarithm[0] == "ln" else 10.0
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

    A SpectrumError if a row has none, or one of another kind than linear, logarithmic, polynomial
    and spline.
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
        logarithm = logarithm_of(unit)
        if angstrom_per(logarithm[1] if logarithm else unit) is not None:
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


MAX_ROWS = 8
"""An image of more rows on one wavelength axis is no spectrum with companions."""

MAX_ORDERS = 200
"""No spectrograph has more; more rows are those of a detector or a library."""

_DESCRIPTIONS = {
    "bis": "the bisector of a cross-correlation function (bis)",
    "ccf": "a cross-correlation function (ccf), a function of velocity",
    "e2ds": "an order-by-order spectrum (e2ds), not merged",
    "s2d": "an order-by-order spectrum (S2D), not merged",
    "rows": "one row an order, fiber or line of a detector, not a merged spectrum",
    "frame": "a detector or guide-camera frame, not an extracted spectrum",
}
_OLD_NAME = re.compile(r"_(e2ds|ccf|bis|wave|blaze)(?:_[A-Za-z0-9]+)*?_([AB])(?=\.|$)")
_NEW_NAME = re.compile(r"_(S2D|CCF)(?:_[A-Z0-9]+)*?_([AB])(?=\.|$)")

# The first that matches counts: the error of the sky is no error of the flux.
_ROLES = (
    ("other", r"SKY(?! ?SUB)|BACKG|\bBKG|\bCONT\b|CONTIN|BLAZE|MODEL|TEMPL|TELLUR|RESOL|\bLSF"
              r"|DISP\b|DISPERSION|\bCCF|\bOR ?MASK|\bSNR|\bS N\b|RESP|\bFLAT|\bLAMP"
              r"|\bCAL(FLUX|WAVE|VAR)?\b|\bFIT\b"),
    ("mask", r"MASK|QUAL|\bDQ|\bBPM|BAD ?PIX|FLAG|^(?:IS ?)?GOOD$"
             r"|\bGOOD[ _]?(?:PI?X(?:ELS?)?|PM\b|DATA)"),
    ("ivar", r"IVAR|INV ?VAR|\bINVERSE|INVMSE"),
    ("variance", r"VARIANCE|VAR\b|\bSTAT\b|\bMSE"),
    ("relative", r"REL(ATIVE)? ?ERR(OR)?"),
    ("error", r"\bERR(OR)?(BAR|S)?|ERR(OR)?S?\b|SIGMA|\bSIG\b|NOISE|UNCERT(AINTY)?|\bSTD ?(DEV)?"
              r"|\bRMSE?\b"),
    ("wavelength", r"WAVELENGTHS?|WAVE|WAVL|LAMBDA|LOG ?LAM"),
    ("second", r"\bRAW\b|NORMALI[SZ]ED|RECTIFIED"),
)  # fmt: skip
_PLAIN = re.compile(r"FLUX(ES)?|SPECTRUM|SPEC|SCIENCE|SCI|DATA|PRIMARY|INTENSITY|SIGNAL")
_ORDINAL = re.compile(
    r"(OBJ\w*?|SPAT|SLIT|FIB(?:ER|RE)?|VISIT|EXP(?:OSURE)?|TARGET|STAR|SOURCE)[\W_]*(\d+)", re.I
)
_ORDER = re.compile(r"\b(ORDER|CHIP|ARM|CCD|SEGMENT|BLUE|RED|UVB|VIS|NIR)\b", re.I)
_ROW_KEYS = ("BANDID", "ROW", "ARRAY", "COL")
_MAX_NAMED = 32


def words(text: str) -> str:
    """Letters of a name in capitals, all else a blank."""
    return " ".join(re.sub(r"[^A-Za-z]+", " ", text).split()).upper()


def role_of(text: str) -> str:
    """The role that a name stands for: ``flux`` unless it names another."""
    plain = words(text)
    return next((role for role, pattern in _ROLES if re.search(pattern, plain)), "flux")


def target_of(hdu: HDU) -> str:
    """The object, fiber or visit that an HDU's header names; empty if none."""
    name = hdu.header.text("EXTNAME")
    numbered = " ".join("".join(found) for found in _ORDINAL.findall(name))
    target = hdu.header.text("OBJECT") if hdu.index else ""
    return numbered or ("" if _ORDER.search(target) else target)


@dataclass(frozen=True, eq=False)
class _Image:
    """An image HDU with the role of its name."""

    hdu: HDU
    role: str
    stem: str

    @property
    def rows(self) -> int:
        return prod(self.hdu.shape[:-1])

    @property
    def length(self) -> int:
        return self.hdu.shape[-1]

    @property
    def apertures(self) -> int:
        """Rows of one plane."""
        return self.hdu.shape[-2] if len(self.hdu.shape) > 1 else 1

    @cached_property
    def pixels(self) -> NDArray[Any]:
        """Shape (rows, length)."""
        return self.hdu.image().reshape(-1, self.length)

    def choice(self, row: int = 1) -> str:
        """How to name a row of it."""
        name = f"{self.hdu.index}:{row}"
        return f'hdu="{name}" (--hdu {name})'


_Wavelengths = Axis | NDArray[np.float64]


def image_pieces(hdus: Sequence[HDU], chosen: Sequence[HDU] | None, row: int | None) -> list[Draft]:
    """Read spectra in `chosen` images (None: in those of flux), with errors and masks of `hdus`."""
    images = [_named(hdu) for hdu in hdus if _has_pixels(hdu)]
    asked = chosen is not None
    wanted = [
        image for image in images if chosen is None or any(image.hdu is hdu for hdu in chosen)
    ]
    found: list[tuple[_Image, Draft]] = []
    for roles in (("flux",), ("second", "other")):
        for image in wanted:
            if not asked and (image.role not in roles or image.rows < (row or 0)):
                continue
            pieces = _pieces_of(image, images, hdus[0].header, row)
            twins = [other for other, draft in found if pieces and _same_axis(pieces[0], draft)]
            if not twins or _siblings(twins[0], image):
                found += [(image, piece) for piece in pieces]
        if found:
            break
    if not asked:
        if found:
            _note_unread(found[0][1], [image for image, _ in found], images)
        else:
            _refuse_companions(images)
    return [draft for _, draft in found]


def _refuse_companions(images: Sequence[_Image]) -> None:
    """Raise if there is a wavelength axis, and on it errors or flags without a flux."""
    for image in images:
        index, name = image.hdu.index, image.hdu.header.text("EXTNAME")
        companion = image.role not in ("flux", "second", "other")
        if companion and image_axis(image.hdu.header) is not None:
            raise SpectrumError(
                f"HDU {index} is by its name ({name}) the {image.role} of a spectrum, and no flux "
                f"is there; hdu={index} (--hdu {index}) reads it as one"
            )


def _note_unread(draft: Draft, kept: Sequence[_Image], images: Sequence[_Image]) -> None:
    """Name images of the same size that were not read."""
    used = {image.hdu.index for image in kept}
    for image in kept:
        companions = (_companion(image, images, role) for role, _ in _ROLES)
        used |= {other.hdu.index for other in companions if other is not None}
    left = [
        image.hdu.index
        for image in images
        if image.hdu.index not in used and image.role != "other" and image.length == kept[0].length
    ]
    if left:
        names = ", ".join(f"HDU {index}" for index in left[:6]) + ", ..." * (len(left) > 6)
        draft.assumed.append(f"images: {names} not read, errors or other spectra as they may be")


def _has_pixels(hdu: HDU) -> bool:
    return hdu.kind == "image" and prod(hdu.shape) > 1 and hdu.shape[-1] > 1


def _named(hdu: HDU) -> _Image:
    # Of an HDU without a name its unit may tell: "Err (10^-17 erg/s/cm^2/Ang)" of APOGEE.
    name = hdu.header.text("EXTNAME")
    role = role_of(name or hdu.header.text("BUNIT") if hdu.index else name)
    # ESO's way (HDUCLASS): what kind of error, or that it is a quality.
    kind = role_of(hdu.header.text("HDUCLAS3") or "ERROR")
    eso = {"ERROR": "other" if kind == "flux" else kind, "QUALITY": "mask"}
    role = eso.get(hdu.header.text("HDUCLAS2").upper(), role)
    stem = name.upper()
    for _, pattern in _ROLES[:-1]:
        stem = re.sub(pattern.replace(r"\b", ""), "", stem)
    stem = re.sub(r"[\W_]+|REL(ATIVE)?", "", _PLAIN.sub("", stem))
    version = hdu.header.integer("EXTVER", 1)
    stem += f"#{version}" if version > 1 else ""
    return _Image(hdu, role, stem)


def _same_axis(one: Draft, two: Draft) -> bool:
    return len(one.wavelength) == len(two.wavelength) and bool(
        np.allclose(one.wavelength[[0, -1]], two.wavelength[[0, -1]], rtol=1e-9, atol=0)
    )


def _siblings(one: _Image, two: _Image) -> bool:
    """Whether two images of one wavelength axis are two spectra, not one with a companion."""
    names = [image.hdu.header.text("EXTNAME") for image in (one, two)]
    plain = [re.sub(r"\d+", "", name).upper() for name in names]
    targets = [target_of(image.hdu) for image in (one, two)]
    return (plain[0] == plain[1] != "") or (all(targets) and targets[0] != targets[1])


def _pieces_of(
    image: _Image, images: Sequence[_Image], primary: Header, row: int | None
) -> list[Draft]:
    """Read the spectra of one image: all rows that are some, or the one asked for."""
    if row is not None and row > image.rows:
        raise SpectrumError(f"HDU {image.hdu.index}: has no row {row}; its image has {image.rows}")
    roles, height = _planes(image, primary)
    wave = _companion(image, images, "wavelength")
    errors = [_companion(image, images, role) for role in ("ivar", "variance", "error", "mask")]
    axes = _axes(image, wave, roles, primary)
    if not axes:
        return []
    if row is not None:
        rows, note = [row - 1], ""
        if rows[0] // height != roles.get("flux"):
            roles = {}
    elif roles:
        rows = [roles["flux"] * height + k for k in range(height)]
        note = f"image: row {rows[0] + 1} of its {image.rows} rows is the spectrum"
    else:
        # The first row of APOGEE's apStar is the sum of the visits in the others.
        apogee = "apogee" in (Keywords((primary,)).text(["SURVEY"]) or "").lower()
        own = not apogee and any(other is not None and other.rows > 1 for other in errors)
        rows, note = _unnamed_rows(image, wave, parallel=own)
    several = len(rows) > 1 or row is not None
    drafts = [
        _draft(image, images, primary, number, axes[number], roles, height, several=several)
        for number in rows
    ]
    if note:
        drafts[0].assumed.append(note)
    return filled(drafts)


def _axes(
    image: _Image, wave: _Image | None, roles: dict[str, int], primary: Header
) -> list[_Wavelengths]:
    """Wavelengths of each row; none if the file has none for this image."""
    if is_multispec(image.hdu.header):
        axes = row_axes(image.hdu.header)
        if axes and len(axes) < image.apertures:
            raise SpectrumError(
                f"HDU {image.hdu.index}: {image.apertures} rows, but WAT2_nnn gives wavelengths of "
                f"{len(axes)}"
            )
        return [axes[row % image.apertures] for row in range(image.rows)] if axes else []
    if wave is not None:
        values = wave.pixels.astype(np.float64)
        if "LOG" in wave.hdu.header.text("EXTNAME").upper():
            values = 10.0**values
        return [values[row % len(values)] for row in range(image.rows)]
    axis = image_axis(image.hdu.header)
    if axis is None and len(image.hdu.shape) == 1 and not primary.integer("NAXIS"):
        axis = image_axis(primary)  # which extensions inherit, where it has no data of its own
    if axis is None and "wavelength" in roles:
        return [image.pixels[roles["wavelength"]].astype(np.float64)] * image.rows
    return [] if axis is None else [axis] * image.rows


def _unnamed_rows(image: _Image, wave: _Image | None, *, parallel: bool) -> tuple[list[int], str]:
    """Rows that are spectra where none has a name, and a note; `parallel`: each has errors."""
    everyone = list(range(image.rows))
    own = is_multispec(image.hdu.header) or (wave is not None and wave.rows == image.rows)
    if image.rows > (MAX_ORDERS if own else MAX_ROWS) and (own or wave is None):
        return [], ""
    if own and image.rows > image.apertures:
        # IRAF's first band is the spectrum; others order theirs in another way (CarPy).
        raise SpectrumError(
            f"HDU {image.hdu.index}: {image.rows // image.apertures} planes of {image.apertures} "
            f"rows, and no BANDIDn says which is the extracted flux; choose a row, as in "
            f"{image.choice()}"
        )
    if own or image.rows == 1:
        return everyone, ""
    # IRAF numbers the apertures of fibers and slits; other rows go with the first.
    if (
        wave is not None
        or parallel
        or (image.hdu.header.get("APNUM2") and len(image.hdu.shape) == 2)
    ):
        raise SpectrumError(
            f"HDU {image.hdu.index}: {image.rows} rows on one wavelength axis, targets, fibers or "
            f'exposures; choose one, as in {image.choice()}, or hdu=":1" for that row of all HDUs'
        )
    return [0], (
        f"image: the first of its {image.rows} rows is the spectrum; the header does not say "
        "whether others are errors"
    )


def _planes(image: _Image, primary: Header) -> tuple[dict[str, int], int]:
    """Planes (or rows) by role, counted from 0, and how many rows each has."""
    hdu = image.hdu
    if not 1 < image.rows <= _MAX_NAMED:
        return {}, 1
    telescope = (Keywords((hdu.header, primary)).text(["TELESCOP"]) or "").upper()
    sloan = telescope.startswith("SDSS") and hdu.header.get("COEFF0") is not None
    names: list[str] = []
    height = 1
    if telescope.startswith("LAMOST") and 4 <= image.rows <= MAX_ROWS:
        names = ["flux", "ivar", "wavelength", "mask"]
    elif sloan and 4 <= image.rows <= MAX_ROWS:
        names = ["flux", "other", "error", "mask"]
    for key in () if names else _ROW_KEYS:
        # IRAF's bands are planes of apertures.
        rows = image.apertures if key == "BANDID" and len(hdu.shape) > 2 else 1
        texts = [hdu.header.text(f"{key}{k}") for k in range(1, image.rows // rows + 1)]
        if sum(map(bool, texts)) > 1:
            names, height = [_plane_role(text) for text in texts], rows
            break
    if "flux" not in names and "second" in names:
        names[names.index("second")] = "flux"
    roles: dict[str, int] = {}
    for position, name in enumerate(names):
        roles.setdefault(name, position)
    return (roles, height) if "flux" in roles else ({}, 1)


def _plane_role(text: str) -> str:
    text = text.partition(" - ")[0]  # IRAF: "sigma - background fit, weights variance, clean no"
    role = role_of(text)
    return role if role != "flux" or _PLAIN.search(words(text)) else "other"


def _companion(image: _Image, images: Sequence[_Image], role: str) -> _Image | None:
    """The image of a role that belongs to this one: of its name, else the only one that fits."""
    fitting = [
        other
        for other in images
        if other.role == role
        and other is not image
        and other.length == image.length
        and other.rows in (1, image.rows)
    ]
    own = [other for other in fitting if other.stem == image.stem]
    # A wavelength without a name is everybody's; an error may be that of another flux.
    fluxes = [
        other
        for other in images
        if other.role in ("flux", "second") and other.length == image.length
    ]
    if role == "wavelength":
        shared = [other for other in fitting if not (other.stem and image.stem)]
    else:
        shared = fitting if len(fluxes) == len(fitting) == 1 else []
    return next(iter([*own, *shared]), None)


def _draft(
    image: _Image,
    images: Sequence[_Image],
    primary: Header,
    row: int,
    axis: _Wavelengths,
    roles: dict[str, int],
    height: int,
    *,
    several: bool,
) -> Draft:
    """One row as a draft, with its errors and flags."""
    hdu, header = image.hdu, image.hdu.header
    where = f"HDU {hdu.index}, image" + (f", row {row + 1}" if several else "")
    length = image.length
    draft = Draft(
        format="image-table",
        where=where,
        wavelength=np.empty(0),
        flux=image.pixels[row],
        flux_unit=header.text("BUNIT"),
        headers=(header, primary) if hdu.index else (header,),
        name=f"{hdu.index}:{row + 1}" if several else str(hdu.index),
        title=header.text("EXTNAME"),
        target=target_of(hdu),
    )
    if isinstance(axis, Axis):
        try:
            draft.wavelength = axis.wavelength(length)
        except SpectrumError as error:
            raise SpectrumError(f"{where}: {error}") from None
        drs = drs_pipeline(Keywords((header, primary))) is not None
        draft.format = "drs-s1d" if drs else axis.kind
        draft.unit, draft.inferred = axis.unit, axis.inferred
        draft.assumed += axis.notes
        length = min(length, axis.length or length)
    else:
        draft.wavelength = axis
        wave = _companion(image, images, "wavelength")
        if wave is not None:
            draft.unit, draft.medium = _unit_and_medium(wave.hdu.header)
    for role in ("mask", "ivar", "variance", "relative", "error"):
        other = _companion(image, images, role)
        if role in roles:
            _set(draft, role, image.pixels[roles[role] * height + row % height], "")
        elif other is not None:
            values = other.pixels[row % other.rows]
            _set(draft, role, values, other.hdu.header.text("EXTNAME"))
    if length < image.length:
        for name in ("wavelength", "flux", "error", "ivar", "quality"):
            array = getattr(draft, name)
            setattr(draft, name, None if array is None else array[:length])
    return draft


def _unit_and_medium(header: Header) -> tuple[str, Medium | None]:
    """Unit and medium that a wavelength image states."""
    texts = header.text("CUNIT1"), header.text("BUNIT")
    # "Wavelength (Ang)" of APOGEE
    units = (re.sub(r".*\((.+)\).*", r"\1", text) for text in texts)
    unit = next((unit for unit in units if angstrom_per(unit) is not None), "")
    name = words(header.text("EXTNAME"))
    media: dict[str, Medium] = {"VAC": "vacuum", "AIR": "air"}
    return unit, next((medium for word, medium in media.items() if word in name.split()), None)


def _set(draft: Draft, role: str, values: NDArray[Any], name: str) -> None:
    if role == "mask":
        draft.quality, draft.quality_name = values, name
    elif role == "ivar":
        draft.ivar = values
    elif draft.error is None:
        kinds: dict[str, ErrorKind] = {"variance": "variance", "relative": "relative"}
        draft.error, draft.error_kind = values, kinds.get(role, "error")


def refuse_other_products(hdus: Sequence[HDU], file: str | None) -> None:
    """Raise if the file is a ccf, bis, S2D, e2ds or the errors of a spectrum; say what to use."""
    # They have axes and keywords like those of a spectrum, and would be read as one.
    images = _images(hdus)
    if not images:
        return
    keywords = Keywords([hdu.header for hdu in hdus])
    category = keywords.text(["ESO PRO CATG", "TNG PRO CATG"]) or ""
    if category.startswith("ERRORBAR"):
        raise SpectrumError(
            f"HDU {images[0].index} holds the errors of a spectrum (ESO PRO CATG {category}); use "
            f"the file of {category.removeprefix('ERRORBAR_')} beside it"
        )
    for prefix, kind in (("CCF", "ccf"), ("S2D", "s2d")):
        if category.startswith(prefix):
            _refuse(images[0], kind, file)
    # The old DRS has no category. Its S1D carry the keywords of the ccf too, but have one axis.
    on_velocity = images[0].header.text("CTYPE1").lower() in ("km/s", "m/s", "velo", "vrad")
    if len(images[0].shape) > 1 or on_velocity:
        for kind in ("bis", "ccf"):
            if any(keywords.has_prefix(f"{name} DRS {kind.upper()}") for name in PIPELINES):
                _refuse(images[0], kind, file)
    if on_velocity:
        _refuse(images[0], "ccf", file)
    wide = _wide(images)
    if wide and not any(hdu.kind == "table" for hdu in hdus):
        if drs_pipeline(keywords) == "new DRS":
            _refuse(wide[0], "s2d", file)
        if drs_pipeline(keywords) == "DRS" and _is_orders(wide[0]):
            _refuse(wide[0], "e2ds", file)


def refuse_frames(hdus: Sequence[HDU], file: str | None) -> None:
    """Raise if the images of a file without a spectrum are orders or frames of a detector."""
    images = _images(hdus)
    wide = _wide(images)
    for hdu in images:
        if len(hdu.shape) == 1 and _counts_pixels(hdu.header):
            raise SpectrumError(
                f"HDU {hdu.index}: its axis counts pixels, as CTYPE1 or WAT1_001 says; expected a "
                "spectrum with wavelengths"
            )
    for hdu in wide:
        if image_axis(hdu.header) is not None and hdu.shape[-1] > 1:
            rows = prod(hdu.shape[:-1])
            raise SpectrumError(
                f"HDU {hdu.index}: {rows} rows on one wavelength axis, fibers, targets or places "
                f'on a slit; choose one, as in hdu="{hdu.index}:1" (--hdu {hdu.index}:1)'
            )
    if wide and not any(hdu.kind == "table" for hdu in hdus):
        image = wide[0]
        sci = image.header.text("EXTNAME") == "SCIDATA"
        keywords = Keywords([hdu.header for hdu in hdus])
        drs = any(keywords.has_prefix(f"{name} DRS ") for name in PIPELINES)
        orders = "e2ds" if drs else "rows"
        _refuse(image, "s2d" if sci else orders if _is_orders(image) else "frame", file)


def _images(hdus: Sequence[HDU]) -> list[HDU]:
    return [hdu for hdu in hdus if hdu.kind == "image" and prod(hdu.shape) > 1]


def _wide(images: Sequence[HDU]) -> list[HDU]:
    return [hdu for hdu in images if prod(hdu.shape[:-1]) > MAX_ROWS]


def _is_orders(image: HDU) -> bool:
    # An echelle has some 70 orders of some 4,000 pixels; detectors have as many rows as columns.
    return len(image.shape) == 2 and image.shape[0] <= MAX_ORDERS and image.shape[-1] >= 1000


def _refuse(hdu: HDU, kind: str, file: str | None) -> NoReturn:
    shape = " x ".join(str(length) for length in hdu.shape) or "no data"
    raise SpectrumError(
        f"HDU {hdu.index} ({shape}) is {_DESCRIPTIONS[kind]}; use {_sibling(kind, file)}"
    )


def _sibling(kind: str, file: str | None) -> str:
    name = re.split(r"[\\/]", file)[-1] if file else ""
    for pattern, word in ((_OLD_NAME, "s1d"), (_NEW_NAME, "S1D")):
        found = pattern.search(name)
        if found:
            return f"its sibling {name[: found.start()]}_{word}_{found[2]}{name[found.end() :]}"
    if kind == "s2d":
        return "the merged spectrum beside it, named ..._S1D_A.fits"
    if kind == "rows":
        return (
            "the merged spectrum, or choose a row that has wavelengths of its own, as in "
            'hdu="0:1" (--hdu 0:1)'
        )
    if kind == "frame":
        return "the reduced spectrum, an ADP product of the archive or ..._s1d_A.fits"
    return "the merged spectrum beside it, named ..._s1d_A.fits (or ..._S1D_A.fits)"


_TARGETS = ("object", "target", "targetid", "target_id", "objid", "obj_id", "source_id", "sourceid",
            "fiber", "fiberid", "star", "name")  # fmt: skip
"""Columns that say what each row is of, in tables of a row per spectrum."""


def find_spectra(
    hdus: Sequence[HDU], file: str | None, hdu: int | str | None = None, key: str | None = None
) -> list[Draft]:
    """Read the spectrum, in pieces if it lies in arms or orders; empty if there is none.

    Several pieces are for `latentscope.spectra.join.join` to join or refuse; `hdu` chooses one.
    `key` names columns of tables. A SpectrumError if the file is a product of a pipeline that is no
    merged spectrum, or lacks that HDU.
    """
    chosen: Sequence[HDU] | None = None
    row = None
    if hdu is None:
        refuse_other_products(hdus, file)
    else:
        chosen, row = _chosen(hdus, str(hdu).strip())
    # Tables first: the image beside a table of wavelengths is a quick look.
    tables = _table_pieces(hdus[0].header, hdus if chosen is None else chosen, row, key)
    found = tables or image_pieces(hdus, chosen, row)
    if not found and hdu is None:
        found = _by_content(hdus)
    if not found and hdu is None:
        refuse_frames(hdus, file)
    return found


def _by_content(hdus: Sequence[HDU]) -> list[Draft]:
    """The spectrum of columns, rows or images whose names say nothing, as in tables of text."""
    for hdu, labels, arrays in _nameless(hdus):
        try:
            draft = columns_draft(f"HDU {hdu.index}", labels, list(map(Numbers, arrays)))
        except AmbiguousError:
            raise
        except SpectrumError:
            continue
        if draft.unit and angstrom_per(draft.unit) is None:
            continue
        return [replace(draft, format="table", headers=(hdu.header, hdus[0].header))]
    return []


def _nameless(hdus: Sequence[HDU]) -> Iterator[tuple[HDU, Sequence[Label], Sequence[NDArray[Any]]]]:
    """Arrays side by side: columns of a table, few rows of an image, images of one length."""
    for hdu in hdus:
        if hdu.kind == "table" and len(hdu.shape) == 2 and hdu.shape[0]:
            columns = [column for column in hdu.columns if column.code in "BIJKEDPQ"]
            pieces = [hdu.pieces(column) for column in columns]
            if len(columns) > 1 and all(len(piece) == 1 for piece in pieces):
                yield hdu, columns, [piece[0] for piece in pieces]
    images = [hdu for hdu in hdus if _has_pixels(hdu) and len(hdu.shape) == 1]
    if len({hdu.shape for hdu in images}) == 1 < len(images):
        yield (
            images[0],
            [Label(hdu.header.text("EXTNAME")) for hdu in images],
            [hdu.image() for hdu in images],
        )
    for hdu in hdus:
        if _has_pixels(hdu) and len(hdu.shape) == 2 and 2 <= min(hdu.shape) <= _SIDE_BY_SIDE:
            pixels = hdu.image()
            rows = pixels if pixels.shape[0] < pixels.shape[1] else pixels.T
            yield hdu, [Label("")] * len(rows), list(rows)


_SIDE_BY_SIDE = 4  # wavelength, flux, error, continuum


def _chosen(hdus: Sequence[HDU], text: str) -> tuple[Sequence[HDU] | None, int | None]:
    """HDUs of a number or EXTNAME (in any case; None: all of them), and the row."""
    found = _hdus_named(hdus, text)
    if found:
        return found, None
    name, _, row = text.rpartition(":")
    found = _hdus_named(hdus, name) if name else list(hdus)
    if ":" not in text or not found:
        raise SpectrumError(f"no HDU {text!r} in {'; '.join(map(str, hdus))}")
    if not row.isdigit() or int(row) < 1:
        raise SpectrumError(f"row {row!r} of hdu {text!r}; expected a whole number from 1 on")
    return found if name else None, int(row)


def _hdus_named(hdus: Sequence[HDU], name: str) -> list[HDU]:
    return [
        hdu for hdu in hdus if name.upper() in (str(hdu.index), hdu.header.text("EXTNAME").upper())
    ]


def _table_pieces(
    primary: Header, hdus: Sequence[HDU], row: int | None, key: str | None
) -> list[Draft]:
    """Read the spectra of tables; if one is the sum of others, of that one."""
    tables = []
    refusal = f"key {key!r} names columns of a table, and there is none; hdu chooses an image"
    for hdu in hdus:
        if hdu.kind != "table" or len(hdu.shape) != 2 or not hdu.shape[0] or not hdu.columns:
            continue
        if hdu.header.get("ZTABLE") is True:
            raise SpectrumError(f"HDU {hdu.index}: a table compressed by fpack; run funpack on it")
        if not key and is_line_list(hdu.columns):
            continue
        try:
            where = f"HDU {hdu.index}"
            choice = choose_by_key(where, hdu.columns, key) if key else choose(hdu.columns)
        except SpectrumError as error:
            refusal = str(error)
            continue
        tables += [] if choice is None else [(hdu, choice)]
    if key and not tables:
        raise SpectrumError(refusal)
    names = [hdu.header.text("EXTNAME") for hdu, _ in tables]
    # SDSS and LAMOST keep the exposures behind their sum; models and skies are no second spectra.
    sums = ["COADD" in name.upper() for name in names]
    fluxes = [role_of(name) == "flux" for name in names]
    # The one spectrum of a phase-3 product is in its first extension (ESO SDP standard, 5.4).
    first = [primary.text("PRODCATG").upper().startswith("SCIENCE.SPECTRUM") and n == 0
             for n in range(len(tables))]  # fmt: skip
    main = next((use for use in (first, sums, fluxes) if any(use)), [True] * len(tables))
    pieces = [
        piece
        for (hdu, choice), use in zip(tables, main, strict=True)
        if use
        for piece in _table_spectra(hdu, choice, primary, row)
    ]
    others = [str(hdu.index) for (hdu, _), use in zip(tables, main, strict=True) if not use]
    if pieces and others:
        pieces[0].assumed.append(
            f"tables: HDU {', '.join(others)} not read, exposures or parts beside the spectrum"
        )
    return pieces


def _table_spectra(hdu: HDU, choice: Choice, primary: Header, row: int | None) -> list[Draft]:
    """Read one table: one row per pixel, or one row (of array cells) per spectrum."""
    columns = hdu.columns
    wave, flux = columns[choice.wavelength], columns[choice.flux]
    waves, fluxes = hdu.pieces(wave), hdu.pieces(flux)
    notes = list(choice.notes)
    error, ivar, quality = (
        _optional(hdu, position, fluxes, notes)
        for position in (choice.error, choice.ivar, choice.quality)
    )
    if row is not None and row > len(waves):
        raise SpectrumError(
            f"HDU {hdu.index}: has no row {row}; its table holds {len(waves)} spectra"
        )
    where = f"HDU {hdu.index}, columns {wave.name} and {flux.name}"
    if len(fluxes) != len(waves):
        raise SpectrumError(
            f"{where}: {len(waves)} arrays of wavelengths and {len(fluxes)} of flux; expected as "
            "many of both, or one number per row in each"
        )
    if row is None and len(waves) > MAX_ORDERS:
        raise SpectrumError(
            f"HDU {hdu.index}: {len(waves)} rows of spectra; choose one, as in "
            f'hdu="{hdu.index}:1" (--hdu {hdu.index}:1)'
        )
    rows = range(len(waves)) if row is None else [row - 1]
    several = len(rows) > 1 or row is not None
    pieces = [
        Draft(
            format=_table_format(primary, hdu),
            where=where + (f", row {k + 1}" if several else ""),
            wavelength=waves[k],
            flux=fluxes[k],
            unit=wave.written_unit,
            flux_unit=flux.unit,
            error=error[k],
            error_kind=choice.error_kind,
            ivar=ivar[k],
            quality=quality[k],
            quality_name="" if choice.quality is None else columns[choice.quality].name,
            medium=choice.medium or medium_in(_comments(hdu, wave.index)),
            frame=choice.frame,
            inferred=choice.inferred,
            assumed=list(notes),
            logarithmic=choice.logarithmic,
            headers=(hdu.header, primary),
            name=f"{hdu.index}:{k + 1}" if several else str(hdu.index),
            title=hdu.header.text("EXTNAME"),
            target=_target(hdu, k) if several else target_of(hdu),
        )
        for k in rows
    ]
    return filled(pieces)


def _comments(hdu: HDU, number: int) -> str:
    """What the header says in words of a column."""
    header = hdu.header
    texts = [header.text(f"{key}{number}") for key in ("TCOMM", "TDESC")]
    return " ".join(texts + [header.comment(f"{key}{number}") for key in ("TTYPE", "TUNIT")])


def _target(hdu: HDU, row: int) -> str:
    """The target of a row of array cells, if a column names it."""
    cells = (hdu.stored(column, row) for column in hdu.columns if column.key in _TARGETS)
    return "".join(cell.hex() for cell in cells)


def _optional(
    hdu: HDU, position: int | None, fluxes: Sequence[NDArray[Any]], notes: list[str]
) -> Sequence[NDArray[Any] | None]:
    """Read an error or quality column; a broken one does not fail the spectrum, and is noted."""
    nothing = [None] * len(fluxes)
    if position is None:
        return nothing
    column = hdu.columns[position]
    try:
        values = hdu.pieces(column)
    except (SpectrumError, ValueError, TypeError) as error:
        notes.append(f"errors: not those of column {column.name} ({error})")
        return nothing
    if [value.shape for value in values] != [flux.shape for flux in fluxes]:
        notes.append(f"errors: not those of column {column.name}, of another length than the flux")
        return nothing
    return values


def _table_format(primary: Header, hdu: HDU) -> str:
    category = primary.text("PRODCATG") or hdu.header.text("PRODCATG")
    if category.upper().startswith("SCIENCE.SPECTRUM"):
        return "eso-phase3"
    names = {column.name.lower() for column in hdu.columns}
    if hdu.shape[0] == 1:
        return "eso-phase3" if {"wave", "flux"} <= names else "table-cells"
    return "drs-s1d-table" if {"wavelength", "wavelength_air"} <= names else "table"
