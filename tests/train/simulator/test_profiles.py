import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.simulation.bands import balmer_lines
from latentscope.simulation.synthesis import (
    FAINT,
    FIRST,
    LAST,
    LOG_STEP,
    PIXELS,
    add_lines,
)
from latentscope.simulation.synthesis import (
    add_balmer as add_one_balmer,
)
from train.simulator.profiles import LineProfiles, add_balmer
from train.simulator.strengths import Lines
from train.simulator.templates import Shift

CPU = torch.device("cpu")


def drawn(wavelength, depth, width, damping, shift):
    """Optical depth of one star's lines, by the code and by the oracle."""
    pixels = 5000
    lines = Lines(*(torch.from_numpy(np.array([v], np.float64)) for v in (depth, width, damping)))
    profiles = LineProfiles(np.array(wavelength), pixels, CPU)
    ours = profiles.optical_depth(lines, Shift(np.array([shift]), CPU))[0].numpy()
    theirs = np.zeros(pixels, np.float32)
    centre = np.log(np.array(wavelength) / FIRST) / LOG_STEP + shift
    add_lines(theirs, centre, np.array(depth), np.array(width), np.array(damping))
    return ours, theirs


@given(
    st.lists(
        st.tuples(
            st.floats(FIRST - 60, FIRST + 100), st.floats(-4, 4), st.floats(1, 8),
            st.floats(1e-3, 0.5),
        ),
        min_size=1, max_size=12,
    ),
    st.floats(-180, 180),
)  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_lines_are_the_simulators(lines, shift):
    wavelength, log_depth, width, damping = zip(*lines, strict=True)
    ours, theirs = drawn(wavelength, [10**value for value in log_depth], width, damping, shift)
    assert np.allclose(ours, theirs, rtol=2e-5, atol=1e-6)


def test_a_single_line_has_its_depth_at_its_centre_and_its_doppler_width():
    wavelength = FIRST * np.exp(LOG_STEP * 2000)  # on a pixel
    ours, _ = drawn([wavelength], [0.5], [4.0], [0.0], 0.0)
    assert ours[2000] == pytest.approx(0.5, abs=1e-6)
    assert ours[2004] == pytest.approx(0.5 / np.e, abs=1e-6)
    assert np.flatnonzero(ours).tolist() == list(range(1987, 2014))  # 3.3 widths of 4 pixels


def test_faint_lines_are_left_out():
    wavelength = FIRST * np.exp(LOG_STEP * 2000)
    for depth, pixels in ((FAINT * 0.999, 0), (FAINT * 1.001, 27)):
        ours, _ = drawn([wavelength], [depth], [4.0], [0.0], 0.0)
        assert np.count_nonzero(ours) == pixels


def test_the_order_of_lines_changes_no_bit():
    rng = np.random.default_rng(0)
    wavelength = rng.uniform(FIRST, FIRST + 20, 300)
    depth, width = 10 ** rng.uniform(-2, 3, 300), rng.uniform(1, 5, 300)
    order = rng.permutation(300)
    one = drawn(wavelength, depth, width, np.full(300, 0.1), 7.3)[0]
    other = drawn(wavelength[order], depth[order], width[order], np.full(300, 0.1), 7.3)[0]
    assert np.array_equal(one, other)


@pytest.mark.parametrize("velocity", [-400.0, 0.0, 55.5])
def test_balmer_lines_are_the_simulators(velocity):
    shift = np.array([velocity / 299792.458, 1e-4])
    strength = np.array([3.0, 0.2])
    ours = torch.zeros(2, PIXELS)
    add_balmer(ours, torch.from_numpy(strength).float(), shift)
    wavelength = FIRST * np.exp(LOG_STEP * np.arange(PIXELS))
    for row in range(2):
        theirs = np.zeros(PIXELS, np.float32)
        for position, factor in balmer_lines():
            centre = position * np.exp(shift[row])
            add_one_balmer(theirs, wavelength, centre, strength[row] * factor)
        assert np.allclose(ours[row], theirs, rtol=2e-5, atol=1e-5)


def test_balmer_lines_beyond_the_grid_add_nothing():
    tau = torch.zeros(1, PIXELS)
    add_balmer(tau, torch.ones(1), np.array([np.log(2 * LAST / FIRST)]))
    assert not tau.any()
