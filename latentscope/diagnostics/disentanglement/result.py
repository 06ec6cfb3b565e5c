"""The table of disentanglement measures, and what it says in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from latentscope.diagnostics.disentanglement.catalogue import MEAN, MEASURES, Measure

_SHOWN = ("metric", "estimator", "value", "low", "high", "rotation", "pca", "verdict")
_BEST = ("mig", "knn")


@dataclass(frozen=True, eq=False)
class MetricsResult:
    """Measures of disentanglement, with intervals, beside those of other axes.

    Parameters
    ----------
    table : DataFrame
        One row a measure and label: `metric, estimator, label, value, low, high, rotation,
        rotation_low, rotation_high, pca, verdict, draws, n, n_groups`. `label` is "mean" for all
        labels (or the latents as a whole), and "dim 3" for a dimension, where the measure has one.
        `low` ... `high` is the 95 % interval over samples of stars. `rotation` is the mean over
        random rotations of the latents, `rotation_low` ... `rotation_high` their range, `pca` the
        value of their principal components. `verdict` names the baselines that the whole interval
        beats; it is empty where axes do not matter or there is no interval. `draws` is the number
        of halves that the interval comes from. `n` counts rows, `n_groups` stars, each of which
        counts once.
    provenance : dict
        Settings, versions, and where latents and labels come from.
    notes : tuple of str
        What was done to the labels, in words.
    importance : DataFrame, dims x labels
        Share of each label's variance that a forest explains through each dimension, on stars it
        has not seen; 0 where it does not predict the label.
    information : DataFrame, dims x labels
        Mutual information in nats with the label's classes, or bins of equal count, by neighbours.
    """

    table: pd.DataFrame
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()
    importance: pd.DataFrame | None = None
    information: pd.DataFrame | None = None

    @property
    def headlines(self) -> pd.DataFrame:
        """Rows of the table over all labels, one a measure and estimator."""
        return self.table[self.table["label"] == MEAN].reset_index(drop=True)

    @property
    def compact(self) -> pd.DataFrame:
        """The headlines with the columns that a person wants first."""
        return self.headlines[list(_SHOWN)]

    def sentences(self) -> list[str]:
        """Say what the numbers mean beside the baselines, in lines a person can read."""
        rows = {(row["metric"], row["estimator"]): row for row in _records(self.headlines)}
        lines = [self._summary(rows)]
        lines += [_sentence(measure, rows[measure.key]) for measure in MEASURES]
        return lines + self._labels()

    def _summary(self, rows: dict[tuple[str, str], dict[str, Any]]) -> str:
        judged = [m for m in MEASURES if m.of_axes and rows[m.key]["verdict"]]
        if not judged:
            return "Without intervals nothing is judged; ask for a bootstrap."
        over = {
            name: sum(name in rows[m.key]["verdict"] for m in judged)
            for name in ("rotation", "pca")
        }
        means = _MEANS[2 * over["rotation"] >= len(judged), 2 * over["pca"] >= len(judged)]
        return (
            f"Of {len(judged)} measures that depend on the axes, {over['rotation']} are better "
            f"than any random rotation and {over['pca']} better than PCA of the same latents: "
            f"{means}."
        )

    def _labels(self) -> list[str]:
        """Name the labels with the widest and the narrowest gap."""
        here = (self.table["metric"] == _BEST[0]) & (self.table["estimator"] == _BEST[1])
        rows = self.table[here & (self.table["label"] != MEAN)].dropna(subset="value")
        if len(rows) < 2:
            return []
        ordered = rows.sort_values("value", ascending=False)
        told = [f"{row['label']} ({row['value']:.2f})" for row in _records(ordered)]
        return [f"Gap by label, MIG (kNN): {', '.join(told)}."]

    def plot(self, ax: Any = None) -> Any:
        """Draw values beside baselines (`latentscope.plot_metrics`), on `ax` or a new figure."""
        # The package finds its own pictures; diagnostics know of none.
        from latentscope import plot_metrics

        return plot_metrics(self, ax)


_MEANS = {
    (True, True): "the axes mean something",
    (True, False): "the axes are no accident, but PCA finds about as good ones",
    (False, True): "the axes separate labels better than PCA, but hardly better than by luck",
    (False, False): "these axes are hardly better than others",
}


def _records(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table.to_dict("records")


def _sentence(measure: Measure, row: dict[str, Any]) -> str:
    asked = f"It says {measure.question}."
    if np.isnan(row["value"]):
        return f"{measure.title}: not defined here. {asked}"
    between = "" if np.isnan(row["low"]) else f" ({row['low']:.2f} ... {row['high']:.2f})"
    verdict = row["verdict"].replace("pca", "PCA").replace("rotation and PCA", "both")
    return (
        f"{measure.title} {row['value']:.2f}{between}, rotation {row['rotation']:.2f}, PCA "
        f"{row['pca']:.2f}{': ' if verdict else ''}{verdict}. {asked}"
    )
