"""Which columns are joined on, and what is said where none is."""

import numpy as np
import pandas as pd
import pytest

from latentscope.errors import LatentscopeWarning
from latentscope.latents import Latents, align, read_labels

IDS = ["f0", "f1", "f2"]


def joined(labels, join=None, sidecar=None):
    table = pd.DataFrame({"id": IDS}) if sidecar is None else sidecar
    return list(align(Latents(np.zeros((3, 1)), table), read_labels(labels), join)[1]["v"])


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
