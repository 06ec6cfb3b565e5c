import numpy as np
import pandas as pd
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

from latentscope.diagnostics.activity import mad  # noqa: E402
from latentscope.diagnostics.mi_result import MIResult  # noqa: E402
from latentscope.plots import plot_dim_against_label, plot_mad, plot_mi, save_figure  # noqa: E402


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def matrix_result(dims, strong=()):
    rows = [
        {"label": label, "dim": dim, "mi_nats": 0.001 * dim, "q_value": 0.5}
        for label in ("radvel", "Teff")
        for dim in range(dims)
    ]
    table = pd.DataFrame(rows)
    for label, dim, value in strong:
        here = (table["label"] == label) & (table["dim"] == dim)
        table.loc[here, ["mi_nats", "q_value"]] = [value, 0.001]
    return MIResult(table, {})


def test_stems_name_the_informative_dimensions():
    values = np.random.default_rng(0).normal(size=(500, 40)) * 0.002
    values[:, [3, 17]] *= 400
    ax = plot_mad(mad(values))
    assert texts(ax) == ["threshold 0.02", "3", "17"]
    assert ax.get_title(loc="left") == "2 of 40 dimensions informative, n = 500"
    assert ax.get_ylabel() == "median absolute deviation"
    assert ax.get_ylim()[1] > mad(values).values.max()


def test_stems_of_nothing_still_show_the_threshold():
    ax = plot_mad(mad(np.zeros((5, 3))))
    assert texts(ax) == ["threshold 0.02"]
    assert ax.get_ylim()[1] > 0.02


def test_heatmap_writes_nats_and_marks_what_is_significant():
    ax = plot_mi(matrix_result(4, [("radvel", 2, 1.51)]))
    cells = {text.get_position(): text for text in ax.texts}
    assert cells[2, 0].get_text() == "1.51"
    assert cells[2, 0].get_fontweight() == "bold"
    assert cells[0, 1].get_fontweight() == "normal"
    assert len(ax.patches) == 1
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["radvel", "Teff"]


def test_heatmap_of_128_dims_shows_those_that_matter():
    ax = plot_mi(matrix_result(128, [("radvel", 124, 1.5), ("Teff", 85, 1.3)]))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["85", "124"]
    assert ax.get_title(loc="left") == "Mutual information (nats), 2 of 128 dimensions"
    ax = plot_mi(matrix_result(128), most=3)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["125", "126", "127"]


@pytest.mark.parametrize(("n", "kind"), [(300, "PathCollection"), (6000, "PolyCollection")])
def test_points_become_hexagons_where_they_are_many(n, kind):
    rng = np.random.default_rng(1)
    label = rng.normal(size=n)
    label[0] = np.nan
    track = (np.array([-1.0, 0, 1]), np.array([-1.0, 0, 1]))
    ax = plot_dim_against_label(
        label * 2, label, dim=3, name="radvel (km/s)", mi=1.5, track=track, track_name="Gl581"
    )
    assert type(ax.collections[0]).__name__ == kind
    assert ax.get_xlabel() == "radvel (km/s)"
    assert ax.get_ylabel() == "latent dimension 3"
    assert ax.get_title(loc="left") == f"MI 1.50 nats, rank correlation +1.000, n = {n - 1:,}"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Gl581"]


def test_constant_labels_have_no_correlation():
    ax = plot_dim_against_label(np.arange(9.0), np.ones(9))
    assert ax.get_title(loc="left") == "n = 9"


def test_axes_given_are_used_and_returned():
    ax = plt.subplots()[1]
    assert plot_mad(mad(np.eye(4)), ax) is ax
    assert plot_dim_against_label(np.arange(4.0), np.arange(4.0), ax=ax) is ax
    other = plt.subplots()[1]
    assert plot_mi(matrix_result(3), ax=other) is other


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_figures_are_written_whole_and_closed(tmp_path, suffix):
    ax = plot_mad(mad(np.eye(4)))
    save_figure(ax, tmp_path / f"mad.{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == [f"mad.{suffix}"]
    assert (tmp_path / f"mad.{suffix}").stat().st_size > 1000
    assert not plt.get_fignums()


def test_a_failed_write_leaves_the_older_figure(tmp_path):
    path = tmp_path / "mad.nonsense"
    path.write_text("older")
    with pytest.raises(ValueError, match="nonsense"):
        save_figure(plot_mad(mad(np.eye(4))), path)
    assert path.read_text() == "older"


def test_pairs_that_were_not_measured_are_dashes():
    table = pd.DataFrame(
        {"label": ["a", "b"], "dim": [0, 0], "mi_nats": [1.0, np.nan], "q_value": [0.01, np.nan]}
    )
    ax = plot_mi(MIResult(table, {}))
    assert [text.get_text() for text in ax.texts] == ["1.00", "-"]
    plt.close(ax.get_figure())
