"""A model folder with its weights rounded to float16: half the size."""

from __future__ import annotations

from pathlib import Path

from latentscope.errors import ModelError
from latentscope.models.check_rows import (
    check_against_rows,
    read_check_rows,
    write_check_rows,
)
from latentscope.models.trust import sample_beside
from latentscope.models.weights import load_folder, save_model
from train.publishing.card import read_card
from train.publishing.export import write_card
from train.publishing.sample import copy_sample


def half(folder: Path, target: Path) -> float:
    """Copy a model folder with float16 weights, which `load_model` reads back as float32.

    Parameters
    ----------
    folder : Path
        With reference latents.
    target : Path
        Another folder.

    Returns
    -------
    float
        How far the latents of the reference spectra moved, as `check_against_rows` measures it.

    Raises
    ------
    ModelError
        If the folder is no model with a reference, or a weight is too large for float16.
    """
    if target.resolve() == folder.resolve():
        raise ModelError(f"{target}: wanted another folder than the model's own")
    rows = read_check_rows(folder)
    model = load_folder(folder)
    sample = sample_beside(model)
    model.info["weights_dtype"] = "float16"
    save_model(model, target)
    rounded = load_folder(target)
    moved = check_against_rows(rounded, folder, tolerance=float("inf"))
    write_check_rows(rounded, rows, target)
    if sample is not None:
        copy_sample(sample, rounded, target)
    text = read_card(folder)
    if text is not None:
        line = f"Weights rounded to float16; the reference latents moved by {moved:.1g} at most."
        write_card(f"{text.rstrip()}\n\n{line}\n", target)
    return moved
