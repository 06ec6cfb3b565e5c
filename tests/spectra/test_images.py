"""Spectra in FITS images: rows, companions, axes; flux = wavelength unless given."""

import numpy as np
import pytest
from astropy.io import fits

from latentscope.errors import SpectrumError
from latentscope.spectra.read import read_spectrum
from tests.spectra import fits_layouts as layouts
from tests.spectra.fits_layouts import assert_flux_is_wavelength
from tests.spectra.instruments import image, linear, table

WAVE = layouts.linear_grid(1000, 5000.0, 0.1)
AXIS = linear(WAVE) | {"CUNIT1": "Angstrom"}
ORDERS = np.stack([layouts.linear_grid(1000, 5000.0 + 80 * k, 0.1) for k in range(4)])


def read(*hdus, **options):
    return read_spectrum(layouts.as_bytes(*hdus), **options)


def refusal(*hdus, **options):
    with pytest.raises(SpectrumError) as caught:
        read(*hdus, **options)
    return str(caught.value)


def notes(spectrum):
    return " ".join(spectrum.meta["assumed"])


@pytest.mark.parametrize(
    ("name", "value", "keywords"),
    [
        ("NOISE", 2.0, {}),
        ("SIGMA", 2.0, {}),
        ("ERR", 2.0, {}),
        ("ERRS", 2.0, {}),
        ("UNCERTAINTY", 2.0, {}),
        ("STDEV", 2.0, {}),
        ("STAT", 4.0, {}),
        ("VARIANCE", 4.0, {}),
        ("IVAR", 0.25, {}),
        ("ERRDATA", 4.0, {"HDUCLAS2": "ERROR", "HDUCLAS3": "MSE"}),
        ("ERRDATA", 0.25, {"HDUCLAS2": "ERROR", "HDUCLAS3": "INVMSE"}),
        ("", 2.0, {"BUNIT": "Err (10^-17 erg/s/cm^2/Ang)"}),
    ],
)
def test_errors_in_another_image(name, value, keywords):
    spectrum = read(layouts.primary(WAVE, **AXIS), image(np.full(1000, value), name, **keywords))
    assert_flux_is_wavelength(spectrum)
    np.testing.assert_allclose(spectrum.ivar, 0.25)


@pytest.mark.parametrize("name", ["SKY", "SKY_ERR", "CONTINUUM", "BLAZE", "SIGNAL", "RAW"])
def test_images_that_are_no_errors(name):
    spectrum = read(layouts.primary(WAVE, **AXIS), image(np.full(1000, 2.0), name))
    assert_flux_is_wavelength(spectrum)
    assert spectrum.ivar is None


def test_an_image_of_unknown_meaning_is_said_to_be_unread():
    spectrum = read(layouts.primary(WAVE, **AXIS), image(np.full(1000, 2.0), "THING"))
    assert spectrum.ivar is None
    assert "HDU 1 not read" in notes(spectrum)


@pytest.mark.parametrize("name", ["DQ", "MASK", "QUALITY", "BPM", "BAD_PIX"])
def test_flags_in_another_image(name):
    flags = (np.arange(1000) % 7 == 0).astype("i2")
    spectrum = read(layouts.primary(WAVE, **AXIS), image(flags, name))
    np.testing.assert_array_equal(spectrum.mask, flags == 1)


@pytest.mark.parametrize("name", ["GOOD", "GOOD_PX", "GOOD_DATA", "GOODPM", "GOOD_PIXEL_MASK"])
def test_masks_of_good_pixels(name):
    good = (np.arange(1000) % 3 == 0).astype("i2")
    spectrum = read(layouts.primary(WAVE, **AXIS), image(good, name))
    np.testing.assert_array_equal(spectrum.mask, good == 0)


@pytest.mark.parametrize("name", ["GOODMAN", "GOODSPEC", "GOOD_FLUX"])
def test_names_that_begin_with_good_may_be_those_of_fluxes(name):
    assert_flux_is_wavelength(read(layouts.primary(WAVE, EXTNAME=name, **AXIS)))


