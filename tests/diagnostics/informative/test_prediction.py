import numpy as np
import pytest

from latentscope import mutual_information
from latentscope.diagnostics.exclusive import cross_fitted, normal_scores


def left(target, predicted):
    """Share of the target's variance that is not predicted."""
    return float(np.var(target - predicted) / np.var(target))


@pytest.fixture
def columns():
    return np.random.default_rng(0).normal(size=(2000, 3))


@pytest.mark.parametrize(
    ("function", "most"),
    [
        (lambda x: x[:, 0], 1e-6),
        (lambda x: x @ [0.3, -1.0, 2.0] + 5, 1e-6),
        (lambda x: x[:, 0] * x[:, 1], 1e-2),
        (lambda x: np.tanh(2 * x[:, 2]), 1e-2),
    ],
    ids=["copy", "sum", "product", "bend"],
)
def test_functions_are_predicted(columns, function, most):
    target = function(columns)
    assert (
        left(target, cross_fitted(columns, target[:, None], np.random.default_rng(1))[:, 0]) < most
    )


def test_noise_is_not_predicted_and_shares_nothing(columns):
    rng = np.random.default_rng(2)
    target = rng.normal(size=(2000, 8))
    predicted = cross_fitted(columns, target, rng)
    shared = [mutual_information(target[:, i], predicted[:, i]) for i in range(8)]
    # A prediction from fits to all other rows would move against its own row.
    assert abs(np.mean(shared)) < 0.02
    assert all(left(target[:, i], predicted[:, i]) > 0.98 for i in range(8))


def test_targets_do_not_disturb_each_other(columns):
    targets = np.column_stack([columns[:, 0] ** 2, np.sin(columns[:, 1])])
    both = cross_fitted(columns, targets, np.random.default_rng(3))
    alone = cross_fitted(columns, targets[:, 1:], np.random.default_rng(3))
    np.testing.assert_allclose(both[:, 1:], alone, atol=1e-9)


def test_a_close_relation_among_many_columns_is_kept():
    rng = np.random.default_rng(4)
    many = rng.normal(size=(3000, 9))
    target = 0.99 * many.sum(axis=1) / 3 + np.sqrt(1 - 0.99**2) * rng.normal(size=3000)
    predicted = cross_fitted(many, target[:, None], rng)[:, 0]
    truth = -0.5 * np.log(1 - 0.99**2)
    assert mutual_information(target, predicted) == pytest.approx(truth, abs=0.1)


def test_normal_scores_keep_the_order():
    values = np.random.default_rng(5).exponential(size=(1001, 2))
    scores = normal_scores(values)
    np.testing.assert_array_equal(np.argsort(values, axis=0), np.argsort(scores, axis=0))
    assert np.median(scores, axis=0) == pytest.approx(0)
    assert scores.std() == pytest.approx(1, abs=0.02)
