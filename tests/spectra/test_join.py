"""Files that hold a spectrum in pieces, or several spectra; flux = wavelength unless given."""

import numpy as np
import pytest
from astropy.io import fits

from latentscope.errors import SpectrumError
from latentscope.spectra.read import read_spectrum
from tests.spectra import fits_layouts as layouts
from tests.spectra.fits_layouts import assert_flux_is_wavelength
from tests.spectra.instruments import image, linear, table

BLUE = layouts.linear_grid(3800, 3700.0, 0.5)
RED = layouts.linear_grid(7000, 5500.0, 0.5)
ORDERS = np.stack([layouts.linear_grid(1000, 5000.0 + 80 * k, 0.1) for k in range(5)])


def tables(*arms, **header):
    hdus = [
        table(name, WAVE=wave, units={"WAVE": "Angstrom"}, **columns)
        for name, wave, columns in arms
    ]
    return layouts.as_bytes(layouts.primary(**header), *hdus)


def two_arms(factor=1.0, ivar=(0.25, 1.0), noise=0.0):
    rng = np.random.default_rng(4)
    arms = []
    for name, wave, scale, weight in zip("BR", (BLUE, RED), (1.0, factor), ivar, strict=True):
        columns = {"FLUX": wave * scale * (1 + noise * rng.normal(size=len(wave)))}
        columns |= {} if weight is None else {"IVAR": np.full(len(wave), weight)}
        arms.append((f"COADD_{name}", wave, columns))
    return tables(*arms)


def notes(spectrum):
    return " ".join(spectrum.meta["assumed"])


def refusal(data, **options):
    with pytest.raises(SpectrumError) as caught:
        read_spectrum(data, **options)
    return str(caught.value)


def test_two_arms_are_one_spectrum():
    spectrum = read_spectrum(two_arms())
    np.testing.assert_array_equal(spectrum.wavelength, np.union1d(BLUE, RED))
    assert_flux_is_wavelength(spectrum)
    overlap = (spectrum.wavelength >= 5500) & (spectrum.wavelength < 5600)
    np.testing.assert_allclose(spectrum.ivar[overlap], 1.25)
    np.testing.assert_allclose(spectrum.ivar[spectrum.wavelength < 5500], 0.25)
    np.testing.assert_allclose(spectrum.ivar[spectrum.wavelength >= 5600], 1.0)
    assert "HDU 1 COADD_B (3700-5600), HDU 2 COADD_R (5500-9000)" in notes(spectrum)


def test_overlaps_are_weighted_by_inverse_variance():
    spectrum = read_spectrum(two_arms(1.2))
    overlap = (spectrum.wavelength >= 5500) & (spectrum.wavelength < 5600)
    ratio = spectrum.flux[overlap] / spectrum.wavelength[overlap]
    np.testing.assert_allclose(ratio, (0.25 + 1.2) / 1.25, rtol=1e-9)
    assert "differ by up to 20%" in notes(spectrum)


def test_overlaps_without_errors_fade_into_each_other():
    spectrum = read_spectrum(two_arms(1.2, ivar=(None, None)))
    ratio = spectrum.flux / spectrum.wavelength
    at = np.searchsorted(spectrum.wavelength, [5499.5, 5500.0, 5550.0, 5599.5, 5600.0])
    np.testing.assert_allclose(ratio[at], [1.0, 1.0, 1.1, 1.2, 1.2], atol=2e-3)
    assert spectrum.ivar is None


def test_errors_of_one_arm_alone_are_dropped_and_said():
    spectrum = read_spectrum(two_arms(ivar=(0.25, None)))
    assert_flux_is_wavelength(spectrum)
    assert spectrum.ivar is None
    assert "not all of them have some" in notes(spectrum)


def test_levels_that_make_no_one_spectrum_are_refused():
    text = refusal(two_arms(2.0))
    assert "100%" in text
    assert "--hdu 1" in text
    assert read_spectrum(two_arms(2.0), hdu="COADD_R").wavelength[0] == 5500.0


def test_noise_is_no_difference_of_level():
    spectrum = read_spectrum(two_arms(noise=0.3))
    assert "differ" not in notes(spectrum)
    assert len(spectrum) == len(np.union1d(BLUE, RED))


def test_bad_pixels_of_one_arm_are_those_of_the_other():
    flux, ivar = BLUE.copy(), np.full(len(BLUE), 0.25)
    inside = slice(len(BLUE) - 50, len(BLUE) - 40)
    flux[inside], ivar[inside] = -999.0, 0.0
    red, weight = RED.copy(), np.ones(len(RED))
    red[20:30], weight[20:30] = np.nan, 0.0
    data = tables(
        ("B", BLUE, {"FLUX": flux, "IVAR": ivar}), ("R", RED, {"FLUX": red, "IVAR": weight})
    )
    spectrum = read_spectrum(data)
    assert_flux_is_wavelength(spectrum)
    assert spectrum.mask is None or not spectrum.mask.any()
    np.testing.assert_allclose(spectrum.ivar[3750:3760], 1.0)


