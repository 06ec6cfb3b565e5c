import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import latentscope
from latentscope.data import Latents, read_latents, write_latents
from latentscope.diagnostics.meaning import paper_indicator
from latentscope.diagnostics.mi.api import mi_matrix, mutual_information, pairwise_mi
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning, TableError
from tests.diagnostics.mi.arrays import ksg


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
        mi_matrix(known[0] * 0, known[1], dims="informative")
    with pytest.raises(EstimatorError, match="all, informative"):
        mi_matrix(*known, dims="some")
    with pytest.raises(EstimatorError, match=r"dims \[7\]"):
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


def test_rows_beyond_5_sigma_are_left_out_and_counted(known):
    latents, labels = known
    wild = labels[["radvel", "kind"]].copy()
    wild.loc[:2, "radvel"] = [1e9, -1e9, 2e9]
    result = mi_matrix(latents, wild, dims=[0])
    assert result.notes[0] == "values beyond 5 sigma left out: radvel (3)"
    assert list(result.table["n"]) == [1497, 1500]
    assert "3 values of radvel beyond 5 sigma left out" in result.table["reason"].iloc[0]
    without = wild.assign(radvel=wild["radvel"].where(wild["radvel"].abs() < 1e6))
    same = mi_matrix(latents, without, dims=[0], clip_sigma=None).table
    pd.testing.assert_frame_equal(
        result.table.drop(columns="reason"), same.drop(columns="reason"), check_exact=True
    )
    kept = mi_matrix(latents, wild[["radvel"]], dims=[0], clip_sigma=None)
    assert not kept.notes
    assert kept.table["n"][0] == 1500


def test_the_indicator_of_the_paper_leaves_out_the_same_rows(known):
    latents, _ = known
    heavy = pd.DataFrame({"v": np.random.default_rng(5).standard_t(1.5, size=1500)})
    indicator = paper_indicator(latents, heavy, bins=[20])
    assert set(indicator["n"]) == set(mi_matrix(latents, heavy).table["n"])


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
        "treated as classes: kind (2)",
    )
    with pytest.raises(ChoiceError, match=r"no label mass \(did you mean airmass"):
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


def test_stars_that_repeat_count_as_one(known):
    latents, labels = known
    table = pd.DataFrame({"id": np.arange(1500), "object": np.arange(1500) // 5})
    source = Latents(latents, table)
    automatic = mi_matrix(source, labels, dims=[0], columns=["radvel"])
    by_name = mi_matrix(source, labels, dims=[0], columns=["radvel"], groups="object")
    pd.testing.assert_frame_equal(by_name.table, automatic.table)
    assert "300 stars in 1,500 rows" in automatic.notes[0]
    apart = mi_matrix(source, labels, dims=[0], columns=["radvel"], groups=None)
    assert apart.table["n_groups"].iloc[0] == 1500
    by_array = mi_matrix(latents, labels, dims=[0], columns=["radvel"], groups=table["object"])
    pd.testing.assert_frame_equal(by_name.table, by_array.table)
    assert by_name.table["n_groups"].iloc[0] == 300
    assert by_name.sentences()[0].endswith("n = 1,500, 300 groups")
    assert by_name.table["mi_nats"].iloc[0] == pytest.approx(0.5 * np.log(101), abs=0.25)
    with pytest.raises(EstimatorError, match="no column 'star'"):
        mi_matrix(source, labels, groups="star")
    with_star = labels.assign(star=table["object"])
    for groups in ("star", "STAR"):
        assert mi_matrix(latents, with_star, dims=[0], groups=groups).labels == result_labels(
            labels
        )


def result_labels(labels):
    return list(labels.columns)


def test_progress_is_told(known):
    calls = []
    mi_matrix(*known, dims=[0, 1], progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 6) for i in range(1, 7)]


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


# One pair of arrays


def gaussians(rho, n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("estimator", ["auto", "copula", "ksg"])
def test_gaussians_have_their_closed_form(rho, estimator):
    x, y = gaussians(rho, 10_000)
    truth = -0.5 * np.log(1 - rho**2)
    assert mutual_information(x, y, estimator=estimator) == pytest.approx(truth, abs=0.035)


def test_perfect_useless_and_duplicated():
    rng = np.random.default_rng(1)
    x = rng.normal(size=3000)
    with pytest.warns(LatentscopeWarning, match="more than 3,000 rows can show"):
        perfect = mutual_information(x, np.exp(x))
    with pytest.warns(LatentscopeWarning, match="more than 3,000 rows can show"):
        same = mutual_information(x, x.copy())
    assert perfect > 5
    assert same == pytest.approx(perfect, abs=0.1)
    assert abs(mutual_information(x, rng.normal(size=3000))) < 0.05


def test_an_estimate_of_nothing_may_be_negative():
    values = [mutual_information(*gaussians(0, 300, seed)) for seed in range(20)]
    assert min(values) < 0 < max(values)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), power=st.sampled_from([1, 3, 5]), flip=st.booleans())
