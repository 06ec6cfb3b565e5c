import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from train.watching import Watch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*isinstance.*LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*dataloader is not resumable"),
]

SECOND = 1.0
"""TensorBoard orders event files of one second by a count as text, in which 10 is before 9."""


def events(folder):
    board = EventAccumulator(str(folder / "log"), {"scalars": 0, "images": 0})
    board.Reload()
    return board


def test_an_interrupted_run_leaves_the_files_of_an_uninterrupted_one(run, tmp_path):
    run(tmp_path / "whole", 2)
    run(tmp_path / "parts", 2, dies=7)  # the checkpoint is of step 4, the last line of step 6
    assert pd.read_csv(tmp_path / "parts" / "watch.csv")["step"].tolist() == [2, 4, 6]
    time.sleep(SECOND)
    run(tmp_path / "parts", 2)
    for name in ("watch.csv", "dims.csv", "log/metrics.csv"):
        whole, parts = (pd.read_csv(tmp_path / kind / name) for kind in ("whole", "parts"))
        same = [column for column in whole if column != "minutes"]
        pd.testing.assert_frame_equal(whole[same], parts[same], check_exact=False, atol=1e-5)
    watch = pd.read_csv(tmp_path / "parts" / "watch.csv")
    assert watch["step"].tolist() == [2, 4, 6, 8, 10]
    assert watch["minutes"].is_monotonic_increasing
    metrics = pd.read_csv(tmp_path / "parts" / "log" / "metrics.csv")
    assert metrics["step"].tolist() == list(range(10))
    for tag, steps in (("loss", range(10)), ("validation/kl", [1, 3, 5, 7, 9])):
        shown = {}
        for kind in ("whole", "parts"):
            scalars = events(tmp_path / kind).Scalars(tag)
            assert [event.step for event in scalars] == list(steps)
            shown[kind] = [event.value for event in scalars]
        assert np.allclose(shown["whole"], shown["parts"], atol=1e-5)


def test_a_run_killed_before_its_first_checkpoint_begins_anew(run, tmp_path):
    run(tmp_path, 2, dies=3)
    assert pd.read_csv(tmp_path / "watch.csv")["step"].tolist() == [2]
    time.sleep(SECOND)
    run(tmp_path, 2)
    assert pd.read_csv(tmp_path / "watch.csv")["step"].tolist() == [2, 4, 6, 8, 10]
    assert pd.read_csv(tmp_path / "log" / "metrics.csv")["step"].tolist() == list(range(10))
    assert [event.step for event in events(tmp_path).Scalars("loss")] == list(range(10))


def test_what_a_run_leaves_to_look_at(run, tmp_path, monkeypatch):
    monkeypatch.setattr("train.watching.PICTURES_AFTER", 2)
    run(tmp_path, 4)
    watch, dims = pd.read_csv(tmp_path / "watch.csv"), pd.read_csv(tmp_path / "dims.csv")
    assert watch["step"].tolist() == [4, 6, 8, 10]
    old = ["step", "minutes", "lines", "continuum", "kl", "kl_dims", "mad_dims", "radvel_dim",
           "radvel_rank", "doppler_scale"]  # fmt: skip
    assert {*old, "active_dims", "radvel_mi", "radvel_mi_dim"} <= set(watch)
    assert dims["step"].tolist() == np.repeat([4, 6, 8, 10], 3).tolist()
    assert list(dims)[:6] == ["step", "dim", "kl", "mad", "variance", "active"]
    assert dims.groupby("step")["kl"].sum().tolist() == pytest.approx(watch["kl"], rel=1e-4)
    assert (dims.groupby("step")["active"].sum().tolist()) == watch["active_dims"].tolist()
    best = dims.loc[dims.groupby("step")["Teff_mi"].idxmax(), "dim"]
    assert best.tolist() == watch["Teff_mi_dim"].tolist()
    assert (tmp_path / "pictures" / "reconstructions.png").stat().st_size > 5000
    board = events(tmp_path)
    assert [image.step for image in board.Images("reconstructions")] == [7, 9]
    assert {"validation/lines", "kl/002", "mad/000", "loss"} <= set(board.scalars.Keys())


def test_looking_changes_nothing_of_the_training(run, tmp_path):
    often = run(tmp_path / "often", 2)
    once = run(tmp_path / "once", 1000)
    for left, right in zip(often.parameters(), once.parameters(), strict=True):
        assert torch.equal(left, right)


def test_the_end_of_an_epoch_is_looked_at(run, tmp_path):
    run(tmp_path / "whole", 7, epoch=3.0)
    assert pd.read_csv(tmp_path / "whole" / "watch.csv")["step"].tolist() == [3, 6, 7, 9, 10]


def test_other_processes_than_the_first_write_nothing(module, tmp_path):
    trainer = SimpleNamespace(
        is_global_zero=False, global_step=9, datamodule=SimpleNamespace(epoch_steps=None),
        loggers=[], accumulate_grad_batches=1, callback_metrics={},
        strategy=SimpleNamespace(broadcast=lambda value: 2.5),
    )  # fmt: skip
    watch = Watch(5, tmp_path)
    watch.on_train_start(trainer, module)
    trainer.global_step = 10
    watch.on_train_batch_end(trainer, module, None, None, 9)
    assert trainer.callback_metrics == {"validation_loss": torch.tensor(2.5)}
    assert list(tmp_path.glob("**/*.csv")) == []


@pytest.mark.parametrize(
    ("epoch", "steps"),
    [
        (None, [10, 20]),
        (2.0, [10, 20]),  # shorter than a quarter of 10: shares the others' lines
        (4.5, [5, 9, 10, 14, 18, 20]),
        (7.0, [7, 10, 14, 20]),
        (1e9, [10, 20]),
    ],
)
def test_when_it_is_time(epoch, steps, tmp_path):
    watch = Watch(10, tmp_path)
    assert [step for step in range(1, 21) if watch._due(step, epoch)] == steps
