"""Damaged and odd files, made of good ones: how a file can be broken, and what may come of it.

A damage is a function of a good file's bytes and a random generator that gives broken ones.
`allowed` says what may come of it: "refused" always; "right", where the spectrum is
still all there; "not wrong", either of them; "either", where nothing in the file can tell (a
flipped bit of a flux value).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from tests.spectra.instruments import LAYOUTS

Change = Callable[[bytes, np.random.Generator], bytes]

IMAGES = (
    "HARPS DRS s1d",
    "IRAF onedspec, linear",
    "IRAF onedspec, logarithmic",
    "MILES",
    "UVES-POP",
)
TABLES = (
    "ESPRESSO S1D_A", "ADP of HARPS", "ADP of FEROS", "ADP of X-shooter", "SDSS spec-lite",
    "LAMOST LRS, from DR8", "MELCHIORS", "XSL DR3", "6dFGS, tabular",
)  # fmt: skip
TEXTS = ("iSpec text", "Turbospectrum", "SYNTHE")
FITS = IMAGES + TABLES
GOOD = FITS + TEXTS


@dataclass(frozen=True)
class Damage:
    """A damage, its kind, what may come of it, and the layouts that it is done to."""

    name: str
    kind: str
    allowed: str
    bases: tuple[str, ...]
    change: Change


DAMAGES: list[Damage] = []


def family(kind: str) -> Callable[..., Callable[[Change], Change]]:
    """Return the decorator that enters damages of this kind."""

    def damage(
        name: str, allowed: str, bases: tuple[str, ...] = FITS
    ) -> Callable[[Change], Change]:
        def enter(change: Change) -> Change:
            DAMAGES.append(Damage(name, kind, allowed, bases, change))
            return change

        return enter

    return damage


def card(data: bytes, key: str, text: str, last: bool = False) -> bytes:
    """Overwrite the value of a card, the first of its name or the last."""
    name = f"{key:<8}=".encode()
    start = data.rindex(name) if last else data.index(name)
    return data[:start] + f"{key:<8}= {text:>20}".ljust(80)[:80].encode() + data[start + 80 :]


def data_start(data: bytes) -> int:
    """Where the data of the last HDU begin."""
    start = max(data.rfind(b"XTENSION="), 0)
    end = data.index(b"END     ", start)
    while (end - start) % 80:
        end = data.index(b"END     ", end + 1)
    return start + ((end - start) // 2880 + 1) * 2880


# What cuts a file

cuts = family("cut short")


@cuts("cut in the first header", "refused")
def cut_header(data, rng):
    return data[: int(rng.integers(9, 2800))]


@cuts("cut between header blocks", "refused")
def cut_block(data, rng):
    return data[: 2880 * int(rng.integers(1, max(data_start(data) // 2880, 2)))]


@cuts("cut in the data", "refused")
def cut_data(data, rng):
    start = data_start(data)
    return data[: int(rng.integers(start, start + 4000))]


@cuts("cut at the start of the data", "refused")
def cut_all_data(data, rng):
    return data[: data_start(data)]


@cuts("cut behind the first kilobyte, filled with zeros", "refused")
def zero_filled(data, rng):
    return data[:1000] + bytes(len(data) - 1000)


@cuts("a piece in the middle lost", "refused")
def lost_piece(data, rng):
    at = int(rng.integers(100, len(data) - 3000))
    return data[:at] + data[at + int(rng.integers(1, 2880)) :]


@cuts("text cut in a line", "not wrong", TEXTS)
def cut_text(data, rng):
    lines = data.split(b"\n")
    keep = int(rng.integers(len(lines) * 2 // 3, len(lines) - 2))
    return b"\n".join(lines[:keep]) + b"\n" + lines[keep][:4]


# What changes bits and bytes

bits = family("bits and bytes changed")


@bits("a bit flipped in the header", "either")
def flip_header(data, rng):
    at = int(rng.integers(0, data_start(data)))
    return data[:at] + bytes([data[at] ^ (1 << int(rng.integers(0, 7)))]) + data[at + 1 :]


@bits("a bit flipped in the data", "either")
def flip_data(data, rng):
    at = int(rng.integers(data_start(data), len(data)))
    return data[:at] + bytes([data[at] ^ (1 << int(rng.integers(0, 8)))]) + data[at + 1 :]


@bits("a hundred bytes of the header overwritten", "either")
def scribble(data, rng):
    at = int(rng.integers(80, data_start(data) - 100))
    return data[:at] + rng.bytes(100) + data[at + 100 :]


@bits("sent as text: line ends doubled", "not wrong")
def line_ends(data, rng):
    return data.replace(b"\n", b"\r\n").replace(b"\r", b"\r\n") + b"\r\n"


@bits("eighth bit lost", "either")
def seven_bits(data, rng):
    return bytes(byte & 0x7F for byte in data)


@bits("bytes of the data swapped", "either")
def swapped(data, rng):
    start = data_start(data)
    body = np.frombuffer(data[start : start + (len(data) - start) // 8 * 8], ">f8")
    return data[:start] + body.astype("<f8").tobytes()


@bits("a blank line before the header", "refused")
def blank_first(data, rng):
    return b"\n" + data


@bits("random bytes behind SIMPLE", "refused")
def random_bytes(data, rng):
    return data[:80] + rng.bytes(8000)


@bits("random bytes", "refused")
def noise(data, rng):
    return rng.bytes(int(rng.integers(1, 20000)))


# What contradicts itself

contradictions = family("headers that contradict the data")


@contradictions("BITPIX of another type", "refused", IMAGES)
def bitpix(data, rng):
    return card(data, "BITPIX", str(rng.choice([8, 16, 32])))


@contradictions("BITPIX of nothing", "refused", IMAGES)
def bitpix_nonsense(data, rng):
    return card(data, "BITPIX", str(rng.choice(["0", "7", "'abc'", "-33", "T"])))


@contradictions("NAXIS1 too large", "refused", IMAGES)
def axis_large(data, rng):
    return card(
        data, "NAXIS1", str(rng.choice(["100000", "1000000000000", "99999999999999999999"]))
    )


@contradictions("NAXIS1 too small", "refused", IMAGES)
def axis_small(data, rng):
    return card(data, "NAXIS1", "300")


@contradictions("NAXIS without sense", "refused", IMAGES)
def axis_nonsense(data, rng):
    return card(data, "NAXIS1", str(rng.choice(["-5", "0", "'abc'", "NaN", "1"])))


@contradictions("no END", "refused")
def no_end(data, rng):
    return data.replace(b"END     ", b"ENDE    ")


@contradictions("TFORM wider than the row", "refused", TABLES)
def form_wide(data, rng):
    return card(data, "TFORM1", "'20000D  '")


@contradictions("TFORM narrower than the row", "refused", TABLES)
def form_narrow(data, rng):
    return card(data, "TFORM1", "'1I      '")


@contradictions("TFORM of nothing", "refused", TABLES)
def form_nonsense(data, rng):
    return card(data, "TFORM1", str(rng.choice(["'ZZ      '", "'-1D     '", "12", "'1A      '"])))


@contradictions("width of the row changed", "refused", TABLES)
def width(data, rng):
    return card(data, "NAXIS1", str(rng.choice(["4", "0", "-8", "100000"])), last=True)


@contradictions("counts of parameters and groups without sense", "not wrong", TABLES)
def counts(data, rng):
    key = str(rng.choice(["PCOUNT", "GCOUNT"]))
    return card(data, key, str(rng.choice(["-5", "99999999999", "'abc'"])), last=True)


@contradictions("number of columns without sense", "refused", TABLES)
def fields(data, rng):
    return card(data, "TFIELDS", str(rng.choice(["0", "-1", "998", "1000000", "'abc'"])))


@contradictions("a scale that is none", "refused", IMAGES)
def scale(data, rng):
    value = str(rng.choice(["0.0", "NaN", "1E400"]))
    extend = f"EXTEND  = {'T':>20}".ljust(80).encode()
    assert extend in data
    return data.replace(extend, f"BSCALE  = {value:>20}".ljust(80).encode())


@contradictions(
    "no wavelength column", "not wrong", ("MELCHIORS", "6dFGS, tabular", "SDSS spec-lite")
)
def no_column(data, rng):
    return data.replace(b"WAVE", b"XXXX").replace(b"wave", b"xxxx").replace(b"loglam", b"xxxlam")


@contradictions("unknown unit", "refused", ("XSL DR3", "MELCHIORS", "ADP of HARPS", "ADP of FEROS"))
def unit_unknown(data, rng):
    return card(data, "TUNIT1", str(rng.choice(["'furlong '", "'Hz      '", "'km/s    '"])))


@contradictions(
    "unit of another scale", "refused", ("XSL DR3", "MELCHIORS", "ADP of HARPS", "ADP of FEROS")
)
def unit_other(data, rng):
    return card(data, "TUNIT1", str(rng.choice(["'um      '", "'m       '"])))


@contradictions("a step that is none", "refused", ("HARPS DRS s1d", "UVES-POP", "MILES"))
def no_step(data, rng):
    return card(data, "CDELT1", str(rng.choice(["0.0", "NaN", "'abc'", "T", "1E400"])))


@contradictions("a step of kilometers", "refused", ("HARPS DRS s1d", "UVES-POP", "MILES"))
def giant_step(data, rng):
    return card(data, "CDELT1", "1000.0")


@contradictions("a start that is none", "refused", ("HARPS DRS s1d", "UVES-POP", "MILES"))
def no_start(data, rng):
    return card(data, "CRVAL1", str(rng.choice(["NaN", "'abc'", "T", "-5000.0", "1E400"])))


@contradictions("places outside the heap", "refused", ("MELCHIORS",))
def heap(data, rng):
    wavelength = np.linspace(5000.0, 5100.0, 1000)
    columns = [
        fits.Column(name, "PD()", unit=unit, array=np.array([wavelength], dtype=object))
        for name, unit in (("WAVE", "Angstrom"), ("FLUX", "adu"))
    ]
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(stream)
    made = stream.getvalue()
    start = data_start(made) + 4 * int(rng.integers(0, 4))
    wild = int(rng.choice([-1, 2**31 - 1, 10**6]))
    return made[:start] + wild.to_bytes(4, "big", signed=True) + made[start + 4 :]


@contradictions("tiles that do not unpack", "refused", ("MELCHIORS",))
def tiles(data, rng):
    hdu = fits.CompImageHDU(np.linspace(1.0, 2.0, 1000, dtype="f4"), compression_type="GZIP_1")
    hdu.header.update(CRVAL1=5000.0, CDELT1=0.1, CUNIT1="Angstrom")
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(stream)
    made = stream.getvalue()
    start = data_start(made) + int(rng.integers(0, 60))
    return made[:start] + rng.bytes(40) + made[start + 40 :]


# What holds no data, made from the numbers

numbers = family("numbers that are no spectrum")


def rewritten(data: bytes, change: Callable[[np.ndarray], np.ndarray], column: int) -> bytes:
    """Change a column of a table, or an image, by astropy."""
    with fits.open(io.BytesIO(data)) as hdus:
        hdu = hdus[-1]
        if isinstance(hdu, fits.BinTableHDU):
            values = hdu.data.field(column)
            values[...] = change(values.reshape(-1).copy()).reshape(values.shape)
        else:
            hdu.data = change(hdu.data.reshape(-1).copy()).reshape(hdu.data.shape)
        stream = io.BytesIO()
        hdus.writeto(stream, output_verify="ignore")
    return stream.getvalue()


PLAIN = ("ADP of HARPS", "ADP of FEROS", "MELCHIORS", "6dFGS, tabular")


@numbers("flux all NaN", "refused", IMAGES + PLAIN)
def all_nan(data, rng):
    return rewritten(data, lambda flux: np.full_like(flux, np.nan), 1)


@numbers("flux all zero", "refused", IMAGES + PLAIN)
def all_zero(data, rng):
    return rewritten(data, np.zeros_like, 1)


@numbers("a flood of NaN", "right", IMAGES + PLAIN)
def many_nan(data, rng):
    def change(flux):
        flux[rng.random(len(flux)) < 0.2] = np.nan
        return flux

    return rewritten(data, change, 1)


@numbers("flux infinite here and there", "right", IMAGES + PLAIN)
def infinite(data, rng):
    def change(flux):
        flux[rng.integers(0, len(flux), 5)] = np.inf
        return flux

    return rewritten(data, change, 1)


@numbers("wavelengths shuffled", "refused", PLAIN)
def shuffled(data, rng):
    return rewritten(data, rng.permutation, 0)


@numbers("wavelengths all the same", "refused", PLAIN)
def constant(data, rng):
    return rewritten(data, lambda w: np.full_like(w, 5000.0), 0)


@numbers("wavelengths negative, zero or NaN", "refused", PLAIN)
def nowhere(data, rng):
    value = rng.choice([-1.0, 0.0, np.nan, np.inf])
    return rewritten(data, lambda w: np.full_like(w, value), 0)


@numbers("one wavelength far off", "refused", PLAIN)
def far_off(data, rng):
    def change(wavelength):
        wavelength[int(rng.integers(100, 900))] *= rng.choice([0.01, 0.9, 2.0, 10.0])
        return wavelength

    return rewritten(data, change, 0)


@numbers("one wavelength NaN in the middle", "not wrong", PLAIN)
def hole(data, rng):
    def change(wavelength):
        wavelength[500] = np.nan
        return wavelength

    return rewritten(data, change, 0)


@numbers("pixel numbers for wavelengths", "refused", ("6dFGS, tabular", "MELCHIORS"))
def pixels(data, rng):
    return card(rewritten(data, lambda w: np.arange(1.0, len(w) + 1), 0), "TUNIT1", "''")


# What is packed, and badly

packing = family("packed, badly")


@packing("gzip, cut", "refused", GOOD)
def gzip_cut(data, rng):
    packed = gzip.compress(data, 1)
    return packed[: int(rng.integers(12, len(packed) - 4))]


@packing("gzip, a bit flipped", "not wrong", GOOD)
def gzip_flip(data, rng):
    packed = gzip.compress(data, 1)
    at = int(rng.integers(20, len(packed)))
    return packed[:at] + bytes([packed[at] ^ 8]) + packed[at + 1 :]


@packing("gzip in gzip", "not wrong", GOOD)
def gzip_twice(data, rng):
    return gzip.compress(gzip.compress(data, 1), 1)


@packing("gzip of nothing", "refused", ("HARPS DRS s1d",))
def gzip_empty(data, rng):
    return gzip.compress(b"")


@packing("another packer", "refused", GOOD)
def packed(data, rng):
    which = int(rng.integers(0, 3))
    if which == 2:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("spectrum", data)
        return stream.getvalue()
    return (bz2.compress, lzma.compress)[which](data[:20000])


# What is no spectrum at all

others = family("no spectrum at all")

PAGES = (
    b"", b"\0", b" ", b"\n\n\n", b"SIMPLE  =", b"\x1f\x8b", b"\x93NUMPY", b"\x89HDF\r\n\x1a\n",
    b"<html><body>404 Not Found</body></html>", b"<?xml version='1.0'?><VOTABLE/>",
    b'{"error": "login required"}', b"404: Not Found\n", b"%PDF-1.4\n",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1497600\n",
    b"wavelength,flux\n", b"# wavelength flux\n", b"5000.0\n5000.1\n5000.2\n", b"a b c\nd e f\n",
    b"5000 1\n", b"5000 1\n5000 2\n5000 3\n", b"5000,1;5001,2\n", b"1 2 3\n4 5\n6 7 8 9\n",
    "\ufeff".encode() + b"no numbers here", "\u00c5ngstr\u00f6m \u03bb".encode("utf-16"),
    b"5000.0 nan\n5000.1 nan\n5000.2 nan\n", b"5000.0 1.0\n5000.1 abc\n5000.2 2.0\n",
    b"5000.0 1.0\n" * 1000, b"\x00" * 5000, b"9" * 5000, b"5000 1 " * 2000, b"[[[[[[" * 500,
    b"1e400 1\n1e401 2\n1e402 3\n", b"-5000 1\n-4999 2\n-4998 3\n", b"inf 1\nnan 2\n5000 3\n",
)  # fmt: skip


@others("no spectrum at all", "refused", ("HARPS DRS s1d",))
def page(data, rng):
    return PAGES[int(rng.integers(0, len(PAGES)))]


@others("garbage in a text", "not wrong", TEXTS)
def text_garbage(data, rng):
    lines = data.split(b"\n")
    at = int(rng.integers(10, len(lines) - 10))
    kind = int(rng.integers(0, 4))
    lines[at] = (b"*** 12 ***", b"\x00\x01\x02", b"5000.0", b"a b c d e f g")[kind]
    return b"\n".join(lines)


@others("text with lines in disorder", "refused", TEXTS)
def text_disorder(data, rng):
    lines = data.split(b"\n")
    return b"\n".join([*lines[:1], *(lines[i] for i in rng.permutation(len(lines) - 2) + 1), b""])


@others("an array that is no spectrum", "refused", ("HARPS DRS s1d",))
def bad_array(data, rng):
    arrays = (
        np.zeros((0, 2)), np.zeros(10), np.zeros((5, 5)), np.zeros((2, 10)),
        np.full((2, 9), np.nan), np.arange(20).reshape(2, 10) + 1j, np.array([["a", "b"]] * 9),
        np.zeros((2, 3, 4)), np.array([{}, {}], dtype=object),
    )  # fmt: skip
    stream = io.BytesIO()
    np.save(stream, arrays[int(rng.integers(0, len(arrays)))], allow_pickle=True)
    content = stream.getvalue()
    return content if rng.random() < 0.8 else content[:-3]


# What is odd, and good: all of it must be read

odd = family("odd, but good")


@odd("two files in one", "either")
def twice(data, rng):
    return data + data


@odd("gzip whatever the name says", "right", GOOD)
def gzip_good(data, rng):
    return gzip.compress(data, 1)


@odd("blanks behind the end", "right", TEXTS)
def blanks(data, rng):
    return data + b"\n  \n\n"


@odd("Windows line ends", "right", TEXTS)
def windows(data, rng):
    return data.replace(b"\n", b"\r\n")


@odd("no padding behind the data", "right", IMAGES + TABLES)
def no_padding(data, rng):
    with fits.open(io.BytesIO(data)) as hdus:
        size = hdus[-1].size
    return data[: data_start(data) + size]


@odd("decimal commas", "right", ("Turbospectrum", "SYNTHE"))
def commas(data, rng):
    return data.replace(b".", b",")


ODD_NAMES = (
    "with blanks in it.fits", "-m.fits", "--help.fits", "=1+1.fits", "@list.fits", "100%.fits",
    "Stra\u00dfe.fits", "\u661f.fits", "quote'\".fits", "semi;colon.fits", ".hidden.fits",
    "new\nline.fits", "carriage\rreturn.fits", "\x1b[31mred.fits", "tab\tin.fits", "a" * 240,
    "[brackets]*.fits", "no_suffix", "x.fits.gz", "comma,in.fits",
)  # fmt: skip


def write_odd_things(folder: Path, good: Path) -> list[tuple[Path, str]]:
    """Write links, folders and files of odd names; pairs of path and what may come of it."""
    made = []
    for name in ODD_NAMES:
        path = folder / name
        path.write_bytes(good.read_bytes())
        made.append((path, "right"))
    raw = Path(os.fsdecode(os.fsencode(folder) + b"/not utf-8 \xff\xfe.fits"))
    raw.write_bytes(good.read_bytes())
    made.append((raw, "right"))
    link, broken, loop = (folder / f"{kind}.fits" for kind in ("link", "broken_link", "loop"))
    link.symlink_to(good)
    broken.symlink_to(folder / "nowhere.fits")
    loop.symlink_to(loop)
    device, pipe = folder / "device.fits", folder / "pipe.fits"
    device.symlink_to("/dev/zero")
    os.mkfifo(pipe)
    (folder / "folder.fits").mkdir()
    made += [(link, "right"), (folder / "folder.fits", "refused")]
    made += [(path, "refused") for path in (broken, loop, device, pipe, folder / "missing.fits")]
    sparse = folder / "sparse.fits"
    with sparse.open("wb") as file:
        file.truncate(5 * 2**30)
    return [*made, (sparse, "refused")]


def write_damaged(folder: Path, count: int, seed: int = 7) -> Iterator[tuple[Path, Damage, str]]:
    """Write `count` damaged files; path, damage and layout of each."""
    rng = np.random.default_rng(seed)
    good = {name: LAYOUTS[name].build()[0] for name in GOOD}
    for number in range(count):
        kind = DAMAGES[number % len(DAMAGES)]
        base = kind.bases[number // len(DAMAGES) % len(kind.bases)]
        path = folder / f"{number:04d}_{kind.change.__name__}{LAYOUTS[base].suffix}"
        path.write_bytes(kind.change(good[base], rng))
        yield path, kind, base
