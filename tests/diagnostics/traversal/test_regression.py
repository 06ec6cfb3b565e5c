import numpy as np
import pytest

from latentscope.diagnostics.traversal.velocity import rate


def test_a_straight_line_has_its_slope_and_no_error():
    x = np.array([-2.0, -1.0, 0.5, 3.0])
    found = rate(x, 4 * x - 1)
    assert found.value == pytest.approx(4)
    assert found.error == pytest.approx(0, abs=1e-12)
    assert found.at_zero == pytest.approx(-1)


def test_without_errors_it_is_ordinary_least_squares():
    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    y = 2 * x + rng.normal(size=30)
    (slope, at_zero), covariance = np.polyfit(x, y, 1, cov=True)
    assert rate(x, y) == pytest.approx((slope, np.sqrt(covariance[0, 0]), at_zero))


def test_errors_weigh_the_points_and_are_an_upper_hand():
    x = np.array([0.0, 1.0, 2.0, 3.0])
    y = np.array([0.0, 1.0, 2.0, 30.0])
    sure = rate(x, y, np.array([0.1, 0.1, 0.1, 1000.0]))
    assert sure.value == pytest.approx(1.0, abs=0.01)
    on_the_line = rate(x, 5 * x, np.full(4, 2.0))
    assert on_the_line.error == pytest.approx(2.0 / np.sqrt(5.0), rel=1e-3)


def test_points_that_are_not_known_are_left_out():
    x = np.array([0.0, 1.0, 2.0, 3.0])
    assert rate(x, np.array([0.0, np.nan, 4.0, 6.0])).value == pytest.approx(2)
    error = np.array([1.0, np.nan, 1.0, 1.0])
    assert rate(x, np.array([0.0, 99.0, 4.0, 6.0]), error).value == pytest.approx(2)


@pytest.mark.parametrize("y", [[np.nan, np.nan, 1.0], [np.nan, np.nan, np.nan]])
def test_too_few_points_have_no_slope(y):
    assert np.isnan(rate(np.arange(3.0), np.array(y)).value)
