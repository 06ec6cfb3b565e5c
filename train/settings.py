"""The settings of a run: one YAML file, read strictly."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml

from latentscope.errors import ChoiceError, LatentscopeError, ModelError
from latentscope.models.config import VAEConfig
from latentscope.spectra.prepare import PrepareConfig

Precision = Literal["auto", "32-true", "bf16-mixed"]
Compile = Literal["auto", "on", "off"]
Accelerator = Literal["auto", "cpu", "gpu", "mps"]


@dataclass(frozen=True)
class TrainerConfig:
    """Where and how the steps of a run are computed. Only `precision` changes what comes out.

    Parameters
    ----------
    accelerator : {"auto", "cpu", "gpu", "mps"}
        "auto": a GPU where there is one.
    devices : int
        Devices (processes, on CPUs) of each machine; -1: all. Under `torchrun` that says it.
    nodes : int
        Machines.
    strategy : str
        Of Lightning: "auto" (DDP for several devices), "ddp", ...
    precision : {"auto", "32-true", "bf16-mixed"}
        "auto": convolutions in bfloat16 on a GPU that has it, else float32 throughout.
    compile : {"auto", "on", "off"}
        Compile the convolutions by `torch.compile`; "auto": on GPUs.

    Raises
    ------
    ChoiceError
        If a value is none of these.
    """

    accelerator: Accelerator = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    precision: Precision = "auto"
    compile: Compile = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.compile, bool):  # what YAML makes of on and off
            object.__setattr__(self, "compile", "on" if self.compile else "off")
        choices: dict[str, Any] = {
            "accelerator": Accelerator,
            "precision": Precision,
            "compile": Compile,
        }
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise ChoiceError(
                    f"trainer: {name} is {getattr(self, name)!r}; wanted one of "
                    f"{', '.join(get_args(kind))}"
                )
        if self.nodes < 1 or (self.devices < 1 and self.devices != -1):
            raise ChoiceError(
                f"trainer: {self.devices} devices on {self.nodes} nodes; wanted at least 1 of "
                "each, or devices: -1 for all"
            )


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
class StreamConfig:
    """Simulated spectra made while training, on its device, instead of an archive made before.

    Parameters
    ----------
    ahead : int
        Batches that a thread makes before they are asked for; 0: no thread.
    block : int, optional
        Spectra made at once; by default as many as suit the device.
    mean_rows : int
        Spectra whose mean the network starts from.
    """

    ahead: int = 1
    block: int | None = None
    mean_rows: int = 500

    def __post_init__(self) -> None:
        if self.ahead < 0 or self.mean_rows < 1 or (self.block is not None and self.block < 1):
            raise ChoiceError(
                f"stream: ahead {self.ahead}, block {self.block}, mean_rows {self.mean_rows}; "
                "wanted ahead from 0 on, the others from 1 on"
            )


@dataclass(frozen=True)
class MixtureConfig:
    """Simulated and packed spectra in every batch.

    Parameters
    ----------
    simulated : float
        Fraction of each batch that is simulated, between 0 and 1; rounded to whole spectra, at
        least one of each kind.
    """

    simulated: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.simulated < 1:
            raise ChoiceError(
                f"mixture: simulated is {self.simulated}; wanted a fraction between 0 and 1"
            )


@dataclass(frozen=True)
class DopplerConfig:
    """A velocity drawn anew for each spectrum each time it is shown, by which it is shifted.

    Parameters
    ----------
    spread : float
        km/s: velocities are uniform between -spread and +spread.
    whole_pixels : bool
        Round shifts to whole pixels of a logarithmic grid: nothing is interpolated then.
    """

    spread: float = 60.0
    whole_pixels: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.spread < 3000:
            raise ChoiceError(
                f"doppler: spread is {self.spread} km/s; wanted more than 0 and less than 3000"
            )


@dataclass(frozen=True)
class DataConfig:
    """What a network learns from: a simulated archive, a stream of spectra, a packed archive.

    Parameters
    ----------
    spectra, validation : int
        Stars to train on, and stars to watch the training with; one spectrum each.
    seed : int
        Seed of the training stars; the next number seeds the validation stars.
    linelist : str, optional
        Line list file; the built-in list by default.
    batch_size : int
        Spectra a step, of all processes together.
    workers : int, optional
        Processes that make the archive.
    archive : ArchiveConfig, optional
        A packed archive; of the values above only `batch_size` counts then, unless there is a
        `mixture`.
    stream : StreamConfig, optional
        Simulate while training, instead of `spectra` before it.
    mixture : MixtureConfig, optional
        Simulated spectra (an archive or a stream) and those of `archive` in every batch.
    doppler : DopplerConfig, optional
        Shift training spectra by random velocities.
    """

    spectra: int = 16000
    validation: int = 500
    seed: int = 1000
    linelist: str | None = None
    batch_size: int = 8
    workers: int | None = None
    archive: ArchiveConfig | None = None
    stream: StreamConfig | None = None
    mixture: MixtureConfig | None = None
    doppler: DopplerConfig | None = None

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides the outcome: not where files lie, nor parts that are absent."""
        values = dataclasses.asdict(self)
        del values["linelist"], values["workers"]
        if self.archive is not None:
            del values["archive"]["path"]
        if self.stream is not None:
            del values["stream"]["ahead"], values["stream"]["block"]
        parts = ("archive", "stream", "mixture", "doppler")
        return {key: value for key, value in values.items() if key not in parts or value}


