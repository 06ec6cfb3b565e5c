"""Every estimator against its definition worked out from all distances, and closed forms."""

import importlib
import sys
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import digamma
from scipy.stats import poisson
from sklearn.metrics import mutual_info_score

from latentscope.diagnostics.mi import estimators
from latentscope.diagnostics.mi.api import mi_matrix, mutual_information
from latentscope.diagnostics.mi.columns import read_column
from latentscope.diagnostics.mi.estimators import (
    AUTO,
    COVARIANCE,
    ESTIMATORS,
    NEIGHBORS,
    VARIANCE_OF_TERMS,
    Estimate,
    Estimator,
    Plugin,
    bin_codes,
    choose,
    extrapolated,
    histogram_terms,
    kinds_of,
    ksg_shuffled,
    ksg_terms,
    plugin_terms,
    ross_shuffled,
)
from latentscope.diagnostics.mi.points import closer
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning
from tests.diagnostics.mi.arrays import column, estimate, ksg, terms_of_several

# KSG


def sorted_pair(x, y):
    """Ascending values of both, and the rank in x of each row in the order of y."""
    x, y = column(x), column(y, 1)
    return x.ascending, y.ascending, x.ranks[y.order]


def slow_ksg(x, y, k):
    """Kraskov et al. 2004, equation (8), from all distances."""
    n = len(x)
    of_x, of_y = (np.abs(a[:, None] - a[None]).reshape(n, n, -1).max(axis=2) for a in (x, y))
    others = ~np.eye(n, dtype=bool)
    joint = np.maximum(of_x, of_y)[others].reshape(n, n - 1)
    eps = np.partition(joint, k - 1, axis=1)[:, k - 1]
    closer = [(a[others].reshape(n, n - 1) < eps[:, None]).sum(axis=1) for a in (of_x, of_y)]
    return digamma(k) + digamma(n) - sum(digamma(c + 1).mean() for c in closer)


finite = st.floats(-1e3, 1e3, allow_nan=False, width=32)


@settings(max_examples=60)
@given(data=st.data(), n=st.integers(5, 120), k=st.integers(1, 32))
def test_equals_all_distances_ties_and_outliers_included(data, n, k):
    k = min(k, n - 1)
    x = np.array(data.draw(st.lists(finite, min_size=n, max_size=n)), dtype=np.float64)
    seed = data.draw(st.integers(0, 99))
    y = np.random.default_rng(seed).choice(x, n) + data.draw(st.sampled_from([0.0, 1.0])) * x
    assert ksg(x, y, k) == pytest.approx(slow_ksg(x, y, k), abs=1e-12)


def ranks_with_jitter(values, rng):
    return (np.argsort(np.argsort(values)) + rng.random(len(values))) / len(values)


KINDS = {
    "independent": lambda x, e, rng: (x, e),
    "close": lambda x, e, rng: (x, x + 0.01 * e),
    "two branches": lambda x, e, rng: (x, x**2 + 0.03 * e),
    "branches across": lambda x, e, rng: (x**2 + 0.03 * e, x),
    "heavy tails": lambda x, e, rng: (1 / x, 1 / e + 0.2 / x),
    "even margins": lambda x, e, rng: tuple(ranks_with_jitter(a, rng) for a in (x, x + e)),
    "one even margin": lambda x, e, rng: (ranks_with_jitter(x, rng), x + e),
    "coarse": lambda x, e, rng: (x.round(1), (x + e).round()),
    "atom": lambda x, e, rng: (np.where(x < 0, 0, x), np.where(e < 0.5, 0, e)),
    "constant": lambda x, e, rng: (x, np.zeros(len(x))),
    "both constant": lambda x, e, rng: (np.ones(len(x)), np.zeros(len(x))),
    "clumps": lambda x, e, rng: (x + 1e6 * (e > 1), e),
    "same": lambda x, e, rng: (x, x),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 2, 3, 4, 9, 32])
def test_equals_all_distances_on_columns_of_every_kind(kind, k):
    rng = np.random.default_rng(k)
    for n in (k + 1, 40, 700):
        x, y = KINDS[kind](rng.normal(size=n), rng.normal(size=n), rng)
        assert ksg(x, y, k) == pytest.approx(slow_ksg(x, y, k), abs=1e-12)


