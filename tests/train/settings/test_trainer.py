import dataclasses
import json

import pytest

from latentscope.errors import LatentscopeError
from train.settings import TrainerConfig, continues, read_config


def test_a_trainer_section_is_read(tiny):
    tiny.write_text(tiny.read_text() + "trainer: {devices: 4, precision: bf16-mixed, compile: off}")
    trainer = read_config(tiny).trainer
    assert trainer == TrainerConfig(devices=4, precision="bf16-mixed", compile="off")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{precision: 16}", "precision is 16; wanted one of auto, 32-true, bf16-mixed"),
        ("{accelerator: tpu}", "wanted one of auto, cpu, gpu, mps"),
        ("{devices: 0}", "wanted at least 1"),
        ("{gpus: 2}", "has no gpus; known: accelerator"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_files_name(tiny, section, message):
    tiny.write_text(tiny.read_text() + f"trainer: {section}")
    with pytest.raises(LatentscopeError, match=message) as caught:
        read_config(tiny)
    assert str(tiny) in str(caught.value)


def test_precision_alone_belongs_to_the_recipe(tiny):
    config = read_config(tiny)
    assert "trainer" not in json.loads(config.recipe)
    elsewhere = dataclasses.replace(config, trainer=TrainerConfig(devices=8, compile="on"))
    assert continues(elsewhere, config.recipe)
    low = dataclasses.replace(config, trainer=TrainerConfig(precision="bf16-mixed"))
    assert continues(low, low.recipe)
    assert not continues(low, config.recipe)
    assert not continues(config, low.recipe)
