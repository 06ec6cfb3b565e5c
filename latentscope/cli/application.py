"""What all commands share: the application and its guard, options, output, tables and pictures."""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar, get_args

import typer

from latentscope import __version__
from latentscope.errors import ChoiceError, LatentscopeError, LatentscopeWarning, printable
from latentscope.files import check_writable, expanded, plain

if TYPE_CHECKING:
    import pandas as pd

    from latentscope.diagnostics.study import Study


NOTHING_DONE = 1
WRONG_USAGE = 2
SOME_FAILED = 3
INTERRUPTED = 130
CLOSED_PIPE = 141

_DEBUG = "LATENTSCOPE_DEBUG"
_ISSUES = "the project's issue tracker"

_Command = TypeVar("_Command", bound=Callable[..., None])


class UsageError(LatentscopeError):
    """The command line itself is wrong; exit code 2."""


def echo(text: str = "", *, err: bool = False) -> None:
    """Print text, on stderr with `err`; what names and headers hold never steers a terminal."""
    stream = sys.stderr if err else sys.stdout
    # While there is a bar, what is said goes through it, to stand above it.
    above = stream if hasattr(stream, "rich_proxied_file") else None
    typer.echo("\n".join(map(printable, text.split("\n"))), file=above, err=err)


def one_of(option: str, value: str, choices: Any) -> Any:
    """Return `value` if it is one of a `Literal`'s choices.

    Raises
    ------
    UsageError
        Otherwise; the message lists them.
    """
    names = get_args(choices)
    if value not in names:
        raise UsageError(f"{option} is {value!r}; expected one of {', '.join(names)}")
    return value


app = typer.Typer(
    name="latentscope",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n"
    "  latentscope encode spectra/*.fits\n"
    "  latentscope mi latents.npy labels.csv",
)


def _print_version(asked: bool) -> None:
    if asked:
        echo(f"latentscope {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks (also: LATENTSCOPE_DEBUG=1).")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """See what a network learned from stellar spectra.

    Exit codes: 0 all done, 1 nothing done, 2 wrong usage, 3 done but some inputs failed.
    """
    if debug:
        os.environ[_DEBUG] = "1"


def command(
    *examples: str, after_interrupt: str = "", of: typer.Typer = app
) -> Callable[[_Command], _Command]:
    """Register a function as a command that never shows a traceback.

    Parameters
    ----------
    *examples : str
        Command lines shown at the end of the command's help.
    after_interrupt : str, optional
        What to say to somebody who pressed Ctrl-C, after "interrupted".
    of : Typer, optional
        The application that it is a command of.
    """
    epilog = "\b\nExample:\n" + "\n".join(f"  {line}" for line in examples)

    def register(function: _Command) -> _Command:
        @wraps(function)
        def guarded(*args: object, **kwargs: object) -> None:
            with _guard(f"{of.info.name} {function.__name__}", after_interrupt):
                function(*args, **{name: _at_home(value) for name, value in kwargs.items()})

        of.command(epilog=epilog)(guarded)
        return function

    return register


def _at_home(value: object) -> object:
    """Paths with the home folder for ``~``, which the shell leaves in --output=~/x."""
    if isinstance(value, Path):
        return expanded(value)
    if isinstance(value, list):
        return [_at_home(item) for item in value]
    return value


@contextmanager
def _guard(name: str, after_interrupt: str) -> Iterator[None]:
    try:
        with _warnings_as_lines():
            yield
        sys.stdout.flush()
    except typer.Exit:
        raise
    except BrokenPipeError:
        _silence_stdout()
        raise typer.Exit(CLOSED_PIPE) from None
    except KeyboardInterrupt:
        _leave(INTERRUPTED, f"interrupted{after_interrupt or '; nothing half-written is left'}")
    except (UsageError, ChoiceError) as error:
        _leave(WRONG_USAGE, f"error: {_one_line(error)}\nTry '{name} --help'.")
    except OSError as error:
        _leave(NOTHING_DONE, f"error: {_of_the_system(error)}")
    except (LatentscopeError, ImportError) as error:
        _leave(NOTHING_DONE, f"error: {_one_line(error)}")
    except Exception as error:
        _leave(NOTHING_DONE, _plea(name, error))


def _leave(code: int, message: str) -> NoReturn:
    if debugging():
        echo(traceback.format_exc(), err=True)
    echo(message, err=True)
    raise typer.Exit(code) from None


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _of_the_system(error: OSError) -> str:
    """Return the system's message without its number, and the file it is about."""
    if error.strerror is None:
        return str(error)
    what = error.strerror[:1].lower() + error.strerror[1:]
    return what if error.filename is None else f"{os.fsdecode(error.filename)}: {what}"


