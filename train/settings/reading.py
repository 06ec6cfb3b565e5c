"""A run's configuration: one YAML file, read strictly."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from latentscope.errors import ModelError
from latentscope.model.architecture import VAEConfig
from latentscope.spectra.prepare import PrepareConfig
from train.settings.data import ArchiveConfig, DataConfig
from train.settings.run import TrainConfig
from train.settings.stages import Schedule, Stage

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
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"{path}: {error}; see docs/training.md for what each key takes"
        ) from error


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
        },
        path,
    )


def _data(values: Mapping[str, Any], path: str | Path) -> DataConfig:
    archive = values.get("archive")
    if archive is None:
        return _build(DataConfig, values, path)
    archive = {"path": archive} if isinstance(archive, str) else archive
    return _build(
        DataConfig, dict(values) | {"archive": _build(ArchiveConfig, archive, path)}, path
    )


def _stage(values: Mapping[str, Any], path: str | Path) -> Stage:
    schedules = {"beta", "blur", "continuum_weight", "learning_rate"}
    built = {
        key: _schedule(value, path) if key in schedules else value for key, value in values.items()
    }
    if not isinstance(built.get("steps", 1), int) or built.get("steps", 1) < 1:
        raise ModelError(f"{path}: steps is {built['steps']!r}; wanted a whole number, at least 1")
    return _build(Stage, built, path)


def _schedule(value: Any, path: str | Path) -> Schedule:
    if isinstance(value, Mapping):
        return _build(Schedule, value, path)
    return Schedule(float(value))


def _build(kind: type[T], values: Mapping[str, Any], path: str | Path) -> T:
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ModelError(
            f"{path}: {kind.__name__} has no {', '.join(unknown)}; "
            f"known: {', '.join(sorted(known))}"
        )
    try:
        return kind(**values)
    except TypeError as error:
        raise ModelError(f"{path}: {kind.__name__}: {error}") from error
