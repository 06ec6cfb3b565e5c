import numpy as np
import pandas as pd
import pytest
from astropy.stats import sigma_clip
from sklearn.metrics import mutual_info_score

from latentscope.diagnostics.meaning import PAPER_BINS, paper_indicator
from latentscope.errors import EstimatorError, LatentscopeWarning


def numpy_value(x, y, bins):
    return mutual_info_score(None, None, contingency=np.histogram2d(x, y, bins)[0])


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
    expected = numpy_value(failed[:1400, 3].astype(float), labels["radvel"][:1400], 10)
    value = found.set_index(["bins", "dim"]).loc[(10, 3), "mi_nats"]
    assert value == pytest.approx(expected, abs=1e-12)


def test_indicator_of_text_and_of_a_constant(table):
    latents, labels = table
    labels["type"] = np.where(labels["radvel"] > 0, "G2V", "M3V")
    assert set(paper_indicator(latents, labels, bins=[5])["label"]) == {"teff", "radvel"}
    with pytest.raises(EstimatorError, match="type: no numbers"):
        paper_indicator(latents, labels, columns=["type"])
    labels["mode"] = 1.0
    with pytest.warns(LatentscopeWarning, match="mode: no dimension knows"):
        found = paper_indicator(latents, labels, bins=[5])
    assert found.loc[found["label"] == "mode", "indicator"].isna().all()
    labels["empty"] = np.nan
    with pytest.raises(EstimatorError, match="empty: no row has both"):
        paper_indicator(latents, labels, columns=["empty"])


@pytest.mark.parametrize("bins", [0, 2.5])
def test_bins_that_are_none(bins):
    with pytest.raises(EstimatorError, match=f"bins is {bins}"):
        paper_indicator(np.zeros((9, 2)), np.arange(9), bins=[5, bins])
