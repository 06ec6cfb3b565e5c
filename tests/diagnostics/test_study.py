"""One reading for all diagnostics: rows, stars, dimensions; and what is said of missing names."""

import warnings

import numpy as np
import pandas as pd
import pytest

from latentscope.data import Latents, write_latents
from latentscope.diagnostics.activity import mad
from latentscope.diagnostics.disentanglement import metrics
from latentscope.diagnostics.exclusive import exclusive_information
from latentscope.diagnostics.mi.api import mi_matrix, pairwise_mi
from latentscope.diagnostics.retrieval import Retriever
from latentscope.diagnostics.robustness import robustness
from latentscope.diagnostics.study import Study, find_groups, read_study
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning, TableError

N = 300


@pytest.fixture
def values():
    return np.random.default_rng(5).normal(size=(N, 1))


def stars(rows=3):
    return pd.Series([f"HD{i // rows}" for i in range(N)])


@pytest.mark.parametrize("name", ["star", "object"])
def test_an_empty_sidecar_column_is_filled_from_the_labels(values, name):
    sidecar = pd.DataFrame({"id": range(N), name: [None] * N})
    labels = pd.DataFrame({"v": np.arange(N, dtype=float), name: stars()})
    table = mi_matrix(Latents(values, sidecar), labels, groups=name).table
    assert list(table["n_groups"]) == [100]


def test_the_sidecar_goes_first_row_by_row(values):
    sidecar = pd.DataFrame({"star": stars().where(stars().index < 150)})
    labels = pd.DataFrame({"star": ["other"] * N})
    groups, _ = find_groups("star", Latents(values, sidecar), labels)
    assert groups.count(np.arange(N) < 150) == 50
    assert groups.count(np.arange(N) >= 150) == 1


def test_star_is_filled_from_object(values):
    sidecar = pd.DataFrame({"star": [None] * N, "object": stars()})
    groups, _ = find_groups("star", Latents(values, sidecar), pd.DataFrame({"v": range(N)}))
    assert groups.repeated == 200


def test_no_name_at_all_is_an_error(values):
    sidecar = pd.DataFrame({"star": [None] * N})
    labels = pd.DataFrame({"v": range(N), "star": [""] * N})
    with pytest.raises(EstimatorError, match="'star' names none of 300 rows"):
        mi_matrix(Latents(values, sidecar), labels, groups="star")
    with pytest.raises(EstimatorError, match="array names none"):
        mi_matrix(values, labels[["v"]], groups=[None] * N)


def test_a_column_that_is_not_there_is_a_wrong_choice(values):
    with pytest.raises(ChoiceError, match=r"groups: no column 'nosuch'.*the labels have v"):
        find_groups("nosuch", Latents(values), pd.DataFrame({"v": range(N)}))


def test_rows_without_a_name_are_counted_but_for_failed_ones(values):
    values[:20] = np.nan
    names = stars()
    names[:30] = None
    with pytest.warns(LatentscopeWarning, match="10 of 280 rows with latents have no name"):
        groups, _ = find_groups("star", Latents(values), pd.DataFrame({"star": names}))
    assert groups.count(np.arange(N) < 30) == 30


def test_a_sparse_label_is_nan_and_leaves_the_others(values):
    sparse = np.full(N, np.nan)
    sparse[[0, 1, 2, 3, 4, 5]] = np.arange(6)
    labels = pd.DataFrame({"v": np.arange(N, dtype=float), "sparse": sparse})
    with pytest.warns(LatentscopeWarning, match="1 of 2 pairs are NaN.* sparse"):
        result = mi_matrix(values, labels, groups=stars())
    row = result.table.set_index("label").loc["sparse"]
    assert np.isnan([row["mi_nats"], row["std_nats"], row["p_value"], row["q_value"]]).all()
    assert (row["n"], row["n_groups"]) == (6, 2)
    assert row["reason"].endswith("2 groups have both; expected more than neighbors=3")
    assert np.isfinite(result.matrix.loc["v", 0])
    assert list(result.best["label"]) == ["v"]
    assert len(result.sentences()) == 1
    with pytest.raises(EstimatorError, match="2 groups have both"):
        mi_matrix(values, labels, groups=stars(), columns=["v", "sparse"])
    with (
        pytest.warns(LatentscopeWarning),
        pytest.raises(
            EstimatorError,
            match=r"no pair could be measured.*groups have both; expected more than neighbors=3",
        ),
    ):
        mi_matrix(values, labels.assign(empty=np.nan)[["sparse", "empty"]], groups=stars())


