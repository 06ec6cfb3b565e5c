"""The shape of a null distribution in a few numbers, and the table of those shipped.

Estimates of independent columns are sums of many weakly dependent terms, so they are nearly normal.
A shape is the expansion of their quantiles in Hermite polynomials of the normal quantile z,
q(z) = sum_j c_j He_j(z) (E. A. Cornish, R. A. Fisher, "Moments and cumulants in the specification
of distributions", Rev. Inst. Int. Stat. 5, 307, 1938), which smooths the tail of a simulation. In
that expansion c_j falls as N^(-(j - 1) / 2) with N rows, from j = 2 on, while c_1, the width of the
estimate times sqrt(N), stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.polynomial.hermite_e import hermefit, hermeval
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]

TABLE = Path(__file__).with_name("rank_nulls.npz")
TERMS = 4
RESOLUTION = 99_999
"""Quantiles that a shape is spread into: 1 / (1 + this) is the least p-value."""


@dataclass(frozen=True)
class Shape:
    """Distribution of estimates times sqrt(n), for independent columns.

    Parameters
    ----------
    coefficients : ndarray of float64, shape (4,)
        c_j of He_j.
    excess : float
        Variance of a scaled estimate that its local terms do not show.
    """

    coefficients: Floats
    excess: float

    @classmethod
    def of(cls, scaled: Floats, excess: float) -> Shape:
        """Fit simulated estimates times sqrt(n), shape (draws,)."""
        draws = len(scaled)
        z = ndtri((np.arange(draws) + 0.5) / draws)
        fitted = hermefit(z, np.sort(scaled), TERMS - 1)
        return cls(np.asarray(fitted), excess)

    def of_more_rows(self, times: float, factor: float = 1.0) -> Shape:
        """Return the shape of so many times the rows, its width times a factor."""
        power = np.maximum(np.arange(TERMS) - 1, 0) / 2
        return Shape(self.coefficients * factor / times**power, self.excess * factor**2)

    def quantiles(self) -> Floats:
        """Return the distribution as `RESOLUTION` equally likely values, ascending."""
        return np.maximum.accumulate(hermeval(_normal_quantiles(), self.coefficients))


@dataclass(frozen=True)
class TableEntry:
    """One method's shapes, with one number of neighbours.

    Parameters
    ----------
    rows : ndarray of float64, shape (m,)
        Ascending n.
    coefficients : ndarray of float64, shape (m, 4)
        As those of `Shape`.
    excess : ndarray of float64, shape (m,)
    """

    rows: Floats
    coefficients: Floats
    excess: Floats


@lru_cache(maxsize=1)
def _normal_quantiles() -> Floats:
    return np.asarray(ndtri(np.arange(1, RESOLUTION + 1) / (RESOLUTION + 1)))


def key_of(name: str, neighbors: int) -> str:
    """Name an entry of the table, such as "copula 3"."""
    return f"{name} {neighbors}"


def shipped_shape(name: str, neighbors: int, n: int) -> Shape | None:
    """Look up the shape of a method of ranks; None if the table has none for so few rows.

    Between the n of the table shapes are interpolated in 1 / sqrt(n), and between its neighbours in
    their logarithm.

    Parameters
    ----------
    name : str
        Of the method.
    neighbors : int
        k.
    n : int
        Rows.
    """
    entry = _entries().get(key_of(name, neighbors))
    if entry is not None:
        return _at(entry, n)
    below, above = _beside(name, neighbors)
    if below is None or above is None:
        return None
    low, high = (_at(_entries()[key_of(name, k)], n) for k in (below, above))
    if low is None or high is None:
        return None
    share = float(np.log(neighbors / below) / np.log(above / below))
    return _between(low, high, share)


def _beside(name: str, neighbors: int) -> tuple[int | None, int | None]:
    """Numbers of neighbours in the table next to one that is not in it."""
    known = [int(key.split()[1]) for key in _entries() if key.split()[0] == name]
    below = max((k for k in known if k < neighbors), default=None)
    return below, min((k for k in known if k > neighbors), default=None)


def _at(entry: TableEntry, n: int) -> Shape | None:
    last = entry.rows[-1]
    if n < entry.rows[0]:
        return None
    if n >= last:
        return Shape(entry.coefficients[-1], float(entry.excess[-1])).of_more_rows(n / last)
    high = int(np.searchsorted(entry.rows, n, side="right"))
    low = high - 1
    places = entry.rows[[low, high]] ** -0.5
    share = float((places[0] - n**-0.5) / (places[0] - places[1]))
    first, second = (Shape(entry.coefficients[i], float(entry.excess[i])) for i in (low, high))
    return _between(first, second, share)


def _between(low: Shape, high: Shape, share: float) -> Shape:
    coefficients = (1 - share) * low.coefficients + share * high.coefficients
    return Shape(coefficients, (1 - share) * low.excess + share * high.excess)


@lru_cache(maxsize=1)
def _entries() -> dict[str, TableEntry]:
    return read_table(TABLE)


def read_table(path: Path) -> dict[str, TableEntry]:
    """Read entries by key; without the file, nothing is known."""
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        keys = [str(key) for key in stored["keys"]]
        parts = zip(stored["rows"], stored["coefficients"], stored["excess"], strict=True)
        found = {}
        for key, (rows, coefficients, excess) in zip(keys, parts, strict=True):
            known = rows > 0
            found[key] = TableEntry(rows[known], coefficients[known], excess[known])
    return found


def write_table(path: Path, table: dict[str, TableEntry]) -> None:
    """Write what `read_table` reads."""
    shape = (len(table), max(len(entry.rows) for entry in table.values()))
    rows, excess = np.zeros(shape), np.zeros(shape)
    coefficients = np.zeros((*shape, TERMS))
    for i, entry in enumerate(table.values()):
        known = len(entry.rows)
        rows[i, :known], excess[i, :known] = entry.rows, entry.excess
        coefficients[i, :known] = entry.coefficients
    with path.open("wb") as file:
        np.savez_compressed(
            file, keys=np.array(list(table)), rows=rows, coefficients=coefficients, excess=excess
        )
