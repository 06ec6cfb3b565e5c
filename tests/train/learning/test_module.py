import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from latentscope.model.vae import SpectrumVAE
from train.data.simulated import Batches, Remaining
from train.learning.module import SpectrumModule, blurred, kl_per_dim
from train.settings.reading import read_config


def test_the_blur_is_a_gaussian_filter():
    residual = np.random.default_rng(0).normal(size=(2, 1024)).astype(np.float32)
    expected = gaussian_filter1d(residual, 6.0, axis=1, mode="wrap", truncate=8.0)
    assert np.allclose(blurred(torch.from_numpy(residual), 6.0).numpy(), expected, atol=1e-5)
    assert np.array_equal(blurred(torch.from_numpy(residual), 0.0).numpy(), residual)


def test_kl_agrees_with_torch_distributions():
    mean, logvar = torch.randn(5, 3), torch.randn(5, 3)
    q = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0))
    assert torch.allclose(kl_per_dim(mean, logvar), expected, atol=1e-6)


def test_batches_after_an_interruption_are_those_of_the_whole_run():
    rows = np.arange(30, dtype=np.float16)[:, None]
    whole = Batches(rows, 4, 20, seed=1)
    assert len(whole) == len(Remaining(9, 20)) == 20
    again = Batches(rows, 4, 20, seed=1)
    assert list(Remaining(9, 20)) == list(range(9, 20))
    assert all(torch.equal(whole[i], again[i]) for i in Remaining(9, 20))
    first_pass = torch.cat([whole[i] for i in range(7)]).flatten()
    assert len(set(first_pass.tolist())) == 28  # nothing twice within a pass


def test_the_loss_is_the_stated_sum(tiny):
    config = read_config(tiny)
    torch.manual_seed(0)
    module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
    module.model.eval()
    rows = torch.randn(3, config.prepare.row_size)
    terms = module.terms(rows)
    decoded, mean, logvar = module.model(rows)
    kept = torch.from_numpy((~config.prepare.grid.gap_mask).astype("f4"))
    lines = 0.5 * (((decoded - rows)[:, :512] * kept) ** 2).sum(1)
    assert torch.allclose(terms["lines"], lines, rtol=1e-5)
    assert torch.allclose(terms["continuum"], 0.5 * ((decoded - rows)[:, 512:] ** 2).sum(1))
    assert torch.allclose(terms["kl"], kl_per_dim(mean, logvar))


def test_revival_touches_the_named_dimensions_alone(tiny):
    config = read_config(tiny)
    module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
    optimizer = module.configure_optimizers()
    module._trainer = type("T", (), {"optimizers": [optimizer]})()
    before = {k: v.clone() for k, v in module.model.state_dict().items()}
    module.revive([2])
    after = module.model.state_dict()
    assert not torch.equal(before["mean.weight"][2], after["mean.weight"][2])
    assert torch.equal(before["mean.weight"][:2], after["mean.weight"][:2])
    assert not torch.equal(before["expand.weight"][:, 2], after["expand.weight"][:, 2])
    assert torch.equal(before["expand.weight"][:, :2], after["expand.weight"][:, :2])
    assert torch.equal(before["encoder.0.weight"], after["encoder.0.weight"])


def test_closed_dimensions_are_the_prior_and_change_nothing(tiny):
    config = read_config(tiny)
    module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
    module.close([1])
    module.model.eval()
    rows = torch.randn(4, config.prepare.row_size)
    mean, logvar = module.model.encode(rows)
    assert torch.all(mean[:, 1] == 0)
    assert torch.all(logvar[:, 1] == 0)
    assert torch.all(mean[:, [0, 2]] != 0)
    moved = mean + torch.tensor([0.0, 3.0, 0.0])
    assert torch.equal(module.model.decode(moved), module.model.decode(mean))


def test_a_model_without_preparation_is_refused(tiny):
    config = read_config(tiny)
    with pytest.raises(ValueError, match="preparation"):
        SpectrumModule(SpectrumVAE(config.architecture), config)
