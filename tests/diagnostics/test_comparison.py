"""Latents whose relation is known: equal, turned, permuted and scaled, independent."""

import numpy as np
import pandas as pd
import pytest
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Lasso

import latentscope
from latentscope.diagnostics.comparison import (
    ALL,
    BEST,
    cka,
    moved_rows,
    relative_strength,
    svcca,
)
from latentscope.diagnostics.study import read_study
from latentscope.errors import ChoiceError, EstimatorError, LatentscopeWarning, TableError

STARS = 600


def kernel_cka(x, y):
    """HSIC of Song et al. 2012, eq. 5, from the kernels themselves."""

    def hsic(k, m):
        n, k, m = len(k), k.copy(), m.copy()
        np.fill_diagonal(k, 0)
        np.fill_diagonal(m, 0)
        one = np.ones(n)
        total = np.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        return (total - 2 / (n - 2) * one @ k @ m @ one) / (n * (n - 3))

    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


TURNED = np.array([[2, 2, 2], [3, -3, 0], [1, 1, -2]]) / np.sqrt([[12], [18], [6]])
"""Every axis of the first lies evenly along the others."""


def test_cka_is_that_of_kernels_and_unbiased():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 5)) + 3
    y = x[:, :3] ** 2 + rng.normal(size=(40, 3)) - 1
    assert cka(x, y) == pytest.approx(kernel_cka(x, y), rel=1e-9)
    assert cka(x, -2 * x[:, ::-1]) == pytest.approx(1, abs=1e-9)
    # The plain estimator has a mean of 0.5 here.
    nothing = [cka(*rng.normal(size=(2, 20, 20))) for _ in range(300)]
    assert abs(np.mean(nothing)) < 3 * np.std(nothing) / np.sqrt(300)


def test_svcca_is_the_mean_canonical_correlation():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 3))
    y = x @ rng.normal(size=(3, 2)) + rng.normal(size=(300, 2))
    first, second = CCA(2, max_iter=5000, tol=1e-12).fit_transform(x, y)
    truth = [np.corrcoef(first[:, i], second[:, i])[0, 1] for i in range(2)]
    assert svcca(x, y) == pytest.approx(np.mean(truth), abs=1e-4)
    assert svcca(x, x @ rng.normal(size=(3, 3))) == pytest.approx(1)
    # A direction with less than a hundredth of the variance does not count.
    small = np.column_stack([x[:, :2], 1e-3 * rng.normal(size=300)])
    assert svcca(x[:, :2], small) == pytest.approx(1)


def test_strength_of_the_paper():
    assert relative_strength([[1, 1, 0], [1, 1, 0], [0, 0, 1]]) == pytest.approx(2 / 3)
    assert relative_strength(np.zeros((3, 2))) == 0
    # Of a column (0.8, 0.2), 0.64; of (0, 0.5), 0.5; of rows 0.8 and 0.25 / 0.7.
    found = relative_strength([[0.8, 0], [0.2, -0.5]])
    assert found == pytest.approx((0.64 + 0.5 + 0.8 + 0.25 / 0.7) / 4)


@pytest.fixture(scope="module")
def models():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(STARS, 3)) * [2.0, 1.0, 0.7]
    return {
        "z": z,
        "turned": z @ TURNED,
        "swapped": z[:, [2, 0, 1]] * [-3, 1, 0.5],
        "other": rng.normal(size=(STARS, 2)),
    }


@pytest.fixture(scope="module")
def labels(models):
    rng = np.random.default_rng(4)
    z = models["z"]
    return pd.DataFrame(
        {
            "Teff": 5500 + 500 * (z[:, 0] / 2 + 0.3 * rng.normal(size=STARS)),
            "kind": np.where(z[:, 1] > 0, "giant", "dwarf"),
            "nothing": rng.normal(size=STARS),
        }
    )


@pytest.fixture(scope="module")
def result(models, labels):
    return latentscope.compare(
        *models.values(), labels=labels, names=list(models), n_halves=20, groups=None
    )


def measure(result, name, a, b):
    rows = result.of(result.table, a, b).set_index("measure")
    return rows.loc[name]


