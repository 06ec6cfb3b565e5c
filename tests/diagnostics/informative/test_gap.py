import numpy as np
import pytest

from latentscope.diagnostics.activity import find_gap


def floor(number, rng, level=0.001):
    return level * 10 ** rng.normal(0, 0.1, number)


@pytest.mark.parametrize(
    ("informative", "dead"), [(6, 122), (1, 127), (122, 6), (5, 11), (15, 1), (1, 15), (6, 2)]
)
def test_the_gap_is_found_whichever_side_has_more(informative, dead):
    rng = np.random.default_rng(informative)
    low, high = floor(dead, rng), rng.uniform(0.3, 1.0, informative)
    gap = find_gap(rng.permutation(np.concatenate([low, high])))
    assert gap.below == pytest.approx(max(low.max(), 1e-3 * high.max()))
    assert gap.above == high.min()
    assert gap.threshold == pytest.approx(np.sqrt(gap.below * gap.above))


def test_scale_moves_the_threshold_along():
    rng = np.random.default_rng(0)
    values = np.concatenate([floor(20, rng), rng.uniform(0.3, 1.0, 4)])
    assert find_gap(1e6 * values).threshold == pytest.approx(1e6 * find_gap(values).threshold)


def test_a_continuum_above_a_floor_is_not_cut_and_the_lowest_gap_counts():
    rng = np.random.default_rng(1)
    continuum = 10 ** rng.uniform(-2, 0, 64)
    gap = find_gap(np.concatenate([floor(64, rng), continuum]))
    assert gap.above == continuum.min()
    levels = np.concatenate([floor(100, rng, 0.005), [0.05, 0.055, 0.06], rng.uniform(0.5, 1, 5)])
    assert find_gap(levels).above == 0.05


def test_constant_dimensions_and_floors_far_below_are_one_floor():
    rng = np.random.default_rng(2)
    high = rng.uniform(0.5, 1, 5)
    gap = find_gap(np.concatenate([np.zeros(6), 1e-8 * rng.random(5), high]))
    assert gap.above == high.min()
    assert gap.below == pytest.approx(1e-3 * high.max())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.linspace(0.3, 0.85, 16), "all dimensions vary, or none"),
        (np.linspace(0.0008, 0.0016, 128), "all dimensions vary, or none"),
        (np.geomspace(1, 1e-3, 128), "no gap stands out"),
        (np.geomspace(1, 1e-3, 8), "no gap stands out"),
        (np.zeros(12), "every dimension is constant"),
        (np.array([1.0, 0.5, 1e-4]), "3 dimensions are too few"),
    ],
)
def test_without_a_gap_there_is_a_reason(values, reason):
    gap = find_gap(values)
    assert gap.threshold is None
    assert np.isnan([gap.below, gap.above]).all()
    assert reason in gap.reason


@pytest.mark.parametrize("d", [8, 16, 128])
@pytest.mark.parametrize(
    "smooth",
    [
        lambda rng, d: 10 ** rng.uniform(-3, 0, d),
        lambda rng, d: 10 ** rng.normal(0, 0.3, d),
        lambda rng, d: 10 ** rng.normal(0, 1.0, d),
    ],
    ids=["log-uniform", "narrow log-normal", "wide log-normal"],
)
def test_smooth_distributions_have_next_to_no_gaps(smooth, d):
    rng = np.random.default_rng(d)
    found = [find_gap(smooth(rng, d)).threshold is not None for _ in range(300)]
    assert sum(found) <= 9  # 3 %
