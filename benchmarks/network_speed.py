"""The network as Conv2d in channels_last memory against Conv1d: milliseconds and their ratio.

    python -m benchmarks.network_speed

Both forms have the same random weights and run in turns in one process on one thread. Times are
CPU time of the process, the shortest of several rounds, per spectrum: other programs on the machine
then disturb them least.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from latentscope.models.config import VAEConfig
from latentscope.models.network import SpectrumVAE
from latentscope.models.registry import PUBLISHED_ARCHITECTURE

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


class Conv1dForm:
    """The network written the straightforward way, from a model's weights."""

    def __init__(self, model: SpectrumVAE) -> None:
        self.model = model
        activation = nn.LeakyReLU(model.config.negative_slope)
        self.encoder = nn.Sequential(*(nn.Sequential(as_1d(k), activation) for k in model.encoder))
        decoder = [nn.Sequential(as_1d(layer), activation) for layer in model.decoder]
        if model.config.output == "conv":
            decoder.append(as_1d(model.final))
        else:
            decoder[-1] = decoder[-1][0]
        self.decoder = nn.Sequential(*decoder)

    def encode(self, rows: Tensor) -> Tensor:
        """Return mean latents, (n, d), of rows (n, length)."""
        return self.model.mean(self.encoder(rows[:, None]).flatten(1))

    def decode(self, z: Tensor) -> Tensor:
        """Return rows (n, length) of latents (n, d)."""
        config = self.model.config
        flat = self.model.expand(z).view(len(z), config.channels[-1], config.width)
        rows = self.decoder(flat)[:, 0]
        return rows if config.output == "conv" else rows + self.model.line_mean


def shortest(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the shortest time of each task in ms; the tasks take turns."""
    best = dict.fromkeys(tasks, float("inf"))
    for i in range(rounds + 1):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            if i > 0:  # the first round warms up
                best[name] = min(best[name], 1e3 * (time.process_time() - start))
    return best


def difference(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def step(encode: Callable[[Tensor], Tensor], decode: Callable[[Tensor], Tensor], rows: Tensor):
    """One pass forward and backward."""
    (decode(encode(rows)) - rows).square().sum().backward()


def compare(name: str, config: VAEConfig, batch: int, rounds: int, *, train: bool) -> None:
    torch.manual_seed(0)
    model = SpectrumVAE(config).eval()
    for layer in (*model.encoder, *model.decoder):
        nn.init.kaiming_normal_(layer.weight, a=config.negative_slope)
    form = Conv1dForm(model)
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
