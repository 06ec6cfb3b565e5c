import numpy as np
import pytest

from latentscope.diagnostics.mi import estimators
from latentscope.diagnostics.mi.api import mutual_information
from latentscope.diagnostics.mi.columns import read_column
from latentscope.diagnostics.mi.estimators import (
    COPULA,
    NEIGHBORS,
    SortedColumn,
    extrapolated,
    ksg_terms,
    measured,
)


def terms_of(x, y):
    columns = SortedColumn.of(x), SortedColumn.of(y)
    return np.stack([ksg_terms(*columns, k) for k in NEIGHBORS])


def test_noise_of_independent_columns_is_that_measured():
    rng = np.random.default_rng(0)
    n = 1_024
    terms = [terms_of(rng.random(n), rng.random(n)) for _ in range(1_000)]
    noise = n * np.cov(np.array([t.mean(axis=1) for t in terms]).T)
    assert noise == pytest.approx(estimators._COVARIANCE, rel=0.2, abs=0.03)
    scatter = np.mean([t.var(axis=1) for t in terms], axis=0)
    assert scatter == pytest.approx(estimators._OF_TERMS, rel=0.05)


def test_estimates_without_trend_keep_what_the_least_noisy_says():
    n = 5_000
    value, variance = extrapolated(np.full((4, n), 0.3))
    assert value == pytest.approx(0.3, abs=1e-9)
    assert variance > 0


def test_shift_of_all_estimates_shifts_the_result():
    rng = np.random.default_rng(1)
    terms = rng.normal(size=(4, 2_000)) + np.array([[0.5], [0.48], [0.45], [0.4]])
    value, variance = extrapolated(terms)
    shifted, same = extrapolated(terms + 0.7)
    assert shifted == pytest.approx(value + 0.7, abs=1e-9)
    assert same == pytest.approx(variance, abs=1e-9)


@pytest.mark.parametrize("shape", [np.sqrt, lambda k: k])
def test_trend_far_above_the_noise_is_taken_off(shape):
    k = np.array(NEIGHBORS, dtype=float)
    trend = 0.2 * shape(k / 8)
    value, _ = extrapolated(np.repeat((1.0 - trend)[:, None], 20_000, axis=1))
    assert value == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("edge", [0.1, 0.3])
def test_edges_cost_less_bias(edge):
    truth = edge / 2 - np.log(edge) if edge < 0.5 else 1 / (2 * edge)
    better, plain = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x = rng.random(2_000)
        y = x + edge * (rng.random(2_000) - 0.5)
        better.append(mutual_information(x, y))
        plain.append(mutual_information(x, y, estimator="copula", neighbors=4))
    assert abs(np.mean(better) - truth) < 0.7 * abs(np.mean(plain) - truth)


@pytest.mark.parametrize(("n", "noise", "share"), [(300, 1e-2, 0.93), (30_000, 1e-4, 0.98)])
def test_very_strong_relations_are_seen_with_few_rows(n, noise, share):
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    y = x + noise * rng.normal(size=n)
    truth = 0.5 * np.log(1 + noise**-2)
    plain = mutual_information(x, y, estimator="copula")
    assert plain < 0.93 * truth
    assert share * truth < mutual_information(x, y) < 1.05 * truth


def test_weak_relations_are_not_extrapolated_and_strong_ones_are():
    rng = np.random.default_rng(2)
    x, noise = rng.normal(size=(2, 1_000))
    for strength, expected in ((0.0, False), (1.0, True)):
        columns = read_column("x", x, stream=(0,)), read_column("y", strength * x + noise)
        parts = [column.part(column.valid) for column in columns]
        found = measured(COPULA, *parts, 8, least=3, seed=0)
        assert found.extrapolated is expected
        assert measured(COPULA, *parts, 8, least=None, seed=0).extrapolated is False
