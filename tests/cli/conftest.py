"""The command line in a process of its own and in this one, and small things to run it on."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latentscope.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def process():
    """Run `latentscope ARGUMENTS` as a process."""

    def run(*arguments, stdin=None, env=None, timeout=120):
        done = subprocess.run(
            [sys.executable, "-m", "latentscope", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=os.environ | (env or {}),
        )
        assert "Traceback" not in done.stderr + done.stdout
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def command(capsys, monkeypatch):
    """Run `latentscope ARGUMENTS` in this process, which is faster."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["latentscope", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        text = capsys.readouterr()
        assert "Traceback" not in text.err + text.out
        return Ended(ended.value.code or 0, text.out, text.err)

    return run


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A model folder with random weights and 3 latents."""
    from latentscope.models.weights import save_model
    from tests.models.encoding import small_model

    return save_model(small_model(3, "tiny"), tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    """Twelve simulated spectra, S1D, and their labels.csv."""
    from latentscope.simulation.simulate import write_archive

    folder = tmp_path_factory.mktemp("archive")
    write_archive(folder, 12, seed=3, layout="s1d", repeats=False, workers=1)
    return folder


@pytest.fixture(scope="session")
def measured(tmp_path_factory) -> Path:
    """Folder with latents.npy (400 x 4: rv, Teff, noise, dead) and labels.csv that go with them."""
    folder = tmp_path_factory.mktemp("measured")
    rng = np.random.default_rng(7)
    rv, teff = rng.normal(0, 30, 400), rng.uniform(3500, 7000, 400)
    latents = np.column_stack(
        [
            -rv / 30 + 0.05 * rng.normal(size=400),
            (teff - 5000) / 1000 + 0.1 * rng.normal(size=400),
            rng.normal(size=400),
            1e-4 * rng.normal(size=400),
        ]
    )
    latents[5] = np.nan
    np.save(folder / "latents.npy", latents.astype(np.float32))
    ids = [f"spectrum-{i}" for i in range(400)]
    pd.DataFrame({"id": ids, "star": ids, "status": "ok"}).to_csv(
        folder / "latents.csv", index=False
    )
    labels = pd.DataFrame({"id": ids, "radvel": rv, "Teff": teff})
    labels.sample(frac=1, random_state=1).to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.fixture
def here(measured, tmp_path, monkeypatch) -> Path:
    """A copy of that folder, in which commands run."""
    shutil.copytree(measured, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
