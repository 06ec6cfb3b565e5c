"""Published checkpoints (`.pth.tar`) -> `SpectrumVAE`: one table of names, strict."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from latentscope.errors import LatentscopeWarning, ModelError
from latentscope.files import expanded, file_sha256
from latentscope.models.config import (
    PUBLISHED,
    PUBLISHED_ARCHITECTURE,
    PublishedNormalization,
    VAEConfig,
    published_prepare,
)
from latentscope.models.network import SpectrumVAE, check_state, load_state

_MOST_LATENTS = 1024
_DEPTH = len(PUBLISHED_ARCHITECTURE.channels)

_LAYERS = {
    **{f"conv{i + 1}.0": f"encoder.{i}" for i in range(_DEPTH)},
    "fc11": "mean",
    "fc12": "logvar",
    "fc2": "expand",
    **{f"deconv{_DEPTH - i}.0": f"decoder.{i}" for i in range(_DEPTH)},
    "predict0": "final",
}
PUBLISHED_KEYS = {
    f"{theirs}.{part}": f"{ours}.{part}"
    for theirs, ours in _LAYERS.items()
    for part in ("weight", "bias")
}
"""Tensor of a published checkpoint -> tensor of `SpectrumVAE`."""


class _Unread:
    """Stands for a numpy scalar and its dtype, such as a best loss, which is not needed."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


_NUMPY_SCALARS: list[Any] = [
    (_Unread, name)
    for name in ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")
]


def load_checkpoint(
    path: str | os.PathLike[str], *, normalization: PublishedNormalization | None = None
) -> SpectrumVAE:
    """Return the model of a checkpoint (.pth.tar), in eval mode on the CPU.

    It has the published names and shapes, but for the number of latents (the paper trained 8 to
    128). `normalization` is what its spectra were divided by, which the file does not say: by
    default the names of the two published files tell, and any other is taken for "median-padded",
    with a warning.

    Raises
    ------
    ModelError
        If the file cannot be read, does not fit the published architecture, or the normalization
        is another one.
    """
    path = expanded(path)
    normalization = normalization or _assumed_normalization(path)
    if normalization not in get_args(PublishedNormalization):
        raise ModelError(
            f"normalization is {normalization!r}; expected one of "
            f"{', '.join(get_args(PublishedNormalization))}"
        )
    theirs = read_checkpoint(path)
    state = published_state(theirs, str(path))
    architecture = _architecture(theirs)
    info = _info(path, normalization, architecture)
    model = SpectrumVAE(architecture, published_prepare(normalization), info)
    load_state(model, state, str(path))
    return model.float().eval()  # whatever torch's default type is


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint without running any code in it.

    The file has a dict with `state_dict`, or a bare state dict; numpy scalars beside it are passed
    over, and a prefix `module.` (of data-parallel training) is taken off the names. ModelError if
    it is missing, truncated, no checkpoint, or has more than tensors and numbers.
    """
    path = expanded(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    if _is_compressed(path):
        raise ModelError(
            f"{path}: is a zip archive that unpacks to more than it has, unlike what torch.save "
            "writes; unpack it, or download it again"
        )
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: is not a checkpoint, or holds objects besides tensors, which could run code "
            "when loaded and are refused; save its state_dict alone with torch.save"
        ) from error
    except Exception as error:  # broken bytes make torch and pickle stumble in many ways
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise ModelError(
            f"{path}: is not a complete checkpoint ({reason}); copy or download it again"
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not state:
        kind = type(state).__name__
        raise ModelError(f"{path}: holds a {kind}; expected a state dict of tensors")
    others = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise ModelError(
            f"{path}: holds {', '.join(others[:8])}, no tensors; expected a dict with "
            "'state_dict', or tensors alone"
        )
    parallel = all(str(name).startswith("module.") for name in state)
    return {str(k).removeprefix("module.") if parallel else str(k): v for k, v in state.items()}


def _is_compressed(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist()) > path.stat().st_size
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def published_state(state: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """Rename and reshape the tensors of a published checkpoint for `SpectrumVAE`.

    Convolution weights (out, in, k) become (out, in, 1, k), transposed ones (in, out, k) become
    (in, out, 1, k). `what` names the file, for the error if a tensor is missing, unexpected or of
    another shape than published.
    """
    with torch.device("meta"):  # shapes without memory
        ours = SpectrumVAE(_architecture(state)).state_dict()
    shapes = {theirs: tuple(ours[name].shape) for theirs, name in PUBLISHED_KEYS.items()}
    check_state(what, state, {k: (*s[:2], *s[3:]) if len(s) == 4 else s for k, s in shapes.items()})
    return {
        name: state[theirs].unsqueeze(2) if state[theirs].ndim == 3 else state[theirs]
        for theirs, name in PUBLISHED_KEYS.items()
    }


def _architecture(state: Mapping[str, Tensor]) -> VAEConfig:
    """Published architecture with the checkpoint's number of latents; 128 where it has none."""
    weight = state.get("fc11.weight")
    if weight is None or weight.ndim != 2 or not 1 <= len(weight) <= _MOST_LATENTS:
        return PUBLISHED_ARCHITECTURE
    return replace(PUBLISHED_ARCHITECTURE, latents=len(weight))


def _assumed_normalization(path: Path) -> PublishedNormalization:
    for entry in PUBLISHED.values():
        if entry.filename == path.name:
            return entry.normalization
    warnings.warn(
        f"{path.name} does not say how its spectra were normalized; assumed 'median-padded', as "
        "in astro-machines. `latentscope convert --normalization` writes a model folder that says",
        LatentscopeWarning,
        stacklevel=4,
    )
    return "median-padded"


def _info(
    path: Path, normalization: PublishedNormalization, architecture: VAEConfig
) -> dict[str, Any]:
    source = {"file": path.name, "sha256": file_sha256(path)}
    published = architecture == PUBLISHED_ARCHITECTURE
    for model in PUBLISHED.values():
        if published and model.filename == path.name and model.normalization == normalization:
            return {**model.config.info, "source": source}
    info = {
        "name": path.name.split(".")[0],
        "description": "converted from a checkpoint with the published architecture",
        "source": source,
    }
    # The paper gives the threshold for its 128 latents alone.
    return info | ({"mad_threshold": 0.02} if published else {})
