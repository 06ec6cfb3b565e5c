"""Check rows: what a model made of three spectra where it was trained.

A model folder may have `reference.safetensors`: prepared rows with their latents. They show that
the model computes the same on another machine, or with another version.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from latentscope.errors import ModelError
from latentscope.files import atomic_path
from latentscope.models.config import CONFIG_FILE
from latentscope.models.network import SpectrumVAE, single
from latentscope.models.weights import WEIGHTS_FILE, load_folder, model_folder, read_weights

CHECK_FILE = "reference.safetensors"

TOLERANCE = 1e-3
"""Largest difference that counts as the same: float32 on another processor gives about 1e-5."""

PathLike = str | os.PathLike[str]


def write_check_rows(model: SpectrumVAE, rows: ArrayLike, folder: PathLike) -> Path:
    """Write prepared rows, (n, row_size), and what the model in a folder makes of them.

    `reference.safetensors` has `rows` (float16 where they fit into it), `mean` and `logvar` of
    q(z|x), shape (n, latents), and `residual`, shape (n,): the root mean square of what the
    reconstruction from the mean leaves of each row. If weights were rounded, the model must be read
    from the folder.
    """
    given = torch.from_numpy(np.array(rows, dtype=np.float32))
    half = given.half()
    stored = half if bool(torch.isfinite(half).all()) else given
    found = _computed(model, stored)
    if not all(bool(torch.isfinite(values).all()) for values in found.values()):
        raise ModelError(f"{folder}: the model makes no finite latents of the reference spectra")
    path = Path(folder) / CHECK_FILE
    with atomic_path(path) as temporary:
        temporary.write_bytes(safetensors.torch.save({"rows": stored, **found}))
    return path


def check_against_rows(
    model: SpectrumVAE, folder: PathLike, *, tolerance: float = TOLERANCE
) -> float:
    """Return the largest difference of a model's latents from those of `reference.safetensors`.

    Of means, log variances and residuals: in units of the latents, whose prior has a standard
    deviation of 1, and relative for numbers above 1.

    Raises
    ------
    ModelError
        If there is no such file, it is damaged or of another model, or the difference exceeds the
        tolerance.
    """
    path = Path(folder) / CHECK_FILE
    stored = _read(path)
    rows = stored.pop("rows", torch.zeros(0, 0))
    if rows.ndim != 2 or rows.shape[1] != model.config.row_size:
        raise ModelError(
            f"{path}: rows of shape {tuple(rows.shape)}; this model takes "
            f"(n, {model.config.row_size}): the file belongs to another model"
        )
    found = _computed(model, rows)
    shapes = {key: tuple(values.shape) for key, values in found.items()}
    if {key: tuple(values.shape) for key, values in stored.items()} != shapes:
        raise ModelError(f"{path}: expected {shapes} beside the rows; it belongs to another model")
    difference = max(_difference(found[key], stored[key].float()) for key in found)
    if not difference <= tolerance:
        raise ModelError(
            f"{path}: the latents of the reference spectra differ by {difference:.2g}, expected at "
            f"most {tolerance:g}: these weights are not those it was written with, or they "
            "compute something else here; download the model again, or try another version of "
            "torch or another device"
        )
    return difference


def check_model(source: PathLike, *, cache_dir: PathLike | None = None) -> float:
    """Load a model, as `load_model` takes it, and compare its latents with its check rows."""
    files = (CONFIG_FILE, WEIGHTS_FILE, CHECK_FILE)
    what = "reference latents; there is nothing to compare with"
    folder = model_folder(source, what, files=files, cache_dir=cache_dir)
    return check_against_rows(load_folder(folder), folder)


def read_check_rows(folder: PathLike) -> NDArray[np.float32]:
    """Return the check rows of a model folder, shape (n, row_size)."""
    rows: NDArray[np.float32] = _read(Path(folder) / CHECK_FILE)["rows"].float().numpy()
    return rows


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(
            f"{path}: no such file; this model came without reference latents, so there is "
            "nothing to compare with"
        )
    return read_weights(path)


def _computed(model: SpectrumVAE, rows: Tensor) -> dict[str, Tensor]:
    """Mean, logvar (of a variational model) and residual of rows, in float32 on the CPU."""
    model = single(model)
    device = next(model.parameters()).device
    given = rows.to(device, torch.float32)
    with torch.no_grad():
        mean, logvar = model.encode(given)
        residual = (model.decode(mean) - given).square().mean(1).sqrt()
    found = {"mean": mean, "residual": residual} | ({} if logvar is None else {"logvar": logvar})
    return {key: values.float().cpu().contiguous() for key, values in found.items()}


def _difference(found: Tensor, stored: Tensor) -> float:
    scaled = (found - stored).abs().nan_to_num(torch.inf) / stored.abs().clamp(min=1.0)
    return float(scaled.max()) if scaled.numel() else 0.0
