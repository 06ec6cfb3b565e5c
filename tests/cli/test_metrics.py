"""metrics and robustness on latents whose meaning is known."""

import json

import numpy as np
import pandas as pd
import pytest

LATENTS, LABELS = "latents.npy", "labels.csv"


@pytest.fixture
def repeats(here):
    """The same, where four rows show each star."""
    table = pd.read_csv(here / "latents.csv")
    table["star"] = [f"star-{i // 2}" for i in range(len(table))]
    table.to_csv(here / "latents.csv", index=False)
    return here


@pytest.mark.slow
def test_metrics_prints_writes_and_draws(command, here):
    ended = command(
        "metrics", LATENTS, LABELS, "--n-halves", "10", "-o", "metrics.csv", "--plot",
        "metrics.png",
    )  # fmt: skip
    assert ended.code == 0
    # There are 399 stars.
    assert ended.err.startswith("warning: ")
    assert ended.err.count("\n") == 1
    assert "399 stars, below 1,000" in ended.err
    lines = ended.out.splitlines()
    assert lines[0].split()[:3] == ["metric", "estimator", "value"]
    assert any(line.startswith("Of 10 measures that depend on the axes, ") for line in lines)
    assert "left out, since it names rows or stars: id" in lines
    table = pd.read_csv(here / "metrics.csv").set_index(["metric", "estimator", "label"])
    assert table.loc[("mig", "knn", "radvel"), "value"] > 0.7
    assert table.loc[("sap", "linear", "mean"), "value"] > 0.9
    assert json.loads((here / "metrics.json").read_text())["diagnostic"] == "metrics"
    assert (here / "metrics.png").read_bytes().startswith(b"\x89PNG")


def test_metrics_as_json_is_alone_on_stdout(command, here):
    ended = command("metrics", LATENTS, LABELS, "--json", "--n-halves", "0", "--dims", "0,1")
    assert ended.code == 0
    row = ended.json["table"][0]
    assert (row["metric"], row["estimator"], row["label"], row["low"]) == (
        "mig", "binned", "mean", None,
    )  # fmt: skip
    assert ended.json["sentences"]
    assert "MIG" in ended.err


@pytest.mark.slow
def test_robustness_prints_writes_and_draws(command, repeats):
    ended = command(
        "robustness", LATENTS, LABELS, "--groups", "star", "--n-draws", "3", "-o", "r.csv",
        "--plot", "r.svg",
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].split()[:4] == ["sample", "draws", "n", "n_stars"]
    assert any(line.startswith("Informative dimensions: all 3; ") for line in lines)
    table = pd.read_csv(repeats / "r.csv")
    assert set(table["sample"]) == {
        "all", "repeats counted", "one per star", "equal Teff", "half of the stars",
    }  # fmt: skip
    assert json.loads((repeats / "r.json").read_text())["classes"] == "Teff"
    assert b"<svg" in (repeats / "r.svg").read_bytes()


def test_robustness_as_json_is_alone_on_stdout(command, here):
    ended = command(
        "robustness", LATENTS, LABELS, "--json", "--n-draws", "3", "--labels", "radvel",
        "--classes", "Teff",
    )  # fmt: skip
    assert ended.code == 0
    assert [row["sample"] for row in ended.json["mad"]] == [
        "all", "equal Teff", "half of the stars",
    ]  # fmt: skip
    assert {row["label"] for row in ended.json["mi"]} == {"radvel"}
    assert "Informative dimensions" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("metrics", LATENTS, LABELS, "--n-halves", "-1"), 2, "--n-halves"),
        (("metrics", LATENTS, LABELS, "--columns", "nosuch"), 2, "no label nosuch"),
        (("metrics", LATENTS, LABELS, "--dims", "1"), 1, "1 dimension; expected two or more"),
        (("metrics", LATENTS, LABELS, "--n-halves", "4"), 1, "n_halves is 4"),
        (("metrics", LATENTS, LABELS, "-o", LABELS), 2, "would replace"),
        (("robustness", LATENTS, LABELS, "--n-draws", "1"), 2, "--n-draws"),
        (("robustness", LATENTS, LABELS, "--classes", "nosuch"), 2, "no label nosuch"),
        (("robustness", "nosuch.npy", LABELS), 1, "nosuch.npy"),
        (("robustness", LATENTS, LABELS, "--plot", "r.txt"), 2, "--plot"),
    ],
)
def test_what_goes_wrong_is_one_line(command, here, arguments, code, said):
    ended = command(*arguments)
    assert ended.code == code
    assert said in ended.err


def test_no_dimension_that_varies_is_an_error(command, here):
    np.save(here / "dead.npy", np.zeros((400, 3)))
    ended = command("metrics", "dead.npy", LABELS)
    assert ended.code == 1
    assert "no dimension is informative" in ended.err
