"""Spectra in images: linear and log-linear axes, and the real files; flux = wavelength."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from latentscope.spectra.read import read_spectrum
from tests.spectra import fits_layouts as layouts
from tests.spectra.fits_layouts import assert_flux_is_wavelength


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
    assert (spectrum.medium, spectrum.frame) == ("air", "barycentric")
    notes = " ".join(spectrum.meta["assumed"])
    assert "medium: air" in notes
    assert "-162" in notes
    near = np.abs(spectrum.wavelength - 6562.79) < 2
    assert spectrum.wavelength[near][np.argmin(spectrum.flux[near])] == pytest.approx(
        6562.8, abs=0.15
    )
