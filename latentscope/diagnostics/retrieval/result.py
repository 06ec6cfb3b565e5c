"""Which spectra are nearest to a query, how near, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

AGREE = 0.5
"""Spreads within which two spectra agree in a dimension; two Gaussian ones do in 28 % of cases."""

_DIMS_SHOWN = 3


@dataclass(frozen=True, eq=False)
class RetrievalResult:
    """Nearest spectra of one or more queries.

    Parameters
    ----------
    table : DataFrame
        One row a match, by query and then by rank: `query` (name), `rank` (from 1), `row` (of the
        latents, from 0), `id`, `object`, `star` and `file` where known, `distance`, `percentile`
        (share of spectra, in %, whose own nearest one is nearer than this match; NaN where none
        has any), `agree` (number of dimensions within 0.5 spreads), `differ` (the three that differ
        most, match minus query in spreads), and the labels.
    queries : DataFrame
        One row a query: `query`, `row` (missing where it is not in the latents), `id`, `object`,
        `star` and `file` where known, `left_out` (rows of its own star, itself included),
        `matches`, `error` (why there are none, else empty), and the labels of its row.
    differences : DataFrame
        One row a match, as in `table`; one column a dimension: match minus query, in spreads.
    profiles : DataFrame
        One row a query, as in `queries`; one column a dimension: spreads from the sample's median.
    band : DataFrame
        `low` and `high` of each dimension: where 90 % of stars (or rows) lie, in spreads.
    usual : ndarray of float64
        Ascending distances from rows of the sample, one a star, to their own nearest.
    provenance : dict
        Settings, and where the latents come from.
    notes : tuple of str
        What was left out, or is not known, in words.
    """

    table: pd.DataFrame
    queries: pd.DataFrame
    differences: pd.DataFrame
    profiles: pd.DataFrame
    band: pd.DataFrame
    usual: np.ndarray[Any, np.dtype[np.float64]]
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def dims(self) -> list[int]:
        """Dimensions that counted, ascending."""
        return [int(dim) for dim in self.profiles.columns]

    @property
    def failed(self) -> list[tuple[str, str]]:
        """Queries that could not be answered, and why."""
        rows = self.queries[self.queries["error"] != ""]
        return list(zip(rows["query"], rows["error"], strict=True))

    def matches(self, query: int = 0) -> pd.DataFrame:
        """Rows of the table that belong to a query, counted from 0.

        Their index says which rows of `differences` are theirs.
        """
        counts = self.queries["matches"].to_numpy()
        first = int(counts[:query].sum())
        return self.table.iloc[first : first + int(counts[query])]

    def sentences(self, count: int = 3) -> list[str]:
        """Say for each query what its first matches are, how near, and in what they differ.

        Parameters
        ----------
        count : int
            Matches of each query at most.
        """
        lines = []
        for place in range(len(self.queries)):
            lines.append(self.heading(place))
            for match in self.matches(place).head(count).to_dict("records"):
                lines.append(self._sentence(match))
        return lines

    def heading(self, query: int = 0) -> str:
        """Say of a query, counted from 0, among how many spectra it was looked for, and how.

        Such as "spectrum-12: 10 nearest of 1,998 spectra over 5 dims (euclidean)".
        """
        asked = self.queries.iloc[query]
        if asked["error"]:
            return f"{asked['query']}: no matches, {asked['error']}"
        made, out = self.provenance, int(asked["left_out"])
        left = f"; {out:,} left out: itself and its star" if out else ""
        return (
            f"{asked['query']}: {asked['matches']} nearest of {made['rows_searched'] - out:,} "
            f"spectra over {len(self.dims)} dims ({made['metric']}){left}"
        )

    def _sentence(self, match: dict[Any, Any]) -> str:
        name = match.get("id", f"row {match['row']}")
        return (
            f"{match['rank']}. {name}: distance "
            f"{match['distance']:.3g}{_nearness(match['percentile'])}; agrees in {match['agree']} "
            f"of {len(self.dims)} dims, differs most in dim {match['differ'].split(',')[0]}"
        )

    def plot(self, ax: Any = None, *, query: int = 0) -> Any:
        """Draw a query and its matches dimension by dimension (`latentscope.plot_retrieval`)."""
        # The package finds its own pictures; diagnostics know of none.
        from latentscope import plot_retrieval

        return plot_retrieval(self, ax, query=query)


def _nearness(percentile: float) -> str:
    if np.isnan(percentile):
        return ""
    if percentile <= 50:
        return f" ({100 - percentile:.0f} % of spectra have none so near)"
    return f" ({percentile:.0f} % of spectra have a nearer one)"


def reasons(differences: pd.DataFrame) -> tuple[list[int], list[str]]:
    """Count the dimensions in which matches agree, and name those that differ most.

    Parameters
    ----------
    differences : DataFrame
        As in `RetrievalResult`.

    Returns
    -------
    agree : list of int
    differ : list of str
        Such as "85 (+0.71), 124 (-0.40)", the largest first.
    """
    dims = [str(dim) for dim in differences.columns]
    agree, differ = [], []
    for row in differences.to_numpy(dtype=np.float64):
        largest = np.argsort(-np.abs(row), kind="stable")[:_DIMS_SHOWN]
        agree.append(int((np.abs(row) <= AGREE).sum()))
        differ.append(", ".join(f"{dims[place]} ({row[place]:+.2f})" for place in largest))
    return agree, differ
