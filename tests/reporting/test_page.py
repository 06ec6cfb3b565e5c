"""Numbers as text: digits by the error, signs, missing ones."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscope.reporting.chapters import mad_error, median_error
from latentscope.reporting.page import (
    decimals_for_column,
    number_text,
    p_value_text,
    whole_numbers,
    with_error,
    with_interval,
)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.23456, 0.0123, "1.235 ± 0.012"),
        (-0.5, 0.25, "−0.50 ± 0.25"),
        (12345.6, 120.0, "12,346 ± 120"),
        (22.54741, 0.0024, "22.5474 ± 0.0024"),
        (-0.00001, 0.2, "0.00 ± 0.20"),
        (3.0, float("nan"), "3.000"),
        (float("nan"), 0.1, "–"),
        (2.0, 0.0, "2.0000 ± 0.0000"),
    ],
)
def test_value_with_error(value, error, text):
    assert with_error(value, error) == text


def test_value_with_interval():
    assert with_interval(0.3412, 0.301, 0.379) == "0.341 [0.301, 0.379]"
    assert with_interval(-0.01, -0.31, 0.4) == "−0.01 [−0.31, 0.40]"
    assert with_interval(1.0, float("nan"), 2.0) == "1.000"
    assert with_interval(5, 4.0, 5.0) == "5 [4, 5]"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (7000, 3, "7,000"),
        (np.int64(-3), 3, "−3"),
        (0.0, 2, "0.00"),
        (True, 2, "yes"),
        (np.bool_(False), 2, "no"),
        (None, 2, "–"),
        (float("inf"), 2, "∞"),
        (-float("inf"), 2, "−∞"),
        (3.4e-7, 4, "3.4×10⁻⁷"),
        (2.5e9, 0, "2.5×10⁹"),
        ("H-alpha", 2, "H-alpha"),
    ],
)
def test_number(value, decimals, text):
    assert number_text(value, decimals) == text


def test_p_values():
    assert [p_value_text(p) for p in (0.0002, 0.031, float("nan"))] == ["<0.001", "0.031", "–"]


@given(st.floats(-1e5, 1e5), st.floats(1e-3, 1e3))
def test_what_is_shown_is_within_a_tenth_of_the_error(value, error):
    shown, about = with_error(value, error).replace("−", "-").replace(",", "").split(" ± ")
    assert abs(float(shown) - value) <= 0.1 * error + 1e-9
    assert math.isclose(float(about), error, rel_tol=0.1)


@given(st.lists(st.floats(-1e9, 1e9), max_size=5))
def test_columns_have_up_to_four_decimals(values):
    assert 0 <= decimals_for_column(values) <= 4


def test_whole_numbers_that_missing_ones_made_floats():
    assert whole_numbers([1.0, float("nan"), np.float64(7)]) == [1, None, 7]


def test_error_of_a_median_is_its_scatter_over_samples():
    rng = np.random.default_rng(3)
    samples = rng.exponential(size=(400, 301))
    quoted = np.median([median_error(sample, 301) for sample in samples])
    assert quoted == pytest.approx(np.median(samples, axis=1).std(), rel=0.15)


def test_error_of_a_mad_is_its_scatter_and_grows_with_fewer_stars():
    rng = np.random.default_rng(4)
    samples = rng.normal(size=(400, 401))
    scatter = np.std([np.median(np.abs(one - np.median(one))) for one in samples])
    quoted = np.median([mad_error(sample, 401) for sample in samples])
    assert quoted == pytest.approx(scatter, rel=0.15)
    assert mad_error(samples[0], 40) > 2 * mad_error(samples[0], 401)
