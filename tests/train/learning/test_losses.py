import dataclasses

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.special import logsumexp
from scipy.stats import norm
from torch.distributions import Laplace, Normal, kl_divergence

from train.learning.losses import (
    Memory,
    Penalties,
    blurred,
    blurred_energy,
    decorrelation,
    dependence,
    in_errors,
    kl_per_dim,
    summed,
    total_correlation,
    with_free_bits,
)
from train.settings import Schedule


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
def test_a_blur_does_not_carry_one_end_to_the_other(loss):
    ends = torch.zeros((1, 512))
    ends[0, 0], ends[0, -1] = 1.0, -1.0  # round a circle they would cancel
    apart = torch.zeros((1, 512))
    apart[0, 200], apart[0, 300] = 1.0, -1.0
    assert torch.allclose(summed(ends, loss, 6.0), summed(apart, loss, 6.0), rtol=1e-5)


def rows(n=3, length=96):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, length, generator=generator, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("length", [96, 97])
def test_the_energy_is_that_of_the_gaussian_filter(length):
    residual = rows(length=length)
    padded = np.pad(residual.detach().numpy(), ((0, 0), (40, 40)))
    smooth = gaussian_filter1d(padded, 4.0, axis=1, mode="constant", truncate=8.0)
    found = blurred_energy(residual, 4.0).detach().numpy()
    assert np.allclose(found, 0.5 * (smooth**2).sum(1), rtol=1e-9)
    within = blurred(residual, 4.0).detach().numpy()[:, :length]
    assert np.allclose(within, smooth[:, 40 : 40 + length], atol=1e-9)


@pytest.mark.parametrize("length", [24, 25])
@pytest.mark.parametrize("function", [blurred, blurred_energy])
def test_the_gradients_are_right(function, length):
    residual = rows(2, length)
    assert torch.autograd.gradcheck(lambda values: function(values, 1.5), (residual,))


def test_without_blur_the_energy_is_half_the_sum_of_squares():
    residual = rows()
    assert torch.equal(blurred_energy(residual, 0.0), 0.5 * (residual**2).sum(1))
    assert blurred(residual, 0.0) is residual


def gaussian_latents(n, rho, seed, variance=0.25):
    """Means, log variances and draws of q(z|x): a mixture of unit variances, correlation rho."""
    generator = torch.Generator().manual_seed(seed)
    covariance = torch.tensor([[1.0, rho], [rho, 1.0]]) - variance * torch.eye(2)
    mean = torch.randn((n, 2), generator=generator) @ torch.linalg.cholesky(covariance).T
    logvar = torch.full((n, 2), float(np.log(variance)))
    return mean, logvar, mean + variance**0.5 * torch.randn((n, 2), generator=generator)


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_total_correlation_of_a_gaussian_has_its_closed_form(rho):
    mean, logvar, z = gaussian_latents(4000, rho, seed=0)
    some = slice(0, 1000)
    found = total_correlation(z[some], mean[some], logvar[some], 4000, (mean[1000:], logvar[1000:]))
    assert found.item() == pytest.approx(-0.5 * np.log(1 - rho**2), abs=0.03)


def test_total_correlation_agrees_with_loops_over_scipy_densities():
    rng = np.random.default_rng(3)
    z, mean, logvar = rng.normal(size=(3, 4, 3))
    earlier = rng.normal(size=(2, 5, 3))
    spectra = 50
    means, deviations = np.concatenate([mean, earlier[0]]), np.concatenate([logvar, earlier[1]])
    deviations = np.exp(0.5 * deviations)
    terms = []
    for i in range(4):
        weights = np.full(9, (1 - 1 / spectra) / 8)
        weights[i] = 1 / spectra
        assert weights.sum() == pytest.approx(1)
        density = norm.logpdf(z[i], means, deviations)
        joint = logsumexp(density.sum(1), b=weights)
        terms.append(joint - sum(logsumexp(density[:, d], b=weights) for d in range(3)))
    found = total_correlation(
        *map(torch.from_numpy, (z, mean, logvar)), spectra, tuple(map(torch.from_numpy, earlier))
    )
    assert found.item() == pytest.approx(np.mean(terms), rel=1e-10)


def test_the_gradient_through_the_batch_is_that_of_the_whole():
    """Correlation rho of z: d TC / d rho = rho / (1 - rho^2), though half the spectra are fixed."""
    generator = torch.Generator().manual_seed(5)
    u, v, noise = torch.randn((3, 4000, 2), generator=generator).unbind()
    mixing = torch.tensor(0.8, requires_grad=True)
    second = mixing * u[:, 0] + (1 - mixing**2).sqrt() * v[:, 0]
    mean = 0.75**0.5 * torch.stack([u[:, 0], second], dim=1)  # correlation of z: 0.75 mixing
    logvar = torch.full_like(mean, float(np.log(0.25)))
    batch, rest = slice(0, 2000), slice(2000, None)
    total_correlation(
        (mean + 0.5 * noise)[batch], mean[batch], logvar[batch], 4000,
        (mean[rest].detach(), logvar[rest]),
    ).backward()  # fmt: skip
    assert mixing.grad.item() == pytest.approx(0.75 * 0.6 / (1 - 0.6**2), rel=0.15)


def test_decorrelation_is_the_sum_of_squared_covariances():
    mean = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 3)) @ np.ones((3, 3)))
    covariance = np.cov(mean.T.numpy(), bias=True)
    expected = (covariance**2).sum() - (np.diag(covariance) ** 2).sum()
    assert decorrelation(mean).item() == pytest.approx(expected, rel=1e-10)
    assert decorrelation(mean[:25], mean[25:]).item() == pytest.approx(expected, rel=1e-10)
    assert decorrelation(mean[:, :1]).item() == pytest.approx(0.0, abs=1e-12)


