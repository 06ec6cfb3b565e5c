"""Label columns of catalogues: what stands for missing values, and numbers written as text."""

import numpy as np
import pandas as pd
import pytest

from latentscope.data import read_labels
from latentscope.errors import ChoiceError
from latentscope.labels import clean_labels, find_codes

N = 1000
RNG = np.random.default_rng(0)
TEFF = RNG.normal(5500, 700, N)
COLUMNS = {
    "teff": TEFF,
    "rounded": np.round(TEFF, -2),
    "logg": RNG.uniform(1, 5, N),
    "feh": RNG.normal(-0.3, 0.4, N),
    "vsini": np.exp(RNG.normal(1, 1, N)),
    "rv": RNG.normal(0, 40, N),
    "magnitude": RNG.normal(9, 1.5, N),
    "distance": np.exp(RNG.normal(5, 1.5, N)),
    "with an O star": np.append(TEFF[1:], 50000.0),
}
EVERYWHERE = (-999, -9999, -999.9, 999, 1e20, -32768, -2147483648, -1000)


def with_code(values, code, rows=50):
    """Put a code into every so many rows."""
    values = np.array(values, dtype=np.float64)
    values[:: len(values) // rows] = code
    return values


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("code", EVERYWHERE)
def test_codes_are_found_in_every_column(column, code):
    assert find_codes(with_code(COLUMNS[column], code)) == {code: 50}


@pytest.mark.parametrize(
    ("code", "columns"),
    [
        (99.99, ("logg", "feh", "magnitude", "vsini", "rv", "distance", "teff")),
        (9999, ("teff", "rounded", "feh", "with an O star")),
        (-1, ("teff", "logg", "vsini", "magnitude", "distance")),
        (0, ("teff", "rounded", "magnitude", "with an O star")),
        (-99, ("logg", "feh", "vsini", "magnitude")),
        (-9.99, ("logg", "feh", "vsini")),
        (99, ("logg", "feh", "magnitude")),
    ],
)
def test_codes_are_found_where_nothing_else_is_like_them(code, columns):
    for column in columns:
        assert find_codes(with_code(COLUMNS[column], code)) == {code: 50}, column


def test_several_codes_and_few_rows():
    values = with_code(with_code(COLUMNS["magnitude"], -999), 99.99, 20)
    values[3], values[4:7] = -9999, -1
    assert find_codes(values) == {-9999: 1, -999: 40, -1: 3, 99.99: 20}
    assert find_codes(with_code(TEFF, -9999, 1)) == {-9999: 1}
    assert find_codes(np.array([5777.0, -999, 5000, -999, 6000, 5500])) == {-999: 2}
    assert find_codes(np.append(TEFF[:30], [0.0] * 3)) == {}


def test_codes_in_classes():
    classes = RNG.integers(0, 4, N)
    for code in (-999, 999, -99, 99):
        assert find_codes(with_code(classes, code)) == {code: 50}
    assert find_codes(with_code(np.full(N, 3.0), -999)) == {-999: 50}


def test_single_precision_and_whole_numbers():
    single = with_code(COLUMNS["magnitude"], 99.99).astype(np.float32)
    frame = pd.DataFrame({"v": single, "n": with_code(np.round(TEFF), -999).astype(np.int32)})
    frame["nullable"] = frame["n"].astype("Int64")
    frame["huge"] = with_code(TEFF, 1e20).astype(np.float32)
    clean = clean_labels(frame)
    assert clean.left_out == {
        "v": {99.99: 50},
        "n": {-999: 50},
        "nullable": {-999: 50},
        "huge": {1e20: 50},
    }
    assert list(clean.frame.isna().sum()) == [50] * 4
    assert frame["v"].max() > 99


LEGITIMATE = {
    "classes": RNG.choice([-1, 0, 1], N),
    "bright flags": RNG.choice([0, 1, 2, 9], N),
    "counts": RNG.poisson(0.5, N),
    "many counts": RNG.poisson(40, N),
    "yes or no": RNG.choice([0, 1], N),
    "orders": RNG.integers(1, 100, N),
    "subclasses": RNG.integers(0, 10, N),
    "lower limit": np.maximum(COLUMNS["vsini"], 2.0),
    "upper limit": np.minimum(COLUMNS["vsini"], 9.0),
    "limit of nines": np.minimum(COLUMNS["distance"], 999.0),
    "limit of nines, rare": np.minimum(COLUMNS["distance"], 9999.0),
    "lognormal": COLUMNS["distance"],
    "cauchy": RNG.standard_cauchy(N),
    "pareto": RNG.pareto(1, N),
    "two populations": np.append(RNG.normal(2, 0.1, 300), RNG.normal(4.5, 0.1, 700)),
    "two rounded populations": np.append(
        np.round(RNG.normal(4000, 50, 300), -2), np.round(RNG.normal(9000, 50, 700), -2)
    ),
    "zeros and a lognormal": np.append(np.zeros(400), COLUMNS["vsini"][:600]),
    "zeros below a limit": np.append(np.zeros(400), RNG.uniform(0.5, 10, 600)),
    "constant": np.full(N, 99.0),
    "log of a limit": np.maximum(RNG.normal(0, 1, N), -1.0),
    "percent": np.minimum(RNG.normal(95, 8, N), 99.9),
    "one large value": np.append(COLUMNS["feh"], 30.0),
    "solar magnitude": np.append(np.full(100, -26.74), COLUMNS["magnitude"]),
    "nothing": np.full(N, np.nan),
    "three rows": np.array([1.0, 0.0, 0.0]),
    "grid": RNG.choice([3500.0, 4000.0, 4500.0], N),
    "phase": RNG.choice([-1.0, 1.0], N),
}


@pytest.mark.parametrize("name", LEGITIMATE)
def test_what_is_no_code_stays(name):
    values = np.asarray(LEGITIMATE[name], dtype=np.float64)
    assert find_codes(values) == {}
    frame = pd.DataFrame({"v": values})
    assert clean_labels(frame).frame is frame


@pytest.mark.parametrize("seed", range(20))
def test_smooth_columns_of_any_size_have_no_code(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 3000))
    for values in (
        rng.normal(5500, 700, n),
        np.round(rng.normal(0, 100, n)),
        np.round(np.exp(rng.normal(2, 2, n)), 1),
        np.round(rng.standard_t(2, n), 1),
        np.round(rng.uniform(-10, 10, n)),
        rng.integers(0, int(rng.integers(2, 60)), n),
    ):
        assert find_codes(np.asarray(values, dtype=np.float64)) == {}