@pytest.mark.parametrize("kind", ["independent", "even margins", "coarse", "heavy tails"])
@pytest.mark.parametrize("ks", [(1, 2), (1, 3), (4, 8, 16), (2, 4, 8, 16)])
def test_one_search_serves_several_neighbors(kind, ks):
    rng = np.random.default_rng(7)
    pair = sorted_pair(*KINDS[kind](rng.normal(size=900), rng.normal(size=900), rng))
    single = [ksg_terms(*pair, [k])[0] for k in ks]
    np.testing.assert_array_equal(ksg_terms(*pair, ks), single)
    shuffled = ksg_shuffled(*pair[:2], pair[2][None], ks[-1])
    assert shuffled[0] == pytest.approx(single[-1].mean(), abs=1e-12)


def test_terms_are_in_the_order_of_y():
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(2, 800))
    x[:400] = y[:400]
    terms = ksg_terms(*sorted_pair(x, y), [3])[0]
    tied = column(y).order < 400
    assert terms[tied].mean() > terms[~tied].mean() + 1


@pytest.mark.parametrize("n", [11, 64, 700, 1500])
@pytest.mark.parametrize("k", [1, 3, 10])
def test_equals_all_distances_on_correlated_data(n, k):
    rng = np.random.default_rng(n + k)
    x = rng.standard_cauchy(n)
    y = 0.3 * x + rng.normal(size=n)
    assert ksg(x, y, k) == pytest.approx(slow_ksg(x, y, k), abs=1e-12)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e6])
def test_equals_all_distances_on_unscaled_columns(scale):
    rng = np.random.default_rng(5)
    x = rng.normal(size=600)
    y = scale * (x + rng.normal(size=600))
    assert ksg(x, y, 3) == pytest.approx(slow_ksg(x, y, 3), abs=1e-12)
    assert ksg(y, x, 3) == pytest.approx(slow_ksg(y, x, 3), abs=1e-12)


@pytest.mark.parametrize("shapes", [(1, 2), (2, 1), (1, 3)])
def test_equals_all_distances_in_several_dimensions(shapes):
    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=(400, d)) for d in shapes)
    y[:, 0] += x[:, 0]
    x[::7] = x[3]
    assert ksg(x, y, 3) == pytest.approx(slow_ksg(x, y, 3), abs=1e-12)


@pytest.mark.parametrize(("n", "rho"), [(50, 0.0), (1000, 0.6), (3000, 0.999)])
def test_equals_npeet_without_its_noise(n, rho, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("npeet_plus.estimators")
    monkeypatch.setattr(package, "add_noise", lambda x, *args: x)
    rng = np.random.default_rng(n)
    x = rng.normal(size=n)
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)
    theirs = package.mi(x, y, k=3, base=np.e)
    assert ksg(x, y) == pytest.approx(theirs, abs=1e-6)


def test_counts_test_the_difference_and_not_a_rounded_sum():
    # 1e16 + 1 rounds to 1e16: a search for x + eps would not see the neighbor at distance 2.
    values = np.array([1e16, 1e16 + 2, 1e16 + 4, 1e16 + 6])
    assert list(closer(values, np.array([2.0, 2.5, 4.0, 5.0]))) == [0, 2, 2, 2]


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_gaussians_have_their_closed_form(rho):
    rng = np.random.default_rng(11)
    x = rng.normal(size=20_000)
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=20_000)
    assert ksg(x, y) == pytest.approx(-0.5 * np.log(1 - rho**2), abs=0.025)


def test_rows_and_sides_may_be_exchanged():
    rng = np.random.default_rng(12)
    x = rng.normal(size=900)
    y = x**2 + rng.normal(size=900)
    order = rng.permutation(900)
    assert ksg(y, x) == pytest.approx(ksg(x, y), abs=1e-12)
    assert ksg(x[order], y[order]) == pytest.approx(ksg(x, y), abs=1e-12)
    assert ksg(4 * x, 4 * y) == pytest.approx(ksg(x, y), abs=1e-12)


@pytest.mark.parametrize("n", [4, 100, 5000])
@pytest.mark.parametrize("neighbors", [(3,), (2, 5)])
def test_terms_do_not_depend_on_the_number_of_threads(n, neighbors):
    rng = np.random.default_rng(13)
    pair = sorted_pair(*rng.normal(size=(2, n)))
    neighbors = (3,) if n < 6 else neighbors
    first = ksg_terms(*pair, neighbors, threads=1)
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(ksg_terms(*pair, neighbors, threads=threads), first)


