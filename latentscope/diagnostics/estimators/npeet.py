"""Mutual information by NPEET itself, for whoever wants the published program's number.

NPEET is the "Non-parametric entropy estimation toolbox" of G. Ver Steeg; `npeet_plus` is its faster
continuation. Continuous pairs are estimated as Kraskov et al. 2004 do (algorithm 1), a continuous
column and classes from entropies by Kozachenko and Leonenko.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from latentscope.diagnostics.columns.samples import check_lengths, paired_rows, rows_of
from latentscope.errors import EstimatorError

_ALONE = Lock()
"""Held while NPEET draws: pairs on other threads would share the global random state."""

_MODULES = ("npeet_plus", "npeet.entropy_estimators")


def npeet_mi(
    x: ArrayLike, y: ArrayLike, neighbors: int = 3, discrete: bool = False, *, seed: int = 0
) -> float:
    """Mutual information of x and y in nats, by NPEET.

    NPEET adds noise below 1e-10 to every number against ties, whatever their scale: columns should
    be neither tiny nor huge. It draws it from NumPy's global random state, which is seeded for the
    call and put back after it.

    Parameters
    ----------
    x : array, shape (n,) or (n, d)
        Finite samples, row by row.
    y : array, shape (n,) or (n, d), or of classes, shape (n,)
        As x, or one class a row, number or text.
    neighbors : int
        k.
    discrete : bool
        Whether y holds classes. NPEET then gives the absolute value, never below 0, and takes a
        class of k rows or fewer to tell nothing, with a warning.
    seed : int
        Of the noise.

    Returns
    -------
    float

    Raises
    ------
    EstimatorError
        If NPEET is not installed, shapes or lengths do not fit, numbers are not finite, or n is not
        above `neighbors`.
    """
    toolbox = _toolbox()
    first, second = _classes(x, y) if discrete else paired_rows(x, y, more_than=neighbors)
    if len(first) <= neighbors:
        raise EstimatorError(f"x and y have {len(first)} rows; wanted more than {neighbors}")
    estimate = toolbox.micd if discrete else toolbox.mi
    with _ALONE, _seeded(seed):
        return float(estimate(first, second, k=neighbors, base=np.e))


def _toolbox() -> Any:
    for name in _MODULES:
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    raise EstimatorError(
        "NPEET is not installed; pip install 'latentscope-spectra[npeet]', or choose another "
        "estimator"
    )


def _classes(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    first, classes = rows_of("x", x), np.asarray(y)
    check_lengths(len(first), len(classes))
    if classes.size != len(classes):
        raise EstimatorError(f"y has shape {classes.shape}; wanted one class a row, (n,)")
    return first, np.unique(classes.reshape(-1), return_inverse=True)[1].reshape(-1, 1)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # NPEET knows no other source of randomness than the global one.
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
