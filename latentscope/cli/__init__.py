"""The command line: each command parses, makes one library call, and writes."""

import os
from importlib import import_module

from latentscope.cli.application import app

for _subject in (
    "spectra",
    "mad",
    "mi",
    "pairs",
    "metrics",
    "robustness",
    "traverse",
    "retrieve",
    "score",
    "models",
    "report",
    "demo",
):  # the order of the help
    import_module(f"latentscope.cli.{_subject}")


def main() -> None:
    """Run the command line; the process ends with 0, 1, 2 or 3 (see `latentscope --help`)."""
    os.environ.setdefault("MPLBACKEND", "Agg")  # pictures are files; no display is needed
    app(prog_name="latentscope")
