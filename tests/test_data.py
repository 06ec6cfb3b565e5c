"""Latents and labels: read, written, and brought row to row."""

import json
import os
import warnings
from dataclasses import replace

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

import latentscope
from latentscope.data import (
    Latents,
    bring_latents,
    join_labels,
    read_labels,
    read_latents,
    rows_where,
    spectrum_path,
    write_latents,
)
from latentscope.errors import ChoiceError, LatentscopeWarning, TableError
from latentscope.tables import file_id


@pytest.fixture
def values():
    values = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
    values[2] = np.nan
    return values


def sidecar(n=4):
    return pd.DataFrame(
        {
            "file": [f"a/ADP.{i}.fits" for i in range(n)],
            "id": [f"ADP.{i}" for i in range(n)],
            "object": ["HD1", "HD1", None, "HD2"][:n],
            "status": ["ok"] * n,
        }
    )


def test_written_and_read_back_whole(tmp_path, values):
    written = Latents(values, sidecar(), np.log(values + 1), {"model": "m", "n": np.int64(4)})
    write_latents(written, tmp_path / "out" / "x.npy")
    read = read_latents(tmp_path / "out" / "x.npy")
    np.testing.assert_array_equal(read.values, values)
    np.testing.assert_array_equal(read.logvar, written.logvar)
    assert read.values.dtype == np.float32
    assert read.provenance == {"latentscope": latentscope.__version__, "model": "m", "n": 4}
    assert list(read.ids) == ["ADP.0", "ADP.1", "ADP.2", "ADP.3"]
    assert list(read.groups[[0, 1, 3]]) == ["HD1", "HD1", "HD2"]
    assert pd.isna(read.groups[2])
    assert list(read.ok) == [True, True, False, True]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "x.csv",
        "x.json",
        "x.logvar.npy",
        "x.npy",
    ]


def test_siblings_of_an_earlier_run_are_not_inherited(tmp_path, values):
    write_latents(Latents(values, sidecar(), values), tmp_path / "x.npy")
    write_latents(Latents(values[:2]), tmp_path / "x.npy")
    read = read_latents(tmp_path / "x.npy")
    assert read.table is None
    assert read.logvar is None
    assert len(read) == 2


def test_latents_act_as_an_array(values):
    latents = Latents(values)
    np.testing.assert_array_equal(np.asarray(latents), values)
    assert np.asarray(latents, dtype=np.float64).dtype == np.float64
    assert len(latents) == 4
    assert latents.dims == 3
    assert read_latents(latents) is latents


def test_star_is_filled_from_object(values):
    table = sidecar().assign(star=["Gl581", None, None, None])
    groups = Latents(values, table).groups
    assert list(groups[[0, 1, 3]]) == ["Gl581", "HD1", "HD2"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz", "h5", "fits", "ecsv"])
def test_every_kind_of_file_brings_values_and_ids(tmp_path, values, kind):
    path = tmp_path / f"z.{kind}"
    frame = pd.DataFrame(values.astype(np.float64), columns=["z0", "z1", "z2"])
    frame.insert(0, "id", ["a", "b", "c", "d"])
    frame["snr"] = 3.0
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    elif kind == "npz":
        np.savez(path, latents=values, id=np.array(list("abcd")))
    elif kind == "h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["latents"] = values
            file["id"] = [b"a", b"b", b"c", b"d"]
    else:
        from astropy.table import Table

        Table.from_pandas(frame).write(path, format="ascii.ecsv" if kind == "ecsv" else "fits")
    read = read_latents(path)
    np.testing.assert_allclose(read.values, values, rtol=1e-7)
    assert list(read.ids) == ["a", "b", "c", "d"]


def test_fits_image_and_vector_column(tmp_path, values):
    from astropy.io import fits
    from astropy.table import Table

    fits.PrimaryHDU(values).writeto(tmp_path / "image.fits")
    np.testing.assert_array_equal(read_latents(tmp_path / "image.fits").values, values)
    table = Table({"latents": values, "id": ["a", "b", "c", "d"]})
    table.write(tmp_path / "table.fits")
    read = read_latents(tmp_path / "table.fits")
    np.testing.assert_array_equal(read.values, values)
    assert list(read.ids) == ["a", "b", "c", "d"]


def test_dataframe_without_named_dims_takes_the_numeric_columns():
    frame = pd.DataFrame({"a": [1.0, 2.0], "snr": [3.0, 4.0], "object": ["x", "y"], "b": [0, 1]})
    with pytest.warns(LatentscopeWarning, match="dim 0 is a, dim 1 is b"):
        latents = read_latents(frame)
    np.testing.assert_array_equal(latents.values, [[1, 0], [2, 1]])
    assert list(latents.table.columns) == ["snr", "object"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros(5), "shape"),
        (np.zeros((2, 3, 4)), "shape"),
        (np.zeros((4, 0)), "shape"),
        (np.array([["a", "b"]]), "numbers"),
        (pd.DataFrame({"id": ["a"], "object": ["b"]}), "no column of latents"),
        (pd.DataFrame({"z0": [], "z1": []}, dtype=object), "no column of latents"),
    ],
)
def test_what_is_not_a_table_of_latents_is_refused(bad, words):
    with pytest.raises(TableError, match=words):
        read_latents(bad)


def test_files_that_cannot_be_read_name_themselves(tmp_path):
    with pytest.raises(TableError, match="no such file"):
        read_latents(tmp_path / "none.npy")
    (tmp_path / "x.docx").write_text("x")
    with pytest.raises(TableError, match=r"x\.docx.*\.npy"):
        read_latents(tmp_path / "x.docx")
    (tmp_path / "x.npy").write_text("x")
    with pytest.raises(TableError, match=r"x\.npy"):
        read_latents(tmp_path / "x.npy")
    np.savez(tmp_path / "two.npz", a=np.zeros((2, 2)), b=np.zeros((2, 2)))
    with pytest.raises(TableError, match=r"two\.npz.*several arrays"):
        read_latents(tmp_path / "two.npz")
    with pytest.raises(TableError, match=r"\.npy"):
        write_latents(Latents(np.zeros((2, 2))), tmp_path / "x.csv")