def test_other_pixels_are_interpolated():
    shifted = RED + 0.2
    data = tables(("B", BLUE, {"FLUX": BLUE}), ("R", shifted, {"FLUX": shifted}))
    spectrum = read_spectrum(data)
    assert_flux_is_wavelength(spectrum, rtol=1e-12)
    assert np.diff(spectrum.wavelength).max() <= 0.7 + 1e-9


def test_arms_with_a_gap_between_them():
    data = tables(("B", BLUE, {"FLUX": BLUE}), ("R", RED + 500, {"FLUX": RED + 500}))
    spectrum = read_spectrum(data)
    np.testing.assert_array_equal(spectrum.wavelength, np.concatenate([BLUE, RED + 500]))
    assert_flux_is_wavelength(spectrum)


@pytest.mark.parametrize("shift", [0.0, 0.3, 40.0])
def test_spectra_of_one_range_are_to_be_chosen_from(shift):
    other = BLUE + shift
    data = tables(("STAR1", BLUE, {"FLUX": BLUE}), ("STAR2", other, {"FLUX": other}))
    text = refusal(data)
    assert "HDU 1 STAR1" in text
    assert "HDU 2 STAR2" in text
    assert 'hdu="1" (--hdu 1)' in text
    np.testing.assert_array_equal(read_spectrum(data, hdu=2).wavelength, other)


def test_objects_are_never_joined():
    data = tables(("OBJ1", BLUE, {"FLUX": BLUE}), ("OBJ2", RED, {"FLUX": RED}))
    assert "several objects" in refusal(data)
    hdus = [
        image(w, CUNIT1="Angstrom", OBJECT=name, **linear(w))
        for name, w in (("HD 1", BLUE), ("HD 2", RED))
    ]
    assert "several objects" in refusal(layouts.as_bytes(fits.PrimaryHDU(), *hdus))


def test_frames_that_differ_are_never_joined():
    hdus = [
        table("B", WAVE=BLUE, FLUX=BLUE, header={"SPECSYS": "TOPOCENT"}),
        table("R", WAVE=RED, FLUX=RED, header={"SPECSYS": "BARYCENT"}),
    ]
    text = refusal(layouts.as_bytes(fits.PrimaryHDU(), *hdus))
    assert "barycentric and topocentric" in text


@pytest.mark.parametrize("name", ["MODEL", "SKY", "CONTINUUM", "NORMALIZED"])
def test_what_goes_with_a_spectrum_is_no_second_one(name):
    data = tables(("SPECTRUM", BLUE, {"FLUX": BLUE}), (name, BLUE, {"FLUX": BLUE * 3}))
    spectrum = read_spectrum(data)
    assert_flux_is_wavelength(spectrum)
    assert "HDU 2" in notes(spectrum)


def test_parts_of_a_spectrum_beside_it_are_no_second_one():
    lines = BLUE[100:3000:100]
    data = tables(("SPECTRUM", BLUE, {"FLUX": BLUE}), ("LINES", lines, {"FLUX": lines * 2}))
    spectrum = read_spectrum(data)
    np.testing.assert_array_equal(spectrum.wavelength, BLUE)
    assert "LINES" in notes(spectrum)


def test_the_first_table_of_a_phase_3_product_is_its_spectrum():
    data = tables(
        ("SPECTRUM", BLUE, {"FLUX": BLUE}),
        ("OTHER", BLUE, {"FLUX": BLUE * 2}),
        PRODCATG="SCIENCE.SPECTRUM",
    )
    assert_flux_is_wavelength(read_spectrum(data))


@pytest.mark.parametrize("descending", [False, True])
def test_orders_in_table_rows(descending):
    waves = ORDERS[:, ::-1] if descending else ORDERS[[2, 0, 1, 4, 3]]
    hdu = table("S", WAVE=waves, FLUX=waves, ERR=np.full(waves.shape, 2.0))
    data = layouts.as_bytes(fits.PrimaryHDU(), hdu)
    spectrum = read_spectrum(data)
    np.testing.assert_allclose(spectrum.wavelength, np.unique(np.round(ORDERS, 6)), rtol=1e-9)
    assert_flux_is_wavelength(spectrum)
    one = read_spectrum(data, hdu="S:2")
    np.testing.assert_array_equal(one.wavelength, np.sort(waves[1]))
    for wrong in ("1:0", "1:x", "1:6", "S:", "T:1"):
        assert wrong.partition(":")[0] in refusal(data, hdu=wrong)


