from importlib.util import find_spec

import numpy as np
import pytest

from latentscope.diagnostics.mi.api import mi_matrix, mutual_information
from latentscope.diagnostics.mi.columns import read_column
from latentscope.diagnostics.mi.estimators import (
    choose,
    kinds_of,
    neighbors_for,
    neighbors_of_strong,
    settled,
)
from latentscope.errors import EstimatorError


def parts(*arrays):
    columns = [read_column(f"c{i}", a, stream=(i,)) for i, a in enumerate(arrays)]
    return [column.part(column.valid) for column in columns]


@pytest.mark.parametrize(
    ("n", "least", "expected"),
    [
        (30, 3, 3),
        (100, 3, 6),
        (1_000, 3, 8),
        (5_000, 3, 5),
        (7_000, 3, 3),
        (50_000, 3, 3),
        (5_000, 12, 12),
        (50_000, 1, 1),
    ],
)
def test_few_rows_get_more_neighbors(n, least, expected):
    x, y = np.random.default_rng(0).normal(size=(2, n))
    assert neighbors_for(*parts(x, y), least) == expected


@pytest.mark.parametrize(("classes", "weak", "strong"), [(2, 16, 12), (10, 16, 6), (50, 12, 3)])
def test_few_rows_a_class_get_fewer_neighbors(classes, weak, strong):
    x = np.random.default_rng(0).normal(size=5_000)
    both = parts(x, np.arange(5_000) % classes)
    assert both[1].column.discrete
    assert neighbors_for(*both, 3) == neighbors_for(*both[::-1], 3) == weak
    assert neighbors_of_strong(*both, 3) == strong


@pytest.mark.parametrize(
    ("values", "rows", "discrete"),
    [
        (2, 40, True),
        (5, 60, True),
        (5, 40, False),
        (20, 800, False),
        (20, 1_000, True),
        (50, 2_500, True),
        (51, 5_000, False),
    ],
)
def test_numbers_of_few_values_with_many_rows_are_classes(values, rows, discrete):
    assert read_column("x", np.arange(rows) % values).discrete is discrete


def test_tables_too_thin_for_counts_take_numbers_as_numbers():
    rng = np.random.default_rng(0)
    ten, thirty = (rng.integers(0, k, 2_000).astype(float) for k in (10, 30))
    text = np.array([f"c{i}" for i in thirty])
    few, many = (read_column("x", a, stream=(i,)) for i, a in enumerate((ten, thirty)))
    named = read_column("y", text)
    for pair in ((few, many), (many, few)):
        x, y = settled(*pair, "auto")
        assert [column.discrete for column in (x, y)] == [p is few for p in pair]
    assert [c.discrete for c in settled(few, named, "auto")] == [False, True]
    assert [c.discrete for c in settled(few, few, "auto")] == [True, True]
    assert [c.discrete for c in settled(few, many, "plugin")] == [True, True]
    assert abs(mutual_information(ten, thirty)) < 0.05


def test_names_of_estimators_and_reasons_reach_the_table():
    rng = np.random.default_rng(1)
    latents = rng.normal(size=(600, 1))
    label = latents[:, 0] + rng.normal(size=600)
    installed = ("npeet",) if find_spec("npeet_plus") else ()
    for name in ("copula", "ksg", "mixture", "histogram", "gmm", *installed):
        row = mi_matrix(latents, label[:, None], estimator=name).table.iloc[0]
        assert row["estimator"] == name
        assert "asked for" in row["reason"]
        assert 0.15 < row["mi_nats"] < 1.0
        assert 0 < row["std_nats"] < 0.1
        assert row["p_value"] < 0.01


def test_estimators_refuse_columns_that_they_do_not_take():
    x, text = read_column("x", np.arange(50.0)), read_column("y", ["a", "b"] * 25)
    with pytest.raises(EstimatorError, match="copula wants none"):
        choose(x, text, "copula")
    with pytest.raises(EstimatorError, match="npeet wants none or one"):
        choose(text, text, "npeet")
    assert kinds_of("auto") == ("auto", "auto")
    assert kinds_of("plugin") == (True, True)
    assert kinds_of("ross") == (False, True)
    assert kinds_of("gmm") == (False, "auto")


@pytest.mark.parametrize("estimator", ["gmm", "npeet", "ross"])
def test_estimators_of_a_label_of_classes_agree(estimator):
    if estimator == "npeet":
        pytest.importorskip("npeet_plus")
    rng = np.random.default_rng(2)
    label = rng.integers(0, 2, 1_500)
    x = rng.normal(size=1_500) + 2 * label
    value = mutual_information(x, label, estimator=estimator, discrete=True)
    assert value == pytest.approx(mutual_information(x, label), abs=0.04)
