"""models and convert."""

import json

import pytest

from latentscope.models.config import DEFAULT_MODEL


def test_models_lists_bundled_and_published_ones(command):
    ended = command("models")
    assert ended.code == 0
    rows = {line.split()[0]: line for line in ended.out.splitlines()}
    assert "bundled" in rows[DEFAULT_MODEL]
    assert "bundled" in rows["harps-sim-plain"]
    assert {"astro-machines", "stellar-karaoke"} <= set(rows)


def test_models_as_json(command):
    listed = {item["name"]: item for item in command("models", "--json").json}
    assert listed[DEFAULT_MODEL]["where"] == "bundled"
    assert "2021" in listed["astro-machines"]["paper"]


@pytest.fixture
def checkpoint(tmp_path):
    import torch

    from latentscope.models.config import PUBLISHED_ARCHITECTURE
    from latentscope.models.network import SpectrumVAE
    from latentscope.models.weights import PUBLISHED_KEYS

    with torch.device("meta"):
        ours = SpectrumVAE(PUBLISHED_ARCHITECTURE).state_dict()
    shapes = {theirs: ours[name].shape for theirs, name in PUBLISHED_KEYS.items()}
    state = {
        name: torch.zeros((*shape[:2], *shape[3:]) if len(shape) == 4 else shape)
        for name, shape in shapes.items()
    }
    path = tmp_path / "model.pth.tar"
    torch.save({"state_dict": state}, path)
    return path


@pytest.mark.parametrize("normalization", ["median-padded", "median-valid"])
def test_convert_says_how_spectra_are_normalised(command, checkpoint, tmp_path, normalization):
    folder = tmp_path / "converted"
    ended = command("convert", checkpoint, folder, "--normalization", normalization, "--json")
    assert ended.code == 0
    assert ended.err.startswith("wrote ")
    config = json.loads((folder / "config.json").read_text())
    assert config["prepare"]["normalization"] == normalization
    assert (folder / "model.safetensors").stat().st_size > 28e6


def test_convert_of_an_unknown_file_warns_what_it_assumes(command, checkpoint, tmp_path):
    ended = command("convert", checkpoint, tmp_path / "converted")
    assert ended.code == 0
    assert "warning: " in ended.err
    assert "median-padded" in ended.err


@pytest.fixture
def folder(tmp_path):
    import torch

    from latentscope.models.network import SpectrumVAE, VAEConfig
    from latentscope.models.weights import save_model, write_check_rows

    config = VAEConfig(length=64, channels=(2,), kernels=(3,), strides=(4,), latents=2)
    model = SpectrumVAE(config, info={"name": "tiny"})
    save_model(model, tmp_path / "tiny")
    write_check_rows(model, torch.randn(3, 64).numpy(), tmp_path / "tiny")
    return tmp_path / "tiny"


def test_check_compares_a_model_with_its_reference(command, folder):
    ended = command("models", "--check", folder, "--json")
    assert ended.code == 0
    assert ended.json["difference"] < 1e-6
    assert "give the expected latents" in ended.err
    (folder / "reference.safetensors").unlink()
    ended = command("models", "--check", folder, "--json")
    assert ended.code == 1
    assert "nothing to compare with" in ended.json["error"]


def test_all_models_of_the_package_are_checked(command):
    ended = command("models", "--check", "all", "--json")
    assert ended.code == 0
    assert {item["model"] for item in ended.json} >= {DEFAULT_MODEL, "harps-sim-plain"}


def test_doctor_fits_on_one_screen_and_knows_the_weights(command, monkeypatch, tmp_path):
    monkeypatch.setenv("LATENTSCOPE_CACHE", str(tmp_path / "cache"))
    ended = command("doctor")
    assert ended.code == 0
    assert len(ended.out.splitlines()) <= 40
    found = command("doctor", "--json").json
    assert found["versions"]["torch"]
    assert found["models"][DEFAULT_MODEL].endswith("as recorded")
    assert found["models"]["astro-machines"] == "not downloaded"
    assert "GB free, made when it is needed" in found["folders"]["models"]
