import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from latentscope.diagnostics.trust import ScoreResult
from latentscope.plots.trust import plot_trust


def result(trust):
    trust = np.asarray(trust, dtype=float)
    verdict = np.where(trust < 0.001, "outside", np.where(trust < 0.05, "doubtful", "ordinary"))
    table = pd.DataFrame({"id": [f"s${i}$" for i in range(len(trust))], "trust": trust})
    table["verdict"] = np.where(np.isnan(trust), "", verdict)
    return ScoreResult(table, {"doubtful_below": 0.05, "outside_below": 0.001})


def test_every_spectrum_with_latents_is_a_point_in_order():
    ax = plot_trust(result([0.5, 0.01, np.nan, 1e-30, 0.9]))
    points = np.concatenate([line.get_xydata() for line in ax.lines if line.get_marker() == "."])
    points = points[np.argsort(points[:, 0])]
    np.testing.assert_allclose(points[:, 0], [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(points[:, 1], [1e-6, 0.01, 0.5, 0.9])
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["ordinary: 2", "doubtful: 1", "outside: 1"]
    limits = ["doubtful below 0.05", "outside below 0.001"]
    assert [text.get_text() for text in ax.texts] == [*limits, "least trusted:\ns$3$"]


def test_many_spectra_are_thinned_but_the_least_trusted_stay():
    ax = plot_trust(result(np.random.default_rng(0).uniform(size=100_000)))
    points = np.concatenate([line.get_xydata() for line in ax.lines if line.get_marker() == "."])
    assert 500 < len(points) <= 3000
    assert (np.sort(points[:, 0])[:20] == np.arange(1, 21) / 100_000).all()
    assert ax.texts[2].get_text().count("\n") == 5
    assert len(plot_trust(result([0.2, 0.5])).texts) == 2


def test_it_draws_where_it_is_told():
    _, ax = plt.subplots()
    assert plot_trust(result([0.2]), ax) is ax
    assert plot_trust(result([np.nan])).get_title(loc="left").startswith("0 spectra")