def test_similarity_of_known_relations(result, models):
    for measured in ("CKA", "SVCCA"):
        turned = measure(result, measured, "z", "turned")
        assert turned[["value", "low", "high"]].tolist() == pytest.approx([1, 1, 1], abs=1e-6)
    swapped = measure(result, "CKA", "z", "swapped")
    assert swapped["value"] == pytest.approx(kernel_cka(models["z"], models["swapped"]), rel=1e-6)
    assert 0.3 < swapped["low"] < swapped["value"] < swapped["high"] < 0.99
    assert measure(result, "SVCCA", "z", "swapped")["value"] == pytest.approx(1, abs=1e-6)
    nothing = measure(result, "CKA", "z", "other")
    assert nothing["low"] < 0.01 < 0.03 > nothing["high"]
    assert abs(measure(result, "SVCCA", "z", "other")["value"] - nothing["chance"]) < 0.15


def test_udr_is_that_of_the_public_code(result, models):
    """Median over the other models j of the strength of R(j -> i), as the paper's code."""
    scaled = [(z - z.mean(axis=0)) / z.std(axis=0) for z in models.values()]
    found = []
    for other in scaled[1:]:
        weights = np.abs(Lasso(alpha=0.1).fit(other, scaled[0]).coef_).T
        found.append(relative_strength(weights))
    assert measure(result, "UDR lasso", "z", "z")["value"] == pytest.approx(
        np.median(found), abs=1e-3
    )
    frame = [pd.DataFrame(z).rank() for z in models.values()]
    correlations = [
        relative_strength(pd.concat([other, frame[0]], axis=1).corr().to_numpy()[:-3, -3:])
        for other in frame[1:]
    ]
    assert measure(result, "UDR Spearman", "z", "z")["value"] == pytest.approx(
        np.median(correlations)
    )
    two = latentscope.compare(models["z"], models["turned"], groups=None, n_halves=10)
    assert set(two.table["measure"]) == {"CKA", "SVCCA"}


def test_dimensions_find_their_counterpart(result):
    pairs = result.of(result.matching, "z", "swapped")
    matched = pairs[pairs["matched"]]
    assert dict(zip(matched["dim_a"], matched["dim_b"], strict=True)) == {0: 1, 1: 2, 2: 0}
    assert matched["rank_correlation"].tolist() == pytest.approx([1, 1, -1])
    assert not result.of(result.matching, "z", "other")["matched"].any()
    assert "dims of z in other: none; without a counterpart: z 0, 1, 2; other 0, 1" in (
        result.sentences()
    )


def known(result, a, b, by):
    rows = result.of(result.labels, a, b)
    return rows[rows["by"] == by].set_index("label")


def test_who_knows_a_label_better(result):
    best, every = (known(result, "z", "turned", by) for by in (BEST, ALL))
    # In one dimension the turned one knows less, in all together as much.
    assert best.loc["Teff", "difference"] > 0.2
    assert best.loc["Teff", "q_value"] < 1e-3
    assert abs(every.loc["Teff", "difference"]) < 0.1
    assert every.loc["Teff", "nats_b"] == pytest.approx(0.5 * np.log(1 + 1 / 0.09), abs=0.15)
    same = known(result, "z", "swapped", BEST)
    assert same[["dim_a", "dim_b"]].to_numpy().tolist()[:2] == [[0, 1], [1, 2]]
    assert (same["difference"].abs() < 0.05).all()
    nothing = known(result, "z", "other", BEST)
    assert nothing.loc["Teff", "low"] > 0.9
    assert nothing.loc["nothing", "low"] < 0 < nothing.loc["nothing", "high"]
    assert any(line.startswith("best dim: z knows Teff better, ") for line in result.sentences())


def test_differences_are_covered_by_their_intervals():
    """Two models that read a label equally well, with noise of their own."""
    covered = []
    for seed in range(20):
        rng = np.random.default_rng(100 + seed)
        truth = rng.normal(size=300)
        first, second = (truth + 0.5 * rng.normal(size=300) for _ in range(2))
        found = latentscope.compare(
            first[:, None], second[:, None], labels={"x": truth}, dims="all", groups=None,
            n_halves=20,
        ).labels.iloc[0]  # fmt: skip
        covered.append(found["low"] < 0 < found["high"])
    assert sum(covered) >= 16


