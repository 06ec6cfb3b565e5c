import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from latentscope.diagnostics.activity import mad
from latentscope.diagnostics.mi.api import MIResult, PairwiseResult
from latentscope.diagnostics.trust import ScoreResult
from latentscope.errors import EstimatorError
from latentscope.plots.activity import plot_mad
from latentscope.plots.information import (
    plot_dim_against_label,
    plot_mi,
    plot_pairwise,
)
from latentscope.plots.style import picture_bytes, save_figure, styled
from latentscope.plots.trust import plot_trust


def texts(ax):
    return [text.get_text() for text in ax.texts]


COUNTED = {"n": 300, "n_groups": 200}


def matrix_result(dims, strong=()):
    rows = [
        {"label": label, "dim": dim, "mi_nats": 0.001 * dim, "q_value": 0.5, **COUNTED}
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
    named = texts(ax)
    assert {"3", "17"} < set(named)
    assert next(name for name in named if name.startswith("threshold 0.0")).endswith(", estimated")
    assert len(named) == 3
    assert len(texts(plot_mad(mad(values, threshold=0.02)))) == 4  # and the estimated threshold
    assert ax.get_title(loc="left") == "2 of 40 dimensions informative, n = 500"
    assert ax.get_ylabel() == "median absolute deviation"
    assert ax.get_ylim()[1] > mad(values).values.max()


def test_heatmap_writes_nats_and_marks_what_is_significant():
    ax = plot_mi(matrix_result(4, [("radvel", 2, 1.51)]))
    cells = {text.get_position(): text for text in ax.texts}
    assert cells[2, 0].get_text() == "1.51"
    assert cells[2, 0].get_fontweight() == "bold"
    assert cells[0, 1].get_fontweight() == "normal"
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["radial velocity", "Teff"]
    # Colored is what is significant.
    gray = np.ptp(ax.images[0].get_array()[:, :, :3], axis=2) < 0.05
    assert gray.sum() == 7
    assert not gray[0, 2]
    assert ax.get_title(loc="left") == "Mutual information\nn = 300 (200 stars)"


def test_heatmap_of_128_dims_shows_those_that_matter():
    ax = plot_mi(matrix_result(128, [("radvel", 124, 1.5), ("Teff", 85, 1.3)]))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["85", "124"]
    assert ax.get_title(loc="left") == (
        "Mutual information, 2 of 128 dimensions\nn = 300 (200 stars)"
    )
    ax = plot_mi(matrix_result(128), most=3)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["125", "126", "127"]


@pytest.mark.parametrize(("n", "kind"), [(300, "PathCollection"), (6000, "PolyCollection")])
def test_points_become_hexagons_where_they_are_many(n, kind):
    rng = np.random.default_rng(1)
    label = rng.normal(size=n)
    label[0] = np.nan
    track = (np.array([-1.0, 0, 1]), np.array([-1.0, 0, 1]))
    ax = plot_dim_against_label(
        label * 2, label, dim=3, name="radvel", mi=1.5, track=track, track_name="Gl581"
    )
    assert type(ax.collections[0]).__name__ == kind
    assert ax.get_xlabel() == "radial velocity (km/s)"
    assert ax.get_ylabel() == "latent dimension 3"
    assert ax.get_title(loc="left") == f"1.50 nats, rank correlation +1.000, n = {n - 1:,}"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Gl581"]


def test_points_are_colored_by_another_label_and_gray_without_it():
    other = np.append(np.arange(8.0), np.nan)
    ax = plot_dim_against_label(
        np.arange(9.0), np.arange(9.0), name="Teff", color=other, color_name="logg"
    )
    gray, colored = ax.collections
    assert len(gray.get_offsets()) == 1
    assert len(np.unique(colored.to_rgba(colored.get_array()), axis=0)) == 8
    assert [one.get_ylabel() for one in ax.figure.axes] == ["latent dimension", "log g (dex)"]


def test_rows_without_a_color_are_counted_and_many_points_are_averaged():
    other = np.append(np.arange(8.0), np.nan)
    ax = plot_dim_against_label(np.arange(9.0), np.arange(9.0), color=other, color_name="logg")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["no log g (1)"]
    nothing = np.full(9, np.nan)
    ax = plot_dim_against_label(np.arange(9.0), np.arange(9.0), color=nothing)
    assert len(ax.figure.axes) == 1  # no bar of colors that nothing has
    rng = np.random.default_rng(2)
    x, y, other = rng.normal(size=(3, 6000))
    ax = plot_dim_against_label(x, y, color=other, color_name="logg")
    assert type(ax.collections[0]).__name__ == "PolyCollection"
    assert ax.figure.axes[1].get_ylabel() == "log g (dex), mean"


def test_a_label_that_is_empty_or_text_is_no_empty_picture():
    ax = plot_dim_against_label(np.arange(9.0), np.full(9, np.nan))
    assert texts(ax) == ["no row has both"]
    with pytest.raises(EstimatorError, match="survey"):
        plot_dim_against_label(np.arange(2.0), ["a", "b"], name="survey")


def test_no_tick_of_a_logarithmic_axis_is_a_formula():
    few = ScoreResult(
        pd.DataFrame({"id": ["a", "b", "c"], "trust": [0.2, 0.5, 0.9], "verdict": "ordinary"}),
        {"doubtful_below": 0.05, "outside_below": 0.001},
    )
    rng = np.random.default_rng(3)
    drawn = [
        plot_mad(mad(np.zeros((1, 4)))),
        plot_trust(few),
        plot_dim_against_label(rng.normal(size=6000), rng.normal(size=6000)),
    ]
    for ax in drawn:
        ax.figure.canvas.draw()
        axes = [axis for one in ax.figure.axes for axis in (one.xaxis, one.yaxis)]
        ticks = [tick for axis in axes for tick in axis.get_ticklabels(which="both")]
        assert not [tick.get_text() for tick in ticks if "$" in tick.get_text()]
    ticks = [tick.get_text() for tick in drawn[1].get_yticklabels()]
    assert {"\u2264 10\u207b\u2076", "10\u207b\u2074", "0.1"} <= set(ticks)


def test_information_has_one_scale_in_all_pictures():
    weak, strong = (matrix_result(2, [("Teff", 1, nats)]) for nats in (0.2, 5.0))
    alone = plot_mi(weak).images[0].get_array()[1, 1]
    shared = plot_mi(matrix_result(2, [("Teff", 1, 0.2), ("radvel", 0, 5.0)])).images[0].get_array()
    np.testing.assert_array_equal(alone, shared[1, 1])
    np.testing.assert_array_equal(plot_mi(strong).images[0].get_array()[1, 1], shared[0, 0])


def test_constant_labels_have_no_correlation():
    ax = plot_dim_against_label(np.arange(9.0), np.ones(9))
    assert ax.get_title(loc="left") == "n = 9"


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
    ).assign(**COUNTED)
    ax = plot_mi(MIResult(table, {}))
    assert [text.get_text() for text in ax.texts] == ["1.00", "-"]
    plt.close(ax.get_figure())