class TwiceSeen:
    """120 stars with two spectra each: a label that is constant a star, independent of latents.

    Of one star the latents are alike, so that a shuffle of spectra takes the label for known.
    """

    def __init__(self):
        rng = np.random.default_rng(3)
        self.star = np.repeat([f"HD{i}" for i in range(120)], 2)
        values = np.repeat(rng.normal(size=(120, 2)), 2, axis=0)
        self.values = values + 0.01 * rng.normal(size=values.shape)
        self.label = np.repeat(rng.normal(size=120), 2)


@pytest.fixture(scope="module")
def twice():
    return TwiceSeen()


@pytest.mark.parametrize("where", ["sidecar", "labels", "empty star"])
@pytest.mark.parametrize("column", ["object", "OBJECT"])
def test_rows_of_one_star_count_once_without_being_told(twice, where, column):
    names = {column: twice.star}
    labels = pd.DataFrame({"v": twice.label, **(names if where == "labels" else {})})
    sidecar = {"empty star": pd.DataFrame({"star": [None] * 240, **names})}
    sidecar |= {"sidecar": pd.DataFrame(names), "labels": None}
    latents = Latents(twice.values, sidecar[where])
    result = mi_matrix(latents, labels)
    assert (result.table["p_value"] > 0.01).all()
    assert result.table["mi_nats"].abs().max() < 0.15
    assert list(result.table["n_groups"]) == [120, 120]
    assert result.provenance["groups"] == "object"
    assert "column object" in result.notes[0]
    assert "120 stars in 240 rows" in result.notes[0]
    named = mi_matrix(latents, labels, groups="object")
    pd.testing.assert_frame_equal(named.table, result.table)
    assert not any("120 stars" in note for note in named.notes)


@pytest.mark.parametrize("off", [None, "none"])
def test_none_takes_rows_for_independent(twice, off):
    latents = Latents(twice.values, pd.DataFrame({"star": twice.star}))
    labels = pd.DataFrame({"v": twice.label})
    table = mi_matrix(latents, labels, groups=off).table
    assert table["mi_nats"].max() > 0.25
    assert (table["p_value"] < 0.01).all()


def test_every_diagnostic_finds_the_stars_and_takes_a_study(twice):
    latents = Latents(twice.values, pd.DataFrame({"star": twice.star}))
    labels = pd.DataFrame({"v": twice.label})
    study = read_study(latents, labels)
    assert read_study(study) is study
    assert read_study(study, dims=[1]).choose("all") == [1]

    calls = {
        "mi": lambda *given: mi_matrix(*given).table,
        "pairwise": lambda *given: pairwise_mi(given[0]).table,
        "exclusive": lambda *given: exclusive_information(given[0]).table,
        "metrics": lambda *given: metrics(*given, n_halves=0).table,
        "robustness": lambda *given: robustness(*given, n_draws=3).table,
    }
    for measure in calls.values():
        pd.testing.assert_frame_equal(measure(study), measure(latents, labels))
    samples = robustness(study, n_draws=3)
    assert "one per star" in set(samples.mad["sample"])
    assert samples.mad["n_stars"].iloc[0] == 120
    assert pairwise_mi(latents).provenance["groups"] == "star"
    assert "120 stars" in exclusive_information(latents).provenance["groups_found"]
    (asked,), (plain,) = Retriever(study).queries([0]), Retriever(latents).queries([0])
    assert asked.name == plain.name


