"""The exact search against a sort of all distances in float64, and what it rests on."""

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from latentscope.diagnostics.nearest import (
    Neighbors,
    Space,
    bound_distances,
    measure_space,
    rounded,
)
from latentscope.errors import EstimatorError, LatentscopeWarning

RNG = np.random.default_rng(5)
MIXED = (
    RNG.normal(size=(400, 3)) @ np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 5.0]]) + 7
)


def made_space(values, metric="euclidean", spread="plain", dims=None, ok=None):
    values = np.asarray(values, dtype=np.float64)
    ok = np.ones(len(values), bool) if ok is None else ok
    dims = list(range(values.shape[1])) if dims is None else dims
    return measure_space(values, ok, dims, metric, spread, "latents")


def test_robust_spread_is_that_of_a_gaussian_and_ignores_outliers():
    values = RNG.normal(3, 2, size=(20_000, 1))
    values[:100] = 1e6
    made = made_space(values, spread="robust")
    assert made.spread[0] == pytest.approx(2, rel=0.03)
    assert made.center[0] == pytest.approx(3, abs=0.06)
    assert made_space(values, spread="plain").spread[0] > 1000


def test_without_spread_distances_are_in_units_of_the_latents():
    made = made_space([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]], spread="none")
    assert made.distances(np.array([[3.0, 4.0]]), np.zeros(2)) == pytest.approx([5])


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        ("euclidean", {"metric": "seuclidean", "V": MIXED.var(axis=0)}),
        ("mahalanobis", {"metric": "mahalanobis", "VI": np.linalg.inv(np.cov(MIXED.T, ddof=0))}),
    ],
)
def test_distances_are_those_of_scipy(metric, options):
    made = made_space(MIXED, metric)
    expected = cdist(MIXED, MIXED[:1], **options)[:, 0]
    assert made.distances(MIXED, MIXED[0]) == pytest.approx(expected, rel=1e-9)


def test_manhattan_and_cosine_are_those_of_scipy_on_standardized_rows():
    standardized = (MIXED - np.median(MIXED, axis=0)) / MIXED.std(axis=0)
    for metric, name in (("manhattan", "cityblock"), ("cosine", "cosine")):
        expected = cdist(standardized, standardized[:1], name)[:, 0]
        found = made_space(MIXED, metric).distances(MIXED, MIXED[0])
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis", "cosine"])
def test_points_are_in_the_order_of_the_distances(metric):
    made = made_space(MIXED, metric)
    apart = np.linalg.norm(made.points(MIXED) - made.points(MIXED[:1]), axis=1)
    expected = made.distances(MIXED, MIXED[0])
    assert (apart**2 / 2 if metric == "cosine" else apart) == pytest.approx(expected, abs=1e-9)


def test_mahalanobis_does_not_see_how_dimensions_are_mixed():
    turn = RNG.normal(size=(3, 3))
    one = made_space(MIXED, "mahalanobis").distances(MIXED, MIXED[0])
    other = made_space(MIXED @ turn, "mahalanobis").distances(MIXED @ turn, (MIXED @ turn)[0])
    assert one == pytest.approx(other, rel=1e-6)


def test_cosine_keeps_the_digits_of_small_angles():
    values = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [1.0, 1e-9]])
    made = made_space(values, "cosine", "none")
    assert made.distances(values, values[0])[4] == pytest.approx(5e-19, rel=1e-6)


def test_a_row_at_the_center_has_no_direction():
    values = np.array([[0.0, 0.0], [1.0, 1.0], [-1.0, -1.0]])
    assert np.isnan(made_space(values, "cosine").points(values)[0]).all()


