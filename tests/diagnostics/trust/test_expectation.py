"""Quadratic expectation, held to the range it was fitted in."""

import numpy as np
import pytest

from latentscope.diagnostics.trust.expectation import FOLDS, Fit, folds, held_out

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2000, 3))


def quadratic(x):
    first = 1 + 2 * x[:, 0] - x[:, 1] + 0.5 * x[:, 0] * x[:, 2]
    return np.column_stack([first, -3 + x[:, 2] ** 2])


def test_a_quadratic_is_found_again():
    inside = X[(np.abs(X) < 2).all(axis=1)]
    y = quadratic(inside)
    assert (
        np.abs(Fit(inside, y).residual(inside[:50] * 0.9, quadratic(inside[:50] * 0.9))).max()
        < 0.05
    )


def test_beyond_the_reference_the_expectation_stays_what_it_was_at_its_edge():
    fit = Fit(X, quadratic(X))
    far = np.array([[30.0, 0.0, 0.0], [300.0, 0.0, 0.0]])
    expected = -fit.residual(far, np.zeros((2, 2)))
    np.testing.assert_array_equal(expected[0], expected[1])
    assert np.abs(expected).max() < 15


@pytest.mark.parametrize(("rows", "terms"), [(200, "quadratic"), (60, "linear"), (30, "mean")])
def test_few_rows_get_a_simpler_fit(rows, terms):
    x, y = X[:rows], quadratic(X[:rows])[:, :1]
    oracle = {
        "quadratic": np.zeros(rows),
        "linear": y[:, 0] - np.column_stack([np.ones(rows), x]) @ np.linalg.lstsq(
            np.column_stack([np.ones(rows), x]), y[:, 0], rcond=None)[0],
        "mean": y[:, 0] - y.mean(),
    }  # fmt: skip
    found = Fit(x, y).residual(x, y)[:, 0]
    errors = {name: np.median(np.abs(found - wanted)) for name, wanted in oracle.items()}
    assert min(errors, key=errors.get) == terms


def test_no_column_leaves_the_mean():
    y = quadratic(X)
    np.testing.assert_allclose(Fit(X[:, :0], y).residual(X[:, :0], y), y - y.mean(0), atol=1e-9)


def test_constant_columns_do_no_harm():
    x = np.column_stack([X, np.ones(len(X))])
    y = quadratic(X)
    assert np.isfinite(Fit(x, y).residual(x, y)).all()


def test_held_out_residuals_come_from_the_other_folds():
    x, y = X[:300], quadratic(X[:300]) + RNG.normal(size=(300, 2))
    out, fold = held_out(x, y), folds(300)
    assert len(set(fold)) == FOLDS
    mine = fold == 2
    np.testing.assert_allclose(out[mine], Fit(x[~mine], y[~mine]).residual(x[mine], y[mine]))