def test_pairs_may_run_side_by_side():
    rng = np.random.default_rng(16)
    columns = rng.normal(size=(6, 3000))
    pairs = [sorted_pair(x, y) for x in columns for y in columns]
    alone = [ksg_terms(*pair, [3], threads=1) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda pair: ksg_terms(*pair, [3], threads=1), pairs))
    np.testing.assert_array_equal(together, alone)


def test_shuffles_are_estimates_of_the_shuffled_columns():
    rng = np.random.default_rng(14)
    x, y = np.sort(rng.normal(size=(2, 300)))
    pairings = np.array([rng.permutation(300) for _ in range(4)])
    values = ksg_shuffled(x, y, pairings, 3)
    for value, pairing in zip(values, pairings, strict=True):
        assert value == pytest.approx(ksg(x[pairing], y), abs=1e-12)
    for threads in (1, 3, 9):
        again = ksg_shuffled(x, y, pairings, 3, threads=threads)
        np.testing.assert_array_equal(again, values)


# No neighbors at all


def terms_of(x, y):
    return ksg_terms(*sorted_pair(x, y), NEIGHBORS)


def test_noise_of_independent_columns_is_that_measured():
    rng = np.random.default_rng(0)
    n = 1_024
    terms = [terms_of(rng.random(n), rng.random(n)) for _ in range(1_000)]
    noise = n * np.cov(np.array([t.mean(axis=1) for t in terms]).T)
    assert noise == pytest.approx(COVARIANCE, rel=0.2, abs=0.03)
    scatter = np.mean([t.var(axis=1) for t in terms], axis=0)
    assert scatter == pytest.approx(VARIANCE_OF_TERMS, rel=0.05)


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
    for strength, expected in ((0.0, 8), (1.0, 0)):
        columns = column(x), column(strength * x + noise, 1)
        assert AUTO[0].estimate(*columns, 3).neighbors == expected
        assert ESTIMATORS["copula"].estimate(*columns, 8).neighbors is None


# Several columns


def pairs(n, seed, rho=0.8, columns=2):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, columns))
    return x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=(n, columns))


@pytest.mark.parametrize("k", [1, 3, 8])
def test_terms_of_several_k_are_those_of_each(k):
    x, y = pairs(300, 0)
    assert terms_of_several(x, y, (k, 16))[0].mean() == pytest.approx(ksg(x, y, k), abs=1e-12)


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


def test_copies_of_rows_of_several_columns_are_told():
    x, y = np.random.default_rng(5).normal(size=(2, 200, 2))
    three = np.repeat(np.arange(200), 3)
    with pytest.warns(LatentscopeWarning, match="400 of 600 rows are copies of another"):
        mutual_information(x[three], y[three])


def test_classes_of_several_columns():
    rng = np.random.default_rng(4)
    label = rng.integers(0, 2, 1_000)
    x = rng.normal(size=(1_000, 2)) + 8 * label[:, None]
    assert mutual_information(x, label, discrete=True) == pytest.approx(np.log(2), abs=0.01)


@pytest.mark.parametrize("estimator", ["plugin", "mixture", "histogram", "gmm", "npeet"])
def test_estimators_of_single_columns_say_so(estimator):
    with pytest.raises(EstimatorError, match=r"takes single columns.*auto"):
        mutual_information(*pairs(50, 0), estimator=estimator)


# Classes


def ross(x, codes, neighbors=3):
    return estimate("ross", x, codes, neighbors, discrete=True)


def slow_ross(x, codes, k):
    """Ross 2014, equation (2), from all distances."""
    n = len(x)
    distance = np.abs(x[:, None] - x[None]).astype(float)
    np.fill_diagonal(distance, np.inf)
    terms = []
    for i in range(n):
        same = np.sort(distance[i, codes == codes[i]])[:-1]
        used = min(k, len(same))
        within = (distance[i] < same[used - 1]).sum()
        terms.append(digamma(n) - digamma(len(same) + 1) + digamma(used) - digamma(within + 1))
    return float(np.mean(terms))


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(10, 90), classes=st.integers(2, 5))
def test_ross_equals_all_distances(seed, n, classes):
    rng = np.random.default_rng(seed)
    codes = np.sort(np.append(np.repeat(np.arange(classes), 2), rng.integers(0, classes, n)))
    x = rng.normal(size=len(codes)) + codes
    k = int(rng.integers(1, 5))
    assert ross(x, codes, k) == pytest.approx(slow_ross(x, codes, k), abs=1e-12)
    assert ross(np.column_stack([x, x]), codes, k) == pytest.approx(ross(x, codes, k), abs=1e-12)


