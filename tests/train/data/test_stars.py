from collections import Counter

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from latentscope.errors import ChoiceError, LatentscopeWarning, ModelError, TableError
from latentscope.tables import star_name
from tests.train.conftest import TINY
from train.data.archive import Layout, PackedArchive
from train.data.packed import PackedData
from train.data.packing import pack
from train.data.stars import listed_splits, read_aliases, split_by_star, stars_of
from train.settings import read_config


@pytest.mark.parametrize(
    ("spellings", "name"),
    [
        (["Gl581", "GJ 581", "GL-581", "gliese 0581"], "gj581"),
        (["HIP 74995", "hip074995", "HIP_74995", "HIP-74995"], "hip74995"),
        (["HD 10700 B", "hd010700b"], "hd10700b"),
        (["* tau Cet", "tau cet", "tau_Cet"], "taucet"),
        (["V* Proxima Cen", "NAME Proxima Cen"], "proximacen"),
        (["BD-12 4523", "BD-12_4523"], "bd-124523"),
        (["BD+12 4523"], "bd+124523"),
        (["BD+1 2345", "BD+01 2345", "BD+012345"], "bd+012345"),
        (["TYC 1 23 1", "TYC 1-23-1"], "tyc1-23-1"),
        (["TOI-700", "TOI 700"], "toi700"),
        (["2MASS J18082002-5104378"], "2massj18082002-5104378"),
        (["GJ 1002", "GJ1002"], "gj1002"),
    ],
)
def test_the_spellings_of_a_name_are_one(spellings, name):
    assert {star_name(spelling) for spelling in spellings} == {name}


@given(st.text(max_size=20))
def test_a_resolved_name_stays(text):
    assert star_name(star_name(text)) == star_name(text)


@pytest.fixture
def names(tmp_path):
    """Path of a table of aliases."""
    path = tmp_path / "names.csv"
    path.write_text("star,name,other\nGJ 581,HIP 74995,HO Lib\nHD 10700,tau Cet,\n")
    return path


def table_of(stars, **columns):
    files = [f"/{number}.fits" for number in range(len(stars))]
    return pd.DataFrame({"file": files, "star": stars, "object": "", "id": files} | columns)


def test_aliases_bring_catalogs_together(names):
    table = table_of(["Gl581", "HIP 74995", "HO Lib", "* tau Cet", "HD-010700", ""])
    stars = stars_of(table, aliases=read_aliases(names)).tolist()
    assert stars == ["gj581"] * 3 + ["hd10700"] * 2 + ["/5.fits"]
    names.write_text("star,name\nGJ 581,HIP 1\nGJ 582,HIP1\n")
    with pytest.raises(TableError, match="'hip1' is a name of 'gj581' and of 'gj582'"):
        read_aliases(names)


def test_the_column_of_groups_is_a_choice():
    ids = [2634034568917245696, 2634034568917245697, 2634034568917245696]
    table = table_of(["a", "b", "c"], gaia_dr3=ids, night=["n1", None, "n1"])
    assert len(set(stars_of(table, "gaia_dr3"))) == 2
    with pytest.warns(LatentscopeWarning, match="1 of 3 spectra have no night"):
        assert stars_of(table, "night").tolist() == ["n1", "b", "n1"]
    with pytest.raises(ChoiceError, match="no column 'tic'; the archive has file, star"):
        stars_of(table, "tic")
    with pytest.raises(ChoiceError, match="lost their last digits"):
        stars_of(table.astype({"gaia_dr3": float}), "gaia_dr3")


def test_a_list_says_who_is_in_which_split(tmp_path, names):
    path, aliases = tmp_path / "splits.csv", read_aliases(names)
    table = table_of(["Gl581", "HIP 74995", "b", "c"])
    stars = stars_of(table, aliases=aliases)
    path.write_text("star,split\nHO Lib,test\nB,train\n")
    with pytest.warns(LatentscopeWarning, match="1 of 4 spectra are not in the list"):
        splits = listed_splits(str(path), table, stars, aliases)
    assert splits.tolist() == ["test", "test", "train", ""]
    path.write_text("id,split\n/0.fits,test\n/1.fits,train\n/2.fits,train\n/3.fits,test\n")
    with pytest.warns(LatentscopeWarning, match="1 stars stand in more than one split"):
        splits = listed_splits(str(path), table, stars)
    assert splits.tolist() == ["test", "train", "train", "test"]
    for text, words in (
        ("star,split\nb,training\n", "train, validation, test"),
        ("star\nb\n", "a column `split`"),
        ("star,split\nz,test\n", "in common"),
    ):
        path.write_text(text)
        with pytest.raises(TableError, match=words):
            listed_splits(str(path), table, stars)


