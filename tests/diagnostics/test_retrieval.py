"""Retrieval: what is asked, whose rows are left out, what is said of matches and refused."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from latentscope import Latents, Retriever, retrieve
from latentscope.diagnostics.retrieval import percentiles
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning, TableError
from tests.diagnostics.retrieval_cases import line, near, sample


def test_rows_by_number_by_name_and_by_value_are_the_same():
    latents = sample()
    expected = retrieve(5, latents).table
    for query in ("exposure-5", "exposure-5.fits", ["exposure-5"], [5], np.array([5])):
        pd.testing.assert_frame_equal(retrieve(query, latents).table, expected)
    by_value = retrieve(latents.values[5], latents, n_matches=3)
    assert by_value.table["row"].tolist()[0] == 5
    same = retrieve(5, latents, n_matches=2, same_star=True).table["row"]
    assert by_value.table["row"].tolist()[1:] == same.tolist()
    assert by_value.queries["query"].tolist() == ["query 0"]
    assert by_value.queries["row"].isna().all()


def test_queries_of_every_kind_in_one_list():
    latents = sample()
    result = retrieve([3, "exposure-4", latents.values[5:7], Latents(latents.values[7:8])], latents)
    assert result.queries["query"].tolist() == [
        "exposure-3", "exposure-4", "query 0", "query 1", "query 0",
    ]  # fmt: skip
    assert result.queries["matches"].tolist() == [10] * 5
    mixed = retrieve([latents.values[5], 3], latents)
    assert mixed.queries["query"].tolist() == ["query 0", "exposure-3"]


def other(latents, rows, **columns):
    """Rows of latents as if encoded again."""
    table = latents.table.iloc[rows].assign(file="elsewhere.fits", **columns)
    return Latents(latents.values[rows], table.reset_index(drop=True))


def test_other_latents_do_not_find_their_own_exposure_nor_their_star():
    latents = sample()
    result = retrieve(other(latents, [7]), latents, n_matches=60)
    assert not set(result.table["row"]) & {7, 27, 47}
    assert result.queries.loc[0, ["query", "row", "left_out"]].tolist() == ["exposure-7", 7, 3]
    assert result.queries.loc[0, "file"] == "elsewhere.fits"
    same = retrieve(other(latents, [7]), latents, n_matches=60, same_star=True)
    assert set(same.table["row"].head(2)) == {27, 47}
    assert 7 not in set(same.table["row"])


def test_an_exposure_is_known_by_its_archive_id_too():
    latents = sample(archive_id=[f"A{i}" for i in range(60)])
    query = other(latents, [7], id="renamed", object=None)
    result = retrieve(query, latents, n_matches=60)
    assert not set(result.table["row"]) & {7, 27, 47}


def test_an_exposure_that_the_sample_lacks_leaves_out_its_star():
    latents = sample()
    result = retrieve(other(latents, [7], id="new"), latents, n_matches=60)
    assert result.queries.loc[0, "left_out"] == 3
    assert pd.isna(result.queries.loc[0, "row"])
    stranger = retrieve(other(latents, [7], id="new", object="T7"), latents, n_matches=60)
    assert stranger.queries.loc[0, "left_out"] == 0
    assert any("new: of a star that no row is known to show" in note for note in stranger.notes)


def test_a_failed_row_of_other_latents_says_why():
    latents = sample()
    query = other(latents, [1, 2], error=["not a spectrum", None])
    query.values[0] = np.nan
    assert retrieve(query, latents).failed == [("exposure-1", "not a spectrum")]


def test_a_name_of_several_rows_is_refused_but_its_rows_can_be_asked_for():
    latents = line([0, 1, 2], id=["a", "a", "b"])
    with pytest.raises(ChoiceError, match=r"2 rows are named 'a' \(0, 1\)"):
        near(latents, "a")
    assert near(latents, 0).table["row"].tolist() == [1, 2]


def test_names_need_a_table():
    with pytest.raises(ChoiceError, match="a table of ids, which it does not have"):
        near(line([0, 1]), "a")


def test_other_rows_of_the_same_star_are_left_out_by_default():
    latents = sample()
    result = retrieve(7, latents, n_matches=60)
    assert not set(result.table["row"]) & {7, 27, 47}
    assert len(result.table) == 57
    assert result.queries.loc[0, "left_out"] == 3
    assert result.table["distance"].is_monotonic_increasing


def test_same_star_finds_them_first_but_never_the_query_itself():
    result = retrieve(7, sample(), n_matches=2, same_star=True)
    assert set(result.table["row"]) == {27, 47}
    assert result.queries.loc[0, "left_out"] == 1


def test_star_comes_before_object_and_is_filled_from_it():
    latents = line([0, 1, 2, 3], object=["a", "b", "c", "d"], star=["x", "x", None, "d"])
    assert near(latents, 0).table["row"].tolist() == [2, 3]
    assert near(latents, 0, groups="object").table["row"].tolist() == [1, 2, 3]


def test_groups_as_an_array_and_from_the_labels():
    latents = line([0, 1, 2, 3], id=list("abcd"))
    assert near(latents, 0, groups=[1, 1, 1, 2]).table["row"].tolist() == [3]
    labels = pd.DataFrame({"id": list("dcba"), "cluster": ["q", "p", "r", "p"]})
    result = near(latents, 0, labels=labels, groups="cluster")
    assert result.table["row"].tolist() == [1, 3]


def test_rows_whose_star_is_not_known_are_all_found():
    latents = line([0, 1, 2], object=[None, None, "b"])
    assert near(latents, 0).table["row"].tolist() == [1, 2]


def test_where_no_star_is_known_a_note_says_so():
    assert any("no column says which star" in note for note in near(line([0, 1, 2]), 0).notes)
    assert near(line([0, 1], object=["a", "b"]), 0).notes == ()


def test_one_row_per_star():
    result = retrieve([0, 1], sample(), n_matches=50, one_per_star=True)
    for query in (0, 1):
        stars = result.matches(query)["object"]
        assert len(stars) == stars.nunique() == 19
    every = retrieve(0, sample(), n_matches=57).table.drop_duplicates("object")
    assert every["row"].tolist() == result.matches(0)["row"].tolist()


def test_rows_of_nan_never_match_and_cannot_be_asked_for():
    latents = sample()
    latents.values[[3, 9]] = np.nan
    result = retrieve([3, 4, 9], latents, n_matches=60)
    assert not set(result.table["row"]) & {3, 9}
    assert result.queries["matches"].tolist() == [0, 55, 0]
    assert [name for name, _ in result.failed] == ["exposure-3", "exposure-9"]
    assert "NaN" in result.failed[0][1]
    assert result.notes[0] == "2 rows of NaN left out"
    assert result.matches(0).empty
    assert len(result.matches(1)) == 55
    with pytest.raises(EstimatorError, match=r"no query can be answered: exposure-3.*NaN"):
        retrieve(3, latents)


def test_a_sample_of_one_star_has_no_other():
    with pytest.raises(EstimatorError):
        near(line([0, 1], object=["a", "a"]), 0)
    result = near(line([0, 1], object=["a", "a"]), 0, same_star=True)
    assert result.table["row"].tolist() == [1]


def test_equally_near_rows_come_in_their_order():
    assert near(line([5, 6, 4, 6, 4, 5]), 0, n_matches=5).table["row"].tolist() == [5, 1, 2, 3, 4]


def test_distances_differences_and_reasons_by_hand():
    latents = Latents(np.array([[0.0, 0, 0], [0.3, -2, 0.5], [10, 10, 10], [-10, -10, -10]]))
    result = near(latents, 0, n_matches=1)
    match = result.table.iloc[0]
    assert match["distance"] == pytest.approx(np.sqrt(0.09 + 4 + 0.25))
    assert result.differences.to_numpy().tolist() == [[0.3, -2, 0.5]]
    assert match["agree"] == 2
    assert match["differ"] == "1 (-2.00), 2 (+0.50), 0 (+0.30)"
    assert result.profiles.shape == (1, 3)
    assert result.band.loc[0, "low"] < 0 < result.band.loc[0, "high"]


def test_differences_are_in_spreads():
    values = np.random.default_rng(1).normal(0, [1, 100, 0.01], size=(500, 3))
    result = Retriever(values, dims="all", spread="plain").query(0, 1)
    row = int(result.table.loc[0, "row"])
    expected = (values[row] - values[0]) / values.std(axis=0)
    assert result.differences.to_numpy()[0] == pytest.approx(expected)
    assert result.table.loc[0, "distance"] == pytest.approx(np.linalg.norm(expected))


def test_percentile_is_the_share_of_spectra_that_have_a_nearer_match():
    # Nearest distances of the rows: 1, 1, 2, 2, 4.
    retriever = Retriever(line([0, 1, 10, 12, 16]), dims="all", spread="none")
    assert retriever.usual.tolist() == [1, 1, 2, 2, 4]
    found = retriever.query(np.array([[13.0]]), 5).table
    assert found["distance"].tolist() == [1, 3, 3, 12, 13]
    assert found["percentile"].tolist() == pytest.approx([20, 80, 80, 100, 100])


def test_what_is_usual_follows_the_same_rules_as_the_search():
    latents = sample()
    others = Retriever(latents).usual
    assert len(others) == 20  # one row per star
    assert others.min() > Retriever(latents, same_star=True).usual.max()
    assert len(Retriever(latents, n_reference=7).usual) == 7


def test_percentiles_of_nothing_usual_are_not_known():
    assert np.isnan(percentiles(np.array([1.0, 2.0]), np.empty(0))).all()
    assert percentiles(np.array([0.0, 1.0, 9.0]), np.array([1.0, 1.0])).tolist() == [0, 50, 100]


def test_only_informative_dimensions_count_by_default():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(300, 4)) * [1, 1e-3, 1, 1e-3]
    assert Retriever(values).space.dims == [0, 2]
    assert Retriever(values, dims=[3, 1]).space.dims == [1, 3]


def test_labels_are_joined_and_shown():
    latents = sample()
    labels = pd.DataFrame(
        {
            "id": [f"exposure-{i}" for i in range(60)][::-1],
            "Teff": np.arange(60.0)[::-1],
            "distance": 1.5,
            "object": "not shown",
        }
    )
    result = retrieve(4, latents, labels=labels)
    assert (result.table["Teff"] == result.table["row"]).all()
    assert (result.table["distance (label)"] == 1.5).all()
    assert result.queries.loc[0, "Teff"] == 4
    assert "distance" not in retrieve(4, latents, labels=labels, columns=["Teff"]).queries
    with pytest.raises(ChoiceError, match="no label mass"):
        retrieve(4, latents, labels=labels, columns=["mass"])


def test_columns_are_in_a_fixed_order():
    names = list(retrieve(0, sample()).table.columns)
    assert names == [
        "query", "rank", "row", "id", "object", "file", "distance", "percentile", "agree", "differ",
    ]  # fmt: skip
    plain = list(retrieve(0, sample().values).table.columns)
    assert plain == ["query", "rank", "row", "distance", "percentile", "agree", "differ"]


def test_sentences():
    lines = near(line([0, 1, 10, 12, 16], id=list("abcde")), [0, "e"], n_matches=2).sentences()
    assert lines == [
        "a: 2 nearest of 4 spectra over 1 dims (euclidean); 1 left out: itself and its star",
        "1. b: distance 1 (80 % of spectra have none so near); agrees in 0 of 1 dims, differs most "
        "in dim 0 (+1.00)",
        "2. c: distance 10 (100 % of spectra have a nearer one); agrees in 0 of 1 dims, differs "
        "most in dim 0 (+10.00)",
        "e: 2 nearest of 4 spectra over 1 dims (euclidean); 1 left out: itself and its star",
        "1. d: distance 4 (90 % of spectra have a nearer one); agrees in 0 of 1 dims, differs most "
        "in dim 0 (-4.00)",
        "2. c: distance 6 (100 % of spectra have a nearer one); agrees in 0 of 1 dims, differs "
        "most in dim 0 (-6.00)",
    ]


def test_a_mapped_file_gives_what_an_array_gives(tmp_path):
    values = np.random.default_rng(3).normal(size=(500, 6)).astype("f4")
    np.save(tmp_path / "latents.npy", values)
    mapped = Retriever(tmp_path / "latents.npy")
    assert isinstance(mapped.latents.values.base, np.memmap | np.ndarray)
    found, expected = mapped.query([4, 5]).table, Retriever(values).query([4, 5]).table
    pd.testing.assert_frame_equal(found, expected)
    integers = np.round(values * 100).astype("i8")
    np.save(tmp_path / "integers.npy", integers)
    found = retrieve(4, tmp_path / "integers.npy").table
    pd.testing.assert_frame_equal(found, retrieve(4, integers.astype(float)).table)


def test_many_threads_ask_one_retriever():
    retriever = Retriever(np.random.default_rng(4).normal(size=(3000, 8)))
    expected = [retriever.query(row, 5).table for row in range(20)]
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda row: retriever.query(row, 5), range(20))
        for found, table in zip(results, expected, strict=True):
            pd.testing.assert_frame_equal(found.table, table)


def test_provenance_and_plot(monkeypatch):
    result = retrieve(0, sample(), metric="manhattan", seed=3)
    assert result.provenance["metric"] == "manhattan"
    assert result.provenance["latents"] == {"model": "m"}
    assert result.provenance["dims"] == [0, 1, 2]
    monkeypatch.setattr("latentscope.plots.plot_retrieval", lambda r, ax, query: (r, ax, query))
    assert result.plot(query=2) == (result, None, 2)


def test_a_row_at_the_median_has_no_direction():
    values = np.array([[0.0, 0], [1, 1], [-1, -1], [1, -1], [-1, 1]])
    result = near(Latents(values), [0, 1], metric="cosine")
    assert "no direction" in result.failed[0][1]
    assert "1 row at the sample's median" in result.notes[0]
    assert result.matches(1)["distance"].tolist() == pytest.approx([1, 1, 2])


@pytest.mark.parametrize(
    ("query", "options", "error", "message"),
    [
        (60, {}, ChoiceError, "no row 60; expected 0 ... 59"),
        ([1, -1], {}, ChoiceError, "no row -1"),
        ("nosuch", {}, ChoiceError, "no row is named 'nosuch'"),
        (np.zeros(2), {}, EstimatorError, "query has 2 dimensions, here.npy has 3"),
        (np.zeros((0, 3)), {}, EstimatorError, "query: float64 of shape"),
        ([], {}, EstimatorError, "expected numbers of rows, ids, or values"),
        (None, {}, EstimatorError, "query: object"),
        (np.array([np.inf, 0, 0]), {}, EstimatorError, "its latents are not finite"),
        (1, {"n_matches": 0}, EstimatorError, "n_matches is 0"),
        (1, {"dims": [7]}, ChoiceError, "dims"),
        (1, {"metric": "hamming"}, EstimatorError, "expected one of euclidean"),
        (1, {"spread": "wide"}, EstimatorError, "expected one of robust"),
        (1, {"groups": "planet"}, ChoiceError, "planet"),
        (1, {"groups": [1, 2]}, EstimatorError, "groups has 2 values"),
        (1, {"labels": pd.DataFrame({"Teff": [1.0]})}, TableError, "60"),
    ],
)
def test_what_cannot_be_answered_is_told(query, options, error, message):
    with pytest.raises(error, match=message):
        retrieve(query, sample(), **options)


def test_groups_with_gaps_warn():
    with pytest.warns(LatentscopeWarning, match="1 of 3 rows with latents have no name"):
        near(line([0, 1, 2], star=["a", None, "a"]), 0, groups="star")
