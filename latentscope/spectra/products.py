"""FITS files of pipelines that are no merged spectrum, told by content, and what to use instead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import NoReturn

from latentscope.errors import SpectrumError
from latentscope.spectra.axes import image_axis
from latentscope.spectra.hdus import HDU
from latentscope.spectra.headers import PIPELINES, Keywords, drs_pipeline

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
