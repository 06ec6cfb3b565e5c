"""mad and mi on latents whose meaning is known."""

import json

import numpy as np
import pandas as pd
import pytest

LATENTS, LABELS = "latents.npy", "labels.csv"


def test_mad_says_which_dimensions_are_informative(command, here):
    ended = command("mad", here / LATENTS, "-o", here / "mad.csv", "--plot", here / "mad.png")
    assert ended.code == 0
    assert "3 of 4 dimensions are informative (MAD > 0.0231): 0, 1, 2" in ended.out
    assert "399 rows counted, 1 of NaN left out" in ended.out
    table = pd.read_csv(here / "mad.csv")
    assert list(table["informative"]) == [True, True, True, False]
    assert json.loads((here / "mad.json").read_text())["threshold"] == pytest.approx(
        0.0231, abs=1e-4
    )
    assert (here / "mad.png").read_bytes().startswith(b"\x89PNG")


def test_mad_as_json_is_alone_on_stdout(command, here):
    ended = command("mad", here / LATENTS, "--json", "--threshold", "1e-5", "--kind", "mean")
    assert ended.code == 0
    assert ended.json["informative"] == [0, 1, 2, 3]
    assert ended.json["kind"] == "mean"
    assert len(ended.json["table"]) == 4
    assert "informative" in ended.err


def test_mi_finds_what_each_dimension_knows(command, here):
    ended = command(
        "mi", here / LATENTS, here / LABELS, "-o", here / "mi.csv", "--plot", here / "mi.svg"
    )
    assert ended.code == 0
    table = pd.read_csv(here / "mi.csv").set_index(["label", "dim"])["mi_nats"].unstack()
    assert table.idxmax(axis=1).to_dict() == {"radvel": 0, "Teff": 1}
    assert table.loc["radvel", 0] > 2 > 0.2 > abs(table.loc["radvel", 2])
    assert json.loads((here / "mi.json").read_text())["neighbors"] == 3
    assert b"<svg" in (here / "mi.svg").read_bytes()
    lines = ended.out.splitlines()
    assert lines[0].startswith("dim 0: radvel 2.")
    assert lines[0].endswith("nats, p < 0.001, n = 399")
    assert lines[1].startswith("dim 1: Teff ")
    assert lines[2:] == [
        "2 of 8 pairs are significant (q < 0.05)",
        "left out, since it names rows or stars: id",
    ]


def test_mi_as_json_is_alone_on_stdout_and_takes_lists(command, here):
    ended = command(
        "mi", here / LATENTS, here / LABELS, "--json", "--dims", "1,2", "--labels", "Teff",
        "--estimator", "ksg", "--neighbors", "5", "--clip-sigma", "0", "--seed", "4",
    )  # fmt: skip
    assert ended.code == 0
    assert [(row["label"], row["dim"]) for row in ended.json["table"]] == [("Teff", 1), ("Teff", 2)]
    assert {row["estimator"] for row in ended.json["table"]} == {"ksg"}


