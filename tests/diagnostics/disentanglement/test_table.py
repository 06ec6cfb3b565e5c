import numpy as np
import pytest

from latentscope.diagnostics.disentanglement import interval
from latentscope.diagnostics.disentanglement_measures import sap, squared_correlations


def test_halves_without_replacement_have_the_error_of_the_whole():
    """Of a mean it is sigma / sqrt(n), whatever the bias of the halves."""
    rng = np.random.default_rng(0)
    sample = rng.normal(size=401)
    halves = np.array([sample[rng.permutation(401)[:200]].mean() for _ in range(4000)]) + 5
    low, high = interval(0.3, halves, 401)
    assert (low + high) / 2 == pytest.approx(0.3)
    assert (high - low) / 2 == pytest.approx(1.96 * sample.std(ddof=1) / np.sqrt(401), rel=0.05)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """The gap of squared correlations of Gaussians with correlations 0.8 and 0.5."""
    rng, truth, held = np.random.default_rng(1), 0.64 - 0.25, []
    for _ in range(250):
        y = rng.normal(size=300)
        noise = rng.normal(size=(300, 2))
        z = y[:, None] * [0.8, 0.5] + noise * np.sqrt([0.36, 0.75])
        gap = lambda rows: sap(squared_correlations(z[rows], y[rows])[:, None])[0]  # noqa: B023, E731
        halves = np.array([gap(rng.permutation(300)[:150]) for _ in range(40)])
        low, high = interval(gap(np.arange(300)), halves, 300)
        held.append(low < truth < high)
    assert 0.91 < np.mean(held) < 0.985


def test_no_halves_no_interval():
    assert np.isnan(interval(1.0, np.empty(0), 100)).all()
    assert np.isnan(interval(np.inf, np.full(10, np.inf), 100)).all()
