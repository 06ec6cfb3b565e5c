"""The training step against a plain PyTorch loop over the Conv1d network: milliseconds and ratios.

    python -m benchmarks.train_speed
    python -m benchmarks.train_speed --networks published --device cuda --batch 64 --compile on

Both start from the same weights, see the same spectra and draw the same noise. They take turns
step by step in one process: the step of `python -m train fit`, with all that Lightning does around
it, and then the plain one, as one writes it first: Conv1d layers, torch's own Adam, a loop. Times
are the shortest over the steps after the first ten, and on a CPU those of the process (one thread),
which other programs disturb least. The plain loop computes in float32, without TF32.

"difference" is the largest relative difference between the two losses at a step, "at the end" that
between their means over the last ten steps.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import DataLoader

from benchmarks.network_speed import PlainVAE
from latentscope.files import keep_freed_memory
from latentscope.models.config import published_prepare
from latentscope.models.network import SpectrumVAE
from train.data.batches import Batch
from train.fit import start_from_means
from train.learning.devices import compiled, on_this_machine, trainer_arguments
from train.learning.module import SpectrumModule
from train.settings import Schedule, TrainConfig, TrainerConfig, read_config

WARM = 10
CONFIGS = Path(__file__).parents[1] / "train" / "configs"
BATCHES = {"harps-sim": 8, "harps-sim-plain": 8, "published": 2}


def configuration(name: str, steps: int) -> TrainConfig:
    """Return the configuration of a network, with one stage of so many steps."""
    config = read_config(CONFIGS / f"{'harps-128d' if name == 'published' else name}.yaml")
    stage = replace(config.stages[0], steps=steps, learning_rate=Schedule(1e-4))
    prepare = config.prepare or published_prepare("median-valid")
    return replace(config, stages=(stage,), prepare=prepare)


class Combs(lightning.LightningDataModule):
    """Rows of one comb of absorption lines, shifted and scaled at random; one batch per step."""

    def __init__(self, size: int, batch: int, steps: int) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        base = -np.abs(np.convolve(rng.normal(size=size), np.hanning(9), "same"))
        self._base, self._batch, self._steps = base.astype("f4"), batch, steps
        self.validation_rows = self._rows(-1).numpy()
        self.provenance: dict[str, Any] = {}

    def _rows(self, step: int) -> torch.Tensor:
        rng = np.random.default_rng((1, step + 1))
        shifts = rng.integers(-12, 13, self._batch)
        rows = np.stack([np.roll(self._base, shift) for shift in shifts])
        rows *= rng.uniform(0.05, 0.3, (self._batch, 1)).astype("f4")
        return torch.from_numpy(rows + rng.normal(0, 0.02, rows.shape).astype("f4"))

    def sample(self, size: int) -> Iterator[tuple[np.ndarray[Any, Any], None]]:
        """Yield rows for their mean."""
        yield from ((self._rows(step).numpy(), None) for step in range(20))

    def train_dataloader(self) -> DataLoader[Batch]:
        """All batches of the run."""
        numbers = torch.arange(self._batch)
        batches: Any = [Batch(self._rows(step), numbers) for step in range(self._steps)]
        return DataLoader(batches, batch_size=None)


def blurred(residual: Tensor, sigma: float) -> Tensor:
    """Smooth rows by a Gaussian of `sigma` pixels, with 0 beyond their ends."""
    if sigma <= 0.05:
        return residual
    residual = pad(residual, (0, 256))
    frequency = torch.fft.rfftfreq(residual.shape[1], device=residual.device)
    transfer = torch.exp(-2 * (torch.pi * sigma * frequency) ** 2)
    return torch.fft.irfft(torch.fft.rfft(residual) * transfer, n=residual.shape[1])


class PlainLoop:
    """The loop: one stage of a configuration, Adam, from the weights of a model.

    `valid` (length,) is 0 at pixels that do not count.
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
        if self.config.loss == "l1":  # the published loss
            loss = lines.abs().mean(1) + stage.beta.at(fraction) * kl.mean(1)
        else:
            loss = 0.5 * (lines**2).sum(1) + stage.beta.at(fraction) * kl.sum(1)
        if self.model.config.extra:
            weight = 0.5 * stage.continuum_weight.at(fraction)
            loss = loss + weight * (residual[:, length:] ** 2).sum(1)
        mean_loss = loss.mean()
        self.optimizer.zero_grad()
        mean_loss.backward()
        self.optimizer.step()
        return mean_loss.detach()


