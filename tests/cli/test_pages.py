"""What the pages show is what the commands print, on files that need no archive."""

import ast
import inspect
import re
import shutil
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

import latentscope

ROOT = Path(__file__).resolve().parents[2]
STARS = {
    "Gl581": "HARPS.2010-09-18T23:42:36.178_s1d_A.fits",
    "alpha Cen B": "HARPS.2012-03-24T08:37:45.581_s1d_A.fits",
    "38 Vir": "38vir_rest.fits",
    "HD140283": "hd140283.fits",
}


def shown_after(page, command):
    """Lines of the block of code that follows the one with the command."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    _, _, block = text[text.index(f"\n{command}\n") :].split("```")[:3]
    return block.strip("\n").splitlines()


def test_the_readme_shows_the_two_commands_that_ci_runs():
    script = (ROOT / ".ci/run").read_text()
    tests, demo = re.findall(r"-m (pip install) --quiet (?:--no-compile )?(.*)$", script, re.M)
    blocks = (ROOT / "README.md").read_text("utf-8").split("```\n")[1::2]
    commands = {f"{' '.join(tests)} && pytest\n", f"{' '.join(demo)} && latentscope demo\n"}
    assert commands <= set(blocks)


def test_the_page_of_models_shows_the_list(command, tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTSCOPE_CACHE", str(tmp_path))
    printed = command("models").out.splitlines()
    assert shown_after("models.md", "latentscope models") == printed


def test_the_page_about_reading_shows_what_inspect_says(command, shared_data):
    printed = command("inspect", shared_data / STARS["HD140283"]).out.splitlines()
    shown = shown_after("reading-spectra.md", "latentscope inspect hd140283.fits")
    assert [line for line in printed if line in shown] == [
        line for line in shown[1:] if line != "..."
    ]


def test_the_page_about_plot_shows_what_it_prints(command, shared_data, tmp_path):
    spectrum = shutil.copy(shared_data / STARS["alpha Cen B"], tmp_path / "alpha-cen-b.fits")
    printed = command("plot", spectrum, "-o", tmp_path / "plot.png").out.splitlines()
    shown = shown_after("plot.md", "latentscope plot alpha-cen-b.fits")
    assert printed[:2] == shown[:2]


@pytest.mark.slow
def test_readings_of_real_stars_are_those_of_readme_and_card(command, shared_data, tmp_path):
    files = [shared_data / name for name in STARS.values()]
    assert command("encode", *files, "-o", tmp_path / "latents.npy").code == 0
    read = pd.read_csv(tmp_path / "latents.csv").set_index(pd.Index(STARS))
    readme = (ROOT / "README.md").read_text("utf-8")
    card = (ROOT / "latentscope/models/bundled/harps-sim/README.md").read_text("utf-8")
    for star, row in read.iterrows():
        found = re.findall(
            rf"^\| {star}, .*? \| ([-+\d.]+) \(.*?\) \| (\d+) .*? \| (\w+) \|", readme, re.M
        )
        ((velocity, temperature, verdict),) = found
        assert float(velocity) == pytest.approx(row["radvel_probe"], abs=0.06)
        assert float(temperature) == pytest.approx(row["Teff_probe"], abs=6)
        assert verdict == row["verdict"]
        (trust,) = re.findall(rf"^\| {star}, .*\| ordinary, ([\d.]+) \|$", card, re.M)
        assert float(trust) == pytest.approx(row["trust"], abs=0.006)


def python_of_the_pages():
    """Each block of Python, and each call of a public name in backquotes, by page."""
    public = "|".join(sorted(latentscope.__all__))
    call = re.compile(rf"`((?:latentscope\.)?(?:{public})\([^`]*)`")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text("utf-8")
        for code in (*re.findall(r"^```python\n(.*?)^```", text, re.M | re.S), *call.findall(text)):
            yield page.name, ast.parse(code)


def test_python_of_the_pages_names_what_exists():
    """Imported names are there, and functions called by them take the arguments that are shown."""
    wrong, calls = [], 0
    for page, tree in python_of_the_pages():
        names = {"latentscope": latentscope, "ls": latentscope}
        if len(tree.body) == 1:  # in backquotes, without an import
            names |= {name: getattr(latentscope, name) for name in latentscope.__all__}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in (
                "latentscope",
                "train",
            ):
                module = import_module(node.module)
                for alias in node.names:
                    names[alias.name] = getattr(module, alias.name, None)
                    if names[alias.name] is None:
                        wrong.append((page, node.module, alias.name))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name):
                called = names.get(node.func.id)
            elif isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                called = getattr(names.get(node.func.value.id), node.func.attr, None)
                if called is None and node.func.value.id in ("ls", "latentscope"):
                    wrong.append((page, ast.unparse(node)))
            else:
                called = None
            if called is None or any(ast.unparse(word) == "..." for word in node.args):
                continue
            calls += 1
            try:
                given = {word.arg: None for word in node.keywords}
                inspect.signature(called).bind(*[None] * len(node.args), **given)
            except TypeError as error:
                wrong.append((page, ast.unparse(node), str(error)))
    assert calls > 50
    assert wrong == []
