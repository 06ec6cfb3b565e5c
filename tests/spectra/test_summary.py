"""What `inspect` shows, and the resolving power that lines of the air show."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from latentscope.spectra.oxygen import BAND, oxygen_depth, oxygen_lines, resolving_power
from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.summary import summarize
from latentscope.spectra.wavelength import Grid, air_to_vacuum, doppler_shift, vacuum_to_air
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


def band(power, *, step=0.01, noise=0.0, seed=0, airmass=1.2, velocity=0.0):
    """The O2 B band behind an instrument of a resolving power; velocity of the frame in km/s."""
    fine = np.arange(6840.0, 6925.0, 0.004)
    transmission = np.exp(-airmass * oxygen_depth(fine))
    seen = gaussian_filter1d(transmission, 6890.0 / power / 2.3548 / 0.004)
    wavelength = np.arange(6500.0, 6912.3, step)
    flux = np.interp(wavelength, fine * (1 + velocity / 299792.458), seen, left=1.0)
    flux *= 1 + 1e-4 * (wavelength - 6700)
    flux += noise * np.random.default_rng(seed).normal(size=len(flux))
    return Spectrum(wavelength, flux)


@pytest.mark.parametrize("power", [190_000, 115_000, 40_000, 10_000])
@pytest.mark.parametrize("step", [0.01, 0.02])
def test_the_power_of_an_instrument_is_found(power, step):
    for airmass, velocity in ((1.0, 0.0), (1.9, -29.0)):
        spectrum = band(power, step=step, airmass=airmass, velocity=velocity)
        assert resolving_power(spectrum) == pytest.approx(
            power, rel=0.06 if power < 150_000 else 0.15
        )


def test_lines_lie_where_a_spectrum_of_harps_has_them():
    """Minima of alpha Cen B in the observer's frame: P branches of the B band, N = 1 to 11."""
    centers = vacuum_to_air(1e8 / oxygen_lines()[0])
    for wavelength in (6883.83, 6886.74, 6889.90, 6893.31, 6896.04, 6896.96, 6899.95, 6900.87):
        assert abs(centers - wavelength).min() < 0.01


def test_a_band_that_no_instrument_saw_has_no_resolution():
    assert np.isnan(resolving_power(band(3_000_000, step=0.004)))


def test_lines_of_a_star_are_not_taken_for_the_air():
    rng = np.random.default_rng(5)
    wavelength = np.arange(6860.0, 6912.3, 0.01)
    depth = np.zeros(len(wavelength))
    for center in rng.uniform(6860, 6912, 60):
        depth += rng.exponential(0.5) * np.exp(-0.5 * ((wavelength - center) / 0.06) ** 2)
    assert np.isnan(resolving_power(Spectrum(wavelength, np.exp(-depth))))
    spectrum = band(115_000)
    inside = spectrum.wavelength > 6860
    mixed = spectrum.flux[inside] * np.interp(
        spectrum.wavelength[inside], wavelength, np.exp(-depth)
    )
    measured = resolving_power(Spectrum(spectrum.wavelength[inside], mixed))
    assert measured == pytest.approx(115_000, rel=0.15)


@pytest.mark.parametrize(
    "name",
    ["HARPS.2010-09-18T23:42:36.178_s1d_A.fits", "HARPS.2012-03-24T08:37:45.581_s1d_A.fits"],
)
def test_spectra_of_harps_have_its_resolution(shared_data, name):
    assert 90_000 < resolving_power(read_spectrum(shared_data / name)) < 140_000


def test_where_the_band_does_not_stand_in_its_place_nothing_is_said(shared_data):
    for name in ("38vir_rest.fits", "hd140283.fits"):
        assert np.isnan(resolving_power(read_spectrum(shared_data / name)))


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


@pytest.mark.parametrize(
    ("stated", "berv", "at", "words"),
    [
        ("barycentric", 18.0, 18.0, None),
        ("barycentric", 18.0, 0.0, "as in topocentric wavelengths: --frame topocentric"),
        ("barycentric", 18.0, 36.0, "corrected twice"),
        ("barycentric", 18.0, -18.0, "with the wrong sign"),
        ("barycentric", 18.0, 9.0, "the frame or berv is wrong"),
        ("barycentric", 1.0, 0.0, None),  # too near to tell
        ("barycentric", None, 9.0, None),
        ("barycentric", None, 0.0, "as in topocentric"),
        ("barycentric", None, 45.0, "faster than the Earth: at rest? --frame rest"),
        ("barycentric", 18.0, 101.0, None),  # another medium
        ("topocentric", 18.0, 0.0, None),
        ("topocentric", None, 0.0, None),
        ("topocentric", None, 9.0, "the frame or berv is wrong"),
        ("topocentric", 18.0, 18.0, "as in barycentric wavelengths: --frame barycentric"),
        ("rest", 18.0, 0.0, None),
    ],
)
def test_lines_of_the_air_tell_a_wrong_frame(stated, berv, at, words):
    seen = band(60_000)
    moved = replace(
        seen, wavelength=doppler_shift(seen.wavelength, at), frame=stated, berv=berv,
        meta={"assumed": ["frame: barycentric, the file does not say"]},
    )  # fmt: skip
    notes = [note for note in summarize(moved)["assumed"] if "O2 lines" in note]
    assert len(notes) == (words is not None)
    assert words is None or words in notes[0]
    said = replace(moved, meta={})
    assert berv is not None or stated != "barycentric" or not summarize(said)["assumed"]
