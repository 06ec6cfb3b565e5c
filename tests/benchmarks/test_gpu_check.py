"""The check of a GPU: on a CPU what it does there, on a GPU (`-m gpu`) all of it."""

import json
import sys

import pytest
import torch

from benchmarks import gpu_check
from benchmarks.gpu_check import Setting, agreement, checks, no_waiting

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*isinstance.*LeafSpec"),
]


@pytest.fixture
def at(tmp_path):
    return Setting(torch.device("cpu"), True, tmp_path)


def test_two_cpus_agree_and_all_sources_train(at):
    found = agreement(at)
    assert found.pop("ok")
    assert set(found.values()) == {0.0}
    assert no_waiting(at)["ok"]
    for name, check in checks(at).items():
        if name.startswith("steps"):
            figures = check(at)
            assert figures["ok"]
            assert figures["spectra_a_second"] > 0
            assert 0 <= figures["waits"] < 1


def test_checks_that_are_done_are_not_done_again(tmp_path, monkeypatch, capsys):
    path, made = tmp_path / "check.json", []

    def fails(at):
        made.append("bad")
        raise RuntimeError("no such kernel")

    def works(at):
        made.append("good")
        return {"ok": True}

    monkeypatch.setattr(gpu_check, "checks", lambda at: {"good": works, "bad": fails})
    words = ["gpu_check", "-o", str(path), "--device", "cpu", "--quick"]
    monkeypatch.setattr(sys, "argv", words)
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            gpu_check.main()
        assert ended.value.code == 1
    assert made == ["good", "bad", "bad"]
    done = json.loads(path.read_text())
    assert done["good"]["ok"]
    assert done["bad"]["error"] == "RuntimeError: no such kernel"
    capsys.readouterr()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_the_gpu_agrees_and_never_makes_the_host_wait(tmp_path):
    at = Setting(torch.device("cuda"), True, tmp_path)
    assert agreement(at)["ok"]
    assert no_waiting(at)["ok"]
