import numpy as np
import torch
from scipy.stats import kstest

from train.simulator.noise import deviates

CPU = torch.device("cpu")


def test_the_noise_of_a_spectrum_follows_from_its_number_and_the_seed():
    together = deviates([5, 6, 2**40], 3, 1000, CPU)
    assert torch.equal(deviates([6], 3, 1000, CPU)[0], together[1])
    assert torch.equal(deviates([2**40], 3, 1000, CPU)[0], together[2])
    assert not torch.equal(deviates([6], 4, 1000, CPU)[0], together[1])


def test_it_is_standard_normal_and_independent_from_row_to_row():
    rows = deviates(range(8), 0, 20000, CPU).numpy()
    assert kstest(rows.ravel(), "norm").pvalue > 1e-3
    correlation = np.corrcoef(rows) - np.eye(8)
    assert np.abs(correlation).max() < 5 / np.sqrt(20000)


def test_the_global_generator_stays_as_it_is():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    deviates([1], 0, 100, CPU)
    assert torch.equal(torch.rand(3), expected)