def test_decorrelation_has_the_gradient_of_all_spectra():
    base = torch.from_numpy(np.random.default_rng(1).normal(size=(30, 2)))
    angle = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def turned(rows):
        turn = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()]).view(2, 2)
        return (rows * torch.tensor([3.0, 1.0])) @ turn

    (expected,) = torch.autograd.grad(decorrelation(turned(base)), angle)
    penalty = decorrelation(turned(base), turned(base).detach())
    (found,) = torch.autograd.grad(penalty, angle)
    assert found.item() == pytest.approx(expected.item(), rel=1e-10)
    assert abs(expected.item()) > 1


def dependent(rows, kind):
    u, v = torch.randn((2, rows), generator=torch.Generator().manual_seed(4)).double().unbind()
    second = {"none": v, "linear": 0.8 * u + 0.6 * v, "curve": u**2 + v, "spread": u * v}[kind]
    return torch.stack([3 * u + 5, 0.2 * second], dim=1)


def test_dependence_is_the_sum_of_squared_correlations_of_a_sine_with_features():
    mean = dependent(400, "curve").numpy()
    features = []
    for column in mean.T:
        u = (column - column.mean()) / column.std()
        features.append(np.stack([np.sin(u), np.cos(u), np.sin(2 * u), np.cos(2 * u)]))
    correlations = np.corrcoef(*features)[:4, 4:]
    squared = np.stack([correlations[0], correlations[:, 0]]) ** 2  # sin u comes first
    expected = np.clip(squared - 4 / 400, 0, None).sum()
    assert 0 < (squared < 4 / 400).sum() < 8
    found = dependence(torch.from_numpy(mean)).item()
    assert found == pytest.approx(expected, rel=1e-4)
    kept = torch.from_numpy(mean)
    earlier = (kept[100:], torch.full_like(kept[100:], -9.0))
    assert dependence(kept[:100], earlier).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["linear", "curve"])
def test_dependence_sees_curves_that_correlation_does_not_and_no_spread(kind):
    apart, spread, together = (
        dependence(dependent(4000, k)).item() for k in ("none", "spread", kind)
    )
    assert max(apart, spread) < 0.003
    assert together > 0.1
    if kind == "curve":
        values = dependent(4000, kind)
        assert decorrelation(values / values.std(0)).item() < 0.02


def test_dependence_has_the_gradient_of_all_spectra_and_leaves_closed_dimensions_alone():
    rows = dependent(3000, "spread")
    angle = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    turn = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()]).view(2, 2)
    standard = (rows - rows.mean(0)) / rows.std(0)
    (slope,) = torch.autograd.grad(dependence(standard @ turn), angle, retain_graph=True)
    step = 1e-4
    values = []
    for a in (0.5 - step, 0.5 + step):
        c, s = np.cos(a), np.sin(a)
        values.append(dependence(standard @ torch.tensor([[c, s], [-s, c]])).item())
    assert slope.item() == pytest.approx((values[1] - values[0]) / (2 * step), rel=1e-3)
    turned = standard @ turn
    open_dims = (turned.detach(), torch.full_like(turned, -9.0).detach())
    (found,) = torch.autograd.grad(dependence(turned, open_dims), angle)
    assert found.item() == pytest.approx(slope.item(), rel=0.05)
    closed = (turned.detach() * 0.1, torch.tensor([-9.0, 0.0]).expand_as(turned))
    assert dependence(turned, closed).item() == 0.0


def test_the_memory_holds_the_latest_spectra():
    memory, rows = Memory(5, 2), torch.arange(16.0).view(8, 2)
    memory.add(rows[:3], -rows[:3])
    assert not memory.full
    memory.add(rows[3:6], -rows[3:6])
    memory.add(rows[6:], -rows[6:])
    assert memory.full
    assert torch.equal(memory.mean, rows[3:])
    assert torch.equal(memory.logvar, -rows[3:])
    again = Memory(5, 2)
    again.load_state_dict(memory.state_dict())
    assert again.full
    assert torch.equal(again.mean, rows[3:])
    memory.forget()
    assert not memory.full


def penalised(config, **schedules):
    stage = dataclasses.replace(config.stages[0], **schedules)
    return dataclasses.replace(config, stages=(stage,), penalty_spectra=12)


def test_penalties_count_once_enough_spectra_have_gone_before(config):
    config = penalised(config, total_correlation=Schedule(1.0), decorrelation=Schedule(0.0, 1.0))
    penalties = Penalties(config)
    penalties.learn_from(40)
    mean, logvar, z = gaussian_latents(16, 0.5, seed=1)
    mean, logvar, z = (torch.cat([part, part[:, :1]], dim=1).view(4, 4, 3) for part in
                       (mean, logvar, z))  # fmt: skip
    for step in range(2):
        early = penalties(mean[step], logvar[step], z[step])
        assert {key: value.item() for key, value in early.items()} == {
            "total_correlation": 0.0, "decorrelation": 0.0,
        }  # fmt: skip
    found = penalties(mean[2], logvar[2], z[2])
    before = (mean[:2].flatten(0, 1), logvar[:2].flatten(0, 1))
    expected = total_correlation(z[2], mean[2], logvar[2], spectra=24, earlier=before)
    assert found["total_correlation"].item() == pytest.approx(expected.item(), rel=1e-5)
    expected = decorrelation(mean[2], before[0])
    assert found["decorrelation"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_run_without_penalties_has_nothing_to_remember(config):
    penalties = Penalties(config)
    assert penalties(*gaussian_latents(4, 0.0, seed=0)) == {}
    assert penalties.state_dict() == {}
