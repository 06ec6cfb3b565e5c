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
    keep_every : int, optional
        Keep the checkpoint of every so many steps, as `step-N.ckpt`.
    """

    accelerator: Accelerator = "auto"
    devices: Whole = Field(1, ge=-1)
    nodes: AtLeastOne = 1
    strategy: str = "auto"
    precision: Precision = "auto"
    compile: Annotated[Compile, BeforeValidator(lambda value: _switch(value))] = "auto"
    keep_every: AtLeastOne | None = None

    def __post_init__(self) -> None:
        if self.devices == 0:
            raise ModelError("devices is 0; expected at least 1, or -1 for all")


def _switch(value: Any) -> Any:
    """Undo what YAML makes of on and off."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


@settings(ModelError)
class ArchiveConfig:
    """A packed archive to learn from, and how it is split and balanced.

    Parameters
    ----------
    path : str
        Folder or fsspec URL that `python -m train pack` made, on the grid of `prepare`; "" where
        `--archive` says it.
    group : str, optional
        Column of the table that says which spectra show one star; by default `star`, else `object`.
    aliases : str, optional
        Table of names: one row per star, its names in any number of columns.
    splits : str, optional
        Table that says which star (or id, or file) belongs to which `split`: train, validation or
        test, instead of the fractions. Spectra that it does not name are left out.
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
        Validation spectra to watch the training with, one per star.
    """

    path: str = ""
    group: str | None = None
    aliases: str | None = None
    splits: str | None = None
    validation: Fraction = 0.1
    test: Fraction = 0.0
    split_seed: Whole = 0
    one_per_star: bool = False
    label: str | None = None
    bins: int | list[int | float] = 10
    weights: dict[int | str, int | float] | None = None
    window_mb: Number = Field(256.0, gt=0)
    watch_rows: AtLeastOne = 500


@settings(ModelError)
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

    ahead: Whole = Field(1, ge=0)
    block: AtLeastOne | None = None
    mean_rows: AtLeastOne = 500


@settings(ModelError)
class MixtureConfig:
    """Simulated and packed spectra in every batch.

    Parameters
    ----------
    simulated : float
        Fraction of each batch that is simulated, between 0 and 1; rounded to whole spectra, at
        least one of each kind.
    """

    simulated: Number = Field(0.5, gt=0, lt=1)


@settings(ModelError)
class DopplerConfig:
    """A velocity drawn anew for each spectrum each time it is shown, by which it is shifted.

    Parameters
    ----------
    spread : float
        km/s: velocities are uniform between -spread and +spread.
    whole_pixels : bool
        Round shifts to whole pixels of a logarithmic grid: nothing is interpolated then.
    """

    spread: Number = Field(60.0, gt=0, lt=3000)
    whole_pixels: bool = False


