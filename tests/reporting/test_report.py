"""The report as a whole: what it shows, what it leaves out and says so, what it survives."""

import json
import re
from html import unescape
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import latentscope
from latentscope.errors import ChoiceError, LatentscopeWarning, TableError
from latentscope.reporting import chapters as module
from latentscope.reporting import document
from latentscope.reporting.chapters import PLANS, Plan, Step
from latentscope.reporting.document import Part
from latentscope.reporting.report import report
from tests.reporting.conftest import UGLY

CHAPTERS = ["encoded", "dimensions", "separate", "meaning", "effect", "sample"]


def statuses(result):
    return dict(zip(result.table["part"], result.table["status"], strict=True))


def test_every_part_is_made_of_latents_labels_stars_and_a_model(whole):
    assert list(dict.fromkeys(whole.table["chapter"])) == CHAPTERS
    assert [it.failure for it in whole.failures] == []
    assert set(whole.table["status"]) == {"done"}


def test_a_report_is_a_line_where_it_is_printed(whole):
    text = repr(whole)
    assert str(whole.output) in text
    assert "0 went wrong" in text
    assert len(text) < 500
    assert len(str(whole)) < 500


def test_the_page_is_balanced_and_its_headings_follow_one_another(whole, page_of):
    page = page_of(whole.output)
    assert page.faults == []
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_the_page_needs_nothing_but_itself(whole, page_of):
    page = page_of(whole.output)
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "poster", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/"))
    text = whole.output.read_text(encoding="utf-8")
    style = text[text.index("<style>") : text.index("</style>")]
    assert not re.search(r"url\(|@import", style)
    assert "default-src 'none'" in text
    assert not page.of("link")


def test_anchors_are_unique_and_lead_somewhere(whole, page_of):
    page = page_of(whole.output)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in page.of("a")} <= set(ids)
    named = [a.get("aria-labelledby") for _, a in page.tags if "aria-labelledby" in a]
    assert set(named) <= set(ids)


def test_names_of_users_are_escaped_everywhere(whole, page_of):
    text = whole.output.read_text(encoding="utf-8")
    assert text.count("<script") == 1
    assert "alert(&#34;" in text
    page = page_of(whole.output)
    assert UGLY in page.text
    assert f"report {UGLY}" in page.text


def test_pictures_say_what_they_show_and_the_page_is_small(whole, page_of):
    images = page_of(whole.output).of("img")
    assert len(images) > 8
    assert all(len(image["alt"]) > 10 for image in images)
    assert whole.output.stat().st_size < 5e6


def test_numbers_of_the_tables_are_those_of_the_json(whole, page_of):
    stored = json.loads(whole.json.read_text(encoding="utf-8"))
    parts = {part["key"]: part for chapter in stored["chapters"] for part in chapter["parts"]}
    told = dict(rows_of(whole.output.read_text(encoding="utf-8")))
    stored = {name for part in parts.values() for name in part.get("tables", {})}
    only_named = {"exclusive", "metrics_by_label", "traversals"}
    assert set(told) == stored - only_named
    mi = parts["labels"]["tables"]["mi"]
    assert [float(row["knows (nats)"]) for row in told["mi"]] == [row["mi_nats"] for row in mi]
    assert [row["label"] for row in told["mi"]] == [row["label"] for row in mi]
    mad = parts["spread"]["tables"]["mad"]
    assert {float(row["dim"]): float(row["MAD"]) for row in told["mad"]} == {
        row["dim"]: row["mad"] for row in mad
    }


def rows_of(text):
    """Yield each table's name and rows, as the values that it is sorted by."""
    found = {}
    for table in re.findall(r"<table .*?</table>", text, re.DOTALL):
        name = re.search('data-name="([^"]*)"', table)[1]
        heads = re.findall(r"<button[^>]*>(.*?)</button>", table)
        for row in re.findall("<tr>(<td.*?)</tr>", table):
            values = re.findall('data-value="([^"]*)"', row)
            found.setdefault(name, []).append(dict(zip(heads, map(unescape, values), strict=True)))
    return found.items()


def test_numbers_agree_with_the_diagnostics(whole, measured):
    latents, _ = measured
    expected = latentscope.mad(latents)
    rows = whole.record["chapters"][1]["parts"][0]["tables"]["mad"]
    found = pd.DataFrame(rows).set_index("dim")["mad"].sort_index()
    np.testing.assert_array_equal(found, expected.values)
    assert {row["n"] for row in rows} == {239}
    best = whole.record["chapters"][3]["parts"][0]["tables"]["meanings"][0]
    assert {best["dim"], best["label"]} <= {0, "radvel", 1, UGLY}
    assert best["std_nats"] > 0


