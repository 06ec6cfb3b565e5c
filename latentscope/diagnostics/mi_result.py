"""The table of a mutual information matrix, and what it says in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class MIResult:
    """Mutual information of latent dimensions with labels, in nats.

    Parameters
    ----------
    table : DataFrame
        One row a pair: `label, dim, mi_nats, std_nats, p_value, q_value, n, n_groups, estimator,
        reason`. `mi_nats` is signed. `std_nats` is the sampling error (68 %). `p_value` is that of
        independence, `q_value` the false discovery rate over the table; both are NaN for a
        constant column, whose value is 0. Of a pair with too few rows or groups all are NaN.
        `n_groups` is the number of independent rows: groups where they were given, else n.
    provenance : dict
        Settings, versions, and where latents and labels come from.
    notes : tuple of str
        What was done to the labels, in words: clipped, left out, taken for classes.
    """

    table: pd.DataFrame
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> list[str]:
        """Labels, in their order in the table."""
        return list(dict.fromkeys(self.table["label"]))

    @property
    def dims(self) -> list[int]:
        """Latent dimensions, ascending."""
        return sorted({int(dim) for dim in self.table["dim"]})

    @property
    def matrix(self) -> pd.DataFrame:
        """Mutual information in nats, labels x dims."""
        return self.pivot("mi_nats")

    def pivot(self, column: str) -> pd.DataFrame:
        """Return a column of the table as labels x dims."""
        return self.table.pivot(index="label", columns="dim", values=column).loc[
            self.labels, self.dims
        ]

    @property
    def best(self) -> pd.DataFrame:
        """The strongest dimension of each label: those rows of the table, strongest first."""
        known = self.table[self.table["mi_nats"].notna()]
        rows = known.groupby("label", sort=False)["mi_nats"].idxmax()
        return self.table.loc[rows].sort_values("mi_nats", ascending=False)

    def sentences(self, count: int = 10) -> list[str]:
        """Return the strongest pairs as lines a person can read.

        Such as "dim 3: radvel 4.10 +- 0.02 nats, p < 0.001, n = 4,090".

        Parameters
        ----------
        count : int
            Lines at most.
        """
        strongest = (
            self.table.dropna(subset="mi_nats").sort_values("mi_nats", ascending=False).head(count)
        )
        return [_sentence(row) for row in strongest.to_dict("records")]


def _sentence(row: dict[Any, Any]) -> str:
    groups = f", {row['n_groups']:,} groups" if row["n_groups"] < row["n"] else ""
    return (
        f"dim {row['dim']}: {row['label']} {row['mi_nats']:.2f} +- {row['std_nats']:.2f} nats, "
        f"{p_text(row['p_value'])}, n = {row['n']:,}{groups}"
    )


def p_text(p_value: float) -> str:
    """Return a p-value in words: "p < 0.001", "p < 0.01", "p = 0.23"; "no p-value" of NaN."""
    if np.isnan(p_value):
        return "no p-value"
    for limit in (0.001, 0.01):
        if p_value < limit:
            return f"p < {limit}"
    return f"p = {p_value:.2g}"
