"""The spectrum autoencoder: strided convolutions to a few latents and mirrored ones back.

The published network (Sedaghat et al. 2021, MNRAS 501, 6026, section 3) and the compact ones that
latentscope trains are two settings of one `VAEConfig`. Below it: its convolutions as CPUs train
them fastest, the shift of a Doppler layer with its fit, and the strict loading of weights.
"""

from __future__ import annotations

import copy
import platform
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from latentscope.compiled import njit
from latentscope.errors import ModelError
from latentscope.models.config import EncoderConfig, VAEConfig

if TYPE_CHECKING:
    from pathlib import Path

    from latentscope.spectra.prepare import PrepareConfig

LOGVAR_RANGE = (-20.0, 10.0)
"""Log variances are held to this range before z is drawn: deviations from 4.5e-5 to 148."""

_FAR = 5.0  # standard deviations of the prior: no training showed the encoder such shifts


class Encoding(NamedTuple):
    """Encoding of n rows: mean and log variance of q(z|x), and how the shift was found.

    `logvar` is None for a deterministic model, `shift` and `lines`, those at rest that were
    shifted, for one without a Doppler layer and where the shift was not fitted.
    """

    mean: Tensor  # (n, latents)
    logvar: Tensor | None
    shift: Shift | None = None
    lines: Tensor | None = None  # (n, length)


