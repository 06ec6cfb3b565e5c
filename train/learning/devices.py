"""What a run is computed on: settings for Lightning's Trainer, and compilation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from latentscope.models.network import SpectrumVAE
from train.settings.trainer import TrainerConfig


def on_this_machine(config: TrainerConfig) -> TrainerConfig:
    """Return the settings with `accelerator`, `precision` and `compile` decided.

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
    if compiles == "auto":
        compiles = "on" if gpu else "off"
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
        "accelerator": config.accelerator,
        "devices": config.devices,
        "num_nodes": config.nodes,
        "strategy": "ddp" if several and config.strategy == "auto" else config.strategy,
        "precision": config.precision,
    }


@contextmanager
def compiled(model: SpectrumVAE, config: TrainerConfig) -> Iterator[None]:
    """Let a model's convolutions be compiled for a while, where the settings say so.

    The transforms beside them take complex numbers, which `torch.compile` leaves as they are.
    """
    if config.compile != "on":
        yield
        return
    names = ("_down", "_up")
    for name in names:
        setattr(model, name, torch.compile(getattr(model, name)))
    try:
        yield
    finally:
        for name in names:
            delattr(model, name)
