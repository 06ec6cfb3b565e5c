"""One pair of columns -> its mutual information, error bar and p-value."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.columns import TIED_SHARE, Column, Part
from latentscope.diagnostics.estimators import Estimator, Method, choose
from latentscope.diagnostics.groups import Groups
from latentscope.diagnostics.ross import without_single
from latentscope.diagnostics.significance import group_p_value, null_of
from latentscope.errors import EstimatorError, LatentscopeWarning

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Settings:
    """How pairs are measured.

    Parameters
    ----------
    estimator : str
        One of `Estimator`.
    neighbors : int
        k of the nearest-neighbour estimators.
    draws : int
        Draws of one row a group.
    permutations : int
        Shuffles of whole groups at most.
    seed : int
        Of draws and shuffles.
    pairs : int
        Pairs in the whole table, on which the fineness of p-values depends.
    """

    estimator: Estimator = "auto"
    neighbors: int = 3
    draws: int = 11
    permutations: int = 199
    seed: int = 0
    pairs: int = 1

    def __post_init__(self) -> None:
        for name, least in (("neighbors", 1), ("draws", 1), ("permutations", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise EstimatorError(f"{name} is {value!r}; wanted a whole number, {least} or more")


@dataclass(frozen=True)
class PairResult:
    """What is measured of one pair; `mi_nats` signed, `std_nats` its sampling error.

    A constant column gives 0 without a p-value (NaN); too few rows or groups give NaN throughout.
    """

    mi_nats: float
    std_nats: float
    p_value: float
    n: int
    n_groups: int
    estimator: str
    reason: str


@dataclass(frozen=True)
class _Pair:
    """The rows that two columns share, and the estimator for them."""

    method: Method
    reason: str
    x: Part
    y: Part

    @property
    def constant(self) -> list[str]:
        """Names of the columns that do not vary on these rows."""
        return [part.column.name for part in (self.x, self.y) if part.constant]


def value_of(x: Column, y: Column, settings: Settings) -> float:
    """Mutual information of two columns in nats, signed, without error bar and p-value.

    Warns
    -----
    LatentscopeWarning
        If a column is constant, which gives 0, or many values are tied under "ksg".

    Raises
    ------
    EstimatorError
        As `measure` does.
    """
    pair = _pair(x, y, settings)
    few = _too_few(pair, len(pair.x), None, settings)
    if few:
        raise EstimatorError(few)
    warn_of_ties([x, y], settings.estimator)
    if pair.constant:
        warnings.warn(
            f"{' and '.join(pair.constant)} constant: mutual information 0",
            LatentscopeWarning,
            stacklevel=3,
        )
        return 0.0
    return float(pair.method.terms(pair.x, pair.y, settings.neighbors).mean())


def warn_of_ties(columns: Sequence[Column], estimator: str) -> None:
    """Warn where values are taken as they are, and more than a few of a column are tied."""
    tied = [column.name for column in columns if column.tied > TIED_SHARE * column.valid.sum()]
    if tied and estimator == "ksg":
        warnings.warn(
            f"many values of {', '.join(tied)} are tied, which biases ksg; copula breaks ties at "
            "random",
            LatentscopeWarning,
            stacklevel=4,
        )


def measure(
    x: Column, y: Column, groups: Groups | None, settings: Settings, *, strict: bool = True
) -> PairResult:
    """Measure one pair of columns on the rows that both have.

    Parameters
    ----------
    x, y : Column
        The pair.
    groups : Groups or None
        Which star each row shows.
    settings : Settings
    strict : bool
        Whether too few rows or groups are an error; else they give NaN and a reason.

    Raises
    ------
    EstimatorError
        If these rows, or their groups, are not more than `neighbors`, or the estimator does not
        take such columns.
    """
    pair = _pair(x, y, settings)
    n, keep = len(pair.x), pair.x.keep
    n_groups = n if groups is None else groups.count(keep)
    name = pair.method.name
    few = _too_few(pair, n_groups, groups, settings)
    if few and strict:
        raise EstimatorError(few)
    if few:
        return PairResult(np.nan, np.nan, np.nan, n, n_groups, name, few)
    if pair.constant:
        why = f"constant: {' and '.join(pair.constant)}"
        return PairResult(0.0, 0.0, np.nan, n, n_groups, name, why)
    if groups is None or n_groups == n:
        values = _of_rows(pair, settings)
    else:
        values = _of_groups(pair, groups, settings)
    return PairResult(*values, n, n_groups, name, pair.reason)


def _pair(x: Column, y: Column, settings: Settings) -> _Pair:
    method, reason = choose(x, y, settings.estimator)
    keep = x.valid & y.valid
    if method.name == "ross":
        keep = _without_single(x if x.discrete else y, keep)
    return _Pair(method, reason, x.part(keep), y.part(keep))


def _too_few(pair: _Pair, count: int, groups: Groups | None, settings: Settings) -> str:
    if count > settings.neighbors:
        return ""
    return (
        f"{pair.x.column.name} and {pair.y.column.name}: {count} "
        f"{'rows' if groups is None else 'groups'} have both; wanted more than "
        f"neighbors={settings.neighbors}"
    )


def _without_single(classes: Column, keep: Rows) -> Rows:
    assert classes.codes is not None
    keep = keep.copy()
    rows = np.flatnonzero(keep)
    keep[rows] = without_single(classes.codes[rows])
    return keep


def _of_rows(pair: _Pair, settings: Settings) -> tuple[float, float, float]:
    k = settings.neighbors
    terms = pair.method.terms(pair.x, pair.y, k)
    null = null_of(pair.method, pair.x, pair.y, k, settings.pairs)
    value, n = float(terms.mean()), len(terms)
    std = float(np.sqrt((terms.var() + null.excess) / n))
    # The null is one of ranks: where the value is not, its ranks are judged in its place.
    ranked = value if pair.method.name in ("copula", "plugin") else _by_ranks(pair, k)
    return value, std, null.p_value(ranked, n)


def _by_ranks(pair: _Pair, neighbors: int) -> float:
    return float(pair.method.shuffled(pair.x.items[None], pair.y.items[None], neighbors)[0])


def _of_groups(pair: _Pair, groups: Groups, settings: Settings) -> tuple[float, float, float]:
    k = settings.neighbors
    rng = np.random.default_rng(settings.seed)
    keep = pair.x.keep
    drawn = [_drawn(pair, rows, len(keep), k) for rows in groups.draws(keep, settings.draws, rng)]
    first = [part.column.part(drawn[0].mask) for part in (pair.x, pair.y)]
    null = null_of(pair.method, first[0], first[1], k, settings.pairs)
    p_value = group_p_value(
        pair.method,
        np.array([draw.x for draw in drawn]),
        np.array([draw.y for draw in drawn]),
        k,
        null=null,
        permutations=settings.permutations,
        rng=rng,
    )
    values = [draw.value for draw in drawn]
    within = np.mean([draw.variance for draw in drawn]) + null.excess / len(drawn[0].x)
    return float(np.median(values)), float(np.sqrt(within + np.var(values))), p_value


@dataclass(frozen=True)
class _Draw:
    """One row a group: its estimate, and its ranks or classes in the order of groups."""

    value: float
    variance: float
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    mask: Rows


def _drawn(pair: _Pair, rows: NDArray[np.int64], n: int, neighbors: int) -> _Draw:
    mask = np.zeros(n, dtype=bool)
    mask[rows] = True
    x, y = (part.column.part(mask) for part in (pair.x, pair.y))
    terms = pair.method.terms(x, y, neighbors)
    # Parts keep the order of rows; a shuffle of groups wants theirs, the same in all draws.
    by_group = np.argsort(np.argsort(rows))
    variance = terms.var() / len(terms)
    return _Draw(float(terms.mean()), float(variance), x.items[by_group], y.items[by_group], mask)
