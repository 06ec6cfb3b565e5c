import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from latentscope.diagnostics.disentanglement import MetricsResult
from latentscope.diagnostics.disentanglement_measures import MEAN, MEASURES
from latentscope.plots.disentanglement import plot_metrics
from latentscope.plots.style import save_figure


def result(**changed):
    row = {
        "label": MEAN, "value": 0.5, "low": 0.4, "high": 0.6, "rotation": 0.1, "rotation_low": 0.05,
        "rotation_high": 0.2, "pca": 0.3, "verdict": "better than rotation and pca", "draws": 10,
        "n": 1500, "n_groups": 1200,
    }  # fmt: skip
    rows = [{"metric": m.metric, "estimator": m.estimator, **row, **changed} for m in MEASURES]
    return MetricsResult(pd.DataFrame(rows), {"dims": [1, 2], "columns": ["a", "b", "c"]})


def test_every_measure_has_a_row_with_its_value():
    ax = plot_metrics(result())
    (below,) = ax.child_axes
    names = [tick.get_text() for axes in (ax, below) for tick in axes.get_yticklabels()]
    assert sorted(names) == sorted(measure.title for measure in MEASURES)
    assert [tick.get_text() for tick in below.get_yticklabels()] == [
        "Total correlation (Gaussian)",
        "Total correlation (kNN)",
    ]
    assert ax.get_title(loc="left") == "2 dimensions against 3 labels, 1,200 stars"
    assert {text.get_text() for text in ax.texts} == {"0.50"}
    assert {text.get_fontweight() for text in ax.texts} == {"bold"}


def test_the_scale_holds_all_that_is_drawn():
    ax = plot_metrics(result(value=-0.4, low=-0.6, high=-0.2))
    assert ax.get_xlim()[0] < -0.6
    assert ax.get_xlim()[1] >= 1


def test_what_is_not_known_is_a_dash(tmp_path):
    ax = plot_metrics(result(value=np.nan, low=np.nan, high=np.nan, verdict=""))
    assert {text.get_text() for text in ax.texts} == {"-"}
    ax = plot_metrics(result(value=np.inf, low=np.nan, high=np.nan, verdict=""), plt.subplots()[1])
    assert {text.get_text() for text in ax.texts} == {"infinite"}
    save_figure(ax, tmp_path / "metrics.png")
    assert (tmp_path / "metrics.png").exists()
