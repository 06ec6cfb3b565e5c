"""Outliers are odd in the one way that their name says."""

import numpy as np
import pytest

from benchmarks.outliers import (
    active_star,
    auc,
    galaxy,
    kinds,
    nebula,
    noise_only,
    ordinary,
    resolution_of,
    wrong_medium,
)
from latentscope.spectra.oxygen import resolving_power
from latentscope.spectra.wavelength import SPEED_OF_LIGHT


@pytest.fixture(scope="module")
def star():
    return next(iter(ordinary(1, seed=2, linelist=None)))


def rng():
    return np.random.default_rng(0)


def test_the_wrong_medium_is_a_shift_to_the_red(star):
    spoiled = wrong_medium(star, rng())
    shift = SPEED_OF_LIGHT * (spoiled.wavelength / star.wavelength - 1)
    assert spoiled.medium == "air"
    assert 82 < shift.min() < shift.max() < 86
    np.testing.assert_array_equal(spoiled.flux, star.flux)


@pytest.mark.parametrize("power", [40_000, 20_000])
def test_a_resolution_is_measured_as_it_was_made(star, power):
    spoiled = resolution_of(power)(star, rng())
    assert resolving_power(spoiled) == pytest.approx(power, rel=0.1)


@pytest.mark.parametrize("name", ["R = 20,000", "planetary nebula", "galaxy"])
def test_noise_stays_that_of_the_exposure(star, name):
    made = kinds(None)[name]
    one, other = (made(star, np.random.default_rng(seed)) for seed in (1, 1))
    np.testing.assert_array_equal(one.flux, other.flux)
    some = slice(200_000, 201_000)
    difference = np.diff(one.flux[some].astype(float), 2) / np.sqrt(6)
    level = np.median(one.flux[star.flux != 0])
    expected = np.sqrt(np.median(one.flux[some]) * np.median(star.flux[star.flux != 0]))
    assert level > 0
    assert difference.std() == pytest.approx(expected / star.meta["snr"], rel=0.25)


def test_the_gap_stays_empty(star):
    for made in kinds(None).values():
        spoiled = made(star, rng())
        assert len(spoiled) == len(star)
        assert (spoiled.flux[star.flux == 0] == 0).all()


def test_emission_lies_where_the_lines_are(star):
    spoiled = active_star(star, rng())
    excess = spoiled.flux - star.flux
    at = star.wavelength[np.argmax(excess)]
    assert at == pytest.approx(6562.8, abs=3)
    assert np.median(excess) == 0
    shining = nebula(star, rng())
    assert star.wavelength[np.argmax(shining.flux)] == pytest.approx(5006.8, abs=4)


def test_noise_has_no_star_and_a_galaxy_has_the_air(star):
    noise = noise_only(star, rng()).flux[star.flux != 0]
    assert noise.std() == pytest.approx(1, rel=0.02)
    assert resolving_power(galaxy(None)(star, rng())) == pytest.approx(115_000, rel=0.15)


def test_auc_of_known_cases():
    assert auc(np.array([0.5, 0.6]), np.array([0.1, 0.2, 0.3])) == 1
    assert auc(np.array([0.5, 0.5]), np.array([0.5])) == 0.5
    assert auc(np.array([0.1]), np.array([0.5])) == 0
