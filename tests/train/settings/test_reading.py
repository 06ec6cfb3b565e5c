from pathlib import Path

import pytest
import yaml

from latentscope.errors import LatentscopeError
from tests.train.conftest import TINY
from train.settings.reading import read_config
from train.settings.stages import Schedule

CONFIGS = sorted((Path(__file__).parents[3] / "train" / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_shipped_configurations_make_networks_under_five_megabytes(path):
    from latentscope.model.vae import SpectrumVAE

    config = read_config(path)
    assert config.name == path.stem
    model = SpectrumVAE(config.architecture, config.prepare)
    assert 4 * sum(p.numel() for p in model.parameters()) < 5e6


def test_schedules_have_their_closed_forms():
    bent = Schedule(6.0, 0.0, until=0.5, power=1.3)
    assert bent.at(0.0) == 6.0
    assert bent.at(0.25) == pytest.approx(6.0 * 0.5**1.3)
    assert bent.at(0.5) == bent.at(1.0) == 0.0
    geometric = Schedule(0.01, 1.0, hold=0.2, until=0.6, curve="geometric")
    assert geometric.at(0.1) == pytest.approx(0.01)
    assert geometric.at(0.4) == pytest.approx(0.1)
    assert geometric.at(0.9) == pytest.approx(1.0)
    assert Schedule(0.3).at(0.7) == 0.3


def test_steps_belong_to_their_stage(tiny):
    config = read_config(tiny)
    assert config.steps == 10
    assert [config.stage_at(step)[0] for step in (0, 5, 6, 9, 10)] == [0, 0, 1, 1, 1]
    assert config.stage_at(3)[2] == 0.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stages": []}, "at least one"),
        ({"stages": [{"steps": 2, "beta": 1.0, "lambda": 2}]}, "lambda"),
        ({"stages": [{"steps": 2, "beta": {"start": 1.0, "curve": "cubic"}}]}, "cubic"),
        ({"stages": [{"steps": 2, "beta": {"start": 1.0, "hold": 2.0}}]}, "hold"),
        ({"data": {"stars": 5}}, "stars"),
        ({"data": None}, r"wrong\.yaml"),
        ({"stages": None}, r"wrong\.yaml"),
        ({"stages": [{"steps": "many", "beta": 1.0}]}, "steps"),
        ({"stages": [{"steps": 3, "beta": "much"}]}, "much"),
        ({"stages": [{"steps": 3, "beta": {"start": 0, "curve": "geometric"}}]}, "positive"),
        ({"optimizer": "sgd"}, "optimizer"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path, change, words):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(TINY | change))
    with pytest.raises(LatentscopeError, match=words):
        read_config(path)


@pytest.mark.parametrize("text", ["just words", "a: [unclosed"])
def test_no_configuration_at_all(tmp_path, text):
    path = tmp_path / "no.yaml"
    path.write_text(text)
    with pytest.raises(LatentscopeError, match=r"no\.yaml"):
        read_config(path)
