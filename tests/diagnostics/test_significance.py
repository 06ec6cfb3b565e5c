import numpy as np
import pytest
from scipy.stats import false_discovery_control

from latentscope.diagnostics.columns import read_column
from latentscope.diagnostics.estimators import PLUGIN, choose, margin
from latentscope.diagnostics.groups import read_groups
from latentscope.diagnostics.pairs import Settings, measure
from latentscope.diagnostics.plugin import plugin_of_counts, plugin_terms
from latentscope.diagnostics.ross import ross_shuffled
from latentscope.diagnostics.significance import (
    Null,
    false_discovery_rate,
    group_p_value,
    null_of,
    shrunk,
)
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
    assert measured(x, x**2 + 0.5 * rng.normal(size=1000)).p_value == pytest.approx(1e-4)
    assert measured(x, (x > 0).astype(int)).p_value < 1e-3
    assert measured(x, x, estimator="ksg").p_value == pytest.approx(1e-4)


def test_more_pairs_get_finer_p_values():
    x = np.random.default_rng(11).normal(size=64)
    assert measured(x, x, pairs=200).p_value == pytest.approx(1 / 20_001)


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


@pytest.mark.parametrize("rows", [1, 3, 10, 30])
def test_stars_that_repeat_do_not_invent_information(rows):
    rng = np.random.default_rng(rows)
    values, p_values = [], []
    for seed in range(20):
        latent, label, star = star_data(rng, 300, rows)
        result = measured(latent, label, read_groups(star, len(star)), seed=seed)
        values.append(result.mi_nats)
        p_values.append(result.p_value)
        assert (result.n, result.n_groups) == (300 * rows, 300)
    assert abs(np.mean(values)) < 0.02
    # A single estimate from 300 stars scatters by 0.043 nats about the truth, 0.
    assert np.mean(np.abs(values) < 0.05) > 0.6
    assert np.sum(np.array(p_values) <= 0.05) <= 4


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
    drawn = groups.draws(keep, 50, np.random.default_rng(4))
    assert {tuple(sorted(groups.codes[row])) for row in drawn} == {(0, 1)}
    assert set(drawn.ravel()) == {0, 1, 2, 4, 5}
    assert groups.repeated == 3


def test_p_values_of_classes_of_many_rows_have_no_coarse_floor():
    rng = np.random.default_rng(20)
    x = rng.normal(size=100_000)
    assert measured(x, (x + rng.normal(size=100_000) > 0).astype(int)).p_value <= 1e-4
    assert measured(x > 0, (x + rng.normal(size=100_000) > 0).astype(int)).p_value <= 1e-4


def test_more_pairs_get_finer_p_values_of_classes():
    y = np.repeat([0, 1], 100)
    assert measured(np.arange(200.0) + 1000 * y, y, pairs=200).p_value == pytest.approx(1 / 20_001)


@pytest.mark.parametrize(
    "sizes", [(5_000, 5_000), (40, 9_960), (5, 5, 5, 100, 4_000, 6_000), (200,) * 50]
)
def test_the_null_of_many_rows_in_classes_is_that_of_fewer_scaled(sizes):
    n, draws = sum(sizes), 400
    rng = np.random.default_rng(21)
    classes = rng.permuted(np.tile(np.repeat(np.arange(len(sizes)), sizes), (draws, 1)), axis=1)
    values = ross_shuffled(margin(n, 0), classes, 3)
    columns = read_column("x", rng.random(n)), read_column("y", classes[0], discrete=True)
    x, y = (column.part(column.valid) for column in columns)
    null = null_of(choose(*columns, "auto")[0], x, y, 3)
    p_values = np.array([null.p_value(value, n) for value in values])
    # Three standard errors.
    assert np.mean(p_values <= 0.1) == pytest.approx(0.1, abs=0.045)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.0435)


@pytest.mark.parametrize(
    "sizes",
    [(10, 20), (100_000, 172_376), (50, 272_326), (3,) * 2_000, (1, 1, 9_000), (900,) * 300],
)
def test_fewer_rows_keep_shares_or_sizes(sizes):
    fewer, factor = shrunk(sizes)
    assert 0.9 * min(sum(sizes), 1024) <= sum(fewer) <= 1.1 * 1024
    assert 2 <= len(fewer) <= len(sizes)
    assert list(fewer) == sorted(fewer)
    assert fewer[0] >= 1
    assert factor <= 1.1
    if sum(sizes) <= 1024:
        assert (fewer, factor) == (sizes, 1.0)


def test_a_table_of_counts_gives_the_estimate_of_its_rows():
    rng = np.random.default_rng(22)
    x, y = rng.integers(0, 4, 80), rng.integers(0, 3, 80)
    counts = np.zeros((4, 3))
    np.add.at(counts, (x, y), 1)
    np.testing.assert_allclose(plugin_of_counts(counts[None]), plugin_terms(x, y).mean())


def test_equal_estimates_count_as_equal_whatever_their_rounding():
    null = Null(np.array([0.1, 0.3, 0.3, 0.5]), 0.0)
    assert null.p_value(np.nextafter(0.3, 1), 1) == null.p_value(0.3, 1) == 4 / 5
    x, y = np.repeat([0, 1], 4)[None], np.tile([0, 1, 1, 0], 2)[None]

    def rounded(a, b, neighbors):
        values = PLUGIN.shuffled(a, b, neighbors)
        return values - 1e-15 * np.arange(len(values))  # a shuffle's sum, a little lower

    p_value = group_p_value(
        type(PLUGIN)("plugin", PLUGIN.terms, rounded), x, y, 3,
        null=Null(np.full(99, 10.0), 0.0), permutations=50, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert p_value == 1.0
