"""Keywords: object, velocities, airmass, SNR, medium, frame; fallbacks, sentinels, broken cards."""

import io

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.errors import SpectrumError
from latentscope.spectra.headers import Header, Keywords, describe
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
        ("MEDIUM", "Vacuum", "vacuum"),
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


def test_a_comment_of_the_column_says_the_medium():
    hdus = fits.open(io.BytesIO(layouts.adp(ucd="em.wl")))
    hdus[1].header["TCOMM1"] = "wavelength in air"
    spectrum = read_spectrum(layouts.as_bytes(*hdus))
    assert (spectrum.medium, spectrum.meta["assumed"]) == ("air", [])


@pytest.mark.parametrize(
    ("keywords", "medium"),
    [
        ({"CUNIT1": "Angstrom (vacuum)"}, "vacuum"),
        ({"CUNIT1": "nm, air", "CRVAL1": 500.0, "CDELT1": 0.01}, "air"),
        ({"CTYPE1": "WAVE-VAC"}, "vacuum"),
        ({"CTYPE1": ("WAVE", "air wavelength")}, "air"),
        ({"CRVAL1": (5000.0, "vac. wavelength of the first pixel")}, "vacuum"),
        ({"WAT1_001": 'wtype=linear label="Vacuum wavelength" units=angstroms'}, "vacuum"),
        ({"CRVAL1": (5000.0, "no air mass, not in vacuum")}, None),
        ({"CTYPE1": ("LINEAR", "vacuum or air"), "MEDIUM": "high"}, None),
        ({"CRVAL1": (5000.0, "at air_mass 1.2")}, None),
        ({"AIRVAC": 1, "WAVETYPE": True, "VACAIR": "vac2air"}, None),
    ],
)
def test_words_about_the_axis_say_the_medium(keywords, medium):
    axis = {"CRVAL1": 5000.0, "CDELT1": 0.1, "CUNIT1": "Angstrom"}
    spectrum = read_spectrum(layouts.image(range(400), **(axis | keywords)))
    assert spectrum.medium == (medium or "air")
    assert spectrum.wavelength[-1] == pytest.approx(5039.9)
    assert any("medium" in note for note in spectrum.meta["assumed"]) == (medium is None)


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
        ("topo", "topocentric", 0),
        ("HELIO", "barycentric", 1),
        ("OBSERVER", "barycentric", 1),
    ],
)
def test_frame_of_specsys(specsys, frame, notes):
    spectrum = read_spectrum(layouts.adp(SPECSYS=specsys))
    assert spectrum.frame == frame
    assert len(spectrum.meta["assumed"]) == notes


def test_a_frame_that_moves_against_the_sun_is_refused():
    with pytest.raises(SpectrumError, match=r"SPECSYS = LSRK.*--frame barycentric"):
        read_spectrum(layouts.adp(SPECSYS="LSRK"))
    assert read_spectrum(layouts.adp(SPECSYS="LSRK"), frame="barycentric").frame == "barycentric"


def test_an_unknown_frame_leaves_the_customs():
    spectrum = read_spectrum(layouts.adp(SPECSYS="OBSERVER", BERV=11.5))
    assert (spectrum.frame, spectrum.berv) == ("topocentric", 11.5)
    assert any("'OBSERVER' is not one" in note for note in spectrum.meta["assumed"])


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


@pytest.mark.parametrize(
    ("cards", "mjd"),
    [
        # The same moment: MJD 56010.35955534 is the start of a HARPS exposure.
        ({"MJD-OBS": 56010.35955534, "DATE-OBS": "1999-01-01T00:00:00"}, 56010.35955534),
        ({"DATE-OBS": "2012-03-24T08:37:45.581"}, 56010.35955534),
        ({"DATE-OBS": "2012-03-24T08:37:45Z"}, 56010.359549),
        ({"MJD-OBS": -1.0, "ESO DRS BJD": 2456010.86201873}, 56010.36201873),
        ({"DATE-OBS": "2012-03-24"}, None),
        ({"DATE-OBS": "2012-13-44T99:99:99"}, None),
        ({"MJD-OBS": 0.0, "DATE-OBS": "24/03/99"}, None),
    ],
)
def test_the_date_is_the_keyword_or_what_others_come_to(cards, mjd):
    found = describe(Keywords([Header({}, cards)]), None).get("mjd")
    assert found == (None if mjd is None else pytest.approx(mjd, abs=1e-6))