def test_the_error_of_another_flux_is_not_taken():
    spectrum = read(
        layouts.primary(WAVE, EXTNAME="FLUX", **AXIS),
        image(WAVE * 3, "FLUX_RAW", **AXIS),
        image(np.full(1000, 6.0), "ERR_RAW", **AXIS),
    )
    assert_flux_is_wavelength(spectrum)
    assert spectrum.ivar is None


@pytest.mark.parametrize("unit", ["Angstrom", "nm"])
def test_wavelengths_in_another_image(unit):
    wave = image(WAVE / layouts.ANGSTROM_PER[unit], "WAVELENGTH", BUNIT=unit)
    for flux in (layouts.primary(WAVE), layouts.primary(WAVE, CRVAL1=1.0, CDELT1=1.0)):
        spectrum = read(flux, image(np.full(1000, 2.0), "ERROR"), wave)
        np.testing.assert_allclose(spectrum.wavelength, WAVE)
        assert_flux_is_wavelength(spectrum)
        np.testing.assert_allclose(spectrum.ivar, 0.25)


@pytest.mark.parametrize("keywords", [{}, {"CRVAL1": 1.0, "CDELT1": 1.0, "CRPIX1": 1.0}])
def test_numbers_of_pixels_are_no_wavelengths(keywords):
    assert "no spectrum found" in refusal(layouts.primary(WAVE, **keywords))
    text = refusal(layouts.primary(WAVE, **keywords), image(WAVE, "ERROR", **keywords))
    assert "no spectrum found" in text


def test_orders_in_rows_with_wavelengths_in_another_image():
    hdus = (
        fits.PrimaryHDU(),
        image(ORDERS, "FLUX"),
        image(np.full(ORDERS.shape, 0.25), "IVAR"),
        image(ORDERS, "WAVELENGTH", BUNIT="Angstrom"),
    )
    spectrum = read(*hdus)
    assert_flux_is_wavelength(spectrum)
    assert (spectrum.wavelength[0], len(spectrum)) == (5000.0, 3400)
    one = read(*hdus, hdu="FLUX:3")
    np.testing.assert_array_equal(one.wavelength, ORDERS[2])
    np.testing.assert_array_equal(one.ivar, 0.25)
    assert "no row 5" in refusal(*hdus, hdu="FLUX:5")


def test_arms_keep_to_their_own_wavelengths_and_errors():
    arms = {"B": WAVE, "R": WAVE + 80}
    hdus = [fits.PrimaryHDU()]
    for number, (arm, wave) in enumerate(arms.items(), 1):
        hdus += [image(wave, f"{arm}_FLUX"), image(wave, f"{arm}_WAVELENGTH"),
                 image(np.full(1000, float(number)), f"{arm}_IVAR")]  # fmt: skip
    spectrum = read(*hdus)
    assert_flux_is_wavelength(spectrum)
    assert (len(spectrum), spectrum.ivar[0], spectrum.ivar[-1]) == (1800, 1.0, 2.0)
    # Without its own, an arm has no wavelengths, and not those of the other.
    assert read(*hdus[:5], *hdus[6:]).wavelength[-1] == WAVE[-1]
    hdus = [fits.PrimaryHDU()]
    for version, wave in enumerate(arms.values(), 1):
        hdus += [image(wave, "SCI", EXTVER=version, CUNIT1="Angstrom", **linear(wave)),
                 image(np.full(1000, float(version)), "ERR", EXTVER=version)]  # fmt: skip
    spectrum = read(*hdus)
    assert_flux_is_wavelength(spectrum)
    assert (spectrum.ivar[0], spectrum.ivar[-1]) == (1.0, 0.25)


def test_rows_of_targets_on_one_axis_are_to_be_chosen_from():
    rows = np.stack([WAVE, WAVE * 2])
    hdus = (
        fits.PrimaryHDU(),
        image(rows, "B_FLUX"),
        image(WAVE, "B_WAVELENGTH"),
        image(rows, "R_FLUX"),
        image(WAVE + 80, "R_WAVELENGTH"),
    )
    assert "--hdu 1:1" in refusal(*hdus)
    spectrum = read(*hdus, hdu=":2")
    assert (spectrum.wavelength[0], spectrum.wavelength[-1]) == (WAVE[0], WAVE[-1] + 80)
    many = layouts.primary(np.stack([WAVE * k for k in range(1, 41)]), **AXIS)
    assert "40 rows" in refusal(many)
    assert_flux_is_wavelength(read(many, hdu="0:1"))
    fibers = layouts.primary(rows, APNUM1="1 1 2 3", APNUM2="2 2 2 3", **AXIS)
    assert 'hdu="0:1"' in refusal(fibers)


