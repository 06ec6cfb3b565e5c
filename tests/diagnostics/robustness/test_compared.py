import numpy as np
import pandas as pd
import pytest

from latentscope.diagnostics.robustness.compared import nested_error


def test_error_of_a_part_against_the_whole_it_belongs_to():
    """Of a mean of m among n numbers: sigma sqrt(1/m - 1/n)."""
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(4000, 300))
    scatter = (samples[:, :100].mean(axis=1) - samples.mean(axis=1)).std()
    part, whole = 1 / np.sqrt(100), 1 / np.sqrt(300)
    found = nested_error(*(pd.Series([x]) for x in (part, whole, 100, 300)))[0]
    assert found == pytest.approx(np.sqrt(1 / 100 - 1 / 300))
    assert found == pytest.approx(scatter, rel=0.05)


def test_the_whole_differs_from_itself_by_nothing():
    same = nested_error(*(pd.Series([x]) for x in (0.1, 0.1, 50, 50)))
    assert same[0] == pytest.approx(0, abs=1e-8)