def test_how_it_was_observed():
    cards = {"INSTRUME": "HARPS", "ESO INS MODE": "EGGS", "ESO OBS PROG ID": "183.C-0437(A)",
             "EXPTIME": 900.0007}  # fmt: skip
    found = describe(Keywords([Header({}, cards)]), None)
    assert (found["instrument"], found["mode"], found["program"], found["exptime"]) == (
        "HARPS", "EGGS", "183.C-0437(A)", 900.0007,
    )  # fmt: skip
    unknown = describe(Keywords([Header({}, {"EXPTIME": 0.0, "ESO INS MODE": "N/A"})]), None)
    assert not {"exptime", "mode", "program"} & set(unknown)


@settings(max_examples=60)
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


AXIS = {"CRVAL1": 5000.0, "CDELT1": 0.01, "CRPIX1": 1.0, "CUNIT1": "Angstrom"}


def plain(**keywords):
    """A merged spectrum of an unnamed pipeline."""
    return layouts.image(layouts.linear_grid(), **AXIS, **keywords)


def motion(data):
    spectrum = read_spectrum(data)
    assert_flux_is_wavelength(spectrum)
    note = "; ".join(note for note in spectrum.meta["assumed"] if note.startswith("frame"))
    return spectrum.frame, spectrum.berv, spectrum.rv, note


@pytest.mark.parametrize(
    ("keywords", "berv"),
    [
        ({"ESO_QC_VRAD_BARYCOR": 17.25}, 17.25),
        ({"BCV": -11.5}, -11.5),
        ({"BARYCORR": 11.5}, 11.5),
        ({"BARYCORR": (11500.0, "[m/s] barycentric correction")}, 11.5),
        ({"BARYCORR": (11.5, "[m/s] barycentric correction")}, 0.0115),
        ({"BARYCORR": -11500.0}, -11.5),
        ({"VHELIO": (11500.0, "meters per second")}, 11.5),
        ({"VHELIO": (11.5, "km.s-1, from s")}, 11.5),
        ({"VHELIO": (11500.0, "[ms-1]")}, 11.5),
        ({"VHELIO": (11500.0, "in ms^-1")}, 11.5),
        ({"VHELIO": (11.5, "kms-1, every 3 ms")}, 11.5),
        ({"BERV": 11.5, "HISTORY": "RV corrected for BERV"}, 11.5),
        ({"BERV": 11.5, "HISTORY": "template shifted by BERV"}, 11.5),
        ({"BERV": 11.5, "FRAME": "Observation"}, 11.5),
        ({"BERV": 11.5, "FRAME": "Solar"}, 11.5),
        ({"BARY_VEL": 11.5}, 11.5),
        ({"BERV": 11.5, "HELIUM": True, "BERVDONE": False}, 11.5),
        ({"VHELIO": (20.0, "km/s")}, 20.0),
        ({"VHELIO": 20.0, "VOBS": 0.0}, 20.0),
        ({"HCV": 20.0}, 20.0),
        ({"HELIO_RV": 20.0}, 20.0),
        ({"BCV": 11.5, "HCV": 11.4, "VHELIO": 11.3}, 11.5),
        ({"BCV": 11.5, "COMMENT": "BCV: heliocentric velocity correction in km/s"}, 11.5),
        ({"BCV": 11.5, "HISTORY": "Not corrected for barycentric motion"}, 11.5),
        ({"BCV": 11.5, "HISTORY": "flux calibrated; corrected for blaze"}, 11.5),
        ({"BCV": 11.5, "HISTORY": "HJD: heliocentric correction applied"}, 11.5),
        ({"BCV": 11.5, "HISTORY": "heliocentric correction to be applied"}, 11.5),
    ],
)
def test_a_correction_that_no_word_says_was_applied_was_not(keywords, berv):
    frame, found, rv, note = motion(plain(**keywords))
    assert (frame, rv) == ("topocentric", None)
    assert found == pytest.approx(berv, abs=1e-12)
    assert "--frame" in note


