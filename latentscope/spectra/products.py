"""Files that are no merged spectrum, told by their content, and which sibling to use instead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

from latentscope.errors import SpectrumError
from latentscope.spectra.fitsfile import HDU
from latentscope.spectra.headers import PIPELINES, Keywords, drs_pipeline
from latentscope.spectra.wcs import MOST_ROWS

_DESCRIPTIONS = {
    "bis": "the bisector of a cross-correlation function (bis)",
    "ccf": "a cross-correlation function (ccf), a function of velocity",
    "e2ds": "an order-by-order spectrum (e2ds), not merged",
    "s2d": "an order-by-order spectrum (S2D), not merged",
    "frame": "a detector or guide-camera frame, not an extracted spectrum",
}
_OLD_NAME = re.compile(r"_(e2ds|ccf|bis|wave|blaze)(?:_[A-Za-z0-9]+)*?_([AB])(?=\.|$)")
_NEW_NAME = re.compile(r"_(S2D|CCF)(?:_[A-Z0-9]+)*?_([AB])(?=\.|$)")


def refuse_other_products(hdus: Sequence[HDU], file: str | None) -> None:
    """Raise if the file is an e2ds, ccf, bis, S2D or raw frame; say which file to use.

    Raises
    ------
    SpectrumError
    """
    found = _recognise(hdus)
    if found is None:
        return
    kind, hdu = found
    shape = " x ".join(str(length) for length in hdu.shape) or "no data"
    raise SpectrumError(
        f"HDU {hdu.index} ({shape}) is {_DESCRIPTIONS[kind]}; use {_sibling(kind, file)}"
    )


def _recognise(hdus: Sequence[HDU]) -> tuple[str, HDU] | None:
    keywords = Keywords([hdu.header for hdu in hdus])
    images = [hdu for hdu in hdus if hdu.kind == "image" and prod(hdu.shape) > 1]
    if not images:
        return None
    category = keywords.text(["ESO PRO CATG", "TNG PRO CATG"]) or ""
    for prefix, kind in (("CCF", "ccf"), ("S2D", "s2d")):
        if category.startswith(prefix):
            return kind, images[0]
    velocity = _velocity_product(keywords, images[0])
    if velocity is not None:
        return velocity, images[0]
    wide = [hdu for hdu in images if prod(hdu.shape[:-1]) > MOST_ROWS]
    if not wide or any(hdu.kind == "table" for hdu in hdus):
        return None
    return _wide_product(keywords, wide[0]), wide[0]


def _velocity_product(keywords: Keywords, hdu: HDU) -> str | None:
    """Tell a bis or ccf of the old DRS by its keywords, in an image that is no S1D."""
    on_velocity = hdu.header.text("CTYPE1").lower() in ("km/s", "m/s", "velo", "vrad")
    if len(hdu.shape) < 2 and not on_velocity:
        return None
    for kind in ("bis", "ccf"):
        if any(keywords.has_prefix(f"{name} DRS {kind.upper()}") for name in PIPELINES):
            return kind
    return "ccf" if on_velocity else None


def _wide_product(keywords: Keywords, hdu: HDU) -> str:
    if drs_pipeline(keywords) == "new DRS" or hdu.header.text("EXTNAME") == "SCIDATA":
        return "s2d"
    few_orders = hdu.shape[0] <= 200 and hdu.shape[-1] >= 1000
    extracted = any(keywords.has_prefix(f"{name} DRS ") for name in PIPELINES)
    return "e2ds" if len(hdu.shape) == 2 and few_orders and extracted else "frame"


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
