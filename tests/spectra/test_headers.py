"""Keywords: object, velocities, airmass, SNR, medium, frame; fallbacks, sentinels, broken cards."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.spectra.read import read_spectrum
from tests.spectra import fits_layouts as layouts
from tests.spectra.fits_layouts import assert_flux_is_wavelength


@pytest.mark.parametrize(
    ("ucd", "medium", "notes"),
    [("em.wl;obs.atmos", "air", 0), ("em.wl", "vacuum", 1), ("", "air", 1)],
)
def test_medium_of_the_ucd(ucd, medium, notes):
    spectrum = read_spectrum(layouts.adp(ucd=ucd))
    assert spectrum.medium == medium
    assert len(spectrum.meta["assumed"]) == notes


@pytest.mark.parametrize(
    ("key", "value", "medium"),
    [
        ("AIRORVAC", "air", "air"),
        ("AIRORVAC", "AIR", "air"),
        ("VACUUM", False, "air"),
        ("WAVEMED", "vacuum", "vacuum"),
    ],
)
def test_a_stated_medium_counts_before_an_inferred_one(key, value, medium):
    other = {"air": "WAVE", "vacuum": "AWAV"}[medium]
    axis = {"CTYPE1": other, "CRVAL1": 5000.0, "CDELT1": 0.1, "CUNIT1": "Angstrom"}
    sdss = {"COEFF0": 3.7, "COEFF1": 1e-4}
    for data in (
        layouts.image(range(400), **axis, **{key: value}),
        layouts.image(range(400), **sdss, **{key: value}),
        layouts.adp(ucd="em.wl", **{key: value}),
    ):
        spectrum = read_spectrum(data)
        assert spectrum.medium == medium
        assert not any("medium" in note for note in spectrum.meta["assumed"])


@pytest.mark.parametrize(
    "columns",
    [{"names": ("WAVE_VAC", "FLUX", "ERR", "QUAL"), "ucd": ""}, {"ucd": "em.wl;obs.atmos"}],
)
def test_the_columns_own_word_counts_before_the_keyword(columns):
    medium = "air" if "atmos" in columns["ucd"] else "vacuum"
    against = {"air": "VAC", "vacuum": "AIR"}[medium]
    assert read_spectrum(layouts.adp(**columns, AIRORVAC=against)).medium == medium


@pytest.mark.parametrize(
    ("specsys", "frame", "notes"),
    [
        ("TOPOCENT", "topocentric", 0),
        ("BARYCENT", "barycentric", 0),
        ("HELIOCEN", "barycentric", 1),
        ("SOURCE", "rest", 0),
        ("LSRK", "barycentric", 1),
    ],
)
def test_frame_of_specsys(specsys, frame, notes):
    spectrum = read_spectrum(layouts.adp(SPECSYS=specsys))
    assert spectrum.frame == frame
    assert len(spectrum.meta["assumed"]) == notes


def test_keywords_and_their_fallbacks():
    spectrum = read_spectrum(
        layouts.s1d_image(
            ESO_OBS_TARG_NAME="Proxima  Cen", ESO_TEL_AIRM_START=1.2, ESO_TEL_AIRM_END=1.4,
            ESO_DRS_SPE_EXT_SN0=1.0, ESO_DRS_SPE_EXT_SN1=50.0, ESO_DRS_SPE_EXT_SN2=90.0,
            ESO_TEL_TARG_RADVEL=-22.4, ORIGFILE="HARPS_0005.fits",
        )
    )  # fmt: skip
    assert spectrum.rv == -22.4
    assert spectrum.meta["rv_keyword"] == "ESO TEL TARG RADVEL"
    facts = {"object": "Gl 1", "star": "Proxima Cen", "airmass": 1.2, "snr": 50.0,
             "original_file": "HARPS_0005.fits", "flux_unit": "Relative Flux"}  # fmt: skip
    assert {key: spectrum.meta[key] for key in facts} == facts
    measured = layouts.s1d_image(ESO_DRS_CCF_RVC=-21.7, ESO_TEL_TARG_RADVEL=-22.4, SNR=12.0,
                                 ESO_DRS_SPE_EXT_SN1=50.0, AIRMASS=1.9)  # fmt: skip
    spectrum = read_spectrum(measured)
    assert spectrum.rv == -21.7
    assert (spectrum.meta["snr"], spectrum.meta["airmass"]) == (12.0, 1.9)
    assert spectrum.meta["star"] == "Gl 1"


@pytest.mark.parametrize("unknown", [-99999.0, 1e20, -9999.0, "n/a", "", True])
def test_sentinels_are_unknown(unknown):
    spectrum = read_spectrum(
        layouts.adp(ESO_DRS_BERV=unknown, ESO_DRS_CCF_RVC=unknown, SNR=unknown, AIRMASS=unknown,
                    ESO_TEL_TARG_RADVEL=0.0, OBJECT="N/A")
    )  # fmt: skip
    assert spectrum.rv is None
    assert spectrum.berv is None
    assert not {"snr", "airmass", "object", "star", "rv_keyword"} & set(spectrum.meta)


def test_a_sentinel_gives_way_to_the_next_keyword():
    data = layouts.adp(ESO_DRS_CCF_RVC=-99999.0, ESO_TEL_TARG_RADVEL=5.5, AIRMASS=-1.0,
                       ESO_TEL_AIRM_START=1.3)  # fmt: skip
    spectrum = read_spectrum(data)
    assert spectrum.rv == 5.5
    assert spectrum.meta["airmass"] == 1.3


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["SNR     ", "AIRMASS ", "OBJECT  ", "SPECSYS "]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=70),
)
def test_a_broken_keyword_never_fails_a_read(key, text):
    data = layouts.adp(SNR=9.0, AIRMASS=1.1)
    assert_flux_is_wavelength(read_spectrum(layouts.break_card(data, key, text)))


def test_archive_ids(tmp_path):
    stamped = layouts.adp(ARCFILE="ADP.2014-09-16T11:05:45.457.fits")
    assert read_spectrum(stamped).meta["archive_id"] == "ADP.2014-09-16T11:05:45.457"
    for name, expected in {
        "ADP.2014-09-16T11_05_45.457.fits": "ADP.2014-09-16T11:05:45.457",
        "r.ESPRE.2018-10-20T03:21:51.113_S1D_A.fits": "ESPRE.2018-10-20T03:21:51.113",
        "spectrum.fits": None,
    }.items():
        (tmp_path / name).write_bytes(layouts.adp())
        assert read_spectrum(tmp_path / name).meta.get("archive_id") == expected


def test_long_strings_go_on_in_continue_cards():
    name = "a & b " + "0123456789" * 20 + " o'clock"
    ends = "fifty & more &"
    data = layouts.adp(OBJECT=name, TARGNAME=ends, INSTRUME="X")
    assert b"CONTINUE" in data
    meta = read_spectrum(data).meta
    assert (meta["object"], meta["star"], meta["instrument"]) == (name, ends, "X")