def test_monotone_maps_change_nothing_under_ranks(seed, power, flip):
    x, y = gaussians(0.7, 400, seed)
    mapped = np.sign(y) * np.abs(y) ** power * 1e4 + 7
    value = mutual_information(x, y)
    assert mutual_information(x, mapped) == value
    assert mutual_information(10 * x - 3, y) == value
    if flip:
        assert mutual_information(-x, y) == pytest.approx(value, abs=0.1)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_a_missing_value_drops_its_row(seed):
    x, y = gaussians(0.7, 300, seed)
    holes = np.random.default_rng(seed).random(300) < 0.2
    with_holes = np.where(holes, np.nan, y)
    assert mutual_information(x, with_holes, estimator="ksg") == pytest.approx(
        ksg(x[~holes], y[~holes]), abs=1e-12
    )


def test_classes_are_recognised():
    rng = np.random.default_rng(2)
    kind = rng.integers(0, 3, 3000)
    x = rng.normal(size=3000) + 2 * kind
    value = mutual_information(x, kind)
    assert 0.4 < value < np.log(3)
    names = np.array(["F", "G", "K"])[kind]
    for same in (names, pd.Categorical(names), kind.astype(float) / 2, list(names)):
        assert mutual_information(x, same) == value
    assert mutual_information(x, kind, estimator="ross") == pytest.approx(value, abs=0.01)
    assert mutual_information(names, x) == pytest.approx(value, abs=0.01)
    assert mutual_information(x, kind, discrete=False) == pytest.approx(value, abs=0.1)
    flags = kind > 0
    assert mutual_information(x, flags) == mutual_information(x, flags.astype(int))
    assert mutual_information(names, kind) == pytest.approx(np.log(3), abs=0.01)


def test_missing_classes_are_no_class():
    rng = np.random.default_rng(3)
    kind = np.array(["G", "K"], dtype=object)[rng.integers(0, 2, 1000)]
    x = rng.normal(size=1000) + (kind == "G")
    for nothing in (None, "", np.nan, "  "):
        holes = kind.copy()
        holes[:400] = nothing
        kept = mutual_information(x[400:], kind[400:])
        # The jitter of the ranks differs.
        assert mutual_information(x, holes) == pytest.approx(kept, abs=0.01)


def test_ties_neither_invent_nor_hide_information():
    rng = np.random.default_rng(4)
    x, y = gaussians(0.0, 5000, 4)
    assert abs(mutual_information(np.round(x, 1), np.round(y, 1))) < 0.03
    zero_inflated = np.where(rng.random(5000) < 0.5, 0.0, y)
    assert abs(mutual_information(x, zero_inflated)) < 0.03
    x, y = gaussians(0.8, 5000, 5)
    truth = -0.5 * np.log(1 - 0.8**2)
    assert mutual_information(np.round(x, 2), np.round(y, 2)) == pytest.approx(truth, abs=0.04)
    with pytest.warns(LatentscopeWarning, match="tied"):
        mutual_information(np.round(x, 1), np.round(y, 1), estimator="ksg")


def test_integers_and_float32_are_cast_first():
    x, y = np.multiply(1e6, gaussians(0.5, 500))
    as_integers = np.round(x).astype(np.int32)
    assert mutual_information(as_integers, y, estimator="ksg", discrete=False) == pytest.approx(
        ksg(as_integers.astype(float), y), abs=1e-12
    )
    single = x.astype(np.float32)
    assert mutual_information(single, y) == mutual_information(single.astype(float), y)


