"""Probes: labels of known error, R2 and intervals, useless ones, repeated stars, far rows."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, kstest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

import latentscope
from latentscope.diagnostics.probe import (
    FAR,
    Curve,
    _reader,
    fit_probe,
    monomials,
    probe,
    shuffled_p_value,
    unit_of,
)
from latentscope.errors import ChoiceError, EstimatorError


def gaussian(n, noise=0.5, seed=0):
    """Latents (n, 3), and a label linear in two of them: R2 is 1.25 / (1.25 + noise^2)."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3))
    return z, z[:, 0] - 0.5 * z[:, 2] + noise * rng.normal(size=n)


def row(result, label, reader):
    table = result.table
    return table[(table["label"] == label) & (table["reader"] == reader)].iloc[0]


@pytest.fixture(scope="module")
def known():
    z, label = gaussian(3000)
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "Teff": 5000 + 400 * label,
            "noise": rng.normal(size=len(z)),
            "side": np.where(z[:, 1] > 0, "left", "right"),
            "coin": rng.choice(["heads", "tails"], len(z)),
        }
    )
    return probe(z, frame)


@pytest.mark.parametrize("reader", ["linear", "curved"])
def test_a_linear_gaussian_label_has_the_error_of_its_noise(known, reader):
    found = row(known, "Teff", reader)
    assert found["rms"] == pytest.approx(200, rel=0.05)
    assert found["error"] == pytest.approx(0.6745 * 200, rel=0.06)
    assert found["r2"] == pytest.approx(1.25 / 1.5, abs=0.02)
    assert found["error_low"] < found["error"] < found["error_high"]
    assert found["baseline"] == pytest.approx(0.6745 * 400 * np.sqrt(1.5), rel=0.06)
    assert (found["unit"], found["n"]) == ("K", 3000)


def test_other_readers_come_close_and_none_beats_the_noise(known):
    for reader in ("knn", "boosted"):
        assert 0.97 * 200 < row(known, "Teff", reader)["rms"] < 1.2 * 200


def test_classes_have_balanced_accuracy_and_a_confusion_table(known):
    assert row(known, "side", "linear")["accuracy"] > 0.97
    assert row(known, "side", "linear")["baseline"] == 0.5
    counts = known.confusion["side"]
    assert counts.to_numpy().sum() == 3000
    assert np.trace(counts.to_numpy()) > 2900
    assert known.predictions["side_read"].isin(["left", "right"]).all()
    assert not (known.table["reader"] == "curved")[known.table["label"] == "side"].any()


def test_what_cannot_be_told_is_said(known):
    assert known.told == ["Teff", "side"]
    said = " ".join(known.sentences())
    assert "noise cannot be read" in said
    assert "coin cannot be read" in said
    assert "Teff is read to" in said


@pytest.mark.parametrize(("reader", "classes"), [("linear", False), ("knn", False), ("knn", True)])
def test_p_values_of_useless_labels_are_even(reader, classes):
    rng = np.random.default_rng(5)
    values = []
    for _ in range(150):
        x = rng.normal(size=(120, 2))
        y = rng.integers(2, size=120) if classes else rng.normal(size=120)
        values.append(
            shuffled_p_value(lambda: _reader(reader, classes, 0), x, y, rng, classes=classes)
        )
    assert kstest(values, "uniform").pvalue > 1e-3


def test_repeated_stars_do_not_leak():
    rng = np.random.default_rng(3)
    star = np.repeat(np.arange(300), 5)
    z = rng.normal(size=(300, 4))[star] + 0.01 * rng.normal(size=(1500, 4))
    frame = pd.DataFrame({"feh": rng.normal(size=300)[star]})
    aware = probe(z, frame, groups=star, readers=["knn", "boosted"])
    assert (aware.table["r2"] < 0.05).all()
    assert not aware.told
    assert (aware.table["n"] == 300).all()
    blind = probe(z, frame, groups=None, readers=["knn"])
    assert blind.table["r2"].iloc[0] > 0.9


def test_each_dimension_alone():
    z, label = gaussian(800, noise=0.1)
    found = probe(z, pd.DataFrame({"y": label}), dims="each", readers=["linear"], n_bootstraps=0)
    r2 = found.table.set_index("dims")["r2"]
    assert r2["0"] == pytest.approx(1 / 1.26, abs=0.04)
    assert r2["2"] == pytest.approx(0.25 / 1.26, abs=0.06)
    assert abs(r2["1"]) < 0.05
    assert found.table["error_low"].isna().all()
    assert "nan" not in " ".join(found.sentences())


