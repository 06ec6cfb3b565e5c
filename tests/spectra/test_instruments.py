"""Files of real instruments, each with what is right to read from it."""

import gzip
import io
import warnings

import numpy as np
import pytest
from astropy.io import fits

from latentscope.errors import SpectrumError
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.wavelength import SPEED_OF_LIGHT
from tests.spectra.instruments import LAYOUTS
from tests.spectra.judge import verdict


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name, tmp_path):
    answer, problems = verdict(LAYOUTS[name], tmp_path)
    assert not problems, f"{answer}: {'; '.join(problems)}"


# Ca I, Mg I, Fe I and Na I in air, Angstrom
LINES = (5172.684, 5183.604, 5269.537, 5371.490, 5405.775, 5895.924, 6122.217, 6162.173)


@pytest.mark.parametrize(
    ("file", "frame", "velocity"),
    [
        ("HARPS.2012-03-24T08:37:45.581_s1d_A.fits", "barycentric", -22.7),
        ("HARPS.2010-09-18T23:42:36.178_s1d_A.fits", "barycentric", -9.2),
        ("38vir_rest.fits", "rest", 0.0),
        ("hd140283.fits", None, 0.0),
    ],
)
def test_lines_of_real_files(file, frame, velocity, shared_data):
    spectrum = read_spectrum(shared_data / file)
    assert spectrum.medium == "air"
    assert spectrum.frame == (frame or spectrum.frame)
    found = []
    for line in LINES:
        near = np.flatnonzero(np.abs(spectrum.wavelength / line - 1) < 60 / SPEED_OF_LIGHT)
        core = near[np.argmin(spectrum.flux[near])] + np.arange(-3, 4)
        a, b, _ = np.polyfit(np.arange(-3, 4), spectrum.flux[core], 2)
        step = spectrum.wavelength[core[4]] - spectrum.wavelength[core[3]]
        center = spectrum.wavelength[core[3]] - b / (2 * a) * step
        found.append((center / line - 1) * SPEED_OF_LIGHT)
    assert np.median(found) == pytest.approx(velocity, abs=1.0)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_same_from_other_sources(name):
    data, truth = LAYOUTS[name].build()
    if truth.refused or not data.startswith(b"SIMPLE"):
        return
    expected = answer_to(data, truth.options)
    assert_same(answer_to(gzip.compress(data, 1), truth.options), expected)
    with fits.open(io.BytesIO(data)) as hdus:
        assert_same(answer_to(hdus, truth.options), expected)


def answer_to(source, options):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read_spectrum(source, **options)
    except SpectrumError as error:
        return error


def assert_same(answer, expected):
    assert type(answer) is type(expected), answer
    if isinstance(expected, SpectrumError):
        return
    for name in ("wavelength", "flux", "ivar", "mask"):
        np.testing.assert_array_equal(getattr(answer, name), getattr(expected, name))
    for name in ("medium", "frame", "rv", "berv"):
        assert getattr(answer, name) == getattr(expected, name)
