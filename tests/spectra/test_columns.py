"""Columns by name and by content, tables that are no spectrum, masks of every kind of array."""

import io

import numpy as np
import pandas as pd
import pytest
from astropy import units
from astropy.io import fits
from astropy.nddata import InverseVariance, StdDevUncertainty
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked

from latentscope.errors import SpectrumError
from latentscope.spectra.columns import looks_like_wavelengths
from latentscope.spectra.read import read_spectrum
from tests.spectra import fits_layouts as layouts

N = 200
WAVELENGTH = 5000.0 + 0.25 * np.arange(N)
BAD = np.isin(np.arange(N), [3, 7, 100])
SPIKED = np.where(BAD, 1e9, WAVELENGTH)
RNG = np.random.default_rng(4)
SCATTERED = np.sort(RNG.uniform(4000.0, 7000.0, N))


def text(head, *columns, mark=","):
    body = "\n".join(
        mark.join(f"{value:.17g}" for value in row) for row in zip(*columns, strict=True)
    )
    return f"{head}\n{body}\n".encode()


def as_ecsv(head, *columns):
    stream = io.StringIO()
    Table(list(columns), names=head.split(",")).write(stream, format="ascii.ecsv")
    return stream.getvalue().encode()


def check(spectrum, masked=False, rtol=1e-15):
    good = ~BAD if masked else np.full(N, fill_value=True)
    np.testing.assert_allclose(spectrum.wavelength, WAVELENGTH, rtol=rtol)
    np.testing.assert_allclose(spectrum.flux[good], WAVELENGTH[good], rtol=rtol)
    if masked:
        np.testing.assert_array_equal(spectrum.mask, BAD)


OTHER_TABLES = [
    ("source_id,solution_id,ra", "catalog", [np.arange(N) * 7 + 3, np.full(N, 5), SCATTERED]),
    ("ra,dec,phot_g_mean_mag", "catalog", [WAVELENGTH, WAVELENGTH, WAVELENGTH]),
    ("teff,logg,rv", "labels", [SCATTERED, np.full(N, 4.4), WAVELENGTH]),
    ("kic,log(g)", "labels", [WAVELENGTH, WAVELENGTH]),
    ("time,flux,flux_err", "light curve", [500 + 0.02 * np.arange(N), WAVELENGTH, WAVELENGTH]),
    ("BJD,flux", "light curve", [WAVELENGTH, WAVELENGTH]),
    ("HJD-2450000,V_mag", "light curve", [WAVELENGTH, WAVELENGTH]),
    ("teff_gspphot,logg_gspphot", "labels", [WAVELENGTH, WAVELENGTH]),
    ("z0,z1,z2", "latents", [WAVELENGTH, WAVELENGTH, WAVELENGTH]),
    ("velocity,ccf", "line profile", [WAVELENGTH, WAVELENGTH]),
    ("wavenumber,flux", "frequency", [WAVELENGTH * 3, WAVELENGTH]),
    ("wavelength,intensity,loggf", "line list", [SCATTERED, WAVELENGTH, WAVELENGTH]),
    ("wavelength_air_A,Z,ion,ep_eV,loggf", "line list", [SCATTERED, *[WAVELENGTH] * 4]),
]


@pytest.mark.parametrize(("head", "words", "columns"), OTHER_TABLES)
def test_tables_that_are_no_spectrum_are_refused_by_their_names(head, words, columns):
    frame = pd.DataFrame(dict(zip(head.split(","), columns, strict=True)))
    for source in (
        text(head, *columns),
        as_ecsv(head, *columns),
        text("# " + head.replace(",", " "), *columns, mark=" "),
        frame.to_records(index=False),
        frame,
        Table.from_pandas(frame),
        dict(frame.items()),
    ):
        with pytest.raises(SpectrumError, match=f"looks like .*{words}"):
            read_spectrum(source)


