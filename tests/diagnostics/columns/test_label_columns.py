"""Which columns are labels, and what is said of text that looks like numbers."""

import numpy as np
import pandas as pd
import pytest

from latentscope.diagnostics.mi.columns import choose_labels
from latentscope.errors import EstimatorError, LatentscopeWarning

N = 120


def mostly_numbers(others, every=5):
    return [others if i % every == 0 else str(5000 + i) for i in range(N)]


@pytest.mark.parametrize("others", ["--", "-", "N/A?"])
@pytest.mark.parametrize("columns", [None, ["dash"]])
def test_numbers_with_placeholders_are_told_once(others, columns):
    frame = pd.DataFrame({"dash": mostly_numbers(others), "v": np.arange(N)})
    with pytest.warns(LatentscopeWarning) as told:
        choose_labels(frame, columns, None)
    assert [str(warning.message) for warning in told] == [
        f"dash: 96 of 120 values are numbers, others are text such as {others!r}, so it is taken "
        "for classes (or left out); make these empty"
    ]


def test_decimal_commas_are_told():
    commas = [f"{5500 + i},5" for i in range(N)]
    with pytest.warns(
        LatentscopeWarning, match="like 5500,5, so .* wanted a decimal point"
    ) as told:
        choose_labels(pd.DataFrame({"teff": commas, "v": np.arange(N)}), None, None)
    assert len(told) == 1


def test_numbers_written_as_text_are_told():
    frame = pd.DataFrame({"teff": [str(i) for i in range(N)], "v": np.arange(N)})
    with pytest.warns(LatentscopeWarning, match="120 of 120 values are numbers written as text"):
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
    with pytest.raises(EstimatorError, match="amplitude: complex numbers; wanted real ones"):
        choose_labels(frame, columns, None)
    assert choose_labels(frame, ["v"], None) == (["v"], [])