class Turns(Callback):
    """Let the plain loop have its step after each of Lightning's."""

    def __init__(self, plain: PlainLoop) -> None:
        self.plain = plain
        self.losses: dict[str, list[torch.Tensor]] = {"ours": [], "plain": []}
        self.seconds: dict[str, list[float]] = {"ours": [], "plain": []}
        self._clock = time.process_time if plain.device.type == "cpu" else time.perf_counter
        self._mark = 0.0

    def _now(self) -> float:
        if self.plain.device.type == "cuda":
            torch.cuda.synchronize()
        return self._clock()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        self._mark = self._now()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Stop the clock, let the plain loop step, and start it again."""
        between = self._now()
        step = trainer.global_step - 1
        loss = self.plain.step(batch.rows, step)
        after = self._now()
        for name, seconds in (("ours", between - self._mark), ("plain", after - between)):
            self.seconds[name].append(seconds)
        self.losses["ours"].append(outputs["loss"].detach())
        self.losses["plain"].append(loss)
        self._mark = self._now()


def take_steps(
    module: SpectrumModule, data: Any, running: TrainerConfig, steps: int, callback: Callback,
    folder: Path, **options: Any,
) -> None:  # fmt: skip
    """Train for so many steps, without looks and checkpoints."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            **trainer_arguments(running), max_steps=steps, callbacks=[callback],
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=folder, **options,
        )  # fmt: skip
        with compiled(module.model, running):
            trainer.fit(module, datamodule=data)


def measure(name: str, running: TrainerConfig, batch: int, steps: int) -> dict[str, float]:
    """Train one network both ways, print a line, and return ms per step and how losses differ."""
    config = configuration(name, steps)
    torch.manual_seed(0)
    module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
    data = Combs(config.prepare.row_size, batch, steps)
    start_from_means(module.model, data)
    running = on_this_machine(running)
    device = "cuda" if running.accelerator == "gpu" else "cpu"
    turns = Turns(PlainLoop(module.model, module.valid, config, torch.device(device)))
    with TemporaryDirectory() as folder:
        logged = {"logger": CSVLogger(folder), "log_every_n_steps": 100}
        take_steps(module, data, running, steps, turns, Path(folder), **logged)
    best = {key: 1e3 * min(seconds[WARM:]) for key, seconds in turns.seconds.items()}
    ours, plain = (torch.stack(turns.losses[key]).cpu() for key in ("ours", "plain"))
    worst = float(((ours - plain) / plain).abs().max())
    last = float((ours[-WARM:].mean() / plain[-WARM:].mean() - 1).abs())
    print(
        f"{name:<16} {batch:>5} {running.precision:<11} {best['plain']:>9.1f} "
        f"{best['ours']:>9.1f} {best['plain'] / best['ours']:>6.2f} {worst:>11.0e} {last:>11.0e} "
        f"{float(plain[0]):>9.4g} {float(plain[-WARM:].mean()):>8.4g}",
        flush=True,
    )
    return {"plain_ms": best["plain"], "ours_ms": best["ours"], "difference": worst}


def main() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default="harps-sim,harps-sim-plain,published")
    parser.add_argument("--precisions", default="32-true,bf16-mixed")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--compile", default="off", choices=["auto", "on", "off"])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, help="spectra a step; default: 8, published 2")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory((1 << 31) - 1, 1 << 30)
    print(f"torch {torch.__version__}, {chosen.device}; ms per step, {chosen.steps} steps")
    print(
        f"{'network':<16} {'batch':>5} {'precision':<11} {'plain':>9} {'ours':>9} {'ratio':>6} "
        f"{'difference':>11} {'at the end':>11} {'loss from':>9} {'to':>8}"
    )
    for name in chosen.networks.split(","):
        for precision in chosen.precisions.split(","):
            running = TrainerConfig(
                accelerator="gpu" if chosen.device == "cuda" else "cpu",
                precision=precision,
                compile=chosen.compile,
            )
            measure(name, running, chosen.batch or BATCHES[name], chosen.steps)


if __name__ == "__main__":
    main()
