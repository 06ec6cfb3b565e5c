import numpy as np
import pytest
import torch

from latentscope.errors import SpectrumError
from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.resample import resample
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import Grid
from tests.train.simulator.conftest import PREPARATIONS
from train.simulator.resampling import Resampling

CPU = torch.device("cpu")
WAVELENGTH = 3770.0 * np.exp(2.3e-6 * 20 * np.arange(13000))
CASES = PREPARATIONS | {
    "the same pixels": PrepareConfig(Grid("log", WAVELENGTH[100], 4.6e-5, 5000)),
    "the same pixels, beyond the end": PrepareConfig(Grid("log", WAVELENGTH[9000], 4.6e-5, 5000)),
}


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