def test_numbers_have_errors_counts_and_estimators(whole):
    tables = {
        name: pd.DataFrame(rows)
        for chapter in whole.record["chapters"]
        for part in chapter["parts"]
        for name, rows in part["tables"].items()
        if rows
    }
    for name, error in {
        "mad": "mad_std", "mi": "std_nats", "pairwise": "std_nats", "meanings": "std_nats",
        "order": "std_nats", "metrics": "low", "effects": "rv_error", "robustness": "std_nats",
    }.items():  # fmt: skip
        assert error in tables[name]
    for name in ("mad", "mi", "pairwise", "order", "metrics", "robustness", "quality"):
        assert (tables[name]["n"] > 0).all()
    for name in ("mi", "pairwise", "metrics"):
        assert tables[name]["estimator"].notna().all()


def test_sentences_are_the_summary(whole, page_of):
    text = page_of(whole.output).text
    assert len(whole.sentences()) >= len(CHAPTERS)
    for line in whole.sentences():
        assert line.split("(")[0].split("±")[0].strip() in text


def test_without_labels_and_model_the_rest_is_made_and_the_page_says_what_to_give(
    measured, tmp_path, page_of
):
    latents, _ = measured
    result = report(latents.values, output=tmp_path / "r.html", quick=True)
    found = statuses(result)
    assert [found[key] for key in ("rows", "trust", "spread", "information", "shared")] == [
        "done"
    ] * 5
    absent = {key for key, status in found.items() if status == "absent"}
    assert absent == {
        "disentanglement", "meanings", "labels", "drawn", "readable", "left", "lines",
        "traversals", "observation", "samples",
    }  # fmt: skip
    assert not result.failures
    text = page_of(tmp_path / "r.html").text
    assert "No labels were given" in text
    assert "name the one that made these" in text or "give the one that made these" in text


KEPT = ("spread", "information", "shared")


@pytest.fixture
def no_more_than_shared(monkeypatch):
    """Leave out what takes long: reports on the spread and on what dimensions share."""
    steps = [step for plan in PLANS for step in plan.steps if step.key in KEPT]
    monkeypatch.setattr(module, "PLANS", (Plan("only", "What?", tuple(steps)),))


def test_what_is_left_after_the_label_of_each_dimension(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    teff, air, noise = rng.normal(size=(3, 600))
    latents = np.column_stack([teff + 0.3 * air + 0.05 * noise, rng.normal(size=600)])
    labels = pd.DataFrame({"Teff": teff, "mass": teff + 0.3 * rng.normal(size=600), "air": air})
    steps = tuple(step for plan in PLANS for step in plan.steps if step.key == "left")
    monkeypatch.setattr(module, "PLANS", (Plan("only", "What?", steps),))
    result = report(latents, labels, output=tmp_path / "r.html", quick=True)
    assert not result.failures
    assert "0 air given Teff (" in result.sentences()[0]
    (part,) = result.record["chapters"][0]["parts"]
    left = {row["label"]: row for row in part["tables"]["left"] if row["dim"] == 0}
    assert set(left) == {"mass", "air"}
    assert left["air"]["mi_nats"] > 1 > 0.1 > left["mass"]["mi_nats"]


def test_one_star_over_time_and_other_latents_where_there_are_some(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 2))
    table = pd.DataFrame({"star": [f"HD {max(0, row - 24)}" for row in range(300)]})
    table["mjd"] = np.sort(rng.uniform(55000, 55100, 300))
    steps = tuple(
        step for plan in PLANS for step in plan.steps if step.key in ("rows", "time", "other")
    )
    monkeypatch.setattr(module, "PLANS", (Plan("only", "What?", steps),))
    both = report(
        latentscope.Latents(z, table), compare=-z[:, ::-1], output=tmp_path / "r.html", quick=True
    )
    assert statuses(both) == {"rows": "done", "time": "done", "other": "done"}
    assert both.sentences()[1].startswith("HD 0: 25 exposures")
    assert "CKA 1.000" in both.sentences()[2]
    assert statuses(report(z, output=tmp_path / "r.html", quick=True)) == {"rows": "done"}


def test_too_few_rows_and_a_single_dimension_are_told(no_more_than_shared, tmp_path):
    few = report(np.random.default_rng(0).normal(size=(30, 3)), output=tmp_path / "few.html")
    assert statuses(few)["spread"] == "done"
    assert statuses(few)["shared"] == "absent"
    assert "too few" in few.table.set_index("part").loc["shared", "headline"]
    stars = np.arange(120) % 60
    grouped = report(
        np.random.default_rng(0).normal(size=(120, 3)), groups=stars, output=tmp_path / "stars.html"
    )
    told = grouped.table.set_index("part").loc["information", "headline"]
    assert "Only 60 stars have a finite row" in told
    one = np.random.default_rng(0).normal(size=(120, 3)) * [1, 1e-4, 1e-4]
    single = report(one, output=tmp_path / "one.html")
    assert "nothing to compare it with" in single.table.set_index("part").loc["shared", "headline"]
    none = report(np.full((120, 2), 3.0), output=tmp_path / "none.html")
    assert "No dimension is informative" in none.table.set_index("part").loc["shared", "headline"]
    assert statuses(none)["spread"] == "done"


def broken(study):
    raise RuntimeError("the <sky>\nis down")


def unshowable(study):
    return Part(pictures=(7,))


def fine(study):
    return Part(f"{len(study.latents)} rows are fine")


