"""The exact search against a sort of all distances in float64."""

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from latentscope.diagnostics.retrieval.neighbours import Neighbours
from latentscope.diagnostics.retrieval.space import Space, measure_space

METRICS = ["euclidean", "mahalanobis", "manhattan", "cosine"]
NONE = np.empty(0, dtype=np.int64)


def standardised_in_place(values, query, space):
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
            a, b = (row - space.centre) / space.spread, (query - space.centre) / space.spread
            found.append(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    return np.array(found)


def built(values, metric="euclidean", spread="plain", codes=None, ok=None):
    ok = np.isfinite(values).all(axis=1) if ok is None else ok
    space = measure_space(values, ok, list(range(values.shape[1])), metric, spread, "latents")
    return Neighbours(values, ok, space, codes)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n", "d", "dtype"), [(1200, 6, "f4"), (700, 33, "f8"), (90, 2, "f4")])
def test_rows_and_distances_are_those_of_a_full_sort(metric, n, d, dtype):
    rng = np.random.default_rng(n + d)
    values = (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 3).astype(dtype)
    neighbours = built(values, metric, "robust")
    queries = np.concatenate([values[:3].astype(float), rng.normal(size=(6, d)) + 3])
    for query, near in zip(queries, neighbours.nearest(queries, [NONE] * 9, 12), strict=True):
        true = standardised_in_place(values, query, neighbours.space)
        assert near.rows.tolist() == np.argsort(true, kind="stable")[:12].tolist()
        assert near.distances == pytest.approx(true[near.rows], rel=1e-9, abs=1e-7)


@settings(deadline=None, max_examples=80)
@given(st.data(), st.integers(1, 90), st.integers(1, 5), st.integers(1, 100), st.booleans())
def test_ties_and_copies_come_in_the_order_of_rows(data, n, d, k, absolute):
    # Whole numbers have exact distances, so that ties are ties in the oracle too.
    values = data.draw(arrays(np.float32, (n, d), elements=st.integers(-4, 4)))
    offset = data.draw(st.sampled_from([0, 2**20]))
    query = data.draw(arrays(np.float64, d, elements=st.integers(-4, 4))) + offset
    values = values + np.float32(offset)
    metric = "manhattan" if absolute else "euclidean"
    space = Space(list(range(d)), metric, np.median(values, axis=0).astype(float), np.ones(d))
    (near,) = Neighbours(values, np.ones(n, bool), space).nearest(query[None], [NONE], k)
    true = standardised_in_place(values, query, space)
    assert near.rows.tolist() == np.argsort(true, kind="stable")[:k].tolist()
    assert near.distances.tolist() == np.sort(true)[:k].tolist()


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
def test_near_copies_are_told_apart_far_from_zero(offset):
    rng = np.random.default_rng(2)
    values = np.repeat(rng.normal(size=(40, 8)), 50, axis=0) + offset
    values += 1e-6 * rng.normal(size=values.shape)
    neighbours = built(values, spread="none")
    for row in (0, 777, 1999):
        (near,) = neighbours.nearest(values[row : row + 1], [NONE], 50)
        true = np.sqrt(((values - values[row]) ** 2).sum(axis=1))
        assert near.rows.tolist() == np.argsort(true, kind="stable")[:50].tolist()
        assert near.rows[0] == row
        assert near.distances[1] < 1e-4


def test_heavy_tails_and_numbers_beyond_float32_do_no_harm():
    values = np.random.default_rng(3).standard_cauchy(size=(4000, 5))
    values[7] = 1e60
    values[8, 0] = 1e39
    neighbours = built(values, spread="robust")
    for row in (0, 7, 8, 100):
        (near,) = neighbours.nearest(values[row : row + 1], [NONE], 5)
        true = standardised_in_place(values, values[row], neighbours.space)
        assert near.rows.tolist() == np.argsort(true, kind="stable")[:5].tolist()


@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_a_row_that_rounding_moves_away_is_found_all_the_same(metric):
    # bfloat16 makes 1.0078 of 1.004, and leaves the others nearly where they are.
    values = np.array([[1.0, 0.006], [1.004, 0.0], [1.0, 0.5], [1.0, -0.5]])
    space = Space([0, 1], metric, np.zeros(2), np.ones(2))
    (near,) = Neighbours(values, np.ones(4, bool), space).nearest(np.array([[1.0, 0]]), [NONE], 1)
    assert near.rows.tolist() == [1]
    assert near.distances == pytest.approx([0.004])


def test_all_rows_equal():
    neighbours = built(np.vstack([np.ones((500, 3)), [[0, 0, 0], [2, 2, 2]]]), spread="none")
    (near,) = neighbours.nearest(np.ones((1, 3)), [NONE], 4)
    assert near.rows.tolist() == [0, 1, 2, 3]
    assert near.distances.tolist() == [0, 0, 0, 0]


def test_rows_left_out_and_rows_of_nan_are_never_found():
    values = np.arange(200.0)[:, None]
    values[[50, 51]] = np.nan
    neighbours = built(values, spread="none")
    (near,) = neighbours.nearest(np.array([[50.2]]), [np.array([49, 50, 52])], 3)
    assert near.rows.tolist() == [48, 53, 47]
    assert near.distances == pytest.approx([2.2, 2.8, 3.2])
    assert neighbours.count(np.array([49, 50, 52])) == 2


def test_fewer_rows_than_asked_for():
    neighbours = built(np.arange(6.0)[:, None], spread="none")
    (near,) = neighbours.nearest(np.array([[0.0]]), [np.array([0, 1, 2])], 100)
    assert near.rows.tolist() == [3, 4, 5]
    (near,) = neighbours.nearest(np.array([[0.0]]), [np.arange(6)], 2)
    assert near.rows.tolist() == []


def test_one_row_a_group():
    rng = np.random.default_rng(4)
    values, codes = rng.normal(size=(900, 3)), rng.integers(0, 40, 900)
    (near,) = built(values, spread="none", codes=codes).nearest(values[:1], [NONE], 15)
    true = np.sqrt(((values - values[0]) ** 2).sum(axis=1))
    first = {int(codes[row]): int(row) for row in np.argsort(true)[::-1]}
    assert near.rows.tolist() == sorted(first.values(), key=lambda row: true[row])[:15]


def test_rows_at_the_centre_are_not_found_by_direction():
    values = np.array([[0.0, 0.0], [1.0, 1.0], [-1.0, -1.0], [3.0, 2.9], [-3.0, 3.0]])
    neighbours = built(values, "cosine", "none", ok=np.ones(5, bool))
    neighbours.space.centre[:] = 0
    made = Neighbours(values, np.ones(5, bool), neighbours.space)
    near, none = made.nearest(np.array([[2.0, 2.0], [0.0, 0.0]]), [NONE, NONE], 9)
    assert near.rows.tolist() == [1, 3, 4, 2]
    assert len(none.rows) == 0


def test_threads_find_the_same():
    rng = np.random.default_rng(6)
    values, queries = rng.normal(size=(40_000, 64)).astype("f4"), rng.normal(size=(21, 64))
    neighbours = built(values)
    wanted = [near.rows.tolist() for near in neighbours.nearest(queries, [NONE] * 21, 5)]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda q: neighbours.nearest(q[None], [NONE], 5)[0].rows.tolist(), queries)
        assert list(found) == wanted
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert [n.rows.tolist() for n in neighbours.nearest(queries, [NONE] * 21, 5)] == wanted
    finally:
        numba.set_num_threads(before)


def test_progress_counts_queries():
    said = []
    neighbours = built(np.arange(50.0)[:, None])
    neighbours.nearest(np.zeros((40, 1)), [NONE] * 40, 1, lambda *done: said.append(done))
    assert said == [(16, 40), (32, 40), (40, 40)]
