from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control

from latentscope.diagnostics.groups import read_groups
from latentscope.diagnostics.mi.columns import read_column
from latentscope.diagnostics.mi.estimators import PLUGIN, plugin_of_counts, plugin_terms
from latentscope.diagnostics.mi.nulls import (
    Null,
    false_discovery_rate,
    group_p_value,
)
from latentscope.diagnostics.mi.table import Settings, measure
from latentscope.errors import EstimatorError


def measured(x, y, groups=None, **options):
    columns = read_column("x", x, stream=(0, 0)), read_column("y", y, stream=(0, 1))
    return measure(*columns, groups, Settings(**options))


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9])
def test_error_bars_hold_the_truth_as_often_as_they_say(rho):
    rng = np.random.default_rng(int(10 * rho))
    truth, inside, repeats = -0.5 * np.log(1 - rho**2), 0, 300
    for _ in range(repeats):
        x = rng.normal(size=600)
        y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=600)
        result = measured(x, y)
        inside += abs(result.mi_nats - truth) < result.std_nats
    assert 0.60 < inside / repeats < 0.76


@pytest.mark.parametrize("kind", ["continuous", "heavy tails", "classes", "both classes", "ties"])
def test_p_values_of_independent_columns_are_uniform(kind):
    rng = np.random.default_rng(8)
    p_values = []
    for _ in range(300):
        x = rng.normal(size=200)
        y = rng.standard_cauchy(200) if kind == "heavy tails" else rng.normal(size=200)
        if "classes" in kind:
            y = rng.permutation(np.repeat([0, 1, 2], [120, 50, 30]))
        if kind == "both classes":
            x = rng.permutation(np.repeat([0, 1, 2], [100, 80, 20]))
        if kind == "ties":
            x = np.round(x, 1)
        p_values.append(measured(x, y).p_value)
    # Three standard errors about 5 % and about one half.
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.038)
    assert np.mean(np.array(p_values) <= 0.5) == pytest.approx(0.5, abs=0.087)


def test_the_null_of_many_rows_is_that_of_1024_scaled():
    rng = np.random.default_rng(9)
    p_values = [measured(*rng.normal(size=(2, 5000))).p_value for _ in range(100)]
    assert np.mean(np.array(p_values) <= 0.1) == pytest.approx(0.1, abs=0.09)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.087)


def test_what_is_related_is_found():
    rng = np.random.default_rng(10)
    x = rng.normal(size=1000)
    assert measured(x, x**2 + 0.5 * rng.normal(size=1000)).p_value == pytest.approx(1e-5)
    assert measured(x, (x > 0).astype(int)).p_value < 1e-3
    assert measured(x, x, estimator="ksg").p_value == pytest.approx(1e-5)


def test_false_discovery_rate_is_that_of_scipy():
    p_values = np.random.default_rng(12).random(50) ** 3
    q_values = false_discovery_rate(np.append(p_values, np.nan))
    np.testing.assert_allclose(q_values[:-1], false_discovery_control(p_values))
    assert np.isnan(q_values[-1])


def star_data(rng, stars, rows):
    """Latents that cluster by star, and a label of the star that has nothing to do with them."""
    star = np.repeat(np.arange(stars), rows)
    latent = rng.normal(size=stars)[star] + 0.1 * rng.normal(size=stars * rows)
    return latent, rng.normal(size=stars)[star], star


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 3, 10, 30])
def test_stars_that_repeat_do_not_invent_information(rows):
    rng = np.random.default_rng(rows)
    values, p_values = [], []
    for seed in range(200):
        latent, label, star = star_data(rng, 300, rows)
        result = measured(latent, label, read_groups(star, len(star)), seed=seed)
        values.append(result.mi_nats)
        p_values.append(result.p_value)
        assert (result.n, result.n_groups) == (300 * rows, 300)
    # One estimate from 300 stars scatters by 0.024 nats about the truth, 0.
    assert abs(np.mean(values)) < 0.006
    assert np.mean(np.abs(values) < 0.05) > 0.9
    false_positives = int(np.sum(np.array(p_values) <= 0.05))
    assert binomtest(false_positives, 200, 0.05).pvalue > 0.001


def test_without_groups_they_do():
    latent, label, _ = star_data(np.random.default_rng(1), 300, 10)
    result = measured(latent, label)
    assert result.mi_nats > 0.5
    assert result.p_value < 0.001


def test_false_positives_of_shuffled_groups_are_as_announced():
    rng = np.random.default_rng(2)
    p_values = []
    for seed in range(200):
        latent, label, star = star_data(rng, 60, 3)
        options = {"seed": seed, "permutations": 99, "draws": 5}
        p_values.append(measured(latent, label, read_groups(star, 180), **options).p_value)
    assert 2 <= np.sum(np.array(p_values) <= 0.05) <= 20
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.075)


