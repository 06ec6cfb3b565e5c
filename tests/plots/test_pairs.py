import numpy as np
import pandas as pd
import pytest

from latentscope.diagnostics.mi.api import pairwise_mi
from latentscope.errors import EstimatorError, LatentscopeWarning
from latentscope.plots.pairs import label_colors, plot_pairs
from latentscope.plots.style import save_figure


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(900, 4))
    values[:, 2] = values[:, 0] + 0.3 * values[:, 2]
    values[:, 3] *= 1e-4
    return values


@pytest.fixture(scope="module")
def measured(values):
    return pairwise_mi(values, dims=[0, 1, 2])


def panels(ax):
    """Panels by row and column; the color bar left out."""
    figure = ax.get_figure()
    return {
        (panel.get_subplotspec().rowspan.start, panel.get_subplotspec().colspan.start): panel
        for panel in figure.axes
        if panel.get_subplotspec() is not None
    }


def test_points_below_numbers_above(values, measured):
    ax = plot_pairs(values, pairs=measured)
    grid = panels(ax)
    assert len(grid) == 9
    assert ax is grid[0, 0]
    nats = measured.matrix.loc[0, 2]
    assert [text.get_text() for text in grid[0, 2].texts] == [f"{nats:.2f}", "#1"]
    assert grid[0, 2].texts[0].get_fontweight() == "bold"
    points = grid[2, 0].collections[0]
    assert type(points).__name__ == "PathCollection"
    assert points.get_rasterized()
    shown = {tuple(point) for point in np.round(points.get_offsets(), 9)}
    assert shown == {tuple(point) for point in np.round(values[:, [0, 2]], 9)}
    assert grid[2, 0].get_xlabel() == "dim 0"
    assert grid[2, 0].get_ylabel() == "dim 2"
    assert "3 of 4 dimensions, 900 rows" in ax.get_figure().get_suptitle()


def test_classes_have_a_legend_with_counts(values, measured):
    kinds = np.where(values[:, 0] > 0, "K V", "G V").astype(object)
    kinds[:50] = None
    ax = plot_pairs(values, color=kinds, name="spec_type", pairs=measured)
    (legend,) = ax.get_figure().legends
    assert legend.get_title().get_text() == "spectral type"
    named = [text.get_text() for text in legend.get_texts()]
    known = [int((kinds == kind).sum()) for kind in ("G V", "K V")]
    assert named == [f"G ({known[0]})", f"K ({known[1]})", "no label (50)"]
    colors = panels(ax)[1, 0].collections[0].get_facecolor()
    assert len(np.unique(colors, axis=0)) == 3
    # Rows without a label lie below those with one.
    assert len(np.unique(colors[:50], axis=0)) == 1


def test_numbers_have_a_bar(values, measured):
    ax = plot_pairs(values, color=values[:, 1], name="radvel $x_{", pairs=measured)
    (bar,) = (one for one in ax.get_figure().axes if one not in panels(ax).values())
    assert bar.get_ylabel() == "radvel $x_{"
    ax.get_figure().canvas.draw()


def test_rows_without_a_number_are_counted(values, measured):
    label = values[:, 1].copy()
    label[:40] = np.nan
    figure = plot_pairs(values, color=label, name="Teff", pairs=measured).get_figure()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["no label (40)"]
    nothing = np.full(len(values), np.nan)
    ax = plot_pairs(values, color=nothing, name="Teff", pairs=measured)
    assert len(ax.get_figure().axes) == len(panels(ax))  # no bar of colors that nothing has


@pytest.mark.parametrize("color", [None, "class", "number"])
def test_many_rows_are_hexagons(color, tmp_path):
    rng = np.random.default_rng(1)
    values = rng.normal(size=(6000, 2))
    label = {
        None: None,
        "class": np.where(values[:, 0] > 0, "right", "left").astype(object),
        "number": values[:, 0].copy(),
    }[color]
    if label is not None:
        # Hexagons with no label at all are drawn too, in gray.
        label[(values[:, 0] > 1) & (values[:, 1] > 1)] = None if color == "class" else np.nan
    ax = plot_pairs(values, color=label)
    hexagons = panels(ax)[1, 0].collections[0]
    assert type(hexagons).__name__ == "PolyCollection"
    assert hexagons.get_rasterized()
    save_figure(ax, tmp_path / "pairs.pdf")
    if color is not None:
        colors = hexagons.get_facecolor()
        offsets = hexagons.get_offsets()
        assert len(colors) == len(offsets)
        gray = np.ptp(colors[:, :3], axis=1) < 0.12
        assert gray[(offsets > 1.3).all(axis=1)].all()
        assert not gray[(offsets[:, 0] < -0.5) & (np.linalg.norm(offsets, axis=1) < 1.5)].any()


