import importlib
import sys
import types

import numpy as np
import pytest

from latentscope.diagnostics.mi import estimators
from latentscope.diagnostics.mi.estimators import ksg, npeet_mi
from latentscope.errors import EstimatorError


@pytest.fixture
def installed():
    return pytest.importorskip("npeet_plus", reason="the extra [npeet] is not installed")


@pytest.fixture
def pair():
    rng = np.random.default_rng(1)
    x = rng.normal(size=1200)
    return x, 0.8 * x + 0.6 * rng.normal(size=1200)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("neighbors", [1, 3, 6])
def test_equals_our_own_where_nothing_is_tied(pair, neighbors):
    x, y = pair
    assert npeet_mi(x, y, neighbors) == pytest.approx(ksg(x, y, neighbors), abs=1e-6)
    wide = np.column_stack([x, np.random.default_rng(2).normal(size=1200)])
    assert npeet_mi(wide, y, neighbors) == pytest.approx(ksg(wide, y, neighbors), abs=1e-6)


def test_is_in_nats_and_near_the_truth(installed, pair):
    x, y = pair
    assert npeet_mi(x, y) == pytest.approx(-np.log(0.6), abs=0.06)
    np.random.seed(0)  # noqa: NPY002
    bits = installed.mi(x[:, None], y[:, None], k=3, base=2)
    assert npeet_mi(x, y) == pytest.approx(bits * np.log(2), abs=1e-9)


@pytest.mark.usefixtures("installed")
def test_the_noise_is_that_of_the_seed_and_the_global_state_stays():
    tied = np.repeat(np.arange(10.0), 30)
    np.random.seed(7)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    first, second, other = (npeet_mi(tied, tied[::-1], seed=seed) for seed in (1, 1, 2))
    assert first == second
    assert first != other
    np.testing.assert_array_equal(np.random.random(3), expected)  # noqa: NPY002


@pytest.mark.usefixtures("installed")
def test_classes_perfect_and_useless():
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 3, 3000)
    apart = rng.normal(size=3000) + 50 * codes
    names = np.array(["G2V", "K0V", "M3V"])[codes]
    value = npeet_mi(apart, codes, discrete=True)
    assert value == pytest.approx(np.log(3), abs=0.05)
    assert npeet_mi(apart, names, discrete=True) == pytest.approx(value, abs=1e-9)
    assert npeet_mi(rng.normal(size=3000), codes, discrete=True) == pytest.approx(0, abs=0.05)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("discrete", [False, True])
def test_what_it_does_not_take(discrete):
    with pytest.raises(EstimatorError, match="3 rows; wanted more than 3"):
        npeet_mi(np.arange(3), np.arange(3), discrete=discrete)
    with pytest.raises(EstimatorError, match="x has 9 rows and y has 8"):
        npeet_mi(np.arange(9), np.arange(8), discrete=discrete)
    with pytest.raises(EstimatorError, match="NaN or infinite"):
        npeet_mi([1, 2, np.inf, 4, 5], np.arange(5), discrete=discrete)


@pytest.mark.usefixtures("installed")
def test_classes_in_several_columns():
    with pytest.raises(EstimatorError, match="one class a row"):
        npeet_mi(np.arange(9), np.zeros((9, 2)), discrete=True)


def test_without_any_says_how_to_install(monkeypatch, pair):
    real = importlib.import_module

    def missing(name, *rest):
        if "npeet" in name:
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(estimators, "import_module", missing)
    with pytest.raises(EstimatorError, match=r"pip install 'latentscope-spectra\[npeet\]'"):
        npeet_mi(*pair)


def test_takes_the_original_where_only_that_is_installed(monkeypatch):
    original = types.ModuleType("npeet.entropy_estimators")
    calls = []
    original.mi = lambda x, y, k, base: calls.append((x.shape, y.shape, k, base)) or 0.5
    monkeypatch.setitem(sys.modules, "npeet_plus", None)
    monkeypatch.setitem(sys.modules, "npeet", types.ModuleType("npeet"))
    monkeypatch.setitem(sys.modules, "npeet.entropy_estimators", original)
    assert npeet_mi(np.arange(9), np.arange(9), 2) == 0.5
    assert calls == [((9, 1), (9, 1), 2, np.e)]