class SpectrumVAE(nn.Module):
    """Autoencoder of prepared spectra.

    The convolutions run as Conv2d with kernel (1, k) in channels_last memory, which CPUs do
    several times faster than Conv1d with the same result; rows stay two-dimensional outside. Under
    autocast the convolutions alone run in its type; the rest keeps the type of the rows.

    With `config.doppler`, latent 0 is taken out of the decoder (it enters the linear map and the
    perceptron as zero) and shifts the decoded lines, learned mean included, by
    `doppler_scale * z[:, 0]` pixels, positive toward longer wavelength. It is a shift by
    construction, and nothing else. The decoder knows velocities several times better than the
    convolutions read them, so `encode` fits the shift of the decoded lines to the spectrum and says
    nothing of what the convolutions make of latent 0.

    Parameters
    ----------
    config : VAEConfig
        The architecture.
    prepare : PrepareConfig, optional
        How a spectrum becomes this model's row; it travels with the weights.
    info : dict, optional
        The rest of the model's config.json: name, description, beta, mad_threshold, paper, ...

    Attributes
    ----------
    folder : Path or None
        Where it was read from, with whatever lies beside its weights; None where it was not.

    Raises
    ------
    ModelError
        If `prepare` makes rows of another size than `config` takes.

    Examples
    --------
    >>> from latentscope import load_model
    >>> model = load_model("harps-sim")
    >>> model.config.latents, model.prepare is not None
    (16, True)
    """

    extra_mean: Tensor

    def __init__(
        self,
        config: VAEConfig,
        prepare: PrepareConfig | None = None,
        info: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if prepare is not None and prepare.row_size != config.row_size:
            raise ModelError(
                f"the preparation makes rows of {prepare.row_size} values, the architecture takes "
                f"{config.row_size}; one of the two belongs to another model"
            )
        self.config, self.prepare, self.info = config, prepare, dict(info or {})
        self.folder: Path | None = None
        self._fine, self._at_once = 0, 1  # see `packed`
        self.encoder = _encoder(config)
        self.mean = nn.Linear(config.flat + config.extra, config.latents)
        if config.variational:
            self.logvar = nn.Linear(config.flat + config.extra, config.latents)
        if config.hidden:
            self.perceptron = _perceptron(config)
        self.expand = nn.Linear(config.hidden or config.latents, config.flat)
        self.decoder = _decoder(config)
        if config.output == "conv":
            self.final = nn.Conv2d(1, 1, (1, 3), padding=(0, 1))
        else:
            self.line_mean = nn.Parameter(torch.zeros(config.length))
        if config.doppler:
            self.doppler_scale = nn.Parameter(torch.tensor(float(config.doppler_init)))
        if config.extra:
            self.register_buffer("extra_mean", torch.zeros(config.extra))
            self.extra_decoder = nn.Sequential(
                nn.Linear(config.latents, config.extra_hidden),
                nn.LeakyReLU(config.negative_slope),
                nn.Linear(config.extra_hidden, config.extra),
            )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, rows: Tensor, *, fit: bool = True) -> tuple[Tensor, Tensor | None]:
        """Return mean and log variance of q(z|x).

        Parameters
        ----------
        rows : Tensor of shape (n, row_size)
            Prepared spectra.
        fit : bool
            With a Doppler model: fit latent 0, which takes a pass of the decoder. False: what the
            convolutions say.

        Returns
        -------
        mean : Tensor of shape (n, latents)
        logvar : Tensor of shape (n, latents), or None for a deterministic model
            Natural logarithm of the variance, as the network gives it (not clamped); of a latent 0
            that was fitted, as the fit gives it.

        Raises
        ------
        ModelError
            If the rows have another size.
        """
        found = self.encoding(rows, fit=fit)
        return found.mean, found.logvar

    def encoding(self, rows: Tensor, *, fit: bool = True) -> Encoding:
        """Return what `encode` does, and how the shift of latent 0 was found."""
        _check_shape("rows", rows, self.config.row_size)
        mean, logvar = self._read(rows)
        # A closed latent 0 has a scale of 0, and shifts nothing.
        if not (self.config.doppler and fit and self.doppler_scale != 0):
            return Encoding(mean, logvar)
        scale, target = self.doppler_scale, rows[:, : self.config.length]
        shift, lines = self._fitted(mean, target)
        far = shift.pixels.abs() > _FAR * scale.abs()
        if far.any():
            # Moved back by what was found, such lines are where the convolutions know them.
            back = rows[far].clone()
            with _full_precision(rows):
                back[:, : self.config.length] = shift_lines(target[far], -shift.pixels[far])
            again = self._read(back)
            refitted, moved = self._fitted(again[0], target[far])
            lines = _replaced(lines, far, moved)
            mean = _replaced(mean, far, again[0])
            logvar = None if logvar is None else _replaced(logvar, far, cast(Tensor, again[1]))
            shift = Shift(*(_replaced(a, far, b) for a, b in zip(shift, refitted, strict=True)))
        mean = torch.cat([(shift.pixels / scale)[:, None], mean[:, 1:]], dim=1)
        if logvar is not None:
            # Of the posterior: the prior adds 1 to the inverse variance.
            own = -torch.log1p(scale.square() * shift.information)
            logvar = torch.cat([own[:, None], logvar[:, 1:]], dim=1)
        return Encoding(mean, logvar, shift, lines)

    def _read(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean and log variance (n, d) as the convolutions read them."""
        config = self.config
        features = self._down(rows[:, : config.length]).to(rows.dtype)
        with _full_precision(rows):
            if config.extra:
                features = torch.cat([features, rows[:, config.length :] - self.extra_mean], dim=1)
            mean = self.mean(features)
            return mean, self.logvar(features) if config.variational else None

    def _fitted(self, mean: Tensor, target: Tensor) -> tuple[Shift, Tensor]:
        """Where the lines that latents (n, d) draw lie in spectra (n, length), and the lines."""
        lines, _ = self._at_rest(mean)
        with _full_precision(target):
            return fit_shift(lines, target), lines

    def decode(self, z: Tensor) -> Tensor:
        """Return the rows that latents stand for.

        Parameters
        ----------
        z : Tensor of shape (n, latents)

        Returns
        -------
        Tensor of shape (n, row_size)

        Raises
        ------
        ModelError
            If there are more or fewer latents than the model has.
        """
        config = self.config
        _check_shape("latents", z, config.latents)
        lines, content = self._at_rest(z)
        lines = self.shifted(lines, z)
        if not config.extra:
            return lines
        with _full_precision(z):
            return torch.cat([lines, self.extra_decoder(content) + self.extra_mean], dim=1)

    def shifted(self, lines: Tensor, z: Tensor) -> Tensor:
        """Lines (n, length) at rest where latents (n, d) put them."""
        if not self.config.doppler:
            return lines
        with _full_precision(z):
            return shift_lines(lines, self.doppler_scale * z[:, 0])

    def _at_rest(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Lines (n, length) before any shift, and the latents (n, d) that draw them."""
        config, content = self.config, z
        if config.doppler:
            content = torch.cat([torch.zeros_like(z[:, :1]), z[:, 1:]], dim=1)
        with _full_precision(z):
            hidden = self.expand(self.perceptron(content) if config.hidden else content)
        lines = self._up(hidden).to(z.dtype)
        with _full_precision(z):
            return (lines + self.line_mean if config.output == "mean" else lines), content

    def _down(self, rows: Tensor) -> Tensor:
        """Rows (n, length) through the encoder's convolutions: (n, flat)."""
        if self.config.encoder is not None:
            return cast(Tensor, self.encoder(rows))
        fine = self._fine
        hidden = rows[:, None, None]  # (n, 1, 1, length)
        if fine:
            parts = [self._through(self.encoder[:fine], part) for part in self._parts(hidden)]
            hidden = torch.cat(parts)
        return self._through(self.encoder[fine:], hidden).flatten(1)

    def _through(self, layers: Iterable[nn.Module], hidden: Tensor) -> Tensor:
        """Values (n, channels, 1, width) through convolutions and their activations."""
        for layer in layers:
            hidden = activated(layer, hidden, self.config.negative_slope)
        return hidden

    def _up(self, hidden: Tensor) -> Tensor:
        """Values (n, flat) through the decoder's convolutions: (n, length)."""
        config = self.config
        hidden = hidden.view(-1, config.channels[-1], 1, config.width)
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        fine = self._fine
        if not fine:
            return self._drawn(self.decoder, hidden)
        hidden = self._through(self.decoder[:-fine], hidden)
        parts = [self._drawn(self.decoder[-fine:], part) for part in self._parts(hidden)]
        return torch.cat(parts)

    def _parts(self, hidden: Tensor) -> list[Tensor]:
        """Yield rows (n, ...) in batches that pass at once."""
        size = self._at_once
        return [hidden[at : at + size] for at in range(0, len(hidden), size)]

    def _drawn(self, layers: nn.ModuleList, hidden: Tensor) -> Tensor:
        """Values (n, channels, 1, width) through the last layers of the decoder: (n, length)."""
        config = self.config
        hidden = self._through(layers[:-1], hidden)
        if isinstance(layers[-1], _PackedEnd):
            return cast(Tensor, layers[-1](hidden))
        if config.output == "mean":
            return activated(layers[-1], hidden, None).flatten(1)
        hidden = activated(layers[-1], hidden, config.negative_slope)
        return _three_taps(hidden.flatten(1).to(self.final.weight.dtype), self.final)

    @property
    def readers(self) -> list[nn.Module]:
        """The linear layers that read the latents (latent 0 of a Doppler layer apart)."""
        first = self.perceptron[0] if self.config.hidden else self.expand
        return [first, self.extra_decoder[0]] if self.config.extra else [first]

    def reconstruct(self, rows: Tensor) -> Tensor:
        """Return rows of shape (n, row_size) decoded from the mean latents of `rows`."""
        return self.decode(self.encode(rows)[0])

    def forward(
        self, rows: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Encode, draw z (in training mode of a variational model; else the mean), decode.

        Parameters
        ----------
        rows : Tensor of shape (n, row_size)
        generator : torch.Generator, optional
            Source of the draw; by default torch's global one.

        Returns
        -------
        rows : Tensor of shape (n, row_size)
            The reconstruction.
        mean : Tensor of shape (n, latents)
        logvar : Tensor of shape (n, latents) or None
            Clamped to `LOGVAR_RANGE`.
        """
        mean, logvar = self.encode(rows, fit=not self.training)
        if logvar is None:
            return self.decode(mean), mean, None
        logvar = logvar.clamp(*LOGVAR_RANGE)
        if not self.training:
            return self.decode(mean), mean, logvar
        noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
        return self.decode(mean + noise * torch.exp(0.5 * logvar)), mean, logvar


def _full_precision(like: Tensor) -> torch.autocast:
    """Turn autocast off: latents, shift and learned mean need more digits than bfloat16."""
    return torch.autocast(like.device.type, enabled=False)


def _three_taps(rows: Tensor, layer: nn.Conv2d) -> Tensor:
    """Apply a 1-1 convolution of kernel 3 to rows (n, length): 20 times faster written out."""
    left, middle, right = layer.weight.view(3)
    padded = functional.pad(rows, (1, 1))
    mixed: Tensor = left * padded[:, :-2] + middle * rows + right * padded[:, 2:]
    return mixed if layer.bias is None else mixed + layer.bias


def _perceptron(config: VAEConfig) -> nn.Sequential:
    slope, width = config.negative_slope, config.hidden
    first, second = nn.Linear(config.latents, width), nn.Linear(width, width)
    return nn.Sequential(first, nn.LeakyReLU(slope), second, nn.LeakyReLU(slope))


def _encoder(config: VAEConfig) -> Any:
    if config.encoder is not None:
        return _own_encoder(config, config.encoder)
    sources = (1, *config.channels[:-1])
    return nn.ModuleList(
        nn.Conv2d(source, target, (1, k), (1, s), (0, (k - 1) // 2))
        for source, target, k, s in zip(
            sources, config.channels, config.kernels, config.strides, strict=True
        )
    )


def _own_encoder(config: VAEConfig, own: EncoderConfig) -> nn.Module:
    """The encoder that a configuration names; its module is imported already.

    Nothing is imported for the sake of a model's file, which may come from anywhere.
    """
    module, _, name = own.class_path.rpartition(".")
    kind = getattr(sys.modules.get(module), name, None)
    if kind is None:
        raise ModelError(
            f"the encoder of this model is {own.class_path}; import {module} first, if you trust it"
        )
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ModelError(f"encoder: {own.class_path} is not a torch.nn.Module")
    try:
        encoder: nn.Module = kind(length=config.length, features=config.flat, **own.init_args)
    except TypeError as error:
        raise ModelError(f"encoder: {own.class_path}: {error}") from None
    return encoder


def _decoder(config: VAEConfig) -> nn.ModuleList:
    targets = (1, *config.channels[:-1])
    layers = []
    for source, target, s in zip(config.channels, targets, config.strides, strict=True):
        kernel, padding = (3, 1) if s == 1 else (2 * s, s // 2)
        layers.append(nn.ConvTranspose2d(source, target, (1, kernel), (1, s), (0, padding)))
    return nn.ModuleList(reversed(layers))


def _replaced(values: Tensor, chosen: Tensor, by: Tensor) -> Tensor:
    """Values (n, ...) with those of the chosen rows (n,) replaced."""
    return values.index_put((chosen,), by.to(values.dtype))


def _check_shape(what: str, array: Tensor, expected: int) -> None:
    if array.ndim != 2 or array.shape[1] != expected:
        raise ModelError(
            f"{what} have shape {tuple(array.shape)}; this model takes (n, {expected})"
        )


# Convolutions and their activation. Three identities spare work that torch's own layers do; results
# differ by rounding alone.
#
# - The gradient of a transposed convolution's weight is that of the convolution which it
#   transposes, with input and output gradient in each other's place: two to five times faster in
#   oneDNN.
# - A transposed convolution of kernel 2s and stride s onto d channels is a convolution of kernel 2
#   onto s d channels, which channels_last memory lays side by side.
# - The slope of a LeakyReLU follows from the sign of its output, so its input need not be kept.

_ONE = (1, 1)  # no dilation
_NONE = (0, 0)  # no output padding
_Place = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # stride, padding, dilation


def activated(layer: nn.Module, x: Tensor, slope: float | None) -> Tensor:
    """Apply a layer of kernel (1, k) and a LeakyReLU of a slope below 0 (None: no activation).

    `layer` is a Conv2d or ConvTranspose2d with a bias; a transposed one has kernel 2s, stride s and
    padding s/2, or stride 1. Values (n, channels, 1, width) become (n, channels of the layer, 1,
    its width), in channels_last memory and under autocast in its type.
    """
    if isinstance(layer, Packed):
        return cast(Tensor, layer(x))
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
        needed = ctx.needs_input_grad[0]
        if ctx.transposed:
            of_x = _convolution(grad, weight, None, ctx.place, False)
            _, of_weight, _ = _backward(x, grad, weight, ctx.place, (False, True, False))
            of_bias = grad.sum((0, 2, 3))
        else:
            of_x, of_weight, of_bias = _backward(grad, x, weight, ctx.place, (needed, True, True))
        return of_x, of_weight.to(bias.dtype), of_bias.to(bias.dtype), None, None


def _convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, place: _Place, transposed: bool
) -> Tensor:
    result: Tensor = torch.ops.aten.convolution(x, weight, bias, *place, transposed, _NONE, 1)
    return result


def _backward(
    grad: Tensor, x: Tensor, weight: Tensor, place: _Place, needed: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of a convolution's input, weight and bias."""
    sizes = [weight.shape[0]]
    gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        grad, x, weight, sizes, *place, False, _NONE, 1, needed
    )
    return gradients


def _onto_one_channel(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Transposed convolution of weight (channels, 1, 1, 2s), stride s and padding s/2."""
    kernel = _side_by_side(weight)
    columns = _convolution(x, kernel, bias.expand(len(kernel)), (_ONE, (0, 1), _ONE), False)
    return _unfolded(columns, 1).contiguous(memory_format=torch.channels_last)


def _side_by_side(weight: Tensor) -> Tensor:
    """Weight of the convolution that is a transposed one of (c, d, 1, 2s): (s d, c, 1, 2)."""
    # Column j of the convolution holds the s pixels from (j - 1/2) s on, which x[j - 1] reaches
    # with the second half of the kernel and x[j] with the first.
    s = weight.shape[3] // 2
    halves = torch.stack([weight[:, :, 0, s:], weight[:, :, 0, :s]], dim=3)  # (c, d, s, 2)
    kernel = halves.permute(2, 1, 0, 3).flatten(0, 1)[:, :, None]
    return kernel.contiguous(memory_format=torch.channels_last)


def _unfolded(columns: Tensor, channels: int) -> Tensor:
    """Pixels (n, d, 1, width s) of such a convolution's columns (n, s d, 1, width + 1)."""
    n, s = len(columns), columns.shape[1] // channels
    pixels = columns.permute(0, 2, 3, 1).reshape(n, 1, -1, channels)  # (n, 1, (width + 1) s, d)
    return pixels[:, :, s // 2 : -(s // 2)].permute(0, 3, 1, 2)


class Packed(nn.Module):
    """A convolution with its activation, in the form that CPUs infer fastest, for fixed weights.

    Weights are laid out for oneDNN once instead of at every pass. A transposed convolution is done
    as the plain one that it is. A layer that reads a single channel takes blocks of neighboring
    pixels for channels, which is three times faster: of kernel k and stride s, it makes q outputs
    of a block of s q pixels and the one to its right. `layer` and `slope` are those of `activated`;
    `dtype` is float32, or bfloat16 where the processor has it.
    """

    def __init__(
        self, layer: nn.Module, slope: float | None, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        assert layer.bias is not None
        self.dtype, self.slope, self.pixels, self.channels = dtype, slope, 0, 0
        weight, bias = layer.weight.detach(), layer.bias.detach()
        stride, padding = layer.stride[1], int(layer.padding[1])
        if isinstance(layer, nn.ConvTranspose2d) and stride > 1:
            self.channels, bias = weight.shape[1], bias.repeat(stride)
            weight, stride, padding = _side_by_side(weight), 1, 1
        elif isinstance(layer, nn.ConvTranspose2d):
            weight = weight.flip(3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
        self.lead, self.outputs = 0, 1
        if isinstance(layer, nn.Conv2d) and weight.shape[1] == 1:
            self.outputs = 4
            self.lead, self.pixels = padding, stride * self.outputs
            weight, bias = _of_blocks(weight, stride, self.outputs), bias.repeat(self.outputs)
            stride, padding = 1, 0
        self.place = ((1, stride), (0, padding), (1, 1))
        self.weight, self.bias = weight.to(dtype), bias.to(dtype)
        self.prepared: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to x, (n, channels, 1, width)."""
        n, width = len(x), x.shape[-1]
        x = x.to(self.dtype)
        if self.pixels:
            # As many blocks as make the outputs, and those that the last of them reads.
            count = -(-width // self.pixels) + self.weight.shape[3] - 1
            room = count * self.pixels - self.lead - width
            padded = functional.pad(x.reshape(n, width), (self.lead, room))
            x = padded.view(n, 1, count, self.pixels).permute(0, 3, 1, 2)
        y = self._convolved(x)
        if self.pixels:
            channels = y.shape[1] // self.outputs
            wide = y.permute(0, 2, 3, 1).reshape(n, 1, -1, channels)
            y = wide[:, :, : -(-width * self.outputs // self.pixels)].permute(0, 3, 1, 2)
        return _unfolded(y, self.channels) if self.channels else y

    def _convolved(self, x: Tensor) -> Tensor:
        stride, padding, dilation = self.place
        if not packs():
            y = torch.ops.aten.convolution(x, self.weight, self.bias, *self.place, False, _NONE, 1)
            return y if self.slope is None else functional.leaky_relu_(y, self.slope)
        if self.prepared is None:
            self.prepared = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, padding, stride, dilation, 1, list(x.shape)
            )
        activation = ("none", []) if self.slope is None else ("leaky_relu", [self.slope])
        y = torch.ops.mkldnn._convolution_pointwise(
            x, self.prepared, self.bias, padding, stride, dilation, 1, *activation, "none"
        )
        return cast(Tensor, y)


class _PackedEnd(nn.Module):
    """The last layers of a decoder, from some channels to a row, as CPUs infer them fastest.

    A layer, then a transposed convolution of kernel 4 and stride 2 onto one channel, its
    activation, and a final convolution of kernel 3 where there is one: four sums of each pixel's
    channels, and one pass over the row. All of it by windows that stay in the caches.
    """

    def __init__(
        self,
        before: Packed,
        layer: nn.ConvTranspose2d,
        slope: float | None,
        final: nn.Conv2d | None,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        assert layer.bias is not None
        self.before = before
        # For a matrix product: oneDNN would fill the four channels up to sixteen.
        self.sums = layer.weight.detach()[:, 0, 0].to(dtype, memory_format=torch.contiguous_format)
        taps, shift = [0.0, 1.0, 0.0], 0.0
        if final is not None:
            taps = final.weight.detach().flatten().tolist()
            shift = 0.0 if final.bias is None else final.bias.item()
        numbers = [layer.bias.item(), 1.0 if slope is None else slope, *taps, shift]
        self.numbers = tuple(np.float32(number) for number in numbers)

    def forward(self, x: Tensor) -> Tensor:
        """Values (n, channels, 1, width) to rows (n, length)."""
        width = x.shape[-1]
        step = -(-width // -(-x.numel() // _CACHED))
        # All windows are of one size, since oneDNN sets up each size anew.
        size = min(step + 2 * _HALO, width)
        parts = []
        for start in range(0, width, step):
            first = min(max(start - _HALO, 0), width - size)
            hidden = self.before(x[..., first : first + size]).permute(0, 2, 3, 1)[:, 0]
            sums = (hidden @ self.sums).float()
            rows = _ended(sums.numpy(), *self.numbers)
            each = rows.shape[1] // size
            parts.append(rows[:, (start - first) * each : (start - first + step) * each])
        return torch.from_numpy(np.concatenate(parts, axis=1))


_CACHED = 327_680  # values: a row of the published network
_HALO = 2  # pixels beside a window, one for each layer


@njit(nogil=True, fastmath={"contract"})
def _ended(
    sums: NDArray[np.float32],
    bias: np.float32,
    slope: np.float32,
    left: np.float32,
    middle: np.float32,
    right: np.float32,
    shift: np.float32,
) -> NDArray[np.float32]:
    n, width, _ = sums.shape
    out = np.empty((n, 2 * width), np.float32)
    row = np.empty(2 * width + 2, np.float32)  # with a pixel of zero padding at both ends
    for k in range(n):
        part = sums[k]
        for i in range(1, width):
            one, two = part[i, 0] + part[i - 1, 2] + bias, part[i, 1] + part[i - 1, 3] + bias
            row[2 * i] = one if one > 0 else slope * one
            row[2 * i + 1] = two if two > 0 else slope * two
        first, last = part[0, 1] + bias, part[-1, 2] + bias
        row[1] = first if first > 0 else slope * first
        row[2 * width] = last if last > 0 else slope * last
        row[0] = row[2 * width + 1] = 0.0
        for i in range(2 * width):
            out[k, i] = left * row[i] + middle * row[i + 1] + right * row[i + 2] + shift
    return out


@cache
def packs() -> bool:
    """Whether this torch lays weights out for oneDNN, as it does to compile models."""
    return (
        platform.machine().lower() in ("x86_64", "amd64")
        and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
    )


def _of_blocks(weight: Tensor, stride: int, outputs: int) -> Tensor:
    """Weight by which blocks of stride * outputs pixels are channels, of one of (c, 1, 1, k).

    Shape (outputs c, stride outputs, 1, blocks); the first pixel that the first output of a block
    reads is the block's first.
    """
    channels, kernel = weight.shape[0], weight.shape[3]
    size = stride * outputs
    blocks = -(-(size - stride + kernel) // size)
    wide = weight.new_zeros(outputs, channels, blocks * size)
    for place in range(outputs):
        wide[place, :, place * stride : place * stride + kernel] = weight[:, 0, 0]
    wide = wide.view(outputs * channels, blocks, size).transpose(1, 2)[:, :, None]
    return wide.contiguous(memory_format=torch.channels_last)


def packed(model: SpectrumVAE, dtype: torch.dtype = torch.float32) -> SpectrumVAE:
    """Return the model as a CPU infers it fastest; its convolutions are `Packed`.

    It shares the other weights with `model`. Latents and rows agree to the rounding of float32,
    with bfloat16 to 1e-3 or so.
    """
    fast = copy.copy(model)
    fast._modules = dict(model._modules)
    config, slope = model.config, model.config.negative_slope
    if config.encoder is None:
        fast.encoder = nn.ModuleList(Packed(layer, slope, dtype) for layer in model.encoder)
        # The layers of most values pass as few spectra at once as stay in a processor's caches;
        # those of most weights, all of them, since the weights do not stay there.
        values = np.array(config.channels) * config.length // np.cumprod(config.strides)
        fast._fine = int(np.argmin([*(4 * values > config.length), False]))
        fast._at_once = max(_CACHED // config.length, 1)
    last = None if config.output == "mean" else slope
    slopes = [slope] * (len(model.decoder) - 1) + [last]
    layers: list[nn.Module] = [
        Packed(*given, dtype) for given in zip(model.decoder, slopes, strict=True)
    ]
    final = model.final if config.output == "conv" else None
    if config.strides[0] == 2 and len(layers) > 1:
        *layers, before, _ = layers
        end = cast(nn.ConvTranspose2d, model.decoder[-1])
        layers.append(_PackedEnd(cast(Packed, before), end, last, final, dtype))
    fast.decoder = nn.ModuleList(layers)
    return fast


SHIFT_MARGIN = 256
"""Empty pixels beside the decoded lines, so that a shift brings in continuum at the edges (g = 0)
and not the lines of the other end; shifts larger than this wrap around."""

REACH = 102
"""Pixels to both sides within which a shift is searched: 900 km/s on the grid of harps-sim."""

_STEPS = 6
_SMALL_STEP = 1e-2  # pixels: the next is a hundredth of it or so
_LARGEST_STEP = 0.5  # pixels: the maximum is no farther from the best whole pixel
_LEAST_CURVATURE = 0.1  # of a perfect match
_ROUNDING = 1e-6
_BLOCK = 512  # pixels
_SHARED_NOISE = 0.3  # of the row's noise, which each block has besides its own

SECOND_PEAK = 0.8
"""A shift is ambiguous where another maximum of the correlation is higher than this share of the
highest, or within five standard deviations of it, or where the shift is uncertain by more than half
a pixel. Simulated stars decided (`python -m benchmarks.velocity`)."""
_LEAD, _UNSHARP = 5.0, 0.5


class Shift(NamedTuple):
    """Shifts in pixels with their quality, shape (n,) each.

    `information` is their inverse variance (0: nothing is known), `second_peak` the second highest
    maximum of the correlation over the highest (NaN where none is positive), `ambiguous` whether
    another shift is nearly as good, or lines are too wide to say.
    """

    pixels: Tensor
    information: Tensor
    second_peak: Tensor
    ambiguous: Tensor


def shift_lines(lines: Tensor, pixels: Tensor) -> Tensor:
    """Shift rows (n, length) by `pixels` (n,) each, fractions too, toward higher index (red).

    Band-limited interpolation by the shift theorem: F(k) -> F(k) exp(-2 pi i k s). The row is
    continued by `SHIFT_MARGIN` zeros, which are what enters at its edges.
    """
    return cast(Tensor, _Shift.apply(lines, pixels))  # type: ignore[no-untyped-call]


def fit_shift(lines: Tensor, target: Tensor) -> Shift:
    """Find the shifts in pixels (red positive) that make lines (n, length) most like a target.

    The start is the highest maximum of the cross-correlation sum(target * shifted) within `REACH`.
    From there Newton steps lead to the most likely shift of blocks of pixels, each with a noise and
    a strength of lines of its own (Zucker 2003, MNRAS 342, 1291, section 3, where they are orders):
    the blue of a red star, nearly all noise, does not decide. Rows are continued by `SHIFT_MARGIN`
    zeros; values of 0 in the target are pixels that are not known.

    A shift is as uncertain as noise of the size of the residuals makes it. What the lines lack is
    in these residuals too, and is the same in all exposures of a star, which therefore agree better
    than this says.
    """
    size = lines.shape[1] + SHIFT_MARGIN
    transform = torch.fft.rfft(lines, n=size)
    crossed = torch.fft.rfft(target, n=size) * transform.conj()
    pixels, highest, second = _peaks(torch.fft.irfft(crossed, n=size))
    for _ in range(_STEPS):
        step, information, noise = _step(transform, target, pixels)
        pixels = pixels + step
        if bool(step.abs().max() < _SMALL_STEP):
            break
    # Noise of a value of the correlation: only lines where the target is known count.
    power = lines.square().sum(1) * (target != 0).to(lines.dtype).mean(1)
    lead = (highest - second) / (2 * noise * power).sqrt()
    clear = (second <= SECOND_PEAK * highest) & (lead >= _LEAD)
    second_peak = torch.where(highest > 0, second / highest, torch.nan)
    return Shift(pixels, information, second_peak, ~(clear & (information >= _UNSHARP**-2)))


def _step(transform: Tensor, target: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Newton step from shifts in pixels, their inverse variance, and the mean squared residual.

    `transform` is that of the lines at rest. Derivatives are by the shift.
    """
    length = target.shape[1]
    size, empty = length + SHIFT_MARGIN, -length % _BLOCK
    rate = 2 * torch.pi * torch.fft.rfftfreq(size, device=target.device, dtype=target.dtype)
    angle = pixels[:, None] * rate
    moved = transform * torch.complex(torch.cos(angle), -torch.sin(angle))
    moved = torch.stack([moved, -1j * rate * moved, -(rate**2) * moved], dim=1)
    shifted = torch.fft.irfft(moved, n=size)[:, :, :length]
    if empty:
        target, shifted = (functional.pad(rows, (0, empty)) for rows in (target, shifted))
    target = target.view(len(target), -1, 1, _BLOCK)
    known = (target != 0).to(target.dtype)
    # Contiguous, or the products take ten times as long.
    shifted = shifted.unfold(2, _BLOCK, _BLOCK).transpose(1, 2).contiguous()
    shifted *= known
    of_lines, of_slope, of_bend = (shifted @ target.transpose(2, 3))[..., 0].unbind(2)
    products = shifted @ shifted.transpose(2, 3)  # (n, blocks, 3, 3)
    lined, by_slope, by_bend = products[:, :, 0].unbind(2)
    slopes, squares = products[:, :, 1, 1], target.square().sum((2, 3))
    strength = (of_lines / lined.clamp(min=torch.finfo(target.dtype).tiny)).clamp(min=0)
    # Never less than rounding leaves.
    left = squares - strength * (2 * of_lines - strength * lined)
    left = torch.maximum(left, _ROUNDING * squares)
    counts = known.sum((2, 3))
    noise = left.sum(1) / counts.sum(1)
    own = left / counts.clamp(min=1)
    weight = strength / (own + _SHARED_NOISE * noise[:, None])
    certain = (weight * strength * slopes).sum(1)
    curvature = certain - (weight * (of_bend - strength * by_bend)).sum(1)
    step = (weight * (of_slope - strength * by_slope)).sum(1)
    step = step / torch.maximum(curvature, _LEAST_CURVATURE * certain)
    information = curvature.clamp(min=0).square() / (weight.square() * own * slopes).sum(1)
    # A row of nothing but zeros stays where it is, and knows nothing.
    step = step.nan_to_num(0.0).clamp(-_LARGEST_STEP, _LARGEST_STEP)
    return step, information.nan_to_num(0.0), noise


def _peaks(correlation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Place in pixels and height of the highest maximum within `REACH`, and height of the second.

    By parabolas through whole pixels; no height is below 0.
    """
    reach = min(REACH, (correlation.shape[1] - 3) // 2)
    near = torch.cat([correlation[:, -reach - 1 :], correlation[:, : reach + 2]], dim=1)
    left, here, right = near[:, :-2], near[:, 1:-1], near[:, 2:]
    bent = 2 * here - left - right
    aside = torch.where(bent > 0, 0.5 * (right - left) / bent, 0.0).clamp(-0.5, 0.5)
    height = (here + 0.25 * (right - left) * aside).clamp(min=0)
    height = torch.where((here > left) & (here >= right), height, 0.0)
    at = height.argmax(1)
    highest, second = height.topk(2).values.unbind(1)
    place = torch.gather(aside, 1, at[:, None])[:, 0] + at - reach
    return torch.where(highest > 0, place, 0.0), highest, second


class _Shift(torch.autograd.Function):
    """The gradient takes two transforms of real rows, where autograd takes complex ones."""

    @staticmethod
    def forward(ctx: Any, lines: Tensor, pixels: Tensor) -> Tensor:
        length = lines.shape[1]
        size = length + SHIFT_MARGIN
        frequency = torch.fft.rfftfreq(size, device=lines.device, dtype=lines.dtype)
        rate = -2 * torch.pi * frequency
        angle = pixels[:, None] * rate  # (n, size // 2 + 1)
        phase = torch.complex(torch.cos(angle), torch.sin(angle))
        spectrum = torch.fft.rfft(lines, n=size) * phase
        ctx.save_for_backward(spectrum, phase, rate)
        ctx.size, ctx.length = size, length
        shifted: Tensor = torch.fft.irfft(spectrum, n=size)[:, :length]
        return shifted

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        spectrum, phase, rate = ctx.saved_tensors
        size = ctx.size
        grad = torch.fft.rfft(grads[0], n=size)
        of_lines = torch.fft.irfft(grad * phase.conj(), n=size)[:, : ctx.length]
        # By Parseval: the derivative of the shifted row has the spectrum i rate F. Frequencies
        # stand for their negative too, except the first, whose rate is 0, and the last of an
        # even size.
        slope = grad.real * spectrum.imag - grad.imag * spectrum.real
        twice = 2 * rate
        if size % 2 == 0:
            twice[-1] = rate[-1]
        return of_lines, -(slope @ twice) / size


_SHOWN = 8  # faults of one kind that an error lists


def load_state(model: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Copy `state` into `model`, strictly; the tensors' memory layout does not matter.

    Raises ModelError as `check_state`.
    """
    check_state(what, state, {k: tuple(v.shape) for k, v in model.state_dict().items()})
    model.load_state_dict(dict(state), strict=True)


def check_state(
    what: str, state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise ModelError unless the weights of a file are finite, with these names and shapes."""
    check_shapes(what, {name: tuple(tensor.shape) for name, tensor in state.items()}, expected)
    broken = [name for name, tensor in state.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ModelError(f"{what}: {listed('values that are not finite', broken)}")


def check_shapes(
    what: str, shapes: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise ModelError unless the weights of a file `what` have the expected names and shapes."""
    others = [
        f"{name} is {shapes[name]}, expected {shape}"
        for name, shape in expected.items()
        if name in shapes and shapes[name] != shape
    ]
    faults = [
        listed("missing", [f"{k} {expected[k]}" for k in expected if k not in shapes]),
        listed("unexpected", [f"{k} {shapes[k]}" for k in shapes if k not in expected]),
        listed("of another shape", others),
    ]
    if any(faults):
        raise ModelError(
            f"{what} does not fit the model's architecture: {'; '.join(filter(None, faults))}"
        )


def listed(kind: str, items: list[str]) -> str:
    """Count faults of a kind and list the first; empty without any."""
    more = f", and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return f"{len(items)} {kind} ({', '.join(items[:_SHOWN])}{more})" if items else ""


def single(model: SpectrumVAE) -> SpectrumVAE:
    """Return the model in float32: itself, or a copy of what `double()` or `half()` made of one."""
    types = {values.dtype for values in model.state_dict().values()}
    return model if types == {torch.float32} else copy.deepcopy(model).float()


def moved(model: SpectrumVAE, device: str | torch.device) -> SpectrumVAE:
    """Move the model itself to a device; raise ModelError if it is not there."""
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"device {str(device)!r} cannot be used here: {str(error).splitlines()[0]}"
        ) from error
