"""Where commands write: never over files of others, never where nothing can be written."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from latentscope.data import Latents, read_latents, write_latents
from latentscope.errors import TableError

MAD = ("mad", "latents.npy", "--no-information")


def test_provenance_never_replaces_a_file_of_the_user(command, here):
    (here / "res.json").write_text('{"mine": 1}')
    for arguments in (
        (*MAD, "-o", "res.csv"),
        ("mi", "latents.npy", "labels.csv", "-o", "res.csv"),
        ("report", "latents.npy", "-o", "res.html"),
        ("traverse", "--dim", "0", "-o", "r.csv"),
    ):
        if arguments[0] == "traverse":
            (here / "r.lines.json").write_text('{"mine": 1}')
        ended = command(*arguments)
        assert ended.code == 2
        assert ".json, which" in ended.err
    assert (here / "res.json").read_text() == '{"mine": 1}'
    assert not (here / "res.csv").exists()


def test_a_result_of_an_earlier_run_is_replaced(command, here):
    for _ in range(2):
        assert command(*MAD, "-o", "res.csv").code == 0
    assert json.loads((here / "res.json").read_text())["latentscope"]


def test_a_table_of_latents_is_not_replaced_by_a_result(command, here):
    for name in ("latents.npy", "latents.csv"):
        shutil.copy(name, f"other{name.removeprefix('latents')}")
    ended = command(*MAD, "-o", "other.csv")
    assert ended.code == 2
    assert "would replace other.csv" in ended.err
    assert len(read_latents("other.npy")) == 400


def test_encode_never_replaces_a_json_or_variances_of_the_user(command, here, tiny_model):
    for name, content in (("data.json", "[1]"), ("run.logvar.npy", "mine")):
        (here / name).write_text(content)
        output = name.split(".")[0] + ".npy"
        ended = command("encode", "labels.csv", "-m", tiny_model, "-o", output)
        assert ended.code == 1
        assert f"would replace {name}" in ended.err
        assert (here / name).read_text() == content


def test_latents_of_an_earlier_run_are_replaced_whatever_their_table(tmp_path):
    latents = Latents(np.eye(3), pd.DataFrame({"name": ["a", "b", "c"]}))
    for _ in range(2):
        write_latents(latents, tmp_path / "l.npy")
    (tmp_path / "l.json").unlink()
    with pytest.raises(TableError, match=r"would replace .*l\.csv"):
        write_latents(latents, tmp_path / "l.npy")


def test_latents_are_written_through_a_link_but_not_beside_another_table(tmp_path):
    (tmp_path / "store").mkdir()
    link, target = tmp_path / "l.npy", tmp_path / "store" / "l.npy"
    link.symlink_to(target)
    for value in (1.0, 2.0):
        write_latents(Latents(np.full((3, 2), value)), link)
        assert link.is_symlink()
        np.testing.assert_array_equal(np.load(target), np.full((3, 2), value))
        np.testing.assert_array_equal(read_latents(link).values, np.full((3, 2), value))
    pd.DataFrame({"id": ["x", "y", "z"], "status": "ok"}).to_csv(tmp_path / "store" / "l.csv")
    with pytest.raises(TableError, match=r"is a link to .*store/l\.npy"):
        write_latents(Latents(np.zeros((3, 2))), link)


@pytest.mark.parametrize(
    ("option", "name", "says"),
    [
        ("-o", "/dev/null", "a device or a pipe"),
        ("-o", "/dev/stdout", "a device or a pipe"),
        ("-o", "folder", "folder: is a directory"),
        ("-o", "labels.csv/x.csv", "not a directory"),
        ("-o", "y" * 252 + ".csv", "name too long"),
        ("--plot", "folder.png", "folder.png: is a directory"),
    ],
)
def test_outputs_are_checked_before_the_work(command, here, monkeypatch, option, name, says):
    (here / "folder").mkdir()
    (here / "folder.png").mkdir()
    monkeypatch.setattr("latentscope.diagnostics.activity.mad", None)  # not reached
    ended = command(*MAD, option, name)
    assert ended.code == 1
    assert says in ended.err


def test_a_long_name_of_latents_is_fine_with_its_siblings(command, here, tiny_model, archive):
    name = "y" * 246 + ".npy"
    spectrum = next(archive.glob("*.fits"))
    assert command("encode", spectrum, "-m", tiny_model, "-o", name).code == 0
    assert len(read_latents(name)) == 1
    assert not [path for path in here.iterdir() if "parts" in path.name]
    ended = command("encode", spectrum, "-m", tiny_model, "-o", name, "--logvar")
    assert ended.code == 1
    assert "name too long" in ended.err


def test_the_home_folder_is_meant_by_a_tilde_everywhere(command, here, monkeypatch, tiny_model):
    monkeypatch.setenv("HOME", str(here / "home"))
    (here / "home").mkdir()
    shutil.copy("latents.npy", "home")
    assert command("mad", "~/latents.npy", "--no-information", "--output=~/m.csv").code == 0
    assert len(pd.read_csv(here / "home" / "m.csv")) == 4
    assert len(read_latents("~/latents.npy")) == 400
    assert command("encode", "labels.csv", "-m", tiny_model, "--output=~/z.npy").code == 1
    assert (here / "home" / "z.csv").exists()
    assert not (here / "~").exists()


def test_names_and_headers_never_steer_a_terminal(command, here, tiny_model, archive):
    name = "\x1b[2J[red]caf\udce9.fits"
    (here / name).write_bytes(next(archive.glob("*.fits")).read_bytes())
    data = (here / name).read_bytes()
    (here / name).write_bytes(data.replace(b"OBJECT  = '", b"OBJECT  = '\x1b[H", 1))
    (here / f"bad{name}").write_bytes(b"\x1b[2J\x01")
    for arguments in (
        ("inspect", name, f"bad{name}", "-m", tiny_model),
        ("encode", name, f"bad{name}", "-m", tiny_model, "-o", "e.npy"),
        ("encode", f"nosuch{name}*", "-m", tiny_model, "-o", "e.npy"),
        ("mad", name),
        ("mad", "latents.npy", "-o", f"{name}/x.csv"),
    ):
        ended = command(*arguments)
        assert ended.code
        assert r"\x1b[2J[red]caf\xe9.fits" in ended.err
        assert "\x1b" not in ended.err + ended.out


def test_a_closed_stream_and_a_small_alphabet_do_not_end_the_work(here):
    def run(shell, **env):
        line = f"{sys.executable} -m latentscope mad latents.npy --no-information {shell}"
        return subprocess.run(
            line, shell=True, capture_output=True, text=True, env=os.environ | env
        )

    for shell, env in (
        ("-o a.csv >&-", {}),
        ("-o b.csv 2>&- >&-", {}),
        (
            "-o c\u0142.csv --plot d.png",
            {"PYTHONIOENCODING": "cp1252", "MPLBACKEND": "module://no_such_inline.backend"},
        ),
    ):
        ended = run(shell, **env)
        assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted(path.name for path in here.glob("?.csv")) == ["a.csv", "b.csv"]
    assert (here / "c\u0142.csv").exists()
    assert (here / "d.png").exists()


def test_a_user_without_a_home_and_one_whose_home_is_closed_can_draw(here, monkeypatch):
    env = {name: value for name, value in os.environ.items() if not name.startswith("XDG")}
    env |= {"TMPDIR": str(here / "tmp"), "HOME": "/proc/nothing"}
    (here / "tmp").mkdir()
    line = [sys.executable, "-m", "latentscope", *MAD, "--plot", "mad.png"]
    done = subprocess.run(line, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (here / "mad.png").stat().st_size
    assert [path.name for path in (here / "tmp").iterdir()] == [f"latentscope-{os.getuid()}"]


BAR = """
import sys, warnings
from latentscope.cli.application import _warnings_as_lines, progress
from latentscope.errors import LatentscopeWarning
with _warnings_as_lines(), progress("work", 3) as advance:
    for done in (1, 2, 3):
        advance(done)
        warnings.warn(f"doubtful {done}", LatentscopeWarning)
        print(f"result {done}")
print("end")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_bar_ends_and_warnings_stand_on_lines_of_their_own():
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", BAR], stdout=subprocess.PIPE, stderr=slave, text=True, check=True,
        env=environment,
    )  # fmt: skip
    os.close(slave)
    seen = os.read(master, 100_000).decode()
    os.close(master)
    # What was found goes where it should, whatever the bar does.
    assert done.stdout == "result 1\nresult 2\nresult 3\nend\n"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    lines = [line for line in re.split(r"[\r\n]+", plain) if line]
    assert [line for line in lines if "doubtful" in line] == [
        f"warning: doubtful {number}" for number in (1, 2, 3)
    ]
    # The last thing done is to take the bar away and show the cursor again.
    assert "work" in plain
    assert seen.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")
