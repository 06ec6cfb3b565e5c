import numpy as np
import pytest
import torch

from latentscope.simulation.synthesis import PIXEL_VELOCITY
from tests.train.simulator.conftest import STARS
from train.simulator.strengths import LineStrengths


def test_every_line_has_the_strength_that_the_simulator_gives_it(synthesizer):
    stars = [star for star, _ in STARS.values()]
    lines = LineStrengths(synthesizer, torch.device("cpu")).of(stars)
    for row, star in enumerate(stars):
        depth, width, damping = synthesizer.optical_depths(star)
        assert np.allclose(lines.depth[row], depth, rtol=1e-9, atol=0)
        assert np.allclose(lines.width[row] * PIXEL_VELOCITY, width, rtol=1e-12)
        assert np.allclose(lines.damping[row], damping, rtol=1e-12)


def test_a_star_is_the_same_alone_and_among_others(synthesizer):
    stars = [star for star, _ in STARS.values()]
    strengths = LineStrengths(synthesizer, torch.device("cpu"))
    together = strengths.of(stars)
    for row, star in enumerate(stars):
        for values, alone in zip(together, strengths.of([star]), strict=True):
            assert torch.equal(values[row : row + 1], alone)


def test_depths_differ_from_star_to_star(synthesizer):
    stars = [STARS["sun"][0], STARS["metal-poor"][0]]
    depth = LineStrengths(synthesizer, torch.device("cpu")).of(stars).depth
    assert (depth[0] / depth[1]).median() == pytest.approx(10**2.6, rel=1.0)
