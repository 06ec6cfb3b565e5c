"""export and half, as commands."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from latentscope.models.check_rows import check_model, write_check_rows
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import save_model
from train.settings import read_config

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "train", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_half_writes_a_smaller_folder(tiny, tmp_path):
    config = read_config(tiny)
    torch.manual_seed(0)
    model = SpectrumVAE(config.architecture, config.prepare, {"name": "tiny"}).eval()
    folder = save_model(model, tmp_path / "model")
    write_check_rows(model, np.random.default_rng(0).normal(size=(3, 520)), folder)
    done = command("half", folder, tmp_path / "half")
    assert done.returncode == 0, done.stderr
    assert "the reference latents moved by" in done.stdout
    assert check_model(tmp_path / "half") < 1e-6


def test_a_run_without_a_checkpoint_is_one_line(tiny, tmp_path):
    done = command("export", tiny, "--run", tmp_path / "run", "-o", tmp_path / "model")
    assert done.returncode == 1
    assert "last.ckpt: no such file" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "model").exists()
