import matplotlib.pyplot as plt
import pandas as pd

from latentscope.diagnostics.robustness import (
    HALF,
    WHOLE,
    RobustnessResult,
)
from latentscope.plots.robustness import plot_robustness
from latentscope.plots.style import save_figure

SAMPLES = (WHOLE, "equal $_{spec", HALF)


def result(changed=(), labels=("rv", "teff")):
    rows = [
        {
            "sample": sample, "label": label, "dim": dim, "mi_nats": 1.0 + 0.5 * (dim == i),
            "std_nats": 0.1, "whole": 1.0, "difference": 0.2,
            "significant": (sample, label, dim) in changed,
        }
        for sample in SAMPLES
        for i, label in enumerate(labels)
        for dim in (0, 1)
    ]  # fmt: skip
    counts = [
        {"sample": sample, "informative": 5, "low": 5 - (sample == HALF), "high": 5,
         "n_stars": 1200}
        for sample in SAMPLES
    ]  # fmt: skip
    return RobustnessResult(pd.DataFrame(counts), pd.DataFrame(rows), {})


def names(ax):
    return [tick.get_text() for tick in ax.get_yticklabels()]


def test_the_best_dimension_of_each_label_and_what_changes(tmp_path):
    assert names(plot_robustness(result())) == ["RV, dim 0", "Teff, dim 1"]
    ax = plot_robustness(result([(SAMPLES[1], "rv", 1)]))
    assert names(ax) == ["RV, dim 0", "Teff, dim 1", "RV, dim 1"]
    assert names(plot_robustness(result([(SAMPLES[1], "rv", 1)]), max_pairs=1)) == ["RV, dim 0"]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["all (5; 1,200)", "equal $_{spec (5; 1,200)", f"{HALF} (5, 4 to 5; 1,200)"]
    save_figure(ax, tmp_path / "robustness.png")
    assert (tmp_path / "robustness.png").exists()


def test_marks_that_differ_are_filled():
    ax = plot_robustness(result([(SAMPLES[1], "rv", 0)]), plt.subplots()[1])
    marks = [line for line in ax.lines if line.get_marker() == "D"]
    assert [mark.get_markerfacecolor() == "white" for mark in marks] == [False, True]
