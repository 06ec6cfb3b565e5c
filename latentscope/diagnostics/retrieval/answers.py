"""From rows that were found to the tables of a result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.diagnostics.retrieval.neighbours import Near, Rows
from latentscope.diagnostics.retrieval.queries import Queries
from latentscope.diagnostics.retrieval.result import reasons
from latentscope.diagnostics.retrieval.shown import NAMES

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """What was found for each of m queries.

    Parameters
    ----------
    asked : Queries
    near : list of m Near
        Rows found; none where there is a failure.
    left_out : list of m int
        Rows of the sample that a query was not to find.
    failures : list of m str
        Why nothing was found; empty where something was.
    """

    asked: Queries
    near: list[Near]
    left_out: list[int]
    failures: list[str]

    @property
    def counts(self) -> list[int]:
        """Matches of each query."""
        return [len(one.rows) for one in self.near]

    @property
    def rows(self) -> Rows:
        """Rows found, query by query."""
        return np.concatenate([one.rows for one in self.near])

    def match_table(
        self, differences: pd.DataFrame, usual: Floats, beside: pd.DataFrame
    ) -> pd.DataFrame:
        """Return the table of matches.

        Parameters
        ----------
        differences : DataFrame
            One row a match, one column a dimension.
        usual : ndarray of float64
            Ascending distances that are usual.
        beside : DataFrame of as many rows as the sample has
            Names and labels.
        """
        distances = np.concatenate([one.distances for one in self.near])
        agree, differ = reasons(differences)
        names = np.repeat(np.array(self.asked.names, dtype=object), self.counts)
        ranks = [np.arange(1, count + 1) for count in self.counts]
        found = pd.DataFrame(
            {
                "query": names,
                "rank": np.concatenate(ranks),
                "row": self.rows,
                "distance": distances,
                "percentile": percentiles(distances, usual),
                "agree": agree,
                "differ": differ,
            }
        )
        return _between(found, beside.iloc[self.rows].reset_index(drop=True), "row")

    def query_table(self, beside: pd.DataFrame) -> pd.DataFrame:
        """Return the table of queries, with names and labels of those that the sample has."""
        rows = pd.Series(self.asked.rows)
        asked = pd.DataFrame(
            {
                "query": self.asked.names,
                "row": rows.where(rows >= 0).astype("Int64"),
                "left_out": self.left_out,
                "matches": self.counts,
                "error": self.failures,
            }
        )
        if any(self.asked.files):
            asked.insert(2, "file", self.asked.files)
            beside = beside.drop(columns="file", errors="ignore")
        # Queries that the sample does not have are at row -1, which no table has.
        return _between(asked, beside.reindex(self.asked.rows).reset_index(drop=True), "row")


def percentiles(distances: Floats, usual: Floats) -> Floats:
    """Share of the usual distances that are smaller, in %; of equal ones half counts.

    NaN where there is no usual distance.
    """
    if not len(usual):
        return np.full(len(distances), np.nan)
    below = np.searchsorted(usual, distances, "left") + np.searchsorted(usual, distances, "right")
    return np.asarray(below * (50 / len(usual)))


def _between(table: pd.DataFrame, beside: pd.DataFrame, after: str) -> pd.DataFrame:
    """Put what names a row after a column, and labels at the end."""
    at = list(table.columns).index(after) + 1
    names = [name for name in NAMES if name in beside]
    parts = [table.iloc[:, :at], beside[names], table.iloc[:, at:], beside.drop(columns=names)]
    return pd.concat(parts, axis=1)
