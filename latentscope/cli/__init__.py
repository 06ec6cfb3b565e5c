"""The command line: each command parses, makes one library call, and writes."""

# The order of the help.
from latentscope.cli import spectra, latents, report  # isort: skip
from latentscope.cli.application import app, main

__all__ = ["app", "latents", "main", "report", "spectra"]
