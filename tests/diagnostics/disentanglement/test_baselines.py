import numpy as np
from scipy.stats import kstest

from latentscope.diagnostics.disentanglement_measures import (
    Axes,
    principal_axes,
    random_rotation,
    standardised,
)


def test_rotations_keep_lengths_and_are_spread_evenly():
    rng = np.random.default_rng(0)
    q = random_rotation(5, rng).matrix
    np.testing.assert_allclose(q @ q.T, np.eye(5), atol=1e-12)
    # The first entry of a random unit vector in three dimensions is uniform in -1 ... 1.
    entries = [random_rotation(3, rng).matrix[0, 0] for _ in range(2000)]
    assert kstest(entries, "uniform", (-1, 2)).pvalue > 0.01


def test_principal_axes_decorrelate_widest_first():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(800, 4)) @ rng.normal(size=(4, 4))
    along = principal_axes(values).of(values)
    covariance = np.cov(along.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-9)
    assert (np.diff(np.diag(covariance)) < 0).all()


def test_axes_of_rounding_errors_are_0():
    z = np.random.default_rng(2).normal(size=(300, 2))
    along = principal_axes(np.hstack([z, z])).of(np.hstack([z, z]))
    assert along.std(axis=0)[:2].min() > 0.5
    assert not along[:, 2:].any()


def test_standardised_over_some_rows_keeps_constants_at_0():
    rng = np.random.default_rng(3)
    values = np.column_stack([rng.normal(5, 3, 100), np.full(100, 7.0)])
    rows = np.arange(0, 100, 2)
    scaled = standardised(values, rows)
    np.testing.assert_allclose(scaled[rows, 0].mean(), 0, atol=1e-12)
    np.testing.assert_allclose(scaled[rows, 0].std(), 1)
    assert not scaled[:, 1].any()
    values[3] = np.nan
    assert np.isnan(standardised(values, rows)[3]).all()
    assert Axes("latents").of(scaled) is scaled
