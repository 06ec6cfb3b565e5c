"""What the finished runs of a sweep gave, by their place in the grid."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.sweep.grid import Run, point_name, runs_of
from train.sweep.measure import Figures, Floats, Stars, measured
from train.sweep.run import TEST, folder_of, is_done
from train.sweep.settings import SweepConfig

Value = Callable[[Figures], float]


@dataclass(frozen=True)
class Measured:
    """One finished run.

    Parameters
    ----------
    run : Run
    figures : Figures
    arrays : dict of ndarray
        As `train.sweep.measure.measured` gives them.
    training : dict
        What the model's config.json says of its training.
    """

    run: Run
    figures: Figures
    arrays: Mapping[str, Floats]
    training: Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """All of a sweep.

    Parameters
    ----------
    config : SweepConfig
    stars : Stars
        What the runs were measured on.
    runs : dict of str to Measured
        The finished ones, by name.
    missing : dict of str to str
        Name of every other run -> "failed" or "not finished".
    """

    config: SweepConfig
    stars: Stars
    runs: Mapping[str, Measured]
    missing: Mapping[str, str]

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


def results_of(
    config: SweepConfig, folder: Path, failed: Collection[str], say: Callable[[str], None]
) -> Results:
    """Measure the finished runs of a sweep's folder.

    Parameters
    ----------
    config : SweepConfig
    folder : Path
    failed : collection of str
        Names of runs that failed.
    say : callable
        Told a line about each run that is measured.
    """
    stars = Stars.read(folder / TEST)
    runs, missing = {}, {}
    for run in runs_of(config):
        if not is_done(folder, run):
            missing[run.name] = "failed" if run.name in failed else "not finished"
            continue
        here = folder_of(folder, run)
        say(f"measure {run.name}")
        figures, arrays = measured(here, stars)
        settings = json.loads((here / "model" / "config.json").read_text("utf-8"))
        runs[run.name] = Measured(run, figures, arrays, settings.get("training", {}))
    return Results(config, stars, runs, missing)
