import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.errors import ModelError
from latentscope.simulation.population import observe
from latentscope.simulation.rows import noise_variance
from latentscope.simulation.simulate import fine_flux
from latentscope.spectra.prepare import PrepareConfig, prepare
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import Grid
from tests.train.simulator.conftest import PREPARATIONS
from train.simulator.rows import Rows, median, window_sums

CPU = torch.device("cpu")
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def fluxes(synthesizer):
    """Noiseless flux of three stars, shape (3, pixels), with a median of 1, and their SNR."""
    observations = [observe(index, index, 3) for index in range(3)]
    flux = np.array([fine_flux(synthesizer, observation) for observation in observations])
    flux /= np.median(flux, axis=1, keepdims=True)
    return flux, np.array([observation.snr for observation in observations])


@pytest.mark.parametrize("name", PREPARATIONS)
def test_rows_are_the_prepared_ones(synthesizer, fluxes, name):
    config = PREPARATIONS[name]
    maker = Rows(synthesizer.wavelength, config, CPU)
    ours = maker.noiseless(torch.from_numpy(fluxes[0]))
    for row, flux in zip(ours, fluxes[0], strict=True):
        theirs = prepare(Spectrum(synthesizer.wavelength, flux), config)
        assert np.abs(row.numpy() - theirs.row).max() < TOLERANCE
        assert np.array_equal(maker.valid, theirs.valid)


@pytest.mark.parametrize("name", PREPARATIONS)
def test_noise_and_its_inverse_variance_are_the_stated_ones(synthesizer, fluxes, name):
    config, wavelength = PREPARATIONS[name], synthesizer.wavelength
    maker = Rows(wavelength, config, CPU)
    deviates = np.random.default_rng(0).normal(size=fluxes[0].shape).astype("f4")
    rows, ivar = maker.noisy(*(torch.from_numpy(v) for v in (fluxes[0], fluxes[1], deviates)))
    for k, (flux, snr) in enumerate(zip(*fluxes, strict=True)):
        variance = noise_variance(flux, wavelength, snr)
        noisy = flux + deviates[k] * np.sqrt(variance).astype("f4")
        known = noise_variance(np.maximum(flux, 1e-3), wavelength, snr)
        spectrum = Spectrum(wavelength, noisy, ivar=1.0 / known)
        theirs = prepare(spectrum, config, ivar=True)
        assert np.abs(rows[k].numpy() - theirs.row).max() < TOLERANCE
        assert np.allclose(ivar[k], theirs.ivar, rtol=1e-4)


def test_residuals_over_their_error_are_standard_normal(synthesizer, fluxes):
    maker = Rows(synthesizer.wavelength, PREPARATIONS["compact"], CPU)
    flux, snr = torch.from_numpy(fluxes[0]), torch.full((3,), 100.0)
    deviates = torch.randn(flux.shape, generator=torch.Generator().manual_seed(1))
    rows, ivar = maker.noisy(flux, snr, deviates)
    known = ivar > 0
    pixels = ivar.shape[1]
    pull = ((rows - maker.noiseless(flux))[:, :pixels] * ivar.sqrt())[known]
    assert pull.mean() == pytest.approx(0, abs=0.02)
    assert pull.std() == pytest.approx(1, abs=0.03)


def test_the_level_of_the_flux_does_not_matter(synthesizer, fluxes):
    maker = Rows(synthesizer.wavelength, PREPARATIONS["coarse"], CPU)
    flux = torch.from_numpy(fluxes[0])
    assert torch.allclose(maker.noiseless(flux), maker.noiseless(1e4 * flux), atol=1e-5)


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0, 3.0]), min_size=1, max_size=9))
def test_medians_are_numpys(values):
    rows = torch.tensor([values, values[::-1]])
    assert np.array_equal(median(rows), np.median(rows.numpy(), axis=1))


@given(st.integers(1, 40), st.integers(0, 60))
@settings(deadline=None)
def test_window_sums_are_sums(window, more):
    values = np.random.default_rng(window).integers(0, 9, (2, window + more)).astype("f4")
    expected = np.lib.stride_tricks.sliding_window_view(values, window, axis=1).sum(-1)
    assert np.array_equal(window_sums(torch.from_numpy(values), window), expected)


@pytest.mark.parametrize(
    ("grid", "minimum", "words"),
    [
        (Grid("log", 3800.0, 1e-4, 500), 50.0, "min_median is 50"),
        (Grid("log", 8000.0, 1e-4, 500), None, "8000.0 to 8409.3"),
    ],
)
def test_a_preparation_that_gives_no_rows_is_refused(synthesizer, grid, minimum, words):
    with pytest.raises(ModelError, match=words):
        Rows(synthesizer.wavelength, PrepareConfig(grid, min_median=minimum), CPU)
