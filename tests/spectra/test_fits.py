"""Spectra in FITS tables and images, flux = wavelength; and files that are no spectrum."""

import gzip
import io
import warnings

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.errors import SpectrumError
from latentscope.spectra.read import read_spectrum
from tests.spectra import fits_layouts as layouts
from tests.spectra.fits_layouts import assert_flux_is_wavelength


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("unit", ["Angstrom", "nm", "um"])
def test_adp_in_any_unit_and_orientation(unit, rows):
    spectrum = read_spectrum(layouts.adp(unit=unit, rows=rows))
    np.testing.assert_allclose(spectrum.wavelength, layouts.linear_grid(), rtol=1e-14)
    assert_flux_is_wavelength(spectrum)
    assert spectrum.wavelength.dtype == np.float64
    assert spectrum.flux.dtype == np.float32
    assert spectrum.flux.dtype.isnative
    assert (spectrum.medium, spectrum.frame) == ("air", "barycentric")
    assert spectrum.meta["format"] == "eso-phase3"
    assert spectrum.meta["assumed"] == []


def test_adp_keeps_float64_flux():
    wavelength = layouts.linear_grid()
    assert read_spectrum(layouts.adp(flux=wavelength)).flux.dtype == np.float64


@pytest.mark.parametrize(
    "utype",
    [
        ("spec:Data.SpectralAxis.Value", "spec:Data.FluxAxis.Value"),
        ("Spectrum.Data.SpectralAxis.Value", "Spectrum.Data.FluxAxis.Value"),
        ("eso:Data.SpectralAxis.Value", "eso:Data.FluxAxis.Value"),
    ],
)
def test_columns_found_by_utype_alone(utype):
    data = layouts.adp(names=("c1", "c2", "c3", "c4"), utype=utype)
    assert_flux_is_wavelength(read_spectrum(data))


def test_adp_as_astropy_sees_it():
    data = layouts.adp(err=np.full(500, 0.5, "f4"))
    spectrum = read_spectrum(data)
    with fits.open(io.BytesIO(data)) as hdulist:
        row = hdulist[1].data[0]
        np.testing.assert_array_equal(spectrum.wavelength, row["WAVE"])
        np.testing.assert_array_equal(spectrum.flux, row["FLUX"])
    np.testing.assert_array_equal(spectrum.ivar, 4.0)


def test_errors_and_quality():
    err = np.full(500, 2.0, "f4")
    err[:4] = [0.0, -1.0, np.nan, np.inf]
    qual = np.zeros(500, int)
    qual[7] = 3
    spectrum = read_spectrum(layouts.adp(err=err, qual=qual))
    np.testing.assert_array_equal(spectrum.ivar, np.where(np.arange(500) < 4, 0, 0.25))
    np.testing.assert_array_equal(np.flatnonzero(spectrum.mask), [0, 1, 2, 3, 7])


def test_errors_that_are_all_nan_mean_no_errors():
    spectrum = read_spectrum(layouts.adp(err=np.full(500, np.nan, "f4")))
    assert spectrum.ivar is None
    assert any("errors" in note for note in spectrum.meta["assumed"])


def test_the_error_of_another_flux_is_not_taken():
    names = ("WAVE", "FLUX_REDUCED", "ERR", "QUAL")
    assert read_spectrum(layouts.adp(names=names, err=np.ones(500, "f4"))).ivar is None
    names = ("WAVE", "FLUX_REDUCED", "ERR_REDUCED", "QUAL")
    assert read_spectrum(layouts.adp(names=names, err=np.ones(500, "f4"))).ivar is not None