def test_names_that_look_like_formulas_are_drawn(command, here):
    pytest.importorskip("matplotlib").use("Agg")
    table = pd.read_csv(here / LABELS).rename(columns={"radvel": "a$_{b$"})
    table.to_csv(here / "odd.csv", index=False)
    ended = command("mi", LATENTS, "odd.csv", "--dims", "0", "--plot", "mi.png")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("dim 0: a$_{b$ 2.")
    assert (here / "mi.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_picture_that_fails_costs_no_words(command, here, monkeypatch, as_json):
    pytest.importorskip("matplotlib").use("Agg")

    def broken(result, ax):
        raise OSError("no ink")

    monkeypatch.setattr("latentscope.plots.plot_mi", broken)
    flags = ["--json"] if as_json else []
    ended = command("mi", LATENTS, LABELS, "--dims", "0", "--plot", "mi.png", *flags)
    assert ended.code == 1
    assert "no ink" in ended.err
    words = ended.err if as_json else ended.out
    assert "dim 0: radvel 2." in words
    assert "pairs are significant" in words
    assert not as_json or len(ended.json["table"]) == 2


def test_help_names_every_estimator(command):
    from latentscope.diagnostics.mi.estimators import NAMES

    assert ", ".join(NAMES) in " ".join(command("mi", "--help").out.split())


def test_mi_of_informative_dimensions_only(command, here):
    ended = command("mi", LATENTS, LABELS, "--dims", "informative", "--json")
    assert {row["dim"] for row in ended.json["table"]} == {0, 1, 2}


def test_rows_are_joined_by_id_and_those_of_a_star_count_once(command, here):
    table = pd.read_csv(here / "latents.csv")
    table["star"] = [f"star-{i // 4}" for i in range(len(table))]
    table.to_csv(here / "latents.csv", index=False)
    for given in ((), ("--groups", "star")):
        grouped = command("mi", LATENTS, LABELS, "--dims", "2", "--json", *given)
        assert {row["n_groups"] for row in grouped.json["table"]} == {100}
        assert "warning" not in grouped.err
        assert ("100 stars in 399 rows" in grouped.err) == (not given)
    alone = command("mi", LATENTS, LABELS, "--dims", "2", "--groups", "none", "--json")
    assert {row["n_groups"] for row in alone.json["table"]} == {399}


def test_join_on_a_column_of_stars(command, here):
    labels = pd.read_csv(here / LABELS).rename(columns={"id": "star"})
    labels.to_csv(here / "stars.csv", index=False)
    ended = command("mi", LATENTS, "stars.csv", "--join", "star", "--dims", "0", "--json")
    assert ended.code == 0
    assert {row["label"]: row["mi_nats"] > 1 for row in ended.json["table"]} == {
        "radvel": True,
        "Teff": False,
    }


@pytest.mark.parametrize("name", ["latents.csv", "latents.npy", "labels.csv", "latents.json"])
def test_inputs_are_never_written_over(command, here, name):
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    ended = command("mi", LATENTS, LABELS, "-o", name)
    assert ended.code == 2
    assert "would replace" in ended.err or "the table is written as CSV" in ended.err
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_a_closed_pipe_is_quiet(here):
    import subprocess
    import sys

    shell = f"set -o pipefail; {sys.executable} -m latentscope mad {here / LATENTS} | true"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode in (0, 141)  # 0 if all was written before the reader left


@pytest.mark.parametrize("arguments", [("mad", LATENTS), ("mi", LATENTS, LABELS)])
def test_the_table_never_takes_the_place_of_its_provenance(command, here, arguments):
    ended = command(*arguments, "-o", "out.json")
    assert ended.code == 2
    assert "out.csv" in ended.err
    assert not (here / "out.json").exists()


@pytest.mark.parametrize("arguments", [("mi", LATENTS, LABELS), ("simulate", "-n", "1")])
def test_a_seed_below_0_is_wrong_usage(command, here, arguments):
    ended = command(*arguments, "--seed", "-1")
    assert ended.code == 2
    assert "--seed" in ended.err


def test_sidecars_that_cannot_be_read_are_named(command, here):
    (here / "latents.logvar.npy").write_text("x")
    ended = command("mad", LATENTS)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "latents.logvar.npy: cannot be read" in ended.err
    (here / "latents.csv").write_text("")
    ended = command("mad", LATENTS)
    assert ended.code == 1
    assert "latents.csv: cannot be read" in ended.err


def test_codes_of_missing_values_are_told_named_and_kept(command, here):
    table = pd.read_csv(here / LABELS)
    table.loc[::20, "Teff"] = -9999
    table.to_csv(here / LABELS, index=False)
    ended = command("mi", here / LATENTS, here / LABELS, "--json")
    assert ended.code == 0
    assert "Teff -9999 (20 rows)" in ended.json["notes"][0]
    assert ended.err.count("warning: ") == 1
    rows = {line["label"]: line["n"] for line in ended.json["table"]}
    for named in ("-9999", "-9999,99"):
        same = command("mi", here / LATENTS, here / LABELS, "--missing", named, "--json")
        assert {line["label"]: line["n"] for line in same.json["table"]} == rows
        assert same.err.count("warning: ") == (1 if "99" in named.split(",") else 0)
    off = ("--missing", "none", "--clip-sigma", "0")
    kept = command("mi", here / LATENTS, here / LABELS, *off, "--json")
    assert kept.json["table"][-1]["n"] == rows["Teff"] + 20
    wrong = command("mi", here / LATENTS, here / LABELS, "--missing", "unknown")
    assert wrong.code == 2
    assert "'--missing': 'unknown'" in wrong.err


def test_labels_before_latents_are_refused(command, here):
    ended = command("mi", here / LABELS, here / LATENTS)
    assert ended.code == 1
    assert f"expected latents first: {here / LATENTS} {here / LABELS}" in ended.err


def test_a_column_that_is_not_there_names_the_file(command, here):
    ended = command("mi", here / LATENTS, here / LABELS, "--columns", "Tef")
    assert ended.code == 2
    assert f"{here / LABELS}: no label Tef" in ended.err


def test_mi_of_the_rows_that_meet_a_condition(command, here):
    ended = command("mi", LATENTS, LABELS, "--where", "Teff > 5000 and status == 'ok'", "--json")
    assert ended.code == 0
    labels = pd.read_csv(LABELS).set_index("id")
    rows = pd.read_csv("latents.csv").join(labels, on="id")
    expected = int((rows["Teff"] > 5000).to_numpy()[np.arange(400) != 5].sum())
    assert {row["n"] for row in ended.json["table"]} == {expected}
    kept = int((rows["Teff"] > 5000).sum())
    assert f"{kept} of 400 rows have Teff > 5000 and status == 'ok'" in ended.json["notes"]
    for where, code, words in (
        ("teff > 5000", 2, "on id, star, status, radvel, Teff; "),
        ("Teff > 1e9", 1, "none of 400 rows meets"),
    ):
        wrong = command("mi", LATENTS, LABELS, "--where", where)
        assert wrong.code == code
        assert words in wrong.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("pairs", LATENTS, "--labels-file", LABELS, "--color", "Teff", "--plot", "p.png"),
        ("metrics", LATENTS, LABELS, "--n-halves", "0"),
        ("probe", LATENTS, LABELS, "--readers", "linear"),
        ("robustness", LATENTS, LABELS, "--n-draws", "3"),
        ("compare", LATENTS, LATENTS, "--labels", LABELS),
        ("retrieve", LATENTS, "--row", "3", "--labels-file", LABELS),
    ],
)
def test_every_command_of_labels_takes_a_condition(command, here, arguments):
    ended = command(*arguments, "--where", "Teff > 5000")
    assert ended.code == 0
    assert "have Teff > 5000" in ended.out


