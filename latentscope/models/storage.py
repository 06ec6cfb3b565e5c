"""Model folders: config.json and model.safetensors, written whole and read strictly."""

from __future__ import annotations

import os
from pathlib import Path

from latentscope.errors import ModelError
from latentscope.files import atomic_path
from latentscope.models.settings import CONFIG_FILE, ModelSettings, read_settings
from latentscope.models.state_dict import (
    WEIGHTS_FILE,
    load_state,
    read_weights,
    serialize,
    weights_sha256,
)
from latentscope.models.vae import SpectrumVAE


def save_model(model: SpectrumVAE, folder: str | os.PathLike[str]) -> Path:
    """Write a model as a folder that `load_model` reads.

    Each file is replaced in one step; config.json comes last and records the SHA-256 of the
    weights, so that a folder that was left half written is told from a whole one.

    Parameters
    ----------
    model : SpectrumVAE
        `model.info` holds at least `name`, and otherwise only what config.json knows.
    folder : path
        Made if it is not there; other files in it stay.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        If `model.info` has no name or an unknown entry, or the folder cannot be written.
    """
    folder = Path(folder)
    info = {**model.info, "weights_sha256": weights_sha256(model)}
    text = ModelSettings(model.config, model.prepare, info).to_json()
    try:
        with atomic_path(folder / WEIGHTS_FILE) as path:
            path.write_bytes(serialize(model))
        with atomic_path(folder / CONFIG_FILE) as path:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{folder}: the model cannot be written there ({error})") from error
    return folder


def load_folder(folder: str | os.PathLike[str]) -> SpectrumVAE:
    """Return the model in a folder, in eval mode on the CPU.

    Parameters
    ----------
    folder : path
        Holds config.json and model.safetensors.

    Returns
    -------
    SpectrumVAE

    Raises
    ------
    ModelError
        If a file is missing or damaged, or the weights are not those of the config.
    """
    folder = Path(folder)
    model = load_files(folder / CONFIG_FILE, folder / WEIGHTS_FILE)
    model.folder = folder
    return model


def load_files(config: Path, weights: Path) -> SpectrumVAE:
    """Return the model of a config.json and a .safetensors file; see `load_folder`."""
    settings = read_settings(config)
    recorded = settings.info.get("weights_sha256")
    state = read_weights(weights)
    if recorded is not None and weights_sha256(weights) != recorded:
        raise ModelError(
            f"{weights}: SHA-256 is {weights_sha256(weights)}, {config} records {recorded}; the "
            "two are not of one model: copy or write the folder again"
        )
    try:
        model = SpectrumVAE(settings.architecture, settings.prepare, settings.info)
    except ModelError as error:
        raise ModelError(f"{config}: {error}") from error
    load_state(model, state, str(weights))
    return model.eval()
