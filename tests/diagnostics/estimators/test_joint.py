import numpy as np
import pytest

from latentscope.diagnostics.mi.api import mutual_information
from latentscope.diagnostics.mi.estimators import joint_terms, ksg
from latentscope.errors import EstimatorError


def pairs(n, seed, rho=0.8, columns=2):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, columns))
    return x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=(n, columns))


@pytest.mark.parametrize("k", [1, 3, 8])
def test_terms_of_several_k_are_those_of_each(k):
    x, y = pairs(300, 0)
    assert joint_terms(x, y, (k, 16))[0].mean() == pytest.approx(ksg(x, y, k), abs=1e-12)


def test_extrapolation_takes_off_the_bias_of_several_columns():
    truth = -3 * 0.5 * np.log(1 - 0.8**2)
    samples = [pairs(2_000, seed, columns=3) for seed in range(4)]
    plain = np.mean([mutual_information(*s, estimator="copula") for s in samples])
    auto = np.mean([mutual_information(*s) for s in samples])
    assert abs(auto - truth) < 0.5 * abs(plain - truth)
    assert auto == pytest.approx(truth, abs=0.1)


def test_units_and_order_do_not_matter():
    x, y = pairs(800, 1)
    value = mutual_information(x, y)
    assert mutual_information(1e-6 * x, np.exp(y)) == pytest.approx(value, abs=1e-12)
    turned = np.random.default_rng(0).permutation(800)
    assert mutual_information(x[turned], y[turned]) == pytest.approx(value, abs=0.03)


def test_independent_columns_come_out_near_zero_and_missing_rows_are_dropped():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 1_500, 2))
    assert abs(mutual_information(x, y)) < 0.05
    x[:700, 0] = np.nan
    kept = mutual_information(x[700:], y[700:])
    assert mutual_information(x, y) == pytest.approx(kept, abs=0.01)


def test_classes_of_several_columns():
    rng = np.random.default_rng(4)
    label = rng.integers(0, 2, 1_000)
    x = rng.normal(size=(1_000, 2)) + 8 * label[:, None]
    assert mutual_information(x, label, discrete=True) == pytest.approx(np.log(2), abs=0.01)


@pytest.mark.parametrize("estimator", ["plugin", "mixture", "histogram", "gmm", "npeet"])
def test_estimators_of_single_columns_say_so(estimator):
    with pytest.raises(EstimatorError, match=r"takes single columns.*auto"):
        mutual_information(*pairs(50, 0), estimator=estimator)
