import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from typer.testing import CliRunner

from latentscope.errors import ModelError
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import check_model, load_model
from tests.train.conftest import TINY
from tests.train.learning.whole_batch import loss_and_gradient
from train.commands import app
from train.fit import export_checkpoint, fit
from train.learning.callbacks import WholeCheckpoints
from train.learning.module import SpectrumModule
from train.settings import TrainerConfig, read_config

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
STEPS = 10

# `python -m train ARGUMENTS` twice, each time until it kills itself as `kill -9` does: in the step
# of a number, then with half of the first checkpoint written. Each is a fork, so that its imports,
# which take most of a process's time, are done once.
KILLED = """
import os, signal, sys
import torch
import train.fit
from train.commands import app
from train.learning.module import SpectrumModule

number = int(sys.argv[1])
step, save = SpectrumModule.training_step, torch.save

def training_step(self, batch, batch_idx):
    if self.global_step == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, batch_idx)

def half_saved(checkpoint, path, *args, **kwargs):
    save(checkpoint, path, *args, **kwargs)
    os.truncate(path, os.path.getsize(path) // 2)
    os.kill(os.getpid(), signal.SIGKILL)

def ended(where):
    child = os.fork()
    if child == 0:
        if where == "step":
            SpectrumModule.training_step = training_step
        else:
            torch.save = half_saved
        app(sys.argv[2:])
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def checkpoint():
    with open(os.path.join(sys.argv[5], "last.ckpt"), "rb") as file:
        return file.read()

first = ended("step")
before = checkpoint()
second = ended("save")
print(first, second, checkpoint() == before)
"""


def run(*command, timeout=600):
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )


def weights(folder):
    return {k: v.numpy() for k, v in load_model(folder).state_dict().items()}


def test_a_killed_run_ends_like_an_uninterrupted_one(tiny, tmp_path, data_folder):
    """Killed in a random step, then with half a checkpoint written, then taken up to the end."""
    config = read_config(tiny)
    whole = fit(config, tmp_path / "whole", data_folder=data_folder, watch_every=3)
    parts = tmp_path / "parts"
    step = int(np.random.default_rng(4).integers(4, 6))
    arguments = ["fit", str(tiny), "-o", str(parts), "--data", str(data_folder)]
    done = run("-c", KILLED, str(step), *arguments, "--watch-every", "3")
    assert done.stdout.split() == [str(-signal.SIGKILL), str(-signal.SIGKILL), "True"], done.stderr
    (left,) = parts.glob(".latentscope-*")
    os.utime(left, (time.time() - 10.0,) * 2)  # as old as a user needs to start the next run
    fit(config, parts, data_folder=data_folder, watch_every=3)
    assert not list(parts.glob(".latentscope-*"))

    unbroken, found = (pd.read_csv(tmp_path / name / "log" / "metrics.csv")
                     for name in ("whole", "parts"))  # fmt: skip
    assert unbroken["step"].tolist() == found["step"].tolist() == list(range(STEPS))
    np.testing.assert_allclose(found["loss"], unbroken["loss"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[unbroken.columns], unbroken, rtol=1e-6, atol=1e-6)
    ours, theirs = weights(tmp_path / "parts" / "model"), weights(whole)
    assert ours.keys() == theirs.keys()
    for key in ours:
        np.testing.assert_allclose(ours[key], theirs[key], rtol=0, atol=1e-6, err_msg=key)
    watched = pd.read_csv(tmp_path / "parts" / "watch.csv")
    assert watched["step"].tolist() == [3, 6, 9, STEPS]


def test_the_command_line_trains_a_model_that_loads(tiny, tmp_path, data_folder):
    words = ["fit", str(tiny), "-o", str(tmp_path / "run"), "--data", str(data_folder)]
    done = CliRunner().invoke(app, [*words, "--set", "trainer.precision=bf16-mixed"])
    assert done.exit_code == 0, done.stderr
    model = load_model(tmp_path / "run" / "model")
    assert model.info["name"] == "tiny"
    assert model.info["training"]["labels_used"] is False
    assert model.info["training"]["steps"] == STEPS
    assert "training on cpu, 1 process, precision bf16-mixed, from step 0" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(ModelError, match="another configuration"):
        fit(read_config(tiny), tmp_path / "run", data_folder=data_folder)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.yaml"], "nowhere.yaml"),
        (["tiny.yaml", "--set", "trainer.precision=8"], "bf16-mixed"),
        (["tiny.yaml", "--set", "stages.7.beta=1"], "KEY=VALUE"),
    ],
)
def test_a_wrong_usage_is_one_line(tiny, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["fit", *words, "-o", "run"])
    assert done.exit_code == 1
    assert said in done.output
    assert len(done.output.splitlines()) == 1


