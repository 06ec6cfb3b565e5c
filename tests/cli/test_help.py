"""Help and version."""

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

import latentscope

COMMANDS = (
    "encode",
    "inspect",
    "plot",
    "reconstruct",
    "simulate",
    "mad",
    "mi",
    "pairs",
    "probe",
    "metrics",
    "robustness",
    "compare",
    "score",
    "track",
    "models",
    "convert",
    "report",
    "explore",
    "doctor",
    "demo",
)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_names_the_command_and_json(command, name):
    ended = command(name, "--help")
    assert ended.code == 0
    example = ended.out.partition("Example:")[2]
    assert f"latentscope {name}" in example
    assert "--json" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80


def test_help_lists_every_command_and_the_exit_codes(process):
    ended = process("--help")
    assert ended.code == 0
    assert ended.err == ""
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", ended.out, re.MULTILINE)
    for line in ("0 all done", "1 nothing done", "2 wrong usage", "3 done"):
        assert line in " ".join(ended.out.split())
    assert "Usage: latentscope " in ended.out


def test_what_a_command_does_is_said_in_a_line_of_80_columns(command):
    listed = command("--help").out.partition("Commands:\n")[2].partition("\n\n")[0]
    assert [line for line in listed.splitlines() if "..." in line or line.startswith("   ")] == []


def test_version(command):
    assert command("--version").out.strip() == f"latentscope {latentscope.__version__}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nosuchcommand",),
        ("mad",),
        ("mad", "latents.npy", "--nosuchoption"),
        ("mad", "latents.npy", "--threshold", "much"),
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


@pytest.mark.parametrize(
    ("name", "option", "choices"),
    [
        ("mad", "kind", "latentscope.diagnostics.activity.Kind"),
        ("track", "by", "latentscope.diagnostics.track.By"),
        ("retrieve", "metric", "latentscope.diagnostics.nearest.Metric"),
        ("retrieve", "spread", "latentscope.diagnostics.nearest.Spread"),
        ("encode", "precision", "latentscope.models.encode.Precision"),
        ("encode", "frame", "latentscope.spectra.spectrum.Frame"),
        ("simulate", "layout", "latentscope.simulation.simulate.Layout"),
        ("convert", "normalization", "latentscope.models.config.PublishedNormalization"),
    ],
)
def test_choices_are_those_of_the_library(command, name, option, choices):
    module, _, literal = choices.rpartition(".")
    expected = get_args(getattr(import_module(module), literal))
    shown = re.search(rf"--{option} [<\[](.*?)[>\]]", command(name, "--help").out)
    assert shown[1].split("|") == list(expected)


ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shown_commands():
    """Command lines in blocks of code and in backquotes of the pages."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for code in re.findall(r"^```\w*\n(.*?)^```|`([^`\n]+)`", text, re.MULTILINE | re.DOTALL):
            for line in "".join(code).replace("\\\n", " ").splitlines():
                words = line.split(" | ")[-1].split("&&")[-1].split(" #")[0].strip()
                if re.match(r"(latentscope|python -m train) [a-z]", words):
                    yield page.name, words


def test_commands_of_the_pages_have_the_options_that_are_shown():
    """They are parsed, not run."""
    import typer

    from latentscope.cli import app
    from train.commands import app as train

    groups = {"latentscope": typer.main.get_command(app), "python": typer.main.get_command(train)}
    shown = list(shown_commands())
    wrong = []
    for page, line in shown:
        program, *words = shlex.split(line)
        words = words[2:] if program == "python" else words
        command = groups[program].commands.get(words[0])
        unknown = "no such command"
        if command is not None:
            options = {
                name for option in command.params for name in (*option.opts, *option.secondary_opts)
            }
            unknown = [
                word
                for word in words[1:]
                if re.match(r"--?[a-z]", word) and word not in {*options, "--help"}
            ]
        if unknown:
            wrong.append((page, line, unknown))
    assert len(shown) > 50
    assert wrong == []


def test_benchmarks_that_the_pages_name_are_there():
    text = "".join(page.read_text("utf-8") for page in PAGES)
    named = set(re.findall(r"python -m benchmarks\.(\w+)", text))
    assert len(named) > 5
    assert named <= {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
