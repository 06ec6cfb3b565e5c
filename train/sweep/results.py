"""What the runs of a sweep gave, by their place in the grid: kept as JSON and CSV, read back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.diagnostics.threshold import THRESHOLD
from latentscope.errors import ModelError
from latentscope.files import atomic_path
from latentscope.settings import read_settings
from train.sweep.grid import Run, SweepConfig, folder_of, point_name, runs_of

RESULTS, TABLE, STARS, EXAMPLE = "results.json", "runs.csv", "stars.csv", "example.npy"
"""In the folder of a sweep that was measured."""

LATENTS = "latents.npz"
"""In the folder of a run: `mean` of shape (n, latents), and the reconstruction of the example."""

LABELS = ("radvel", "Teff", "[M/H]", "logg", "vsini", "airmass", "snr", "berv")
"""Labels that dimensions are compared with; the networks saw none of them."""

KL_ACTIVE = 0.1
"""Nats of KL, mean over stars, above which a dimension counts as informative.

The paper's 0.02 of MAD is no use after some thousand steps: dimensions that say nothing have means
that have not come to rest, of a few hundredths.
"""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """What was measured of a run; lists have one value per dimension, information is in nats."""

    weights: str  # SHA-256, as is that of the test stars' table
    test: str
    mad: list[float]
    kl: list[float]  # empty of a network without variances
    line_variance: float  # share of the variance around the mean spectrum that is reconstructed
    mi: dict[str, list[float]]  # of each label
    mi_fgk: dict[str, list[float]]  # on FGK stars alone
    rank: dict[str, list[float]]  # Spearman's correlation with each label
    pairs: list[list[float]]  # dim, dim, nats of informative dimensions, the largest first

    @property
    def deviating(self) -> list[int]:
        """Dimensions with a MAD above 0.02."""
        return _above(self.mad, THRESHOLD)

    @property
    def informative(self) -> list[int]:
        """Dimensions with a KL above 0.1 nats; of a network without KL the deviating ones."""
        return _above(self.kl, KL_ACTIVE) if self.kl else self.deviating

    @property
    def largest_pair(self) -> float:
        """Largest mutual information between two informative dimensions, nats; 0 of fewer."""
        return self.pairs[0][2] if self.pairs else 0.0

    @property
    def telling(self) -> list[int]:
        """Informative dimensions; all, where none is."""
        return self.informative or list(range(len(self.mad)))

    def best(self, label: str, *, fgk: bool = False) -> tuple[int, float]:
        """Informative dimension that tells most of a label, and how much, in nats."""
        values = (self.mi_fgk if fgk else self.mi)[label]
        dim = max(self.telling, key=lambda dim: values[dim])
        return dim, values[dim]

    def best_rank(self, label: str) -> float:
        """Largest absolute rank correlation of a label with one informative dimension."""
        return max(abs(self.rank[label][dim]) for dim in self.telling)


def _above(values: list[float], threshold: float) -> list[int]:
    return [dim for dim, value in enumerate(values) if value > threshold]


@dataclass(frozen=True)
class Measured:
    """One finished run, with what the model's config.json says of its training."""

    run: Run
    figures: Figures
    training: Mapping[str, Any]


Value = Callable[[Figures], float]


@dataclass(frozen=True)
class Results:
    """All of a sweep."""

    config: SweepConfig
    runs: Mapping[str, Measured]  # the finished ones, by name
    missing: Mapping[str, str]  # name of every other run -> "failed" or "not finished"
    archive: Mapping[str, Any]  # see `facts_of`
    test: Mapping[str, Any]  # see `results_of`
    command: str  # what made it all, without this machine's folders
    latentscope: str  # version that measured

    @property
    def columns(self) -> list[float | None]:
        """Betas of the grid, ascending; first None, if there are deterministic networks."""
        grid = self.config.grid
        first: list[float | None] = [None] if grid.deterministic else []
        return [*first, *sorted(grid.beta)]

    @property
    def sizes(self) -> list[int]:
        """Latent sizes of the grid, ascending."""
        return sorted(self.config.grid.latents)

    def at(self, latents: int, beta: float | None) -> Measured | None:
        """Return the run at a point of the grid, if it is finished."""
        return self.runs.get(point_name(latents, beta))

    @property
    def chosen(self) -> Measured | None:
        """The run of the chosen setting, if it is finished."""
        return self.at(self.config.chosen.latents, self.config.chosen.beta)

    @property
    def seeds(self) -> dict[int, Figures]:
        """Figures of the chosen setting on the unbalanced archive, by seed, as finished."""
        return {e.run.seed: e.figures for e in self.repeated() if not e.run.balance}

    def repeated(self) -> list[Measured]:
        """Return the chosen setting, its other seeds, and its balanced archives, as finished."""
        chosen = [] if self.chosen is None else [self.chosen]
        return chosen + [entry for entry in self.runs.values() if entry.run.kind != "grid"]

    def row(
        self, latents: int, value: Value, columns: Sequence[float | None] | None = None
    ) -> list[float]:
        """Return a figure along the betas (all columns by default); NaN where no run is."""
        found = [self.at(latents, beta) for beta in (self.columns if columns is None else columns)]
        return [math.nan if entry is None else float(value(entry.figures)) for entry in found]

    def table(self) -> pd.DataFrame:
        """One row a finished run: its place in the grid and its figures."""
        return pd.DataFrame([_line(entry) for entry in self.runs.values()])


def _line(entry: Measured) -> dict[str, Any]:
    run, figures = entry.run, entry.figures
    line: dict[str, Any] = {
        "name": run.name,
        "kind": run.kind,
        "latents": run.latents,
        "beta": run.beta,
        "seed": run.seed,
        "balance": run.balance,
        "line_variance": figures.line_variance,
        "mad_dims": len(figures.deviating),
        "kl_dims": len(figures.informative) if figures.kl else None,
        "largest_pair_nats": figures.largest_pair,
    }
    for label in LABELS:
        dim, nats = figures.best(label)
        line |= {f"{label}_dim": dim, f"{label}_mi_nats": nats}
        line[f"{label}_rank"] = figures.best_rank(label)
    return line | {"minutes": entry.training.get("minutes")}


def write_results(results: Results, folder: Path) -> None:
    """Write `results.json` and `runs.csv` into a sweep's folder, each whole or not at all."""
    values = asdict(results)
    values["sweep"] = values.pop("config")
    for entry in values["runs"].values():
        del entry["run"]  # follows from the sweep's settings
    with atomic_path(folder / RESULTS) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", "utf-8")
    with atomic_path(folder / TABLE) as temporary:
        results.table().to_csv(temporary, index=False)


def read_results(folder: Path) -> Results:
    """Read what `write_results` wrote; ModelError if there is nothing, or of another version."""
    path = folder / RESULTS
    try:
        values = json.loads(path.read_text("utf-8"))
        config = read_settings(SweepConfig, values.pop("sweep"), where=str(path), error=ModelError)
        entries = values.pop("runs")
        runs = {
            run.name: Measured(
                run, Figures(**entries[run.name]["figures"]), entries[run.name]["training"]
            )
            for run in runs_of(config)
            if run.name in entries
        }
        return Results(config, runs, **values)
    except FileNotFoundError:
        raise ModelError(
            f"{path}: no such file; `python -m train sweep -o {folder} --measure` writes it"
        ) from None
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path}: contains no results of a sweep: {error}") from error


def read_latents(folder: Path, run: Run) -> dict[str, Floats]:
    """Read `mean` and `example` of a measured run."""
    with np.load(folder_of(folder, run) / LATENTS) as file:
        return {name: file[name] for name in file.files}