def test_a_study_has_its_own_labels_groups_and_join(twice):
    study = read_study(twice.values, twice.label)
    for given in ({"labels": twice.label}, {"groups": twice.star}, {"join": "id"}):
        with pytest.raises(ChoiceError):
            read_study(study, **given)
    with pytest.raises(EstimatorError):
        mi_matrix(twice.values)


def test_some_rows_of_a_study_keep_labels_stars_and_dims(twice):
    latents = Latents(twice.values, pd.DataFrame({"star": twice.star}), provenance={"model": "m"})
    study = read_study(latents, pd.DataFrame({"v": twice.label}), dims=[1])
    rows = np.array([7, 3, 6, 200])
    part = study.take(rows)
    assert part.latents.values == pytest.approx(twice.values[rows])
    assert part.labels["v"].to_numpy() == pytest.approx(twice.label[rows])
    assert part.groups.codes.tolist() == [0, 1, 0, 2]
    assert part.latents.table["star"].tolist() == twice.star[rows].tolist()
    assert (part.choose("all"), part.choose("informative"), part.choose([0])) == ([1], [1], [0])
    assert part.latents.provenance == {"model": "m"}


def test_stars_that_do_not_repeat_are_no_groups(values):
    latents = Latents(values, pd.DataFrame({"star": [f"HD{i}" for i in range(N)]}))
    study = read_study(latents)
    assert study.groups is None
    assert study.notes == ()
    assert study.stars.count(latents.ok) == N


def test_a_star_of_which_all_rows_but_one_failed_does_not_repeat(values):
    values[1::2] = np.nan
    assert read_study(Latents(values, pd.DataFrame({"star": stars(2)}))).groups is None


def test_few_stars_are_told_and_rows_taken(values):
    latents = Latents(values, pd.DataFrame({"object": stars(30)}))
    with pytest.warns(LatentscopeWarning, match="only 10 stars, by column object"):
        study = read_study(latents)
    assert study.groups is None
    assert "only 10 stars" in study.notes[0]
    assert read_study(latents, groups="object").groups.count(latents.ok) == 10


@pytest.mark.parametrize("name", ["gaia_id", "GAIA_ID", "Target"])
def test_names_that_repeat_are_told_where_no_column_names_stars(values, name):
    sidecar = pd.DataFrame({name: stars()})
    with pytest.warns(LatentscopeWarning, match=f"200 of 300 rows repeat a value of '{name}'"):
        assert read_study(Latents(values, sidecar)).groups is None


def with_own_threshold():
    rng = np.random.default_rng(1)
    scale = np.repeat([1.0, 0.2, 0.001], [4, 4, 8])
    return Latents(rng.normal(size=(400, 16)) * scale, provenance={"mad_threshold": 0.5})


def test_the_threshold_of_the_model_decides_what_is_informative():
    latents = with_own_threshold()
    first = [0, 1, 2, 3]
    labels = latents.values[:, :2] + 0.1
    assert mad(latents).informative.tolist() == first
    assert mad(latents, threshold=0.02).informative.tolist() == list(range(8))
    assert mad(latents.values).informative.tolist() == list(range(8))
    assert mi_matrix(latents, labels, dims="informative").dims == first
    assert pairwise_mi(latents, dims="informative").dims == first
    assert metrics(latents, labels, n_halves=0).provenance["dims"] == first
    result = robustness(latents, labels, n_draws=3)
    assert result.provenance["dims"] == first
    assert set(result.mad["informative"]) == {4}
    assert Retriever(latents).space.dims == first


@pytest.mark.parametrize("value", ["0.5", -1, np.nan, True])
def test_a_threshold_that_is_no_number_is_an_error(value):
    latents = Latents(np.ones((3, 2)), provenance={"mad_threshold": value}, source="l.npy")
    with pytest.raises(TableError, match=r"l\.npy: mad_threshold"):
        _ = latents.mad_threshold


def test_the_deviations_are_those_of_mad():
    latents = with_own_threshold()
    assert np.array_equal(Study(latents).deviations, mad(latents).values)