def test_images_of_one_name_are_several_spectra():
    hdus = [image(WAVE * k, "SCI", **AXIS) for k in (1, 2)]
    assert "--hdu 1" in refusal(fits.PrimaryHDU(), *hdus)
    assert_flux_is_wavelength(read(fits.PrimaryHDU(), *hdus, hdu=1))


@pytest.mark.parametrize(
    "keywords",
    [
        {"TELESCOP": "SDSS 2.5-M", "rows": "flux other error mask none"},
        {"TELESCOP": "LAMOST", "rows": "flux ivar wave mask none"},
        {"ROW1": "Flux", "ROW2": "Error", "rows": "flux error other"},
        {"ARRAY1": "Normalized error", "ARRAY2": "Normalized flux", "rows": "error flux"},
    ],
)
def test_rows_that_the_header_names(keywords):
    keywords = dict(keywords)
    values = {"flux": WAVE, "error": WAVE * 0 + 2, "ivar": WAVE * 0 + 0.25, "wave": WAVE,
              "mask": np.arange(1000) % 9 == 0, "other": WAVE * 5, "none": WAVE * 0}  # fmt: skip
    names = keywords.pop("rows").split()
    axis = {"COEFF0": np.log10(5000.0), "COEFF1": 1e-5} if "TELESCOP" in keywords else AXIS
    rows = np.stack([values[name] for name in names])
    if "COEFF0" in axis:
        rows[0] = 10 ** (axis["COEFF0"] + 1e-5 * np.arange(1000))
    spectrum = read(layouts.primary(rows, **axis, **keywords))
    assert_flux_is_wavelength(spectrum)
    good = np.ones(1000, bool) if spectrum.mask is None else ~spectrum.mask
    np.testing.assert_allclose(spectrum.ivar[good], 0.25)
    assert ("mask" in names) == (spectrum.mask is not None)


