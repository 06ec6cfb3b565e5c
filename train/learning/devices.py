"""What a run is computed on: devices, compilation, several processes, memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, distributed

from latentscope.models.network import SpectrumVAE
from train.settings import TrainerConfig


def on_this_machine(config: TrainerConfig) -> TrainerConfig:
    """Return the settings with `accelerator` and `precision` decided, and `compile` on CPUs.

    Under `torchrun` the number of devices and nodes is what it started.
    """
    accelerator = config.accelerator
    if accelerator == "auto":
        mps = torch.backends.mps.is_available()
        accelerator = "gpu" if torch.cuda.is_available() else "mps" if mps else "cpu"
    gpu = accelerator == "gpu"
    precision, compiles = config.precision, config.compile
    if precision == "auto":
        low = gpu and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16-mixed" if low else "32-true"
    if compiles == "auto" and not gpu:
        compiles = "off"
    devices, nodes = config.devices, config.nodes
    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["GROUP_WORLD_SIZE"])
    return replace(
        config,
        accelerator=accelerator,
        precision=precision,
        compile=compiles,
        devices=devices,
        nodes=nodes,
    )


def trainer_arguments(config: TrainerConfig) -> dict[str, Any]:
    """Return what `lightning.Trainer` has to know; `config` as `on_this_machine` gives it."""
    several = config.devices != 1 or config.nodes != 1
    return {
        # Rows are always as long, so that the fastest kernels can be chosen once.
        "benchmark": config.accelerator == "gpu",
        "accelerator": config.accelerator,
        "devices": config.devices,
        "num_nodes": config.nodes,
        "strategy": "ddp" if several and config.strategy == "auto" else config.strategy,
        "precision": config.precision,
    }


@contextmanager
def compiled(model: SpectrumVAE, config: TrainerConfig) -> Iterator[None]:
    """Let a model's convolutions be compiled for a while, where the settings say so.

    The transforms beside them take complex numbers, which `torch.compile` leaves as they are. Where
    it was not asked for ("auto") and fails, they run as they are.
    """
    if config.compile == "off":
        yield
        return
    names = ("_down", "_up")
    for name in names:
        setattr(model, name, torch.compile(getattr(model, name)))
    try:
        with torch._dynamo.config.patch(suppress_errors=config.compile == "auto"):
            yield
    finally:
        for name in names:
            delattr(model, name)


def fastest_threads(module: Any, rows: Tensor, most: int) -> int:
    """Return the number of threads, `most` at most, at which a step's passes take least time.

    Beside other work that is often 1: threads wait for the slowest of them.
    """
    seconds: dict[int, float] = {}
    threads = 1
    while threads <= most:
        torch.set_num_threads(threads)
        for _ in range(4):
            begun = time.perf_counter()
            terms = module.terms(rows, seed=0)
            (terms["lines"].sum() + terms["kl"].sum()).backward()
            took = time.perf_counter() - begun
            seconds[threads] = min(took, seconds.get(threads, took))
        threads *= 2
    module.zero_grad(set_to_none=True)
    return min(seconds, key=lambda number: seconds[number])


# Several processes that train one network: each holds every `world`-th row of a batch.
#
# What is computed over a batch is computed over the whole of it, so that w processes see the losses
# of one process with the same batch. DistributedDataParallel averages the gradients over processes.


def rank_and_world() -> tuple[int, int]:
    """Return the number of this process, from 0, and how many there are."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def whole_batch(part: Tensor) -> Tensor:
    """Rows of all processes in the order of the batch: this process's stand at ``rank::world``.

    `part` has the same shape in every process. Gradients flow into every process: of a function of
    the whole batch that each of them adds to its loss, the averaged gradient is the gradient of the
    function.
    """
    if rank_and_world()[1] == 1:
        return part
    from torch.distributed.nn.functional import all_gather

    parts: list[Tensor] = list(all_gather(part.contiguous()))
    return torch.stack(parts, dim=1).flatten(0, 1)


class Later:
    """A number of a device, copied to the host while the device goes on."""

    def __init__(self, value: Tensor) -> None:
        self._host, self._copied = value.detach(), None
        if value.is_cuda:
            self._host = torch.empty((), dtype=value.dtype, pin_memory=True)
            self._host.copy_(value.detach(), non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record()

    def item(self) -> float:
        """Return the number; waits for no more than its own step."""
        if self._copied is not None:
            self._copied.synchronize()
        return float(self._host)


def mean_over_ranks(values: Tensor) -> Tensor:
    """Mean of a tensor over the processes, without gradient."""
    _, world = rank_and_world()
    if world == 1:
        return values.detach()
    total = values.detach().clone()  # which all_reduce overwrites
    distributed.all_reduce(total)
    return total / world


def unit_noise(like: Tensor, seed: int | None) -> Tensor:
    """Unit Gaussian draws for this process's rows, as one process draws for the whole batch."""
    rank, world = rank_and_world()
    generator = None if seed is None else torch.Generator(like.device).manual_seed(seed)
    shape = (len(like) * world, like.shape[1])
    return torch.randn(shape, generator=generator, device=like.device)[rank::world]