def test_sidecar_of_another_length_is_an_error(tmp_path, values):
    write_latents(Latents(values, sidecar()), tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", values[:3])
    with pytest.raises(TableError, match=r"x\.npy.*3 rows.*4 rows"):
        read_latents(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", values)
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(TableError, match=r"x\.json"):
        read_latents(tmp_path / "x.npy")


def test_a_failed_write_leaves_the_older_file(tmp_path, values):
    write_latents(Latents(values, provenance={"a": 1}), tmp_path / "x.npy")
    with pytest.raises(TypeError):
        write_latents(Latents(values[:1], provenance={"a": object()}), tmp_path / "x.npy")
    assert json.loads((tmp_path / "x.json").read_text())["a"] == 1
    assert len(read_latents(tmp_path / "x.npy")) == 4


def test_empty_text_is_missing_never_a_class(tmp_path):
    (tmp_path / "l.csv").write_text("id,kind,teff\n1,G,5000\n2,,\n3,  ,4000\n4,nan,NaN\n")
    labels = read_labels(tmp_path / "l.csv")
    assert list(labels["kind"].dropna()) == ["G"]
    assert labels["teff"].isna().sum() == 2
    frame = read_labels(pd.DataFrame({"kind": pd.Categorical(["a", "", "b", None])}))
    assert list(frame["kind"].dropna()) == ["a", "b"]


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("fits", {}),
        ("ecsv", {}),
        ("vot", {"format": "votable"}),
        ("xml", {"format": "votable"}),
        ("parquet", {"format": "parquet"}),
        ("h5", {"path": "labels", "serialize_meta": True}),
    ],
)
def test_masked_cells_are_missing(tmp_path, suffix, options):
    from astropy.table import MaskedColumn, Table

    pytest.importorskip({"parquet": "pyarrow", "h5": "h5py"}.get(suffix, "astropy"))
    path, mask = tmp_path / f"l.{suffix}", [False, True, False]
    numbers = MaskedColumn([1.5, 2.5, 3.5], mask=mask, unit="K")
    table = Table({"f": numbers, "n": MaskedColumn([1, 2, 3], mask=mask), "s": ["a", "", "c"]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's, of its own format
        table.write(path, **options)
    labels = read_labels(path)
    assert list(labels.columns) == ["f", "n", "s"]
    for name in labels:
        assert list(labels[name].isna()) == mask


def test_a_table_of_arrow_keeps_its_names():
    arrow = pytest.importorskip("pyarrow").table({"teff": [1.5, 2.5], "type": ["G", "K"]})
    assert read_labels(arrow).to_dict("list") == {"teff": [1.5, 2.5], "type": ["G", "K"]}
    assert read_latents(arrow.select(["teff"])).shape == (2, 1)


@given(st.permutations(range(6)))
def test_a_shuffled_index_is_told_where_only_rows_can_be_matched(order):
    labels = pd.DataFrame({"teff": np.arange(6.0)}).iloc[order]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        joined = join_labels(Latents(np.eye(6)), labels)
        beside = bring_latents(Latents(np.eye(6)), read_latents(labels))
    assert list(joined["teff"]) == list(beside[:, 0]) == list(order)
    assert len(caught) == 2 * (list(order) != sorted(order))


def test_labels_from_arrays_and_structured_arrays(tmp_path):
    assert list(read_labels(np.arange(3)).columns) == ["label_0"]
    assert read_labels(np.zeros((3, 2))).shape == (3, 2)
    np.save(tmp_path / "l.npy", np.array([(1.5, 2)], dtype=[("teff", "f8"), ("n", "i4")]))
    assert list(read_labels(tmp_path / "l.npy").columns) == ["teff", "n"]
    with pytest.raises(TableError, match="0 rows"):
        read_labels(np.zeros((0, 2)))
    with pytest.raises(TableError, match="expected"):
        read_labels(np.zeros((3, 2, 2)))
    with pytest.raises(TableError, match="arrays"):
        read_labels(pd.DataFrame({"a": [[1, 2], [3, 4]]}))
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(TableError, match="several columns are named a"):
        read_labels(twice)


def test_labels_follow_their_ids(values):
    labels = pd.DataFrame({"id": ["ADP.3", "ADP.0", "ADP.2", "ADP.1"], "teff": [3.0, 0, 2, 1]})
    joined = join_labels(Latents(values, sidecar()), read_labels(labels))
    assert list(joined["teff"]) == [0, 1, 2, 3]


@given(order=st.permutations(range(6)), kept=st.integers(1, 6))
def test_joining_undoes_any_order(order, kept):
    table = pd.DataFrame({"id": [f"s{i}" for i in range(6)]})
    labels = pd.DataFrame({"id": [f"s{i}" for i in order], "v": np.array(order, float)})[:kept]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LatentscopeWarning)
        joined = join_labels(Latents(np.zeros((6, 1)), table), read_labels(labels))
    expected = [i if i in order[:kept] else np.nan for i in range(6)]
    np.testing.assert_array_equal(joined["v"], expected)


def test_integer_ids_and_long_ids_keep_their_digits(tmp_path):
    long = 4295806720_123456789
    (tmp_path / "l.csv").write_text(f"source_id,v\n{long},1\n{long + 1},2\n007,3\n,4\n")
    table = pd.DataFrame({"source_id": np.array([long + 1, long])})
    joined = join_labels(Latents(np.zeros((2, 1)), table), read_labels(tmp_path / "l.csv"))
    assert list(joined["v"]) == [2, 1]
    whole = pd.DataFrame({"id": [2.0, 1.0], "v": [20, 10]})
    table = pd.DataFrame({"id": ["1", "2"]})
    joined = join_labels(Latents(np.zeros((2, 1)), table), read_labels(whole))
    assert list(joined["v"]) == [10, 20]


def test_archive_ids_and_file_names_match_across_columns():
    table = pd.DataFrame(
        {
            "file": ["in/ADP.2014-09-16T11:04:49.123.fits.gz", "in/b.fits"],
            "id": ["renamed", "b"],
            "archive_id": ["ADP.2014-09-16T11:04:49.123", "ADP.2015"],
        }
    )
    latents = Latents(np.zeros((2, 1)), table)
    labels = pd.DataFrame({"dp_id": ["ADP.2015", "ADP.2014-09-16T11:04:49.123"], "v": [2, 1]})
    assert list(join_labels(latents, read_labels(labels))["v"]) == [1, 2]
    labels = pd.DataFrame({"file": ["b.fits", "ADP.2014-09-16T11:04:49.123.fits"], "v": [2, 1]})
    assert list(join_labels(latents, read_labels(labels))["v"]) == [1, 2]
    assert file_id("a\\b/ADP.1.5.FITS.gz") == "ADP.1.5"


def test_rows_without_a_label_are_counted(values):
    labels = read_labels(pd.DataFrame({"id": ["ADP.3", "ADP.0"], "teff": [3.0, 0]}))
    with pytest.warns(LatentscopeWarning, match="2 of 4 rows .* have no row in"):
        joined = join_labels(Latents(values, sidecar()), labels)
    np.testing.assert_array_equal(joined["teff"], [0, np.nan, np.nan, 3])


def test_repeated_ids_among_labels_are_named(values, tmp_path):
    (tmp_path / "l.csv").write_text("id,v\nADP.0,1\nADP.1,2\nADP.1,3\nADP.2,1\n")
    with pytest.raises(TableError, match=r"l\.csv: column id repeats ADP\.1 with"):
        join_labels(Latents(values, sidecar()), read_labels(tmp_path / "l.csv"))


def test_repeated_rows_of_latents_share_their_label(values):
    table = pd.DataFrame({"id": ["a", "a", "b", "b"]})
    labels = read_labels(pd.DataFrame({"id": ["b", "a"], "v": [2, 1]}))
    assert list(join_labels(Latents(values, table), labels)["v"]) == [1, 1, 2, 2]


def test_one_row_a_star_joins_on_object(values):
    labels = read_labels(pd.DataFrame({"object": ["HD2", "HD1"], "teff": [2, 1]}))
    with pytest.warns(LatentscopeWarning, match="1 of 4"):
        joined = join_labels(Latents(values, sidecar()), labels, join="object")
    np.testing.assert_array_equal(joined["teff"], [1, 1, np.nan, 2])
    with pytest.raises(TableError, match="no column 'star'"):
        join_labels(Latents(values, sidecar()), labels, join="star")
    with pytest.raises(TableError):
        join_labels(Latents(values), labels, join="object")


def test_ids_of_gaia_may_be_written_with_the_release(values):
    table = pd.DataFrame({"source_id": [str(6 * 10**17 + i) for i in range(4)]})
    labels = pd.DataFrame({"source_id": [f"Gaia DR3 {name}" for name in table["source_id"][::-1]]})
    joined = join_labels(Latents(values, table), labels.assign(v=[3, 2, 1, 0]))
    assert list(joined["v"]) == [0, 1, 2, 3]


def test_stars_have_many_spellings(values):
    labels = read_labels(pd.DataFrame({"star": ["hd 2", "HD-0001"], "teff": [2, 1]}))
    with pytest.warns(LatentscopeWarning, match="1 of 4"):
        joined = join_labels(Latents(values, sidecar()), labels, join="star")
    np.testing.assert_array_equal(joined["teff"], [1, 1, np.nan, 2])


def test_row_order_wants_equal_lengths(values):
    labels = read_labels(pd.DataFrame({"teff": [1.0, 2, 3, 4]}))
    assert list(join_labels(Latents(values), labels)["teff"]) == [1, 2, 3, 4]
    with pytest.raises(TableError, match="4 rows and labels has 3, with no id column"):
        join_labels(Latents(values), labels[:3])


def test_ids_with_nothing_in_common(values):
    labels = read_labels(pd.DataFrame({"id": list("abcd"), "v": [1, 2, 3, 4]}))
    with pytest.warns(LatentscopeWarning):
        joined = join_labels(Latents(values, sidecar()), labels)
    assert list(joined["v"]) == [1, 2, 3, 4]
    with pytest.raises(TableError):
        join_labels(Latents(values, sidecar()), labels[:3])
    with pytest.raises(TableError):
        join_labels(Latents(values, sidecar()), labels, join="id")


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


def test_a_column_of_another_name_that_holds_the_ids_is_joined_on():
    labels = pd.DataFrame({"filename": ["f2.fits", "f0.fits", "f1.fits"], "v": [2, 0, 1]})
    with pytest.warns(LatentscopeWarning, match="joined .* filename, .* id$") as told:
        assert joined(labels) == [0, 1, 2]
    assert len(told) == 1
    numbers = pd.DataFrame({"id": ["4001", "4002", "4000"]})
    kic = pd.DataFrame({"kic": [4000.0, 4001.0, 4002.0], "v": [0, 1, 2]})
    with pytest.warns(LatentscopeWarning, match="kic"):
        assert joined(kic, sidecar=numbers) == [1, 2, 0]
    stars = pd.DataFrame({"object": ["B", "A", "A"]})
    with pytest.warns(LatentscopeWarning, match="Name"):
        assert joined(pd.DataFrame({"Name": ["A", "B"], "v": [1, 2]}), sidecar=stars) == [2, 1, 1]


@pytest.mark.parametrize("name", [None, "spectrum", "Name"])
@pytest.mark.parametrize("kind", ["frame", "parquet"])
def test_an_index_that_holds_the_ids_is_joined_on(tmp_path, name, kind):
    labels = pd.DataFrame({"v": [2, 0, 1]}, index=pd.Index(["f2", "f0", "f1"], name=name))
    if kind == "parquet":
        labels.to_parquet(tmp_path / "l.parquet")
        labels = tmp_path / "l.parquet"
    with pytest.warns(LatentscopeWarning, match="is joined"):
        assert joined(labels) == [0, 1, 2]


def test_an_index_that_repeats_ids_with_other_labels_is_refused():
    again = pd.DataFrame({"v": [0, 1, 2, 3]}, index=[*IDS, "f0"])
    with pytest.raises(TableError, match="index repeats f0"):
        joined(again)
    with pytest.warns(LatentscopeWarning, match="is joined"):
        assert joined(again.assign(v=[0, 1, 2, 0])) == [0, 1, 2]


def test_stars_that_repeat_among_labels_of_spectra_leave_row_order(recwarn):
    stars = pd.DataFrame({"object": ["A", "A", "B"]})
    labels = pd.DataFrame({"Name": ["A", "A", "B"], "v": [0, 1, 2]})
    assert joined(labels, sidecar=stars) == [0, 1, 2]
    assert not recwarn


def test_small_numbers_that_might_be_ids_are_not_joined_on():
    ids = pd.DataFrame({"id": ["1", "2", "3"]})
    assert joined(pd.DataFrame({"rank": [3, 1, 2], "v": [0, 1, 2]}), sidecar=ids) == [0, 1, 2]


def test_ids_differ_by_zeros_in_front_but_not_by_a_point():
    sidecar = pd.DataFrame({"id": ["7", "8"]})
    latents = Latents(np.zeros((2, 1)), sidecar)
    text = read_labels(pd.DataFrame({"id": ["8.0", "7.0"], "v": [8, 7]}))
    assert list(join_labels(latents, text)["v"]) == [7, 8]
    zeros = read_labels(pd.DataFrame({"id": ["008", "7"], "v": [8, 7]}))
    with pytest.warns(LatentscopeWarning, match="1 of 2 rows"):
        np.testing.assert_array_equal(join_labels(latents, zeros)["v"], [7, np.nan])


def test_repeated_ids_of_equal_labels_are_one():
    labels = pd.DataFrame({"id": ["f1", "f0", "f1", "f2"], "v": [1.0, np.nan, 1.0, 2.0]})
    np.testing.assert_array_equal(joined(labels), [np.nan, 1, 2])
    with pytest.raises(TableError, match="f1"):
        joined(labels.assign(v=[1.0, 0.0, 1.5, 2.0]))


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
@pytest.mark.parametrize("index", [IDS, [0, 1, 2]])
def test_indexes_in_another_order_are_matched(name, index):
    latents = pd.DataFrame({"z0": [0.0, 1, 2]}, index=pd.Index(index, name=name))
    labels = pd.DataFrame({"v": [0, 1, 2]}, index=latents.index).iloc[[2, 0, 1]]
    with pytest.warns(LatentscopeWarning, match="index"):
        found = join_labels(read_latents(latents), read_labels(read_labels(labels)))
    assert list(found["v"]) == [0, 1, 2]
    assert list(found.index) == [0, 1, 2]


def test_indexes_of_fewer_labels_are_matched():
    latents = read_latents(pd.DataFrame({"z0": [0.0, 1, 2]}))
    labels = pd.DataFrame({"v": [0.0, np.nan, 2]}).dropna()
    with pytest.warns(LatentscopeWarning):
        np.testing.assert_array_equal(join_labels(latents, labels)["v"], [0, np.nan, 2])


@pytest.mark.parametrize("index", [["a", "b", "c"], ["f2", "a", "b"], [2, 3, 4], [5, 1, 2]])
def test_indexes_of_other_rows_are_refused(index):
    left = IDS if isinstance(index[0], str) else [0, 1, 2]
    latents = read_latents(pd.DataFrame({"z0": [0.0, 1, 2]}, index=left))
    with pytest.raises(TableError, match="reset_index"):
        join_labels(latents, pd.DataFrame({"v": [2, 0, 1]}, index=index))


@pytest.mark.parametrize("index", [None, IDS, [10, 11, 12]])
def test_equal_indexes_and_one_that_only_counts_say_nothing(index, recwarn):
    labels = pd.DataFrame({"v": [2, 0, 1]}, index=index)
    for left in (index, None):
        latents = read_latents(pd.DataFrame({"z0": [0.0, 1, 2]}, index=left))
        assert list(join_labels(latents, labels)["v"]) == [2, 0, 1]
    assert list(join_labels(Latents(np.zeros((3, 1))), labels)["v"]) == [2, 0, 1]
    assert not recwarn


def test_indexes_named_id_are_joined_on(recwarn):
    latents = pd.DataFrame({"z0": [0.0, 1, 2]}, index=pd.Index(IDS, name="id"))
    labels = read_labels(pd.DataFrame({"id": ["f2", "f0", "f1"], "v": [2, 0, 1]}).set_index("id"))
    assert list(join_labels(read_latents(latents), labels)["v"]) == [0, 1, 2]
    assert list(labels.sort_values("id")["v"]) == [0, 1, 2]
    assert not recwarn


def test_published_latents_read(shared_data):
    latents = read_latents(shared_data / "ive_latents.npy")
    labels = read_labels(shared_data / "ive_labels.csv")
    assert latents.values.shape == (4332, 3)
    assert join_labels(latents, labels).shape == (4332, 13)


@pytest.mark.parametrize("renames", [0, 1, 2, 3])
def test_a_crash_never_leaves_old_values_beside_a_new_table(tmp_path, values, monkeypatch, renames):
    replace, renamed = os.replace, []

    def crashing(source, target):
        if len(renamed) == renames:
            raise OSError("power cut")
        renamed.append(target)
        replace(source, target)

    write_latents(Latents(values, sidecar(), values, {"run": 1}), tmp_path / "x.npy")
    monkeypatch.setattr(os, "replace", crashing)
    with pytest.raises(OSError, match="power cut"):
        write_latents(Latents(values + 1, sidecar(), values), tmp_path / "x.npy")
    assert len(renamed) == renames
    assert not (tmp_path / "x.npy").exists()


def test_siblings_that_cannot_be_read_are_errors_of_tables(tmp_path, values):
    write_latents(Latents(values, sidecar(), values), tmp_path / "x.npy")
    (tmp_path / "x.logvar.npy").write_bytes(b"broken")
    with pytest.raises(TableError, match=r"x\.logvar\.npy: cannot be read"):
        read_latents(tmp_path / "x.npy")
    (tmp_path / "x.csv").write_text("")
    with pytest.raises(TableError, match=r"x\.csv: cannot be read"):
        read_latents(tmp_path / "x.npy")


def masked_table():
    from astropy.table import MaskedColumn, QTable
    from astropy.utils.masked import Masked

    mask = [False, True, False]
    return QTable(
        {
            "teff": Masked([5777.0, 1e20, 4000.0], mask=mask) * u.K,
            "n": MaskedColumn([1, -99, 3], mask=mask),
            "flag": MaskedColumn([True, True, False], mask=mask),
            "kind": MaskedColumn(["G", "?", "K"], mask=mask),
        }
    )


def as_records(table):
    return table.as_array()


def as_fits_record(table):
    columns = [
        fits.Column(name="teff", format="D", array=[5777.0, np.nan, 4000.0]),
        fits.Column(name="n", format="J", array=[1, -99, 3], null=-99),
        fits.Column(name="kind", format="2A", array=["G", " ", "K"]),
    ]
    return fits.BinTableHDU.from_columns(columns).data


@pytest.mark.parametrize("convert", [lambda table: table, as_records, as_fits_record, dict])
def test_tables_in_memory_keep_their_masks_and_names(convert):
    source = convert(masked_table())
    labels = read_labels(source)
    assert [name for name in ("teff", "n", "kind") if name in labels] == ["teff", "n", "kind"]
    for name in labels.columns:
        assert list(labels[name].isna()) == [False, True, False], name
    assert list(labels["teff"].dropna()) == [5777, 4000]
    assert list(labels["kind"].dropna()) == ["G", "K"]


@pytest.mark.parametrize("of", ["numpy", "astropy", "table", "records", "matrix in a table"])
def test_masked_latents_are_missing(of):
    from astropy.table import MaskedColumn, Table
    from astropy.utils.masked import Masked

    values, mask = np.arange(6.0).reshape(3, 2) / 7, [[False] * 2, [True, False], [False] * 2]
    table = Table({"z0": MaskedColumn(values[:, 0], mask=np.array(mask)[:, 0]), "z1": values[:, 1]})
    source = {
        "numpy": np.ma.array(values, mask=mask),
        "astropy": Masked(values, mask=mask),
        "table": table,
        "records": table.as_array(),
        "matrix in a table": Table({"latents": MaskedColumn(values, mask=mask), "id": [7, 8, 9]}),
    }[of]
    read = read_latents(source)
    np.testing.assert_array_equal(read.values, [values[0], [np.nan, values[1, 1]], values[2]])
    assert list(read.ok) == [True, False, True]


@pytest.mark.parametrize("cell", ["", "N/A", "--", "null", "<NA>", "None", "NaN", "NaT"])
def test_text_that_says_empty_is_missing(tmp_path, cell):
    text = f"id,star,teff\na,HD 1,5777\nb,{cell},{cell}\nc,Na,4000\n"
    (tmp_path / "l.csv").write_text(text)
    for labels in (
        read_labels(tmp_path / "l.csv"),
        read_labels(pd.DataFrame({"star": ["HD 1", cell, "Na"], "teff": ["5777", cell, "4000"]})),
    ):
        for name in ("star", "teff"):
            assert list(labels[name].isna()) == [False, True, False]
    assert read_labels(tmp_path / "l.csv")["teff"].dtype == np.float64


@pytest.mark.parametrize("name", ["index", "level_0", "Unnamed: 0", "row"])
@pytest.mark.parametrize("kind", ["csv", "parquet", "frame"])
def test_a_saved_index_is_no_dimension(tmp_path, name, kind):
    frame = pd.DataFrame(np.arange(24.0).reshape(12, 2) / 7, columns=["e_0", "e_1"])
    expected = frame.to_numpy()
    frame.insert(0, name, np.arange(12))
    source = frame
    if kind == "csv":
        source = tmp_path / "z.csv"
        frame.to_csv(source, index=False)
    elif kind == "parquet":
        source = tmp_path / "z.parquet"
        frame.to_parquet(source)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        read = read_latents(source)
    np.testing.assert_array_equal(read.values, expected)
    assert len(told) == 1


def test_an_index_of_chosen_rows_is_no_dimension_either(tmp_path):
    frame = pd.DataFrame({"e_a": np.arange(12.0) / 7}, index=np.arange(12) * 3)
    frame.to_csv(tmp_path / "z.csv")
    with pytest.warns(LatentscopeWarning, match="Unnamed: 0"):
        assert read_latents(tmp_path / "z.csv").dims == 1
    # Of an array a column is only told, and true dimensions are neither.
    counted = np.column_stack([np.arange(12), frame["e_a"]])
    with pytest.warns(LatentscopeWarning, match="dim 0 counts the rows"):
        assert read_latents(counted).dims == 2


def test_dimensions_that_only_resemble_an_index_stay(recwarn):
    whole = pd.DataFrame({"e0": np.arange(12.0), "e1": np.arange(12)[::-1], "e2": [0, 1] * 6})
    assert read_latents(whole).dims == 3
    assert read_latents(pd.DataFrame({"0": np.arange(12), "1": np.arange(12)})).dims == 2
    assert read_latents(np.arange(24.0).reshape(12, 2)).dims == 2
    assert read_latents(np.arange(3.0)[:, None]).dims == 1
    assert not recwarn


# Tables and files as they come from elsewhere.


def embeddings_file(path):
    """As AstroCLIP's embed_astroclip.py writes them: two embeddings, ids, images and spectra."""
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["image_embeddings"] = rng.normal(size=(5, 8)).astype(np.float32)
        file["spectrum_embeddings"] = rng.normal(size=(5, 8)).astype(np.float32)
        file["object_id"] = np.arange(5) + 39_627_000_000_000_000
        file["image"] = rng.normal(size=(5, 3, 4, 4)).astype(np.float32)
        file["spectrum"] = rng.normal(size=(5, 7, 1)).astype(np.float32)
        return np.asarray(file["spectrum_embeddings"])


def test_embeddings_beside_others_are_taken_by_their_key(tmp_path):
    path = tmp_path / "astroclip.hdf5"
    expected = embeddings_file(path)
    with pytest.raises(TableError, match=r"arrays \(image_embeddings, spectrum_embeddings\); say"):
        read_latents(path)
    read = read_latents(path, key="spectrum_embeddings")
    np.testing.assert_array_equal(read.values, expected)
    labels = pd.DataFrame({"object_id": read.table["object_id"][::-1], "z": np.arange(5.0)})
    np.testing.assert_array_equal(join_labels(read, labels)["z"], [4, 3, 2, 1, 0])
    with pytest.raises(TableError, match=r"no array 'nothing' .* image_embeddings"):
        read_latents(path, key="nothing")
    with pytest.raises(ChoiceError, match="come from no file"):
        read_latents(expected, key="nothing")


def test_arrays_in_groups_and_tables_of_astropy_in_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    from astropy.table import Table

    values = np.arange(12.0).reshape(4, 3)
    with h5py.File(tmp_path / "groups.h5", "w") as file:
        file["apogee/embeddings"] = values
        file["desi/embeddings"] = -values
        file["apogee/labels"] = np.zeros(4)
    read = read_latents(tmp_path / "groups.h5", key="apogee/embeddings")
    np.testing.assert_array_equal(read.values, values)
    table = Table({"TARGETID": [7, 8, 9, 10], "embedding": values, "z": np.ones(4)})
    table.write(tmp_path / "table.hdf5", path="data", serialize_meta=True)
    read = read_latents(tmp_path / "table.hdf5")
    np.testing.assert_array_equal(read.values, values)
    assert list(read.table["TARGETID"]) == [7, 8, 9, 10]


def test_lists_in_parquet_are_latents(tmp_path):
    values = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    frame = pd.DataFrame({"source_id": np.arange(6) + 2**60, "embedding": list(values)})
    frame.loc[2, "embedding"] = None
    frame["ra"] = 1.0
    frame.to_parquet(tmp_path / "e.parquet")
    read = read_latents(tmp_path / "e.parquet")
    np.testing.assert_array_equal(read.ok, np.arange(6) != 2)
    np.testing.assert_array_equal(read.values[read.ok], values[read.ok])
    assert read.table["source_id"].iloc[5] == 2**60 + 5
    frame["other"] = list(values)
    frame.to_parquet(tmp_path / "two.parquet")
    with pytest.raises(TableError, match="embedding, other"):
        read_latents(tmp_path / "two.parquet", "ra")
    np.testing.assert_array_equal(read_latents(tmp_path / "two.parquet", "other").values, values)
    ragged = pd.DataFrame({"embedding": [[1.0, 2.0], [1.0]]})
    ragged.to_parquet(tmp_path / "ragged.parquet")
    with pytest.raises(TableError, match="holds arrays"):
        read_latents(tmp_path / "ragged.parquet")


def test_npz_with_several_arrays(tmp_path):
    values = np.eye(3)
    np.savez(tmp_path / "z.npz", train=values, test=2 * values, logvar=-values)
    with pytest.raises(TableError, match="train, test"):
        read_latents(tmp_path / "z.npz")
    read = read_latents(tmp_path / "z.npz", key="test")
    np.testing.assert_array_equal(read.values, 2 * values)
    np.testing.assert_array_equal(read.logvar, -values)


@pytest.fixture
def conditions():
    return pd.DataFrame(
        {"Teff": [4000.0, 6000, np.nan], "[M/H]": [0.0, -1, -2], "unique_subset": ["1", None, "2"]}
    )


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("Teff > 5000", [1]),
        ("unique_subset.notna() and `[M/H]` < -0.5", [2]),
        ("not Teff > 5000", [0, 2]),
        ("Teff.isna() | (unique_subset == '1')", [0, 2]),
    ],
)
def test_conditions_are_those_of_pandas(conditions, where, rows):
    np.testing.assert_array_equal(np.flatnonzero(rows_where(conditions, where)), rows)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("teff > 5000", "'teff' is not defined"),
        ("Teff >", "invalid syntax"),
        ("Teff", "not true or false"),
        ("1 < 2", "not true or false"),
        ("Teff > @np.pi", "variables"),
        ("Teff.__class__ == 1", "internals"),
        ("import os", "not implemented"),
        ("open('x')", "."),
    ],
)
def test_conditions_that_are_none_name_the_columns(conditions, where, words):
    with pytest.raises(ChoiceError, match=words) as raised:
        rows_where(conditions, where)
    assert "on Teff, [M/H], unique_subset; " in str(raised.value)


