"""`python -m train`: pack spectra into an archive, and train a model from a configuration."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentscope.cli.application import INTERRUPTED, NOTHING_DONE, SOME_FAILED, UsageError, one_of
from latentscope.cli.options import Json, Workers
from latentscope.cli.output import Output, progress
from latentscope.errors import LatentscopeError, LatentscopeWarning

if TYPE_CHECKING:
    from train.pack import PackReport

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def about() -> None:
    """Train spectrum autoencoders: on a simulated archive, or on your own, packed.

    Exit codes: 0 all done, 1 nothing done, 2 wrong usage, 3 done but some inputs failed.
    """


@contextmanager
def _guard(after_interrupt: str) -> Iterator[None]:
    try:
        with _warnings_as_lines():
            yield
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None
    except KeyboardInterrupt:
        typer.echo(f"interrupted; {after_interrupt}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except (LatentscopeError, OSError) as error:
        typer.echo(f"train: {error}", err=True)
        raise typer.Exit(NOTHING_DONE) from error


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, LatentscopeWarning):
            typer.echo(f"warning: {' '.join(str(message).split())}", err=True)
        else:
            others(message, category, *where, **more)

    with warnings.catch_warnings():
        others = warnings.showwarning
        warnings.showwarning = show
        yield


@app.command(name="fit")
def fit_command(
    config: Annotated[Path, typer.Argument(help="YAML file, such as train/configs/harps-sim.yaml")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
    linelist: Annotated[
        Path | None, typer.Option(help="Line list of the simulation; default: the built-in one.")
    ] = None,
    archive: Annotated[
        str | None, typer.Option(help="Packed archive; default: the configuration's.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder for the simulated rows; default: in the run's.")
    ] = None,
    threads: Annotated[
        int, typer.Option(help="Threads of torch; 1 is best beside other work on the machine.")
    ] = 1,
) -> None:
    """Train a model; run the same command again to go on after an interruption.

    Example: python -m train fit train/configs/harps-sim.yaml -o runs/harps-sim --linelist lines.csv
    """
    from train.config import read_config

    with _guard("the same command goes on from the last checkpoint"):
        settings = read_config(config)
        import torch

        from train.fit import fit

        torch.set_num_threads(threads)
        folder = fit(
            settings,
            output,
            linelist=None if linelist is None else str(linelist),
            archive=archive,
            data_folder=data,
            progress=sys.stderr.isatty(),
        )
    typer.echo(f"model written to {folder}; try: latentscope encode spectra/ -m {folder}")


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
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Pack spectra into one Zarr archive, or add new ones to it.

    A file that fails stands in the archive's table with the reason. The same command goes on after
    an interruption, and reads no file twice.
    """
    from train.pack import pack
    from train.preparation import named_preparation
    from train.store import Compression, Dtype, Layout

    out = Output(as_json)
    with _guard("finished blocks are kept, the same command goes on from there"):
        one_of("--dtype", dtype, Dtype)
        one_of("--compression", compression, Compression)
        name, prepare = named_preparation(model, grid)
        with progress("pack") as advance:
            report = pack(
                files,
                output,
                prepare,
                layout=Layout.sized(prepare.row_size, dtype, compression=compression),  # type: ignore[arg-type]
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


if __name__ == "__main__":
    app(prog_name="python -m train")
