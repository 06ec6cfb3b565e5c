"""The command line: each command parses, makes one library call, and writes."""

import os
import sys

# The order of the help.
from latentscope.cli import spectra, latents, report  # isort: skip
from latentscope.cli.application import app

__all__ = ["app", "latents", "main", "report", "spectra"]


def main() -> None:
    """Run the command line; the process ends with 0, 1, 2 or 3 (see `latentscope --help`)."""
    # Pictures are files: no display is needed, nor the notebook's that this was started from.
    os.environ["MPLBACKEND"] = "Agg"
    # What a terminal cannot show must not end the work, nor a stream that was closed.
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="latentscope")
