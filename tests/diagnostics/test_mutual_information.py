import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscope.diagnostics.mi.api import mutual_information
from latentscope.diagnostics.mi.estimators import ksg
from latentscope.errors import EstimatorError, LatentscopeWarning


def gaussians(rho, n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("estimator", ["auto", "copula", "ksg"])
def test_gaussians_have_their_closed_form(rho, estimator):
    x, y = gaussians(rho, 10_000)
    truth = -0.5 * np.log(1 - rho**2)
    assert mutual_information(x, y, estimator=estimator) == pytest.approx(truth, abs=0.035)


def test_perfect_useless_and_duplicated():
    rng = np.random.default_rng(1)
    x = rng.normal(size=3000)
    perfect = mutual_information(x, np.exp(x))
    assert perfect > 5
    assert mutual_information(x, x.copy()) == pytest.approx(perfect, abs=0.1)
    assert abs(mutual_information(x, rng.normal(size=3000))) < 0.05


def test_an_estimate_of_nothing_may_be_negative():
    values = [mutual_information(*gaussians(0, 300, seed)) for seed in range(20)]
    assert min(values) < 0 < max(values)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), power=st.sampled_from([1, 3, 5]), flip=st.booleans())
def test_monotone_maps_change_nothing_under_ranks(seed, power, flip):
    x, y = gaussians(0.7, 400, seed)
    mapped = np.sign(y) * np.abs(y) ** power * 1e4 + 7
    value = mutual_information(x, y)
    assert mutual_information(x, mapped) == value
    assert mutual_information(10 * x - 3, y) == value
    if flip:
        assert mutual_information(-x, y) == pytest.approx(value, abs=0.1)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_a_missing_value_drops_its_row(seed):
    x, y = gaussians(0.7, 300, seed)
    holes = np.random.default_rng(seed).random(300) < 0.2
    with_holes = np.where(holes, np.nan, y)
    assert mutual_information(x, with_holes, estimator="ksg") == pytest.approx(
        ksg(x[~holes], y[~holes]), abs=1e-12
    )


def test_classes_are_recognised():
    rng = np.random.default_rng(2)
    kind = rng.integers(0, 3, 3000)
    x = rng.normal(size=3000) + 2 * kind
    value = mutual_information(x, kind)
    assert 0.4 < value < np.log(3)
    names = np.array(["F", "G", "K"])[kind]
    for same in (names, pd.Categorical(names), kind.astype(float) / 2, list(names)):
        assert mutual_information(x, same) == value
    assert mutual_information(x, kind, estimator="ross") == pytest.approx(value, abs=0.01)
    assert mutual_information(names, x) == pytest.approx(value, abs=0.01)
    assert mutual_information(x, kind, discrete=False) == pytest.approx(value, abs=0.1)
    flags = kind > 0
    assert mutual_information(x, flags) == mutual_information(x, flags.astype(int))
    assert mutual_information(names, kind) == pytest.approx(np.log(3), abs=0.01)


def test_missing_classes_are_no_class():
    rng = np.random.default_rng(3)
    kind = np.array(["G", "K"], dtype=object)[rng.integers(0, 2, 1000)]
    x = rng.normal(size=1000) + (kind == "G")
    for nothing in (None, "", np.nan, "  "):
        holes = kind.copy()
        holes[:400] = nothing
        kept = mutual_information(x[400:], kind[400:])
        # The jitter of the ranks differs.
        assert mutual_information(x, holes) == pytest.approx(kept, abs=0.01)


def test_ties_neither_invent_nor_hide_information():
    rng = np.random.default_rng(4)
    x, y = gaussians(0.0, 5000, 4)
    assert abs(mutual_information(np.round(x, 1), np.round(y, 1))) < 0.03
    zero_inflated = np.where(rng.random(5000) < 0.5, 0.0, y)
    assert abs(mutual_information(x, zero_inflated)) < 0.03
    x, y = gaussians(0.8, 5000, 5)
    truth = -0.5 * np.log(1 - 0.8**2)
    assert mutual_information(np.round(x, 2), np.round(y, 2)) == pytest.approx(truth, abs=0.04)
    with pytest.warns(LatentscopeWarning, match="tied"):
        mutual_information(np.round(x, 1), np.round(y, 1), estimator="ksg")