def test_hexagons_take_the_commonest_class():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(8000, 2))
    kinds = np.where(rng.random(8000) < 0.8, "most", "few")
    ax = plot_pairs(values, color=kinds)
    hexagons = panels(ax)[1, 0].collections[0]
    central = np.linalg.norm(hexagons.get_offsets(), axis=1) < 0.8
    colors = hexagons.get_facecolor()[central, :3]
    # Blue of "most", sorted after "few", whose color has more blue than red.
    assert (colors[:, 0] > colors[:, 2]).all()


def test_of_many_dimensions_those_that_share_most_are_drawn(values):
    rng = np.random.default_rng(3)
    many = np.column_stack([rng.normal(size=(300, 5)), np.zeros((300, 2))])
    many[:, 5] = many[:, 1] + 0.1 * rng.normal(size=300)
    many[:, 6] = many[:, 4] ** 2
    ax = plot_pairs(many, max_dims=4)
    assert len(panels(ax)) == 16
    assert "4 of 7 chosen of 7 dimensions" in ax.get_figure().get_suptitle()
    assert panels(ax)[3, 0].get_ylabel() == "dim 6"
    assert len(panels(plot_pairs(many, [0, 1, 2, 3, 4, 5], max_dims=4))) == 36


def test_far_rows_are_counted_not_hidden(values, measured):
    far = values.copy()
    far[0, 0] = 1e4
    ax = plot_pairs(far, [0, 1, 2], pairs=measured)
    assert panels(ax)[1, 0].get_xlim()[1] < 10
    assert "1 beyond the axes" in ax.get_figure().get_suptitle()


def test_rows_of_nan_are_left_out_of_colors_too(values, measured):
    holes = values.copy()
    holes[7] = np.nan
    ax = plot_pairs(holes, color=np.arange(900.0), pairs=measured)
    assert "899 rows" in ax.get_figure().get_suptitle()
    with pytest.raises(EstimatorError, match=r"color has shape \(5,\) for 900 rows"):
        plot_pairs(values, color=np.arange(5), pairs=measured)


def test_colors_are_matched_by_their_index_and_masked_ones_are_missing():
    values = np.random.default_rng(0).normal(size=(60, 2))
    frame = pd.DataFrame(values, columns=["z0", "z1"], index=[f"s{i}" for i in range(60)])
    label = pd.Series(values[:, 0], index=frame.index).sample(frac=1, random_state=0)
    with pytest.warns(LatentscopeWarning, match="latents and color are matched"):
        ax = plot_pairs(frame, dims="all", color=label)
    expected = plot_pairs(values, dims="all", color=values[:, 0])
    drawn, same = (panels(each)[1, 0].collections[0] for each in (ax, expected))
    assert np.array_equal(drawn.get_array(), same.get_array())
    masked = label_colors(np.ma.masked_less(values[:, 0], 0))
    assert np.isnan(masked.values).sum() == (values[:, 0] < 0).sum()


@pytest.mark.filterwarnings("ignore:.*matched by their indexes")
@pytest.mark.parametrize("given", ["column", "series", "kept"])
def test_colors_follow_the_rows_of_a_frame_of_any_index(values, measured, given):
    order = np.random.default_rng(5).permutation(len(values))
    kinds = np.where(values[:, 0] > 0, "late", "early")
    frame = pd.DataFrame(values, columns=[f"z{dim}" for dim in range(4)]).assign(v=kinds)
    frame = frame.iloc[order[:500] if given == "kept" else order]
    color = frame["v"].sort_index() if given == "series" else "v"
    points = panels(plot_pairs(frame, color=color, pairs=measured))[2, 0].collections[0]
    late = points.get_offsets()[:, 0] > 0
    colors = points.get_facecolor()
    assert [len(np.unique(colors[of], axis=0)) for of in (late, ~late)] == [1, 1]
    assert len(np.unique(colors, axis=0)) == 2