def test_the_published_latents_are_the_unique_subset_of_their_table(values):
    labels = pd.DataFrame(
        {"dp_id": [f"ADP.{row}" for row in range(7)], "Teff": np.arange(7.0),
         "unique_subset": [np.nan, 1, 1, np.nan, 1, np.nan, 1]}
    )  # fmt: skip
    with pytest.warns(LatentscopeWarning, match="4 of 7 rows of labels whose unique_subset"):
        joined = join_labels(Latents(values), labels)
    assert list(joined["Teff"]) == [1, 2, 4, 6]
    labels.loc[0, "unique_subset"] = 1
    with pytest.raises(TableError, match="4 rows and labels has 7"):
        join_labels(Latents(values), labels)


def test_a_parquet_file_holds_latents_table_and_provenance(tmp_path):
    path = tmp_path / "x.parquet"
    table = pd.DataFrame(
        {
            "id": ["a", "=b", None],
            "rv": [1.5, np.nan, -2.0],
            "rv_ambiguous": [True, False, ""],
            "n": [1, 2, 3],
        }
    )
    values = np.array([[0.5, 1.0], [np.nan, np.nan], [3.0, -4.0]], dtype=np.float32)
    write_latents(Latents(values, table, -values, {"model": "m"}), path)
    found = read_latents(path)
    np.testing.assert_array_equal(found.values, values)
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.logvar, -values)
    assert found.provenance == {"latentscope": latentscope.__version__, "model": "m"}
    assert found.table["id"].tolist()[:2] == ["a", "=b"]
    assert pd.isna(found.table["id"][2])
    assert found.table["rv_ambiguous"].tolist()[:2] == [True, False]
    pd.testing.assert_frame_equal(found.table[["rv", "n"]], table[["rv", "n"]])
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_a_parquet_file_of_somebody_else_is_not_replaced(tmp_path):
    path = tmp_path / "x.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(path)
    before = path.read_bytes()
    with pytest.raises(TableError, match="which no encode wrote"):
        write_latents(Latents(np.ones((2, 2))), path)
    assert path.read_bytes() == before