def test_the_best_dimension_of_each_label_is_always_shown():
    strong = [("radvel", dim, 1 + 0.01 * dim) for dim in range(20, 40)]
    ax = plot_mi(matrix_result(128, [*strong, ("Teff", 85, 0.3)]), most=5)
    shown = [tick.get_text() for tick in ax.get_xticklabels()]
    assert shown == ["36", "37", "38", "39", "85"]
    ax = plot_mi(matrix_result(128, [*strong, ("Teff", 85, 0.3)]), most=1)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["39", "85"]


def pairwise_result(dims, strong):
    pairs = [(i, j) for i in range(dims) for j in range(i + 1, dims)]
    table = pd.DataFrame(pairs, columns=["dim_x", "dim_y"]).assign(
        mi_nats=0.001, q_value=0.5, **COUNTED
    )
    for x, y, value in strong:
        here = (table["dim_x"] == x) & (table["dim_y"] == y)
        table.loc[here, ["mi_nats", "q_value"]] = [value, 0.001]
    return PairwiseResult(table, {})


LONG = "equivalent_width_of_the_sodium_doublet_after_telluric_correction_mA"
ODD = ["a$_{b$", "$x$", r"cost \$ and $"]


def named_result(names, dims=7):
    rows = [(name, dim, 0.1, 0.5) for name in names for dim in range(dims)]
    return MIResult(
        pd.DataFrame(rows, columns=["label", "dim", "mi_nats", "q_value"]).assign(**COUNTED), {}
    )


def names_of_rows(ax):
    return [tick.get_text() for tick in ax.get_yticklabels()]


