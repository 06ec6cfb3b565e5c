"""Pictures of traversals and line maps."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from latentscope.diagnostics.traversal.traverse import Base, measure_line_map, measure_traversal
from latentscope.errors import LatentscopeWarning
from latentscope.plots.style import save_figure
from latentscope.plots.traversal import (
    plot_line_map,
    plot_traversal,
    stretches,
)
from tests.diagnostics.traversal.stars import Decoder, log_grid

WAVELENGTH = log_grid()
VALID = np.abs(WAVELENGTH - 5320) > 17


@pytest.fixture(scope="module")
def base():
    return Base(Decoder(WAVELENGTH), np.zeros(4), WAVELENGTH, VALID)


@pytest.fixture(scope="module")
def walks(base):
    return {dim: measure_traversal(base, dim, [-1.0, 0.3, 1.0]) for dim in (0, 1)}


@pytest.fixture(scope="module")
def mapped(base):
    return measure_line_map(base, [0, 1, 2], np.ones(4))


def words(figure):
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    return texts + [ax.get_title(loc) for ax in figure.axes for loc in ("left", "center")]


def test_all_panels_of_a_traversal_are_drawn(walks, tmp_path):
    ax = walks[0].plot()
    said = " ".join(words(ax.figure))
    assert "dim 0: a Doppler shift" in said
    assert "km/s per unit,\n+20 per sigma; explains 100.0 %" in said
    assert "no significant change" in said
    assert {"Mg b", "Na D"} <= set(words(ax.figure))
    assert "H-alpha" not in said  # beyond these spectra
    save_figure(ax, tmp_path / "walk.png")
    assert (tmp_path / "walk.png").stat().st_size > 20_000


def test_the_lines_that_change_are_named(walks):
    ax = plot_traversal(walks[1])
    labels = [text.get_text() for one in ax.figure.axes for text in one.texts]
    assert any(label.startswith("Fe I (") for label in labels)
    assert sum(label.startswith("Fe I ") for label in labels) > 5


def test_colors_are_those_of_the_values_and_the_base_is_dark(walks):
    _, ax = plt.subplots()
    assert plot_traversal(walks[0], ax) is ax
    first, middle, last, base = ax.lines
    red, _, blue = matplotlib.colors.to_rgb(first.get_color())
    assert blue > red
    red, _, blue = matplotlib.colors.to_rgb(last.get_color())
    assert red > blue
    assert max(matplotlib.colors.to_rgb(base.get_color())) < 0.2
    assert tuple(middle.get_color()) != tuple(first.get_color())
    assert np.isnan(base.get_ydata()).any()  # the gap


def test_windows_are_zoomed_into(walks):
    figure = plot_traversal(walks[0], windows=[(5160, 5190), (5450, 5470)]).figure
    zooms = [ax for ax in figure.axes if ax.get_title(loc="left") == "5450-5470 Å"]
    assert zooms[0].get_xlim() == (5450, 5470)


def test_a_window_that_is_not_covered_is_said(walks):
    with pytest.warns(LatentscopeWarning, match="7000-7020 Å is left out"):
        figure = plot_traversal(walks[0], windows=[(7000, 7020)]).figure
    assert "7000-7020 Å" not in words(figure)


def test_all_panels_of_a_line_map_are_drawn(mapped, tmp_path):
    ax = mapped.plot()
    said = words(ax.figure)
    assert "+20.0" in said
    assert any("Change of the flux per sigma" in text for text in said)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == list(
        mapped.elements.dropna(axis=1, how="all").columns
    )
    save_figure(ax, tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 10_000


def test_the_elements_alone_go_on_given_axes(mapped):
    _, ax = plt.subplots()
    assert plot_line_map(mapped, ax) is ax
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    np.testing.assert_allclose(shown, 100 * mapped.elements.dropna(axis=1, how="all"))
    limits = ax.images[0].norm
    assert limits.vmin == -limits.vmax


def test_stretches_are_means_and_gaps_stay_empty(mapped):
    place, change = stretches(mapped)
    assert change.shape == (3, len(place))
    inside = np.abs(place - 5320) < 8
    assert inside.any()
    assert np.isnan(change[:, inside]).all()
    # The third dimension multiplies the flux by (wavelength / 5500)^0.5 a unit.
    np.testing.assert_allclose(
        change[2, ~inside & (place > 5350)],
        50 * np.log(place[~inside & (place > 5350)] / 5500), atol=0.15,
    )  # fmt: skip
