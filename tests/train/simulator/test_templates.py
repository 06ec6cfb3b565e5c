import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.simulation.bands import band_templates, titanium_oxide
from latentscope.simulation.synthesis import (
    Star,
    add_bands,
    band_strengths,
    interpolate_nodes,
)
from train.simulator.molecules import Molecules
from train.simulator.templates import Nodes, Shift, shifted

CPU = torch.device("cpu")
N = 300


@given(st.lists(st.floats(-N + 1, N - 1), min_size=1, max_size=4))
@settings(deadline=None)
def test_shifts_are_the_simulators(shifts):
    template = np.random.default_rng(1).uniform(0.5, 2.0, N).astype("f4")
    rows = torch.from_numpy(template).expand(len(shifts), -1)
    ours = shifted(rows, Shift(np.array(shifts), CPU))
    for row, shift in zip(ours, shifts, strict=True):
        theirs = np.zeros(N, np.float32)
        add_bands(theirs, template, template, shift, 0.0, 1.0)
        assert np.allclose(row, theirs, atol=2e-6)


def test_a_whole_shift_moves_pixels_and_half_a_pixel_averages_two():
    ramp = torch.arange(10.0)[None]
    assert shifted(ramp, Shift(np.array([3.0]), CPU))[0, 4:].tolist() == list(range(1, 7))
    assert shifted(ramp, Shift(np.array([-3.0]), CPU))[0, :7].tolist() == list(range(3, 10))
    assert shifted(ramp, Shift(np.array([0.5]), CPU))[0, 1:].tolist() == [
        k - 0.5 for k in range(1, 10)
    ]


@pytest.mark.parametrize(("nodes", "pixels"), [(2, 50), (5, 5), (513, 7001)])
def test_curves_through_nodes_are_the_simulators(nodes, pixels):
    values = np.random.default_rng(2).normal(size=(3, nodes))
    ours = Nodes(nodes, pixels, CPU).curve(values)
    for row, line in zip(ours, values, strict=True):
        assert np.allclose(row, interpolate_nodes(line, pixels), atol=1e-6)


def test_bands_have_each_stars_own_pattern(synthesizer):
    wavelength = synthesizer.wavelength
    stars = [
        Star(3100.0, 4.9, pattern=12),
        Star(5000.0),
        Star(3900.0, 4.7, pattern=13),
        Star(3300.0),
    ]
    ours = Molecules(wavelength, CPU).optical_depth(stars, Shift(np.zeros(4), CPU))
    lines, ch = band_templates(wavelength)
    for row, star in zip(ours, stars, strict=True):
        strength, ch_strength = band_strengths(star)
        expected = strength * titanium_oxide(wavelength, lines, star.pattern) + ch_strength * ch
        assert np.allclose(row[1:], expected[1:], rtol=1e-5, atol=1e-6)
