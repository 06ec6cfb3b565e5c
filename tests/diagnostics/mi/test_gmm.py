import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad, quad
from scipy.stats import multivariate_normal, norm

from latentscope.diagnostics.mi import gmm as module
from latentscope.diagnostics.mi.gmm import Mixture, gmm
from latentscope.errors import EstimatorError


def gaussian_pair(rho, n, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)


@pytest.mark.parametrize("rho", [0.0, -0.6, 0.95])
def test_gaussian_closed_form(rho):
    found = gmm(*gaussian_pair(rho, 3000), seed=2)
    truth = -0.5 * np.log(1 - rho**2)
    assert found.components == 1
    assert found.mi_nats == pytest.approx(truth, abs=max(3 * found.std_nats, 0.002))
    # Ten draws of a bootstrap scatter by a quarter.
    assert found.std_nats < 0.035


def test_error_bar_is_the_scatter_of_samples(monkeypatch):
    monkeypatch.setattr(module, "_DRAWS", 20_000)
    monkeypatch.setattr(module, "_MAX_COMPONENTS", 1)
    found = [gmm(*gaussian_pair(0.6, 300, seed), seed=seed) for seed in range(16)]
    scatter = np.std([f.mi_nats for f in found], ddof=1)
    assert np.mean([f.std_nats for f in found]) == pytest.approx(scatter, rel=0.45)


def test_two_clouds():
    # Half around (-2, -2), half around (2, 2), independent within: not a Gaussian.
    rng = np.random.default_rng(3)
    side = np.where(rng.random(4000) < 0.5, -2.0, 2.0)
    x, y = side + rng.normal(size=4000), side + rng.normal(size=4000)

    def margin(v):
        return 0.5 * (norm.pdf(v - 2) + norm.pdf(v + 2))

    def inner(v, w):
        p = 0.5 * (norm.pdf(v - 2) * norm.pdf(w - 2) + norm.pdf(v + 2) * norm.pdf(w + 2))
        return p * np.log(p / (margin(v) * margin(w)))

    truth = dblquad(inner, -7, 7, -7, 7, epsabs=1e-4)[0]
    found = gmm(x, y)
    assert found.components == 2
    assert found.mi_nats == pytest.approx(truth, abs=0.03)


def test_classes_by_how_many_rows_they_have():
    rng = np.random.default_rng(4)
    codes = (rng.random(4000) < 0.15).astype(int)
    x = rng.normal(size=4000) + 2.5 * codes

    def whole(v):
        return 0.85 * norm.pdf(v) + 0.15 * norm.pdf(v - 2.5)

    truth = sum(
        share * quad(lambda v, m=m: norm.pdf(v - m) * np.log(norm.pdf(v - m) / whole(v)), -8, 10)[0]
        for share, m in ((0.85, 0.0), (0.15, 2.5))
    )
    found = gmm(x, np.array(["dwarf", "giant"])[codes], discrete=True)
    assert found.components == 2
    assert found.mi_nats == pytest.approx(truth, abs=3 * found.std_nats)
    assert gmm(x, codes, discrete=True) == found


def test_perfect_and_useless_classes():
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 3, 1500)
    assert gmm(rng.normal(size=1500) + 40 * codes, codes, discrete=True).mi_nats == pytest.approx(
        np.log(3), abs=0.02
    )
    useless = gmm(rng.normal(size=1500), codes, discrete=True)
    assert useless.mi_nats == pytest.approx(0, abs=0.02)


def test_symmetric_and_the_same_in_other_units():
    x, y = gaussian_pair(0.7, 1500)
    first = gmm(x, y)
    assert gmm(x, y) == first
    assert gmm(1e6 * x + 3, 1e-6 * y).mi_nats == pytest.approx(first.mi_nats, abs=1e-6)
    assert gmm(y, x).mi_nats == pytest.approx(first.mi_nats, abs=0.015)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 4), d=st.integers(1, 3))
def test_density_and_its_margins(seed, count, d):
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(count, d, d))
    mixture = Mixture(
        rng.dirichlet(np.ones(count)),
        rng.normal(size=(count, d)),
        roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(d),
    )
    points = rng.normal(size=(20, d))
    each = [
        w * multivariate_normal(m, c).pdf(points)
        for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    ]
    np.testing.assert_allclose(mixture.log_density(points), np.log(sum(each)), atol=1e-9)
    first = mixture.margin(slice(None, 1))
    sigma = np.sqrt(mixture.covariances[:, 0, 0])
    alone = (mixture.weights * norm.pdf(points[:, :1], mixture.means[:, 0], sigma)).sum(axis=1)
    np.testing.assert_allclose(first.log_density(points[:, :1]), np.log(alone), atol=1e-9)


def test_draws_have_the_moments_of_the_density():
    rng = np.random.default_rng(7)
    covariances = np.array([[[1.0, 0.8], [0.8, 1.0]], [[0.2, 0.0], [0.0, 3.0]]])
    mixture = Mixture(np.array([0.3, 0.7]), np.array([[0.0, 1.0], [4.0, -2.0]]), covariances)
    points = mixture.draw(200_000, rng)
    mean = mixture.weights @ mixture.means
    apart = mixture.means - mean
    spread = np.einsum(
        "c,cij->ij", mixture.weights, covariances + np.einsum("ci,cj->cij", apart, apart)
    )
    np.testing.assert_allclose(points.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(points.T), spread, atol=0.06)


def test_a_constant_tells_nothing():
    assert gmm(np.arange(50.0), np.ones(50)).mi_nats == 0
    assert gmm(np.ones(50), np.ones(50), discrete=True).mi_nats == 0


def test_too_few_rows():
    with pytest.raises(EstimatorError, match=r"x and y: 14 rows.* 15 or more"):
        gmm(*gaussian_pair(0.5, 14))
    codes = np.repeat([0, 1], [100, 9])
    with pytest.raises(EstimatorError, match=r"class 1: 9 rows.* 15 or more"):
        gmm(np.arange(109.0), codes, discrete=True)


@pytest.mark.slow
def test_published_values_of_a_real_network(shared_data):
    latents = np.load(shared_data / "ive_latents.npy")
    labels = pd.read_csv(shared_data / "ive_labels.csv")
    published = pd.read_csv(shared_data / "ive_mi_reference.csv").iloc[[0, 38]]
    for row in published.itertuples():
        found = gmm(latents[:, row.dim], labels[row.label].to_numpy())
        assert found.mi_nats == pytest.approx(row.mi_nats, abs=0.02)


def test_a_cloud_as_long_as_a_far_outlier_makes_it_has_a_density():
    mixture = Mixture(np.ones(1), np.zeros((1, 2)), np.diag([1e5, 1e-6])[None])
    points = np.array([[300.0, 1e-3], [-10.0, 0.0]])
    apart = norm(0, 1e5**0.5).logpdf(points[:, 0]) + norm(0, 1e-3).logpdf(points[:, 1])
    np.testing.assert_allclose(mixture.log_density(points), apart, rtol=1e-12)