def test_rows_that_moved():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(400, 2))
    y = x @ np.array([[2.0, 1.0], [0.0, 0.5]]) + 1
    far = rng.permutation(400)[:5]
    y[far] = y[np.argsort(((x[far][:, None] - x) ** 2).sum(axis=2))[:, -1]]
    found = latentscope.compare(x, y, groups=None, n_halves=10).moved
    assert set(found["row"][:5]) == set(far)
    assert found["moved"][:5].min() > 30
    assert found["moved"].median() < 4
    places = np.arange(400)
    equal = moved_rows(x, 5 * x, places, places, neighbors=10)
    np.testing.assert_allclose(equal, 100 * 5 / 399)
    chance = moved_rows(x, rng.normal(size=(400, 2)), places, places, neighbors=10)
    assert chance.mean() == pytest.approx(50, abs=3)


def test_rows_are_joined_on_ids_and_stars_count_once():
    rng = np.random.default_rng(6)
    star = np.repeat(np.arange(150), 4)
    z = rng.normal(size=(150, 2))[star] + 0.01 * rng.normal(size=(600, 2))
    ids = [f"spectrum {row}" for row in range(600)]
    first = latentscope.Latents(z, pd.DataFrame({"id": ids, "star": star}))
    order = rng.permutation(600)[:590]
    second = latentscope.Latents(
        -z[order], pd.DataFrame({"id": np.array(ids)[order]}), source="new/latents.npy"
    )
    with pytest.warns(LatentscopeWarning, match="10 of 600 rows of latents have no row in new"):
        result = latentscope.compare(first, second, n_halves=10)
    assert result.models["model"].tolist() == ["latents", "latents.npy"]
    assert result.table.loc[0, "value"] == pytest.approx(1)
    assert result.table.loc[0, "n"] == 150
    assert (result.matching["n_groups"] == 150).all()
    assert set(result.moved["id"]) == set(np.array(ids)[order])
    elsewhere = latentscope.Latents(z, pd.DataFrame({"id": [f"x{row}" for row in range(600)]}))
    with pytest.raises(TableError, match="no id in common"):
        latentscope.compare(first, elsewhere)
    with pytest.raises(TableError, match=r"600 rows and new/latents\.npy has 590"):
        latentscope.compare(z, second, groups=None)


def test_shuffled_stars_are_no_relation():
    """Ten exposures a star: rows together would find what shuffled stars do not share."""
    rng = np.random.default_rng(7)
    star = np.repeat(np.arange(120), 10)
    first, second = (rng.normal(size=(120, 2))[star] for _ in range(2))
    noise = 0.01 * rng.normal(size=(2, 1200, 2))
    result = latentscope.compare(first + noise[0], second + noise[1], groups=star, n_halves=10)
    assert not result.matching["matched"].any()
    assert (result.matching["p_value"] > 0.005).all()


def test_dimensions_of_a_study_are_those_of_the_first_model(models):
    first = read_study(models["z"], dims=[2])
    result = latentscope.compare(first, models["z"][:, :2], n_halves=10)
    assert result.models["dims"].tolist() == ["2", "0,1"]


def test_wrong_use_is_said(models):
    z = models["z"]
    with pytest.raises(ChoiceError, match="expected another"):
        latentscope.compare(z)
    with pytest.raises(ChoiceError, match="expected 2 different ones"):
        latentscope.compare(z, z, names=["a", "a"])
    with pytest.raises(EstimatorError, match="50 stars have latents by all"):
        latentscope.compare(z[:50], z[:50])
    with pytest.raises(EstimatorError, match="n_halves is 1"):
        latentscope.compare(z, z, n_halves=1)
    with (
        pytest.warns(LatentscopeWarning, match="no column is named as a dimension"),
        pytest.raises(ChoiceError, match=r"do not number dimensions \(Teff, logg\)"),
    ):
        latentscope.compare(z, pd.DataFrame(z[:, :2], columns=["Teff", "logg"]))
    with pytest.raises(EstimatorError, match="infinite"):
        latentscope.compare(z, np.where(z == z[0, 0], np.inf, z))