@pytest.mark.parametrize(("form", "array"), [("3A", ["abc"]), ("7E", [np.ones(7)])])
def test_columns_of_errors_that_are_none_are_said(form, array):
    wavelength = layouts.linear_grid()
    columns = [
        fits.Column("WAVE", "500D", unit="Angstrom", array=[wavelength]),
        fits.Column("FLUX", "500D", array=[wavelength]),
        fits.Column("ERR", form, array=array),
    ]
    table = fits.BinTableHDU.from_columns(columns)
    spectrum = read_spectrum(layouts.as_bytes(layouts.primary(), table))
    assert spectrum.ivar is None
    assert any("column ERR" in note for note in spectrum.meta["assumed"])


def test_variable_length_cells():
    wavelength = layouts.linear_grid()
    columns = [
        fits.Column("WAVE", "PD()", unit="Angstrom", array=np.array([wavelength], dtype=object)),
        fits.Column("FLUX", "PE()", array=np.array([wavelength.astype("f4")], dtype=object)),
    ]
    table = fits.BinTableHDU.from_columns(columns)
    spectrum = read_spectrum(layouts.as_bytes(layouts.primary(), table))
    np.testing.assert_array_equal(spectrum.wavelength, wavelength)
    assert_flux_is_wavelength(spectrum)


def test_scaled_integers_and_blanks():
    stored = np.array([2000, 2002, 2004, -1], dtype=np.int16)
    wave = fits.Column("WAVE", "D", unit="Angstrom", array=5000.0 + np.arange(4))
    table = fits.BinTableHDU.from_columns([wave, fits.Column("FLUX", "I", array=stored)])
    layouts.put(table.header, {"TSCAL2": 0.5, "TZERO2": 4000.0, "TNULL2": -1})
    spectrum = read_spectrum(layouts.as_bytes(layouts.primary(), table))
    np.testing.assert_array_equal(spectrum.flux, [5000.0, 5001.0, 5002.0, np.nan])
    scaled = layouts.image(stored, CRVAL1=5000.0, CDELT1=1.0, CUNIT1="Angstrom", BLANK=-1)
    scaled = layouts.break_card(scaled, "BLANK   ", " -1")
    np.testing.assert_array_equal(read_spectrum(scaled).flux, [2000, 2002, 2004, np.nan])


def test_espresso_s1d_table():
    spectrum = read_spectrum(layouts.s1d_table())
    assert_flux_is_wavelength(spectrum)
    assert (spectrum.medium, spectrum.frame) == ("vacuum", "barycentric")
    assert spectrum.meta["format"] == "drs-s1d-table"
    assert spectrum.rv == -16.6
    assert spectrum.berv == 3.25
    np.testing.assert_array_equal(spectrum.ivar, 0.25)
    np.testing.assert_array_equal(spectrum.mask, np.arange(500) % 7 == 0)


def test_sources_of_the_same_file(tmp_path):
    data = layouts.adp()
    path = tmp_path / "no_suffix_needed"
    path.write_bytes(data)
    expected = read_spectrum(data)
    with path.open("rb") as stream, fits.open(path) as hdulist:
        for source in (path, str(path), bytearray(data), memoryview(data), stream, hdulist):
            spectrum = read_spectrum(source)
            np.testing.assert_array_equal(spectrum.wavelength, expected.wavelength)
            np.testing.assert_array_equal(spectrum.flux, expected.flux)
    assert read_spectrum(path).meta["file"] == str(path)
    assert "file" not in expected.meta
    assert read_spectrum(expected) is expected


@pytest.mark.parametrize("pad", [0.0, np.nan, "repeat"])
def test_padded_ends_are_dropped_and_said(pad):
    wavelength = layouts.linear_grid()
    flux = wavelength.astype("f4")
    for part, fill in ((slice(None, 5), wavelength[5]), (slice(-3, None), wavelength[-4])):
        wavelength[part] = fill if pad == "repeat" else pad
        flux[part] = 0
    spectrum = read_spectrum(layouts.adp(wavelength, flux=flux, err=np.ones(500, "f4")))
    assert len(spectrum) == 492
    assert np.count_nonzero(spectrum.flux != spectrum.wavelength.astype("f4")) <= 2
    assert spectrum.ivar.shape == (492,)
    assert any("8 at the ends" in note for note in spectrum.meta["assumed"])