def test_results_follow_from_the_seed_and_do_not_touch_their_input():
    z, label = gaussian(400)
    before = z.copy()
    frame = pd.DataFrame({"y": label})
    one, two = (probe(z, frame, readers=["linear"], seed=3).table for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    np.testing.assert_array_equal(z, before)


@pytest.mark.parametrize(
    ("label", "unit"),
    [
        ("Teff", "K"),
        ("[Fe/H]", "dex"),
        ("logg", "dex"),
        ("radvel", "km/s"),
        ("age (Gyr)", "Gyr"),
        ("v_kms", "km/s"),
        ("temp_k", "K"),
        ("mag_k", ""),
        ("mass", ""),
        ("marvel", ""),
    ],
)
def test_units_are_those_that_names_tell(label, unit):
    assert unit_of(label) == unit


def test_wrong_requests_say_what_was_expected():
    z, label = gaussian(300)
    frame = pd.DataFrame({"y": label, "side": np.where(label > 0, "a", "b")})
    with pytest.raises(ChoiceError, match="linear, curved, knn, boosted"):
        probe(z, frame, readers=["forest"])
    with pytest.raises(EstimatorError, match="no label holds numbers"):
        fit_probe(z, frame, columns=["side"])
    with pytest.raises(EstimatorError, match="covered is 2"):
        fit_probe(z, frame, covered=2.0)
    with pytest.raises(EstimatorError, match=r"an interval of 99.9 %; expected 999"):
        fit_probe(z, frame, columns=["y"], covered=0.999)


# ---- the polynomial ----


@given(st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=12)
def test_terms_are_those_of_scikit_learn(d, degree):
    x = np.random.default_rng(0).normal(size=(40, d))
    theirs = PolynomialFeatures(degree)
    wanted = theirs.fit_transform(x)
    np.testing.assert_allclose(monomials(x, theirs.powers_), wanted, rtol=1e-10)
    curve = Curve(degree).fit(np.tile(x, (20, 1)), np.zeros(800))
    assert sorted(map(tuple, curve.powers)) == sorted(map(tuple, theirs.powers_))


def test_a_polynomial_is_found_exactly_whatever_a_few_values_are():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(600, 2)) * [10.0, 0.01] + [100.0, 0.0]
    truth = 3 * x[:, 0] - 2e4 * x[:, 1] ** 2 + 7
    wrong = truth + 1e5 * (np.arange(600) < 6)
    for y, tolerance in ((truth, 1e-3), (wrong, 1.0)):
        np.testing.assert_allclose(Curve(2).fit(x, y).predict(x), truth, atol=tolerance)


def test_ridge_is_as_good_as_that_of_scikit_learn():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(400, 4))
    y = np.sin(x[:, 0]) + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=400)
    others = rng.normal(size=(2000, 4))
    truth = np.sin(others[:, 0]) + others[:, 1] * others[:, 2]

    def error(reader):
        return np.sqrt(np.mean((reader.fit(x, y).predict(others) - truth) ** 2))

    pipelines = [make_pipeline(PolynomialFeatures(3), Ridge(a)) for a in np.logspace(-3, 3, 7)]
    assert error(Curve(3)) < 1.1 * min(map(error, pipelines))


# ---- intervals ----


