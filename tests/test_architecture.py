"""The floors of docs/architecture.md, read from the imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "latentscope"
FLOORS = {
    "errors": 0,
    "atomic": 0,
    "plain": 1,
    "tables": 1,
    "joining": 1,
    "latents": 1,
    "spectra": 2,
    "diagnostics": 2,
    "simulation": 3,
    "model": 4,
    "plots": 5,
    "reporting": 6,
    "demo": 7,
    "cli": 8,
    "__main__": 9,
}
SIDE_BY_SIDE = {1}
LONGEST = 350


def python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imported_modules(path: Path, root: Path = ROOT) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, relative imports resolved."""
    package = path.relative_to(root).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def unit(module: str) -> str:
    """Folder or file directly under latentscope/ that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def violations(path: Path, root: Path = ROOT) -> list[str]:
    here = unit(".".join(path.relative_to(root).with_suffix("").parts))
    found = []
    for module in imported_modules(path, root):
        there = unit(module) if module.startswith("latentscope.") else ""
        if there in FLOORS and there != here and not _allowed(here, there):
            found.append(f"{here} imports {module}")
    return found


def _allowed(here: str, there: str) -> bool:
    if here == "diagnostics" and there in ("spectra", "simulation", "model"):
        return False
    if FLOORS[here] == FLOORS[there]:
        return FLOORS[here] in SIDE_BY_SIDE
    return FLOORS[there] < FLOORS[here]


def top_level_packages(path: Path) -> set[str]:
    return {module.split(".")[0] for module in imported_modules(path)}


PACKAGE_FILES = python_files(PACKAGE)
UNITS = [path for path in PACKAGE_FILES if path != PACKAGE / "__init__.py"]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_module_has_a_floor():
    units = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in UNITS}
    assert units == set(FLOORS)


@pytest.mark.parametrize("path", UNITS, ids=name)
def test_modules_import_from_lower_floors_only(path):
    assert violations(path) == []


@pytest.mark.parametrize("path", UNITS, ids=name)
def test_only_model_imports_torch(path):
    inside = path.is_relative_to(PACKAGE / "model")
    assert inside or not top_level_packages(path) & {"torch", "lightning", "safetensors"}


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=name)
def test_the_package_never_imports_train_tests_or_benchmarks(path):
    assert not top_level_packages(path) & {"train", "tests", "benchmarks"}


@pytest.mark.parametrize("path", UNITS, ids=name)
def test_drawing_stays_in_plots(path):
    inside = path.is_relative_to(PACKAGE / "plots")
    assert inside or "matplotlib" not in top_level_packages(path)


def test_files_are_short_and_none_is_called_utils():
    folders = [PACKAGE, ROOT / "train", ROOT / "benchmarks", ROOT / "tests"]
    files = [path for folder in folders if folder.is_dir() for path in python_files(folder)]
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {path: n for path, n in lengths.items() if n > LONGEST} == {}
    assert [path for path in lengths if Path(path).name in ("utils.py", "helpers.py")] == []


@pytest.mark.parametrize(
    ("file", "text", "wanted"),
    [
        ("diagnostics/x.py", "from latentscope.spectra.grid import Grid", 1),
        ("diagnostics/x.py", "def f():\n    import latentscope.model.vae", 1),
        ("diagnostics/x.py", "from ..model import vae", 1),
        ("diagnostics/x.py", "from latentscope.latents import Latents", 0),
        ("diagnostics/x.py", "from latentscope import model", 1),
        ("spectra/x.py", "from latentscope.plots.activity import plot_mad", 1),
        ("model/x.py", "from latentscope.spectra.grid import Grid", 0),
        ("model/x.py", "from .vae import SpectrumVAE", 0),
    ],
)
def test_the_check_itself_finds_what_is_forbidden(tmp_path, file, text, wanted):
    path = tmp_path / "latentscope" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert bool(violations(path, tmp_path)) == bool(wanted)
