"""The errors a user can meet; each says what came, what was expected and what to do."""

from collections.abc import Iterable

_N_NAMES = 8


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


class LatentscopeWarning(UserWarning):
    """A result is usable but doubtful; said once, never quietly mended."""


def shortened(names: Iterable[str]) -> str:
    """Join different names, of many only the first few."""
    different = list(dict.fromkeys(names))
    more = len(different) - _N_NAMES
    return ", ".join(different[:_N_NAMES]) + (f" and {more} more" if more > 0 else "")
