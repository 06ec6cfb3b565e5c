"""Disentanglement: perfect, useless and duplicated latents, and the published formulas."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kstest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.metrics import mutual_info_score

import latentscope
from latentscope.data import Latents
from latentscope.diagnostics.disentanglement import (
    interval,
    principal_axes,
    random_rotation,
    ready_labels,
    standardized,
)
from latentscope.diagnostics.disentanglement_measures import (
    MEAN,
    MEASURES,
    completeness,
    disentanglement,
    dmig,
    entropy,
    equal_width_bins,
    gaussian_total_correlation,
    held_out_importance,
    knn_total_correlation,
    mig,
    modularity,
    plain_information,
    sap,
    squared_correlations,
)
from latentscope.diagnostics.study import read_groups, read_study
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning
from tests.diagnostics.mi.arrays import ksg

N = 600
KEYS = [measure.key for measure in MEASURES]
EVEN = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2


def labels(n=N):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(n, 4))
    return pd.DataFrame(numbers, columns=["rv", "teff", "logg", "feh"])


def headline(result, column="value"):
    return result.headlines.set_index(["metric", "estimator"])[column].to_dict()


@pytest.fixture(scope="module")
def quartet():
    frame = labels()
    truth = frame.to_numpy() + 0.02 * np.random.default_rng(1).normal(size=(N, 4))
    useless = np.random.default_rng(2).normal(size=(N, 4))
    cases = {
        "perfect": truth * [3, -1, 0.2, 10],
        "useless": useless,
        "duplicated": np.hstack([truth, truth]),
        "rotated": truth @ EVEN,
    }
    return {
        name: latentscope.metrics(values, frame, n_halves=0, n_rotations=1)
        for name, values in cases.items()
    }


# Measure -> values expected of the perfect, useless, duplicated and rotated, and how nearly.
EXPECTED = {
    # 20 bins of equal width see less of a label than its 20 bins of equal count hold.
    ("mig", "binned"): ((0.75, 0, 0, 0), 0.12),
    ("mig", "knn"): ((0.92, 0, 0, 0), 0.08),
    ("sap", "linear"): ((1, 0, 0, 0), 0.05),
    ("dci_disentanglement", "forest"): ((1, 0, 1, 0.08), 0.08),
    # A label in two of eight dimensions: 1 - log 2 / log 8.
    ("dci_completeness", "forest"): ((1, 0, 2 / 3, 0.08), 0.08),
    # What 20 bins find in a label without information, (20 - 1)^2 / 2n, counts.
    ("modularity", "binned"): ((0.99, 0.1, 0.99, 0.1), 0.12),
    # Mixed evenly, all information is near the noise, and squares make much of small differences.
    ("modularity", "knn"): ((1, 0, 1, 0.4), 0.3),
    ("dci_informativeness", "forest"): ((0.97, -0.03, 0.97, 0.85), 0.08),
    ("explicitness", "logistic"): ((1, 0.5, 1, 1), 0.04),
    ("total_correlation", "gaussian"): ((0, 0, np.inf, 0), 0.02),
}


@pytest.mark.slow
@pytest.mark.parametrize("key", list(EXPECTED), ids="-".join)
def test_the_quartet(quartet, key):
    expected, tolerance = EXPECTED[key]
    found = [headline(result)[key] for result in quartet.values()]
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_total_correlation_by_neighbors_of_the_quartet(quartet):
    perfect, useless, duplicated, rotated = (
        headline(result)["total_correlation", "knn"] for result in quartet.values()
    )
    assert max(abs(perfect), abs(useless), abs(rotated)) < 0.15
    assert duplicated > 5


def test_baselines_of_perfect_latents_are_worse_and_of_rotated_ones_as_bad(quartet):
    perfect, rotated = quartet["perfect"], quartet["rotated"]
    for key in (measure.key for measure in MEASURES if measure.of_axes):
        if key[0] not in ("total_correlation", "modularity"):
            assert headline(perfect)[key] > headline(perfect, "rotation")[key] + 0.05
    for key in (("explicitness", "logistic"), ("dci_informativeness", "forest")):
        assert headline(rotated, "rotation")[key] == pytest.approx(headline(rotated)[key], abs=0.1)
    assert headline(perfect, "pca")["total_correlation", "gaussian"] == pytest.approx(0, abs=1e-9)


def test_rows_are_there_for_each_label_and_dimension(quartet):
    table = quartet["duplicated"].table
    rows = table.groupby(["metric", "estimator"])["label"].apply(set).to_dict()
    names, dims = set(labels().columns), {f"dim {i}" for i in range(8)}
    assert rows["mig", "knn"] == {MEAN} | names
    assert rows["dci_completeness", "forest"] == {MEAN} | names
    assert rows["dci_disentanglement", "forest"] == {MEAN} | dims
    assert rows["modularity", "binned"] == {MEAN} | dims
    assert rows["total_correlation", "knn"] == {MEAN}
    assert table[table["label"].isin(dims)]["rotation"].isna().all()
    assert list(quartet["perfect"].headlines.set_index(["metric", "estimator"]).index) == KEYS
    assert quartet["perfect"].importance.shape == (4, 4)
    assert quartet["perfect"].information.loc[0].idxmax() == "rv"


@pytest.fixture(scope="module")
def judged():
    """Two labels, one missing in part, and classes; a dimension each, and one of noise."""
    rng = np.random.default_rng(3)
    frame = labels()[["rv", "teff"]]
    frame["kind"] = np.where(rng.random(N) < 0.4, "giant", "dwarf")
    values = np.column_stack(
        [
            frame["rv"] + 0.2 * rng.normal(size=N),
            frame["teff"] + 0.2 * rng.normal(size=N),
            (frame["kind"] == "giant") + 0.2 * rng.normal(size=N),
            rng.normal(size=N),
        ]
    )
    frame.loc[:149, "teff"] = np.nan
    values[550:] = np.nan
    return latentscope.metrics(values, frame, n_halves=12)


def test_intervals_and_verdicts(judged):
    table = judged.headlines.set_index(["metric", "estimator"])
    metric = table.index.get_level_values("metric")
    bounded = table[metric != "total_correlation"]
    assert bounded["high"].max() <= max(1, bounded["value"].max())
    assert table[metric != "dci_informativeness"]["low"].min() >= min(0, table["value"].min())
    varies = (table["value"] < 1) & (table["high"] < 1) & (table["low"] > 0)
    assert varies.sum() > 4
    assert (table["low"] < table["value"])[varies].all()
    assert (table["value"] < table["high"])[varies].all()
    assert table.loc[("mig", "knn"), "verdict"] == "better than rotation and pca"
    assert table.loc[("explicitness", "logistic"), "verdict"] == ""
    assert table.loc[("mig", "binned"), "draws"] == 12
    assert table.loc[("dci_completeness", "forest"), "draws"] == 10
    assert (
        (table["rotation_low"] <= table["rotation"]) & (table["rotation"] <= table["rotation_high"])
    ).all()


def test_missing_labels_and_failed_rows_are_counted(judged):
    rows = judged.table[(judged.table["metric"] == "mig") & (judged.table["estimator"] == "knn")]
    assert rows.set_index("label")["n"].to_dict() == {
        MEAN: 550,
        "rv": 550,
        "teff": 400,
        "kind": 550,
    }


def test_sentences_say_what_beats_what(judged):
    lines = judged.sentences()
    assert lines[0].startswith("Of 10 measures that depend on the axes, ")
    assert "better than PCA of the same latents" in lines[0]
    (mig,) = [line for line in lines if line.startswith("MIG (kNN) ")]
    assert ": better than both." in mig
    assert lines[-1].startswith("Gap by label, MIG (kNN): ")
    assert len(lines) == len(MEASURES) + 2
    assert list(judged.compact.columns)[:3] == ["metric", "estimator", "value"]


def test_classes_separate_by_a_linear_machine(judged):
    rows = judged.table.set_index(["metric", "label"])["value"]
    # 98.8 % of the classes by one dimension, about the larger class (60 %) by any other.
    assert rows["sap", "kind"] == pytest.approx(0.99 - 0.6, abs=0.12)
    assert rows["dci_informativeness", "kind"] > 0.95
    assert rows["explicitness", "kind"] > 0.99


def test_without_intervals_nothing_is_judged(quartet):
    result = quartet["perfect"]
    assert result.table["low"].isna().all()
    assert set(result.table["verdict"]) == {""}
    assert result.sentences()[0].startswith("Without intervals nothing is judged")


def starred(stars=200, times=5):
    """A property that is constant for a star, latents that tell stars apart and nothing else."""
    rng = np.random.default_rng(4)
    star = np.repeat(np.arange(stars), times)
    values = rng.normal(size=(stars, 3))[star] + 0.001 * rng.normal(size=(len(star), 3))
    frame = pd.DataFrame(
        {"teff": rng.normal(size=stars)[star], "logg": rng.normal(size=stars)[star]}
    )
    return values, frame, star


def test_stars_count_once_and_are_never_on_both_sides_of_a_split():
    values, frame, star = starred()
    result = latentscope.metrics(values, frame, groups=star, n_halves=0, n_rotations=1)
    found = headline(result)
    assert found["mig", "knn"] < 0.05
    assert found["dci_informativeness", "forest"] < 0.05
    assert found["explicitness", "logistic"] == pytest.approx(0.5, abs=0.06)
    row = result.headlines.iloc[0]
    assert (row["n"], row["n_groups"]) == (1000, 200)
    # With rows taken for stars a forest knows some stars again.
    fooled = latentscope.metrics(values, frame, n_halves=0, n_rotations=1)
    assert headline(fooled)["dci_informativeness", "forest"] > 0.15


def test_repeated_rows_of_a_star_change_nothing():
    values, frame, star = starred(200, 1)
    once = latentscope.metrics(values, frame, n_halves=0, n_rotations=1)
    rows = np.repeat(np.arange(200), 3)
    again = latentscope.metrics(
        values[rows], frame.iloc[rows], groups=star[rows], n_halves=0, n_rotations=1
    )
    for key in (("mig", "binned"), ("sap", "linear"), ("total_correlation", "gaussian")):
        assert headline(again)[key] == pytest.approx(headline(once)[key], abs=1e-9)


def test_a_column_that_names_stars_is_found():
    values, frame, star = starred()
    frame["star"] = star
    result = latentscope.metrics(values, frame, columns=["teff"], n_halves=0, n_rotations=1)
    assert set(result.headlines["n_groups"]) == {200}
    assert result.provenance["groups"] == "star"


def test_ids_that_repeat_without_stars_are_warned_of():
    values, frame, star = starred()
    frame["gaia_id"] = star
    with pytest.warns(LatentscopeWarning, match="repeat a value of 'gaia_id'"):
        latentscope.metrics(values, frame, columns=["teff"], n_halves=0, n_rotations=1)


def test_of_many_stars_a_part_is_taken():
    frame = labels()
    result = latentscope.metrics(frame.to_numpy(), frame, n_halves=0, n_rotations=1, max_stars=300)
    assert set(result.headlines["n_groups"]) == {300}
    assert result.notes[0] == "300 of 600 stars taken at random"


def test_same_seed_same_table_and_progress_reaches_its_total():
    values, frame, _ = starred(200, 1)
    seen = []

    def table(seed, progress=None):
        return latentscope.metrics(
            values, frame, n_halves=0, n_rotations=1, seed=seed, progress=progress
        ).table

    first = table(1, lambda *done: seen.append(done))
    pd.testing.assert_frame_equal(first, table(1))
    assert not first["rotation"].equals(table(2)["rotation"])
    assert seen == [(done, len(seen)) for done in range(1, len(seen) + 1)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_halves": 3}, "n_halves is 3"),
        ({"n_rotations": 0}, "n_rotations is 0"),
        ({"max_stars": 0}, "max_stars is 0"),
        ({"dims": [1]}, "1 dimension; expected two or more"),
        ({"columns": ["nosuch"]}, "no label nosuch"),
    ],
)
def test_wrong_use_is_told(options, message):
    frame = labels()
    with pytest.raises(EstimatorError, match=message):
        latentscope.metrics(frame.to_numpy(), frame, **options)


def test_constant_dimensions_and_few_labels_do_no_harm():
    frame = labels(1000)[["rv"]]
    values = np.column_stack([frame["rv"], np.full(1000, 2.0), np.zeros(1000)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = latentscope.metrics(Latents(values), frame, dims="all", n_halves=0, n_rotations=1)
    found = headline(result)
    assert found["sap", "linear"] == pytest.approx(1)
    assert np.isnan(found["modularity", "knn"])
    assert np.isnan(found["dci_disentanglement", "forest"])
    assert any(line.startswith("DCI disentanglement: not defined") for line in result.sentences())


MATRICES = st.tuples(st.integers(2, 6), st.integers(2, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 4).map(lambda x: round(x, 3)))
)


def slow_evenness(row):
    total = sum(row)
    if total == 0:
        return 0.0
    entropy_in_units = 0.0
    for value in row:
        share = value / total
        if share > 0:
            entropy_in_units -= share * math.log(share, len(row))
    return 1 - entropy_in_units


def slow_modularity(row):
    best = max(row)
    if best == 0:
        return 0.0
    place = row.index(best)
    deviation = sum(v**2 for j, v in enumerate(row) if j != place) / (best**2 * (len(row) - 1))
    return 1 - deviation


@settings(max_examples=60)
@given(MATRICES)
def test_formulas_are_those_of_the_papers(matrix):
    rows, columns = matrix.tolist(), matrix.T.tolist()
    np.testing.assert_allclose(
        modularity(matrix), [slow_modularity(row) for row in rows], atol=1e-12
    )
    each, mean = disentanglement(matrix)
    slow = [slow_evenness(row) for row in rows]
    np.testing.assert_allclose(each, slow, atol=1e-12)
    weights = [sum(row) for row in rows]
    total = sum(weights)
    expected = sum(w * d for w, d in zip(weights, slow, strict=True)) / total if total else 0.0
    assert mean == pytest.approx(expected, abs=1e-12)
    each, mean = completeness(matrix)
    np.testing.assert_allclose(each, [slow_evenness(column) for column in columns], atol=1e-12)
    entropies = np.arange(1.0, len(columns) + 1)
    gaps = []
    for column in columns:
        first, second = sorted(column)[-1], sorted(column)[-2]
        gaps.append(first - second)
    np.testing.assert_allclose(sap(matrix), gaps, atol=1e-12)
    np.testing.assert_allclose(mig(matrix, entropies), np.array(gaps) / entropies, atol=1e-12)


@pytest.mark.parametrize(
    ("matrix", "d", "c", "m"),
    [
        (np.eye(4), 1, 1, 1),
        (np.ones((4, 4)), 0, 0, 0),
        (np.zeros((4, 4)), 0, 0, 0),
        # Each label in two of six dimensions, each dimension one label.
        (np.vstack([np.eye(3), np.eye(3)]), 1, 1 - math.log(2) / math.log(6), 1),
        # One dimension knows everything.
        (np.vstack([np.ones((1, 3)), np.zeros((2, 3))]), 0, 1, 0),
    ],
)
def test_matrices_whose_values_are_known(matrix, d, c, m):
    assert disentanglement(matrix)[1] == pytest.approx(d, abs=1e-12)
    assert completeness(matrix)[1] == pytest.approx(c, abs=1e-12)
    assert modularity(matrix).mean() == pytest.approx(m)


def test_one_label_leaves_some_undefined():
    one = np.ones((3, 1))
    assert np.isnan(modularity(one)).all()
    each, mean = disentanglement(one)
    assert np.isnan(each).all()
    assert np.isnan(mean)
    assert completeness(one)[1] == pytest.approx(0)


def test_gap_of_bins_in_closed_form():
    """Dimension 0 is the label of four equal classes, dimension 1 its half: (log 4 - log 2)."""
    label = np.tile(np.arange(4), 100)
    latents = np.column_stack([label * 3.0, (label // 2) * 7.0, np.zeros(400)])
    information = np.array([[plain_information(equal_width_bins(z), label)] for z in latents.T])
    np.testing.assert_allclose(information[:, 0], [math.log(4), math.log(2), 0], atol=1e-12)
    assert mig(information, [entropy(label)])[0] == pytest.approx(0.5)


def test_binned_information_equals_numpy_bins_and_scikit_learn():
    rng = np.random.default_rng(0)
    z, label = rng.gamma(2, size=700), rng.integers(0, 6, 700)
    edges = np.histogram(z, bins=20)[1]
    expected = np.digitize(z, edges[:-1]) - 1
    np.testing.assert_array_equal(equal_width_bins(z), expected)
    found = plain_information(equal_width_bins(z), label)
    assert found == pytest.approx(mutual_info_score(expected, label), abs=1e-12)
    assert equal_width_bins(np.full(5, 2.0)).tolist() == [0] * 5


def test_squared_correlations_equal_the_usual_ones():
    rng = np.random.default_rng(1)
    z, y = rng.normal(size=(300, 3)), rng.normal(size=300)
    z[:, 1] += y
    z[:, 2] = 4.0
    found = squared_correlations(z, y)
    np.testing.assert_allclose(
        found[:2], [np.corrcoef(z[:, j], y)[0, 1] ** 2 for j in (0, 1)], rtol=1e-10
    )
    assert found[2] == 0


N_LABELED = 1200


def ready(frame, columns=None, discrete=(), ok=None, stars=None):
    groups = None if stars is None else read_groups(stars, len(frame))
    ok = np.ones(len(frame), dtype=bool) if ok is None else ok
    study = read_study(Latents(np.zeros((len(frame), 2))), frame, groups=None, discrete=discrete)
    return ready_labels(replace(study, groups=groups), columns, ok, 0)


@pytest.fixture
def mixed():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": [f"x{i}" for i in range(N_LABELED)],
            "teff": rng.gamma(20, size=N_LABELED),
            "kind": rng.choice(["a", "b", "c"], N_LABELED),
        }
    )


def test_numbers_get_20_bins_of_equal_count_and_text_its_classes(mixed):
    (teff, kind), notes = ready(mixed)
    assert np.bincount(teff.codes).tolist() == [60] * 20
    assert teff.numbers is not None
    assert (kind.classes, kind.numbers) == (3, None)
    assert "cut into bins of about equal count, where classes are needed: teff (20)" in notes
    assert "kind: 3 classes" in notes


def test_values_beyond_5_sigma_are_left_out_and_counted(mixed):
    mixed.loc[[3, 7], "teff"] = [1e6, -1e6]
    (teff, _), notes = ready(mixed)
    assert (teff.codes[[3, 7]] == -1).all()
    assert teff.n_rows == N_LABELED - 2
    assert "values beyond 5 sigma left out: teff (2)" in notes


def test_few_stars_get_fewer_bins(mixed):
    (label, _), _ = ready(mixed.head(300))
    assert label.classes == 6


def test_ties_stay_together(mixed):
    mixed["teff"] = np.round(mixed["teff"])
    (label, _), _ = ready(mixed)
    pairs = pd.DataFrame({"value": mixed["teff"], "code": label.codes}).drop_duplicates()
    assert pairs["value"].is_unique


def test_bins_count_stars_not_rows(mixed):
    # The hottest half of the stars has ten spectra each.
    times = np.where(mixed["teff"] > mixed["teff"].median(), 10, 1)
    rows = mixed.loc[np.repeat(mixed.index, times)].reset_index(drop=True)
    (label,), _ = ready(rows[["id", "teff"]], stars=rows["id"])
    assert np.bincount(label.codes[~rows["id"].duplicated()]).tolist() == [60] * 20
    assert (label.n_rows, label.n_stars) == (len(rows), N_LABELED)


def test_missing_values_and_failed_rows_do_not_count(mixed):
    mixed.loc[:199, "teff"] = np.nan
    ok = np.ones(N_LABELED, dtype=bool)
    ok[200:300] = False
    (label, kind), _ = ready(mixed, ok=ok)
    assert (label.codes[:300] == -1).all()
    assert label.n_stars == 900
    assert kind.n_stars == 1100


def test_rare_classes_are_left_out_and_told(mixed):
    mixed.loc[:9, "kind"] = "rare"
    (_, kind), notes = ready(mixed)
    assert kind.classes == 3
    assert (kind.codes[:10] == -1).all()
    assert "kind: 3 classes, 1 with fewer than 20 stars left out (10 stars)" in notes


def test_labels_that_cannot_be_used(mixed):
    mixed["few"] = np.where(np.arange(N_LABELED) < 40, 1.5, np.nan) * np.arange(N_LABELED)
    mixed["same"] = 3.0
    with pytest.warns(LatentscopeWarning, match=r"few \(40 stars\), same \(constant\)"):
        labels, _ = ready(mixed)
    assert [label.name for label in labels] == ["teff", "kind"]
    with pytest.raises(EstimatorError):
        ready(mixed, columns=["teff", "few"])
    with pytest.raises(EstimatorError, match="constant"):
        ready(mixed[["id", "same"]])
    with pytest.raises(EstimatorError, match="no label nosuch"):
        ready(mixed, discrete=["nosuch"])


def test_rotations_keep_lengths_and_are_spread_evenly():
    rng = np.random.default_rng(0)
    q = random_rotation(5, rng)
    np.testing.assert_allclose(q @ q.T, np.eye(5), atol=1e-12)
    # The first entry of a random unit vector in three dimensions is uniform in -1 ... 1.
    entries = [random_rotation(3, rng)[0, 0] for _ in range(2000)]
    assert kstest(entries, "uniform", (-1, 2)).pvalue > 0.01


def test_principal_axes_decorrelate_widest_first():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(800, 4)) @ rng.normal(size=(4, 4))
    along = values @ principal_axes(values)
    covariance = np.cov(along.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-9)
    assert (np.diff(np.diag(covariance)) < 0).all()


def test_axes_of_rounding_errors_are_0():
    z = np.random.default_rng(2).normal(size=(300, 2))
    along = np.hstack([z, z]) @ principal_axes(np.hstack([z, z]))
    assert along.std(axis=0)[:2].min() > 0.5
    assert not along[:, 2:].any()


def test_standardized_over_some_rows_keeps_constants_at_0():
    rng = np.random.default_rng(3)
    values = np.column_stack([rng.normal(5, 3, 100), np.full(100, 7.0)])
    rows = np.arange(0, 100, 2)
    scaled = standardized(values, rows)
    np.testing.assert_allclose(scaled[rows, 0].mean(), 0, atol=1e-12)
    np.testing.assert_allclose(scaled[rows, 0].std(), 1)
    assert not scaled[:, 1].any()
    values[3] = np.nan
    assert np.isnan(standardized(values, rows)[3]).all()


def test_halves_without_replacement_have_the_error_of_the_whole():
    """Of a mean it is sigma / sqrt(n), whatever the bias of the halves."""
    rng = np.random.default_rng(0)
    sample = rng.normal(size=401)
    halves = np.array([sample[rng.permutation(401)[:200]].mean() for _ in range(4000)]) + 5
    low, high = interval(0.3, halves, 200, 401)
    assert (low + high) / 2 == pytest.approx(0.3)
    assert (high - low) / 2 == pytest.approx(1.96 * sample.std(ddof=1) / np.sqrt(401), rel=0.05)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """The gap of squared correlations of Gaussians with correlations 0.8 and 0.5."""
    rng, truth, held = np.random.default_rng(1), 0.64 - 0.25, []
    for _ in range(250):
        y = rng.normal(size=300)
        noise = rng.normal(size=(300, 2))
        z = y[:, None] * [0.8, 0.5] + noise * np.sqrt([0.36, 0.75])
        gap = lambda rows: sap(squared_correlations(z[rows], y[rows])[:, None])[0]  # noqa: B023, E731
        halves = np.array([gap(rng.permutation(300)[:150]) for _ in range(40)])
        low, high = interval(gap(np.arange(300)), halves, 150, 300)
        held.append(low < truth < high)
    assert 0.91 < np.mean(held) < 0.985


def test_no_halves_no_interval():
    assert np.isnan(interval(1.0, np.empty(0), 50, 100)).all()
    assert np.isnan(interval(np.inf, np.full(10, np.inf), 50, 100)).all()


def test_numbers_of_a_grid_are_ordered_and_classes_are_what_someone_calls_so():
    """Teff in steps of 250 K, known exactly by one dimension."""
    rng = np.random.default_rng(6)
    values = rng.normal(size=(1500, 3))
    frame = pd.DataFrame({"Teff": 5500 + 250 * np.round(2 * values[:, 0]), "other": values[:, 1]})

    def found(**options):
        rows = latentscope.metrics(values, frame, n_halves=0, n_rotations=1, **options).table
        return rows[rows["label"] == "Teff"].set_index("metric")["value"]

    for options in ({}, {"discrete": False}, {"numeric": ["Teff"]}, {"numeric": "Teff"}):
        assert found(**options)["sap"] > 0.95
        assert found(**options)["explicitness"] > 0.99
    assert found(discrete=["Teff"])["sap"] < 0.5
    with pytest.raises(ChoiceError, match="Teff: asked for as classes"):
        found(discrete=["Teff"], numeric=["Teff"])


def test_a_dimension_that_informative_leaves_out_is_named():
    values = np.random.default_rng(7).normal(size=(1000, 4)) * [1, 1, 1, 0.02]
    frame = pd.DataFrame(values, columns=list("abcd"))
    with pytest.warns(LatentscopeWarning, match=r"dims 3 \(0\.013\); dims='all'"):
        result = latentscope.metrics(values, frame, n_halves=0, n_rotations=1)
    assert any("dims 3 (0.013)" in note for note in result.notes)
    every = latentscope.metrics(values, frame, dims="all", n_halves=0, n_rotations=1)
    assert headline(every)["mig", "knn"] > 0.95


def test_few_stars_are_warned_of_since_bins_go_by_them():
    frame = labels(1200)
    options = {"n_halves": 0, "n_rotations": 1, "columns": ["rv", "teff"]}
    with pytest.warns(LatentscopeWarning, match="300 stars, below 1,000.* 6 bins instead of 20"):
        few = latentscope.metrics(frame.to_numpy(), frame, max_stars=300, **options)
    assert set(few.headlines["n_groups"]) == {300}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        latentscope.metrics(frame.to_numpy(), frame, **options)


def test_the_gap_of_related_labels_is_counted_against_what_they_leave():
    information = np.array([[2.0, 0.5], [0.8, 1.5], [0.1, 0.1]])
    entropies, apart = [2.0, 2.0], np.zeros((2, 2))
    np.testing.assert_allclose(dmig(information, entropies, apart), mig(information, entropies))
    between = np.array([[0.0, 0.8], [0.8, 0.0]])
    # The second best dimension of the first label is the best of the other, and both ways round.
    np.testing.assert_allclose(
        dmig(information, entropies, between), [(2 - 0.8) / (2 - 0.8), (1.5 - 0.5) / (2 - 0.8)]
    )
    third = np.array([[2.0, 0.1], [0.1, 1.5], [0.8, 0.5]])
    np.testing.assert_allclose(dmig(third, entropies, between), mig(third, entropies))
    assert np.isnan(dmig(information, entropies, 2 * np.ones((2, 2)))).all()


def test_dmig_of_related_labels_in_dimensions_of_their_own_is_near_1():
    rng = np.random.default_rng(8)
    x, noise = rng.normal(size=(2, 3000))
    frame = pd.DataFrame({"a": x, "b": 0.9 * x + np.sqrt(1 - 0.81) * noise})
    found = headline(latentscope.metrics(frame.to_numpy(), frame, n_halves=0, n_rotations=1))
    assert found["mig", "knn"] < 0.75
    assert found["dmig", "knn"] == pytest.approx(1, abs=0.07)


def test_of_very_many_stars_only_slow_measures_take_a_part(monkeypatch):
    monkeypatch.setattr("latentscope.diagnostics.disentanglement._MOST_IF_SLOW", 500)
    frame = labels(1100)[["rv", "teff"]]
    result = latentscope.metrics(frame.to_numpy(), frame, n_halves=0, n_rotations=1)
    rows = result.headlines.set_index(["metric", "estimator"])["n_groups"]
    assert (rows["modularity", "knn"], rows["dci_completeness", "forest"]) == (1100, 500)
    assert any("500 of 1,100 stars" in note for note in result.notes)


def fitted(kind, z, y, **options):
    return kind(20, min_samples_leaf=5, random_state=0, **options).fit(z, y)


def trees_of(forest):
    return [tree.tree_ for tree in forest.estimators_]


@pytest.mark.parametrize("kind", [ExtraTreesRegressor, RandomForestRegressor])
@pytest.mark.parametrize("outputs", [1, 3])
def test_importances_add_up_to_the_covariance_of_prediction_and_truth(kind, outputs):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 4)).astype(np.float32)
    y = z[:, :1] @ rng.normal(size=(1, outputs)) + 0.5 * rng.normal(size=(400, outputs))
    forest = fitted(kind, z[:200], np.squeeze(y[:200]))
    importance = held_out_importance(trees_of(forest), z[200:], y[200:])
    centered = y[200:] - y[200:].mean(axis=0)
    predicted = forest.predict(z[200:]).reshape(200, -1)
    expected = (predicted * centered).sum() / (centered**2).sum()
    assert importance.sum() == pytest.approx(expected, rel=1e-9)
    assert importance.argmax() == 0


def test_dimensions_that_tell_nothing_have_none_however_noisy_the_label():
    """Importance counted where trees learn would give them a third of it."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(3000, 6)).astype(np.float32)
    y = (z[:, 2] + 2 * rng.normal(size=3000))[:, None]
    forest = fitted(ExtraTreesRegressor, z[:1500], y[:1500, 0])
    importance = held_out_importance(trees_of(forest), z[1500:], y[1500:])
    assert importance[2] == pytest.approx(0.2, abs=0.05)
    assert np.abs(np.delete(importance, 2)).max() < 0.02
    assert np.delete(forest.feature_importances_, 2).sum() > 0.3


