"""Strided convolutions with their activation, as CPUs train them fastest.

Three identities spare work that torch's own layers do; results differ by rounding alone.

- The gradient of a transposed convolution's weight is that of the convolution which it transposes,
  with input and output gradient in each other's place: two to five times faster in oneDNN.
- A transposed convolution of kernel 2s and stride s onto one channel is a convolution of kernel 2
  onto s channels, which channels_last memory lays side by side.
- The slope of a LeakyReLU follows from the sign of its output, so its input need not be kept.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_ONE = (1, 1)  # no dilation
_NONE = (0, 0)  # no output padding
_Place = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # stride, padding, dilation


def activated(layer: nn.Module, x: Tensor, slope: float | None) -> Tensor:
    """Apply a layer of kernel (1, k) and a LeakyReLU.

    Where no gradient is asked for, and on other devices, these are torch's own. Under autocast the
    convolution is computed in its type.

    Parameters
    ----------
    layer : Conv2d or ConvTranspose2d
        With a bias; a transposed one has kernel 2s, stride s and padding s/2, or stride 1.
    x : Tensor of shape (n, channels, 1, width)
    slope : float, optional
        Of the LeakyReLU below 0; None: no activation.

    Returns
    -------
    Tensor of shape (n, channels of the layer, 1, its width)
        In channels_last memory.
    """
    if x.device.type != "cpu" or not torch.is_grad_enabled():
        y = cast(Tensor, layer(x))
        return y if slope is None else functional.leaky_relu(y, slope, inplace=True)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    args = x.to(dtype), layer.weight, layer.bias, layer, slope
    return cast(Tensor, _Activated.apply(*args))  # type: ignore[no-untyped-call]


class _Activated(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        layer: nn.Conv2d | nn.ConvTranspose2d,
        slope: float | None,
    ) -> Tensor:
        ctx.transposed = isinstance(layer, nn.ConvTranspose2d)
        ctx.place = layer.stride, layer.padding, _ONE
        ctx.slope = slope
        low = weight.to(x.dtype)
        if ctx.transposed and weight.shape[1] == 1 and layer.stride[1] > 1:
            y = _onto_one_channel(x, low, bias.to(x.dtype))
        else:
            y = _convolution(x, low, bias.to(x.dtype), ctx.place, ctx.transposed)
        if slope is not None:
            functional.leaky_relu_(y, slope)
        ctx.save_for_backward(x, low, y, bias)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, y, bias = ctx.saved_tensors
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        if ctx.slope is not None:
            grad = torch.ops.aten.leaky_relu_backward(grad, y, ctx.slope, True)
        wanted = ctx.needs_input_grad[0]
        if ctx.transposed:
            of_x = _convolution(grad, weight, None, ctx.place, False)
            _, of_weight, _ = _backward(x, grad, weight, ctx.place, (False, True, False))
            of_bias = grad.sum((0, 2, 3))
        else:
            of_x, of_weight, of_bias = _backward(grad, x, weight, ctx.place, (wanted, True, True))
        return of_x, of_weight.to(bias.dtype), of_bias.to(bias.dtype), None, None


def _convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, place: _Place, transposed: bool
) -> Tensor:
    result: Tensor = torch.ops.aten.convolution(x, weight, bias, *place, transposed, _NONE, 1)
    return result


def _backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    place: _Place,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of a convolution's input, weight and bias."""
    sizes = [weight.shape[0]]
    gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        grad, x, weight, sizes, *place, False, _NONE, 1, wanted
    )
    return gradients


def _onto_one_channel(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Transposed convolution of weight (channels, 1, 1, 2s), stride s and padding s/2.

    Column j of the convolution holds the s pixels from ``(j - 1/2) s`` on, which x[j - 1] reaches
    with the second half of the kernel and x[j] with the first.
    """
    s = weight.shape[3] // 2
    halves = torch.stack([weight[:, 0, 0, s:], weight[:, 0, 0, :s]], dim=2)  # (channels, s, 2)
    kernel = halves.transpose(0, 1)[:, :, None]  # (s, channels, 1, 2)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    columns = _convolution(x, kernel, bias.expand(s), (_ONE, (0, 1), _ONE), False)
    pixels = columns.permute(0, 2, 3, 1).reshape(len(x), 1, 1, -1)  # (n, 1, 1, (width + 1) s)
    return pixels[..., s // 2 : -(s // 2)].contiguous(memory_format=torch.channels_last)
