"""Compiled functions, kept from run to run wherever something can be written."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import numba

from latentscope.errors import warn
from latentscope.files import own_folder

Function = TypeVar("Function", bound=Callable[..., Any])


def njit(**options: Any) -> Callable[[Function], Function]:
    """Compile a function as `numba.njit` does, and keep what was compiled.

    numba keeps it beside the source or in the user's cache, and raises where neither takes files:
    in a container, whose installation is read-only and whose user has no home. Then it is kept in
    a folder of the user's own among the temporary files, or not at all.
    """

    def decorate(function: Function) -> Function:
        # Without a home folder, numba would make a folder named ~ where it stands.
        kept = os.path.expanduser("~") != "~" or _kept_elsewhere()
        try:
            compiled: Function = numba.njit(cache=kept, **options)(function)
        except RuntimeError:  # there is no place to keep it
            compiled = numba.njit(cache=_kept_elsewhere(), **options)(function)
        return compiled

    return decorate


@lru_cache(maxsize=1)
def _kept_elsewhere() -> bool:
    """Let numba keep functions among the temporary files; False where that is not possible."""
    reason = "neither the installation nor the home folder can be written"
    try:
        folder = own_folder() / "numba"
    except OSError:
        folder = None
        told = "compiled anew in every run, which takes a minute"
    else:
        told = f"kept in {folder}"
        setattr(numba.config, "CACHE_DIR", str(folder))  # noqa: B010, numba sets them as it starts
        os.environ["NUMBA_CACHE_DIR"] = str(folder)  # of processes that this one starts
    warn(f"{reason}, so compiled functions are {told}; NUMBA_CACHE_DIR can name a folder for them")
    return folder is not None
