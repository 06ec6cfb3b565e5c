"""Spectra in FITS images: which image, and which row of it, is flux, error, mask or wavelength.

Names decide: EXTNAME, ESO's HDUCLASn, and the keywords that name rows (BANDIDn of IRAF, ROWn,
ARRAYn, COLn). Where a survey's rows have no names, its documents do: SDSS DR7 spSpec (flux, flux
without continuum, error, mask) and LAMOST to DR7 (flux, inverse variance, wavelength, two masks).
Products of pipelines that are no merged spectrum are told by content, with what to use instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.axes import Axis, image_axis, is_multispec, row_axes
from latentscope.spectra.draft import Draft, ErrorKind, filled
from latentscope.spectra.hdus import HDU
from latentscope.spectra.headers import PIPELINES, Header, Keywords, drs_pipeline
from latentscope.spectra.spectrum import Medium
from latentscope.spectra.wavelength import angstrom_per

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
    ("mask", r"MASK|QUAL|\bDQ|\bBPM|BAD ?PIX|FLAG"),
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
    """What a name says that it names: ``flux`` unless it says something else."""
    plain = words(text)
    return next((role for role, pattern in _ROLES if re.search(pattern, plain)), "flux")


def target_of(hdu: HDU) -> str:
    """What an HDU of its own says it is of: an object, a fiber, a visit; empty if nothing."""
    name = hdu.header.text("EXTNAME")
    numbered = " ".join("".join(found) for found in _ORDINAL.findall(name))
    target = hdu.header.text("OBJECT") if hdu.index else ""
    return numbered or ("" if _ORDER.search(target) else target)


@dataclass(frozen=True, eq=False)
class _Image:
    """An image HDU with what its name says."""

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
    """Name the images of the same size that are no part of what was read."""
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
    """Whether two images of one wavelength axis are two spectra, not one and what goes with it."""
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
    axes = _axes(image, wave, roles)
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


def _axes(image: _Image, wave: _Image | None, roles: dict[str, int]) -> list[_Wavelengths]:
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
    """Planes (or rows) by what the header says of them, from 0, and how many rows each has."""
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
    """What a wavelength image says of itself."""
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
