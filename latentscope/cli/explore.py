"""The command that opens the explorer."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from latentscope.cli.application import Output, command, progress
from latentscope.cli.options import LABELS, LATENTS, Joined, Model, option


@command(
    "latentscope explore",
    "latentscope explore latents.npy --labels labels.csv --spectra spectra/",
    "latentscope explore latents.npy --html page.html",
)
def explore(
    rows: Joined,
    out: Output,
    latents: Annotated[
        Path | None,
        typer.Argument(
            metavar="LATENTS",
            help=f"{LATENTS} Default: a simulated archive, made at the first call and kept.",
        ),
    ] = None,
    model: Model = None,
    labels: Annotated[Path | None, option("FILE", LABELS)] = None,
    spectra: Annotated[
        Path | None,
        option(
            "FOLDER",
            "Where the spectra are; nothing outside it is read. Default: where the latents' table "
            "says.",
        ),
    ] = None,
    html: Annotated[
        Path | None, option("FILE", "Write one file that opens without a server, and exit.")
    ] = None,
    host: Annotated[
        str | None,
        option(
            "ADDRESS",
            "Listen there, for others to look; the printed address then holds a token. Default: "
            "this machine alone.",
        ),
    ] = None,
    port: Annotated[int, option("N", "Port; 0: any free one.", min=0, max=65535)] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
) -> None:
    """Explore latents in the browser: sliders, map, neighbors.

    Move a latent and see the spectrum change; click a point of the map to open its spectrum; open
    a file to find similar spectra. Ctrl-C stops the server.
    """
    from latentscope.explorer.archive import read_archive
    from latentscope.explorer.serve import explore as show

    def tell(url: str) -> None:
        out.say(f"exploring at {url}", "Ctrl-C stops the server")
        out.result({"url": url})

    study = None if latents is None else rows.study(latents, labels, groups="auto")
    with progress("making the demo archive") as advance:
        archive = read_archive(study, model, None, spectra, advance)
    written = show(archive, html=html, host=host, port=port, open_browser=not no_open, tell=tell)
    if written is not None:
        out.say(f"wrote {written}")
        out.result({"output": written})
        return
    # Threads that are still in compiled code would abort the interpreter as it ends.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
