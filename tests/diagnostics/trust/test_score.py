"""Rows that follow the law of the reference, and rows that break it in one way each."""

import numpy as np
import pandas as pd
import pytest

from latentscope.data import Latents
from latentscope.diagnostics.trust.reference import Reference
from latentscope.diagnostics.trust.sample import sample_of
from latentscope.diagnostics.trust.score import score
from latentscope.errors import TableError
from tests.diagnostics.trust.made import EDGES, made, without


@pytest.fixture(scope="module")
def ordinary():
    return made(2000, seed=1)


@pytest.fixture(scope="module")
def reference(ordinary):
    return Reference(sample_of(ordinary))


def test_five_percent_of_ordinary_rows_are_doubtful(reference):
    result = score(made(3000, seed=2), reference=reference)
    trust = result.table["trust"].to_numpy()
    assert np.mean(trust < 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(trust < 0.001) < 0.005
    assert np.mean(trust < 0.5) == pytest.approx(0.5, abs=0.1)
    assert result.counts["ordinary"] > 2750
    for name in ("recon", "misfit", "density", "resolution"):
        percentile = result.table[f"{name}_percentile"]
        assert percentile.median() == pytest.approx(50, abs=6)
        assert percentile.between(0, 100).all()


@pytest.mark.parametrize(
    ("odd", "column", "reason"),
    [
        ({"bump": 1.6}, "misfit_percentile", "most near 6,716 A"),
        ({"power": 40_000.0}, "resolution_percentile", ", below 99.9 %"),
        ({"shift": 9.0}, "density_percentile", "latents in an emptier place than 99.9 %"),
    ],
)
def test_each_way_to_be_odd_is_seen_and_named(reference, odd, column, reason):
    table = score(made(100, seed=3, **odd), reference=reference).table
    assert (table["verdict"] == "outside").mean() > 0.95
    assert (np.abs(table[column] - 50) > 45).mean() > 0.95
    assert table["reason"].str.contains(reason, regex=False).mean() > 0.95


def test_a_bump_is_found_where_it_is_with_its_size(reference):
    table = score(made(100, seed=3, bump=1.6), reference=reference).table
    assert (table["worst"] == np.mean(EDGES[-2:])).all()
    assert table["worst_ratio"].median() == pytest.approx(1.6, rel=0.1)


def test_more_noise_is_no_reason(reference):
    noisy = made(4000, seed=4)
    noisy = Latents(noisy.values, noisy.table, provenance=noisy.provenance)
    loud = noisy.table["recon_error"] > noisy.table["recon_error"].quantile(0.9)
    table = score(noisy, reference=reference).table
    assert table["recon_percentile"][loud].median() < 85
    assert (table["verdict"][loud] == "ordinary").mean() > 0.85


def test_worse_errors_at_equal_noise_are_seen(reference):
    table = score(made(200, seed=5, worse=2.0), reference=reference).table
    assert table["recon_percentile"].median() > 99


def test_rows_without_noise_known_are_compared_without(reference):
    rows = made(500, seed=6)
    rows.table["snr"] = np.nan
    table = score(rows, reference=reference).table
    assert table["misfit_percentile"].notna().all()
    assert (table["trust"] < 0.05).mean() < 0.1
    rows = made(100, seed=6, bump=1.6)
    rows.table["snr"] = np.nan
    assert (score(rows, reference=reference).table["verdict"] == "outside").mean() > 0.9


def test_parts_that_a_spectrum_does_not_fill_are_left_out(reference):
    for bump, low, high in ((1.0, 0.9, 1.0), (1.6, 0.0, 0.1)):
        rows = made(200, seed=7, bump=bump)
        texts = [" ".join(["nan"] * 3 + row.split()[3:]) for row in rows.table["recon_segments"]]
        rows.table["recon_segments"] = texts
        ordinary = (score(rows, reference=reference).table["verdict"] == "ordinary").mean()
        assert low <= ordinary <= high


def test_low_coverage_is_doubtful(reference):
    rows = made(50, seed=8)
    rows.table.loc[:9, "coverage"] = 0.6
    table = score(rows, reference=reference).table
    assert (table["verdict"][:10] != "ordinary").all()
    assert table["reason"][:10].str.contains("fills 60 % of the grid, the reference 100 %").all()


def test_rows_without_latents_keep_their_place(reference):
    rows = made(30, seed=9)
    rows.values[4] = np.nan
    rows.table.loc[4, "error"] = "no such file"
    result = score(rows, reference=reference)
    assert list(result.table["id"]) == list(rows.table["id"])
    assert result.table["verdict"][4] == ""
    assert result.table["reason"][4] == "no latents: no such file"
    assert np.isnan(result.table["trust"][4])
    assert result.counts["none"] == 1
    assert "; 1 have no latents" in result.sentences()[0]


def test_without_parts_the_error_itself_counts(ordinary):
    bare = without(ordinary, "recon_segments", "resolution")
    rows = without(made(100, seed=10, worse=2.0), "recon_segments", "resolution")
    result = score(rows, reference=bare)
    assert result.table["misfit_percentile"].isna().all()
    assert (result.table["verdict"] != "ordinary").mean() > 0.9
    assert result.table["reason"].str.contains("reconstruction worse than 99").any()
    assert "its pattern over wavelength, resolution" in " ".join(result.sentences(0))


def test_plain_arrays_have_their_density(ordinary):
    rng = np.random.default_rng(0)
    rows = np.vstack([rng.normal(size=(300, 3)), [[8.0, 8.0, 0.0]]])
    table = score(rows, reference=rng.normal(size=(1000, 3))).table
    assert table["trust"].idxmin() == 300
    assert table["verdict"].iloc[-1] == "outside"
    assert (table["trust"][:-1] < 0.05).mean() == pytest.approx(0.05, abs=0.04)
    assert list(table["id"]) == list(range(301))


def test_rows_can_be_their_own_reference(ordinary):
    values = np.vstack([ordinary.values, [[9.0, 9.0, 0.0]]])
    result = score(values)
    assert result.provenance["own_reference"]
    assert result.table["trust"].idxmin() == len(ordinary)
    assert (result.table["trust"] < 0.05).mean() == pytest.approx(0.05, abs=0.01)
    assert "compared with each other" in result.sentences()[1]


def test_held_out_rows_are_judged_like_new_ones(ordinary):
    own, new = score(ordinary), score(made(2000, seed=11), reference=ordinary)
    for name in ("recon", "misfit", "density"):
        column = f"{name}_percentile"
        for level in (5, 50, 95):
            shares = [(result.table[column] < level).mean() for result in (own, new)]
            assert shares[0] == pytest.approx(shares[1], abs=0.045)


def test_a_star_counts_once_in_its_own_reference(ordinary):
    values = np.repeat(ordinary.values[:300], 5, axis=0)
    stars = np.repeat(np.arange(300), 5)
    result = score(values, groups=stars)
    assert result.provenance["reference"]["rows"] == 300
    frame = pd.DataFrame(values).assign(star=stars.astype(str))
    assert score(frame, groups="star").provenance["reference"]["rows"] == 300


def test_order_and_company_of_rows_do_not_matter(reference):
    rows = made(60, seed=12)
    whole = score(rows, reference=reference).table
    order = np.random.default_rng(0).permutation(60)[:20]
    some = Latents(
        rows.values[order], rows.table.iloc[order].reset_index(drop=True),
        provenance=rows.provenance,
    )  # fmt: skip
    found = score(some, reference=reference).table
    pd.testing.assert_frame_equal(found, whole.iloc[order].reset_index(drop=True))


def test_a_dimension_that_says_nothing_does_not_count(reference):
    assert list(reference.dims) == [0, 1]
    rows = made(50, seed=13)
    rows.values[:, 2] *= 1000
    before = score(made(50, seed=13), reference=reference).table
    pd.testing.assert_frame_equal(score(rows, reference=reference).table, before)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (lambda: made(5, sha="b" * 64), r"made 0: encoded by other weights \(bbbbbbbbbbbb"),
        (lambda: Latents(np.zeros((5, 2))), "2 dimensions, but made 1 has 3"),
    ],
)
def test_what_does_not_belong_together_is_refused(reference, rows, message):
    with pytest.raises(TableError, match=message):
        score(rows(), reference=reference)


