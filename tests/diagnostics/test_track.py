"""One star over time: periods that are there, and none that are not."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from latentscope.data import Latents, write_latents
from latentscope.diagnostics.track import track
from latentscope.errors import ChoiceError, EstimatorError


def exposures(rng, values, when, sigma=0.1, **columns):
    """Latents (n, d) of one star, with exposures of others between them."""
    n, d = values.shape
    both = np.concatenate([values, rng.normal(size=(20, d))])
    table = pd.DataFrame({"star": ["HD 1"] * n + ["HD 2"] * 20})
    table["mjd"] = np.concatenate([when, rng.uniform(55000, 56000, 20)])
    for name, column in columns.items():
        table[name] = np.concatenate([column, rng.normal(size=20)])
    order = rng.permutation(n + 20)
    logvar = np.full(both.shape, 2 * np.log(sigma))
    return Latents(both, table, logvar).take(order)


def test_an_injected_period_is_found_and_the_star_alone_is_used():
    rng = np.random.default_rng(1)
    when = 55000 + np.sort(rng.uniform(0, 100, 60))
    noise = 0.1 * rng.normal(size=(60, 2))
    wave = 0.3 * np.sin(2 * np.pi * when / 7.3)
    values = np.column_stack([wave, np.zeros(60)]) + noise
    result = track(exposures(rng, values, when, rv=wave), "hd1", dims="all", by="exposures")
    assert len(result.series) == 60
    assert result.by == "exposures"
    first, second = result.dims.to_dict("records")
    # A hundredth of a peak's width, 1 / (100 days).
    assert 1 / first["period"] == pytest.approx(1 / 7.3, abs=2e-3)
    assert first["fap"] == 1 / 200
    assert first["fap_baluev"] < 1e-6
    assert second["fap"] > 0.05
    assert repr(result).startswith("TrackResult: a table of 60 rows\nhd1: 60 exposures in")
    assert first["ratio"] == pytest.approx(np.hypot(0.3 / np.sqrt(2), 0.1) / 0.1, rel=0.15)
    assert first["p_value"] < 1e-6 < 0.01 < second["p_value"]
    best = result.correlations.iloc[0]
    assert (best["dim"], best["label"]) == (0, "rv")
    assert best["rho"] > 0.85
    assert result.correlations[["dim", "label"]].duplicated().sum() == 0
    assert "; period 7." in result.sentences()[1]
    assert "no period" in result.sentences()[2]
    assert "goes with rv" in result.sentences()[1]


def test_rows_of_one_star_need_not_vary_enough_to_be_informative(tmp_path):
    rng = np.random.default_rng(5)
    when = 55000.0 + np.arange(30)
    values = np.column_stack([1e-3 * np.sin(when / 2), np.zeros(30)]) + 1e-4 * rng.normal(
        size=(30, 2)
    )
    logvar = np.tile([-12.0, 0.0], (30, 1))
    table = pd.DataFrame(
        {"id": np.arange(30).astype(str), "star": "a", "mjd": when, "status": "ok"}
    )
    path = tmp_path / "latents.npy"
    write_latents(Latents(values, table, logvar), path)
    result = track(path)
    assert result.dims["dim"].tolist() == [0]
    assert any("below 0.5" in note for note in result.notes)
    assert result.dims["period"][0] == pytest.approx(4 * np.pi, rel=0.05)


def test_white_noise_has_uniform_false_alarms_and_p_values():
    rng = np.random.default_rng(2)
    faps, correlated, scatter = [], [], []
    for _ in range(4):
        when = 55000 + np.sort(rng.uniform(0, 40, 30))
        latents = exposures(rng, 0.1 * rng.normal(size=(30, 40)), when, snr=rng.normal(size=30))
        result = track(latents, "HD 1", dims="all", n_permutations=99)
        faps += result.dims["fap"].tolist()
        correlated += result.correlations["p_value"].tolist()
        scatter += result.dims["p_value"].tolist()
    # Dimensions share their times and shuffles, so that 160 of them are fewer than 160.
    for found in (faps, correlated, scatter):
        assert kstest(found, "uniform").pvalue > 1e-3


def test_exposures_of_a_night_count_once():
    """Noise of each night alone must not pass for a period, nor for a correlation."""
    rng = np.random.default_rng(3)
    night = np.repeat(np.arange(12), 8)
    when = 55000 + night + 0.01 * np.tile(np.arange(8), 12)
    own = rng.normal(size=(12, 30))[night] + 0.01 * rng.normal(size=(96, 30))
    latents = exposures(rng, own, when, airmass=rng.normal(size=12)[night])
    by_night = track(latents, "HD 1", dims="all", n_permutations=99)
    assert by_night.by == "nights"
    assert by_night.series["night"].nunique() == 12
    assert by_night.correlations["n"].eq(12).all()
    assert (by_night.correlations["p_value"] < 0.05).mean() < 0.2
    assert (by_night.dims["fap"] < 0.05).mean() < 0.2
    by_exposure = track(latents, "HD 1", dims="all", by="exposures", n_permutations=99)
    # That is why.
    assert (by_exposure.correlations["p_value"] < 0.05).mean() > 0.5
    np.testing.assert_allclose(by_night.dims["within"], 0.01, rtol=0.5)


def test_what_cannot_be_followed_is_said():
    rng = np.random.default_rng(4)
    latents = exposures(rng, rng.normal(size=(4, 2)), 55000.0 + np.arange(4))
    with pytest.raises(EstimatorError, match="4 of 4 exposures of HD 1 have latents and mjd"):
        track(latents, "HD 1")
    with pytest.raises(ChoiceError, match=r"no row shows 'HD 9'.*HD 2 \(20\)"):
        track(latents, "HD 9")
    with pytest.raises(ChoiceError, match="no star is named"):
        track(latents)
    with pytest.raises(ChoiceError, match="of the time in days"):
        track(Latents(latents.values, latents.table[["star"]]), "HD 2")
    with pytest.raises(ChoiceError, match="no column 'indx'"):
        track(latents, "HD 2", columns=["indx"])
    few = track(latents.take(np.flatnonzero(latents.column("star") == "HD 2")[:6]))
    assert few.periodograms.empty
    assert any("no periods: 6 exposures" in note for note in few.notes)
    assert "period" not in few.sentences()[1]


def test_dates_of_pandas_are_days():
    rng = np.random.default_rng(3)
    found = exposures(rng, rng.normal(size=(30, 2)), 55000 + np.arange(30) * 0.9)
    dated = found.table.assign(
        mjd=pd.to_datetime(found.table["mjd"], origin="1858-11-17", unit="D")
    )
    days, dates = (
        track(Latents(found.values, table), "HD 1", dims="all", n_permutations=19)
        for table in (found.table, dated)
    )
    np.testing.assert_allclose(dates.series["time"], days.series["time"], atol=1e-6)
    np.testing.assert_allclose(dates.dims["period"], days.dims["period"], rtol=1e-6)


def test_a_star_that_object_alone_names_is_the_only_one():
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"star": [""] * 20, "object": "HD 1", "mjd": 55000.0 + np.arange(20)})
    for columns in (["star", "object", "mjd"], ["object", "mjd"]):
        latents = Latents(rng.normal(size=(20, 2)), table[columns])
        assert track(latents, n_permutations=9).star == "HD 1"
        assert len(track(latents, "hd1", n_permutations=9).series) == 20
