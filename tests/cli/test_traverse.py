"""traverse and linemap on a small model, and on the bundled one."""

import json

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def latents(tmp_path):
    path = tmp_path / "latents.npy"
    np.save(path, np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32))
    return path


@pytest.mark.slow
def test_traverse_measures_the_doppler_dimension_and_writes_all_files(command, tmp_path):
    ended = command(
        "traverse", "-m", "harps-sim", "--dim", "0", "--sigmas", "-1:1", "--n-steps", "3",
        "--window", "5160:5190", "-o", tmp_path / "dim.csv", "--plot", tmp_path / "dim.png",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "dim 0 is a Doppler shift: +2" in ended.out
    assert "moved from the mean of the model's" in ended.out
    table = pd.read_csv(tmp_path / "dim.csv")
    assert len(table) == 3
    assert table["rv_kms"].is_monotonic_increasing
    lines = pd.read_csv(tmp_path / "dim.lines.csv")
    assert {"H-alpha", "Na I 5890.0"} <= set(lines["line"])
    assert json.loads((tmp_path / "dim.json").read_text())["model"] == "harps-sim"
    assert (tmp_path / "dim.png").read_bytes().startswith(b"\x89PNG")


def test_traverse_starts_from_a_spectrum(command, archive, tiny_model):
    spectrum = sorted(archive.glob("*.fits"))[0]
    ended = command(
        "traverse", spectrum, "-m", tiny_model, "--dim", "1", "--values=-1,0.5,1", "--json"
    )
    assert ended.code == 0, ended.err
    assert ended.json["provenance"]["base_from"] == str(spectrum)
    assert [row["value"] for row in ended.json["table"]] == [-1, 0.5, 1]
    assert len(ended.json["lines"]) > 150
    assert ended.json["verdict"] in ("shift", "partly", "none", "unlike")
    assert ended.json["sentences"][0].startswith("dim 1")
    assert ended.json["sentences"][0] in ended.err


def test_traverse_takes_quantiles_of_latents(command, tiny_model, latents):
    ended = command(
        "traverse", "-m", tiny_model, "--dim", "2", "--latents", latents,
        "--quantiles", "0.1,0.9", "--rv", "0", "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    wanted = np.quantile(np.load(latents)[:, 2], [0.1, 0.9])
    assert [row["value"] for row in ended.json["table"]] == pytest.approx(list(wanted))
    assert ended.json["provenance"]["data"] == str(latents)
    assert ended.json["provenance"]["base_rv_from"] == "given"


def test_linemap_writes_every_line_of_every_dimension(command, tiny_model, latents, tmp_path):
    ended = command(
        "linemap", "-m", tiny_model, "--latents", latents,
        "-o", tmp_path / "map.csv", "--plot", tmp_path / "map.pdf",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    table = pd.read_csv(tmp_path / "map.csv")
    assert list(table.groupby("dim").size().index) == [0, 1, 2]
    assert {"line", "element", "wavelength", "depth_per_sigma", "ew_per_sigma"} <= set(table)
    assert (tmp_path / "map.pdf").read_bytes().startswith(b"%PDF")
    assert "dim 0: " in ended.out
    assert json.loads((tmp_path / "map.json").read_text())["step"] == 0.5


def test_linemap_as_json_is_alone_on_stdout(command, tiny_model):
    ended = command("linemap", "-m", tiny_model, "--dims", "2,0", "--step", "0.2", "--json")
    assert ended.code == 0, ended.err
    assert [row["dim"] for row in ended.json["dims"]] == [2, 0]
    assert len(ended.json["sentences"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["traverse", "--dim", "3"], "dim is 3; there are dimensions 0 to 2"),
        (["traverse", "--dim", "0", "--sigmas", "3:-3"], "'--sigmas': '3:-3'; expected first:last"),
        (["traverse", "--dim", "0", "--window", "Mg"], "'--window': 'Mg'"),
        (["traverse", "--dim", "0", "--values", "a"], "'--values': 'a'"),
        (
            ["traverse", "--dim", "0", "--values", "1,2", "--quantiles", "0.1"],
            "expected one of them",
        ),
        (["traverse", "--dim", "0", "--plot", "x.gif"], "--plot is x.gif"),
        (["linemap", "--dims", "all"], "'--dims': 'all'"),
        (["linemap", "--dims", "9"], "dims [9]"),
    ],
)
def test_wrong_usage_is_said_with_code_2(command, tiny_model, arguments, message):
    ended = command(*arguments, "-m", tiny_model)
    assert ended.code == 2
    assert message in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["traverse", "nowhere.fits", "--dim", "0"],
        ["traverse", "--dim", "0", "--latents", "nowhere.npy"],
        ["linemap", "--linelist", "nowhere.csv"],
    ],
)
def test_missing_files_are_named_with_code_1(command, tiny_model, arguments):
    ended = command(*arguments, "-m", tiny_model)
    assert ended.code == 1
    assert "nowhere." in ended.err


def test_an_input_is_not_written_over(command, tiny_model, tmp_path):
    latents = tmp_path / "x.lines.csv"
    latents.write_text("z0,z1,z2\n1,2,3\n2,3,4\n")
    ended = command(
        "traverse", "--dim", "0", "-m", tiny_model, "--latents", latents, "-o", tmp_path / "x.csv"
    )
    assert ended.code == 2
    assert "would replace" in ended.err


def test_a_window_out_of_reach_is_said(command, tiny_model, tmp_path):
    ended = command(
        "traverse", "--dim", "0", "-m", tiny_model, "--values", "0,1",
        "--window", "7000:7010", "--plot", tmp_path / "x.png",
    )  # fmt: skip
    assert ended.code == 0
    assert "warning: 7000-7010 Å is left out" in ended.err
