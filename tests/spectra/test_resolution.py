"""The resolving power that lines of the air show, on lines whose width is known."""

from dataclasses import replace

import numpy as np
import pytest

from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.summary import BAND, resolving_power
from latentscope.spectra.wavelength import air_to_vacuum

LINES = np.random.default_rng(3).uniform(6868.0, 6911.0, 40)


def band(power, *, step=0.01, noise=0.0, seed=0):
    """Gaussian lines of the width that an instrument of a resolving power gives them."""
    wavelength = np.arange(6500.0, 6912.3, step)
    sigma = 6890.0 / power / 2.3548
    depth = np.zeros(len(wavelength))
    for centre in LINES:
        depth += 0.4 * np.exp(-0.5 * ((wavelength - centre) / sigma) ** 2)
    flux = np.exp(-depth) * (1 + 1e-4 * (wavelength - 6700))
    flux += noise * np.random.default_rng(seed).normal(size=len(flux))
    return Spectrum(wavelength, flux)


@pytest.mark.parametrize("power", [100_000, 50_000, 25_000])
@pytest.mark.parametrize("step", [0.01, 0.02])
def test_the_width_of_known_lines_is_found(power, step):
    assert resolving_power(band(power, step=step)) == pytest.approx(power, rel=0.12)


def test_a_smoother_spectrum_has_a_lower_resolution():
    measured = [resolving_power(band(power)) for power in (120e3, 60e3, 30e3, 15e3, 7e3)]
    assert measured == sorted(measured, reverse=True)


def test_noise_does_not_make_lines_sharper():
    clean = resolving_power(band(60_000))
    noisy = [resolving_power(band(60_000, noise=0.05, seed=seed)) for seed in range(8)]
    assert np.median(noisy) == pytest.approx(clean, rel=0.06)


def test_the_unit_of_the_flux_does_not_matter():
    spectrum = band(50_000)
    scaled = replace(spectrum, flux=spectrum.flux * 1e-14)
    assert resolving_power(scaled) == pytest.approx(resolving_power(spectrum), rel=1e-9)


def test_vacuum_wavelengths_are_looked_up_in_vacuum():
    spectrum = band(50_000)
    vacuum = replace(spectrum, wavelength=air_to_vacuum(spectrum.wavelength), medium="vacuum")
    assert resolving_power(vacuum) == pytest.approx(resolving_power(spectrum), rel=0.01)


def test_a_few_lost_pixels_are_bridged_and_many_are_not():
    spectrum = band(50_000)
    inside = np.flatnonzero(spectrum.wavelength > BAND[0])
    flux = spectrum.flux.copy()
    flux[inside[100:105]] = np.nan
    flux[inside[300:302]] = 0.0
    mask = np.zeros(len(flux), bool)
    mask[inside[500:520]] = True
    mended = replace(spectrum, flux=flux, mask=mask)
    assert resolving_power(mended) == pytest.approx(resolving_power(spectrum), rel=0.03)
    flux[inside[: len(inside) // 5]] = 0.0
    assert np.isnan(resolving_power(replace(spectrum, flux=flux)))


@pytest.mark.parametrize(
    "spectrum",
    [
        replace(band(50_000), frame="rest"),
        Spectrum(np.arange(4000.0, 6880.0, 0.1), np.ones(28800)),
        Spectrum(np.arange(6000.0, 7000.0, 1.0), np.ones(1000)),
        Spectrum(np.arange(6800.0, 7000.0, 0.01), np.ones(20000)),
        Spectrum(np.arange(6800.0, 7000.0, 0.01), np.random.default_rng(0).normal(size=20000)),
    ],
    ids=["at rest", "not covered", "too coarse", "no lines", "noise alone"],
)
def test_where_nothing_can_be_measured_nothing_is_said(spectrum):
    assert np.isnan(resolving_power(spectrum))
