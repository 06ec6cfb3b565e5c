"""The network as Conv2d in channels_last memory against Conv1d: milliseconds and their ratio.

    python -m benchmarks.network_speed

Both forms have the same random weights and run in turns in one process on one thread. Times are
CPU time of the process, the shortest of several rounds, per spectrum: other programs on the machine
then disturb them least.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.timing import Work, in_turns
from latentscope.models.config import PUBLISHED_ARCHITECTURE, VAEConfig
from latentscope.models.network import LOGVAR_RANGE, SpectrumVAE

COMPACT = VAEConfig(
    length=20480,
    channels=(16, 32, 32, 64, 64, 128),
    kernels=(9, 9, 5, 5, 3, 3),
    strides=(4, 4, 2, 2, 2, 2),
    latents=16,
    output="mean",
)


def as_1d(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    """Return the same layer as Conv1d or ConvTranspose1d, with a copy of its weights."""
    kind = nn.ConvTranspose1d if isinstance(layer, nn.ConvTranspose2d) else nn.Conv1d
    other = kind(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size[1],
        layer.stride[1],
        layer.padding[1],
    )
    other.weight.data.copy_(layer.weight.data.squeeze(2))
    other.bias.data.copy_(layer.bias.data)
    return other


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

    def features(self, rows: Tensor) -> Tensor:
        """What the last layers of the encoder see of rows (n, row_size)."""
        config = self.config
        hidden = self.encoder(rows[:, None, : config.length]).flatten(1)
        if config.extra:
            hidden = torch.cat([hidden, rows[:, config.length :] - self.extra_mean], dim=1)
        return hidden

    def encode(self, rows: Tensor) -> Tensor:
        """Return mean latents, (n, d), of rows (n, row_size)."""
        return self.mean(self.features(rows))

    def decode(self, z: Tensor) -> Tensor:
        """Return rows (n, row_size) of latents (n, d)."""
        config = self.config
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
        return decoded

    def forward(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return decoded rows, and mean and log variance of q(z|x)."""
        features = self.features(rows)
        mean, logvar = self.mean(features), self.logvar(features).clamp(*LOGVAR_RANGE)
        noise = torch.randn(mean.shape, generator=generator, device=rows.device)
        return self.decode(mean + noise * torch.exp(0.5 * logvar)), mean, logvar


def shifted(lines: Tensor, pixels: Tensor) -> Tensor:
    """Shift rows by fractions of a pixel, with 256 zeros entering at the edges."""
    length, size = lines.shape[1], lines.shape[1] + 256
    frequency = torch.fft.rfftfreq(size, device=lines.device)
    phase = torch.exp(-2j * torch.pi * pixels[:, None] * frequency)
    return torch.fft.irfft(torch.fft.rfft(lines, n=size) * phase, n=size)[:, :length]


def shortest(tasks: dict[str, Work], rounds: int) -> dict[str, float]:
    """Shortest processor time of each task in ms."""
    times = in_turns(tasks, rounds, time.process_time, warm=True)
    return {name: 1e3 * taken for name, taken in times.items()}


def difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def step(encode: Callable[[Tensor], Tensor], decode: Callable[[Tensor], Tensor], rows: Tensor):
    """One pass forward and backward."""
    (decode(encode(rows)) - rows).square().sum().backward()


def compare(name: str, config: VAEConfig, batch: int, rounds: int, *, train: bool) -> None:
    torch.manual_seed(0)
    model = SpectrumVAE(config).eval()
    for layer in (*model.encoder, *model.decoder):
        nn.init.kaiming_normal_(layer.weight, a=config.negative_slope)
    form = PlainVAE(model).eval()
    rows, z = torch.randn(batch, config.length), torch.randn(batch, config.latents)

    def encode(x: Tensor) -> Tensor:
        return model.encode(x)[0]

    with torch.inference_mode():
        checks = {
            "encode": difference(encode(rows), form.encode(rows)),
            "decode": difference(model.decode(z), form.decode(z)),
        }
        times = {
            "encode": shortest(
                {"ours": lambda: encode(rows), "conv1d": lambda: form.encode(rows)}, rounds
            ),
            "decode": shortest(
                {"ours": lambda: model.decode(z), "conv1d": lambda: form.decode(z)}, rounds
            ),
        }
    if train:
        times["forward + backward"] = shortest(
            {
                "ours": lambda: step(encode, model.decode, rows),
                "conv1d": lambda: step(form.encode, form.decode, rows),
            },
            rounds,
        )
    for what, ms in times.items():
        ours, conv1d = ms["ours"] / batch, ms["conv1d"] / batch
        equal = f"{checks[what]:.0e}" if what in checks else ""
        print(
            f"{name:<10} {batch:>5} {what:<19} {conv1d:>9.2f} {ours:>14.2f} "
            f"{conv1d / ours:>6.2f} {equal:>12}"
        )


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread; ms per spectrum")
    print(
        f"{'network':<10} {'batch':>5} {'pass':<19} {'Conv1d':>9} {'channels_last':>14} "
        f"{'ratio':>6} {'difference':>12}"
    )
    compare("published", PUBLISHED_ARCHITECTURE, batch=1, rounds=6, train=False)
    compare("published", PUBLISHED_ARCHITECTURE, batch=8, rounds=3, train=False)
    compare("compact", COMPACT, batch=8, rounds=15, train=True)


if __name__ == "__main__":
    main()
