"""Distances by hand, and against scipy."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from latentscope.diagnostics.retrieval.space import measure_space
from latentscope.errors import EstimatorError, LatentscopeWarning

RNG = np.random.default_rng(5)
MIXED = (
    RNG.normal(size=(400, 3)) @ np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 5.0]]) + 7
)


def space(values, metric="euclidean", spread="plain", dims=None, ok=None):
    values = np.asarray(values, dtype=np.float64)
    ok = np.ones(len(values), bool) if ok is None else ok
    dims = list(range(values.shape[1])) if dims is None else dims
    return measure_space(values, ok, dims, metric, spread, "latents")


def test_robust_spread_is_that_of_a_gaussian_and_ignores_outliers():
    values = RNG.normal(3, 2, size=(20_000, 1))
    values[:100] = 1e6
    made = space(values, spread="robust")
    assert made.spread[0] == pytest.approx(2, rel=0.03)
    assert made.centre[0] == pytest.approx(3, abs=0.06)
    assert space(values, spread="plain").spread[0] > 1000


def test_without_spread_distances_are_in_units_of_the_latents():
    made = space([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]], spread="none")
    assert made.distances(np.array([[3.0, 4.0]]), np.zeros(2)) == pytest.approx([5])


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        ("euclidean", {"metric": "seuclidean", "V": MIXED.var(axis=0)}),
        ("mahalanobis", {"metric": "mahalanobis", "VI": np.linalg.inv(np.cov(MIXED.T, ddof=0))}),
    ],
)
def test_distances_are_those_of_scipy(metric, options):
    made = space(MIXED, metric)
    wanted = cdist(MIXED, MIXED[:1], **options)[:, 0]
    assert made.distances(MIXED, MIXED[0]) == pytest.approx(wanted, rel=1e-9)


def test_manhattan_and_cosine_are_those_of_scipy_on_standardised_rows():
    standardised = (MIXED - np.median(MIXED, axis=0)) / MIXED.std(axis=0)
    for metric, name in (("manhattan", "cityblock"), ("cosine", "cosine")):
        wanted = cdist(standardised, standardised[:1], name)[:, 0]
        found = space(MIXED, metric).distances(MIXED, MIXED[0])
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis", "cosine"])
def test_points_are_in_the_order_of_the_distances(metric):
    made = space(MIXED, metric)
    apart = np.linalg.norm(made.points(MIXED) - made.points(MIXED[:1]), axis=1)
    wanted = made.distances(MIXED, MIXED[0])
    assert (apart**2 / 2 if metric == "cosine" else apart) == pytest.approx(wanted, abs=1e-9)


def test_mahalanobis_does_not_see_how_dimensions_are_mixed():
    turn = RNG.normal(size=(3, 3))
    one = space(MIXED, "mahalanobis").distances(MIXED, MIXED[0])
    other = space(MIXED @ turn, "mahalanobis").distances(MIXED @ turn, (MIXED @ turn)[0])
    assert one == pytest.approx(other, rel=1e-6)


def test_cosine_keeps_the_digits_of_small_angles():
    values = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [1.0, 1e-9]])
    made = space(values, "cosine", "none")
    assert made.distances(values, values[0])[4] == pytest.approx(5e-19, rel=1e-6)


def test_a_row_at_the_centre_has_no_direction():
    values = np.array([[0.0, 0.0], [1.0, 1.0], [-1.0, -1.0]])
    assert np.isnan(space(values, "cosine").points(values)[0]).all()


@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis", "manhattan", "cosine"])
def test_equal_rows_are_equally_far_to_the_last_bit(metric):
    values = np.repeat(MIXED[:7], 9, axis=0)
    made = space(MIXED, metric)
    for count in range(1, 9):
        far = made.distances(values[: 9 * count - 3], MIXED[20])
        for row in range(len(far)):
            assert far[row] == far[row // 9 * 9]


def test_constant_dimensions_are_left_out_with_a_word():
    values = MIXED.copy()
    values[:, 1] = 4
    with pytest.warns(LatentscopeWarning, match="dims 1 have no plain spread"):
        assert space(values).dims == [0, 2]
    values[:] = 4
    with pytest.raises(EstimatorError, match="nothing to compare"):
        space(values)


def test_a_dimension_that_rests_for_most_rows_has_no_robust_spread():
    values = MIXED.copy()
    values[:300, 1] = 4
    with pytest.warns(LatentscopeWarning, match="spread='plain'"):
        assert space(values, spread="robust").dims == [0, 2]
    assert space(values, spread="plain").dims == [0, 1, 2]


def test_dependent_dimensions_have_no_mahalanobis():
    values = np.column_stack([MIXED, MIXED[:, 0] - MIXED[:, 1]])
    with pytest.raises(EstimatorError, match="1 of 4 dimensions depend linearly"):
        space(values, "mahalanobis")


def test_what_is_unknown_is_told():
    with pytest.raises(EstimatorError, match="wanted one of euclidean, mahalanobis"):
        space(MIXED, "hamming")
    with pytest.raises(EstimatorError, match="wanted one of robust, plain, none"):
        space(MIXED, spread="wide")
    with pytest.raises(EstimatorError, match="none of 400 rows"):
        space(MIXED, ok=np.zeros(400, bool))
