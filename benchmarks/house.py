"""How large the house is, and how many of its rooms a command passes through.

`python -m benchmarks.house` prints files and lines of each folder, and in how many files and
functions of latentscope/ something is entered while `encode` reads one file and `mi` measures two
pairs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = (("encode", "spectra", "--workers", "1"), ("mi", "z.npy", "labels.csv"))


def print_size(folder: Path, indent: str = "") -> None:
    files = list(folder.rglob("*.py"))
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in files)
    if files:
        print(f"{indent}{folder.name}: {lines:,} lines in {len(files)} files")


def follow(arguments: list[str]) -> None:
    """Run a command of the command line in this process, and print where it was."""
    import latentscope
    from latentscope.cli import main

    package, entered = f"{Path(latentscope.__file__).parent}/", set()

    def importing(frame: FrameType | None) -> bool:
        while frame is not None:
            code = frame.f_code
            if code.co_name == "<module>" and code.co_filename.startswith(package):
                return True
            frame = frame.f_back
        return False

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(package) and not importing(frame):
            entered.add((code.co_filename.removeprefix(package), code.co_qualname))

    sys.argv = ["latentscope", *arguments]
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    files = sorted({file for file, _ in entered})
    print(f"{len(files)} files, {len(entered)} functions:\n  {', '.join(files)}")


def main() -> None:
    if len(sys.argv) > 1:
        follow(sys.argv[1:])
        return
    for name in ("latentscope", "train", "benchmarks"):
        print_size(ROOT / name)
        for folder in sorted(path for path in (ROOT / name).iterdir() if path.is_dir()):
            print_size(folder, "  ")
    with tempfile.TemporaryDirectory() as folder:

        def run(module: str, *arguments: str) -> str:
            command = [sys.executable, "-m", module, *arguments]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
            return done.stdout

        rng = np.random.default_rng(0)
        np.save(Path(folder) / "z.npy", rng.normal(size=(500, 2)))
        pd.DataFrame({"rv": rng.normal(size=500)}).to_csv(f"{folder}/labels.csv", index=False)
        run("latentscope", "simulate", "-n", "1", "-o", "spectra")
        for arguments in COMMANDS:
            run("latentscope", *arguments)  # compiles what numba has not compiled yet
            walked = run("benchmarks.house", *arguments).splitlines()[-2:]
            print(f"\nlatentscope {' '.join(arguments)}", *walked, sep="\n")


if __name__ == "__main__":
    main()
