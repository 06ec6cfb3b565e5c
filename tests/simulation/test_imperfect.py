"""Faults of real spectra: their size, and that they follow from the seed."""

from dataclasses import replace

import numpy as np
import pytest

from latentscope.simulation.imperfect import exposed, faults, wrong_lines
from latentscope.simulation.lines import atomic_lines, molecular_lines
from latentscope.simulation.population import HARPS, observe
from latentscope.simulation.simulate import simulate
from latentscope.spectra.spectrum import Spectrum

LINES = atomic_lines() + molecular_lines()


def test_strengths_scatter_as_lists_do_and_lines_are_missing_or_elsewhere():
    wrong = wrong_lines(LINES, np.random.default_rng(1))
    assert len(wrong) == pytest.approx(0.9 * len(LINES), rel=0.01)
    # Lines that are where they were, by wavelength and level.
    listed = dict(
        zip(zip(LINES.wavelength, LINES.excitation, strict=True), LINES.loggf, strict=True)
    )
    keys = zip(wrong.wavelength, wrong.excitation, strict=True)
    offset = np.array(
        [now - listed.get(key, np.nan) for key, now in zip(keys, wrong.loggf, strict=True)]
    )
    same = np.isfinite(offset)
    assert same.mean() == pytest.approx(0.9, abs=0.01)
    atoms = same & (wrong.z < 100)
    # Half 0.1 and half 0.3 dex, and what all lines of an ion or of a region share.
    assert np.std(offset[atoms]) == pytest.approx(np.sqrt((0.1**2 + 0.3**2) / 2 + 0.03), abs=0.06)
    assert np.std(offset[same & (wrong.z == 607)]) < 0.2


def test_a_list_of_size_zero_is_the_list():
    same = wrong_lines(LINES, np.random.default_rng(1), 0.0)
    np.testing.assert_array_equal(same.wavelength, LINES.wavelength)
    np.testing.assert_array_equal(same.loggf, LINES.loggf)


def test_faults_differ_from_star_to_star_and_spare_the_labels():
    observation = observe(0, 0, 1)
    drawn = [faults(LINES, observation, np.random.default_rng(seed)) for seed in range(200)]
    powers = np.log([seen.night.resolution for _, _, seen in drawn])
    assert np.std(powers) == pytest.approx(0.06, rel=0.2)
    assert 0.08 < np.mean([seen.night.airmass == 0 for _, _, seen in drawn]) < 0.25
    assert all(0 < physics.floor <= 0.3 for _, physics, _ in drawn)
    assert all(seen.star == observation.star for _, _, seen in drawn)


def test_read_out_noise_drowns_a_faint_spectrum_and_no_bright_one():
    wavelength = np.linspace(4500.0, 4600.0, 10_000)
    flat = Spectrum(wavelength, np.full(10_000, 50.0, np.float32))
    for snr, low, high in ((5.0, 0.15, 0.6), (300.0, 0.0, 0.03)):
        seen = exposed(flat, replace(observe(0, 0, 1), snr=snr), np.random.default_rng(2))
        noise = 1.48 * np.median(np.abs(seen.flux - np.median(seen.flux))) / 50.0
        assert low < noise < high


def test_cool_stars_have_emission_cores():
    star = replace(observe(0, 0, 1).star, teff=4500.0, rv=0.0)
    wavelength = np.linspace(3900.0, 4000.0, 10_000)
    flat = Spectrum(wavelength, np.full(10_000, 1.0, np.float32))
    heights = []
    for seed in range(40):
        seen = exposed(
            flat, replace(observe(0, 0, 1), star=star, snr=1e5), np.random.default_rng(seed)
        )
        heights.append(
            np.median(seen.flux[np.abs(wavelength - 3933.66) < 0.05]) - np.median(seen.flux)
        )
    assert 0.05 < np.median(heights) < 0.5


def test_imperfect_spectra_follow_from_the_seed():
    faulty = replace(HARPS, imperfect=True)
    one, same = (next(simulate(1, seed=3, repeats=False, population=faulty)) for _ in range(2))
    np.testing.assert_array_equal(one[0].flux, same[0].flux)
    perfect, labels = next(simulate(1, seed=3, repeats=False))
    assert labels == one[1]
    assert (
        0.005 < np.std(one[0].flux / perfect.flux.mean() - perfect.flux / perfect.flux.mean()) < 1
    )
