"""A whole training run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Literal, get_args

from latentscope.errors import ModelError
from latentscope.models.config import VAEConfig
from latentscope.spectra.prepare import PrepareConfig
from train.settings.data import DataConfig
from train.settings.stages import Stage
from train.settings.trainer import TrainerConfig

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
