"""A small sweep, interrupted and taken up again; the page drawn of it against its models."""

import json
import re
from concurrent.futures import Future

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from scipy.stats import spearmanr
from typer.testing import CliRunner

import train.sweep.run
from latentscope.diagnostics.mi.api import mi_matrix
from latentscope.errors import LatentscopeError
from latentscope.models.weights import load_model
from tests.train.sweep.conftest import SMALL
from tests.train.sweep.page import reproduction
from train.commands import app
from train.data.archive import PackedArchive
from train.data.stars import stars_of
from train.sweep.results import read_results
from train.sweep.run import sweep

BEGIN, END, main = reproduction.BEGIN, reproduction.END, reproduction.main

VALUES = SMALL | {
    "grid": {"latents": [3], "beta": [0.0, 0.3]},
    "seeds": [],
    "balanced": {"broken": {"label": "age"}},
}


class InThisProcess:
    """Stands for a pool of processes, without their imports; interrupted at run `ends_at`."""

    begun = 0
    ends_at = 0  # 0: never

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *arguments):
        type(self).begun += 1
        if self.begun == self.ends_at:
            raise KeyboardInterrupt
        future = Future()
        try:
            future.set_result(function(*arguments))
        except LatentscopeError as error:
            future.set_exception(error)
        return future


