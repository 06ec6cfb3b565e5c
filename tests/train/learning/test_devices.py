import pytest
import torch

from latentscope.models.network import SpectrumVAE
from train.learning.devices import compiled, on_this_machine, trainer_arguments
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
    assert (found.accelerator, found.precision, found.compile) == ("gpu", precision, "on")


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
    assert calls == ["_down", "_up", "_up"]  # encoding fits the shift of decoded lines
    model.reconstruct(rows)
    assert len(calls) == 3
    with compiled(model, TrainerConfig(compile="off")):
        model.reconstruct(rows)
    assert len(calls) == 3