def test_a_checkpoint_replaces_the_older_one_only_when_it_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"a": torch.ones(3)}, path)

    def fails(checkpoint, path):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", fails)
        with pytest.raises(OSError, match="disk full"):
            WholeCheckpoints().save_checkpoint({"a": torch.zeros(3)}, path)
    assert torch.load(path)["a"].tolist() == [1.0, 1.0, 1.0]
    assert os.listdir(tmp_path) == ["last.ckpt"]


def assert_same(one, other):
    ours, theirs = weights(one), weights(other)
    for key in theirs:
        np.testing.assert_allclose(ours[key], theirs[key], rtol=0, atol=1e-6, err_msg=key)


def test_checkpoints_are_kept_and_a_run_that_ended_can_be_extended(tiny, tmp_path, data_folder):
    whole = dataclasses.replace(read_config(tiny), close_below=1e-3, rotate=True)
    short = dataclasses.replace(whole, stages=whole.stages[:1], trainer=TrainerConfig(keep_every=4))
    run = tmp_path / "run"
    fit(short, run, data_folder=data_folder, watch_every=2)
    assert {path.name for path in run.glob("*.ckpt")} == {"best.ckpt", "last.ckpt", "step-4.ckpt"}
    seen = pd.read_csv(run / "watch.csv").set_index("step")["loss"]
    steps = export_checkpoint(
        short, run, tmp_path / "best", data_folder=data_folder, checkpoint="best.ckpt"
    )
    assert steps == seen.idxmin()
    export_checkpoint(short, run, tmp_path / "ended", data_folder=data_folder)
    assert_same(tmp_path / "ended", run / "model")
    with pytest.raises(ModelError, match=r"none\.ckpt: no such file; the run has best\.ckpt, last"):
        export_checkpoint(short, run, tmp_path / "no", checkpoint="none.ckpt")

    extended = fit(whole, run, data_folder=data_folder, watch_every=2)
    assert_same(extended, fit(whole, tmp_path / "whole", data_folder=data_folder, watch_every=2))
    assert pd.read_csv(run / "log" / "metrics.csv")["step"].tolist() == list(range(STEPS))


def test_a_run_may_start_from_another_models_weights(tiny, tmp_path, data_folder):
    before = fit(read_config(tiny), tmp_path / "before", data_folder=data_folder, watch_every=10)
    values = yaml.safe_load(tiny.read_text())
    del values["architecture"], values["prepare"]
    tiny.write_text(yaml.safe_dump(values))
    stage = "stages=[{steps: 3, beta: 0.1, learning_rate: 1.0e-6}]"
    config = read_config(tiny, [f"start={before}", stage])
    assert config.architecture == load_model(before).config
    after = fit(config, tmp_path / "after", data_folder=data_folder, watch_every=10)
    assert load_model(after).info["training"]["start"] == str(before)
    old = pd.read_csv(tmp_path / "before" / "watch.csv").iloc[-1]
    new = pd.read_csv(tmp_path / "after" / "watch.csv")
    assert new["step"].tolist() == [0, 3]
    for key in ("loss", "lines", "kl"):
        assert new[key].tolist() == pytest.approx([old[key]] * 2, rel=1e-3)
    other = dataclasses.replace(config, prepare=dataclasses.replace(config.prepare, window=7))
    with pytest.raises(ModelError, match="another architecture or preparation"):
        fit(other, tmp_path / "other", data_folder=data_folder)


def test_an_encoder_of_ones_own_is_trained_exported_and_loaded(
    tiny, tmp_path, data_folder, monkeypatch
):
    values = yaml.safe_load(tiny.read_text())
    path = "tests.train.own_encoder.Dense"
    values["architecture"]["encoder"] = {"class_path": path, "init_args": {"width": 16}}
    tiny.write_text(yaml.safe_dump(values))
    folder = fit(read_config(tiny), tmp_path / "run", data_folder=data_folder)
    model = load_model(folder)
    assert model.encoder.layers[0].weight.shape == (16, 512)
    assert check_model(folder) < 1e-5
    monkeypatch.delitem(sys.modules, "tests.train.own_encoder")
    with pytest.raises(ModelError, match=f"{path}; import tests.train.own_encoder first"):
        load_model(folder)
    for wrong, words in (
        ("torch.nn.functional.relu", "not a torch.nn.Module"),
        ("torch.nn.Linear", "unexpected keyword"),
        ("nowhere.Encoder", "nowhere cannot be imported"),
    ):
        values["architecture"]["encoder"] = {"class_path": wrong}
        tiny.write_text(yaml.safe_dump(values))
        with pytest.raises(ModelError, match=words):
            SpectrumVAE(read_config(tiny).architecture)


