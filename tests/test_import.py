"""`import latentscope` and `latentscope --help` stay light, and the lazy names are all there."""

import json
import subprocess
import sys
import time

import pytest

import latentscope
from latentscope.errors import LatentscopeError

HEAVY = ("torch", "matplotlib", "bokeh", "astropy", "numba", "sklearn", "scipy", "pandas", "numpy")
LIST_HEAVY = (
    f"import json, sys; print('LOADED' + json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
)


def loaded_by(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{LIST_HEAVY}"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.rpartition("LOADED")[2])


def help_of(*commands: str) -> str:
    """Code that asks for help on each command; on all of them for ""."""
    return (
        "import sys\n"
        "from latentscope.cli import main\n"
        f"for command in {list(commands)!r}:\n"
        "    sys.argv = ['latentscope', *command.split(), '--help']\n"
        "    try:\n        main()\n"
        "    except SystemExit as end:\n        assert not end.code, end.code"
    )


def test_import_loads_nothing_heavy():
    assert loaded_by("import latentscope") == []


def test_help_loads_nothing_heavy():
    assert loaded_by(help_of("", "encode", "mi", "demo", "explore")) == []


def best_of(code: str, runs: int) -> float:
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        times.append(time.perf_counter() - begin)
    return min(times)


def test_help_takes_less_than_three_times_importing_typer_and_rich():
    baseline = best_of("import typer, rich", 4)
    assert best_of(help_of(""), 4) < 3 * baseline


def test_names_are_listed_and_found():
    assert sorted(latentscope.__all__) == latentscope.__all__
    for name in latentscope.__all__:
        assert getattr(latentscope, name) is not None
    assert set(dir(latentscope)) == set(latentscope.__all__)


def test_the_pages_of_names_list_what_can_be_imported():
    import re
    from importlib import import_module
    from pathlib import Path

    folder = Path(__file__).parents[1] / "docs" / "api"
    first = (folder / "index.md").read_text(encoding="utf-8")
    table = first[first.index("| subject") : first.index("Other functions")]
    page = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md")))
    assert {*re.findall(r"`(\w+)`", table), "plots", "__version__"} == set(latentscope.__all__)
    described = re.findall(r"^::: (\S+)$", page, flags=re.MULTILINE)
    for module, name in (path.rsplit(".", 1) for path in described):
        assert hasattr(import_module(module), name), f"{module}.{name}"
    assert set(latentscope.__all__) - {path.rsplit(".", 1)[1] for path in described} == {
        "plots",
        "__version__",
    }
    sections = re.findall(r"`(latentscope\.[\w.]+)`", page)
    assert set(sections) - {"latentscope.plots"} <= set(described)


def test_names_that_type_checkers_see_are_those_that_are_imported():
    import ast
    from pathlib import Path

    tree = ast.parse(Path(latentscope.__file__).read_text(encoding="utf-8"))
    (guard,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {alias.name: node.module for node in guard.body for alias in node.names}
    assert seen == {name: f"latentscope.{home}" for name, home in latentscope._HOME.items()}
    errors = {name for name in latentscope.__all__ if name not in seen}
    assert errors == {
        "__version__",
        "EstimatorError",
        "LatentscopeError",
        "LatentscopeWarning",
        "ModelError",
        "SpectrumError",
        "TableError",
        "plots",
    }


def test_lazy_names_are_the_objects_of_their_modules():
    from latentscope.spectra.spectrum import Spectrum

    assert latentscope.Spectrum is Spectrum
    assert issubclass(latentscope.TableError, LatentscopeError)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        latentscope.nothing  # noqa: B018


def test_version_is_that_of_the_distribution():
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("latentscope-spectra")
    except PackageNotFoundError:
        pytest.skip("latentscope-spectra is not installed, only imported")
    assert latentscope.__version__ == installed


def test_shells_complete_names_of_models_without_torch(tmp_path):
    (tmp_path / "harps-mine").mkdir()
    code = (
        f"import os; os.chdir({str(tmp_path)!r})\n"
        "os.environ |= {'_LATENTSCOPE_COMPLETE': 'complete_bash', 'COMP_CWORD': '3',\n"
        "               'COMP_WORDS': 'latentscope encode -m harps'}\n"
        "import sys; sys.argv = ['latentscope']\n"
        "from latentscope.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"harps-sim", "harps-sim-plain", "harps-mine"} <= set(done.stdout.split())