def multispec(specs, rows, **keywords):
    text = "wtype=multispec " + " ".join(f'spec{k} = "{s}"' for k, s in enumerate(specs, 1))
    wat = {f"WAT2_{k + 1:03d}": text[68 * k : 68 * k + 68] for k in range(-(-len(text) // 68))}
    head = {"CTYPE1": "MULTISPE", "WAT0_001": "system=multispec",
            "WAT1_001": "wtype=multispec label=Wavelength units=angstroms"}  # fmt: skip
    return layouts.primary(np.asarray(rows), **head, **wat, **keywords)


PIXEL = np.arange(1.0, 1001.0)


def test_multispec_rows_have_axes_of_their_own():
    waves = [5000 + 0.1 * (PIXEL - 1), 10 ** (3.7055 + 1e-5 * (PIXEL - 1)) / 1.0005]
    specs = ["1 9 0 5000. 0.1 1000 0. 1. 2.", "2 8 1 3.7055 1.E-5 1000 5.E-4 1. 2."]
    spectrum = read(multispec(specs, waves))
    assert_flux_is_wavelength(spectrum, rtol=1e-6)
    assert spectrum.wavelength[-1] == pytest.approx(waves[1][-1])
    one = read(multispec(specs, waves), hdu="0:2")
    np.testing.assert_allclose(one.wavelength, waves[1], rtol=1e-12)
    assert "row 2" in refusal(multispec(["1 9 0 5000. 0.1 1000 0. 1. 2.", "2 8 -1 1 1"], waves))
    assert "wavelengths of 1" in refusal(multispec(specs[:1], waves))


AT = (PIXEL - 500.5) / 499.5
S = (PIXEL - 1) / 999 * 2
B = S - np.minimum(np.floor(S), 1)
CUBIC = [(1 - B) ** 3, 1 + 3 * (1 - B) * (1 + (1 - B) * B), 1 + 3 * B * (1 + (1 - B) * B), B**3]
KNOTS = np.array([5000.0, 5010.0, 5021.0, 5033.0, 5046.0]) / 6
FIRST = np.minimum(np.floor(S), 1).astype(int)
FITS = {
    "Chebyshev": ("1 3 1. 1000. 5050. 50. 0.4", 5050 + 50 * AT + 0.4 * (2 * AT**2 - 1)),
    "Legendre": ("2 3 1. 1000. 5050. 50. 0.4", 5050 + 50 * AT + 0.4 * (1.5 * AT**2 - 0.5)),
    "linear spline": ("4 2 1. 1000. 5000. 5040. 5100.",
                      np.interp(S, [0, 1, 2], [5000, 5040, 5100])),
    "cubic spline": ("3 2 1. 1000. " + " ".join(map(str, KNOTS)),
                     sum(CUBIC[i] * KNOTS[FIRST + i] for i in range(4))),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_multispec_polynomials_and_splines(name):
    function, wave = FITS[name]
    spec = f"1 80 2 5000. 0.1 1000 0.001 1. 2. 1. 0. {function}"
    spectrum = read(multispec([spec], wave[None] / 1.001))
    np.testing.assert_allclose(spectrum.wavelength, wave / 1.001, rtol=1e-12)
    # The sum of two halves, one of them shifted by 2 Angstrom.
    spec = f"1 80 2 5000. 0.1 1000 0. 1. 2. 0.5 0. {function} 0.5 2. {function}"
    spectrum = read(multispec([spec], wave[None]))
    np.testing.assert_allclose(spectrum.wavelength, wave + 1.0, rtol=1e-12)
    assert "truncated" in refusal(multispec([spec[: -len(function) + 8]], wave[None]))


def test_multispec_of_rows_that_were_cut_or_are_shorter():
    spec = "1 80 2 5000. 0.1 800 0. 1. 2. 1. 0. 1 2 1. 1000. 5050. 50."
    wave = 5050 + 50 * (PIXEL + 100 - 500.5) / 499.5
    spectrum = read(multispec([spec], wave[None], LTV1=-100.0, LTM1_1=1.0))
    np.testing.assert_allclose(spectrum.wavelength, wave[:800], rtol=1e-12)
    assert_flux_is_wavelength(spectrum)


def test_bands_of_multispec():
    waves = np.stack([5000 + 0.1 * (PIXEL - 1), 5090 + 0.1 * (PIXEL - 1)])
    specs = [f"{k} 9 0 {wave[0]} 0.1 1000 0. 1. 2." for k, wave in enumerate(waves, 1)]
    bands = np.stack([waves, waves * 3, np.full(waves.shape, 2.0)])
    named = {"BANDID1": "spectrum - weights variance", "BANDID2": "raw - weights none",
             "BANDID3": "sigma - background fit"}  # fmt: skip
    spectrum = read(multispec(specs, bands, **named))
    assert_flux_is_wavelength(spectrum)
    assert spectrum.ivar[0] == 0.25
    one = read(multispec(specs, bands, **named), hdu="0:2")
    np.testing.assert_allclose(one.wavelength, waves[1])
    np.testing.assert_allclose(one.ivar, 0.25)
    assert "BANDIDn" in refusal(multispec(specs, bands))
    assert_flux_is_wavelength(read(multispec(specs, bands), hdu="0:2"))


LOGARITHMS = {
    "CTYPE1 log, ln": (np.exp, 8.2, {"CTYPE1": "log(wavelength)"}, 1.0, True),
    "CTYPE1 log, log10": (np.exp2, None, {"CTYPE1": "log(wavelength)"}, 1.0, False),
    "IRAF's flag, ln": (np.exp, 8.5, {"DC-FLAG": 1}, 1.0, True),
    "-LOG, log10": (None, 3.7, {"CTYPE1": "WAVE-LOG", "CUNIT1": "Angstrom"}, 1.0, True),
    "no word, ln": (np.exp, 8.5, {}, 1.0, True),
    "log(nm), log10": (None, 2.7, {"CUNIT1": "log(nm)"}, 10.0, False),
    "log(nm), ln": (np.exp, 6.2, {"CUNIT1": "log(nm)"}, 10.0, True),
    "-LOG in nm, ln": (np.exp, 6.2, {"CTYPE1": "AWAV-LOG", "CUNIT1": "nm"}, 10.0, False),
}


@pytest.mark.parametrize("name", LOGARITHMS)
def test_the_base_of_a_logarithm_is_told_by_size(name):
    power, start, keywords, per, said = LOGARITHMS[name]
    start = 3.7 if start is None else start
    value = start + 1e-5 * np.arange(1000)
    wave = per * (np.exp(value) if power is np.exp else 10**value)
    spectrum = read(layouts.primary(wave, CRVAL1=start, CDELT1=1e-5, CRPIX1=1.0, **keywords))
    assert_flux_is_wavelength(spectrum, rtol=1e-12)
    assert ("wavelength scale" in notes(spectrum)) == said


@pytest.mark.parametrize(
    ("keywords", "first", "step"),
    [
        ({"CRVAL1": 0.5, "CDELT1": 1e-5}, 5000.0, 0.1),
        ({"CRVAL1": 3.5, "CDELT1": 1e-4, "CUNIT1": "um"}, 35000.0, 1.0),
        ({"CRVAL1": 500.0, "CDELT1": 0.01, "CUNIT1": "nm"}, 5000.0, 0.1),
        ({"CRVAL1": 5000.0, "CDELT1": "0.1", "CUNIT1": "Angstrom"}, 5000.0, 0.1),
        ({"CRVAL1": 5000.0, "CDELT1": 0.1, "CUNIT1": "pixel",
          "WAT1_001": "wtype=linear label=Wavelength units=angstroms"}, 5000.0, 0.1),
    ],
)  # fmt: skip
def test_axes_that_are_linear(keywords, first, step):
    wavelength = read(layouts.primary(WAVE, **keywords)).wavelength
    np.testing.assert_allclose(wavelength, first + step * np.arange(1000), rtol=1e-12)


@pytest.mark.parametrize("key", ["CRVAL1", "CDELT1", "CRPIX1"])
def test_a_logical_is_no_number(key):
    text = refusal(layouts.primary(WAVE, **(AXIS | {key: True})))
    assert "nan" in text
    assert key in text


@pytest.mark.parametrize("kind", ["RA---TAN", "FREQ", "VOPT", "VELO-LSR", "ZOPT"])
def test_other_axes_are_no_wavelengths(kind, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # no specutils
    axis = {"CTYPE1": kind, "CRVAL1": 5000.0, "CDELT1": 0.1}
    assert "no spectrum found" in refusal(layouts.primary(WAVE, **axis))


def test_errors_of_a_pipeline_in_a_file_of_their_own():
    hdu = layouts.primary(WAVE, ESO_PRO_CATG="ERRORBAR_SCI_POINT_BLUE", **AXIS)
    assert "holds the errors" in refusal(hdu)


@pytest.mark.parametrize("name", ["ERRS", "MASK", "IVAR"])
def test_errors_alone_are_no_spectrum(name):
    assert f"({name})" in refusal(layouts.primary(WAVE, EXTNAME=name, **AXIS))
    assert_flux_is_wavelength(read(fits.PrimaryHDU(), image(WAVE, name, **AXIS), hdu=1))
    assert_flux_is_wavelength(read(layouts.primary(WAVE, EXTNAME=name, **AXIS), hdu=0))


def test_only_files_of_the_drs_are_called_e2ds():
    text = refusal(layouts.primary(np.ones((51, 2304), "f4"), INSTRUME="OTHER"))
    assert "e2ds" not in text
    assert "_s1d_" not in text


def test_detectors_and_libraries_are_no_orders():
    rows = np.tile(WAVE, (300, 1))
    assert "detector" in refusal(fits.PrimaryHDU(), image(rows, "FLUX"), image(rows, "WAVE"))
    library = table("S", WAVE=rows, FLUX=rows)
    assert "300 rows of spectra" in refusal(fits.PrimaryHDU(), library)
    assert_flux_is_wavelength(read(fits.PrimaryHDU(), library, hdu="S:200"))
