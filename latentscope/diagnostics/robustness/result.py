"""What holds on every sample and what does not, as tables and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from latentscope.diagnostics.mi.result import SIGNIFICANT
from latentscope.diagnostics.robustness.samples import HALF, REPEATS, SINGLE, WHOLE

_KNOWN = 0.05
"""Nats from which a dimension is worth calling the best of a label."""


@dataclass(frozen=True, eq=False)
class RobustnessResult:
    """Informative dimensions and mutual information on other samples of the same rows.

    Parameters
    ----------
    mad : DataFrame
        One row a sample: `sample, draws, n, n_stars, informative, low, high, gained, lost`.
        `informative` is the number of dimensions with a median absolute deviation above 0.02, the
        median over the draws of the sample, `low` ... `high` their range; `gained` and `lost` are
        the dimensions that most draws count and the whole does not, and the other way round.
    mi : DataFrame
        One row a sample, label and dimension: `sample, label, dim, mi_nats, std_nats, scatter,
        whole, difference, std_difference, p_value, draws, n, n_stars, q_value, significant`.
        `mi_nats` is the mean over the draws, `std_nats` the sampling error (68 %) of one,
        `scatter` their standard deviation, `whole` the value on all rows, `difference` the mean
        minus that, `std_difference` its error: for samples of fewer stars that of one draw, which
        is part of the whole, else the error of the whole.
        `significant` is q below 0.05 over the table.
    provenance : dict
        Settings, versions, and where latents and labels come from.
    notes : tuple of str
        Which samples there are not and why, and how many stars each class has.
    """

    mad: pd.DataFrame
    mi: pd.DataFrame
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """Both tables in one: the rows of `mi` with the counts of their sample."""
        counts = self.mad[["sample", "informative", "gained", "lost"]]
        return self.mi.merge(counts, on="sample", how="left")

    @property
    def samples(self) -> list[str]:
        """Names of the samples, the whole first."""
        return list(self.mad["sample"])

    @property
    def overview(self) -> pd.DataFrame:
        """One row a sample: its size, informative dimensions, and how many pairs differ."""
        pairs = self.mi.groupby("sample", sort=False)
        counted = self.mad.assign(
            pairs=self.mad["sample"].map(pairs["mi_nats"].count()),
            changed=self.mad["sample"].map(pairs["significant"].sum()),
        )
        return counted

    @property
    def error_ratio(self) -> float:
        """Scatter of halves of the stars in units of the quoted errors, the median over pairs.

        1 where the errors are right: a half scatters about the whole as the whole does about what
        infinitely many stars would give. NaN where no pair has both.
        """
        half, whole = (self.of(name).set_index(["label", "dim"]) for name in (HALF, WHOLE))
        ratio = half["scatter"] / whole["std_nats"].where(whole["std_nats"] > 0)
        return float(ratio.median())

    def of(self, sample: str) -> pd.DataFrame:
        """Return the rows of `mi` of a sample."""
        return self.mi[self.mi["sample"] == sample]

    def best(self, sample: str) -> dict[str, int]:
        """Return the strongest dimension of each label that has one above 0.05 nats."""
        rows = self.of(sample)
        rows = rows[rows["mi_nats"] > _KNOWN]
        first = rows.loc[rows.groupby("label", sort=False)["mi_nats"].idxmax()]
        return dict(zip(first["label"], first["dim"].astype(int), strict=True))

    def sentences(self) -> list[str]:
        """Say what changes and what does not, in lines a person can read."""
        lines = [self._counted(), *(self._changed(name) for name in self.samples[1:])]
        return [*lines, self._kept(), self._errors()]

    def _counted(self) -> str:
        parts = []
        for row in self.mad.to_dict("records"):
            if row["sample"] == REPEATS:
                continue
            between = "" if row["low"] == row["high"] else f" ({row['low']} to {row['high']})"
            moved = [f"{what} {row[what]}" for what in ("gained", "lost") if row[what]]
            told = f", {', '.join(moved)}" if moved else ""
            parts.append(f"{row['sample']} {row['informative']}{between}{told}")
        return f"Informative dimensions: {'; '.join(parts)}."

    def _changed(self, sample: str) -> str:
        rows = self.of(sample)
        changed = rows[rows["significant"]]
        said = f"{_WHAT.get(sample, f'With {sample}')}: "
        if not len(changed):
            return f"{said}none of {len(rows)} pairs change (q < {SIGNIFICANT:g})."
        most = changed.iloc[int(np.argmax(changed["difference"].abs()))]
        other = self._other_best(sample) if sample == REPEATS else {}
        names = f"; another dimension then seems to know most of {', '.join(other)}"
        return (
            f"{said}{len(changed)} of {len(rows)} pairs change (q < {SIGNIFICANT:g}), most of all "
            f"{most['label']} with dim {most['dim']}, from {most['whole']:.2f} to "
            f"{most['mi_nats']:.2f} nats ({most['difference']:+.2f} ± "
            f"{most['std_difference']:.2f}){names if other else ''}."
        )

    def _kept(self) -> str:
        whole = self.best(WHOLE)
        if not whole:
            return f"No label shares more than {_KNOWN:g} nats with a dimension."
        moved = [
            f"{label} (dim {whole[label]} on all, {dim} on {name})"
            for name in self.samples[1:]
            if name != REPEATS
            for label, dim in self._other_best(name).items()
        ]
        if not moved:
            return "The dimension that knows most of a label is the same on every sample of stars."
        return f"The dimension that knows most differs for {', '.join(moved)}."

    def _other_best(self, sample: str) -> dict[str, int]:
        """Labels whose strongest dimension is not that of the whole, and which it is."""
        whole, here = self.best(WHOLE), self.best(sample)
        return {label: dim for label, dim in here.items() if whole.get(label, dim) != dim}

    def _errors(self) -> str:
        ratio = self.error_ratio
        if np.isnan(ratio):
            return "Errors cannot be checked against the scatter of halves."
        return (
            f"Halves of the stars scatter by {ratio:.2f} of the quoted errors (median over pairs; "
            "1 where the errors are right)."
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the samples side by side (`latentscope.plot_robustness`), on `ax` or a new one."""
        # The package finds its own pictures; diagnostics know of none.
        from latentscope import plot_robustness

        return plot_robustness(self, ax)


_WHAT = {
    REPEATS: "With every spectrum counted as a star",
    SINGLE: "With one spectrum per star",
    HALF: "With half of the stars",
}
