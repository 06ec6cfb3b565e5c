import os
import platform
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from latentscope.models.network import SpectrumVAE
from tests.train.learning.whole_batch import ROWS
from train.learning.devices import (
    compiled,
    fastest_threads,
    on_this_machine,
    rank_and_world,
    trainer_arguments,
    unit_noise,
    whole_batch,
)
from train.settings import TrainerConfig, read_config


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def gpu(monkeypatch, bf16):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)


def test_a_cpu_computes_in_float32_and_compiles_nothing():
    found = on_this_machine(TrainerConfig())
    assert (found.accelerator, found.precision, found.compile) == ("cpu", "32-true", "off")
    arguments = trainer_arguments(found)
    assert (arguments["devices"], arguments["strategy"]) == (1, "auto")


@pytest.mark.parametrize(("bf16", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_gpu_computes_in_bfloat16_where_it_can(monkeypatch, bf16, precision):
    gpu(monkeypatch, bf16)
    found = on_this_machine(TrainerConfig())
    assert (found.accelerator, found.precision, found.compile) == ("gpu", precision, "auto")
    assert trainer_arguments(found)["benchmark"]


def test_what_is_said_outright_stays(monkeypatch):
    gpu(monkeypatch, bf16=True)
    given = TrainerConfig("cpu", 3, 2, "ddp", "bf16-mixed", "on")
    assert on_this_machine(given) == given


def test_torchrun_says_how_many_processes_there_are(monkeypatch):
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("LOCAL_WORLD_SIZE", "4"),
                        ("GROUP_WORLD_SIZE", "2")):  # fmt: skip
        monkeypatch.setenv(name, value)
    arguments = trainer_arguments(on_this_machine(TrainerConfig(devices=1)))
    assert arguments["devices"] == 4
    assert arguments["num_nodes"] == 2
    assert arguments["strategy"] == "ddp"


def test_compiled_convolutions_serve_for_a_while(tiny, monkeypatch):
    config = read_config(tiny)
    model = SpectrumVAE(config.architecture, config.prepare)
    rows = torch.randn(2, config.prepare.row_size)
    names = list(model.state_dict())
    wanted = model.reconstruct(rows)
    calls = []

    def fake_compile(function):
        return lambda *args: calls.append(function.__name__) or function(*args)

    monkeypatch.setattr(torch, "compile", fake_compile)
    with compiled(model, TrainerConfig(compile="on")):
        assert torch.equal(model.reconstruct(rows), wanted)
        assert list(model.state_dict()) == names
    # Encoding fits the shift of decoded lines, of far ones twice.
    assert calls in (["_down", "_up", "_up"], ["_down", "_up", "_down", "_up", "_up"])
    count = len(calls)
    model.reconstruct(rows)
    assert len(calls) == count
    with compiled(model, TrainerConfig(compile="off")):
        model.reconstruct(rows)
    assert len(calls) == count


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")
def test_what_does_not_compile_runs_as_it_is_unless_it_was_asked_for(tiny, monkeypatch):
    config = read_config(tiny)
    model = SpectrumVAE(config.architecture, config.prepare)
    rows = torch.randn(2, config.prepare.row_size)
    wanted = model.encode(rows, fit=False)[0]

    def no_compiler(graph, inputs):
        raise RuntimeError("no C++ compiler here")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=no_compiler))
    with compiled(model, TrainerConfig(compile="auto")):
        assert torch.allclose(model.encode(rows, fit=False)[0], wanted)
    torch._dynamo.reset()
    with (
        compiled(model, TrainerConfig(compile="on")),
        pytest.raises(torch._dynamo.exc.BackendCompilerFailed, match=r"no C\+\+ compiler"),
    ):
        model.encode(rows, fit=False)


def test_one_process_is_its_own_batch():
    assert rank_and_world() == (0, 1)
    assert whole_batch(ROWS) is ROWS
    generator = torch.Generator().manual_seed(7)
    assert torch.equal(unit_noise(ROWS, 7), torch.randn((8, 5), generator=generator))


ROOT = Path(__file__).parents[3]

# Page faults of taking and freeing 8 MB fifty times, after the first few.
FAULTS = """
import resource
import torch
from latentscope.files import keep_freed_memory

keep_freed_memory((1 << 31) - 1, 1 << 30)
def take(times):
    for _ in range(times):
        torch.ones(2_000_000)
take(5)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
take(50)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other mallocs stay as they are")
def test_freed_memory_is_taken_again_without_new_pages():
    given_back = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], cwd=ROOT, env=given_back, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 30_000  # 98,000 pages of 4 KB, were they given back


def test_the_number_of_threads_is_the_fastest_one():
    class Module:
        def terms(self, rows, seed):
            time.sleep({1: 0.03, 2: 0.01, 4: 0.02}[torch.get_num_threads()])
            value = torch.zeros(1, requires_grad=True)
            return {"lines": value, "kl": value}

        def zero_grad(self, set_to_none):
            pass

    before = torch.get_num_threads()
    try:
        assert fastest_threads(Module(), torch.zeros(1, 1), 4) == 2
        assert fastest_threads(Module(), torch.zeros(1, 1), 1) == 1
    finally:
        torch.set_num_threads(before)