def test_a_spectrum_is_found_below_the_latents_and_nowhere_else(tmp_path, monkeypatch):
    spectra = tmp_path / "demo" / "spectra"
    spectra.mkdir(parents=True)
    (spectra / "a.fits").touch()
    (tmp_path / "spectra").mkdir()
    (tmp_path / "spectra" / "b.fits").touch()
    monkeypatch.chdir(tmp_path / "demo")
    for latents in ("latents.npy", tmp_path / "demo" / "latents.npy"):
        for name in ("demo/spectra/a.fits", "spectra/a.fits", str(spectra / "a.fits")):
            assert spectrum_path(name, latents).samefile(spectra / "a.fits")
        # One above the latents need not be the one that was encoded.
        for name in ("spectra/b.fits", "spectra/c.fits", ""):
            assert spectrum_path(name, latents) is None


BIG = [5853498713190525696 + 4096 * step for step in range(6)]


@pytest.mark.parametrize("name", ["gaia_id", "source_id"])
@pytest.mark.parametrize("made", [float, lambda number: f"{float(number):.16g}"])
def test_ids_that_lost_their_digits_are_refused(name, made):
    latents = Latents(np.eye(6), pd.DataFrame({"gaia_id": list(map(str, BIG))}))
    labels = pd.DataFrame({"v": range(6), name: list(map(made, BIG[::-1]))})
    if name == "gaia_id":
        with pytest.raises(TableError, match="whose last digits are lost"):
            join_labels(latents, labels)
    else:
        with pytest.warns(LatentscopeWarning, match="source_id names each row"):
            join_labels(latents, labels)
        with pytest.raises(TableError, match="whose last digits are lost"):
            join_labels(latents, labels, join=name)
    with pytest.raises(TableError, match="whose last digits are lost"):
        join_labels(replace(latents, table=latents.table.astype(float)), labels, join=name)


