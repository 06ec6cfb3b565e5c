"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from latentscope.cli.application import UsageError

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
Labels = Annotated[
    Path,
    typer.Argument(metavar="LABELS", help=".csv, .parquet, .ecsv, .fits or .npy of labels."),
]
LabelsFile = Annotated[
    Path | None,
    typer.Option("--labels-file", help=".csv, .parquet, .ecsv, .fits or .npy of labels."),
]
Table = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Write the table as CSV, and provenance as .json."),
]
Dims = Annotated[
    str,
    typer.Option(
        "--dims", help="all, informative (MAD above the model's threshold), or a list: 11,19."
    ),
]
Columns = Annotated[
    str | None,
    typer.Option("--columns", "--labels", help="Only these columns of LABELS: a,b. Default: all."),
]
Join = Annotated[
    str | None,
    typer.Option("--join", help="Column to join on. Default: an id column both sides have."),
]
Groups = Annotated[
    str,
    typer.Option(
        "--groups",
        help="Column that names the star, whose rows are not independent; none: they are. auto: "
        "star, else object.",
    ),
]


def chosen_dims(text: str) -> Any:
    """Return the dimensions that --dims names, as `choose_dims` takes them."""
    if text in ("all", "informative"):
        return text
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdigit() for number in numbers):
        raise UsageError(f"--dims is {text!r}; expected all, informative, or numbers such as 11,19")
    return [int(number) for number in numbers]


def chosen_names(text: str) -> list[str]:
    """Return the columns that --columns names."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UsageError(f"--columns is {text!r}; expected names of columns such as radvel,Teff")
    return names
