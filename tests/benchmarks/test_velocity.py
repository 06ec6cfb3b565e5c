import math

import numpy as np
import pytest

from benchmarks.velocity import photon_limit


@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_photon_limit_of_a_sine_is_that_of_its_slopes(noise):
    """sum(slope^2) = n (a k)^2 / 2 of n pixels of a sin(k x), whatever noise the row has itself."""
    rng = np.random.default_rng(3)
    rate = 2 * math.pi / 40
    row = np.sin(rate * np.arange(20_000)) + noise * rng.standard_normal(20_000)
    expected = noise / (rate * math.sqrt(20_000 / 2))

    limit = photon_limit(row, noise**2 * rng.chisquare(15, 20_000) / 15)

    assert limit == pytest.approx(expected, rel=0.06)