def test_a_table_whose_first_columns_are_text_is_refused_by_its_names():
    for head in ("file,teff,logg", "object,star,teff", "# object teff logg"):
        with pytest.raises(SpectrumError, match="looks like a catalog or a table of labels"):
            read_spectrum(f"{head}\na.fits,b,5000\nc.fits,d,6000\n".encode())


@pytest.mark.parametrize(
    ("values", "right"),
    [
        (WAVELENGTH, True),
        (WAVELENGTH[::-1], True),
        (np.geomspace(3000.0, 9000.0, 500), True),
        (np.round(5000.0 + 0.014 * np.arange(3000), 2), True),  # as printed
        (np.r_[3000:4000:0.5, 5000:6000:0.7], True),  # two arms
        (np.r_[0, 0, WAVELENGTH, 0], True),
        (np.r_[-999.0, -999.0, WAVELENGTH], True),
        (np.r_[5000:5100:0.1, 5090:5200:0.1], True),  # two orders
        (np.arange(3000, 9000, 5), True),
        (WAVELENGTH[:10], False),
        (np.arange(N), False),
        (np.arange(1, N + 1), False),
        (np.arange(4000, 8000, 100), False),  # a grid of temperatures
        (SCATTERED, False),
        (RNG.permutation(WAVELENGTH), False),
        (RNG.normal(size=N), False),
        (np.arange(-200.0, 200.0, 0.25), False),  # velocities
        (2457000.0 + 0.0014 * np.arange(N), False),
        (np.arange(N) * 10**9, False),
    ],
)
def test_what_looks_like_wavelengths(values, right):
    assert looks_like_wavelengths(values) is right


@pytest.mark.parametrize("values", [SCATTERED, RNG.normal(size=N), np.arange(1, N + 1)])
def test_columns_without_names_must_look_like_wavelengths(values):
    pair = np.stack([values, np.ones(N)])
    for source in (pair, pair.T, text("", *pair, mark=" ")):
        with pytest.raises(SpectrumError, match="looks like wavelengths"):
            read_spectrum(source)


@pytest.mark.parametrize(
    "title",
    [
        "# HD 12345",
        "# RV corrected",
        "# Sun spectrum",
        "# spectrum Sun",
        "# flux calibrated",
        "# corrected wavelength",
        "# flux spectrum",
        "Alpha Cen",
    ],
)
def test_a_title_of_as_many_words_names_no_columns(title):
    flux = RNG.normal(1.0, 0.1, N)
    spectrum = read_spectrum(text(title, WAVELENGTH, flux, mark=" "))
    np.testing.assert_array_equal(spectrum.wavelength, WAVELENGTH)
    np.testing.assert_array_equal(spectrum.flux, flux)


def test_the_wavelengths_of_an_array_are_where_they_ascend():
    flux = RNG.normal(1.0, 0.1, N)
    error = np.full(N, 0.5)
    sources = [
        np.stack([flux, WAVELENGTH]),
        np.stack([flux, WAVELENGTH], axis=1).astype(">f8"),
        np.stack([np.arange(N), WAVELENGTH, flux], axis=1),
        np.stack([WAVELENGTH, flux, error, error], axis=1),
    ]
    for source in sources:
        spectrum = read_spectrum(source)
        np.testing.assert_array_equal(spectrum.wavelength, WAVELENGTH)
        np.testing.assert_array_equal(spectrum.flux, flux)
        assert spectrum.ivar is None
    assert "third, fourth not read" in "; ".join(spectrum.meta["assumed"])


def test_a_third_column_is_an_error_only_where_it_can_be_one():
    normalized = RNG.uniform(0.8, 1.0, N)
    noisy = RNG.normal(1.0, 0.5, N)
    for flux, third, right in (
        (WAVELENGTH, np.full(N, 2.0), True),
        (normalized, np.full(N, 0.01), True),
        (noisy, np.full(N, 0.6), True),  # more noise than light
        (normalized, normalized * 1e6, False),  # Turbospectrum: absolute flux
        (WAVELENGTH, WAVELENGTH * 1.1, False),  # a continuum
        (WAVELENGTH, normalized, False),
        (normalized, noisy, False),  # below 0
    ):
        spectrum = read_spectrum(np.stack([WAVELENGTH, flux, third]))
        np.testing.assert_array_equal(spectrum.flux, flux)
        assert (spectrum.ivar is not None) is right
        assert any("third" in note for note in spectrum.meta["assumed"])