def test_a_run_keeps_to_its_lists(night, tmp_path, prepare):
    archive, path = tmp_path / "a.zarr", tmp_path / "splits.csv"
    layout = Layout(520, "float16", chunk=2, shard=4)
    pack(night, archive, prepare, layout=layout, workers=1)
    listed = "star,split\ns0,test\ns1,validation\ns2,train\nS 3,train\ns4,train\ns5,train\n"
    path.write_text(listed)
    config = tmp_path / "run.yaml"
    values = {"path": str(archive), "splits": str(path), "window_mb": 0.01}
    config.write_text(yaml.safe_dump(TINY | {"data": {"batch_size": 4, "archive": values}}))

    def set_up():
        settings = read_config(config)
        data = PackedData(settings.data, settings.prepare, settings.steps, settings.seed)
        data.setup()
        return data

    data = set_up()
    assert data.provenance["stars"] == {"train": 4, "validation": 1, "test": 1}
    assert data.provenance["split"] == "by star, the list splits.csv"
    state = data.state_dict()
    path.write_text(listed.replace("s2,train", "s2,test"))
    with pytest.raises(ModelError, match="how it is split, changed"):
        set_up().load_state_dict(state)
    del state["splits_sha256"]  # of a checkpoint of earlier days
    set_up().load_state_dict(state)


def test_no_label_is_lost_on_the_way(night, tmp_path, prepare):
    archive, long = tmp_path / "a.zarr", 2634034568917245696
    labels = pd.DataFrame({"star": [f"S_{s}" for s in range(5)], "gaia_dr3": long + np.arange(5)})
    labels["object"], labels["Teff"], labels["type"] = "other", 5000, list("FGKMA")
    layout = Layout(520, "float16", chunk=2, shard=4)
    with pytest.warns(LatentscopeWarning, match="6 of 21 rows"):
        pack(night, archive, prepare, layout=layout, labels=labels, join="star", workers=1)
    packed = PackedArchive(archive)
    assert packed.labels == ["label_star", "gaia_dr3", "label_object", "Teff", "type"]
    known = packed.table[packed.table["star"] != "s5"]
    expected = [str(long + int(star[1])) for star in known["star"]]
    assert known["gaia_dr3"].tolist() == expected


NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=40)


@given(NAMES, NAMES, st.integers(0, 5))
def test_a_growing_archive_keeps_its_splits(old, new, seed):
    before = split_by_star(old, 0.3, 0.2, seed)
    after = split_by_star(new + old, 0.3, 0.2, seed)
    assert after[len(new) :].tolist() == before.tolist()
    by_star = {}
    for star, split in zip(new + old, after, strict=True):
        assert by_star.setdefault(star, split) == split


def test_splits_have_their_fractions_of_the_stars_whatever_the_exposures():
    stars = [f"HD{number}" for number in range(4000)]
    counts = Counter(split_by_star(stars, 0.2, 0.1, seed=1))
    assert counts["validation"] == pytest.approx(800, abs=4 * 25)
    assert counts["test"] == pytest.approx(400, abs=4 * 19)
    assert split_by_star(stars, 0.2, 0.1, 1).tolist() != split_by_star(stars, 0.2, 0.1, 2).tolist()
    # A larger validation split takes in the smaller one.
    small = split_by_star(stars, 0.1) == "validation"
    assert (split_by_star(stars, 0.2)[small] == "validation").all()


def test_the_split_of_a_name_is_for_ever():
    # `printf 0:gl581 | sha256sum` begins with add4, the others' with fbd7 and 7ee1.
    splits = split_by_star(["gl581", "hd140283", "hd10700"], 0.5, 0.2)
    assert splits.tolist() == ["test", "train", "validation"]


@pytest.mark.parametrize("fractions", [(0.6, 0.4), (-0.1, 0), (0.1, -0.1)])
def test_splits_leave_something_to_train_on(fractions):
    with pytest.raises(ChoiceError, match="sum below 1"):
        split_by_star(["a"], *fractions)
