"""A whole training run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from latentscope.errors import ModelError
from latentscope.model.architecture import VAEConfig
from latentscope.spectra.prepare import PrepareConfig
from train.settings.data import DataConfig
from train.settings.stages import Stage


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