def _plea(name: str, error: Exception) -> str:
    return (
        f"error: {name} met an unexpected {type(error).__name__}: "
        f"{_one_line(error)}\n"
        f"This is a fault in latentscope. Please report it in {_ISSUES} with the command line and "
        f"what it prints with {_DEBUG}=1 set."
    )


def debugging() -> bool:
    """Tell whether tracebacks and other libraries' warnings are wanted."""
    return os.environ.get(_DEBUG, "") not in ("", "0")


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print each LatentscopeWarning once as a line; leave out other libraries' warnings."""
    shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        text = _one_line(message)
        if text not in shown:
            shown.add(text)
            ours = issubclass(category, LatentscopeWarning)
            echo(f"{'warning' if ours else category.__name__}: {text}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("default" if debugging() else "ignore")
        warnings.simplefilter("always", LatentscopeWarning)
        warnings.showwarning = show
        yield


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the flush at exit does not complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


Advance = Callable[..., None]
"""Called with the number done and, where the total was not known before, the total."""

_LONGEST_LIST = 10


class Output:
    """Where a command's words go: with `--json`, stdout carries JSON alone and text is on stderr.

    Parameters
    ----------
    as_json : bool
        Whether `--json` was given.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, text: str = "") -> None:
        """Print a line for people."""
        echo(text, err=self.as_json)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print rows as aligned text, numbers to the right."""
        for line in _aligned(columns, list(rows)):
            self.say(line)

    def frame(self, table: pd.DataFrame) -> None:
        """Print a DataFrame as `table` does."""
        rows = plain(table.to_dict("records"))
        self.table(list(table.columns), [list(row.values()) for row in rows])

    def failures(self, named: Sequence[tuple[str, str]]) -> None:
        """Print on stderr which inputs failed and why, the first few of them."""
        for name, reason in named[:_LONGEST_LIST]:
            said = reason if name in reason else f"{name}: {reason}"
            echo(f"failed: {said}", err=True)
        if len(named) > _LONGEST_LIST:
            echo(f"... and {len(named) - _LONGEST_LIST} more", err=True)

    def result(self, value: Any) -> None:
        """Print `value` as JSON on stdout, if JSON was asked for; NaN becomes null."""
        if self.as_json:
            echo(json.dumps(plain(value), indent=2, allow_nan=False))


def say_groups(out: Output, provenance: Mapping[str, Any]) -> None:
    """Say once which rows were taken for one star, where no option said it."""
    if "groups_found" in provenance:
        out.say(str(provenance["groups_found"]))


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    numeric = [any(isinstance(row[i], (int, float)) for row in rows) for i in range(len(columns))]
    for line in [list(columns), *cells]:
        padded = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        )
        yield "  ".join(padded).rstrip()


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Advance | None]:
    """Yield a function (done, total) that moves a bar, or None where nobody is looking.

    The bar is drawn on stderr, only in a terminal, and disappears when the work is done.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    # What is said meanwhile stands above the bar; a stdout that leads elsewhere stays there.
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True,
        redirect_stdout=sys.stdout.isatty(),
    ) as bar:  # fmt: skip
        task = bar.add_task(label, total=total)

        def advance(done: int, whole: int | None = None) -> None:
            bar.update(task, completed=done, total=total if whole is None else whole)

        yield advance


def complete_model(incomplete: str) -> list[str]:
    """What a shell offers after `-m`: names of models, and folders and files; loads no torch."""
    from glob import escape, glob

    from latentscope.models.config import PUBLISHED, bundled_models

    names = [name for name in (*bundled_models(), *PUBLISHED) if name.startswith(incomplete)]
    return [*names, *sorted(glob(f"{escape(incomplete)}*"))]


Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, text on stderr.")]
Model = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        help="Name (see 'latentscope models'), folder, checkpoint, https:// address or Hugging "
        "Face org/name. Default: the bundled harps-sim.",
        autocompletion=complete_model,
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Number of parallel workers. Default: one per core."),
]
Dask = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Scheduler of a Dask cluster that does the work, such as tcp://host:8786; local: a "
        "cluster of processes on this machine.",
    ),
]
Plot = Annotated[Path | None, typer.Option("--plot", help="Save a plot (.png, .pdf, .svg).")]
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
Missing = Annotated[
    str,
    typer.Option(
        "--missing",
        help="Codes of missing values in labels: -999,99. auto: values far from all others in "
        "many rows; none: keep all.",
    ),
]
Discrete = Annotated[
    str | None,
    typer.Option("--discrete", help="Labels to treat as classes: a,b."),
]
Numeric = Annotated[
    str | None,
    typer.Option("--numeric", help="Labels to treat as numbers, such as a grid of Teff: a,b."),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", help="Array to read from .npz, .h5, .fits or .parquet: spectrum_embeddings."
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        help="Only rows that meet a condition on labels or the latents' table: 'Teff > 5000 and "
        "logg.notna()'.",
    ),
]
Groups = Annotated[
    str,
    typer.Option(
        "--groups",
        help="Column that names the star: its rows are not independent. none: all rows are. "
        "auto: star, else object.",
    ),
]


def study_of(
    latents: Path | str,
    labels: Path | None = None,
    *,
    key: str | None = None,
    where: str | None = None,
    groups: str = "auto",
    join: str | None = None,
    missing: str = "auto",
    discrete: str | None = None,
    numeric: str | None = None,
) -> Study:
    """Read what the options that all diagnostics share name: latents, labels and stars."""
    from latentscope.data import read_latents
    from latentscope.diagnostics.study import read_study

    return read_study(
        read_latents(str(latents), key),
        None if labels is None else str(labels),
        groups=groups,
        join=join,
        missing=chosen_missing(missing),
        discrete=chosen_names(discrete, "--discrete"),
        numeric=chosen_names(numeric, "--numeric"),
        where=where,
    )


def chosen_dims(text: str) -> Any:
    """Return the dimensions that --dims names, as `choose_dims` takes them."""
    if text in ("all", "informative"):
        return text
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdigit() for number in numbers):
        raise UsageError(f"--dims is {text!r}; expected all, informative, or numbers such as 11,19")
    return [int(number) for number in numbers]


def chosen_missing(text: str) -> Any:
    """Return what --missing names, as `mi_matrix` takes it."""
    if text in ("auto", "none"):
        return text
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"--missing is {text!r}; expected auto, none, or numbers such as -999,99"
        ) from None


def chosen_names(text: str | None, option: str = "--columns") -> list[str] | None:
    """Return the columns that an option names; None without it."""
    if text is None:
        return None
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UsageError(f"{option} is {text!r}; expected names of columns such as radvel,Teff")
    return names


_PICTURES = (".png", ".pdf", ".svg")


def check_outputs(output: Path | None, plot: Path | None, *inputs: Path | None) -> None:
    """Refuse, before the work, to write where nothing can be written, or over others' files.

    Those are the inputs and what belongs to them, a table of latents, and what would be in the way
    of the provenance; and pictures of an odd kind.
    """
    if plot is not None:
        if plot.suffix.lower() not in _PICTURES:
            raise UsageError(
                f"--plot is {plot}; expected a name that ends in {', '.join(_PICTURES)}"
            )
        check_writable(plot)
    if output is None:
        return
    if output.suffix.lower() == ".json":
        raise UsageError(
            f"-o is {output}, where the provenance goes; expected a name such as "
            f"{output.with_suffix('.csv')} for the table"
        )
    provenance = output.with_suffix(".json")
    check_writable(output)
    check_writable(provenance)
    written = {output.resolve(), provenance.resolve()}
    for path in [path for path in inputs if path is not None]:
        siblings = (path, path.with_suffix(".csv"), path.with_suffix(".json"))
        if written & {sibling.resolve() for sibling in siblings}:
            raise UsageError(f"-o {output} would replace {path} or a file that belongs to it")
    from latentscope.data import is_sidecar
    from latentscope.tables import provenance_beside

    theirs = [output] if is_sidecar(output) else []
    if provenance.exists() and provenance_beside(output) is None:
        theirs.append(provenance)
    if theirs:
        raise UsageError(
            f"-o {output} would replace {theirs[0]}, which is not of an earlier run; give another "
            "name"
        )


def write_table(output: Path | None, table: pd.DataFrame, provenance: Mapping[str, Any]) -> None:
    """Write the table as CSV and its provenance as .json beside it; nothing without `output`."""
    if output is None:
        return
    from latentscope.tables import write_table as write

    write(output, table, provenance)


def save_plot(path: Path | None, draw: Callable[[], Any]) -> None:
    """Write the picture that `draw` makes; nothing without `path`."""
    if path is None:
        return
    from latentscope.plots.style import save_figure

    save_figure(draw(), path)