@pytest.mark.parametrize(
    "keywords",
    [
        {"BCV": 11.5, "HISTORY": "Corrected for heliocentric motion (V_HELIO)"},
        {"BCV": 11.5, "COMMENT": "Barycentric correction applied by the pipeline"},
        {"VHELIO": 11.5, "COMMENT": "wavelengths in the heliocentric frame"},
        {"BARYCORR": 11.5, "HELCORR": "COMPLETE"},
        {"HELIO_RV": 11.5, "TELESCOP": "SDSS 2.5-M"},
        {"HELIO_RV": 11.5, "TELESCOP": "LAMOST"},
        {"HELIO_RV": 11.5, "HELIO": True},
        {"VHELIO": 12.3, "HELCORR": True},
        {"BERV": 11.5, "BARYCORR": True, "HELIO": False},
        {"BERV": 11.5, "HELIO": False, "BARYCORR": True},
        {"BERV": 11.5, "BERVDONE": True, "HELIODON": False},
        {"BERV": 11.5, "HELIODON": False, "BERVDONE": True},
        {"BCORRECT": False},
        {"BARYEFF": 11.5},
        {"BERV": 11.5, "BERVDONE": True},
        {"BERV": 11.5, "HISTORY": "BERV correction applied"},
        {"BERV": 11.5, "HISTORY": "corrected for the Earth's motion"},
        {"BERV": 11.5, "HISTORY": "wavelengths are barycentric"},
        {"BERV": 11.5, "FRAME": "barycentric"},
        {"BCV": 11.5, "SPECSYS": "BARYCENT"},
        {"BCV": 0.0},
        {"BCV": -9999.0},
        {"BCV": 9999.9},
        {"VHELIO": 85.0},
        {},
    ],
)
def test_corrected_spectra_and_silent_ones_stay_barycentric(keywords):
    assert motion(plain(**keywords))[0] == "barycentric"


def test_the_history_of_a_specutils_object_counts_too():
    specutils = pytest.importorskip("specutils")
    header = fits.Header({"BCV": 11.5, "HISTORY": "dark subtracted, not flat-fielded"})
    axis, flux = layouts.linear_grid() * units.AA, np.full(500, 1e-20, "f4") * units.Jy
    error = StdDevUncertainty(np.full(500, 1e-22, "f4"))
    kind = getattr(specutils, "Spectrum", None) or specutils.Spectrum1D
    for frame in ("topocentric", "barycentric"):
        source = kind(spectral_axis=axis, flux=flux, uncertainty=error, meta={"header": header})
        spectrum = read_spectrum(source)
        assert spectrum.frame == frame
        np.testing.assert_allclose(spectrum.ivar, 1e44, rtol=1e-6)
        header["HISTORY"] = "corrected to heliocentric"


def test_a_frame_that_is_said_in_a_plain_word_counts():
    assert motion(plain(BERV=11.5, FRAME="observed"))[0] == "topocentric"
    assert motion(plain(BERV=11.5, FRAME="rest frame"))[0] == "rest"
    for word in ("FK5", "Observation", "Solar"):
        assert "BERV gives" in motion(plain(BERV=11.5, FRAME=word))[3]


def test_what_the_pipelines_of_the_vlt_leave_is_topocentric_even_without_a_velocity():
    assert motion(plain(INSTRUME="UVES", ESO_PRO_CATG="RED_SCI_POINT_BLUE"))[:2] == (
        "topocentric",
        None,
    )
    assert motion(plain(INSTRUME="UVES"))[0] == "barycentric"


def test_vhelio_beside_vobs_is_the_velocity_of_the_star():
    assert motion(plain(VHELIO=85.0, VOBS=70.0))[:3] == ("topocentric", 15.0, 85.0)


