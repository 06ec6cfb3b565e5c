"""The command line: each command parses, makes one library call, and writes."""

import os
import signal
import sys
from contextlib import suppress

import typer

# The order of the help.
from latentscope.cli import spectra, latents, report, explore  # isort: skip
from latentscope.cli.application import app
from latentscope.files import check_writable, expanded, own_folder

__all__ = ["app", "explore", "latents", "main", "report", "spectra"]


def main(of: typer.Typer = app) -> None:
    """Run a command line; the process ends with 0, 1, 2 or 3 (see `latentscope --help`)."""
    # Pictures are files: no display is needed, nor the notebook's that this was started from.
    os.environ["MPLBACKEND"] = "Agg"
    _find_a_place_for_caches()
    # What a terminal cannot show must not end the work, nor a stream that was closed.
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # as batch systems end what they run
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    of(prog_name=of.info.name)


def _find_a_place_for_caches() -> None:
    """Give other libraries a folder where the home folder is missing or takes no files."""
    try:
        if os.path.expanduser("~") == "~":
            # A user by number alone, in a container: astropy asks for a home, and matplotlib.
            os.environ["HOME"] = str(own_folder())
        for name, usual in (("XDG_CONFIG_HOME", "~/.config"), ("XDG_CACHE_HOME", "~/.cache")):
            check_writable(expanded(os.environ.get(name) or usual) / "matplotlib" / "file")
    except OSError:
        with suppress(OSError):
            os.environ.setdefault("MPLCONFIGDIR", str(own_folder()))
