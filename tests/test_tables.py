"""Names of columns and files: what numbers a dimension, what an id is, what a reader lacks."""

import gzip
import os
import sys
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable.tree import Resource, VOTableFile
from astropy.table import Table

from latentscope.data import read_labels, read_latents
from latentscope.errors import LatentscopeWarning, TableError
from latentscope.tables import file_id, read_contents, star_name, write_csv


@pytest.mark.parametrize("prefix", ["z", "", "dim_", "latent "])
def test_columns_of_latents_are_in_order_of_their_numbers(prefix):
    by_text = sorted(range(12), key=str)
    frame = pd.DataFrame({f"{prefix}{number}": [number, -number] for number in by_text})
    np.testing.assert_array_equal(read_latents(frame).values[0], np.arange(12))


@pytest.mark.parametrize("columns", [["11", "19", "58"], ["z1", "z2", "z3"], ["z0", "z1", "1"]])
def test_other_numbers_than_0_to_d_are_told(columns):
    frame = pd.DataFrame({name: [1.0, 2.0] for name in columns})
    told = f"dim 0 is column {columns[0]}, dim 1 is column {columns[1]}"
    with pytest.warns(LatentscopeWarning, match=told):
        assert read_latents(frame).dims == 3


def test_columns_without_numbers_are_taken_as_they_come():
    with pytest.warns(LatentscopeWarning, match="dim 0 is b, dim 1 is a"):
        assert read_latents(pd.DataFrame({"b": [1.0], "a": [2.0]})).values.tolist() == [[1, 2]]


@pytest.mark.parametrize("packed", ["", ".gz", ".bz2", ".fz"])
@pytest.mark.parametrize(
    "suffix",
    ["fits", "fit", "fts", "csv", "ecsv", "tsv", "txt", "dat", "asc", "ascii", "npy", "FITS"],
)
def test_suffixes_of_spectra_are_no_part_of_their_id(suffix, packed):
    assert file_id(f"a/b/ADP.2014-09-16T11:04:49.123.{suffix}{packed}") == (
        "ADP.2014-09-16T11:04:49.123"
    )


