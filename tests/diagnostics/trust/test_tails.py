"""Shares of a reference above a distance, and beyond its largest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscope.diagnostics.trust.tails import percent_below, share_above

PARETO = (1 - (np.arange(2000) + 0.5) / 2000) ** (-1 / 4.0)  # P(d > x) = x^-4 for x > 1


def test_a_power_law_is_continued_beyond_its_sample():
    at = np.array([1.5, 3.0, 20.0, 100.0])
    np.testing.assert_allclose(share_above(PARETO, at), at**-4.0, rtol=0.15)
    assert share_above(PARETO, np.array([100.0]))[0] < 1e-7


def test_uniform_for_what_comes_from_the_reference():
    rng = np.random.default_rng(1)
    p = share_above(rng.gamma(3.0, size=4000), rng.gamma(3.0, size=4000))
    for level in (0.5, 0.1, 0.05, 0.01):
        assert np.mean(p <= level) == pytest.approx(level, abs=3 * np.sqrt(level / 4000) + 0.002)


@given(st.lists(st.floats(0.1, 1e3), min_size=2, max_size=40))
def test_larger_distances_are_never_more_likely(distances):
    p = share_above(PARETO, np.sort(distances))
    assert (np.diff(p) <= 1e-12).all()
    assert ((p > 0) & (p <= 1)).all()


def test_small_references_count_alone():
    p = share_above(np.arange(1.0, 10.0), np.array([0.0, 5.0, 100.0, np.nan]))
    np.testing.assert_allclose(p, [1.0, 0.6, 0.1, np.nan])


def test_equal_distances_have_no_tail():
    p = share_above(np.ones(500), np.array([1.0, 2.0]))
    np.testing.assert_allclose(p, [1.0, 1 / 501])


def test_percentiles_count_what_is_below():
    found = percent_below(np.arange(10.0), np.array([-1.0, 0.0, 4.5, 99.0, np.nan]))
    np.testing.assert_array_equal(found, [0, 0, 50, 100, np.nan])