def test_equals_scikit_learn_where_that_does_not_clip():
    from sklearn.feature_selection import mutual_info_classif

    rng = np.random.default_rng(2)
    codes = rng.integers(0, 4, 1500)
    x = rng.normal(size=1500) + codes
    theirs = mutual_info_classif(x[:, None], codes, n_neighbors=3, random_state=0)[0]
    assert ross(x, codes, 3) == pytest.approx(theirs, abs=1e-8)


def test_rows_alone_in_their_class_are_left_out():
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 3, 200)
    x = rng.normal(size=(200, 2))
    lonely = np.append(codes, [7, 9])
    more = np.vstack([x, [[0.1, 0.1], [5.0, 5.0]]])
    assert ross(more, lonely, 3) == ross(x, codes, 3)
    x = x[:, 0]
    apart = mutual_information(np.append(x, [0.1, 5.0]), lonely, estimator="ross", discrete=True)
    assert apart == pytest.approx(ross(x, codes, 3), abs=1e-12)


def test_shuffled_classes_are_estimates():
    rng = np.random.default_rng(4)
    x = np.sort(rng.normal(size=300))
    codes = np.array([rng.permutation(np.repeat(np.arange(3), 100)) for _ in range(3)])
    np.testing.assert_allclose(
        ross_shuffled(x, codes, 3), [ross(x, row, 3) for row in codes], atol=1e-12
    )


def test_a_separating_label_gives_its_entropy_and_a_useless_one_nothing():
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 3, 4000)
    assert ross(rng.normal(size=4000) + 50 * codes, codes, 3) == pytest.approx(np.log(3), abs=0.01)
    assert ross(rng.normal(size=4000), codes, 3) == pytest.approx(0, abs=0.03)


def test_classes_against_classes():
    rng = np.random.default_rng(6)
    codes = rng.integers(0, 4, 5000)
    assert plugin_terms(codes, codes).mean() == pytest.approx(np.log(4), abs=0.005)
    # Over many tables of independent classes, Miller's correction takes out the bias of
    # (4 - 1) (5 - 1) / (2 * 200) = 0.03 nats.
    tables = rng.integers(0, 4, (300, 200)), rng.integers(0, 5, (300, 200))
    assert Plugin().shuffled(*tables, 3).mean() == pytest.approx(0, abs=0.004)


def test_known_table_of_classes():
    counts = np.array([[30, 10], [20, 40]])
    x, y = (np.repeat(side, counts.ravel()) for side in ([0, 0, 1, 1], [0, 1, 0, 1]))
    share = counts / 100
    outer = share.sum(1, keepdims=True) * share.sum(0, keepdims=True)
    truth = (share * np.log(share / outer)).sum() + (2 + 2 - 4 - 1) / 200
    assert plugin_terms(x, y).mean() == pytest.approx(truth, abs=1e-12)


# Mixtures


def mixture(x, y, neighbors=3):
    return estimate("mixture", x, y, neighbors)


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


def mixed(kind, n, rng):
    """Integers, numbers, or a mixture of both; exact differences."""
    numbers = np.round(rng.normal(size=n) * 2**20) / 2**18
    few = rng.integers(0, 4, n).astype(float)
    return {"classes": few, "numbers": numbers, "both": np.where(few > 1, few, numbers)}[kind]


CLASSES_AND_NUMBERS = st.sampled_from(["classes", "numbers", "both"])


@settings(max_examples=80)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(7, 90),
    of_x=CLASSES_AND_NUMBERS,
    of_y=CLASSES_AND_NUMBERS,
)
def test_mixture_equals_all_distances(seed, n, of_x, of_y):
    rng = np.random.default_rng(seed)
    x, y = mixed(of_x, n, rng), mixed(of_y, n, rng)
    k = int(rng.integers(1, 7))
    expected = slow_mixture(x, y, k)
    terms = ESTIMATORS["mixture"].terms(column(x), column(y, 1), k)
    np.testing.assert_allclose(terms, expected, atol=1e-12)