def correlated(n, rho, d, seed=0):
    covariance = np.full((d, d), rho) + (1 - rho) * np.eye(d)
    truth = -0.5 * np.linalg.slogdet(covariance)[1]
    return np.random.default_rng(seed).multivariate_normal(np.zeros(d), covariance, n), truth


def test_gaussian_in_closed_form():
    values, _ = correlated(500, 0.6, 2)
    r = np.corrcoef(values.T)[0, 1]
    scaled = values * [3, -0.1] + [5, 7]
    assert gaussian_total_correlation(scaled) == pytest.approx(-0.5 * np.log(1 - r**2))


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
def test_both_find_that_of_a_gaussian(rho):
    values, truth = correlated(3000, rho, 4)
    assert gaussian_total_correlation(values) == pytest.approx(truth, abs=0.04)
    assert knn_total_correlation(values) == pytest.approx(truth, abs=0.07)


def test_two_columns_are_a_pair():
    values, _ = correlated(400, 0.5, 2, seed=3)
    assert knn_total_correlation(values) == pytest.approx(ksg(values[:, 0], values[:, 1], 3))


def test_neighbors_see_what_is_not_a_straight_line():
    x = np.random.default_rng(1).normal(size=1500)
    values = np.column_stack([x, x**2 + 0.1 * np.random.default_rng(2).normal(size=1500)])
    assert gaussian_total_correlation(values) < 0.05
    assert knn_total_correlation(values) > 0.8


