import pandas as pd
import pytest
import torch
import yaml

from tests.train.conftest import TINY
from train.data.archive import Layout
from train.data.packing import pack
from train.fit import fit
from train.learning.module import SpectrumModule
from train.settings import read_config


class Trainer:
    """What a data module asks of a trainer."""

    def __init__(self, step=0, rank=0, world=1):
        self.global_step, self.global_rank, self.world_size = step, rank, world
        self.accumulate_grad_batches = 1
        self.strategy = type("Strategy", (), {"root_device": torch.device("cpu")})


@pytest.fixture
def trainer():
    """Function (step, rank, world): a stand-in for a trainer there."""
    return Trainer


@pytest.fixture(scope="session")
def labelled(one_night, tmp_path_factory, prepare):
    """A packed archive of six stars with labels Teff and type."""
    labels = pd.DataFrame(
        {"star": [f"s{s}" for s in range(6)], "Teff": [5000.0 + s for s in range(6)]}
    )
    labels["type"] = ["F", "F", "G", "G", "K", "K"]
    layout = Layout(520, "float16", chunk=2, shard=4)
    archive = tmp_path_factory.mktemp("labelled") / "a.zarr"
    pack(one_night, archive, prepare, layout=layout, labels=labels, join="star", workers=1)
    return archive


@pytest.fixture
def interrupted(monkeypatch):
    """Function (config, folder, **words): a run that dies at its step 7, and goes on."""

    class Killed(Exception):
        """Stands for a machine that goes away."""

    step = SpectrumModule.training_step

    def dies(self, batch, batch_idx):
        if self.global_step == 7:
            raise Killed
        return step(self, batch, batch_idx)

    def run(config, folder, **words):
        with monkeypatch.context() as patched:
            patched.setattr(SpectrumModule, "training_step", dies)
            with pytest.raises(Killed):
                fit(config, folder, watch_every=4, **words)
        return fit(config, folder, watch_every=4, **words)

    return run


@pytest.fixture
def configured(tmp_path):
    """Function (**data): the tiny configuration with other data."""

    def read(run=None, **data):
        path = tmp_path / "configured.yaml"
        values = TINY["data"] | {"batch_size": 6} | data
        path.write_text(yaml.safe_dump(TINY | (run or {}) | {"data": values}))
        return read_config(path)

    return read
