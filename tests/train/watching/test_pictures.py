import numpy as np
import pytest

from latentscope.spectra.prepare import restore
from train.validation import Validation, evaluated
from train.watching import (
    QUANTILES,
    _binned,
    draw_reconstructions,
    draw_traversal,
    scene,
)


@pytest.fixture
def seen(config):
    rng = np.random.default_rng(1)
    mean = rng.normal(size=(60, config.architecture.latents))
    return Validation({}, mean, np.array([3.0, 0.0, 1.0]))


def curves(axis):
    return {line.get_label(): line.get_ydata() for line in axis.get_lines()}


def test_the_zoom_is_where_spectra_have_structure(config, data):
    rows = np.zeros((5, config.prepare.row_size), np.float32)
    rows[:, 300:330] = 0.4 * np.sin(np.arange(30))
    data.validation_rows = rows
    zoom = scene(config.prepare, data).zoom
    assert zoom.start <= 300
    assert zoom.stop >= 330
    assert zoom.stop - zoom.start == 64


def test_the_zoom_keeps_out_of_gaps(config, data):
    inside = np.flatnonzero(config.prepare.grid.gap_mask)
    rows = np.zeros((5, config.prepare.row_size), np.float32)
    rows[:, inside] = np.where(inside % 2, 0.9, -0.9)
    data.validation_rows = rows
    assert not config.prepare.grid.gap_mask[scene(config.prepare, data).zoom].any()


def test_reconstructions_show_data_model_and_residual(module, config, data):
    what = scene(config.prepare, data)
    with evaluated(module) as model:
        figure = draw_reconstructions(model, what, "tiny, step 5")
        decoded = model.reconstruct(_tensor(what.rows)).numpy()
    axes = figure.axes
    assert len(axes) == 6
    shown = curves(axes[0])
    zoomed = [line.get_ydata() for line in axes[1].get_lines()]
    gap = config.prepare.grid.gap_mask
    for name, rows in (("data", what.rows), ("reconstruction", decoded)):
        flux = np.where(gap, np.nan, restore(rows[0], config.prepare))
        assert np.allclose(shown[name], flux, atol=1e-5, equal_nan=True)
    assert np.allclose(zoomed[2], zoomed[0] - zoomed[1], atol=1e-6)
    assert axes[-1].get_xlabel() == "wavelength (Å)"


def test_pixels_that_a_spectrum_does_not_fill_are_not_drawn(module, config, data):
    data.validation_valid = np.ones(data.validation_rows.shape, bool)
    data.validation_valid[0, :100] = False
    with evaluated(module) as model:
        figure = draw_reconstructions(model, scene(config.prepare, data), "")
    for curve in curves(figure.axes[0]).values():
        assert np.isnan(curve[:100]).all()
        assert np.isfinite(curve[100:150]).all()


def test_a_traversal_moves_one_dimension_through_its_quantiles(module, config, data, seen):
    what = scene(config.prepare, data)
    with evaluated(module) as model:
        figure = draw_traversal(model, what, seen, "tiny")
        latents = np.repeat(np.median(seen.mean, 0)[None], len(QUANTILES), 0)
        latents[:, 2] = np.quantile(seen.mean[:, 2], QUANTILES)
        flux = restore(model.decode(_tensor(latents)).numpy(), config.prepare)
    assert len(figure.axes) == 4  # dimensions 0 and 2, strongest first
    assert [axis.get_ylabel() for axis in figure.axes[::2]] == ["dim 0, change", "dim 2, change"]
    zoomed = [line.get_ydata() for line in figure.axes[3].get_lines()]
    for curve, expected in zip(zoomed, flux, strict=True):
        assert np.allclose(curve, expected[what.zoom], atol=1e-5)
    assert np.nanmax(abs(curves(figure.axes[2])["50%"])) == 0.0


def test_without_informative_dimensions_there_is_no_traversal(module, config, data, seen):
    dead = Validation({}, 0.001 * seen.mean, seen.kl)
    with evaluated(module) as model:
        assert draw_traversal(model, scene(config.prepare, data), dead, "") is None


def test_binning_is_the_mean_of_what_is_known():
    values = np.array([1.0, np.nan, 3.0, 5.0, np.nan, np.nan, 9.0])
    assert np.array_equal(_binned(values, 2), [1.0, 4.0, np.nan], equal_nan=True)
    assert np.array_equal(_binned(values, 1), values, equal_nan=True)


def _tensor(values):
    import torch

    return torch.from_numpy(np.asarray(values, np.float32))