@pytest.mark.parametrize("padded", [False, True])
def test_descending_tables_are_reversed(padded):
    wavelength = layouts.linear_grid()[::-1].copy()
    flux = wavelength.astype("f4")
    if padded:
        wavelength[:2] = 0.0
    qual = np.arange(500) == 499
    spectrum = read_spectrum(layouts.adp(wavelength, flux=flux, qual=qual.astype(int)))
    assert_flux_is_wavelength(spectrum)
    assert len(spectrum) == 500 - 2 * padded
    np.testing.assert_array_equal(np.flatnonzero(spectrum.mask), [0])
    assert "reversed" in " ".join(spectrum.meta["assumed"])


def test_only_the_spectrum_counts_among_hdus():
    other = fits.BinTableHDU.from_columns([fits.Column("ORDER", "J", array=np.arange(3))])
    first = fits.HDUList.fromstring(layouts.adp())
    data = layouts.as_bytes(fits.PrimaryHDU(), other, first[1])
    assert_flux_is_wavelength(read_spectrum(data))


def test_other_fits_through_specutils():
    pytest.importorskip("specutils")
    wavelength = layouts.linear_grid()
    columns = [
        fits.Column("first_thing", "D", unit="Hz", array=2.99792458e18 / wavelength),
        fits.Column("second_thing", "D", unit="Jy", array=wavelength),
    ]
    table = fits.BinTableHDU.from_columns(columns)
    spectrum = read_spectrum(layouts.as_bytes(fits.PrimaryHDU(), table))
    assert_flux_is_wavelength(spectrum, rtol=1e-12)
    assert "read by specutils" in spectrum.meta["assumed"]


def test_out_of_order_wavelengths_are_an_error():
    wavelength = layouts.linear_grid()
    wavelength[300:] -= 1.0
    with pytest.raises(SpectrumError, match=r"HDU 1, columns WAVE and FLUX.*ascend.*overlapping"):
        read_spectrum(layouts.adp(wavelength))


def test_the_hdu_asked_for_is_the_one_that_is_read():
    first, second = (
        fits.HDUList.fromstring(layouts.adp(layouts.linear_grid(start=start)))[1]
        for start in (5000.0, 6000.0)
    )
    second.name = "OTHER"
    data = layouts.as_bytes(layouts.primary(SPECSYS="TOPOCENT"), first, second)
    for hdu in (2, "2", "OTHER", "other"):
        spectrum = read_spectrum(data, hdu=hdu)
        assert spectrum.wavelength[0] == 6000.0
        assert_flux_is_wavelength(spectrum)
        assert spectrum.frame == "topocentric"
    assert read_spectrum(data, hdu=1).wavelength[0] == 5000.0
    with pytest.raises(SpectrumError, match=r"no HDU 'THIRD' in HDU 0 .*HDU 2"):
        read_spectrum(data, hdu="THIRD")
    with pytest.raises(SpectrumError, match="not a FITS file"):
        read_spectrum(b"5000 1\n5001 1\n", hdu=1)


def test_the_columns_asked_for_are_those_that_are_read():
    wavelength = layouts.linear_grid()
    columns = [
        fits.Column("first thing", "D", unit="nm", array=wavelength / 10),
        fits.Column("second", "D", array=wavelength * 3),
        fits.Column("third", "D", array=wavelength),
        fits.Column("fourth", "D", array=np.full(500, 2.0)),
    ]
    other = fits.BinTableHDU.from_columns([fits.Column("A", "D", array=np.ones(3))])
    data = layouts.as_bytes(fits.PrimaryHDU(), other, fits.BinTableHDU.from_columns(columns))
    spectrum = read_spectrum(data, key="wave=first thing,flux=third,err=fourth")
    assert_flux_is_wavelength(spectrum)
    np.testing.assert_array_equal(spectrum.ivar, 0.25)
    with pytest.raises(SpectrumError, match="no column 'fifth'"):
        read_spectrum(data, key="wave=first thing,flux=fifth")
    np.testing.assert_array_equal(
        read_spectrum(layouts.adp(err=wavelength), key="ERR").flux, wavelength.astype("f4")
    )
    with pytest.raises(SpectrumError, match="names columns of a table, and there is none"):
        read_spectrum(layouts.s1d_image(), key="flux")


