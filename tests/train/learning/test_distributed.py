import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from latentscope.models.weights import load_model
from train.fit import fit
from train.settings import read_config

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

# `python -m train ARGUMENTS`, in which the second process fails at the third step.
FAILING = """
import sys
from train.learning.module import SpectrumModule
from train.learning.devices import rank_and_world

step = SpectrumModule.training_step

def training_step(self, batch, batch_idx):
    if self.global_step == 2 and rank_and_world()[0] == 1:
        raise OSError("this process lost its disk")
    return step(self, batch, batch_idx)

SpectrumModule.training_step = training_step
from train.__main__ import app

app(sys.argv[1:])
"""


def torchrun(*command):
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*start, *map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=900
    )


def test_two_processes_train_as_one_with_the_doubled_batch(tiny, tmp_path, data_folder):
    """Two spectra in each of two processes, and four in one: the same losses to 1e-5."""
    fit(read_config(tiny), tmp_path / "one", data_folder=data_folder, watch_every=4)
    # The rows lie in a folder of their own here, which both processes want to fill.
    done = torchrun("-m", "train", "fit", tiny, "-o", tmp_path / "two", "--watch-every", 4)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model written") == 1
    assert "2 processes" in done.stderr

    one, two = (pd.read_csv(tmp_path / name / "log" / "metrics.csv") for name in ("one", "two"))
    assert two["step"].tolist() == one["step"].tolist() == list(range(10))
    for name in ("loss", "lines", "continuum", "kl"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, atol=1e-6, err_msg=name)
    watched = [pd.read_csv(tmp_path / name / "watch.csv") for name in ("one", "two")]
    assert watched[1]["step"].tolist() == watched[0]["step"].tolist()
    np.testing.assert_allclose(watched[1]["lines"], watched[0]["lines"], rtol=1e-4)
    models = [load_model(tmp_path / name / "model").state_dict() for name in ("one", "two")]
    for name, values in models[0].items():
        torch.testing.assert_close(models[1][name], values, rtol=1e-3, atol=1e-4, msg=name)
    assert len(list((tmp_path / "two" / "data").glob("rows-*"))) == 2  # training, validation


def test_an_error_in_one_process_ends_the_other(tiny, tmp_path, data_folder):
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    done = torchrun(script, "fit", tiny, "-o", tmp_path / "run", "--data", data_folder)
    assert done.returncode != 0
    assert "this process lost its disk" in done.stderr
    assert not (tmp_path / "run" / "model").exists()
