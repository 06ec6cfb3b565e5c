"""Smoothing, density, lasso: against slow oracles and identities."""

import numpy as np
import pytest

from latentscope.explorer.arrays import Window, density, inside, nearest_point, smoothed
from latentscope.explorer.panels import SpectrumPanel, legend
from latentscope.plots.pairs import label_colors


def test_smoothing_keeps_a_constant_and_the_holes_and_takes_the_noise():
    flux = np.full(500, 2.0, np.float32)
    flux[100:120] = np.nan
    np.testing.assert_allclose(smoothed(flux, 9), flux, rtol=1e-6)
    noise = np.random.default_rng(0).normal(0, 1, 100_000).astype(np.float32)
    # Standard deviation under a Gaussian: 1 / sqrt(2 sigma sqrt(pi)).
    expected = 1 / np.sqrt(2 * 9 / 2.3548 * np.sqrt(np.pi))
    assert smoothed(noise, 9).std() == pytest.approx(expected, rel=0.05)
    assert smoothed(noise, 0) is noise


def test_density_counts_what_numpy_counts_and_averages_the_colors():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 5000))
    rgb = rng.random((5000, 4))
    x[:10] = np.nan
    window = Window(-1.0, 2.0, -1.5, 1.5)
    counts, mean = density(x, y, rgb, window, (20, 30))
    at = np.isfinite(x)
    args = {"bins": (20, 30), "range": (window[2:], window[:2])}
    expected, _, _ = np.histogram2d(y[at], x[at], **args)
    np.testing.assert_array_equal(counts, expected)
    total, _, _ = np.histogram2d(y[at], x[at], weights=rgb[at, 1], **args)
    np.testing.assert_allclose(mean[..., 1][counts > 0], total[counts > 0] / counts[counts > 0])


def test_a_lasso_holds_what_matplotlib_says_it_holds():
    from matplotlib.path import Path

    rng = np.random.default_rng(2)
    points = rng.normal(size=(4000, 2))
    points[0] = np.nan
    angle = np.linspace(0, 2 * np.pi, 30)[:-1]
    corners = np.column_stack([np.cos(angle), np.sin(angle)]) * rng.uniform(0.5, 2, (29, 1))
    found = inside(points[:, 0], points[:, 1], corners[:, 0], corners[:, 1])
    assert not found[0]
    np.testing.assert_array_equal(found[1:], Path(corners).contains_points(points[1:]))


def test_the_nearest_point_is_near_as_seen_or_none_is():
    x, y = np.array([0.0, 1.0, np.nan]), np.array([0.0, 100.0, 0.0])
    window = Window(0, 1, 0, 100)
    assert nearest_point(x, y, (0.99, 99.0), window) == 1
    assert nearest_point(x, y, (0.5, 50.0), window) is None
    assert nearest_point(x * np.nan, y, (0.5, 50.0), window) is None


def test_legend_says_where_colors_saturate_and_where_there_are_none():
    assert legend(label_colors(np.full(3, np.nan)), "mass") == "mass: no values"
    said = legend(label_colors(np.arange(-500.0, 501)), "radial velocity (km/s)")
    assert said.startswith("radial velocity (km/s) ")
    assert "≤ −490 " in said
    assert "≥ 490<" in said
    assert "≤" not in legend(label_colors(np.array([1.5, 1.5])), "mass")


def test_figures_have_no_outline():
    # Bokeh 3.9 strokes it together with the path of the paint before, which is that of old ticks.
    panel = SpectrumPanel(np.linspace(5000.0, 5100.0, 11), "wavelength")
    assert panel.flux.outline_line_color is panel.left.outline_line_color is None
