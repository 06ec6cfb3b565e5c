"""The table of a mutual information matrix, and what it says: pairs, and what dimensions mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from latentscope.diagnostics.activity import MADResult
from latentscope.diagnostics.study import Result
from latentscope.errors import ChoiceError

Normalization = Literal["maximum", "correlation", "entropy"]

SIGNIFICANT = 0.05
"""False discovery rate below which a pair is called significant."""

_DECIMALS = (2, 4)


class _Sentences(Result, ABC):
    """What tables of pairs have in common."""

    @property
    def significant(self) -> pd.DataFrame:
        """Rows of the table with q below 0.05, strongest first."""
        return _strongest(self.table[self.table["q_value"] < SIGNIFICANT])

    def sentences(self, count: int = 10, *, significant: bool = False) -> list[str]:
        """Return the strongest pairs as lines a person can read.

        Such as "dim 3: radvel 4.10 ± 0.02 nats, p < 0.001, n = 4,090", or "dims 3 and 7: ...".

        Parameters
        ----------
        count : int
            Lines at most.
        significant : bool
            Whether only pairs with q below 0.05 count.
        """
        rows = self.significant if significant else _strongest(self.table)
        return [
            f"{self._pair_text(row)} {_value_text(row)}"
            for row in rows.head(count).to_dict("records")
        ]

    @abstractmethod
    def _pair_text(self, row: dict[Any, Any]) -> str:
        """Name the pair of a row."""


@dataclass(frozen=True, eq=False, repr=False)
class MIResult(_Sentences):
    """Mutual information of latent dimensions with labels, in nats.

    Parameters
    ----------
    table : DataFrame
        One row per pair: `label, dim, mi_nats, std_nats, p_value, q_value, n, n_groups, estimator,
        reason`; with conditions `given` after `dim`. `mi_nats` is signed. `std_nats` is the
        sampling error (68 %). `p_value` is that of independence, `q_value` the false discovery
        rate over the table; both are NaN for a constant column, whose value is 0. Of a pair with
        too few rows or groups all are NaN. `n_groups` is the number of independent rows: groups
        where they were given, else n.
    provenance : dict
        Settings, versions, and where latents and labels come from.
    notes : tuple of str
        What was done to the labels, in words: left out, short of values, treated as classes.
    entropies : dict
        Entropy of each label's classes in nats, NaN of a continuous label.
    """

    drawn_by = "plot_mi"

    table: pd.DataFrame
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()
    entropies: dict[str, float] = field(default_factory=dict)

    @property
    def given(self) -> list[str]:
        """Labels that are known: values are what is shared beyond these."""
        return list(self.provenance.get("given", ()))

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

    def normalized(self, kind: Normalization) -> pd.DataFrame:
        """Return the matrix on another scale, labels x dims.

        Parameters
        ----------
        kind : {"maximum", "correlation", "entropy"}
            "maximum": divided by the largest value of the label over the dimensions, as the
            indicator of Sedaghat et al. 2021, section 6.2; 1 marks the dimension that tells most,
            whatever that is. NaN for a label of which no value is above 0. "correlation":
            sqrt(1 - exp(-2 MI)), which is |r| of the Gaussian pair with this mutual information;
            a value below 0 gives 0. "entropy": divided by the entropy of the label's classes, the
            share of it that the dimension tells; NaN for a continuous label, and for one class.

        Raises
        ------
        ChoiceError
            If `kind` is another.
        """
        matrix = self.matrix
        if kind == "maximum":
            largest = matrix.max(axis=1)
            return matrix.div(largest.where(largest > 0), axis=0)
        if kind == "correlation":
            share = -np.expm1(-2 * matrix.clip(lower=0).to_numpy(dtype=np.float64))
            return pd.DataFrame(np.sqrt(share), index=matrix.index, columns=matrix.columns)
        if kind == "entropy":
            entropy = pd.Series(self.entropies, dtype=np.float64).reindex(matrix.index)
            return matrix.div(entropy.where(entropy > 0), axis=0)
        raise ChoiceError(f"kind is {kind!r}; expected one of {', '.join(get_args(Normalization))}")

    @property
    def best(self) -> pd.DataFrame:
        """The strongest dimension of each label: those rows of the table, strongest first."""
        measured = self.table[self.table["mi_nats"].notna()]
        rows = measured.groupby("label", sort=False)["mi_nats"].idxmax()
        return self.table.loc[rows].sort_values("mi_nats", ascending=False)

    def _pair_text(self, row: dict[Any, Any]) -> str:
        known = f" given {row['given']}" if row.get("given") else ""
        return f"dim {row['dim']}: {row['label']}{known}"


@dataclass(frozen=True, eq=False, repr=False)
class PairwiseResult(_Sentences):
    """Mutual information of latent dimensions with one another, in nats.

    Parameters
    ----------
    table : DataFrame
        One row per pair, dim_x below dim_y: `dim_x, dim_y`, and the rest as in `MIResult`.
    provenance : dict
        Settings, versions, and where the latents come from.
    notes : tuple of str
        Which rows show one star, and which dimensions were left out, in words.
    """

    drawn_by = "plot_pairwise"

    table: pd.DataFrame
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def dims(self) -> list[int]:
        """Latent dimensions, ascending."""
        return sorted({int(dim) for dim in (*self.table["dim_x"], *self.table["dim_y"])})

    @property
    def matrix(self) -> pd.DataFrame:
        """Mutual information in nats, dims x dims, symmetric.

        The diagonal is NaN: what a continuous column shares with itself has no upper limit.
        """
        return self.pivot("mi_nats")

    def pivot(self, column: str) -> pd.DataFrame:
        """Return a column of the table as dims x dims, symmetric, NaN on the diagonal."""
        above = self.table.pivot(index="dim_x", columns="dim_y", values=column)
        above = above.reindex(index=self.dims, columns=self.dims).astype(np.float64)
        filled = above.fillna(above.T)
        return filled.rename_axis(index="dim", columns="dim")

    def _pair_text(self, row: dict[Any, Any]) -> str:
        return f"dims {row['dim_x']} and {row['dim_y']}:"


def _strongest(table: pd.DataFrame) -> pd.DataFrame:
    measured = table.dropna(subset="mi_nats")
    return measured.sort_values("mi_nats", ascending=False, kind="stable")


def _value_text(row: dict[Any, Any]) -> str:
    groups = f", {row['n_groups']:,} groups" if row["n_groups"] < row["n"] else ""
    std = max(float(row["std_nats"]), 1e-9)
    decimals = int(np.clip(np.ceil(-np.log10(std)), *_DECIMALS))
    return (
        f"{row['mi_nats']:.{decimals}f} ± {row['std_nats']:.{decimals}f} nats, "
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


LABEL_WORDS = {
    "radvel": "radial velocity",
    "Teff": "effective temperature",
    "logg": "surface gravity",
    "[M/H]": "metallicity",
    "vsini": "rotation",
    "berv": "barycentric correction",
    "snr": "signal-to-noise ratio",
}
"""What common labels are called in a sentence; other labels go by their own names."""

# Nats from which a dimension is said to do so to a label.
_VERBS = ((0.5, "follows"), (0.1, "knows something about"), (0.0, "knows little about"))
# Rank correlation below which a relation may well turn back on itself.
_MONOTONE = 0.3


@dataclass(frozen=True)
class Meaning:
    """The label that a dimension knows most about.

    Attributes
    ----------
    dim : int
    mad : float
        Its median absolute deviation.
    label : str or None
        The label with the largest significant mutual information, if there is one.
    mi_nats : float
        That mutual information in nats; NaN without a label.
    correlation : float
        Spearman's rank correlation with the label; NaN without one, or if it holds classes.
    """

    dim: int
    mad: float
    label: str | None = None
    mi_nats: float = float("nan")
    correlation: float = float("nan")

    @property
    def sentence(self) -> str:
        """Say it in one sentence."""
        subject = f"Dimension {self.dim} (MAD {self.mad:.3g})"
        if self.label is None:
            return f"{subject} varies, but matches no label."
        verb = next(verb for nats, verb in _VERBS if self.mi_nats >= nats)
        words = LABEL_WORDS.get(self.label, self.label)
        return f"{subject} {verb} {words}: {self.mi_nats:.2f} nats with {self.label}{self._course}."

    @property
    def _course(self) -> str:
        if np.isnan(self.correlation):
            return ""
        if abs(self.correlation) < _MONOTONE:
            how = "neither rising nor falling with it throughout"
        else:
            how = "rising with it" if self.correlation > 0 else "falling as it rises"
        return f", {how} (rank correlation {self.correlation:+.2f})"


def meaning_lines(meanings: Sequence[Meaning]) -> list[str]:
    """Return a sentence for each dimension that matches a label, and one for all others."""
    lines = [meaning.sentence for meaning in meanings if meaning.label is not None]
    dims = [str(meaning.dim) for meaning in meanings if meaning.label is None]
    if len(dims) == 1:
        lines.append(f"Dimension {dims[0]} varies, but matches no label.")
    elif dims:
        named = f"{', '.join(dims[:-1])} and {dims[-1]}"
        lines.append(f"Dimensions {named} vary, but match no label.")
    return lines


def dimension_meanings(
    values: NDArray[np.floating],
    labels: pd.DataFrame,
    activity: MADResult,
    information: MIResult,
    *,
    significance: float = 0.05,
) -> list[Meaning]:
    """Find for each informative dimension the label that it knows most about.

    Parameters
    ----------
    values : ndarray, shape (n, d)
        Latents; rows of NaN are left out.
    labels : DataFrame of n rows
    activity : MADResult
        Which dimensions are informative.
    information : MIResult
        Mutual information of these dimensions with the labels.
    significance : float
        Largest q-value over the table that counts.

    Returns
    -------
    list of Meaning
        The strongest relation first; dimensions without one last, by their MAD.
    """
    table = information.table[information.table["q_value"] <= significance]
    table = table[table["mi_nats"] > 0]
    meanings = []
    for dim in activity.informative.tolist():
        spread, rows = float(activity.values[dim]), table[table["dim"] == dim]
        if not len(rows):
            meanings.append(Meaning(dim, spread))
            continue
        best = rows.iloc[int(rows["mi_nats"].argmax())]
        label, nats = str(best["label"]), float(best["mi_nats"])
        correlation = rank_correlation(values[:, dim], labels[label])
        meanings.append(Meaning(dim, spread, label, nats, correlation))
    return sorted(meanings, key=lambda it: (it.label is None, -np.nan_to_num(it.mi_nats), -it.mad))


def rank_correlation(x: NDArray[np.floating], label: pd.Series) -> float:
    """Spearman's rank correlation over finite rows; NaN for classes or a constant."""
    if not pd.api.types.is_numeric_dtype(label):
        return float("nan")
    y = label.to_numpy(dtype=np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    if finite.sum() < 2 or np.ptp(x[finite]) == 0 or np.ptp(y[finite]) == 0:
        return float("nan")
    return float(spearmanr(x[finite], y[finite]).statistic)
