"""Distance of a pattern of errors from those of a reference."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from latentscope.diagnostics.trust.misfit import Pattern

RNG = np.random.default_rng(5)
COVARIANCE = 0.9 * np.ones((4, 4)) + 0.1 * np.eye(4)
ROWS = RNG.multivariate_normal(np.zeros(4), COVARIANCE, 3000)


def distances(pattern, rows):
    out = np.full(len(rows), np.nan)
    for found in pattern.judge(rows):
        out[found.rows] = found.distance
    return out


def test_the_distance_is_mahalanobis():
    rows = RNG.normal(size=(20, 4))
    inverse = np.linalg.inv(COVARIANCE)
    wanted = [mahalanobis(row, np.zeros(4), inverse) for row in rows]
    np.testing.assert_allclose(distances(Pattern(ROWS), rows), wanted, rtol=0.15)


def test_what_breaks_the_pattern_is_farther_than_what_follows_it():
    follows, breaks = distances(Pattern(ROWS), np.array([[2.0, 2, 2, 2], [2.0, -2, 2, -2]]))
    assert breaks > 5 * follows


def test_missing_parts_are_left_out_of_row_and_reference():
    pattern = Pattern(ROWS)
    row = np.array([[1.0, np.nan, -1.0, np.nan], [np.nan] * 4])
    [found] = list(pattern.judge(row))
    alone = Pattern(ROWS[:, [0, 2]])
    assert list(found.rows) == [0]
    np.testing.assert_allclose(found.distance, distances(alone, row[:1, [0, 2]]), rtol=0.05)
    np.testing.assert_allclose(np.median(found.reference), np.sqrt(2 * np.log(2)), rtol=0.05)
    assert found.part[0] in (0, 2)


def test_a_few_bad_rows_in_the_reference_do_not_hide_others():
    dirty = ROWS.copy()
    dirty[:15] = 30 * RNG.normal(size=(15, 4))
    odd = np.array([[2.0, -2, 2, -2]])
    clean, found = (distances(Pattern(rows), odd)[0] for rows in (ROWS, dirty))
    assert found == pytest.approx(clean, rel=0.2)


def test_held_out_distances_are_those_of_new_rows():
    few = ROWS[:200]
    new = distances(Pattern(few), ROWS[1000:])
    held = Pattern(few).own().distance
    assert np.median(held) == pytest.approx(np.median(new), rel=0.1)


def test_the_oddest_part_is_where_the_others_make_expect_something_else():
    rows = np.array([[3.0, 3.1, 0.0, 3.2], [-2.0, -2, -2, 1.0]])
    [found] = list(Pattern(ROWS).judge(rows))
    assert list(found.part) == [2, 3]
    # Regression of one of four equicorrelated columns on the others: r / (1 + 2 r) each.
    slope = 0.9 / (1 + 2 * 0.9)
    wanted = [0 - slope * 9.3, 1 + slope * 6]
    np.testing.assert_allclose(found.excess, wanted, rtol=0.05)
