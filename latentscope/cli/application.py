"""What all commands share: the application, its guard, what is said, and the progress bar."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    NoReturn,
    ParamSpec,
    TypeVar,
    get_type_hints,
)

import typer
from typer.core import TyperCommand

from latentscope import __version__
from latentscope.errors import ChoiceError, LatentscopeError, LatentscopeWarning, printable
from latentscope.files import check_writable, expanded, own_folder, plain

if TYPE_CHECKING:
    import pandas as pd

NOTHING_DONE = 1
WRONG_USAGE = 2
SOME_FAILED = 3
INTERRUPTED = 130
CLOSED_PIPE = 141

_DEBUG = "LATENTSCOPE_DEBUG"

_Command = TypeVar("_Command", bound=Callable[..., None])
_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


class UsageError(LatentscopeError):
    """The command line itself is wrong; exit code 2."""


def echo(text: str = "", *, err: bool = False) -> None:
    """Print text, on stderr with `err`, without control characters of names and headers."""
    stream = sys.stderr if err else sys.stdout
    # While there is a bar, what is said goes through it, to stand above it.
    above = stream if hasattr(stream, "rich_proxied_file") else None
    typer.echo("\n".join(map(printable, text.split("\n"))), file=above, err=err)


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

    A parameter that is a dataclass of options, such as `Rows`, stands for all of them; they come
    last in the help.

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
        groups, flat = _options_of(function)

        @wraps(function)
        def guarded(**options: object) -> None:
            as_json = bool(options.get("as_json"))
            with _guard(f"{of.info.name} {function.__name__}", after_interrupt, as_json):
                given = {name: _at_home(value) for name, value in options.items()}
                for name, group in groups.items():
                    given[name] = group(**{it.name: given.pop(it.name) for it in fields(group)})
                function(**given)

        guarded.__signature__ = flat  # type: ignore[attr-defined]
        of.command(epilog=epilog, cls=_Parsed)(guarded)
        return function

    return register


class _Parsed(TyperCommand):
    """A command whose usage errors read like all others, and that takes nothing empty."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given, *_ = self.make_parser(ctx).parse_args(list(args))
        parameter: Any
        for parameter in self.get_params(ctx):
            value = given.get(parameter.name)
            empty = value == "" or (isinstance(value, list | tuple) and "" in value)
            if empty and not ctx.resilient_parsing:
                raise typer.BadParameter(
                    "empty, as an unset variable of the shell is; expected a value, or nothing at "
                    "all",
                    ctx,
                    parameter,
                )
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            # As pydantic has them, by which typer checks.
            words = error.message.removeprefix("Value error, ")
            error.message = words.replace("Input should be ", "expected ", 1)
            raise


def _options_of(function: Callable[..., None]) -> tuple[dict[str, Any], Signature]:
    """Parameters that are groups of options, and the signature with the groups spread out."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: it for name, it in hints.items() if is_dataclass(it)}
    found = [
        (name, hints[name], parameter.default)
        for name, parameter in signature(function).parameters.items()
        if name not in groups
    ]
    for kind in groups.values():
        found += _fields_of(kind)
    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, annotation, default in found
    ]
    return groups, Signature(parameters)


@cache
def _fields_of(group: Any) -> list[tuple[str, Any, Any]]:
    hints = get_type_hints(group, include_extras=True)
    return [(it.name, hints[it.name], it.default) for it in fields(group)]


def _at_home(value: object) -> object:
    """Paths with the home folder for ``~``, which the shell leaves in --output=~/x."""
    if isinstance(value, Path):
        return expanded(value)
    if isinstance(value, list):
        return [_at_home(item) for item in value]
    return value


@contextmanager
def _guard(name: str, after_interrupt: str, as_json: bool) -> Iterator[None]:
    """End a command with one line on stderr, an exit code and, with `--json`, always JSON."""

    def leave(code: int, message: str) -> NoReturn:
        if debugging():
            echo(traceback.format_exc(), err=True)
        echo(message, err=True)
        if as_json and not Voice.answered:
            Output(as_json).result({"error": message.splitlines()[0].removeprefix("error: ")})
        raise typer.Exit(code) from None

    Voice.answered = False
    alone = threading.current_thread() is threading.main_thread()
    for number in (signal.SIGINT, signal.SIGTERM) if alone else ():
        # Until here there was nothing to clean up (`latentscope.__main__`).
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        with _warnings_as_lines():
            yield
        sys.stdout.flush()
    except typer.Exit:
        raise
    except BrokenPipeError:
        # So that the flush at exit does not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(CLOSED_PIPE) from None
    except KeyboardInterrupt:
        leave(INTERRUPTED, f"interrupted{after_interrupt or '; nothing half-written is left'}")
    except (UsageError, ChoiceError) as error:
        leave(WRONG_USAGE, f"error: {_one_line(error)}\nTry '{name} --help'.")
    except OSError as error:
        leave(NOTHING_DONE, f"error: {of_the_system(error)}")
    except (LatentscopeError, ImportError) as error:
        leave(NOTHING_DONE, f"error: {_one_line(error)}")
    except MemoryError as error:
        leave(NOTHING_DONE, f"error: out of memory{': ' * bool(str(error))}{_one_line(error)}")
    except Exception as error:
        leave(
            NOTHING_DONE,
            f"error: {name} met an unexpected {type(error).__name__}: {_one_line(error)}\n"
            "This is a fault in latentscope. Please report it in the project's issue tracker with "
            f"the command line and what it prints with {_DEBUG}=1 set.",
        )


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def of_the_system(error: OSError) -> str:
    """Return the system's message without its number, and the file it is about."""
    if error.strerror is None:
        return str(error)
    what = error.strerror[:1].lower() + error.strerror[1:]
    return what if error.filename is None else f"{os.fsdecode(error.filename)}: {what}"


