"""Hundreds of damaged and odd files among good ones: one row for each, and nothing else."""

import subprocess
import sys

import numpy as np
import pytest

from latentscope.data import read_latents
from latentscope.models.encode import encode
from latentscope.models.weights import save_model
from tests.models.encoding import tiny_model
from tests.spectra.damage import GOOD, write_damaged, write_odd_things
from tests.spectra.instruments import LAYOUTS
from tests.spectra.judge import whole

COUNT = 1000
EACH = 15
"""A good file after so many damaged ones."""


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def write_good(folder):
    paths = []
    for number, name in enumerate(GOOD * 2):
        paths.append(folder / f"good_{number:02d}{LAYOUTS[name].suffix}")
        paths[-1].write_bytes(LAYOUTS[name].build()[0])
    return paths


def test_every_damage_to_every_layout(model, tmp_path):
    good = write_good(tmp_path)
    written = write_damaged(tmp_path, COUNT)
    # One file for each damage to each layout.
    damaged = list({(kind, base): (path, kind, base) for path, kind, base in written}.values())
    files = [path for path, _, _ in damaged]
    for number, path in enumerate(good):
        files.insert(number * EACH, path)
    latents = encode(files, model, min_coverage=0.3)
    table = latents.table
    assert list(table["file"]) == [str(path) for path in files]
    ok = (table["status"] == "ok").to_numpy()
    assert (np.isfinite(latents.values).all(axis=1) == ok).all()
    alone = {path: encode([path], model, min_coverage=0.3).values[0] for path in good}
    for place, path in enumerate(files):
        if path in alone:
            assert ok[place], table["error"][place]
            np.testing.assert_allclose(latents.values[place], alone[path], atol=1e-6)
    failed = table[table["status"] == "failed"]
    nameless = [
        f"{file}: {error}"
        for file, error in zip(failed["file"], failed["error"], strict=True)
        if file not in error
    ]
    assert not nameless, "\n".join(nameless)
    passed = set(table["file"][ok])
    wrong = []
    for path, kind, base in damaged:
        through = str(path) in passed
        if kind.allowed == "right" and not through:
            wrong.append(f"{path.name}, {kind.name} ({base}): lost")
        if kind.allowed == "refused" and through:
            wrong.append(f"{path.name}, {kind.name} ({base}): came through")
        if kind.allowed in ("right", "not wrong") and through and not whole(path):
            wrong.append(f"{path.name}, {kind.name} ({base}): wrong")
    assert not wrong, "\n".join(wrong)


def test_odd_names_and_things(model, tmp_path):
    good = tmp_path / "good.fits"
    good.write_bytes(LAYOUTS["HARPS DRS s1d"].build()[0])
    things = write_odd_things(tmp_path, good)
    latents = encode([path for path, _ in things], model, min_coverage=0.3)
    expected = encode([good], model, min_coverage=0.3).values
    assert len(latents) == len(things)
    for row, (path, allowed) in enumerate(things):
        status, error = latents.table["status"][row], latents.table["error"][row]
        assert status == ("ok" if allowed == "right" else "failed"), (path, error)
        if allowed == "right":
            np.testing.assert_allclose(latents.values[row], expected[0], atol=1e-6)
        else:
            assert path.name in error


def test_the_command_line_over_damaged_files(model, tmp_path):
    folder, output = tmp_path / "files", tmp_path / "latents.npy"
    folder.mkdir()
    good = folder / "good.fits"
    good.write_bytes(LAYOUTS["HARPS DRS s1d"].build()[0])
    damaged = [path for path, _, _ in write_damaged(folder, 60)]
    things = [path for path, _ in write_odd_things(folder, good)]
    save_model(model, tmp_path / "model")
    sources = [good, *damaged, *things]
    arguments = ["encode", *map(str, sources), "-m", str(tmp_path / "model"), "-o", str(output)]
    ended = subprocess.run(
        [sys.executable, "-m", "latentscope", *arguments, "--min-coverage", "0.3"],
        capture_output=True, timeout=100,
    )  # fmt: skip
    assert ended.returncode == 3, ended.stderr
    assert b"Traceback" not in ended.stderr + ended.stdout
    assert b"\x1b" not in ended.stderr + ended.stdout
    latents = read_latents(output)
    assert len(latents) == len(sources)
    assert latents.ok[0]
    assert latents.ok.sum() > 20
