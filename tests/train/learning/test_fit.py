import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from latentscope.errors import ModelError
from latentscope.model.weights import load_model
from train.learning.fit import fit
from train.settings.reading import read_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*isinstance.*LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty"),
]


class Killed(Exception):
    """Stands for a machine that goes away in the middle of a run."""


def weights(folder):
    return {k: v.numpy() for k, v in load_model(folder).state_dict().items()}


def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    tiny, tmp_path, data_folder, monkeypatch
):
    config = read_config(tiny)
    whole = fit(config, tmp_path / "whole", data_folder=data_folder, watch_every=4)

    from train.learning.module import SpectrumModule

    step = SpectrumModule.training_step

    def dies(self, batch, batch_idx):
        if self.global_step == 7:
            raise Killed
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(SpectrumModule, "training_step", dies)
        with pytest.raises(Killed):
            fit(config, tmp_path / "parts", data_folder=data_folder, watch_every=4)
    resumed = fit(config, tmp_path / "parts", data_folder=data_folder, watch_every=4)
    first, second = weights(whole), weights(resumed)
    assert first.keys() == second.keys()
    for key in first:
        assert np.allclose(first[key], second[key], atol=1e-6), key
    watch = pd.read_csv(tmp_path / "whole" / "watch.csv")
    assert watch["step"].tolist() == [4, 8, 10]
    assert torch.isfinite(torch.tensor(watch["lines"].to_numpy())).all()


def test_the_command_line_trains_a_model_that_loads(tiny, tmp_path, data_folder):
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "train", "fit", str(tiny), "-o", str(tmp_path / "run"),
               "--data", str(data_folder)]  # fmt: skip
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    model = load_model(tmp_path / "run" / "model")
    assert model.info["name"] == "tiny"
    assert model.info["training"]["labels_used"] is False
    assert model.info["training"]["steps"] == 10


def test_a_missing_configuration_is_one_line(tmp_path):
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "train", "fit", "nowhere.yaml", "-o", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "nowhere.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_changed_configuration_does_not_resume(tiny, tmp_path, data_folder):
    fit(read_config(tiny), tmp_path / "run", data_folder=data_folder, watch_every=5)
    tiny.write_text(tiny.read_text().replace("beta: 0.5", "beta: 0.6"))
    with pytest.raises(ModelError, match="another configuration"):
        fit(read_config(tiny), tmp_path / "run", data_folder=data_folder, watch_every=5)
