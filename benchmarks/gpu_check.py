"""Everything that training does on a GPU, held against the CPU: one command, under ten minutes.

    python -m benchmarks.gpu_check -o gpu-check.json
    python -m benchmarks.gpu_check -o cpu-check.json --device cpu --quick

Each check is written to the JSON file as soon as it is done, and the same command goes on with
those that are missing; `--again` begins anew. A check that fails leaves the others alone; the exit
code is 1 then. `--device cpu --quick` runs the same code with a tiny network, where no GPU is.

"waits" is the share of a step's time in which the device waits for its spectra: one minus the time
of a step on a batch that is there already, over that of a step with the loader.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from lightning.pytorch.callbacks import Callback

from benchmarks.train_speed import CONFIGS, Combs, measure, take_steps
from latentscope.files import atomic_path
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import check_model, load_model
from latentscope.simulation.population import observe
from latentscope.simulation.synthesis import synthesizer_of
from train.data.batches import Batch, Batches, sent
from train.data.doppler import DopplerShift
from train.data.rows import Rows
from train.data.sources import data_of
from train.fit import fit, start_from_means
from train.learning.devices import on_this_machine
from train.learning.module import SpectrumModule
from train.settings import (
    ArchiveConfig,
    DataConfig,
    MixtureConfig,
    Schedule,
    Stage,
    StreamConfig,
    TrainConfig,
    TrainerConfig,
    read_config,
)
from train.sweep.archive import Recipe, make_archive

SOURCES = ("packed", "simulated", "mixed")


@dataclass(frozen=True)
class Setting:
    """What is checked where: the device, and a folder for what the checks make."""

    device: torch.device
    quick: bool
    folder: Path

    @property
    def config(self) -> TrainConfig:
        """The compact network with a Doppler layer; where it is to be quick, a tiny one."""
        config = read_config(CONFIGS / "harps-sim.yaml")
        small = {"length": 2048, "channels": (8, 16), "kernels": (9, 5), "strides": (4, 4),
                 "extra": 32, "hidden": 0}  # fmt: skip
        if self.quick:
            grid = replace(config.prepare.grid, step=10 * config.prepare.grid.step, length=2048)
            config = replace(
                config,
                architecture=replace(config.architecture, **small),
                prepare=replace(config.prepare, grid=grid, window=33, nodes=32),
            )
        stage = Stage(
            4 if self.quick else 50, Schedule(0.5), blur=Schedule(6.0, 0.0),
            decorrelation=Schedule(0.1), learning_rate=Schedule(1e-4),
        )  # fmt: skip
        data = DataConfig(batch_size=4 if self.quick else 64, spectra=64, validation=8, workers=1)
        return replace(config, stages=(stage,), data=data, penalty_spectra=16, ema_decay=0.99,
                       close_below=0.0, rotate=False)  # fmt: skip

    def module(self, config: TrainConfig) -> SpectrumModule:
        """A network with the weights of seed 0, on the CPU."""
        torch.manual_seed(0)
        module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
        start_from_means(module.model, Combs(config.prepare.row_size, 8, 1))
        return module

    def running(self, **values: Any) -> TrainerConfig:
        """Settings of a run on the device."""
        accelerator = "gpu" if self.device.type == "cuda" else self.device.type
        return TrainerConfig(accelerator=accelerator, **values)

    def rows(self, config: TrainConfig) -> torch.Tensor:
        """Made-up rows, a batch of them."""
        return Combs(config.prepare.row_size, config.data.batch_size, 1)._rows(0)


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest difference, in units of the largest value."""
    one, other = one.detach().cpu().double(), other.detach().cpu().double()
    return float((one - other).abs().max() / one.abs().max().clamp(min=1e-30))


def agreement(at: Setting) -> dict[str, Any]:
    """Loss, gradient, Doppler shift, simulator, fit and encoding: CPU against the device."""
    config = at.config
    rows, found = at.rows(config), {}
    results = []
    for device in (torch.device("cpu"), at.device):
        module = at.module(config).to(device)
        module.eval()  # a draw is another one on another kind of device
        terms = module.terms(rows.to(device), 3.0)
        module.model.train()
        loss = module.loss_of(terms, config.stages[0], 0.5)
        loss.backward()
        gradient = torch.cat([w.grad.flatten() for w in module.parameters() if w.grad is not None])
        module.model.eval()
        with torch.no_grad():
            mean, logvar = module.model.encode(rows.to(device))
        batch = sent(Batch(rows, torch.arange(len(rows))), device)
        velocity = torch.linspace(-60, 60, len(rows), dtype=torch.float64)
        shifted = DopplerShift(config.prepare)(batch, velocity).rows
        synthesizer = synthesizer_of(None, device)
        flux = synthesizer.flux([observe(number, number, 5) for number in range(4)])
        simulated = Rows(synthesizer.wavelength, config.prepare, device).noiseless(flux)
        results.append({"loss": loss, "gradient": gradient, "mean": mean, "logvar": logvar,
                        "doppler": shifted, "simulator": simulated})  # fmt: skip
    for name, value in results[0].items():
        found[name] = difference(value, results[1][name])
    limits = {"gradient": 1e-3, "mean": 1e-3, "logvar": 1e-3}
    return found | {"ok": all(found[name] <= limits.get(name, 1e-4) for name in found)}


