"""Trust columns of latents as arrays, and the draw of a reference."""

import numpy as np
import pandas as pd
import pytest

from latentscope.data import Latents, read_latents, write_latents
from latentscope.diagnostics.trust.sample import sample_of, sample_rows
from latentscope.errors import TableError
from tests.diagnostics.trust.made import EDGES, SHA, made, without


def test_columns_become_arrays_also_from_files(tmp_path):
    latents = made(50)
    write_latents(latents, tmp_path / "latents.npy")
    for found in (sample_rows(latents), sample_rows(read_latents(tmp_path / "latents.npy"))):
        np.testing.assert_allclose(found.values, latents.values, rtol=1e-6)
        np.testing.assert_allclose(found.snr, latents.table["snr"])
        wanted = np.array([row.split() for row in latents.table["recon_segments"]], float)
        np.testing.assert_array_equal(found.segments, wanted)
        np.testing.assert_allclose(found.edges, EDGES)
        assert found.info["weights_sha256"] == SHA


def test_rows_without_errors_are_nan():
    latents = made(5)
    latents.table.loc[[0, 3], "recon_segments"] = ["", np.nan]
    latents.table.loc[1, "recon_segments"] = " ".join(["nan", *["1e-2"] * 7])
    found = sample_rows(latents).segments
    assert np.isnan(found[[0, 3]]).all()
    assert np.isnan(found[1, 0])
    assert (found[1, 1:] == 0.01).all()
    assert np.isfinite(found[[2, 4]]).all()


def test_what_is_not_known_is_nan():
    found = sample_rows(Latents(np.zeros((4, 2))))
    assert found.segments.shape == (4, 0)
    for column in (found.recon_error, found.coverage, found.snr, found.resolution):
        assert np.isnan(column).all()


@pytest.mark.parametrize("text", ["1 2 3", "a b c d e f g h", "1 2 3 4 5 6 7 8 9"])
def test_other_text_is_refused(text):
    latents = made(5)
    latents.table.loc[2, "recon_segments"] = text
    with pytest.raises(TableError, match=r"made 0: column recon_segments .* 8 numbers"):
        sample_rows(latents)


def test_a_draw_takes_one_row_a_star_and_no_failed_ones():
    latents = made(400)
    latents.table["object"] = [f"star {i // 4}" for i in range(400)]
    latents.values[:8] = np.nan
    sample = sample_of(latents, size=1000)
    assert len(sample) == 98
    stars = {str(latents.table["object"][np.flatnonzero(latents.table["snr"] == snr)[0]])
             for snr in sample.snr}  # fmt: skip
    assert len(stars) == 98
    assert sample.info["origin"] == "made 0"


def test_a_draw_is_random_repeatable_and_no_larger_than_asked():
    latents = made(300)
    one, same, other = (sample_of(latents, size=50, seed=seed) for seed in (1, 1, 2))
    assert len(one) == 50
    np.testing.assert_array_equal(one.values, same.values)
    assert not np.array_equal(one.values, other.values)
    assert not np.array_equal(np.sort(one.snr), one.snr)
    named = sample_of(latents, groups=np.zeros(300), origin="one star")
    assert (len(named), named.info["origin"]) == (1, "one star")


def test_nothing_to_draw_from_is_an_error():
    with pytest.raises(TableError, match="no row has latents"):
        sample_of(Latents(np.full((5, 2), np.nan)))
    with pytest.raises(TableError, match="3 values for 300 rows"):
        sample_of(made(300), groups=np.zeros(3))


def test_unnamed_stars_are_each_their_own():
    latents = without(made(20), "object")
    latents.table["star"] = pd.Series(["a"] * 10 + [""] * 10, dtype=object)
    assert len(sample_of(latents)) == 11
