"""The model folder of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from latentscope.model.weights import save_model
from train.learning.module import SpectrumModule
from train.settings.run import TrainConfig


def export(
    module: SpectrumModule, config: TrainConfig, provenance: dict[str, Any], folder: Path
) -> Path:
    """Write the model folder: config.json, model.safetensors, and the training's provenance."""
    model = module.model.eval()
    last = config.stages[-1]
    model.info = {
        "name": config.name,
        "description": config.description,
        "beta": last.beta.at(1.0),
        "mad_threshold": 0.02,
        "training": provenance
        | {
            "steps": config.steps,
            "batch_size": config.data.batch_size,
            "seed": config.seed,
            "minutes": round(module.seconds / 60, 1),
        },
    }
    save_model(model, folder)
    return folder