def test_ids_that_lost_their_digits_do_no_harm_beside_names_of_files():
    files = [f"{row}.fits" for row in range(6)]
    latents = Latents(np.eye(6), pd.DataFrame({"gaia_id": list(map(float, BIG)), "file": files}))
    labels = pd.DataFrame({"gaia_id": BIG[::-1], "file": files[::-1], "v": range(6)})
    assert join_labels(latents, labels)["v"].tolist() == [5, 4, 3, 2, 1, 0]
    with pytest.raises(TableError, match="whose last digits are lost"):
        join_labels(latents, labels, join="gaia_id")
    labels["file"] = [f"{row}.fits" for row in range(6, 12)]
    with pytest.raises(TableError, match="whose last digits are lost"):
        join_labels(latents, labels)


def test_ids_in_exponent_notation_are_whole_numbers():
    latents = Latents(np.eye(3), pd.DataFrame({"id": ["7", "100000", "1200000"]}))
    labels = pd.DataFrame({"id": ["1.2e6", "1e+05", "7"], "v": [2, 1, 0]})
    assert join_labels(latents, labels)["v"].tolist() == [0, 1, 2]


def test_ids_of_many_digits_keep_them_beside_one_with_a_point():
    long = [BIG[0], BIG[0] + 1]
    latents = Latents(np.eye(3), pd.DataFrame({"gaia_id": ["7.0", *map(str, long)]}))
    labels = pd.DataFrame({"gaia_id": [long[1], long[0], 7], "v": range(3)})
    assert join_labels(latents, labels)["v"].tolist() == [2, 1, 0]
    mixed = latents.table.replace("7.0", f"{BIG[1]}.0")
    with pytest.raises(TableError, match="whose last digits are lost"):
        join_labels(replace(latents, table=mixed), labels)


