"""Bounds of the quick look: no point that belongs is ever left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from latentscope.diagnostics.retrieval.scan import (
    LANES,
    lengths,
    margins,
    pack,
    scan,
    shortlist,
)

FINITE = st.floats(-1e6, 1e6, width=64)


def packed(points, absolute=False):
    return pack(lambda a, b: points[a:b], len(points), points.shape[1], absolute=absolute)


def looked(points, query, absolute=False):
    """Distances that the quick look finds, their slack and margins."""
    pack_ = packed(points, absolute)
    found = np.empty((1, len(pack_.blocks) * LANES), dtype=np.float32)
    queries = np.zeros((1, pack_.coordinates), dtype=np.float32)
    queries[0, : len(query)] = query
    scan(pack_.blocks, queries, absolute, 0, len(pack_.blocks), found)
    shift, share = margins(query, pack_.coordinates, absolute=absolute)
    return found[0], pack_.slack, shift, share


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 9), st.integers(1, 70), st.booleans())
def test_true_distances_are_within_the_margins(data, e, n, absolute):
    points = data.draw(arrays(np.float64, (n, e), elements=FINITE))
    query = data.draw(arrays(np.float64, e, elements=FINITE))
    found, slack, shift, share = looked(points, query, absolute)
    near = found[:n].astype(np.float64) if absolute else np.sqrt(found[:n].astype(np.float64))
    true = lengths(points - query, absolute=absolute)
    assert (np.abs(near - true) <= slack + shift + share * near).all()


@pytest.mark.parametrize("absolute", [False, True])
def test_margins_are_narrow(absolute):
    rng = np.random.default_rng(0)
    points, query = rng.normal(size=(5000, 40)), rng.normal(size=40)
    _, slack, shift, share = looked(points, query, absolute)
    true = lengths(points - query, absolute=absolute)
    assert (slack + shift + share * true).max() < 0.004 * true.mean()


def test_numbers_of_few_digits_are_kept_exactly():
    points = np.array([[1.0, -0.5, 96.0], [0.0, 3.0, 2.0**100]])
    assert packed(points).slack == pytest.approx(0, abs=1e-40)
    found, *_ = looked(points, np.array([0.0, 0.5, 100.0]))
    assert found[0] == 1 + 1 + 16


def test_blocks_are_filled_up_to_64_points_and_4_coordinates():
    assert packed(np.ones((65, 5))).blocks.shape == (2, 8, 64)
    assert packed(np.ones((64, 4))).blocks.shape == (1, 4, 64)
    assert len(packed(np.ones((65, 5)))) == 65


def test_many_parts_make_the_same_blocks_as_one():
    points = np.random.default_rng(1).normal(size=(40_000, 3))
    found, slack, shift, share = looked(points, points[7])
    assert np.flatnonzero(found[:40_000] <= found[7]).tolist() == [7]
    true = lengths(points - points[7], absolute=False)
    assert (np.abs(np.sqrt(found[:40_000]) - true) <= slack + shift + share * true).all()


def test_points_beyond_float32_are_never_ruled_out():
    points = np.array([[0.0, 0.0], [1e300, 0.0], [3e38, 3e38], [1.0, 0.0], [2.0, 0.0]])
    found, slack, shift, share = looked(points, np.zeros(2))
    rows = shortlist(found, slack, np.inf, (shift, share), True, 1, np.arange(5), 5)
    assert 0 in rows
    assert 1 in rows
    assert 4 not in rows


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 80), st.integers(1, 12), st.booleans())
def test_the_shortlist_holds_the_nearest_of_k_groups(data, n, k, grouped):
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    points = rng.integers(-3, 4, size=(n, 2)).astype(np.float64) / 3
    codes = rng.integers(0, 1 + n // 2, size=n) if grouped else np.arange(n)
    _, codes = np.unique(codes, return_inverse=True)
    query = points[0]
    found, slack, shift, share = looked(points, query)
    most, groups = float(slack.max()), int(codes.max()) + 1
    rows = shortlist(found, slack, most, (shift, share), True, min(k, groups), codes, groups)
    true = lengths(points - query, absolute=False)
    nearest = sorted({code: true[codes == code].min() for code in codes}.values())
    limit = nearest[min(k, len(nearest)) - 1]
    assert set(np.flatnonzero(true <= limit)) <= set(rows)


def test_lengths_by_hand():
    rows = np.array([[3.0, -4.0], [0.0, 0.0]])
    assert lengths(rows, absolute=False).tolist() == [5, 0]
    assert lengths(rows, absolute=True).tolist() == [7, 0]