@pytest.mark.parametrize(
    ("head", "values"),
    [
        ("loglam,flux", np.log10(WAVELENGTH)),
        ("log_wave,flux", np.log10(WAVELENGTH)),
        ("log10(wavelength),flux", np.log10(WAVELENGTH)),
        ("wave [log10(Angstrom)],flux", np.log10(WAVELENGTH)),
        ("loglam,flux", np.log(WAVELENGTH)),
        ("ln_lambda,flux", np.log(WAVELENGTH)),
        ("ln(wave),flux", np.log(WAVELENGTH)),
        ("log_lam,flux", np.log10(WAVELENGTH / 10)),  # of nm
        ("loglam,flux", WAVELENGTH),  # so called
        ("wavelength_nm,flux", WAVELENGTH / 10),
        ("wavelength_air_angstrom,flux", WAVELENGTH),
    ],
)
def test_logarithms_and_units_in_names(head, values):
    spectrum = read_spectrum(text(head, values, WAVELENGTH))
    check(spectrum, rtol=1e-13)
    assert spectrum.medium == ("vacuum" if "loglam" in head else "air")


def test_a_wavelength_by_name_takes_the_only_column_left_for_flux():
    check(read_spectrum(text("order,wave,err_x,starlight", *[np.ones(N), WAVELENGTH] * 2)))
    check(read_spectrum(text("quantity,flux", WAVELENGTH, WAVELENGTH)))
    check(read_spectrum(text("object_id,lambda_obs,flux", np.ones(N), WAVELENGTH, WAVELENGTH)))
    check(read_spectrum(text("x,flux,snr", WAVELENGTH, WAVELENGTH, np.ones(N))))
    polarized = ["wave,I,V,N1,N2", "lambda,Stokes_I,V,N", "wl,normalized,raw,x"]
    for head in polarized:
        zeros = [np.zeros(N)] * (head.count(",") - 1)
        check(read_spectrum(text(head, WAVELENGTH, WAVELENGTH, *zeros)))
    with pytest.raises(SpectrumError, match="a, b, c could be the flux; choose one by key='flux=a"):
        read_spectrum(text("wave,a,b,c", *[WAVELENGTH] * 4))
    with pytest.raises(SpectrumError, match="no column of flux beside wave"):
        read_spectrum(text("wave,mask", WAVELENGTH, WAVELENGTH))


def test_columns_by_key():
    data = text("wave,a,b,sigma_b", WAVELENGTH, np.zeros(N), WAVELENGTH, np.full(N, 0.5))
    for key in ("b", "flux=b", "wave=wave, flux=b", "wave=1,flux=3", "flux=b,err=sigma_b"):
        spectrum = read_spectrum(data, key=key)
        check(spectrum)
    np.testing.assert_array_equal(spectrum.ivar, 4.0)
    check(read_spectrum(text("time,flux", WAVELENGTH, WAVELENGTH), key="wave=time,flux=flux"))
    for key, words in (
        ("flux=c", "no column 'c'; it has wave, a, b, sigma_b"),
        ("light=b", "'light' is not a role"),
    ):
        with pytest.raises(SpectrumError, match=words):
            read_spectrum(data, key=key)


MASKED = np.ma.array(SPIKED, mask=BAD)
FIELDS = np.zeros(N, dtype=[("wave", ">f8"), ("flux", "f4")])
FIELDS["wave"], FIELDS["flux"] = WAVELENGTH, SPIKED


