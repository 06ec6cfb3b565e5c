import multiprocessing
import os
import platform
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import distributed

from latentscope.models.network import SpectrumVAE
from train.learning.devices import (
    compiled,
    fastest_threads,
    mean_over_ranks,
    on_this_machine,
    rank_and_world,
    trainer_arguments,
    unit_noise,
    whole_batch,
)
from train.learning.losses import decorrelation, total_correlation, with_free_bits
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


ROWS = torch.randn((8, 5), generator=torch.Generator().manual_seed(0))
WEIGHT = torch.randn((5, 3), generator=torch.Generator().manual_seed(1))


def loss_and_gradient():
    """A loss with every term that looks at the whole batch, of this process's rows."""
    rank, world = rank_and_world()
    weight = WEIGHT.clone().requires_grad_()
    mean = ROWS[rank::world] @ weight
    logvar = -mean.abs()
    z = mean + unit_noise(mean, seed=7) * torch.exp(0.5 * logvar)
    everyone = whole_batch(mean)
    loss = (
        (z**2).sum(1).mean()
        + with_free_bits(mean**2, 2.0)
        + decorrelation(everyone)
        + total_correlation(whole_batch(z), everyone, whole_batch(logvar), 100)
    )
    loss.backward()
    return mean_over_ranks(loss), mean_over_ranks(weight.grad)


def work(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    torch.save(loss_and_gradient(), f"{folder}/{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


def test_one_process_is_its_own_batch():
    assert rank_and_world() == (0, 1)
    assert whole_batch(ROWS) is ROWS
    generator = torch.Generator().manual_seed(7)
    assert torch.equal(unit_noise(ROWS, 7), torch.randn((8, 5), generator=generator))


@pytest.mark.slow
def test_two_processes_have_the_loss_and_gradient_of_one(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(rank, tmp_path)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)  # gloo may abort a process that is done; what it wrote counts
    loss, gradient = loss_and_gradient()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found[0].item() == pytest.approx(loss.item(), rel=1e-6)
        assert torch.allclose(found[1], gradient, rtol=1e-5, atol=1e-6)


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
