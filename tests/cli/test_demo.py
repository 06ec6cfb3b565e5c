"""The demo, small: what it writes, what it says, and what it leaves alone."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latentscope.reporting import chapters

WRITTEN = {
    "Teff.png", "demo.json", "latents.csv", "latents.json", "latents.logvar.npy", "latents.npy",
    "mad.csv", "mad.png", "mi.csv", "mi.png", "radvel.png", "report.html", "report.json", "spectra",
    "summary.txt",
}  # fmt: skip


@pytest.fixture
def demo(process, tmp_path):
    """Folder of a demo, and what it printed.

    LATENTSCOPE_DEMO names a folder in which `latentscope demo > printed.txt` ran before.
    """
    if ran := os.environ.get("LATENTSCOPE_DEMO"):
        return Path(ran) / "latentscope-demo", (Path(ran) / "printed.txt").read_text("utf-8")
    ended = process("demo", "-n", 120, "-o", tmp_path / "demo", timeout=300)
    assert ended.code == 0, ended.err
    return tmp_path / "demo", ended.out


@pytest.mark.slow
def test_demo_with_the_bundled_model_names_a_velocity_and_a_temperature(demo, command):
    folder, printed = demo
    assert "follows radial velocity" in printed
    assert "follows effective temperature" in printed
    assert {path.name for path in folder.iterdir()} == WRITTEN
    n = json.loads((folder / "demo.json").read_text())["n"]
    assert np.load(folder / "latents.npy").shape == (n, 16)
    summary = (folder / "summary.txt").read_text()
    assert all(line in summary for line in printed.splitlines() if line.startswith("Dimension"))
    table = pd.read_csv(folder / "mi.csv").sort_values("mi_nats").groupby("label").last()
    best = table["mi_nats"]
    parts = json.loads((folder / "report.json").read_text())["chapters"]
    absent = {
        part["key"] for chapter in parts for part in chapter["parts"] if part["status"] != "done"
    }
    few = {"information", "disentanglement", "readable"}  # need more than the 67 stars of 120
    assert absent == (few if n == 120 else set())
    assert best["radvel"] > 1
    assert best["Teff"] > 0.5
    _pages_show_what_comes_out(printed + command("mad", folder / "latents.npy").out)
    _pages_name_the_best_dimension(table["dim"])


def _pages_show_what_comes_out(output):
    """Dimensions that README, quickstart and the page about `mad` name are those of the model."""
    root = Path(__file__).resolve().parents[2]
    found = r"^Dimension \d+ .*? follows [a-z ]+:|^\d+ of 16 dimensions are informative.*"
    said = {re.sub(r"\(MAD [\d.]+\)", "", line) for line in re.findall(found, output, re.MULTILINE)}
    for page in ("README.md", "docs/quickstart.md", "docs/mad.md"):
        text = (root / page).read_text("utf-8")
        shown = {
            re.sub(r"\(MAD [\d.]+\)", "", line) for line in re.findall(found, text, re.MULTILINE)
        }
        assert shown, page
        assert shown <= said, page


def _pages_name_the_best_dimension(best):
    """Of each label that a page shows with a dimension, it is the dimension that knows it best."""
    root = Path(__file__).resolve().parents[2]
    for page, found in (
        ("docs/mutual-information.md", r"^dim (\d+): (\S+) [\d.]+ ±"),
        ("docs/report.md", r"(\d+) (\S+) \([\d.]+ ±"),
        ("docs/explorer.md", r"`(\d+): (\w+), [\d.]+ nats`"),
    ):
        text = (root / page).read_text("utf-8")
        shown = {label: int(dim) for dim, label in re.findall(found, text, re.MULTILINE)}
        known = {label: dim for label, dim in shown.items() if label in best}
        assert known, page
        assert known == best[list(known)].to_dict(), page


def test_demo_runs_again_in_its_own_folder_and_with_any_model(
    command, tiny_model, tmp_path, monkeypatch
):
    # The whole page is that of the demo above.
    monkeypatch.setattr(chapters, "PLANS", chapters.PLANS[:1])
    folder = tmp_path / "demo"
    options = ("-n", 40, "-o", folder, "-m", tiny_model, "--workers", 1, "--json")
    first = command("demo", *options)
    assert first.code == 0
    assert {path.name for path in folder.iterdir()} == WRITTEN
    assert first.json["summary"] == str(folder / "summary.txt")
    assert first.json["report"] == str(folder / "report.html")
    assert len(first.json["meanings"]) == len(first.json["informative"])
    latents = np.load(folder / "latents.npy")
    (folder / "notes.txt").write_text("mine")
    assert command("demo", *options).json == first.json
    assert (folder / "notes.txt").read_text() == "mine"
    np.testing.assert_allclose(np.load(folder / "latents.npy"), latents, atol=1e-5)


def test_demo_leaves_a_folder_of_other_files_alone(command, tiny_model, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    ended = command("demo", "-o", tmp_path, "-m", tiny_model)
    assert ended.code == 1
    assert "no demo wrote" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