@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis", "manhattan", "cosine"])
def test_equal_rows_are_equally_far_to_the_last_bit(metric):
    values = np.repeat(MIXED[:7], 9, axis=0)
    made = made_space(MIXED, metric)
    for count in range(1, 9):
        far = made.distances(values[: 9 * count - 3], MIXED[20])
        for row in range(len(far)):
            assert far[row] == far[row // 9 * 9]


def test_constant_dimensions_are_left_out_with_a_word():
    values = MIXED.copy()
    values[:, 1] = 4
    with pytest.warns(LatentscopeWarning, match="dims 1 have no plain spread"):
        assert made_space(values).dims == [0, 2]
    values[:] = 4
    with pytest.raises(EstimatorError):
        made_space(values)


def test_a_dimension_that_rests_for_most_rows_has_no_robust_spread():
    values = MIXED.copy()
    values[:300, 1] = 4
    with pytest.warns(LatentscopeWarning, match="spread='plain'"):
        assert made_space(values, spread="robust").dims == [0, 2]
    assert made_space(values, spread="plain").dims == [0, 1, 2]


def test_dependent_dimensions_have_no_mahalanobis():
    values = np.column_stack([MIXED, MIXED[:, 0] - MIXED[:, 1]])
    with pytest.raises(EstimatorError, match="1 of 4 dimensions depend linearly"):
        made_space(values, "mahalanobis")


def test_what_is_unknown_is_told():
    with pytest.raises(EstimatorError, match="expected one of euclidean, mahalanobis"):
        made_space(MIXED, "hamming")
    with pytest.raises(EstimatorError, match="expected one of robust, plain, none"):
        made_space(MIXED, spread="wide")
    with pytest.raises(EstimatorError, match="none of 400 rows"):
        made_space(MIXED, ok=np.zeros(400, bool))


FINITE = st.floats(-1e6, 1e6, width=64)


def at_least(points, query, absolute=False):
    singles, slack = rounded(points, absolute)
    queries, shifts = rounded(query[None], absolute)
    lower = np.empty((1, len(points)), np.float32)
    bound_distances(singles, slack, queries, shifts, absolute, 0, len(points), lower)
    return lower[0].astype(float)


def apart(points, query, absolute):
    return np.linalg.norm(points - query, axis=1, ord=1 if absolute else 2)


@settings(max_examples=60)
@given(st.data(), st.integers(1, 9), st.integers(1, 70), st.booleans())
def test_no_distance_is_below_its_bound(data, e, n, absolute):
    points = data.draw(arrays(np.float64, (n, e), elements=FINITE))
    query = data.draw(arrays(np.float64, e, elements=FINITE))
    assert (at_least(points, query, absolute) <= apart(points, query, absolute)).all()


@pytest.mark.parametrize("absolute", [False, True])
def test_bounds_are_narrow(absolute):
    rng = np.random.default_rng(0)
    points, query = rng.normal(size=(5000, 40)), rng.normal(size=40)
    true = apart(points, query, absolute)
    assert (true - at_least(points, query, absolute)).max() < 1e-5 * true.mean()


def test_points_beyond_float32_are_not_said_to_be_far():
    points = np.array([[0.0, 0.0], [1e300, 0.0], [3e38, 3e38], [1.0, 0.0]])
    lower = at_least(points, np.zeros(2))
    assert np.isnan(lower).tolist() == [False, True, True, False]
    assert lower[3] > 0.999


METRICS = ["euclidean", "mahalanobis", "manhattan", "cosine"]
NONE = np.empty(0, dtype=np.int64)


def standardized_in_place(values, query, space):
    """Distances straight from their definitions, one row at a time."""
    found = []
    for row in values.astype(np.float64):
        difference = (row - query) / space.spread
        if space.metric == "manhattan":
            found.append(np.abs(difference).sum())
        elif space.metric == "euclidean":
            found.append(np.sqrt((difference**2).sum()))
        elif space.metric == "mahalanobis":
            inverse = space.unmixing @ space.unmixing.T
            found.append(np.sqrt(max(difference @ inverse @ difference, 0)))
        else:
            a, b = (row - space.center) / space.spread, (query - space.center) / space.spread
            found.append(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    return np.array(found)


def built(values, metric="euclidean", spread="plain", codes=None, ok=None):
    ok = np.isfinite(values).all(axis=1) if ok is None else ok
    space = measure_space(values, ok, list(range(values.shape[1])), metric, spread, "latents")
    return Neighbors(values, ok, space, codes)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n", "d", "dtype"), [(1200, 6, "f4"), (700, 33, "f8"), (90, 2, "f4")])
def test_rows_and_distances_are_those_of_a_full_sort(metric, n, d, dtype):
    rng = np.random.default_rng(n + d)
    values = (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 3).astype(dtype)
    neighbors = built(values, metric, "robust")
    queries = np.concatenate([values[:3].astype(float), rng.normal(size=(6, d)) + 3])
    for query, near in zip(queries, neighbors.nearest(queries, [NONE] * 9, 12), strict=True):
        true = standardized_in_place(values, query, neighbors.space)
        assert near.rows.tolist() == np.argsort(true, kind="stable")[:12].tolist()
        assert near.distances == pytest.approx(true[near.rows], rel=1e-9, abs=1e-7)


@settings(max_examples=80)
@given(st.data(), st.integers(1, 90), st.integers(1, 5), st.integers(1, 100), st.booleans())
def test_ties_and_copies_come_in_the_order_of_rows(data, n, d, k, absolute):
    # Whole numbers have exact distances, so that ties are ties in the oracle too.
    values = data.draw(arrays(np.float32, (n, d), elements=st.integers(-4, 4)))
    offset = data.draw(st.sampled_from([0, 2**20]))
    query = data.draw(arrays(np.float64, d, elements=st.integers(-4, 4))) + offset
    values = values + np.float32(offset)
    metric = "manhattan" if absolute else "euclidean"
    space = Space(list(range(d)), metric, np.median(values, axis=0).astype(float), np.ones(d))
    (near,) = Neighbors(values, np.ones(n, bool), space).nearest(query[None], [NONE], k)
    true = standardized_in_place(values, query, space)
    assert near.rows.tolist() == np.argsort(true, kind="stable")[:k].tolist()
    assert near.distances.tolist() == np.sort(true)[:k].tolist()


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
def test_near_copies_are_told_apart_far_from_zero(offset):
    rng = np.random.default_rng(2)
    values = np.repeat(rng.normal(size=(40, 8)), 50, axis=0) + offset
    values += 1e-6 * rng.normal(size=values.shape)
    neighbors = built(values, spread="none")
    for row in (0, 777, 1999):
        (near,) = neighbors.nearest(values[row : row + 1], [NONE], 50)
        true = np.sqrt(((values - values[row]) ** 2).sum(axis=1))
        assert near.rows.tolist() == np.argsort(true, kind="stable")[:50].tolist()
        assert near.rows[0] == row
        assert near.distances[1] < 1e-4


def test_heavy_tails_and_numbers_beyond_float32_do_no_harm():
    values = np.random.default_rng(3).standard_cauchy(size=(4000, 5))
    values[7] = 1e60
    values[8, 0] = 1e39
    neighbors = built(values, spread="robust")
    for row in (0, 7, 8, 100):
        (near,) = neighbors.nearest(values[row : row + 1], [NONE], 5)
        true = standardized_in_place(values, values[row], neighbors.space)
        assert near.rows.tolist() == np.argsort(true, kind="stable")[:5].tolist()


@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_a_row_that_rounding_moves_away_is_found_all_the_same(metric):
    # bfloat16 makes 1.0078 of 1.004, and leaves the others nearly where they are.
    values = np.array([[1.0, 0.006], [1.004, 0.0], [1.0, 0.5], [1.0, -0.5]])
    space = Space([0, 1], metric, np.zeros(2), np.ones(2))
    (near,) = Neighbors(values, np.ones(4, bool), space).nearest(np.array([[1.0, 0]]), [NONE], 1)
    assert near.rows.tolist() == [1]
    assert near.distances == pytest.approx([0.004])


def test_all_rows_equal():
    neighbors = built(np.vstack([np.ones((500, 3)), [[0, 0, 0], [2, 2, 2]]]), spread="none")
    (near,) = neighbors.nearest(np.ones((1, 3)), [NONE], 4)
    assert near.rows.tolist() == [0, 1, 2, 3]
    assert near.distances.tolist() == [0, 0, 0, 0]


def test_rows_left_out_and_rows_of_nan_are_never_found():
    values = np.arange(200.0)[:, None]
    values[[50, 51]] = np.nan
    neighbors = built(values, spread="none")
    (near,) = neighbors.nearest(np.array([[50.2]]), [np.array([49, 50, 52])], 3)
    assert near.rows.tolist() == [48, 53, 47]
    assert near.distances == pytest.approx([2.2, 2.8, 3.2])
    assert neighbors.count(np.array([49, 50, 52])) == 2


def test_fewer_rows_than_asked_for():
    neighbors = built(np.arange(6.0)[:, None], spread="none")
    (near,) = neighbors.nearest(np.array([[0.0]]), [np.array([0, 1, 2])], 100)
    assert near.rows.tolist() == [3, 4, 5]
    (near,) = neighbors.nearest(np.array([[0.0]]), [np.arange(6)], 2)
    assert near.rows.tolist() == []


def test_one_row_a_group():
    rng = np.random.default_rng(4)
    values, codes = rng.normal(size=(900, 3)), rng.integers(0, 40, 900)
    (near,) = built(values, spread="none", codes=codes).nearest(values[:1], [NONE], 15)
    true = np.sqrt(((values - values[0]) ** 2).sum(axis=1))
    first = {int(codes[row]): int(row) for row in np.argsort(true)[::-1]}
    assert near.rows.tolist() == sorted(first.values(), key=lambda row: true[row])[:15]


def test_rows_at_the_center_are_not_found_by_direction():
    values = np.array([[0.0, 0.0], [1.0, 1.0], [-1.0, -1.0], [3.0, 2.9], [-3.0, 3.0]])
    neighbors = built(values, "cosine", "none", ok=np.ones(5, bool))
    neighbors.space.center[:] = 0
    made = Neighbors(values, np.ones(5, bool), neighbors.space)
    near, none = made.nearest(np.array([[2.0, 2.0], [0.0, 0.0]]), [NONE, NONE], 9)
    assert near.rows.tolist() == [1, 3, 4, 2]
    assert len(none.rows) == 0


def test_threads_find_the_same():
    rng = np.random.default_rng(6)
    values, queries = rng.normal(size=(40_000, 64)).astype("f4"), rng.normal(size=(21, 64))
    neighbors = built(values)
    expected = [near.rows.tolist() for near in neighbors.nearest(queries, [NONE] * 21, 5)]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda q: neighbors.nearest(q[None], [NONE], 5)[0].rows.tolist(), queries)
        assert list(found) == expected
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert [n.rows.tolist() for n in neighbors.nearest(queries, [NONE] * 21, 5)] == expected
    finally:
        numba.set_num_threads(before)


def test_progress_counts_queries():
    said = []
    neighbors = built(np.arange(50.0)[:, None])
    neighbors.nearest(np.zeros((40, 1)), [NONE] * 40, 1, lambda *done: said.append(done))
    assert said == [(32, 40), (40, 40)]
