"""Which rows each sample holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from latentscope.diagnostics.columns.groups import Groups
from latentscope.diagnostics.mi.columns import own_rng
from latentscope.diagnostics.robustness.classes import Classes

Rows = NDArray[np.int64]
Kind = Literal["whole", "repeats", "single", "equal", "half"]

WHOLE, REPEATS, SINGLE, HALF = "all", "repeats counted", "one per star", "half of the stars"
_FEWEST_EQUAL = 100


@dataclass(frozen=True, eq=False)
class Sample:
    """A way to choose rows, drawn one or several times.

    Parameters
    ----------
    name : str
    kind : str
        "whole": all rows, each star counting once; "repeats": all rows, each counting as a star;
        "single": one row a star; "equal": of those, equal numbers of each class; "half": all rows
        of a random half of the stars.
    draws : list of ndarray of int64
        Rows of each draw.
    """

    name: str
    kind: Kind
    draws: Sequence[Rows]

    @property
    def starred(self) -> bool:
        """Whether rows are told apart by star when information is measured."""
        return self.kind in ("whole", "half")


def samples_of(
    ok: NDArray[np.bool_], groups: Groups, classes: Classes | None, draws: int, seed: int
) -> tuple[list[Sample], list[str]]:
    """Draw the samples that make sense here.

    Parameters
    ----------
    ok : ndarray of bool, shape (n,)
        Rows with latents.
    groups : Groups
    classes : Classes or None
    draws : int
        Of each sample that is drawn at random.
    seed : int

    Returns
    -------
    samples : list of Sample
        The whole first.
    notes : list of str
        What was left out, and how many stars each class has.
    """
    every = np.flatnonzero(ok)
    singles = [groups.draws(ok, 1, own_rng(seed, 20, i)).rows[0] for i in range(draws)]
    samples, notes = [Sample(WHOLE, "whole", [every])], []
    if len(singles[0]) < len(every):
        samples += [Sample(REPEATS, "repeats", [every]), Sample(SINGLE, "single", singles)]
    else:
        notes.append(f"no sample of {SINGLE}: every star has one spectrum, as far as is known")
    if classes is None:
        notes.append("no sample of equal classes: no column of spectral types or Teff; name one")
    else:
        notes.append(classes.note(singles[0]))
        equal = [classes.equal_rows(rows, own_rng(seed, 21, i)) for i, rows in enumerate(singles)]
        if min(map(len, equal)) < _FEWEST_EQUAL:
            notes.append(
                f"no sample of equal {classes.name}: {min(map(len, equal))} stars; wanted "
                f"{_FEWEST_EQUAL} or more in two classes or more"
            )
        else:
            samples.append(Sample(f"equal {classes.name}", "equal", equal))
    halves = [_half(every, groups, own_rng(seed, 22, i)) for i in range(draws)]
    return [*samples, Sample(HALF, "half", halves)], notes


def _half(every: Rows, groups: Groups, rng: np.random.Generator) -> Rows:
    stars = np.unique(groups.codes[every])
    chosen = np.zeros(int(groups.codes.max()) + 1, dtype=bool)
    chosen[rng.choice(stars, len(stars) // 2, replace=False)] = True
    return every[chosen[groups.codes[every]]]
