import numpy as np
import pytest
import torch

from latentscope.simulation.rows import simulated_rows
from tests.train.simulator.conftest import PREPARATIONS
from train.simulator.making import Maker

COARSE = PREPARATIONS["coarse"]


@pytest.fixture(scope="module")
def maker(linelist):
    return Maker(COARSE, 11, linelist)


def test_a_batch_holds_rows_numbers_masks_and_inverse_variances(maker):
    batch = maker.batch([4, 0, 9])
    assert batch.rows.shape == (3, COARSE.row_size)
    assert batch.rows.dtype == torch.float32
    assert torch.isfinite(batch.rows).all()
    assert batch.numbers.tolist() == [4, 0, 9]
    assert batch.valid.shape == batch.rows.shape
    assert torch.equal(batch.valid[0, :512], torch.from_numpy(~COARSE.grid.gap_mask))
    assert batch.ivar.shape == (3, 512)
    assert torch.equal(batch.ivar > 0, batch.valid[:, :512])


def test_spectra_are_the_same_in_whatever_company(maker, linelist):
    whole, ivar = maker.rows(range(5))
    assert torch.equal(Maker(COARSE, 11, linelist, block=5).rows(range(5))[0], whole)
    rows, some = maker.rows([4, 1, 3])
    assert torch.equal(rows, whole[[4, 1, 3]])
    assert torch.equal(some, ivar[[4, 1, 3]])


def test_stars_are_those_of_the_archive_with_that_seed(linelist):
    """The noise is another draw, the rest is the same."""
    config = PREPARATIONS["compact"]
    ours, ivar = Maker(config, 6, linelist).rows(range(5))
    theirs, _ = simulated_rows(config, 0, 5, n=5, seed=6, linelist=linelist)
    pixels = config.grid.length
    known = (ivar > 0).numpy()
    pull = (ours.numpy() - theirs.astype("f4"))[:, :pixels] * np.sqrt(ivar.numpy() / 2)
    # The archive's float16 rounds by up to 2^-11 of a value.
    assert np.median(np.abs(pull[known])) == pytest.approx(0.6745, rel=0.1)
    assert np.allclose(ours[:, pixels:], theirs[:, pixels:].astype("f4"), atol=0.03)


def test_seeds_and_numbers_differ(maker, linelist):
    rows = maker.rows(range(2))[0]
    assert (rows[0] - rows[1]).abs().median() > 1e-3
    assert (Maker(COARSE, 12, linelist).rows([0])[0] - rows[:1]).abs().median() > 1e-3
