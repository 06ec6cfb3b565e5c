import numpy as np
import pytest
from scipy.stats import binomtest

from latentscope.diagnostics.mi import nulls
from latentscope.diagnostics.mi.api import Settings, measure
from latentscope.diagnostics.mi.columns import read_column
from latentscope.diagnostics.mi.estimators import Copula, Plugin, Ross, margin, ross_shuffled
from latentscope.diagnostics.mi.nulls import (
    RESOLUTION,
    TABLE,
    Null,
    Shape,
    entry_of,
    null_of,
    read_table,
    shipped_shape,
    shrunk,
    sizes_of,
    write_table,
)

COPULA, ROSS, PLUGIN = Copula(), Ross(by_ranks=True), Plugin()
ALPHAS = (0.5, 0.05, 0.01, 0.001)


def p_values_of_shuffles(method, x, y, neighbors, margins, repeats, seed=0):
    rng = np.random.default_rng(seed)
    null, n, values = null_of(method, *margins, neighbors), len(x), []
    for _ in range(0, repeats, 500):
        moved = rng.permuted(np.tile(y, (500, 1)), axis=1)
        values.append(method.shuffled(np.tile(x, (500, 1)), moved, neighbors))
    return np.array([null.p_value(value, n) for value in np.concatenate(values)])


def check_uniform(p_values):
    for alpha in ALPHAS:
        count = int(np.sum(p_values <= alpha))
        assert binomtest(count, len(p_values), alpha).pvalue > 1e-4, alpha


@pytest.mark.parametrize(
    ("n", "neighbors"), [(12, 3), (40, 3), (300, 3), (300, 8), (300, 9), (70, 14), (2000, 5)]
)
def test_the_table_is_the_null_of_ranks(n, neighbors):
    ranks = np.arange(n)
    repeats = 8000 if n < 1000 else 2000
    check_uniform(p_values_of_shuffles(COPULA, ranks, ranks, neighbors, (n, n), repeats))


@pytest.mark.parametrize("sizes", [(500, 500), (10,) * 100, (2, 98), (5, 5, 40)])
def test_simulated_nulls_of_classes(sizes):
    classes = np.repeat(np.arange(len(sizes)), sizes)
    n = len(classes)
    check_uniform(p_values_of_shuffles(ROSS, np.arange(n), classes, 3, (n, sizes), 4000))


def test_no_simulation_for_continuous_columns(monkeypatch):
    def refused(*_):
        raise AssertionError("simulated")

    monkeypatch.setattr(nulls, "simulated", refused)
    for n in (12, 100, 3000, 272_376):
        for neighbors in (1, 3, 5, 6):
            assert len(null_of(COPULA, n, n, neighbors).scaled) == RESOLUTION


def test_too_few_rows_or_too_many_neighbors_for_the_table_are_simulated():
    assert shipped_shape(3, 8) is None
    assert shipped_shape(40, 5000) is None
    check_uniform(p_values_of_shuffles(COPULA, np.arange(30), np.arange(30), 20, (30, 30), 4000))


def test_p_values_are_never_0_and_as_fine_as_the_table():
    null = null_of(COPULA, 500, 500, 3)
    assert null.p_value(9.0, 500) == 1 / (1 + RESOLUTION)
    assert null.p_value(-9.0, 500) == 1.0
    assert null_of(ROSS, 900, (300, 600), 3).p_value(9.0, 900) == 1 / (1 + RESOLUTION)
    assert null_of(PLUGIN, (50, 50), (50, 50), 3, pairs=200).p_value(9.0, 100) == 1 / 20_001
    assert null_of(PLUGIN, (50, 50), (50, 50), 3).p_value(9.0, 100) == 1 / 10_000


def test_the_width_of_the_null_is_smooth_and_settles():
    widths = [shipped_shape(3, n).coefficients[1] for n in (64, 256, 1024, 4096, 10**6)]
    assert np.all(np.diff(widths) >= 0)
    assert widths[0] == pytest.approx(0.645, abs=0.01)
    assert widths[-1] == pytest.approx(0.77, abs=0.02)
    of_neighbors = [shipped_shape(k, 1024).coefficients[1] for k in range(1, 33)]
    assert np.all(np.diff(of_neighbors) < 0)


def test_many_rows_bring_the_shape_to_a_normal_one():
    few, many = (shipped_shape(3, n) for n in (1024, 10**8))
    assert abs(many.coefficients[2]) < 0.01 * abs(few.coefficients[2])
    middle, upper = np.quantile(many.quantiles(), [0.5, 0.8413447])
    assert upper - middle == pytest.approx(many.coefficients[1], rel=1e-3)


