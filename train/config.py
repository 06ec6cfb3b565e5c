"""What a training run is: one YAML file, read strictly."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml

from latentscope.errors import ModelError
from latentscope.model.architecture import VAEConfig
from latentscope.spectra.prepare import PrepareConfig

Curve = Literal["linear", "geometric"]


@dataclass(frozen=True)
class Schedule:
    """A number that changes during a stage.

    Held at `start` for the fraction `hold` of the stage, then moved to `end` until the fraction
    `until`, then held there. "linear" may be bent by `power`: the remaining way to `end` falls as
    (1 - progress) ** power.

    Parameters
    ----------
    start, end : float
        Values; `end` defaults to `start`.
    hold, until : float
        Fractions of the stage; with `until` above 1 the stage ends on the way.
    curve : {"linear", "geometric"}
        Geometric changes by equal factors.
    power : float
        Exponent of the linear curve.
    """

    start: float
    end: float | None = None
    hold: float = 0.0
    until: float = 1.0
    curve: Curve = "linear"
    power: float = 1.0

    def __post_init__(self) -> None:
        if self.curve not in get_args(Curve):
            raise ModelError(f"curve is {self.curve!r}; wanted one of {', '.join(get_args(Curve))}")
        if not 0 <= self.hold <= self.until:
            raise ModelError(f"hold {self.hold}, until {self.until}; wanted 0 <= hold <= until")
        if self.curve == "geometric" and not (self.start > 0 and (self.end or 1.0) > 0):
            raise ModelError(
                f"geometric from {self.start} to {self.end}; wanted two positive numbers"
            )

    def at(self, fraction: float) -> float:
        """Value at a fraction (0 to 1) of the stage."""
        end = self.start if self.end is None else self.end
        span = max(self.until - self.hold, 1e-12)
        progress = min(max((fraction - self.hold) / span, 0.0), 1.0)
        if self.curve == "geometric":
            return float(self.start * (end / self.start) ** progress)
        return float(end + (self.start - end) * (1.0 - progress) ** self.power)


@dataclass(frozen=True)
class Stage:
    """A stretch of training with schedules of its own.

    Parameters
    ----------
    steps : int
        Optimiser steps.
    beta : Schedule
        Disentanglement weight: the factor of the KL term.
    blur : Schedule
        Standard deviation in pixels of the Gaussian that smooths the residual of the line contrast
        before it is squared. A wide blur lets a network find a shift first.
    continuum_weight : Schedule
        Factor of the squared residual of the log continuum.
    learning_rate : Schedule
        Of Adam.
    revive : bool
        Draw the weights of dead dimensions (KL below 0.1 nats on validation rows) anew at the
        start, with fresh optimiser moments.
    """

    steps: int
    beta: Schedule
    blur: Schedule = field(default_factory=lambda: Schedule(0.0))
    continuum_weight: Schedule = field(default_factory=lambda: Schedule(1.0))
    learning_rate: Schedule = field(default_factory=lambda: Schedule(1e-3))
    revive: bool = False


@dataclass(frozen=True)
class ArchiveConfig:
    """A packed archive to learn from, and how it is split and balanced.

    Parameters
    ----------
    path : str
        Folder or fsspec URL that `python -m train pack` made, on the grid of `prepare`.
    validation, test : float
        Fractions of the stars that are held out; test stars are not looked at.
    split_seed : int
        Of the hash of a star's name that decides its split.
    one_per_star : bool
        Show one spectrum of each star an epoch, another one every epoch.
    label : str, optional
        Column of the table whose bins get equal shares of an epoch, or `weights`; spectra without
        it are left out.
    bins : int or list of float
        Number of equal bins of a numeric label, or their borders; text is a class a value.
    weights : dict, optional
        Class (text) or number of the bin -> share of the epoch; 1 where one is not named.
    window_mb : float
        MB of rows that are in memory at once and mixed.
    watch_rows : int
        Validation spectra to watch the training with, one a star.
    """

    path: str
    validation: float = 0.1
    test: float = 0.0
    split_seed: int = 0
    one_per_star: bool = False
    label: str | None = None
    bins: int | list[float] = 10
    weights: dict[Any, float] | None = None
    window_mb: float = 256.0
    watch_rows: int = 500


@dataclass(frozen=True)
class DataConfig:
    """The archive a network learns from: a simulated one, or a packed one.

    Parameters
    ----------
    spectra, validation : int
        Stars to train on, and stars to watch the training with; one spectrum each.
    seed : int
        Seed of the training stars; the next number seeds the validation stars.
    linelist : str, optional
        Line list file; the built-in list by default.
    batch_size : int
        Spectra a step.
    workers : int, optional
        Processes that make the archive.
    archive : ArchiveConfig, optional
        A packed archive; of the other values only `batch_size` counts then.
    """

    spectra: int = 16000
    validation: int = 500
    seed: int = 1000
    linelist: str | None = None
    batch_size: int = 8
    workers: int | None = None
    archive: ArchiveConfig | None = None


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Parameters
    ----------
    name, description : str
        Of the model that comes out.
    architecture : VAEConfig
    prepare : PrepareConfig
    data : DataConfig
    stages : tuple of Stage
    seed : int
        Of the initial weights, the order of the spectra and the draws of z.
    close_below : float
        Nats: when training ends, dimensions with less KL than this on the validation rows are
        closed: their q(z|x) is the unit Gaussian and the decoder does not read them.
    """

    name: str
    description: str
    architecture: VAEConfig
    prepare: PrepareConfig
    data: DataConfig
    stages: tuple[Stage, ...]
    seed: int = 0
    close_below: float = 0.0

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return sum(stage.steps for stage in self.stages)

    @property
    def recipe(self) -> str:
        """Everything that decides what comes out, as JSON; not where files lie."""
        values = dataclasses.asdict(self)
        del values["data"]["linelist"], values["data"]["workers"]
        if self.data.archive is None:
            del values["data"]["archive"]
        else:
            del values["data"]["archive"]["path"]
        return json.dumps(values, sort_keys=True)

    def stage_at(self, step: int) -> tuple[int, Stage, float]:
        """Index and stage that a step belongs to, and how far into it (0 to 1)."""
        for index, stage in enumerate(self.stages):
            if step < stage.steps or index == len(self.stages) - 1:
                return index, stage, min(step / stage.steps, 1.0)
            step -= stage.steps
        raise ModelError("a training run needs at least one stage")


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