def test_without_ties_it_is_the_estimate_of_kraskov():
    rng = np.random.default_rng(1)
    x = rng.normal(size=2000)
    y = x + rng.normal(size=2000)
    log_instead = np.log(2000) - digamma(2000)
    assert mixture(x, y) == pytest.approx(ksg(x, y) + log_instead, abs=1e-12)


def test_of_classes_it_is_about_the_corrected_plug_in():
    rng = np.random.default_rng(2)
    x = rng.integers(0, 4, 3000)
    y = (x + rng.integers(0, 3, 3000)) % 5
    assert mixture(x, y) == pytest.approx(plugin_terms(x, y).mean(), abs=5e-4)


def test_mixture_is_symmetric_and_the_same_in_other_units_and_orders():
    rng = np.random.default_rng(3)
    x, y = mixed("both", 800, rng), mixed("both", 800, rng)
    y = np.where(rng.random(800) < 0.5, x, y)
    value, order = mixture(x, y), rng.permutation(800)
    assert mixture(y, x) == pytest.approx(value, abs=1e-12)
    assert mixture(4 * x - 8, -4 * y) == pytest.approx(value, abs=1e-12)
    assert mixture(x[order], y[order]) == pytest.approx(value, abs=1e-12)


def test_decimals_are_the_steps_they_stand_for():
    rng = np.random.default_rng(4)
    x = rng.integers(51_000, 51_060, 900)
    y = x + rng.integers(-9, 9, 900)
    assert mixture(x * 0.1, y * 0.1) == pytest.approx(mixture(x, y), abs=1e-12)


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


def test_mixture_perfect_and_useless():
    rng = np.random.default_rng(8)
    x = rng.integers(0, 6, 4000)
    assert mixture(x, x) == pytest.approx(np.log(6), abs=0.01)
    assert mixture(x, rng.permutation(x)) == pytest.approx(0, abs=0.01)
    assert mixture(x, rng.normal(size=4000)) == pytest.approx(0, abs=0.03)
    assert mixture(x, np.zeros(4000)) == pytest.approx(0, abs=1e-3)


# Histograms


def histogram(x, y, bins=40):
    return histogram_terms(np.asarray(x, dtype=float), np.asarray(y, dtype=float), bins).mean()


def numpy_value(x, y, bins):
    return mutual_info_score(None, None, contingency=np.histogram2d(x, y, bins)[0])


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 200),
    bins=st.integers(1, 60),
    decimals=st.integers(0, 4),
)
def test_histogram_equals_numpy_and_scikit_learn(seed, n, bins, decimals):
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=n) * 3 + 5000, decimals)
    y = x + rng.exponential(size=n)
    edges = np.histogram_bin_edges(x, bins)
    if np.ptp(x):
        counted = np.bincount(bin_codes(x, bins), minlength=bins)
        np.testing.assert_array_equal(counted, np.histogram(x, edges)[0])
    assert histogram(x, y, bins) == pytest.approx(numpy_value(x, y, bins), abs=1e-10)


def test_histogram_is_symmetric_in_any_units_and_the_mean_of_its_terms():
    rng = np.random.default_rng(1)
    x = rng.normal(size=3000)
    y = x**2 + rng.normal(size=3000)
    value = histogram(x, y)
    assert histogram(y, x) == pytest.approx(value, abs=1e-12)
    assert histogram(4 * x, 2 * y) == pytest.approx(value, abs=1e-12)
    assert estimate("histogram", x, y) == pytest.approx(value, abs=1e-12)
    assert histogram_terms(x, y).shape == (3000,)


def test_histogram_perfect_useless_and_constant():
    rng = np.random.default_rng(2)
    x = rng.integers(0, 8, 4000).astype(float)
    shares = np.bincount(x.astype(int)) / 4000
    assert histogram(x, 3 * x, 8) == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-12)
    assert histogram(x, np.zeros(4000), 8) == 0
    useless = rng.random(4000), rng.random(4000)
    # The bias that the class documents.
    assert histogram(*useless, 40) == pytest.approx(39**2 / (2 * 4000), rel=0.1)
    assert histogram(*useless, 160) > 1