PARTS: dict[str, type[Any]] = {
    "archive": ArchiveConfig,
    "stream": StreamConfig,
    "mixture": MixtureConfig,
    "doppler": DopplerConfig,
}
"""Keys of `data` that hold keys of their own."""


def spelled_out(key: str, value: Any) -> Mapping[str, Any] | None:
    """Return a part's keys where a configuration has its short form; None for no such part.

    The path alone of an archive, ``true`` for another part with all its defaults, ``false`` for
    none.

    Raises
    ------
    ChoiceError
        If it is no form of the part.
    """
    if value is None or value is False:
        return None
    if key == "archive" and isinstance(value, str):
        return {"path": value}
    if key != "archive" and value is True:
        return {}
    if not isinstance(value, Mapping):
        names = ", ".join(field.name for field in dataclasses.fields(PARTS[key]))
        short = "its path alone" if key == "archive" else "true"
        raise ChoiceError(f"data: {key} is {value!r}; wanted its keys ({names}), or {short}")
    return value


Curve = Literal["linear", "geometric", "cyclic"]

LOSS_SCHEDULES = (
    "beta",
    "free_bits",
    "blur",
    "continuum_weight",
    "total_correlation",
    "decorrelation",
    "dependence",
)
"""Schedules of a stage that change what is minimised."""

SCHEDULES = (*LOSS_SCHEDULES, "learning_rate")


