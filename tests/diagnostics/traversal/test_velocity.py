"""Spectra that are shifted by a known velocity, ones that are not, and straight lines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.diagnostics.traversal.velocity import (
    lag_correlation,
    log_axis,
    rate,
    running_contrast,
    spline,
    velocity,
)
from tests.diagnostics.traversal.stars import C, log_grid, star

LOG = log_grid()
LINEAR = np.arange(4800.0, 5400.0, 0.02)


def setting(wavelength, gap=(5303.6, 5338.0)):
    valid = (wavelength < gap[0]) | (wavelength > gap[1])
    return log_axis(wavelength, valid, valid)


AXES = {"log": (LOG, setting(LOG)), "linear": (LINEAR, setting(LINEAR))}


def contrast(wavelength, axis, flux):
    pixels = 1 + 2 * round(300 / C / axis.step)
    return running_contrast(axis.put(flux), axis.valid, pixels)


def shifted(grid, rv, base_rv=0.0, **star_is):
    wavelength, axis = AXES[grid]
    base = contrast(wavelength, axis, star(wavelength, rv=base_rv))
    moved = (base_rv + rv) / (1 + base_rv * rv / C**2)
    return velocity(contrast(wavelength, axis, star(wavelength, rv=moved, **star_is)), base, axis)


@pytest.mark.parametrize("grid", ["log", "linear"])
@settings(max_examples=15)
@given(rv=st.floats(-250, 250), base_rv=st.floats(-80, 80))
def test_a_known_shift_comes_back_with_its_sign(grid, rv, base_rv):
    found = shifted(grid, rv, base_rv)
    assert found.rv == pytest.approx(rv, abs=0.05)
    assert found.correlation > 0.99


@pytest.mark.parametrize("rv", [-120.0, -3.3, 0.4, 4.4, 60.0])
def test_the_continuum_does_not_move_the_lines(rv):
    assert shifted("log", rv, slope=2.0).rv == pytest.approx(rv, abs=0.05)


@pytest.mark.parametrize("rv", [-30.0, 12.0])
def test_a_shift_explains_the_change_it_makes(rv):
    found = shifted("log", rv)
    assert found.explained > 0.98
    assert found.after < 0.02 * found.before
    assert found.error < 0.05


def test_swapping_the_spectra_changes_the_sign_alone():
    wavelength, axis = AXES["log"]
    one, two = (contrast(wavelength, axis, star(wavelength, rv=rv)) for rv in (0.0, 17.3))
    assert velocity(two, one, axis).rv == pytest.approx(-velocity(one, two, axis).rv, abs=0.02)


def test_deeper_lines_are_no_shift():
    found = shifted("log", 0.0, iron=0.1)
    assert abs(found.rv) < 0.02
    assert abs(found.explained) < 0.01
    assert found.correlation > 0.9


def test_the_same_spectrum_has_no_change_to_explain():
    wavelength, axis = AXES["log"]
    base = contrast(wavelength, axis, star(wavelength))
    found = velocity(base, base, axis)
    assert abs(found.rv) < 0.001
    assert np.isnan(found.explained)


def test_the_error_covers_what_noise_does():
    wavelength, axis = AXES["log"]
    base = contrast(wavelength, axis, star(wavelength))
    rng = np.random.default_rng(1)
    pulls = []
    for _ in range(40):
        noisy = star(wavelength, rv=5.0) + 0.05 * rng.normal(size=len(wavelength))
        found = velocity(contrast(wavelength, axis, noisy), base, axis)
        pulls.append((found.rv - 5.0) / found.error)
    assert 0.7 < np.std(pulls) < 1.5
    assert abs(np.mean(pulls)) < 0.7


def test_regions_that_disagree_make_a_large_error():
    wavelength, axis = AXES["log"]
    base = contrast(wavelength, axis, star(wavelength))
    half = np.where(wavelength < 5350, star(wavelength, rv=10.0), star(wavelength, rv=-2.0))
    found = velocity(contrast(wavelength, axis, half), base, axis)
    assert -2 < found.rv < 10
    assert found.error > 0.8


def test_unlike_spectra_correlate_little():
    wavelength, axis = AXES["log"]
    base = contrast(wavelength, axis, star(wavelength))
    noise = np.random.default_rng(2).normal(size=len(wavelength))
    assert velocity(noise, base, axis).correlation < 0.3


def test_a_spectrum_without_lines_has_no_velocity():
    wavelength, axis = AXES["log"]
    base = contrast(wavelength, axis, star(wavelength))
    for pair in ((np.zeros_like(base), base), (base, np.zeros_like(base))):
        found = velocity(*pair, axis)
        assert np.isnan([found.rv, found.error, found.correlation, found.explained]).all()


def test_a_peak_at_the_edge_gives_no_velocity():
    wavelength, axis = AXES["log"]
    base = contrast(wavelength, axis, star(wavelength))
    far = contrast(wavelength, axis, star(wavelength, rv=20.0))
    assert np.isnan(velocity(far, base, axis, limit=17.0).rv)


def test_lags_agree_with_the_sum_written_out():
    rng = np.random.default_rng(3)
    n, reach = 300, 7
    valid = np.ones(n, bool)
    valid[100:130] = False
    f, b = (np.where(valid, rng.normal(size=n), 0.0) for _ in range(2))
    lags, height = lag_correlation(f, b, valid, reach)
    for lag, found in zip(lags, height, strict=True):
        pairs = [
            (f[i], b[i - lag]) for i in range(n) if 0 <= i - lag < n and valid[i] and valid[i - lag]
        ]
        x, y = np.array(pairs).T
        assert found == pytest.approx(x @ y / np.sqrt((x @ x) * (y @ y)), abs=1e-10)


def test_an_axis_that_is_logarithmic_stays_as_it_is():
    wavelength, axis = AXES["log"]
    assert axis.same
    flux = np.arange(len(wavelength), dtype=float)
    np.testing.assert_array_equal(axis.put(flux), flux)


def test_other_axes_are_brought_to_equal_steps():
    wavelength, axis = AXES["linear"]
    assert not axis.same
    np.testing.assert_allclose(np.diff(np.log(axis.wavelength)), axis.step, rtol=1e-6)
    # Flux that is the wavelength itself must come out as the axis' wavelengths.
    np.testing.assert_allclose(axis.put(wavelength), axis.wavelength, rtol=1e-9)
    assert not axis.valid[(axis.wavelength > 5304) & (axis.wavelength < 5337)].any()


def test_splines_bridge_what_is_not_valid():
    x = np.linspace(0, 1, 101)
    valid = np.ones(101, bool)
    valid[40:60] = False
    y = np.where(valid, 2 * x, 1e6)
    np.testing.assert_allclose(spline(x, y, valid)(x), 2 * x, atol=1e-9)


def test_contrast_of_a_flat_spectrum_is_zero_whatever_its_level():
    valid = np.ones(500, bool)
    valid[200:240] = False
    flat = np.where(valid, 7.0, np.nan)
    np.testing.assert_allclose(running_contrast(flat, valid, 65), 0.0, atol=1e-12)


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
