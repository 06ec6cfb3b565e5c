"""A small sweep, killed on the way and taken up again; its page against the runs' files."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from scipy.stats import spearmanr
from typer.testing import CliRunner

from latentscope.diagnostics.mi.api import mi_matrix
from latentscope.errors import LatentscopeError
from latentscope.models.weights import load_model
from tests.train.sweep.conftest import SMALL
from train.__main__ import app
from train.data.archive import PackedArchive
from train.sweep.page import BEGIN, END
from train.sweep.run import sweep

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
VALUES = SMALL | {
    "grid": {"latents": [3], "beta": [0.0, 0.3]},
    "seeds": [],
    "balanced": {"broken": {"label": "age"}},
}


def command(folder, *more):
    words = ["-m", "train", "sweep", "-o", str(folder / "sweep"), "--config"]
    return [sys.executable, *words, str(folder / "small.yaml"), *more]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Folder of a sweep that was killed while its second run went, and what the next call said."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "small.yaml").write_text(yaml.safe_dump(VALUES))
    first = subprocess.Popen(command(folder, "--workers", "1"), cwd=ROOT, stderr=subprocess.DEVNULL)
    runs = folder / "sweep" / "runs"
    for _ in range(3000):
        if (runs / "d003-ae" / "done.json").exists() and (runs / "d003-beta0" / "log.txt").exists():
            break
        assert first.poll() is None
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    kept = runs / "d003-ae" / "model" / "model.safetensors"
    before = kept.stat().st_mtime_ns
    page = folder / "docs" / "reproduction.md"
    page.parent.mkdir()
    page.write_text(f"# Ours\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    done = subprocess.run(
        command(folder, "--page", str(page)), cwd=ROOT, capture_output=True, text=True
    )
    assert kept.stat().st_mtime_ns == before
    return folder, done, page


def cells_of(page, first):
    """Cells of the table row that begins so."""
    lines = [line for line in page.read_text().splitlines() if line.startswith(first)]
    assert len(lines) == 1, lines
    return [cell.strip(" *") for cell in lines[0].strip("|").split("|")]


def test_finished_runs_are_kept_and_a_failed_one_is_told(swept):
    folder, done, page = swept
    assert done.returncode == 3, done.stderr
    assert "1 of 4 runs were finished before" in done.stderr
    assert "failed: d003-beta0.3-broken: exit code 1" in done.stderr
    assert "has no column 'age'" in done.stderr
    assert "3 of 4 runs finished" in done.stdout
    runs = folder / "sweep" / "runs"
    assert sorted(path.parent.name for path in runs.glob("*/done.json")) == [
        "d003-ae", "d003-beta0", "d003-beta0.3",
    ]  # fmt: skip
    text = page.read_text()
    assert "- `d003-beta0.3-broken`: failed" in text
    assert text.startswith("# Ours\n\nbefore\n\n")
    assert text.endswith(f"{END}\n\nafter\n")
    assert "\nold\n" not in text
    assert str(folder) not in text


def test_the_pages_numbers_are_those_of_the_models(swept):
    folder, _, page = swept
    model = load_model(folder / "sweep" / "runs" / "d003-beta0.3" / "model")
    stars = PackedArchive(folder / "sweep" / "test.zarr")
    rows = stars.read(np.arange(len(stars)))[0].astype("f4")
    with torch.no_grad():
        mean, logvar = model.encode(torch.from_numpy(rows))
        decoded = model.decode(mean).numpy().astype(float)
    kl = (0.5 * (mean**2 + logvar.exp() - 1 - logvar)).mean(0).numpy()
    z, rows = mean.numpy().astype(float), rows.astype(float)
    mad = np.median(abs(z - np.median(z, 0)), 0)
    kept = ~model.prepare.grid.gap_mask
    lines, wanted = decoded[:, :512][:, kept], rows[:, :512][:, kept]
    explained = 1 - ((lines - wanted) ** 2).sum() / ((wanted - wanted.mean(0)) ** 2).sum()
    labels = stars.table[["radvel", "Teff"]]
    information = mi_matrix(z, labels).matrix
    row = cells_of(page, "| 3 | 0.3 |")
    assert float(row[2]) == pytest.approx(explained, abs=6e-4)
    assert int(row[4]) == (mad > 0.02).sum()
    assert int(row[5]) == (kl > 0.1).sum()
    dims = np.flatnonzero(kl > 0.1) if (kl > 0.1).any() else np.arange(3)
    for cell, label in ((row[7], "radvel"), (row[8], "Teff")):
        nats, rank = (float(part) for part in cell.split(","))
        assert nats == pytest.approx(information.loc[label, dims].max(), abs=0.006)
        ranks = [abs(spearmanr(z[:, d], labels[label]).statistic) for d in dims]
        assert rank == pytest.approx(max(ranks), abs=0.006)
    info = json.loads((folder / "sweep/runs/d003-beta0.3/model/config.json").read_text())
    assert info["training"]["steps"] == 10
    assert "10 steps of 4 spectra each" in page.read_text()


def test_the_archive_is_described_as_it_is(swept):
    folder, _, page = swept
    archive = PackedArchive(folder / "sweep" / "archive.zarr")
    counts = np.unique(archive.stars, return_counts=True)[1]
    said = f"40 spectra of {len(counts)} stars"
    assert said in page.read_text()
    assert f"at most {counts.max()}" in page.read_text()
    drawn = int(cells_of(page, "| as it is |")[2])
    assert 40 - counts.max() * 4 < drawn < 40


def test_findings_follow_from_the_numbers(swept):
    _, _, page = swept
    row = cells_of(page, "| The number of dimensions above 0.02 of MAD falls with lambda")
    counts = [int(cells_of(page, f"| 3 | {beta} |")[4]) for beta in ("0", "0.3")]
    assert row[1] == ("yes" if counts[0] > counts[1] else "no")
    assert row[3].endswith(f"3 latents: {counts[0]}, {counts[1]}")
    row = cells_of(page, "| At the chosen lambda the dimensions are disentangled")
    shared = float(cells_of(page, "| 3 | 0.3 |")[6])
    assert float(row[3].split()[0]) == pytest.approx(shared, abs=1e-9)
    assert row[1] == ("yes" if shared < 0.3 else "no")
    answers = re.findall(r"^\|[^|]+\| (yes|\*\*no\*\*|not run) \|", page.read_text(), re.MULTILINE)
    assert f"Of {len(answers)} statements {answers.count('yes')} hold" in page.read_text()


def test_pictures_are_there_and_not_blank(swept):
    _, _, page = swept
    named = re.findall(r"!\[[^]]+\]\((images/[^)]+)\)", page.read_text())
    assert len(named) == 6
    for name in named:
        path = page.parent / name
        assert path.stat().st_size < 200_000
        pixels = np.asarray(Image.open(path).convert("L"))
        assert min(pixels.shape) > 200
        assert 0.003 < (pixels < 200).mean() < 0.8


def test_drawing_alone_trains_nothing_and_gives_the_same_page(swept, tmp_path):
    folder, _, page = swept
    before = page.read_text()
    logs = {path: path.stat().st_size for path in (folder / "sweep").glob("runs/*/log.txt")}
    said = []
    report = sweep(
        folder / "sweep", config=folder / "small.yaml", draw_only=True,
        page=tmp_path / "docs" / "reproduction.md", say=said.append,
    )  # fmt: skip
    assert (report.finished, report.total, dict(report.failed)) == (3, 4, {})
    again = (tmp_path / "docs" / "reproduction.md").read_text()
    drawn = before[before.index(BEGIN) : before.index(END)]
    assert again[again.index(BEGIN) : again.index(END)] == drawn.replace(
        ": failed", ": not finished"
    )
    assert {path: path.stat().st_size for path in logs} == logs


def test_a_page_without_markers_is_left_as_it_is(swept, tmp_path):
    folder, _, _ = swept
    page = tmp_path / "page.md"
    page.write_text("mine\n")
    with pytest.raises(LatentscopeError, match=r"page\.md: has no markers"):
        sweep(folder / "sweep", config=folder / "small.yaml", draw_only=True, page=page, say=str)
    assert page.read_text() == "mine\n"
    assert os.listdir(tmp_path) == ["page.md"]


def test_nothing_to_draw_and_wrong_usage(tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(VALUES))
    words = command(tmp_path)[3:]
    done = CliRunner().invoke(app, [*words, "--draw"])
    assert done.exit_code == 1
    assert "nothing to draw from" in done.output
    done = CliRunner().invoke(app, [*words, "--quick"])
    assert done.exit_code == 2
    assert "--quick and --config" in done.output
