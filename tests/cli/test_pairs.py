"""pairs: dimensions against one another."""

import json

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def here(here, tmp_path):
    values = np.load("latents.npy")
    values[:, 2] = values[:, 1] + 0.2 * values[:, 2]
    np.save("latents.npy", values)
    return tmp_path


def test_pairs_are_ranked_drawn_and_written(command, here):
    ended = command(
        "pairs", here / "latents.npy", "--color", "Teff", "--labels-file", here / "labels.csv",
        "--plot", here / "pairs.png", "-o", here / "pairs.csv",
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith("dims 1 and 2: 1.")
    assert lines[-1] == "1 of 3 pairs of dims 0, 1, 2 share something (q < 0.05)"
    table = pd.read_csv(here / "pairs.csv")
    assert list(table["rank"]) == [1, 2, 3]
    assert table["mi_nats"].is_monotonic_decreasing
    assert (table["dim_x"][0], table["dim_y"][0]) == (1, 2)
    assert json.loads((here / "pairs.json").read_text())["dims"] == [0, 1, 2]
    assert (here / "pairs.png").read_bytes().startswith(b"\x89PNG")


def test_json_gives_the_ranked_pairs(command, here):
    ended = command("pairs", "latents.npy", "--dims", "0,1", "--json")
    assert ended.json["dims"] == [0, 1]
    (pair,) = ended.json["pairs"]
    assert pair["rank"] == 1
    assert abs(pair["mi_nats"]) < 0.2
    assert "0 of 1 pairs" in ended.err


def test_a_color_may_come_from_the_sidecar(command, here):
    table = pd.read_csv("latents.csv")
    table["spec_type"] = np.where(np.arange(400) % 2 == 0, "G V", "K V")
    table.to_csv("latents.csv", index=False)
    ended = command("pairs", "latents.npy", "--color", "spec_type", "--plot", "pairs.pdf")
    assert (ended.code, ended.err) == (0, "")
    assert (here / "pairs.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--color", "Teff"), "needs --color COLUMN and --plot PICTURE"),
        (("--labels-file", "labels.csv", "--plot", "p.png"), "needs --color COLUMN"),
        (("--color", "mass", "--plot", "p.png"), "--labels-file names a table"),
        (("--color", "mass", "--labels-file", "labels.csv", "--plot", "p.png"), "radvel, Teff"),
        (("--plot", "p.gif"), ".png, .pdf, .svg"),
        (("-o", "labels.csv", "--labels-file", "labels.csv"), "would replace"),
        (("--dims", "9"), "dims [9]"),
    ],
)
def test_wrong_usage_is_exit_code_2(command, here, arguments, said):
    ended = command("pairs", "latents.npy", *arguments)
    assert ended.code == 2
    assert said in ended.err
    assert not (here / "p.png").exists()


def test_one_dimension_has_no_pair(command, here):
    ended = command("pairs", "latents.npy", "--dims", "1")
    assert ended.code == 1
    assert "expected two or more" in ended.err