# `python -m train fit CONFIG -o FOLDER` for two folders, between them the loss of a whole batch.
# Into the second folder, with the rows of the first, the second process fails at the third step.
TWO_PROCESSES = """
import contextlib
import sys
import torch
from tests.train.learning.whole_batch import loss_and_gradient
from train.commands import app
from train.learning.module import SpectrumModule
from train.learning.devices import rank_and_world

config, first, second = sys.argv[1:]
with contextlib.suppress(SystemExit):
    app(["fit", config, "-o", first, "--watch-every", "4"])
torch.save(loss_and_gradient(), f"{first}/{rank_and_world()[0]}.pt")

step = SpectrumModule.training_step

def training_step(self, batch, batch_idx):
    if self.global_step == 2 and rank_and_world()[0] == 1:
        raise OSError("this process lost its disk")
    return step(self, batch, batch_idx)

SpectrumModule.training_step = training_step
app(["fit", config, "-o", second, "--data", first + "/data"])
"""


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """How that ended under torchrun, where most of the time goes into imports, and the folder."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    (folder / "two.py").write_text(TWO_PROCESSES)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    names = (str(folder / name) for name in ("two.py", "tiny.yaml", "two", "failed"))
    return run(*torchrun, *names), folder


def test_two_processes_train_as_one_with_the_doubled_batch(
    two_processes, tiny, tmp_path, data_folder
):
    """Two spectra in each of two processes, and four in one: the same losses to 1e-5."""
    one, (done, folder) = tmp_path / "one", two_processes
    fit(read_config(tiny), one, data_folder=data_folder, watch_every=4)
    # The rows lie in a folder of their own here, which both processes want to fill.
    two = folder / "two"
    assert done.stdout.count("model written") == 1, done.stderr
    assert "2 processes" in done.stderr

    folders = (one, two)
    ours, theirs = (pd.read_csv(path / "log" / "metrics.csv") for path in folders)
    assert theirs["step"].tolist() == ours["step"].tolist() == list(range(10))
    for name in ("loss", "lines", "continuum", "kl"):
        np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-5, atol=1e-6, err_msg=name)
    watched = [pd.read_csv(path / "watch.csv") for path in folders]
    assert watched[1]["step"].tolist() == watched[0]["step"].tolist()
    np.testing.assert_allclose(watched[1]["lines"], watched[0]["lines"], rtol=1e-4)
    models = [load_model(path / "model").state_dict() for path in folders]
    for name, values in models[0].items():
        torch.testing.assert_close(models[1][name], values, rtol=1e-3, atol=1e-4, msg=name)
    assert len(list((two / "data").glob("rows-*"))) == 2  # training, validation


def test_two_processes_have_the_loss_and_gradient_of_one(two_processes):
    loss, gradient = loss_and_gradient()
    for rank in range(2):
        found = torch.load(two_processes[1] / "two" / f"{rank}.pt")
        assert found[0].item() == pytest.approx(loss.item(), rel=1e-6)
        assert torch.allclose(found[1], gradient, rtol=1e-5, atol=1e-6)


def test_an_error_in_one_process_ends_the_other(two_processes):
    done, folder = two_processes
    assert done.returncode != 0
    assert "this process lost its disk" in done.stderr
    assert not (folder / "failed" / "model").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_end_is_not_done(tiny, tmp_path, data_folder, monkeypatch, number):
    step = SpectrumModule.training_step

    def ended(self, batch, batch_idx):
        if self.global_step == 7:
            signal.raise_signal(number)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(SpectrumModule, "training_step", ended)
    # Jobs in the background begin with SIGINT ignored, and Lightning ignores it from then on.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    words = ["fit", str(tiny), "-o", str(tmp_path / "run"), "--data", str(data_folder)]
    try:
        done = CliRunner().invoke(app, [*words, "--watch-every", "4"])
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.exit_code == 130
    last = done.stderr.splitlines()[-1]
    assert last == "interrupted; the same command goes on from the last checkpoint"
    assert (tmp_path / "run" / "last.ckpt").exists()
    assert not (tmp_path / "run" / "model").exists()


def test_what_lightning_refuses_and_a_broken_checkpoint_are_told(tiny, tmp_path, data_folder):
    words = ["fit", str(tiny), "-o", str(tmp_path), "--data", str(data_folder)]
    done = CliRunner().invoke(app, [*words, "--set", "trainer.strategy=nope"])
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: trainer: You selected an invalid strategy"
    )
    torch.save({"threads": 1}, tmp_path / "last.ckpt")
    os.truncate(tmp_path / "last.ckpt", 500)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "last.ckpt: is not a complete checkpoint" in done.stderr.splitlines()[-1]