def test_another_grid_is_refused(reference):
    rows = made(5)
    rows.provenance["recon_segments"] = (np.array(rows.provenance["recon_segments"]) + 5).tolist()
    with pytest.raises(TableError, match="8 parts of the spectrum are not those of made 1"):
        score(rows, reference=reference)


def test_a_reference_has_a_hundred_rows(ordinary):
    with pytest.raises(TableError, match="99 rows with latents; wanted at least 100"):
        Reference(sample_of(ordinary, size=99))
    with pytest.raises(TableError, match="no column 'night'"):
        score(ordinary, groups="night")


def test_the_table_goes_into_words(reference):
    rows = made(40, seed=14, bump=1.6)
    lines = score(rows, reference=reference).sentences(3)
    assert lines[0].startswith("of 40 spectra ")
    assert lines[1].startswith("compared with 2,000 ordinary spectra (made 1)")
    assert "differs from the reference as a whole" in lines[2]
    assert len(lines) == 6
    assert lines[3].startswith("s14-")
    assert "outside (trust below 0.001): reconstruction odder than 99.9 %" in lines[3]


def test_known_lines_are_named():
    from latentscope.diagnostics.trust.words import feature_names

    named = feature_names(np.array([5100.0, 5200.0, 6800.0, 6910.0, 7650.0, 7700.0]))
    assert named == {
        5150.0: "Mg b", 6000.0: "Na D, H-alpha", 6855.0: "O2 of the air",
        7280.0: "O2 of the air", 7675.0: "O2 of the air",
    }  # fmt: skip
