import numpy as np
import pandas as pd
import pytest

from latentscope.diagnostics.mi.api import mi_matrix, mutual_information
from latentscope.errors import EstimatorError, LatentscopeWarning


def test_ties_are_not_ordered_by_the_numbers_that_made_the_column():
    noise = np.random.default_rng(99).normal(size=5000)
    values = []
    for seed in (0, 1):
        x = np.random.default_rng(seed).random(5000)
        values.append(mutual_information(np.round(x, 2), x + 0.001 * noise))
    assert values[0] == pytest.approx(values[1], abs=0.2)


def test_a_class_for_every_star_says_nothing_and_costs_nothing():
    rng = np.random.default_rng(0)
    star = np.repeat(np.arange(60), 4)
    latents = rng.normal(size=(240, 2))
    labels = pd.DataFrame({"target": [f"HD {i}" for i in star], "rv": latents[:, 0]})
    with pytest.warns(LatentscopeWarning, match=r"2 of 4 pairs are NaN.*target"):
        table = mi_matrix(latents, labels, groups=star).table
    assert table["mi_nats"].isna().tolist() == [True, True, False, False]
    assert "a class for every group" in table["reason"][0]
    with pytest.raises(EstimatorError, match="a class for every group"):
        mi_matrix(latents, labels, groups=star, columns=["target"])


def test_plugin_refuses_columns_whose_every_row_is_a_class():
    rng = np.random.default_rng(1)
    with pytest.raises(EstimatorError, match=r"no pair could be measured.*a class for every row"):
        mi_matrix(rng.normal(size=(400, 2)), rng.integers(0, 3, (400, 1)), estimator="plugin")
    with pytest.raises(EstimatorError, match="a class for every row"):
        mutual_information(rng.normal(size=50), rng.integers(0, 3, 50), estimator="plugin")


def test_estimators_of_numbers_leave_text_out_with_a_note():
    rng = np.random.default_rng(2)
    latents = rng.normal(size=(100, 1))
    labels = pd.DataFrame({"rv": latents[:, 0], "kind": ["F", "G"] * 50})
    result = mi_matrix(latents, labels, estimator="ksg")
    assert result.labels == ["rv"]
    assert any("kind" in note and "ksg" in note for note in result.notes)
    with pytest.raises(EstimatorError, match="no label holds numbers"):
        mi_matrix(latents, labels[["kind"]], estimator="ksg")
    with pytest.raises(EstimatorError, match="kind"):
        mi_matrix(latents, labels, estimator="ksg", columns=["kind"])


def test_a_label_that_an_estimator_cannot_fit_is_nan_with_the_reason():
    rng = np.random.default_rng(3)
    latents = rng.normal(size=(200, 1))
    labels = pd.DataFrame({"rv": latents[:, 0], "kind": ["F"] * 198 + ["G"] * 2})
    with pytest.warns(LatentscopeWarning, match="1 of 2 pairs are NaN"):
        table = mi_matrix(latents, labels, estimator="gmm").table.set_index("label")
    assert np.isnan(table["mi_nats"]["kind"])
    assert "wanted" in table["reason"]["kind"]
    assert table["mi_nats"]["rv"] > 1


def test_many_neighbors_are_taken_as_asked():
    x = np.arange(1000.0)
    assert mutual_information(x, x, neighbors=50) < mutual_information(x, x, neighbors=17)
