"""What every command does with errors, warnings and interruptions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from latentscope.cli.application import INTERRUPTED, NOTHING_DONE, UsageError
from latentscope.errors import LatentscopeError, LatentscopeWarning


@contextmanager
def guard(after_interrupt: str) -> Iterator[None]:
    """Errors and warnings become lines on stderr, errors the exit codes of latentscope."""
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