def labeled(n=1000):
    """A latent that is independent of a label, and codes where the latent is large."""
    rng = np.random.default_rng(3)
    values, label = rng.normal(size=(n, 2)), rng.normal(10, 1, n)
    label[values[:, 0] > 1] = -999
    return values, pd.DataFrame({"magnitude": label, "other": rng.normal(size=n)})


def test_values_that_stand_for_missing_ones_are_left_out_and_told():
    values, labels = labeled()
    count = int((labels["magnitude"] == -999).sum())
    with pytest.warns(LatentscopeWarning, match=rf"magnitude -999 \({count} rows\).*none") as told:
        found = mi_matrix(values, labels, seed=1)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert abs(found.matrix.loc["magnitude", 0]) < 0.05
    assert found.table["n"][0] == len(values) - count
    assert f"magnitude -999 ({count} rows)" in found.notes[0]
    assert found.provenance["missing"] == {"magnitude": {-999: count}}


def test_missing_values_are_named_or_kept(recwarn):
    values, labels = labeled()
    kept = mi_matrix(values, labels, missing="none", clip_sigma=None)
    assert kept.matrix.loc["magnitude", 0] > 0.2
    assert kept.table["n"].tolist() == [1000] * 4
    named = mi_matrix(values, labels, missing=[-999], clip_sigma=None)
    assert named.table["n"][0] < 1000
    assert "missing" in named.provenance
    assert not recwarn
    study = read_study(values, labels, missing=[-999])
    assert study.labels["magnitude"].isna().any()
    with pytest.raises(ChoiceError, match="beside a study"):
        mi_matrix(study, missing=[-999])


@pytest.mark.parametrize("kind", ["csv", "npy"])
def test_labels_in_the_place_of_latents_are_refused(tmp_path, kind):
    values, labels = labeled()
    labels.to_csv(tmp_path / "labels.csv", index=False)
    if kind == "npy":
        write_latents(Latents(values), tmp_path / "latents.npy")
    else:
        frame = pd.DataFrame(values, columns=["z0", "z1"])
        frame.to_csv(tmp_path / "latents.csv", index=False)
    latents = tmp_path / f"latents.{kind}"
    refused = pytest.raises(TableError, match=rf"latents first: .*latents\.{kind} .*labels\.csv")
    with pytest.warns(LatentscopeWarning, match="no column is named as a dimension"), refused:
        mi_matrix(tmp_path / "labels.csv", latents)


def test_what_only_looks_like_labels_in_the_place_of_latents_is_told(recwarn):
    values, labels = labeled()
    labels["magnitude"] = labels["other"] ** 2
    read_study(pd.DataFrame(values, columns=["emb_0", "emb_1"]), labels)
    read_study(values, values)
    assert not recwarn
    with pytest.warns(LatentscopeWarning, match="other way round"):
        read_study(labels, values)


@pytest.mark.parametrize("change", ["copies", "shuffled", "nearly", "rounded"])
def test_copies_of_rows_count_as_one(change):
    rng = np.random.default_rng(4)
    values, label = rng.normal(size=(700, 4)), rng.normal(size=700)
    if change == "rounded":
        values, label = values.round(2), label.round(1)
    rows = np.repeat(np.arange(700), 3)
    if change == "shuffled":
        rows = rng.permutation(rows)
    copies = values[rows].astype(np.float32)
    if change == "nearly":
        copies[::3] *= 1 + 2e-7
    labels = pd.DataFrame({"v": label[rows]})
    with pytest.warns(LatentscopeWarning, match=r"1,400 of 2,100 rows .*none") as told:
        result = mi_matrix(copies, labels)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert result.table["mi_nats"].abs().max() < 0.1
    assert (result.table["p_value"] > 0.01).all()
    assert set(result.table["n_groups"]) == {700}
    assert "700 groups" in result.notes[0]
    many = mi_matrix(copies, labels, groups="none")
    assert many.table["mi_nats"].max() > 1
    if change in ("copies", "shuffled"):
        assert many.notes[-1].startswith("above ln n = 7.65")


