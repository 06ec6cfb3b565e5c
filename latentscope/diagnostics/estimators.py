"""Which estimator of mutual information serves which pair of columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.columns import Column, Part
from latentscope.diagnostics.ksg import ksg_shuffled, ksg_terms
from latentscope.diagnostics.plugin import plugin_shuffled, plugin_terms
from latentscope.diagnostics.ross import ross_shuffled, ross_terms
from latentscope.errors import EstimatorError

Floats = NDArray[np.float64]
Items = NDArray[np.int64]
Estimator = Literal["auto", "copula", "ksg", "ross", "plugin"]


@dataclass(frozen=True)
class Method:
    """One estimator: local terms of a pair, and its rank form for shuffles.

    Parameters
    ----------
    name : str
        As the table of results names it.
    terms : callable
        (x, y, neighbors) -> (n,) terms, in nats, whose mean is the estimate.
    shuffled : callable
        (items of x (m, n), items of y (m, n), neighbors) -> (m,) estimates from ranks and classes
        alone, whose distribution under independence needs no values.
    """

    name: str
    terms: Callable[[Part, Part, int], Floats]
    shuffled: Callable[[Items, Items, int], Floats]


@lru_cache(maxsize=8)
def margin(n: int, side: int) -> Floats:
    """Return n ascending ranks, one uniform draw in each cell; side 0 and 1 are independent."""
    rng = np.random.default_rng([n, side])
    ascending: Floats = (np.arange(n) + rng.random(n)) / n
    ascending.setflags(write=False)
    return ascending


def _copula_terms(x: Part, y: Part, neighbors: int) -> Floats:
    return ksg_terms(x.ranked, y.ranked, neighbors)


def _ksg_terms(x: Part, y: Part, neighbors: int) -> Floats:
    return ksg_terms(x.raw, y.raw, neighbors)


def _ranks_shuffled(x: Items, y: Items, neighbors: int) -> Floats:
    n = x.shape[1]
    pairing = np.empty_like(x)
    np.put_along_axis(pairing, y, x, axis=1)
    return ksg_shuffled(margin(n, 0), margin(n, 1), pairing, neighbors)


def _ross_terms(x: Part, y: Part, neighbors: int) -> Floats:
    continuous, classes = (y, x) if x.column.discrete else (x, y)
    values = continuous.ranked if continuous.column.tied else continuous.raw
    return ross_terms(values, classes.codes, neighbors)


def _ross_shuffled(x: Items, y: Items, neighbors: int) -> Floats:
    in_order = np.empty_like(y)
    np.put_along_axis(in_order, x, y, axis=1)
    return ross_shuffled(margin(x.shape[1], 0), in_order, neighbors)


def _ross_shuffled_mirrored(x: Items, y: Items, neighbors: int) -> Floats:
    return _ross_shuffled(y, x, neighbors)


def _plugin_terms(x: Part, y: Part, neighbors: int) -> Floats:
    return plugin_terms(x.codes, y.codes)


def _plugin_shuffled(x: Items, y: Items, neighbors: int) -> Floats:
    return plugin_shuffled(x, y)


COPULA = Method("copula", _copula_terms, _ranks_shuffled)
_KSG = Method("ksg", _ksg_terms, _ranks_shuffled)
_ROSS = Method("ross", _ross_terms, _ross_shuffled)
_ROSS_MIRRORED = Method("ross", _ross_terms, _ross_shuffled_mirrored)
PLUGIN = Method("plugin", _plugin_terms, _plugin_shuffled)


def check_estimator(estimator: str) -> None:
    """Raise EstimatorError unless the name is one of `Estimator`."""
    if estimator not in get_args(Estimator):
        known = ", ".join(get_args(Estimator))
        raise EstimatorError(f"estimator is {estimator!r}; wanted one of {known}")


def choose(x: Column, y: Column, estimator: Estimator) -> tuple[Method, str]:
    """Choose the estimator of a pair, and say why.

    Parameters
    ----------
    x, y : Column
        With "ksg" and "copula" both are continuous, with "ross" one is discrete, with "plugin"
        both.
    estimator : str
        "auto" takes "copula" for two continuous columns, "ross" for one, "plugin" for none.

    Returns
    -------
    method : Method
    reason : str
        In words; also what was noted about the columns.

    Raises
    ------
    EstimatorError
        If a named estimator cannot take these columns.
    """
    count = int(x.discrete) + int(y.discrete)
    wanted = {"copula": 0, "ksg": 0, "ross": 1, "plugin": 2}.get(estimator, count)
    if wanted != count:
        classes = [column.name for column in (x, y) if column.discrete]
        raise EstimatorError(
            f"{x.name} and {y.name}: {' and '.join(classes) or 'neither'} taken for classes, but "
            f"{estimator} wants {('none', 'one', 'both')[wanted]} of them so; choose another "
            "estimator, or say discrete="
        )
    notes = [column.note for column in (x, y) if column.note]
    if count == 0:
        method = _KSG if estimator == "ksg" else COPULA
        why = "values as they are" if method is _KSG else "both continuous"
    elif count == 1:
        method, why = (_ROSS_MIRRORED if x.discrete else _ROSS), "one discrete"
    else:
        method, why = PLUGIN, "both discrete"
    return method, "; ".join([why if estimator == "auto" else f"asked for ({why})", *notes])
