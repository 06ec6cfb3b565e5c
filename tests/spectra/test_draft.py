"""Masks and errors of columns: which way round, which bits, which kind, and how small."""

import numpy as np
import pytest
from astropy.io import fits

from latentscope.errors import SpectrumError
from latentscope.spectra.read import read_spectrum
from tests.spectra import fits_layouts as layouts

N = 200


def table(names, *, header=None, n=N, **columns):
    """A table of WAVE, FLUX and the columns given, one row a pixel."""
    wave = layouts.linear_grid(n)
    arrays = {"WAVE": wave, "FLUX": wave, **dict(zip(names, columns.values(), strict=True))}
    codes = {"b": "L", "i": "J", "f": "D"}
    made = [
        fits.Column(
            name,
            codes[np.asarray(array).dtype.kind],
            unit="Angstrom" if name == "WAVE" else None,
            array=array,
        )
        for name, array in arrays.items()
    ]
    hdu = fits.BinTableHDU.from_columns(made)
    hdu.header.update(header or {})
    return layouts.as_bytes(layouts.primary(SPECSYS="BARYCENT", AIRORVAC="AIR"), hdu)


def masked(data):
    """Pixels masked, and the notes."""
    spectrum = read_spectrum(data)
    np.testing.assert_array_equal(spectrum.flux, spectrum.wavelength)
    found = [] if spectrum.mask is None else np.flatnonzero(spectrum.mask).tolist()
    return found, spectrum.meta["assumed"]


def flags(*where, n=N, value=1):
    array = np.zeros(n, int)
    array[list(where)] = value
    return array


@pytest.mark.parametrize("name", ["mask", "MASK", "quality", "DATAQUAL"])
def test_a_mask_of_which_most_pixels_are_1_says_good(name):
    found, notes = masked(table([name], a=1 - flags(3, 4)))
    assert found == [3, 4]
    assert sum("1 is good" in note for note in notes) == 1


@pytest.mark.parametrize("name", ["mask", "QUAL", "DQ", "ANDMASK", "OR_MASK", "CRMASK", "quality"])
@pytest.mark.parametrize("kind", [int, bool, float])
def test_a_mask_of_which_few_pixels_are_1_says_bad(name, kind):
    assert masked(table([name], a=flags(3, 4).astype(kind))) == ([3, 4], [])


def test_a_mask_of_ones_alone_flags_nothing():
    found, notes = masked(table(["mask"], a=np.ones(N, int)))
    assert found == []
    assert sum("1 is good" in note for note in notes) == 1


def test_ivar_of_zero_where_the_mask_is_zero_says_that_1_is_good():
    good = flags(*range(90))
    ivar = np.where(good, 4.0, 0.0)
    found, notes = masked(table(["ivar", "mask"], a=ivar, b=good))
    assert found == list(range(90, N))
    assert any("1 is good" in note for note in notes)


def test_ivar_of_zero_where_the_mask_is_one_says_that_1_is_bad():
    bad = flags(*range(120))
    found, notes = masked(table(["ivar", "mask"], a=np.where(bad, 0.0, 4.0), b=bad))
    assert found == list(range(120))
    assert not any("1 is good" in note for note in notes)


def test_cosmics_flagged_beside_unflagged_padding_are_bad():
    ivar = np.where(np.arange(N) < 120, 0.0, 1.0)
    found, _ = masked(table(["ivar", "mask"], a=ivar, b=flags(150, 160)))
    assert found == [*range(120), 150, 160]


def test_a_mask_of_bits_is_never_turned_round():
    assert masked(table(["mask"], a=flags(*range(120), value=4)))[0] == list(range(120))


@pytest.mark.parametrize("name", ["QUAL", "DQ", "ANDMASK", "FLAGS"])
@pytest.mark.parametrize("value", [1, 4])
def test_flags_of_nearly_all_pixels_are_not_used(name, value):
    found, notes = masked(table([name], a=value - flags(3, 4, value=value)))
    assert found == []
    assert any(name in note for note in notes)


def test_a_bit_that_all_pixels_have_hides_no_other():
    found, notes = masked(table(["DQ"], a=16 + flags(3, 4, value=2)))
    assert found == [3, 4]
    assert any("DQ" in note for note in notes)


def test_the_serious_bits_of_hst_are_the_bad_ones():
    dq = flags(3, value=16) + flags(5, value=256) + flags(7, value=256 + 16)
    assert masked(table(["DQ"], header={"SDQFLAGS": 256 | 2}, a=dq))[0] == [5, 7]
    assert masked(table(["DQ"], a=dq))[0] == [3, 5, 7]


def test_columns_of_good_pixels_hold_1_for_good():
    assert masked(table(["DQ_WGT"], a=flags(*range(50))))[0] == list(range(50, N))
    found, notes = masked(table(["GOOD"], a=flags()))
    assert found == []
    assert any("GOOD" in note for note in notes)


def test_a_mask_that_is_not_read_is_said():
    found, notes = masked(table(["telluric_mask"], a=flags(3)))
    assert found == []
    assert any("telluric_mask" in note for note in notes)
    chosen = read_spectrum(table(["telluric_mask"], a=flags(3)), key="mask=telluric_mask")
    assert np.flatnonzero(chosen.mask).tolist() == [3]
    assert not any("telluric_mask" in note for note in chosen.meta["assumed"])
    rows = "\n".join(f"{5000 + 0.1 * i:.1f},1,BAD" for i in range(40))
    spectrum = read_spectrum(f"wave,flux,flag\n{rows}\n".encode())
    assert any("flags holds no numbers" in note for note in spectrum.meta["assumed"])