@pytest.mark.parametrize("key", ["RADVEL", "ESO TEL TARG RADVEL", "ESO DRS CCF RVC"])
def test_a_velocity_of_exactly_zero_is_not_measured(key):
    assert motion(plain(**{key.replace(" ", "_"): 0.0}))[2] is None
    assert motion(plain(**{key.replace(" ", "_"): 1.5}))[2] == 1.5


@pytest.mark.parametrize("berv", [0.0, 9.0, -9.9, 9.99])
def test_any_velocity_of_the_earth_counts_in_the_keyword_of_a_pipeline(berv):
    assert motion(layouts.s1d_image(ESO_DRS_BERV=berv))[:2] == ("barycentric", berv)
    assert motion(plain(BCV=berv))[1] == (berv or None)


def test_a_velocity_in_meters_per_second_is_told_by_its_comment():
    assert motion(plain(RADVEL=(-7400.0, "[m/s] of the star")))[2] == pytest.approx(-7.4)
    assert motion(plain(RADVEL=(-74.0, "[km/s] of the star")))[2] == -74.0
    assert motion(plain(RADVEL=-740.0))[2] == -740.0


@pytest.mark.parametrize("rvc", [{}, {"ESO_DRS_CCF_RVC": -7.1}, {"ESO_DRS_CCF_RVC": -22.7}])
def test_an_s1d_that_iraf_shifted_is_at_rest(rvc):
    frame, berv, rv, note = motion(layouts.s1d_image(DOPCOR01="-7.04619 all", **rvc))
    measured = rvc.get("ESO_DRS_CCF_RVC") == -7.1
    assert (frame, berv, rv) == ("rest", -12.5, -7.1 if measured else None)
    assert "DOPCOR" in note
    assert ("-22.7" in note) == (rvc.get("ESO_DRS_CCF_RVC") == -22.7)


@pytest.mark.parametrize(
    ("line", "frame"),
    [
        ("Spectrum shifted to the rest frame with rv = -7.2", "rest"),
        ("wavelengths corrected to rest", "rest"),
        ("wavelengths are in the rest frame", "rest"),
        ("not shifted to the rest frame", "barycentric"),
        ("the rest was corrected for blaze", "barycentric"),
        ("equivalent widths of the rest frame", "barycentric"),
    ],
)
def test_words_of_the_header_tell_of_rest(line, frame):
    for keyword in ("HISTORY", "COMMENT"):
        found, _, rv, note = motion(plain(RADVEL=-7.2, BARYEFF=3.0, **{keyword: line}))
        assert (found, rv) == (frame, -7.2)
        assert (line[:20] in note) == (frame == "rest")


def test_a_shift_by_nothing_is_none():
    assert motion(layouts.s1d_image(DOPCOR01="0. all"))[::2] == ("barycentric", None)


def test_shifts_by_iraf_add_up_and_may_be_redshifts():
    shifts = {"DOPCOR01": "10. all", "DOPCOR02": "-162. all"}
    frames = [motion(plain(RADVEL=velocity, **shifts))[0] for velocity in (-151.5, -140.0)]
    assert frames == ["rest", "rest"]
    found = [motion(plain(BCV=velocity, DOPCOR01="1e-4 all"))[0] for velocity in (-29.98, -25.0)]
    assert found == ["barycentric", "rest"]


