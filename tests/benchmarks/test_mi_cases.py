"""The truths of the accuracy benchmark, against samples, other formulas and published values."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.integrate import dblquad, quad
from scipy.stats import norm

from benchmarks.mi_cases import CASES, KINDS, LABEL, Case

BY_NAME = {case.name: case for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_sample_is_finite_and_of_the_kind(case: Case) -> None:
    x, y = case.draw(np.random.default_rng(1), 500)
    assert x.shape[0] == y.shape[0] == 500
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()
    assert case.kind in KINDS
    assert (y.dtype.kind == "i") == (case.kind == LABEL)
    again = case.draw(np.random.default_rng(1), 500)
    np.testing.assert_array_equal(x, again[0])
    np.testing.assert_array_equal(y, again[1])


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.pointwise], ids=lambda case: case.name
)
def test_truth_is_the_mean_log_ratio_of_samples(case: Case) -> None:
    assert case.pointwise is not None
    terms = case.pointwise(np.random.default_rng(7), 40_000)
    error = terms.std() / np.sqrt(len(terms))
    # Where few terms differ, their scatter does not show how far the mean can be off.
    assert abs(terms.mean() - case.truth) < 4.5 * error + 1e-4


def test_cases_without_densities_are_independent() -> None:
    assert [case.truth for case in CASES if case.pointwise is None] == [0.0] * 5


def test_names_differ() -> None:
    assert len(BY_NAME) == len(CASES)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("bmi normal 0.75", 0.4133392866),
        ("uniform, added uniform 0.1", 1.7094379124),
        ("uniform, added uniform 0.75", 1 / 3),
        ("Student 1 x 1, dof 1", 0.2241714275),
        ("Student 2 x 2, dof 1", 0.4319456220),
        ("Student 2 x 2, dof 2", 0.1931471806),
        ("Student 3 x 3, dof 2", 0.2909219227),
        ("normal dense 2 x 2", 0.2938933325),
        ("normal dense 3 x 3", 0.4133392866),
        ("normal pairs 3 x 3", 1.0216512475),
        ("5 steps and uniform noise", np.log(5) - 0.8 * np.log(2)),
    ],
)
def test_published_truths(name: str, published: float) -> None:
    assert BY_NAME[name].truth == pytest.approx(published, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "sampled"),
    [("X", 0.4096), ("AI", 0.7771), ("galaxy 2 x 1", 0.4941), ("waves 2 x 1", 1.3070)],
)
def test_mixtures_agree_with_a_million_samples_of_the_package(name: str, sampled: float) -> None:
    assert BY_NAME[name].truth == pytest.approx(sampled, abs=3e-3)


def test_zero_inflated_poisson_is_not_the_published_value() -> None:
    # Gao et al. 2017 multiply the value without added zeros by 0.85, which gives 0.256.
    chance = 0.85 * 2.0 ** -(np.arange(60) + 1.0)
    chance[0] += 0.15
    entropy = -(chance * np.log(chance)).sum()

    def given(x: float) -> float:
        count = np.arange(1, 120)
        of = 0.85 * np.exp(count * np.log(x) - x - np.cumsum(np.log(count)))
        of = np.append(of, 0.15 + 0.85 * np.exp(-x))
        of = of[of > 0]
        return np.exp(-x) * -float((of * np.log(of)).sum())

    truth = entropy - quad(given, 1e-12, 40, limit=400)[0]
    assert truth == pytest.approx(0.2298, abs=5e-5)
    assert BY_NAME["zero-inflated Poisson of an exponential"].truth == pytest.approx(
        truth, abs=1e-6
    )
    assert BY_NAME["Poisson of an exponential"].truth == pytest.approx(0.3012, abs=5e-5)


def test_two_classes_by_adaptive_quadrature() -> None:
    def density(x: float) -> float:
        return 0.5 * (norm.pdf(x) + norm.pdf(x - 3))

    entropy = quad(lambda x: -density(x) * np.log(density(x)), -9, 12)[0]
    truth = entropy - 0.5 * np.log(2 * np.pi * np.e)
    assert BY_NAME["two classes, 3 sigma"].truth == pytest.approx(truth, abs=1e-8)


def test_uniform_disc_by_adaptive_quadrature() -> None:
    def term(y: float, x: float) -> float:
        margins = 4 / np.pi**2 * np.sqrt((1 - x * x) * (1 - y * y))
        return -np.log(np.pi * margins) / np.pi

    def edge(x: float) -> float:
        return np.sqrt(1 - x * x)

    truth = dblquad(term, -1, 1, lambda x: -edge(x), edge, epsabs=1e-6)[0]
    assert BY_NAME["uniform on a disc"].truth == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize(
    "name", ["both rounded to 0.5", "table 3 by 5, uneven", "counts with 3 in common"]
)
def test_table_of_counts_agrees(name: str) -> None:
    x, y = BY_NAME[name].draw(np.random.default_rng(3), 400_000)
    rows, columns = (np.unique(part, return_inverse=True)[1] for part in (x, y))
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    cells = (table > 0).sum() - table.shape[0] - table.shape[1] + 1
    chance = table / table.sum()
    seen = chance > 0
    product = np.outer(chance.sum(1), chance.sum(0))
    plugin = (chance[seen] * np.log(chance[seen] / product[seen])).sum() - cells / (2 * 400_000)
    assert plugin == pytest.approx(BY_NAME[name].truth, abs=4e-3)


def test_coarser_columns_know_less() -> None:
    truths = [BY_NAME[f"both rounded to {step}"].truth for step in ("0.5", "0.1")]
    gaussian = -0.5 * np.log(1 - 0.7**2)
    one_side = BY_NAME["x rounded to 0.1"].truth
    assert truths[0] < truths[1] < one_side < gaussian


def test_import_computes_no_truths() -> None:
    code = "from benchmarks.mi_cases import CASES; print(any('truth' in vars(c) for c in CASES))"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "False"
