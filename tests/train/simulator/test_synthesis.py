import numpy as np
import pytest
import torch

from latentscope.simulation.linelist import builtin_linelist
from latentscope.simulation.population import observe
from latentscope.simulation.simulate import fine_flux
from latentscope.simulation.synthesis import NODES, PIXELS, Synthesizer, interpolate_nodes, photons
from tests.train.simulator.conftest import STARS
from train.simulator.synthesis import BlockSynthesizer

TOLERANCE = 5e-6
"""Of the continuum: rounding of float32 in the broadening and its Fourier transform."""


def assert_equal_spectra(synthesizer):
    stars, nights = zip(*STARS.values(), strict=True)
    ours = BlockSynthesizer(synthesizer).spectra(stars, nights).numpy()
    assert ours.dtype == np.float32
    for name, row, star, night in zip(STARS, ours, stars, nights, strict=True):
        theirs = synthesizer.spectrum(star, night)
        continuum = interpolate_nodes(photons(star.teff, NODES), PIXELS)
        assert np.abs((row - theirs) / continuum).max() < TOLERANCE, name


def test_spectra_are_the_simulators(synthesizer):
    assert_equal_spectra(synthesizer)


@pytest.mark.slow
def test_spectra_are_the_simulators_with_all_lines():
    assert_equal_spectra(Synthesizer(builtin_linelist()))


def test_observations_are_the_simulators(synthesizer):
    observations = [observe(index, index, 3) for index in range(8)]
    ours = BlockSynthesizer(synthesizer).flux(observations)
    for row, observation in zip(ours, observations, strict=True):
        theirs = fine_flux(synthesizer, observation)
        assert np.abs(row.numpy() - theirs).max() < TOLERANCE * theirs.max()


def test_a_star_is_the_same_alone_and_among_others(synthesizer):
    stars, nights = zip(*STARS.values(), strict=True)
    block = BlockSynthesizer(synthesizer)
    together = block.spectra(stars, nights)
    for row in range(len(stars)):
        alone = block.spectra(stars[row : row + 1], nights[row : row + 1])
        assert torch.equal(alone[0], together[row])