@pytest.mark.parametrize(
    ("name", "bad"),
    [(name, bad) for name in ("ivar", "ERR", "VAR") for bad in (0.0, -1.0, np.nan, np.inf)]
    + [("ERR", 1e30)],
)
def test_pixels_without_an_error_are_left_out_and_said(name, bad):
    values = np.full(N, 0.25)
    values[5:36] = bad
    found, notes = masked(table([name], a=values))
    assert found == list(range(5, 36))
    assert any("31" in note for note in notes)


def test_empty_pixels_are_left_out_without_a_word():
    wave = layouts.linear_grid()
    flux, err = wave.astype("f4"), np.full(500, 2.0, "f4")
    flux[100:140] = err[100:140] = 0.0
    spectrum = read_spectrum(layouts.adp(wave, flux=flux, err=err))
    assert np.flatnonzero(spectrum.mask).tolist() == list(range(100, 140))
    assert spectrum.meta["assumed"] == []


@pytest.mark.parametrize("bad", [0.0, np.nan])
@pytest.mark.parametrize("name", ["ivar", "ERR"])
def test_no_errors_at_all_leave_every_pixel(name, bad):
    data = table([name], a=np.full(N, bad))
    assert read_spectrum(data).ivar is None
    assert masked(data)[0] == []


@pytest.mark.parametrize(
    ("name", "values", "ivar"),
    [
        ("STATERROR", 2.0, 0.25),
        ("SIG", 2.0, 0.25),
        ("VAR", 4.0, 0.25),
        ("RMS", 2.0, 0.25),
        ("ERR2", 4.0, 0.25),
        ("VARIANCE", 4.0, 0.25),
        ("IVAR", 0.25, 0.25),
        ("relative_error", 2.0, None),
        ("rel_err", 2.0, None),
    ],
)
def test_kinds_of_errors(name, values, ivar):
    spectrum = read_spectrum(table([name], a=np.full(N, values)))
    expected = 1 / (values * spectrum.flux) ** 2 if ivar is None else ivar
    np.testing.assert_allclose(spectrum.ivar, expected)


def test_a_column_of_errors_that_is_not_read_is_said():
    spectrum = read_spectrum(table(["sky_error"], a=np.full(N, 2.0)))
    assert spectrum.ivar is None
    assert any("sky_error" in note for note in spectrum.meta["assumed"])


@pytest.mark.parametrize("size", [3e-21, 1e-17, 1e17])
def test_small_and_large_errors_in_single_precision_keep_their_inverse_variance(size):
    wave = layouts.linear_grid()
    err = np.full(500, size, "f4")
    data = layouts.adp(wave, flux=np.full(500, 100 * size, "f4"), err=err)
    spectrum = read_spectrum(data)
    np.testing.assert_allclose(spectrum.ivar, 1 / err.astype(float) ** 2, rtol=1e-12)
    assert spectrum.mask is None


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize(
    ("name", "flux", "error"),
    [("var", 1e15, 1e26), ("var", 1e12, 1e20), ("err", 1e33, 1e31), ("err", 1.0, None)],
)
def test_errors_are_none_only_out_of_all_proportion_to_the_flux(name, flux, error, kind):
    values = np.full(N, error or 0.1, kind)
    values[5] = error or 1e30
    source = {"wave": layouts.linear_grid(n=N), "flux": np.full(N, flux), name: values}
    spectrum = read_spectrum(source)
    assert np.count_nonzero(spectrum.ivar) == N - (error is None)
    assert (spectrum.mask is None) == (error is not None)


@pytest.mark.parametrize("value", [9999.0, 50000.0, 100.0, 4999.0])
@pytest.mark.parametrize("at", [200, 500, 800])
def test_one_bad_wavelength_is_no_second_order(value, at):
    wavelength = 5000.0 + 0.1 * np.arange(1000)
    wavelength[at] = value
    with pytest.raises(SpectrumError, match="ascend"):
        read_spectrum((wavelength, np.ones(1000)))


@pytest.mark.parametrize("value", [0.0, np.nan, 4999.9 + 0.1 * 200])
def test_pixels_without_a_wavelength_of_their_own_are_dropped_and_said(value):
    wavelength = 5000.0 + 0.1 * np.arange(1000)
    flux = wavelength.copy()
    wavelength[200] = wavelength[199] if value > 0 else value
    for order in (1, -1):
        spectrum = read_spectrum((wavelength[::order], flux[::order]))
        assert len(spectrum) == 999
        assert sum("1 without a wavelength" in note for note in spectrum.meta["assumed"]) == 1
        off = np.abs(spectrum.wavelength - spectrum.flux)
        assert off.max() < 0.11
        assert np.count_nonzero(off) <= 1
    with pytest.raises(SpectrumError, match="ascend"):
        read_spectrum((np.repeat(wavelength, 2), np.repeat(flux, 2)))


@pytest.mark.parametrize("value", [0.0, -999.0, 1e30])
def test_what_writers_leave_blank_is_masked(value):
    flux = layouts.linear_grid(N)
    flux[50:90] = value
    flux[100:105] = value  # so few may be lines, or noise about 0
    spectrum = read_spectrum((layouts.linear_grid(N), flux))
    assert spectrum.mask is not None
    np.testing.assert_array_equal(np.flatnonzero(spectrum.mask), np.arange(50, 90))
    assert any(f"40 in runs of {value:g} " in note for note in spectrum.meta["assumed"])


def test_a_continuum_of_ones_is_flux():
    assert read_spectrum((layouts.linear_grid(N), np.ones(N))).mask is None
