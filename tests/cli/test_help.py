"""Help, version, and the pages that describe the commands."""

import re
from pathlib import Path

import pytest

import latentscope

COMMANDS = (
    "encode",
    "inspect",
    "simulate",
    "mad",
    "mi",
    "pairs",
    "probe",
    "metrics",
    "robustness",
    "score",
    "models",
    "convert",
    "report",
    "explore",
    "doctor",
    "demo",
)
PAGES = Path(__file__).resolve().parents[2] / "docs" / "commands"
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]+)")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_names_the_command(command, name):
    ended = command(name, "--help")
    assert ended.code == 0
    example = ended.out.partition("Example:")[2]
    assert f"latentscope {name}" in example


def test_help_lists_every_command_and_the_exit_codes(process):
    ended = process("--help")
    assert ended.code == 0
    assert ended.err == ""
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", ended.out, re.MULTILINE)
    for line in ("0 all done", "1 nothing done", "2 wrong usage", "3 done"):
        assert line in " ".join(ended.out.split())
    assert "Usage: latentscope " in ended.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_json(command, name):
    assert "--json" in command(name, "--help").out


@pytest.mark.parametrize("name", COMMANDS)
def test_page_of_the_command_names_its_options_and_no_others(command, name):
    options = set(OPTION.findall(command(name, "--help").out)) - {"--help"}
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
    first_column = "\n".join(line.split("|")[1] for line in table.splitlines())
    assert set(OPTION.findall(first_column)) == options


def test_page_of_the_command_shows_the_examples_of_the_help(command):
    for name in COMMANDS:
        page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
        examples = command(name, "--help").out.partition("Example:")[2].split("\n")
        for line in filter(None, map(str.strip, examples)):
            assert line in page


def test_version(command):
    assert command("--version").out.strip() == f"latentscope {latentscope.__version__}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nosuchcommand",),
        ("mad",),
        ("mad", "latents.npy", "--nosuchoption"),
        ("mad", "latents.npy", "--threshold", "much"),
        ("mi", "latents.npy"),
        ("encode",),
        ("simulate", "-n", "0"),
        ("encode", "x.fits", "--min-coverage", "2"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_exit_code_2(command, arguments):
    ended = command(*arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert "Usage: latentscope" in ended.err
