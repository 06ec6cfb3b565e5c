"""Where groups come from, and what is said where names are missing."""

import numpy as np
import pandas as pd
import pytest

from latentscope.data import Latents
from latentscope.diagnostics.columns.group_columns import groups_of
from latentscope.diagnostics.mi.api import mi_matrix
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning

N = 300


@pytest.fixture
def values():
    return np.random.default_rng(5).normal(size=(N, 1))


def stars(rows=3):
    return pd.Series([f"HD{i // rows}" for i in range(N)])


@pytest.mark.parametrize("name", ["star", "object"])
def test_an_empty_sidecar_column_is_filled_from_the_labels(values, name):
    sidecar = pd.DataFrame({"id": range(N), name: [None] * N})
    labels = pd.DataFrame({"v": np.arange(N, dtype=float), name: stars()})
    table = mi_matrix(Latents(values, sidecar), labels, groups=name).table
    assert list(table["n_groups"]) == [100]


def test_the_sidecar_goes_first_row_by_row(values):
    sidecar = pd.DataFrame({"star": stars().where(stars().index < 150)})
    labels = pd.DataFrame({"star": ["other"] * N})
    groups = groups_of("star", Latents(values, sidecar), labels)
    assert groups.count(np.arange(N) < 150) == 50
    assert groups.count(np.arange(N) >= 150) == 1


def test_star_is_filled_from_object(values):
    sidecar = pd.DataFrame({"star": [None] * N, "object": stars()})
    groups = groups_of("star", Latents(values, sidecar), pd.DataFrame({"v": range(N)}))
    assert groups.repeated == 200


def test_no_name_at_all_is_an_error(values):
    sidecar = pd.DataFrame({"star": [None] * N})
    labels = pd.DataFrame({"v": range(N), "star": [""] * N})
    with pytest.raises(EstimatorError, match="'star' names none of 300 rows"):
        mi_matrix(Latents(values, sidecar), labels, groups="star")
    with pytest.raises(EstimatorError, match="array names none"):
        mi_matrix(values, labels[["v"]], groups=[None] * N)


def test_a_column_that_is_not_there_is_a_wrong_choice(values):
    with pytest.raises(ChoiceError, match=r"groups: no column 'nosuch'.*the labels have v"):
        groups_of("nosuch", Latents(values), pd.DataFrame({"v": range(N)}))


def test_rows_without_a_name_are_counted_but_for_failed_ones(values):
    values[:20] = np.nan
    names = stars()
    names[:30] = None
    with pytest.warns(LatentscopeWarning, match="10 of 280 rows with latents have no name"):
        groups = groups_of("star", Latents(values), pd.DataFrame({"star": names}))
    assert groups.count(np.arange(N) < 30) == 30


def test_a_sparse_label_is_nan_and_leaves_the_others(values):
    sparse = np.full(N, np.nan)
    sparse[[0, 1, 2, 3, 4, 5]] = np.arange(6)
    labels = pd.DataFrame({"v": np.arange(N, dtype=float), "sparse": sparse})
    with pytest.warns(LatentscopeWarning, match="1 of 2 pairs are NaN.* sparse"):
        result = mi_matrix(values, labels, groups=stars())
    row = result.table.set_index("label").loc["sparse"]
    assert np.isnan([row["mi_nats"], row["std_nats"], row["p_value"], row["q_value"]]).all()
    assert (row["n"], row["n_groups"]) == (6, 2)
    assert row["reason"].endswith("2 groups have both; wanted more than neighbors=3")
    assert np.isfinite(result.matrix.loc["v", 0])
    assert list(result.best["label"]) == ["v"]
    assert len(result.sentences()) == 1
    with pytest.raises(EstimatorError, match="2 groups have both"):
        mi_matrix(values, labels, groups=stars(), columns=["v", "sparse"])
    with (
        pytest.warns(LatentscopeWarning),
        pytest.raises(
            EstimatorError,
            match=r"no pair could be measured.*groups have both; wanted more than neighbors=3",
        ),
    ):
        mi_matrix(values, labels.assign(empty=np.nan)[["sparse", "empty"]], groups=stars())
