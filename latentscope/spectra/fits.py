"""The spectrum in the HDUs of a FITS file: tables, images, and what is neither."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.axes import image_axis
from latentscope.spectra.draft import Draft, choose
from latentscope.spectra.hdus import HDU, Column
from latentscope.spectra.headers import PIPELINES, Header, Keywords, drs_pipeline

MAX_ROWS = 8
"""An image of more rows on one wavelength axis is no spectrum with companions."""


def find_spectrum(
    hdus: Sequence[HDU], file: str | None, hdu: int | str | None = None
) -> Draft | None:
    """Read the first HDU that is a spectrum, or the one that `hdu` names; None if none is.

    Raises
    ------
    SpectrumError
        If the file is a product of a pipeline that is no merged spectrum, or lacks that HDU.
    """
    chosen = hdus
    if hdu is None:
        _refuse_other_products(hdus, file)
    else:
        chosen = [_named(hdus, str(hdu))]
    # Tables first: the image beside a table of wavelengths is a quick look.
    return _read_table(chosen, hdus[0].header) or _read_image(chosen, hdus[0].header)


def _named(hdus: Sequence[HDU], name: str) -> HDU:
    """Find the HDU of that number or EXTNAME, which the standard compares without case."""
    for hdu in hdus:
        if name.upper() in (str(hdu.index), hdu.header.text("EXTNAME").upper()):
            return hdu
    raise SpectrumError(f"no HDU {name!r} in {'; '.join(map(str, hdus))}")


_DESCRIPTIONS = {
    "bis": "the bisector of a cross-correlation function (bis)",
    "ccf": "a cross-correlation function (ccf), a function of velocity",
    "e2ds": "an order-by-order spectrum (e2ds), not merged",
    "s2d": "an order-by-order spectrum (S2D), not merged",
    "frame": "a detector or guide-camera frame, not an extracted spectrum",
}
_OLD_NAME = re.compile(r"_(e2ds|ccf|bis|wave|blaze)(?:_[A-Za-z0-9]+)*?_([AB])(?=\.|$)")
_NEW_NAME = re.compile(r"_(S2D|CCF)(?:_[A-Z0-9]+)*?_([AB])(?=\.|$)")


def _refuse_other_products(hdus: Sequence[HDU], file: str | None) -> None:
    """Raise if the file is an e2ds, ccf, bis, S2D or raw frame; say which file to use."""
    # They have axes and keywords like those of a spectrum, and would be read as one.
    images = [hdu for hdu in hdus if hdu.kind == "image" and prod(hdu.shape) > 1]
    if not images:
        return
    kind, hdu = _other_product(hdus, images)
    if kind is None:
        return
    shape = " x ".join(str(length) for length in hdu.shape) or "no data"
    raise SpectrumError(
        f"HDU {hdu.index} ({shape}) is {_DESCRIPTIONS[kind]}; use {_sibling(kind, file)}"
    )


def _other_product(hdus: Sequence[HDU], images: Sequence[HDU]) -> tuple[str | None, HDU]:
    """Recognize a product that is no merged spectrum, and the image that it lies in."""
    keywords, first = Keywords([hdu.header for hdu in hdus]), images[0]
    category = keywords.text(["ESO PRO CATG", "TNG PRO CATG"]) or ""
    for prefix, kind in (("CCF", "ccf"), ("S2D", "s2d")):
        if category.startswith(prefix):
            return kind, first
    # The old DRS has no category. Its S1D carry the keywords of the ccf too, but have one axis.
    on_velocity = first.header.text("CTYPE1").lower() in ("km/s", "m/s", "velo", "vrad")
    if len(first.shape) > 1 or on_velocity:
        for kind in ("bis", "ccf"):
            if any(keywords.has_prefix(f"{name} DRS {kind.upper()}") for name in PIPELINES):
                return kind, first
    if on_velocity:
        return "ccf", first
    wide = [hdu for hdu in images if prod(hdu.shape[:-1]) > MAX_ROWS]
    if not wide or any(hdu.kind == "table" for hdu in hdus):
        return None, first
    image = wide[0]
    if drs_pipeline(keywords) == "new DRS" or image.header.text("EXTNAME") == "SCIDATA":
        return "s2d", image
    # An echelle has some 70 orders of some 4,000 pixels; detectors have as many rows as columns.
    orders = len(image.shape) == 2 and image.shape[0] <= 200 and image.shape[-1] >= 1000
    extracted = any(keywords.has_prefix(f"{name} DRS ") for name in PIPELINES)
    return ("e2ds" if orders and extracted else "frame"), image


def _sibling(kind: str, file: str | None) -> str:
    name = re.split(r"[\\/]", file)[-1] if file else ""
    for pattern, word in ((_OLD_NAME, "s1d"), (_NEW_NAME, "S1D")):
        found = pattern.search(name)
        if found:
            return f"its sibling {name[: found.start()]}_{word}_{found[2]}{name[found.end() :]}"
    if kind == "s2d":
        return "the merged spectrum beside it, named ..._S1D_A.fits"
    if kind == "frame":
        return "the reduced spectrum, an ADP product of the archive or ..._s1d_A.fits"
    return "the merged spectrum beside it, named ..._s1d_A.fits (or ..._S1D_A.fits)"


def _read_table(hdus: Sequence[HDU], primary: Header) -> Draft | None:
    """Read the first table with wavelength and flux: one row of array cells, or a row a pixel."""
    for hdu in hdus:
        if hdu.kind != "table" or not hdu.columns:
            continue
        choice = choose(hdu.columns)
        if choice is not None:
            break
    else:
        return None
    wave, flux = hdu.columns[choice.wavelength], hdu.columns[choice.flux]
    values = _one_spectrum(hdu, wave)
    quality = _optional(hdu, choice.quality, values.shape)
    return Draft(
        format=_table_format(primary, hdu),
        where=f"HDU {hdu.index}, columns {wave.name} and {flux.name}",
        wavelength=values,
        flux=_one_spectrum(hdu, flux),
        unit=wave.written_unit,
        flux_unit=flux.unit,
        error=_optional(hdu, choice.error, values.shape),
        error_kind=choice.error_kind,
        ivar=_optional(hdu, choice.ivar, values.shape),
        quality=quality,
        quality_name="" if choice.quality is None else hdu.columns[choice.quality].name,
        medium=choice.medium,
        inferred=choice.inferred,
        assumed=choice.notes,
        logarithmic=choice.logarithmic,
        headers=(hdu.header, primary),
    )


def _one_spectrum(hdu: HDU, column: Column) -> NDArray[Any]:
    """Return the column as one axis, whether pixels lie along a row or down the rows."""
    rows = hdu.shape[0]
    in_cells = column.repeat > 1 and column.code not in "XA"
    if rows > 1 and (in_cells or column.code in "PQ"):
        raise SpectrumError(
            f"HDU {hdu.index}, column {column.name}: {rows} rows of array cells, one an order or "
            "a target; expected one merged spectrum: use the S1D or ADP product, or give one row "
            "as a (wavelength, flux) tuple"
        )
    return hdu.cells(column).reshape(-1)


def _optional(hdu: HDU, position: int | None, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Read an error or quality column; a broken one does not fail the spectrum."""
    if position is None:
        return None
    try:
        values = _one_spectrum(hdu, hdu.columns[position])
    except (SpectrumError, ValueError, TypeError):
        return None
    return values if values.shape == shape else None


