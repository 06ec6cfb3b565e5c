"""Names of columns and files: what numbers a dimension, what an id is, what a reader lacks."""

import sys

import numpy as np
import pandas as pd
import pytest

from latentscope.errors import LatentscopeWarning, TableError
from latentscope.latents import read_latents
from latentscope.tables import file_id


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


def test_columns_without_numbers_are_taken_as_they_come(recwarn):
    assert read_latents(pd.DataFrame({"b": [1.0], "a": [2.0]})).values.tolist() == [[1, 2]]
    assert not recwarn


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
