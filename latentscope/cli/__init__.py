"""The command line: each command parses, makes one library call, and writes."""

import os

# The order of the help.
from latentscope.cli import spectra, latents, report  # isort: skip
from latentscope.cli.application import app

__all__ = ["app", "latents", "main", "report", "spectra"]


def main() -> None:
    """Run the command line; the process ends with 0, 1, 2 or 3 (see `latentscope --help`)."""
    os.environ.setdefault("MPLBACKEND", "Agg")  # pictures are files; no display is needed
    app(prog_name="latentscope")
