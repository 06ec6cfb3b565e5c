import dataclasses

import pytest

from latentscope.errors import ModelError
from latentscope.models.config import VAEConfig
from train.settings import Schedule, Stage, TrainConfig


def test_steps_belong_to_their_stage(config):
    assert config.steps == 10
    assert [config.stage_at(step)[0] for step in (0, 5, 6, 9, 10)] == [0, 0, 1, 1, 1]
    assert config.stage_at(3)[2] == 0.5


CHANGES = {
    "name": "other",
    "description": "other",
    "architecture": VAEConfig(512, (4, 8), (5, 3), (4, 4), 4, extra=8),
    "seed": 1,
    "close_below": 0.1,
    "loss": "l1",
    "logvar_range": (-10.0, 10.0),
    "clip_gradients": 1.0,
    "ema_decay": 0.9,
    "penalty_spectra": 512,
}


@pytest.mark.parametrize("key", CHANGES)
def test_the_recipe_knows_what_decides_the_outcome(config, key):
    assert dataclasses.replace(config, **{key: CHANGES[key]}).recipe != config.recipe


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Stage) if f.name != "steps"])
def test_the_recipe_knows_every_part_of_a_stage(config, field):
    value = True if field == "revive" else Schedule(0.7, 0.8)
    stages = (dataclasses.replace(config.stages[0], **{field: value}), config.stages[1])
    assert dataclasses.replace(config, stages=stages).recipe != config.recipe


def test_when_to_give_up_is_no_part_of_the_recipe(config):
    assert dataclasses.replace(config, collapse_grace=None).recipe == config.recipe


@pytest.mark.parametrize(
    "change",
    [
        {"stages": (Stage(5, Schedule(0.0, 1.0)),)},
        {"stages": (Stage(5, Schedule(0.0), free_bits=Schedule(0.1)),)},
        {"stages": (Stage(5, Schedule(0.0), total_correlation=Schedule(1.0)),)},
        {"stages": (Stage(5, Schedule(0.0)),), "close_below": 0.1},
    ],
)
def test_a_plain_autoencoder_has_nothing_to_weigh_by_kl(config, change):
    architecture = dataclasses.replace(config.architecture, variational=False)
    with pytest.raises(ModelError, match=r"variational: false.*set \w+ to 0"):
        dataclasses.replace(config, architecture=architecture, **change)


def test_a_plain_autoencoder_may_be_decorrelated(config):
    architecture = dataclasses.replace(config.architecture, variational=False)
    stages = (Stage(5, Schedule(0.0), decorrelation=Schedule(1.0)),)
    plain = dataclasses.replace(config, architecture=architecture, stages=stages)
    assert isinstance(plain, TrainConfig)
    assert plain.uses("decorrelation")
