"""Training as one writes it first: Conv1d layers, torch's own Adam, a loop."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from benchmarks.network_speed import as_1d
from latentscope.models.network import LOGVAR_RANGE, SpectrumVAE
from train.settings import TrainConfig

_ALIKE = ("mean", "logvar", "perceptron", "expand", "doppler_scale", "extra_mean", "extra_decoder")
"""Parts that both forms have."""


class PlainVAE(nn.Module):
    """The network of a `SpectrumVAE` in Conv1d and ConvTranspose1d, with a copy of its weights."""

    def __init__(self, model: SpectrumVAE) -> None:
        super().__init__()
        config = self.config = model.config
        activation = nn.LeakyReLU(config.negative_slope)
        encoder: list[nn.Module] = []
        for layer in model.encoder:
            encoder += [as_1d(layer), activation]
        decoder: list[nn.Module] = []
        for layer in model.decoder:
            decoder += [as_1d(layer), activation]
        if config.output == "conv":
            decoder.append(as_1d(model.final))
        else:
            decoder.pop()
            self.line_mean = copy.deepcopy(model.line_mean)
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)
        for name in _ALIKE:
            if hasattr(model, name):
                setattr(self, name, copy.deepcopy(getattr(model, name)))

    def forward(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return decoded rows, and mean and log variance of q(z|x)."""
        config = self.config
        hidden = self.encoder(rows[:, None, : config.length]).flatten(1)
        if config.extra:
            hidden = torch.cat([hidden, rows[:, config.length :] - self.extra_mean], dim=1)
        mean = self.mean(hidden)
        logvar = self.logvar(hidden).clamp(*LOGVAR_RANGE)
        noise = torch.randn(mean.shape, generator=generator, device=rows.device)
        z = mean + noise * torch.exp(0.5 * logvar)
        content = torch.cat([torch.zeros_like(z[:, :1]), z[:, 1:]], 1) if config.doppler else z
        hidden = self.expand(self.perceptron(content) if config.hidden else content)
        hidden = hidden.view(len(z), config.channels[-1], config.width)
        decoded = self.decoder(hidden)[:, 0]
        if config.output == "mean":
            decoded = decoded + self.line_mean
        if config.doppler:
            decoded = shifted(decoded, self.doppler_scale * z[:, 0])
        if config.extra:
            decoded = torch.cat([decoded, self.extra_decoder(content) + self.extra_mean], dim=1)
        return decoded, mean, logvar


def shifted(lines: Tensor, pixels: Tensor) -> Tensor:
    """Shift rows by fractions of a pixel, with 256 zeros entering at the edges."""
    length, size = lines.shape[1], lines.shape[1] + 256
    frequency = torch.fft.rfftfreq(size, device=lines.device)
    phase = torch.exp(-2j * torch.pi * pixels[:, None] * frequency)
    return torch.fft.irfft(torch.fft.rfft(lines, n=size) * phase, n=size)[:, :length]


def blurred(residual: Tensor, sigma: float) -> Tensor:
    """Smooth rows by a Gaussian of `sigma` pixels."""
    if sigma <= 0.05:
        return residual
    frequency = torch.fft.rfftfreq(residual.shape[1], device=residual.device)
    transfer = torch.exp(-2 * (torch.pi * sigma * frequency) ** 2)
    return torch.fft.irfft(torch.fft.rfft(residual) * transfer, n=residual.shape[1])


class PlainLoop:
    """The loop: one stage of a configuration, half the sum of squares, Adam.

    Parameters
    ----------
    model : SpectrumVAE
        Whose weights it starts from.
    valid : Tensor of shape (length,)
        0 at pixels that do not count.
    config : TrainConfig
        Of one stage.
    device : torch.device
    """

    def __init__(
        self, model: SpectrumVAE, valid: Tensor, config: TrainConfig, device: torch.device
    ) -> None:
        self.device, self.config = device, config
        self.model = PlainVAE(model).to(device)
        self.valid = valid.clone().to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def step(self, rows: Tensor, number: int) -> Tensor:
        """Take a step on rows (n, row_size), without TF32; return the loss before it."""
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
            return self._step(rows, number)

    def _step(self, rows: Tensor, number: int) -> Tensor:
        _, stage, fraction = self.config.stage_at(number)
        seed = self.config.seed * 10_000_019 + number
        generator = torch.Generator(self.device).manual_seed(seed)
        for group in self.optimizer.param_groups:
            group["lr"] = stage.learning_rate.at(fraction)
        decoded, mean, logvar = self.model(rows, generator)
        residual = decoded - rows
        length = self.model.config.length
        lines = blurred(residual[:, :length] * self.valid, stage.blur.at(fraction))
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar)
        loss = 0.5 * (lines**2).sum(1) + stage.beta.at(fraction) * kl.sum(1)
        if self.model.config.extra:
            weight = 0.5 * stage.continuum_weight.at(fraction)
            loss = loss + weight * (residual[:, length:] ** 2).sum(1)
        mean_loss = loss.mean()
        self.optimizer.zero_grad()
        mean_loss.backward()
        self.optimizer.step()
        return mean_loss.detach()