def test_sums_of_others_are_infinite_and_constants_do_not_count():
    values, _ = correlated(200, 0.4, 3)
    assert gaussian_total_correlation(np.column_stack([values, values[:, 0]])) == float("inf")
    assert gaussian_total_correlation(np.column_stack([values, values.sum(1)])) == float("inf")
    whole = gaussian_total_correlation(values)
    assert gaussian_total_correlation(np.column_stack([values, np.ones(200)])) == whole
    assert gaussian_total_correlation(values[:, :1]) == 0


def test_rows_far_out_that_lead_the_variance_are_told(recwarn):
    rng = np.random.default_rng(4)
    values = rng.normal(size=(1000, 3))
    table = pd.DataFrame({"a": values[:, 0], "b": values[:, 1] + 0.1 * rng.normal(size=1000)})
    plain = latentscope.metrics(values, table, n_halves=0, n_rotations=1)
    assert not recwarn
    values[7, 1] = 50.0
    with pytest.warns(LatentscopeWarning, match=r"dim 1 \(row 7, 48\.9 sigma\)") as told:
        far = latentscope.metrics(values, table, n_halves=0, n_rotations=1)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert any("dim 1 (row 7" in note for note in far.notes)
    # What the words promise: the measure by neighbors holds, that by variance does not.
    assert headline(far)["mig", "knn"] == pytest.approx(headline(plain)["mig", "knn"], abs=0.02)
    assert headline(far)["sap", "linear"] < 0.8 * headline(plain)["sap", "linear"]


