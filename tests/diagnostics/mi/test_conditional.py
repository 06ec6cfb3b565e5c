"""Conditional mutual information: closed forms, an independent oracle, and its null."""

import numpy as np
import pandas as pd
import pytest

from latentscope import mi_matrix, mutual_information
from latentscope.diagnostics.mi import kernels
from latentscope.errors import ChoiceError, EstimatorError
from tests.diagnostics.mi.arrays import terms_of_several


@pytest.mark.parametrize("n", [5, 24, 25, 700])
@pytest.mark.parametrize("d", [1, 2, 4])
def test_the_tree_finds_what_a_table_of_all_distances_does(n, d):
    points = np.random.default_rng(n + d).normal(size=(n, d)).round(2)
    every = np.abs(points[:, None] - points[None]).max(axis=2)
    nearest = np.sort(every + np.diag(np.full(n, np.inf)), axis=1)
    tree, ks = kernels.tree_of(np.ascontiguousarray(points.T)), np.array([1, 3])
    found, counts = np.empty((2, n)), np.empty(n, dtype=np.int64)
    kernels.tree_distances(tree, ks, found, 0, 1 << tree.levels)
    np.testing.assert_array_equal(found, nearest[:, [0, 2]].T)
    kernels.tree_counts(tree, found[1], counts, 0, 1 << tree.levels)
    expected = (every < found[1][:, None]).sum(axis=1) - (found[1] > 0)
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize("d", [1, 2])
def test_equal_to_npeet(d):
    npeet = pytest.importorskip("npeet_plus")
    rng = np.random.default_rng(d)
    z = rng.normal(size=(400, d))
    x = z[:, 0] + rng.normal(size=400)
    y = z[:, 0] + 0.5 * x + rng.normal(size=400)
    expected = npeet.cmi(x[:, None], y[:, None], z, k=3, base=np.e)
    assert mutual_information(x, y, given=z, estimator="ksg") == pytest.approx(expected, abs=1e-8)


def test_without_conditions_it_is_ksg():
    x, noise = np.random.default_rng(0).normal(size=(2, 500))
    value = terms_of_several(x, x + noise, [3]).mean()
    assert value == pytest.approx(mutual_information(x, x + noise, estimator="ksg"), abs=1e-12)


def gaussian(n=2000, seed=0):
    return np.random.default_rng(seed).normal(size=(4, n))


def test_chain_fork_and_collider():
    a, b, c, d = gaussian()
    z = a + 0.2 * b
    assert mutual_information(a, z + 0.2 * c, given=z) == pytest.approx(0, abs=0.03)
    # A fork with what is left correlated by 0.9, far below the scatter of the cause.
    x, y = d + 0.1 * a, d + 0.1 * (0.9 * a + np.sqrt(0.19) * b)
    assert mutual_information(x, y, given=d) == pytest.approx(-0.5 * np.log(0.19), abs=0.06)
    # Of three joint Gaussians with z = x + y + c / 2 the partial correlation is -0.8.
    assert mutual_information(a, b, given=a + b + 0.5 * c) == pytest.approx(
        -0.5 * np.log(1 - 0.64), abs=0.06
    )


def test_classes_as_condition_and_as_label():
    a, b, c, _ = gaussian()
    kind = np.where(c > 0, "giant", "dwarf")
    shifted = np.where(c > 0, 5.0, 0.0)
    # The class explains all that the two share.
    codes = (c > 0).astype(float)
    assert mutual_information(a + shifted, b + shifted, given=codes) == pytest.approx(0, abs=0.03)
    frame = pd.DataFrame({"kind": kind, "c": c, "other": b})
    result = mi_matrix(np.column_stack([c + 0.1 * a, b]), frame, given="c", columns=["kind"])
    assert result.table["mi_nats"].abs().max() < 0.05
    assert set(result.table["given"]) == {"c"}
    assert " given c" in result.sentences(1)[0]


