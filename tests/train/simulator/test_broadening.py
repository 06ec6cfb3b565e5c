import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.simulation.broadening import convolve_symmetric, rotation_kernel
from train.simulator.broadening import convolved


@given(st.lists(st.floats(0.0, 250.0), min_size=1, max_size=4), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_it_equals_the_simulators_convolution(rotations, seed):
    """Slow and fast rotators together: the direct sum and the Fourier transform."""
    values = np.random.default_rng(seed).uniform(0.1, 1.0, (len(rotations), 3000)).astype("f4")
    kernels = [rotation_kernel(vsini, 1.6) for vsini in rotations]
    ours = convolved(torch.from_numpy(values), kernels)
    for row, line, kernel in zip(ours, values, kernels, strict=True):
        assert np.allclose(row, convolve_symmetric(line, kernel), atol=2e-6)


@pytest.mark.parametrize("vsini", [0.0, 30.0, 200.0])
def test_a_constant_stays_and_the_sum_of_a_line_too(vsini):
    kernel = rotation_kernel(vsini, 1.6)
    flat = convolved(torch.full((1, 2000), 0.7), [kernel])
    assert torch.allclose(flat, torch.tensor(0.7), atol=1e-5)
    line = torch.zeros(1, 2000)
    line[0, 1000] = 1.0
    assert convolved(line, [kernel]).sum() == pytest.approx(1.0, abs=1e-5)


def test_a_row_does_not_depend_on_its_neighbours():
    values = torch.rand(3, 3000, generator=torch.Generator().manual_seed(0))
    kernels = [rotation_kernel(vsini, 1.6) for vsini in (3.0, 40.0, 150.0)]
    together = convolved(values, kernels)
    for row, kernel in enumerate(kernels):
        assert torch.equal(convolved(values[row : row + 1], [kernel])[0], together[row])
