"""Which preparation a packed archive gets: a model's, or one written in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from latentscope.cli.application import UsageError
from latentscope.errors import LatentscopeError, ModelError
from latentscope.models.registry import DEFAULT_MODEL, known_settings
from latentscope.spectra.prepare import PrepareConfig


def named_preparation(model: str | None, grid: Path | None) -> tuple[str, PrepareConfig]:
    """Return the name of a model and its preparation, or "" and the one that a file holds.

    Parameters
    ----------
    model : str, optional
        As `load_model` takes it; weights are loaded only where the preparation is not known without
        them. The bundled model where neither is given.
    grid : Path, optional
        YAML or JSON: a training configuration, a model's config.json, or its `prepare` alone.

    Raises
    ------
    UsageError
        If both are given.
    ModelError
        If there is no such model, it has no preparation, or the file holds none.
    """
    if grid is not None:
        if model is not None:
            raise UsageError("--model and --grid both say how to prepare; give one of them")
        return "", _from_file(grid)
    name = model or DEFAULT_MODEL
    settings = known_settings(name)
    if settings is not None:
        prepare = settings.prepare
    else:
        from latentscope.models.weights import load_model

        prepare = load_model(name).prepare
    if prepare is None:
        raise ModelError(f"{name}: this model does not say how to prepare spectra; use --grid")
    return name, prepare


def _from_file(path: Path) -> PrepareConfig:
    try:
        values: Any = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: cannot be read as YAML or JSON: {error}") from error
    if isinstance(values, Mapping) and "prepare" in values:
        values = values["prepare"]
    if not isinstance(values, Mapping) or "grid" not in values:
        raise ModelError(f"{path}: holds no preparation; wanted `prepare` with a `grid` in it")
    try:
        return PrepareConfig.from_dict(dict(values))
    except (LatentscopeError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: {error}") from error
