"""The settings of a run: one YAML file, checked strictly.

What a field means is in its class; that unknown keys, wrong kinds of values, and numbers that are
not finite or out of bounds are errors follows from `latentscope.settings`.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field

from latentscope.errors import LatentscopeError, ModelError
from latentscope.models.config import VAEConfig, known_config
from latentscope.settings import read_settings, settings
from latentscope.spectra.prepare import PrepareConfig

Accelerator = Literal["auto", "cpu", "gpu", "mps"]
Precision = Literal["auto", "32-true", "bf16-mixed"]
Compile = Literal["auto", "on", "off"]
Curve = Literal["linear", "geometric", "cosine", "cyclic"]
Loss = Literal["l2", "l1", "ivar"]
Reduction = Literal["sum", "mean"]

LOSS_SCHEDULES = (
    "beta",
    "free_bits",
    "blur",
    "continuum_weight",
    "total_correlation",
    "decorrelation",
    "dependence",
)
"""Schedules of a stage that change what is minimized."""

SCHEDULES = (*LOSS_SCHEDULES, "learning_rate")


def _no_truth(value: Any) -> Any:
    """Refuse true and false, which Python counts as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"is {value}; expected a number")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth)]
Number = Annotated[float, BeforeValidator(_no_truth)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
AtLeastOne = Annotated[Whole, Field(ge=1)]


def _short(key: str) -> BeforeValidator:
    """Take the short forms of a part: true for all its defaults, false for none of it."""

    def spelled_out(value: Any) -> Any:
        if value is False:
            return None
        return {key: value} if isinstance(value, str) and key else {} if value is True else value

    return BeforeValidator(spelled_out)


@settings(ModelError)
class TrainerConfig:
    """Where and how the steps of a run are computed. Only `precision` changes what comes out."""

    accelerator: Accelerator = "auto"  # a GPU where there is one
    # Of each machine (processes, on CPUs); -1: all. Under `torchrun` that says it.
    devices: Whole = Field(1, ge=-1)
    nodes: AtLeastOne = 1
    strategy: str = "auto"  # of Lightning: DDP for several devices
    precision: Precision = "auto"  # convolutions in bfloat16 on a GPU that has it
    # By `torch.compile`, the convolutions alone; on GPUs. YAML reads on and off as truths.
    compile: Annotated[
        Compile,
        BeforeValidator(lambda value: ("off", "on")[value] if isinstance(value, bool) else value),
    ] = "auto"
    keep_every: AtLeastOne | None = None  # steps between checkpoints that are kept, step-N.ckpt

    def __post_init__(self) -> None:
        if self.devices == 0:
            raise ModelError("devices is 0; expected at least 1, or -1 for all")


@settings(ModelError)
class ArchiveConfig:
    """A packed archive to learn from, and how it is split and balanced."""

    # Folder or fsspec URL, on the grid of `prepare`; "" where `--archive` says it.
    path: str = ""
    group: str | None = None  # column that names the stars; by default `star`, else `object`
    aliases: str | None = None  # table: one row per star, its names in any number of columns
    # Table of star (or id, or file) and `split`, instead of the fractions; spectra that it does
    # not name are left out.
    splits: str | None = None
    validation: Fraction = 0.1  # of the stars
    test: Fraction = 0.0  # of the stars, which training does not look at
    split_seed: Whole = 0  # of the hash of a star's name that decides its split
    one_per_star: bool = False  # in each epoch, another spectrum every epoch
    # Column whose bins get equal shares of an epoch, or `weights`; spectra without it are left out.
    label: str | None = None
    bins: int | list[int | float] = 10  # equal ones, or borders; text is one class per value
    weights: dict[int | str, int | float] | None = None  # class or number of the bin -> share; 1
    window_mb: Number = Field(256.0, gt=0)  # 10^6 bytes of rows in memory at once, and mixed
    watch_rows: AtLeastOne = 500  # validation spectra, one per star


@settings(ModelError)
class StreamConfig:
    """Simulated spectra made while training, on its device, instead of an archive made before."""

    ahead: Whole = Field(1, ge=0)  # batches that a thread makes in advance; 0: no thread
    block: AtLeastOne | None = None  # spectra made at once; by default as many as suit the device
    mean_rows: AtLeastOne = 500  # spectra whose mean the network starts from


@settings(ModelError)
class MixtureConfig:
    """Simulated and packed spectra in every batch."""

    simulated: Number = Field(0.5, gt=0, lt=1)  # share of a batch, at least one spectrum of each


@settings(ModelError)
class DopplerConfig:
    """A velocity drawn anew for each spectrum each time it is shown, by which it is shifted."""

    spread: Number = Field(60.0, gt=0, lt=3000)  # km/s, either way
    whole_pixels: bool = False  # of a logarithmic grid: nothing is interpolated then


@settings(ModelError)
class DataConfig:
    """What a network learns from: a simulated archive, a stream of spectra, a packed archive."""

    spectra: AtLeastOne = 16000  # stars, one spectrum each
    validation: AtLeastOne = 500
    seed: Whole = Field(1000, ge=0)  # of the training stars; validation stars have the next one
    linelist: str | None = None  # file; by default the package's lines
    population: Literal["harps", "wide", "even"] = "harps"  # see `simulation.population`
    batch_size: AtLeastOne = 8  # of all processes together
    accumulate: AtLeastOne = 1  # parts of a step that run one after the other
    workers: AtLeastOne | None = None  # processes that make the archive
    # In a file also its path alone; of the above only `batch_size` counts then, but in a mixture.
    archive: Annotated[ArchiveConfig | None, _short("path")] = None
    # In a file also true, for their defaults, or false.
    stream: Annotated[StreamConfig | None, _short("")] = None
    mixture: Annotated[MixtureConfig | None, _short("")] = None
    doppler: Annotated[DopplerConfig | None, _short("")] = None

    def __post_init__(self) -> None:
        if self.batch_size % self.accumulate:
            raise ModelError(
                f"batch_size is {self.batch_size}; expected a multiple of accumulate, "
                f"{self.accumulate}"
            )

    @property
    def part_size(self) -> int:
        """Spectra that go through the network at once."""
        return self.batch_size // self.accumulate

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides the outcome: not where files lie, nor parts that are absent."""
        values = dataclasses.asdict(self)
        del values["linelist"], values["workers"]
        if self.archive is not None:
            # The contents of lists count, which a checkpoint knows, not where they lie.
            for place in ("path", "aliases", "splits"):
                del values["archive"][place]
        if self.stream is not None:
            del values["stream"]["ahead"], values["stream"]["block"]
        parts = ("archive", "stream", "mixture", "doppler")
        return {key: value for key, value in values.items() if key not in parts or value}


@settings(ModelError)
class Schedule:
    """A number that changes during a stage.

    Held at `start` for the fraction `hold` of the stage, then moved to `end` until the fraction
    `until`, then held there. "linear" may be bent by `power`: the remaining way to `end` falls as
    (1 - progress) ** power. "cyclic" goes the way several times and is back at `start` at once when
    a cycle begins (Fu et al. 2019, arXiv:1903.10145: beta from 0 to 1, 4 cycles, rise 0.5).
    """

    start: Number = Field(ge=0)
    end: Annotated[Number, Field(ge=0)] | None = None  # by default `start`
    hold: Number = Field(0.0, ge=0)
    until: Number = 1.0  # above 1 the stage ends on the way
    curve: Curve = "linear"  # "geometric" changes by equal factors, "cosine" slowly at both ends
    power: Number = 1.0
    cycles: AtLeastOne = 4
    rise: Number = Field(0.5, gt=0, le=1)  # part of a cycle in which the value moves to `end`

    def __post_init__(self) -> None:
        if self.hold > self.until:
            raise ModelError(f"hold {self.hold}, until {self.until}; expected hold <= until")
        if self.curve == "geometric" and not (self.start > 0 and self.last > 0):
            raise ModelError(
                f"geometric from {self.start} to {self.end}; expected two positive numbers"
            )
        if self.curve != "cyclic" and (self.cycles, self.rise) != (4, 0.5):
            raise ModelError(f"cycles and rise belong to curve: cyclic, and this is {self.curve}")

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
        if self.curve == "cosine":
            return float(end + (self.start - end) * 0.5 * (1.0 + math.cos(math.pi * progress)))
        return float(end + (self.start - end) * (1.0 - progress) ** self.power)


Scheduled = Annotated[
    Schedule,
    # A number alone is a schedule that stays there.
    BeforeValidator(
        lambda value: value if isinstance(value, Mapping | Schedule) else {"start": value}
    ),
]


@settings(ModelError)
class Stage:
    """A stretch of training with schedules of its own; a number alone is one that stays."""

    steps: AtLeastOne
    beta: Scheduled  # disentanglement weight: the factor of the KL term
    blur: Scheduled = Schedule(0.0)  # pixels: Gaussian that smooths the residual of the lines
    continuum_weight: Scheduled = Schedule(1.0)  # of the residual of the log continuum
    learning_rate: Scheduled = Schedule(1e-3)
    # Draw the weights of dead dimensions anew at the start (KL below 0.1 nats on validation rows;
    # of a plain autoencoder, MAD below 0.02), with fresh optimizer moments.
    revive: bool = False
    # Turn the open dimensions at the start to where they depend on each other least.
    turn: bool = False
    # Turn the closed dimensions at the start to their principal axes: a direction that has opened
    # a little in all of them comes to lie in one.
    gather: bool = False
    # Nats: the KL of each dimension, mean over the batch, counts as this at least.
    free_bits: Scheduled = Schedule(0.0)
    total_correlation: Scheduled = Schedule(0.0)  # factors of penalties: see `learning.losses`
    decorrelation: Scheduled = Schedule(0.0)
    dependence: Scheduled = Schedule(0.0)

    def uses(self, name: str) -> bool:
        """Whether a schedule is above 0 anywhere in this stage."""
        schedule: Schedule = getattr(self, name)
        return schedule.start > 0 or schedule.last > 0

    @property
    def settled(self) -> float:
        """Fraction of the stage from which what is minimized stays the same."""
        schedules: list[Schedule] = [getattr(self, name) for name in LOSS_SCHEDULES]
        return max(schedule.settled for schedule in schedules)


@settings(ModelError)
class OptimizerConfig:
    """What takes the steps."""

    name: str = "Adam"  # a class of `torch.optim`
    arguments: dict[str, Any] = field(default_factory=dict)  # all but the learning rate


@settings(ModelError)
class TrainConfig:
    """A training run; docs/training-configuration.md tells its keys."""

    name: str  # of the model that comes out, as is the description
    description: str
    architecture: VAEConfig
    data: DataConfig
    stages: tuple[Stage, ...] = Field(min_length=1)
    prepare: PrepareConfig | None = None  # by default that of the packed archive
    # Model whose weights the run starts from; architecture and prepare may be left out then.
    start: str | None = None
    # In a file also the name alone.
    optimizer: Annotated[OptimizerConfig, _short("name")] = field(default_factory=OptimizerConfig)
    seed: Whole = Field(0, ge=0)  # of the initial weights, the order of the spectra, the draws of z
    close_below: Number = Field(0.0, ge=0)  # nats: dimensions with less are closed at the end
    rotate: bool = False  # turn the open dimensions at the end to where they depend least
    loss: Loss = "l2"  # half the squared residuals, absolute ones, or squares over the variance
    # "mean": over the pixels (valid or not) and the latents, by which beta is the lambda of
    # Sedaghat et al. (2021).
    reduction: Reduction = "sum"
    # Divide the line term of a spectrum by its mean squared line contrast plus this, times this
    # plus 0.015, that of an ordinary star: strong lines count less.
    equal_lines: Annotated[Number, Field(gt=0)] | None = None
    logvar_range: tuple[Number, Number] = (-20.0, 10.0)  # in training; the network's own
    clip_gradients: Annotated[Number, Field(gt=0)] | None = None  # longest norm over all weights
    ema_decay: Number = Field(0.0, ge=0, lt=1)  # per step, of averaged weights; 0: no average
    penalty_spectra: Whole = Field(1024, ge=2)  # the batch and earlier ones, for the penalties
    # Steps after a stage's loss has settled from which a run without open dimensions is stopped.
    collapse_grace: Annotated[Whole, Field(ge=0)] | None = 5000
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def __post_init__(self) -> None:
        low, high = self.logvar_range
        if not low < 0 < high:
            raise ModelError(
                f"logvar_range is {low:g} to {high:g}; expected a range with 0, the unit "
                "Gaussian's, inside"
            )
        if self.architecture.variational:
            return
        by_kl = [name for name in ("beta", "free_bits", "total_correlation") if self.uses(name)]
        by_kl += ["close_below"] if self.close_below > 0 else []
        if by_kl:
            raise ModelError(
                f"{by_kl[0]} is above 0, but architecture: variational: false has no distribution "
                f"of the latents; set {by_kl[0]} to 0"
            )

    def uses(self, name: str) -> bool:
        """Whether a schedule is above 0 in any stage."""
        return any(stage.uses(name) for stage in self.stages)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
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
        index = 0
        while index < len(self.stages) - 1 and step >= self.stages[index].steps:
            step -= self.stages[index].steps
            index += 1
        stage = self.stages[index]
        return index, stage, min(step / stage.steps, 1.0)


def read_yaml(path: str | Path) -> Any:
    """Read the contents of a YAML (or JSON) file; ModelError if that fails."""
    try:
        return yaml.safe_load(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: cannot be read as YAML: {error}") from error


def read_config(path: str | Path, changes: Sequence[str] = ()) -> TrainConfig:
    """Read a training configuration, with other values of some keys.

    `changes` are ``key=value``, such as ``stages.0.beta=0.3``. ModelError if the file is missing or
    no YAML, or a key of it is unknown, missing or does not fit.
    """
    values = read_yaml(path)
    for change in changes:
        _set(values, change)
    if isinstance(values, dict) and isinstance(values.get("start"), str):
        architecture, prepare = shape_of(values["start"])
        values = {"architecture": architecture, "prepare": prepare} | values
    config = read_settings(TrainConfig, values, where=str(path), error=ModelError)
    if config.architecture.encoder is not None:
        module = config.architecture.encoder.class_path.rpartition(".")[0]
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ModelError(f"{path}: encoder: {module} cannot be imported: {error}") from error
    return config


def shape_of(model: str) -> tuple[VAEConfig, PrepareConfig | None]:
    """Return architecture and preparation of a model, as `load_model` takes it.

    Weights are loaded only where nothing is known without them.
    """
    known = known_config(model)
    if known is not None:
        return known.architecture, known.prepare
    from latentscope.models.weights import load_model

    loaded = load_model(model)
    return loaded.config, loaded.prepare


def _set(values: Any, change: str) -> None:
    """Put what ``key=value`` says into the values of a file; numbers in a key count from 0."""
    key, _, value = change.partition("=")
    *path, last = (int(part) if part.isdigit() else part for part in key.split("."))
    try:
        for part in path:
            values = values.setdefault(part, {}) if isinstance(values, dict) else values[part]
        values[last] = yaml.safe_load(value)
    except (LookupError, TypeError, yaml.YAMLError):
        raise ModelError(
            f"--set {change}: expected KEY=VALUE with a key of the configuration, such as "
            "trainer.devices=4 or stages.0.beta=0.3"
        ) from None


def continues(config: TrainConfig, recipe: str) -> bool:
    """Whether the recipe of a checkpoint is a configuration's own, or lacks only its last stages.

    The recipe is read like a configuration, so that keys which came after the checkpoint was
    written have their defaults.
    """
    values = json.loads(recipe)
    try:
        former = read_settings(TrainConfig, values, where="the checkpoint", error=ModelError)
    except LatentscopeError:
        return False
    if config.stages[: len(former.stages)] == former.stages:
        former = dataclasses.replace(former, stages=config.stages)
    return former.recipe == config.recipe
