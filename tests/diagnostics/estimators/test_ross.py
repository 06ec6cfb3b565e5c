import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma

from latentscope.diagnostics.mi.estimators import plugin_shuffled, plugin_terms, ross, ross_shuffled


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


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(10, 90), classes=st.integers(2, 5))
def test_equals_all_distances(seed, n, classes):
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
    x = rng.normal(size=200)
    lonely = np.append(codes, [7, 9])
    assert ross(np.append(x, [0.1, 5.0]), lonely, 3) == ross(x, codes, 3)


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
    pairs = rng.integers(0, 4, (300, 200)), rng.integers(0, 5, (300, 200))
    assert plugin_shuffled(*pairs).mean() == pytest.approx(0, abs=0.004)


def test_known_table_of_classes():
    counts = np.array([[30, 10], [20, 40]])
    x, y = (np.repeat(side, counts.ravel()) for side in ([0, 0, 1, 1], [0, 1, 0, 1]))
    share = counts / 100
    outer = share.sum(1, keepdims=True) * share.sum(0, keepdims=True)
    truth = (share * np.log(share / outer)).sum() + (2 + 2 - 4 - 1) / 200
    assert plugin_terms(x, y).mean() == pytest.approx(truth, abs=1e-12)
