import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma

from latentscope.diagnostics.mi.estimators import (
    SortedColumn,
    closer_points,
    ksg,
    ksg_shuffled,
    ksg_terms,
    ksg_terms_of,
)
from latentscope.diagnostics.mi.kernels import ascending_order


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


@settings(deadline=None, max_examples=60)
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
    x, y = (
        SortedColumn.of(a) for a in KINDS[kind](rng.normal(size=900), rng.normal(size=900), rng)
    )
    single = [ksg_terms(x, y, k) for k in ks]
    np.testing.assert_array_equal(ksg_terms_of(x, y, ks), single)
    pairing = x.ranks[y.order][None]
    shuffled = ksg_shuffled(x.ascending, y.ascending, pairing, ks[-1])
    assert shuffled[0] == pytest.approx(single[-1].mean(), abs=1e-12)


def test_terms_are_in_the_order_of_y():
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(2, 800))
    x[:400] = y[:400]
    terms = ksg_terms(SortedColumn.of(x), SortedColumn.of(y), 3)
    tied = SortedColumn.of(y).order < 400
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


@pytest.mark.parametrize("shapes", [(1, 2), (2, 1), (3, 2)])
def test_equals_all_distances_in_several_dimensions(shapes):
    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=(400, d)) for d in shapes)
    y[:, 0] += x[:, 0]
    x[::7] = x[3]
    assert ksg(x, y, 3) == pytest.approx(slow_ksg(x, y, 3), abs=1e-12)


def test_one_column_as_a_matrix_takes_the_other_path_to_the_same_value():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 2000))
    assert ksg(x[:, None], y[:, None]) == pytest.approx(ksg(x, y), abs=1e-12)


@pytest.mark.parametrize(("n", "rho"), [(50, 0.0), (1000, 0.6), (3000, 0.999)])
def test_equals_npeet_without_its_noise(n, rho, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimators = pytest.importorskip("npeet_plus.estimators")
    monkeypatch.setattr(estimators, "add_noise", lambda x, *args: x)
    rng = np.random.default_rng(n)
    x = rng.normal(size=n)
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)
    theirs = estimators.mi(x, y, k=3, base=np.e)
    assert ksg(x, y) == pytest.approx(theirs, abs=1e-6)


def test_counts_test_the_difference_and_not_a_rounded_sum():
    # 1e16 + 1 rounds to 1e16: a search for x + eps would not see the neighbour at distance 2.
    points = np.array([1e16, 1e16 + 2, 1e16 + 4, 1e16 + 6])[:, None]
    assert list(closer_points(points, np.array([2.0, 2.5, 4.0, 5.0]))) == [0, 2, 2, 2]
    assert list(closer_points(np.hstack([points] * 2), np.array([2.0, 2.5, 4.0, 5.0]))) == [
        0,
        2,
        2,
        2,
    ]


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
    x, y = (SortedColumn.of(rng.normal(size=n)) for _ in range(2))
    neighbors = (3,) if n < 6 else neighbors
    first = ksg_terms_of(x, y, neighbors, threads=1)
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(ksg_terms_of(x, y, neighbors, threads=threads), first)


def test_pairs_may_run_side_by_side():
    rng = np.random.default_rng(16)
    columns = [SortedColumn.of(column) for column in rng.normal(size=(6, 3000))]
    pairs = [(x, y) for x in columns for y in columns]
    alone = [ksg_terms_of(x, y, (3,), threads=1) for x, y in pairs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda pair: ksg_terms_of(*pair, (3,), threads=1), pairs))
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


def test_dropping_rows_needs_no_new_sort():
    rng = np.random.default_rng(15)
    values = rng.normal(size=500)
    keep = rng.random(500) < 0.6
    kept = SortedColumn.of(values).rows(keep)
    fresh = SortedColumn.of(values[keep])
    for name in ("values", "order", "ascending", "ranks"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(fresh, name))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0]), max_size=60))
def test_sorting_is_the_stable_one(values):
    column = np.array(values, dtype=np.float64)
    np.testing.assert_array_equal(ascending_order(column), np.argsort(column, kind="stable"))