def test_shared_by_a_condition_alone_is_not_significant_and_what_is_left_is():
    a, b, c, d = gaussian(800, 3)
    frame = pd.DataFrame({"Teff": a, "mass": a + 0.4 * b, "air": c})
    latents = np.column_stack([a + 0.5 * c + 0.1 * d])
    alone = mi_matrix(latents, frame).table.set_index("label")
    given = mi_matrix(latents, frame, given=["Teff"]).table.set_index("label")
    assert alone.loc["mass", "p_value"] < 0.001
    assert given.loc["mass", "p_value"] > 0.01
    assert given.loc["air", "p_value"] < 1e-6
    truth = 0.5 * np.log(1 + 0.25 / 0.01)
    assert given.loc["air", "mi_nats"] == pytest.approx(truth, abs=0.15)
    assert given.loc["air", "mi_nats"] > 4 * alone.loc["air", "mi_nats"]


def test_exposures_of_a_star_count_once():
    a, b, c, _ = gaussian(150, 4)
    star = np.repeat(np.arange(150), 4)
    frame = pd.DataFrame({"Teff": a, "air": b}).iloc[star].reset_index(drop=True)
    latents = (a + 0.3 * c)[star][:, None] + 0.001 * np.random.default_rng(5).normal(size=(600, 1))
    row = mi_matrix(latents, frame, given="Teff", groups=star, n_draws=3).table.iloc[0]
    assert (row["n"], row["n_groups"]) == (600, 150)
    assert abs(row["mi_nats"]) < 4 * row["std_nats"]
    assert row["p_value"] > 0.001


def test_wrong_use_is_told():
    a, b, c, _ = gaussian(100)
    with pytest.raises(ChoiceError, match="histogram takes no conditions"):
        mutual_information(a, b, given=c, estimator="histogram")
    with pytest.raises(EstimatorError, match=r"expected \(n,\), \(n,\) and"):
        mutual_information(a, b, given=c[:50])
    frame = pd.DataFrame({"c": c})
    with pytest.raises(EstimatorError, match="every label is given"):
        mi_matrix(a[:, None], frame, given="c")
    with pytest.raises(ChoiceError, match="no label nosuch"):
        mi_matrix(a[:, None], frame, given=["nosuch"])


def test_the_mixture_of_mesner_and_shalizi_is_their_algorithm():
    rng = np.random.default_rng(6)
    x, y, z = rng.integers(0, 4, (3, 300)) + (rng.random((3, 300)) < 0.3) * rng.random((3, 300))
    joint = np.column_stack([x, y, z])
    rho = np.sort(np.abs(joint[:, None] - joint[None]).max(axis=2), axis=1)[:, 3]

    def within(*columns):
        points = np.column_stack(columns)
        return (np.abs(points[:, None] - points[None]).max(axis=2) <= rho[:, None]).sum(axis=1) - 1

    from scipy.special import digamma

    k = np.where(rho == 0, within(x, y, z), 3)
    terms = digamma(k) - digamma(within(x, z)) - digamma(within(y, z)) + digamma(within(z))
    found = mutual_information(x, y, given=z, estimator="mixture", discrete=False)
    assert found == pytest.approx(terms.mean(), abs=1e-10)


def test_classes_stay_apart_in_columns_of_any_scale():
    a, b, c, _ = gaussian(300)
    values = []
    for scale in (1.0, 2.0**40):
        frame = pd.DataFrame({"y": scale * (a + b), "kind": (c > 0).astype(int)})
        found = mi_matrix(
            scale * a[:, None], frame, given="kind", discrete=["kind"], estimator="mixture"
        )
        values.append(found.table["mi_nats"][0])
    assert values[0] == values[1]


def test_rows_alone_in_their_classes_are_left_out_and_ids_are_no_condition():
    a, b, *_ = gaussian(1200)
    kind = np.where(np.arange(1200) < 600, "common", np.arange(1200).astype(str))
    both = mutual_information(a, a + b, given=kind)
    common = mutual_information(a[:600], (a + b)[:600])
    assert both == pytest.approx(common, abs=0.05)
    with pytest.raises(EstimatorError, match="0 rows or groups have all, and share their classes"):
        mutual_information(a, a + b, given=np.arange(1200).astype(str))
    with pytest.raises(EstimatorError, match="10 rows or groups have all; expected"):
        mutual_information(a[:10], b[:10], given=b[:10])


@pytest.mark.parametrize("estimator", ["auto", "copula", "ksg"])
def test_a_constant_is_no_condition(estimator):
    a, b, *_ = gaussian(400)
    alone = mutual_information(a, a + b, estimator=estimator)
    given = mutual_information(a, a + b, given=np.ones(400), estimator=estimator)
    assert given == pytest.approx(alone, abs=0.03)
