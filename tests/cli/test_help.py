"""Help and version."""

import re

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


def test_what_a_command_does_is_said_in_a_line_of_80_columns(process):
    listed = process("--help").out.partition("Commands:\n")[2].partition("\n\n")[0]
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
