import pytest
import torch
from torch import nn
from torch.nn import functional

from latentscope.models.network import activated


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