def test_two_releases_of_gaia_number_stars_anew():
    names = [f"Gaia DR3 {number}" for number in BIG]
    latents = Latents(np.eye(6), pd.DataFrame({"object": names}))
    early = [name.replace("DR3", "EDR3") for name in names[::-1]]
    labels = pd.DataFrame({"object": early, "v": range(6)})
    assert join_labels(latents, labels, "object")["v"].tolist() == [5, 4, 3, 2, 1, 0]
    labels["object"] = [name.replace("EDR3", "DR2") for name in early]
    with pytest.raises(TableError, match="no id in common"):
        join_labels(latents, labels, "object")


def test_a_join_on_another_name_takes_any_id_of_the_latents():
    latents = Latents(np.eye(6), pd.DataFrame({"gaia_id": list(map(str, BIG))}))
    labels = pd.DataFrame({"Source": BIG[::-1], "v": range(6)})
    assert join_labels(latents, labels, "Source")["v"].tolist() == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("names", [("Teff", "emb_0"), ("Teff", "tau"), ("emb_1", "emb_0")])
@pytest.mark.parametrize("kind", ["file", "frame"])
def test_columns_that_do_not_say_their_dimension_are_told(tmp_path, names, kind):
    frame = pd.DataFrame({"id": ["a", "b"], names[0]: [5000, 6000], names[1]: [0.1, 0.2]})
    frame.to_csv(tmp_path / "z.csv", index=False)
    source = frame if kind == "frame" else tmp_path / "z.csv"
    with pytest.warns(LatentscopeWarning, match=f"dim 0 is {names[0]}, dim 1 is {names[1]}"):
        assert read_latents(source).names == names