def test_a_part_that_fails_costs_no_other_and_says_why(monkeypatch, tmp_path, page_of):
    steps = tuple(
        Step(make.__name__, make.__name__.title(), make) for make in (broken, unshowable, fine)
    )
    monkeypatch.setattr(module, "PLANS", (Plan("only", "What?", steps),))
    result = report(np.ones((4, 2)), output=tmp_path / "r.html")
    assert statuses(result) == {"broken": "failed", "unshowable": "failed", "fine": "done"}
    page = page_of(tmp_path / "r.html")
    assert page.faults == []
    assert "4 rows are fine" in page.text
    assert "unexpected RuntimeError: the <sky> is down" in page.text
    stored = json.loads((tmp_path / "r.json").read_text())["chapters"][0]["parts"]
    assert [part["status"] for part in stored] == ["failed", "failed", "done"]


def test_slow_statistics_take_a_sample_that_the_page_states(no_more_than_shared, tmp_path, page_of):
    values = np.random.default_rng(0).normal(size=(400, 3))
    result = report(values, output=tmp_path / "r.html", max_rows=100, seed=5)
    text = page_of(tmp_path / "r.html").text
    assert "random 100 of 400 rows (drawn without replacement, seed 5)" in text
    parts = {p["key"]: p for c in result.record["chapters"] for p in c["parts"]}
    assert {row["n"] for row in parts["shared"]["tables"]["pairwise"]} == {100}
    assert {row["n"] for row in parts["spread"]["tables"]["mad"]} == {400}


def test_many_dimensions_are_measured_in_part_and_folded(
    no_more_than_shared, tmp_path, page_of, monkeypatch
):
    monkeypatch.setattr(document, "MOST_DIMS", 8)
    values = np.random.default_rng(0).normal(size=(120, 20))
    values[:, 16:] *= 1e-4
    result = report(values, output=tmp_path / "r.html")
    text = page_of(tmp_path / "r.html").text
    assert "the 8 widest of 16 informative dimensions" in text
    assert "6 more rows" in text
    parts = {p["key"]: p for c in result.record["chapters"] for p in c["parts"]}
    assert len(parts["shared"]["tables"]["pairwise"]) == 8 * 7 // 2


def test_a_sidecar_that_names_few_stars_is_not_taken_for_groups(
    no_more_than_shared, tmp_path, page_of
):
    table = pd.DataFrame({"object": ["SUN", "MOON"] * 60})
    values = np.random.default_rng(0).normal(size=(120, 2))
    frame = pd.concat([pd.DataFrame(values, columns=["0", "1"]), table], axis=1)
    with pytest.warns(LatentscopeWarning, match="show only 2 stars"):
        report(frame, output=tmp_path / "r.html")
    assert "show only 2 stars" in page_of(tmp_path / "r.html").text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "r.pdf"}, "ends in .html"),
        ({"output": "r.html", "max_rows": 5}, "max_rows is 5"),
    ],
)
def test_wrong_options_are_refused_before_the_work(options, message):
    with pytest.raises(ChoiceError, match=message):
        report(np.ones((4, 2)), **options)


def test_the_numbers_never_replace_the_provenance_of_the_latents(tmp_path):
    np.save(tmp_path / "latents.npy", np.ones((4, 2)))
    with pytest.raises(ChoiceError, match="would replace"):
        report(tmp_path / "latents.npy", output=tmp_path / "latents.html")


def test_latents_without_a_finite_row_are_an_error_and_nothing_is_written(tmp_path):
    with pytest.raises(TableError, match="none of 3 rows"):
        report(np.full((3, 2), np.nan), output=tmp_path / "r.html")
    assert not list(tmp_path.iterdir())


def test_few_rows_are_judged_by_the_sample_of_their_model(monkeypatch, tmp_path):
    steps = tuple(step for plan in PLANS for step in plan.steps if step.key == "trust")
    monkeypatch.setattr(module, "PLANS", (Plan("only", "What?", steps),))
    model = latentscope.load_model("harps-sim")
    values = np.random.default_rng(0).normal(size=(60, model.config.latents)) * 40
    kept = tmp_path / "few.npy"
    np.save(kept, values)
    result = report(kept, model=model, output=tmp_path / "r.html")
    trust = result.table.set_index("part").loc["trust"]
    assert trust["status"] == "done"
    assert "60 outside" in trust["headline"]


def test_colors_of_some_rows_of_a_frame_are_drawn(monkeypatch, tmp_path):
    steps = tuple(step for plan in PLANS for step in plan.steps if step.key == "scatter")
    monkeypatch.setattr(module, "PLANS", (Plan("only", "What?", steps),))
    rng = np.random.default_rng(6)
    values = rng.normal(size=(400, 3))
    values[:, 1] += values[:, 0]
    frame = pd.DataFrame(values, columns=["z0", "z1", "z2"])
    labels = pd.DataFrame({"teff": values[:, 0]})
    keep = rng.permutation(400)[:300]
    result = report(frame.iloc[keep], labels.iloc[keep], output=tmp_path / "page.html")
    assert statuses(result) == {"scatter": "done"}
