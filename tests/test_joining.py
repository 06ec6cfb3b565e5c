"""Which columns are joined on, and what is said where none is."""

import numpy as np
import pandas as pd
import pytest

from latentscope.data import Latents, join_labels, read_labels, read_latents
from latentscope.errors import LatentscopeWarning

IDS = ["f0", "f1", "f2"]


def joined(labels, join=None, sidecar=None):
    table = pd.DataFrame({"id": IDS}) if sidecar is None else sidecar
    return list(join_labels(Latents(np.zeros((3, 1)), table), read_labels(labels), join)["v"])


@pytest.mark.parametrize("name", ["ID", "Id", "FILE", "Dp_Id"])
def test_names_of_id_columns_may_be_capitals(name):
    assert joined(pd.DataFrame({name: ["f2", "f0", "f1"], "v": [2, 0, 1]})) == [0, 1, 2]


def test_capitals_in_other_ids_and_in_join():
    sidecar = pd.DataFrame({"Gaia_ID": IDS, "Object": IDS})
    labels = pd.DataFrame({"gaia_id": ["f2", "f0", "f1"], "v": [2, 0, 1]})
    assert joined(labels, sidecar=sidecar) == [0, 1, 2]
    stars = labels.rename(columns={"gaia_id": "object"})
    assert joined(stars, "object", sidecar) == [0, 1, 2]
    assert joined(stars.rename(columns={"object": "star"}), "star", sidecar) == [0, 1, 2]


def test_a_column_of_file_names_under_any_name_matches_ids():
    labels = pd.DataFrame({"filename": ["x/f2.fits", "f0.fits.gz", "f1.npy"], "v": [2, 0, 1]})
    assert joined(labels, "filename") == [0, 1, 2]


def test_row_order_beside_names_that_look_like_ids_is_told():
    labels = pd.DataFrame({"filename": ["f2.fits", "f0.fits", "f1.fits"], "v": [2, 0, 1]})
    with pytest.warns(LatentscopeWarning, match="row by row.*join='filename'") as told:
        assert joined(labels) == [2, 0, 1]
    assert len(told) == 1


@pytest.mark.parametrize(
    ("labels", "sidecar"),
    [
        ({"kind": ["G", "G", "K"]}, {"id": IDS}),
        ({"number": [7, 8, 9]}, {"id": IDS}),
        ({"name": ["a", "b", "c"]}, {"snr": [1.0, 2.0, 3.0]}),
    ],
)
def test_nothing_is_said_without_ids_on_either_side(labels, sidecar, recwarn):
    joined(pd.DataFrame(labels | {"v": [0, 1, 2]}), sidecar=pd.DataFrame(sidecar))
    assert not recwarn


@pytest.mark.parametrize("name", [None, "spectrum"])
def test_indexes_in_another_order_are_told(name):
    latents = pd.DataFrame({"z0": [0.0, 1, 2]}, index=pd.Index(IDS, name=name))
    labels = pd.DataFrame({"v": [2, 0, 1]}, index=pd.Index(["f2", "f0", "f1"], name=name))
    with pytest.warns(LatentscopeWarning, match="indexes have the same values in another order"):
        found = join_labels(read_latents(latents), read_labels(labels))
    assert list(found["v"]) == [2, 0, 1]
    assert list(found.index) == [0, 1, 2]


@pytest.mark.parametrize("index", [IDS, ["a", "b", "c"], pd.CategoricalIndex(["f2", "a", "b"])])
def test_indexes_in_the_same_order_or_of_other_rows_are_not_told(index, recwarn):
    latents = read_latents(pd.DataFrame({"z0": [0.0, 1, 2]}, index=IDS))
    join_labels(latents, read_labels(pd.DataFrame({"v": [2, 0, 1]}, index=index)))
    join_labels(latents, read_labels(pd.DataFrame({"v": [2, 0, 1]})))
    assert not recwarn


def test_indexes_named_id_are_joined_on(recwarn):
    latents = pd.DataFrame({"z0": [0.0, 1, 2]}, index=pd.Index(IDS, name="id"))
    labels = read_labels(pd.DataFrame({"id": ["f2", "f0", "f1"], "v": [2, 0, 1]}).set_index("id"))
    assert list(join_labels(read_latents(latents), labels)["v"]) == [0, 1, 2]
    assert list(labels.sort_values("id")["v"]) == [0, 1, 2]
    assert not recwarn