def debugging() -> bool:
    """Tell whether to show tracebacks and other libraries' warnings."""
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


Advance = Callable[..., None]
"""Called with the number done and, if the total was not known before, the total."""

_LONGEST_LIST = 10

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, text on stderr.")]


class Voice:
    """Output of a command: with `--json`, JSON alone on stdout and text on stderr."""

    as_json: bool
    answered: ClassVar[bool] = False
    """Whether the command that runs has printed its JSON."""

    def say(self, *items: str | pd.DataFrame) -> None:
        """Print lines and tables for people; an empty line without any."""
        for item in items or ("",):
            if isinstance(item, str):
                echo(item, err=self.as_json)
            else:
                rows = plain(item.to_dict("records"))
                self.table(list(item.columns), [list(row.values()) for row in rows])

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print rows as aligned text, numbers to the right."""
        for line in _aligned(columns, list(rows)):
            self.say(line)

    def failures(self, named: Sequence[tuple[str, str]]) -> None:
        """Print on stderr which inputs failed and why, the first few of them."""
        for name, reason in named[:_LONGEST_LIST]:
            said = reason if name in reason else f"{name}: {reason}"
            echo(f"failed: {said}", err=True)
        if len(named) > _LONGEST_LIST:
            echo(f"... and {len(named) - _LONGEST_LIST} more", err=True)

    def result(self, value: Any) -> None:
        """Print `value` as JSON on stdout, if JSON was asked for.

        NaN becomes null, and a DataFrame a list of its rows.
        """
        if self.as_json:
            Voice.answered = True
            if isinstance(value, Mapping):
                value = {name: _records(item) for name, item in value.items()}
            echo(json.dumps(plain(value), indent=2, allow_nan=False))


@dataclass(frozen=True)
class Output(Voice):
    """The option of a command that says something."""

    as_json: Json = False


def _records(value: Any) -> Any:
    return value.to_dict("records") if hasattr(value, "to_dict") else value


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
        redirect_stdout=sys.stdout.isatty()
    ) as bar:  # fmt: skip
        task = bar.add_task(label, total=total)

        def advance(done: int, whole: int | None = None) -> None:
            bar.update(task, completed=done, total=total if whole is None else whole)

        yield advance


def watched(
    what: str, work: Callable[_Given, _Found], *given: _Given.args, **options: _Given.kwargs
) -> _Found:
    """Call something that takes `progress`, with a bar."""
    with progress(what) as advance:
        options["progress"] = advance
        return work(*given, **options)


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
    try:
        sys.exit(of(prog_name=of.info.name, standalone_mode=False))
    except _Refused as error:
        error.show()
        if "--json" in sys.argv:
            Output(as_json=True).result({"error": _one_line(error.format_message())})
        sys.exit(WRONG_USAGE)


# What the parser of the command line raises; newer versions of typer do not name it in public.
_Refused: Any = typer.BadParameter.__base__


def _find_a_place_for_caches() -> None:
    """Give other libraries a folder if the home folder is missing or read-only."""
    try:
        if os.path.expanduser("~") == "~":
            # A user by number alone, in a container: astropy asks for a home, and matplotlib.
            os.environ["HOME"] = str(own_folder())
        for name, usual in (("XDG_CONFIG_HOME", "~/.config"), ("XDG_CACHE_HOME", "~/.cache")):
            check_writable(expanded(os.environ.get(name) or usual) / "matplotlib" / "file")
    except OSError:
        with suppress(OSError):
            os.environ.setdefault("MPLCONFIGDIR", str(own_folder()))
