"""FITS files: bytes to images and binary tables.

Headers are indexed and not parsed (headers.py), and arrays are views of the file's bytes until
somebody reads them, which is faster than astropy.io.fits (docs/performance.md). FITS standard 4.0
(Pence et al. 2010, A&A 524, A42, and its successors).
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError
from latentscope.files import MAX_BYTES
from latentscope.spectra.draft import Label
from latentscope.spectra.headers import CARD, Header

BLOCK = 2880
IMAGE_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
COLUMN_TYPES = {
    "L": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8",
    "A": "u1", "C": ">c8", "M": ">c16", "P": ">i4", "Q": ">i8",
}  # fmt: skip
_FORM = re.compile(r"\s*(\d*)([LXBIJKAEDCMPQ])([LXBIJKAEDCM]?)")

_MOST_HDUS = 1000


def read_hdus(data: bytes) -> list[HDU]:
    """Split a FITS file into its HDUs, tile-compressed images unpacked, tables of text as binary.

    A SpectrumError if it is truncated or broken.
    """
    hdus = split_hdus(data)
    tiled = [hdu for hdu in hdus if hdu.header.get("ZIMAGE") is True]
    if tiled or any(hdu.kind == "TABLE" for hdu in hdus):
        size = sum(_unpacked_size(hdu, key) for hdu in tiled for key in ("ZNAXIS", "ZTILE"))
        if size > MAX_BYTES:
            raise SpectrumError(
                f"its tile compression unpacks to more than {MAX_BYTES / 1e9:g} GB, the most that "
                "is read of a file; expected one spectrum"
            )
        return split_hdus(_by_astropy(data))
    return hdus


def _unpacked_size(hdu: HDU, key: str) -> int:
    """Bytes of an image, or of one tile of it, as its header announces."""
    axes = range(1, _count(hdu.header, "ZNAXIS", hdu.index) + 1)
    pixels = prod(max(hdu.header.integer(f"{key}{axis}", 1), 1) for axis in axes)
    return pixels * abs(hdu.header.integer("ZBITPIX", 64)) // 8


@dataclass(frozen=True, kw_only=True)
class Column(Label):
    """One column of a binary table: what the header says of it, and where it lies in a row."""

    index: int
    code: str
    element: str
    repeat: int
    offset: int

    @property
    def width(self) -> int:
        """Bytes that the column takes in a row."""
        if self.code == "X":  # bits, filled up to whole bytes
            return -(-self.repeat // 8)
        pair = 2 if self.code in "PQ" else 1
        return np.dtype(COLUMN_TYPES[self.code]).itemsize * self.repeat * pair


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
        bits = self.header.integer("BITPIX")
        stored = np.frombuffer(self.data, IMAGE_TYPES[bits])
        pixels = stored[: prod(self.shape)].reshape(self.shape)
        if bits in (32, 64):
            _check_integers(pixels, self)
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
            offset += columns[-1].width
        return columns

    def cells(self, column: Column) -> NDArray[Any]:
        """Values of a column as numbers in native byte order, shape (rows, repeat)."""
        if column.code in "XACMPQ":
            raise SpectrumError(
                f"HDU {self.index}, column {column.name}: holds text, bits or complex numbers "
                f"(TFORM {column.code}); expected real numbers"
            )
        return self._scaled(self._strided(column, column.repeat), column)

    def _scaled(self, stored: NDArray[Any], column: Column) -> NDArray[Any]:
        number = column.index
        if (column.element or column.code) == "L":
            return np.asarray(stored == ord("T"))
        return _physical(stored, self.header, f"TSCAL{number}", f"TZERO{number}", f"TNULL{number}")

    def pieces(self, column: Column) -> list[NDArray[Any]]:
        """Values of a column as spectra: one down the rows, or one for each array in a cell."""
        if column.code in "PQ":
            return [self._scaled(row, column) for row in self._heap_cells(column)]
        cells = self.cells(column)
        if column.repeat <= 1:
            return [cells.reshape(-1)]
        lengths = re.findall(r"\d+", self.header.text(f"TDIM{column.index}"))
        long = [int(length) for length in lengths if int(length) > 1]
        # Cells of more dimensions: pixels come first.
        if len(long) > 1 and prod(long) == column.repeat:
            cells = cells.reshape(-1, long[0])
        return list(cells)

    def stored(self, column: Column, row: int) -> bytes:
        """Bytes of one cell."""
        kind = np.dtype(COLUMN_TYPES[column.code])
        start = row * self.shape[-1] + column.offset
        return bytes(self.data[start : start + kind.itemsize * column.repeat])

    def _strided(self, column: Column, repeat: int) -> NDArray[Any]:
        width, rows = self.shape[-1], self.shape[0]
        last = self.columns[-1]
        needed = last.offset + last.width
        if needed != width:
            forms = [self.header.text(f"TFORM{other.index}") for other in self.columns]
            shown = " + ".join(forms[:8] + ["..."] * (len(forms) > 8))
            raise SpectrumError(
                f"HDU {self.index}: its columns ({shown}) take {needed} bytes per row, NAXIS1 says "
                f"{width}; the header is broken: download the file again or mend its TFORMs"
            )
        kind = np.dtype(COLUMN_TYPES[column.code])
        return np.ndarray(
            (rows, repeat), kind, self.data, column.offset, strides=(width, kind.itemsize)
        )

    def _heap_cells(self, column: Column) -> list[NDArray[Any]]:
        """Variable-length arrays: each row holds (count, offset into the heap)."""
        heap = self.header.integer("THEAP", prod(self.shape))
        kind = COLUMN_TYPES[column.element]
        places = self._strided(column, 2).tolist()
        if any(at < 0 for _, at in places):
            raise SpectrumError(f"HDU {self.index}, column {column.name}: an array before its heap")
        return [np.frombuffer(self.data, kind, count, heap + at) for count, at in places]


def split_hdus(buffer: bytes) -> list[HDU]:
    """Split a FITS file into its HDUs.

    A SpectrumError if it ends before its headers say so, or goes on with data that no header
    describes.
    """
    view = memoryview(buffer)
    hdus: list[HDU] = []
    start = 0
    while start < len(buffer) and buffer.startswith((b"SIMPLE  =", b"XTENSION="), start):
        if len(hdus) == _MOST_HDUS:
            raise SpectrumError(f"more than {_MOST_HDUS} HDUs; expected a file of one spectrum")
        header, start = _read_header(buffer, start, len(hdus))
        axes = range(1, _count(header, "NAXIS", len(hdus)) + 1)
        shape = tuple(header.integer(f"NAXIS{axis}") for axis in reversed(axes))
        size = 0
        kind = header.get("BITPIX", 8)
        if kind not in IMAGE_TYPES or isinstance(kind, bool):
            raise SpectrumError(
                f"HDU {len(hdus)}: BITPIX is {kind!r}; expected 8, 16, 32, 64, -32 or -64"
            )
        if shape:  # standard 4.0, equation 2
            values = prod(shape) + header.integer("PCOUNT")
            size = abs(int(kind)) // 8 * header.integer("GCOUNT", 1) * values
        if size < 0 or header.integer("PCOUNT") < 0:
            raise SpectrumError(f"HDU {len(hdus)}: its header announces a negative size; broken")
        if start + size > len(buffer):
            raise SpectrumError(
                f"HDU {len(hdus)}: the file is truncated: it has {len(buffer) - start} of the "
                f"{size} bytes that its header announces; download it again"
            )
        hdus.append(HDU(len(hdus), header, view[start : start + size], shape))
        _check_padding(view, hdus[-1], start, size)
        start += -(-size // BLOCK) * BLOCK
    return hdus


def _check_padding(view: memoryview, hdu: HDU, start: int, size: int) -> None:
    """Raise if data are longer or shorter than the header announces."""
    end = start + -(-size // BLOCK) * BLOCK
    padding = bytes(view[start + size : end]).rstrip(b"\0 ")
    following = bytes(view[end : end + BLOCK])
    whole = len(view) % BLOCK == 0
    # Writers may leave out the padding; a part of it is missing where bytes were lost before it.
    if start + size < len(view) < end or (padding and not whole):
        raise SpectrumError(
            f"HDU {hdu.index}: the file has {len(view)} bytes, no whole number of blocks of "
            f"{BLOCK}, and its data do not end where its header says: bytes were lost or added "
            "on the way; download it again, as binary"
        )
    # Zeros, blanks and less than a block of anything are what tapes and downloads leave.
    unknown = len(following) == BLOCK and following.strip(b"\0 ") != b""
    unknown &= not following.startswith(b"XTENSION")
    # Old bytes in the padding are harmless; numbers of twice the width end where they must.
    doubled = size > 0 and hdu.kind == "image" and 0 <= size - len(padding) < 8
    if unknown or doubled:
        bits, values = hdu.header.integer("BITPIX", 8), prod(hdu.shape)
        held = len(bytes(view[start:]).rstrip(b"\0 "))
        raise SpectrumError(
            f"HDU {hdu.index}: {values} values of {abs(bits)} bits (BITPIX {bits}) are {size} "
            f"bytes, but {held} bytes follow its header, and no other header; BITPIX or an NAXIS "
            "is wrong: download the file again"
        )


def _check_integers(pixels: NDArray[Any], hdu: HDU) -> None:
    """Raise if integers are the bits of floating-point numbers, and so all very large."""
    values = pixels[pixels != 0]
    bits = pixels.dtype.itemsize * 8
    if len(values) and np.abs(values, dtype=np.float64).min() > 2.0 ** (bits - 4):
        raise SpectrumError(
            f"HDU {hdu.index}: its integers (BITPIX {bits}) are {values.min()} to {values.max()}, "
            f"floating numbers by their bits; BITPIX {-bits} was meant, download the file again"
        )


def plain_fits(hdulist: Any) -> bytes:
    """Bytes of an astropy HDUList, tile-compressed images unpacked, tables of text as binary."""
    from astropy.io import fits
    from astropy.table import Table

    def plain_hdu(hdu: Any) -> Any:
        if isinstance(hdu, fits.TableHDU):
            return fits.table_to_hdu(Table.read(hdu))
        return fits.ImageHDU(hdu.data, hdu.header) if isinstance(hdu, fits.CompImageHDU) else hdu

    plain = fits.HDUList([plain_hdu(hdu) for hdu in hdulist])
    if not isinstance(plain[0], fits.PrimaryHDU):
        plain.insert(0, fits.PrimaryHDU())
    stream = io.BytesIO()
    plain.writeto(stream, output_verify="ignore")
    return stream.getvalue()


def _by_astropy(data: bytes) -> bytes:
    """Have astropy unpack tile-compressed images and tables of text."""
    from astropy.io import fits

    try:
        with fits.open(io.BytesIO(data), memmap=False) as hdulist:
            return plain_fits(hdulist)
    except Exception as error:  # the decompressors raise many kinds
        raise SpectrumError(f"its tile compression or table of text is broken ({error})") from None


def _read_header(buffer: bytes, start: int, index: int) -> tuple[Header, int]:
    """Read the header that begins at `start`, and find where its data begin."""
    end = buffer.find(b"END     ", start)
    # A comment may hold the word too; the END card begins where a card begins.
    while end >= 0 and (end - start) % CARD:
        end = buffer.find(b"END     ", end + 1)
    if end < 0:
        raise SpectrumError(
            f"HDU {index}: the file is truncated: its header has no END card; download it again"
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


def _number(header: Header, key: str, default: int) -> int | float:
    value = header.get(key, default)
    if isinstance(value, bool | str) or value is None:
        raise SpectrumError(f"{key} is {value!r}; expected a number")
    return value


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
    factor, offset = _number(header, scale, 1), _number(header, zero, 0)
    if factor == 0:
        raise SpectrumError(
            f"{scale} is 0, so that all values are the same; expected another number"
        )
    if (factor, offset) != (1, 0):
        values *= factor
        values += offset
    return values