def test_several_columns_together():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(2000, 2))
    y = x.sum(axis=1) + rng.normal(size=2000)
    truth = 0.5 * np.log(3)
    for estimator in ("auto", "ksg"):
        value = mutual_information(x, y, estimator=estimator)
        assert value == pytest.approx(truth, abs=0.05)
        assert mutual_information(y, x, estimator=estimator) == pytest.approx(value, abs=0.02)
    kind = (x[:, 0] > 0).astype(int)
    assert mutual_information(x, kind) == pytest.approx(np.log(2), abs=0.05)
    holes = x.copy()
    holes[:500, 1] = np.nan
    assert mutual_information(holes, y, estimator="ksg") == pytest.approx(
        ksg(x[500:], y[500:]), abs=1e-12
    )
    assert mutual_information(x[:, :1], y) == mutual_information(x[:, 0], y)


def test_a_constant_gives_nothing_and_says_so():
    with pytest.warns(LatentscopeWarning, match="x constant"):
        assert mutual_information(np.ones(50), np.arange(50.0)) == 0
    with pytest.warns(LatentscopeWarning, match="y constant"):
        assert mutual_information(np.arange(50.0), ["a"] * 50) == 0


@pytest.mark.parametrize(
    ("x", "y", "options", "words"),
    [
        (np.arange(5.0), np.arange(6.0), {}, "x has 5 rows and y has 6"),
        (np.arange(3.0), np.arange(3.0), {}, "3 rows have both"),
        (np.arange(9.0), np.arange(9.0), {"neighbors": 0}, "neighbors is 0"),
        (np.array([1, 2, np.inf, 4, 5]), np.arange(5.0), {}, "x: 1 of 5 values are infinite"),
        (np.arange(5.0), np.arange(5.0), {"estimator": "mine"}, "mine.*auto, ksg"),
        (np.arange(5.0), list("abcde"), {"estimator": "ksg"}, "y: holds .* not numbers"),
        (np.zeros((2, 2, 2)), np.arange(2.0), {}, "x has shape"),
        (np.arange(0.0), np.arange(0.0), {}, "not empty"),
        (np.zeros((9, 2)), np.zeros(9), {"estimator": "plugin"}, "plugin takes single columns"),
        (np.zeros((3, 2)), np.zeros(3), {}, "3 rows have both x and y"),
    ],
)
def test_what_has_no_answer_is_refused(x, y, options, words):
    with pytest.raises(EstimatorError, match=words):
        mutual_information(x, y, **options)


@pytest.mark.parametrize("options", [{"estimator": "ross"}, {"discrete": True}])
def test_classes_in_several_columns_are_refused(options):
    x, y = np.arange(40.0), np.arange(80).reshape(40, 2) % 3
    with pytest.raises(EstimatorError, match=r"y has shape \(40, 2\).*classes"):
        mutual_information(x, y, **options)


def test_a_seed_below_0_is_refused():
    with pytest.raises(EstimatorError, match="seed is -1"):
        mutual_information(np.arange(9.0), np.arange(9.0), seed=-1)


# Dimensions against one another