def test_a_shape_has_the_quantiles_it_was_fitted_to():
    scaled = np.random.default_rng(3).gamma(60, size=200_000) / 8
    shape = Shape.of(scaled, 0.1)
    levels = [0.01, 0.5, 0.95, 0.999]
    np.testing.assert_allclose(
        np.quantile(shape.quantiles(), levels), np.quantile(scaled, levels), rtol=0.01
    )
    np.testing.assert_allclose(shape.of_more_rows(1.0, 2.0).excess, 0.4)


def test_the_generator_makes_what_is_shipped(tmp_path):
    assert 3 in read_table(TABLE)
    assert TABLE.stat().st_size < 200_000
    made = entry_of(3, rows=(16, 24))
    write_table(tmp_path / "t.npz", {3: made, 1: entry_of(1, rows=(12,))})
    again = read_table(tmp_path / "t.npz")
    np.testing.assert_array_equal(again[3].coefficients, made.coefficients)
    assert list(again[1].rows) == [12]
    shipped = read_table(TABLE)[3]
    np.testing.assert_allclose(made.coefficients, shipped.coefficients[1:3], atol=0.02)
    assert read_table(tmp_path / "none.npz") == {}


@pytest.mark.parametrize(
    "sizes", [(5_000, 5_000), (40, 9_960), (5, 5, 5, 100, 4_000, 6_000), (200,) * 50]
)
def test_the_null_of_many_rows_in_classes_is_that_of_fewer_scaled(sizes):
    n, draws = sum(sizes), 400
    rng = np.random.default_rng(21)
    classes = rng.permuted(np.tile(np.repeat(np.arange(len(sizes)), sizes), (draws, 1)), axis=1)
    values = ross_shuffled(margin(n, 0), classes, 3)
    null = null_of(ROSS, n, sizes, 3)
    p_values = np.array([null.p_value(value, n) for value in values])
    # Three standard errors.
    assert np.mean(p_values <= 0.1) == pytest.approx(0.1, abs=0.045)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.0435)


@pytest.mark.parametrize(
    "sizes",
    [(10, 20), (100_000, 172_376), (50, 272_326), (3,) * 2_000, (1, 1, 9_000), (900,) * 300],
)
@pytest.mark.parametrize("neighbors", [1, 3, 16])
def test_fewer_rows_keep_shares_or_sizes(sizes, neighbors):
    fewer, factor = shrunk(sizes, neighbors)
    assert 0.9 * min(sum(sizes), 1024) <= sum(fewer) <= 1.1 * 1024
    assert 2 <= len(fewer) <= len(sizes)
    assert list(fewer) == sorted(fewer)
    assert fewer[0] >= 1
    assert factor <= 1.1
    if max(sizes) <= 32:
        assert (fewer, factor) == (sizes, 1.0) or sum(sizes) > 1024


def test_columns_that_differ_by_a_few_rows_share_a_simulation():
    nulls._class_shape.cache_clear()
    widths = [
        np.std(null_of(ROSS, 7000 - gone, (2000, 5000 - gone), 3).scaled)
        for gone in range(0, 40, 4)
    ]
    assert nulls._class_shape.cache_info().misses == 1
    assert np.ptp(widths) < 0.01


def test_what_a_null_depends_on():
    column = read_column("x", ["a", "b", "a", None, "a", "b"])
    assert sizes_of(column.part(column.valid)) == (2, 3)
    number = read_column("x", [1.0, 2.0, np.nan], discrete=False)
    assert sizes_of(number.part(number.valid)) == 2


def test_p_values_of_classes_of_many_rows_have_no_coarse_floor():
    rng = np.random.default_rng(20)
    x = read_column("x", rng.normal(size=100_000))
    label = (x.values + rng.normal(size=100_000) > 0).astype(int)
    y = read_column("y", label)
    assert measure(x, y, None, Settings()).p_value <= 1e-4
    z = read_column("z", x.values > 0)
    assert measure(z, y, None, Settings()).p_value <= 1e-4


def test_equal_estimates_count_as_equal_whatever_their_rounding():
    null = Null(np.array([0.1, 0.3, 0.3, 0.5]), 0.0)
    assert null.p_value(np.nextafter(0.3, 1), 1) == null.p_value(0.3, 1) == 4 / 5
