"""What dimensions add about labels that the network never saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from latentscope.diagnostics.columns.column import Column, own_rng
from latentscope.diagnostics.estimators.ross import without_single
from latentscope.diagnostics.informative.greedy import Gain
from latentscope.diagnostics.informative.prediction import cross_fitted, normal_scores
from latentscope.diagnostics.informative.sample import FEWEST_ROWS, Sample
from latentscope.diagnostics.mutual_information import mutual_information
from latentscope.errors import EstimatorError

Floats = NDArray[np.float64]

_SHUFFLES = 8
_MOST_SCORES = 3
"""Columns to which the predicted scores of classes are reduced: kNN degrades with more."""


@dataclass(frozen=True)
class _Label:
    """A label on the rows of the sample that have it: what is predicted, and its values."""

    rows: NDArray[np.int64]
    targets: Floats
    values: NDArray[np.generic]
    discrete: bool


class AboutLabels:
    """What dimensions add about labels: the sum over labels of I(y; mu_j | mu_S) in nats.

    That is J(S, j) - J(S), J the larger of what a prediction of the label from the dimensions
    shares with it and what any one of them does: lower bounds of what they tell together. The null
    is what a column of shuffled rows adds. Labels that say the same count as often as they are
    given.

    Parameters
    ----------
    sample : Sample
    columns : list of Column
        Labels, of all rows of the latents.
    seed : int
        Of predictions and shuffles.

    Raises
    ------
    EstimatorError
        If a label is known for fewer than 100 rows of the sample.
    """

    def __init__(self, sample: Sample, columns: list[Column], seed: int) -> None:
        self._means, self._seed = sample.means, seed
        self._place = {dim: i for i, dim in enumerate(sample.dims)}
        self._labels = [_label(column, sample) for column in columns]
        self._alone: dict[tuple[int, int], float] = {}

    def __call__(self, chosen: list[int], left: list[int]) -> list[Gain]:
        """Return what each dimension left adds to the chosen."""
        before = self._known(chosen)
        rng = own_rng(self._seed, 7, len(chosen))
        nothing = np.array(
            [self._known(chosen, self._shuffled(left, rng)) for _ in range(_SHUFFLES)]
        )
        centre = float((nothing - before).mean())
        std = float(nothing.std(ddof=1) * np.sqrt(1 + 1 / _SHUFFLES))
        found = []
        for dim in left:
            nats = self._known([*chosen, dim]) - before
            p_value = float(student.sf((nats - centre) / max(std, 1e-12), _SHUFFLES - 1))
            found.append(Gain(dim, nats, std, p_value))
        return found

    def _shuffled(self, left: list[int], rng: np.random.Generator) -> Floats:
        return rng.permutation(self._means[:, self._place[int(rng.choice(left))]])

    def _known(self, dims: list[int], other: Floats | None = None) -> float:
        """Sum over labels of what dimensions, and another column, tell together."""
        places = [self._place[dim] for dim in dims]
        columns = self._means[:, places]
        if other is not None:
            columns = np.column_stack([columns, other])
        if not columns.shape[1]:
            return 0.0
        return sum(
            max([self._together(i, columns), *(self._by_itself(i, place) for place in places)])
            for i in range(len(self._labels))
        )

    def _together(self, label: int, columns: Floats) -> float:
        of = self._labels[label]
        scores = cross_fitted(columns[of.rows], of.targets, own_rng(self._seed, 8))
        scores = scores - scores.mean(axis=0)
        left, sizes, _ = np.linalg.svd(scores, full_matrices=False)
        # The scores of all classes add up to 1, so one of them says nothing new.
        kept = min(max(scores.shape[1] - 1, 1), _MOST_SCORES)
        return self._shared(left[:, :kept] * sizes[:kept], of)

    def _by_itself(self, label: int, place: int) -> float:
        if (label, place) not in self._alone:
            of = self._labels[label]
            self._alone[label, place] = self._shared(self._means[of.rows, place], of)
        return self._alone[label, place]

    def _shared(self, columns: Floats, of: _Label) -> float:
        return mutual_information(columns, of.values, discrete=of.discrete, seed=self._seed)


def _label(column: Column, sample: Sample) -> _Label:
    rows = np.flatnonzero(column.valid[sample.rows])
    if len(rows) < FEWEST_ROWS:
        raise EstimatorError(
            f"{column.name}: known for {len(rows)} of {len(sample.rows)} rows; wanted "
            f"{FEWEST_ROWS} or more"
        )
    of_latents = sample.rows[rows]
    if column.codes is None:
        assert column.values is not None
        values = column.values[of_latents]
        return _Label(rows, normal_scores(values[:, None]), values, False)
    several = without_single(column.codes[of_latents])
    rows, of_latents = rows[several], of_latents[several]
    codes = np.unique(column.codes[of_latents], return_inverse=True)[1]
    if codes.max(initial=0) == 0:
        raise EstimatorError(f"{column.name}: one class with several rows; wanted two or more")
    return _Label(rows, np.eye(int(codes.max()) + 1)[codes], codes, True)