def test_orders_of_other_lengths_and_cells_of_two_dimensions():
    waves = [ORDERS[k][: 900 + 20 * k] for k in range(5)]
    cells = np.empty(5, dtype=object)
    cells[:] = waves
    columns = [fits.Column(name, "PD()", unit="Angstrom", array=cells) for name in ("WAVE", "FLUX")]
    data = layouts.as_bytes(fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns))
    spectrum = read_spectrum(data)
    assert_flux_is_wavelength(spectrum)
    assert (spectrum.wavelength[0], spectrum.wavelength[-1]) == (5000.0, waves[-1][-1])
    columns = [
        fits.Column(name, "5000D", dim="(1000,5)", unit="Angstrom", array=ORDERS[None])
        for name in ("WAVE", "FLUX")
    ]
    data = layouts.as_bytes(fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns))
    assert_flux_is_wavelength(read_spectrum(data))
    assert read_spectrum(data, hdu="1:3").wavelength[0] == ORDERS[2, 0]


def test_several_fluxes_a_wavelength_are_refused():
    hdu = table("S", WAVE=BLUE, FLUX=np.stack([BLUE, BLUE], axis=1))
    text = refusal(layouts.as_bytes(fits.PrimaryHDU(), hdu))
    assert "1 arrays of wavelengths and 3800 of flux" in text


def test_rows_of_targets_are_to_be_chosen_from():
    hdu = table("S", TARGETID=np.arange(5), WAVE=ORDERS, FLUX=ORDERS)
    assert "several objects" in refusal(layouts.as_bytes(fits.PrimaryHDU(), hdu))
    visits = ORDERS[0] * np.array([[1.0], [1.0001], [0.9999]])
    hdu = table("S", WAVE=visits, FLUX=visits)
    text = refusal(layouts.as_bytes(fits.PrimaryHDU(), hdu))
    assert 'hdu="1:1" (--hdu 1:1)' in text
    assert "HDU 1:3" in text


def test_empty_and_padded_orders():
    waves, fluxes = ORDERS.copy(), ORDERS.copy()
    waves[:, :30], fluxes[:, :30] = 0.0, 0.0
    fluxes[3] = np.nan
    hdu = table("S", WAVE=waves, FLUX=fluxes)
    spectrum = read_spectrum(layouts.as_bytes(fits.PrimaryHDU(), hdu))
    assert_flux_is_wavelength(spectrum)
    assert spectrum.wavelength[-1] == ORDERS[4, -1]
    assert not ((spectrum.wavelength > 5260) & (spectrum.wavelength < 5323)).any()
    assert "1:4 hold no flux" in notes(spectrum)


def test_orders_with_their_blaze_are_refused():
    blaze = np.sinc(np.linspace(-0.5, 0.5, 1000)) ** 2
    hdu = table("S", WAVE=ORDERS, FLUX=ORDERS * blaze)
    text = refusal(layouts.as_bytes(fits.PrimaryHDU(), hdu))
    assert "blaze" in text
    assert "--hdu 1:1" in text
    absorbed = 1 - 0.8 * np.exp(-(((np.arange(1000) - 30) / 15) ** 2))
    hdu = table("S", WAVE=ORDERS, FLUX=ORDERS * absorbed)
    assert len(read_spectrum(layouts.as_bytes(fits.PrimaryHDU(), hdu))) == 4200


def test_many_orders_on_wavelengths_of_no_frame_need_one():
    waves = np.stack([layouts.linear_grid(500, 5000.0 + 40 * k, 0.1) for k in range(20)])
    data = layouts.as_bytes(fits.PrimaryHDU(), table("S", WAVE=waves, FLUX=waves))
    assert "--frame" in refusal(data)
    spectrum = read_spectrum(data, frame="topocentric")
    assert_flux_is_wavelength(spectrum)
    assert (len(spectrum), spectrum.frame) == (8100, "topocentric")


def test_units_by_size_are_one_for_all_pieces():
    waves = ORDERS / 10 + 990  # 1490 to 1532
    assert "wavelength unit" in refusal(
        layouts.as_bytes(fits.PrimaryHDU(), table("S", WAVE=waves, FLUX=waves))
    )


def test_a_real_spectrum_in_pieces_is_itself_again(shared_data):
    whole = read_spectrum(shared_data / "HARPS.2010-09-18T23:42:36.178_s1d_A.fits")
    cuts = [slice(k * 30000, (k + 1) * 30000 + 2000) for k in range(10)]
    arms = [(f"ORDER{k}", whole.wavelength[cut], {"FLUX": whole.flux[cut]})
            for k, cut in enumerate(cuts)]  # fmt: skip
    joined = read_spectrum(tables(*arms, SPECSYS="BARYCENT"))
    np.testing.assert_array_equal(joined.wavelength, whole.wavelength[:302000])
    np.testing.assert_allclose(joined.flux, whole.flux[:302000], rtol=1e-6)
