"""Bytes of FITS files that do not add up to what their headers say, and some that do."""

import io

import numpy as np
import pytest
from astropy.io import fits

from latentscope.errors import SpectrumError
from latentscope.spectra.read import read_spectrum
from tests.spectra import fits_layouts as layouts
from tests.spectra.fits_layouts import assert_flux_is_wavelength
from tests.spectra.instruments import image, linear, table

WAVE = layouts.linear_grid(4000, 5000.0, 0.1)
AXIS = linear(WAVE) | {"CUNIT1": "Angstrom"}


def refusal(data):
    with pytest.raises(SpectrumError) as caught:
        read_spectrum(data)
    return str(caught.value)


def spectrum_image(n=4000):
    wave = WAVE[:n] + 0.05
    return layouts.image(wave.astype("f4"), **(AXIS | {"CRVAL1": wave[0]}))


def with_bitpix(data, bits):
    at = data.index(b"BITPIX")
    return data[:at] + f"BITPIX  = {bits:>20d}".encode() + data[at + 30 :]


@pytest.mark.parametrize("n", [300, 500, 4000])
def test_integers_of_half_the_width_leave_bytes_over(n):
    text = refusal(with_bitpix(spectrum_image(n), 16))
    assert f"{n} values of 16 bits (BITPIX 16) are {2 * n} bytes" in text


def test_bytes_that_no_header_describes():
    assert "no other header" in refusal(spectrum_image() + b"x" * 2880)
    whole = layouts.as_bytes(layouts.primary(WAVE, **AXIS), image(WAVE, "ERROR"))
    assert "no other header" in refusal(with_bitpix(whole, -32))


@pytest.mark.parametrize("tail", [bytes(8640), b" " * 2880, b"\r\n", b"junk", bytes(100)])
def test_what_tapes_and_downloads_leave_is_harmless(tail):
    assert_flux_is_wavelength(read_spectrum(spectrum_image() + tail))


@pytest.mark.parametrize("n", [300, 4000])
def test_bytes_lost_or_added_on_the_way(n):
    data = spectrum_image(n)
    start = len(data) - 2880 * (1 if n == 300 else 6)
    assert "lost or added" in refusal(data[: start + 100] + data[start + 140 :])
    assert "lost or added" in refusal(data[: start + 100] + b"\r" + data[start + 100 :] + b"\r\n")
    without = data.rstrip(b"\0")
    assert_flux_is_wavelength(read_spectrum(without + bytes(4 * n - (len(without) - start))))


@pytest.mark.parametrize(("kind", "bits"), [("f4", 32), ("f8", 64)])
def test_floating_numbers_are_no_integers(kind, bits):
    data = layouts.image(WAVE.astype(kind), **AXIS)
    assert f"BITPIX {-bits} was meant" in refusal(with_bitpix(data, bits))
    counts = layouts.image(np.arange(4000).astype(f"i{bits // 8}") * 10**4, **AXIS)
    np.testing.assert_array_equal(read_spectrum(counts).flux, np.arange(4000) * 1e4)


def test_old_bytes_in_the_padding_are_harmless():
    data = bytearray(spectrum_image(500))
    data[-800:] = b"\x7f" * 800
    assert_flux_is_wavelength(read_spectrum(bytes(data)))


def columns_table():
    hdu = table("S", WAVE=WAVE, FLUX=WAVE, N=np.arange(4000), units={"WAVE": "Angstrom"})
    return layouts.as_bytes(fits.PrimaryHDU(), hdu)


@pytest.mark.parametrize(("form", "width"), [("3J", 28), ("I", 18), ("16A", 32)])
def test_columns_that_do_not_fill_a_row(form, width):
    data = columns_table()
    at = data.index(b"TFORM3")
    card = f"TFORM3  = '{form:8s}'".encode()
    text = refusal(data[:at] + card + data[at + len(card) :])
    assert f"take {width} bytes per row, NAXIS1 says 20" in text


def test_bits_text_and_empty_columns_add_up():
    columns = [
        fits.Column("WAVE", "D", unit="Angstrom", array=WAVE),
        fits.Column("BITS", "11X", array=np.zeros((4000, 11), bool)),
        fits.Column("WORD", "3A", array=np.full(4000, "abc")),
        fits.Column("NONE", "0J", array=None),
        fits.Column("FLUX", "D", array=WAVE),
    ]
    data = layouts.as_bytes(fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns))
    assert_flux_is_wavelength(read_spectrum(data))


@pytest.mark.parametrize(("key", "value"), [("BSCALE", "T"), ("BZERO", "T"), ("BSCALE", "0.0")])
def test_scales_that_are_none(key, value):
    data = layouts.image(np.arange(4000, dtype="i4"), **AXIS, THING=1.0)
    assert f"{key} is" in refusal(
        data.replace(b"THING   =                  1.0", f"{key:8s}= {value:>20s}".encode())
    )


def test_bitpix_is_a_number():
    data = layouts.image(np.arange(4000, dtype="i4"), **AXIS)
    assert "BITPIX is True" in refusal(
        data.replace(b"BITPIX  =                   32", b"BITPIX  =                    T")
    )


def test_a_compressed_table_is_refused_by_what_it_is():
    hdus = fits.open(io.BytesIO(layouts.adp()))
    hdus[1].header["ZTABLE"] = True
    with pytest.raises(SpectrumError, match="funpack"):
        read_spectrum(layouts.as_bytes(*hdus))
