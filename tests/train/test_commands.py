"""The commands in this process: what they print, and their exit codes."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import check_model, save_model, write_check_rows
from train.commands import app
from train.data.archive import PackedArchive
from train.settings import read_config


def run(*words, stdin=None):
    return CliRunner().invoke(app, list(map(str, words)), input=stdin)


def test_all_done_is_zero_with_json_alone_on_stdout(night, tmp_path, tiny):
    done = run("pack", night, "-o", tmp_path / "a.zarr", "--grid", tiny, "--workers", 1, "--json")
    assert done.exit_code == 0, done.output
    value = json.loads(done.stdout)
    assert (value["rows"], value["packed"], value["kept"], value["failed"]) == (21, 21, 0, [])
    assert "packed 21 spectra" in done.stderr
    assert len(PackedArchive(tmp_path / "a.zarr")) == 21


def test_some_failed_is_three_and_nothing_done_is_one(night, tmp_path, tiny):
    (night / "HARPS.0003_s1d_A.fits").write_text("junk")
    options = ["-o", tmp_path / "a.zarr", "--grid", tiny, "--workers", 1]
    done = run("pack", night, *options)
    assert done.exit_code == 3
    assert "HARPS.0003" in done.stderr
    done = run("pack", night / "HARPS.0003_s1d_A.fits", *options)
    assert done.exit_code == 1


def test_a_list_on_stdin_and_the_model_of_the_bundle(night, tmp_path):
    names = "\n".join(str(file) for file in sorted(night.glob("*.fits"))[:2])
    done = run(
        "pack", "-", "-o", tmp_path / "a.zarr", "-m", "harps-sim", "--workers", 1, stdin=names
    )
    assert done.exit_code == 0, done.output
    archive = PackedArchive(tmp_path / "a.zarr")
    assert (len(archive), archive.row_size) == (2, 20_800)
    assert archive.settings["model"] == "harps-sim"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--dtype", "float8"], 2, "'float16', 'float32'"),
        (["--compression", "rar"], 2, "'zstd', 'lz4'"),
        (["-m", "harps-sim", "--grid", "x.yaml"], 2, "one of them"),
        (["--grid", "nowhere.yaml"], 1, "nowhere.yaml"),
        (["--labels", "nowhere.csv"], 1, "nowhere.csv"),
        (["-m", "nosuchmodel"], 1, "nosuchmodel"),
    ],
)
def test_wrong_usage_is_two_and_what_is_missing_is_named(night, tmp_path, words, code, said):
    done = run("pack", night, "-o", tmp_path / "a.zarr", *words)
    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("text", ["just words", "prepare: {grid: {kind: log}}", "prepare: {a: 1}"])
def test_a_file_without_a_preparation(night, tmp_path, text):
    (tmp_path / "g.yaml").write_text(text)
    done = run("pack", night, "-o", tmp_path / "a.zarr", "--grid", tmp_path / "g.yaml")
    assert done.exit_code == 1
    assert "g.yaml" in done.stderr


def test_help_has_an_example():
    done = run("pack", "--help")
    assert "python -m train pack spectra/ -o archive.zarr" in done.output


def test_half_writes_a_smaller_folder(tiny, tmp_path):
    config = read_config(tiny)
    torch.manual_seed(0)
    model = SpectrumVAE(config.architecture, config.prepare, {"name": "tiny"}).eval()
    folder = save_model(model, tmp_path / "model")
    write_check_rows(model, np.random.default_rng(0).normal(size=(3, 520)), folder)
    done = run("half", folder, tmp_path / "half")
    assert done.exit_code == 0, done.output
    assert "the reference latents moved by" in done.stdout
    assert check_model(tmp_path / "half") < 1e-6


def test_a_run_without_a_checkpoint_is_one_line(tiny, tmp_path):
    done = run("export", tiny, "--run", tmp_path / "run", "-o", tmp_path / "model")
    assert done.exit_code == 1
    assert "last.ckpt: no such file" in done.stderr
    assert not (tmp_path / "model").exists()
