import matplotlib.pyplot as plt
import numpy as np

from latentscope.data import Latents
from latentscope.diagnostics.activity import mad
from latentscope.diagnostics.exclusive import exclusive_information
from latentscope.plots.activity import plot_exclusive, plot_mad


def texts(ax):
    return [text.get_text() for text in ax.texts]


def latents(d=128, informative=(11, 85), level=0.5):
    rng = np.random.default_rng(0)
    values = 0.0015 * rng.normal(size=(600, d))
    values[:, informative] = level * rng.normal(size=(600, len(informative)))
    logvar = np.zeros((600, d))
    logvar[:, informative] = -3
    return Latents(values, logvar=logvar)


def test_both_thresholds_are_drawn_and_named():
    result = mad(latents())
    ax = plot_mad(result)
    named = texts(ax)
    assert "threshold 0.02, published" in named
    assert f"estimated {result.estimated_threshold:.2g}" in named
    heights = {line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1}
    assert {0.02, result.estimated_threshold} <= heights


def test_names_of_near_thresholds_do_not_lie_on_each_other():
    ax = plot_mad(mad(latents(level=1.0)))
    figure = ax.get_figure()
    figure.canvas.draw()
    boxes = [
        text.get_window_extent()
        for text in ax.texts
        if text.get_text().startswith(("threshold", "estimated"))
    ]
    assert len(boxes) == 2
    assert not boxes[0].overlaps(boxes[1])


def test_many_dead_dimensions_are_no_row_of_dots():
    def dots(ax):
        return sum(len(line.get_xdata()) for line in ax.lines if line.get_marker() == "o")

    assert dots(plot_mad(mad(latents(128)))) == 2
    assert dots(plot_mad(mad(latents(16, (3, 7))))) == 16


def test_many_informative_dimensions_are_not_named_one_by_one():
    values = np.random.default_rng(1).normal(size=(50, 64))
    assert texts(plot_mad(mad(values))) == ["threshold 0.00883,\n1 % of the widest"]


def test_kl_stands_below_where_it_is_known():
    result = mad(latents())
    figure = plot_mad(result).get_figure()
    above, below = figure.axes
    assert below.get_ylabel() == "KL (nats)"
    assert below.get_title(loc="right") == f"{result.kl.sum():.3g} nats in all"
    assert below.get_ylim()[1] > result.kl.max()
    assert above.get_ylabel() == "median absolute deviation"
    assert len(plot_mad(mad(result.table[["mad"]].to_numpy())).get_figure().axes) == 1
    given = plt.subplots()[1]
    assert plot_mad(result, given) is given
    assert len(given.get_figure().axes) == 1


def test_bars_stand_in_the_order_of_what_is_added():
    rng = np.random.default_rng(2)
    base = rng.normal(size=(800, 3)) * np.array([0.3, 1.0, 0.6])
    values = np.column_stack([base, base[:, 1]])
    result = exclusive_information(Latents(values, logvar=np.full(values.shape, -4.0)))
    ax = plot_exclusive(result)
    names = [tick.get_text() for tick in ax.get_xticklabels()]
    assert names == [str(dim) for dim in result.order["dim"]]
    carried, gains = np.split(np.array([bar.get_height() for bar in ax.patches]), 2)
    np.testing.assert_allclose(gains, result.order["gain_nats"])
    np.testing.assert_allclose(carried, result.table["carried_nats"][result.order["dim"]])
    assert ax.get_title(loc="left") == "3 of 4 dimensions add information, n = 800"
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend[-1] == "would add, not significant"
    assert result.plot(ax) is ax
