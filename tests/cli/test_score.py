"""score on latents whose law is known."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from latentscope.data import write_latents
from tests.diagnostics.trust_cases import made


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_latents(made(400, seed=1), "ordinary.npy")
    rows = made(60, seed=2)
    odd = made(60, seed=2, bump=2.0)
    table = pd.concat([rows.table[:50], odd.table[50:]], ignore_index=True)
    write_latents(replace(rows, table=table), "latents.npy")
    return tmp_path


def test_score_names_the_rows_that_are_odd(command, here):
    ended = command(
        "score", "latents.npy", "--reference", "ordinary.npy", "-o", "trust.csv", "--plot",
        "trust.png", "--show", "3",
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith("of 60 spectra 4")
    assert lines[1].startswith("compared with 400 ordinary spectra (ordinary.npy)")
    assert lines[2].startswith("of these ")
    assert len(lines) == 6
    assert all(line.startswith("s2-5") and "near 6,716 A" in line for line in lines[3:])
    table = pd.read_csv("trust.csv")
    assert (table["verdict"][50:] != "ordinary").all()
    assert set(table.nsmallest(10, "trust").index) == set(range(50, 60))
    assert json.loads((here / "trust.json").read_text())["reference"]["rows"] == 400
    assert (here / "trust.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_alone_on_stdout(command, here):
    ended = command("score", "latents.npy", "--reference", "ordinary.npy", "--json")
    assert ended.code == 0
    assert sum(ended.json["counts"].values()) == 60
    assert len(ended.json["table"]) == 60
    assert not ended.json["own_reference"]
    assert "ordinary" in ended.err


def test_without_a_reference_rows_are_compared_with_each_other(command, here):
    ended = command("score", "ordinary.npy", "--groups", "object")
    assert ended.code == 0
    assert "compared with each other" in ended.out


def test_a_model_without_a_sample_says_what_to_give(command, here, tiny_model):
    ended = command("score", "latents.npy", "-m", tiny_model)
    assert ended.code == 1
    assert "this model has no reference sample: give --reference LATENTS" in ended.err


def test_a_bundled_model_is_found_by_what_the_latents_say(command, here):
    from latentscope.models.config import bundled_models

    folder = bundled_models()["harps-sim"]
    sha = json.loads((folder / "config.json").read_text())["weights_sha256"]
    np.save("mine.npy", np.random.default_rng(0).normal(size=(5, 16)))
    (here / "mine.json").write_text(json.dumps({"model": "harps-sim", "weights_sha256": sha}))
    ended = command("score", "mine.npy")
    assert ended.code == 0
    assert "ordinary spectra (imperfect simulated spectra, seed" in ended.out
    assert "not compared, since not known on both sides: reconstruction error" in ended.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("-m", "harps-sim", "--reference", "ordinary.npy"), 2, "expected one of the two"),
        (("--reference", "latents.npy", "-o", "latents.csv"), 2, "would replace"),
        (("--reference", "absent.npy"), 1, "absent.npy"),
        (("--groups", "night"), 1, "no column 'night'"),
        (("--plot", "trust.gif"), 2, "expected a name that ends in"),
    ],
)
def test_mistakes_are_told(command, here, arguments, code, message):
    ended = command("score", "latents.npy", *arguments)
    assert ended.code == code
    assert message in ended.err
