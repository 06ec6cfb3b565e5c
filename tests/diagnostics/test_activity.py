import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation

import latentscope
from latentscope.diagnostics.activity import mad
from latentscope.errors import EstimatorError
from latentscope.latents import Latents


def test_six_of_128_as_published():
    rng = np.random.default_rng(0)
    values = rng.normal(scale=0.005, size=(4000, 128))
    informative = [11, 19, 58, 85, 99, 124]
    values[:, informative] = rng.normal(scale=0.5, size=(4000, 6))
    result = mad(values)
    assert list(result.informative) == informative
    assert result.threshold == 0.02
    # Raw, not scaled to a standard deviation: 0.6745 sigma for Gaussians.
    assert result.values[11] == pytest.approx(0.5 * 0.67449, rel=0.05)


def test_equals_scipy_and_the_mean_form():
    values = np.random.default_rng(1).gamma(2, size=(501, 5))
    np.testing.assert_allclose(mad(values).values, median_abs_deviation(values), rtol=1e-12)
    mean = np.abs(values - values.mean(axis=0)).mean(axis=0)
    np.testing.assert_allclose(mad(values, kind="mean").values, mean, rtol=1e-12)


def test_rows_with_nan_are_ignored_and_counted():
    values = np.random.default_rng(2).normal(size=(50, 3))
    holes = values.copy()
    holes[[3, 9], 1] = np.nan
    result = mad(Latents(holes))
    np.testing.assert_array_equal(result.values, mad(np.delete(values, [3, 9], axis=0)).values)
    assert (result.n, result.ignored) == (48, 2)


@given(shift=st.floats(-1e3, 1e3), scale=st.floats(0.01, 100))
def test_shift_leaves_it_and_scale_scales_it(shift, scale):
    values = np.random.default_rng(3).normal(size=(201, 2))
    np.testing.assert_allclose(
        mad(values * scale + shift).values, scale * mad(values).values, rtol=1e-6, atol=1e-10
    )


@pytest.mark.parametrize("kind", ["median", "mean"])
def test_constant_dimensions_are_exactly_zero(kind):
    values = np.column_stack([np.full(77, 0.1), np.arange(77.0)])
    result = mad(values.astype(np.float32), kind=kind)
    assert result.values[0] == 0
    assert list(result.informative) == [1]
    assert result.table["std"].iloc[0] == 0


def test_table_says_all_of_it():
    frame = pd.DataFrame({"id": ["a", "b", "c"], "z0": [0.0, 1, 2], "z1": [5.0, 5, 5]})
    table = mad(frame, threshold=0.5).table
    assert list(table.columns) == [
        "dim",
        "mad",
        "informative",
        "median",
        "mean",
        "std",
        "minimum",
        "maximum",
    ]
    assert list(table["informative"]) == [True, False]
    assert list(table["maximum"]) == [2, 5]


def test_what_has_no_answer_is_refused():
    with pytest.raises(EstimatorError, match="none of 2 rows is finite"):
        mad(np.full((2, 3), np.nan))
    with pytest.raises(EstimatorError, match="1 values are infinite"):
        mad(np.array([[1.0, np.inf], [0, 0]]))
    with pytest.raises(EstimatorError, match="wanted one of median, mean"):
        mad(np.zeros((2, 3)), kind="mode")


def test_provenance_says_what_was_measured_with_which_version():
    values = np.random.default_rng(0).normal(size=(6, 2))
    values[1] = np.nan
    provenance = mad(values).provenance
    assert provenance["latentscope"] == latentscope.__version__
    assert provenance["time"].endswith("+00:00")
    assert provenance["dims"] == [0, 1]
    assert (provenance["rows"], provenance["rows_finite"]) == (6, 5)
