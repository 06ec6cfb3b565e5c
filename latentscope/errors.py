"""The errors a user can meet; each says what came, what was wanted and what to do."""


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
