"""What `inspect` shows."""

import json

import numpy as np
import pytest

from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.summary import summarize
from latentscope.spectra.wavelength import Grid
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
