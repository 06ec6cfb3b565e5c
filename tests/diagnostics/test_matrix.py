import warnings

import numpy as np
import pandas as pd
import pytest

import latentscope
from latentscope.data import Latents, read_latents, write_latents
from latentscope.diagnostics.mi.api import mi_matrix, mutual_information
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning, TableError


@pytest.fixture(scope="module")
def known():
    """Dimension 0 is radvel, 1 is the class, 2 nothing, 3 switched off."""
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(1500, 4)) * [1, 1, 1, 0.001]
    labels = pd.DataFrame(
        {
            "radvel": 10 * latents[:, 0] + rng.normal(size=1500),
            "kind": np.where(latents[:, 1] > 0, "giant", "dwarf"),
            "airmass": 1 + rng.random(1500),
        }
    )
    return latents, labels


@pytest.fixture(scope="module")
def result(known):
    return mi_matrix(*known)


def row(result, label, dim):
    table = result.table
    return table[(table["label"] == label) & (table["dim"] == dim)].iloc[0]


def test_the_table_is_tidy_and_complete(result):
    assert list(result.table.columns) == [
        "label",
        "dim",
        "mi_nats",
        "std_nats",
        "p_value",
        "q_value",
        "n",
        "n_groups",
        "estimator",
        "reason",
    ]
    assert list(result.table["label"]) == ["radvel"] * 4 + ["kind"] * 4 + ["airmass"] * 4
    assert result.matrix.shape == (3, 4)
    assert result.matrix.loc["radvel", 0] == row(result, "radvel", 0)["mi_nats"]
    assert result.provenance["neighbors"] == 3
    assert result.provenance["rows"] == 1500
    assert result.provenance["latentscope"] == latentscope.__version__
    assert result.provenance["time"].endswith("+00:00")
    assert result.provenance["dims"] == [0, 1, 2, 3]
    assert result.provenance["columns"] == ["radvel", "kind", "airmass"]
    assert result.provenance["join"] is None
    assert result.provenance["discrete"] == []


def test_it_finds_what_is_there_and_nothing_else(result):
    assert row(result, "radvel", 0)["mi_nats"] == pytest.approx(0.5 * np.log(101), abs=0.1)
    assert row(result, "kind", 1)["mi_nats"] == pytest.approx(np.log(2), abs=0.03)
    assert row(result, "kind", 1)["estimator"] == "ross"
    assert row(result, "radvel", 0)["estimator"] == "copula"
    significant = result.table[result.table["q_value"] < 0.01]
    assert set(zip(significant["label"], significant["dim"], strict=True)) == {
        ("radvel", 0),
        ("kind", 1),
    }
    assert list(result.best["label"])[:2] == ["radvel", "kind"]


def test_sentences_name_the_strongest_first(result):
    first, second, *_ = result.sentences(5)
    assert first.startswith("dim 0: radvel 2.")
    assert first.endswith("nats, p < 0.001, n = 1,500")
    assert " ± 0.0" in first
    assert second.startswith("dim 1: kind 0.6")
    assert len(result.sentences(5)) == 5


def test_a_pair_is_what_mutual_information_says(known, result):
    latents, labels = known
    value = mutual_information(latents[:, 0], labels["radvel"])
    assert row(result, "radvel", 0)["mi_nats"] == pytest.approx(value, abs=0.05)
    forced = mi_matrix(latents, labels[["radvel"]], estimator="ksg", clip_sigma=None, dims=[0])
    value = mutual_information(latents[:, 0], labels["radvel"], estimator="ksg")
    assert forced.table["mi_nats"].iloc[0] == pytest.approx(value, abs=1e-12)


def test_repeatable_and_blind_to_what_else_is_measured(known, result):
    again = mi_matrix(*known)
    pd.testing.assert_frame_equal(again.table, result.table)
    alone = mi_matrix(*known, dims=[2, 0], columns=["airmass"])
    assert list(alone.table["dim"]) == [0, 2]
    assert row(alone, "airmass", 2)["mi_nats"] == row(result, "airmass", 2)["mi_nats"]


