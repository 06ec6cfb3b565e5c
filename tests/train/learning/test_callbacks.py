import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from typer.testing import CliRunner

from latentscope.errors import ModelError
from tests.train.conftest import TINY
from train.commands import app
from train.data.batches import Batch
from train.learning import callbacks
from train.learning.callbacks import CollapseStop, Loss, ProgressLines, settled, stop_if_not_finite
from train.settings import Schedule, Stage

pytestmark = pytest.mark.filterwarnings("ignore:.*isinstance.*LeafSpec")


def loss_of(total, lines, rows=None):
    rows = torch.zeros(len(lines), 4) if rows is None else rows
    batch = Batch(rows, torch.arange(10, 10 + len(lines)))
    return Loss(7, torch.tensor(total), {"lines": torch.tensor(lines)}, batch)


def names(numbers):
    return [f"star {number}" for number in numbers]


def test_a_finite_loss_goes_on(tmp_path):
    stop_if_not_finite(loss_of(3.0, [1.0, 2.0]), tmp_path, names)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_batch_of_a_lost_loss_is_written_down(tmp_path, value):
    lines = [1.0, value, 2.0, value, value, value, value]
    with pytest.raises(
        ModelError, match=r"star 11, star 13, star 14 and 2 more.*diverged"
    ) as error:
        stop_if_not_finite(loss_of(value, lines), tmp_path, names)
    assert str(tmp_path / "nan-batch.csv") in str(error.value)
    table = pd.read_csv(tmp_path / "nan-batch.csv")
    assert table.columns.tolist() == ["step", "number", "name", "lines"]
    assert table["number"].tolist() == list(range(10, 17))
    assert table["name"][1] == "star 11"
    assert np.array_equal(table["lines"], lines, equal_nan=True)


def test_rows_that_are_no_numbers_are_said_to_be_to_blame(tmp_path):
    rows = torch.zeros(2, 4)
    rows[1, 2] = float("nan")
    loss = loss_of(float("nan"), [1.0, float("nan")], rows)
    with pytest.raises(ModelError, match="rows of star 11 are not finite"):
        stop_if_not_finite(loss, tmp_path, names)


def test_a_run_stops_at_a_bad_spectrum_and_keeps_no_such_weights(config, train, noise, tmp_path):
    data = noise(config)
    data.spoiled = {4: float("inf")}
    with pytest.raises(ModelError, match="loss of step 4 is"):
        train(config, data)
    table = pd.read_csv(tmp_path / "nan-batch.csv")
    assert table.columns.tolist() == ["step", "number", "name", "lines", "continuum", "kl"]
    assert table["number"].tolist() == data.batch(4).numbers.tolist()
    assert ~np.isfinite(table["lines"][1])
    assert np.isfinite(table["lines"][0])


def test_the_last_loss_is_looked_at_too(config, train, noise):
    data = noise(config)
    data.spoiled = {config.steps - 1: float("nan")}
    with pytest.raises(ModelError, match=f"step {config.steps - 1}"):
        train(config, data)


def test_no_checkpoint_is_written_of_lost_weights(config, train, noise, tmp_path):
    from lightning.pytorch.callbacks import ModelCheckpoint

    data = noise(config)
    data.spoiled = {3: float("nan")}
    every = ModelCheckpoint(tmp_path / "kept", save_top_k=-1, every_n_train_steps=2)
    with pytest.raises(ModelError, match="step 3"):
        train(config, data, callbacks=[every])
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["epoch=0-step=2.ckpt"]


def test_a_stage_settles_with_the_last_of_its_schedules(config):
    stages = (
        Stage(100, Schedule(1.0), blur=Schedule(6.0, 0.0, until=0.4)),
        Stage(100, Schedule(1.0, 0.1), learning_rate=Schedule(1e-3)),
        Stage(100, Schedule(0.1), learning_rate=Schedule(1e-3, 1e-5)),
    )
    config = dataclasses.replace(config, stages=stages, collapse_grace=20)
    looked = [step for step in range(301) if settled(config, step)]
    assert looked == [*range(60, 100), *range(220, 301)]
    assert not any(settled(dataclasses.replace(config, collapse_grace=None), s) for s in looked)