class Clock(Callback):
    """Times steps, and the same ones on a batch that is there already; the first ten warm up."""

    def __init__(self, device: torch.device, warm: int) -> None:
        self._device, self._warm = device, warm
        self.marks: list[float] = []
        self.batch: Batch | None = None

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Batch,
                           batch_idx: int) -> None:  # fmt: skip
        """Note the time; only now and then, since to look is to wait."""
        self.batch = batch
        if batch_idx + 1 in (self._warm, trainer.max_steps):
            if self._device.type == "cuda":
                torch.cuda.synchronize()
            self.marks.append(time.perf_counter())
            self.loss = float(outputs["loss"])


def same(batch: Batch, steps: int) -> Batches:
    """The same batch over and over."""
    return Batches(steps, lambda: repeat(batch, steps))


def trained(at: Setting, config: TrainConfig, running: TrainerConfig, callback: Callback,
            data: Any, batches: Any = None) -> None:  # fmt: skip
    """Train for the configuration's steps, without looks and checkpoints."""
    module, running = at.module(config), on_this_machine(running)
    if batches is not None:
        data.train_dataloader = lambda: batches
    alone = {"logger": False, "use_distributed_sampler": False}
    take_steps(module, data, running, config.steps, callback, at.folder, **alone)


def source_of(at: Setting, config: TrainConfig, source: str) -> TrainConfig:
    path = at.folder / "archive.zarr"
    make_archive(path, Recipe(config.prepare, 32 if at.quick else 2000, 3, True), workers=1)
    archive = ArchiveConfig(str(path), validation=0.2)
    parts: dict[str, Any] = {
        "packed": {"archive": archive},
        "simulated": {"stream": StreamConfig(mean_rows=8)},
        "mixed": {"archive": archive, "stream": StreamConfig(mean_rows=8),
                  "mixture": MixtureConfig()},
    }  # fmt: skip
    return replace(config, data=replace(config.data, **parts[source]))


def steps(at: Setting, source: str, precision: str, compile: str) -> dict[str, Any]:
    """Fifty steps: spectra per second, the share that the device waits, the last loss."""
    config = source_of(at, at.config, source)
    running = at.running(precision=precision, compile=compile)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = data_of(config, at.folder / "data")
        data.setup()
    warm = 2 if at.quick else 10
    clock, alone = Clock(at.device, warm), Clock(at.device, warm)
    trained(at, config, running, clock, data)
    assert clock.batch is not None
    trained(at, config, running, alone, data, same(clock.batch, config.steps))
    seconds, best = (mark.marks[-1] - mark.marks[0] for mark in (clock, alone))
    count = (config.steps - warm) * config.data.batch_size
    return {
        "spectra_a_second": round(count / seconds, 1),
        "waits": round(max(0.0, 1 - best / seconds), 3),
        "loss": clock.loss,
        "ok": clock.loss == clock.loss,
    }


def no_waiting(at: Setting) -> dict[str, Any]:
    """No step makes the host wait for the device (CUDA's own debug mode; nothing on a CPU)."""

    class Strict(Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, number: int) -> None:
            if number >= 2 and at.device.type == "cuda":  # the first steps set things up
                torch.cuda.set_sync_debug_mode("error")

        def on_train_end(self, trainer: Any, module: Any) -> None:
            if at.device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")

    config = at.config
    data = Combs(config.prepare.row_size, config.data.batch_size, 1)
    batch = sent(Batch(at.rows(config), torch.arange(config.data.batch_size)), at.device)
    try:
        batches = same(batch, config.steps)
        trained(at, config, at.running(compile="off"), Strict(), data, batches)
    finally:
        if at.device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    return {"ok": True}


