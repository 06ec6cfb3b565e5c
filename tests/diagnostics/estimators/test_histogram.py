import numpy as np
import pandas as pd
import pytest
from astropy.stats import sigma_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from latentscope.diagnostics.mi.estimators import bin_codes, histogram, histogram_terms
from latentscope.diagnostics.mi.indicator import PAPER_BINS, paper_indicator
from latentscope.errors import EstimatorError, LatentscopeWarning


def numpy_value(x, y, bins):
    return mutual_info_score(None, None, contingency=np.histogram2d(x, y, bins)[0])


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 200),
    bins=st.integers(1, 60),
    decimals=st.integers(0, 4),
)
def test_equals_numpy_and_scikit_learn(seed, n, bins, decimals):
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=n) * 3 + 5000, decimals)
    y = x + rng.exponential(size=n)
    edges = np.histogram_bin_edges(x, bins)
    if np.ptp(x):
        counted = np.bincount(bin_codes(x, bins), minlength=bins)
        np.testing.assert_array_equal(counted, np.histogram(x, edges)[0])
    assert histogram(x, y, bins) == pytest.approx(numpy_value(x, y, bins), abs=1e-10)


def test_symmetric_in_any_units_and_the_mean_of_its_terms():
    rng = np.random.default_rng(1)
    x = rng.normal(size=3000)
    y = x**2 + rng.normal(size=3000)
    value = histogram(x, y)
    assert histogram(y, x) == pytest.approx(value, abs=1e-12)
    assert histogram(4 * x, 2 * y) == pytest.approx(value, abs=1e-12)
    assert histogram_terms(x, y).mean() == pytest.approx(value, abs=1e-12)
    assert histogram_terms(x, y).shape == (3000,)


def test_perfect_useless_and_constant():
    rng = np.random.default_rng(2)
    x = rng.integers(0, 8, 4000).astype(float)
    shares = np.bincount(x.astype(int)) / 4000
    assert histogram(x, 3 * x, 8) == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-12)
    assert histogram(x, np.zeros(4000), 8) == 0
    useless = rng.random(4000), rng.random(4000)
    # The bias that the module documents.
    assert histogram(*useless, 40) == pytest.approx(39**2 / (2 * 4000), rel=0.1)
    assert histogram(*useless, 160) > 1


def test_a_gaussian_pair_in_fine_bins():
    rng = np.random.default_rng(3)
    x = rng.normal(size=400_000)
    y = 0.8 * x + 0.6 * rng.normal(size=400_000)
    assert histogram(x, y, 60) == pytest.approx(-np.log(0.6), abs=0.02)
    assert histogram(x, y, 5) < -np.log(0.6) - 0.1


@pytest.fixture
def table():
    rng = np.random.default_rng(4)
    latents = rng.normal(size=(1500, 5))
    frame = pd.DataFrame(
        {
            "teff": latents[:, 2] + 0.3 * rng.normal(size=1500),
            "radvel": latents[:, 4] ** 3 + rng.normal(size=1500),
        }
    )
    frame.loc[:299, "teff"] = np.nan
    return latents, frame


def test_indicator_by_hand(table):
    latents, labels = table
    numbers = (5, 40, 160)
    found = paper_indicator(latents, labels, bins=numbers, clip_sigma=None)
    assert list(found) == ["label", "bins", "dim", "n", "mi_nats", "indicator"]
    assert len(found) == 2 * len(numbers) * 5
    assert set(found.loc[found["label"] == "teff", "n"]) == {1200}
    for (label, bins), part in found.groupby(["label", "bins"]):
        keep = labels[label].notna().to_numpy()
        expected = [numpy_value(z[keep], labels[label][keep], bins) for z in latents.T]
        np.testing.assert_allclose(part["mi_nats"], expected, atol=1e-10)
        np.testing.assert_allclose(part["indicator"], expected / np.max(expected), atol=1e-10)
    mean = found.pivot_table(index="label", columns="dim", values="indicator")
    assert mean.loc["teff", 2] == 1
    assert mean.loc["radvel"].idxmax() == 4
    assert mean.loc["teff"].drop(2).max() < 0.6


def test_indicator_leaves_out_what_sigma_clipping_does(table):
    latents, _ = table
    rng = np.random.default_rng(5)
    heavy = rng.standard_t(1.5, size=1500)
    kept = ~sigma_clip(heavy, sigma=5).mask
    assert kept.sum() < 1480
    found = paper_indicator(latents, heavy, bins=[20])
    expected = [numpy_value(z[kept], heavy[kept], 20) for z in latents.T]
    assert set(found["n"]) == {kept.sum()}
    np.testing.assert_allclose(found["mi_nats"], expected, atol=1e-10)
    assert set(paper_indicator(latents, heavy, bins=[20], clip_sigma=None)["n"]) == {1500}


def test_indicator_takes_float32_and_rows_of_nan(table):
    latents, labels = table
    failed = latents.astype(np.float32)
    failed[1400:] = np.nan
    found = paper_indicator(failed, labels["radvel"].to_numpy(), clip_sigma=None)
    assert tuple(found["bins"].unique()) == PAPER_BINS
    expected = histogram(failed[:1400, 3], labels["radvel"][:1400], 10)
    value = found.set_index(["bins", "dim"]).loc[(10, 3), "mi_nats"]
    assert value == pytest.approx(expected, abs=1e-12)


def test_indicator_of_text_and_of_a_constant(table):
    latents, labels = table
    labels["type"] = np.where(labels["radvel"] > 0, "G2V", "M3V")
    assert set(paper_indicator(latents, labels, bins=[5])["label"]) == {"teff", "radvel"}
    with pytest.raises(EstimatorError, match="type: no numbers"):
        paper_indicator(latents, labels, columns=["type"])
    labels["mode"] = 1.0
    with pytest.warns(LatentscopeWarning, match="mode: no dimension tells"):
        found = paper_indicator(latents, labels, bins=[5])
    assert found.loc[found["label"] == "mode", "indicator"].isna().all()
    labels["empty"] = np.nan
    with pytest.raises(EstimatorError, match="empty: no row has both"):
        paper_indicator(latents, labels, columns=["empty"])


@pytest.mark.parametrize("bins", [0, 2.5])
def test_bins_that_are_none(bins):
    with pytest.raises(EstimatorError, match="wanted a whole number, 1 or more"):
        histogram(np.arange(9), np.arange(9), bins)
    with pytest.raises(EstimatorError, match="wanted a whole number, 1 or more"):
        paper_indicator(np.zeros((9, 2)), np.arange(9), bins=[5, bins])


def test_one_column_each():
    with pytest.raises(EstimatorError, match=r"shape \(n,\)"):
        histogram(np.zeros((9, 2)), np.arange(9))
    with pytest.raises(EstimatorError, match="x has 9 rows and y has 8"):
        histogram(np.arange(9), np.arange(8))
