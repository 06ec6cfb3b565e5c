"""Which spectra are for training, and which of them an epoch shows: by star, never by exposure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.errors import ChoiceError, TableError

SPLITS = ("train", "validation", "test")


def split_by_star(
    stars: Sequence[str] | NDArray[np.object_],
    validation: float = 0.1,
    test: float = 0.0,
    seed: int = 0,
) -> NDArray[np.str_]:
    """Return the split of each spectrum: "train", "validation" or "test", shape (n,).

    A star's split follows from a hash of its name and the seed alone. All its exposures share it,
    and stars that an archive gains later move no other star.

    Parameters
    ----------
    stars : sequence of str, shape (n,)
    validation, test : float
        Fractions of the stars, on average.
    seed : int

    Raises
    ------
    ChoiceError
        If the fractions leave nothing to train on.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ChoiceError(
            f"validation {validation} and test {test}; wanted fractions of the stars from 0 on, "
            "with a sum below 1"
        )
    codes, names = pd.factorize(np.asarray(stars, dtype=object))
    place = np.array([_place(f"{seed}:{name}") for name in names])
    held = np.where(place < validation, SPLITS[1], SPLITS[2])
    splits: NDArray[np.str_] = np.where(place < validation + test, held, SPLITS[0])[codes]
    return splits


def _place(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def binned(values: ArrayLike, bins: int | Sequence[float]) -> NDArray[np.int64]:
    """Return the bin of each value of a label, shape (n,); -1 where it has none.

    Parameters
    ----------
    values : array, shape (n,)
        Text is a class a value, in order of the text; numbers fall into bins.
    bins : int or sequence of float
        Equal bins from the smallest to the largest value; or their borders, ascending, of which
        the last belongs to the last bin. Missing values and those outside have no bin.

    Raises
    ------
    ChoiceError
        If the bins are none.
    """
    column = pd.Series(values)
    if not pd.api.types.is_numeric_dtype(column):
        return pd.factorize(column, sort=True)[0].astype(np.int64)
    numbers = np.asarray(column.to_numpy(np.float64, na_value=np.nan), np.float64)
    known = np.isfinite(numbers)
    edges = _edges(numbers[known], bins)
    places = np.searchsorted(edges, numbers, side="right") - 1
    places[numbers == edges[-1]] = len(edges) - 2
    inside = known & (places >= 0) & (places < len(edges) - 1)
    return np.where(inside, places, -1).astype(np.int64)


def _edges(known: NDArray[np.float64], bins: int | Sequence[float]) -> NDArray[np.float64]:
    if isinstance(bins, int):
        if bins < 1 or not len(known):
            raise ChoiceError(f"{bins} bins for {len(known)} known values; wanted one or more")
        return np.linspace(known.min(), known.max(), bins + 1)
    edges = np.asarray(bins, dtype=np.float64)
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ChoiceError(f"bins is {list(bins)}; wanted two or more ascending borders")
    return edges


@dataclass(frozen=True)
class Draw:
    """Which spectra an epoch shows, each time the same number of them.

    Without stars or bins an epoch is all `members`, each once. With stars it is one spectrum of
    each star, another one every epoch. With bins, spectra are drawn so that every bin has its
    weight's share of the epoch: the expected number of times a spectrum is drawn is
    weight / (spectra of its bin), scaled to the epoch, and the true number is that rounded down or
    up (systematic sampling).

    Parameters
    ----------
    members : ndarray of int, shape (n,)
        Numbers of the spectra to draw from.
    seed : int
    stars : ndarray of str, shape (n,), optional
        One spectrum of each an epoch.
    bins : ndarray of int, shape (n,), optional
        Bin of each member, none negative.
    weights : mapping of bin to float, optional
        Shares of the bins, in any unit; 1 where a bin is not named.

    Raises
    ------
    TableError
        If there is nothing to draw.
    """

    members: NDArray[np.int64]
    seed: int
    stars: NDArray[np.object_] | None = None
    bins: NDArray[np.int64] | None = None
    weights: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.members):
            raise TableError("no spectrum is left to train on; see the splits and the labels")

    def __len__(self) -> int:
        """Spectra in an epoch."""
        return len(self.members) if self.stars is None else len(set(self.stars))

    def epoch(self, number: int) -> NDArray[np.int64]:
        """Members of epoch `number`, in no useful order; with bins some of them repeat."""
        rng = np.random.default_rng((self.seed, number, 0))
        chosen = np.arange(len(self.members))
        if self.stars is not None:
            chosen = rng.permutation(len(self.members))
            chosen = chosen[np.unique(self.stars[chosen].astype(str), return_index=True)[1]]
        if self.bins is not None:
            chosen = chosen[_systematic(self._shares(self.bins[chosen]), rng)]
        return self.members[chosen]

    def _shares(self, bins: NDArray[np.int64]) -> NDArray[np.float64]:
        """Expected number of times each spectrum is drawn; the sum is their number."""
        counts = np.bincount(bins)
        weights = np.array([self.weights.get(place, 1.0) for place in range(len(counts))])
        shares = weights[bins] / counts[bins]
        if not (weights >= 0).all() or not shares.sum() > 0:
            raise ChoiceError(f"weights {dict(self.weights)}; wanted them from 0 on, not all 0")
        result: NDArray[np.float64] = shares * (len(bins) / shares.sum())
        return result


def _systematic(expected: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw each index about `expected` times, rounded down or up; in all as often as there are."""
    order = rng.permutation(len(expected))
    ends = np.cumsum(expected[order])
    marks = rng.random() + np.arange(len(expected))
    drawn: NDArray[np.int64] = order[np.minimum(np.searchsorted(ends, marks), len(ends) - 1)]
    return drawn


def statement(values: dict[str, Any]) -> str:
    """Say in words how epochs are balanced, for a run's provenance.

    Parameters
    ----------
    values : dict
        `one_per_star`, `label`, `bins`, `weights`.
    """
    what = "one spectrum per star per epoch" if values["one_per_star"] else "every spectrum"
    if values["label"] is None:
        return what if values["one_per_star"] else f"{what} once per epoch"
    shares = f"weights {values['weights']}" if values["weights"] else "equal shares"
    return f"{what}, drawn with {shares} of the bins of {values['label']}"
