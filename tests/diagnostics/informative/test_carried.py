import numpy as np
import pytest
from scipy.stats import kstest

from latentscope.diagnostics.exclusive import (
    Noise,
    entropy,
    kl_divergence,
    widened,
)

HALF_LOG = 0.5 * np.log(2 * np.pi * np.e)


def test_entropy_of_known_distributions():
    rng = np.random.default_rng(0)
    columns = np.column_stack([rng.normal(0, 3, 8000), rng.random(8000), rng.exponential(1, 8000)])
    value, std = entropy(columns)
    assert value == pytest.approx([HALF_LOG + np.log(3), 0, 1], abs=0.04)
    assert (std < 0.02).all()


def test_the_error_is_the_scatter():
    rng = np.random.default_rng(1)
    value, std = entropy(rng.normal(size=(1000, 200)))
    assert value.std() == pytest.approx(std.mean(), rel=0.15)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 10.0, 300.0])
def test_gaussian_means_carry_half_a_log(ratio):
    rng = np.random.default_rng(2)
    noise = Noise.of(np.full((6000, 1), 0.1), rng)
    amount = widened(0.1 * ratio * rng.normal(size=(6000, 1)), noise)
    assert amount.nats[0] == pytest.approx(0.5 * np.log1p(ratio**2), abs=0.05)
    assert amount.p_value[0] < 0.05


def test_kl_is_at_least_what_is_carried():
    rng = np.random.default_rng(3)
    # Widths that differ, and means that are not as wide as the prior.
    sigma = 10 ** rng.uniform(-2, 0, (4000, 6))
    mean = rng.normal(size=(4000, 6)) * np.array([0.01, 0.3, 0.8, 1.0, 1.3, 3.0])
    carried = widened(mean, Noise.of(sigma, rng)).nats
    assert (carried <= kl_divergence(mean, 2 * np.log(sigma)) + 0.06).all()


def test_p_values_of_noise_are_uniform():
    rng = np.random.default_rng(4)
    amounts = [
        widened(np.zeros((400, 64)), Noise.of(np.exp(rng.normal(size=(400, 64))), rng))
        for _ in range(6)
    ]
    p_values = np.concatenate([amount.p_value for amount in amounts])
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_the_limit_is_what_noise_seldom_reaches():
    rng = np.random.default_rng(5)
    noise = Noise.of(np.ones((500, 400)), rng)
    above = widened(np.zeros((500, 400)), noise).nats > noise.limit(0.05)
    assert 0.01 < above.mean() < 0.1
