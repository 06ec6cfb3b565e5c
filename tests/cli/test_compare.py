"""compare on two releases of the same archive."""

import json

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def here(here, tmp_path):
    """Beside the latents those of another release: rows shuffled, dimensions 0 and 1 swapped."""
    order = np.random.default_rng(1).permutation(400)
    np.save("new.npy", np.load("latents.npy")[order][:, [1, 0, 3, 2]])
    pd.read_csv("latents.csv").iloc[order].to_csv("new.csv", index=False)
    return tmp_path


def test_compare_prints_writes_and_draws(command, here):
    ended = command(
        "compare", "latents.npy", "new.npy", "--labels", "labels.csv", "-o", "compare.csv",
        "--plot", "compare.png",
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith("latents.npy and new.npy: CKA 1.000 (1.000 ... 1.000, chance ")
    assert any(line.startswith("dims of latents.npy in new.npy: ") for line in lines)
    assert any("know about the same of radvel" in line for line in lines)
    assert pd.read_csv("compare.csv")["measure"].tolist() == ["CKA", "SVCCA"]
    pairs = pd.read_csv("compare.dims.csv").query("matched")
    assert dict(zip(pairs["dim_a"], pairs["dim_b"], strict=True)) == {0: 1, 1: 0, 2: 3}
    assert set(pd.read_csv("compare.labels.csv")["label"]) == {"radvel", "Teff"}
    assert len(pd.read_csv("compare.rows.csv")) == 399
    assert json.loads((here / "compare.json").read_text())["diagnostic"] == "compare"
    assert (here / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_alone_on_stdout(command, here):
    ended = command("compare", "latents.npy", "new.npy", "--names", "old,new", "--json")
    assert ended.code == 0
    assert [row["model"] for row in ended.json["models"]] == ["old", "new"]
    assert ended.json["labels"] == []
    assert len(ended.json["rows"]) == 399


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("latents.npy",), 2, "expected another"),
        (("latents.npy", "new.npy", "labels.csv"), 2, "--labels"),
        (("latents.npy", "new.npy", "--names", "a"), 2, "expected 2 different ones"),
        (("latents.npy", "new.npy", "-o", "new.csv"), 2, "would replace"),
        (("latents.npy", "none.npy"), 1, "none.npy: no such file"),
    ],
)
def test_wrong_usage_is_said(command, here, arguments, code, words):
    ended = command("compare", *arguments)
    assert ended.code == code
    assert words in ended.err