@pytest.mark.parametrize(
    "source",
    [
        (WAVELENGTH, MASKED),
        (WAVELENGTH * units.AA, Masked(SPIKED * units.Jy, mask=BAD)),
        (WAVELENGTH, Masked(SPIKED, mask=BAD)),
        (WAVELENGTH, MaskedColumn(SPIKED, mask=BAD)),
        (WAVELENGTH, SPIKED, BAD),
        (WAVELENGTH, SPIKED, np.ma.array(np.ones(N), mask=BAD)),
        np.ma.array([WAVELENGTH, SPIKED], mask=[BAD & False, BAD]),
        np.ma.array(FIELDS, mask=[(False, bad) for bad in BAD]),
        Table({"wave": WAVELENGTH, "flux": MASKED}),
        Table({"wave": [WAVELENGTH], "flux": np.ma.array([SPIKED], mask=[BAD])}),
        Table({"wave": WAVELENGTH, "flux": SPIKED, "flag": BAD.astype(int)}),
        Table({"wave": WAVELENGTH, "flux": SPIKED, "flag": np.ma.array(BAD & False, mask=BAD)}),
        QTable({"wave": WAVELENGTH / 10 * units.nm, "flux": Masked(SPIKED * units.Jy, mask=BAD)}),
        {"wave": list(WAVELENGTH), "flux": MASKED},
    ],
)
def test_masks_are_kept(source):
    check(read_spectrum(source), masked=True)


def test_masked_integers_of_ecsv_are_kept():
    flux = np.ma.array(np.where(BAD, 10**9, WAVELENGTH.astype(int)), mask=BAD)
    stream = io.StringIO()
    Table({"wave": WAVELENGTH, "flux": flux}).write(stream, format="ascii.ecsv")
    spectrum = read_spectrum(stream.getvalue().encode())
    np.testing.assert_array_equal(spectrum.mask, BAD)
    np.testing.assert_array_equal(spectrum.flux[~BAD], flux[~BAD])


def test_pixels_of_masked_wavelength_are_left_out():
    hidden = np.where(BAD, 0.0, WAVELENGTH)
    for wavelength in (
        np.ma.array(hidden, mask=BAD),
        Masked(hidden * units.AA, mask=BAD),
        MaskedColumn(hidden, mask=BAD),
    ):
        spectrum = read_spectrum((wavelength, SPIKED, np.full(N, 0.5)))
        np.testing.assert_array_equal(spectrum.wavelength, WAVELENGTH[~BAD])
        np.testing.assert_array_equal(spectrum.flux, WAVELENGTH[~BAD])
        np.testing.assert_array_equal(spectrum.ivar, 4.0)
        assert any("3 of masked wavelength" in note for note in spectrum.meta["assumed"])


@pytest.mark.parametrize(
    "third",
    [
        np.full(N, 0.5),
        np.full(N, 0.5) * units.Jy,
        np.full(N, 500.0) * units.mJy,
        np.full(N, 4.0) / units.Jy**2,
        StdDevUncertainty(np.full(N, 0.5)),
        InverseVariance(np.full(N, 4.0)),
    ],
)
def test_a_third_part_is_the_error_or_by_its_unit_an_inverse_variance(third):
    spectrum = read_spectrum((WAVELENGTH * units.AA, WAVELENGTH * units.Jy, third))
    check(spectrum)
    np.testing.assert_allclose(spectrum.ivar, 4.0)


@pytest.mark.parametrize(
    ("third", "words"),
    [
        (np.ones(N) * units.m, "third array is in m, flux in Jy"),
        (np.ones(3), "expected the error of each pixel"),
        (np.full(N, "x"), "expected errors"),
    ],
)
def test_third_parts_that_do_not_fit(third, words):
    with pytest.raises(SpectrumError, match=words):
        read_spectrum((WAVELENGTH * units.AA, WAVELENGTH * units.Jy, third))