@pytest.fixture(scope="module")
def swept(tmp_path_factory, linelist):
    """Folder of a sweep that was interrupted while its second run began, and its second report."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "small.yaml").write_text(yaml.safe_dump(VALUES))
    said = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(train.sweep.run, "ProcessPoolExecutor", InThisProcess)
        InThisProcess.ends_at = 2
        options = {"config": folder / "small.yaml", "linelist": linelist}
        options |= {"workers": 1, "say": said.append}
        with pytest.raises(KeyboardInterrupt):
            sweep(folder / "sweep", **options)
        InThisProcess.ends_at = 0
        kept = folder / "sweep" / "runs" / "d003-ae" / "model" / "model.safetensors"
        before = kept.stat().st_mtime_ns
        report = sweep(folder / "sweep", **options)
        assert kept.stat().st_mtime_ns == before
    page = folder / "docs" / "reproduction.md"
    page.parent.mkdir()
    page.write_text(f"# Ours\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    main([str(folder / "sweep"), str(page)])
    return folder, report, said, page


def cells_of(page, first):
    """Cells of the table row that begins so."""
    lines = [line for line in page.read_text().splitlines() if line.startswith(first)]
    assert len(lines) == 1, lines
    return [cell.strip(" *") for cell in lines[0].strip("|").split("|")]


def test_finished_runs_are_kept_and_a_failed_one_is_told(swept):
    folder, report, said, page = swept
    assert (report.finished, report.total) == (3, 4)
    assert "1 of 4 runs were finished before" in said
    assert list(report.failed) == ["d003-beta0.3-broken"]
    assert "has no column 'age'" in report.failed["d003-beta0.3-broken"]
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
    folder, _, _, page = swept
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
    lines, true = decoded[:, :512][:, kept], rows[:, :512][:, kept]
    explained = 1 - ((lines - true) ** 2).sum() / ((true - true.mean(0)) ** 2).sum()
    labels = stars.table[["radvel", "Teff"]]
    information = mi_matrix(z, labels).matrix
    row = cells_of(page, "| 3 | 0.3 |")
    assert float(row[2]) == pytest.approx(explained, abs=6e-4)
    assert int(row[3]) == (mad > 0.02).sum()
    assert int(row[4]) == (kl > 0.1).sum()
    dims = np.flatnonzero(kl > 0.1) if (kl > 0.1).any() else np.arange(3)
    for cell, label in ((row[6], "radvel"), (row[7], "Teff")):
        nats, rank = (float(part) for part in cell.split(","))
        assert nats == pytest.approx(information.loc[label, dims].max(), abs=0.006)
        ranks = [abs(spearmanr(z[:, d], labels[label]).statistic) for d in dims]
        assert rank == pytest.approx(max(ranks), abs=0.006)
    info = json.loads((folder / "sweep/runs/d003-beta0.3/model/config.json").read_text())
    assert info["training"]["steps"] == 10
    assert "10 steps of 4 spectra each" in page.read_text()


def test_the_archive_is_described_as_it_is(swept):
    folder, _, _, page = swept
    archive = PackedArchive(folder / "sweep" / "archive.zarr")
    counts = np.unique(stars_of(archive.table), return_counts=True)[1]
    said = f"40 spectra of {len(counts)} stars"
    assert said in page.read_text()
    assert f"at most {counts.max()}" in page.read_text()
    drawn = int(cells_of(page, "| unbalanced, seed 0 |")[1])
    assert 40 - counts.max() * 4 < drawn < 40


def test_findings_follow_from_the_numbers(swept):
    *_, page = swept
    row = cells_of(page, "| Fewer dimensions are informative the larger lambda (here: MAD")
    counts = [int(cells_of(page, f"| 3 | {beta} |")[3]) for beta in ("0", "0.3")]
    assert row[1] == ("yes" if counts[0] > counts[1] else "no")
    row = cells_of(page, "| At the chosen lambda the dimensions are disentangled")
    shared = float(cells_of(page, "| 3 | 0.3 |")[5])
    assert row[1] == ("yes" if shared < 0.3 else "no")
    row = cells_of(page, "| One dimension is radial velocity")
    best = float(cells_of(page, "| 3 | 0.3 |")[6].split(",")[0])
    assert float(row[2].split(": ")[1].split(",")[0]) == pytest.approx(best, abs=1e-9)
    assert row[1] == ("yes" if best > 0.5 and best > 1.5 * float(row[2].split()[-1]) else "no")
    answers = re.findall(r"^\|[^|]+\| (yes|\*\*no\*\*|not run) \|", page.read_text(), re.MULTILINE)
    assert f"Of {len(answers)} statements {answers.count('yes')} hold" in page.read_text()


def test_pictures_are_there_and_not_blank(swept):
    *_, page = swept
    named = re.findall(r"!\[[^]]+\]\((images/[^)]+)\)", page.read_text())
    assert len(named) == 5
    for name in named:
        path = page.parent / name
        assert path.stat().st_size < 200_000
        pixels = np.asarray(Image.open(path).convert("L"))
        assert min(pixels.shape) > 200
        assert 0.003 < (pixels < 200).mean() < 0.8


def test_the_table_of_runs_has_the_pages_numbers(swept):
    folder, _, _, page = swept
    results = read_results(folder / "sweep")
    table = results.table().set_index("name")
    assert (folder / "sweep" / "runs.csv").read_text() == results.table().to_csv(index=False)
    assert table.index.tolist() == ["d003-ae", "d003-beta0", "d003-beta0.3"]
    for beta, name in (("AE", "d003-ae"), ("0", "d003-beta0"), ("0.3", "d003-beta0.3")):
        row = cells_of(page, f"| 3 | {beta} |")
        assert float(row[2]) == pytest.approx(table.loc[name, "line_variance"], abs=6e-4)
        assert int(row[3]) == table.loc[name, "mad_dims"]
    assert np.isnan(table.loc["d003-ae", "kl_dims"])


def test_measuring_alone_trains_nothing_and_gives_the_same_page(
    swept, linelist, tmp_path, monkeypatch
):
    folder, _, _, page = swept
    before = page.read_text()
    logs = {path: path.stat().st_size for path in (folder / "sweep").glob("runs/*/log.txt")}
    words = ["sweep", "-o", str(folder / "sweep"), "--config", str(folder / "small.yaml")]
    words += ["--linelist", linelist, "--workers", "1", "--measure"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 3
    assert "3 of 4 runs finished" in done.output
    again = tmp_path / "docs" / "reproduction.md"
    # The pictures take a minute of a busy machine, and are there already.
    monkeypatch.setattr(reproduction, "save", lambda figure, path: plt.close(figure))
    main([str(folder / "sweep"), str(again)])
    drawn = before[before.index(BEGIN) : before.index(END)]
    text = again.read_text()
    assert text[text.index(BEGIN) : text.index(END)] == drawn.replace(": failed", ": not finished")
    assert {path: path.stat().st_size for path in logs} == logs


def test_a_page_without_markers_is_left_as_it_is(swept, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("mine\n")
    with pytest.raises(SystemExit, match=r"page\.md: has no markers"):
        main([str(swept[0] / "sweep"), str(page)])
    assert page.read_text() == "mine\n"
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


def test_nothing_to_measure_nothing_to_draw_and_wrong_usage(tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(VALUES))
    words = ["sweep", "-o", str(tmp_path / "sweep"), "--config", str(tmp_path / "small.yaml")]
    done = CliRunner().invoke(app, [*words, "--measure"])
    assert done.exit_code == 1
    assert "nothing to measure" in done.output
    done = CliRunner().invoke(app, [*words, "--quick"])
    assert done.exit_code == 2
    assert "--quick and --config" in done.output
    with pytest.raises(SystemExit, match=r"results\.json: no such file"):
        main([str(tmp_path / "sweep"), str(tmp_path / "page.md")])
