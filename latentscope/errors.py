"""The errors a user can meet; each says what came, what was expected and what to do."""

import difflib
import re
import sys
import warnings
from collections.abc import Iterable
from itertools import islice
from types import FrameType

_N_NAMES = 8
_N_COMPARED = 10_000  # names of an archive's rows are compared for seconds
_BETWEEN = ("latentscope", "importlib", "functools", "contextlib")  # no caller of ours
# Control characters, ends of lines and paragraphs, turns of the reading direction, and what stands
# for bytes that are no UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class LatentscopeError(ValueError):
    """Base of every error that latentscope raises on purpose."""


class SpectrumError(LatentscopeError):
    """A spectrum cannot be read, is not a spectrum, or cannot be prepared for a model."""


class ModelError(LatentscopeError):
    """A model cannot be found, downloaded, verified, or does not fit its weights."""


class TableError(LatentscopeError):
    """A table of latents or labels cannot be read, written, or matched to another."""


class EstimatorError(LatentscopeError):
    """A diagnostic was given arrays on which it has no answer."""


class ChoiceError(EstimatorError):
    """A dimension or a label was asked for that is not there."""


class ClusterError(LatentscopeError):
    """A Dask cluster cannot be reached, or its workers died too often."""


class LatentscopeWarning(UserWarning):
    """A result is usable but doubtful; said once, never quietly mended."""


def warn(text: str) -> None:
    """Warn from the line that called latentscope, however far up it is."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in _BETWEEN:
        # Frames of an import are not counted by `warnings` either.
        level += "_bootstrap" not in frame.f_code.co_filename
        frame = frame.f_back
    warnings.warn(text, LatentscopeWarning, stacklevel=level)


def shortened(names: Iterable[str]) -> str:
    """Join different names, of many only the first few."""
    different = list(dict.fromkeys(names))
    more = len(different) - _N_NAMES
    return ", ".join(different[:_N_NAMES]) + (f" and {more} more" if more > 0 else "")


def meant(name: object, known: Iterable[object], cutoff: float = 0.6) -> str:
    """Ask whether a known name was meant: " (did you mean Teff?)"; empty if none is near."""
    lower = {str(one).lower(): str(one) for one in islice(known, _N_COMPARED)}
    close = difflib.get_close_matches(str(name).lower(), lower, n=3, cutoff=cutoff)
    return f" (did you mean {' or '.join(lower[one] for one in close)}?)" if close else ""


def printable(text: str) -> str:
    r"""Return text of files and their names as it can be shown and stored anywhere.

    Control characters, and bytes that are no UTF-8, become escapes such as ``\n`` and ``\xff``.
    """
    return _UNPRINTABLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    # The surrogates by which Python names the bytes 80 to ff.
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode()
