from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from latentscope.errors import ModelError
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import (
    CHECK_FILE,
    TOLERANCE,
    check_against_rows,
    check_model,
    load_folder,
    load_model,
    save_model,
    weights_sha256,
    write_check_rows,
)

ROWS = 0.3 * np.random.default_rng(0).normal(size=(3, 264))


@pytest.fixture
def referenced(model, folder):
    write_check_rows(model, ROWS, folder)
    return folder


def test_the_reference_is_what_the_model_makes_of_its_rows(model, referenced):
    held = safetensors.torch.load_file(referenced / CHECK_FILE)
    assert held["rows"].dtype == torch.float16
    assert torch.equal(held["rows"], torch.from_numpy(ROWS.astype(np.float16)))
    rows = held["rows"].float()
    mean, logvar = model.encode(rows)
    assert torch.allclose(held["mean"], mean)
    assert torch.allclose(held["logvar"], logvar)
    left = (model.reconstruct(rows) - rows).detach().numpy()
    assert np.allclose(held["residual"], np.sqrt((left**2).mean(1)), atol=1e-6)


def test_a_model_agrees_with_its_own_reference(model, referenced):
    assert check_against_rows(model, referenced) == 0.0
    assert check_model(referenced) < 1e-6
    assert check_model(str(referenced / "config.json")) < 1e-6


@pytest.mark.parametrize("layer", ["encoder.0.bias", "mean.weight", "logvar.bias", "line_mean"])
def test_weights_that_changed_are_noticed_wherever_they_are(layer, model, referenced):
    model.state_dict()[layer].add_(0.05)
    with pytest.raises(ModelError, match=r"reference\.safetensors.*differ by .*download the model"):
        check_against_rows(model, referenced)
    assert check_against_rows(model, referenced, tolerance=10.0) > TOLERANCE


@pytest.mark.parametrize("layer", ["mean.bias", "logvar.bias", "line_mean"])
def test_nan_is_no_agreement(layer, model, referenced):
    model.state_dict()[layer].fill_(float("nan"))
    with pytest.raises(ModelError, match="differ by inf"):
        check_against_rows(model, referenced)
    model.state_dict()["mean.bias"].fill_(float("nan"))
    with pytest.raises(ModelError):
        write_check_rows(model, ROWS, referenced)


def test_large_numbers_are_compared_relative_to_their_size(model, folder):
    model.state_dict()["logvar.bias"].fill_(1e4)
    write_check_rows(model, ROWS, folder)
    model.state_dict()["logvar.bias"].fill_(1e4 + 1)
    assert check_against_rows(model, folder) == pytest.approx(1e-4, rel=0.1)


def test_rows_too_large_for_float16_are_kept_in_float32(model, folder):
    write_check_rows(model, ROWS * 1e6, folder)
    assert safetensors.torch.load_file(folder / CHECK_FILE)["rows"].dtype == torch.float32
    assert check_against_rows(model, folder) == 0.0


def test_a_deterministic_model_has_no_log_variance(model, tmp_path):
    import dataclasses

    config = dataclasses.replace(model.config, variational=False)
    plain = SpectrumVAE(config, model.prepare, {"name": "plain"})
    folder = save_model(plain, tmp_path / "plain")
    write_check_rows(plain, ROWS, folder)
    assert "logvar" not in safetensors.torch.load_file(folder / CHECK_FILE)
    assert check_model(folder) < 1e-6


def test_what_is_no_reference_of_this_model_is_told(model, referenced):
    path = referenced / CHECK_FILE
    held = safetensors.torch.load_file(path)
    safetensors.torch.save_file({**held, "rows": torch.zeros(3, 5)}, path)
    with pytest.raises(ModelError, match="another model"):
        check_against_rows(model, referenced)
    safetensors.torch.save_file({"rows": held["rows"], "mean": held["mean"]}, path)
    with pytest.raises(ModelError, match="another model"):
        check_against_rows(model, referenced)
    path.write_bytes(b"no tensors")
    with pytest.raises(ModelError):
        check_against_rows(model, referenced)
    path.unlink()
    with pytest.raises(ModelError):
        check_against_rows(model, referenced)
    with pytest.raises(ModelError):
        check_model("astro-machines")


def test_a_model_on_the_web_is_checked_with_its_own_reference(
    referenced, file_server, monkeypatch, tmp_path
):
    commit = "0123456789abcdef0123456789abcdef01234567"
    for revision in ("main", commit):
        for path in referenced.iterdir():
            name = f"/org/tiny/resolve/{revision}/{path.name}"
            file_server.files[name] = path.read_bytes()
    monkeypatch.setenv("HF_ENDPOINT", file_server.url)
    assert check_model("org/tiny", cache_dir=tmp_path / "cache") < 1e-6
    for path in referenced.iterdir():
        file_server.files[f"/models/tiny/{path.name}"] = path.read_bytes()
    with pytest.warns(UserWarning, match="recorded"):
        assert check_model(f"{file_server.url}/models/tiny", cache_dir=tmp_path / "urls") < 1e-6
    del file_server.files[f"/org/tiny/resolve/{commit}/{CHECK_FILE}"]
    with pytest.raises(ModelError, match=r"reference\.safetensors cannot be had"):
        check_model("org/tiny", cache_dir=tmp_path / "other")


def test_float16_weights_are_read_back_as_float32(model, tmp_path):
    exact = {k: v.clone() for k, v in model.state_dict().items()}
    model.info["weights_dtype"] = "float16"
    folder = save_model(model, tmp_path / "half")
    write_check_rows(load_folder(folder), ROWS, folder)
    other = load_model(folder)
    for name, values in other.state_dict().items():
        assert values.dtype == torch.float32
        assert torch.equal(values, exact[name].half().float()), name
    whole = save_model(load_model_as(model, "float32"), tmp_path / "whole")
    sizes = [(f / "model.safetensors").stat().st_size for f in (folder, whole)]
    assert sizes[0] < 0.6 * sizes[1]
    assert check_model(folder) < 1e-6


def load_model_as(model, dtype):
    return SpectrumVAE(model.config, model.prepare, {**model.info, "weights_dtype": dtype})


def test_a_float16_model_its_folder_and_its_file_have_one_hash(model, tmp_path):
    model.info["weights_dtype"] = "float16"
    digest = weights_sha256(model)
    folder = save_model(model, tmp_path / "half")
    assert weights_sha256(load_model(folder)) == digest == weights_sha256(folder)
    again = save_model(load_model(folder), tmp_path / "again")
    assert weights_sha256(again) == digest


def test_weights_that_float16_cannot_hold_are_not_written(model, tmp_path):
    model.info["weights_dtype"] = "float16"
    model.state_dict()["mean.weight"].fill_(7e4)
    with pytest.raises(ModelError, match=r"mean\.weight.*float32"):
        save_model(model, tmp_path / "half")
    assert not (tmp_path / "half" / "config.json").exists()


def test_a_dtype_that_is_not_known_is_refused(model, folder):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "weights_dtype": "int8"}))
    with pytest.raises(ModelError, match="weights_dtype is 'int8'"):
        load_model(folder)
    model.info["weights_dtype"] = "bfloat16"
    with pytest.raises(ModelError, match="bfloat16"):
        save_model(model, folder)