def test_a_gaussian_pair_in_fine_bins():
    rng = np.random.default_rng(3)
    x = rng.normal(size=400_000)
    y = 0.8 * x + 0.6 * rng.normal(size=400_000)
    assert histogram(x, y, 60) == pytest.approx(-np.log(0.6), abs=0.02)
    assert histogram(x, y, 5) < -np.log(0.6) - 0.1


# NPEET


@pytest.fixture
def installed():
    return pytest.importorskip("npeet_plus", reason="the extra [npeet] is not installed")


@pytest.fixture
def pair():
    rng = np.random.default_rng(1)
    x = rng.normal(size=1200)
    return x, 0.8 * x + 0.6 * rng.normal(size=1200)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("neighbors", [1, 3, 6])
def test_npeet_equals_our_own_where_nothing_is_tied(pair, neighbors):
    x, y = pair
    assert estimate("npeet", x, y, neighbors) == pytest.approx(ksg(x, y, neighbors), abs=1e-6)


def test_is_in_nats_and_near_the_truth(installed, pair):
    x, y = pair
    assert estimate("npeet", x, y) == pytest.approx(-np.log(0.6), abs=0.06)
    np.random.seed(0)  # noqa: NPY002
    bits = installed.mi(x[:, None], y[:, None], k=3, base=2)
    assert estimate("npeet", x, y) == pytest.approx(bits * np.log(2), abs=1e-9)


@pytest.mark.usefixtures("installed")
def test_the_noise_is_that_of_the_seed_and_the_global_state_stays():
    tied = np.repeat(np.arange(10.0), 30)
    np.random.seed(7)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    first, second, other = (estimate("npeet", tied, tied[::-1], seed=seed) for seed in (1, 1, 2))
    assert first == second
    assert first != other
    np.testing.assert_array_equal(np.random.random(3), expected)  # noqa: NPY002


@pytest.mark.usefixtures("installed")
def test_npeet_of_classes_perfect_and_useless():
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 3, 3000)
    apart = rng.normal(size=3000) + 50 * codes
    names = np.array(["G2V", "K0V", "M3V"])[codes]
    value = estimate("npeet", apart, codes, discrete=True)
    assert value == pytest.approx(np.log(3), abs=0.05)
    assert mutual_information(apart, names, estimator="npeet") == pytest.approx(value, abs=1e-9)
    useless = estimate("npeet", rng.normal(size=3000), codes, discrete=True)
    assert useless == pytest.approx(0, abs=0.05)


def test_without_any_says_how_to_install(monkeypatch, pair):
    real = importlib.import_module

    def missing(name, *rest):
        if "npeet" in name:
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(estimators, "import_module", missing)
    with pytest.raises(EstimatorError, match=r"pip install 'latentscope-spectra\[npeet\]'"):
        estimate("npeet", *pair)


def test_takes_the_original_where_only_that_is_installed(monkeypatch):
    original = types.ModuleType("npeet.entropy_estimators")
    calls = []
    original.mi = lambda x, y, k, base: calls.append((x.shape, y.shape, k, base)) or 0.5
    monkeypatch.setitem(sys.modules, "npeet_plus", None)
    monkeypatch.setitem(sys.modules, "npeet", types.ModuleType("npeet"))
    monkeypatch.setitem(sys.modules, "npeet.entropy_estimators", original)
    assert estimate("npeet", np.arange(9), np.arange(9), 2) == 0.5
    assert calls == [((9, 1), (9, 1), 2, np.e)]


# Which estimator serves a pair


@pytest.mark.parametrize(
    ("n", "least", "expected"),
    [
        (30, 3, 3),
        (100, 3, 6),
        (1_000, 3, 8),
        (5_000, 3, 5),
        (7_000, 3, 3),
        (50_000, 3, 3),
        (5_000, 12, 12),
        (50_000, 1, 1),
    ],
)
def test_few_rows_get_more_neighbors(n, least, expected):
    x, y = np.random.default_rng(0).normal(size=(2, n))
    assert AUTO[0].neighbors_for(column(x), column(y, 1), least) == expected


@pytest.mark.parametrize(("classes", "weak", "strong"), [(2, 16, 12), (10, 16, 6), (50, 12, 3)])
def test_few_rows_a_class_get_fewer_neighbors(classes, weak, strong):
    x = np.random.default_rng(0).normal(size=5_000)
    both = column(x), column(np.arange(5_000) % classes, 1, "auto")
    assert both[1].discrete
    assert AUTO[1].neighbors_for(*both, 3) == AUTO[1].neighbors_for(*both[::-1], 3) == weak
    assert AUTO[1].neighbors_of_strong(*both, 3) == strong


