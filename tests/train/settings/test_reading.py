import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from latentscope.errors import LatentscopeError
from tests.train.conftest import TINY
from train.settings import ArchiveConfig, DataConfig, continues, read_config

FOLDER = Path(__file__).parents[3] / "train" / "configs"
CONFIGS = [p for p in sorted(FOLDER.glob("*.yaml")) if "stages" in yaml.safe_load(p.read_text())]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_shipped_configurations_make_networks_under_five_megabytes(path):
    from latentscope.models.network import SpectrumVAE

    config = read_config(path)
    assert config.name == path.stem
    model = SpectrumVAE(config.architecture, config.prepare)
    assert 4 * sum(p.numel() for p in model.parameters()) < 5e6


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
        ({"stages": [{"steps": 0, "beta": 1.0}]}, "at least 1"),
        ({"stages": [{"steps": 3, "beta": -1.0}]}, r"beta goes from -1\.0"),
        ({"stages": [{"steps": 3, "beta": True}]}, "beta: start is True"),
        ({"stages": [{"steps": 3, "beta": {"start": 0, "cycles": 2}}]}, "cyclic"),
        ({"stages": [{"steps": 3, "beta": {"start": 0, "curve": "cyclic", "rise": 0}}]}, "rise"),
        ({"stages": [{"steps": 3, "beta": 1.0, "free_bits": -0.1}]}, "free_bits"),
        ({"loss": "huber"}, "l2, l1, ivar"),
        ({"logvar_range": [1, 2]}, "logvar_range"),
        ({"logvar_range": 3}, r"wrong\.yaml"),
        ({"clip_gradients": 0}, "clip_gradients"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"ema_decay": "slow"}, r"wrong\.yaml.*slow"),
        ({"penalty_spectra": 1}, "penalty_spectra"),
        ({"penalty_spectra": 2.5}, "whole number"),
        ({"collapse_grace": -5}, "collapse_grace"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path, change, words):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(TINY | change))
    with pytest.raises(LatentscopeError, match=words) as error:
        read_config(path)
    assert str(error.value).startswith(str(path))


def test_numbers_may_be_written_as_powers_of_ten(tmp_path):
    path = tmp_path / "right.yaml"
    path.write_text(yaml.safe_dump(TINY) + "clip_gradients: 1e-2\nema_decay: 999e-3\n")
    config = read_config(path)
    assert (config.clip_gradients, config.ema_decay) == (0.01, 0.999)


@pytest.mark.parametrize("text", ["just words", "a: [unclosed"])
def test_no_configuration_at_all(tmp_path, text):
    path = tmp_path / "no.yaml"
    path.write_text(text)
    with pytest.raises(LatentscopeError, match=r"no\.yaml"):
        read_config(path)


def test_a_recipe_of_earlier_days_is_still_this_configuration(tiny):
    config = read_config(tiny)
    assert continues(config, config.recipe)
    values = json.loads(config.recipe)
    for key in ("loss", "logvar_range", "clip_gradients", "ema_decay", "penalty_spectra"):
        del values[key]
    for stage in values["stages"]:
        for key in ("free_bits", "total_correlation", "decorrelation"):
            del stage[key]
        for schedule in ("beta", "blur", "continuum_weight", "learning_rate"):
            del stage[schedule]["cycles"], stage[schedule]["rise"]
    assert continues(config, json.dumps(values))
    assert not continues(dataclasses.replace(config, loss="l1"), json.dumps(values))
    values["stages"][0]["beta"]["start"] = 0.4
    assert not continues(config, json.dumps(values))
    assert not continues(config, json.dumps(values | {"stages": []}))


def test_a_recipe_of_a_packed_archive_does_not_say_where_it_lies(tiny):
    config = read_config(tiny)
    archive = ArchiveConfig("here.zarr", bins=[1.0, 2.0], label="Teff", weights={0: 2.0})
    config = dataclasses.replace(config, data=DataConfig(archive=archive))
    moved = dataclasses.replace(archive, path="there.zarr")
    assert continues(dataclasses.replace(config, data=DataConfig(archive=moved)), config.recipe)
    other = dataclasses.replace(archive, weights={0: 3.0})
    assert not continues(dataclasses.replace(config, data=DataConfig(archive=other)), config.recipe)