def test_informative_dims(known):
    assert mi_matrix(*known, dims="informative").dims == [0, 1, 2]
    with pytest.raises(EstimatorError, match="no dimension is informative"):
        mi_matrix(known[0] * 1e-5, known[1], dims="informative")
    with pytest.raises(EstimatorError, match="expected all, informative"):
        mi_matrix(*known, dims="some")
    with pytest.raises(EstimatorError, match=r"dims \[7\]: expected some of 0 ... 3"):
        mi_matrix(*known, dims=[0, 7])


def test_missing_values_drop_rows_pair_by_pair(known):
    latents, labels = known
    holes, gaps = latents.copy(), labels.copy()
    holes[:100] = np.nan
    gaps.loc[50:249, "radvel"] = np.nan
    gaps.loc[:499, "kind"] = ""
    table = mi_matrix(holes, gaps, dims=[0, 1]).table
    assert list(table["n"]) == [1250, 1250, 1000, 1000, 1400, 1400]
    assert set(mi_matrix(holes, gaps, dims=[1]).table["estimator"]) == {"copula", "ross"}


def test_files_joined_by_id(tmp_path, known):
    latents, labels = known
    names = [f"ADP.{i}" for i in range(1500)]
    write_latents(Latents(latents, pd.DataFrame({"id": names})), tmp_path / "z.npy")
    shuffled = labels.assign(id=names).sample(frac=1, random_state=1)
    shuffled.to_csv(tmp_path / "labels.csv", index=False)
    joined = mi_matrix(tmp_path / "z.npy", tmp_path / "labels.csv", dims=[0], columns=["radvel"])
    assert joined.table["mi_nats"].iloc[0] > 2
    assert joined.provenance["labels"].endswith("labels.csv")
    with pytest.raises(TableError, match="1500 rows and labels has 1400"):
        mi_matrix(read_latents(tmp_path / "z.npy").values, labels[:1400])


def test_labels_beyond_5_sigma_are_clipped_and_that_is_said(known):
    latents, labels = known
    wild = labels[["radvel"]].copy()
    wild.loc[0, "radvel"] = 1e9
    result = mi_matrix(latents, wild, dims=[0])
    assert result.notes == ("values beyond 5 sigma clipped: radvel (1)",)
    assert "beyond 5 sigma" in result.table["reason"].iloc[0]
    assert result.table["mi_nats"].iloc[0] > 2
    assert not mi_matrix(latents, wild, dims=[0], clip_sigma=None).notes


def test_columns_that_are_no_labels_are_left_out_with_a_note(known):
    latents, labels = known
    more = labels.assign(
        dp_id=range(1500),
        comment=[f"note {i}" for i in range(1500)],
        when=pd.Timestamp("2020-01-01"),
        empty=np.nan,
    )
    with pytest.warns(LatentscopeWarning, match=r"neighbors=3\): empty \(0\)"):
        result = mi_matrix(latents, more, dims=[0])
    assert result.labels == ["radvel", "kind", "airmass"]
    assert result.notes == (
        "left out, since it names rows or stars: dp_id",
        "left out, since it has a different text in most rows: comment",
        "left out, since it holds dates: when",
        "left out, too few rows: empty (0)",
        "taken for classes: kind (2)",
    )
    with pytest.raises(ChoiceError, match="no label mass; the table has radvel"):
        mi_matrix(latents, labels, columns=["mass"])
    with pytest.raises(EstimatorError, match="0 rows have both"):
        mi_matrix(latents, more, columns=["empty", "radvel"], dims=[0])
    warnings.simplefilter("ignore", LatentscopeWarning)
    with pytest.raises(EstimatorError, match="no label has more than 3 rows"):
        mi_matrix(latents, more[["empty"]])


def test_constant_columns_give_zero_and_a_warning(known):
    latents, labels = known
    flat = np.column_stack([latents[:, 0], np.ones(1500)])
    with pytest.warns(LatentscopeWarning, match="constant, hence .*: dim 1"):
        table = mi_matrix(flat, labels[["radvel"]]).table
    assert list(table["mi_nats"])[1] == 0
    assert list(table["p_value"].isna()) == [False, True]
    assert table["q_value"][0] == table["p_value"][0]
    assert "no p-value" in mi_matrix_sentences(flat, labels)
    assert table["reason"][1] == "constant: dim 1"


