"""Queries: rows by number and name, values, and latents of other files."""

import numpy as np
import pandas as pd
import pytest

from latentscope import Latents, retrieve
from latentscope.errors import ChoiceError
from tests.diagnostics.retrieval.samples import line, near, sample


def test_rows_by_number_by_name_and_by_value_are_the_same():
    latents = sample()
    wanted = retrieve(5, latents).table
    for query in ("exposure-5", "exposure-5.fits", ["exposure-5"], [5], np.array([5])):
        pd.testing.assert_frame_equal(retrieve(query, latents).table, wanted)
    by_value = retrieve(latents.values[5], latents, k=3)
    assert by_value.table["row"].tolist()[0] == 5
    same = retrieve(5, latents, k=2, same_star=True).table["row"]
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


def other(latents, rows, **columns):
    """Rows of latents as if encoded again."""
    table = latents.table.iloc[rows].assign(file="elsewhere.fits", **columns)
    return Latents(latents.values[rows], table.reset_index(drop=True))


def test_other_latents_do_not_find_their_own_exposure_nor_their_star():
    latents = sample()
    result = retrieve(other(latents, [7]), latents, k=60)
    assert not set(result.table["row"]) & {7, 27, 47}
    assert result.queries.loc[0, ["query", "row", "left_out"]].tolist() == ["exposure-7", 7, 3]
    assert result.queries.loc[0, "file"] == "elsewhere.fits"
    same = retrieve(other(latents, [7]), latents, k=60, same_star=True)
    assert set(same.table["row"].head(2)) == {27, 47}
    assert 7 not in set(same.table["row"])


def test_an_exposure_is_known_by_its_archive_id_too():
    latents = sample(archive_id=[f"A{i}" for i in range(60)])
    query = other(latents, [7], id="renamed", object=None)
    result = retrieve(query, latents, k=60)
    assert not set(result.table["row"]) & {7, 27, 47}


def test_an_exposure_that_the_sample_lacks_leaves_out_its_star():
    latents = sample()
    result = retrieve(other(latents, [7], id="new"), latents, k=60)
    assert result.queries.loc[0, "left_out"] == 3
    assert pd.isna(result.queries.loc[0, "row"])
    stranger = retrieve(other(latents, [7], id="new", object="S 7"), latents, k=60)
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