def test_codes_can_be_named_or_kept():
    frame = pd.DataFrame({"id": ["-999"] * N, "v": with_code(TEFF, -999), "w": np.arange(N) * 1.0})
    clean = clean_labels(frame, [-999, 5])
    assert clean.left_out == {"v": {-999: 50}, "w": {5: 1}}
    assert "v -999 (50 rows), w 5 (1 row)" in clean.note
    assert list(clean.frame["id"]) == ["-999"] * N
    for off in ("none", None):
        assert clean_labels(frame, off).frame is frame
    for one in (-999, np.array([-999.0]), (-999,)):
        assert clean_labels(frame, one).left_out == {"v": {-999: 50}}
    for wrong in ("auto,none", [], ["x"]):
        with pytest.raises(ChoiceError, match="missing is"):
            clean_labels(frame, wrong)


def test_what_is_named_wrongly_is_told():
    frame = pd.DataFrame({"v": with_code(with_code(TEFF, -999), 99999, 20).astype(np.float32)})
    clean = clean_labels(frame, [-999, -9999])
    assert clean.kept == {"v": {99999: 20}}
    assert clean.absent == (-9999,)
    assert clean.doubt == (
        "kept, though they look as if they stood for missing values: v 99999 (20 rows); no label "
        "has -9999, which missing names"
    )
    assert clean_labels(frame, [-999, 99999]).doubt == ""
    assert clean_labels(frame).doubt == clean_labels(frame, "none").doubt == ""


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (("5777", "--", "N/A", "-", "4000.5"), (5777, np.nan, np.nan, np.nan, 4000.5)),
        (("5,777", "987", "4,912.5"), (5777, 987, 4912.5)),
        (("5777 K", "4912 K", "6000.5K"), (5777, 4912, 6000.5)),
        (("12:34:56", "-01:30:00.0", "00 00 36"), (12 + 34 / 60 + 56 / 3600, -1.5, 0.01)),
        (("0,250", "12", "5777,5"), (0.25, 12, 5777.5)),
        (("1e3", "-2.5E-1", ".5"), (1000, -0.25, 0.5)),
        (("1.5D3", "-2.5d-1", ".5"), (1500, -0.25, 0.5)),
        (("12h34m56s", "-01d30m00.0s", "00° 00′ 36″"), (12 + 34 / 60 + 56 / 3600, -1.5, 0.01)),
        (("5777 ± 50", "4912+/-60.5", "6000.5(12)"), (5777, 4912, 6000.5)),
        (("#DIV/0!", "5777", "4000.5"), (np.nan, 5777, 4000.5)),
    ],
)
def test_text_that_is_surely_numbers(text, values):
    # As many different ones as no classes have.
    many = (text[-1].replace("5", f"{100 + i}").replace("36", f"{i:02}") for i in range(60))
    column = pd.Series([*text, *many])
    clean = clean_labels(read_labels(pd.DataFrame({"v": column})))
    np.testing.assert_allclose(clean.frame["v"][: len(values)], values, rtol=1e-12)
    assert clean.notes[0].startswith("treated as numbers: v: ")


