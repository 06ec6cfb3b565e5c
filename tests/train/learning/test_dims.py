import dataclasses

import numpy as np
import pytest
import torch

from latentscope.models.network import SpectrumVAE
from train.learning.dims import close, dead_dims, dims_below, latents_of, redraw
from train.learning.losses import kl_per_dim


@pytest.fixture
def model(config):
    torch.manual_seed(0)
    return SpectrumVAE(config.architecture, config.prepare)


def test_redrawing_touches_the_named_dimensions_alone(model):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    redraw(model, [2], seed=1)
    after = model.state_dict()
    assert not torch.equal(before["mean.weight"][2], after["mean.weight"][2])
    assert torch.equal(before["mean.weight"][:2], after["mean.weight"][:2])
    assert not torch.equal(before["expand.weight"][:, 2], after["expand.weight"][:, 2])
    assert torch.equal(before["expand.weight"][:, :2], after["expand.weight"][:, :2])
    assert torch.equal(before["encoder.0.weight"], after["encoder.0.weight"])


@pytest.mark.parametrize("dim", [0, 1])  # the first shifts the lines
def test_closed_dimensions_are_the_prior_and_change_nothing(model, config, dim):
    close(model, [dim])
    others = [other for other in range(3) if other != dim]
    model.eval()
    rows = torch.randn(4, config.prepare.row_size)
    mean, logvar = model.encode(rows)
    assert torch.all(mean[:, dim] == 0)
    assert torch.all(logvar[:, dim] == 0)
    assert torch.all(mean[:, others] != 0)
    moved = mean + 3.0 * torch.eye(3)[dim]
    assert torch.equal(model.decode(moved), model.decode(mean))
    found, kl = latents_of(model, rows.numpy(), config.logvar_range)
    assert dim in dead_dims(found, kl)
    assert dims_below(kl, 1e-9) == [dim]


def test_latents_are_those_of_the_first_rows(model, config):
    rows = np.random.default_rng(0).normal(size=(300, config.prepare.row_size)).astype("f2")
    mean, kl = latents_of(model, rows, (-1e-3, 1e-3))
    with torch.no_grad():
        expected, logvar = model.encode(torch.from_numpy(rows[:256].astype("f4")), fit=False)
    assert torch.allclose(mean, expected, atol=1e-5)
    assert torch.allclose(kl, kl_per_dim(expected, logvar.clamp(-1e-3, 1e-3)), atol=1e-5)


def test_dimensions_of_a_plain_autoencoder_die_by_their_spread(config):
    architecture = dataclasses.replace(config.architecture, variational=False)
    model = SpectrumVAE(architecture, config.prepare)
    rows = np.random.default_rng(0).normal(size=(40, config.prepare.row_size))
    _, kl = latents_of(model, rows, config.logvar_range)
    assert kl is None
    assert dims_below(kl, 9.0) == []
    spread = torch.tensor([[0.05], [0.01], [1.0]]) * torch.linspace(-1, 1, 41)
    assert dead_dims(spread.T, None) == [1]
