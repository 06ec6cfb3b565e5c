import pytest
import torch
from torch.distributions import Laplace, Normal, kl_divergence

from train.learning.losses import in_errors, kl_per_dim, summed, with_free_bits


def test_kl_agrees_with_torch_distributions():
    mean, logvar = torch.randn(5, 3), torch.randn(5, 3)
    q = Normal(mean, (0.5 * logvar).exp())
    assert torch.allclose(kl_per_dim(mean, logvar), kl_divergence(q, Normal(0.0, 1.0)), atol=1e-6)


def test_reconstruction_terms_are_likelihoods_but_for_a_constant():
    generator = torch.Generator().manual_seed(1)
    residual = torch.randn((2, 50), generator=generator)
    ivar = torch.rand((2, 50), generator=generator) + 0.5
    gauss, laplace = Normal(0.0, 1.0), Laplace(0.0, 1.0)
    noise = Normal(0.0, ivar.rsqrt())
    zero = torch.zeros_like(residual)
    for found, likelihood in (
        (summed(residual, "l2"), gauss),
        (summed(residual, "l1"), laplace),
        (summed(in_errors(residual, ivar), "ivar"), noise),
    ):
        expected = (likelihood.log_prob(zero) - likelihood.log_prob(residual)).sum(1)
        assert torch.allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("unknown", [0.0, -1.0, float("nan"), float("inf")])
def test_pixels_of_unknown_error_do_not_count(unknown):
    ivar = torch.tensor([[4.0, unknown, 1.0]], dtype=torch.float16)
    residual = torch.tensor([[1.0, 100.0, 3.0]], requires_grad=True)
    loss = summed(in_errors(residual, ivar), "ivar")
    assert loss.item() == pytest.approx(0.5 * (4.0 + 9.0))
    loss.sum().backward()
    assert residual.grad.tolist() == [[4.0, 0.0, 3.0]]


def test_free_bits_hold_dimensions_up_to_the_floor():
    kl = torch.tensor([[0.0, 1.0], [0.1, 3.0]], requires_grad=True)
    loss = with_free_bits(kl, 0.2)
    assert loss.item() == pytest.approx(0.2 + 2.0)
    loss.backward()
    assert kl.grad.tolist() == [[0.0, 0.5], [0.0, 0.5]]
    assert with_free_bits(kl, 0.0).item() == pytest.approx(kl.sum(1).mean().item())


@pytest.mark.parametrize("loss", ["l1", "l2", "ivar"])
def test_a_wide_blur_leaves_the_mean_residual(loss):
    residual = torch.rand((2, 64), generator=torch.Generator().manual_seed(2))
    flat = residual.mean(1, keepdim=True).expand(2, 64)
    assert torch.allclose(summed(residual, loss, 500.0), summed(flat, loss), rtol=1e-5)
