import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from latentscope.models.network import SpectrumVAE
from train.learning.dims import (
    close,
    dead_dims,
    dims_below,
    entropy_given_spread,
    gather,
    latents_of,
    least_dependence,
    redraw,
    rotate,
    spacing_entropy,
    turn_to_least_dependence,
)
from train.learning.losses import dependence, kl_per_dim


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


def turned(angle):
    return torch.tensor([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def test_the_entropy_of_spacings_has_its_closed_forms():
    rng = np.random.default_rng(0)
    normal, even = rng.normal(0, 2, 20_000), rng.uniform(-3, 5, 20_000)
    assert spacing_entropy(normal) == pytest.approx(0.5 * np.log(2 * np.pi * np.e * 4), abs=0.05)
    assert spacing_entropy(even) == pytest.approx(np.log(8), abs=0.02)


def test_the_entropy_given_a_spread_has_its_closed_forms():
    rng = np.random.default_rng(0)
    x, noise = rng.uniform(-1, 1, 20_000), rng.normal(0, 0.5, 20_000)
    own = 0.5 * np.log(2 * np.pi * np.e * 0.25)
    # The mean of log(e^x) is 0, whatever is added to it.
    assert entropy_given_spread(x, 3 + np.exp(x) * noise) == pytest.approx(own, abs=0.05)
    assert entropy_given_spread(x, noise) == pytest.approx(own, abs=0.05)
    # A mean that depends on x is told in part, by a center beside most of y.
    line = x + noise
    assert own + 0.1 < entropy_given_spread(x, line) <= spacing_entropy(line)


@pytest.mark.parametrize("degrees", [-40, -20, 0, 31])
def test_a_wedge_lies_along_its_middle_and_not_along_its_edges(degrees):
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 1, 8000)
    wedge = np.stack([x, (0.05 + x) * rng.normal(0, 0.5, 8000)], axis=1)
    edges = wedge @ turned(np.pi / 4).numpy().T
    sums = [sum(map(spacing_entropy, values.T)) for values in (edges, wedge)]
    assert sums[0] < sums[1]
    rotation = least_dependence(torch.from_numpy(wedge) @ turned(np.radians(degrees)).T)
    assert np.degrees(np.arctan2(*rotation[0].flip(0).tolist())) == pytest.approx(-degrees, abs=3)


def test_a_dependence_that_no_turn_removes_is_not_thinned_out_over_other_dimensions():
    rng = np.random.default_rng(2)
    u, v, noise = rng.uniform(-1, 1, (3, 4000)) + 0.02 * rng.normal(size=(3, 4000))
    values = torch.from_numpy(np.stack([u, np.sign(v) * abs(u * v), noise], axis=1))
    rotation = least_dependence(values)
    assert abs(rotation[2, :2]).max() < 0.1


@pytest.mark.parametrize("degrees", [-40, -13, 0, 27])
def test_independent_causes_are_found_again(degrees):
    rng = np.random.default_rng(0)
    causes = torch.from_numpy(np.stack([rng.uniform(-2, 2, 4000), rng.gamma(1.5, 1.0, 4000)], 1))
    mixing = turned(np.radians(degrees))
    rotation = least_dependence(causes @ mixing.T)
    assert torch.allclose(rotation @ rotation.T, torch.eye(2, dtype=torch.float64))
    assert np.degrees(np.arctan2(*rotation[0].flip(0).tolist())) == pytest.approx(-degrees, abs=2)


def test_axes_stay_where_all_are_alike_but_for_chance():
    """Any rotation of Gaussians is independent, and one of them has the least entropy by chance."""
    values = np.random.default_rng(4).normal(size=(8000, 3)) * [1.0, 0.8, 1.3]
    assert torch.equal(least_dependence(torch.from_numpy(values)), torch.eye(3).double())


def test_many_dimensions_depend_on_each_other_less_after_the_turn():
    rng = np.random.default_rng(1)
    causes = torch.from_numpy(rng.exponential(1.0, (3000, 4)) * [1.0, 1.3, 0.8, 1.1])
    mixing = torch.linalg.qr(torch.from_numpy(rng.normal(size=(4, 4))))[0]
    mixed = causes @ mixing.T
    found = mixed @ least_dependence(mixed).T
    assert dependence(found) < 0.02 < 0.3 < dependence(mixed)
    match = abs(np.corrcoef(found.T, causes.T)[:4, 4:])
    assert (match.max(0) > 0.99).all()


class Rows:
    def __init__(self, rows):
        self._rows = rows

    def sample(self, size):
        for start in range(0, len(self._rows), size):
            yield self._rows[start : start + size], None


def model_of(config, **changes):
    torch.manual_seed(0)
    shape = dataclasses.replace(config.architecture, latents=4, **changes)
    model = SpectrumVAE(shape, config.prepare)
    with torch.no_grad():
        model.mean.weight *= 20
        if shape.variational:
            model.logvar.bias -= 3
    return model.eval()


@pytest.mark.parametrize(
    "changes", [{}, {"hidden": 5}, {"doppler": False}, {"variational": False}], ids=str
)
def test_a_turned_model_makes_the_same_spectra(config, changes):
    model = model_of(config, **changes)
    rows = np.random.default_rng(2).standard_exponential((300, model.config.row_size), np.float32)
    batch = torch.from_numpy(rows)
    with torch.no_grad():
        mean, _ = model.encode(batch, fit=False)
        before = model.decode(mean)
        turn_to_least_dependence(model, Rows(rows))
        after, _ = model.encode(batch, fit=False)
        assert torch.allclose(model.decode(after), before, atol=1e-4)
    first = int(model.config.doppler)
    assert torch.equal(mean[:, :first], after[:, :first])
    assert torch.allclose(mean.norm(dim=1), after.norm(dim=1), rtol=1e-4)
    assert not torch.allclose(mean, after, atol=1e-2)


def test_the_posterior_of_a_turned_model_has_the_turned_variances(config):
    model = model_of(config, doppler=False)
    rows = torch.randn(200, model.config.row_size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        mean, logvar = model.encode(rows)
        rotation = turned(0.5)
        rotate(model, [1, 3], rotation, logvar)
        after_mean, after_logvar = model.encode(rows)
    exact = torch.log(logvar[:, [1, 3]].exp().double() @ (rotation**2).T)
    found = after_logvar[:, [1, 3]].double()
    assert torch.allclose(found.mean(0), exact.mean(0), atol=1e-5)
    assert torch.equal(after_logvar[:, [0, 2]], logvar[:, [0, 2]])
    assert torch.allclose(after_mean[:, [1, 3]].double(), mean[:, [1, 3]].double() @ rotation.T,
                          atol=1e-4)  # fmt: skip


def test_what_closed_dimensions_share_is_gathered_in_the_first_of_them(config):
    model = model_of(config, doppler=False)
    rows = np.random.default_rng(2).normal(size=(300, model.config.row_size)).astype("f4")
    batch = torch.from_numpy(rows)
    with torch.no_grad():
        spread = model.encode(batch)[0].std(0)
        model.mean.weight[0] *= 2.0 / spread[0]  # open
        model.mean.weight[1:] = 0.2 / spread[1] * model.mean.weight[1]
        model.mean.bias[:] = 0.0
        model.logvar.weight[:], model.logvar.bias[:] = 0.0, 0.0
        mean, _ = model.encode(batch)
        before = model.decode(mean)
        gather(model, Rows(rows))
        after, _ = model.encode(batch)
        assert torch.allclose(model.decode(after), before, atol=1e-4)
    assert torch.equal(after[:, 0], mean[:, 0])
    assert after[:, 1].std() == pytest.approx(0.2 * 3**0.5, rel=0.01)
    assert after[:, 2:].std(0).max() < 1e-3


def test_a_model_whose_dimensions_are_all_closed_is_left_as_it_is(model, config):
    close(model, [0, 1, 2])
    before = {key: values.clone() for key, values in model.state_dict().items()}
    rows = np.random.default_rng(0).normal(size=(60, config.prepare.row_size)).astype("f4")
    turn_to_least_dependence(model, SimpleNamespace(sample=lambda max_rows: [(rows, None)]))
    assert all(torch.equal(values, before[key]) for key, values in model.state_dict().items())