@settings(ModelError)
class DataConfig:
    """What a network learns from: a simulated archive, a stream of spectra, a packed archive.

    Parameters
    ----------
    spectra, validation : int
        Stars to train on, and stars to watch the training with; one spectrum each.
    seed : int
        Seed of the training stars; the next number seeds the validation stars.
    linelist : str, optional
        Line list file; the package's lines by default.
    population : {"harps", "wide", "even"}
        Stars and instruments: those of HARPS; resolutions of 40,000 to 190,000, SNR to 500 and
        the continua of other spectrographs as well; three stars in four drawn broadly besides.
    batch_size : int
        Spectra per step, of all processes together.
    accumulate : int
        Parts in which a step's spectra go through the network, one after the other.
    workers : int, optional
        Processes that make the archive.
    archive : ArchiveConfig, optional
        A packed archive, in a file also its path alone; of the values above only `batch_size`
        counts then, unless there is a `mixture`.
    stream : StreamConfig, optional
        Simulate while training, instead of `spectra` before it; this and the next two in a file
        also true, for their defaults, or false.
    mixture : MixtureConfig, optional
        Simulated spectra (an archive or a stream) and those of `archive` in every batch.
    doppler : DopplerConfig, optional
        Shift training spectra by random velocities.
    """

    spectra: AtLeastOne = 16000
    validation: AtLeastOne = 500
    seed: Whole = Field(1000, ge=0)
    linelist: str | None = None
    population: Literal["harps", "wide", "even"] = "harps"
    batch_size: AtLeastOne = 8
    accumulate: AtLeastOne = 1
    workers: AtLeastOne | None = None
    archive: Annotated[ArchiveConfig | None, _short("path")] = None
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
            # What lists hold counts, which a checkpoint knows, not where they lie.
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

    Parameters
    ----------
    start, end : float
        Values from 0 on; `end` defaults to `start`.
    hold, until : float
        Fractions of the stage; with `until` above 1 the stage ends on the way.
    curve : {"linear", "geometric", "cosine", "cyclic"}
        Geometric changes by equal factors; cosine is slow at both ends.
    power : float
        Exponent of the linear curve.
    cycles : int
        Of the cyclic curve between `hold` and `until`.
    rise : float
        Fraction of each cycle in which the value moves evenly from `start` to `end`, where it stays
        for the rest.
    """

    start: Number = Field(ge=0)
    end: Annotated[Number, Field(ge=0)] | None = None
    hold: Number = Field(0.0, ge=0)
    until: Number = 1.0
    curve: Curve = "linear"
    power: Number = 1.0
    cycles: AtLeastOne = 4
    rise: Number = Field(0.5, gt=0, le=1)

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
    """A stretch of training with schedules of its own; a number alone is one that stays.

    Parameters
    ----------
    steps : int
        Optimizer steps.
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
        Of the optimizer.
    revive : bool
        Draw the weights of dead dimensions (KL below 0.1 nats on validation rows; of a plain
        autoencoder, MAD below 0.02) anew at the start, with fresh optimizer moments.
    turn : bool
        Turn the open dimensions at the start to where they depend on each other least, and their
        means on each other, with fresh optimizer moments. A penalty then keeps them there.
    """

    steps: AtLeastOne
    beta: Scheduled
    blur: Scheduled = Schedule(0.0)
    continuum_weight: Scheduled = Schedule(1.0)
    learning_rate: Scheduled = Schedule(1e-3)
    revive: bool = False
    turn: bool = False
    free_bits: Scheduled = Schedule(0.0)
    total_correlation: Scheduled = Schedule(0.0)
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
    """What takes the steps.

    Parameters
    ----------
    name : str
        A class of `torch.optim`.
    arguments : dict
        Of that class, such as `weight_decay`; the learning rate is a stage's.
    """

    name: str = "Adam"
    arguments: dict[str, Any] = field(default_factory=dict)


@settings(ModelError)
class TrainConfig:
    """A training run.

    Parameters
    ----------
    name, description : str
        Of the model that comes out.
    prepare : PrepareConfig, optional
        By default that of the packed archive.
    start : str, optional
        Model whose weights the run starts from, as `load_model` takes it; `architecture` and
        `prepare` are that model's and need not be given.
    optimizer : OptimizerConfig
        In a file also the name alone.
    seed : int
        Of the initial weights, the order of the spectra and the draws of z.
    close_below : float
        Nats: when training ends, dimensions with less KL than this on the validation rows are
        closed: their q(z|x) is the unit Gaussian and the decoder does not read them.
    rotate : bool
        When training ends, turn the open dimensions (without the one of a Doppler layer) to where
        their total correlation is least.
    loss : {"l2", "l1", "ivar"}
        Reconstruction: half the sum of squared residuals, the sum of absolute ones, or half the
        sum of squares weighted by the inverse variance of each pixel.
    reduction : {"sum", "mean"}
        "mean": reconstruction terms over the number of their pixels (valid or not) and the KL over
        the number of latents, by which beta is the lambda of Sedaghat et al. (2021).
    equal_lines : float, optional
        Let spectra with strong lines count less: the line term of each is divided by the mean
        square of its line contrast plus this (and multiplied by this plus 0.015, that of an
        ordinary star).
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
    """

    name: str
    description: str
    architecture: VAEConfig
    data: DataConfig
    stages: tuple[Stage, ...] = Field(min_length=1)
    prepare: PrepareConfig | None = None
    start: str | None = None
    optimizer: Annotated[OptimizerConfig, _short("name")] = field(default_factory=OptimizerConfig)
    seed: Whole = Field(0, ge=0)
    close_below: Number = Field(0.0, ge=0)
    rotate: bool = False
    loss: Loss = "l2"
    reduction: Reduction = "sum"
    equal_lines: Annotated[Number, Field(gt=0)] | None = None
    logvar_range: tuple[Number, Number] = (-20.0, 10.0)
    clip_gradients: Annotated[Number, Field(gt=0)] | None = None
    ema_decay: Number = Field(0.0, ge=0, lt=1)
    penalty_spectra: Whole = Field(1024, ge=2)
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
    """Return what a YAML (or JSON) file holds.

    Raises
    ------
    ModelError
        If it cannot be read.
    """
    try:
        return yaml.safe_load(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: cannot be read as YAML: {error}") from error


def read_config(path: str | Path, changes: Sequence[str] = ()) -> TrainConfig:
    """Read a training configuration.

    Parameters
    ----------
    changes : sequence of str
        ``key=value``: keys of other values than the file's, such as ``stages.0.beta=0.3``.

    Raises
    ------
    ModelError
        If the file is missing, is no YAML, or a key of it is unknown, missing or does not fit.
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