def test_tables_of_pandas():
    frame = pd.DataFrame({"wave": WAVELENGTH, "flux": WAVELENGTH})
    check(read_spectrum(frame))
    check(read_spectrum(frame.set_index("wave")))
    # Its columns are attributes too, and these are those of specutils.
    check(read_spectrum(frame.rename(columns={"wave": "spectral_axis"})))
    check(read_spectrum(pd.Series(WAVELENGTH, index=WAVELENGTH)))
    missing = pd.DataFrame(
        {"wave": WAVELENGTH, "flux": pd.array(np.where(BAD, np.nan, WAVELENGTH), dtype="Float64")}
    )
    np.testing.assert_array_equal(np.isnan(read_spectrum(missing).flux), BAD)


def test_rows_of_array_cells_are_chosen_by_number():
    zeros = np.zeros(N)
    table = Table({"wave": [WAVELENGTH] * 2, "flux": [zeros, WAVELENGTH], "OBJECT": ["a", "HD 2"]})
    with pytest.raises(SpectrumError, match=r"2 rows of array cells.*hdu='0:ROW'"):
        read_spectrum(table)
    with pytest.raises(SpectrumError, match="no row 3; expected 1 to 2"):
        read_spectrum(table, hdu="0:3")
    frame = pd.DataFrame(
        {"wave": [WAVELENGTH] * 2, "flux": [zeros, WAVELENGTH], "OBJECT": ["a", "HD 2"]}
    )
    for source in (table, frame):
        for hdu in (2, "0:2"):
            spectrum = read_spectrum(source, hdu=hdu)
            check(spectrum)
            assert spectrum.meta["object"] == "HD 2"


def orders(count, *, level=1.0):
    """Orders of 200 pixels that overlap by 40, all but the first of a level of their own."""
    wavelength = [5000.0 + 40.0 * k + 0.25 * np.arange(N) for k in range(count)]
    flux = [values * (level if k else 1.0) for k, values in enumerate(wavelength)]
    return np.concatenate(wavelength), np.concatenate(flux)


@pytest.mark.parametrize("backward", [False, True])
def test_orders_one_after_the_other_are_joined(backward):
    wavelength, flux = orders(12)
    wavelength, flux = (values[::-1] if backward else values for values in (wavelength, flux))
    marked = np.isin(wavelength, [5003.0, 5100.25])
    spiked = np.ma.array(np.where(marked, 1e9, flux), mask=marked)
    whole = np.unique(wavelength)
    for source in (
        (wavelength, spiked),
        (wavelength / 10 * units.nm, spiked),
        Table({"loglam": np.log10(wavelength), "flux": spiked, "err": np.full(len(flux), 0.5)}),
    ):
        spectrum = read_spectrum(source)
        np.testing.assert_allclose(spectrum.wavelength, whole, rtol=1e-13)
        good = ~spectrum.mask
        np.testing.assert_allclose(spectrum.flux[good], whole[good], rtol=1e-13)
        assert np.count_nonzero(~good) == np.count_nonzero(np.isin(whole, [5003.0, 5100.25]))
        assert any("joined from 12 pieces" in note for note in spectrum.meta["assumed"])
    units_said = [note for note in spectrum.meta["assumed"] if note.startswith("wavelength unit")]
    assert len(units_said) <= 1


def test_orders_that_make_no_spectrum_are_refused():
    wavelength, flux = orders(2, level=3.0)
    twice = np.tile(WAVELENGTH, 2)
    for source in ((wavelength, flux), (twice, twice), (RNG.permutation(wavelength), flux)):
        with pytest.raises(SpectrumError, match="where they should ascend"):
            read_spectrum(source)


@pytest.mark.parametrize("backward", [False, True])
def test_orders_of_two_levels_that_meet_in_one_wavelength_are_joined(backward):
    wavelength = np.r_[5000.0:5050.0:0.25, 5049.75:5100.0:0.25]
    flux = np.where(np.arange(len(wavelength)) < 200, 1.0, 0.3)
    step = -1 if backward else 1
    notes = read_spectrum((wavelength[::step], flux[::step])).meta["assumed"]
    assert any("joined from 2 pieces" in note for note in notes)
    assert not any("dropped" in note for note in notes)


