import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from train.learning.losses import blurred, blurred_energy


def rows(n=3, length=96):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, length, generator=generator, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("length", [96, 97])
def test_the_energy_is_that_of_the_gaussian_filter(length):
    residual = rows(length=length)
    smooth = gaussian_filter1d(residual.detach().numpy(), 4.0, axis=1, mode="wrap", truncate=8.0)
    found = blurred_energy(residual, 4.0).detach().numpy()
    assert np.allclose(found, 0.5 * (smooth**2).sum(1), rtol=1e-9)
    assert np.allclose(blurred(residual, 4.0).detach().numpy(), smooth, atol=1e-9)


@pytest.mark.parametrize("length", [24, 25])
@pytest.mark.parametrize("function", [blurred, blurred_energy])
def test_the_gradients_are_right(function, length):
    residual = rows(2, length)
    assert torch.autograd.gradcheck(lambda values: function(values, 1.5), (residual,))


def test_without_blur_the_energy_is_half_the_sum_of_squares():
    residual = rows()
    assert torch.equal(blurred_energy(residual, 0.0), 0.5 * (residual**2).sum(1))
    assert blurred(residual, 0.0) is residual
