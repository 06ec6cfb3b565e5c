"""What `inspect` shows, and the resolving power that lines of the air show."""

import json
from dataclasses import replace

import numpy as np
import pytest

from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.summary import BAND, resolving_power, summarize
from latentscope.spectra.wavelength import Grid, air_to_vacuum
from tests.spectra import fits_layouts as layouts

CONFIG = PrepareConfig(Grid("linear", 5000.0, 0.01, 1000))


def test_summary_of_a_product():
    qual = np.zeros(500, int)
    qual[:50] = 1
    data = layouts.adp(qual=qual, SNR=42.0, ARCFILE="ADP.2014-09-16T11:05:45.457.fits")
    summary = summarize(read_spectrum(data), CONFIG)
    assert summary["format"] == "eso-phase3"
    assert (summary["medium"], summary["frame"]) == ("air", "barycentric")
    assert summary["first"] == 5000.0
    assert summary["last"] == pytest.approx(5004.99)
    assert summary["step"] == pytest.approx(0.01)
    assert summary["sampling"] == "linear"
    assert summary["finite"] == pytest.approx(0.9)
    assert summary["flux_median"] == pytest.approx(5002.745, abs=0.01)
    assert summary["coverage"] == pytest.approx(0.45)  # 450 good pixels of 1,000
    assert summary["snr"] == 42.0
    assert summary["archive_id"] == "ADP.2014-09-16T11:05:45.457"
    assert summary["assumed"] == []
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize(
    ("wavelength", "sampling"),
    [
        (5000 * np.exp(1e-5 * np.arange(300)), "log"),
        (5000 + np.linspace(0, 30, 300) ** 2, "irregular"),
    ],
)
def test_sampling(wavelength, sampling):
    assert summarize(Spectrum(wavelength, wavelength))["sampling"] == sampling


def test_without_model_and_off_its_grid():
    far = Spectrum(np.linspace(9000.0, 9100.0, 50), np.full(50, np.nan))
    assert summarize(far)["coverage"] is None
    assert summarize(far)["flux_median"] is None
    summary = summarize(far, CONFIG)
    assert summary["coverage"] == 0.0
    assert summary["coverage_error"]
    json.dumps(summary, allow_nan=False)


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