@pytest.mark.parametrize(
    "text",
    [
        [f"{i}" for i in range(40)] * 3,  # few enough to be classes
        [f"{i:04}" for i in range(100)],
        [f"5,{i:03}" for i in range(100)],  # 5777 or 5.777
        [f"{i} K" if i % 2 else f"{i} km/s" for i in range(100)],
        [f"<{i}" for i in range(100)],
        [f"{i}:" for i in range(100)],
        [f"24/03/{i}" for i in range(1900, 2000)],
        ["G2V", "K0", "M5"] * 30,
        [f"HD {i}" for i in range(100)],
        [f"{i}.fits" for i in range(100)],
        [True, "x", 3.0],
    ],
)
def test_other_text_stays(text):
    frame = pd.DataFrame({"v": pd.Series(text, dtype=object)})
    assert clean_labels(frame).frame is frame


def test_few_decimal_commas_are_numbers_too():
    clean = clean_labels(pd.DataFrame({"v": ["0,5", "1,5", "2"] * 30, "w": ["1,2,3", "2"] * 45}))
    assert set(clean.frame["v"]) == {0.5, 1.5, 2.0}
    assert set(clean.frame["w"]) == {"1,2,3", "2"}


def test_dates_as_text_become_dates():
    days = [f"2012-03-{i % 28 + 1:02}T12:{i % 60:02}:00.5" for i in range(100)]
    clean = clean_labels(pd.DataFrame({"v": days}))
    assert pd.api.types.is_datetime64_any_dtype(clean.frame["v"])
    assert not clean.notes  # who leaves dates out tells it


def test_codes_and_empty_cells_as_text():
    text = ["-999", "N/A", "-999", *(f"{value:.1f}" for value in TEFF)]
    clean = clean_labels(read_labels(pd.DataFrame({"v": text})))
    assert clean.left_out == {"v": {-999: 2}}
    assert clean.frame["v"].isna().sum() == 3
    kinds = pd.DataFrame({"v": ["G", "-999", "N/A", "NA", "Na", "K", "-999"]})
    kinds = clean_labels(read_labels(kinds)).frame
    assert list(kinds["v"].dropna()) == ["G", "Na", "K"]


def test_dates_in_single_precision_are_told():
    dates = 2459000.123456 + np.random.default_rng(0).normal(size=500)
    assert "mjd in steps of 0.25" in clean_labels(pd.DataFrame({"mjd": np.float32(dates)})).coarse
    whole = pd.DataFrame({"row": np.float32(np.arange(500)), "teff": np.float32(dates - 2459000)})
    assert not clean_labels(whole.assign(mjd=dates)).coarse