class Labelled(np.ndarray):
    """Numbers with a unit in words."""

    unit = "Angstrom"


def test_a_unit_in_words_is_one():
    check(read_spectrum((WAVELENGTH.view(Labelled), WAVELENGTH)))


def test_the_unit_of_orders_is_that_of_the_whole():
    # 1400 Angstrom alone would be taken for nm.
    wavelength = np.r_[1400.0:1450.0:0.25, 1440.0:1900.0:0.25]
    spectrum = read_spectrum((wavelength, wavelength))
    assert spectrum.wavelength[0] == 1400.0


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (("source_id", "solution_id", "ra"), "a catalog or a table of labels"),
        (("TIME", "SAP_FLUX", "SAP_FLUX_ERR"), "a light curve"),
    ],
)
def test_fits_tables_of_something_else_are_named(names, what):
    table = Table([WAVELENGTH] * 3, names=names)
    stream = io.BytesIO()
    table.write(stream, format="fits")
    with pytest.raises(SpectrumError, match=f"looks like {what}"):
        read_spectrum(stream.getvalue())
    with pytest.raises(SpectrumError, match="key 'flux=ra'"):
        read_spectrum(stream.getvalue(), key="flux=ra")


@pytest.mark.parametrize("option", [{"hdu": 1}, {"key": "flux"}])
@pytest.mark.parametrize("source", [(WAVELENGTH, WAVELENGTH), np.stack([WAVELENGTH, WAVELENGTH])])
def test_what_chooses_within_a_file_is_no_option_of_arrays(source, option):
    with pytest.raises(SpectrumError, match="chooses within a file"):
        read_spectrum(source, **option)


NAMES = {
    "wave_vac": ("vacuum", "barycentric"), "LAMBDA_VAC_BARY": ("vacuum", "barycentric"),
    "vacwave": ("vacuum", "barycentric"), "wavelength (vacuum)": ("vacuum", "barycentric"),
    "Wave (air, A)": ("air", "barycentric"), "airwave": ("air", "barycentric"),
    "wave_rest": ("air", "rest"), "lambda_topo": ("air", "topocentric"),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["csv", "fits"])
def test_names_say_medium_and_frame(name, form):
    if form == "fits":
        table = fits.BinTableHDU(Table({name: WAVELENGTH, "flux": WAVELENGTH}))
        spectrum = read_spectrum(layouts.as_bytes(fits.PrimaryHDU(), table))
    else:
        quoted = f'"{name}","flux"'
        spectrum = read_spectrum(text(quoted, WAVELENGTH, WAVELENGTH))
    assert (spectrum.medium, spectrum.frame) == NAMES[name]
    assert not any(f"medium: {spectrum.medium}, the custom" in note
                   for note in spectrum.meta["assumed"]) or spectrum.medium == "air"  # fmt: skip


@pytest.mark.parametrize("names", [("flux1", "flux2"), ("FLUX_A", "FLUX_B"), ("star1", "star2")])
@pytest.mark.parametrize("form", ["csv", "fits"])
def test_two_stars_in_two_columns_are_to_be_chosen_from(names, form):
    one, two = names
    if form == "fits":
        table = fits.BinTableHDU(Table({"WAVE": WAVELENGTH, one: WAVELENGTH, two: SPIKED}))
        data = layouts.as_bytes(fits.PrimaryHDU(), table)
    else:
        data = text(f"wave,{one},{two}", WAVELENGTH, WAVELENGTH, SPIKED)
    with pytest.raises(SpectrumError, match=rf"any of {one}, {two} could be the flux.*key="):
        read_spectrum(data)
    assert_flux(read_spectrum(data, key=f"flux={two}"), SPIKED)


def assert_flux(spectrum, expected):
    np.testing.assert_array_equal(spectrum.flux, expected)


