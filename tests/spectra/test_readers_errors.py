"""Everything that is no spectrum: a SpectrumError that says so and what to use instead."""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.errors import SpectrumError
from latentscope.spectra.read import read_spectrum
from tests.spectra import fits_layouts as layouts

ORDERS = np.ones((72, 4096), "f4")


def written(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def message(source):
    with pytest.raises(SpectrumError) as caught:
        read_spectrum(source)
    return str(caught.value)


STAMP = "HARPS.2010-09-18T23_42_36.178"
PRODUCTS = {
    "e2ds": (
        f"{STAMP}_e2ds_A.fits",
        lambda: layouts.image(ORDERS, ESO_DRS_BERV=-23.5, ESO_DRS_CAL_TH_FILE="x"),
        f"{STAMP}_s1d_A.fits",
    ),
    "ccf": (
        f"{STAMP}_ccf_M2_A.fits",
        lambda: layouts.image(np.ones((73, 161)), CRVAL1=-30.0, CDELT1=0.25, CTYPE1="km/s",
                              ESO_DRS_CCF_RVC=-9.2, ESO_DRS_BERV=-23.5),
        f"{STAMP}_s1d_A.fits",
    ),
    "bis": (
        f"{STAMP}_bis_G2_B.fits",
        lambda: layouts.image(np.ones((2, 100)), CRVAL1=0.0, CDELT1=0.01, ESO_DRS_BIS_SPAN=0.01,
                              ESO_DRS_CCF_RVC=-9.2, ESO_DRS_BERV=-23.5),
        f"{STAMP}_s1d_B.fits",
    ),
    "S2D": (
        "r.ESPRE.2018-10-20T03_21_51.113_S2D_BLAZE_A.fits",
        lambda: layouts.as_bytes(
            layouts.primary(ESO_PRO_CATG="S2D_BLAZE_A", ESO_QC_BERV=1.0),
            fits.ImageHDU(np.ones((170, 1000), "f4"), name="SCIDATA"),
        ),
        "r.ESPRE.2018-10-20T03_21_51.113_S1D_A.fits",
    ),
    "cross-correlation": (
        "r.ESPRE.2018-10-20T03_21_51.113_CCF_A.fits",
        lambda: layouts.as_bytes(
            layouts.primary(ESO_PRO_CATG="CCF_A"), fits.ImageHDU(np.ones((171, 400)))
        ),
        "r.ESPRE.2018-10-20T03_21_51.113_S1D_A.fits",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PRODUCTS)
def test_other_products_name_their_sibling(tmp_path, kind):
    name, build, sibling = PRODUCTS[kind]
    text = message(written(tmp_path, name, build()))
    assert kind in text
    assert text.endswith(f"its sibling {sibling}")
    assert "HDU" in text
    assert "_s1d_A.fits" in message(build()) or "_S1D_A.fits" in message(build())


def test_products_are_known_by_content_not_by_name(tmp_path):
    path = written(tmp_path, "HARPS.x_e2ds_A.fits", layouts.s1d_image())
    assert len(read_spectrum(path)) == 500
    path = written(tmp_path, "HARPS.x_s1d_A.fits", PRODUCTS["e2ds"][1]())
    assert "order-by-order" in message(path)


def test_guide_camera_and_raw_frames():
    assert "guide-camera" in message(layouts.image(np.ones((300, 320), "i2")))
    raw = layouts.as_bytes(fits.PrimaryHDU(), fits.ImageHDU(np.ones((500, 400), "i2")))
    assert "HDU 1 (500 x 400)" in message(raw)


def test_headers_of_nonsense():
    keywords = {"CRVAL1": 5000.0, "CDELT1": 1.0, "CTYPE1": "LINEAR", "DC-FLAG": 1}
    assert "wavelengths are usable" in message(layouts.image(np.ones(9), **keywords))
    negative = layouts.break_card(layouts.adp(), "NAXIS1  ", " -6000")
    assert "HDU 1: its header announces a negative size" in message(negative)
    for key in ("NAXIS   ", "TFIELDS "):
        endless = layouts.break_card(layouts.adp(), key, " 99999999999999")
        assert f"{key.strip()} is 99999999999999" in message(endless)


def test_rows_of_orders_in_a_table():
    cells = np.ones((3, 50))
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, "50D", array=cells) for name in ("WAVE", "FLUX")]
    )
    assert "3 rows of array cells" in message(layouts.as_bytes(fits.PrimaryHDU(), table))


