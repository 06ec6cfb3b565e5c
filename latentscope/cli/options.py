"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout; text for people on stderr.")]
Model = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        help="Name (see 'latentscope models'), folder, checkpoint, https:// address or Hugging "
        "Face org/name. Default: the bundled harps-sim.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="How many work in parallel. Default: one a core."),
]
Plot = Annotated[Path | None, typer.Option("--plot", help="Write a picture (.png, .pdf, .svg).")]
Latents = Annotated[
    Path,
    typer.Argument(metavar="LATENTS", help=".npy, .npz, .csv, .parquet, .h5 or .fits of latents."),
]
