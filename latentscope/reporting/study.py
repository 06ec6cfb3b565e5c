"""What a report is about: latents, labels, stars, a model, and results that several parts use."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from latentscope.data import Latents
from latentscope.diagnostics.activity import MADResult, mad
from latentscope.diagnostics.mi.api import mi_matrix, pairwise_mi
from latentscope.diagnostics.mi.result import MIResult, PairwiseResult
from latentscope.diagnostics.study import (
    Study,
)
from latentscope.diagnostics.traversal.line_map import LineMapResult
from latentscope.reporting.document import NotPossible

if TYPE_CHECKING:
    from latentscope.models.network import SpectrumVAE

Advance = Callable[[int, int], None]
Stage = Callable[[str], AbstractContextManager[Advance | None]]
"""Called with what begins; gives what is told of each step (done, total), or None."""

MOST_DIMS = 32
"""Dimensions, the widest, that are measured against labels and one another."""

FEWEST_ROWS = 50
"""Rows below which nothing but the spread is measured."""


@dataclass(frozen=True)
class Effort:
    """How often what is random is repeated, and how much is drawn.

    Parameters
    ----------
    bootstrap : int
        Halves of the stars behind the intervals of disentanglement.
    halves : int
        Draws of each other sample of the rows.
    traversals : int
        Dimensions that are drawn one by one, those that change the flux most.
    """

    bootstrap: int
    halves: int
    traversals: int


FULL, QUICK = Effort(50, 8, 8), Effort(10, 4, 3)


@dataclass(frozen=True, eq=False)
class ReportStudy:
    """What was given, row by row, and which rows the slow statistics take.

    Parameters
    ----------
    data : Study of n rows
        Latents, labels and stars.
    model : SpectrumVAE or None
    rows : ndarray of int64
        Rows that slow statistics take, ascending, all of them finite.
    columns : list of str or None
        Labels to take; None takes all.
    seed : int
    effort : Effort
    stage : callable
        Shows progress.
    """

    data: Study
    model: SpectrumVAE | None
    rows: NDArray[np.int64]
    columns: list[str] | None
    seed: int
    effort: Effort
    stage: Stage

    @property
    def latents(self) -> Latents:
        """Latents of all rows."""
        return self.data.latents

    @property
    def finite(self) -> int:
        """Rows that are finite."""
        return int(self.latents.ok.sum())

    @property
    def star_count(self) -> int:
        """Stars among the finite rows; the number of these where no stars are known."""
        return self.independent(self.latents.ok)

    def independent(self, known: NDArray[np.bool_]) -> int:
        """Count the stars among some rows, shape (n,); the rows where no stars are known."""
        return int(known.sum()) if self.data.groups is None else self.data.groups.count(known)

    @property
    def sampled(self) -> bool:
        """Whether slow statistics take fewer rows than there are."""
        return len(self.rows) < self.finite

    @property
    def sample_text(self) -> str:
        """Say which rows slow statistics take; empty if all."""
        if not self.sampled:
            return ""
        return (
            f"on a random {len(self.rows):,} of {self.finite:,} rows (drawn without replacement, "
            f"seed {self.seed})"
        )

    @cached_property
    def sample(self) -> Study:
        """The rows that slow statistics take."""
        return self.data if len(self.rows) == len(self.data) else self.data.take(self.rows)

    @property
    def labelled_sample(self) -> Study:
        """The same, of which labels are needed.

        Raises
        ------
        NotPossible
            If there are none.
        """
        if self.data.labels is None:
            raise NotPossible(
                "No labels were given, so nothing can be said of this: name a table of labels "
                "(LABELS), with a column id that the latents' table has too."
            )
        return self.sample

    def check_rows(self, fewest: int = FEWEST_ROWS) -> None:
        """Refuse to measure too few rows.

        Raises
        ------
        NotPossible
            If there are fewer finite rows than that.
        """
        if self.finite < fewest:
            raise NotPossible(
                f"Only {self.finite} rows are finite, too few for this: give {fewest} or more."
            )

    def check_stars(self, fewest: int) -> None:
        """Refuse to measure too few independent rows: stars, or rows where no stars are known.

        Raises
        ------
        NotPossible
            If there are fewer than that.
        """
        if self.star_count < fewest:
            what = "rows are finite" if self.data.groups is None else "stars have a finite row"
            raise NotPossible(
                f"Only {self.star_count} {what}, too few for this: give {fewest} or more."
            )

    @property
    def network(self) -> SpectrumVAE:
        """The model.

        Raises
        ------
        NotPossible
            If none was given.
        """
        if self.model is not None:
            return self.model
        made_by = self.latents.provenance.get("model")
        which = f"-m {made_by}, which made these" if made_by else "the one that made these (-m)"
        raise NotPossible(f"No model was given, and this needs one: give {which} latents.")

    @cached_property
    def activity(self) -> MADResult:
        """Spread of each dimension over all rows."""
        return mad(self.data)

    @cached_property
    def dims(self) -> list[int]:
        """Informative dimensions, ascending; of more than 32 the widest.

        Raises
        ------
        NotPossible
            If none is informative.
        """
        informative = self.activity.informative
        if not len(informative):
            raise NotPossible(
                "No dimension is informative: none exceeds the threshold of "
                f"{self.activity.threshold:g}, the largest is {self.activity.values.max():.2g}; "
                "give latents that vary."
            )
        widest = informative[np.argsort(-self.activity.values[informative], kind="stable")]
        return sorted(int(dim) for dim in widest[:MOST_DIMS])

    @property
    def dims_text(self) -> str:
        """Say which dimensions are measured, if not all that are informative."""
        count = len(self.activity.informative)
        if count <= MOST_DIMS:
            return ""
        return f"the {MOST_DIMS} widest of {count} informative dimensions"

    @cached_property
    def shared(self) -> PairwiseResult:
        """Mutual information of the informative dimensions with one another.

        Raises
        ------
        NotPossible
            If there are fewer than two.
        """
        self.check_rows()
        if len(self.dims) < 2:
            raise NotPossible(
                f"Only dimension {self.dims[0]} is informative, so there is nothing to compare it "
                "with: give latents with two or more."
            )
        with self.stage("mutual information of dimensions") as advance:
            return pairwise_mi(
                self.sample,
                dims=self.dims,
                seed=self.seed,
                progress=advance,
            )

    @cached_property
    def information(self) -> MIResult:
        """Mutual information of the informative dimensions with the labels."""
        self.check_rows()
        sample, dims = self.labelled_sample, self.dims
        with self.stage("mutual information with labels") as advance:
            return mi_matrix(
                sample,
                dims=dims,
                columns=self.columns,
                seed=self.seed,
                progress=advance,
            )

    @cached_property
    def line_map(self) -> LineMapResult:
        """Which lines each informative dimension moves."""
        from latentscope.models.traversal import line_map

        network, dims, latents = self.network, self.dims, self.sample.latents
        with self.stage("lines that dimensions move") as advance:
            return line_map(network, latents=latents, dims=dims, progress=advance)

    def measured_on(self, *more: str) -> tuple[str, ...]:
        """Say in a paragraph what a part was measured on, if not on all; else nothing."""
        said = [text for text in (self.sample_text, self.dims_text, *more) if text]
        return (f"Measured {'; '.join(said)}.",) if said else ()
