"""Models by name, address, folder and id, and the folders themselves."""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import safetensors.torch
import torch

from latentscope.errors import LatentscopeWarning, ModelError
from latentscope.models import config, weights
from latentscope.models.config import DEFAULT_MODEL, available_models
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import load_checkpoint, load_model, save_model, weights_sha256


@pytest.fixture
def bundled(monkeypatch, tmp_path, folder):
    monkeypatch.setattr(config, "BUNDLED", tmp_path)
    return folder


def test_a_bundled_model_loads_by_its_name(bundled, model, same):
    assert same(load_model("tiny"), model)


def test_a_name_that_is_not_known_lists_those_that_are(bundled):
    with pytest.raises(ModelError) as caught:
        load_model("astro-machine")
    assert "did you mean astro-machines" in str(caught.value)
    assert "Known names: tiny, astro-machines, stellar-karaoke" in str(caught.value)
    with pytest.raises(ModelError, match="no such file"):
        load_model("./models/absent.pth.tar")


def test_available_models_tell_where_they_are(bundled, tmp_path):
    cache = tmp_path / "cache"
    file = config.cache_folder("stellar-karaoke", cache) / "model_14v3_128d_e116_i954k.pth.tar"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    rows = {row["name"]: row for row in available_models(cache)}
    assert [(name, row["where"], row["latents"]) for name, row in rows.items()] == [
        ("tiny", "bundled", 3),
        ("astro-machines", "to download", 128),
        ("stellar-karaoke", "cached", 128),
    ]
    assert rows["astro-machines"]["grid"] == "3785-6910 A, 312501 linear pixels, air"
    assert rows["tiny"]["grid"] == "4000-4103 A, 256 log pixels, air"
    assert "staa3540" in rows["astro-machines"]["paper"]
    assert rows["tiny"]["description"] == "for tests"


