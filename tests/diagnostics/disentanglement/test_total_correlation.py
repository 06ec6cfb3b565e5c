import numpy as np
import pytest

from latentscope.diagnostics.disentanglement_measures import (
    gaussian_total_correlation,
    knn_total_correlation,
)
from latentscope.diagnostics.mi.estimators import ksg


def correlated(n, rho, d, seed=0):
    covariance = np.full((d, d), rho) + (1 - rho) * np.eye(d)
    truth = -0.5 * np.linalg.slogdet(covariance)[1]
    return np.random.default_rng(seed).multivariate_normal(np.zeros(d), covariance, n), truth


def test_gaussian_in_closed_form():
    values, _ = correlated(500, 0.6, 2)
    r = np.corrcoef(values.T)[0, 1]
    scaled = values * [3, -0.1] + [5, 7]
    assert gaussian_total_correlation(scaled) == pytest.approx(-0.5 * np.log(1 - r**2))


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
def test_both_find_that_of_a_gaussian(rho):
    values, truth = correlated(3000, rho, 4)
    assert gaussian_total_correlation(values) == pytest.approx(truth, abs=0.04)
    assert knn_total_correlation(values) == pytest.approx(truth, abs=0.07)


def test_two_columns_are_a_pair():
    values, _ = correlated(400, 0.5, 2, seed=3)
    assert knn_total_correlation(values, 4) == pytest.approx(ksg(values[:, 0], values[:, 1], 4))


def test_neighbours_see_what_is_not_a_straight_line():
    x = np.random.default_rng(1).normal(size=1500)
    values = np.column_stack([x, x**2 + 0.1 * np.random.default_rng(2).normal(size=1500)])
    assert gaussian_total_correlation(values) < 0.05
    assert knn_total_correlation(values) > 0.8


def test_sums_of_others_are_infinite_and_constants_do_not_count():
    values, _ = correlated(200, 0.4, 3)
    assert gaussian_total_correlation(np.column_stack([values, values[:, 0]])) == float("inf")
    assert gaussian_total_correlation(np.column_stack([values, values.sum(1)])) == float("inf")
    whole = gaussian_total_correlation(values)
    assert gaussian_total_correlation(np.column_stack([values, np.ones(200)])) == whole
    assert gaussian_total_correlation(values[:, :1]) == 0
