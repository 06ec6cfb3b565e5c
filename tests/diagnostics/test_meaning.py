"""What dimensions know, in words, on latents whose meaning is known."""

import numpy as np
import pandas as pd
import pytest

from latentscope.diagnostics.activity import mad
from latentscope.diagnostics.meaning import Meaning, dimension_meanings, rank_correlation
from latentscope.diagnostics.mi.api import mi_matrix


def meanings_of(values, labels):
    activity = mad(values)
    return dimension_meanings(values, labels, activity, mi_matrix(values, labels))


def test_each_dimension_gets_the_label_it_was_made_of():
    rng = np.random.default_rng(0)
    labels = pd.DataFrame({"radvel": rng.normal(size=500), "Teff": rng.uniform(3e3, 9e3, 500)})
    values = np.column_stack(
        [
            1e-3 * rng.normal(size=500),  # dead
            labels["Teff"] / 1e3 + 0.3 * rng.normal(size=500),
            rng.normal(size=500),  # of no label
            -(labels["radvel"] ** 3),
            np.abs(labels["radvel"]) * 3,  # folded
        ]
    )
    values[3] = np.nan
    found = {meaning.dim: meaning for meaning in meanings_of(values, labels)}
    assert set(found) == {1, 2, 3, 4}
    assert found[1].label == "Teff"
    assert found[1].correlation > 0.95
    assert found[2].label is None
    assert found[3].label == "radvel"
    assert found[3].correlation == pytest.approx(-1)
    assert found[4].label == "radvel"
    assert abs(found[4].correlation) < 0.3
    assert "rising with it (rank correlation +0.9" in found[1].sentence
    assert "follows effective temperature" in found[1].sentence
    assert found[2].sentence.endswith("matches no label.")
    assert "falling as it rises (rank correlation -1.00)" in found[3].sentence
    assert "neither rising nor falling" in found[4].sentence


def test_the_strongest_relation_comes_first_and_no_relation_last():
    rng = np.random.default_rng(1)
    labels = pd.DataFrame({"x": rng.normal(size=300)})
    x = labels["x"].to_numpy()
    noise = rng.normal(size=(4, 300))
    values = np.column_stack([noise[0], 9 * noise[1], x + noise[2], x + 0.01 * noise[3]])
    found = meanings_of(values, labels)
    assert [meaning.dim for meaning in found] == [3, 2, 1, 0]
    assert [meaning.label for meaning in found] == ["x", "x", None, None]


def test_classes_have_no_rank_correlation():
    rng = np.random.default_rng(2)
    kind = rng.choice(["M", "G"], 400)
    values = np.where(kind == "M", 1.0, -1.0)[:, None] + 0.1 * rng.normal(size=(400, 1))
    (meaning,) = meanings_of(values, pd.DataFrame({"spec_type": kind}))
    assert meaning.label == "spec_type"
    assert np.isnan(meaning.correlation)
    assert meaning.sentence.endswith("follows spec_type: 0.69 nats with spec_type.")


def test_a_weak_relation_is_called_little():
    assert "knows something about mass: 0.20 nats" in Meaning(3, 0.5, "mass", 0.2, 0.5).sentence
    assert "knows little about mass: 0.03 nats" in Meaning(3, 0.5, "mass", 0.03, 0.1).sentence


def test_rank_correlation_leaves_out_rows_without_a_number():
    x = np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    y = pd.Series([10.0, 20.0, 0.0, 30.0, np.nan])
    assert rank_correlation(x, y) == pytest.approx(1)
    assert np.isnan(rank_correlation(np.ones(5), y))
    assert np.isnan(rank_correlation(x, pd.Series(list("abcde"))))
