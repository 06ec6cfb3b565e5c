"""The network against independent forms of itself: Conv1d, matrix products, a search."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

from latentscope.errors import ModelError
from latentscope.models import network
from latentscope.models.config import PUBLISHED_ARCHITECTURE, published_prepare
from latentscope.models.network import (
    LOGVAR_RANGE,
    SHIFT_MARGIN,
    Packed,
    SpectrumVAE,
    VAEConfig,
    activated,
    fit_shift,
    packed,
    packs,
    shift_lines,
)

COMPACT = VAEConfig(
    length=20480,
    channels=(16, 32, 32, 64, 64, 128),
    kernels=(9, 9, 5, 5, 3, 3),
    strides=(4, 4, 2, 2, 2, 2),
    latents=16,
    extra=320,
    output="mean",
)
SMALL = VAEConfig(
    length=256,
    channels=(4, 6, 8),
    kernels=(9, 5, 3),
    strides=(4, 2, 1),
    latents=3,
    extra=7,
    extra_hidden=5,
    output="mean",
)

OUTPUTS = ("conv", "mean")


def comb(pixels, shift):
    """Unequal Gaussian absorption lines with known places, shifted by whatever is asked."""
    centres, depths, widths = (400.3, 900.0, 1333.7), (0.5, 0.9, 0.2), (3.0, 4.5, 6.0)
    return -sum(
        d * torch.exp(-0.5 * ((pixels - c - shift) / w) ** 2)
        for c, d, w in zip(centres, depths, widths, strict=True)
    )


def scaled(config, seed=0):
    """Return a model whose activations stay of the order of 1, and whose biases are not 0."""
    generator = torch.Generator().manual_seed(seed)
    model = SpectrumVAE(config).eval()
    for name, values in model.named_parameters():
        strides = 1
        if values.ndim == 4 and name.startswith("decoder"):
            inputs = values.shape[0] * values.shape[3]
            strides = max(1, values.shape[3] // 2)
        else:
            inputs = values[0].numel() if values.ndim > 1 else 100
        values.data.copy_(torch.randn(values.shape, generator=generator))
        values.data *= (2 * strides / inputs) ** 0.5
    if config.extra:
        model.extra_mean.copy_(torch.randn(config.extra, generator=generator))
    return model


def rows_for(config, n=2, seed=1):
    return torch.randn(n, config.row_size, generator=torch.Generator().manual_seed(seed))


def conv1d_encode(model, rows):
    """Encode with Conv1d and plain matrix products, from the model's own numbers."""
    config, state = model.config, model.state_dict(keep_vars=True)
    x = rows[:, None, : config.length]
    for i, (k, s) in enumerate(zip(config.kernels, config.strides, strict=True)):
        weight, bias = state[f"encoder.{i}.weight"], state[f"encoder.{i}.bias"]
        x = functional.conv1d(x, weight.squeeze(2), bias, stride=s, padding=(k - 1) // 2)
        x = torch.where(x > 0, x, config.negative_slope * x)
    features = x.reshape(len(x), -1)
    if config.extra:
        features = torch.cat([features, rows[:, config.length :] - state["extra_mean"]], dim=1)
    mean = features @ state["mean.weight"].T + state["mean.bias"]
    return mean, features @ state["logvar.weight"].T + state["logvar.bias"]


def conv1d_decode(model, z):
    """Decode a model of output "mean" with ConvTranspose1d."""
    config, state = model.config, model.state_dict(keep_vars=True)
    depth = len(config.strides)
    content = z
    for i in (0, 2) if config.hidden else ():
        content = content @ state[f"perceptron.{i}.weight"].T + state[f"perceptron.{i}.bias"]
        content = torch.where(content > 0, content, config.negative_slope * content)
    x = (content @ state["expand.weight"].T + state["expand.bias"]).reshape(
        len(z), config.channels[-1], -1
    )
    for i, s in enumerate(reversed(config.strides)):
        weight, bias = state[f"decoder.{i}.weight"], state[f"decoder.{i}.bias"]
        x = functional.conv_transpose1d(
            x, weight.squeeze(2), bias, stride=s, padding=max(1, s // 2)
        )
        if i < depth - 1:
            x = torch.where(x > 0, x, config.negative_slope * x)
    lines = x[:, 0] + state["line_mean"]
    hidden = z @ state["extra_decoder.0.weight"].T + state["extra_decoder.0.bias"]
    hidden = torch.where(hidden > 0, hidden, config.negative_slope * hidden)
    extra = hidden @ state["extra_decoder.2.weight"].T + state["extra_decoder.2.bias"]
    return torch.cat([lines, extra + state["extra_mean"]], dim=1)


def load_published(model, network):
    """Copy the weights of the independent network, layer by layer."""
    for i in range(15):
        pairs = [(model.encoder[i], getattr(network, f"conv{i + 1}")[0])]
        pairs.append((model.decoder[i], getattr(network, f"deconv{15 - i}")[0]))
        for ours, theirs in [*pairs, (model.final, network.predict0)]:
            ours.weight.data.copy_(theirs.weight.data.unsqueeze(2))
            ours.bias.data.copy_(theirs.bias.data)
    for ours, theirs in [("mean", "fc11"), ("logvar", "fc12"), ("expand", "fc2")]:
        getattr(model, ours).load_state_dict(getattr(network, theirs).state_dict())


def relative(found, wanted):
    return float((found - wanted).detach().norm() / wanted.detach().norm())


def test_the_published_architecture_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = SpectrumVAE(PUBLISHED_ARCHITECTURE)
    assert sum(values.numel() for values in model.parameters()) == 7_046_997
    assert PUBLISHED_ARCHITECTURE.flat == 512 * 20
    assert PUBLISHED_ARCHITECTURE.row_size == 327_680


def test_channels_last_gives_what_conv1d_gives_for_the_published_network(published_network):
    """Equal to 1e-12 in float64; in float32 to the rounding of 15 layers (1e-6 in each form)."""
    model = SpectrumVAE(PUBLISHED_ARCHITECTURE).eval()
    load_published(model, published_network)
    rows = rows_for(PUBLISHED_ARCHITECTURE, n=1)
    with torch.inference_mode():
        wanted = published_network.encode(rows[:, None])
        for found, values in zip(model.encode(rows), wanted, strict=True):
            assert 0.1 < float(values.std()) < 10
            assert relative(found, values) < 2e-6
        decoded = published_network.decode(wanted[0])[:, 0]
        assert relative(model.decode(wanted[0]), decoded) < 2e-6
        exact = copy.deepcopy(published_network).double()
        assert (
            relative(
                model.double().encode(rows.double())[0], exact.encode(rows[:, None].double())[0]
            )
            < 1e-12
        )
        assert (
            relative(model.decode(wanted[0].double()), exact.decode(wanted[0].double())[:, 0])
            < 1e-12
        )


def test_channels_last_gives_what_conv1d_gives_for_the_compact_network():
    model, rows = scaled(COMPACT), rows_for(COMPACT)
    with torch.inference_mode():
        mean, logvar = model.encode(rows)
        expected = conv1d_encode(model, rows)
        decoded = model.decode(mean)
        assert relative(mean, expected[0]) < 1e-6
        assert relative(logvar, expected[1]) < 1e-6
        assert relative(decoded, conv1d_decode(model, mean)) < 1e-6
    assert decoded.shape == rows.shape


@pytest.mark.parametrize("hidden", [0, 6])
def test_gradients_are_those_of_the_conv1d_form(hidden):
    config = dataclasses.replace(SMALL, hidden=hidden)
    model, rows = scaled(config).double(), rows_for(config).double()
    parameters = dict(model.named_parameters())
    mean, logvar = model.encode(rows)
    found = torch.autograd.grad(
        (model.decode(mean) - rows).square().sum() + logvar.square().sum(), parameters.values()
    )
    mean, logvar = conv1d_encode(model, rows)
    wanted = torch.autograd.grad(
        (conv1d_decode(model, mean) - rows).square().sum() + logvar.square().sum(),
        parameters.values(),
    )
    for name, ours, theirs in zip(parameters, found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9, msg=name)


def test_latent_0_of_a_doppler_decoder_is_a_shift_and_nothing_else():
    config = dataclasses.replace(SMALL, length=2048, doppler=True, doppler_init=2.5)
    model = scaled(config)
    model.doppler_scale.data.fill_(2.5)
    pixels = torch.arange(2048.0)
    with torch.inference_mode():
        model.line_mean.copy_(comb(pixels, 0.0))
        model.expand.weight.zero_()
        model.expand.bias.zero_()
        for layer in model.decoder:
            layer.bias.zero_()
        z = torch.tensor([[0.0, 0.3, -1.0], [4.0, 0.3, -1.0], [-3.0, 0.3, -1.0]])
        rows = model.decode(z)
    for row, shift in zip(rows, (0.0, 10.0, -7.5), strict=True):
        torch.testing.assert_close(row[:2048], comb(pixels, shift), rtol=0, atol=2e-6)
    assert torch.equal(rows[0, 2048:], rows[1, 2048:])
    assert torch.equal(rows[0, 2048:], rows[2, 2048:])


def test_a_doppler_decoder_shifts_what_the_other_latents_draw_too():
    model = scaled(dataclasses.replace(SMALL, doppler=True, doppler_init=3.0))
    z = torch.tensor([[0.0, 0.3, -1.0], [0.8, 0.3, -1.0]])
    with torch.inference_mode():
        model.doppler_scale.fill_(3.0)
        still, moved = model.decode(z)[:, : SMALL.length]
        expected = shift_lines(still[None], torch.tensor([2.4]))[0]
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(moved, still, atol=0.01)


def of_one_kind(scale=3.0, guess=0.5):
    """A Doppler model whose convolutions say the same of whatever they see."""
    model = scaled(dataclasses.replace(SMALL, length=2048, doppler=True))
    with torch.no_grad():
        model.doppler_scale.fill_(scale)
        model.line_mean.copy_(200 * comb(torch.arange(2048.0), 0.0))
        model.mean.weight.zero_()
        model.mean.bias.copy_(torch.tensor([guess, 0.3, -1.0]))
        model.logvar.weight.zero_()
        model.logvar.bias.copy_(torch.tensor([0.1, -2.0, -3.0]))
    return model


@pytest.mark.parametrize("guess", [-0.4, 0.5, 30.0])
def test_a_doppler_encoder_finds_the_shift_whatever_the_convolutions_guess(guess):
    model = of_one_kind(guess=guess)
    truth = torch.tensor([[0.8, 0.3, -1.0], [-1.1, 0.3, -1.0], [33.0, 0.3, -1.0]])
    with torch.no_grad():
        rows = model.decode(truth)
        raw, guessed = model.encode(rows, fit=False)
        fitted, logvar = model.encode(rows)
    assert torch.equal(raw, model.mean.bias.detach().expand(3, 3))
    assert torch.equal(guessed, model.logvar.bias.detach().expand(3, 3))
    torch.testing.assert_close(fitted, truth, rtol=0, atol=2e-3)
    assert torch.equal(logvar[:, 1:], guessed[:, 1:])
    assert (logvar[:, 0] < -9).all()


def test_the_log_variance_of_a_fitted_shift_predicts_the_scatter_of_noise():
    model = of_one_kind()
    generator = torch.Generator().manual_seed(4)
    truth = torch.tensor([[0.8, 0.3, -1.0]]).expand(300, -1)
    for size in (2.0, 20.0):  # of lines 40 to 180 deep
        with torch.no_grad():
            rows = model.decode(truth)
            rows[:, :2048] += size * torch.randn(300, 2048, generator=generator)
            mean, logvar = model.encode(rows)
        sigma = torch.exp(0.5 * logvar[:, 0]).mean()
        assert 0.9 < float(sigma / mean[:, 0].std()) < 1.1


def test_without_lines_a_fitted_shift_is_as_uncertain_as_the_prior_and_ambiguous():
    model = of_one_kind()
    with torch.no_grad():
        found = model.encoding(torch.zeros(1, model.config.row_size))
    assert found.mean[0, 0] == found.logvar[0, 0] == 0
    assert found.shift.ambiguous.item()
    assert torch.isnan(found.shift.second_peak).item()


def test_far_spectra_are_moved_back_before_they_are_read():
    model = of_one_kind()
    seen = []
    read = model._read

    def reading(rows):
        seen.append(rows.clone())
        mean, logvar = read(rows)
        return mean, logvar + 0.1 * len(seen)

    model._read = reading
    truth = torch.tensor([[4.9, 0.3, -1.0], [-5.1, 0.3, -1.0]])
    with torch.no_grad():
        rows = model.decode(truth)
        mean, logvar = model.encode(rows)
        rest = model.decode(torch.tensor([[0.0, 0.3, -1.0]]))
    assert [len(given) for given in seen] == [2, 1]
    inner = slice(20, 2028)
    torch.testing.assert_close(seen[1][:, inner], rest[:, inner], rtol=0, atol=0.2)
    torch.testing.assert_close(mean, truth, rtol=0, atol=2e-3)
    torch.testing.assert_close(logvar[:, 1] + 2, torch.tensor([0.1, 0.2]))


def test_a_closed_shift_stays_what_the_convolutions_say():
    model = of_one_kind(scale=0.0)
    rows = rows_for(model.config)
    with torch.no_grad():
        found = model.encoding(rows)
        assert torch.equal(found.mean, model.encode(rows, fit=False)[0])
    assert found.shift is None


def test_the_scale_of_the_shift_starts_as_configured_and_is_learned():
    model = SpectrumVAE(dataclasses.replace(SMALL, doppler=True, doppler_init=1.75))
    assert model.doppler_scale.item() == 1.75
    model.decode(torch.ones(1, 3)).square().sum().backward()
    assert model.doppler_scale.grad.item() != 0


def test_extra_values_are_centred_on_the_way_in_and_out():
    model = scaled(SMALL)
    rows = rows_for(SMALL)
    with torch.inference_mode():
        before = model.encode(rows)[0]
        model.extra_mean += 0.5
        rows[:, SMALL.length :] += 0.5
        torch.testing.assert_close(model.encode(rows)[0], before)
        model.extra_decoder[2].weight.zero_()
        model.extra_decoder[2].bias.zero_()
        decoded = model.decode(before)[:, SMALL.length :]
    assert torch.equal(decoded, model.extra_mean.expand(2, -1))
    assert "extra_mean" in model.state_dict()


def test_draws_come_from_the_generator_and_only_in_training():
    model, rows = scaled(SMALL).train(), rows_for(SMALL)
    with torch.no_grad():
        first = model(rows, torch.Generator().manual_seed(1))[0]
        again = model(rows, torch.Generator().manual_seed(1))[0]
        other = model(rows, torch.Generator().manual_seed(2))[0]
        assert torch.equal(first, again)
        assert not torch.allclose(first, other)
        assert torch.equal(model.eval()(rows)[0], model.reconstruct(rows))


def test_draws_have_the_mean_and_deviation_that_encode_tells():
    config = dataclasses.replace(SMALL, latents=2)
    model = scaled(config).train()
    with torch.no_grad():
        for name in ("mean", "logvar"):
            getattr(model, name).weight.zero_()
        model.mean.bias.copy_(torch.tensor([1.0, -2.0]))
        model.logvar.bias.copy_(torch.log(torch.tensor([0.25, 4.0])))
        draws = []
        model.decode = lambda z: draws.append(z) or z
        model(torch.zeros(40_000, config.row_size), torch.Generator().manual_seed(0))
    assert draws[0].mean(0).tolist() == pytest.approx([1.0, -2.0], abs=0.05)
    assert draws[0].std(0).tolist() == pytest.approx([0.5, 2.0], rel=0.03)


def test_log_variances_are_clamped_where_z_is_drawn():
    model, rows = scaled(SMALL), rows_for(SMALL)
    model.logvar.bias.data.copy_(torch.tensor([-1e4, 0.0, 1e4]))
    with torch.inference_mode():
        logvar = model.train()(rows)[2]
        assert float(logvar[0, 0]) == LOGVAR_RANGE[0]
        assert float(logvar[0, 2]) == LOGVAR_RANGE[1]
        assert torch.equal(logvar[:, 1], model.encode(rows)[1][:, 1])


def test_a_deterministic_model_has_no_log_variance():
    model = scaled(dataclasses.replace(SMALL, variational=False)).train()
    rows, mean, logvar = model(rows_for(SMALL))
    assert logvar is None
    assert model.encode(rows_for(SMALL))[1] is None
    assert torch.equal(rows, model.decode(mean))
    assert not any("logvar" in name for name in model.state_dict())


def test_weights_load_whatever_memory_layout_they_were_in():
    model, rows = scaled(SMALL), rows_for(SMALL)
    for layout in (torch.contiguous_format, torch.channels_last):
        state = {
            k: v.contiguous(memory_format=layout) if v.ndim == 4 else v.clone()
            for k, v in model.state_dict().items()
        }
        other = SpectrumVAE(SMALL)
        other.load_state_dict(state)
        assert torch.equal(other.encode(rows)[0], model.encode(rows)[0])
    with pytest.raises(RuntimeError, match="mean"):
        other.load_state_dict({k: v for k, v in state.items() if k != "mean.bias"})


def test_wrong_shapes_say_what_the_model_takes():
    model = SpectrumVAE(SMALL)
    with pytest.raises(ModelError, match=r"\(2, 256\); this model takes \(n, 263\)"):
        model.encode(torch.zeros(2, 256))
    with pytest.raises(ModelError, match=r"latents have shape \(3,\)"):
        model.decode(torch.zeros(3))


def test_a_preparation_of_another_size_is_refused():
    with pytest.raises(ModelError, match="327680"):
        SpectrumVAE(SMALL, published_prepare("median-valid"))


@pytest.mark.parametrize("shift", [0.0, 0.25, 7.0, -31.4, 100.5])
def test_the_shift_moves_lines_to_longer_wavelength_by_the_pixels_asked_for(shift):
    pixels = torch.arange(2048, dtype=torch.float64)
    shifts = torch.tensor([shift, 0.0], dtype=torch.float64)
    moved = shift_lines(torch.stack([comb(pixels, 0.0)] * 2), shifts)
    torch.testing.assert_close(moved[0], comb(pixels, shift), rtol=0, atol=1e-9)
    torch.testing.assert_close(moved[1], comb(pixels, 0.0), rtol=0, atol=1e-12)


def test_a_shift_brings_in_continuum_at_the_edge_and_not_the_other_end():
    pixels = torch.arange(512, dtype=torch.float64)
    line = torch.exp(-0.5 * ((pixels - 500) / 3) ** 2)
    moved = shift_lines(line[None], torch.tensor([60.0], dtype=torch.float64))[0]
    assert SHIFT_MARGIN > 60
    assert float(moved.abs().max()) < 1e-9


def test_the_gradient_of_the_shift_is_right():
    generator = torch.Generator().manual_seed(3)
    lines = torch.randn(2, 40, generator=generator, dtype=torch.float64, requires_grad=True)
    pixels = torch.tensor([0.7, -3.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(shift_lines, (lines, pixels), fast_mode=True)


@pytest.mark.parametrize("shift", [0.0, 0.5, 12.3, -31.4, 101.6, -101.6])
def test_the_fitted_shift_is_where_the_lines_lie(shift):
    pixels = torch.arange(2048, dtype=torch.float64)
    lines, moved = comb(pixels, 0.0)[None], comb(pixels, shift)[None]
    for target in (moved, 0.7 * moved, 2.0 * moved):
        found = fit_shift(lines, target)
        assert found.pixels.item() == pytest.approx(shift, abs=1e-6)
        assert not found.ambiguous.item()


def test_the_fit_is_as_good_as_a_search():
    generator = torch.Generator().manual_seed(6)
    pixels = torch.arange(1024, dtype=torch.float64)
    lines = comb(pixels, 0.0)[None]
    noise = 0.1 * torch.randn(1, 1024, generator=generator, dtype=torch.float64)
    target = comb(pixels, 4.0)[None] + noise
    grid = torch.arange(2.0, 6.0, 0.01, dtype=torch.float64)
    squares = ((target - shift_lines(lines.expand(len(grid), -1), grid)) ** 2).sum(1)
    found = fit_shift(lines, target)
    assert found.pixels.item() == pytest.approx(grid[squares.argmin()].item(), abs=0.01)


def test_the_information_is_what_lines_say_of_their_place_in_noise():
    generator = torch.Generator().manual_seed(7)
    pixels = torch.arange(2048, dtype=torch.float64)
    lines = comb(pixels, 0.0)[None]
    noise = torch.randn(400, 2048, generator=generator, dtype=torch.float64)
    slopes = float((torch.gradient(lines[0])[0] ** 2).sum())
    for size in (0.01, 0.05):
        target = comb(pixels, 5.2) + size * noise
        found = fit_shift(lines.expand(400, -1), target)
        assert found.information.mean().item() == pytest.approx(slopes / size**2, rel=0.1)
        assert found.pixels.std().item() == pytest.approx(size / slopes**0.5, rel=0.1)
        # Half of the pixels know half as much.
        target[:, ::2] = 0
        found = fit_shift(lines.expand(400, -1), target)
        assert found.pixels.mean().item() == pytest.approx(5.2, abs=0.05)


def test_a_part_of_the_spectrum_that_is_all_noise_does_not_decide():
    generator = torch.Generator().manual_seed(9)
    pixels = torch.arange(2048, dtype=torch.float64)
    lines = comb(pixels, 0.0)[None].expand(400, -1)
    size = torch.where(pixels < 512, 0.5, 0.02)
    noise = size * torch.randn(400, 2048, generator=generator, dtype=torch.float64)
    slopes = torch.gradient(lines[0])[0] ** 2
    best = float((slopes / size**2).sum() ** -0.5)
    alike = float((slopes * size**2).sum() ** 0.5 / slopes.sum())
    found = fit_shift(lines, comb(pixels, 5.2) + noise)
    assert found.pixels.std().item() < min(2 * best, alike / 5)
    assert found.information.mean().item() ** -0.5 == pytest.approx(
        found.pixels.std().item(), rel=0.1
    )


def test_lines_that_are_weaker_in_one_part_leave_the_shift_where_it_is():
    pixels = torch.arange(2048, dtype=torch.float64)
    target = comb(pixels, 5.2) * torch.where(pixels < 1024, 0.5, 1.0)
    found = fit_shift(comb(pixels, 0.0)[None], target[None])
    assert found.pixels.item() == pytest.approx(5.2, abs=1e-3)


@pytest.mark.parametrize("apart", [25.0, -34.0, 60.5])
def test_two_maxima_that_compete_are_said(apart):
    pixels = torch.arange(2048, dtype=torch.float64)
    lines = comb(pixels, 0.0)[None]
    for share, ambiguous in ((0.2, False), (0.5, False), (0.9, True), (1.0, True)):
        found = fit_shift(lines, (comb(pixels, 3.0) + share * comb(pixels, 3.0 + apart))[None])
        assert found.second_peak.item() == pytest.approx(share, abs=0.12)
        assert found.ambiguous.item() is ambiguous


def test_noise_and_lines_that_are_too_wide_are_ambiguous():
    generator = torch.Generator().manual_seed(8)
    pixels = torch.arange(2048, dtype=torch.float64)
    lines = comb(pixels, 0.0)[None].expand(50, -1)
    noise = torch.randn(50, 2048, generator=generator, dtype=torch.float64)
    assert fit_shift(lines, noise).ambiguous.all()
    assert not fit_shift(lines, lines + 0.05 * noise).ambiguous.any()
    wide = -torch.exp(-0.5 * ((pixels - 1024) / 100) ** 2).expand(50, -1)
    found = fit_shift(wide, wide + noise)
    assert (found.information < 4).all()
    assert found.ambiguous.all()


def layers(source, target, stride, transposed):
    kernel, padding = (3, 1) if stride == 1 else (2 * stride, stride // 2)
    if transposed:
        return nn.ConvTranspose2d(source, target, (1, kernel), (1, stride), (0, padding))
    return nn.Conv2d(source, target, (1, 5), (1, stride), (0, 2))


def in_turn(layer, x, slope):
    """What torch's own layer and activation make of it."""
    y = layer(x)
    return y if slope is None else functional.leaky_relu(y, slope)


@pytest.mark.parametrize("slope", [None, 0.1])
@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("target", [1, 3])
@pytest.mark.parametrize("transposed", [False, True])
def test_values_and_gradients_are_those_of_torchs_layers(transposed, target, stride, slope):
    torch.manual_seed(1)
    layer = layers(2, target, stride, transposed).double()
    layer.to(memory_format=torch.channels_last)
    x = torch.randn(3, 2, 1, 24, dtype=torch.float64, requires_grad=True)
    places = [x, layer.weight, layer.bias]
    found, wanted = activated(layer, x, slope), in_turn(layer, x, slope)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    upstream = torch.randn_like(wanted)
    gradients = [torch.autograd.grad(y, places, upstream) for y in (found, wanted)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_under_autocast_it_convolves_in_bfloat16_and_gives_float32_gradients():
    torch.manual_seed(2)
    layer = layers(8, 4, 2, transposed=True)
    x = torch.randn(2, 8, 1, 64, requires_grad=True)
    exact = activated(layer, x, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        low = activated(layer, x, 0.1)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), exact, rtol=0.02, atol=0.02)
    wanted = torch.autograd.grad(exact.sum(), layer.parameters())
    found = torch.autograd.grad(low.float().sum(), layer.parameters())
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == torch.float32
        assert float((ours - theirs).norm() / theirs.norm()) < 0.05


def test_rows_without_a_gradient_get_none():
    layer = layers(1, 4, 4, transposed=False)
    y = activated(layer, torch.randn(2, 1, 1, 32), 0.1)
    y.sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.parametrize("slope", [None, 0.1])
@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize(("source", "target"), [(1, 1), (1, 5), (3, 1), (3, 5)])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("width", [16, 44])
def test_packed_layers_are_torchs_layers(transposed, source, target, stride, slope, width):
    torch.manual_seed(0)
    layer = layers(source, target, stride, transposed)
    x = torch.randn(3, source, 1, width).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        packing = Packed(layer, slope)
        for given in (x, x[:1], x[..., :8]):  # weights are laid out at the first
            torch.testing.assert_close(packing(given), in_turn(layer, given, slope))


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    "config",
    [
        *(COMPACT, SMALL, dataclasses.replace(SMALL, output="conv")),
        *(dataclasses.replace(SMALL, strides=(2, 2, 1), output=output) for output in OUTPUTS),
        dataclasses.replace(SMALL, strides=(2, 1, 4), output="conv"),
    ],
)
def test_a_packed_model_is_the_model_and_leaves_it_as_it_was(config, there, monkeypatch):
    monkeypatch.setattr(network, "packs", lambda: there and packs())
    # Spectra pass the layers of most values singly, the last of them in several windows.
    monkeypatch.setattr(network, "_CACHED", config.length)
    model = scaled(config)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    rows = rows_for(config, 3)
    with torch.inference_mode():
        mean, logvar = model.encode(rows)
        fast = packed(model)
        found = fast.encode(rows)
        assert relative(found[0], mean) < 2e-6
        assert relative(found[1], logvar) < 2e-6
        assert relative(fast.decode(mean), model.decode(mean)) < 2e-6
        low = packed(model, torch.bfloat16)
        assert 1e-6 < relative(low.encode(rows)[0], mean) < 0.02
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