@pytest.mark.parametrize(
    ("keywords", "frame", "rv"),
    [
        ({"BCV": 11.5, "DOPCOR01": "-11.5 all"}, "barycentric", None),
        ({"BCV": 11.5, "DOPCOR01": "-31.5 all"}, "rest", None),
        ({"RADVEL": -20.0, "DOPCOR01": "-20.5 all"}, "rest", -20.0),
        ({"RADVEL": -20.0, "DOPCOR01": "-25. all"}, "barycentric", -20.0),
        ({"DOPCOR01": "-162. all"}, "rest", None),
        ({"DOPCOR01": "all"}, "barycentric", None),
        ({"SPECSYS": "TOPOCENT", "BCV": 11.5, "DOPCOR01": "-11.5 all"}, "barycentric", None),
        ({"SPECSYS": "SOURCE", "DOPCOR01": "-11.5 all"}, "rest", None),
        ({"SPECSYS": "BARYCENT", "BCV": 11.5, "DOPCOR01": "-11.5 all"}, "barycentric", None),
        ({"SPECSYS": "BARYCENT", "BCV": 11.5, "DOPCOR01": "-20. all"}, "rest", None),
        ({"SPECSYS": "HELIOCEN", "DOPCOR01": "-11.5 all"}, "barycentric", None),
        ({"SPECSYS": "HELIOCEN", "DOPCOR01": "-80. all"}, "rest", None),
        ({"SPECSYS": "BARYCENT", "DOPCOR01": "-8. all"}, "barycentric", None),
        ({"SPECSYS": "TOPOCENT", "ESO_DRS_BERV": 5.0, "DOPCOR01": "-8. all"}, "rest", None),
        ({"BCV": 11.5, "RADVEL": -20.0, "DOPCOR01": "-20.0 all"}, "rest", -20.0),
        ({"BCV": 11.5, "RADVEL": -20.0, "DOPCOR01": "-31.5 all"}, "rest", -20.0),
    ],
)
def test_what_a_shift_by_iraf_did_is_told_by_the_known_velocities(keywords, frame, rv):
    found = motion(plain(**keywords))
    assert (found[0], found[2]) == (frame, rv)
    assert ("DOPCOR" in found[3]) == (keywords["DOPCOR01"] != "all")


def test_the_frame_asked_for_leaves_the_star_its_velocity():
    data = layouts.s1d_image(DOPCOR01="-7.04619 all", ESO_DRS_CCF_RVC=-7.1)
    spectrum = read_spectrum(data, frame="barycentric")
    assert (spectrum.frame, spectrum.rv) == ("barycentric", -7.1)


@pytest.mark.parametrize(
    ("keywords", "medium"),
    [
        ({"DMODCLS": "OneSpec"}, "vacuum"),
        ({"TELESCOP": "HST", "INSTRUME": "STIS"}, "vacuum"),
        ({"TELESCOP": "HST", "AIRORVAC": "AIR"}, "air"),
        ({"INSTRUME": "DESI"}, "vacuum"),
        ({"INSTRUME": "HARPS"}, "air"),
        ({"INSTRUME": "XSHOOTER", "ESO_PRO_CATG": "SCI", "CTYPE1": "WAVE"}, "air"),
        ({"INSTRUME": "OTHER", "CTYPE1": "WAVE"}, "vacuum"),
        ({}, "air"),
    ],
)
def test_the_medium_by_custom_of_a_pipeline(keywords, medium):
    assert read_spectrum(plain(**keywords)).medium == medium


@pytest.mark.parametrize(
    ("start", "medium"), [(15000.0, "vacuum"), (9600.0, "vacuum"), (9000.0, "air"), (3000.0, "air")]
)
def test_the_near_infrared_is_in_vacuum(start, medium):
    data = layouts.image(np.ones(400), CRVAL1=start, CDELT1=5.0, CUNIT1="Angstrom")
    spectrum = read_spectrum(data)
    assert spectrum.medium == medium
    assert any(note.startswith(f"medium: {medium}") for note in spectrum.meta["assumed"])
    stated = layouts.image(np.ones(400), CRVAL1=start, CDELT1=5.0, CUNIT1="Angstrom", CTYPE1="AWAV")
    assert read_spectrum(stated).medium == "air"


def test_velocities_that_the_earth_cannot_have():
    axis = {"CRVAL1": 5000.0, "CDELT1": 0.1, "CUNIT1": "Angstrom"}
    for velocity, berv in ((30.5, 30.5), (-35.0, None)):
        spectrum = read_spectrum(layouts.image(np.ones(400), VHELIO=velocity, **axis))
        assert spectrum.berv == berv
        assert spectrum.frame == ("barycentric" if berv is None else "topocentric")


