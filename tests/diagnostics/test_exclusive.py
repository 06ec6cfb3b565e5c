"""What dimensions carry, share and add, against closed forms of Gaussian latents."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

import latentscope
from latentscope import mutual_information
from latentscope.data import Latents
from latentscope.diagnostics.activity import mad
from latentscope.diagnostics.exclusive import (
    Noise,
    compare,
    cross_fitted,
    entropy,
    exclusive_information,
    kl_divergence,
    widened,
)
from latentscope.diagnostics.prediction import normal_scores
from latentscope.errors import ChoiceError, EstimatorError

SIGMA = 0.1
N = 2000
CARRIED = 0.5 * np.log1p(1 / SIGMA**2)  # of unit Gaussian means


def with_noise(values, sigma=SIGMA):
    return Latents(values, logvar=np.full(values.shape, 2 * np.log(sigma)))


@pytest.fixture(scope="module")
def base():
    return np.random.default_rng(0).normal(size=(N, 4))


@pytest.fixture(scope="module")
def independent(base):
    """Four dimensions on their own, and four that are switched off."""
    dead = 1e-4 * np.random.default_rng(1).normal(size=(N, 4))
    return exclusive_information(
        Latents(
            np.hstack([base, dead]),
            logvar=np.repeat([[2 * np.log(SIGMA)] * 4 + [0.0] * 4], N, axis=0),
        )
    )


def test_independent_dimensions_carry_and_add_the_same(independent):
    table = independent.table
    assert independent.carrying == independent.informative == [0, 1, 2, 3]
    assert table["carried_nats"][:4].to_numpy() == pytest.approx(CARRIED, abs=0.08)
    assert table["carried_nats"][4:].abs().max() < 0.1
    assert independent.order["gain_nats"].to_numpy() == pytest.approx(CARRIED, abs=0.1)
    assert independent.order["total_nats"].iloc[-1] == pytest.approx(4 * CARRIED, abs=0.3)
    assert table["exclusive"].tolist() == [True] * 4 + [False] * 4
    assert table["rest_nats"][:4].abs().max() < 0.05
    assert table["rest_nats"][4:].isna().all()


def test_kl_stands_beside_it(independent):
    unit = 0.5 * (SIGMA**2 + 1 - 1 - 2 * np.log(SIGMA))
    assert independent.table["kl_nats"][:4].to_numpy() == pytest.approx(unit, abs=0.05)


def test_a_duplicate_adds_nothing_and_neither_is_exclusive(base):
    result = exclusive_information(with_noise(np.column_stack([base[:, :2], base[:, 0]])))
    assert len(result.informative) == 2
    assert 1 in result.informative
    last = result.order.iloc[-1]
    assert last["dim"] in (0, 2)
    assert not last["adds"]
    assert last["gain_nats"] == pytest.approx(0, abs=0.06)
    assert result.table["exclusive"].tolist() == [False, True, False]
    assert result.table["partner"].tolist()[0] == 2


def test_a_sum_of_two_adds_nothing_though_no_pair_tells_it(base):
    total = (base[:, 0] + base[:, 1]) / np.sqrt(2)
    result = exclusive_information(with_noise(np.column_stack([base[:, :2], total])))
    assert len(result.informative) == 2
    assert abs(result.order["gain_nats"].iloc[-1]) < 0.08
    # A pair shares 0.35 nats; all of it is known from two.
    pair = result.table["partner_nats"].max()
    assert pair == pytest.approx(0.5 * np.log(2), abs=0.06)
    assert result.table["rest_nats"].min() > 2


def test_a_correlated_pair_adds_what_is_left(base):
    rho = 0.9
    second = rho * base[:, 0] + np.sqrt(1 - rho**2) * base[:, 1]
    result = exclusive_information(with_noise(np.column_stack([base[:, 0], second])))
    # A draw of the second given the mean of the first: variance 1 - rho^2, noise sigma^2.
    expected = 0.5 * np.log1p((1 - rho**2) / SIGMA**2)
    assert result.order["gain_nats"].iloc[1] == pytest.approx(expected, abs=0.06)
    assert result.order["adds"].all()
    assert result.table["rest_nats"][0] == pytest.approx(-0.5 * np.log(1 - rho**2), abs=0.06)


def test_exclusive_or_pairs_know_nothing_and_the_rest_knows(base):
    sign = np.sign(base[:, 0] * base[:, 1]) * np.abs(base[:, 2])
    result = exclusive_information(with_noise(np.column_stack([base[:, :2], sign])))
    assert result.table["partner_nats"].max() < 0.05
    # ln 2 in truth; the prediction has it but for the rows near 0.
    assert 0.5 < result.table["rest_nats"][2] < 0.75
    assert not result.table["exclusive"][2]
    last = result.order.set_index("dim")["gain_nats"]
    assert CARRIED - 0.75 < min(last) < CARRIED - 0.4


def test_a_fold_is_known_from_its_partner(base):
    # |x| tells x but for its sign, which no prediction of x does.
    result = exclusive_information(with_noise(np.column_stack([np.abs(base[:, 0]), base[:, 0]])))
    order = result.order.set_index("dim")
    assert order.loc[0, "gain_nats"] == pytest.approx(0, abs=0.06)
    assert result.informative == [1]


def test_six_of_128_without_a_known_noise():
    rng = np.random.default_rng(2)
    values = 0.0015 * rng.normal(size=(1000, 128))
    dims = [11, 19, 58, 85, 99, 124]
    values[:, dims] = 0.5 * rng.normal(size=(1000, 6))
    result = exclusive_information(values)
    assert result.informative == dims
    assert "estimated threshold" in result.resolution
    assert compare(mad(values), result).agree
    sigma = mad(values).estimated_threshold / 0.6745
    expected = 0.5 * np.log1p((0.5 / sigma) ** 2)
    assert result.table["carried_nats"][11] == pytest.approx(expected, abs=0.1)


def test_nothing_carries_anything():
    rng = np.random.default_rng(3)
    result = exclusive_information(with_noise(1e-3 * rng.normal(size=(300, 3)), 1.0))
    assert result.informative == result.carrying == []
    assert result.order.empty
    assert "nothing is carried, so nothing is added" in result.sentences()
    flat = exclusive_information(with_noise(np.ones((300, 2)), 1.0))
    assert flat.carrying == []


def test_the_verdict_names_dimensions_that_differ_and_why(base):
    values = np.column_stack([base[:, 0], base[:, 0], 0.3 * base[:, 1], 0.015 * base[:, 2]])
    logvar = np.repeat(2 * np.log([[0.1, 0.1, 5.0, 0.001]]), N, axis=0)
    latents = Latents(values, logvar=logvar)
    agreement = compare(mad(latents), exclusive_information(latents))
    assert not agreement.agree
    assert agreement.only_adding == [3]
    assert len(agreement.both) == 1
    repeated = ({0, 1} - set(agreement.both)).pop()
    assert agreement.only_varying == [repeated, 2]
    assert "carries no information" in agreement.reasons[2]
    assert "shares" in agreement.reasons[repeated]
    assert "below the threshold" in agreement.reasons[3]
    assert agreement.sentences()[0].startswith("the two answers differ in 3 dimensions")


def test_one_row_a_star_is_measured(base):
    stars = np.arange(N) // 4
    named = Latents(base, pd.DataFrame({"star": stars}), np.full(base.shape, 2 * np.log(SIGMA)))
    everything = exclusive_information(named, dims=[0, 1], groups=None)
    grouped = exclusive_information(named, dims=[0, 1])
    assert (everything.n, grouped.n) == (N, 500)
    assert "500 of 2,000 rows, one per star" in grouped.sentences()[-1]
    assert grouped.provenance["groups"] == "star"


def test_rows_and_dimensions_can_be_capped_and_it_is_said(base):
    result = exclusive_information(with_noise(base), max_rows=400, max_dims=2)
    assert (result.n, result.n_rows, result.left_out) == (400, N, 2)
    assert len(result.order) == 2
    assert "a random 400 of 2,000 rows" in result.sentences()[-1]
    assert result.sentences()[0].startswith("only 2 of 4 dimensions that carry information were")
    assert result.table["exclusive"].sum() == 2
    assert "every dimension that was ordered adds something" in result.sentences()
    # Those that were not ordered are not said to add nothing.
    assert compare(mad(base), result).agree


def test_a_seed_repeats_it_and_rows_of_nan_are_left_out(base):
    holes = base[:600].copy()
    holes[5] = np.nan
    first, second = (exclusive_information(with_noise(holes), seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first.table, second.table)
    pd.testing.assert_frame_equal(first.order, second.order)
    assert first.n == 599
    other = exclusive_information(with_noise(holes), seed=4)
    assert not first.table["carried_nats"].equals(other.table["carried_nats"])


@pytest.mark.parametrize(("dims", "total"), [("all", 8), ([2], 1)])
def test_progress_ends_at_its_total(base, dims, total):
    steps = []
    latents = with_noise(base[:300])
    result = exclusive_information(latents, dims=dims, progress=lambda *step: steps.append(step))
    assert [done for done, _ in steps] == list(range(1, len(steps) + 1))
    assert steps[-1] == (total, total)
    # One that is alone shares with nobody.
    assert result.table["exclusive"].all()


def test_what_has_no_answer_is_refused(base):
    with pytest.raises(EstimatorError, match="99 rows are finite"):
        exclusive_information(base[:99])
    with pytest.raises(EstimatorError, match="25 groups have a finite row"):
        exclusive_information(base[:500], groups=np.arange(500) // 20)
    with pytest.raises(ChoiceError, match=r"dims \[9\]"):
        exclusive_information(base, dims=[9])
    with pytest.raises(EstimatorError, match="no dimension varies"):
        exclusive_information(np.ones((200, 3)))
    with pytest.raises(EstimatorError, match="max_dims is 1"):
        exclusive_information(base, max_dims=1)


def test_it_is_a_public_name():
    assert latentscope.exclusive_information is exclusive_information


def test_latents_of_halo_profiles(shared_data):
    """Dimensions of a trained network that was made to keep them apart."""
    result = exclusive_information(shared_data / "ive_latents.npy")
    assert result.informative == [0, 1, 2]
    assert result.table["rest_nats"].max() < 0.25
    assert (result.order["gain_nats"] > 2.8).all()
    assert "too few to tell a gap" in mad(shared_data / "ive_latents.npy").gap.reason


HALF_LOG = 0.5 * np.log(2 * np.pi * np.e)


def test_entropy_of_known_distributions():
    rng = np.random.default_rng(0)
    columns = np.column_stack([rng.normal(0, 3, 8000), rng.random(8000), rng.exponential(1, 8000)])
    value, std = entropy(columns)
    assert value == pytest.approx([HALF_LOG + np.log(3), 0, 1], abs=0.04)
    assert (std < 0.02).all()


def test_the_error_is_the_scatter():
    rng = np.random.default_rng(1)
    value, std = entropy(rng.normal(size=(1000, 200)))
    assert value.std() == pytest.approx(std.mean(), rel=0.15)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 10.0, 300.0])
def test_gaussian_means_carry_half_a_log(ratio):
    rng = np.random.default_rng(2)
    noise = Noise.of(np.full((6000, 1), 0.1), rng)
    amount = widened(0.1 * ratio * rng.normal(size=(6000, 1)), noise)
    assert amount.nats[0] == pytest.approx(0.5 * np.log1p(ratio**2), abs=0.05)
    assert amount.p_value[0] < 0.05


def test_kl_is_at_least_what_is_carried():
    rng = np.random.default_rng(3)
    # Widths that differ, and means that are not as wide as the prior.
    sigma = 10 ** rng.uniform(-2, 0, (4000, 6))
    mean = rng.normal(size=(4000, 6)) * np.array([0.01, 0.3, 0.8, 1.0, 1.3, 3.0])
    carried = widened(mean, Noise.of(sigma, rng)).nats
    assert (carried <= kl_divergence(mean, 2 * np.log(sigma)) + 0.06).all()


def test_p_values_of_noise_are_uniform():
    rng = np.random.default_rng(4)
    amounts = [
        widened(np.zeros((400, 64)), Noise.of(np.exp(rng.normal(size=(400, 64))), rng))
        for _ in range(6)
    ]
    p_values = np.concatenate([amount.p_value for amount in amounts])
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_the_limit_is_what_noise_seldom_reaches():
    rng = np.random.default_rng(5)
    noise = Noise.of(np.ones((500, 400)), rng)
    above = widened(np.zeros((500, 400)), noise).nats > noise.limit(0.05)
    assert 0.01 < above.mean() < 0.1


def left(target, predicted):
    """Share of the target's variance that is not predicted."""
    return float(np.var(target - predicted) / np.var(target))


