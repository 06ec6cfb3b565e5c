"""Which estimator of mutual information serves which pair of columns, with how many neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, sqrt
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.columns.column import Column, Discrete, Part, own_rng
from latentscope.diagnostics.estimators.histogram import histogram_terms
from latentscope.diagnostics.estimators.ksg import ksg_shuffled, ksg_terms
from latentscope.diagnostics.estimators.mixture import mixture_terms
from latentscope.diagnostics.estimators.npeet import npeet_mi
from latentscope.diagnostics.estimators.plugin import plugin_shuffled, plugin_terms
from latentscope.diagnostics.estimators.ross import ross_shuffled, ross_terms
from latentscope.errors import EstimatorError

Floats = NDArray[np.float64]
Items = NDArray[np.int64]
Estimator = Literal[
    "auto", "copula", "ksg", "ross", "plugin", "mixture", "histogram", "gmm", "npeet"
]

_CLASSES_WANTED: dict[str, tuple[int, ...]] = {
    "copula": (0,),
    "ksg": (0,),
    "mixture": (0,),
    "histogram": (0,),
    "npeet": (0, 1),
    "gmm": (0, 1),
    "ross": (1,),
    "plugin": (2,),
}
"""How many columns of a pair are classes."""

_NOISE = 21_000
"""Rows times neighbours from which the noise of the estimator itself is below 0.009 nats: its
standard deviation at independence is 1.3 / sqrt(k n)."""

_MOST_NEIGHBORS = 8
_MOST_OF_CLASSES = 16
_ROWS_A_NEIGHBOR = 16
_CELLS = 0.1


@dataclass(frozen=True)
class Method:
    """One estimator: local terms of a pair, and the rank form of a test of independence.

    Parameters
    ----------
    name : str
        As the table of results names it.
    terms : callable
        (x, y, neighbors) -> (n,) terms, in nats, whose mean is the estimate.
    shuffled : callable
        (items of x (m, n), items of y (m, n), neighbors) -> (m,) estimates from ranks and classes
        alone, whose distribution under independence needs no values.
    by_ranks : bool
        Whether the mean of the terms is itself such an estimate.
    own : callable, optional
        (x, y, neighbors, seed) -> (estimate, its standard error or NaN), in nats, in place of the
        mean of the terms; NaN leaves the error to the terms.
    """

    name: str
    terms: Callable[[Part, Part, int], Floats]
    shuffled: Callable[[Items, Items, int], Floats]
    by_ranks: bool = False
    own: Callable[[Part, Part, int, int], tuple[float, float]] | None = None


@lru_cache(maxsize=8)
def margin(n: int, side: int) -> Floats:
    """Return n ascending ranks, one uniform draw in each cell; side 0 and 1 are independent."""
    rng = own_rng(n, side, 4)
    ascending: Floats = (np.arange(n) + rng.random(n)) / n
    ascending.setflags(write=False)
    return ascending


def _copula_terms(x: Part, y: Part, neighbors: int) -> Floats:
    return ksg_terms(x.ranked, y.ranked, neighbors)


def _ksg_terms(x: Part, y: Part, neighbors: int) -> Floats:
    return ksg_terms(x.raw, y.raw, neighbors)


def _mixture_terms(x: Part, y: Part, neighbors: int) -> Floats:
    return mixture_terms(x.raw, y.raw, neighbors)


def _histogram_terms(x: Part, y: Part, neighbors: int) -> Floats:
    return histogram_terms(x.raw.values, y.raw.values)


def _ranks_shuffled(x: Items, y: Items, neighbors: int) -> Floats:
    n = x.shape[1]
    pairing = np.empty_like(x)
    np.put_along_axis(pairing, y, x, axis=1)
    return ksg_shuffled(margin(n, 0), margin(n, 1), pairing, neighbors)


def _ross_terms(x: Part, y: Part, neighbors: int) -> Floats:
    continuous, classes = (y, x) if x.column.discrete else (x, y)
    return ross_terms(continuous.ranked, classes.codes, neighbors)


def _raw_ross_terms(x: Part, y: Part, neighbors: int) -> Floats:
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


def _gmm(x: Part, y: Part, neighbors: int, seed: int) -> tuple[float, float]:
    # Imported here, since it loads scikit-learn, which takes longer than most tables.
    from latentscope.diagnostics.estimators.gmm import gmm

    continuous, other = (y, x) if x.column.discrete else (x, y)
    discrete = other.column.discrete
    known = other.codes if discrete else other.raw.values
    result = gmm(continuous.raw.values, known, discrete=discrete, seed=seed)
    return result.mi_nats, result.std_nats


def _npeet(x: Part, y: Part, neighbors: int, seed: int) -> tuple[float, float]:
    continuous, other = (y, x) if x.column.discrete else (x, y)
    discrete = other.column.discrete
    known = other.codes if discrete else other.raw.values
    return npeet_mi(continuous.raw.values, known, neighbors, discrete, seed=seed), np.nan


COPULA = Method("copula", _copula_terms, _ranks_shuffled, by_ranks=True)
ROSS = Method("ross", _ross_terms, _ross_shuffled, by_ranks=True)
PLUGIN = Method("plugin", _plugin_terms, _plugin_shuffled, by_ranks=True)
_KSG = Method("ksg", _ksg_terms, _ranks_shuffled)
_RAW_ROSS = Method("ross", _raw_ross_terms, _ross_shuffled)
_BY_NAME = {
    "ksg": (_KSG,),
    "copula": (COPULA,),
    "mixture": (Method("mixture", _mixture_terms, _ranks_shuffled),),
    "histogram": (Method("histogram", _histogram_terms, _ranks_shuffled),),
    "npeet": (
        replace(_KSG, name="npeet", own=_npeet),
        replace(_RAW_ROSS, name="npeet", own=_npeet),
    ),
    "gmm": (replace(COPULA, name="gmm", own=_gmm), replace(ROSS, name="gmm", own=_gmm)),
    "ross": (COPULA, _RAW_ROSS),
    "plugin": (COPULA, ROSS, PLUGIN),
}
"""Methods for no, one and two columns of classes."""

_AUTO = (COPULA, ROSS, PLUGIN)


def check_estimator(estimator: str) -> None:
    """Raise EstimatorError unless the name is one of `Estimator`."""
    if estimator not in get_args(Estimator):
        known = ", ".join(get_args(Estimator))
        raise EstimatorError(f"estimator is {estimator!r}; wanted one of {known}")


def kinds_of(estimator: Estimator) -> tuple[Discrete, Discrete]:
    """Tell how an estimator takes latents and labels: as classes, as numbers, or as they look."""
    counts = _CLASSES_WANTED.get(estimator)
    if counts is None:
        return "auto", "auto"
    return max(counts) == 2, "auto" if len(counts) > 1 else max(counts) > 0


def settled(x: Column, y: Column, estimator: Estimator) -> tuple[Column, Column]:
    """Take a column of few numbers for numbers where two tables of classes would be too thin.

    The plug-in estimate wants many rows a cell. Under "auto", of two columns whose classes make
    more cells than a tenth of the rows, the one with more values is taken for numbers, if it has
    them, and then the other if that does not do.
    """
    if estimator != "auto" or not (x.discrete and y.discrete):
        return x, y
    if x.classes * y.classes <= _CELLS * int((x.valid & y.valid).sum()):
        return x, y
    if y.values is not None and (y.classes >= x.classes or x.values is None):
        return x, y.as_numbers
    return (x, y) if x.values is None else (x.as_numbers, y)


def choose(x: Column, y: Column, estimator: Estimator) -> tuple[Method, str]:
    """Choose the estimator of a pair, and say why.

    Parameters
    ----------
    x, y : Column
        As `settled` leaves them.
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
    wanted = _CLASSES_WANTED.get(estimator, (count,))
    if count not in wanted:
        classes = [column.name for column in (x, y) if column.discrete]
        raise EstimatorError(
            f"{x.name} and {y.name}: {' and '.join(classes) or 'neither'} taken for classes, but "
            f"{estimator} wants {' or '.join(('none', 'one', 'both')[c] for c in wanted)} of them "
            "so; choose another estimator, or say discrete="
        )
    method = _AUTO[count] if estimator == "auto" else _BY_NAME[estimator][count]
    if count == 1 and x.discrete:
        method = replace(method, shuffled=_ross_shuffled_mirrored)
    why = ("both continuous", "one discrete", "both discrete")[count]
    notes = [column.note for column in (x, y) if column.note]
    return method, "; ".join([why if estimator == "auto" else f"asked for ({why})", *notes])


def neighbors_for(x: Part, y: Part, least: int) -> int:
    """Number of neighbours under "auto": more where rows are few and noise is what errs most.

    Between continuous columns as many as bring the noise of the estimator below 0.009 nats, 8 at
    most, and one for 16 rows at most. Between a continuous column and classes 16, but one for 8
    rows a class at most.

    Parameters
    ----------
    x, y : Part
        The rows that both columns have.
    least : int
        Neighbours at least.
    """
    n, classes = len(x), max(x.column.classes, y.column.classes)
    if classes:
        return max(least, min(_MOST_OF_CLASSES, n // (_ROWS_A_NEIGHBOR // 2 * classes)))
    return max(least, min(_MOST_NEIGHBORS, ceil(_NOISE / n), n // _ROWS_A_NEIGHBOR))


def neighbors_of_strong(x: Part, y: Part, least: int) -> int:
    """Number of neighbours under "auto" where classes and a continuous column are strongly related.

    There bias errs most, so it is a quarter of the square root of the rows a class, 16 at most.
    """
    rows = len(x) / max(x.column.classes, y.column.classes)
    return max(least, min(_MOST_OF_CLASSES, round(sqrt(rows) / 4)))