def looked(callback, config, step, dead):
    module = SimpleNamespace(dead_dims=lambda: list(range(dead)))
    callback.on_train_batch_end(SimpleNamespace(global_step=step), module, None, None, 0)


def test_a_collapse_stops_at_the_second_look(config, monkeypatch):
    monkeypatch.setattr(callbacks, "CHECK_EVERY", 10)
    config = dataclasses.replace(config, stages=(Stage(100, Schedule(1.0)),), collapse_grace=20)
    callback = CollapseStop(config)
    for step, dead in ((10, 3), (20, 3), (25, 3), (30, 2), (40, 3)):
        looked(callback, config, step, dead)
    again = CollapseStop(config)
    again.load_state_dict(callback.state_dict())
    looked(again, config, 45, 3)
    with pytest.raises(ModelError, match=r"step 50.*free_bits.*collapse_grace"):
        looked(again, config, 50, 3)


def test_a_network_that_learns_nothing_is_stopped(config, train, monkeypatch):
    stage = Stage(60, Schedule(1e4), learning_rate=Schedule(1e-2))
    config = dataclasses.replace(config, stages=(stage,), collapse_grace=0)
    monkeypatch.setattr(callbacks, "CHECK_EVERY", 20)
    with pytest.raises(ModelError, match=r"KL above 0\.1 nats"):
        train(config)


def test_the_command_line_says_it_in_a_line(tmp_path, data_folder):
    config, run = tmp_path / "fast.yaml", tmp_path / "run"
    config.write_text(
        yaml.safe_dump(TINY | {"stages": [{"steps": 9, "beta": 1.0, "learning_rate": 1e30}]})
    )
    words = ["fit", str(config), "-o", str(run), "--data", str(data_folder)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert f"{run}/nan-batch.csv" in done.stderr.splitlines()[-1]
    assert "lower learning_rate" in done.stderr.splitlines()[-1]
    assert pd.read_csv(run / "nan-batch.csv")["name"].str.startswith("star ").all()


def trainer(step, **more):
    root = SimpleNamespace(root_device=torch.device("cpu"))
    given = {"global_step": step, "is_global_zero": True, "world_size": 2, "strategy": root,
             "precision": "32-true", "callback_metrics": {}}  # fmt: skip
    return SimpleNamespace(**given | more)


def test_a_line_comes_now_and_then_with_the_time_left(monkeypatch, capsys):
    clock = [100.0]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: clock[0])
    lines = ProgressLines()
    module = SimpleNamespace(config=SimpleNamespace(steps=25_000))
    lines.on_train_start(trainer(1000), module)
    for second in range(1, 121):
        clock[0] = 100.0 + second
        loss = {"loss": torch.tensor(34.25)}
        lines.on_train_batch_end(trainer(1000 + 20 * second), module, loss, None, second)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "training on cpu, 2 processes, precision 32-true, from step 1,000"
    assert said[1].startswith("step 1,120 of 25,000, loss 34.25, 20 steps/s, 20 min left")
    assert len(said) == 3  # after 6 s, and 60 s later


def test_only_the_first_process_speaks(monkeypatch, capsys):
    monkeypatch.setattr(callbacks, "_LINE_EVERY", 0.0)
    lines = ProgressLines()
    other = trainer(0, is_global_zero=False)
    lines.on_train_start(other, None)
    lines.on_train_batch_end(other, None, {"loss": torch.tensor(1.0)}, None, 0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(50, "1 min"), (3590, "1 h 00 min"), (9000, "2 h 30 min")]
)
def test_durations_in_words(seconds, words):
    assert callbacks._duration(seconds) == words