def _table_format(primary: Header, hdu: HDU) -> str:
    category = primary.text("PRODCATG") or hdu.header.text("PRODCATG")
    if category.upper().startswith("SCIENCE.SPECTRUM"):
        return "eso-phase3"
    names = {column.name.lower() for column in hdu.columns}
    if hdu.shape[0] == 1:
        return "eso-phase3" if {"wave", "flux"} <= names else "table-cells"
    return "drs-s1d-table" if {"wavelength", "wavelength_air"} <= names else "table"


def _read_image(hdus: Sequence[HDU], primary: Header) -> Draft | None:
    """Read the first image that is one spectrum on a wavelength axis; None if none is."""
    for hdu in hdus:
        rows = prod(hdu.shape[:-1]) if hdu.shape else 0
        if hdu.kind != "image" or not 1 <= rows <= MAX_ROWS or hdu.shape[-1] < 2:
            continue
        axis = image_axis(hdu.header)
        if axis is not None:
            break
    else:
        return None
    where = f"HDU {hdu.index}, image"
    if axis.step == 0 or not np.isfinite([axis.start, axis.step, axis.reference]).all():
        raise SpectrumError(
            f"{where}: starts at {axis.start} with a step of {axis.step} a pixel; expected finite "
            "CRVAL1 and CDELT1 other than 0"
        )
    count = hdu.shape[-1]
    # IRAF stacks the optimal extraction, the plain one, the sky and the errors, in this order.
    if rows > 1:
        axis.notes.append(f"image: the first of its {rows} rows is the spectrum")
    drs = drs_pipeline(Keywords((hdu.header, primary))) is not None
    return Draft(
        format="drs-s1d" if drs else "image-linear" if axis.base is None else "image-log",
        where=where,
        wavelength=axis.wavelength(count),
        flux=hdu.image().reshape(-1, count)[0],
        unit=axis.unit,
        flux_unit=hdu.header.text("BUNIT"),
        inferred=axis.inferred,
        headers=(hdu.header, primary) if hdu.index else (hdu.header,),
        assumed=axis.notes,
    )
