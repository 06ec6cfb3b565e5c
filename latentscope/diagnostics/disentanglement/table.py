"""Many evaluations -> the table of values, intervals and baselines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from latentscope.diagnostics.disentanglement.catalogue import MEAN, MEASURES, Measure
from latentscope.diagnostics.disentanglement.sample import Stars
from latentscope.diagnostics.disentanglement.scores import Key, Scores, mean_of

Floats = NDArray[np.float64]

COVERED = 0.95
"""Share of samples whose interval holds the value of infinitely many stars."""


@dataclass(frozen=True)
class Evaluations:
    """Scores by what was evaluated: "latents", "rotation", "pca", or "half" of the stars."""

    found: dict[str, list[Scores]] = field(default_factory=dict)

    def add(self, what: str, scores: Scores) -> None:
        """Keep the scores of one evaluation."""
        self.found.setdefault(what, []).append(scores)

    def of(self, what: str, key: Key) -> Floats:
        """Return one number from all evaluations that have it."""
        return np.array(
            [scores.values[key] for scores in self.found.get(what, []) if key in scores.values]
        )

    def matrix(self, name: str) -> Floats:
        """Return the mean of a matrix over the evaluations of the latents."""
        found = [s.matrices[name] for s in self.found["latents"] if name in s.matrices]
        mean: Floats = np.mean(found, axis=0)
        return mean

    @property
    def keys(self) -> list[Key]:
        """Numbers there are, the measures in the order of the catalogue, means first."""
        order = {measure.key: place for place, measure in enumerate(MEASURES)}
        keys = dict.fromkeys(key for scores in self.found["latents"] for key in scores.values)
        return sorted(keys, key=lambda key: (order[key[:2]], key.label != MEAN))


def table_of(evaluations: Evaluations, stars: Stars) -> pd.DataFrame:
    """Return the table of `MetricsResult`."""
    counts = {label.name: (label.n_rows, label.n_stars) for label in stars.labels}
    whole = (int(stars.ok.sum()), stars.groups.count(stars.ok))
    by_key = {measure.key: measure for measure in MEASURES}
    return pd.DataFrame(
        [
            _row(key, by_key[key[:2]], evaluations, counts.get(key.label, whole))
            for key in evaluations.keys
        ]
    )


def _row(
    key: Key, measure: Measure, evaluations: Evaluations, counts: tuple[int, int]
) -> dict[str, Any]:
    value = mean_of(evaluations.of("latents", key))
    halves = evaluations.of("half", key)
    low, high = interval(value, halves, counts[1])
    # Axis 3 of a rotation is none of the latents' dimensions.
    comparable = not key.label.startswith("dim ")
    turned = evaluations.of("rotation", key) if comparable else np.empty(0)
    principal = mean_of(evaluations.of("pca", key)) if comparable else float("nan")
    row = {
        **key._asdict(),
        "value": value,
        "low": low,
        "high": high,
        "rotation": mean_of(turned),
        "rotation_low": float(turned.min(initial=np.inf)) if len(turned) else float("nan"),
        "rotation_high": float(turned.max(initial=-np.inf)) if len(turned) else float("nan"),
        "pca": principal,
    }
    row["verdict"] = _verdict(row, measure) if comparable and measure.of_axes else ""
    return {**row, "draws": len(halves), "n": counts[0], "n_groups": counts[1]}


def interval(value: float, halves: Floats, stars: int) -> tuple[float, float]:
    """95 % interval of a value from its values on random halves of the stars.

    Parameters
    ----------
    value : float
        On all stars.
    halves : ndarray of float64, shape (draws,)
        On m = stars // 2 of them, drawn without replacement. What counts is their standard
        deviation, times sqrt(m / (stars - m)); that half as many stars give another mean, as
        estimators with a bias do, does not.
    stars : int

    Returns
    -------
    low, high : float
        By Student's t with draws - 1 degrees of freedom; NaN where there are no draws.
    """
    if len(halves) < 2 or not np.isfinite(halves).all():
        return float("nan"), float("nan")
    m = stars // 2
    error = float(halves.std(ddof=1)) * np.sqrt(m / (stars - m))
    width = float(student.ppf(0.5 + COVERED / 2, len(halves) - 1)) * error
    return value - width, value + width


def _verdict(row: dict[str, Any], measure: Measure) -> str:
    """Which baselines the whole interval beats."""
    if np.isnan(row["low"]):
        return ""
    if measure.lower_is_better:
        over_rotation, over_pca = row["high"] < row["rotation_low"], row["high"] < row["pca"]
    else:
        over_rotation, over_pca = row["low"] > row["rotation_high"], row["low"] > row["pca"]
    beaten = [name for name, it in (("rotation", over_rotation), ("pca", over_pca)) if it]
    return f"better than {' and '.join(beaten)}" if beaten else "no better"


def matrices_of(evaluations: Evaluations, stars: Stars) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return importances, and mutual information by neighbours, dims x labels."""
    names = [label.name for label in stars.labels]
    importance, information = (
        pd.DataFrame(evaluations.matrix(name), index=list(stars.dims), columns=names)
        for name in ("importance", "information (knn)")
    )
    return importance.rename_axis("dim"), information.rename_axis("dim")
