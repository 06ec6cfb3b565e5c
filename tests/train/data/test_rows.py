from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from latentscope.errors import ModelError, SpectrumError
from latentscope.simulation.population import HARPS, observe
from latentscope.simulation.simulate import simulate
from latentscope.simulation.synthesis import Synthesizer
from latentscope.spectra.prepare import PrepareConfig, prepare, resample
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import Grid
from tests.simulation.oracle import few_lines
from train.data.rows import (
    Maker,
    Resampling,
    Rows,
    deviates,
    median,
    noise_variance,
    simulated_rows,
    window_sums,
)

CPU = torch.device("cpu")
TOLERANCE = 1e-5
GAPS = ((5303.64, 5338.04),)
PREPARATIONS = {
    "compact": PrepareConfig(
        Grid("log", 3785.0, 2.9391358e-05, 20480, gaps=GAPS), normalization="continuum"
    ),
    "published": PrepareConfig(
        Grid("linear", 3785.0, 0.01, 312501, pad_left=7589, pad_right=7590, gaps=GAPS),
        normalization="median-padded",
    ),
    "vacuum, beyond both ends": PrepareConfig(
        Grid("linear", 3700.0, 0.06, 55000, medium="vacuum", gaps=GAPS), resample="rebin"
    ),
    "coarse": PrepareConfig(
        Grid("log", 3800.0, 0.00115, 512, gaps=GAPS), normalization="continuum", nodes=8, window=5
    ),
    "narrow window, wide gap": PrepareConfig(
        Grid("linear", 3790.0, 0.05, 4000, gaps=((3780.0, 3795.0), (3850.0, 3870.0))),
        resample="linear", normalization="continuum", nodes=7, window=21, clip=(-0.5, 0.1),
    ),
}  # fmt: skip
COARSE = PREPARATIONS["coarse"]
WAVELENGTH = 3770.0 * np.exp(2.3e-6 * 20 * np.arange(13000))
CASES = PREPARATIONS | {
    "the same pixels": PrepareConfig(Grid("log", WAVELENGTH[100], 4.6e-5, 5000)),
    "the same pixels, beyond the end": PrepareConfig(Grid("log", WAVELENGTH[9000], 4.6e-5, 5000)),
}


@pytest.fixture(scope="module")
def synthesizer():
    """A synthesizer with a short line list."""
    return Synthesizer(few_lines())


@pytest.fixture(scope="module")
def fluxes(synthesizer):
    """Noiseless flux of three stars, shape (3, pixels), with a median of 1, and their SNR."""
    observations = [observe(index, index, 3) for index in range(3)]
    flux = synthesizer.flux(observations).numpy()
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


# Resampling.


@pytest.mark.parametrize("name", CASES)
def test_flux_and_variance_are_those_of_resample(name):
    prepare = CASES[name]
    rng = np.random.default_rng(4)
    flux, variance = rng.uniform(0.5, 1.5, (2, 3, len(WAVELENGTH))).astype("f4")
    ours = Resampling(WAVELENGTH, prepare, CPU)
    got = ours.flux(torch.from_numpy(flux)), ours.variance(torch.from_numpy(variance))
    for row in range(3):
        spectrum = Spectrum(WAVELENGTH, flux[row], ivar=1.0 / variance[row])
        density, filled, ivar = resample(spectrum, prepare.grid, prepare.resample, ivar=True)
        assert np.array_equal(ours.filled, filled)
        assert filled.any()
        assert np.allclose(got[0][row], density, atol=3e-6)
        assert np.allclose(1.0 / got[1][row, filled], ivar[filled], rtol=1e-4)


def test_a_constant_stays_constant():
    ours = Resampling(WAVELENGTH, CASES["compact"], CPU)
    out = ours.flux(torch.full((1, len(WAVELENGTH)), 0.3))[0]
    assert torch.allclose(out[torch.from_numpy(ours.filled)], torch.tensor(0.3), atol=1e-6)