@dataclass(frozen=True)
class Schedule:
    """A number that changes during a stage.

    Held at `start` for the fraction `hold` of the stage, then moved to `end` until the fraction
    `until`, then held there. "linear" may be bent by `power`: the remaining way to `end` falls as
    (1 - progress) ** power. "cyclic" goes the way several times and is back at `start` at once when
    a cycle begins (Fu et al. 2019, arXiv:1903.10145: beta from 0 to 1, 4 cycles, rise 0.5).

    Parameters
    ----------
    start, end : float
        Values; `end` defaults to `start`.
    hold, until : float
        Fractions of the stage; with `until` above 1 the stage ends on the way.
    curve : {"linear", "geometric", "cyclic"}
        Geometric changes by equal factors.
    power : float
        Exponent of the linear curve.
    cycles : int
        Of the cyclic curve between `hold` and `until`.
    rise : float
        Fraction of each cycle in which the value moves evenly from `start` to `end`, where it stays
        for the rest.

    Raises
    ------
    ModelError
        If the numbers make no schedule.
    """

    start: float
    end: float | None = None
    hold: float = 0.0
    until: float = 1.0
    curve: Curve = "linear"
    power: float = 1.0
    cycles: int = 4
    rise: float = 0.5

    def __post_init__(self) -> None:
        if self.curve not in get_args(Curve):
            raise ModelError(f"curve is {self.curve!r}; wanted one of {', '.join(get_args(Curve))}")
        if not 0 <= self.hold <= self.until:
            raise ModelError(f"hold {self.hold}, until {self.until}; wanted 0 <= hold <= until")
        if self.curve == "geometric" and not (self.start > 0 and (self.end or 1.0) > 0):
            raise ModelError(
                f"geometric from {self.start} to {self.end}; wanted two positive numbers"
            )
        if self.curve != "cyclic" and (self.cycles, self.rise) != (4, 0.5):
            raise ModelError(f"cycles and rise belong to curve: cyclic, and this is {self.curve}")
        if self.cycles < 1 or not 0 < self.rise <= 1:
            raise ModelError(
                f"cycles {self.cycles}, rise {self.rise}; wanted at least one cycle, and a "
                "fraction above 0 and up to 1"
            )

    @property
    def last(self) -> float:
        """Value that it moves to."""
        return self.start if self.end is None else self.end

    @property
    def settled(self) -> float:
        """Fraction of the stage from which the value stays; above 1 if it never does."""
        return 0.0 if self.last == self.start else self.until

    def at(self, fraction: float) -> float:
        """Value at a fraction (0 to 1) of the stage."""
        end = self.last
        span = max(self.until - self.hold, 1e-12)
        progress = min(max((fraction - self.hold) / span, 0.0), 1.0)
        if self.curve == "geometric":
            return float(self.start * (end / self.start) ** progress)
        if self.curve == "cyclic":
            cycle = 1.0 if progress == 1.0 else progress * self.cycles % 1.0
            return float(self.start + (end - self.start) * min(cycle / self.rise, 1.0))
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
    free_bits : Schedule
        Nats: each dimension's KL, averaged over the batch, counts as at least this much, so that
        nothing pulls it lower (Kingma et al. 2016).
    blur : Schedule
        Standard deviation in pixels of the Gaussian that smooths the residual of the line contrast
        before it is squared. A wide blur lets a network find a shift first.
    continuum_weight : Schedule
        Factor of the squared residual of the log continuum.
    total_correlation : Schedule
        Factor of the total correlation of the latents in nats (Chen et al. 2018).
    decorrelation : Schedule
        Factor of the squared covariances between the means of different dimensions (Kumar et al.
        2018).
    dependence : Schedule
        Factor of the squared correlations between Fourier features of the means of different
        dimensions (Gretton et al. 2005).
    learning_rate : Schedule
        Of Adam.
    revive : bool
        Draw the weights of dead dimensions (KL below 0.1 nats on validation rows; of a plain
        autoencoder, MAD below 0.02) anew at the start, with fresh optimiser moments.

    Raises
    ------
    ModelError
        If there is no step, or a schedule reaches below 0.
    """

    steps: int
    beta: Schedule
    blur: Schedule = field(default_factory=lambda: Schedule(0.0))
    continuum_weight: Schedule = field(default_factory=lambda: Schedule(1.0))
    learning_rate: Schedule = field(default_factory=lambda: Schedule(1e-3))
    revive: bool = False
    free_bits: Schedule = field(default_factory=lambda: Schedule(0.0))
    total_correlation: Schedule = field(default_factory=lambda: Schedule(0.0))
    decorrelation: Schedule = field(default_factory=lambda: Schedule(0.0))
    dependence: Schedule = field(default_factory=lambda: Schedule(0.0))

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ModelError(f"steps is {self.steps}; wanted at least 1")
        for name in SCHEDULES:
            schedule = getattr(self, name)
            if not (schedule.start >= 0 and schedule.last >= 0):
                raise ModelError(
                    f"{name} goes from {schedule.start} to {schedule.last}; wanted numbers not "
                    "below 0"
                )

    def uses(self, name: str) -> bool:
        """Whether a schedule is above 0 anywhere in this stage."""
        schedule: Schedule = getattr(self, name)
        return schedule.start > 0 or schedule.last > 0

    @property
    def settled(self) -> float:
        """Fraction of the stage from which what is minimised stays the same."""
        schedules: list[Schedule] = [getattr(self, name) for name in LOSS_SCHEDULES]
        return max(schedule.settled for schedule in schedules)


Loss = Literal["l2", "l1", "ivar"]


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
    rotate : bool
        When training ends, turn the open dimensions (without the one of a Doppler layer) to where
        they depend on each other least.
    loss : {"l2", "l1", "ivar"}
        Reconstruction: half the sum of squared residuals, the sum of absolute ones, or half the
        sum of squares weighted by the inverse variance of each pixel.
    logvar_range : tuple of float
        Log variances are held to this range in training; the default is the network's own.
    clip_gradients : float, optional
        Longest Euclidean norm of the gradient over all weights; longer ones are scaled down.
    ema_decay : float
        Decay per step of an exponential moving average of the weights, which is what is validated
        and exported; 0: no average.
    penalty_spectra : int
        Spectra over which the penalties are measured: the batch, and as many of those before it as
        it takes.
    collapse_grace : int, optional
        Steps after a stage's loss has settled from which a run without any open dimension is
        stopped; None: it never is. What comes out does not depend on it.
    trainer : TrainerConfig
        Devices and precision.

    Raises
    ------
    ModelError
        If a value makes no training.
    """

    name: str
    description: str
    architecture: VAEConfig
    prepare: PrepareConfig
    data: DataConfig
    stages: tuple[Stage, ...]
    seed: int = 0
    close_below: float = 0.0
    rotate: bool = False
    loss: Loss = "l2"
    logvar_range: tuple[float, float] = (-20.0, 10.0)
    clip_gradients: float | None = None
    ema_decay: float = 0.0
    penalty_spectra: int = 1024
    collapse_grace: int | None = 5000
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def __post_init__(self) -> None:
        low, high = (float(value) for value in self.logvar_range)
        object.__setattr__(self, "logvar_range", (low, high))
        for wrong in [*self._faults(), *self._faults_of_plain_autoencoder()]:
            raise ModelError(wrong)

    def _faults(self) -> list[str]:
        low, high = self.logvar_range
        clip, grace = self.clip_gradients, self.collapse_grace
        checks = [
            (
                self.loss not in get_args(Loss),
                f"loss is {self.loss!r}; wanted one of {', '.join(get_args(Loss))}",
            ),
            (
                not low < 0 < high,
                f"logvar_range is {low:g} to {high:g}; wanted a range with 0, the unit Gaussian's, "
                "inside",
            ),
            (
                clip is not None and not clip > 0,
                f"clip_gradients is {clip}; wanted a positive number, or no such key",
            ),
            (
                not 0 <= self.ema_decay < 1,
                f"ema_decay is {self.ema_decay}; wanted 0 (no average) or a decay below 1, such as "
                "0.999",
            ),
            (
                self.penalty_spectra < 2,
                f"penalty_spectra is {self.penalty_spectra}; wanted at least 2",
            ),
            (
                grace is not None and grace < 0,
                f"collapse_grace is {grace}; wanted a number of steps, or null for no such stop",
            ),
        ]
        return [message for failed, message in checks if failed]

    def _faults_of_plain_autoencoder(self) -> list[str]:
        if self.architecture.variational:
            return []
        asked = [name for name in ("beta", "free_bits", "total_correlation") if self.uses(name)]
        asked += ["close_below"] if self.close_below > 0 else []
        return [
            f"{name} is above 0, but architecture: variational: false has no distribution of the "
            f"latents; set {name} to 0"
            for name in asked
        ]

    def uses(self, name: str) -> bool:
        """Whether a schedule is above 0 in any stage."""
        return any(stage.uses(name) for stage in self.stages)

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return sum(stage.steps for stage in self.stages)

    @property
    def recipe(self) -> str:
        """Everything that decides what comes out, as JSON; not where files lie."""
        values = dataclasses.asdict(self) | {"data": self.data.recipe}
        del values["collapse_grace"]
        del values["trainer"]
        if self.trainer.precision != "auto":
            values["trainer"] = {"precision": self.trainer.precision}
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
