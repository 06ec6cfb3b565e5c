"""A tiny network as training leaves it, its data, and a hub on this machine."""

import shutil

import huggingface_hub.constants
import pytest
import torch
import yaml

from latentscope.models.network import SpectrumVAE
from tests.models.conftest import serving
from tests.train.conftest import TINY
from tests.train.publishing.hub import Hub
from train.data.sources import data_of
from train.learning.module import SpectrumModule
from train.publishing import export
from train.settings import read_config


@pytest.fixture
def data(config, data_folder):
    data = data_of(config, data_folder)
    data.setup()
    return data


def untrained(config):
    """An untrained network: its last two latents spread widely, its first, a shift, is dead."""
    torch.manual_seed(3)
    model = SpectrumVAE(config.architecture, config.prepare)
    with torch.no_grad():
        model.mean.weight *= 30
        model.mean.weight[0], model.mean.bias[0] = 0, 0
        model.logvar.weight[0], model.logvar.bias[0] = 0, 0
        model.doppler_scale.zero_()
    return SpectrumModule(model, config)


@pytest.fixture
def module(config):
    return untrained(config)


@pytest.fixture(scope="session")
def exported(tmp_path_factory, data_folder):
    """The model folder of that network."""
    path = tmp_path_factory.mktemp("exported") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    config = read_config(path)
    data = data_of(config, data_folder)
    data.setup()
    return export(untrained(config), config, data, path.parent / "model")


@pytest.fixture
def folder(exported, tmp_path):
    """A copy of it."""
    return shutil.copytree(exported, tmp_path / "model")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine, with a token for it; uploads go by LFS instead of Xet."""
    monkeypatch.setenv("HF_TOKEN", "writes")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    with serving(Hub(), monkeypatch) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
