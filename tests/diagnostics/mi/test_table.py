"""Pairs of columns: values, error bars, p-values, groups; and many of them on many threads."""

import gc
import warnings
import weakref

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, false_discovery_control

from latentscope.data import Latents
from latentscope.diagnostics.mi import api
from latentscope.diagnostics.mi.api import (
    Settings,
    across,
    among,
    columns_kept,
    measure,
    mi_matrix,
    mutual_information,
    pairwise_mi,
    q_values,
)
from latentscope.diagnostics.mi.columns import read_column
from latentscope.diagnostics.mi.estimators import Plugin, plugin_of_counts, plugin_terms
from latentscope.diagnostics.mi.nulls import Null, group_p_value
from latentscope.diagnostics.study import read_groups
from latentscope.errors import EstimatorError, LatentscopeWarning


def test_ties_are_not_ordered_by_the_numbers_that_made_the_column():
    noise = np.random.default_rng(99).normal(size=5000)
    values = []
    for seed in (0, 1):
        x = np.random.default_rng(seed).random(5000)
        values.append(mutual_information(np.round(x, 2), x + 0.001 * noise))
    assert values[0] == pytest.approx(values[1], abs=0.2)


def test_a_class_for_every_star_says_nothing_and_costs_nothing():
    rng = np.random.default_rng(0)
    star = np.repeat(np.arange(60), 4)
    latents = rng.normal(size=(240, 2))
    labels = pd.DataFrame({"target": [f"HD {i}" for i in star], "rv": latents[:, 0]})
    with pytest.warns(LatentscopeWarning, match=r"2 of 4 pairs are NaN.*target"):
        table = mi_matrix(latents, labels, groups=star).table
    assert table["mi_nats"].isna().tolist() == [True, True, False, False]
    assert "a class for every group" in table["reason"][0]
    with pytest.raises(EstimatorError):
        mi_matrix(latents, labels, groups=star, columns=["target"])


def test_plugin_refuses_columns_whose_every_row_is_a_class():
    rng = np.random.default_rng(1)
    with pytest.raises(EstimatorError, match=r"no pair could be measured.*a class for every row"):
        mi_matrix(rng.normal(size=(400, 2)), rng.integers(0, 3, (400, 1)), estimator="plugin")
    with pytest.raises(EstimatorError):
        mutual_information(rng.normal(size=50), rng.integers(0, 3, 50), estimator="plugin")


def test_estimators_of_numbers_leave_text_out_with_a_note():
    rng = np.random.default_rng(2)
    latents = rng.normal(size=(100, 1))
    labels = pd.DataFrame({"rv": latents[:, 0], "kind": ["F", "G"] * 50})
    result = mi_matrix(latents, labels, estimator="ksg")
    assert result.labels == ["rv"]
    assert any("kind" in note and "ksg" in note for note in result.notes)
    with pytest.raises(EstimatorError):
        mi_matrix(latents, labels[["kind"]], estimator="ksg")
    with pytest.raises(EstimatorError, match="kind"):
        mi_matrix(latents, labels, estimator="ksg", columns=["kind"])


def test_a_label_that_an_estimator_cannot_fit_is_nan_with_the_reason():
    rng = np.random.default_rng(3)
    latents = rng.normal(size=(200, 1))
    labels = pd.DataFrame({"rv": latents[:, 0], "kind": ["F"] * 198 + ["G"] * 2})
    with pytest.warns(LatentscopeWarning, match="1 of 2 pairs are NaN"):
        table = mi_matrix(latents, labels, estimator="gmm").table.set_index("label")
    assert np.isnan(table["mi_nats"]["kind"])
    assert "class 1: 2 rows" in table["reason"]["kind"]
    assert table["mi_nats"]["rv"] > 1


def test_many_neighbors_are_taken_as_asked():
    x = np.arange(1000.0)
    assert mutual_information(x, x, neighbors=50) < mutual_information(x, x, neighbors=17)


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
    found = q_values(np.append(p_values, np.nan))
    np.testing.assert_allclose(found[:-1], false_discovery_control(p_values))
    assert np.isnan(found[-1])