def test_columns_that_say_their_dimension_under_another_name_are_taken(recwarn):
    frame = pd.DataFrame({"id": ["a", "b"], "emb_00": [1, 2], "emb_01": [0.1, 0.2]})
    assert read_latents(frame).names == ("emb_00", "emb_01")
    assert read_latents(frame[["id", "emb_00"]].rename(columns={"emb_00": "x"})).names == ("x",)
    assert not recwarn


def test_the_table_beside_latents_is_not_taken_for_them(tmp_path):
    table = pd.DataFrame({"id": ["a", "b"], "status": "ok", "median": [1.0, 2.0]})
    write_latents(Latents(np.eye(2), table), tmp_path / "z.npy")
    with pytest.raises(TableError, match=r"beside latents; expected these, such as .*z\.npy"):
        read_latents(tmp_path / "z.csv")
    read_latents(tmp_path / "z.npy").to_frame().to_csv(tmp_path / "all.csv", index=False)
    assert read_latents(tmp_path / "all.csv").shape == (2, 2)


def test_a_column_of_hosts_is_joined_on_names_of_stars():
    hosts = pd.DataFrame({"hostname": ["51 Peg", "HD 10700"], "mass": [0.5, 0.01]})
    stars = ["HD10700", "alf Cen A", "alf Cen B", "HD 1", "HD 10700"]
    table = pd.DataFrame({"id": list("abcde"), "object": stars})
    with pytest.warns(LatentscopeWarning, match="3 of 5 .* their object is not among its hostname"):
        found = join_labels(Latents(np.eye(5), table), hosts, join="hostname")
    assert found["mass"].fillna(0).tolist() == [0.01, 0, 0, 0, 0.01]