def resumed(at: Setting) -> dict[str, Any]:
    """A run that dies and goes on ends like one that did not; its model encodes alike on a CPU."""
    config = replace(at.config, trainer=at.running(precision="32-true", compile="off"))
    half = config.steps // 2
    folders = {}
    for name, dies in (("whole", None), ("parts", half)):
        folders[name] = at.folder / f"resume-{name}"
        step = SpectrumModule.training_step

        def dying(self: Any, batch: Batch, number: int, dies: Any = dies, step: Any = step) -> Any:
            if self.global_step == dies:
                raise KeyboardInterrupt
            return step(self, batch, number)

        go = partial(fit, config, folders[name], data_folder=at.folder / "data", watch_every=half)
        if dies is not None:
            SpectrumModule.training_step = dying  # type: ignore[method-assign]
            try:
                go()
            except (KeyboardInterrupt, SystemExit):
                pass
            finally:
                SpectrumModule.training_step = step  # type: ignore[method-assign]
        go()
    one, other = (load_model(folder / "model").state_dict() for folder in folders.values())
    moved = max(difference(one[name], other[name]) for name in one)
    encoded = check_model(folders["whole"] / "model")
    return {"weights": moved, "encode_on_cpu": encoded, "ok": moved < 1e-3 and encoded < 1e-3}


def one_rank(at: Setting) -> dict[str, Any]:
    """One process under torchrun with DDP: NCCL on a GPU, gloo on a CPU."""
    path = at.folder / "ddp.yaml"
    config = yaml.safe_load((CONFIGS / "harps-sim.yaml").read_text())
    config["stages"] = [{"steps": 3, "beta": 1.0}]
    config["data"] |= {"spectra": 16, "validation": 8, "workers": 1}
    path.write_text(yaml.safe_dump(config))
    words = ["torch.distributed.run", "--standalone", "--nproc-per-node", "1", "-m", "train", "fit"]
    given = ["trainer.strategy=ddp", f"trainer.accelerator={at.running().accelerator}",
             "trainer.compile=off"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", *words, str(path), "-o", str(at.folder / "ddp"),
         *(word for key in given for word in ("--set", key))],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    tail = done.stderr.strip().splitlines()[-1:] if done.returncode else []
    return {"ok": done.returncode == 0, "said": " ".join(tail)}


def against_plain(at: Setting) -> dict[str, Any]:
    """The step against a plain loop in float32, as `benchmarks.train_speed` has it."""
    name, batch = ("harps-sim", 2) if at.quick else ("published", 32)
    running = at.running(precision="32-true", compile="off")
    figures = measure(name, running, batch, 12 if at.quick else 30)
    return figures | {"ok": figures["difference"] < 1e-2}


def checks(at: Setting) -> dict[str, Callable[[Setting], dict[str, Any]]]:
    """All checks by name, the quickest and most telling first."""
    ways = [("32-true", "off")] if at.quick else [
        (precision, compile) for compile in ("off", "on") for precision in ("32-true", "bf16-mixed")
    ]  # fmt: skip
    runs = {
        f"steps {source} {precision} compile {compile}": partial(
            steps, source=source, precision=precision, compile=compile
        )
        for precision, compile in ways
        for source in SOURCES
    }
    return {
        "agreement": agreement, "no waiting": no_waiting, "resume": resumed, "one rank": one_rank,
        "against a plain loop": against_plain, **runs,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("gpu-check.json"))
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="a tiny network and few steps")
    parser.add_argument("--again", action="store_true", help="forget what the file has")
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --device cpu --quick runs the checks without one")
    done: dict[str, Any] = {}
    if chosen.output.exists() and not chosen.again:
        done = json.loads(chosen.output.read_text())
    device = torch.device(chosen.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    done["machine"] = {"device": name, "torch": str(torch.__version__), "quick": chosen.quick}
    with TemporaryDirectory() as folder:
        at = Setting(device, chosen.quick, Path(folder))
        for key, check in checks(at).items():
            if done.get(key, {}).get("ok"):
                continue
            begun = time.perf_counter()
            try:
                result = check(at)
            except Exception as error:
                traceback.print_exc()
                result = {"ok": False, "error": f"{type(error).__name__}: {error}"}
            done[key] = result | {"seconds": round(time.perf_counter() - begun, 1)}
            print(f"{key}: {json.dumps(done[key])}", flush=True)
            with atomic_path(chosen.output) as temporary:
                temporary.write_text(json.dumps(done, indent=2))
    sys.exit(not all(done[key]["ok"] for key in checks(at)))


if __name__ == "__main__":
    main()