@pytest.mark.parametrize(
    ("name", "unit"), [("logflux", None), ("FLUX", "log(erg/s/cm2)"), ("FLUX", "mag")]
)
def test_flux_on_a_logarithmic_scale_is_refused(name, unit):
    table = fits.BinTableHDU(Table({"WAVE": WAVELENGTH, name: WAVELENGTH}))
    if unit:
        table.header["TUNIT2"] = unit
    with pytest.raises(SpectrumError, match="a logarithm; expected flux on a linear scale"):
        read_spectrum(layouts.as_bytes(fits.PrimaryHDU(), table))


@pytest.mark.parametrize(
    "hdus",
    [
        [fits.BinTableHDU(Table({"x": WAVELENGTH, "y": WAVELENGTH, "yerr": 0.01 * WAVELENGTH}))],
        [fits.BinTableHDU(Table({"WL": WAVELENGTH, "FX": WAVELENGTH}))],
        [fits.TableHDU(Table({"WAVE": WAVELENGTH, "FLUX": WAVELENGTH}).as_array())],
        [fits.ImageHDU(WAVELENGTH), fits.ImageHDU(WAVELENGTH)],
        [fits.ImageHDU(np.array([WAVELENGTH, WAVELENGTH]))],
        [fits.ImageHDU(np.array([WAVELENGTH, WAVELENGTH, 0.01 * WAVELENGTH]).T)],
    ],
    ids=["x and y", "unknown names", "table of text", "two images", "rows", "columns"],
)
def test_fits_without_names_is_read_by_its_content(hdus):
    spectrum = read_spectrum(layouts.as_bytes(fits.PrimaryHDU(), *hdus))
    np.testing.assert_allclose(spectrum.flux, spectrum.wavelength)
    np.testing.assert_allclose(spectrum.wavelength, WAVELENGTH)


def test_votable():
    table = Table({"spectral": WAVELENGTH / 10, "light": WAVELENGTH, "id": np.arange(N)})
    table["spectral"].unit = "nm"
    table["spectral"].meta["ucd"], table["light"].meta["ucd"] = "em.wl;obs.atmos", "phot.flux"
    stream = io.BytesIO()
    table.write(stream, format="votable")
    spectrum = read_spectrum(stream.getvalue())
    np.testing.assert_allclose(spectrum.flux, spectrum.wavelength)
    assert spectrum.medium == "air"


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"WAVELENGTH": SCATTERED, "LOGGF": SCATTERED, "INTENSITY": SCATTERED}, "a line list"),
        ({"WAVELENGTH": WAVELENGTH, "TRANSMISSION": WAVELENGTH}, "no spectrum found"),
    ],
)
def test_tables_over_wavelength_that_are_no_spectra(columns, words):
    data = layouts.as_bytes(fits.PrimaryHDU(), fits.BinTableHDU(Table(columns)))
    with pytest.raises(SpectrumError, match=words):
        read_spectrum(data)


def test_a_smooth_continuum_is_no_wavelength():
    table = Table(
        {
            "flux": RNG.normal(9.0, 1.0, N),
            "ivar": np.ones(N),
            "continuum": 900.0 - 0.1 * np.arange(N),
        }
    )
    with pytest.raises(SpectrumError, match="looks like wavelengths"):
        read_spectrum(table)


def test_a_velocity_of_the_header_may_be_a_quantity():
    meta = {"SPECSYS": "TOPOCENT", "BERV": 12500.0 * units.m / units.s}
    assert read_spectrum(Table({"wave": WAVELENGTH, "flux": WAVELENGTH}, meta=meta)).berv == 12.5


def test_several_spectra_in_a_votable_are_refused():
    from astropy.io.votable import from_table

    first, second = (from_table(Table({"wavelength": WAVELENGTH, "flux": SPIKED})) for _ in "ab")
    first.resources[0].tables.append(second.resources[0].tables[0])
    stream = io.BytesIO()
    first.to_xml(stream)
    with pytest.raises(SpectrumError, match="2 tables"):
        read_spectrum(stream.getvalue())