@pytest.mark.parametrize("decimals", [1, 2])
@pytest.mark.parametrize("dims", [1, 2, 3, 8])
def test_rounded_rows_are_no_copies(decimals, dims, recwarn):
    values = np.random.default_rng(5).normal(size=(3000, dims)).round(decimals)
    for kind in (np.float64, np.float32, np.float16):
        assert read_study(values.astype(kind)).groups is None
    classes = np.random.default_rng(5).integers(0, 3, size=(1000, dims))
    assert read_study(classes).groups is None
    assert not recwarn


@pytest.mark.parametrize("dims", [1, 2, 8])
def test_few_copies_and_unused_dimensions(dims):
    values = np.random.default_rng(5).normal(size=(1000, dims))
    for share, found in ((5, False), (100, True)):
        again = np.concatenate([values, values[:share]])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert (read_study(again).groups is not None) is found
        assert bool(told) is found
    with pytest.warns(LatentscopeWarning, match="2,000 of 3,000"):
        read_study(np.column_stack([np.zeros(3000), np.repeat(values, 3, axis=0)]))
    # A column of stars says it better, whatever is copied.
    table = pd.DataFrame({"star": [f"HD{i // 4}" for i in range(3000)]})
    study = read_study(Latents(np.repeat(values, 3, axis=0), table))
    assert study.groups.column == "star"


@pytest.mark.parametrize(
    ("dims", "chosen"),
    [
        ([2, 0], [0, 2]),
        (np.array([True, False, True, False]), [0, 2]),
        ([False, False, False, True], [3]),
        (pd.Series([1, 3]), [1, 3]),
        ((1.0, np.int8(2)), [1, 2]),
        (range(4), [0, 1, 2, 3]),
        (np.float32([3]), [3]),
        (None, [0, 1, 2, 3]),
    ],
)
def test_dimensions_are_numbers_or_a_mask(dims, chosen):
    assert read_study(np.random.default_rng(0).normal(size=(50, 4))).choose(dims) == chosen


@pytest.mark.parametrize(
    ("dims", "named"),
    [
        ([True, False, True], "mask of 3"),
        ([False] * 4, "mask of 4"),
        ([1.7], "1.7"),
        ([0, -1], "-1"),
        ([0, 4], "4"),
        ([1, 2, 1], r"\[1\] given more than once"),
        ([0, np.nan], "nan"),
        (["0"], "'0'"),
        ([1, None], "None"),
        ([], "shape"),
        ([[0, 1]], "shape"),
    ],
)
def test_other_dimensions_are_refused_by_name(dims, named):
    study = read_study(np.random.default_rng(0).normal(size=(50, 4)))
    with pytest.raises(ChoiceError, match=rf"^dims .*{named}.*latents"):
        study.choose(dims)


@pytest.mark.parametrize("groups", ["auto", "object", "array"])
def test_spellings_of_a_name_are_one_star(groups):
    names = pd.Series([f"HD {row // 4}" if row % 2 else f"hd{row // 4}" for row in range(120)])
    latents = Latents(np.random.default_rng(0).normal(size=(120, 2)), names.to_frame("object"))
    study = read_study(latents, groups=names if groups == "array" else groups)
    assert study.stars.count(latents.ok) == 30
    assert ("one star: hd0, HD 0" in study.groups_found) == (groups != "array")


def test_catalogs_are_spelled_in_several_ways_but_other_columns_are_not_names():
    stars = pd.Series([f"Gl {row // 4}" if row % 2 else f"GJ{row // 4:04d}" for row in range(120)])
    fibers = pd.Series([f"{row // 60}_{row}" for row in range(120)])
    latents = Latents(
        np.random.default_rng(0).normal(size=(120, 2)), pd.DataFrame({"star": stars, "at": fibers})
    )
    assert read_study(latents).stars.count(latents.ok) == 30
    assert read_study(latents, groups="at").stars.count(latents.ok) == 120
    assert Retriever(latents).query(0).queries["left_out"].tolist() == [4]
