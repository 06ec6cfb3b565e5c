import numpy as np
import pytest

import latentscope
from latentscope.data import Latents
from latentscope.diagnostics.mi.api import mi_matrix, pairwise_mi
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning


@pytest.fixture(scope="module")
def latents():
    """Dimensions 0 and 2 have a correlation of 0.9; 1 and 3 stand alone, 4 is switched off."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2000, 5))
    values[:, 2] = 0.9 * values[:, 0] + np.sqrt(1 - 0.81) * values[:, 2]
    values[:, 4] *= 1e-3
    return values


@pytest.fixture(scope="module")
def result(latents):
    return pairwise_mi(latents)


def test_the_table_is_tidy(result):
    assert list(result.table.columns) == [
        "dim_x", "dim_y", "mi_nats", "std_nats", "p_value", "q_value", "n", "n_groups",
        "estimator", "reason",
    ]  # fmt: skip
    pairs = list(zip(result.table["dim_x"], result.table["dim_y"], strict=True))
    assert pairs == [(i, j) for i in range(5) for j in range(i + 1, 5)]
    assert result.provenance["diagnostic"] == "pairwise mutual information"
    assert result.provenance["dims"] == result.dims == [0, 1, 2, 3, 4]


def test_it_finds_the_pair_and_nothing_else(result):
    assert list(result.significant["dim_x"]) == [0]
    assert list(result.significant["dim_y"]) == [2]
    assert result.matrix.loc[0, 2] == pytest.approx(-0.5 * np.log(1 - 0.81), abs=0.06)
    assert result.sentences(3)[0].startswith("dims 0 and 2: 0.8")
    assert len(result.sentences(3)) == 3
    assert len(result.sentences(3, significant=True)) == 1


def test_the_matrix_is_symmetric_without_a_diagonal(result):
    matrix = result.matrix
    assert list(matrix.index) == list(matrix.columns) == result.dims
    np.testing.assert_array_equal(matrix, matrix.T)
    assert np.isnan(np.diag(matrix)).all()
    assert np.isfinite(matrix.to_numpy()[~np.eye(5, dtype=bool)]).all()


def test_a_pair_is_what_mi_matrix_says_of_it(latents, result):
    of_label = mi_matrix(latents, latents[:, 2:3], dims=[0], clip_sigma=None).table["mi_nats"][0]
    assert result.matrix.loc[0, 2] == pytest.approx(of_label, abs=0.02)


def test_a_value_is_blind_to_what_else_is_measured(latents, result):
    some = pairwise_mi(latents, dims=[3, 1])
    assert len(some.table) == 1
    assert some.matrix.loc[1, 3] == result.matrix.loc[1, 3]
    assert pairwise_mi(latents, dims="informative").dims == [0, 1, 2, 3]


def test_wrong_dims_are_named(latents):
    with pytest.raises(ChoiceError, match=r"dims \[9\]"):
        pairwise_mi(latents, dims=[1, 9])
    with pytest.raises(EstimatorError, match="1 dimension to compare; expected two or more"):
        pairwise_mi(latents, dims=[1])


def test_stars_that_repeat(latents):
    import pandas as pd

    named = Latents(latents, pd.DataFrame({"star": np.arange(2000) // 4}))
    for groups, n in (("auto", 500), ("star", 500), (None, 2000)):
        assert list(pairwise_mi(named, dims=[0, 1], groups=groups).table["n_groups"]) == [n]


def test_constant_dimensions_give_0_and_a_warning(latents):
    flat = np.column_stack([latents[:, :2], np.ones(2000)])
    with pytest.warns(LatentscopeWarning, match="constant, hence .*: dim 2"):
        table = pairwise_mi(flat).table
    assert list(table["mi_nats"])[1:] == [0, 0]


def test_it_is_a_public_name():
    assert latentscope.pairwise_mi is pairwise_mi
    assert "PairwiseResult" in dir(latentscope)
