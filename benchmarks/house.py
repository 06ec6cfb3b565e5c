"""How large the house is, and how many of its rooms a command passes through.

python -m benchmarks.house

prints files and lines of each folder, and in how many files of latentscope/ a function is entered
while `latentscope encode` reads one file and `latentscope mi` measures two pairs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def size(folder: Path) -> tuple[int, int]:
    """Files and lines of Python below a folder."""
    files = [path for path in folder.rglob("*.py") if "__pycache__" not in path.parts]
    return len(files), sum(len(path.read_text("utf-8").splitlines()) for path in files)


class Walk:
    """The files and functions of the package that a run enters, and how often the file changes."""

    def __init__(self, package: Path) -> None:
        self.package = f"{package}/"
        self.entered: set[tuple[str, str]] = set()
        self.changes = 0
        self.last = ""

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a call, as `sys.setprofile` reports it."""
        code = frame.f_code
        file = code.co_filename
        if event != "call" or not file.startswith(self.package) or self._importing(frame):
            return
        self.entered.add((file, code.co_qualname))
        self.changes += file != self.last
        self.last = file

    def _importing(self, frame: FrameType | None) -> bool:
        """Whether a call is part of an import: the body of a module, or a function it calls."""
        while frame is not None:
            code = frame.f_code
            if code.co_name == "<module>" and code.co_filename.startswith(self.package):
                return True
            frame = frame.f_back
        return False

    @property
    def files(self) -> list[str]:
        """The files, by their path in the package."""
        return sorted({file.removeprefix(self.package) for file, _ in self.entered})


def walk(package: Path, arguments: list[str]) -> Walk:
    """Run a command of the command line in this process, and follow it."""
    from latentscope.cli import main

    found = Walk(package)
    sys.argv = ["latentscope", *arguments]
    threading.setprofile(found)
    sys.setprofile(found)
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return found


def main() -> None:
    """Print sizes, or follow the command that is named."""
    import latentscope

    package = Path(latentscope.__file__).parent
    if len(sys.argv) > 1:
        found = walk(package, sys.argv[1:])
        functions = len(found.entered)
        print(f"{len(found.files)} files, {functions} functions, {found.changes} changes of file:")
        print(f"  {', '.join(found.files)}")
        return
    for name in ("latentscope", "train", "benchmarks"):
        files, lines = size(ROOT / name)
        print(f"{name}: {lines:,} lines in {files} files")
        for folder in sorted(path for path in (ROOT / name).iterdir() if path.is_dir()):
            if any(folder.rglob("*.py")):
                files, lines = size(folder)
                print(f"  {folder.name}: {lines:,} lines in {files} files")
    with tempfile.TemporaryDirectory() as folder:
        _follow_two_commands(Path(folder))


def _follow_two_commands(folder: Path) -> None:
    import numpy as np
    import pandas as pd

    def run(module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        if module == "benchmarks.house":
            print(f"\nlatentscope {' '.join(arguments)}", *done.stdout.splitlines()[-2:], sep="\n")

    rng = np.random.default_rng(0)
    np.save(folder / "z.npy", rng.normal(size=(500, 2)))
    pd.DataFrame({"rv": rng.normal(size=500)}).to_csv(folder / "labels.csv", index=False)
    run("latentscope", "simulate", "-n", "1", "-o", "spectra")
    for arguments in (("encode", "spectra", "--workers", "1"), ("mi", "z.npy", "labels.csv")):
        run("latentscope", *arguments)  # compiles what numba has not compiled yet
        run("benchmarks.house", *arguments)


if __name__ == "__main__":
    main()
