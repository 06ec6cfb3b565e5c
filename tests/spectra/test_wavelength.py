"""Wavelength conversions against published line pairs, exact inverses and plain physics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscope.errors import SpectrumError
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import (
    SPEED_OF_LIGHT,
    air_to_vacuum,
    angstrom_per,
    convert,
    doppler_shift,
    logarithm_of,
    vacuum_to_air,
)

# Air and vacuum wavelengths (Angstrom): NIST ASD for atoms, the SDSS line list for the nebular
# lines, the metrological He-Ne laser.
LINE_PAIRS = {
    "Ca II K": (3933.663, 3934.777),
    "Ca II H": (3968.469, 3969.591),
    "H beta": (4861.333, 4862.691),
    "[O III]": (5006.843, 5008.240),
    "Na D2": (5889.951, 5891.583),
    "Na D1": (5895.924, 5897.558),
    "He-Ne": (6328.160, 6329.910),
    "H alpha": (6562.79, 6564.61),
    "[S II]": (6730.816, 6732.674),
}


@pytest.mark.parametrize("line", LINE_PAIRS)
def test_published_line_pairs(line):
    air, vacuum = LINE_PAIRS[line]
    tolerance = 0.012 if line in ("H alpha", "[O III]") else 0.005
    assert vacuum_to_air(vacuum) == pytest.approx(air, abs=tolerance)
    assert air_to_vacuum(air) == pytest.approx(vacuum, abs=tolerance)


@given(st.floats(2000.0, 30000.0))
def test_air_and_vacuum_undo_each_other(vacuum):
    assert abs(air_to_vacuum(vacuum_to_air(vacuum)) - vacuum) < 1e-9
    air = float(vacuum_to_air(vacuum))
    assert air < vacuum
    assert abs(vacuum_to_air(air_to_vacuum(air)) - air) < 1e-9 or air < 2000


def test_shape_and_nan_survive():
    wavelength = np.array([[4000.0, np.nan], [5000.0, 6000.0]])
    for change in (vacuum_to_air, air_to_vacuum):
        changed = change(wavelength)
        assert changed.shape == (2, 2)
        assert np.isnan(changed[0, 1])


def test_below_the_air_formula_is_an_error():
    with pytest.raises(SpectrumError, match=r"1999.*2000 Angstrom"):
        vacuum_to_air([1999.0, 3000.0])


@given(st.floats(-3000.0, 3000.0), st.floats(1000.0, 20000.0))
def test_doppler_is_exactly_invertible_and_near_the_classical_one(rv, wavelength):
    there = doppler_shift(wavelength, rv)
    assert doppler_shift(there, -rv) == pytest.approx(wavelength, rel=1e-15)
    beta = rv / SPEED_OF_LIGHT
    assert there / wavelength - 1 == pytest.approx(beta, abs=0.51 * beta**2 + 1e-15)


def test_doppler_sign_and_relativity():
    assert doppler_shift(5000.0, 30.0) > 5000.0
    assert doppler_shift(1.0, 0.6 * SPEED_OF_LIGHT) == pytest.approx(2.0, rel=1e-12)
    for rv in (SPEED_OF_LIGHT, -4e5, np.nan):
        with pytest.raises(SpectrumError, match="velocity"):
            doppler_shift(5000.0, rv)


def spectrum(**changes):
    wavelength = np.linspace(4000.0, 6000.0, 101)
    return Spectrum(wavelength, wavelength.copy(), **({"rv": 20.0, "berv": -7.0} | changes))


MEDIA, FRAMES = ("air", "vacuum"), ("topocentric", "barycentric", "rest")


@given(
    st.sampled_from(MEDIA), st.sampled_from(FRAMES), st.sampled_from(MEDIA), st.sampled_from(FRAMES)
)
def test_convert_there_and_back(medium, frame, to_medium, to_frame):
    start = spectrum(medium=medium, frame=frame)
    there = convert(start, to_medium, to_frame)
    assert (there.medium, there.frame) == (to_medium, to_frame)
    np.testing.assert_array_equal(there.flux, start.flux)
    back = convert(there, medium, frame)
    np.testing.assert_allclose(back.wavelength, start.wavelength, rtol=0, atol=1e-9)


def test_convert_moves_lines_the_right_way():
    start = spectrum(frame="topocentric")
    bary = convert(start, "air", "barycentric").wavelength
    np.testing.assert_allclose(bary, doppler_shift(start.wavelength, -7.0), rtol=1e-15)
    rest = convert(start, "air", "rest").wavelength
    np.testing.assert_allclose(rest, doppler_shift(bary, -20.0), rtol=1e-14)
    vacuum = convert(spectrum(), "vacuum", "barycentric").wavelength
    np.testing.assert_array_equal(vacuum, air_to_vacuum(start.wavelength))
    same = spectrum()
    assert convert(same, "air", "barycentric") is same


@pytest.mark.parametrize(("frame", "missing"), [("topocentric", "berv"), ("rest", "rv")])
def test_convert_without_the_velocity_says_which(frame, missing):
    blind = spectrum(**{missing: None}, meta={"file": "star.fits"})
    with pytest.raises(SpectrumError, match=rf"star\.fits: .*{missing} is unknown"):
        convert(blind, "air", frame)


@pytest.mark.parametrize(
    ("unit", "angstrom"),
    [
        ("Angstroms", 1), ("ANGSTROM ", 1), ("[Angstrom]", 1), ("(A)", 1), ("Ang.", 1),
        (r"\AA", 1), ("10^-10 m", 1), ("10**(-10) m", 1), ("0.1 nm", 1), ("Nanometres", 10),
        ("nm.", 10), ("um", 1e4), ("Micrometer", 1e4), ("microns", 1e4), ("km/s", None),
        ("ms", None), ("", None), ("inch", None), ("atm", None), ("Ångström", 1), ("A\u030a", 1),
        ("angtroms", 1), ("Angstron", 1), ("10**-9 m", 10), ("nm (vac)", 10), ("air", None),
        ("vacuum_Ang", 1), ("wavelength [nm]", 10), ("Angstrom/pixel", 1), ("in vacuum", None),
        ("10 nm", None),
    ],
)  # fmt: skip
def test_units_as_they_are_written(unit, angstrom):
    assert angstrom_per(unit) == angstrom


def test_logarithms_of_units():
    names = {"log(A)": "A", "ln nm": "nm", "LogAngstrom": "Angstrom", "log10 [um]": "um", "dex": ""}
    assert {name: logarithm_of(name)[1] for name in names} == names
    assert logarithm_of("Angstrom") is None