def test_the_frame_asked_for_overrules_the_file():
    spectrum = read_spectrum(layouts.adp(), frame="rest")
    assert spectrum.frame == "rest"
    assert [note for note in spectrum.meta["assumed"] if note.startswith("frame: rest")]
    assert read_spectrum(spectrum, frame="topocentric").frame == "topocentric"
    with pytest.raises(SpectrumError, match=r"frame is 'lunar'; expected 'topocentric'"):
        read_spectrum(layouts.adp(), frame="lunar")


@pytest.mark.parametrize("observatory", ["ESO", "TNG", "OHP"])
def test_old_drs_s1d_image(observatory):
    spectrum = read_spectrum(layouts.s1d_image(observatory=observatory))
    assert_flux_is_wavelength(spectrum)
    np.testing.assert_allclose(spectrum.wavelength, layouts.linear_grid(), rtol=1e-15)
    assert (spectrum.medium, spectrum.frame) == ("air", "barycentric")
    assert spectrum.berv == -12.5
    assert spectrum.meta["format"] == "drs-s1d"
    assert len(spectrum.meta["assumed"]) == 2


PIXELS = np.arange(400.0)
IRAF_UNITS = {"WAT1_001": "wtype=linear label=Wavelength units=angstroms"}
SCALES = {
    "IRAF linear": (5000 + 0.1 * PIXELS, {"CTYPE1": "LINEAR", "CRVAL1": 5000.0, "CD1_1": 0.1,
                                          "DC-FLAG": 0, **IRAF_UNITS}),
    "IRAF log": (10 ** (3.7 + 1e-5 * PIXELS), {"CTYPE1": "LINEAR", "CRVAL1": 3.7, "CDELT1": 1e-5,
                                               "DC-FLAG": 1, **IRAF_UNITS}),
    "reference pixel": (5000 + 0.1 * (PIXELS - 9), {"CRVAL1": 5000.0, "CDELT1": 0.1, "CRPIX1": 10,
                                                    "CUNIT1": "Angstrom"}),
    "nanometres": (5000 + 0.1 * PIXELS, {"CRVAL1": 500.0, "CDELT1": 0.01, "CUNIT1": "nm"}),
    "paper III log": (5000 * np.exp(0.05 * PIXELS / 5000),
                      {"CTYPE1": "AWAV-LOG", "CRVAL1": 5000.0, "CDELT1": 0.05, "CRPIX1": 1.0,
                       "CUNIT1": "Angstrom"}),
    "natural log": (np.exp(8.5 + 1e-5 * PIXELS), {"CTYPE1": "AWAV-LOG", "CRVAL1": 8.5,
                                                  "CDELT1": 1e-5, "CUNIT1": "Angstrom"}),
    "log10 by size": (10 ** (3.6 + 1e-4 * PIXELS), {"CRVAL1": 3.6, "CDELT1": 1e-4}),
    "log10 by unit": (10 ** (3.6 + 1e-4 * PIXELS), {"CRVAL1": 3.6, "CDELT1": 1e-4,
                                                    "CUNIT1": "log(Angstrom)"}),
    "log10 of nm": (10 ** (3.6 + 1e-4 * PIXELS), {"CRVAL1": 2.6, "CDELT1": 1e-4,
                                                  "CUNIT1": "log10 (nm)"}),
    "ln by unit": (np.exp(8.5 + 1e-5 * PIXELS), {"CTYPE1": "AWAV-LOG", "CRVAL1": 8.5,
                                                 "CDELT1": 1e-5, "CUNIT1": "ln(Angstrom)"}),
    "SDSS": (10 ** (3.58 + 1e-4 * PIXELS), {"COEFF0": 3.58, "COEFF1": 1e-4}),
    "multispec": ((5000 + 0.1 * PIXELS) / 1.001,
                  {"CTYPE1": "MULTISPE", "WAT0_001": "system=multispec", **IRAF_UNITS,
                   "WAT2_001": 'wtype=multispec spec1 = "1 1 0 5000. 0.1 400 0.001 1. 2."'}),
    "descending": (5000 - 0.1 * PIXELS, {"CRVAL1": 5000.0, "CDELT1": -0.1, "CUNIT1": "Angstrom"}),
}  # fmt: skip


