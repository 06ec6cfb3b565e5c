"""The command that opens the explorer."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from latentscope.cli.application import (
    Json,
    Key,
    Model,
    Output,
    Where,
    command,
    progress,
    study_of,
)


@command(
    "latentscope explore",
    "latentscope explore latents.npy --labels labels.csv --spectra spectra/",
    "latentscope explore latents.npy --html page.html",
)
def explore(
    latents: Annotated[
        Path | None,
        typer.Argument(
            metavar="[LATENTS]",
            help=".npy, .npz, .csv, .parquet, .h5 or .fits of latents. Default: a simulated "
            "archive, made at the first call and kept.",
        ),
    ] = None,
    model: Model = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help=".csv, .parquet, .ecsv, .fits or .npy of labels."),
    ] = None,
    where: Where = None,
    key: Key = None,
    spectra: Annotated[
        Path | None,
        typer.Option(
            "--spectra",
            help="Folder of the spectra; nothing outside it is read. Default: where the latents' "
            "table says.",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write one file that opens without a server, and exit."),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            help="Address to listen on, for others to look; the printed address then holds a "
            "token. Default: this machine alone.",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; 0: any free one.")
    ] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Explore latents in the browser: sliders, map, neighbors.

    Move a latent and see the spectrum change; click a point of the map to open its spectrum; open
    a file to find similar spectra. Ctrl-C stops the server.
    """
    from latentscope.explorer.archive import read_archive
    from latentscope.explorer.serve import explore as show

    out = Output(as_json)

    def tell(url: str) -> None:
        out.say(f"exploring at {url}")
        out.say("Ctrl-C stops the server")
        out.result({"url": url})

    study = None if latents is None else study_of(latents, labels, key=key, where=where)
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
