"""Columns made ready, which of them are labels, and what is said of numbers in text."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from astropy.stats import sigma_clip

from latentscope.diagnostics.mi.columns import (
    beyond_sigma,
    choose_labels,
    notes_of,
    read_column,
    summary_of,
)
from latentscope.errors import EstimatorError, LatentscopeWarning

M = 600
N = 120


def mostly_numbers(others, every=5):
    return [others if i % every == 0 else str(5000 + i) for i in range(N)]


@pytest.mark.parametrize("others", ["--", "-", "N/A?"])
@pytest.mark.parametrize("columns", [None, ["dash"]])
def test_numbers_with_placeholders_are_told_once(others, columns):
    frame = pd.DataFrame({"dash": mostly_numbers(others), "v": np.arange(N)})
    with pytest.warns(LatentscopeWarning) as warned:
        choose_labels(frame, columns, None)
    assert [str(warning.message) for warning in warned] == [
        f"numbers in text: dash (96 of 120, another is {others!r}); such labels are treated as "
        "classes, or left out: write decimal points, and leave cells without a number empty"
    ]


def test_decimal_commas_are_told():
    commas = [f"{5500 + i},5" for i in range(N)]
    with pytest.warns(LatentscopeWarning, match="another is '5500,5'") as warned:
        choose_labels(pd.DataFrame({"teff": commas, "v": np.arange(N)}), None, None)
    assert len(warned) == 1


def test_numbers_written_as_text_are_told():
    frame = pd.DataFrame({"teff": [str(i) for i in range(N)], "v": np.arange(N)})
    with pytest.warns(LatentscopeWarning, match=r"teff \(120 of 120\)"):
        choose_labels(frame, None, None)


@pytest.mark.parametrize(
    "values",
    [
        ["G2", "K0"] * 60,
        mostly_numbers("--", every=2),
        ["1", "2"] * 60,
        [True, None] * 60,
        [None] * N,
        np.arange(N) / 7,
    ],
)
def test_other_columns_are_not_told(values, recwarn):
    assert choose_labels(pd.DataFrame({"x": values}), ["x"], None) == (["x"], [])
    assert not recwarn


def test_names_of_stars_are_not_told(recwarn):
    frame = pd.DataFrame({"v": np.arange(N)})
    for name in ("star", "gaia_id", "plate"):
        frame[name] = [str(i) for i in range(N)]
    assert choose_labels(frame, None, "plate")[0] == ["v"]
    assert not recwarn


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (pd.date_range("2020", periods=N), "dates"),
        (pd.period_range("2020", periods=N, freq="D"), "dates"),
        (pd.date_range("2020", periods=N).date, "dates"),
        (pd.period_range("2020", periods=N, freq="D").astype(object), "dates"),
        (pd.to_timedelta(np.arange(N), unit="s"), "durations"),
        (list(pd.to_timedelta(np.arange(N), unit="s").to_pytimedelta()), "durations"),
    ],
)
def test_dates_and_durations_are_left_out(values, reason):
    names, notes = choose_labels(pd.DataFrame({"v": np.arange(N), "when": values}), None, None)
    assert names == ["v"]
    assert notes == [f"left out, since it holds {reason}: when"]


@pytest.mark.parametrize("columns", [None, ["amplitude"]])
@pytest.mark.parametrize("dtype", [complex, object])
def test_complex_numbers_are_an_error(columns, dtype):
    frame = pd.DataFrame({"amplitude": pd.Series(np.arange(N) * 1j, dtype=dtype), "v": range(N)})
    with pytest.raises(EstimatorError, match="amplitude: complex numbers"):
        choose_labels(frame, columns, None)
    assert choose_labels(frame, ["v"], None) == (["v"], [])


@pytest.mark.parametrize("sigma", [1.0, 3.0, 5.0])
@pytest.mark.parametrize("tails", [1.5, 3, 50])
def test_values_too_far_out_are_those_that_astropy_clips(sigma, tails):
    values = np.random.default_rng(0).standard_t(tails, size=1500)
    np.testing.assert_array_equal(beyond_sigma(values, sigma), sigma_clip(values, sigma).mask)
    gaps = np.append(values, [np.nan, np.nan])
    np.testing.assert_array_equal(beyond_sigma(gaps, sigma)[:-2], beyond_sigma(values, sigma))
    for scale in (2.0**-1000, 2.0**1000):
        np.testing.assert_array_equal(
            beyond_sigma(scale * values.clip(-1e4, 1e4), sigma),
            beyond_sigma(values.clip(-1e4, 1e4), sigma),
        )
    assert not beyond_sigma(np.full(5, np.nan), sigma).any()
    assert not beyond_sigma(np.ones(5), sigma).any()


def test_a_part_of_a_column_is_the_column_of_its_rows():
    rng = np.random.default_rng(15)
    values, keep = rng.normal(size=500), rng.random(500) < 0.6
    part = read_column("x", values).part(keep)
    fresh = read_column("x", values[keep])
    for name in ("values", "order", "ascending", "ranks"):
        np.testing.assert_array_equal(getattr(part, name), getattr(fresh, name))
    assert 0 < part.ranked.min() < part.ranked.max() < 1
    classes = read_column("x", np.arange(500) % 7)
    last = classes.part(np.arange(500) % 7 > 3)
    np.testing.assert_array_equal(np.unique(last.codes), [0, 1, 2])
    assert last.n_classes == 7


def test_ties_of_rows_without_latents_do_not_count():
    values = np.repeat(np.arange(M / 2), 2)
    column = read_column("teff", values)
    assert notes_of([summary_of(column, np.arange(M) >= 10)], None) == [
        "ties broken at random: teff (100%)"
    ]
    alone = summary_of(column, np.arange(M) % 2 == 0)
    assert (alone.rows, alone.n_tied, alone.many_tied) == (M // 2, 0, False)


@pytest.mark.parametrize("seed", range(5))
def test_ties_are_those_that_counting_finds(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 400, M) / 3
    values[rng.random(M) < 0.1] = np.nan
    ok = rng.random(M) < 0.7
    label = summary_of(read_column("v", values), ok)
    kept = values[ok & ~np.isnan(values)]
    counts = np.unique(kept, return_counts=True)[1]
    assert (label.rows, label.n_tied) == (len(kept), counts[counts > 1].sum())
    assert summary_of(read_column("v", values), np.zeros(M, dtype=bool)).n_tied == 0


@pytest.mark.parametrize(
    ("values", "days"),
    [
        (pd.to_datetime(["2000-01-01T12:00", None, "1858-11-18T00:00"]), [51544.5, np.nan, 1]),
        (pd.to_timedelta([1, None, -12], unit="h"), [1 / 24, np.nan, -0.5]),
        (pd.Series([date(2000, 1, 1), None, date(1858, 11, 17)]), [51544, np.nan, 0]),
    ],
)
def test_dates_and_durations_count_in_days(values, days):
    series = pd.Series(values)
    np.testing.assert_allclose(read_column("when", series).values, days, rtol=1e-12)
    assert choose_labels(pd.DataFrame({"when": series}), ["when"], None)[0] == ["when"]


def test_text_without_classes_is_refused_by_name():
    frame = pd.DataFrame({"when": [f"24/03/{1900 + i}" for i in range(N)], "v": np.arange(N)})
    assert choose_labels(frame, None, None)[0] == ["v"]
    with pytest.raises(EstimatorError, match=r"when has a different text .* '24/03/1900'"):
        choose_labels(frame, ["when"], None)


def test_complex_numbers_do_not_lose_their_imaginary_part():
    with pytest.raises(EstimatorError, match="complex"):
        read_column("x", np.arange(4) * 1j)


@pytest.mark.parametrize("names", ["b", ["b"], pd.Index(["b"]), np.array(["b"])])
def test_names_of_labels_may_be_an_index_or_one_text(names):
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    assert choose_labels(frame, names, None)[0] == ["b"]