@pytest.mark.parametrize("scale", SCALES)
def test_image_scales(scale):
    wavelength, keywords = SCALES[scale]
    spectrum = read_spectrum(layouts.image(wavelength, **keywords))
    np.testing.assert_allclose(spectrum.wavelength, np.sort(wavelength), rtol=1e-13)
    assert_flux_is_wavelength(spectrum, rtol=1e-13)


def test_descending_is_said():
    wavelength, keywords = SCALES["descending"]
    assert any("reversed" in note for note in
               read_spectrum(layouts.image(wavelength, **keywords)).meta["assumed"])  # fmt: skip


@pytest.mark.parametrize(("ctype", "medium"), [("AWAV", "air"), ("WAVE", "vacuum")])
def test_medium_of_ctype(ctype, medium):
    data = layouts.image(PIXELS, CTYPE1=ctype, CRVAL1=5000.0, CDELT1=0.1, CUNIT1="Angstrom")
    assert read_spectrum(data).medium == medium


@pytest.mark.parametrize("shape", [(1, 400), (1, 1, 400), (4, 1, 400), (3, 400)])
def test_first_row_of_an_image(shape):
    wavelength, keywords = SCALES["IRAF linear"]
    data = np.zeros(shape)
    data.reshape(-1, 400)[0] = wavelength
    spectrum = read_spectrum(layouts.image(data, **keywords))
    assert_flux_is_wavelength(spectrum)
    noted = any("first of its" in note for note in spectrum.meta["assumed"])
    assert noted == (np.prod(shape) > 400)


def test_compressed_files(tmp_path):
    data = layouts.adp()
    assert_flux_is_wavelength(read_spectrum(gzip.compress(data)))
    wavelength, keywords = SCALES["IRAF linear"]
    tiles = fits.CompImageHDU(wavelength.astype("f4"), compression_type="GZIP_1", quantize_level=0)
    layouts.put(tiles.header, keywords)
    spectrum = read_spectrum(layouts.as_bytes(fits.PrimaryHDU(), tiles))
    assert_flux_is_wavelength(spectrum)


def test_harps_gl581(shared_data):
    path = shared_data / "HARPS.2010-09-18T23:42:36.178_s1d_A.fits"
    spectrum = read_spectrum(path)
    assert len(spectrum) == 313_114
    assert spectrum.wavelength[0] == 3781.19
    np.testing.assert_allclose(np.diff(spectrum.wavelength), 0.01, atol=1e-9)
    assert spectrum.berv == pytest.approx(-23.544, abs=1e-3)
    assert spectrum.meta["airmass"] == 1.691
    assert spectrum.meta["object"] == spectrum.meta["star"] == "Gl581"
    assert spectrum.meta["archive_id"] == "HARPS.2010-09-18T23:42:36.178"
    assert spectrum.meta["snr"] == pytest.approx(23.9)
    np.testing.assert_array_equal(spectrum.flux, fits.getdata(path))
    # Na D2 of a star at -9.2 km/s is deepest within 0.1 A of 5889.951 (1 - 9.2 / c)
    near = np.abs(spectrum.wavelength - 5889.77) < 0.8
    assert spectrum.wavelength[near][np.argmin(spectrum.flux[near])] == pytest.approx(
        5889.77, abs=0.1
    )