@pytest.mark.parametrize("scale", ["normal", "laplace", "uniform", "classes"])
def test_ordinary_tails_are_not_told(scale, recwarn):
    rng = np.random.default_rng(5)
    values = {
        "normal": lambda: rng.normal(size=(1000, 2)),
        "laplace": lambda: rng.laplace(size=(1000, 2)),
        "uniform": lambda: rng.uniform(size=(1000, 2)),
        "classes": lambda: rng.integers(0, 2, size=(1000, 2)) + 0.0,
    }[scale]()
    label = pd.DataFrame({"a": rng.normal(size=1000)})
    latentscope.metrics(values, label, dims="all", n_halves=0, n_rotations=1)
    assert not recwarn


@pytest.mark.parametrize(
    ("label", "told"),
    [
        (lambda u: 360 * u, "angle"),
        (lambda u: 24 * u, "angle"),
        (lambda u: 2 * np.pi * (u - 0.5), "angle"),
        (lambda u: np.floor(3 * u), "numbers of classes"),
        (lambda u: 1 + np.floor(5 * u), "numbers of classes"),
        (lambda u: 4000 + 250 * np.floor(5 * u), ""),
        (lambda u: 355 * u, ""),
        (lambda u: np.floor(3 * u) / 2, ""),
    ],
)
def test_angles_and_numbers_of_classes_are_told_unless_someone_says_what_they_are(label, told):
    u, noise = np.random.default_rng(0).random((2, 1000))
    study = read_study(np.column_stack([u, noise]), pd.DataFrame({"x": label(u)}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        notes = ready_labels(study, None, study.latents.ok, 0)[1]
        ready_labels(replace(study, kinds={"x": False}), None, study.latents.ok, 0)
    assert len(caught) == bool(told)
    assert all(told in str(one.message) for one in caught)
    assert sum("x: " in note for note in notes) == bool(told)
