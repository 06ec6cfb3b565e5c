import io
from types import SimpleNamespace

import pytest
import torch

from train.learning import callbacks
from train.learning.callbacks import ProgressLines


def trainer(step, **more):
    root = SimpleNamespace(root_device=torch.device("cpu"))
    given = {"global_step": step, "is_global_zero": True, "world_size": 2, "strategy": root,
             "precision": "32-true", "callback_metrics": {}}  # fmt: skip
    return SimpleNamespace(**given | more)


def test_a_line_comes_now_and_then_with_the_time_left(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    lines = ProgressLines(every=60.0, stream=stream)
    module = SimpleNamespace(config=SimpleNamespace(steps=25_000))
    lines.on_train_start(trainer(1000), module)
    for second in range(1, 121):
        clock[0] = 100.0 + second
        loss = {"loss": torch.tensor(34.25)}
        lines.on_train_batch_end(trainer(1000 + 20 * second), module, loss, None, second)
    said = stream.getvalue().splitlines()
    assert said[0] == "training on cpu, 2 processes, precision 32-true, from step 1,000"
    assert said[1].startswith("step 1,120 of 25,000, loss 34.25, 20 steps/s, 20 min left")
    assert len(said) == 3  # after 6 s, and 60 s later


def test_only_the_first_process_speaks():
    stream = io.StringIO()
    lines = ProgressLines(every=0.0, stream=stream)
    other = trainer(0, is_global_zero=False)
    lines.on_train_start(other, None)
    lines.on_train_batch_end(other, None, {"loss": torch.tensor(1.0)}, None, 0)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(50, "1 min"), (3590, "1 h 00 min"), (9000, "2 h 30 min")]
)
def test_durations_in_words(seconds, words):
    assert callbacks._duration(seconds) == words
