"""probe on latents whose meaning is known: measure, save, apply."""

import json

import numpy as np
import pandas as pd
import pytest

LATENTS, LABELS = "latents.npy", "labels.csv"


def test_probe_prints_writes_draws_saves_and_applies(command, here):
    ended = command(
        "probe", LATENTS, LABELS, "-o", "probe.csv", "--plot", "probe.png", "--save",
        "stars.safetensors", "--readers", "linear,curved",
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert any(line.startswith("Teff is read to ") and " K (" in line for line in lines)
    assert "stars.safetensors: reads radvel, Teff" in lines
    table = pd.read_csv(here / "probe.csv")
    assert len(table) == 4
    assert (table["r2"] > 0.95).all()
    assert json.loads((here / "probe.json").read_text())["diagnostic"] == "probe"
    assert (here / "probe.png").read_bytes().startswith(b"\x89PNG")
    applied = command("probe", LATENTS, LABELS, "--apply", "stars.safetensors", "-o", "read.csv")
    assert applied.code == 0
    assert "400 rows read, with intervals that hold 90 % of the stars; " in applied.out
    found = pd.read_csv(here / "read.csv").set_index("id")
    truth = pd.read_csv(here / LABELS).set_index("id")["Teff"].reindex(found.index)
    assert np.isnan(found["Teff_probe"].iloc[5])
    assert (found["Teff_probe"] - truth).abs().median() < 150
    inside = (found["Teff_low"] <= truth) & (truth <= found["Teff_high"])
    assert inside.mean() > 0.8


def test_json_is_alone_on_stdout(command, here):
    ended = command("probe", LATENTS, LABELS, "--json", "--readers", "linear", "--dims", "each")
    assert ended.code == 0
    assert {row["dims"] for row in ended.json["table"]} == {"0", "1", "2"}
    assert ended.json["sentences"]
    command("probe", LATENTS, LABELS, "--readers", "linear", "--save", "p.safetensors")
    read = command("probe", LATENTS, "--apply", "p.safetensors", "--json").json
    assert len(read["table"]) == 400
    assert read["table"][5]["Teff_probe"] is None
    assert read["compared"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((LATENTS,), 2, "no LABELS"),
        ((LATENTS, LABELS, "--save", "probe.pkl"), 2, "ends in .safetensors"),
        ((LATENTS, LABELS, "--readers", "forest"), 2, "linear, curved, knn, boosted"),
        ((LATENTS, "--apply", "x.safetensors", "--plot", "x.png"), 2, "--save or --plot"),
        ((LATENTS, "--apply", "none.safetensors"), 1, "none.safetensors: no such file"),
        ((LATENTS, "--apply", LABELS), 1, "expected a probe"),
        ((LATENTS, LABELS, "--columns", "mass"), 2, "mass"),
        ((LATENTS, LABELS, "--color", "mass", "--plot", "x.png"), 2, "'mass'"),
        ((LATENTS, LABELS, "--color", "Teff"), 2, "give --plot"),
        ((LATENTS, LABELS, "--save", "."), 2, "or a model's folder"),
        ((LATENTS, LABELS, "--covered", "90"), 2, "'--covered': expected less than or equal to 1"),
    ],
)
def test_wrong_usage_is_said(command, here, arguments, code, words):
    ended = command("probe", *arguments)
    assert ended.code == code
    assert words in ended.err


def test_a_damaged_probe_is_one_line(command, here):
    (here / "broken.safetensors").write_bytes(b"\x00" * 100)
    ended = command("probe", LATENTS, "--apply", "broken.safetensors")
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "broken.safetensors: is not a complete probe" in ended.err