def test_groups_of_classes_and_of_one_row():
    rng = np.random.default_rng(3)
    latent, label, star = star_data(rng, 200, 4)
    groups = read_groups(star, 800)
    assert measured(latent, label > 0, groups).p_value > 0.01
    assert measured(latent, latent > 0, groups).p_value < 0.01
    assert measured(latent > 0, label > 0, groups).estimator == "plugin"
    alone = read_groups(np.arange(800), 800)
    plain = measured(latent, label)
    assert measured(latent, label, alone) == plain
    assert read_groups([None, "", "a", "a", np.nan], 5).count(np.ones(5, dtype=bool)) == 4
    with pytest.raises(EstimatorError, match="3 values for 5 rows"):
        read_groups([1, 2, 3], 5)
    with pytest.raises(EstimatorError, match="2 groups have both"):
        measured(latent, label, read_groups(np.arange(800) % 2, 800))


def test_each_draw_takes_one_row_of_each_group():
    groups = read_groups(["b", "a", "b", "c", "a", "b"], 6)
    keep = np.array([True, True, True, False, True, True])
    drawn = groups.draws(keep, 50, np.random.default_rng(4)).rows
    assert {tuple(sorted(groups.codes[row])) for row in drawn} == {(0, 1)}
    assert set(drawn.ravel()) == {0, 1, 2, 4, 5}
    assert groups.repeated == 3


def test_groups_change_places_with_those_of_about_their_size_and_keep_their_lots():
    size = np.random.default_rng(5).integers(1, 40, 300)
    groups = read_groups(np.repeat(np.arange(300), size), size.sum())
    draws = groups.draws(np.ones(size.sum(), dtype=bool), 7, np.random.default_rng(6))
    assert sorted(np.concatenate(draws.alike)) == list(range(300))
    assert min(map(len, draws.alike)) >= 10
    moved = groups.codes[draws.shuffled(np.random.default_rng(7))]
    assert (moved == moved[0]).all()
    assert sorted(moved[0]) == list(range(300))
    assert np.abs(size[moved[0]] - size).max() <= 12
    same = size[moved[0]] == size
    row = draws.rows - draws.start
    moved_row = draws.rows_of(moved[0]) - draws.start[moved[0]]
    np.testing.assert_array_equal(moved_row[:, same], row[:, same])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["even", "uneven", "constant label", "classes"])
def test_false_positives_where_values_differ_within_a_group(kind):
    rng, stars = np.random.default_rng(8), 80
    size = np.full(stars, 3) if kind == "even" else 1 + rng.geometric(0.2, stars)
    star, p_values = np.repeat(np.arange(stars), size), []
    groups = read_groups(star, len(star))
    for seed in range(400):
        latent, label = rng.normal(size=(2, len(star)))
        label = rng.normal(size=stars)[star] if kind == "constant label" else label
        label = label > 0.3 if kind == "classes" else label
        options = {"seed": seed, "permutations": 99, "draws": 7}
        p_values.append(measured(latent, label, groups, **options).p_value)
    for alpha in (0.05, 0.2, 0.5):
        count = int(np.sum(np.array(p_values) <= alpha))
        assert binomtest(count, 400, alpha).pvalue > 1e-3, alpha


def test_a_table_of_counts_gives_the_estimate_of_its_rows():
    rng = np.random.default_rng(22)
    x, y = rng.integers(0, 4, 80), rng.integers(0, 3, 80)
    counts = np.zeros((4, 3))
    np.add.at(counts, (x, y), 1)
    np.testing.assert_allclose(plugin_of_counts(counts[None]), plugin_terms(x, y).mean())


def test_equal_estimates_count_as_equal_whatever_their_rounding():
    null = Null(np.array([0.1, 0.3, 0.3, 0.5]), 0.0)
    assert null.p_value(np.nextafter(0.3, 1), 1) == null.p_value(0.3, 1) == 4 / 5
    x, y = np.repeat([0, 1], 4), np.tile([0, 1, 1, 0], 2)

    def rounded(a, b, neighbors):
        values = PLUGIN.shuffled(a, b, neighbors)
        return values - 1e-15 * np.arange(len(values))  # a shuffle's sum, a little lower

    draws = read_groups(range(8), 8).draws(np.ones(8, dtype=bool), 1, np.random.default_rng(0))
    p_value = group_p_value(
        replace(PLUGIN, shuffled=rounded), x.__getitem__, y.__getitem__, draws, 3,
        null=Null(np.full(99, 10.0), 0.0), permutations=50, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert p_value == 1.0