@pytest.mark.parametrize(
    ("values", "rows", "discrete"),
    [
        (2, 40, True),
        (5, 60, True),
        (5, 40, False),
        (20, 800, False),
        (20, 1_000, True),
        (50, 2_500, True),
        (51, 5_000, False),
    ],
)
def test_numbers_of_few_values_with_many_rows_are_classes(values, rows, discrete):
    assert read_column("x", np.arange(rows) % values).discrete is discrete


def test_tables_too_thin_for_counts_take_numbers_as_numbers():
    rng = np.random.default_rng(0)
    ten, thirty = (rng.integers(0, k, 2_000).astype(float) for k in (10, 30))
    text = np.array([f"c{i}" for i in thirty])
    few, many = (read_column("x", a, stream=(i,)) for i, a in enumerate((ten, thirty)))
    named = read_column("y", text)
    for pair in ((few, many), (many, few)):
        _, x, y, _ = choose(*pair, "auto")
        assert [column.discrete for column in (x, y)] == [p is few for p in pair]
    assert [c.discrete for c in choose(few, named, "auto")[1:3]] == [False, True]
    assert [c.discrete for c in choose(few, few, "auto")[1:3]] == [True, True]
    assert [c.discrete for c in choose(few, many, "plugin")[1:3]] == [True, True]
    assert abs(mutual_information(ten, thirty)) < 0.05


def test_names_of_estimators_and_reasons_reach_the_table():
    rng = np.random.default_rng(1)
    latents = rng.normal(size=(600, 1))
    label = latents[:, 0] + rng.normal(size=600)
    installed = ("npeet",) if find_spec("npeet_plus") else ()
    for name in ("copula", "ksg", "mixture", "histogram", "gmm", *installed):
        row = mi_matrix(latents, label[:, None], estimator=name).table.iloc[0]
        assert row["estimator"] == name
        assert "asked for" in row["reason"]
        assert 0.15 < row["mi_nats"] < 1.0
        assert 0 < row["std_nats"] < 0.1
        assert row["p_value"] < 0.01


def test_estimators_refuse_columns_that_they_do_not_take():
    x, text = read_column("x", np.arange(50.0)), read_column("y", ["a", "b"] * 25)
    with pytest.raises(EstimatorError, match="copula takes none"):
        choose(x, text, "copula")
    with pytest.raises(EstimatorError, match="npeet takes none or one"):
        choose(text, text, "npeet")
    assert kinds_of("auto") == ("auto", "auto")
    assert kinds_of("plugin") == (True, True)
    assert kinds_of("ross") == (False, True)
    assert kinds_of("gmm") == (False, "auto")


@pytest.mark.parametrize("estimator", ["gmm", "npeet", "ross"])
def test_estimators_of_a_label_of_classes_agree(estimator):
    if estimator == "npeet":
        pytest.importorskip("npeet_plus")
    rng = np.random.default_rng(2)
    label = rng.integers(0, 2, 1_500)
    x = rng.normal(size=1_500) + 2 * label
    value = mutual_information(x, label, estimator=estimator, discrete=True)
    assert value == pytest.approx(mutual_information(x, label), abs=0.04)


class Constant(Estimator):
    """What a newcomer writes."""

    name = "constant"
    takes = (0, 1)

    def estimate(self, x, y, neighbors, seed=0):
        return Estimate(0.5, 0.01)


def test_another_estimator_is_one_class_and_its_place_in_the_table(monkeypatch):
    monkeypatch.setitem(ESTIMATORS, "constant", Constant())
    monkeypatch.setattr(estimators, "NAMES", ("auto", *ESTIMATORS))
    x, y = np.random.default_rng(0).normal(size=(2, 100))
    assert mutual_information(x, y, estimator="constant") == 0.5
    table = mi_matrix(x[:, None], y[:, None], estimator="constant").table
    assert table["mi_nats"][0] == 0.5
    assert table["std_nats"][0] > 0.1
    assert table["p_value"][0] > 0.01
    with pytest.raises(ChoiceError, match=r"auto, ksg, .*, npeet, constant"):
        mutual_information(x, y, estimator="nonsense")
