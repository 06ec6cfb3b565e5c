"""What near means: which dimensions, in which units, by which distance.

Latent dimensions have different spreads, and the values of some models have a common offset, so
each dimension is centred on its median over the sample and divided by its spread.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.retrieval.scan import lengths
from latentscope.diagnostics.wording import shortened
from latentscope.errors import EstimatorError, LatentscopeWarning

Floats = NDArray[np.float64]
Metric = Literal["euclidean", "mahalanobis", "manhattan", "cosine"]
Spread = Literal["robust", "plain", "none"]

_NORMAL = 1.482602218505602
"""Standard deviation of a Gaussian over its median absolute deviation."""

_CHUNK = 1 << 14
_FLAT = 1e-10


@dataclass(frozen=True, eq=False)
class Space:
    """A distance between rows of latents.

    Parameters
    ----------
    dims : list of int
        Dimensions that count, ascending.
    metric : {"euclidean", "mahalanobis", "manhattan", "cosine"}
        Length of the difference of two rows in units of the spreads; the same after the sample's
        correlations are taken out (P. C. Mahalanobis 1936, Proc. Natl. Inst. Sci. India 2, 49);
        sum of the absolute differences; or 1 minus the cosine of the angle at the sample's centre.
    centre, spread : ndarray of float64, shape (d,)
        Of each dimension over the sample, in units of the latents.
    unmixing : ndarray of float64, shape (d, d), optional
        What standardised rows are multiplied by to be uncorrelated, each with variance 1.
    """

    dims: list[int]
    metric: Metric
    centre: Floats
    spread: Floats
    unmixing: Floats | None = None

    @property
    def absolute(self) -> bool:
        """Whether absolute differences add up; else squared ones."""
        return self.metric == "manhattan"

    def part(self, values: NDArray[np.floating[Any]], rows: NDArray[np.int64]) -> Floats:
        """Rows of latents in the dimensions that count, shape (rows, d), float64."""
        return np.asarray(values[rows[:, None], self.dims], dtype=np.float64)

    def standardised(self, values: Floats) -> Floats:
        """Rows in spreads from the centre, shape (m, d)."""
        return np.asarray((values - self.centre) / self.spread)

    def points(self, values: Floats) -> Floats:
        """Rows as points whose distance is in the order of the metric, shape (m, d).

        NaN for a row at the centre, which has no direction, where directions are compared.
        """
        rows = self.standardised(values)
        if self.unmixing is not None:
            return np.asarray(rows @ self.unmixing)
        return _directions(rows) if self.metric == "cosine" else rows

    def distances(self, values: Floats, query: Floats) -> Floats:
        """Distance of each row from a query, shape (m, d), (d,) -> (m,), in float64.

        Equal rows are equally far to the last bit.
        """
        if self.metric == "cosine":
            apart = lengths(self.points(values) - self.points(query[None]), absolute=False)
            # 1 - cos would lose all digits of small angles.
            return np.asarray(apart * apart / 2)
        difference = (values - query) / self.spread
        if self.unmixing is not None:
            difference = _unmixed(difference, self.unmixing)
        return lengths(difference, absolute=self.absolute)


def _directions(rows: Floats) -> Floats:
    length = lengths(rows, absolute=False)[:, None]
    with np.errstate(invalid="ignore"):
        return np.asarray(rows / np.where(length > 0, length, np.nan))


def _unmixed(rows: Floats, unmixing: Floats) -> Floats:
    """Multiply rows by a matrix, where a product of matrices would treat equal rows unequally."""
    total = np.zeros_like(rows)
    for column, weights in zip(rows.T, unmixing, strict=True):
        total += column[:, None] * weights
    return total


def measure_space(
    values: NDArray[np.floating[Any]],
    ok: NDArray[np.bool_],
    dims: list[int],
    metric: Metric,
    spread: Spread,
    source: str,
) -> Space:
    """Measure centre, spread and correlations of a sample.

    Parameters
    ----------
    values : ndarray of float, shape (n, all dims)
    ok : ndarray of bool, shape (n,)
        Rows that count.
    dims : list of int
    metric : str
        As in `Space`.
    spread : {"robust", "plain", "none"}
        1.4826 times the median absolute deviation (the standard deviation of a Gaussian), the
        standard deviation, or 1: the latents' own units.
    source : str
        What messages call the latents.

    Raises
    ------
    EstimatorError
        If a choice is unknown, no row is finite, all dimensions are constant, or some depend
        linearly on others where correlations are to be taken out.

    Warns
    -----
    LatentscopeWarning
        If dimensions without spread are left out.
    """
    _check("metric", metric, Metric)
    _check("spread", spread, Spread)
    if not ok.any():
        raise EstimatorError(f"{source}: none of {len(ok)} rows is finite; nothing to search")
    measured = [_centre_and_spread(values[ok, dim].astype(np.float64), spread) for dim in dims]
    centre, width = np.array(measured).T
    moves = width > 0
    if not moves.all():
        _tell_of_constant(dims, moves, spread, source)
        dims = [dim for dim, moving in zip(dims, moves, strict=True) if moving]
        centre, width = centre[moves], width[moves]
    space = Space(dims, metric, centre, width)
    if metric != "mahalanobis":
        return space
    return Space(dims, metric, centre, width, _unmixing(space, values, np.flatnonzero(ok), source))


def _check(what: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise EstimatorError(f"{what} is {value!r}; wanted one of {', '.join(get_args(choices))}")


def _centre_and_spread(column: Floats, spread: Spread) -> tuple[float, float]:
    median = float(np.median(column))
    if column.min() == column.max():
        return median, 0.0
    if spread == "robust":
        return median, _NORMAL * float(np.median(np.abs(column - median)))
    return median, float(column.std()) if spread == "plain" else 1.0


def _tell_of_constant(
    dims: list[int], moves: NDArray[np.bool_], spread: Spread, source: str
) -> None:
    still = [str(dim) for dim, moving in zip(dims, moves, strict=True) if not moving]
    advice = "; spread='plain' may find one" if spread == "robust" else ""
    reason = f"{source}: dims {shortened(still)} have no {spread} spread over the sample{advice}"
    if not moves.any():
        raise EstimatorError(f"{reason}; nothing to compare")
    warnings.warn(f"{reason}; left out", LatentscopeWarning, stacklevel=5)


def _unmixing(
    space: Space, values: NDArray[np.floating[Any]], rows: NDArray[np.int64], source: str
) -> Floats:
    """Matrix that makes the sample's covariance one, of the standardised dimensions."""
    size = len(space.dims)
    total, products = np.zeros(size), np.zeros((size, size))
    for first in range(0, len(rows), _CHUNK):
        part = space.standardised(space.part(values, rows[first : first + _CHUNK]))
        total += part.sum(axis=0)
        products += part.T @ part
    mean = total / len(rows)
    variance, axes = np.linalg.eigh(products / len(rows) - np.outer(mean, mean))
    flat = int((variance <= _FLAT * variance[-1]).sum())
    if flat:
        raise EstimatorError(
            f"{source}: {flat} of {size} dimensions depend linearly on the others over "
            f"{len(rows):,} rows, so that mahalanobis has no meaning; choose fewer dims, or "
            "another metric"
        )
    return np.asarray(axes / np.sqrt(variance))
