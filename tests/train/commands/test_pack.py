import json

import pytest
from typer.testing import CliRunner

from train.__main__ import app
from train.data.archive import PackedArchive


def run(*words, stdin=None):
    return CliRunner().invoke(app, ["pack", *map(str, words)], input=stdin)


def test_all_done_is_zero_with_json_alone_on_stdout(night, tmp_path, tiny):
    done = run(night, "-o", tmp_path / "a.zarr", "--grid", tiny, "--workers", 1, "--json")
    assert done.exit_code == 0, done.output
    value = json.loads(done.stdout)
    assert (value["rows"], value["packed"], value["kept"], value["failed"]) == (21, 21, 0, [])
    assert "packed 21 spectra" in done.stderr
    assert len(PackedArchive(tmp_path / "a.zarr")) == 21


def test_some_failed_is_three_and_nothing_done_is_one(night, tmp_path, tiny):
    (night / "HARPS.0003_s1d_A.fits").write_text("junk")
    options = ["-o", tmp_path / "a.zarr", "--grid", tiny, "--workers", 1]
    done = run(night, *options)
    assert done.exit_code == 3
    assert "HARPS.0003" in done.stderr
    done = run(night / "HARPS.0003_s1d_A.fits", *options)
    assert done.exit_code == 1


def test_a_list_on_stdin_and_the_model_of_the_bundle(night, tmp_path):
    names = "\n".join(str(file) for file in sorted(night.glob("*.fits"))[:2])
    done = run("-", "-o", tmp_path / "a.zarr", "-m", "harps-sim", "--workers", 1, stdin=names)
    assert done.exit_code == 0, done.output
    archive = PackedArchive(tmp_path / "a.zarr")
    assert (len(archive), archive.row_size) == (2, 20_800)
    assert archive.settings["model"] == "harps-sim"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--dtype", "float8"], 2, "float16, float32"),
        (["--compression", "rar"], 2, "zstd, lz4"),
        (["-m", "harps-sim", "--grid", "x.yaml"], 2, "one of them"),
        (["--grid", "nowhere.yaml"], 1, "nowhere.yaml"),
        (["--labels", "nowhere.csv"], 1, "nowhere.csv"),
        (["-m", "nosuchmodel"], 1, "nosuchmodel"),
    ],
)
def test_wrong_usage_is_two_and_what_is_missing_is_named(night, tmp_path, words, code, said):
    done = run(night, "-o", tmp_path / "a.zarr", *words)
    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("text", ["just words", "prepare: {grid: {kind: log}}", "prepare: {a: 1}"])
def test_a_file_without_a_preparation(night, tmp_path, text):
    (tmp_path / "g.yaml").write_text(text)
    done = run(night, "-o", tmp_path / "a.zarr", "--grid", tmp_path / "g.yaml")
    assert done.exit_code == 1
    assert "g.yaml" in done.stderr


def test_help_has_an_example():
    done = CliRunner().invoke(app, ["pack", "--help"])
    assert "python -m train pack spectra/ -o archive.zarr" in done.output
