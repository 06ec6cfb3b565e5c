"""The published formulas, against loops written from the papers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import mutual_info_score, roc_auc_score

from latentscope.diagnostics.disentanglement_measures import (
    area_under_curve,
    completeness,
    disentanglement,
    entropy,
    equal_width_bins,
    mig,
    modularity,
    plain_information,
    sap,
    squared_correlations,
)

MATRICES = st.tuples(st.integers(2, 6), st.integers(2, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 4).map(lambda x: round(x, 3)))
)


def slow_evenness(row):
    total = sum(row)
    if total == 0:
        return 0.0
    entropy_in_units = 0.0
    for value in row:
        share = value / total
        if share > 0:
            entropy_in_units -= share * math.log(share, len(row))
    return 1 - entropy_in_units


def slow_modularity(row):
    best = max(row)
    if best == 0:
        return 0.0
    place = row.index(best)
    deviation = sum(v**2 for j, v in enumerate(row) if j != place) / (best**2 * (len(row) - 1))
    return 1 - deviation


@settings(max_examples=60, deadline=None)
@given(MATRICES)
def test_formulas_are_those_of_the_papers(matrix):
    rows, columns = matrix.tolist(), matrix.T.tolist()
    np.testing.assert_allclose(
        modularity(matrix), [slow_modularity(row) for row in rows], atol=1e-12
    )
    each, mean = disentanglement(matrix)
    slow = [slow_evenness(row) for row in rows]
    np.testing.assert_allclose(each, slow, atol=1e-12)
    weights = [sum(row) for row in rows]
    total = sum(weights)
    wanted = sum(w * d for w, d in zip(weights, slow, strict=True)) / total if total else 0.0
    assert mean == pytest.approx(wanted, abs=1e-12)
    each, mean = completeness(matrix)
    np.testing.assert_allclose(each, [slow_evenness(column) for column in columns], atol=1e-12)
    entropies = np.arange(1.0, len(columns) + 1)
    gaps = []
    for column in columns:
        first, second = sorted(column)[-1], sorted(column)[-2]
        gaps.append(first - second)
    np.testing.assert_allclose(sap(matrix), gaps, atol=1e-12)
    np.testing.assert_allclose(mig(matrix, entropies), np.array(gaps) / entropies, atol=1e-12)


@pytest.mark.parametrize(
    ("matrix", "d", "c", "m"),
    [
        (np.eye(4), 1, 1, 1),
        (np.ones((4, 4)), 0, 0, 0),
        (np.zeros((4, 4)), 0, 0, 0),
        # Each label in two of six dimensions, each dimension one label.
        (np.vstack([np.eye(3), np.eye(3)]), 1, 1 - math.log(2) / math.log(6), 1),
        # One dimension knows everything.
        (np.vstack([np.ones((1, 3)), np.zeros((2, 3))]), 0, 1, 0),
    ],
)
def test_matrices_whose_values_are_known(matrix, d, c, m):
    assert disentanglement(matrix)[1] == pytest.approx(d, abs=1e-12)
    assert completeness(matrix)[1] == pytest.approx(c, abs=1e-12)
    assert modularity(matrix).mean() == pytest.approx(m)


def test_one_label_leaves_some_undefined():
    one = np.ones((3, 1))
    assert np.isnan(modularity(one)).all()
    each, mean = disentanglement(one)
    assert np.isnan(each).all()
    assert np.isnan(mean)
    assert completeness(one)[1] == pytest.approx(0)


def test_gap_of_bins_in_closed_form():
    """Dimension 0 is the label of four equal classes, dimension 1 its half: (log 4 - log 2)."""
    label = np.tile(np.arange(4), 100)
    latents = np.column_stack([label * 3.0, (label // 2) * 7.0, np.zeros(400)])
    information = np.array([[plain_information(equal_width_bins(z), label)] for z in latents.T])
    np.testing.assert_allclose(information[:, 0], [math.log(4), math.log(2), 0], atol=1e-12)
    assert mig(information, [entropy(label)])[0] == pytest.approx(0.5)


def test_binned_information_equals_numpy_bins_and_scikit_learn():
    rng = np.random.default_rng(0)
    z, label = rng.gamma(2, size=700), rng.integers(0, 6, 700)
    edges = np.histogram(z, bins=20)[1]
    wanted = np.digitize(z, edges[:-1]) - 1
    np.testing.assert_array_equal(equal_width_bins(z), wanted)
    found = plain_information(equal_width_bins(z), label)
    assert found == pytest.approx(mutual_info_score(wanted, label), abs=1e-12)
    assert equal_width_bins(np.full(5, 2.0)).tolist() == [0] * 5


def test_squared_correlations_and_areas_equal_the_usual_ones():
    rng = np.random.default_rng(1)
    z, y = rng.normal(size=(300, 3)), rng.normal(size=300)
    z[:, 1] += y
    z[:, 2] = 4.0
    found = squared_correlations(z, y)
    np.testing.assert_allclose(
        found[:2], [np.corrcoef(z[:, j], y)[0, 1] ** 2 for j in (0, 1)], rtol=1e-10
    )
    assert found[2] == 0
    positive = (y > 0.3).astype(int)
    score = np.round(z[:, 1], 1)
    assert area_under_curve(score, positive) == pytest.approx(roc_auc_score(positive, score))
