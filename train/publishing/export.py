"""The model folder of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from latentscope import __version__
from latentscope.diagnostics.activity import THRESHOLD
from latentscope.files import atomic_path
from latentscope.models.check_rows import write_check_rows
from latentscope.models.config import CONFIG_FILE, WeightsDtype, read_settings
from latentscope.models.weights import load_folder, save_model
from train.data.source import Data
from train.learning.module import SpectrumModule
from train.publishing.card import CARD_FILE, card, read_card
from train.publishing.findings import findings
from train.publishing.sample import export_sample
from train.settings.run import TrainConfig
from train.watching.evaluated import evaluated

_REFERENCES = 3


def export(
    module: SpectrumModule,
    config: TrainConfig,
    data: Data,
    folder: Path,
    *,
    steps: int | None = None,
    dtype: WeightsDtype = "float32",
) -> Path:
    """Write the model folder: config.json, model.safetensors, README.md, reference.safetensors.

    With 100 validation rows or more also sample.safetensors, by which spectra are judged.
    Averaged weights, where the run has them. What an author wrote in an older README.md stays.

    Parameters
    ----------
    module : SpectrumModule
        As training left it.
    config : TrainConfig
    data : data module
        Set up; its validation rows are measured, three of them become the reference, and all the
        sample.
    folder : Path
        Made if it is not there.
    steps : int, optional
        Steps that the network was trained; by default all of the configuration.
    dtype : {"float32", "float16"}
        How the weights are stored.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        If the folder cannot be written, or the weights are not finite or too large for float16.
    """
    found = findings(module, data)
    with evaluated(module) as model:
        model.info = {
            "name": config.name,
            "description": config.description,
            "beta": config.stages[-1].beta.at(1.0),
            "mad_threshold": THRESHOLD,
            "weights_dtype": dtype,
            "training": data.provenance
            | {
                "steps": config.steps if steps is None else steps,
                "batch_size": config.data.batch_size,
                "seed": config.seed,
                "minutes": round(module.seconds / 60, 1),
                "latentscope": __version__,
                "torch": str(torch.__version__),
            },
        }
        save_model(model, folder)
    # Read back: rounded as they are stored, and a proof that the folder loads.
    write_check_rows(load_folder(folder), _reference_rows(data), folder)
    export_sample(folder, data)
    text = card(read_settings(folder / CONFIG_FILE), config, found, read_card(folder))
    write_card(text, folder)
    return folder


def write_card(text: str, folder: Path) -> None:
    """Write README.md of a model folder, whole or not at all."""
    with atomic_path(folder / CARD_FILE) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _reference_rows(data: Data) -> NDArray[np.float32]:
    """Three of the validation rows, evenly among them."""
    rows = data.validation_rows
    chosen = np.unique(np.linspace(0, len(rows) - 1, _REFERENCES).round().astype(int))
    some: NDArray[np.float32] = rows[chosen].astype(np.float32)
    return some
