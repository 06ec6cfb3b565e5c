"""Trust of rows: the statistics it rests on, and rows that break the law of the reference."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis

from latentscope.data import Latents, read_latents, write_latents
from latentscope.diagnostics.study import read_study
from latentscope.diagnostics.trust import feature_names, score_against
from latentscope.diagnostics.trust_reference import (
    N_FOLDS,
    Fit,
    Pattern,
    Reference,
    combined,
    draw_trust_sample,
    folds,
    held_out,
    percent_below,
    same_columns,
    share_above,
    trust_rows,
)
from latentscope.errors import TableError
from tests.diagnostics.trust_cases import EDGES, SHA, made, without

PARETO = (1 - (np.arange(2000) + 0.5) / 2000) ** (-1 / 4.0)  # P(d > x) = x^-4 for x > 1


def test_a_power_law_is_continued_beyond_its_sample():
    at = np.array([1.5, 3.0, 20.0, 100.0])
    np.testing.assert_allclose(share_above(PARETO, at), at**-4.0, rtol=0.15)
    assert share_above(PARETO, np.array([100.0]))[0] < 1e-7


def test_uniform_for_what_comes_from_the_reference():
    rng = np.random.default_rng(1)
    p = share_above(rng.gamma(3.0, size=4000), rng.gamma(3.0, size=4000))
    for level in (0.5, 0.1, 0.05, 0.01):
        assert np.mean(p <= level) == pytest.approx(level, abs=3 * np.sqrt(level / 4000) + 0.002)


@given(st.lists(st.floats(0.1, 1e3), min_size=2, max_size=40))
def test_larger_distances_are_never_more_likely(distances):
    p = share_above(PARETO, np.sort(distances))
    assert (np.diff(p) <= 1e-12).all()
    assert ((p > 0) & (p <= 1)).all()


def test_small_references_count_alone():
    p = share_above(np.arange(1.0, 10.0), np.array([0.0, 5.0, 100.0, np.nan]))
    np.testing.assert_allclose(p, [1.0, 0.6, 0.1, np.nan])


def test_equal_distances_have_no_tail():
    p = share_above(np.ones(500), np.array([1.0, 2.0]))
    np.testing.assert_allclose(p, [1.0, 1 / 501])


def test_percentiles_count_what_is_below():
    found = percent_below(np.arange(10.0), np.array([-1.0, 0.0, 4.5, 99.0, np.nan]))
    np.testing.assert_array_equal(found, [0, 0, 50, 100, np.nan])


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_every_row_comes_once_with_its_own_columns(share):
    filled = np.random.default_rng(0).random((200, 3)) >= share
    seen = np.zeros(200, int)
    sets = []
    for columns, rows in same_columns(filled):
        assert (filled[rows] == columns).all()
        seen[rows] += 1
        sets.append(tuple(columns))
    assert (seen == 1).all()
    assert len(sets) == len(set(sets)) == len(np.unique(filled, axis=0))


FIT_RNG = np.random.default_rng(0)
X = FIT_RNG.normal(size=(2000, 3))


def quadratic(x):
    first = 1 + 2 * x[:, 0] - x[:, 1] + 0.5 * x[:, 0] * x[:, 2]
    return np.column_stack([first, -3 + x[:, 2] ** 2])


def test_a_quadratic_is_found_again():
    inside = X[(np.abs(X) < 2).all(axis=1)]
    y = quadratic(inside)
    assert (
        np.abs(Fit(inside, y).residual(inside[:50] * 0.9, quadratic(inside[:50] * 0.9))).max()
        < 0.05
    )


def test_beyond_the_reference_the_expectation_stays_what_it_was_at_its_edge():
    fit = Fit(X, quadratic(X))
    far = np.array([[30.0, 0.0, 0.0], [300.0, 0.0, 0.0]])
    expected = -fit.residual(far, np.zeros((2, 2)))
    np.testing.assert_array_equal(expected[0], expected[1])
    assert np.abs(expected).max() < 15


@pytest.mark.parametrize(("rows", "terms"), [(200, "quadratic"), (60, "linear"), (30, "mean")])
def test_few_rows_get_a_simpler_fit(rows, terms):
    x, y = X[:rows], quadratic(X[:rows])[:, :1]
    oracle = {
        "quadratic": np.zeros(rows),
        "linear": y[:, 0] - np.column_stack([np.ones(rows), x]) @ np.linalg.lstsq(
            np.column_stack([np.ones(rows), x]), y[:, 0], rcond=None)[0],
        "mean": y[:, 0] - y.mean(),
    }  # fmt: skip
    found = Fit(x, y).residual(x, y)[:, 0]
    errors = {name: np.median(np.abs(found - wanted)) for name, wanted in oracle.items()}
    assert min(errors, key=errors.get) == terms


def test_no_column_leaves_the_mean():
    y = quadratic(X)
    np.testing.assert_allclose(Fit(X[:, :0], y).residual(X[:, :0], y), y - y.mean(0), atol=1e-9)


def test_constant_columns_do_no_harm():
    x = np.column_stack([X, np.ones(len(X))])
    y = quadratic(X)
    assert np.isfinite(Fit(x, y).residual(x, y)).all()


def test_held_out_residuals_come_from_the_other_folds():
    x, y = X[:300], quadratic(X[:300]) + FIT_RNG.normal(size=(300, 2))
    out, masks = held_out(x, y), list(folds(300))
    assert len(masks) == N_FOLDS
    assert (np.sum(masks, axis=0) == 1).all()
    mine = masks[2]
    np.testing.assert_allclose(out[mine], Fit(x[~mine], y[~mine]).residual(x[mine], y[mine]))


PATTERN_RNG = np.random.default_rng(5)
COVARIANCE = 0.9 * np.ones((4, 4)) + 0.1 * np.eye(4)
ROWS = PATTERN_RNG.multivariate_normal(np.zeros(4), COVARIANCE, 3000)


def distances(pattern, rows):
    out = np.full(len(rows), np.nan)
    for found in pattern.judge(rows):
        out[found.rows] = found.distance[:, 0]
    return out


def test_the_distance_is_mahalanobis():
    rows = PATTERN_RNG.normal(size=(20, 4))
    inverse = np.linalg.inv(COVARIANCE)
    wanted = [mahalanobis(row, np.zeros(4), inverse) for row in rows]
    np.testing.assert_allclose(distances(Pattern(ROWS), rows), wanted, rtol=0.15)


def test_what_breaks_the_pattern_is_farther_than_what_follows_it():
    follows, breaks = distances(Pattern(ROWS), np.array([[2.0, 2, 2, 2], [2.0, -2, 2, -2]]))
    assert breaks > 5 * follows


def test_missing_parts_are_left_out_of_row_and_reference():
    pattern = Pattern(ROWS)
    row = np.array([[1.0, np.nan, -1.0, np.nan], [np.nan] * 4])
    [found] = list(pattern.judge(row))
    alone = Pattern(ROWS[:, [0, 2]])
    assert list(found.rows) == [0]
    np.testing.assert_allclose(found.distance[:, 0], distances(alone, row[:1, [0, 2]]), rtol=0.05)
    np.testing.assert_allclose(np.median(found.reference[:, 0]), np.sqrt(2 * np.log(2)), rtol=0.05)
    assert found.part[0] in (0, 2)


def test_a_few_bad_rows_in_the_reference_do_not_hide_others():
    dirty = ROWS.copy()
    dirty[:15] = 30 * PATTERN_RNG.normal(size=(15, 4))
    odd = np.array([[2.0, -2, 2, -2]])
    clean, found = (distances(Pattern(rows), odd)[0] for rows in (ROWS, dirty))
    assert found == pytest.approx(clean, rel=0.2)


def test_held_out_distances_are_those_of_new_rows():
    few = ROWS[:200]
    new = distances(Pattern(few), ROWS[1000:])
    held = Pattern(few).own().distance[:, 0]
    assert np.median(held) == pytest.approx(np.median(new), rel=0.1)


def test_the_oddest_part_is_where_the_others_make_expect_something_else():
    rows = np.array([[3.0, 3.1, 0.0, 3.2], [-2.0, -2, -2, 1.0]])
    [found] = list(Pattern(ROWS).judge(rows))
    assert list(found.part) == [2, 3]
    # Regression of one of four equicorrelated columns on the others: r / (1 + 2 r) each.
    slope = 0.9 / (1 + 2 * 0.9)
    wanted = np.array([0 - slope * 9.3, 1 + slope * 6])
    np.testing.assert_allclose(found.excess, wanted, rtol=0.05)
    # What the regression leaves: 1 - r^2 (1, ..., 1) C^-1 (1, ..., 1).
    left = np.sqrt(1 - 3 * 0.9 * slope)
    np.testing.assert_allclose(found.distance[:, 1], np.abs(wanted) / left, rtol=0.05)


def test_one_odd_part_and_many_that_are_a_little_odd_are_both_found():
    rng = np.random.default_rng(9)
    pattern = Pattern(rng.normal(size=(3000, 30)))
    one, many = np.zeros((1, 30)), np.full((1, 30), 2.2)
    one[0, 4] = 6.0
    for rows, telling in ((one, 1), (many, 0)):
        [found] = list(pattern.judge(rows))
        p = [share_above(found.reference[:, k], found.distance[:, k])[0] for k in (0, 1)]
        assert np.argmin(p) == telling
        assert found.p()[0][0] < 0.005
    [usual] = list(pattern.judge(rng.normal(size=(3000, 30))))
    assert np.mean(usual.p()[0] < 0.05) == pytest.approx(0.05, abs=0.015)


def test_the_smallest_of_several_p_values_keeps_its_meaning():
    rng = np.random.default_rng(3)
    p = rng.uniform(size=(5000, 3))
    smallest, each = combined(p, p)
    np.testing.assert_allclose(smallest, 1 - (1 - p.min(axis=1)) ** 3, rtol=0.1)
    np.testing.assert_allclose(smallest, each.min(axis=1))
    same = np.repeat(p[:, :1], 3, axis=1)
    np.testing.assert_allclose(combined(same, same)[0], same[:, 0], rtol=0.1)
    holed = np.column_stack([p[:, 0], np.full((5000, 2), np.nan)])
    np.testing.assert_allclose(combined(holed, p)[0], p[:, 0], rtol=0.1)
    assert np.isnan(combined(np.full((2, 3), np.nan), p)[0]).all()
    # A sign that next to no ordinary row shows.
    rare = np.where(np.arange(1000) < 3, 0.002, 1.0)[:, None]
    np.testing.assert_allclose(combined(rare, rare)[0], rare[:, 0])


def test_columns_become_arrays_also_from_files(tmp_path):
    latents = made(50)
    write_latents(latents, tmp_path / "latents.npy")
    for found in (trust_rows(latents), trust_rows(read_latents(tmp_path / "latents.npy"))):
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
    found = trust_rows(latents).segments
    assert np.isnan(found[[0, 3]]).all()
    assert np.isnan(found[1, 0])
    assert (found[1, 1:] == 0.01).all()
    assert np.isfinite(found[[2, 4]]).all()


def test_what_is_not_known_is_nan():
    found = trust_rows(Latents(np.zeros((4, 2))))
    assert found.segments.shape == (4, 0)
    for column in (found.recon_error, found.coverage, found.snr, found.resolution):
        assert np.isnan(column).all()


@pytest.mark.parametrize("text", ["1 2 3", "a b c d e f g h", "1 2 3 4 5 6 7 8 9"])
def test_other_text_is_refused(text):
    latents = made(5)
    latents.table.loc[2, "recon_segments"] = text
    with pytest.raises(TableError, match=r"made 0: column recon_segments .* 8 numbers"):
        trust_rows(latents)


def test_a_draw_takes_one_row_a_star_and_no_failed_ones():
    latents = made(400)
    latents.table["object"] = [f"star {i // 4}" for i in range(400)]
    latents.values[:8] = np.nan
    sample = draw_trust_sample(latents, max_rows=1000)
    assert len(sample) == 98
    stars = {str(latents.table["object"][np.flatnonzero(latents.table["snr"] == snr)[0]])
             for snr in sample.snr}  # fmt: skip
    assert len(stars) == 98
    assert sample.info["origin"] == "made 0"


def test_a_draw_is_random_repeatable_and_no_larger_than_asked():
    latents = made(300)
    one, same, other = (draw_trust_sample(latents, max_rows=50, seed=seed) for seed in (1, 1, 2))
    assert len(one) == 50
    np.testing.assert_array_equal(one.values, same.values)
    assert not np.array_equal(one.values, other.values)
    assert not np.array_equal(np.sort(one.snr), one.snr)
    named = draw_trust_sample(latents, groups=np.zeros(300), origin="one star")
    assert (len(named), named.info["origin"]) == (1, "one star")


def test_nothing_to_draw_from_is_an_error():
    with pytest.raises(TableError):
        draw_trust_sample(Latents(np.full((5, 2), np.nan)))
    with pytest.raises(TableError, match="3 values for 300 rows"):
        draw_trust_sample(made(300), groups=np.zeros(3))


def test_unnamed_stars_are_each_their_own():
    latents = without(made(20), "object")
    latents.table["star"] = pd.Series(["a"] * 10 + [""] * 10, dtype=object)
    assert len(draw_trust_sample(latents)) == 11


@pytest.fixture(scope="module")
def ordinary():
    return made(2000, seed=1)


@pytest.fixture(scope="module")
def reference(ordinary):
    return Reference(draw_trust_sample(ordinary))


def test_five_percent_of_ordinary_rows_are_doubtful(reference):
    result = score_against(made(3000, seed=2), reference=reference)
    trust = result.table["trust"].to_numpy()
    assert np.mean(trust < 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(trust < 0.001) < 0.005
    assert np.mean(trust < 0.5) == pytest.approx(0.5, abs=0.1)
    assert result.counts["ordinary"] > 2750
    for name in ("recon", "misfit", "density", "resolution", "kind"):
        percentile = result.table[f"{name}_percentile"]
        assert percentile.median() == pytest.approx(50, abs=6)
        assert percentile.between(0, 100).all()


@pytest.mark.parametrize(
    ("odd", "column", "reason"),
    [
        ({"bump": 1.6}, "misfit_percentile", "most near 6,716 A"),
        ({"power": 40_000.0}, "resolution_percentile", ", below 99.9 %"),
        ({"shift": 9.0}, "density_percentile", "latents in an emptier place than 99.9 %"),
        ({"flat": 0.5}, "misfit_percentile", " of its lines: 0."),
        ({"blurred": 0.5}, "misfit_percentile", " of its lines: "),
    ],
)
def test_each_way_to_be_odd_is_seen_and_named(reference, odd, column, reason):
    table = score_against(made(100, seed=3, **odd), reference=reference).table
    assert (table["verdict"] == "outside").mean() > 0.95
    assert (np.abs(table[column] - 50) > 45).mean() > 0.95
    assert table["reason"].str.contains(reason, regex=False).mean() > 0.95


def test_a_bump_is_found_where_it_is_with_its_size(reference):
    table = score_against(made(100, seed=3, bump=1.6), reference=reference).table
    assert (table["worst"] == np.mean(EDGES[-2:])).all()
    assert table["worst_ratio"].median() == pytest.approx(1.6, rel=0.1)


def test_more_noise_is_no_reason(reference):
    noisy = made(4000, seed=4)
    noisy = Latents(noisy.values, noisy.table, provenance=noisy.provenance)
    loud = noisy.table["recon_error"] > noisy.table["recon_error"].quantile(0.9)
    table = score_against(noisy, reference=reference).table
    assert table["recon_percentile"][loud].median() < 85
    assert (table["verdict"][loud] == "ordinary").mean() > 0.85


def test_worse_errors_at_equal_noise_are_seen(reference):
    table = score_against(made(200, seed=5, worse=2.0), reference=reference).table
    assert table["recon_percentile"].median() > 99


def test_rows_without_noise_known_are_compared_without(reference):
    rows = made(500, seed=6)
    rows.table["snr"] = np.nan
    table = score_against(rows, reference=reference).table
    assert table["misfit_percentile"].notna().all()
    assert (table["trust"] < 0.05).mean() < 0.1
    rows = made(100, seed=6, bump=1.6)
    rows.table["snr"] = np.nan
    assert (score_against(rows, reference=reference).table["verdict"] == "outside").mean() > 0.9


def test_parts_that_a_spectrum_does_not_fill_are_left_out(reference):
    for bump, low, high in ((1.0, 0.9, 1.0), (1.6, 0.0, 0.1)):
        rows = made(200, seed=7, bump=bump)
        texts = [" ".join(["nan"] * 3 + row.split()[3:]) for row in rows.table["recon_segments"]]
        rows.table["recon_segments"] = texts
        ordinary = (score_against(rows, reference=reference).table["verdict"] == "ordinary").mean()
        assert low <= ordinary <= high


def test_low_coverage_is_doubtful(reference):
    rows = made(50, seed=8)
    rows.table.loc[:9, "coverage"] = 0.6
    table = score_against(rows, reference=reference).table
    assert (table["verdict"][:10] != "ordinary").all()
    assert table["reason"][:10].str.contains("fills 60 % of the grid, the reference 100 %").all()


def test_rows_without_latents_keep_their_place(reference):
    rows = made(30, seed=9)
    rows.values[4] = np.nan
    rows.table.loc[4, "error"] = "no such file"
    result = score_against(rows, reference=reference)
    assert list(result.table["id"]) == list(rows.table["id"])
    assert result.table["verdict"][4] == ""
    assert result.table["reason"][4] == "no latents: no such file"
    assert np.isnan(result.table["trust"][4])
    assert result.counts["none"] == 1
    assert "; 1 without latents" in result.sentences()[0]


def test_without_parts_the_error_itself_counts(ordinary):
    bare = without(ordinary, "recon_segments", "resolution")
    rows = without(made(100, seed=10, worse=2.0), "recon_segments", "resolution")
    result = score_against(rows, reference=bare)
    assert result.table["misfit_percentile"].isna().all()
    assert (result.table["verdict"] != "ordinary").mean() > 0.9
    assert result.table["reason"].str.contains("fit worse than 99").any()
    assert "its pattern over wavelength, resolution" in " ".join(result.sentences(0))


def test_plain_arrays_have_their_density(ordinary):
    rng = np.random.default_rng(0)
    rows = np.vstack([rng.normal(size=(300, 3)), [[8.0, 8.0, 0.0]]])
    table = score_against(rows, reference=rng.normal(size=(1000, 3))).table
    assert table["trust"].idxmin() == 300
    assert table["verdict"].iloc[-1] == "outside"
    assert (table["trust"][:-1] < 0.05).mean() == pytest.approx(0.05, abs=0.04)
    assert list(table["id"]) == list(range(301))


def test_rows_can_be_their_own_reference(ordinary):
    values = np.vstack([ordinary.values, [[9.0, 9.0, 0.0]]])
    result = score_against(values)
    assert result.provenance["own_reference"]
    assert result.table["trust"].idxmin() == len(ordinary)
    assert (result.table["trust"] < 0.05).mean() == pytest.approx(0.05, abs=0.01)
    assert "compared with each other" in result.sentences()[1]


def test_held_out_rows_are_judged_like_new_ones(ordinary):
    own, new = score_against(ordinary), score_against(made(2000, seed=11), reference=ordinary)
    for name in ("recon", "misfit", "density"):
        column = f"{name}_percentile"
        for level in (5, 50, 95):
            shares = [(result.table[column] < level).mean() for result in (own, new)]
            assert shares[0] == pytest.approx(shares[1], abs=0.045)


def test_the_threshold_of_the_model_says_which_dimensions_count():
    latents = made(300)
    assert score_against(latents).provenance["dims"] == [0, 1]
    # Both lie about 0.67 wide, the third 1e-4.
    wide = replace(latents, values=latents.values * np.array([1.0, 0.5, 1.0]))
    wide.provenance["mad_threshold"] = 0.5
    assert score_against(wide).provenance["dims"] == [0]
    assert score_against(latents, wide).provenance["dims"] == [0]


def test_stars_of_the_reference_count_once_and_it_is_said():
    latents = made(300)
    latents.table["star"] = np.repeat(np.arange(150), 2).astype(str)
    for options in ({}, {"reference": latents}):
        found = score_against(latents, **options).provenance
        assert found["reference"]["rows"] == 150
        assert "150 stars in 300 rows" in found["groups_found"]
        alone = score_against(latents, groups=None, **options).provenance
        assert alone["reference"]["rows"] == 300
        assert "groups_found" not in alone


def test_a_star_counts_once_in_its_own_reference(ordinary):
    values = np.repeat(ordinary.values[:300], 5, axis=0)
    stars = np.repeat(np.arange(300), 5)
    result = score_against(values, groups=stars)
    assert result.provenance["reference"]["rows"] == 300
    frame = pd.DataFrame(values).assign(star=stars.astype(str))
    assert score_against(frame, groups="star").provenance["reference"]["rows"] == 300


def test_a_study_brings_its_stars(ordinary):
    stars = np.repeat(np.arange(300), 5)
    study = read_study(np.repeat(ordinary.values[:300], 5, axis=0), groups=stars)
    expected = score_against(study.latents, groups=stars)
    pd.testing.assert_frame_equal(score_against(study).table, expected.table)
    pd.testing.assert_frame_equal(
        score_against(study, ordinary).table, score_against(study.latents, ordinary).table
    )


def test_order_and_company_of_rows_do_not_matter(reference):
    rows = made(60, seed=12)
    whole = score_against(rows, reference=reference).table
    order = np.random.default_rng(0).permutation(60)[:20]
    some = Latents(
        rows.values[order], rows.table.iloc[order].reset_index(drop=True),
        provenance=rows.provenance,
    )  # fmt: skip
    found = score_against(some, reference=reference).table
    pd.testing.assert_frame_equal(found, whole.iloc[order].reset_index(drop=True))


def test_a_dimension_that_says_nothing_does_not_count(reference):
    assert list(reference.dims) == [0, 1]
    rows = made(50, seed=13)
    rows.values[:, 2] *= 1000
    before = score_against(made(50, seed=13), reference=reference).table
    pd.testing.assert_frame_equal(score_against(rows, reference=reference).table, before)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            lambda: made(5, sha="b" * 64),
            r"made 0: encoded by other weights \(made, bbbbbbbbbbbb.*\(made, aaaaaaaaaaaa",
        ),
        (lambda: Latents(np.zeros((5, 2))), "2 dimensions, but made 1 has 3"),
    ],
)
def test_what_does_not_belong_together_is_refused(reference, rows, message):
    with pytest.raises(TableError, match=message):
        score_against(rows(), reference=reference)


def test_another_grid_is_refused(reference):
    rows = made(5)
    rows.provenance["recon_segments"] = (np.array(rows.provenance["recon_segments"]) + 5).tolist()
    with pytest.raises(TableError, match="8 parts of the spectrum are not those of made 1"):
        score_against(rows, reference=reference)


def test_a_reference_has_a_hundred_rows(ordinary):
    with pytest.raises(TableError, match="99 rows with latents; expected at least 100"):
        Reference(draw_trust_sample(ordinary, max_rows=99))
    with pytest.raises(TableError, match="no column 'night'"):
        score_against(ordinary, groups="night")


def test_the_table_goes_into_words(reference):
    rows = made(40, seed=14, bump=1.6)
    lines = score_against(rows, reference=reference).sentences(3)
    assert lines[0].startswith("of 40 spectra ")
    assert lines[1].startswith("compared with 2,000 ordinary spectra (made 1)")
    assert "differs from the reference as a whole" in lines[2]
    assert len(lines) == 7
    assert lines[3].startswith("of these 40, the latents of ")
    assert "are odd, the fit of 40, the resolution of " in lines[3]
    assert lines[4].startswith("s14-")
    assert "outside (trust below 0.001): fit odder than 99.9 %" in lines[4]


def test_latents_fit_and_resolution_are_judged_apart(reference):
    for odd, which in (
        ({"shift": 9.0}, "latents"), ({"bump": 1.6}, "fit"), ({"power": 40_000.0}, "resolution"),
    ):  # fmt: skip
        table = score_against(made(400, seed=15, **odd), reference=reference).table
        for name in ("latents", "fit", "resolution"):
            p = table[f"trust_{name}"]
            if name == which:
                assert p.median() < 1e-3
            elif which != "latents":  # far from all others the fits know nothing
                assert p.median() == pytest.approx(0.5, abs=0.12)
        others = [name for name in ("fit", "latents", "resolution") if name != which]
        if which != "latents":
            usual = f"; {', '.join(others)} and kind ordinary"
            assert table["reason"].str.endswith(usual).mean() > 0.85


@pytest.mark.parametrize(
    ("signs", "reason"),
    [
        (
            {"emission": 0.6},
            "Balmer lines in emission, 0.6 of the continuum above it",
        ),
        (
            {"elsewhere": 3.0, "vacuum": 2.0, "oxygen_rv": np.nan},
            "no star's lines: they fit 3 times as well at velocities beyond",
        ),
        (
            {"vacuum": 1.1, "oxygen_rv": np.nan},
            "wavelengths look like vacuum taken for air: lines shift along the spectrum by 1.1",
        ),
        ({"oxygen_rv": 82.7}, "vacuum taken for air: O2 of the air lies 83 km/s to the red"),
        ({"oxygen_rv": -82.9}, "air taken for vacuum: O2 of the air lies 83 km/s to the blue"),
    ],
)
def test_what_is_no_star_is_told_by_its_signs(reference, signs, reason):
    table = score_against(made(200, seed=16, **signs), reference=reference).table
    assert (table["verdict"] != "ordinary").all()
    assert table["trust_kind"].max() < 2e-3
    assert table["reason"].str.contains(reason, regex=False).all()
    assert table["trust_fit"].median() == pytest.approx(0.5, abs=0.12)


def test_oxygen_in_its_place_says_more_than_the_lines(reference):
    """Lines may drift; where the air's do not, the medium is the stated one."""
    table = score_against(made(200, seed=17, vacuum=1.1, oxygen_rv=0.5), reference=reference).table
    assert table["trust_kind"].median() > 0.3
    # A spectrum at rest whose file does not say so has oxygen anywhere: the lines decide.
    moved = score_against(made(200, seed=17, vacuum=0.0, oxygen_rv=40.0), reference=reference).table
    assert moved["trust_kind"].median() > 0.3


def test_lines_in_absorption_are_no_emission(reference):
    table = score_against(made(200, seed=18, emission=-0.6), reference=reference).table
    assert table["trust_kind"].median() > 0.3


def test_signs_that_nobody_measured_are_left_out(reference):
    rows = without(made(50, seed=19), "emission", "elsewhere", "vacuum", "oxygen_rv")
    result = score_against(rows, reference=reference)
    assert result.table["trust_kind"].isna().all()
    assert result.table["trust"].notna().all()
    assert any("signs of what is no star" in line for line in result.sentences())


def test_known_lines_are_named():
    named = feature_names(np.array([5100.0, 5200.0, 6800.0, 6910.0, 7650.0, 7700.0]))
    assert named == {
        5150.0: "Mg b", 6000.0: "Na D, H-alpha", 6855.0: "O2 of the air",
        7280.0: "O2 of the air", 7675.0: "O2 of the air",
    }  # fmt: skip
