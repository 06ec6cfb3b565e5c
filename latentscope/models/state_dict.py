"""Weights as named tensors: compared by name and shape, serialised, hashed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from latentscope.errors import ModelError
from latentscope.models.download import file_sha256

WEIGHTS_FILE = "model.safetensors"
SHOWN = 8  # faults of one kind that an error lists

Shape = tuple[int, ...]


def check_state(what: str, state: Mapping[str, Tensor], wanted: Mapping[str, Shape]) -> None:
    """Raise ModelError unless `state` has the names and shapes of `wanted` and finite values.

    Parameters
    ----------
    what : str
        Name of the file, for the message.
    state : mapping of str to Tensor
    wanted : mapping of str to tuple of int
        Every name with its shape.
    """
    shapes = [
        f"{name} is {tuple(state[name].shape)}, wanted {shape}"
        for name, shape in wanted.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    faults = [
        _listed("missing", [f"{k} {wanted[k]}" for k in wanted if k not in state]),
        _listed("unexpected", [f"{k} {tuple(state[k].shape)}" for k in state if k not in wanted]),
        _listed("of another shape", shapes),
    ]
    if any(faults):
        raise ModelError(
            f"{what} does not fit the model's architecture: {'; '.join(filter(None, faults))}"
        )
    broken = [name for name, tensor in state.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ModelError(f"{what}: {_listed('values that are not finite', broken)}")


def _listed(kind: str, items: list[str]) -> str:
    more = f", and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return f"{len(items)} {kind} ({', '.join(items[:SHOWN])}{more})" if items else ""


def load_state(model: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Copy `state` into `model`, strictly; the tensors' memory layout does not matter.

    Raises
    ------
    ModelError
        If a name is missing or unexpected, a shape differs, or a value is not finite.
    """
    check_state(what, state, {k: tuple(v.shape) for k, v in model.state_dict().items()})
    model.load_state_dict(dict(state), strict=True)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a .safetensors file.

    Raises
    ------
    ModelError
        If the file is missing, or is no whole safetensors file.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; a model folder holds config.json and {path.name}")
    try:
        state: dict[str, Tensor] = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path}: is no whole safetensors file ({error}); copy or download it again"
        ) from error
    return state


def serialize(model: nn.Module) -> bytes:
    """Return the model's weights as the bytes of a safetensors file.

    In float16 where `model.info` says so by `weights_dtype`, rounded to the nearest; weights that
    were read from such a file lose nothing.

    Raises
    ------
    ModelError
        If a weight is too large for float16.
    """
    dtype = stored_dtype(model)
    weights = {k: v.detach().cpu() for k, v in model.state_dict().items()}
    state = {k: v.to(dtype).contiguous() for k, v in weights.items()}
    large = [k for k, v in state.items() if not torch.equal(v.isfinite(), weights[k].isfinite())]
    if large:
        raise ModelError(
            f"{_listed('tensors exceed 65504, the largest number of float16', large)}; store these "
            "weights as float32"
        )
    data: bytes = safetensors.torch.save(state)
    return data


def stored_dtype(model: nn.Module) -> torch.dtype:
    """Return the type in which a model's weights are written, float32 unless its info says more."""
    info = getattr(model, "info", {})
    return torch.float16 if info.get("weights_dtype") == "float16" else torch.float32


def weights_sha256(model: nn.Module | str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a model's weights.

    Parameters
    ----------
    model : SpectrumVAE or path
        A model, a model folder, or a file. A model, the folder that `save_model` wrote of it and
        the `model.safetensors` therein have the same hash; a checkpoint file has its own.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ModelError
        If there is no such file.
    """
    if isinstance(model, nn.Module):
        return hashlib.sha256(serialize(model)).hexdigest()
    path = Path(model)
    path = path / WEIGHTS_FILE if path.is_dir() else path
    try:
        return file_sha256(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error
