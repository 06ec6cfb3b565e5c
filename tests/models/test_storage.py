from __future__ import annotations

import hashlib
import json
import math

import pytest
import safetensors.torch
import torch

from latentscope.errors import ModelError
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import load_model, save_model, weights_sha256


def edit(folder, key, value):
    """Set `key` ("a" or "a.b") of config.json, or remove it if the value is None."""
    path = folder / "config.json"
    values = json.loads(path.read_text())
    *outer, last = key.split(".")
    inner = values[outer[0]] if outer else values
    inner[last] = value
    if value is None:
        del inner[last]
    path.write_text(json.dumps(values))


def test_a_saved_model_loads_as_it_was(model, folder, same):
    other = load_model(folder)
    assert same(model, other)
    assert other.config == model.config
    assert other.prepare == model.prepare
    assert {k: other.info[k] for k in model.info} == model.info
    assert model.info["dims"] == {"0": "radial velocity"}
    assert not other.training
    rows = torch.randn(2, 264)
    assert torch.equal(model.reconstruct(rows), other.reconstruct(rows))
    assert same(model, load_model(str(folder / "config.json")))


def test_one_hash_for_a_model_its_folder_and_its_file(model, folder):
    digest = weights_sha256(model)
    assert digest == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert digest == weights_sha256(folder) == weights_sha256(folder / "model.safetensors")
    assert json.loads((folder / "config.json").read_text())["weights_sha256"] == digest
    model.line_mean.data[3] += 1e-3
    assert weights_sha256(model) != digest
    with pytest.raises(ModelError, match="absent"):
        weights_sha256(folder / "absent")


def test_saving_again_replaces_a_model_and_keeps_its_card(model, folder, same):
    (folder / "README.md").write_text("card")
    model.line_mean.data += 1
    save_model(load_model(folder), folder)
    save_model(model, folder)
    assert same(model, load_model(folder))
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]


def test_a_model_without_a_name_or_with_an_unknown_entry_is_not_saved(model, tmp_path):
    model.info = {"description": "?"}
    with pytest.raises(ModelError, match="name is missing"):
        save_model(model, tmp_path / "m")
    model.info = {"name": "m", "colour": "red"}
    with pytest.raises(ModelError, match=r"unknown colour; known are .*beta"):
        save_model(model, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_place_that_cannot_be_written_is_told(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        save_model(model, tmp_path / "file" / "m")


def test_a_model_of_rows_that_are_no_spectra_needs_no_preparation(model, tmp_path):
    rows = SpectrumVAE(model.config, None, {"name": "rows"})
    folder = save_model(rows, tmp_path / "rows")
    assert load_model(folder).prepare is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 2, "format is 2"),
        ("architecture", None, "architecture is missing"),
        ("prepare", None, "prepare is missing"),
        ("colour", "red", "unknown colour"),
        ("architecture.channels", None, "architecture.channels is missing"),
        ("architecture.channels", "many", "architecture.channels is 'many'"),
        ("architecture.kernels", [8, 5], "architecture.kernels.0: kernel 8"),
        ("architecture", 3, "architecture is 3"),
        ("prepare.widow", 3, "widow"),
        ("mad_threshold", -0.1, "mad_threshold is -0.1"),
        ("mad_threshold", math.nan, "mad_threshold is nan"),
        ("weights_dtype", "bfloat16", "'float32' or 'float16'"),
        ("architecture.extra", 9, "264 values.*takes 265"),
    ],
)
def test_a_config_that_is_no_model_is_refused(key, value, message, folder):
    edit(folder, key, value)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(folder)
    assert str(folder / "config.json") in str(caught.value)


def test_files_that_are_missing_or_damaged_are_named(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json: cannot be read as JSON"):
        load_model(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="holds a list"):
        load_model(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config\.json: no such file"):
        load_model(folder)


def test_damaged_weights_are_told_from_whole_ones(folder):
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-10])
    with pytest.raises(ModelError, match=r"no whole safetensors file"):
        load_model(folder)
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError, match="not of one model"):
        load_model(folder)
    weights.unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors: no such file"):
        load_model(folder)
    weights.with_name("other.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match="weights alone"):
        load_model(folder / "other.safetensors")


def test_weights_of_another_architecture_list_what_differs(model, folder):
    edit(folder, "weights_sha256", None)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    state["mean.bias"] = torch.zeros(4)
    state["old.bias"] = state.pop("doppler_scale")
    safetensors.torch.save_file(state, folder / "model.safetensors")
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    for part in (
        "model.safetensors does not fit",
        "1 missing (doppler_scale ())",
        "1 unexpected (old.bias ())",
        "mean.bias is (4,), expected (3,)",
    ):
        assert part in str(caught.value)