def uneven(n, seed):
    """A label of dimension 0, whose skewed noise, and so its mean, grows with dimension 1."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3))
    size = 0.1 + np.abs(z[:, 1])
    return z, z[:, 0] ** 2 + size * rng.gumbel(size=n)


@pytest.fixture(scope="module")
def fitted():
    z, label = uneven(4000, 0)
    return fit_probe(z, pd.DataFrame({"y": label}), seed=1)


def test_intervals_hold_what_they_say_also_where_it_is_difficult(fitted):
    z, label = uneven(4000, 9)
    found = fitted.apply(z)
    inside = (found["y_low"] <= label) & (label <= found["y_high"])
    # The calibration has 1,000 stars: three binomial deviations of both.
    assert inside.mean() == pytest.approx(0.9, abs=3 * np.sqrt(0.09 / 1000 + 0.09 / 4000))
    difficulty = np.abs(z[:, 1])
    for low, high in ((0.0, 0.3), (0.3, 0.8), (0.8, 1.5), (1.5, 4.0)):
        some = (low <= difficulty) & (difficulty < high)
        share = binomtest(int(inside[some].sum()), int(some.sum())).proportion_ci(0.999)
        assert share.low < 0.95, (low, share)
        assert share.high > 0.85, (low, share)
    length = found["y_high"] - found["y_low"]
    assert length[difficulty > 1.5].median() > 3 * length[difficulty < 0.3].median()


def test_intervals_hold_for_the_ends_of_a_label_too():
    """Extremes are read too near to the middle; intervals that hold on average miss them."""

    def stars(n, seed):
        rng = np.random.default_rng(seed)
        label = rng.normal(size=n)
        return label[:, None] + rng.normal(size=(n, 1)), label

    z, label = stars(4000, 0)
    made = fit_probe(z, pd.DataFrame({"y": label}))
    z, label = stars(8000, 1)
    found = made.apply(z)
    said = found["y_low"].notna()
    inside = (found["y_low"] <= label) & (label <= found["y_high"])
    edges = made.readings[0].edges
    assert len(edges) == 8
    for some in (label < edges[0], (edges[3] < label) & (label < edges[4]), label > edges[-1]):
        assert inside[some & said].mean() > 0.85


def test_an_interval_reaches_over_all_labels_that_their_ranges_allow(fitted):
    """Against trying a thousand labels."""
    rng = np.random.default_rng(3)
    one = replace(
        fitted.readings[0], edges=np.sort(rng.normal(size=4)), factors=rng.uniform(0, 3, 5)
    )
    label = np.linspace(-12, 12, 24_001)
    allowed = one.factors[np.searchsorted(one.edges, label, side="right")]
    for _ in range(50):
        read, below, above = rng.normal(), rng.uniform(0.1, 2), rng.uniform(0.1, 2)
        off = np.where(label < read, (read - label) / below, (label - read) / above)
        fits = np.append(label[off <= allowed], read)
        low, high = one.interval(*np.array([[read], [below], [above]]))
        assert low.item() == pytest.approx(fits.min(), abs=2e-3)
        assert high.item() == pytest.approx(fits.max(), abs=2e-3)


def test_only_dimensions_that_tell_are_read(fitted):
    reading = fitted.readings[0]
    assert reading.dims == [0, 1]
    assert reading.powers.max() == 2


def test_rows_far_from_the_training_stars_are_said_and_widened_and_then_left_out(fitted):
    rows = np.array([[0.0, 0, 0], [0, 0, 5], [0, 0, 50], [np.nan, 0, 0]])
    found = fitted.apply(rows)
    assert found["probe_outside"].tolist()[:3] == [False, True, True]
    assert found["probe_distance"].iloc[1] > 1
    assert found["probe_distance"].iloc[2] > FAR
    length = found["y_high"] - found["y_low"]
    assert length.iloc[1] > 1.5 * length.iloc[0]
    assert found.loc[[2, 3], ["y_probe", "y_low", "y_high"]].isna().all(axis=None)
    assert found["probe_outside"].isna().tolist() == [False, False, False, True]


def test_a_value_beyond_all_that_was_learned_is_outside():
    rng = np.random.default_rng(0)
    z = rng.uniform(-1, 1, size=(2000, 2))
    made = fit_probe(z, pd.DataFrame({"y": z[:, 0] + z[:, 1]}))
    assert made.apply(np.array([[1.05, 1.05]]))["probe_outside"].item()
    assert not made.apply(np.array([[0.5, 0.5]]))["probe_outside"].item()


def test_repeated_rows_weigh_as_one_star():
    z = np.random.default_rng(0).uniform(size=(600, 3))
    star = np.concatenate([np.arange(600), np.zeros(400, int)])
    frame = pd.DataFrame({"y": z[star, 0]})
    made = fit_probe(z[star], frame, groups=star)
    assert made.info["stars"] == "600"


def test_another_number_of_dimensions_is_refused(fitted):
    with pytest.raises(EstimatorError, match="expected 3 dimensions"):
        fitted.apply(np.zeros((5, 4)))


def test_the_picture_shows_each_label_and_what_is_left(known):
    first = known.plot()
    panels = first.get_figure().axes
    assert first.get_xlim() == first.get_ylim()
    assert "n = 3,000" in first.get_title(loc="left")
    assert any(ax.get_ylabel() == "read − true" for ax in panels)
    alone = known.plot(label="Teff", color="noise")
    panels = alone.get_figure().axes
    named = [ax.get_xlabel() for ax in panels if ax.get_xlabel()]
    assert named == ["effective temperature (K)", "noise"]  # the second is the color bar
    with pytest.raises(ChoiceError, match="'mass'"):
        known.plot(label="mass")


def test_names_are_public():
    assert latentscope.probe is probe
    assert latentscope.fit_probe is fit_probe
