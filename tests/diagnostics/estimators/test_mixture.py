import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import digamma
from scipy.stats import poisson

from latentscope.diagnostics.mi.estimators import (
    SortedColumn,
    ksg,
    mixture,
    mixture_terms,
    plugin_terms,
)
from latentscope.errors import EstimatorError


def slow_mixture(x, y, k):
    """Gao et al. 2017, algorithm 1 with digamma, from all distances; local terms."""
    apart = [
        np.abs(part[:, None] - part[None]).max(axis=2)
        for part in (x.reshape(len(x), -1), y.reshape(len(y), -1))
    ]
    both = np.maximum(*apart)
    terms = []
    for i in range(len(x)):
        rho = np.sort(np.delete(both[i], i))[k - 1]
        inside = [(row[i] == 0) if rho == 0 else (row[i] < rho) for row in apart]
        count = (both[i] == 0).sum() if rho == 0 else k
        terms.append(digamma(count) + np.log(len(x)) - sum(digamma(w.sum()) for w in inside))
    return np.array(terms)


def column(kind, n, rng):
    """Integers, numbers, or a mixture of both; exact differences."""
    numbers = np.round(rng.normal(size=n) * 2**20) / 2**18
    few = rng.integers(0, 4, n).astype(float)
    return {"classes": few, "numbers": numbers, "both": np.where(few > 1, few, numbers)}[kind]


KINDS = st.sampled_from(["classes", "numbers", "both"])


@settings(deadline=None, max_examples=80)
@given(seed=st.integers(0, 10**6), n=st.integers(7, 90), of_x=KINDS, of_y=KINDS)
def test_equals_all_distances(seed, n, of_x, of_y):
    rng = np.random.default_rng(seed)
    x, y = column(of_x, n, rng), column(of_y, n, rng)
    k = int(rng.integers(1, 7))
    expected = slow_mixture(x, y, k)
    terms = mixture_terms(SortedColumn.of(x), SortedColumn.of(y), k)
    np.testing.assert_allclose(terms, expected, atol=1e-12)
    assert mixture(x, y, k) == pytest.approx(expected.mean(), abs=1e-12)
    more = np.column_stack([x, column(of_y, n, rng)])
    assert mixture(more, y, k) == pytest.approx(slow_mixture(more, y, k).mean(), abs=1e-12)


def test_without_ties_it_is_the_estimate_of_kraskov():
    rng = np.random.default_rng(1)
    x = rng.normal(size=2000)
    y = x + rng.normal(size=2000)
    log_instead = np.log(2000) - digamma(2000)
    assert mixture(x, y) == pytest.approx(ksg(x, y) + log_instead, abs=1e-12)
    wide = np.column_stack([x, rng.normal(size=2000)])
    assert mixture(wide, y, 5) == pytest.approx(ksg(wide, y, 5) + log_instead, abs=1e-12)


def test_of_classes_it_is_about_the_corrected_plug_in():
    rng = np.random.default_rng(2)
    x = rng.integers(0, 4, 3000)
    y = (x + rng.integers(0, 3, 3000)) % 5
    assert mixture(x, y) == pytest.approx(plugin_terms(x, y).mean(), abs=5e-4)


def test_symmetric_and_the_same_in_other_units_and_orders():
    rng = np.random.default_rng(3)
    x, y = column("both", 800, rng), column("both", 800, rng)
    y = np.where(rng.random(800) < 0.5, x, y)
    value, order = mixture(x, y), rng.permutation(800)
    assert mixture(y, x) == pytest.approx(value, abs=1e-12)
    assert mixture(4 * x - 8, -4 * y) == pytest.approx(value, abs=1e-12)
    assert mixture(x[order], y[order]) == pytest.approx(value, abs=1e-12)
    assert mixture(np.column_stack([x, x]), y) == pytest.approx(value, abs=1e-12)


def test_decimals_are_the_steps_they_stand_for():
    rng = np.random.default_rng(4)
    x = rng.integers(51_000, 51_060, 900)
    y = x + rng.integers(-9, 9, 900)
    assert mixture(x * 0.1, y * 0.1) == pytest.approx(mixture(x, y), abs=1e-12)
    both = np.column_stack([x, y])
    assert mixture(both * 0.1, y * 0.1) == pytest.approx(mixture(both, y), abs=1e-12)


def test_a_small_scale_counts_beside_a_large_one():
    rng = np.random.default_rng(5)
    x = rng.normal(size=500) * 1e-9
    atom = np.where(rng.random(500) < 0.5, 1e9, 2e9)
    expected = slow_mixture(x, atom, 3).mean()
    assert mixture(x, atom) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("classes", [5, 30])
def test_class_and_a_uniform_number_beside_it(classes):
    # Gao et al. 2017, experiment I.
    rng = np.random.default_rng(6)
    x = rng.integers(0, classes, 5000)
    y = x + 2 * rng.random(5000)
    truth = np.log(classes) - (classes - 1) * np.log(2) / classes
    assert mixture(x, y) == pytest.approx(truth, abs=0.03)


@pytest.mark.parametrize("zeros", [0.0, 0.15])
def test_zero_inflated_poisson(zeros):
    # Gao et al. 2017, experiment III: x exponential, y Poisson of mean x, or 0.
    rng = np.random.default_rng(7)
    x = rng.exponential(size=5000)
    y = np.where(rng.random(5000) < zeros, 0, rng.poisson(x))
    counts = np.arange(60)

    def given_x(value):
        return zeros * (counts == 0) + (1 - zeros) * poisson.pmf(counts, value)

    margin = np.array(
        [quad(lambda v, c=c: np.exp(-v) * given_x(v)[c], 0, 60, limit=200)[0] for c in range(60)]
    )

    def inner(value):
        p = given_x(value)
        return np.exp(-value) * (p[p > 0] * np.log(p[p > 0] / margin[p > 0])).sum()

    truth = quad(inner, 1e-9, 40, limit=200)[0]
    assert truth == pytest.approx({0.0: 0.3012, 0.15: 0.2298}[zeros], abs=1e-3)
    assert mixture(x, y) == pytest.approx(truth, abs=0.035)


def test_perfect_and_useless():
    rng = np.random.default_rng(8)
    x = rng.integers(0, 6, 4000)
    assert mixture(x, x) == pytest.approx(np.log(6), abs=0.01)
    assert mixture(x, rng.permutation(x)) == pytest.approx(0, abs=0.01)
    assert mixture(x, rng.normal(size=4000)) == pytest.approx(0, abs=0.03)
    assert mixture(x, np.zeros(4000)) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.arange(3), np.arange(3), "3 rows; wanted more than 3"),
        (np.arange(9), np.arange(8), "x has 9 rows and y has 8"),
        (np.arange(9), np.full(9, np.nan), "y: 9 of 9 values are NaN or infinite"),
        (np.zeros((2, 2, 2)), np.arange(2), r"x has shape \(2, 2, 2\)"),
    ],
)
def test_what_it_does_not_take(x, y, message):
    with pytest.raises(EstimatorError, match=message):
        mixture(x, y)