def test_a_correction_of_something_else():
    axis = {"CRVAL1": 5000.0, "CDELT1": 0.1, "CUNIT1": "Angstrom", "BCV": 10.0}
    for history, frame in (
        ("flux corrected for extinction, barycentric correction computed", "topocentric"),
        ("spectrum corrected to the barycenter: barycentric", "barycentric"),
    ):
        spectrum = read_spectrum(layouts.image(np.ones(400), HISTORY=history, **axis))
        assert spectrum.frame == frame


def test_a_number_for_a_logical():
    axis = {"CRVAL1": 5000.0, "CDELT1": 0.1, "CUNIT1": "Angstrom"}
    for value, medium in ((1, "vacuum"), (0, "air"), (True, "vacuum")):
        assert read_spectrum(layouts.image(np.ones(400), VACUUM=value, **axis)).medium == medium


@pytest.mark.parametrize(
    ("history", "frame"),
    [
        ("shifted to the rest frame by -22.7 km/s", "rest"),
        ("barycentric correction removed", "topocentric"),
        ("barycentric velocity removed", "barycentric"),
        ("nothing of note", "barycentric"),
    ],
)
def test_what_was_done_to_a_drs_spectrum_afterwards(history, frame):
    spectrum = read_spectrum(layouts.s1d_image(ESO_DRS_BERV=12.0, HISTORY=history))
    assert (spectrum.frame, spectrum.berv) == (frame, 12.0)


@pytest.mark.parametrize(
    ("keywords", "frame"),
    [
        ({"BERVDONE": "YES"}, "barycentric"),
        ({"BERV_APP": "applied"}, "barycentric"),
        ({"HELCORR": "OMIT"}, "topocentric"),
        ({"HELIOCOR": "NO", "BCVCORR": "DONE"}, "barycentric"),
        ({"BARYCORR": "no"}, "topocentric"),
    ],
)
def test_words_switch_a_correction_as_logicals_do(keywords, frame):
    assert motion(plain(BERV=11.5, **keywords))[:2] == (frame, 11.5)


def test_a_velocity_with_its_unit_in_the_value():
    assert motion(plain(BERV="11.5 km/s"))[:2] == ("topocentric", 11.5)
    assert motion(plain(BERV="11500 m/s"))[:2] == ("topocentric", 11.5)


def test_an_axis_of_pixels_is_none_of_wavelengths():
    cut = {"CRVAL1": 1.0, "CDELT1": 1.0, "CRPIX1": -3000.0}
    for words in (
        {"CTYPE1": "PIXEL"},
        {"CTYPE1": "LINEAR", "WAT1_001": "wtype=linear label=Pixel"},
    ):
        with pytest.raises(SpectrumError, match="counts pixels"):
            read_spectrum(layouts.image(np.ones(400), **cut, **words))


@pytest.mark.parametrize("more", [{"CDELT1": 0.5}, {"CDELT1": 1.0, "CUNIT1": "Angstrom"}])
def test_an_axis_of_wavelengths_may_be_called_one_of_pixels(more):
    calibrated = {"CTYPE1": "PIXEL", "CRVAL1": 5000.0, "CRPIX1": 1.0, **more}
    spectrum = read_spectrum(layouts.image(np.ones(400), **calibrated))
    assert spectrum.wavelength[-1] == pytest.approx(5000.0 + 399 * more["CDELT1"])


def test_a_velocity_under_an_unknown_keyword_is_named():
    for keywords, said in (({"BERV_KMS": 11.5}, True), ({"BERVMX": 29.0}, False), ({}, False)):
        frame, berv, _, note = motion(plain(**keywords))
        assert (frame, berv) == ("barycentric", None)
        assert ("BERV_KMS = 11.5 means is not known" in note) is said


def test_a_first_wavelength_that_differs_from_that_of_sdss_is_noted():
    for start, notes in ((3.7, 0), (3.75, 1)):
        data = layouts.image(np.ones(400), COEFF0=3.7, COEFF1=1e-4, CRVAL1=start, CD1_1=1e-4)
        found = [note for note in read_spectrum(data).meta["assumed"] if "COEFF0" in note]
        assert len(found) == notes
