"""The typer application, and the guard through which every command runs."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any, NoReturn, TypeVar, get_args

import typer

from latentscope import __version__
from latentscope.errors import ChoiceError, LatentscopeError, LatentscopeWarning

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


def one_of(option: str, value: str, choices: Any) -> Any:
    """Return `value` if it is one of a `Literal`'s choices.

    Raises
    ------
    UsageError
        Otherwise; the message lists them.
    """
    known = get_args(choices)
    if value not in known:
        raise UsageError(f"{option} is {value!r}; wanted one of {', '.join(known)}")
    return value


app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n"
    "  latentscope encode spectra/*.fits\n"
    "  latentscope mi latents.npy labels.csv",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"latentscope {__version__}")
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


def command(*examples: str, after_interrupt: str = "") -> Callable[[_Command], _Command]:
    """Register a function as a command that never shows a traceback.

    Parameters
    ----------
    *examples : str
        Command lines shown at the end of the command's help.
    after_interrupt : str, optional
        What to say to somebody who pressed Ctrl-C, after "interrupted".
    """
    epilog = "\b\nExample:\n" + "\n".join(f"  {line}" for line in examples)

    def register(function: _Command) -> _Command:
        @wraps(function)
        def guarded(*args: object, **kwargs: object) -> None:
            with _guard(function.__name__, after_interrupt):
                function(*args, **kwargs)

        app.command(epilog=epilog)(guarded)
        return function

    return register


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
        _leave(WRONG_USAGE, f"error: {_one_line(error)}\nTry 'latentscope {name} --help'.")
    except OSError as error:
        _leave(NOTHING_DONE, f"error: {_of_the_system(error)}")
    except (LatentscopeError, ImportError) as error:
        _leave(NOTHING_DONE, f"error: {_one_line(error)}")
    except Exception as error:
        _leave(NOTHING_DONE, _plea(name, error))


def _leave(code: int, message: str) -> NoReturn:
    if debugging():
        traceback.print_exc()
    typer.echo(message, err=True)
    raise typer.Exit(code) from None


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _of_the_system(error: OSError) -> str:
    """Return the system's message without its number, and the file it is about."""
    if error.strerror is None or error.filename is None:
        return str(error)
    return f"{error.filename}: {error.strerror.lower()}"


def _plea(name: str, error: Exception) -> str:
    return (
        f"error: latentscope {name} met an unexpected {type(error).__name__}: "
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
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        text = _one_line(message)
        if text not in said:
            said.add(text)
            ours = issubclass(category, LatentscopeWarning)
            typer.echo(f"{'warning' if ours else category.__name__}: {text}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("default" if debugging() else "ignore")
        warnings.simplefilter("always", LatentscopeWarning)
        warnings.showwarning = show
        yield


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the flush at exit does not complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