def test_no_spectrum_lists_what_there_is():
    table = fits.BinTableHDU.from_columns([fits.Column("TIME", "D", array=np.arange(4.0))])
    text = message(layouts.as_bytes(fits.PrimaryHDU(np.ones(7)), table))
    assert "HDU 0 (image 7)" in text
    assert "HDU 1 (table with columns TIME)" in text
    assert "CRVAL1" in text


def test_columns_that_do_not_fit():
    data = layouts.adp(flux=np.ones(499, "f4"))
    assert "HDU 1, columns WAVE and FLUX: flux is" in message(data)
    table = fits.BinTableHDU.from_columns(
        [fits.Column("WAVE", "D", array=[1.0, 2.0]), fits.Column("FLUX", "4A", array=["a", "b"])]
    )
    assert "column FLUX: holds text" in message(layouts.as_bytes(fits.PrimaryHDU(), table))


def test_all_nan_flux():
    assert "no flux value is finite" in message(layouts.adp(flux=np.full(500, np.nan, "f4")))


@pytest.mark.parametrize("unit", ["Hz", "km/s", "pixel", "furlong"])
def test_unknown_units(unit):
    data = layouts.image(np.ones(9), CRVAL1=5000.0, CDELT1=1.0, CUNIT1=unit)
    assert f"unit {unit!r} is unknown" in message(data)


def test_axes_that_are_none():
    for keywords in ({"CRVAL1": 5000.0, "CDELT1": 0.0}, {"CRVAL1": "x", "CDELT1": 1.0}):
        assert "CRVAL1" in message(layouts.image(np.ones(9), **keywords))
    assert "are these wavelengths" in message(layouts.image(np.ones(9), CRVAL1=0.0, CDELT1=1e-3))


def test_missing_empty_folder_and_no_file(tmp_path):
    assert message(tmp_path / "nowhere.fits").endswith("nowhere.fits: no such file")
    assert "is a folder" in message(tmp_path)
    assert "is empty" in message(written(tmp_path, "empty.fits", b""))
    assert "a dict is no spectrum" in message({})
    assert "a list is no spectrum" in message(["a.fits", "b.fits", "c.fits"])


def test_open_files_that_cannot_be_read(tmp_path):
    path = written(tmp_path, "closed.fits", layouts.adp())
    with path.open("rb") as stream:
        pass
    assert "closed.fits: cannot be read" in message(stream)
    with fits.open(path) as hdulist:
        pass
    assert "cannot be read" in message(hdulist)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>login</html>", "web page"),
        (b"\n <html><body>404</body></html>", "web page"),
        (b"<?xml version='1.0'?><VOTABLE/>", "XML"),
        (b"PK\x03\x04" + bytes(100), "zip archive"),
        (b"BZh91AY" + bytes(100), "bunzip2"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        (bytes(5000), "neither FITS"),
        (gzip.compress(layouts.adp())[:1000], "gzip compression is broken"),
        (b"\x93NUMPY\x01\x00", ".npy"),
    ],
)
def test_things_that_are_no_spectrum(tmp_path, content, words):
    text = message(written(tmp_path, "download.fits", content))
    assert "download.fits" in text
    assert words in text


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_truncation_anywhere_is_said(data):
    whole = data.draw(st.sampled_from([layouts.adp(), layouts.s1d_image(), layouts.s1d_table()]))
    needed = len(whole.rstrip(b"\0"))
    text = message(whole[: data.draw(st.integers(31, needed - 1))])
    assert "cut short" in text or "is empty" in text or "no spectrum found" in text


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 8639), st.binary(min_size=1, max_size=12))
def test_damaged_headers_never_leak_foreign_errors(place, garbage):
    whole = layouts.adp()
    broken = whole[:place] + garbage + whole[place + len(garbage) :]
    try:
        outcome = f"the bytes given: {len(read_spectrum(broken))} pixels"
    except SpectrumError as error:
        outcome = str(error)
    assert outcome.startswith("the bytes given: ")