def mi_matrix_sentences(latents, labels):
    with pytest.warns(LatentscopeWarning, match="constant"):
        return mi_matrix(latents, labels[["radvel"]]).sentences()[1]


def test_infinite_values_are_named(known):
    latents, labels = known
    with pytest.raises(EstimatorError, match="radvel: 1 of 1500 values are infinite"):
        mi_matrix(latents, labels.assign(radvel=labels["radvel"].where(labels.index != 3, np.inf)))
    bad = latents.copy()
    bad[5, 2] = -np.inf
    with pytest.raises(EstimatorError, match="infinite values in dims 2"):
        mi_matrix(bad, labels)


def test_estimators_can_be_forced(known):
    latents, labels = known
    assert set(mi_matrix(latents, labels[["radvel"]], estimator="copula").table["estimator"]) == {
        "copula"
    }
    with pytest.raises(EstimatorError, match=r"kind: holds .* not numbers.*--estimator auto"):
        mi_matrix(latents, labels, columns=["kind"], estimator="ksg")
    number = labels.assign(kind=(labels["kind"] == "giant").astype(int))
    assert set(mi_matrix(latents, number, columns=["kind"], dims=[1]).table["estimator"]) == {
        "ross"
    }
    many = labels.assign(visit=np.arange(1500) % 40)
    assert set(mi_matrix(latents, many, columns=["visit"], dims=[1]).table["estimator"]) == {
        "copula"
    }
    chosen = mi_matrix(latents, many, columns=["visit"], dims=[1], discrete=["visit"])
    assert set(chosen.table["estimator"]) == {"ross"}
    with pytest.raises(EstimatorError, match="no label seeing"):
        mi_matrix(latents, many, discrete=["seeing"])


def test_a_column_or_an_array_names_the_stars(known):
    latents, labels = known
    table = pd.DataFrame({"id": np.arange(1500), "object": np.arange(1500) // 5})
    source = Latents(latents, table)
    by_name = mi_matrix(source, labels, dims=[0], columns=["radvel"], groups="object")
    by_array = mi_matrix(latents, labels, dims=[0], columns=["radvel"], groups=table["object"])
    pd.testing.assert_frame_equal(by_name.table, by_array.table)
    assert by_name.table["n_groups"].iloc[0] == 300
    assert by_name.sentences()[0].endswith("n = 1,500, 300 groups")
    assert by_name.table["mi_nats"].iloc[0] == pytest.approx(0.5 * np.log(101), abs=0.25)
    with pytest.raises(EstimatorError, match="no column 'star'"):
        mi_matrix(source, labels, groups="star")
    with_star = labels.assign(star=table["object"])
    assert mi_matrix(latents, with_star, dims=[0], groups="star").labels == result_labels(labels)


def result_labels(labels):
    return list(labels.columns)


def test_progress_is_told(known):
    told = []
    mi_matrix(*known, dims=[0, 1], progress=lambda done, total: told.append((done, total)))
    assert told == [(i, 6) for i in range(1, 7)]


def test_published_values_of_a_real_network(shared_data):
    published = pd.read_csv(shared_data / "ive_mi_reference.csv")
    ours = mi_matrix(shared_data / "ive_latents.npy", shared_data / "ive_labels.csv").table
    both = published.merge(ours, on=["label", "dim"], suffixes=("_published", ""))
    assert len(both) == 39
    difference = (both["mi_nats"] - both["mi_nats_published"]).abs()
    assert difference.mean() < 0.025
    assert difference.max() < 0.16


def test_only_ids_of_stars_and_spectra_tell_of_repeats(known):
    latents, labels = known
    mi_matrix(latents, labels.assign(programme_id=np.arange(1500) // 5), dims=[0])
    with pytest.warns(LatentscopeWarning, match="'gaia_id'"):
        mi_matrix(latents, labels.assign(gaia_id=np.arange(1500) // 5), dims=[0])