def test_the_models_that_come_with_the_package_load():
    names = list(config.bundled_models())
    if not names:
        pytest.skip("this tree has no bundled models yet")
    assert DEFAULT_MODEL in names
    for name in names:
        model = load_model(name)
        assert model.info["name"] == name
        assert model.prepare is not None
        size = (config.BUNDLED / name / "model.safetensors").stat().st_size
        assert size < 5_000_000


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("LATENTSCOPE_CACHE", str(tmp_path / "own"))
    assert config.cache_root() == tmp_path / "own"
    assert config.cache_root(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv("LATENTSCOPE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert config.cache_root() == tmp_path / "xdg" / "latentscope"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config.cache_root() == tmp_path / ".cache" / "latentscope"


def test_a_published_model_is_downloaded_once_and_pinned(
    published_checkpoint, file_server, monkeypatch, tmp_path, same
):
    entry = config.PUBLISHED["stellar-karaoke"]
    file_server.files[f"/{entry.filename}"] = published_checkpoint.read_bytes()
    monkeypatch.setitem(
        config.PUBLISHED, entry.name, replace(entry, url=f"{file_server.url}/{entry.filename}")
    )
    with pytest.warns(LatentscopeWarning, match="no SHA-256 is published"):
        model = load_model("stellar-karaoke", cache_dir=tmp_path)
    again = load_model("stellar-karaoke", cache_dir=tmp_path)
    assert len(file_server.log) == 1
    assert same(model, again)
    assert same(model, load_checkpoint(published_checkpoint, normalization="median-valid"))
    assert model.info["name"] == "stellar-karaoke"
    assert model.prepare.normalization == "median-valid"
    assert available_models(tmp_path)[-1]["where"] == "cached"


def test_published_entries_are_https_and_have_no_invented_hash():
    for entry in config.PUBLISHED.values():
        assert entry.url.startswith("https://www.rawdataspeaks.org/")
        assert entry.url.endswith(".pth.tar")
        assert entry.sha256 is None or len(entry.sha256) == 64


def test_a_checkpoint_of_another_name_says_what_was_assumed(published_checkpoint):
    with pytest.warns(LatentscopeWarning, match="assumed 'median-padded'"):
        model = load_model(published_checkpoint)
    assert model.prepare.normalization == "median-padded"


@pytest.mark.parametrize("end", ["", "/", "/config.json", "/model.safetensors"])
def test_a_model_folder_loads_from_a_url(end, folder, model, file_server, tmp_path, same):
    for path in folder.iterdir():
        file_server.files[f"/models/tiny/{path.name}"] = path.read_bytes()
    url = f"{file_server.url}/models/tiny{end}"
    with pytest.warns(LatentscopeWarning, match="recorded"):
        assert same(load_model(url, cache_dir=tmp_path / "cache"), model)
    assert same(load_model(url, cache_dir=tmp_path / "cache"), model)
    assert len(file_server.log) == 2


def test_a_checkpoint_loads_from_a_url(published_checkpoint, file_server, tmp_path):
    file_server.files["/own.pth.tar"] = published_checkpoint.read_bytes()
    with pytest.warns(LatentscopeWarning) as caught:
        model = load_model(f"{file_server.url}/own.pth.tar", cache_dir=tmp_path)
    assert len(caught) == 2
    assert model.config.latents == 128
    with pytest.raises(ModelError):
        load_model(f"{file_server.url}/absent.pth.tar", cache_dir=tmp_path)
    with pytest.raises(ModelError, match="https"):
        load_model("http://example.org/own.pth.tar", cache_dir=tmp_path)


@pytest.fixture
def hub(folder, file_server, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    for revision in ("main", commit, "v1"):
        for path in folder.iterdir():
            name = f"/org/tiny/resolve/{revision}/{path.name}"
            file_server.files[name] = path.read_bytes()
    monkeypatch.setenv("HF_ENDPOINT", file_server.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return file_server


def test_a_model_loads_from_the_hub_and_then_from_its_cache(hub, model, tmp_path, same):
    cache = tmp_path / "cache"
    assert same(load_model("org/tiny", cache_dir=cache), model)
    assert same(load_model("org/tiny@v1", cache_dir=cache), model)
    fetched = [path for command, path in hub.log if command == "GET"]
    assert len([p for p in fetched if p.endswith("model.safetensors")]) == 1
    assert (cache / "huggingface").is_dir()


def test_both_files_come_from_one_commit_of_the_hub(hub, model, tmp_path):
    load_model("org/tiny", cache_dir=tmp_path / "cache")
    asked = [path for _, path in hub.log if path.endswith("model.safetensors")]
    assert all("/resolve/0123456789abcdef" in path for path in asked)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("org/absent", "org/absent: no such path here, and config.json cannot be had"),
        ("org/tiny@v2", "at revision v2"),
        ("org/--bad--", "cannot be had from Hugging Face"),
    ],
)
def test_what_the_hub_does_not_have_is_told(name, message, hub, tmp_path):
    with pytest.raises(ModelError, match=message):
        load_model(name, cache_dir=tmp_path / "cache")


def test_no_connection_to_the_hub_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="cannot be had from Hugging Face: no answer from http"):
        load_model("org/tiny", cache_dir=tmp_path / "cache")


def test_a_model_of_the_hub_loads_from_its_cache_where_nobody_answers(
    hub, model, monkeypatch, tmp_path, same
):
    load_model("org/tiny", cache_dir=tmp_path)
    monkeypatch.setattr(weights, "answers", lambda url: False)
    asked = len(hub.log)
    assert same(load_model("org/tiny", cache_dir=tmp_path), model)
    assert len(hub.log) == asked


def test_own_weights_go_before_cache_and_network(
    model, published_checkpoint, monkeypatch, tmp_path, same
):
    monkeypatch.setattr(weights, "_hub_folder", lambda *_: pytest.fail("asked the hub"))
    monkeypatch.setattr(weights, "fetch", lambda *_, **__: pytest.fail("asked the network"))
    monkeypatch.setenv("LATENTSCOPE_WEIGHTS", str(tmp_path))
    save_model(model, tmp_path / "org" / "tiny")
    assert same(load_model("org/tiny"), model)
    entry = config.PUBLISHED["stellar-karaoke"]
    shutil.copy(published_checkpoint, tmp_path / entry.filename)
    published = load_model("stellar-karaoke")
    assert published.prepare.normalization == "median-valid"
    assert available_models()[-1]["where"] == "kept"
    save_model(published, tmp_path / "stellar-karaoke")
    assert same(load_model("stellar-karaoke"), published)
    assert load_model("stellar-karaoke").folder == tmp_path / "stellar-karaoke"
    monkeypatch.setenv("LATENTSCOPE_WEIGHTS", str(tmp_path / "gone"))
    with pytest.warns(LatentscopeWarning, match="gone, which is no folder"):
        available_models()


def test_a_folder_that_looks_like_a_hub_id_is_a_folder(model, monkeypatch, tmp_path, same):
    save_model(model, tmp_path / "org" / "tiny")
    monkeypatch.chdir(tmp_path)
    assert same(load_model("org/tiny"), model)


def test_a_device_that_is_not_there_is_told(folder):
    with pytest.raises(ModelError, match="device 'cuda:77' cannot be used"):
        load_model(folder, device="cuda:77")
    with pytest.raises(ModelError, match="device 'gpu' cannot be used"):
        load_model(folder, device="gpu")


def test_listing_models_loads_no_torch():
    code = (
        "import sys; from latentscope.models.config import available_models; available_models();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_mistyped_folder_beside_others_never_asks_the_network(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "_hub_folder", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(ModelError, match="models/mine"):
        load_model("models/mine")


def edit(folder, key, value):
    """Set `key` ("a" or "a.b.c") of config.json, or remove it if the value is None."""
    path = folder / "config.json"
    values = json.loads(path.read_text())
    *outer, last = key.split(".")
    inner = values
    for name in outer:
        inner = inner[name]
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
    with pytest.raises(ModelError):
        load_model(folder)
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError):
        load_model(folder)
    weights.unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors: no such file"):
        load_model(folder)
    weights.with_name("other.safetensors").write_bytes(data)
    with pytest.raises(ModelError):
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


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("architecture.latents", 1e12, "latents is 1000000000000.0; expected a valid integer"),
        ("architecture.latents", 10**12, "mean.weight is .*expected .1000000000000, "),
        ("architecture.latents", 10**30, "too large|expected"),
        ("architecture.latents", 16.5, "latents is 16.5"),
        ("architecture.latents", math.nan, "latents is nan"),
        ("architecture.latents", True, "latents is True"),
        ("architecture.latents", "3", "latents is '3'"),
        ("architecture.hidden", 10**9, "perceptron"),
        ("architecture.extra_hidden", 10**12, "extra_decoder"),
        ("architecture.channels", [4] * 100_000, "channels is .*at most 100 items"),
        ("architecture.channels", [4, 10**12], "does not fit|too large"),
        ("architecture.length", 256 * 10**9, "length is 256000000000; expected less than"),
        ("prepare.grid.length", 10**12, "prepare.grid.length is 1000000000000; expected less"),
        ("prepare.grid.pad_left", True, "pad_left is True"),
        ("prepare.nodes", 10**12, "nodes is 1000000000000"),
        ("description", [[]], "description"),
    ],
)
def test_a_config_of_any_numbers_is_refused_before_memory_is_taken(key, value, message, folder):
    edit(folder, key, value)
    begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=message) as caught:
        load_model(folder)
    assert str(folder) in str(caught.value)
    assert time.process_time() - begun < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200_000 + "]" * 200_000, "cannot be read as JSON"),
        ('{"format": 1, "name": ' + "[" * 700 + "]" * 700 + "}", "name is"),
        ('{"format": 1, "format": 1}', "the key format is there more than once"),
        ('{"format": ' + "9" * 10_000 + "}", "cannot be read as JSON"),
        (" " * 11_000_000, "not a file of at most 10 MB"),
        ("\udcff", "cannot be read as JSON"),
    ],
)
def test_text_that_is_no_config_is_one_clear_error(text, message, folder):
    path = folder / "config.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=message) as caught:
        load_model(folder)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_pipe_in_place_of_a_config_is_not_waited_for(folder):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    with pytest.raises(ModelError, match="is not a file"):
        load_model(folder)