@pytest.fixture(scope="module")
def correlated():
    """Dimensions 0 and 2 have a correlation of 0.9; 1 and 3 stand alone, 4 is switched off."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2000, 5))
    values[:, 2] = 0.9 * values[:, 0] + np.sqrt(1 - 0.81) * values[:, 2]
    values[:, 4] *= 1e-3
    return values


@pytest.fixture(scope="module")
def pairwise(correlated):
    return pairwise_mi(correlated)


def test_the_table_of_pairs_is_tidy(pairwise):
    assert list(pairwise.table.columns) == [
        "dim_x", "dim_y", "mi_nats", "std_nats", "p_value", "q_value", "n", "n_groups",
        "estimator", "reason",
    ]  # fmt: skip
    pairs = list(zip(pairwise.table["dim_x"], pairwise.table["dim_y"], strict=True))
    assert pairs == [(i, j) for i in range(5) for j in range(i + 1, 5)]
    assert pairwise.provenance["diagnostic"] == "pairwise mutual information"
    assert pairwise.provenance["dims"] == pairwise.dims == [0, 1, 2, 3, 4]


def test_it_finds_the_pair_and_nothing_else(pairwise):
    assert list(pairwise.significant["dim_x"]) == [0]
    assert list(pairwise.significant["dim_y"]) == [2]
    assert pairwise.matrix.loc[0, 2] == pytest.approx(-0.5 * np.log(1 - 0.81), abs=0.06)
    assert pairwise.sentences(3)[0].startswith("dims 0 and 2: 0.8")
    assert len(pairwise.sentences(3)) == 3
    assert len(pairwise.sentences(3, significant=True)) == 1


def test_the_matrix_is_symmetric_without_a_diagonal(pairwise):
    matrix = pairwise.matrix
    assert list(matrix.index) == list(matrix.columns) == pairwise.dims
    np.testing.assert_array_equal(matrix, matrix.T)
    assert np.isnan(np.diag(matrix)).all()
    assert np.isfinite(matrix.to_numpy()[~np.eye(5, dtype=bool)]).all()


def test_a_pair_is_what_mi_matrix_says_of_it(correlated, pairwise):
    of_label = mi_matrix(correlated, correlated[:, 2:3], dims=[0], clip_sigma=None).table[
        "mi_nats"
    ][0]
    assert pairwise.matrix.loc[0, 2] == pytest.approx(of_label, abs=0.02)


def test_a_value_is_blind_to_what_else_is_measured(correlated, pairwise):
    some = pairwise_mi(correlated, dims=[3, 1])
    assert len(some.table) == 1
    assert some.matrix.loc[1, 3] == pairwise.matrix.loc[1, 3]
    assert pairwise_mi(correlated, dims="informative").dims == [0, 1, 2, 3]


def test_wrong_dims_are_named(correlated):
    with pytest.raises(ChoiceError, match=r"dims \[9\]"):
        pairwise_mi(correlated, dims=[1, 9])
    with pytest.raises(EstimatorError, match="1 dimension to compare"):
        pairwise_mi(correlated, dims=[1])


def test_pairs_of_stars_that_repeat(correlated):
    named = Latents(correlated, pd.DataFrame({"star": np.arange(2000) // 4}))
    assert list(pairwise_mi(named, dims=[0, 1]).table["n_groups"]) == [500]
    assert list(pairwise_mi(named, dims=[0, 1], groups="none").table["n_groups"]) == [2000]


def test_constant_dimensions_give_0_and_a_warning(correlated):
    flat = np.column_stack([correlated[:, :2], np.ones(2000)])
    with pytest.warns(LatentscopeWarning, match="constant, hence .*: dim 2"):
        table = pairwise_mi(flat).table
    assert list(table["mi_nats"])[1:] == [0, 0]


def test_it_is_a_public_name():
    assert latentscope.pairwise_mi is pairwise_mi


def test_several_columns_and_classes_of_one_row_each_are_refused():
    x = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(EstimatorError, match="y: 0 rows share their class"):
        mutual_information(x, x[:, 0], estimator="ross")


def test_copied_rows_are_told():
    x, y = np.random.default_rng(2).normal(size=(2, 700))
    with pytest.warns(LatentscopeWarning, match="1,400 of 2,100 rows are copies"):
        mutual_information(np.repeat(x, 3), np.repeat(y, 3))
    # Ties of either alone, and of both where they are rounded, are no copies.
    mutual_information(np.repeat(x, 3), np.random.default_rng(3).normal(size=2100))
    mutual_information(np.round(x, 1), np.round(y, 1))


def test_two_series_are_matched_by_their_indexes():
    x, noise = np.random.default_rng(2).normal(size=(2, 1000))
    frame = pd.DataFrame({"x": x, "y": x + noise})
    expected = mutual_information(frame["x"], frame["y"])
    shuffled = frame["y"].sample(frac=1, random_state=0)
    with pytest.warns(LatentscopeWarning, match="matched by their indexes, 1,000 rows"):
        assert mutual_information(frame["x"], shuffled) == expected
    with pytest.warns(LatentscopeWarning, match="900 rows"):
        found = mutual_information(frame["x"], shuffled[:900])
    assert found == pytest.approx(expected, abs=0.06)
    with pytest.raises(TableError, match="reset_index"):
        mutual_information(frame["x"], shuffled.set_axis(np.arange(500, 1500)))
    with pytest.raises(TableError, match="repeats"):
        mutual_information(frame["x"], shuffled.set_axis(np.arange(1000) % 500))
    # Plain arrays, and an index that only counts rows that the other does not have.
    named = shuffled.set_axis([f"HD {i}" for i in range(1000)])
    assert abs(mutual_information(frame["x"], named)) < 0.1
    assert abs(mutual_information(x, shuffled)) < 0.1


def test_conditions_are_matched_by_their_index():
    x, noise = np.random.default_rng(2).normal(size=(2, 1000))
    frame = pd.DataFrame({"x": x, "y": x + noise, "known": x + noise})
    expected = mutual_information(frame["x"], frame["y"], given=frame["known"])
    for rows in (frame["known"].sample(frac=1, random_state=0), frame["known"][::-1][:900]):
        with pytest.warns(LatentscopeWarning, match="x and given are matched by their indexes"):
            found = mutual_information(frame["x"], frame["y"], given=rows)
        assert found == pytest.approx(expected, abs=0.05 * (len(rows) < 1000))
    with pytest.warns(LatentscopeWarning, match="y and given are matched"):
        found = mutual_information(x, frame["y"], given=frame["known"].sample(frac=1))
    assert found == expected


@pytest.mark.parametrize("form", [">f8", ">i4", ">f4"])
def test_values_of_the_other_byte_order_are_the_same(form):
    x, y = (1000 * np.random.default_rng(2).normal(size=(2, 500))).astype(form)
    own = x.astype(form[1:])
    assert mutual_information(x, x + y) == mutual_information(own, x + y)


@pytest.mark.parametrize("of", ["numpy", "astropy", "column", "pandas"])
def test_masked_values_are_missing(of):
    from astropy.table import MaskedColumn
    from astropy.utils.masked import Masked

    x, noise = np.random.default_rng(2).normal(size=(2, 1000))
    y, mask = x + noise, np.arange(1000) % 10 == 0
    expected = mutual_information(x, np.where(mask, np.nan, y))
    y[mask] = 100.0 * np.arange(mask.sum())
    masked = {
        "numpy": lambda: np.ma.array(y, mask=mask),
        "astropy": lambda: Masked(y, mask=mask),
        "column": lambda: MaskedColumn(y, mask=mask),
        "pandas": lambda: pd.array(np.where(mask, None, y), dtype="Float64"),
    }[of]()
    assert mutual_information(x, masked) == expected
    found = mi_matrix(x[:, None], pd.DataFrame({"y": masked}) if of == "pandas" else masked)
    np.testing.assert_array_equal(found.table["n"], [900])
    assert mutual_information(masked, x) == pytest.approx(expected, abs=0.05)


def test_without_labels_it_asks_how_the_spectra_were_observed():
    rng = np.random.default_rng(5)
    fiber = rng.integers(2, size=400)
    table = pd.DataFrame(
        {
            "id": np.arange(400).astype(str),
            "instrument": "HARPS",
            "mode": np.where(fiber, "EGGS", "HARPS"),
            "airmass": 1 + rng.exponential(0.3, 400),
        }
    )
    values = np.column_stack([fiber + 0.1 * rng.normal(size=400), rng.normal(size=400)])
    result = mi_matrix(Latents(values, table))
    assert [(row.label, row.dim) for row in result.significant.itertuples()] == [("mode", 0)]
    best = result.significant.iloc[0]
    # A fair coin that is known.
    assert best["mi_nats"] == pytest.approx(np.log(2), abs=0.05)
    assert "the same in all rows: instrument" in result.notes
    assert any("program, mjd, exptime, berv, snr" in note for note in result.notes)
    with pytest.raises(EstimatorError, match="encode again"):
        mi_matrix(Latents(values, table[["id", "instrument"]]))
    with pytest.raises(EstimatorError, match="no labels were given"):
        mi_matrix(values)
