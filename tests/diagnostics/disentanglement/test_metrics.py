"""All measures on latents that are perfect, useless, duplicated and rotated."""

import warnings

import numpy as np
import pandas as pd
import pytest

import latentscope
from latentscope.data import Latents
from latentscope.diagnostics.disentanglement_measures import MEAN, MEASURES
from latentscope.errors import EstimatorError, LatentscopeWarning

N = 600
KEYS = [measure.key for measure in MEASURES]
EVEN = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2


def labels():
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(N, 4))
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
        name: latentscope.metrics(values, frame, bootstrap=0, rotations=1)
        for name, values in cases.items()
    }


# Measure -> values wanted of the perfect, useless, duplicated and rotated, and how nearly.
WANTED = {
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
@pytest.mark.parametrize("key", list(WANTED), ids="-".join)
def test_the_quartet(quartet, key):
    wanted, tolerance = WANTED[key]
    found = [headline(result)[key] for result in quartet.values()]
    np.testing.assert_allclose(found, wanted, atol=tolerance)


def test_total_correlation_by_neighbours_of_the_quartet(quartet):
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
    return latentscope.metrics(values, frame, bootstrap=12)


def test_intervals_and_verdicts(judged):
    table = judged.headlines.set_index(["metric", "estimator"])
    varies = table["value"] < 1
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
    assert lines[0].startswith("Of 8 measures that depend on the axes, ")
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
    result = latentscope.metrics(values, frame, groups=star, bootstrap=0, rotations=1)
    found = headline(result)
    assert found["mig", "knn"] < 0.05
    assert found["dci_informativeness", "forest"] < 0.05
    assert found["explicitness", "logistic"] == pytest.approx(0.5, abs=0.06)
    row = result.headlines.iloc[0]
    assert (row["n"], row["n_groups"]) == (1000, 200)
    # With rows taken for stars a forest knows some stars again.
    fooled = latentscope.metrics(values, frame, bootstrap=0, rotations=1)
    assert headline(fooled)["dci_informativeness", "forest"] > 0.15


def test_repeated_rows_of_a_star_change_nothing():
    values, frame, star = starred(200, 1)
    once = latentscope.metrics(values, frame, bootstrap=0, rotations=1)
    rows = np.repeat(np.arange(200), 3)
    again = latentscope.metrics(
        values[rows], frame.iloc[rows], groups=star[rows], bootstrap=0, rotations=1
    )
    for key in (("mig", "binned"), ("sap", "linear"), ("total_correlation", "gaussian")):
        assert headline(again)[key] == pytest.approx(headline(once)[key], abs=1e-9)


def test_ids_that_repeat_without_stars_are_warned_of():
    values, frame, star = starred()
    frame["gaia_id"] = star
    with pytest.warns(LatentscopeWarning, match="repeat a value of 'gaia_id'"):
        latentscope.metrics(values, frame, columns=["teff"], bootstrap=0, rotations=1)


def test_of_many_stars_a_part_is_taken():
    frame = labels()
    result = latentscope.metrics(frame.to_numpy(), frame, bootstrap=0, rotations=1, most=300)
    assert set(result.headlines["n_groups"]) == {300}
    assert result.notes[0] == "300 of 600 stars taken at random"


def test_same_seed_same_table_and_progress_reaches_its_total():
    values, frame, _ = starred(200, 1)
    seen = []

    def table(seed, progress=None):
        return latentscope.metrics(
            values, frame, bootstrap=0, rotations=1, seed=seed, progress=progress
        ).table

    first = table(1, lambda *done: seen.append(done))
    pd.testing.assert_frame_equal(first, table(1))
    assert not first["rotation"].equals(table(2)["rotation"])
    assert seen == [(done, len(seen)) for done in range(1, len(seen) + 1)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bootstrap": 3}, "bootstrap is 3; wanted 0, or 10 or more"),
        ({"rotations": 0}, "rotations is 0"),
        ({"most": 0}, "most is 0"),
        ({"dims": [1]}, "1 dimension; expected two or more"),
        ({"columns": ["nosuch"]}, "no label nosuch"),
    ],
)
def test_wrong_use_is_told(options, message):
    frame = labels()
    with pytest.raises(EstimatorError, match=message):
        latentscope.metrics(frame.to_numpy(), frame, **options)


def test_constant_dimensions_and_few_labels_do_no_harm():
    frame = labels()[["rv"]]
    values = np.column_stack([frame["rv"], np.full(N, 2.0), np.zeros(N)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = latentscope.metrics(Latents(values), frame, dims="all", bootstrap=0, rotations=1)
    found = headline(result)
    assert found["sap", "linear"] == pytest.approx(1)
    assert np.isnan(found["modularity", "knn"])
    assert np.isnan(found["dci_disentanglement", "forest"])
    assert any(line.startswith("DCI disentanglement: not defined") for line in result.sentences())