def star_data(rng, stars, rows):
    """Latents that cluster by star, and a label of the star that has nothing to do with them."""
    star = np.repeat(np.arange(stars), rows)
    latent = rng.normal(size=stars)[star] + 0.1 * rng.normal(size=stars * rows)
    return latent, rng.normal(size=stars)[star], star


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 10])
def test_stars_that_repeat_do_not_invent_information(rows):
    rng = np.random.default_rng(rows)
    values, p_values = [], []
    for seed in range(200):
        latent, label, star = star_data(rng, 300, rows)
        options = {"seed": seed, "n_permutations": 59}
        result = measured(latent, label, read_groups(star, len(star)), **options)
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
        options = {"seed": seed, "n_permutations": 99, "n_draws": 5}
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
        options = {"seed": seed, "n_permutations": 59, "n_draws": 5}
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


class RoundedPlugin(Plugin):
    """A shuffle's sum comes out a little lower."""

    def shuffled(self, x, y, neighbors):
        values = super().shuffled(x, y, neighbors)
        return values - 1e-15 * np.arange(len(values))


def test_shuffles_that_equal_what_was_observed_count_whatever_their_rounding():
    x, y = np.repeat([0, 1], 4), np.tile([0, 1, 1, 0], 2)
    draws = read_groups(range(8), 8).draws(np.ones(8, dtype=bool), 1, np.random.default_rng(0))
    p_value = group_p_value(
        RoundedPlugin(), x.__getitem__, y.__getitem__, draws, 3,
        null=Null(np.full(99, 10.0), 0.0), n_permutations=50, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert p_value == 1.0


@pytest.fixture(scope="module")
def mixed():
    """Latents and labels of every kind, with gaps and ties, and stars that repeat."""
    rng = np.random.default_rng(0)
    n = 900
    latents = rng.normal(size=(n, 5)).astype(np.float32)
    latents[:20] = np.nan
    latents[:, 3] = np.round(latents[:, 3])
    labels = pd.DataFrame(
        {
            "strong": latents[:, 0] + 0.1 * rng.normal(size=n),
            "gaps": np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
            "ties": np.round(rng.normal(size=n), 1),
            "kind": rng.choice(["a", "b", "c"], n),
            "rare": rng.random(n) < 0.01,
        }
    )
    return latents, labels, np.arange(n) // 3


def with_threads(monkeypatch, number):
    monkeypatch.setattr(api, "threads_for", lambda _: number)


@pytest.mark.parametrize("grouped", [False, True])
def test_results_do_not_depend_on_the_number_of_threads(mixed, monkeypatch, grouped):
    latents, labels, star = mixed
    options = {"groups": star, "n_permutations": 29, "n_draws": 3} if grouped else {}
    tables, pairwise_tables = [], []
    for number in (1, 4):
        with_threads(monkeypatch, number)
        tables.append(mi_matrix(latents, labels, **options).table)
        pairwise_tables.append(pairwise_mi(latents, **options).table)
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    pd.testing.assert_frame_equal(*pairwise_tables, check_exact=True)


def test_a_large_pair_is_the_same_on_one_thread_and_on_many(monkeypatch):
    x = np.random.default_rng(1).normal(size=(30_000, 2))
    values = []
    for number in (1, 3):
        with_threads(monkeypatch, number)
        values.append(mi_matrix(x, x[:, :1] + 2 * x[:, 1:], estimator="copula").table)
    pd.testing.assert_frame_equal(*values, check_exact=True)


def test_results_do_not_depend_on_how_many_columns_are_kept(mixed, monkeypatch):
    latents, labels, _ = mixed
    whole, other = mi_matrix(latents, labels).table, pairwise_mi(latents).table
    monkeypatch.setattr(api, "columns_kept", lambda _: 2)
    calls = []
    again = mi_matrix(latents, labels, progress=lambda *at: calls.append(at)).table
    pd.testing.assert_frame_equal(again, whole, check_exact=True)
    pd.testing.assert_frame_equal(pairwise_mi(latents).table, other, check_exact=True)
    assert calls == [(i, 25) for i in range(1, 26)]


def test_every_pair_once_with_few_columns_read_at_a_time():
    read = []

    def column(place):
        read.append(place)
        return read_column(f"c{place}", np.arange(5.0))

    found = [place for place, *_ in across(3, column, 5, column, 2)]
    assert sorted(found) == [(i, j) for i in range(5) for j in range(3)]
    assert len(read) == 5 + 3 * 3
    read.clear()
    found = [place for place, *_ in among(7, column, 3)]
    assert sorted(found) == [(i, j) for i in range(7) for j in range(i + 1, 7)]
    assert len(read) == 7 + 4


def test_columns_that_passed_by_are_freed_at_once():
    gc.disable()
    try:
        alive = []

        def column(place):
            made = read_column(f"c{place}", np.random.default_rng(place).random(50))
            alive.append(weakref.ref(made.order))
            return made

        for _, x, y in among(6, column, 2):
            for keep in (np.arange(50) < 40, np.ones(50, dtype=bool)):
                parts = x.part(keep), y.part(keep)
                assert len(parts[0].ranked) == len(parts[1].ascending) == keep.sum()
            assert sum(reference() is not None for reference in alive) <= 5
    finally:
        gc.enable()


def test_the_columns_kept_fit_half_a_gigabyte():
    assert 4 < columns_kept(272_376) < 0.5e9 / (8 * 8 * 272_376)
    assert columns_kept(7_000) > 300
    assert columns_kept(10**9) == 4


def test_an_interrupt_stops_at_once(mixed, monkeypatch):
    latents, labels, _ = mixed
    with_threads(monkeypatch, 2)

    def interrupted(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mi_matrix(latents, labels, progress=interrupted)


def test_latents_on_disk_are_not_changed_or_copied(tmp_path):
    values = np.random.default_rng(2).normal(size=(200, 3)).astype(np.float32)
    values[7] = np.nan
    np.save(tmp_path / "z.npy", values)
    mapped = np.load(tmp_path / "z.npy", mmap_mode="r")
    labels = pd.DataFrame({"a": np.arange(200.0)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_disk = mi_matrix(Latents(mapped), labels).table
    pd.testing.assert_frame_equal(from_disk, mi_matrix(values, labels).table)
    whole = values.astype(np.float64)
    before = whole.copy()
    mi_matrix(whole, labels)
    np.testing.assert_array_equal(whole, before)


@pytest.mark.parametrize("estimator", ["ksg", "mixture"])
def test_columns_of_other_scales_are_told(estimator):
    rng = np.random.default_rng(3)
    z = rng.normal(size=(2_000, 2))
    frame = pd.DataFrame({"flux": 1e6 * (z[:, 0] + rng.normal(size=2_000)), "rv": z[:, 1]})
    with pytest.warns(LatentscopeWarning, match=r"2 of 4 pairs are too different in scale"):
        table = api.mi_matrix(z, frame, estimator=estimator).table
    told = table["reason"].str.contains(r"too different: flux varies [\d,e+]+ times as much as dim")
    assert list(told) == [True, True, False, False]
    with pytest.warns(LatentscopeWarning, match="varies .* it may miss what they share"):
        missed = api.mutual_information(z[:, 0], frame["flux"].to_numpy(), estimator=estimator)
    assert missed < 0.05
    with pytest.warns(LatentscopeWarning, match="may miss what they share"):
        api.mutual_information(z, frame.to_numpy(), estimator="ksg")
    with pytest.warns(LatentscopeWarning, match="may miss what they share"):
        api.mutual_information(z[:, 0], z[:, 1], given=frame["flux"], estimator=estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = api.mutual_information(z[:, 0], frame["flux"].to_numpy() / 1e6, estimator=estimator)
    assert found == pytest.approx(np.log(2) / 2, abs=0.08)


def test_steps_are_told_where_they_bias_and_spikes_are_not():
    rng = np.random.default_rng(4)
    x, noise = rng.normal(size=(2, 1_000))
    with pytest.warns(LatentscopeWarning, match="of x are tied, which biases mixture"):
        api.mutual_information(x.round(2), x + noise, estimator="mixture")
    frame = pd.DataFrame({"rounded": (x + noise).round(2), "spike": np.maximum(noise, 0)})
    with pytest.warns(LatentscopeWarning, match="of rounded are tied, which biases mixture"):
        api.mi_matrix(x[:, None], frame, estimator="mixture")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        api.mutual_information(np.maximum(x, 0), x + noise, estimator="mixture")