def test_gl581_as_adp_is_the_same_spectrum(shared_data):
    s1d = read_spectrum(shared_data / "HARPS.2010-09-18T23:42:36.178_s1d_A.fits")
    product = read_spectrum(layouts.adp(s1d.wavelength, flux=s1d.flux))
    np.testing.assert_array_equal(product.wavelength, s1d.wavelength)
    np.testing.assert_array_equal(product.flux, s1d.flux)
    assert product.meta["format"] == "eso-phase3"


def test_mike_hd140283(shared_data):
    spectrum = read_spectrum(shared_data / "hd140283.fits")
    assert spectrum.wavelength[0] == 3351.58714020822
    assert spectrum.wavelength[-1] == pytest.approx(3351.58714020822 + 183922 * 0.0329095864499715)
    assert spectrum.meta["object"] == "HD140283"
    assert spectrum.meta["airmass"] == 1.056
    assert (spectrum.medium, spectrum.frame) == ("air", "rest")
    notes = " ".join(spectrum.meta["assumed"])
    assert "medium: air" in notes
    assert "-162" in notes
    near = np.abs(spectrum.wavelength - 6562.79) < 2
    assert spectrum.wavelength[near][np.argmin(spectrum.flux[near])] == pytest.approx(
        6562.8, abs=0.15
    )


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
    assert "a set is not a spectrum" in message(set())
    assert "a list is not a spectrum" in message(["a.fits", "b.fits", "c.fits"])


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
        (b"<?xml version='1.0'?><html/>", "XML"),
        (b"<?xml version='1.0'?><VOTABLE/>", "VOTable: "),
        (b"PK\x03\x04" + bytes(100), "zip archive"),
        (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml" + bytes(99), "Excel"),
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


@settings(max_examples=80)
@given(st.data())
def test_truncation_anywhere_is_said(data):
    whole = data.draw(st.sampled_from([layouts.adp(), layouts.s1d_image(), layouts.s1d_table()]))
    needed = len(whole.rstrip(b"\0"))
    text = message(whole[: data.draw(st.integers(31, needed - 1))])
    assert "truncated" in text or "is empty" in text or "no spectrum found" in text


@settings(max_examples=150)
@given(st.integers(0, 8639), st.binary(min_size=1, max_size=12))
def test_damaged_headers_never_leak_foreign_errors(place, garbage):
    whole = layouts.adp()
    broken = whole[:place] + garbage + whole[place + len(garbage) :]
    try:
        outcome = f"the bytes given: {len(read_spectrum(broken))} pixels"
    except SpectrumError as error:
        outcome = str(error)
    assert outcome.startswith("the bytes given: ")


@pytest.mark.parametrize("kind", ["WAVE-GRI", "AWAV-GRA", "AWAV-F2W", "WAVE-V2W", "WAVE-TAB"])
def test_axes_that_are_linear_in_something_else(kind):
    data = layouts.image(PIXELS, CRVAL1=5000.0, CDELT1=0.1, CTYPE1=kind, CUNIT1="Angstrom")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's, of an axis without its parameters
        with pytest.raises(SpectrumError, match="no spectrum found"):
            read_spectrum(data)


def test_steps_of_a_matrix():
    wavelength = 5000 + 0.1 * PIXELS
    data = layouts.image(
        wavelength, CRVAL1=5000.0, CDELT1=0.05, PC1_1=2.0, CRPIX1=1.0, CUNIT1="Angstrom"
    )
    assert_flux_is_wavelength(read_spectrum(data), rtol=1e-12)


@pytest.mark.parametrize("keywords", [{}, {"CUNIT1": "Angstrom", "CTYPE1": "WAVE"}])
def test_no_step_is_no_axis(keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(SpectrumError, match="CDELT1"):
            read_spectrum(layouts.image(PIXELS, CRVAL1=5000.0, **keywords))