@pytest.fixture
def columns():
    return np.random.default_rng(0).normal(size=(2000, 3))


@pytest.mark.parametrize(
    ("function", "most"),
    [
        (lambda x: x[:, 0], 1e-6),
        (lambda x: x @ [0.3, -1.0, 2.0] + 5, 1e-6),
        (lambda x: x[:, 0] * x[:, 1], 1e-2),
        (lambda x: np.tanh(2 * x[:, 2]), 1e-2),
    ],
    ids=["copy", "sum", "product", "bend"],
)
def test_functions_are_predicted(columns, function, most):
    target = function(columns)
    assert (
        left(target, cross_fitted(columns, target[:, None], np.random.default_rng(1))[:, 0]) < most
    )


def test_noise_is_not_predicted_and_shares_nothing(columns):
    rng = np.random.default_rng(2)
    target = rng.normal(size=(2000, 8))
    predicted = cross_fitted(columns, target, rng)
    shared = [mutual_information(target[:, i], predicted[:, i]) for i in range(8)]
    # A prediction from fits to all other rows would move against its own row.
    assert abs(np.mean(shared)) < 0.02
    assert all(left(target[:, i], predicted[:, i]) > 0.98 for i in range(8))


def test_targets_do_not_disturb_each_other(columns):
    targets = np.column_stack([columns[:, 0] ** 2, np.sin(columns[:, 1])])
    both = cross_fitted(columns, targets, np.random.default_rng(3))
    alone = cross_fitted(columns, targets[:, 1:], np.random.default_rng(3))
    np.testing.assert_allclose(both[:, 1:], alone, atol=1e-9)


def test_a_close_relation_among_many_columns_is_kept():
    rng = np.random.default_rng(4)
    many = rng.normal(size=(3000, 9))
    target = 0.99 * many.sum(axis=1) / 3 + np.sqrt(1 - 0.99**2) * rng.normal(size=3000)
    predicted = cross_fitted(many, target[:, None], rng)[:, 0]
    truth = -0.5 * np.log(1 - 0.99**2)
    assert mutual_information(target, predicted) == pytest.approx(truth, abs=0.1)


def test_normal_scores_keep_the_order():
    values = np.random.default_rng(5).exponential(size=(1001, 2))
    scores = normal_scores(values)
    np.testing.assert_array_equal(np.argsort(values, axis=0), np.argsort(scores, axis=0))
    assert np.median(scores, axis=0) == pytest.approx(0)
    assert scores.std() == pytest.approx(1, abs=0.02)