def test_the_paper_in_two_commands_on_files_of_its_names(process, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    unique = rng.random(900) < 0.6
    radvel, teff = rng.normal(0, 30, 900), rng.uniform(3500, 7000, 900)
    latents = 0.005 * rng.normal(size=(900, 128))
    latents[:, 124] = radvel / 30 + 0.05 * rng.normal(size=900)
    latents[:, 85] = (teff - 5000) / 1000 + 0.1 * rng.normal(size=900)
    faint = rng.random(900) < 0.1
    latents[faint] = rng.normal(size=(int(faint.sum()), 128))
    latents_file = "encoded_harps_unique_128d_e182_i1500000.npy"
    np.save(latents_file, latents[unique].astype(np.float32))
    pd.DataFrame(
        {
            "dp_id": [f"ADP.{row}" for row in range(900)],
            "unique_subset": np.where(unique, 1, np.nan),
            "median": np.where(faint, 10.0, 500.0),
            "radvel": radvel,
            "Teff": teff,
        }
    ).to_csv("harps_metadata_and_labels.csv", index=False)
    first = command("mad", latents_file, "--threshold", "0.02", "--no-information")
    assert "2 of 128 dimensions are informative (MAD > 0.02): 85, 124" in first.out
    second = process(
        "mi", latents_file, "harps_metadata_and_labels.csv", "--where", "median > 50",
        "--indicator", "--labels", "radvel,Teff", "-o", "indicator.csv", "--plot", "i.png",
    )  # fmt: skip
    assert second.code == 0
    assert "whose unique_subset is not empty" in second.err
    n = int((unique & ~faint).sum())
    lines = second.out.splitlines()
    assert lines[0].startswith("radvel: dim 124 1.00, ")
    assert lines[1].startswith("Teff: dim 85 1.00, ")
    assert lines[0].endswith(f"(mean over the numbers of bins; n = {n:,})")
    table = pd.read_csv("indicator.csv")
    assert len(table) == 2 * 6 * 128
    assert (tmp_path / "i.png").read_bytes().startswith(b"\x89PNG")
    wrong = command("mi", latents_file, latents_file, "--indicator", "--given", "Teff")
    assert wrong.code == 2
