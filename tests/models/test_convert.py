from __future__ import annotations

import contextlib
import json
import struct
import zipfile

import numpy as np
import pytest
import torch

from latentscope.errors import ModelError
from latentscope.files import file_sha256
from latentscope.models.config import published_prepare
from latentscope.models.weights import (
    PUBLISHED_KEYS,
    convert_checkpoint,
    load_checkpoint,
    load_model,
    read_checkpoint,
    weights_sha256,
)


@pytest.fixture(scope="module")
def spectrum_row():
    """A padded row of the published size with lines in it, shape (1, 327680)."""
    rng = np.random.default_rng(4)
    row = np.zeros((1, 327_680), dtype=np.float32)
    flux = 1 - 0.5 * (rng.random(312_501) > 0.98) + 0.05 * rng.standard_normal(312_501)
    row[0, 7_589:-7_590] = flux
    return torch.from_numpy(row)


@pytest.fixture(scope="module")
def model(published_checkpoint):
    return load_checkpoint(published_checkpoint, normalization="median-valid")


def relative(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


def test_a_checkpoint_gives_what_an_independent_conv1d_network_gives(
    model, published_network, spectrum_row
):
    with torch.inference_mode():
        mean, logvar = model.encode(spectrum_row)
        wanted_mean, wanted_logvar = published_network.encode(spectrum_row[:, None])
        wanted = published_network.decode(wanted_mean)[:, 0]
        assert relative(mean, wanted_mean) < 1e-5
        assert relative(logvar, wanted_logvar) < 1e-5
        assert relative(model.reconstruct(spectrum_row), wanted) < 1e-5
    assert 0.1 < float(wanted_mean.std()) < 10


def test_every_published_tensor_is_mapped_once(published_network, model):
    assert set(PUBLISHED_KEYS) == set(published_network.state_dict())
    assert sorted(PUBLISHED_KEYS.values()) == sorted(model.state_dict())


def test_the_preparation_is_the_one_asked_for(published_checkpoint, model):
    assert model.prepare == published_prepare("median-valid")
    assert model.prepare.min_median == 50
    with pytest.raises(ModelError, match=r"'median'.*median-padded, median-valid"):
        load_checkpoint(published_checkpoint, normalization="median")


def test_a_converted_folder_is_the_same_model(published_checkpoint, model, tmp_path):
    folder = convert_checkpoint(published_checkpoint, tmp_path / "m", normalization="median-padded")
    other = load_model(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    for name, values in model.state_dict().items():
        assert torch.equal(values, other.state_dict()[name])
    assert other.prepare == published_prepare("median-padded")
    assert other.info["name"] == "trained"
    assert other.info["source"] == {
        "file": "trained.pth.tar",
        "sha256": file_sha256(published_checkpoint),
    }
    assert json.loads((folder / "config.json").read_text())["format"] == 1
    assert weights_sha256(other) == weights_sha256(folder) == weights_sha256(model)


def test_a_file_with_the_published_name_is_known(published_checkpoint, tmp_path):
    path = tmp_path / "model_14v3_128d_e116_i954k.pth.tar"
    path.symlink_to(published_checkpoint)
    model = load_model(convert_checkpoint(path, tmp_path / "converted"))
    assert model.info["name"] == "stellar-karaoke"
    assert model.prepare.normalization == "median-valid"
    assert "stad2686" in model.info["paper"]


def write(state, path):
    torch.save(state, path)
    return path


def test_bare_and_data_parallel_state_dicts_load_too(published_network, model, tmp_path):
    state = {f"module.{k}": v for k, v in published_network.state_dict().items()}
    path = write(state, tmp_path / "bare.pth")
    other = load_checkpoint(path, normalization="median-valid")
    assert weights_sha256(other) == weights_sha256(model)


def test_the_old_format_of_torch_save_loads_too(published_network, model, tmp_path):
    path = tmp_path / "old.pth.tar"
    torch.save(
        {"state_dict": published_network.state_dict()}, path, _use_new_zipfile_serialization=False
    )
    other = load_checkpoint(path, normalization="median-valid")
    assert weights_sha256(other) == weights_sha256(model)


def test_what_does_not_fit_is_listed_with_what_was_expected(published_network, tmp_path):
    state = published_network.state_dict()
    del state["fc2.bias"]
    state["conv16.0.bias"] = torch.zeros(3)
    state["fc11.bias"] = torch.zeros(64)
    path = write({"state_dict": state}, tmp_path / "odd.pth.tar")
    with pytest.raises(ModelError, match=r"odd\.pth\.tar does not fit") as caught:
        load_checkpoint(path, normalization="median-padded")
    message = str(caught.value)
    assert "1 missing (fc2.bias (10240,))" in message
    assert "1 unexpected (conv16.0.bias (3,))" in message
    assert "fc11.bias is (64,), expected (128,)" in message


@pytest.mark.parametrize("latents", [1, 8, 256])
def test_other_numbers_of_latents_are_those_of_the_file(latents, published_network, tmp_path):
    state = dict(published_network.state_dict())
    for name in ("fc11.weight", "fc12.weight", "fc11.bias", "fc12.bias"):
        state[name] = state[name].repeat(2, *[1] * (state[name].ndim - 1))[:latents].clone()
    state["fc2.weight"] = state["fc2.weight"].repeat(1, 2)[:, :latents].clone()
    name = "model_14v3_128d_e116_i954k.pth.tar"  # of a published one, which this is not
    path = write({"state_dict": state}, tmp_path / name)
    other = load_model(convert_checkpoint(path, tmp_path / "m", normalization="median-valid"))
    assert other.config.latents == latents
    assert other.info["name"] == "model_14v3_128d_e116_i954k"
    assert "mad_threshold" not in other.info
    assert torch.equal(other.state_dict()["mean.weight"], state["fc11.weight"])
    assert torch.equal(other.state_dict()["expand.weight"], state["fc2.weight"])


def test_sizes_that_differ_between_the_layers_are_refused(published_network, tmp_path):
    state = dict(published_network.state_dict())
    state["fc11.weight"] = state["fc11.weight"][:64].clone()
    path = write({"state_dict": state}, tmp_path / "half.pth.tar")
    with pytest.raises(ModelError, match=r"fc2\.weight is \(10240, 128\), expected \(10240, 64\)"):
        load_checkpoint(path, normalization="median-padded")
    state["fc11.weight"] = torch.zeros(1).expand(10**9, 10240)
    path = write({"state_dict": state}, tmp_path / "huge.pth.tar")
    with pytest.raises(ModelError, match=r"fc11\.weight is .*expected \(128, 10240\)"):
        load_checkpoint(path, normalization="median-padded")


def test_weights_that_are_not_finite_are_refused(published_network, tmp_path):
    state = published_network.state_dict() | {"fc2.bias": torch.full((10240,), float("nan"))}
    path = write(state, tmp_path / "diverged.pth.tar")
    with pytest.raises(ModelError, match=r"not finite \(fc2.bias\)"):
        load_checkpoint(path, normalization="median-padded")


class Opened:
    def __reduce__(self):
        return (open, ("opened-by-a-pickle", "w"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "weights": torch.zeros(2)}, "holds epoch, no tensors"),
        ({"state_dict": [torch.zeros(2)]}, "holds a list"),
        (torch.zeros(2), "holds a Tensor"),
        ({"state_dict": {}}, "holds a dict"),
        ({"state_dict": {}, "code": Opened()}, "could run code"),
    ],
)
def test_files_that_hold_no_state_dict_say_what_they_hold(content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(content, tmp_path / "other.pth.tar")
    with pytest.raises(ModelError, match=message) as caught:
        load_checkpoint(path)  # and no word is lost on its normalization
    assert "other.pth.tar" in str(caught.value)
    assert not (tmp_path / "opened-by-a-pickle").exists()


def test_numpy_scalars_beside_the_weights_are_passed_over(published_network, model, tmp_path):
    content = {
        "state_dict": published_network.state_dict(),
        "best_loss": np.float64(0.25),
        "step": np.int32(4),
    }
    for zipped in (True, False):
        path = tmp_path / f"scalars{zipped}.pth.tar"
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        if not zipped:  # as numpy 1 wrote it
            content_of_2 = path.read_bytes()
            path.write_bytes(content_of_2.replace(b"numpy._core.", b"numpy.core."))
            assert path.read_bytes() != content_of_2
        other = load_checkpoint(path, normalization="median-valid")
        assert weights_sha256(other) == weights_sha256(model)


def test_no_broken_byte_gets_past_with_another_error(tmp_path):
    path = tmp_path / "small.pth"
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for at, value in zip(rng.integers(0, 250, 400), rng.integers(0, 256, 400), strict=True):
        broken = bytearray(whole)
        broken[at] = value
        path.write_bytes(broken)
        with contextlib.suppress(ModelError):
            read_checkpoint(path)


@pytest.mark.parametrize(
    "error", [struct.error("unpack"), AssertionError(), AttributeError("x"), RecursionError("deep")]
)
def test_whatever_torch_stumbles_on_is_said_with_the_file(error, tmp_path, monkeypatch):
    def stumble(*_, **__):
        raise error

    monkeypatch.setattr(torch, "load", stumble)
    path = tmp_path / "odd.pth"
    path.touch()
    expected = rf"odd\.pth: is not a complete.*{type(error).__name__}[:)]"
    with pytest.raises(ModelError, match=expected):
        read_checkpoint(path)


@pytest.mark.parametrize("kept", [0, 10, 1000, 20_000_000])
def test_truncated_files_are_told_from_checkpoints(kept, published_checkpoint, tmp_path):
    path = tmp_path / "short.pth.tar"
    path.write_bytes(published_checkpoint.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"short\.pth\.tar: is not a (complete )?checkpoint"):
        load_checkpoint(path, normalization="median-padded")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"absent\.pth\.tar: no such file"):
        load_checkpoint(tmp_path / "absent.pth.tar", normalization="median-padded")


def test_a_zip_archive_that_swells_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.pth.tar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"")
        archive.writestr("archive/data/0", bytes(20_000_000))
    with pytest.raises(ModelError, match="unpacks to more than it has"):
        load_checkpoint(path, normalization="median-valid")
