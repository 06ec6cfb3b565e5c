"""read_spectrum: whatever holds a spectrum, recognised by content and never by file name."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from latentscope.errors import SpectrumError
from latentscope.spectra.draft import Draft, finish
from latentscope.spectra.fitsfile import HDU, plain_fits, split_hdus
from latentscope.spectra.objects import (
    is_pair,
    is_specutils,
    read_pair,
    read_specutils,
    read_with_specutils,
)
from latentscope.spectra.products import refuse_other_products
from latentscope.spectra.sources import is_hdulist, read_source
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.tables import read_table
from latentscope.spectra.text import array_draft, is_text, read_npy, read_text
from latentscope.spectra.wcs import read_image

FITS_READERS: tuple[Callable[[Sequence[HDU]], Draft | None], ...] = (read_table, read_image)
"""Tried in this order; each returns None for a file that is not its kind."""

_BROKEN = (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError)


def read_spectrum(source: Any) -> Spectrum:
    """Read one spectrum: wavelength in Angstrom, flux as it stands, and what the header says.

    Formats are recognised by content: ESO phase-3 products (ADP) and other FITS tables of
    wavelength and flux, S1D images and tables of the HARPS, HARPS-N and ESPRESSO pipelines, FITS
    images with linear or log-linear wavelengths (IRAF or FITS standard), all of them gzipped too;
    CSV, ECSV, text columns, .npy; any other FITS through specutils, if it is installed.

    Parameters
    ----------
    source : path, bytes, open file, HDUList, (wavelength, flux), Quantity pair, or specutils object
        Arrays are shape (n,), in Angstrom unless they carry a unit. An array of shape (2, n) or
        (n, 2) is wavelength and flux. A `Spectrum` comes back as it is.

    Returns
    -------
    Spectrum
        `flux` keeps its precision (float32 stays float32). `rv` and `berv` in km/s, receding
        positive, None where unknown. ``meta["assumed"]`` lists what the file did not say.

    Raises
    ------
    SpectrumError
        If there is no spectrum in it; the message names file, HDU and column, and for e2ds, ccf
        and bis products the sibling file to use.
    """
    if isinstance(source, Spectrum):
        return source
    if is_specutils(source):
        return _guarded(lambda: finish(read_specutils(source), None), "the specutils object")
    if is_pair(source) and not is_hdulist(source):
        return _guarded(lambda: finish(read_pair(source), None), "(wavelength, flux)")
    if isinstance(source, np.ndarray):
        return _guarded(lambda: finish(array_draft(source, "array"), None), "the array")
    data, file = read_source(source)
    return _guarded(lambda: finish(_read_bytes(data, file), file), file or "the bytes given")


def _guarded(read: Callable[[], Spectrum], name: str) -> Spectrum:
    """Run `read`; put the name before its errors and turn those of numpy into SpectrumError."""
    try:
        with np.errstate(all="ignore"):  # what overflows is not finite, and judged as such
            return read()
    except SpectrumError as error:
        message = str(error)
        raise SpectrumError(message if message.startswith(name) else f"{name}: {message}") from None
    except _BROKEN as error:
        raise SpectrumError(
            f"{name}: its content contradicts its header ({type(error).__name__}: {error}); "
            "download or write it again"
        ) from error


def _read_bytes(data: bytes, file: str | None) -> Draft:
    if data.startswith(b"SIMPLE  ="):
        return _read_fits(data, file)
    if data.startswith(b"\x93NUMPY"):
        return read_npy(data)
    if is_text(data):
        return read_text(data)
    raise SpectrumError(
        f"starts with {data[:8]!r}, which is neither FITS, gzip, .npy nor text; wanted one of these"
    )


def _read_fits(data: bytes, file: str | None) -> Draft:
    hdus = split_hdus(data)
    if any(hdu.header.get("ZIMAGE") is True for hdu in hdus):
        hdus = split_hdus(_unpacked(data))
    refuse_other_products(hdus, file)
    for reader in FITS_READERS:
        draft = reader(hdus)
        if draft is not None:
            return draft
    try:
        return read_with_specutils(data, file or "spectrum.fits")
    except SpectrumError as error:
        raise SpectrumError(
            f"no spectrum found in {'; '.join(_inventory(hdu) for hdu in hdus)}. Wanted a table "
            "with wavelength and flux columns, or a one-dimensional image with CRVAL1 and CDELT1; "
            f"{error}"
        ) from None


def _unpacked(data: bytes) -> bytes:
    """Tile-compressed images are left to astropy."""
    from astropy.io import fits

    try:
        with fits.open(io.BytesIO(data), memmap=False) as hdulist:
            return plain_fits(hdulist)
    except Exception as error:  # the decompressors raise many kinds
        raise SpectrumError(f"its tile compression is broken ({error})") from None


def _inventory(hdu: HDU) -> str:
    shape = " x ".join(str(length) for length in hdu.shape)
    content = f"{hdu.kind} {shape}" if shape else "no data"
    if hdu.kind == "table":
        content = "table with columns " + ", ".join(column.name for column in hdu.columns[:8])
    return f"HDU {hdu.index} ({content})"
