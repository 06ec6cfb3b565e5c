"""The floors of docs/architecture.md, read from the imports."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "latentscope"
FLOORS = {
    "errors": 0,
    "files": 0,
    "compiled": 1,
    "workers": 1,
    "settings": 1,
    "tables": 1,
    "labels": 1,
    "data": 1,
    "spectra": 2,
    "diagnostics": 2,
    "simulation": 3,
    "models": 4,
    "plots": 5,
    "reporting": 6,
    "demo": 7,
    "explorer": 7,
    "cli": 8,
    "__main__": 9,
}
SIDE_BY_SIDE = {1}
ONLY_IN = {
    "torch": ("models", "simulation"),
    "safetensors": ("models",),
    "matplotlib": ("plots",),
    "bokeh": ("explorer",),
    "tornado": ("explorer",),
}


def modules_of(root: Path) -> dict[str, Path]:
    """Every module of the two folders by its dotted name; a package by the name of its folder."""
    paths = [path for folder in ("latentscope", "train") for path in (root / folder).rglob("*.py")]
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
    }


def imports_of(path: Path, root: Path) -> Iterator[str]:
    """Every module and name that a file imports, anywhere in it, relative imports resolved."""
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
    return module.split(".")[1] if module.startswith("latentscope.") else ""


def allowed(here: str, there: str) -> bool:
    if {here, there} == {"diagnostics", "spectra"}:
        return False
    if FLOORS[here] == FLOORS[there]:
        return here == there or FLOORS[here] in SIDE_BY_SIDE
    return FLOORS[there] < FLOORS[here]


def violations(root: Path = ROOT) -> list[str]:
    """Imports that go up or sideways, reach outside, or take another folder's private names."""
    found = []
    for module, path in modules_of(root).items():
        here, folder = (
            unit(module),
            module if path.name == "__init__.py" else module.rpartition(".")[0],
        )
        for name in imports_of(path, root):
            top, there = name.split(".")[0], unit(name)
            if here in FLOORS and (
                (there in FLOORS and not allowed(here, there))
                or top in ("train", "tests", "benchmarks")
                or here not in ONLY_IN.get(top, (here,))
            ):
                found.append(f"{module} imports {name}")
            owner = name.rpartition(".")[0]
            private = re.match(r"_[a-z]", name.rpartition(".")[2])
            if private and top in ("latentscope", "train") and not owner.startswith(folder):
                found.append(f"{module} reaches into {name}")
    return found


def circles(root: Path = ROOT) -> list[list[str]]:
    """Circles among the files, each named by the files in it."""
    modules = modules_of(root)
    graph = {}
    for module, path in modules.items():
        if module == "latentscope":
            continue  # its names are imported when first used
        names = set(imports_of(path, root))
        graph[module] = {name for name in names if name in modules and name != module} - {
            "latentscope"
        }
    found, done = [], set()

    def follow(module: str, trail: list[str]) -> None:
        if module in trail:
            found.append(trail[trail.index(module) :])
        elif module not in done:
            for other in sorted(graph.get(module, ())):
                follow(other, [*trail, module])
            done.add(module)

    for module in sorted(graph):
        follow(module, [])
    return found


def test_every_module_has_a_floor():
    units = {unit(module) for module in modules_of(ROOT) if unit(module)}
    assert units == set(FLOORS)


def test_imports_go_down_and_stay_out_of_private_rooms():
    assert violations() == []


def test_no_file_is_in_a_circle():
    assert circles() == []


def test_no_file_is_called_utils():
    names = [
        path
        for folder in ("latentscope", "train", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    ]
    assert [path for path in names if path.name in ("utils.py", "helpers.py")] == []


@pytest.mark.parametrize(
    ("file", "text", "forbidden"),
    [
        ("diagnostics/x.py", "from latentscope.spectra.wavelength import Grid", True),
        ("diagnostics/x.py", "def f():\n    import latentscope.models.network", True),
        ("diagnostics/x.py", "from ..models import vae", True),
        ("diagnostics/x.py", "from latentscope.data import Latents", False),
        ("diagnostics/x.py", "from latentscope.data import _read", True),
        ("diagnostics/x.py", "import torch", True),
        ("simulation/x.py", "import torch", False),
        ("diagnostics/x.py", "import train", True),
        ("spectra/x.py", "from latentscope.plots.activity import plot_mad", True),
        ("models/x.py", "from latentscope.spectra.wavelength import Grid", False),
        ("models/x.py", "import torch\nfrom .vae import _layers", False),
    ],
)
def test_the_check_itself_finds_what_is_forbidden(tmp_path, file, text, forbidden):
    path = tmp_path / "latentscope" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert bool(violations(tmp_path)) == forbidden


def test_the_check_itself_finds_a_circle(tmp_path):
    for name, text in {"a": "from latentscope.b import x", "b": "import latentscope.c"}.items():
        path = tmp_path / "latentscope" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert circles(tmp_path) == []
    (tmp_path / "latentscope" / "c.py").write_text("def f():\n    from latentscope.a import y")
    assert [sorted(circle) for circle in circles(tmp_path)] == [
        ["latentscope.a", "latentscope.b", "latentscope.c"]
    ]