def test_a_frame_that_needs_a_velocity_is_refused():
    grid = Grid("log", 3800.0, 1e-4, 500, frame="rest")
    with pytest.raises(SpectrumError, match="rv is unknown"):
        Resampling(WAVELENGTH, PrepareConfig(grid), CPU)


# Spectra by their number.


@pytest.fixture(scope="module")
def maker(linelist):
    return Maker(COARSE, 11, linelist)


def test_a_batch_holds_rows_numbers_masks_and_inverse_variances(maker):
    batch = maker.batch([4, 0, 9])
    assert batch.rows.shape == (3, COARSE.row_size)
    assert batch.rows.dtype == torch.float32
    assert torch.isfinite(batch.rows).all()
    assert batch.numbers.tolist() == [4, 0, 9]
    assert batch.valid.shape == batch.rows.shape
    assert torch.equal(batch.valid[0, :512], torch.from_numpy(~COARSE.grid.gap_mask))
    assert batch.ivar.shape == (3, 512)
    assert torch.equal(batch.ivar > 0, batch.valid[:, :512])


def test_spectra_are_the_same_in_whatever_company(maker, linelist):
    whole, ivar = maker.rows(range(5))
    assert torch.equal(Maker(COARSE, 11, linelist, block=5).rows(range(5))[0], whole)
    rows, some = maker.rows([4, 1, 3])
    assert torch.equal(rows, whole[[4, 1, 3]])
    assert torch.equal(some, ivar[[4, 1, 3]])


def test_stars_are_those_of_the_archive_with_that_seed(linelist):
    """The noise is another draw, the rest is the same."""
    config = PREPARATIONS["compact"]
    ours, ivar = Maker(config, 6, linelist).rows(range(5))
    theirs, _ = simulated_rows(config, 0, 5, n=5, seed=6, linelist=linelist)
    pixels = config.grid.length
    known = (ivar > 0).numpy()
    pull = (ours.numpy() - theirs.astype("f4"))[:, :pixels] * np.sqrt(ivar.numpy() / 2)
    # The archive's float16 rounds by up to 2^-11 of a value.
    assert np.median(np.abs(pull[known])) == pytest.approx(0.6745, rel=0.1)
    assert np.allclose(ours[:, pixels:], theirs[:, pixels:].astype("f4"), atol=0.03)


def test_seeds_and_numbers_differ(maker, linelist):
    rows = maker.rows(range(2))[0]
    assert (rows[0] - rows[1]).abs().median() > 1e-3
    assert (Maker(COARSE, 12, linelist).rows([0])[0] - rows[:1]).abs().median() > 1e-3


# Noise.


def test_the_noise_of_a_spectrum_follows_from_its_number_and_the_seed():
    together = deviates([5, 6, 2**40], 3, 1000, CPU)
    assert torch.equal(deviates([6], 3, 1000, CPU)[0], together[1])
    assert torch.equal(deviates([2**40], 3, 1000, CPU)[0], together[2])
    assert not torch.equal(deviates([6], 4, 1000, CPU)[0], together[1])


def test_it_is_standard_normal_and_independent_from_row_to_row():
    rows = deviates(range(8), 0, 20000, CPU).numpy()
    assert kstest(rows.ravel(), "norm").pvalue > 1e-3
    correlation = np.corrcoef(rows) - np.eye(8)
    assert np.abs(correlation).max() < 5 / np.sqrt(20000)


def test_the_global_generator_stays_as_it_is():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    deviates([1], 0, 100, CPU)
    assert torch.equal(torch.rand(3), expected)


def test_faulty_spectra_are_those_of_the_archive():
    population = replace(HARPS, imperfect=True)
    rows, labels = simulated_rows(COARSE, 1, 3, n=3, seed=4, population=population)
    made = list(simulate(3, seed=4, repeats=False, population=population))[1:]
    assert labels == [truth for _, truth in made]
    for row, (spectrum, _) in zip(rows, made, strict=True):
        np.testing.assert_array_equal(row, prepare(spectrum, COARSE).row.astype(np.float16))
