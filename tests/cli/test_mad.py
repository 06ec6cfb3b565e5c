"""mad: two answers to how many dimensions are informative."""

import json

import numpy as np
import pandas as pd


def test_both_answers_and_the_verdict_are_said(command, here):
    np.save("latents.logvar.npy", np.log(np.full((400, 4), [0.01, 0.01, 0.01, 1.0])))
    ended = command("mad", "latents.npy", "-o", "mad.csv", "--plot", "mad.png")
    assert (ended.code, ended.err) == (0, "")
    assert "threshold estimated from the data: " in ended.out
    assert "3 of 4 dimensions carry information, 3 of them add some" in ended.out
    assert "both answers agree on 3 dimensions: 0, 1, 2" in ended.out
    table = pd.read_csv("mad.csv")
    assert list(table["adds"]) == [True, True, True, False]
    assert list(table["kl_nats"] > 1) == [True, True, True, False]
    assert {"carried_nats", "rest_nats", "partner", "exclusive", "gain_nats"} < set(table)
    provenance = json.loads((here / "mad.json").read_text())
    assert provenance["diagnostic"] == "mad"
    assert provenance["information"]["rows_measured"] == 399


def test_json_holds_both(command, here):
    ended = command("mad", "latents.npy", "--json", "--seed", "2")
    found = ended.json["information"]
    assert found["informative"] == ended.json["informative"] == [0, 1, 2]
    assert found["agree"] is True
    assert [row["adds"] for row in found["order"]] == [True] * 3
    assert ended.json["estimated_threshold"] < 0.1
    assert ended.json["active"] == [0, 1, 2]
    assert ended.json["kl_nats"] is None
    assert "both answers agree" in ended.err


def test_a_repeated_dimension_is_where_they_differ(command, here):
    values = np.load("latents.npy")
    values[:, 2] = values[:, 1] + 0.001 * values[:, 2]
    np.save("twice.npy", values)
    ended = command("mad", "twice.npy")
    assert "the two answers differ in 1 dimension and agree on 2: 0, " in ended.out
    assert "varies, but adds nothing: of its " in ended.out


def test_information_can_be_left_out(command, here):
    ended = command("mad", "latents.npy", "--no-information", "--json")
    assert "information" not in ended.json
    assert "adds" not in ended.json["table"][0]
    assert "answers" not in ended.err


def test_few_rows_have_deviations_alone(command, here):
    np.save("few.npy", np.random.default_rng(0).normal(size=(60, 3)))
    ended = command("mad", "few.npy")
    assert ended.code == 0
    assert "3 of 3 dimensions are informative" in ended.out
    assert "information was not measured: few.npy: 60 rows are finite; expected 100" in ended.out


def test_groups_take_one_row_a_star(command, here):
    table = pd.read_csv("latents.csv")
    table["star"] = [f"star-{i // 3}" for i in range(len(table))]
    table.to_csv("latents.csv", index=False)
    found = command("mad", "latents.npy")
    assert found.out.count("by column star, count as one: 134 stars in 399 rows") == 1
    ended = command("mad", "latents.npy", "--groups", "star")
    assert (found.err, ended.err) == ("", "")
    assert "134 of 400 rows, one per star" in ended.out
    assert ended.out in found.out
    assert "134" not in command("mad", "latents.npy", "--groups", "none").out
    wrong = command("mad", "latents.npy", "--groups", "nosuch")
    assert wrong.code == 2
    assert "no column 'nosuch'" in wrong.err


def test_of_many_dimensions_those_that_matter_are_listed(command, here):
    values = 1e-3 * np.random.default_rng(1).normal(size=(300, 64))
    values[:, [5, 40]] *= 500
    np.save("many.npy", values)
    out = command("mad", "many.npy", "--no-information").out
    rows = [line.split()[0] for line in out.splitlines()[1:3]]
    assert rows == ["5", "40"]
    assert "62 more are below all of this; -o writes them too" in out


def test_embeddings_do_not_fill_the_screen(command, here):
    values = np.random.default_rng(1).normal(size=(300, 500))
    np.save("unit.npy", values / np.linalg.norm(values, axis=1)[:, None])
    ended = command("mad", "unit.npy", "--no-information")
    assert len(ended.out.splitlines()) < 45
    assert "a hundredth of the widest, since no model says one and no gap shows" in ended.out
    assert "no threshold can be estimated" in ended.out
    assert "468 more; -o writes them too" in ended.out
    same = command("mad", "unit.npy", "--no-information", "--json")
    assert same.json["threshold_from"] == "varying"
    assert same.json["estimated_threshold"] is None
