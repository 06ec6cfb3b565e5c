"""`python -m train pack`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from latentscope.cli.application import NOTHING_DONE, SOME_FAILED, one_of
from latentscope.cli.options import Json, Workers
from latentscope.cli.output import Output, progress
from train.commands.application import app
from train.commands.guard import guard

if TYPE_CHECKING:
    from train.packing.pack import PackReport


@app.command(
    name="pack",
    epilog="\b\nExample:\n"
    "  python -m train pack spectra/ -o archive.zarr -m harps-sim --labels spectra/labels.csv\n"
    "  find /archive -name '*_s1d_A.fits' | python -m train pack - -o s3://bucket/archive.zarr",
)
def pack_command(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES...",
            help="Files, folders, quoted globs, @list.txt (a name a line), - for a list on stdin.",
        ),
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", help="The archive: a folder or an fsspec URL.")
    ],
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="Model whose grid the rows get. Default: harps-sim."),
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option("--grid", help="YAML or JSON file with `prepare`, as in train/configs/."),
    ] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="float16 or float32.")] = "float16",
    compression: Annotated[
        str, typer.Option("--compression", help="zstd (smaller) or lz4 (read faster).")
    ] = "zstd",
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Table of labels, joined on an id column.")
    ] = None,
    join: Annotated[
        str | None, typer.Option("--join", help="Column to join labels on, such as star.")
    ] = None,
    min_coverage: Annotated[
        float,
        typer.Option(
            "--min-coverage",
            min=0.0,
            max=1.0,
            help="A spectrum that fills less of the grid than this fails.",
        ),
    ] = 0.5,
    ivar: Annotated[
        bool, typer.Option("--ivar", help="Pack the inverse variance of each value too.")
    ] = False,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Pack spectra into one Zarr archive, or add new ones to it.

    A file that fails stands in the archive's table with the reason. The same command goes on after
    an interruption, and reads no file twice.
    """
    from latentscope.spectra.prepare import ivar_size
    from train.packing.pack import pack
    from train.packing.preparation import named_preparation
    from train.packing.store import Compression, Dtype, Layout

    out = Output(as_json)
    with guard("finished blocks are kept, the same command goes on from there"):
        one_of("--dtype", dtype, Dtype)
        one_of("--compression", compression, Compression)
        name, prepare = named_preparation(model, grid)
        size = ivar_size(prepare) if ivar else 0
        layout = Layout.sized(
            prepare.row_size,
            cast(Dtype, dtype),
            compression=cast(Compression, compression),
            ivar_size=size,
        )
        with progress("pack") as advance:
            report = pack(
                files,
                output,
                prepare,
                layout=layout,
                model=name,
                min_coverage=min_coverage,
                labels=labels,
                join=join,
                workers=workers,
                progress=advance,
            )
    _tell(out, report)


def _tell(out: Output, report: PackReport) -> None:
    out.failures(report.failed)
    out.say(
        f"packed {report.packed} spectra into {report.archive}: {report.rows} rows, "
        f"{report.kept} of the named files were there before"
    )
    result: dict[str, Any] = {
        "archive": report.archive,
        "rows": report.rows,
        "packed": report.packed,
        "kept": report.kept,
        "failed": [{"file": file, "error": reason} for file, reason in report.failed],
    }
    out.result(result)
    if report.failed:
        raise typer.Exit(SOME_FAILED if report.packed + report.kept else NOTHING_DONE)
