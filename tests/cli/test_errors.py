"""Whatever comes in, what comes out is one line and an exit code, never a traceback."""

import json
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def here(here, tmp_path):
    """A folder of good latents and labels, and of everything that is wrong."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "garbage.txt").write_text("this is\nno spectrum, nor numbers\n")
    (tmp_path / "garbage.npy").write_bytes(b"\x00\x01garbage" * 20)
    (tmp_path / "garbage.fits").write_bytes(b"SIMPLE  =                    T" + b" " * 3000)
    (tmp_path / "garbage.csv").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "nothing.csv").write_text("")
    (tmp_path / "header.csv").write_text("id,Teff\n")
    (tmp_path / "ids.csv").write_text("id\na\nb\n")
    (tmp_path / "list.txt").write_text("nosuch-1.fits\nnosuch-2.fits\n")
    (tmp_path / "file").write_text("a file, no folder")
    pd.DataFrame({"Teff": np.arange(7.0)}).to_csv(tmp_path / "seven.csv", index=False)
    np.save(tmp_path / "nan.npy", np.full((5, 2), np.nan))
    np.save(tmp_path / "inf.npy", np.array([[np.inf, 1.0], [2.0, 3.0]]))
    np.save(tmp_path / "flat.npy", np.arange(5.0))
    np.save(tmp_path / "text.npy", np.array([["a", "b"]]))
    return tmp_path


MI = ("mi", "latents.npy")
FAILURES = [
    (("mad", "nosuch.npy"), 1, "nosuch.npy: no such file"),
    (("mad", "garbage.npy"), 1, "garbage.npy"),
    (("mad", "garbage.csv"), 1, "garbage.csv"),
    (("mad", "garbage.fits"), 1, "garbage.fits"),
    (("mad", "file"), 1, "unknown kind of table"),
    (("mad", "empty"), 1, "empty"),
    (("mad", "nan.npy"), 1, "none of 5 rows is finite"),
    (("mad", "inf.npy"), 1, "infinite"),
    (("mad", "flat.npy"), 1, "expected (n, d)"),
    (("mad", "text.npy"), 1, "expected numbers"),
    (("mad", "latents.npy", "--kind", "mode"), 2, "--kind': 'mode' is not one of 'median', 'mean'"),
    (("mad", "latents.npy", "--threshold", "-1"), 2, "': expected greater than or equal to 0"),
    (("mad", "latents.npy", "-o", "file/mad.csv"), 1, "file"),
    (("mad", "latents.npy", "-o", "mad.png"), 2, "as CSV; expected a name such as mad.csv"),
    (("mad", "latents.npy", "-o", "mad.parquet"), 2, "as CSV; expected a name such as mad.csv"),
    (("mad", "latents.npy", "-o", "empty"), 1, "empty"),
    (("mad", "latents.npy", "-o", ""), 2, "'-o' / '--output': empty"),
    (("mad", "latents.npy", "--groups="), 2, "'--groups': empty"),
    (("encode", "garbage.txt", ""), 2, "'FILES': empty"),
    (("encode", "garbage.txt", "-m", ""), 2, "'-m' / '--model': empty"),
    (("simulate", "-o", ""), 2, "'-o' / '--output': empty"),
    (("compare", "latents.npy", "latents.npy", "-o", "."), 1, "is a directory"),
    (("mad", "latents.npy", "--plot", "mad.doc"), 2, ".png, .pdf, .svg"),
    ((*MI, "nosuch.csv"), 1, "nosuch.csv: no such file"),
    ((*MI, "nothing.csv"), 1, "nothing.csv"),
    ((*MI, "header.csv"), 1, "header.csv: has 0 rows"),
    ((*MI, "ids.csv"), 1, "ids.csv"),
    ((*MI, "garbage.csv"), 1, "garbage.csv"),
    ((*MI, "seven.csv"), 1, "7"),
    ((*MI, "labels.csv", "--dims", "seven"), 2, "11,19"),
    ((*MI, "labels.csv", "--dims", "99"), 2, "99"),
    ((*MI, "labels.csv", "--dims", "-1"), 2, "--dims"),
    ((*MI, "labels.csv", "--columns", ","), 2, "--columns"),
    ((*MI, "labels.csv", "--labels", "mass"), 2, "no label mass"),
    ((*MI, "labels.csv", "--labels", "tef"), 2, "no label tef (did you mean Teff?)"),
    ((*MI, "labels.csv", "--estimator", "magic"), 2, "expected one of auto"),
    ((*MI, "labels.csv", "--neighbors", "4000"), 1, "neighbors"),
    ((*MI, "labels.csv", "--groups", "planet"), 2, "planet"),
    ((*MI, "labels.csv", "--join", "planet"), 1, "planet"),
    (("encode", "nosuch*.fits", "-m", "MODEL"), 1, "nosuch*.fits: matches no file"),
    (("encode", "empty", "-m", "MODEL"), 1, "no FITS file"),
    (("encode", "@nosuch.txt", "-m", "MODEL"), 1, "nosuch.txt"),
    (("encode", "@list.txt", "-m", "MODEL"), 1, "nosuch-1.fits: no such file"),
    (("encode", "garbage.txt", "-m", "MODEL"), 1, "garbage.txt"),
    (("encode", "garbage.fits", "garbage.csv", "-m", "MODEL"), 1, "encoded 0 of 2"),
    (("encode", "garbage.txt", "-m", "nosuchmodel"), 1, "Known names"),
    (("encode", "garbage.txt", "-m", "empty"), 1, "config.json"),
    (("encode", "garbage.txt", "-m", "garbage.txt"), 1, "garbage.txt"),
    (("encode", "garbage.txt", "-m", "http://example.org/x"), 1, "https://"),
    (("encode", "garbage.txt", "-m", "MODEL", "-o", "latents.fits"), 2, ".npy"),
    (("encode", "garbage.txt", "-m", "MODEL", "-o", "file/x.npy"), 1, "file"),
    (("encode", "garbage.txt", "-m", "MODEL", "-o", "labels.npy"), 1, "would replace labels.csv"),
    (("encode", "garbage.txt", "-m", "MODEL", "--batch-size", "big"), 2, "--batch-size"),
    (("encode", "garbage.txt", "-m", "MODEL", "--device", "tpu"), 1, "tpu"),
    (("encode", "garbage.txt", "-m", "MODEL", "--device", "cuda:99"), 1, "cannot be used"),
    (("inspect", "nosuch.fits", "-m", "MODEL"), 1, "nosuch.fits: no such file"),
    (("inspect", "empty", "-m", "MODEL"), 1, "folder"),
    (("inspect", "*.nothing", "-m", "MODEL"), 1, "matches no file"),
    (("inspect", "garbage.fits", "-m", "MODEL"), 1, "garbage.fits"),
    (("simulate", "-n", "1", "--layout", "e2ds"), 2, "'adp', 's1d'"),
    (("simulate", "-n", "1", "--linelist", "garbage.txt"), 1, "garbage.txt"),
    (("simulate", "-n", "1", "--linelist", "nosuch.csv"), 1, "nosuch.csv"),
    (("simulate", "-n", "1", "-o", "file", "--workers", "1"), 1, "file"),
    (("convert", "nosuch.pth.tar", "out"), 2, "nosuch.pth.tar: no such file"),
    (("convert", "garbage.txt", "out"), 1, "garbage.txt"),
    (("convert", "garbage.txt", "out", "--normalization", "mean"), 2, "median-padded"),
    (("demo", "-o", "file", "-m", "MODEL"), 1, "expected a folder"),
    (("demo", "-o", ".", "-m", "MODEL"), 1, "no demo wrote"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "says"), FAILURES, ids=[" ".join(case[0]) for case in FAILURES]
)
def test_bad_input_is_one_line_and_an_exit_code(command, here, tiny_model, arguments, code, says):
    arguments = [str(tiny_model) if word == "MODEL" else word for word in arguments]
    ended = command(*arguments)
    assert ended.code == code
    assert says in ended.err + ended.out
    lines = [line for line in ended.err.splitlines() if line]
    assert any(line.startswith(("error: ", "failed: ", "Error: ")) for line in lines)
    begins = ("error: ", "failed: ", "warning: ", "Try '", "simulating ", "Usage: ", "Error: ")
    assert all(line.startswith(begins) for line in lines)
    assert not list(here.glob(".*"))  # no temporary files are left


def test_a_bad_input_in_a_process_of_its_own(process, here):
    ended = process("mad", here / "nosuch.npy", "--json")
    why = f"{here / 'nosuch.npy'}: no such file"
    assert (ended.code, json.loads(ended.out)) == (1, {"error": why})
    assert ended.err == f"error: {why}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("mi", "latents.npy", "--neighbors", "three"), "Invalid value for '--neighbors'"),
        (("mad", "latents.npy", "--treshold", "1"), "No such option: --treshold"),
        (("mad",), "Missing argument 'LATENTS'"),
        (("mda",), "No such command 'mda'"),
    ],
)
def test_what_the_parser_refuses_is_json_too(command, here, arguments, says):
    ended = command(*arguments, "--json")
    assert (ended.code, list(ended.json)) == (2, ["error"])
    assert ended.json["error"].startswith(says)
    assert f"Error: {says}" in ended.err


def raising(error):
    def read(*_, **__):
        raise error

    return read


def test_an_unexpected_error_asks_for_a_report(command, here, monkeypatch):
    monkeypatch.setattr("latentscope.diagnostics.activity.mad", raising(ZeroDivisionError("oh")))
    ended = command("mad", "latents.npy")
    assert ended.code == 1
    assert "unexpected ZeroDivisionError: oh" in ended.err
    assert "report" in ended.err
    assert "LATENTSCOPE_DEBUG=1" in ended.err


def test_a_shortage_of_memory_is_no_fault(command, here, monkeypatch):
    monkeypatch.setattr("latentscope.diagnostics.activity.mad", raising(MemoryError()))
    ended = command("mad", "latents.npy")
    assert (ended.code, ended.err) == (1, "error: out of memory\n")


def test_debug_shows_the_traceback(capsys, here, monkeypatch):
    from latentscope.cli import main

    monkeypatch.setenv("LATENTSCOPE_DEBUG", "0")  # so that what --debug sets is undone
    monkeypatch.setattr(sys, "argv", ["latentscope", "--debug", "mad", "nosuch.npy"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert text.rstrip().endswith("error: nosuch.npy: no such file")


def test_ctrl_c_ends_with_130_and_a_word_on_going_on(command, here, tiny_model, monkeypatch):
    monkeypatch.setattr("latentscope.models.encode.encode", raising(KeyboardInterrupt()))
    ended = command("encode", "garbage.txt", "-m", tiny_model)
    assert ended.code == 130
    assert "the same command goes on" in ended.err


SIGNAL_WHILE_IMPORTING = """
import os, signal, sys
from latentscope.__main__ import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it

class Finder:
    def find_spec(name, *_):
        if name == "latentscope.cli":
            os.kill(os.getpid(), int(sys.argv[1]))

sys.meta_path.insert(0, Finder)
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of a Unix")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_modules_are_imported_is_one_line(number):
    code = [sys.executable, "-c", SIGNAL_WHILE_IMPORTING, str(int(number))]
    done = subprocess.run(code, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_other_libraries_warnings_are_left_out_unless_debugging(command, here, monkeypatch):
    import warnings

    from latentscope.diagnostics import activity
    from latentscope.errors import LatentscopeWarning

    measure = activity.mad

    def warning(*arguments, **options):
        warnings.warn("theirs", UserWarning, stacklevel=1)
        for _ in range(3):
            warnings.warn("ours,\n twice", LatentscopeWarning, stacklevel=1)
        return measure(*arguments, **options)

    monkeypatch.setattr(activity, "mad", warning)
    assert command("mad", "latents.npy").err == "warning: ours, twice\n"
    monkeypatch.setenv("LATENTSCOPE_DEBUG", "1")
    assert "UserWarning: theirs" in command("mad", "latents.npy").err