def test_integers_and_float32_are_cast_first():
    x, y = gaussians(0.5, 500)
    as_integers = np.round(x * 1e6).astype(np.int32)
    assert mutual_information(as_integers, y, estimator="ksg", discrete=False) == pytest.approx(
        ksg(as_integers.astype(float), y), abs=1e-12
    )
    single = x.astype(np.float32)
    assert mutual_information(single, y) == mutual_information(single.astype(float), y)


def test_several_columns_together():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(4000, 2))
    y = x.sum(axis=1) + rng.normal(size=4000)
    truth = 0.5 * np.log(3)
    for estimator in ("auto", "ksg"):
        value = mutual_information(x, y, estimator=estimator)
        assert value == pytest.approx(truth, abs=0.05)
        assert mutual_information(y, x, estimator=estimator) == pytest.approx(value, abs=0.02)
    kind = (x[:, 0] > 0).astype(int)
    assert mutual_information(x, kind) == pytest.approx(np.log(2), abs=0.05)
    holes = x.copy()
    holes[:1000, 1] = np.nan
    assert mutual_information(holes, y, estimator="ksg") == pytest.approx(
        ksg(x[1000:], y[1000:]), abs=1e-12
    )
    assert mutual_information(x[:, :1], y) == mutual_information(x[:, 0], y)


def test_a_constant_gives_nothing_and_says_so():
    with pytest.warns(LatentscopeWarning, match="x constant"):
        assert mutual_information(np.ones(50), np.arange(50.0)) == 0
    with pytest.warns(LatentscopeWarning, match="y constant"):
        assert mutual_information(np.arange(50.0), ["a"] * 50) == 0


@pytest.mark.parametrize(
    ("x", "y", "options", "words"),
    [
        (np.arange(5.0), np.arange(6.0), {}, "x has 5 rows and y has 6"),
        (np.arange(3.0), np.arange(3.0), {}, "3 rows have both; wanted more than neighbors=3"),
        (np.arange(9.0), np.arange(9.0), {"neighbors": 0}, "neighbors is 0"),
        (np.array([1, 2, np.inf, 4, 5]), np.arange(5.0), {}, "x: 1 of 5 values are infinite"),
        (np.arange(5.0), np.arange(5.0), {"estimator": "mine"}, "wanted one of auto, copula"),
        (np.arange(5.0), list("abcde"), {"estimator": "ksg"}, "y: holds .* not numbers"),
        (np.zeros((2, 2, 2)), np.arange(2.0), {}, "x has shape"),
        (np.arange(0.0), np.arange(0.0), {}, "not empty"),
        (np.zeros((9, 2)), np.zeros(9), {"estimator": "plugin"}, "plugin takes single columns"),
        (np.zeros((3, 2)), np.zeros(3), {}, "3 rows have both x and y"),
    ],
)
def test_what_has_no_answer_is_refused(x, y, options, words):
    with pytest.raises(EstimatorError, match=words):
        mutual_information(x, y, **options)


@pytest.mark.parametrize("options", [{"estimator": "ross"}, {"discrete": True}])
def test_classes_in_several_columns_are_refused(options):
    x, y = np.arange(40.0), np.arange(80).reshape(40, 2) % 3
    with pytest.raises(EstimatorError, match=r"y has shape \(40, 2\).*classes"):
        mutual_information(x, y, **options)


def test_a_seed_below_0_is_refused():
    with pytest.raises(EstimatorError, match="seed is -1; wanted a whole number, 0 or more"):
        mutual_information(np.arange(9.0), np.arange(9.0), seed=-1)
