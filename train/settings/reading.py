"""A run's configuration: one YAML file, read strictly."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import yaml

from latentscope.errors import LatentscopeError, ModelError
from latentscope.models.config import VAEConfig
from latentscope.spectra.prepare import PrepareConfig
from train.settings.data import PARTS, DataConfig, spelled_out
from train.settings.run import TrainConfig
from train.settings.stages import SCHEDULES, Schedule, Stage
from train.settings.trainer import TrainerConfig

T = TypeVar("T")


def read_config(path: str | Path) -> TrainConfig:
    """Read a training configuration.

    Raises
    ------
    ModelError
        If the file is missing, is no YAML, or holds an unknown or missing key.
    """
    try:
        values = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: cannot read the training configuration: {error}") from error
    if not isinstance(values, Mapping):
        raise ModelError(f"{path}: wanted a mapping with name, architecture, prepare, data, stages")
    try:
        return _train_config(values, path)
    except (TypeError, ValueError, AttributeError) as error:
        if str(error).startswith(f"{path}:"):
            raise
        raise ModelError(
            f"{path}: {error}; see docs/training.md for what each key takes"
        ) from error


def continues(config: TrainConfig, recipe: str) -> bool:
    """Whether the recipe of a checkpoint is a configuration's own.

    The recipe is read like a configuration, so that keys which came after the checkpoint was
    written have their defaults.
    """
    values = json.loads(recipe)
    if "archive" in values["data"]:
        values["data"]["archive"]["path"] = ""
    try:
        return _train_config(values, "the checkpoint").recipe == config.recipe
    except LatentscopeError:
        return False


def _train_config(values: Mapping[str, Any], path: str | Path) -> TrainConfig:
    stages = tuple(_stage(stage, path) for stage in values.get("stages", []))
    if not stages:
        raise ModelError(f"{path}: no stages; a training run needs at least one")
    return _build(
        TrainConfig,
        dict(values)
        | {
            "architecture": VAEConfig.from_dict(values.get("architecture", {})),
            "prepare": PrepareConfig.from_dict(values.get("prepare", {})),
            "data": _data(values.get("data", {}), path),
            "stages": stages,
            "trainer": _build(TrainerConfig, values.get("trainer") or {}, path),
        },
        path,
    )


def _data(values: Mapping[str, Any], path: str | Path) -> DataConfig:
    built = dict(values)
    for key, kind in PARTS.items():
        part = spelled_out(key, values.get(key))
        built[key] = None if part is None else _build(kind, part, path)
    return _build(DataConfig, built, path)


def _stage(values: Mapping[str, Any], path: str | Path) -> Stage:
    built = {
        key: _schedule(value, f"{path}: {key}") if key in SCHEDULES else value
        for key, value in values.items()
    }
    return _build(Stage, built, path)


def _schedule(value: Any, path: str | Path) -> Schedule:
    return _build(Schedule, value if isinstance(value, Mapping) else {"start": value}, path)


def _build(kind: type[T], values: Mapping[str, Any], path: str | Path) -> T:
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ModelError(
            f"{path}: {kind.__name__} has no {', '.join(unknown)}; "
            f"known: {', '.join(sorted(known))}"
        )
    types = {f.name: str(f.type) for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    try:
        return kind(**{key: _number(key, types[key], value) for key, value in values.items()})
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: {error}") from error


def _number(key: str, kind: str, value: Any) -> Any:
    """Return a value as the number that its key takes; a key of another kind keeps its own."""
    base = kind.removesuffix(" | None")
    if base not in ("int", "float") or (value is None and base != kind):
        return value
    with suppress(ValueError):
        value = float(value) if base == "float" and isinstance(value, str) else value  # 1e-3
    fits = isinstance(value, int) or (base == "float" and isinstance(value, float))
    if not fits or isinstance(value, bool):
        raise ModelError(f"{key} is {value!r}; wanted a {'whole ' * (base == 'int')}number")
    return value