@pytest.mark.parametrize("kind", ["csv", "parquet", "id"])
def test_rows_that_a_file_counts_in_another_order_are_told(tmp_path, kind):
    np.save(tmp_path / "z.npy", np.eye(12))
    order = np.random.default_rng(0).permutation(12)
    labels = pd.DataFrame({"v": np.arange(12.0)}).iloc[order]
    path = tmp_path / ("labels.parquet" if kind == "parquet" else "labels.csv")
    if kind == "parquet":
        labels.to_parquet(path)
    else:
        labels.rename_axis("id" if kind == "id" else None).to_csv(path)
    latents = read_latents(tmp_path / "z.npy")
    with pytest.warns(LatentscopeWarning, match="counts the rows in another order"):
        assert join_labels(latents, path)["v"].tolist() == order.tolist()


@pytest.mark.parametrize("kind", ["other order", "other names", "same"])
def test_stars_of_both_sides_speak_for_an_order_or_against_it(kind, recwarn):
    stars = np.array([f"HD {number // 3}" for number in range(60)])
    latents = Latents(np.eye(60), pd.DataFrame({"star": stars}))
    others = {"other order": np.roll(stars, 30), "other names": np.arange(60), "same": stars}
    labels = pd.DataFrame({"object": others[kind], "v": np.arange(60)})
    if kind == "other order":
        with pytest.raises(TableError, match="order is not the same"):
            join_labels(latents, labels)
        return
    assert join_labels(latents, labels)["v"].tolist() == list(range(60))
    assert [str(each.message)[-12:] for each in recwarn] == ["60 rows each"] * (kind != "same")


def test_zeros_before_a_number_may_be_lost_on_one_side():
    latents = Latents(np.eye(12), pd.DataFrame({"id": [f"{number:05}" for number in range(12)]}))
    labels = pd.DataFrame({"id": np.arange(12)[::-1], "v": np.arange(12)[::-1]})
    assert join_labels(latents, labels)["v"].tolist() == list(range(12))
    both = Latents(np.eye(2), pd.DataFrame({"id": ["7", "007"]}))
    labels = pd.DataFrame({"id": ["007", "7"], "v": [1, 2]})
    assert join_labels(both, labels)["v"].tolist() == [2, 1]


@pytest.mark.parametrize(("shuffled", "told"), [("latents", True), ("both", False)])
def test_orders_that_both_sides_count_are_compared(tmp_path, recwarn, shuffled, told):
    order = np.random.default_rng(0).permutation(12)
    frame = pd.DataFrame(np.eye(12), columns=[f"z{dim}" for dim in range(12)])
    labels = pd.DataFrame({"v": np.arange(12.0)})
    frame.iloc[order].reset_index().to_parquet(tmp_path / "z.parquet")
    (labels.iloc[order] if shuffled == "both" else labels).to_csv(tmp_path / "l.csv")
    join_labels(read_latents(tmp_path / "z.parquet"), tmp_path / "l.csv")
    told_of = [str(one.message) for one in recwarn if "in another order" in str(one.message)]
    assert [text.startswith(str(tmp_path / "z.parquet")) for text in told_of] == [True] * told


def test_stars_in_another_order_are_refused_in_frames_as_in_files():
    stars = np.array([f"HD {number // 3}" for number in range(60)])
    latents = read_latents(pd.DataFrame(np.eye(60, 2), columns=["z0", "z1"]).assign(star=stars))
    labels = pd.DataFrame({"star": np.roll(stars, 30), "v": np.arange(60)})
    with pytest.raises(TableError, match="order is not the same"):
        join_labels(latents, labels)


@pytest.mark.parametrize("renumbered", [True, False])
def test_codes_of_stars_may_be_numbered_anew(renumbered):
    codes = np.random.default_rng(0).integers(0, 20, 60)
    latents = Latents(np.eye(60), pd.DataFrame({"star": codes}))
    other = 19 - codes if renumbered else np.roll(codes, 7)
    labels = pd.DataFrame({"star": other, "v": np.arange(60)})
    if renumbered:
        with pytest.warns(LatentscopeWarning, match="taken row by row"):
            assert join_labels(latents, labels)["v"].tolist() == list(range(60))
    else:
        with pytest.raises(TableError, match="order is not the same"):
            join_labels(latents, labels)


@pytest.mark.parametrize("names", ["PC1 PC2 PC3", "PC0 PC1", "u01 u02", "PC2 PC3", "PC1 PC3"])
def test_columns_numbered_from_0_or_1_are_dimensions(recwarn, names):
    frame = pd.DataFrame(np.eye(3)[:, : len(names.split())], columns=names.split())
    assert read_latents(frame).names == tuple(names.split())
    assert len(recwarn) == (names in ("PC2 PC3", "PC1 PC3"))
