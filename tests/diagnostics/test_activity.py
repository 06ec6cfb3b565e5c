"""Deviations, KL divergence, active units, and the gap in the deviations."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation

import latentscope
from latentscope.data import Latents
from latentscope.diagnostics.activity import mad
from latentscope.diagnostics.study import Study
from latentscope.diagnostics.threshold import find_gap
from latentscope.errors import EstimatorError, LatentscopeWarning


def test_six_of_128_as_published():
    rng = np.random.default_rng(0)
    values = rng.normal(scale=0.005, size=(4000, 128))
    informative = [11, 19, 58, 85, 99, 124]
    values[:, informative] = rng.normal(scale=0.5, size=(4000, 6))
    result = mad(values)
    assert list(result.informative) == informative
    assert result.threshold_from == "estimated"
    published = mad(Latents(values, logvar=np.zeros_like(values)))
    assert list(published.informative) == informative
    assert published.threshold == 0.02
    # Raw, not scaled to a standard deviation: 0.6745 sigma for Gaussians.
    assert result.values[11] == pytest.approx(0.5 * 0.67449, rel=0.05)


def test_equals_scipy_and_the_mean_form():
    values = np.random.default_rng(1).gamma(2, size=(501, 5))
    np.testing.assert_allclose(mad(values).values, median_abs_deviation(values), rtol=1e-12)
    mean = np.abs(values - values.mean(axis=0)).mean(axis=0)
    np.testing.assert_allclose(mad(values, kind="mean").values, mean, rtol=1e-12)


def test_rows_with_nan_are_ignored_and_counted():
    values = np.random.default_rng(2).normal(size=(50, 3))
    holes = values.copy()
    holes[[3, 9], 1] = np.nan
    result = mad(Latents(holes))
    np.testing.assert_array_equal(result.values, mad(np.delete(values, [3, 9], axis=0)).values)
    assert (result.n, result.ignored) == (48, 2)


@given(shift=st.floats(-1e3, 1e3), scale=st.floats(0.01, 100))
def test_shift_leaves_it_and_scale_scales_it(shift, scale):
    values = np.random.default_rng(3).normal(size=(201, 2))
    np.testing.assert_allclose(
        mad(values * scale + shift).values, scale * mad(values).values, rtol=1e-6, atol=1e-10
    )


@pytest.mark.parametrize("kind", ["median", "mean"])
def test_constant_dimensions_are_exactly_zero(kind):
    values = np.column_stack([np.full(77, 0.1), 2 * np.arange(77.0)])
    result = mad(values.astype(np.float32), kind=kind)
    assert result.values[0] == 0
    assert list(result.informative) == [1]
    assert result.table["std"].iloc[0] == 0


def test_table_says_all_of_it():
    frame = pd.DataFrame({"id": ["a", "b", "c"], "z0": [0.0, 1, 2], "z1": [5.0, 5, 5]})
    table = mad(frame, threshold=0.5).table
    assert list(table.columns) == [
        "dim",
        "mad",
        "informative",
        "median",
        "mean",
        "std",
        "minimum",
        "maximum",
        "half_equal",
        "active",
        "kl_nats",
        "above_gap",
    ]
    assert list(table["informative"]) == [True, False]
    assert table["kl_nats"].isna().all()
    assert table["above_gap"].isna().all()
    assert list(table["maximum"]) == [2, 5]


def test_what_has_no_answer_is_refused():
    with pytest.raises(EstimatorError, match="none of 2 rows is finite"):
        mad(np.full((2, 3), np.nan))
    with pytest.raises(EstimatorError, match="infinite values in dims 1"):
        mad(np.array([[1.0, np.inf], [0, 0]]))
    with pytest.raises(EstimatorError, match="median, mean"):
        mad(np.zeros((2, 3)), kind="mode")


def test_provenance_says_what_was_measured_with_which_version():
    values = np.random.default_rng(0).normal(size=(6, 2))
    values[1] = np.nan
    provenance = mad(values).provenance
    assert provenance["latentscope"] == latentscope.__version__
    assert provenance["time"].endswith("+00:00")
    assert provenance["dims"] == [0, 1]
    assert (provenance["rows"], provenance["rows_finite"]) == (6, 5)


def test_kl_of_gaussians_is_the_closed_form():
    rng = np.random.default_rng(4)
    mean, logvar = rng.normal(size=(300, 3)), rng.normal(size=(300, 3))
    result = mad(Latents(mean, logvar=logvar))
    variance = np.exp(logvar)
    # KL(N(m, s^2) || N(0, 1)) = log(1 / s) + (s^2 + m^2) / 2 - 1 / 2
    expected = np.mean(-np.log(np.sqrt(variance)) + (variance + mean**2) / 2 - 0.5, axis=0)
    np.testing.assert_allclose(result.kl, expected, rtol=1e-12)
    np.testing.assert_array_equal(result.table["kl_nats"], result.kl)


def test_kl_is_0_at_the_prior_and_unknown_without_a_variance():
    np.testing.assert_allclose(mad(Latents(np.zeros((9, 2)), logvar=np.zeros((9, 2)))).kl, 0)
    assert mad(np.zeros((9, 2))).kl is None


def test_kl_is_not_clamped():
    huge = mad(Latents(np.zeros((9, 1)), logvar=np.full((9, 1), 800.0)))
    assert huge.kl[0] == np.inf


def test_kl_of_many_rows_is_that_of_its_blocks():
    rng = np.random.default_rng(5)
    mean, logvar = rng.normal(size=(41_000, 64)), rng.normal(size=(41_000, 64))
    halves = [
        mad(Latents(mean[rows], logvar=logvar[rows])).kl for rows in np.split(np.arange(41_000), 2)
    ]
    np.testing.assert_allclose(mad(Latents(mean, logvar=logvar)).kl, np.mean(halves, axis=0))


def test_rows_without_a_variance_are_left_out_of_kl_and_counted():
    rng = np.random.default_rng(6)
    mean, logvar = rng.normal(size=(50, 2)), rng.normal(size=(50, 2))
    whole = mad(Latents(mean[7:], logvar=logvar[7:]))
    logvar[:7, 1] = np.nan
    with pytest.warns(LatentscopeWarning, match="log variance of 7 rows is not finite"):
        holes = mad(Latents(mean, logvar=logvar))
    np.testing.assert_allclose(holes.kl, whole.kl)
    assert holes.n == 50


def test_active_units_have_a_variance_above_001():
    sign = np.tile([-1.0, 1.0], 50)
    result = mad(np.column_stack([0.09 * sign, 0.11 * sign, sign * 0]))
    assert list(result.active) == [False, True, False]


def test_the_threshold_of_the_data_agrees_or_says_where_not():
    rng = np.random.default_rng(7)
    values = rng.normal(scale=0.0015, size=(2000, 128))
    values[:, [11, 19, 58, 85, 99, 124]] = rng.normal(scale=0.5, size=(2000, 6))
    result = mad(values)
    assert 0.002 < result.estimated_threshold == result.threshold < 0.3
    assert list(np.flatnonzero(result.table["above_gap"])) == list(result.informative)
    assert "picks the same dimensions" in mad(values, threshold=0.02).sentences()[1]
    high = mad(values, threshold=0.4)
    assert "differs in 11, 19, 58, 85, 99, 124" in high.sentences()[1]
    assert high.provenance["estimated_threshold"] == result.estimated_threshold


def test_no_gap_no_threshold_but_a_reason():
    values = np.random.default_rng(8).normal(size=(500, 16)) * np.linspace(0.3, 1.0, 16)
    result = mad(values)
    assert result.estimated_threshold is None
    assert len(result.informative) == 16
    assert result.table["above_gap"].isna().all()
    assert result.sentences()[1].startswith("no threshold can be estimated: ")
    assert result.provenance["estimated_from"] == result.gap.reason
    assert result.sentences()[2] == "16 active units (variance > 0.01): the same"


def floor(number, rng, level=0.001):
    return level * 10 ** rng.normal(0, 0.1, number)


@pytest.mark.parametrize(
    ("informative", "dead"), [(6, 122), (1, 127), (122, 6), (5, 11), (15, 1), (1, 15), (6, 2)]
)
def test_the_gap_is_found_whichever_side_has_more(informative, dead):
    rng = np.random.default_rng(informative)
    low, high = floor(dead, rng), rng.uniform(0.3, 1.0, informative)
    gap = find_gap(rng.permutation(np.concatenate([low, high])))
    assert gap.below == pytest.approx(max(low.max(), 1e-3 * high.max()))
    assert gap.above == high.min()
    assert gap.threshold == pytest.approx(np.sqrt(gap.below * gap.above))


def test_scale_moves_the_threshold_along():
    rng = np.random.default_rng(0)
    values = np.concatenate([floor(20, rng), rng.uniform(0.3, 1.0, 4)])
    assert find_gap(1e6 * values).threshold == pytest.approx(1e6 * find_gap(values).threshold)


def test_a_continuum_above_a_floor_is_not_cut_and_the_lowest_gap_counts():
    rng = np.random.default_rng(1)
    continuum = 10 ** rng.uniform(-2, 0, 64)
    gap = find_gap(np.concatenate([floor(64, rng), continuum]))
    assert gap.above == continuum.min()
    levels = np.concatenate([floor(100, rng, 0.005), [0.05, 0.055, 0.06], rng.uniform(0.5, 1, 5)])
    assert find_gap(levels).above == 0.05


def test_constant_dimensions_and_floors_far_below_are_one_floor():
    rng = np.random.default_rng(2)
    high = rng.uniform(0.5, 1, 5)
    gap = find_gap(np.concatenate([np.zeros(6), 1e-8 * rng.random(5), high]))
    assert gap.above == high.min()
    assert gap.below == pytest.approx(1e-3 * high.max())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.linspace(0.3, 0.85, 16), "all dimensions vary, or none"),
        (np.linspace(0.0008, 0.0016, 128), "all dimensions vary, or none"),
        (np.geomspace(1, 1e-3, 128), "no gap stands out"),
        (np.geomspace(1, 1e-3, 8), "no gap stands out"),
        (np.zeros(12), "every dimension is constant"),
        (np.array([1.0, 0.5, 1e-4]), "3 dimensions are too few"),
    ],
)
def test_without_a_gap_there_is_a_reason(values, reason):
    gap = find_gap(values)
    assert gap.threshold is None
    assert np.isnan([gap.below, gap.above]).all()
    assert reason in gap.reason


@pytest.mark.parametrize("d", [8, 16, 128])
@pytest.mark.parametrize(
    "smooth",
    [
        lambda rng, d: 10 ** rng.uniform(-3, 0, d),
        lambda rng, d: 10 ** rng.normal(0, 0.3, d),
        lambda rng, d: 10 ** rng.normal(0, 1.0, d),
    ],
    ids=["log-uniform", "narrow log-normal", "wide log-normal"],
)
def test_smooth_distributions_have_next_to_no_gaps(smooth, d):
    rng = np.random.default_rng(d)
    found = [find_gap(smooth(rng, d)).threshold is not None for _ in range(300)]
    assert sum(found) <= 9  # 3 %


@pytest.mark.parametrize(
    ("provenance", "asked", "whose"),
    [({}, None, "estimated"), ({"mad_threshold": 0.02}, None, "model"), ({}, 0.02, "asked")],
)
def test_who_says_the_threshold(provenance, asked, whose):
    values = np.random.default_rng(0).normal(size=(200, 30))
    values[:, 5:] *= 1e-4
    result = mad(Latents(values * 0.5, provenance=provenance), threshold=asked)
    assert result.threshold_from == result.provenance["threshold_from"] == whose
    assert 1e-4 < result.estimated_threshold < 0.3
    assert any("estimated" in line for line in result.sentences())


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_without_a_model_and_a_prior_the_scale_does_not_matter(scale):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(500, 24)) * np.repeat([1.0, 0.003], 12)
    assert list(mad(scale * values).informative) == list(range(12))
    even = mad(scale * rng.normal(size=(500, 3)))
    assert (len(even.informative), even.threshold_from) == (3, "varying")


def test_zeros_of_a_relu_do_not_switch_a_dimension_off():
    rng = np.random.default_rng(1)
    wide = np.maximum(rng.normal(size=(4000, 8)) - 0.5, 0)
    result = mad(np.column_stack([wide, np.zeros(4000), 1e-5 * wide[:, :3]]))
    assert list(result.informative) == list(result.half_equal[:8]) == list(range(8))
    # Of values that are Gaussian but for a shift of their median the mean form is the same.
    expected = 0.8453 * np.abs(wide[:, 0]).mean()
    assert result.values[0] == pytest.approx(expected)
    assert "ReLU" in " ".join(result.sentences())
    assert Study(Latents(wide)).informative == list(range(8))


def test_embeddings_of_one_length_have_no_threshold():
    values = np.random.default_rng(0).normal(size=(500, 400))
    values /= np.linalg.norm(values, axis=1)[:, None]
    result = mad(values)
    assert len(result.informative) == 400
    assert result.estimated_threshold is None
    assert "no threshold can be estimated" in " ".join(result.sentences())
    assert result.sentences()[0].endswith(" more")
    assert len(result.sentences()[0]) < 250
