"""What this installation has and can do, on one screen to paste into a bug report."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numba
import torch

import latentscope
from latentscope.errors import ModelError
from latentscope.files import cores, file_sha256
from latentscope.models.config import (
    CONFIG_FILE,
    PUBLISHED,
    WEIGHTS_FOLDER,
    bundled_models,
    cache_folder,
    cache_root,
    read_config,
)
from latentscope.models.network import packs
from latentscope.models.weights import WEIGHTS_FILE

_PACKAGES = ("numpy", "scipy", "pandas", "numba", "torch", "safetensors", "pydantic", "pooch",
             "huggingface_hub", "astropy", "specutils", "matplotlib", "bokeh", "lightning", "zarr",
             "pyarrow", "h5py")  # fmt: skip


def examine() -> dict[str, Any]:
    """Describe versions, processor and devices, threads, caches, models, and free disk.

    Returns
    -------
    dict
        Plain values by section. `models` says of each model that is here whether its weights are
        those that its configuration, or the first download, recorded.
    """
    return {
        "versions": _versions(),
        "engine": _engine(),
        "folders": _folders(),
        "models": _models(),
    }


def _versions() -> dict[str, str]:
    found = {"latentscope": latentscope.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found | {"system": platform.platform()}


def _engine() -> dict[str, Any]:
    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "processor": f"{_processor()}, {cores()} of {os.cpu_count()} cores",
        "convolutions": "oneDNN, weights laid out once" if packs() else "torch's own",
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "bf16": torch.cpu._is_avx512_bf16_supported(),
        "cuda": ", ".join(cuda) or "none",
        "mps": torch.backends.mps.is_available(),
        "torch_threads": torch.get_num_threads(),
        "numba_threads": numba.get_num_threads(),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def _folders() -> dict[str, str]:
    own = os.environ.get(WEIGHTS_FOLDER)
    places = {
        "models": cache_root(),
        WEIGHTS_FOLDER: None if not own else Path(own),
        "here": Path.cwd(),
        "temporary": Path(tempfile.gettempdir()),
    }
    return {name: "not set" if path is None else _place(path) for name, path in places.items()}


def _place(path: Path) -> str:
    there = path
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free / 1e9
    missing = "" if there == path else ", made when it is needed"
    closed = "" if os.access(there, os.W_OK) else ", cannot be written"
    return f"{path} ({free:.1f} GB free{missing}{closed})"


def _models() -> dict[str, str]:
    found = {}
    for name, folder in bundled_models().items():
        try:
            recorded = read_config(folder / CONFIG_FILE).weights_sha256
            found[name] = _verdict(folder / WEIGHTS_FILE, recorded)
        except (ModelError, OSError) as error:
            found[name] = f"broken: {error}"
    for name, entry in PUBLISHED.items():
        path = cache_folder(name) / entry.filename
        pin = path.with_name(f"{path.name}.sha256")
        if not path.exists():
            found[name] = "not downloaded"
            continue
        words = pin.read_text(encoding="utf-8").split() if pin.exists() else []
        found[name] = _verdict(path, entry.sha256 or (words[0] if words else None))
    return found


def _verdict(path: Path, recorded: str | None) -> str:
    digest = file_sha256(path)
    if recorded is None:
        return f"{digest[:16]}, no hash recorded"
    return f"{digest[:16]}, as recorded" if digest == recorded else f"{digest[:16]}, CHANGED"
