"""The report from the command line."""

import json

import pytest

from latentscope.reporting import chapters as module
from latentscope.reporting.chapters import PLANS, Plan, Step
from latentscope.reporting.document import Part


def failing(study):
    raise RuntimeError("broken on purpose")


def fine(study):
    return Part("All is well.")


@pytest.fixture
def short(monkeypatch):
    """Only the first parts, which are quick."""
    quick = Plan("first", "What?", tuple(PLANS[0].steps[:1] + PLANS[1].steps[:1]))
    monkeypatch.setattr(module, "PLANS", (quick,))


def test_report_writes_a_page_and_its_numbers(command, measured, short, tmp_path):
    output = tmp_path / "r.html"
    ended = command("report", measured / "latents.npy", measured / "labels.csv", "-o", output)
    assert ended.code == 0
    assert "3 of 4 dimensions are informative" in ended.out
    assert str(output) in ended.out
    page = output.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert f"latentscope report {measured / 'latents.npy'}" in page
    stored = json.loads((tmp_path / "r.json").read_text())
    assert stored["provenance"]["rows_finite"] == 399


def test_json_is_all_that_stdout_carries(command, measured, short, tmp_path):
    output = tmp_path / "r.html"
    ended = command("report", measured / "latents.npy", "-o", output, "--json")
    assert ended.code == 0
    stored = json.loads((tmp_path / "r.json").read_text())
    assert ended.json["chapters"] == stored["chapters"]
    assert ended.json["output"] == str(output)


def test_a_part_that_fails_is_exit_code_3_and_the_page_is_written(
    command, measured, monkeypatch, tmp_path
):
    steps = (Step("failing", "The bad one", failing), Step("fine", "The good one", fine))
    monkeypatch.setattr(module, "PLANS", (Plan("only", "What?", steps),))
    ended = command("report", measured / "latents.npy", "-o", tmp_path / "r.html")
    assert ended.code == 3
    assert "failed: The bad one: unexpected RuntimeError: broken on purpose" in ended.err
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "broken on purpose" in page
    assert "All is well." in page


@pytest.mark.parametrize(
    "arguments",
    [
        ("-o", "report.pdf"),
        ("-o", "latents.html"),
        ("--max-rows", "3"),
        ("--groups", "nosuchcolumn"),
        ("--labels", ","),
        ("--labels", "radvel,nosuchlabel"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_exit_code_2_and_writes_nothing(
    command, measured, monkeypatch, arguments
):
    monkeypatch.chdir(measured)
    before = sorted(measured.iterdir())
    ended = command("report", "latents.npy", "labels.csv", *arguments)
    assert ended.code == 2
    assert sorted(measured.iterdir()) == before


def test_a_model_that_is_not_there_is_exit_code_1(command, measured, tmp_path):
    ended = command(
        "report", measured / "latents.npy", "-m", tmp_path / "none", "-o", tmp_path / "r.html"
    )
    assert ended.code == 1
    assert not (tmp_path / "r.html").exists()