def test_long_names_are_cut_in_the_middle_and_stay_apart():
    (name,) = names_of_rows(plot_mi(named_result([LONG])))
    assert name == "equivalent_widt…_correction_mA"
    assert names_of_rows(plot_mi(named_result(["x" * 30]))) == ["x" * 30]
    alike = sorted([LONG, LONG.replace("sodium", "calcium"), "W" * 31])
    assert names_of_rows(plot_mi(named_result(alike))) == ["W" * 15 + "…" + "W" * 14, *alike[1:]]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot_mi(named_result([LONG, "Teff"])),
        lambda: plot_mi(named_result([LONG, LONG.replace("sodium", "helium")])),
        lambda: plot_mi(named_result(["W" * 80], dims=1)),
        lambda: plot_pairwise(pairwise_result(7, [(0, 2, 0.83)])),
    ],
)
def test_names_of_rows_are_inside_a_figure_that_has_room_for_cells(draw):
    ax = draw()
    figure = ax.get_figure()
    figure.canvas.draw()
    assert all(tick.get_window_extent().x0 >= 0 for tick in ax.get_yticklabels())
    assert ax.get_window_extent().width / figure.dpi > 0.3 * ax.get_xlim()[1]


def ink_at_the_edge(path):
    picture = plt.imread(path)[:, :, :3]
    edges = picture[0], picture[-1], picture[:, 0], picture[:, -1]
    return any((edge < 1).any() for edge in edges)


def test_what_reaches_beyond_the_figure_is_saved_too(tmp_path):
    plain = plt.subplots(figsize=(3, 2))[1]
    plot_mi(named_result([LONG, LONG.replace("sodium", "helium")]), plain)
    save_figure(plain, tmp_path / "given.png")
    assert not ink_at_the_edge(tmp_path / "given.png")
    save_figure(
        plot_dim_against_label(np.arange(9.0), np.arange(9.0), name=LONG * 2), tmp_path / "dim.png"
    )
    assert not ink_at_the_edge(tmp_path / "dim.png")


@pytest.mark.parametrize("name", ODD)
def test_names_are_never_formulas(tmp_path, name):
    ax = plot_mi(named_result([name, name + LONG]))
    assert names_of_rows(ax)[0] == name
    assert not any(tick.get_parse_math() for tick in ax.get_yticklabels())
    save_figure(ax, tmp_path / "mi.png")
    track = (np.arange(3.0), np.arange(3.0))
    ax = plot_dim_against_label(
        np.arange(9.0), np.arange(9.0), name=name, track=track, track_name=name
    )
    (legend,) = ax.get_legend().get_texts()
    assert ax.get_xlabel() == legend.get_text() == name
    assert not ax.xaxis.label.get_parse_math()
    assert not legend.get_parse_math()
    save_figure(ax, tmp_path / "dim.svg")
    assert (tmp_path / "mi.png").exists()
    assert (tmp_path / "dim.svg").exists()


def test_dimensions_against_one_another():
    ax = plot_pairwise(pairwise_result(3, [(0, 2, 0.83)]))
    cells = {text.get_position(): text for text in ax.texts}
    assert cells[2, 0].get_text() == cells[0, 2].get_text() == "0.83"
    assert cells[1, 1].get_text() == "-"
    ax = plot_pairwise(pairwise_result(40, [(7, 30, 0.8), (3, 9, 0.5)]), most=4)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["3", "7", "9", "30"]
    assert ax.get_title(loc="left").startswith(
        "Mutual information of dimensions, 4 of 40 dimensions"
    )


def test_drawing_leaves_alone_what_it_does_not_set(monkeypatch):
    # The backend of a notebook is chosen with the first figure, and makes matplotlib interactive.
    monkeypatch.setitem(matplotlib.rcParams, "interactive", False)
    monkeypatch.setitem(matplotlib.rcParams, "lines.linewidth", 3.0)
    before = matplotlib.rcParams.copy()

    @styled
    def first_figure():
        matplotlib.interactive(True)
        matplotlib.rcParams["lines.linewidth"] = 4.0
        assert matplotlib.rcParams["axes.spines.top"] is False
        return plt.subplots()[1]

    picture_bytes(first_figure())
    assert matplotlib.is_interactive()
    changed = {key for key, value in matplotlib.rcParams.items() if value != before[key]}
    assert changed == {"interactive", "lines.linewidth"}


def test_pictures_need_no_tex(monkeypatch, tmp_path):
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    monkeypatch.setenv("PATH", str(tmp_path))  # where there is no latex
    ax = plot_mad(mad(np.random.default_rng(0).normal(size=(50, 4))))
    save_figure(ax, tmp_path / "mad.png")
    kind, _, _ = picture_bytes(plot_mad(mad(np.random.default_rng(0).normal(size=(50, 4)))))
    assert (tmp_path / "mad.png").is_file()
    assert kind == "svg"
    assert matplotlib.rcParams["text.usetex"] is True