def test_what_is_no_suffix_stays():
    assert file_id("ADP.2014-09-16T11:04:49.123") == "ADP.2014-09-16T11:04:49.123"
    assert file_id("night.dat.fits") == "night.dat"
    assert file_id(".fits") == ".fits"


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    pd.DataFrame({"z0": [1.0]}).to_parquet(tmp_path / "z.parquet")
    for name in ("pyarrow", "fastparquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(TableError, match="needs the package pyarrow: pip install pyarrow"):
        read_latents(tmp_path / "z.parquet")


@pytest.mark.parametrize(
    "rows",
    ["007,1,2,\n8,4,5,\n", "007,1,2,\n8,4,5\n", "007,1,2\n8,4,5,\n", '007, 1, "2", \n\n8,4,5\n'],
)
def test_a_comma_at_the_end_of_rows_shifts_nothing(tmp_path, rows):
    (tmp_path / "l.csv").write_text("id,teff,logg\n" + rows)
    frame = read_labels(tmp_path / "l.csv")
    assert frame.to_dict("list") == {"id": ["007", "8"], "teff": [1, 4], "logg": [2, 5]}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("1,2,3,4\n", "row 2 has 4 fields, the header 3"),
        ("1,2,3,\n4,5,6,7\n", "row 3 has 4 fields, the header 3"),
        ("1,2,3\n4,5,6,,\n", "row 3 has 5 fields, the header 3"),
        ("1,2,3\n\n#4,5,6\n7,8,9,10\n", "row 5 has 4 fields, the header 3"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_more_fields_than_names_are_an_error(tmp_path, rows, said, packed):
    path = tmp_path / ("l.csv.gz" if packed else "l.csv")
    text = ("id,teff,logg\n" + rows).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    with pytest.raises(TableError, match=rf"l\.csv.*: {said}"):
        read_labels(path)


@pytest.mark.parametrize("mark", [";", "\t"])
def test_semicolons_and_tabs_separate_as_commas_do(tmp_path, mark):
    path = tmp_path / "l.csv"
    path.write_text(f"id{mark}teff{mark}logg, dex\n007{mark}5500,5{mark}4.5\n")
    frame = read_labels(path)
    assert frame.to_dict("records") == [{"id": "007", "teff": "5500,5", "logg, dex": 4.5}]
    path.write_text(f"id,flag (a{mark}b{mark}c)\n1,2\n")
    assert read_labels(path).shape == (1, 2)
    path.write_text(f"id{mark}teff\n1{mark}5500{mark}4\n")
    with pytest.raises(TableError, match=r"l\.csv: row 2 has 3 fields, the header 2"):
        read_labels(path)


def test_decimals_are_numbers_but_in_ids():
    values = [Decimal("1.5"), None, Decimal("2")]
    frame = read_labels(pd.DataFrame({"v": values, "id": [Decimal(10**17 + i) for i in range(3)]}))
    assert frame["v"].dtype == np.float64
    np.testing.assert_array_equal(frame["v"], [1.5, np.nan, 2])
    assert [str(name) for name in frame["id"]] == [str(10**17 + i) for i in range(3)]


def test_text_that_a_spreadsheet_would_compute_is_text_and_comes_back(tmp_path):
    texts = ["=1+1", "@SUM(A1)", "+x", "-log g", "-1.5", "'=quoted", "it's", "-", "a\x1b[31m\r\nb"]
    frame = pd.DataFrame({"id": texts, "object": texts, "note": texts, "z": -np.arange(9.0)})
    path = tmp_path / "t.csv"
    write_csv(frame, path)
    escaped = [*texts[:-1], r"a\x1b[31m\r\nb"]
    read = read_contents(path).frame
    for name in ("id", "object", "note"):
        assert list(read[name]) == escaped
    np.testing.assert_array_equal(read["z"], frame["z"])
    cells = pd.read_csv(path)
    assert list(cells["note"])[:6] == ["'=1+1", "'@SUM(A1)", "'+x", "'-log g", "-1.5", "''=quoted"]
    assert list(frame["id"]) == texts  # the table that was given stays as it is


def test_apostrophes_of_labels_that_protect_nothing_stay(tmp_path):
    (tmp_path / "t.csv").write_text("id,note\na,'tis\nb,'\n")
    assert list(read_contents(tmp_path / "t.csv").frame["note"]) == ["'tis", "'"]


@pytest.mark.parametrize("name", ["objects.npy", "objects.npz"])
def test_objects_are_not_loaded_and_the_way_out_is_said(tmp_path, name):
    values = np.array([[1.0, None]], dtype=object)
    if name.endswith(".npy"):
        np.save(tmp_path / name, values, allow_pickle=True)
    else:
        np.savez(tmp_path / name, values=values)
    with pytest.raises(TableError, match=r"dtype=float") as caught:
        read_latents(tmp_path / name)
    assert "allow_pickle" not in str(caught.value)


def test_what_is_no_file_is_not_called_absent(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(TableError, match="a device, a pipe"):
        read_latents(tmp_path / "pipe.npy")


def test_an_archive_that_swells_is_refused_and_one_of_zeros_is_read(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", z=np.zeros((500_000, 4), "f4"))
    assert len(read_latents(tmp_path / "a.npz")) == 500_000
    monkeypatch.setattr("latentscope.tables.MAX_BYTES", 1_000_000)
    with pytest.raises(TableError, match="unpacks to"):
        read_latents(tmp_path / "a.npz")


def test_a_table_without_names_is_no_table_that_lost_a_row(tmp_path):
    np.savetxt(tmp_path / "z.csv", np.eye(3) / 3, delimiter=",")
    with pytest.raises(TableError, match="first row holds numbers"):
        read_latents(tmp_path / "z.csv")
    (tmp_path / "z.csv").write_text("teff, teff\n1,2\n")
    with pytest.raises(TableError, match="several columns are named teff"):
        read_latents(tmp_path / "z.csv")
    pd.DataFrame(np.eye(3)).to_csv(tmp_path / "z.csv", index=False)
    assert read_latents(tmp_path / "z.csv").shape == (3, 3)


def test_a_file_that_runs_code_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "z.pt").write_bytes(b"")
    with pytest.raises(TableError, match=r"np\.save"):
        read_latents(tmp_path / "z.pt")


ROWS = "1{0}5500.5{0}G2 V\n2{0}4800.0{0}K1 V\n"


@pytest.mark.parametrize(
    ("head", "mark"),
    [
        ("id,Teff,SpType\n", ","),
        ("id;Teff;SpType\n;K;\n", ";"),
        ("#\n#Column\tTeff\t(F6.1)\n\nid\tTeff\tSpType\n \tK\t \n--\t----\t----\n", "\t"),
        ("id,Teff,SpType\n-,[K],-\n", ","),
        ("# made in 2024\n# id, Teff, SpType\n", ","),
        ("sep=;\nid;Teff;SpType\n", ";"),
        ("#id,Teff,SpType\n", ","),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_stands_above_the_rows_of_a_table(tmp_path, head, mark, encoding):
    path = tmp_path / "l.tsv"
    path.write_text(head + ROWS.format(mark), encoding=encoding)
    units = "K" in head.replace("SpType", "")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = read_labels(path)
    assert frame.to_dict("list") == {
        "id": ["1", "2"], "Teff": [5500.5, 4800.0], "SpType": ["G2 V", "K1 V"],
    }  # fmt: skip
    assert [str(w.message).endswith(("K", "[K]")) for w in caught] == [True] * units


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "latin-1"])
def test_text_of_other_encodings_without_their_mark_is_refused(tmp_path, encoding):
    (tmp_path / "l.csv").write_bytes("id,observer\n1,Lübeck\n".encode(encoding))
    with pytest.raises(TableError, match=r"l\.csv: is not UTF-8.*save it as UTF-8"):
        read_labels(tmp_path / "l.csv")


@pytest.mark.parametrize("first", ["Sun,", "Sun,low", "1,", "--,--"])
def test_a_first_row_of_text_is_no_row_of_units(tmp_path, first):
    (tmp_path / "l.csv").write_text(f"object,Teff\n{first}\n51,5000\n18,5600\n")
    assert len(read_labels(tmp_path / "l.csv")) == 3


def test_columns_between_blanks_and_of_several_levels(tmp_path):
    (tmp_path / "l.dat").write_text("  id   Teff  logg\n   1 5500.0   4.5\n  20  480.0  12.5\n")
    frame = read_labels(tmp_path / "l.dat")
    assert frame.to_dict("list") == {"id": ["1", "20"], "Teff": [5500, 480], "logg": [4.5, 12.5]}
    (tmp_path / "l.txt").write_text("# id Teff\n  1 5500.5\n 20  480.0\n")  # of TOPCAT
    assert read_labels(tmp_path / "l.txt").to_dict("list") == {
        "id": ["1", "20"],
        "Teff": [5500.5, 480],
    }
    (tmp_path / "z.csv").write_text("# of a model, 2 dims\n0,1\n0.5,1.5\n")
    assert read_latents(tmp_path / "z.csv").shape == (1, 2)
    (tmp_path / "l.csv").write_text("observed at\n2012-01-01 10:00\n")
    assert list(read_labels(tmp_path / "l.csv")) == ["observed at"]
    levels = pd.DataFrame({("Teff", "mean"): [1.0], ("Teff", "std"): [2.0]})
    assert list(read_labels(levels)) == ["Teff mean", "Teff std"]


def test_of_a_catalog_with_vectors_and_tables_about_it_the_long_one_is_read(tmp_path):
    about = Table({"version": ["dr17"], "x": [[1.0, 2.0]]})
    stars = Table({"Teff": [5000.0, 6000.0, 5500.0], "vector": np.eye(3)})
    hdus = [fits.PrimaryHDU(), *map(fits.table_to_hdu, (about, stars, stars))]
    fits.HDUList(hdus).writeto(tmp_path / "l.fits")
    with pytest.warns(LatentscopeWarning) as caught:
        frame = read_labels(tmp_path / "l.fits")
    assert frame.to_dict("list") == {"Teff": [5000, 6000, 5500]}
    told = [str(warning.message) for warning in caught]
    assert "of its 3 tables number 2 is read, the first of the longest (3 rows)" in told[0]
    assert "vector (3, 3)" in told[1]


def test_the_long_table_of_a_votable_is_read(tmp_path):
    votable = VOTableFile()
    votable.resources.append(Resource())
    for column in ([1.5], [5000.0, 6000.0]):
        table = from_table(Table({"Teff": column})).get_first_table()
        votable.resources[0].tables.append(table)
    votable.to_xml(str(tmp_path / "l.vot"))
    with pytest.warns(LatentscopeWarning, match="of its 2 tables number 2 is read"):
        assert list(read_labels(tmp_path / "l.vot")["Teff"]) == [5000, 6000]


def test_text_in_columns_of_latents_is_shown(tmp_path):
    (tmp_path / "z.csv").write_text("id;z0\na;0,5\nb;0,25\n")
    with pytest.raises(TableError, match="z0 holds text such as '0,5'"):
        read_latents(tmp_path / "z.csv")


@pytest.mark.parametrize("cell", ["NA", "n/a", "null", "#N/A", "...", "unknown"])
def test_a_first_row_that_says_empty_is_no_row_of_units(tmp_path, cell, recwarn):
    (tmp_path / "l.csv").write_text(f"teff,logg\n{cell},{cell}\n5777,4.4\n5000,4.0\n")
    assert len(read_labels(tmp_path / "l.csv")) == 3
    assert not recwarn.list


def test_blank_lines_alone_are_no_rows(tmp_path):
    (tmp_path / "l.csv").write_text("id,teff\n   \n")
    with pytest.raises(TableError, match="has 0 rows"):
        read_labels(tmp_path / "l.csv")


def test_a_name_of_two_lines_loses_no_row(tmp_path):
    (tmp_path / "l.csv").write_text('# of 5" and "more\n"teff\n[K]",logg\n5777,4.4\n5000,4.0\n')
    assert read_labels(tmp_path / "l.csv")["logg"].tolist() == [4.4, 4.0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HD 1", "HD 10"),
        ("HD 10 A", "HD 10 B"),
        ("TYC 1 23 1", "TYC 12 3 1"),
        ("TYC 1-23-1", "TYC 12-3-1"),
        ("BD+1 2345", "BD+12 345"),
        ("BD-12 345", "BD+12 345"),
        ("NGC 104 1", "NGC 1041"),
        ("alf Cen A", "alf Cen B"),
        ("alf Cen B", "alf Cen b"),
        ("HD_189733_B", "HD189733b"),
        ("GJ 581 b", "GJ 581 c"),
        ("GJ 581", "GJ 581 b"),
    ],
)
def test_names_of_two_stars_stay_two(one, other):
    assert star_name(one) != star_name(other)


ALL_TEXT = [
    # Either could be the names.
    ("# kind,field\nG2V,north\nK1V,north\n", ["G2V", "north"], 1, "for a comment"),
    ("# K,class\nTeff,type\n5000,G2\nTeff,type\n", ["Teff", "type"], 2, "for a comment"),
    ("# stars\n# name,kind\nHD 1,G2V\nHD 22,K1V\n", ["HD 1", "G2V"], 1, "for a comment"),
    ("# a, b\nname,kind\nSirius,A\nVega,B\n", ["name", "kind"], 2, "for a comment"),
    ("# of 2020, by hand\nname,kind\nSirius,A\nVega,B\n", ["name", "kind"], 2, None),
]


@pytest.mark.parametrize(("text", "names", "rows", "told"), ALL_TEXT)
def test_names_in_a_comment_above_text(tmp_path, text, names, rows, told):
    (tmp_path / "l.csv").write_text(text)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = read_labels(tmp_path / "l.csv")
    assert (list(frame), len(frame)) == (names, rows)
    assert [told in str(warning.message) for warning in caught] == [True] * (told is not None)


def test_rows_that_were_commented_out_are_left_out_and_told(tmp_path):
    (tmp_path / "l.csv").write_text("id,teff\na,5777\n#b,4000\n# bad night\nc,5000\n#D,'#1'\n")
    with pytest.warns(LatentscopeWarning, match="begin with #: 3 rows"):
        labels = read_labels(tmp_path / "l.csv")
    assert labels["teff"].tolist() == [5777, 5000]
    (tmp_path / "names.csv").write_text("name,teff\n#1,5777\n#2,4000\n")
    assert read_labels(tmp_path / "names.csv")["name"].tolist() == ["#1", "#2"]


def test_a_row_that_was_cut_is_told(tmp_path):
    (tmp_path / "l.csv").write_text("id,teff,logg\na,5777,4.4\nb,40")
    with pytest.warns(LatentscopeWarning, match="fewer fields than names: 1 rows"):
        read_labels(tmp_path / "l.csv")


def test_whole_numbers_keep_their_digits_beside_a_gap(tmp_path):
    numbers = [5853498713190525696 + step for step in range(3)]
    rows = "".join(f"{it},1\n" for it in numbers)
    (tmp_path / "l.csv").write_text(f"Source,teff\n{rows},2\n")
    assert read_labels(tmp_path / "l.csv")["Source"].dropna().tolist() == numbers
    masked = np.ma.masked_equal(numbers, numbers[0])
    assert read_labels({"Source": masked})["Source"].tolist()[1:] == numbers[1:]


def test_a_curve_of_losses_beside_latents_is_no_column_of_them(tmp_path):
    np.savez(
        tmp_path / "l.npz", mean=np.eye(3), losses=np.arange(7.0), id=np.array(["a", "b", "c"])
    )
    with pytest.warns(LatentscopeWarning, match=r"l\.npz: left out, .*: losses"):
        assert list(read_latents(tmp_path / "l.npz").ids) == ["a", "b", "c"]


def test_k2_is_a_catalog_of_its_own():
    assert star_name("K2-18") == star_name("K2 18") != star_name("K 218")
