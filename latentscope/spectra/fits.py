"""FITS files: bytes to images and binary tables, and the spectrum in them.

Headers are indexed and not parsed (headers.py), and arrays are views of the file's bytes until
somebody reads them: on files with the header of a HARPS pipeline `encode` takes half to four fifths
of the processor time that it takes with astropy.io.fits (docs/encode.md). FITS standard 4.0 (Pence
et al. 2010, A&A 524, A42, and its successors).
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.spectra.draft import Draft, Label, choose
from latentscope.spectra.headers import CARD, PIPELINES, Header, Keywords, drs_pipeline
from latentscope.spectra.wavelength import image_axis

BLOCK = 2880
IMAGE_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
COLUMN_TYPES = {
    "L": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8",
    "A": "u1", "C": ">c8", "M": ">c16", "P": ">i4", "Q": ">i8",
}  # fmt: skip
_FORM = re.compile(r"\s*(\d*)([LXBIJKAEDCMPQ])([LXBIJKAEDCM]?)")

MAX_ROWS = 8
"""An image of more rows on one wavelength axis is no spectrum with companions."""


def read_hdus(data: bytes) -> list[HDU]:
    """Split a FITS file into its HDUs, tile-compressed images unpacked.

    Raises
    ------
    SpectrumError
        If the file is cut short or broken.
    """
    hdus = split_hdus(data)
    if any(hdu.header.get("ZIMAGE") is True for hdu in hdus):
        return split_hdus(_decompressed(data))
    return hdus


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


@dataclass(frozen=True, kw_only=True)
class Column(Label):
    """One column of a binary table: what the header says of it, and where it lies in a row."""

    index: int
    code: str
    element: str
    repeat: int
    offset: int


@dataclass(frozen=True)
class HDU:
    """One header and the bytes that follow it."""

    index: int
    header: Header
    data: memoryview
    shape: tuple[int, ...]

    def __str__(self) -> str:
        shape = " x ".join(str(length) for length in self.shape)
        content = f"{self.kind} {shape}" if shape else "no data"
        if self.kind == "table":
            content = "table with columns " + ", ".join(c.name for c in self.columns[:8])
        return f"HDU {self.index} ({content})"

    @property
    def kind(self) -> str:
        """``image``, ``table`` (binary), or the XTENSION of anything else."""
        extension = self.header.text("XTENSION") or "IMAGE"
        # A3DTABLE: what binary tables were called before they became part of the standard.
        return {"IMAGE": "image", "BINTABLE": "table", "A3DTABLE": "table"}.get(
            extension, extension
        )

    def image(self) -> NDArray[Any]:
        """Pixels as floating numbers in native byte order, shape as numpy has it (last axis 1)."""
        stored = np.frombuffer(self.data, IMAGE_TYPES[self.header.integer("BITPIX")])
        pixels = stored[: prod(self.shape)].reshape(self.shape)
        return _physical(pixels, self.header, "BSCALE", "BZERO", "BLANK")

    @cached_property
    def columns(self) -> list[Column]:
        """The columns, in the order of the file."""
        header, offset = self.header, 0
        columns = []
        for number in range(1, _count(header, "TFIELDS", self.index) + 1):
            form = _FORM.match(header.text(f"TFORM{number}"))
            if form is None:
                raise SpectrumError(
                    f"HDU {self.index}, column {number}: TFORM{number} is "
                    f"{header.text(f'TFORM{number}')!r}; expected a FITS table format like 1D"
                )
            repeat, code = int(form[1] or 1), form[2]
            columns.append(
                Column(
                    index=number,
                    name=header.text(f"TTYPE{number}"),
                    code=code,
                    element=form[3],
                    repeat=repeat,
                    offset=offset,
                    unit=header.text(f"TUNIT{number}"),
                    ucd=header.text(f"TUCD{number}"),
                    utype=header.text(f"TUTYP{number}") or header.text(f"TUTYPE{number}"),
                )
            )
            if code == "X":  # bits, filled up to whole bytes
                offset += -(-repeat // 8)
            else:
                pair = 2 if code in "PQ" else 1
                offset += np.dtype(COLUMN_TYPES[code]).itemsize * repeat * pair
        return columns

    def cells(self, column: Column) -> NDArray[Any]:
        """Values of a column as numbers in native byte order, shape (rows, repeat)."""
        if column.code in "PQ":
            stored = self._heap_cells(column)
        elif column.code in "XACM":
            raise SpectrumError(
                f"HDU {self.index}, column {column.name}: holds text, bits or complex numbers "
                f"(TFORM {column.code}); expected real numbers"
            )
        else:
            stored = self._strided(column, column.repeat)
        number = column.index
        if (column.element or column.code) == "L":
            return np.asarray(stored == ord("T"))
        return _physical(stored, self.header, f"TSCAL{number}", f"TZERO{number}", f"TNULL{number}")

    def _strided(self, column: Column, repeat: int) -> NDArray[Any]:
        width, rows = self.shape[-1], self.shape[0]
        kind = np.dtype(COLUMN_TYPES[column.code])
        return np.ndarray(
            (rows, repeat), kind, self.data, column.offset, strides=(width, kind.itemsize)
        )

    def _heap_cells(self, column: Column) -> NDArray[Any]:
        """Variable-length arrays: each row holds (count, offset into the heap)."""
        places = self._strided(column, 2)
        if len(np.unique(places[:, 0])) != 1:
            raise SpectrumError(
                f"HDU {self.index}, column {column.name}: rows hold arrays of different lengths; "
                "expected one spectrum a table"
            )
        heap = self.header.integer("THEAP", prod(self.shape))
        kind = COLUMN_TYPES[column.element]
        return np.stack(
            [np.frombuffer(self.data, kind, count, heap + at) for count, at in places.tolist()]
        )


def split_hdus(buffer: bytes) -> list[HDU]:
    """Split a FITS file into its HDUs.

    Raises
    ------
    SpectrumError
        If the file ends before its headers say so. What follows the last HDU is ignored.
    """
    view = memoryview(buffer)
    hdus: list[HDU] = []
    start = 0
    while start < len(buffer) and buffer.startswith((b"SIMPLE  =", b"XTENSION="), start):
        header, start = _read_header(buffer, start, len(hdus))
        axes = range(1, _count(header, "NAXIS", len(hdus)) + 1)
        shape = tuple(header.integer(f"NAXIS{axis}") for axis in reversed(axes))
        size = 0
        if shape:  # standard 4.0, equation 2
            values = prod(shape) + header.integer("PCOUNT")
            size = abs(header.integer("BITPIX", 8)) // 8 * header.integer("GCOUNT", 1) * values
        if size < 0:
            raise SpectrumError(f"HDU {len(hdus)}: its header announces a negative size; broken")
        if start + size > len(buffer):
            raise SpectrumError(
                f"HDU {len(hdus)}: the file is cut short: it has {len(buffer) - start} of the "
                f"{size} bytes that its header announces; download it again"
            )
        hdus.append(HDU(len(hdus), header, view[start : start + size], shape))
        start += -(-size // BLOCK) * BLOCK
    return hdus


def plain_fits(hdulist: Any) -> bytes:
    """Bytes of an astropy HDUList, tile-compressed images unpacked."""
    from astropy.io import fits

    plain = fits.HDUList(
        [
            fits.ImageHDU(hdu.data, hdu.header) if isinstance(hdu, fits.CompImageHDU) else hdu
            for hdu in hdulist
        ]
    )
    if not isinstance(plain[0], fits.PrimaryHDU):
        plain.insert(0, fits.PrimaryHDU())
    stream = io.BytesIO()
    plain.writeto(stream, output_verify="ignore")
    return stream.getvalue()


def _decompressed(data: bytes) -> bytes:
    """Tile-compressed images are left to astropy."""
    from astropy.io import fits

    try:
        with fits.open(io.BytesIO(data), memmap=False) as hdulist:
            return plain_fits(hdulist)
    except Exception as error:  # the decompressors raise many kinds
        raise SpectrumError(f"its tile compression is broken ({error})") from None


def _read_header(buffer: bytes, start: int, index: int) -> tuple[Header, int]:
    """Read the header that begins at `start`, and find where its data begin."""
    end = buffer.find(b"END     ", start)
    # A comment may hold the word too; the END card begins where a card begins.
    while end >= 0 and (end - start) % CARD:
        end = buffer.find(b"END     ", end + 1)
    if end < 0:
        raise SpectrumError(
            f"HDU {index}: the file is cut short: its header has no END card; download it again"
        )
    text = buffer[start:end].decode("latin-1")  # the standard wants ASCII, observers have accents
    blocks = -(-(end + CARD - start) // BLOCK)
    return Header.from_block(text), start + blocks * BLOCK


def _count(header: Header, key: str, index: int) -> int:
    """Read a number of axes or columns, of which the standard allows 999."""
    count = header.integer(key)
    if not 0 <= count <= 999:
        raise SpectrumError(
            f"HDU {index}: {key} is {count}; expected 0 to 999: the header is broken"
        )
    return count


def _physical(
    stored: NDArray[Any], header: Header, scale: str, zero: str, blank: str
) -> NDArray[Any]:
    """Turn stored numbers into physical ones: scaled, blanks to NaN, native byte order."""
    if stored.dtype.kind == "f":
        values = stored.astype(stored.dtype.newbyteorder("="))
    else:
        # float32 holds integers of 16 bits exactly, and costs half.
        values = stored.astype(np.float32 if stored.dtype.itemsize <= 2 else np.float64)
        if header.get(blank) is not None:
            values[stored == header.integer(blank)] = np.nan
    factor, offset = header.get(scale, 1), header.get(zero, 0)
    if (factor, offset) != (1, 0) and isinstance(factor, int | float):
        values *= factor
        values += offset
    return values


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
    logarithmic = wave.key == "loglam"
    quality = _optional(hdu, choice.quality, values.shape)
    return Draft(
        format=_table_format(primary, hdu),
        where=f"HDU {hdu.index}, columns {wave.name} and {flux.name}",
        wavelength=10.0 ** values.astype(np.float64) if logarithmic else values,
        flux=_one_spectrum(hdu, flux),
        unit="Angstrom" if logarithmic else wave.written_unit,
        flux_unit=flux.unit,
        error=_optional(hdu, choice.error, values.shape),
        error_kind=choice.error_kind,
        ivar=_optional(hdu, choice.ivar, values.shape),
        quality=quality,
        quality_name="" if choice.quality is None else hdu.columns[choice.quality].name,
        medium=choice.medium,
        inferred=choice.inferred,
        assumed=choice.notes,
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
