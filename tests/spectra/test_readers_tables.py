"""Spectra in FITS tables, and the sources that a file can come from; flux = wavelength."""

import io

import numpy as np
import pytest
from astropy.io import fits

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
    np.testing.assert_array_equal(np.flatnonzero(spectrum.mask), [7])


def test_errors_that_are_all_nan_mean_no_errors():
    spectrum = read_spectrum(layouts.adp(err=np.full(500, np.nan, "f4")))
    assert spectrum.ivar is None
    assert any("errors" in note for note in spectrum.meta["assumed"])


def test_the_error_of_another_flux_is_not_taken():
    names = ("WAVE", "FLUX_REDUCED", "ERR", "QUAL")
    assert read_spectrum(layouts.adp(names=names, err=np.ones(500, "f4"))).ivar is None
    names = ("WAVE", "FLUX_REDUCED", "ERR_REDUCED", "QUAL")
    assert read_spectrum(layouts.adp(names=names, err=np.ones(500, "f4"))).ivar is not None


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
        fits.Column("first_thing", "D", unit="nm", array=wavelength / 10),
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
